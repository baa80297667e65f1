"""Trusted scores in a run: examples chosen for them, sheets written, scores read back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ds2.atomic import writing
from ds2.curation import Curation, plan_gold
from ds2.errors import InputError
from ds2.keys import random_order_keys
from ds2.noise import Agreement, agreement
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
#: A plan that nobody gave a size has at least so many examples.
LEAST_PROPOSED = 50


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
    """What a run has of trusted scores after some were added.

    ``again`` is how far second scores of the same examples go with the first (Spearman), None where
    fewer than 8 were scored again.
    """

    path: Path
    n_scored: int
    n_added: int
    warnings: tuple[str, ...]
    again: Agreement | None = None


def load_gold(job: Job, pool: Pool, scale: Scale) -> GoldScores | None:
    """Return the trusted scores of a run, None where it has none."""
    path = resolve_path(job.folder, job.recipe.gold.path)
    if not path.exists():
        return None
    gold = read_gold(pool, path, scale=scale)
    return gold if gold.n_scored else None


def write_gold_sheets(
    folder: Path,
    *,
    size: int | None = None,
    again: int = 0,
    overrides: Mapping[str, object] | None = None,
) -> GoldSheets:
    """Choose examples that are worth a trusted score, and write them for people to score.

    A later, larger size extends an earlier one: what was asked for stays in the plan. Examples that
    have a trusted score already are left out of the sheets.

    Args:
        folder: the run.
        size: examples in the plan; None: as many as would tell a gain worth having on this pool.
        again: write so many of the examples that have a trusted score, to be scored once more by
            somebody who does not see the first; nothing else is written.
        overrides: settings.

    Raises:
        InputError: the size is below 1 or above the number of rated examples; fewer have a score
            than are to be scored again.
    """
    run(folder, until="curate", overrides=overrides)
    recipe = load_recipe(folder, overrides)
    with locked(folder):
        pool = Pool.load(folder / "pool.arrow")
        scale = Panel.load(folder / "ratings.parquet").ratings[0].scale
        curation = load_curation(folder / "curation.parquet")
        quiet = Listener()
        job = Job(folder, recipe, quiet.progress, quiet.said)
        known = load_gold(job, pool, scale)
        n_rated = int((~np.isnan(curation.scores)).sum())
        wanted = min(max(curation.gold_needed, LEAST_PROPOSED), n_rated)
        if size is None and not again and known is not None and known.n_scored >= wanted:
            raise InputError(
                f"The run has {known.n_scored:,} trusted scores, and about {wanted:,} would do on "
                "this pool. Give --size N, more than that, for further ones."
            )
        plan = plan_gold(
            curation.scores,
            size=wanted if size is None else size,
            disagreement=_disagreement(curation),
            strata=load_plan(folder / PLAN, len(pool)),
            groups=load_neighbors(folder / "neighbors.npz").groups,
            keys=pool.keys,
            seed=recipe.seed,
        )
        if not again:
            save_plan(folder / PLAN, plan.stratum)
        new = np.ones(len(plan.rows), bool) if known is None else np.isnan(known.values[plan.rows])
        if again and known is None:
            raise InputError("No example has a trusted score yet, so none can be scored again.")
        if not new.any() and not again:
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
        if again and known is not None:
            rows = _scored(known, again, pool.keys, recipe.seed)
            facts = {
                "strata": known.stratum[rows],
                "stratum_rows": known.stratum_rows[rows],
                "probabilities": np.ones(len(rows)),
            }
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
    total = len(rows) if again else len(plan.rows)
    return GoldSheets(tuple(files), total, len(rows), scale.low, scale.high)


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
        first = read_gold(pool, path, scale=scale) if path.exists() else None
        before = 0 if first is None else first.n_scored
        gold = read_gold(pool, [*([path] if path.exists() else []), *files], scale=scale)
        second = None if first is None else read_gold(pool, files, scale=scale)
        if gold.faults and gold.n_scored == before and (second is None or not second.n_scored):
            raise InputError(" ".join(gold.faults[:3]))
        gold.save(path, pool)
    twice = None
    if first is not None and second is not None:
        found = agreement(second.values, first.values)
        both = ~np.isnan(first.values) & ~np.isnan(second.values)
        anew = bool((first.values[both] != second.values[both]).any())  # else the same sheet
        twice = found if anew and np.isfinite(found.low) else None
    warnings = (*gold.faults, *gold.warnings)
    return GoldAdded(path, gold.n_scored, gold.n_scored - before, warnings, twice)


def _scored(gold: GoldScores, count: int, keys: np.ndarray, seed: int) -> np.ndarray:
    """(count,) rows that have a trusted score, drawn by lot."""
    rows = np.flatnonzero(~np.isnan(gold.values))
    if len(rows) < count:
        raise InputError(
            f"{len(rows):,} examples have a trusted score, so {count:,} cannot be scored again. "
            "Ask for fewer."
        )
    return rows[np.argsort(random_order_keys(keys[rows], seed, 103), kind="stable")[:count]]


def _disagreement(curation: Curation) -> np.ndarray:
    """(n,) How far raters are apart, or curation is from the rater."""
    observed = curation.observed
    if observed.ndim == 1:
        return np.asarray(np.abs(curation.scores - observed))
    high = np.fmax.reduce(observed, axis=1)
    return np.asarray(high - np.fmin.reduce(observed, axis=1))
