"""One function per stage: read earlier artefacts, call one function of ds2, write its result.

Every stage reads its inputs from the run folder, never from the memory of the stage before, so a
run that was stopped and resumed computes exactly what an uninterrupted one does.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ds2.curation import curate
from ds2.embedding import embed_with_report
from ds2.neighbors import find_neighbors
from ds2.noise import estimate_transition
from ds2.pool import Pool, find_duplicates, read_pool
from ds2.rating import Panel
from ds2.runs.artefacts import load_neighbors, load_noise, save_neighbors, save_noise
from ds2.runs.embedder import choose_embedder
from ds2.runs.gold import load_gold
from ds2.runs.job import Job, Made
from ds2.runs.naming import named, unheard, with_names
from ds2.runs.rate_step import rate_pool
from ds2.runs.recipe_file import HUB, resolve_path
from ds2.runs.report_step import write_report
from ds2.runs.select_step import select_subset
from ds2.runs.tables import save_curation

__all__ = ["STEPS", "covariates_of", "if_any", "one_or_more"]


def _pool(job: Job) -> Made:
    wanted = job.recipe.pool
    places = [
        path if path.startswith(HUB) else resolve_path(job.folder, path) for path in wanted.paths
    ]
    pool = read_pool(
        places if len(places) > 1 else places[0],
        format=wanted.format,
        columns=wanted.columns,
        roles=wanted.roles,
        id_field=wanted.id_field,
        source_field=wanted.source_field,
        split=wanted.split,
        no_answer=wanted.no_answer,
        on_bad_row=wanted.on_bad_row,
        max_bad_share=wanted.max_bad_share,
        rejects=job.folder / "rejects.jsonl",
    )
    pool.save(job.folder / "pool.arrow")
    summary = {
        "n_examples": len(pool),
        "n_rejected": len(pool.rejects),
        "format": pool.format,
    }
    return Made(summary, pool.warnings)


def _embed(job: Job) -> Made:
    wanted = job.recipe.embed
    _, report = embed_with_report(
        _load_pool(job),
        choose_embedder(wanted, job.folder),
        out=job.folder / "embeddings.npy",
        batch_size=wanted.batch_size,
        progress=lambda done, total, *_: job.progress(done, total),
    )
    summary = {
        "name": report.embedder,
        "dimension": report.dimension,
        "n_embedded": report.n_embedded,
        "n_reused": report.n_reused,
        "truncated_share": report.truncated_share,
        "unknown_language_share": report.unknown_language_share,
    }
    return Made(summary, report.warnings)


def _neighbors(job: Job) -> Made:
    wanted = job.recipe.neighbors
    neighbors = find_neighbors(
        np.load(job.folder / "embeddings.npy", mmap_mode="r", allow_pickle=False),
        wanted.k,
        groups=find_duplicates(_load_pool(job)),
        method=wanted.method,
        min_recall=wanted.min_recall,
        seed=job.recipe.seed,
    )
    save_neighbors(job.folder / "neighbors.npz", neighbors)
    summary = {
        "k": neighbors.k,
        "method": neighbors.method,
        "recall": neighbors.recall,
        "n_duplicates": neighbors.n_duplicates,
    }
    return Made(summary)


def _noise(job: Job) -> Made:
    wanted = job.recipe.noise
    panel = Panel.load(job.folder / "ratings.parquet")
    gold = load_gold(job, _load_pool(job), panel.ratings[0].scale)
    noise = unheard(
        estimate_transition,
        one_or_more(panel.scores()),
        load_neighbors(job.folder / "neighbors.npz"),
        n_scores=panel.n_scores,
        rho=wanted.rho,
        n_neighbors=wanted.n_neighbors,
        ordinal_prior=wanted.ordinal_prior,
        n_bootstrap=wanted.n_bootstrap,
        gold=None if gold is None else gold.levels(),
        gold_weights=None if gold is None else gold.weights(),
        repeats=if_any(one_or_more(panel.repeats())),
        seed=job.recipe.seed,
    )
    save_noise(job.folder / "noise.json", noise)
    sentences = with_names(noise.warnings, panel.raters)
    summary = {
        "error_rate": _number(noise.error_rate),
        "rho": noise.rho,
        "lift": _number(noise.lift.value),
        "lift_low": _number(noise.lift.low),
        "lift_high": _number(noise.lift.high),
        "n_neighbors": noise.n_neighbors,
        "converged": bool(noise.converged),
    }
    return Made(summary, sentences)


def _curate(job: Job) -> Made:
    wanted = job.recipe.curate
    pool = _load_pool(job)
    panel = Panel.load(job.folder / "ratings.parquet")
    noise = load_noise(job.folder / "noise.json")
    gold = load_gold(job, pool, panel.ratings[0].scale)
    curation = unheard(
        curate,
        one_or_more(panel.scores()),
        load_neighbors(job.folder / "neighbors.npz"),
        noise,
        method=wanted.method,
        expected=one_or_more(panel.finer()),
        spread=if_any(one_or_more(panel.spread())),
        repeats=if_any(one_or_more(panel.repeats())),
        gold=None if gold is None else gold.levels(),
        gold_weights=None if gold is None else gold.weights(),
        objective=wanted.objective,
        covariates=covariates_of(pool),
        control=covariates_of(pool, wanted.control),
        n_draws=wanted.n_draws,
        draw_share=wanted.draw_share,
        min_confidence=wanted.min_confidence,
        gate=wanted.gate,
        min_lift=wanted.min_lift,
        paper_floor=wanted.paper_floor,
        keys=pool.keys,
        seed=job.recipe.seed,
    )
    fresh = [one for one in curation.warnings if one not in noise.warnings]  # each is said once
    curation = named(replace(curation, warnings=tuple(fresh)), panel.raters)
    save_curation(job.folder / "curation.parquet", curation, _ids(pool))
    summary = {
        "method": curation.method,
        "gate": curation.gate,
        "n_misrated": None if curation.misrated is None else int(curation.misrated.sum()),
        "n_changed": curation.n_changed,
    }
    return Made(summary, curation.warnings)


def covariates_of(pool: Pool, names: Sequence[str] = ("length", "source")) -> dict[str, np.ndarray]:
    """What raters may be swayed by, by name; a pool of one source says nothing of it."""
    found = {}
    if "length" in names:
        found["length"] = np.log1p(pool.lengths.astype(np.float64))
    if "source" in names and len(set(pool.sources)) > 1:
        found["source"] = np.array([source or "" for source in pool.sources])
    return found


def _load_pool(job: Job) -> Pool:
    return Pool.load(job.folder / "pool.arrow")


def _ids(pool: Pool) -> Any:
    return pool.table["id"].combine_chunks()


def one_or_more(scores: np.ndarray) -> np.ndarray:
    """(n,) for one rater, (n, r) for several."""
    return scores[:, 0] if scores.shape[1] == 1 else scores


def if_any(values: np.ndarray) -> np.ndarray | None:
    """Return the values, None where all are missing."""
    return None if np.isnan(values).all() else values


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


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
