"""`ds2 gold RUN --between A,B`: the examples that tell two selections apart, and how well."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ds2.checks import check_choice
from ds2.curation import Curation, PlanBetween, plan_gold_between
from ds2.errors import InputError
from ds2.noise import TransitionEstimate
from ds2.noise.panel import LEAST_GOLD
from ds2.pool.ids import match_ids
from ds2.runs.ask import (
    OWN,
    GoldSheets,
    PlannedPair,
    Side,
    check_sheets,
    load_judging,
    save_plan,
    write_sheets,
)
from ds2.runs.contest import Contest, open_contest
from ds2.runs.frozen import load, read_table
from ds2.runs.job import Job
from ds2.runs.loop import opened
from ds2.runs.rerate import rater_noise
from ds2.runs.select import rows_of_ids
from ds2.runs.unrated import required
from ds2.selection import METHODS, Selection

__all__ = ["plan_run_between", "side_of"]

#: Sizes whose width is foretold.
SIZES = (50, 100, 200, 400)


def plan_run_between(
    job: Job, pairs: Sequence[tuple[str, str]], *, size: int | None = None
) -> GoldSheets:
    """Choose examples whose trusted scores tell selections apart, and write them for people.

    A larger size extends the plan. What has a score already is left out of the sheets: one that
    taught the curation counts with certainty, one that judges counts in every plan that draws it.

    Args:
        job: the run.
        pairs: A and B of each: a method, "run" (its own selection), a file of ids, or the folder of
            another run. All pairs share one plan.
        size: examples in the plan; None: 200, or as many as there are.

    Raises:
        InputError: a selection that there is not, two that are alike, a size that does not fit; a
            sheet that is there holds scores that the run lacks.
    """
    names = list(dict.fromkeys(pairs))
    methods = {name for pair in names for name in pair if name in METHODS}
    with opened(job, "select"):
        contest = open_contest(job, sorted(methods))
        pool, scale = contest.materials.pool, required(contest.ratings).scale
        check_sheets(job, pool, scale)
        sides = {name: side_of(contest, name) for name in dict.fromkeys(sum(names, ()))}
        chosen = [(sides[a], sides[b]) for a, b in names]
        plan = plan_gold_between(
            required(contest.materials.curated).scores,
            [(a.rows, b.rows) for a, b in chosen],
            size=size,
            gold=None if contest.gold is None else contest.gold.levels(),
            groups=contest.materials.neighbors.groups,
            keys=pool.keys,
            seed=job.recipe.seed,
        )
        judged = load_judging(job.folder, pool, scale)
        new = np.ones(len(plan.rows), dtype=bool)
        if judged is not None:
            new = np.isnan(judged.values[plan.rows])
        if not new.any():
            raise InputError(
                f"All {len(plan.rows):,} examples of the plan have a trusted score: ds2 compare "
                "says what they found. Ask for a larger --size."
            )
        save_plan(job.folder, pool, chosen, plan)
        sheets = write_sheets(job, pool, scale, plan, new)
        return replace(sheets, pairs=tuple(_foretold(contest, plan, chosen)))


def side_of(contest: Contest, name: str) -> Side:
    """Return the rows of a selection by its name.

    Raises:
        InputError: there is none of that name, or the method cannot select.
    """
    if name in METHODS and METHODS[name].at_random:
        rows = np.flatnonzero(contest.eligible())
        return Side(name, rows, f"{name} (the mean of the {len(rows):,} rows it draws from)", False)
    if name in METHODS:
        if lacks := contest.lacking(name, [name]):
            raise InputError(lacks)
        return Side(name, contest.select(name).rows, name)
    pool = contest.materials.pool
    if name == OWN:
        own = load(Selection, contest.job.folder)
        return Side(name, own.rows, f"the run's selection ({own.method})")
    path = Path(name)
    if path.is_dir():
        try:
            table, facts = read_table(path / "selection.parquet")
        except FileNotFoundError:
            raise InputError(f"'{name}' holds no selection.parquet: run ds2 there first.") from None
        rows, _ = match_ids(pool.table["id"], table["id"].to_pylist())
        if (rows < 0).any():
            raise InputError(f"{(rows < 0).sum():,} of the rows selected in '{name}' are not here.")
        draw = ", this draw" if METHODS[facts["method"]].at_random else ""
        return Side(name, rows, f"the selection of {name} ({facts['method']}{draw})")
    if path.is_file():
        return Side(name, rows_of_ids(pool, path), f"the rows of {name}")
    check_choice("--between", name, (*METHODS, OWN))
    raise AssertionError(name)


def _foretold(
    contest: Contest, plan: PlanBetween, chosen: Sequence[tuple[Side, Side]]
) -> list[PlannedPair]:
    """What the plan gives each pair, and what more or fewer scores would."""
    least, most = int(np.minimum(plan.sizes, 2).sum()), int(plan.sizes.sum())
    sizes = sorted({n for n in (*SIZES, len(plan.rows)) if least <= n <= most})
    believed, nothing = _spreads(contest, (plan.contrasts != 0).any(axis=1))
    widths = {n: (plan.expected(n, believed), plan.expected(n, nothing)) for n in sizes}
    return [
        PlannedPair(
            a=a.words,
            b=b.words,
            n_differ=int((plan.contrasts[:, place] != 0).sum()),
            n=plan.bears_on()[place],
            n_known=int((~np.isnan(plan.known) & (plan.contrasts[:, place] != 0)).sum()),
            expected={n: (each[0][place], each[1][place]) for n, each in widths.items()},
        )
        for place, (a, b) in enumerate(chosen)
    ]


def _spreads(contest: Contest, rows: np.ndarray) -> tuple[float, float]:
    """How far a trusted score is from the curated one, as far as is known, and from the mean."""
    folder, gold = contest.job.folder, contest.gold
    noise, curation = load(TransitionEstimate, folder), load(Curation, folder)
    if gold is not None and gold.n_scored >= LEAST_GOLD:
        trusted, weights = gold.levels(), gold.weights()
        known = ~np.isnan(trusted) & ~np.isnan(curation.scores)
        share = np.ones(int(known.sum())) if weights is None else weights[known]

        def spread(values: np.ndarray) -> float:
            return float(np.sqrt(np.cov(values, aweights=share)))

        nothing = spread(trusted[known])
        return min(spread(trusted[known] - curation.scores[known]), nothing), nothing
    levels = np.arange(len(noise.prior))
    nothing = float(np.sqrt(noise.prior @ levels**2 - (noise.prior @ levels) ** 2))
    if curation.se is not None:
        return min(float(np.sqrt(np.nanmean(curation.se[rows] ** 2))), nothing), nothing
    rating = rater_noise(noise)  # of a true score and a rating, both normal
    return rating * nothing / max(float(np.hypot(rating, nothing)), 1e-12), nothing
