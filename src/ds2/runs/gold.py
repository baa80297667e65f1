"""Trusted scores in a run: examples chosen for them, sheets written, scores read back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ds2.atomic import writing
from ds2.curation import Curation, plan_gold
from ds2.errors import InputError
from ds2.pool import Pool
from ds2.rating import GoldScores, Panel, Scale, read_gold, write_gold_sheet
from ds2.report import GoldItem, gold_choices, render_gold_page
from ds2.runs.artefacts import load_neighbors
from ds2.runs.job import Job
from ds2.runs.listener import Listener
from ds2.runs.loop import run
from ds2.runs.recipe_file import load_recipe, resolve_path
from ds2.runs.store import locked
from ds2.runs.tables import load_curation, load_plan, save_plan

__all__ = ["GoldAdded", "GoldSheets", "add_gold", "load_gold", "write_gold_sheets"]

SHEETS = ("gold-sheet.jsonl", "gold-sheet.csv", "gold-sheet.html")
PLAN = "gold-plan.parquet"


@dataclass(frozen=True, slots=True)
class GoldSheets:
    """What was written for people to score, from ``low``, the worst, to ``high``, the best."""

    files: tuple[Path, ...]
    n_examples: int
    n_new: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class GoldAdded:
    """What a run has of trusted scores after some were added."""

    path: Path
    n_scored: int
    n_added: int
    warnings: tuple[str, ...]


def load_gold(job: Job, pool: Pool, scale: Scale) -> GoldScores | None:
    """Return the trusted scores of a run, None where it has none."""
    path = resolve_path(job.folder, job.recipe.gold.path)
    if not path.exists():
        return None
    gold = read_gold(pool, path, scale=scale)
    return gold if gold.n_scored else None


def write_gold_sheets(
    folder: Path, *, size: int, overrides: Mapping[str, object] | None = None
) -> GoldSheets:
    """Choose examples that are worth a trusted score, and write them for people to score.

    A later, larger size extends an earlier one: what was asked for stays in the plan. Examples that
    have a trusted score already are left out of the sheets.

    Raises:
        InputError: the size is below 1 or above the number of rated examples.
    """
    run(folder, until="curate", overrides=overrides)
    recipe = load_recipe(folder, overrides)
    with locked(folder):
        pool = Pool.load(folder / "pool.arrow")
        scale = Panel.load(folder / "ratings.parquet").ratings[0].scale
        curation = load_curation(folder / "curation.parquet")
        plan = plan_gold(
            curation.scores,
            size=size,
            disagreement=_disagreement(curation),
            strata=load_plan(folder / PLAN, len(pool)),
            groups=load_neighbors(folder / "neighbors.npz").groups,
            keys=pool.keys,
            seed=recipe.seed,
        )
        save_plan(folder / PLAN, plan.stratum)
        quiet = Listener()
        job = Job(folder, recipe, quiet.progress, quiet.said)
        known = load_gold(job, pool, scale)
        new = np.ones(len(plan.rows), bool) if known is None else np.isnan(known.values[plan.rows])
        if not new.any():
            raise InputError(
                f"All {len(plan.rows):,} examples of the plan have a trusted score. Ask for a "
                "larger --size."
            )
        facts = {
            "strata": plan.strata[new],
            "stratum_rows": plan.sizes[plan.strata[new]],
            "probabilities": plan.probabilities[new],
        }
        rows = plan.rows[new]
        files = [folder / name for name in SHEETS]
        for path in files[:2]:
            write_gold_sheet(pool, rows, path, **facts)
        items = [
            GoldItem(example.id, example.messages, int(stratum), int(size_of))
            for example, stratum, size_of in zip(
                pool.take(rows), facts["strata"], facts["stratum_rows"], strict=True
            )
        ]
        page = render_gold_page(items, choices=gold_choices(scale))
        with writing(files[2]) as temporary:
            temporary.write_text(page, encoding="utf-8")
    return GoldSheets(tuple(files), len(plan.rows), len(rows), scale.low, scale.high)


def add_gold(
    folder: Path, files: Sequence[Path], *, overrides: Mapping[str, object] | None = None
) -> GoldAdded:
    """Read sheets that were filled in, and put their scores to those that the run has.

    Raises:
        InputError: a file cannot be read, or holds no score that can be used.
    """
    run(folder, until="rate", overrides=overrides)
    recipe = load_recipe(folder, overrides)
    path = resolve_path(folder, recipe.gold.path)
    with locked(folder):
        pool = Pool.load(folder / "pool.arrow")
        scale = Panel.load(folder / "ratings.parquet").ratings[0].scale
        before = read_gold(pool, path, scale=scale).n_scored if path.exists() else 0
        gold = read_gold(pool, [*([path] if path.exists() else []), *files], scale=scale)
        if gold.faults and gold.n_scored == before:
            raise InputError(" ".join(gold.faults[:3]))
        gold.save(path, pool)
    return GoldAdded(path, gold.n_scored, gold.n_scored - before, (*gold.faults, *gold.warnings))


def _disagreement(curation: Curation) -> np.ndarray:
    """(n,) How far raters are apart, or curation is from the rater."""
    observed = curation.observed
    if observed.ndim == 1:
        return np.asarray(np.abs(curation.scores - observed))
    high = np.fmax.reduce(observed, axis=1)
    return np.asarray(high - np.fmin.reduce(observed, axis=1))
