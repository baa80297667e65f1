"""One function per stage: read earlier artefacts, call one function of ds2, write its result.

Every stage reads its inputs from the run folder, never from the memory of the stage before, so a
run that was stopped and resumed computes exactly what an uninterrupted one does.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ds2._version import __version__
from ds2.arrays import Features
from ds2.curation import Curation, curate, measure_bias
from ds2.curation.curate import to_be_scored
from ds2.curation.learners import Inputs
from ds2.embedding import (
    content_types,
    embed_with_report,
    read_report,
    sample_keys,
    share_held,
    surface_features,
    vectors_digest,
)
from ds2.neighbors import Neighbors, find_neighbors
from ds2.noise import TransitionEstimate, estimate_transition
from ds2.pool import Pool, find_duplicates, read_pool
from ds2.progress import part
from ds2.proof.train import loss_curve
from ds2.rating import GoldScores, Ratings, import_ratings
from ds2.report import (
    LENGTH,
    Chosen,
    Results,
    in_words,
    of_scores,
    page_html,
    page_json,
    page_markdown,
    run_report,
)
from ds2.runs.apart import embedders_of, find_by_cells
from ds2.runs.ask import load_gold
from ds2.runs.cache import Cache, key_of, open_cache
from ds2.runs.embedder import choose_embedder
from ds2.runs.folder import write_text
from ds2.runs.frozen import FILES, load, load_vectors, observed_of, read_table, save
from ds2.runs.job import Job, Made, unheard
from ds2.runs.planted import load_planted
from ds2.runs.proof_page import with_proof_link
from ds2.runs.rate import rate_pool
from ds2.runs.recipe import PoolSection, Recipe
from ds2.runs.recipe_file import places_of
from ds2.runs.select import select_subset
from ds2.runs.stages import STAGES, settings_of
from ds2.runs.train_step import PLACE
from ds2.selection import Curves, Selection, long_tail_scores

__all__ = [
    "STEPS",
    "curation_of",
    "noise_of",
]


def _pool(job: Job) -> Made:
    wanted = job.recipe.pool
    with part(0.0, 0.9):
        pool = read_pool(
            places_of(job.folder, wanted),
            rejects=job.folder / "rejects.jsonl",
            out=job.folder / "pool.arrow",
            **wanted.model_dump(exclude={"path"}),
        )
    summary = {
        "n_examples": len(pool),
        "n_rejected": pool.n_rejected,
        "format": pool.format,
    }
    return Made(summary, pool.warnings)


#: A share of the texts smaller than this is not worth copying vectors for.
_WORTH_FETCHING = 0.05


def _embed(job: Job) -> Made:
    wanted, pool, out = job.recipe.embed, job.pool, job.folder / "embeddings.npy"
    embedder = choose_embedder(wanted, job.folder)
    cache = None if wanted.embedder == "precomputed" else open_cache(job.listener)  # a file already
    fetched = cache is not None and _fetch_vectors(cache, pool, embedder.name, out)
    with embedders_of(job, len(pool)) as workers:
        _, report = embed_with_report(
            pool,
            embedder,
            out=out,
            batch_size=wanted.batch_size,
            progress=lambda done, total, *_: job.listener.progress(done, total),
            workers=workers,
        )
    if cache is not None and (report.n_embedded or not fetched):
        files = [out.with_suffix(end) for end in (".npy", ".keys.npy", ".json")]
        about = {"embedder": report.embedder}
        _keep(job, cache, "embed", vectors_digest(out), files, about)
    summary = {
        "name": report.embedder,
        "dimension": report.dimension,
        "n_embedded": report.n_embedded,
        "n_reused": report.n_reused,
        "from_cache": fetched,
        "truncated_share": report.truncated_share,
        "unknown_language_share": report.unknown_language_share,
    }
    return Made(summary, report.warnings)


def _fetch_vectors(cache: Cache, pool: Pool, embedder: str, out: Path) -> bool:
    """Put the cached vectors of most texts of the pool into the place of ``out``.

    Nothing is done where ``out`` has as many. What is lacking still is embedded.
    """
    keys = sample_keys(pool)
    shares = {
        entry.path.name: share_held(entry.path / out.name, embedder, keys)
        for entry in cache.entries("embed")
        if entry.about.get("embedder") == embedder
    }
    best = max(shares, key=shares.__getitem__, default="")
    share = max(_WORTH_FETCHING, share_held(out, embedder, keys))
    return bool(best) and shares[best] > share and cache.fetch("embed", best, out.parent)


def _keep(job: Job, cache: Cache, *entry: Any) -> None:
    if fault := cache.keep(*entry):
        job.listener.said(fault)


def _neighbors(job: Job) -> Made:
    with part(0.0, 0.1):
        groups = find_duplicates(job.pool)
    wanted = {"seed": job.recipe.seed, **job.recipe.neighbors.model_dump()}
    made_by = [__version__, np.__version__, version("faiss-cpu")]
    made_from = vectors_digest(job.folder / "embeddings.npy")
    rests_on = made_from, hashlib.sha256(groups.tobytes()).hexdigest()
    cache, key = open_cache(job.listener), key_of(wanted, made_by, rests_on)
    fetched = cache is not None and cache.fetch("neighbors", key, job.folder)
    if not fetched:
        with part(0.1, 1.0):
            vectors = load_vectors(job.folder)
            if wanted["method"] == "cells":
                save(job.folder, find_by_cells(job, vectors, groups, key))
            else:
                save(job.folder, find_neighbors(vectors, groups=groups, **wanted))
    neighbors = load(Neighbors, job.folder)
    if cache is not None and not fetched:
        _keep(job, cache, "neighbors", key, [job.folder / FILES[Neighbors]])
    summary = {
        "k": neighbors.k,
        "method": neighbors.method,
        "recall": neighbors.recall,
        "n_duplicates": neighbors.n_duplicates,
        "from_cache": fetched,
    }
    return Made(summary)


def _noise(job: Job) -> Made:
    panel, graph = job.ratings, load(Neighbors, job.folder)
    gold = load_gold(job, job.pool, panel.scale)
    noise = noise_of(job.recipe, panel, graph, gold=gold, vectors=load_vectors(job.folder))
    save(job.folder, noise)
    summary = {
        "error_rate": _number(noise.error_rate),
        "rho": noise.rho,
        "lift": _number(noise.lift.value),
        "lift_low": _number(noise.lift.low),
        "lift_high": _number(noise.lift.high),
        "n_neighbors": noise.n_neighbors,
        "converged": bool(noise.converged),
    }
    return Made(summary, noise.warnings)


def _curate(job: Job) -> Made:
    pool, panel, vectors = job.pool, job.ratings, load_vectors(job.folder)
    noise, graph = load(TransitionEstimate, job.folder), load(Neighbors, job.folder)
    gold = load_gold(job, pool, panel.scale)
    curation = curation_of(job.recipe, pool, panel, graph, noise, gold=gold, vectors=vectors)
    fresh = [one for one in curation.warnings if one not in noise.warnings]  # each is said once
    curation = replace(curation, warnings=tuple(fresh))
    save(job.folder, curation, {"id": pool.table["id"], "row": np.arange(len(pool))})
    summary = {
        "method": curation.method,
        "gate": curation.gate,
        "n_misrated": None if curation.misrated is None else int(curation.misrated.sum()),
        "n_changed": curation.n_changed,
        "n_scored": 0 if curation.scored is None else int(curation.scored.sum()),
        "gold_needed": 0 if gold is not None else curation.gold_needed,
    }
    bias = measure_bias(observed_of(curation), curation.scores, {LENGTH: pool.lengths})
    leans = in_words(of_scores(bias), control=job.recipe.curate.control, gold=gold is not None)
    return Made(summary, (*curation.warnings, *leans))


#: Where fewer rows than this share are rated, neighbours are looked for among these alone.
_SPARSE = 0.5


def noise_of(
    recipe: Recipe,
    panel: Ratings,
    neighbors: Neighbors,
    *,
    gold: GoldScores | None,
    vectors: np.ndarray,
    **other: object,
) -> TransitionEstimate:
    """Estimate T from ratings as the recipe says, in a run as in a comparison.

    Where few rows are rated hardly any has a rated neighbour in the graph of the pool: then the
    graph is that of the rated rows. ``other`` settings win over the recipe's.
    """
    scores, repeats, trusted = panel.scores(), panel.repeat_scores(), _trusted(gold)
    rows = np.flatnonzero(~np.isnan(scores).reshape(len(scores), -1).all(axis=1))
    if 2 < len(rows) < _SPARSE * len(scores):
        groups = None if neighbors.groups is None else neighbors.groups[rows]
        k = min(neighbors.k, len(rows) - 1)
        neighbors = find_neighbors(vectors[rows], k=k, groups=groups, seed=recipe.seed)
        scores, repeats = scores[rows], None if repeats is None else repeats[rows]
        trusted = {name: values[rows] for name, values in trusted.items()}
    return unheard(
        estimate_transition,
        scores,
        neighbors,
        n_scores=panel.n_scores,
        repeats=repeats,
        names=_called(panel),
        seed=recipe.seed,
        **trusted,
        **(recipe.noise.model_dump() | other),
    )


def curation_of(
    recipe: Recipe,
    pool: Pool,
    panel: Ratings,
    neighbors: Neighbors,
    noise: TransitionEstimate,
    *,
    gold: GoldScores | None,
    vectors: np.ndarray,
    **other: object,
) -> Curation:
    """Curate ratings as the recipe says, in a run as in a comparison; as `noise_of`.

    What a scorer learns from is looked at only where there could be one: where rows without a
    rating are to be scored, or another rater or gold can tell whether it helps.
    """
    asked = recipe.curate.model_dump(exclude={"control", "calibrate", "doubtful"}) | other
    judged = len(panel.raters) > 1 or gold is not None
    unrated = np.isnan(panel.scores()).reshape(len(pool), -1).all(axis=1)
    needed = judged or to_be_scored(unrated, recipe.curate.unrated)
    if asked["method"] == "scorer" or (asked["method"] == "auto" and needed):
        features, memo = _surface(pool)
        inputs = replace(Inputs.of(vectors, features), memo=memo)
        asked |= {"vectors": vectors, "features": inputs}
    return unheard(
        curate,
        panel.scores(),
        neighbors,
        noise,
        expected=panel.finer(),
        spread=panel.spread,
        repeats=panel.repeat_scores(),
        covariates=covariates_of(pool),
        control=covariates_of(pool, recipe.curate.control),
        calibrate=covariates_of(pool, recipe.curate.calibrate),
        names=_called(panel),
        keys=pool.keys,
        seed=recipe.seed,
        **_trusted(gold),
        **asked,
    )


@lru_cache(maxsize=1)
def _surface(pool: Pool) -> tuple[Features, dict[bytes, np.ndarray]]:
    """The surface features of a pool, and what was learned from them: a comparison asks again."""
    return surface_features(pool), {}


def _trusted(gold: GoldScores | None) -> dict[str, Any]:
    return {} if gold is None else {"gold": gold.levels(), "gold_weights": gold.weights()}


def _called(panel: Ratings) -> tuple[str, ...]:
    """What sentences call the raters."""
    return tuple(f"rater '{name}'" for name in panel.raters)


def covariates_of(pool: Pool, names: Sequence[str] = ("length", "source")) -> dict[str, np.ndarray]:
    """What raters may be swayed by, by name; a pool of one source says nothing of it."""
    found = {}
    if "length" in names:
        found["length"] = np.log1p(pool.lengths.astype(np.float64))
    if "source" in names:
        sources, codes = pool.coded_sources()
        if len(sources) > 1:
            found["source"] = np.array([name or "" for name in sources], dtype=object)[codes]
    if "content" in names:
        found["content"] = np.array(content_types(pool))
    return found


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def write_report(job: Job) -> Made:
    """Write report.json, report.md and report.html; the verdict is the summary."""
    pool, neighbors, selection = job.pool, load(Neighbors, job.folder), load(Selection, job.folder)
    vectors = read_report(job.folder / "embeddings.npy")
    losses = {}
    for path in sorted((job.folder / PLACE).glob("*/log.jsonl")):
        with suppress(FileNotFoundError):  # a training that begins anew
            losses[path.parent.name] = loss_curve(path.parent)
    usual = Recipe(pool=PoolSection(path=job.recipe.pool.path)).flat()
    settings = settings_of(STAGES[-1], job.recipe.flat())
    found: dict[str, Any] = {
        "pool": pool,
        "neighbors": neighbors,
        "tail": long_tail_scores(neighbors),
        "selection": selection,
        # of the vectors, and not of the tries that made them: a resumed run reports the same
        "embedding": replace(
            vectors, n_embedded=vectors.n_unique, n_reused=0, elapsed_s=0.0, texts_per_s=0.0
        ),
        "title": job.recipe.report.title,
        "n_examples": job.recipe.report.n_examples,
        "settings": {
            key: value
            for key, value in settings.items()
            if key == "pool.path" or value != usual.get(key)
        },
        "losses": {name: {"steps": at, "loss": loss} for name, (at, loss) in losses.items()},
        "curves": load(Curves, job.folder),
        "run": job.folder.resolve().name,
    }
    rated = job.recipe.rated
    with part(0.0, 0.8):
        page = run_report(Results(**found, **_of_scores(job, pool)) if rated else Chosen(**found))
    write_text(job.folder / "report.json", page_json(page))
    write_text(job.folder / "report.md", page_markdown(page))
    write_text(job.folder / "report.html", with_proof_link(page_html(page), job.folder))
    assert page.state is not None, "every run has one"
    summary = {
        "state": page.state.says,
        "reason": page.state.reason,
        "next": page.state.next,
        "verdict": [f"{one.question} {one.answer}" for one in page.findings],
        "notes": [f"{of}: {says}" for of, says in page.notes],
    }
    return Made(summary)


def _of_scores(job: Job, pool: Pool) -> dict[str, Any]:
    """What only a run with scores has left."""
    panel, noise = job.ratings, load(TransitionEstimate, job.folder)
    stability = read_table(job.folder / "selection.parquet")[0]["stability"]
    column = job.recipe.scores.true_column
    if column is not None:  # that some are missing is no news to the user
        true = unheard(import_ratings, pool, column=column, scale=panel.scale)
    return {
        "ratings": panel,
        "noise": noise,
        "curation": load(Curation, job.folder),
        "stability": None if stability.null_count == len(stability) else stability.to_numpy(),
        "planted": load_planted(job.recipe, job.folder),
        "truth": None if column is None else true.scores(),
        **_trusted(load_gold(job, pool, panel.scale)),
    }


STEPS: Mapping[str, Callable[[Job], Made]] = {
    "pool": _pool,
    "rate": rate_pool,
    "embed": _embed,
    "neighbors": _neighbors,
    "noise": _noise,
    "curate": _curate,
    "select": select_subset,
    "report": write_report,
}
