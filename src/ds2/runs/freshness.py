"""Is a stage fresh, and if not, why: recipe, inputs and artefacts against the manifest."""

import fnmatch
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ds2._version import __version__
from ds2.errors import InputError
from ds2.runs.manifest import Manifest, StageRecord
from ds2.runs.recipe import Recipe
from ds2.runs.recipe_file import HUB, check_exists, resolve_path
from ds2.runs.stages import Stage, owner_of, settings_of
from ds2.runs.store import FileHash, hash_file, hash_input

__all__ = ["DONE", "Verdict", "hash_inputs", "judge"]

#: States of a stage that later ones can go on from.
DONE = ("fresh", "partial")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one stage.

    Attributes:
        stage: its name.
        state: ``fresh``, ``stale``, ``missing`` (never made), ``failed``, or ``partial``: fresh for
            what comes after it, with something left to ask for.
        reasons: why it is not fresh, as sentences without a full stop.
    """

    stage: str
    state: str
    reasons: tuple[str, ...] = ()


def judge(
    stage: Stage, recipe: Recipe, manifest: Manifest, folder: Path, *, stale: frozenset[str]
) -> Verdict:
    """Compare one stage with what the manifest says it was made from.

    Args:
        stage: the stage to judge.
        recipe: the settings that are wanted now.
        manifest: what was made, and from what.
        folder: the run folder.
        stale: stages that are themselves not fresh (so that this one may change with them).
    """
    record = manifest.stages.get(stage.name)
    failure = manifest.failures.get(stage.name)
    if record is None:
        if failure is not None:
            return Verdict(stage.name, "failed", (failure,))
        return Verdict(stage.name, "missing", ("not made yet",))
    reasons = (
        *_changed_settings(stage, recipe, record),
        *_changed_inputs(stage, recipe, record, folder),
        *_changed_reads(stage, record, manifest, stale),
        *_damaged(stage, record, folder),
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


def hash_inputs(
    stage: Stage, recipe: Recipe, folder: Path, known: Mapping[str, FileHash]
) -> dict[str, FileHash]:
    """Hash the files outside the run folder that a stage reads, by key of the recipe.

    A file whose size and modification time are as ``known`` is not read again.
    """
    settings = recipe.flat()
    hashes = {}
    for key, value in _named_files(stage, settings):
        path = resolve_path(folder, value)
        if _optional(stage, key) and not path.exists():
            continue
        check_exists(f"'{key}'", path)
        try:
            hashes[key] = hash_input(path, known.get(key))
        except OSError as error:
            raise InputError(
                f"'{key}' names '{path}', which cannot be read: {error.strerror}."
            ) from None
    return hashes


def _optional(stage: Stage, key: str) -> bool:
    return any(fnmatch.fnmatchcase(key, pattern) for pattern in stage.optional)


def _named_files(stage: Stage, settings: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """The files that a stage's inputs name, by key; a list's have their place behind the key."""
    for pattern in stage.inputs:
        for key in fnmatch.filter(settings, pattern):
            value = settings[key]
            many = isinstance(value, list)
            for place, each in enumerate(value if isinstance(value, list) else [value]):
                if each is not None and not str(each).startswith(HUB):
                    yield f"{key}[{place}]" if many else key, str(each)


def _changed_settings(stage: Stage, recipe: Recipe, record: StageRecord) -> list[str]:
    wanted: Mapping[str, object] = settings_of(stage, recipe.flat())
    reasons = [
        f"{key} is now {_shown(wanted.get(key))}, was {_shown(record.settings.get(key))}"
        for key in sorted({*wanted, *record.settings})
        if wanted.get(key) != record.settings.get(key)
    ]
    if record.versions.get("ds2") != __version__:
        reasons.append(f"made by ds2 {record.versions.get('ds2')}, this is {__version__}")
    return reasons


def _shown(setting: object) -> str:
    return "not given" if setting is None else repr(setting)


def _changed_inputs(stage: Stage, recipe: Recipe, record: StageRecord, folder: Path) -> list[str]:
    try:
        now = hash_inputs(stage, recipe, folder, record.inputs)
    except InputError as error:
        return [str(error).rstrip(".")]
    before = {key: value.sha256 for key, value in record.inputs.items()}
    after = {key: value.sha256 for key, value in now.items()}
    return [
        f"the file that {key} names has changed"
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]


def _changed_reads(
    stage: Stage, record: StageRecord, manifest: Manifest, stale: frozenset[str]
) -> list[str]:
    reasons = []
    for artefact in stage.reads:
        owner = owner_of(artefact).name
        made = manifest.stages.get(owner)
        if owner in stale:
            reasons.append(f"{owner} comes first and is not fresh")
        elif made is None or made.writes[artefact].sha256 != record.reads.get(artefact):
            reasons.append(f"{artefact} has changed")
    return list(dict.fromkeys(reasons))


def _damaged(stage: Stage, record: StageRecord, folder: Path) -> list[str]:
    return [
        f"{name} {fault}"
        for name in stage.writes
        if (fault := _fault(folder / name, record.writes.get(name)))
    ]


def _fault(path: Path, expected: FileHash | None) -> str:
    """Say what is wrong with an artefact; nothing where it is what was written."""
    if not path.is_file():
        return "is missing"
    try:
        whole = (
            expected is not None
            and path.stat().st_size == expected.size
            and hash_file(path).sha256 == expected.sha256
        )
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return "" if whole else "is not what was written"
