"""Trusted scores: asked for and read back, to teach the curation or to judge selections.

What a plan *between* selections asked for judges and never teaches: its scores have a file of their
own, which no stage reads, and a row that such a plan ever asked for is taken out of what curation
is given.
"""

import hashlib
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ds2.curation import Curation, GoldDifference, GoldPlan, PlanBetween, gold_between, plan_gold
from ds2.errors import InputError
from ds2.keys import random_order_keys
from ds2.neighbors import Neighbors
from ds2.noise import Agreement, agreement
from ds2.pool import Pool
from ds2.pool.rows import Fault, read_file
from ds2.pool.wording import shown_names
from ds2.rating import GoldScores, Scale, read_gold, write_gold_sheet
from ds2.report import GoldItem, gold_choices, render_gold_page
from ds2.runs.folder import write_text
from ds2.runs.frozen import load, matrix_of, observed_of, read_table, write_table
from ds2.runs.job import Job
from ds2.runs.loop import opened
from ds2.runs.rate import rubric_of

__all__ = [
    "OWN",
    "GoldAdded",
    "GoldSheets",
    "PlannedPair",
    "Side",
    "add_gold",
    "check_sheets",
    "found_between",
    "load_gold",
    "load_judging",
    "save_plan",
    "write_gold_sheets",
    "write_sheets",
]

SHEETS = ("gold-sheet.jsonl", "gold-sheet.csv", "gold-sheet.html")
PLAN = "gold-plan.parquet"
#: The folder of the plans between selections, and the scores that came back.
PLANS, JUDGES = "gold-between", "gold-between.jsonl"
#: What the run's own selection is called.
OWN = "run"
#: A plan that nobody gave a size has at least so many examples.
LEAST_PROPOSED = 50


@dataclass(frozen=True, slots=True)
class PlannedPair:
    """What a plan gives to one pair of selections."""

    a: str  #: what A is called
    b: str  #: what B is called
    n_differ: int  #: examples on which mean of A − mean of B rests
    n: int  #: how many of the plan are among them
    n_known: int  #: how many of them had a score already, which counts with certainty
    #: by number of scores, the half-width of the 95 % interval to expect, in levels, as far as
    #: curated scores are believed, and if they said nothing
    expected: Mapping[int, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class GoldSheets:
    """What was written for people to score, from ``low``, the worst, to ``high``, the best."""

    files: tuple[Path, ...]
    n_examples: int
    n_new: int
    low: float
    high: float
    pairs: tuple[PlannedPair, ...] = ()


@dataclass(frozen=True, slots=True)
class GoldAdded:
    """What a run has of trusted scores after some were added.

    ``again`` is how far second scores of the same examples go with the first (Spearman), None where
    fewer than 8 were scored again. ``n_judging`` of the scores judge selections and teach nothing.
    """

    path: Path
    n_scored: int
    n_added: int
    warnings: tuple[str, ...]
    again: Agreement | None = None
    n_judging: int = 0


def load_gold(job: Job, pool: Pool, scale: Scale) -> GoldScores | None:
    """Return the trusted scores of a run that may teach, None where it has none."""
    path = job.path(job.recipe.gold.path)
    if not path.exists():
        return None
    gold = read_gold(pool, path, scale=scale)
    gold = replace(gold, values=np.where(asked_rows(job.folder, pool), np.nan, gold.values))
    return gold if gold.n_scored else None


def write_gold_sheets(job: Job, *, size: int | None = None, again: int = 0) -> GoldSheets:
    """Choose examples that are worth a trusted score, and write them for people to score.

    A later, larger size extends an earlier one: what was asked for stays in the plan. Examples that
    have a trusted score already are left out of the sheets.

    Without a size there are as many as would tell a gain worth having on this pool. ``again`` is
    how many of the examples that have a trusted score are written, and nothing else, to be scored
    once more by somebody who does not see the first.

    Raises:
        InputError: the size is below 1 or above the number of rated examples; fewer have a score
            than are to be scored again; a sheet that is there holds scores that the run lacks.
    """
    with opened(job, "curate"):
        pool = job.pool
        scale = job.ratings.scale
        check_sheets(job, pool, scale)
        known = load_gold(job, pool, scale)
        if not again:
            plan, new = _planned(job, pool, known, size)
            return write_sheets(job, pool, scale, plan, new)
        if known is None:
            raise InputError("No example has a trusted score yet, so none can be scored again.")
        rows = _again(job, pool, known, again)
        return _write(
            job, pool, scale, rows, len(rows),
            strata=known.stratum[rows], stratum_rows=known.stratum_rows[rows],
            probabilities=np.ones(len(rows)),
        )  # fmt: skip


def check_sheets(job: Job, pool: Pool, scale: Scale) -> None:
    """Look at the sheets that are there, which are about to be written over.

    Raises:
        InputError: in one of them somebody has scored what the run does not have yet.
    """
    here = _taken(job)
    known = _scores_in(pool, here, scale).values if here else np.full(len(pool), np.nan)
    for path in (job.folder / name for name in SHEETS[:2]):
        if not path.exists():
            continue
        found = _scores_in(pool, [path], scale)
        new = ~np.isnan(found.values) & (found.values != known)
        if n := int(new.sum()) + len(found.faults):
            run, sheet = (shlex.quote(str(one)) for one in (job.folder, path))
            why = f" {found.faults[0]}" if found.faults else ""
            raise InputError(
                f"'{path}' holds {n:,} scores that the run does not have, and would be written "
                f"over.{why} Take them up with: ds2 gold {run} --add {sheet}, or move the file "
                "away."
            )


def write_sheets(
    job: Job, pool: Pool, scale: Scale, plan: GoldPlan | PlanBetween, new: np.ndarray
) -> GoldSheets:
    """Write those examples of a plan that are ``new`` as JSONL, as CSV and as a page."""
    strata = plan.strata[new]
    return _write(
        job, pool, scale, plan.rows[new], len(plan.rows),
        strata=strata, stratum_rows=plan.sizes[strata], probabilities=plan.probabilities[new],
    )  # fmt: skip


def _write(
    job: Job, pool: Pool, scale: Scale, rows: np.ndarray, n_planned: int, **facts: np.ndarray
) -> GoldSheets:
    files = tuple(job.folder / name for name in SHEETS)
    for path in files[:2]:
        write_gold_sheet(pool, rows, path, **facts)
    each = zip(pool.take(rows), facts["strata"], facts["stratum_rows"], strict=True)
    items = [GoldItem(one.id, one.messages, int(stratum), int(n)) for one, stratum, n in each]
    rubric = rubric_of(job)  # what the raters are told, for a person: the scored criterion first
    named = {one.name: one.description for one in rubric.criteria}
    told = {"": rubric.instructions, rubric.scored: named[rubric.scored], **named}
    guide = [
        (head, "\n\n".join(" ".join(part.split()) for part in text.split("\n\n")))
        for head, text in told.items()
    ]
    write_text(files[2], render_gold_page(items, choices=gold_choices(scale), guide=guide))
    return GoldSheets(files, n_planned, len(rows), scale.low, scale.high)


def _planned(
    job: Job, pool: Pool, known: GoldScores | None, size: int | None
) -> tuple[GoldPlan, np.ndarray]:
    """A plan, and which of its rows have no trusted score; it is kept: a later one extends it."""
    curation, path = load(Curation, job.folder), job.folder / PLAN
    n_rated = int((~np.isnan(curation.scores)).sum())
    wanted = min(max(curation.gold_needed, LEAST_PROPOSED), n_rated)
    if size is None and known is not None and known.n_scored >= wanted:
        raise InputError(
            f"The run has {known.n_scored:,} trusted scores, and about {wanted:,} would do on "
            "this pool. Give --size N, more than that, for further ones."
        )
    apart = np.abs(curation.scores - observed_of(curation))
    if curation.observed.ndim == 2:
        ends = (way.reduce(curation.observed, axis=1) for way in (np.fmax, np.fmin))
        apart = np.subtract(*ends)
    strata = read_table(path)[0]["stratum"].to_numpy() if path.exists() else ()
    plan = plan_gold(
        curation.scores,
        size=wanted if size is None else size,
        disagreement=apart,
        strata=np.array(strata, dtype=np.int64) if len(strata) == len(pool) else None,
        groups=load(Neighbors, job.folder).groups,
        keys=pool.keys,
        seed=job.recipe.seed,
    )
    write_table(path, {"row": np.arange(len(pool)), "stratum": plan.stratum})
    new = ~asked_rows(job.folder, pool)[plan.rows]
    if known is not None:
        new &= np.isnan(known.values[plan.rows])
    if not new.any():
        raise InputError(
            f"All {len(plan.rows):,} examples of the plan have a trusted score. Ask for a "
            "larger --size."
        )
    return plan, new


def _again(job: Job, pool: Pool, known: GoldScores, count: int) -> np.ndarray:
    """Some examples that have a trusted score, drawn by lot."""
    rows = np.flatnonzero(~np.isnan(known.values))
    if len(rows) < count:
        raise InputError(
            f"{len(rows):,} examples have a trusted score, so {count:,} cannot be scored again. "
            "Ask for fewer."
        )
    order = random_order_keys(pool.keys[rows], job.recipe.seed, 103)
    return np.asarray(rows[np.argsort(order, kind="stable")[:count]])


def _scores_in(pool: Pool, files: Sequence[Path], scale: Scale) -> GoldScores:
    """The trusted scores in files, which may hold none: no row is left out by ``rows``."""
    every = np.ones(len(pool), dtype=bool)
    return read_gold(pool, files, scale=scale, rows=every, strata=False)


def _taken(job: Job) -> list[Path]:
    """The files of trusted scores that the run has: those that judge, then those that teach."""
    both = job.folder / JUDGES, job.path(job.recipe.gold.path)
    return [path for path in both if path.exists()]


def _check_own(path: Path, pool: Pool, scale: Scale) -> None:
    """Refuse to write a file of scores anew where something of the user's would not be in it."""
    lines = [line for _, line in read_file(path).rows]
    known = {"id", "score", "note", "stratum", "stratum_rows"}
    more = sorted({name for line in lines if not isinstance(line, Fault) for name in line} - known)
    left = len(lines) - _scores_in(pool, [path], scale).n_scored
    lost = [f"the columns {shown_names(more)}"] if more else []
    lost += [f"{left:,} lines that are not the one score of an example of the pool"] if left else []
    if lost:
        raise InputError(
            f"'{path}' would be written anew, and {' and '.join(lost)} would be lost: nothing was "
            "changed. Name another file as gold.path in the recipe, and give this one with --add, "
            "before the others."
        )


def add_gold(job: Job, files: Sequence[Path]) -> GoldAdded:
    """Read sheets that were filled in, and put their scores to those that the run has.

    The scores of examples that were asked for to judge selections are kept apart: they never teach.

    Raises:
        InputError: a file cannot be read, or holds no score that can be used; the run's own file
            is the user's, and would lose what ds2 does not write.
    """
    with opened(job, "rate"):
        folder, path = job.folder, job.path(job.recipe.gold.path)
        pool, scale = job.pool, job.ratings.scale
        judges = asked_rows(folder, pool)
        given = read_gold(pool, files, scale=scale, strata=False)
        if path.exists():
            _check_own(path, pool, scale)
        here = _taken(job)
        before = read_gold(pool, here, scale=scale, strata=False).values if here else given.values
        taught = read_gold(pool, [*here[-1:], *files], scale=scale, rows=~judges)
        judging = read_gold(pool, [*here, *files], scale=scale, rows=judges, strata=False)
        for gold, file in ((taught, path), (judging, folder / JUDGES)):
            if gold.n_scored:
                gold.save(file, pool)
    twice, n_before = None, 0
    if here:
        found = agreement(given.values, before)
        both = ~np.isnan(given.values) & ~np.isnan(before)
        anew = bool((given.values[both] != before[both]).any())  # else the same sheet
        twice = found if anew and np.isfinite(found.low) else None
        n_before = int((~np.isnan(before)).sum())
    n_scored = taught.n_scored + judging.n_scored
    said = (*taught.faults, *judging.faults, *taught.warnings, *judging.warnings)
    return GoldAdded(
        path=path if taught.n_scored else folder / JUDGES,
        n_scored=n_scored,
        n_added=n_scored - n_before,
        warnings=tuple(dict.fromkeys(said)),
        again=twice,
        n_judging=judging.n_scored,
    )


@dataclass(frozen=True, slots=True)
class Side:
    """One of two selections."""

    name: str  #: as the user gave it
    rows: np.ndarray  #: its rows; of a random selection those that it is drawn from
    words: str  #: what it is called in sentences
    chosen: bool = True  #: whether a method chose them; False for what random draws from


def save_plan(
    folder: Path, pool: Pool, pairs: Sequence[tuple[Side, Side]], plan: PlanBetween
) -> None:
    """Keep a plan between pairs of selections, in the place of an earlier one for these pairs.

    The rows of that one stay asked for.
    """
    names = json.dumps([[a.name, b.name] for a, b in pairs])
    plain = re.sub(r"[^A-Za-z0-9.]+", "-", names).strip("-.")[:60]
    file = f"{plain}-{hashlib.sha256(names.encode()).hexdigest()[:8]}.parquet"
    asked = asked_rows(folder, pool, file)
    asked[plan.rows] = True
    seat = np.full(len(pool), -1)
    seat[plan.rows] = np.arange(len(plan.rows))
    sides = [side for pair in pairs for side in pair]
    members = np.zeros((len(pool), len(sides)), dtype=bool)
    for place, side in enumerate(sides):
        members[side.rows, place] = True
    columns = {
        "id": pool.table["id"],
        "seat": seat,
        "stratum": plan.stratum,
        "prediction": plan.predictions,
        "known": plan.known,
        "asked": pa.array(asked),
        "weight": plan.contrasts,
        "member": members,
    }
    told = [[[side.name, side.words, side.chosen] for side in pair] for pair in pairs]
    (folder / PLANS).mkdir(exist_ok=True)
    write_table(folder / PLANS / file, columns, {"pool": _digest(pool), "pairs": told})


def _plan_of(
    table: pa.Table, facts: Mapping[str, Any]
) -> tuple[list[tuple[Side, Side]], PlanBetween]:
    """What `save_plan` wrote."""
    seat, stratum, known, predictions = (
        np.array(table[name].to_numpy()) for name in ("seat", "stratum", "known", "prediction")
    )
    rows = np.flatnonzero(seat >= 0)[np.argsort(seat[seat >= 0])]
    sizes = np.bincount(stratum[stratum >= 0])
    counts = np.bincount(stratum[rows], minlength=len(sizes))
    plan = PlanBetween(
        rows=rows,
        strata=stratum[rows],
        probabilities=(counts / sizes)[stratum[rows]],
        stratum=stratum,
        sizes=sizes,
        contrasts=matrix_of(table, "weight"),
        predictions=predictions,
        known=known.astype(np.float64),
    )
    told = [side for pair in facts["pairs"] for side in pair]
    sides = [
        Side(name, np.flatnonzero(rows), *more)
        for (name, *more), rows in zip(told, matrix_of(table, "member").T, strict=True)
    ]
    return list(zip(sides[::2], sides[1::2], strict=True)), plan


def _digest(pool: Pool) -> str:
    return hashlib.sha256(pool.keys.tobytes()).hexdigest()


def _stored(
    folder: Path, pool: Pool, name: str = "*.parquet", columns: Sequence[str] | None = None
) -> Iterator[tuple[pa.Table, Mapping[str, Any]]]:
    """The tables and facts of the plans that a run has for this pool."""
    for path in sorted((folder / PLANS).glob(name)):
        table, facts = read_table(path, columns)
        if facts["pool"] == _digest(pool):
            yield table, facts


def asked_rows(folder: Path, pool: Pool, name: str = "*.parquet") -> np.ndarray:
    """(n,) True for every row that was asked for to judge selections, by one plan or by all."""
    asked = np.zeros(len(pool), dtype=bool)
    for table, _ in _stored(folder, pool, name, ["asked"]):
        asked |= table["asked"].to_numpy()
    return asked


def load_judging(folder: Path, pool: Pool, scale: Scale) -> GoldScores | None:
    """The scores that judge selections, None where there are none."""
    path = folder / JUDGES
    return read_gold(pool, path, scale=scale, strata=False) if path.exists() else None


def found_between(
    folder: Path, pool: Pool, scale: Scale
) -> list[tuple[tuple[Side, Side], GoldDifference]]:
    """What the scores that came back say of every pair that was planned."""
    gold = load_judging(folder, pool, scale)
    if gold is None:
        return []
    values = gold.levels()
    return [
        (pair, difference)
        for pairs, plan in (_plan_of(*held) for held in _stored(folder, pool))
        for pair, difference in zip(pairs, gold_between(plan, values), strict=True)
        if difference.n
    ]
