"""`ds2 score`: the scorer of a run on another pool, part by part, from file to Parquet."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ds2.atomic import check_writable, writing
from ds2.curation import Curation, Scorer, fit_scorer
from ds2.embedding import (
    Embedder,
    PrecomputedEmbedder,
    identify_languages,
    read_report,
    surface_features,
    vectors_of,
)
from ds2.engine import Engine
from ds2.errors import InputError
from ds2.neighbors import Neighbors
from ds2.pool import Pool, read_parts
from ds2.pool.files import FileKind, file_kind
from ds2.pool.wording import shown_path
from ds2.runs.apart import engine_of
from ds2.runs.embedder import choose_embedder
from ds2.runs.folder import hash_file
from ds2.runs.frozen import (
    load,
    load_scorer,
    load_vectors,
    observed_of,
    read_scorer,
    save_scorer,
)
from ds2.runs.job import Job
from ds2.runs.loop import opened
from ds2.runs.recipe_file import load_recipe
from ds2.runs.steps import covariates_of

__all__ = ["ScoredPool", "score_pool"]

FOLDER = "scorer"
#: Rows of a part.
PART = 8192
#: Rows of the run and of the new pool that are held against each other.
LOOK_AT = 2000
#: The new pool is unlike the run's where so much more of it is in a language, where its answers are
#: so many times as long or short (median), or where so much of it is farther from every row of the
#: run than all but 5 % of the run's own rows are.
OTHER_LANGUAGE, TIMES_AS_LONG, FAR = 0.1, 1.5, 0.2


@dataclass(frozen=True, slots=True)
class ScoredPool:
    """What scoring a pool found."""

    path: Path  #: the Parquet file: position (of the row among all that were read), id, score, se
    n: int  #: rows scored
    n_left: int  #: rows that were passed over: malformed, or without an answer
    agreement: float  #: Spearman's correlation of the scorer with held-out ratings of its own run
    warnings: tuple[str, ...]  #: how the new pool is unlike the run's


def score_pool(new: str | Sequence[str], job: Job, *, out: Path) -> ScoredPool:
    """Score another pool with the scorer of a run, in memory that does not grow with it.

    Args:
        new: as `ds2.read_pool` takes it.
        job: the run. Its scorer is fitted and kept in RUN/scorer when it is first needed.
        out: the Parquet file to write.

    Raises:
        InputError: the pool cannot be read, or the file not be written; the run's vectors are
            ready-made, or its ratings cannot be predicted.
    """
    if file_kind(out) != FileKind("parquet", None):
        raise InputError(
            f"Scores are written as Parquet, and {shown_path(out)} is named otherwise. Let its "
            "name end in .parquet."
        )
    check_writable(out)
    next(read_parts(new, rows=1), None)  # what cannot be read is better said before the stages run
    with opened(job, "curate"):
        embedder = _embedder(job)
        scorer = _scorer(job, embedder)
        own = _own_sample(job)
    kinds = {"position": pa.int64(), "id": pa.string(), "score": pa.float32(), "se": pa.float32()}
    schema = pa.schema(kinds)
    job.listener.started("score", "score the pool")
    n, read, seen = 0, 0, list[tuple[Pool, np.ndarray]]()
    with (
        engine_of(job.recipe, None, embeds=True) as engine,
        writing(out) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as file,
    ):
        for part, vectors, scores, se in _scored(new, job.folder, engine):
            if len(vectors):
                seen.append((part.take(np.arange(len(vectors))), vectors))
            columns = [part.positions, part.table["id"], scores, se]
            file.write_table(pa.table(columns, schema=schema))
            n, read = n + len(part), part.n_read
            job.listener.progress(n, 0)
    warnings = tuple(_unlike(own, _Sample.of(seen))) if seen else ()
    return ScoredPool(out, n, read - n, scorer.skill.agreement.value, warnings)


def _embedder(job: Job) -> Embedder:
    found = choose_embedder(job.recipe.embed, job.folder)
    if isinstance(found, PrecomputedEmbedder):
        raise InputError(
            "The vectors of this run are ready-made ('embed.embedder' is 'precomputed'), so no "
            "other pool can be embedded like them. In Python: "
            "ds2.load_scorer(RUN/scorer).predict(vectors, ds2.surface_features(pool))."
        )
    used = read_report(job.folder / "embeddings.npy").embedder
    if used != found.name:
        raise InputError(
            f"The run was embedded by {used}, and here it is {found.name}: a scorer knows the "
            "vectors of its own embedder alone. Embed the run again: ds2 embed RUN."
        )
    return found


def _scorer(job: Job, embedder: Embedder) -> Scorer:
    """The run's scorer: the one that is kept, where it was made of what is there now."""
    folder = job.folder / FOLDER
    rests_on = hash_file(job.folder / "curation.parquet").sha256
    try:
        about = read_scorer(folder)["about"]
        if about.get("rests_on") == rests_on and about.get("embedder") == embedder.name:
            return load_scorer(folder)
    except InputError:
        pass  # there is none yet, or an older one
    pool = job.pool
    scorer = fit_scorer(
        observed_of(load(Curation, job.folder)),
        load_vectors(job.folder),
        surface_features(pool),
        neighbors=load(Neighbors, job.folder),
        covariates=covariates_of(pool),
        keys=pool.keys,
        seed=job.recipe.seed,
    )
    if not scorer.skill.explains:
        raise InputError(scorer.skill.says()[0])
    save_scorer(scorer, folder, about={"rests_on": rests_on, "embedder": embedder.name})
    return scorer


@dataclass(frozen=True, slots=True)
class _Sample:
    """Some rows of a pool: (m, d) vectors, the median length of an answer, share by language."""

    vectors: np.ndarray
    length: float
    languages: Mapping[str | None, float]

    @classmethod
    def of(cls, parts: Sequence[tuple[Pool, np.ndarray]]) -> "_Sample":
        vectors = np.concatenate([each for _, each in parts]).astype(np.float32)
        found = identify_languages([text for part, _ in parts for text in part.texts()])
        return cls(
            vectors,
            float(np.median(np.concatenate([part.lengths for part, _ in parts]))),
            {name: found.count(name) / len(found) for name in set(found)},
        )


def _own_sample(job: Job) -> _Sample:
    pool, vectors = job.pool, load_vectors(job.folder)
    rows = np.sort(np.argsort(pool.keys)[:LOOK_AT])
    return _Sample.of([(pool.take(rows), vectors[rows])])


def _unlike(own: _Sample, new: _Sample) -> Iterator[str]:
    """How a new pool is unlike the run's, a sentence each."""
    likeness = own.vectors @ own.vectors.T
    np.fill_diagonal(likeness, -1)
    near = np.quantile(likeness.max(axis=1), 0.05)
    far = float(((new.vectors @ own.vectors.T).max(axis=1) < near).mean())
    if far > FAR:
        yield (
            f"{far:.0%} of the rows are farther from every row of the run than all but 5 % of "
            "the run's own are: the scorer has not learned from their like."
        )
    ratio = max(new.length, 1.0) / max(own.length, 1.0)
    if not 1 / TIMES_AS_LONG < ratio < TIMES_AS_LONG:
        yield (
            f"Answers are {ratio:.2g} times as long as the run's (median {new.length:,.0f} and "
            f"{own.length:,.0f} characters), and scores may go with length."
        )
    for name, share in new.languages.items():
        before = own.languages.get(name, 0.0)
        if name and share > before + OTHER_LANGUAGE:
            yield (
                f"{share:.0%} of the texts are in '{name}', of the run's {before:.0%}: the scorer "
                "knows little of them."
            )


_Part = tuple[Pool, np.ndarray, np.ndarray, np.ndarray]


def _scored(new: Any, run: Path, engine: Engine) -> Iterator[_Part]:
    """The parts of the new pool in order, with vectors of its first rows, scores and errors."""
    at_work = deque[Pool]()

    def parts() -> Iterator[tuple[pa.Table, int]]:
        left = LOOK_AT
        for one in read_parts(new, rows=PART):
            at_work.append(one)
            yield one.table, left
            left = max(left - len(one), 0)

    for found in engine.map(partial(_scoring, run), parts(), what="part"):
        yield at_work.popleft(), *found


_Scored = tuple[np.ndarray, np.ndarray, np.ndarray]


def _scoring(run: Path) -> Callable[[tuple[pa.Table, int]], _Scored]:
    """Load what a worker needs, and return what it does.

    That is, of a part: vectors of as many rows as are to be looked at, the first, and the scores
    and errors of all.
    """
    embedder, scorer = choose_embedder(load_recipe(run).embed, run), load_scorer(run / FOLDER)
    assert isinstance(embedder, Embedder), "the run's vectors are not ready-made"

    def score(of: tuple[pa.Table, int]) -> _Scored:
        table, keep = of
        pool = Pool(table, "messages", "")
        vectors = vectors_of(pool, embedder)
        found = scorer.predict(vectors, surface_features(pool))
        return vectors[:keep], found.scores, found.se

    return score
