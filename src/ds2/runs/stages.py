"""The eight stages as plain data: what each reads, what it writes, which settings it depends on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from ds2.errors import InputError

__all__ = [
    "PARTS",
    "STAGES",
    "Stage",
    "files_of",
    "owner_of",
    "settings_of",
    "stages_of",
    "stages_until",
]


#: The folder of a selection in parts, in the place of selected.jsonl.
PARTS = "selected"


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a run."""

    name: str  #: also the name of its command
    title: str  #: what it does, in a few words
    #: sections or keys of the recipe that can change its outcome, or ``*`` for all
    settings: tuple[str, ...]
    writes: tuple[str, ...]  #: its own artefacts
    reads: tuple[str, ...] = ()  #: artefacts of earlier stages
    #: those of its settings that name a file which it reads, where not all that do are read
    inputs: tuple[str, ...] = ()
    #: patterns of files in the run folder that no stage writes; they need not be there
    beside: tuple[str, ...] = ()
    ignores: tuple[str, ...] = ()  #: keys of those sections that cannot; ``*`` stands for any name
    scored: bool = False  #: whether a run without scores has no such stage
    kept: str = ""  #: what one that was stopped leaves behind and goes on from, where it is there
    spent: str = ""  #: a folder that is of no use once the manifest vouches for the stage

    @property
    def help(self) -> str:
        """What its command says of itself."""
        return f"{self.title[0].upper()}{self.title[1:]}."


STAGES = (
    Stage(
        "pool",
        "read the pool",
        settings=("pool",),
        writes=("pool.arrow", "rejects.jsonl"),
    ),
    Stage(
        "rate",
        "rate the examples, or import their scores",
        settings=("scores", "rate", "raters"),
        ignores=(
            "scores.true_column",
            "scores.planted",
            "raters.*.api_key_env",
            "raters.*.concurrency",
            "raters.*.requests_per_minute",
            "raters.*.tokens_per_minute",
            "raters.*.timeout_s",
            "raters.*.threads",
        ),
        reads=("pool.arrow",),
        writes=("ratings.parquet",),
        scored=True,
        kept="ratings.sqlite",
    ),
    Stage(
        "embed",
        "embed the conversations",
        settings=("embed",),
        ignores=("embed.batch_size", "embed.api_key_env"),
        reads=("pool.arrow",),
        writes=("embeddings.npy", "embeddings.keys.npy", "embeddings.json"),
        kept="embeddings.npy.partial",
    ),
    Stage(
        "neighbors",
        "find each example's neighbours",
        settings=("neighbors", "seed"),
        reads=("pool.arrow", "embeddings.npy"),
        writes=("neighbors.npz",),
        kept="neighbors.partial/search.json",  # by method "cells", once it is prepared
        spent="neighbors.partial",
    ),
    Stage(
        "noise",
        "estimate the transition matrix",
        settings=("noise", "gold", "seed"),
        reads=("pool.arrow", "ratings.parquet", "embeddings.npy", "neighbors.npz"),
        writes=("noise.json",),
        scored=True,
    ),
    Stage(
        "curate",
        "correct the scores",
        settings=("curate", "gold", "seed"),
        ignores=("curate.doubtful",),
        reads=("pool.arrow", "ratings.parquet", "embeddings.npy", "neighbors.npz", "noise.json"),
        writes=("curation.parquet",),
        scored=True,
    ),
    Stage(
        "select",
        "select the subset",
        settings=("select", "output", "seed", "curate.doubtful"),
        reads=(
            "pool.arrow",
            "embeddings.npy",
            "neighbors.npz",
            "noise.json",
            "curation.parquet",
        ),
        writes=("selection.parquet", "dropped.parquet", "selected.jsonl", "curves.json"),
    ),
    Stage(
        "report",
        "write the report",
        settings=("*",),  # the report shows the recipe, up to here
        ignores=("schema_version", "train.*", "evaluate.*", "proof.*", "engine.*"),
        inputs=("scores.planted", "gold.path"),
        beside=("proof/runs/*/log.jsonl",),
        reads=(
            "pool.arrow",
            "rejects.jsonl",
            "ratings.parquet",
            "embeddings.json",
            "neighbors.npz",
            "noise.json",
            "curation.parquet",
            "selection.parquet",
            "curves.json",
        ),
        writes=("report.html", "report.md", "report.json"),
    ),
)


def owner_of(artefact: str) -> Stage:
    """Return the stage that writes ``artefact``."""
    return next(stage for stage in STAGES if artefact in stage.writes)


def files_of(stage: Stage, settings: Mapping[str, object]) -> tuple[str, ...]:
    """Return what a stage writes with these settings: a selection in parts is a folder."""
    one, parts = "selected.jsonl", bool(settings.get("output.rows_per_file"))
    return tuple(PARTS if parts and name == one else name for name in stage.writes)


def stages_of(*, rated: bool) -> tuple[Stage, ...]:
    """Return the stages of a run with scores, or of one without, which read what is left."""
    stages = tuple(stage for stage in STAGES if rated or not stage.scored)
    there = {artefact for stage in stages for artefact in stage.writes}
    return tuple(
        replace(stage, reads=tuple(name for name in stage.reads if name in there))
        for stage in stages
    )


def stages_until(name: str, stages: Sequence[Stage] = STAGES) -> tuple[Stage, ...]:
    """Return the stage called ``name`` and every one of ``stages`` that it needs, in order."""
    if name not in {stage.name for stage in STAGES}:
        raise InputError(f"'{name}' is no stage. Stages: {', '.join(s.name for s in STAGES)}.")
    needed: set[str] = {name}
    for stage in reversed(stages):
        if stage.name in needed:
            needed |= {owner_of(artefact).name for artefact in stage.reads}
    return tuple(stage for stage in stages if stage.name in needed)


def settings_of(stage: Stage, settings: Mapping[str, object]) -> dict[str, object]:
    """Return those of a recipe's ``settings`` (by dotted key) that can change the outcome."""
    return {
        key: value
        for key, value in settings.items()
        if not any(fnmatchcase(key, pattern) for pattern in stage.ignores)
        and {key, key.split(".")[0], "*"} & set(stage.settings)
    }
