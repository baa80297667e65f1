"""The run folder: its manifest, what is fresh in it, and one writer at a time.

``manifest.json`` is written last, so it never promises what is not there; an artefact that it does
not vouch for is not believed.
"""

import glob
import hashlib
import json
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from pydantic import TypeAdapter

from ds2._version import __version__
from ds2.atomic import locked as lock
from ds2.atomic import writing
from ds2.errors import InputError, RunBusyError, upgrading
from ds2.pool.remote import fingerprint, is_remote
from ds2.runs.recipe import Recipe
from ds2.runs.recipe_file import HUB, check_exists, file_in, resolve_path
from ds2.runs.stages import Stage, files_of, owner_of, settings_of

__all__ = [
    "DONE",
    "MANIFEST",
    "FileHash",
    "Manifest",
    "StageRecord",
    "Verdict",
    "hash_beside",
    "hash_file",
    "hash_input",
    "hash_inputs",
    "held",
    "judge",
    "lock_holder",
    "locked",
    "read_manifest",
    "retimed",
    "write_json",
    "write_text",
]

LOCK, HOLDER = ".lock", ".lock.pid"


@dataclass(frozen=True, slots=True)
class FileHash:
    """What a file held when it was hashed, and how large and old it was.

    A file that has both still is taken for unchanged: ``mtime_ns`` is 0 where that is not known.
    Of several files it is a number that stands for the names, sizes and times of all.
    """

    sha256: str
    size: int
    mtime_ns: int = 0


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as indented JSON, whole or not at all. NaN is refused: write null."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8, whole or not at all."""
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def hash_file(path: Path) -> FileHash:
    """Hash one file."""
    with path.open("rb") as file:
        stat = os.fstat(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileHash(digest, stat.st_size, stat.st_mtime_ns)


def hash_input(path: Path, known: FileHash | None = None) -> FileHash:
    """Hash a file, a whole folder or what a pattern matches, outside the run folder.

    Where size and modification time are those of ``known``, and the names of files in a folder,
    its hash is taken over unread.
    """
    if path.is_dir():
        return _hash_files(path, [file for file in path.rglob("*") if file.is_file()], known)
    if not path.exists() and glob.has_magic(str(path)):
        found = [Path(name) for name in glob.glob(str(path), recursive=True)]  # noqa: PTH207
        return _hash_files(Path(path.anchor), [file for file in found if file.is_file()], known)
    stat = path.stat()
    if known and (known.size, known.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
        return known
    return hash_file(path)


def _hash_files(folder: Path, files: list[Path], known: FileHash | None) -> FileHash:
    stats = {path: path.stat() for path in sorted(files)}
    size = sum(stat.st_size for stat in stats.values())
    seen = "".join(
        f"{path.relative_to(folder)}\0{stat.st_size}\0{stat.st_mtime_ns}\n"
        for path, stat in stats.items()
    )
    mark = int(hashlib.sha256(seen.encode()).hexdigest()[:12], 16)
    if known and (known.size, known.mtime_ns) == (size, mark):
        return known
    digest = hashlib.sha256()
    for path in stats:
        digest.update(f"{path.relative_to(folder)}\0{hash_file(path).sha256}\n".encode())
    return FileHash(digest.hexdigest(), size, mark)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run folder for this process alone; the system lets go of it if the process dies.

    Raises:
        RunBusyError: another process works on it.
    """
    holder = folder / HOLDER
    who = holder.read_text("ascii", "replace")[:32] if holder.is_file() else "unknown"
    busy = (
        f"Another process (pid {who}) is working on '{folder}'. Wait until it has ended "
        f"(see: ds2 status {shlex.quote(str(folder))}), then run this command again."
    )
    with lock(folder / LOCK, busy):
        write_text(holder, str(os.getpid()))
        yield


@contextmanager
def held(folder: Path) -> Iterator[InputError | None]:
    """As `locked`; where the folder cannot be written, yield why not: what is in it can be read."""
    with ExitStack() as stack:
        refused = None
        try:
            stack.enter_context(locked(folder))
        except InputError as error:
            refused = error
        yield refused


def lock_holder(folder: Path) -> int | None:
    """Return the process id of whoever works on the folder now, or None."""
    try:
        pid = int((folder / HOLDER).read_text("ascii"))
        with lock(folder / LOCK, ""):
            return None
    except RunBusyError:
        return pid
    except (OSError, ValueError, InputError):
        return None


MANIFEST = "manifest.json"
MANIFEST_VERSION = 1


@dataclass(frozen=True, slots=True)
class StageRecord:
    """One finished stage."""

    settings: Mapping[str, object]  #: the settings that mattered, by dotted key
    inputs: Mapping[str, FileHash]  #: files outside the run folder, by dotted key of the recipe
    reads: Mapping[str, str]  #: hash of each artefact of an earlier stage that it read
    writes: Mapping[str, FileHash]  #: its own artefacts
    #: packages that can change the outcome; a change of ds2's own makes it stale
    versions: Mapping[str, str]
    seconds: float  #: how long it took
    warnings: tuple[str, ...]  #: what the user should know
    summary: Mapping[str, object]  #: a few numbers, as JSON
    given: tuple[str, ...] = ()  #: keys of settings that were given with --set, not in the recipe


@dataclass(frozen=True, slots=True)
class Manifest:
    """The finished stages of a run, and why the last try of a stage failed, by stage name."""

    stages: Mapping[str, StageRecord] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    #: what that try was made from: it writes nothing
    tries: Mapping[str, StageRecord] = field(default_factory=dict)

    def with_stage(self, name: str, record: StageRecord) -> "Manifest":
        """Return a manifest in which the stage is finished."""
        return replace(self.without_failure(name), stages={**self.stages, name: record})

    def without_failure(self, name: str) -> "Manifest":
        """Return a manifest that knows of no failure of the stage."""
        failures = {key: value for key, value in self.failures.items() if key != name}
        tries = {key: value for key, value in self.tries.items() if key != name}
        return Manifest(self.stages, failures, tries)

    def with_failure(self, name: str, sentence: str, tried: StageRecord) -> "Manifest":
        """Return a manifest in which the last try of the stage failed."""
        failures, tries = {**self.failures, name: sentence}, {**self.tries, name: tried}
        return Manifest(self.stages, failures, tries)

    def write(self, folder: Path) -> None:
        """Write ``manifest.json``, whole or not at all."""
        write_json(folder / MANIFEST, {"schema_version": MANIFEST_VERSION, **asdict(self)})


def read_manifest(folder: Path) -> Manifest:
    """Read ``manifest.json``; a folder without one has no finished stage."""
    path = folder / MANIFEST
    try:
        raw = json.loads(path.read_bytes())
        newer = raw["schema_version"] > MANIFEST_VERSION
        manifest = Manifest() if newer else TypeAdapter(Manifest).validate_python(raw)
    except FileNotFoundError:
        return Manifest()
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError):
        raise InputError(
            f"'{path}' is damaged. Delete it and run again: every stage is then redone."
        ) from None
    if newer:
        raise InputError(
            f"'{folder}' was made by a newer ds2 (manifest schema_version {raw['schema_version']}, "
            f"this ds2 knows {MANIFEST_VERSION}). Upgrade with: {upgrading()}"
        )
    return manifest


#: States of a stage that later ones can go on from.
DONE = ("fresh", "partial")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one stage."""

    stage: str  #: its name
    #: ``done`` (just now), ``fresh``, ``stale``, ``missing`` (never made), ``failed``, ``skipped``
    #: (the run has no scores), ``unknown`` (made, and the store of its pool cannot be reached), or
    #: ``partial``: fresh for what comes after it, with something left to ask for
    state: str
    reasons: tuple[str, ...] = ()  #: why it is not fresh, as sentences without a full stop
    seconds: float | None = None  #: how long making it took: now, or, of a status, when it was made


def judge(
    stage: Stage, recipe: Recipe, manifest: Manifest, folder: Path, *, stale: frozenset[str]
) -> Verdict:
    """Compare one stage with what the manifest says it was made from.

    Stages that are ``stale`` come first and may change this one.
    """
    record = manifest.stages.get(stage.name)
    failure, tried = manifest.failures.get(stage.name), manifest.tries.get(stage.name)
    if failure is not None and tried is not None:  # with what is there now it may go well
        since = (
            *_changed(stage, recipe, tried, folder, read=bool(tried.inputs)),
            *_other_reads(stage, tried, manifest, stale),
        )
        failure = None if since else failure
    if record is None:
        if failure is not None:
            return Verdict(stage.name, "failed", (failure,))
        return Verdict(stage.name, "missing", ("not made yet",))
    reasons = (
        *_changed(stage, recipe, record, folder),
        *dict.fromkeys(_unlike(stage, record, manifest, folder, stale)),
    )
    if not reasons:
        left = record.summary.get("unanswered")
        if isinstance(left, int) and left:
            why = f"{left:,} requests have no reply yet; ds2 run and ds2 rate send them again"
            return Verdict(stage.name, "partial", (why,))
        return Verdict(stage.name, "fresh")
    if failure is not None:
        return Verdict(stage.name, "failed", (failure,))
    return Verdict(stage.name, "stale", reasons)


def retimed(manifest: Manifest, name: str, folder: Path) -> Manifest:
    """Return a manifest that has the times of a fresh stage's files as they are now, in a copy.

    It is written where it says something new.
    """
    record = manifest.stages[name]
    writes = {file: hash_input(folder / file, of) for file, of in record.writes.items()}
    if writes == record.writes:
        return manifest
    record = replace(record, writes=writes)
    manifest = replace(manifest, stages={**manifest.stages, name: record})
    manifest.write(folder)
    return manifest


def hash_inputs(
    stage: Stage, recipe: Recipe, folder: Path, known: Mapping[str, FileHash]
) -> dict[str, FileHash]:
    """Hash the files that the recipe names and a stage reads, by key of the recipe.

    A file whose size and modification time are as ``known`` is not read again. Of objects in a
    store nothing is read: their names, sizes and times are what is hashed.
    """
    settings, hashes = recipe.flat(), {}
    for key, value, needed in _named_files(stage, settings):
        if key.startswith("pool.path") and is_remote(value):
            hashes[key] = FileHash(*fingerprint(value))
            continue
        path = resolve_path(folder, value)
        if not needed and not path.exists():
            continue
        check_exists(f"'{key}'", path)
        try:
            hashes[key] = hash_input(path, known.get(key))
        except OSError as error:
            raise InputError(
                f"'{key}' names '{path}', which cannot be read: {error.strerror}."
            ) from None
    return hashes


def hash_beside(stage: Stage, folder: Path, known: Mapping[str, FileHash]) -> dict[str, FileHash]:
    """Hash the files of the run folder that a stage reads and none writes, by their name."""
    hashes = {}
    for path in sorted(path for pattern in stage.beside for path in folder.glob(pattern)):
        name = path.relative_to(folder).as_posix()
        with suppress(FileNotFoundError):  # whoever writes it begins anew
            hashes[name] = hash_input(path, known.get(name))
    return hashes


def _named_files(stage: Stage, settings: Mapping[str, object]) -> Iterator[tuple[str, str, bool]]:
    """The files that a stage's settings name, by key, and whether they must be there.

    Those of a list have their place behind the key.
    """
    for key in stage.inputs or settings_of(stage, settings):
        held, value = file_in(key), settings.get(key)
        if held is None or held.behind:
            continue
        needed = not held.optional and held.if_there is None
        many = isinstance(value, list)
        for place, each in enumerate(value if isinstance(value, list) else [value]):
            name = str(each)
            if each is None or name.startswith(HUB) or name in held.words:
                continue
            if name.endswith(held.if_there or ""):
                yield f"{key}[{place}]" if many else key, name, needed


def _changed(
    stage: Stage, recipe: Recipe, record: StageRecord, folder: Path, *, read: bool = True
) -> Iterator[str]:
    """What of settings, version and files outside the folder is not as it was.

    Where the files could not be ``read`` then, that they cannot be now is nothing new.
    """
    wanted = settings_of(stage, recipe.flat())
    for key in sorted({*wanted, *record.settings}):
        pair = wanted.get(key), record.settings.get(key)
        now, was = ("not given" if setting is None else repr(setting) for setting in pair)
        if pair[0] != pair[1]:
            yield f"{key} is now {now}, was {was}{' by --set' if key in record.given else ''}"
    if record.versions.get("ds2") != __version__:
        yield f"made by ds2 {record.versions.get('ds2')}, this is {__version__}"
    try:
        there = hash_inputs(stage, recipe, folder, record.inputs)
        there |= hash_beside(stage, folder, record.inputs)
    except InputError as error:
        if read:
            yield str(error).rstrip(".")
        return
    before, after = ({k: one.sha256 for k, one in of.items()} for of in (record.inputs, there))
    for key in sorted({*before, *after}):
        if before.get(key) != after.get(key):
            gone = "is gone" if key not in after else "is new"
            now = "has changed" if key in before and key in after else gone
            yield f"{key} {now}" if "/" in key else f"the file that {key} names {now}"


def _other_reads(
    stage: Stage, record: StageRecord, manifest: Manifest, stale: frozenset[str]
) -> Iterator[str]:
    """What of the artefacts of earlier stages is not as it was."""
    for artefact in stage.reads:
        owner = owner_of(artefact).name
        made = manifest.stages.get(owner)
        if owner in stale:
            yield f"{owner} comes first and is not fresh"
        elif made is None or made.writes[artefact].sha256 != record.reads.get(artefact):
            yield f"{artefact} has changed"
    yield from (f"made with {name}" for name in record.reads if name not in stage.reads)


def _unlike(
    stage: Stage, record: StageRecord, manifest: Manifest, folder: Path, stale: frozenset[str]
) -> Iterator[str]:
    """What of artefacts, of earlier stages and its own, is not as it was."""
    yield from _other_reads(stage, record, manifest, stale)
    for name in files_of(stage, record.settings):
        if fault := _fault(folder / name, record.writes.get(name)):
            yield f"{name} {fault}"


def _fault(path: Path, expected: FileHash | None) -> str:
    """Say what is wrong with an artefact; nothing where it is what was written.

    It is read only where its modification time is another one, as in a copy of the folder. So a
    change that keeps size and time is not seen: that of a disk that fails, or of a program that
    sets the time back. Whoever fears either sets a new time (``touch``), and all is read.
    """
    if not path.exists():
        return "is missing"
    try:
        if expected is not None and (path.is_dir() or path.stat().st_size == expected.size):
            same = hash_input(path, expected).sha256 == expected.sha256
            return "" if same else "is not what was written"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return "is not what was written"
