"""Run the stages of a run folder: skip what is fresh, redo what is not, vouch for it last."""

import errno
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import TYPE_CHECKING, Any

from ds2._version import __version__
from ds2.atomic import storage_error, sweep
from ds2.errors import Ds2Error, InputError, RunError, warn
from ds2.progress import told
from ds2.runs.folder import (
    DONE,
    FileHash,
    Manifest,
    StageRecord,
    Verdict,
    hash_beside,
    hash_input,
    hash_inputs,
    held,
    judge,
    lock_holder,
    read_manifest,
    retimed,
    write_json,
)
from ds2.runs.job import Ask, Job, Listener, hearing, telling
from ds2.runs.planted import load_planted
from ds2.runs.recipe_file import load_recipe
from ds2.runs.stages import STAGES, Stage, files_of, owner_of, settings_of, stages_of, stages_until
from ds2.runs.unrated import SKIPPED, refusal

if TYPE_CHECKING:
    from ds2.report import State

__all__ = ["RunOutcome", "bring_up", "opened", "run", "status"]

#: Where a stage that runs notes how far it is: `status` says it of a stopped one.
NOTE, NOTE_EVERY_S = ".progress.json", 1.0
_PACKAGES = ("numpy", "scipy", "faiss-cpu", "pyarrow", "datasets", "wordllama")


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What a run did, or how it stands."""

    folder: Path  #: the run folder
    stages: tuple[Verdict, ...]  #: what became of each, in order
    summary: Mapping[str, Mapping[str, object]]  #: a few numbers by stage, of those that were made
    #: of these stages, fresh ones included, each once; a status has none
    warnings: tuple[str, ...] = ()
    pid: int | None = None  #: who works on the folder now; a run is over

    @property
    def state(self) -> "State":
        """What to do, as the report says."""
        from ds2.report import State

        found = self.summary["report"]
        return State(str(found["state"]), str(found["reason"]), str(found["next"]), "plain")


def run(
    folder: Path,
    *,
    until: str = "report",
    overrides: Mapping[str, object] | None = None,
    listener: Listener | None = None,
    ask: Ask = "new",
    wait: bool = False,
    resume: bool = False,
) -> RunOutcome:
    """Bring the stage ``until`` of a run folder, and every stage that it needs, up to date.

    Args:
        folder: the run folder, with its recipe.
        until: the name of a stage.
        overrides: settings by dotted key that win over the recipe, for this call alone.
        listener: is told what happens.
        ask: what models that rate are asked, as in `Job`; other than "new", the stage "rate" is
            run even where it is fresh.
        wait: wait until batches are back, as in `Job`.
        resume: ask again for the replies that a ``partial`` stage "rate" lacks; otherwise the run
            goes on with those that are there.

    Without scores the stages about them are skipped.

    Raises:
        InputError: the recipe, a file that it names or a value in it is wrong; or the stage, or
            the method of selection, goes by scores, and there are none.
        RunBusyError: another process works on this folder.
    """
    job = Job.of(folder, overrides, listener, ask=ask, wait=wait)
    return bring_up(job, until, resume=resume)


def bring_up(job: Job, until: str, *, resume: bool = False) -> RunOutcome:
    """Do what `run` says for a run whose recipe was read."""
    folder, recipe, listener = job.folder, job.recipe, job.listener
    every = [stage.name for stage in stages_until(until)]
    for name in {until, "select"} & set(every):
        if refused := refusal(recipe, name):
            raise refused
    own = {stage.name: stage for stage in stages_of(rated=recipe.rated)}
    if until == "report":  # which comes last: a fault in its file is better said first
        load_planted(recipe, folder)
    outcomes = []
    with held(folder) as refused:
        if refused is None:
            sweep(folder)
        manifest = read_manifest(folder)
        for name in every:
            stage = own.get(name)
            if stage is None:
                outcomes.append(Verdict(name, "skipped", (SKIPPED,), 0.0))
                listener.finished(name, "skipped", 0.0, {"why": SKIPPED})
                continue
            verdict = judge(stage, recipe, manifest, folder, stale=frozenset())
            asks = stage.name == "rate" and (
                job.ask != "new" or (resume and verdict.state == "partial")
            )
            if verdict.state in DONE and not asks:
                outcomes.append(replace(verdict, seconds=0.0))
                if refused is None:
                    manifest = retimed(manifest, name, folder)
            elif refused is not None:
                raise refused
            else:
                listener.started(stage.name, stage.title)
                if verdict.state == "stale" and all(one.state != "done" for one in outcomes):
                    listener.said(f"made anew: {'; '.join(verdict.reasons)}")
                manifest = _perform(stage, job, manifest)
                outcomes.append(Verdict(name, "done", (), manifest.stages[name].seconds))
            summary = manifest.stages[name].summary
            listener.finished(name, outcomes[-1].state, outcomes[-1].seconds or 0.0, summary)
    records = {name: manifest.stages[name] for name in every if name in own}
    return RunOutcome(
        folder=folder,
        stages=tuple(outcomes),
        summary={name: record.summary for name, record in records.items()},
        warnings=tuple(dict.fromkeys(text for r in records.values() for text in r.warnings)),
    )


@contextmanager
def opened(job: Job, until: str) -> Iterator[None]:
    """Bring the stage ``until`` up to date, and hold the folder while the block works on it.

    Raises:
        InputError: the block writes, and the folder cannot be written.
    """
    bring_up(job, until)
    with held(job.folder) as refused:
        try:
            yield
        except OSError as error:
            raise error if refused is None else refused from None


def status(folder: Path, *, overrides: Mapping[str, object] | None = None) -> RunOutcome:
    """Say of every stage whether it is fresh, and if not, why. Writes nothing."""
    recipe = Job.of(folder, overrides).recipe
    manifest = read_manifest(folder)
    own = {stage.name: stage for stage in stages_of(rated=recipe.rated)}
    pid = lock_holder(folder)
    verdicts: list[Verdict] = []
    for stage in STAGES:
        sound = (*DONE, "unknown")
        stale = frozenset(verdict.stage for verdict in verdicts if verdict.state not in sound)
        if stage.name not in own:
            verdicts.append(Verdict(stage.name, "skipped", (SKIPPED,)))
        elif refused := refusal(recipe, stage.name):
            verdicts.append(Verdict(stage.name, "failed", (str(refused),)))
        else:
            try:
                verdict = judge(own[stage.name], recipe, manifest, folder, stale=stale)
            except RunError as error:  # the store of the pool cannot be reached
                state = "unknown" if stage.name in manifest.stages else "missing"
                verdict = Verdict(stage.name, state, (str(error).rstrip("."),))
            settings = settings_of(stage, recipe.flat())
            far = _how_far(folder, stage, settings, running=pid is not None)
            if far is not None and (pid is not None or verdict.state not in DONE):
                more = () if pid is not None or verdict.state == "missing" else verdict.reasons
                verdict = replace(verdict, reasons=(far, *more))
            verdicts.append(verdict)
    made = manifest.stages
    took = {name: record.seconds for name, record in made.items()}
    return RunOutcome(
        folder=folder,
        stages=tuple(replace(one, seconds=took.get(one.stage)) for one in verdicts),
        summary={name: record.summary for name, record in made.items()},
        pid=pid,
    )


@dataclass(slots=True)
class _Noted:
    """A `Listener` that passes everything on, and notes in the folder how far the stage is."""

    heard: Listener
    folder: Path
    stage: Stage
    settings: Mapping[str, object]
    _last_s: float = field(init=False, default_factory=time.monotonic)

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Pass it on, and now and then note it."""
        self.heard.progress(done, total, note)
        if 0 < done < total:
            self._note(f"{done:,} of {total:,}")

    def reached(self, share: float) -> None:
        """Likewise."""
        self.heard.reached(share)
        if 0.0 < share < 1.0:
            self._note(f"{share:.0%}")

    def _note(self, at: str) -> None:
        now = time.monotonic()
        if now - self._last_s < NOTE_EVERY_S:
            return
        self._last_s = now
        facts = {"stage": self.stage.name, "at": at}
        with suppress(Ds2Error):  # the stage itself says what it cannot write
            write_json(self.folder / NOTE, {**facts, "settings": dict(self.settings)})

    def __getattr__(self, name: str) -> Any:
        return getattr(self.heard, name)


def _how_far(
    folder: Path, stage: Stage, settings: Mapping[str, object], *, running: bool
) -> str | None:
    """Say how far a stage is that runs or was stopped; None where nobody knows.

    With other ``settings`` than those that it is made with it starts anew.
    """
    try:
        facts = json.loads((folder / NOTE).read_bytes())
        at, same = str(facts["at"]), facts["settings"] == dict(settings)
        if facts["stage"] != stage.name or not (same or running):
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if running:
        return f"at {at}" if same else f"at {at}, with other settings than these"
    kept = stage.kept and (folder / stage.kept).exists()
    then = "goes on from there" if kept else "starts anew"
    return f"stopped at {at}, {then}"


def _perform(stage: Stage, job: Job, manifest: Manifest) -> Manifest:
    """Run one stage and return the manifest that vouches for it, already written."""
    from ds2.runs.steps import STEPS

    recipe, folder = job.recipe, job.folder
    settings = settings_of(stage, recipe.flat())
    noted: Any = _Noted(job.listener, folder, stage, settings)
    job = replace(job, listener=noted)
    start = time.perf_counter()
    sources = {name: manifest.stages[owner_of(name).name].writes[name] for name in stage.reads}
    inputs: dict[str, FileHash] = {}
    tried = StageRecord(
        settings=settings,
        inputs=inputs,
        reads={name: source.sha256 for name, source in sources.items()},
        writes={},
        versions=_versions(),
        seconds=0.0,
        warnings=(),
        summary={},
        given=_given(settings, stage, folder),
    )
    if stage.name in manifest.failures:  # no longer the last try
        manifest = manifest.without_failure(stage.name)
        manifest.write(folder)
    heard, shared = hearing(job.listener), told(telling(job.listener))
    with _noting_failure(tried, stage, manifest, folder), heard as warned, shared:
        known = manifest.stages[stage.name].inputs if stage.name in manifest.stages else {}
        before = hash_inputs(stage, recipe, folder, known)
        inputs |= before | hash_beside(stage, folder, known)
        made = STEPS[stage.name](job)
        for sentence in made.warnings:
            warn(sentence)
        after = hash_inputs(stage, recipe, folder, before)  # a log beside may grow meanwhile
        for key in {*before, *after}:
            if key not in before or key not in after or after[key].sha256 != before[key].sha256:
                raise RunError(f"The file that '{key}' names changed while it was read. Run again.")
    record = replace(
        tried,
        writes={name: hash_input(folder / name) for name in files_of(stage, settings)},
        seconds=round(time.perf_counter() - start, 3),
        warnings=tuple(warned),
        summary=made.summary,
    )
    manifest = manifest.with_stage(stage.name, record)
    manifest.write(folder)
    if stage.spent:  # not before: a run that is killed in between goes on from it
        shutil.rmtree(folder / stage.spent, ignore_errors=True)
    with suppress(OSError):
        (folder / NOTE).unlink(missing_ok=True)
    return manifest


def _versions() -> dict[str, str]:
    """The packages that can change an outcome, as they are here."""
    found = {"ds2": __version__, "python": python_version()}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _given(settings: Mapping[str, object], stage: Stage, folder: Path) -> tuple[str, ...]:
    """The keys that are not as the recipe says, but as --set does."""
    with suppress(InputError):  # without --set it may be none
        own = settings_of(stage, load_recipe(folder).flat())
        return tuple(key for key, value in settings.items() if own.get(key) != value)
    return ()


@contextmanager
def _noting_failure(
    tried: StageRecord, stage: Stage, manifest: Manifest, folder: Path
) -> Iterator[None]:
    """Keep the reason of a failure for `status`, and turn what the system says into a sentence."""
    try:
        yield
    except Exception as error:
        failure = _explain(stage, error, folder)
        sentence = str(failure) if isinstance(failure, Ds2Error) else f"unexpected: {failure!r}"
        with suppress(Ds2Error):  # the disk may be what failed
            manifest.with_failure(stage.name, sentence, tried).write(folder)
        if failure is error:
            raise
        raise failure from error


def _explain(stage: Stage, error: Exception, folder: Path) -> Exception:
    after = "Mend that, then run the same command again; finished stages are kept."
    if type(error) is InputError:
        return InputError(f"[{stage.name}] {error}")  # whose keys its words are
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return storage_error(error, Path(error.filename or folder))
    if isinstance(error, PermissionError):
        return InputError(
            f"The stage '{stage.name}' may not open '{error.filename or folder}' "
            f"({error.strerror}). Change its permissions, then run the same command again; "
            "finished stages are kept."
        )
    if isinstance(error, OSError):
        return RunError(f"The stage '{stage.name}' failed: {error}. {after}")
    if isinstance(error, MemoryError):
        return RunError(f"The stage '{stage.name}' ran out of memory ({error}). {after}")
    return error
