"""The last stage: everything that the others left, as one report in three formats."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ds2.atomic import writing
from ds2.embedding import EmbeddingReport, read_report
from ds2.errors import Ds2Warning
from ds2.pool import Pool
from ds2.proof.train import loss_curve
from ds2.rating import Panel, Scale, import_ratings
from ds2.report import Results, page_html, page_json, page_markdown, run_report
from ds2.runs.artefacts import load_neighbors, load_noise
from ds2.runs.gold import load_gold
from ds2.runs.job import Job, Made
from ds2.runs.naming import with_names
from ds2.runs.planted import load_planted
from ds2.runs.proof_page import with_proof_link
from ds2.runs.recipe import PoolSection, Recipe
from ds2.runs.stages import STAGES, settings_of
from ds2.runs.tables import load_curation, load_selection, load_stability
from ds2.selection import long_tail_scores

__all__ = ["write_report"]


def write_report(job: Job) -> Made:
    """Write report.json, report.md and report.html; the verdict is the summary."""
    pool = Pool.load(job.folder / "pool.arrow")
    panel = Panel.load(job.folder / "ratings.parquet")
    gold = load_gold(job, pool, panel.ratings[0].scale)
    noise = load_noise(job.folder / "noise.json")
    neighbors = load_neighbors(job.folder / "neighbors.npz")
    found = Results(
        pool,
        panel,
        neighbors,
        replace(noise, warnings=with_names(noise.warnings, panel.raters)),
        load_curation(job.folder / "curation.parquet"),
        long_tail_scores(neighbors),
        load_selection(job.folder / "selection.parquet"),
        stability=load_stability(job.folder / "selection.parquet"),
        embedding=_about_vectors(job.folder / "embeddings.npy"),
        title=job.recipe.report.title,
        n_examples=job.recipe.report.n_examples,
        planted=load_planted(job.recipe, job.folder),
        truth=_true_scores(pool, job.recipe.scores.true_column, panel.ratings[0].scale),
        settings=_changed_settings(job.recipe),
        gold=None if gold is None else gold.levels(),
        gold_weights=None if gold is None else gold.weights(),
        losses=_losses(job.folder / "proof" / "runs"),
    )
    page = run_report(found)
    _write_text(job.folder / "report.json", page_json(page))
    _write_text(job.folder / "report.md", page_markdown(page))
    _write_text(job.folder / "report.html", with_proof_link(page_html(page), job.folder))
    return Made({"verdict": [f"{one.question} {one.answer}" for one in page.findings]})


def _losses(folder: Path) -> dict[str, dict[str, Sequence[float]]]:
    """The losses of every training that there is, by run."""
    curves = {path.parent.name: loss_curve(path.parent) for path in folder.glob("*/log.jsonl")}
    return {name: {"steps": curves[name][0], "loss": curves[name][1]} for name in sorted(curves)}


def _true_scores(pool: Pool, column: str | None, scale: Scale) -> np.ndarray | None:
    """Return the known true scores; that some are missing is no news to the user."""
    if column is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ds2Warning)
        return import_ratings(pool, column=column, scale=scale).scores()


def _changed_settings(recipe: Recipe) -> dict[str, object]:
    """Return the settings of the stages that are not the default, by dotted key."""
    usual = Recipe(pool=PoolSection(path=recipe.pool.path)).flat()
    return {
        key: value
        for key, value in settings_of(STAGES[-1], recipe.flat()).items()
        if key == "pool.path" or value != usual.get(key)
    }


def _about_vectors(path: Path) -> EmbeddingReport:
    """Describe the vectors, and not the tries that made them: a resumed run reports the same."""
    report = read_report(path)
    return replace(report, n_embedded=report.n_unique, n_reused=0, elapsed_s=0.0, texts_per_s=0.0)


def _write_text(path: Path, text: str) -> None:
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
