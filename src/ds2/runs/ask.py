"""Where the next judgement helps: trusted scores asked for and read back, a plan of ratings."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ds2.atomic import writing
from ds2.curation import Curation, normal_posterior, plan_gold, plan_rerating
from ds2.errors import InputError
from ds2.keys import random_order_keys
from ds2.neighbors import Neighbors
from ds2.noise import Agreement, TransitionEstimate, agreement
from ds2.pool import Pool
from ds2.rating import GoldScores, Panel, Rubric, Scale, read_gold, write_gold_sheet
from ds2.report import GoldItem, gold_choices, render_gold_page
from ds2.runs.folder import write_text
from ds2.runs.frozen import load, read_table, write_table
from ds2.runs.gold_plans import JUDGES, asked_rows
from ds2.runs.job import Job, Listener
from ds2.runs.loop import opened
from ds2.runs.rate import rubric_of, sample_order
from ds2.runs.recipe_file import resolve_path
from ds2.selection import check_size

__all__ = [
    "GoldAdded",
    "GoldSheets",
    "PlannedPair",
    "Rerated",
    "add_gold",
    "load_gold",
    "plan_run_rerating",
    "rater_noise",
    "write_gold_sheets",
    "write_sheets",
]

SHEETS = ("gold-sheet.jsonl", "gold-sheet.csv", "gold-sheet.html")
PLAN = "gold-plan.parquet"
#: What a rater of the recipe names as ``only``.
RERATE = "rerate.jsonl"
#: Of first ratings so many are drawn at random.
RANDOM_SHARE = 0.2
#: The standard error of a scored row's true score is at least this share of its rating's.
LEAST_DOUBT = 0.3
#: A plan that nobody gave a size has at least so many examples.
LEAST_PROPOSED = 50


@dataclass(frozen=True, slots=True)
class PlannedPair:
    """What a plan gives to one pair of selections.

    Attributes:
        a: what A is called.
        b: what B is called.
        n_differ: examples on which mean of A − mean of B rests.
        n: how many of the plan are among them.
        n_known: how many of them had a score already, which counts with certainty.
        expected: by number of scores, the half-width of the 95 % interval to expect, in levels, as
            far as curated scores are believed, and if they said nothing.
    """

    a: str
    b: str
    n_differ: int
    n: int
    n_known: int
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


@dataclass(frozen=True, slots=True)
class Rerated:
    """What was planned.

    Attributes:
        path: the file.
        n: examples to rate, once more or for the first time.
        n_first: those of them that nobody has rated: their scores are a scorer's.
        n_random: those of these that were drawn at random, so that the rated part stays one that
            speaks for the pool.
        size: M, the size of the selection that it is for.
        precision: expected share of the true top M among what is selected now.
        precision_after: the same once the ratings are in.
        noise_se: standard deviation that one more rating is taken to have.
        gained: how many more of the true top are then selected, and the ends of its 95 % interval.
        gained_by_all: how many where every example is rated once more.
        worth: whether the ratings gain more than chance may take away.
    """

    path: Path
    n: int
    n_first: int
    n_random: int
    size: int
    precision: float
    precision_after: float
    noise_se: float
    gained: tuple[float, float, float]
    gained_by_all: float
    worth: bool


def load_gold(job: Job, pool: Pool, scale: Scale) -> GoldScores | None:
    """Return the trusted scores of a run that may teach, None where it has none."""
    path = resolve_path(job.folder, job.recipe.gold.path)
    if not path.exists():
        return None
    gold = read_gold(pool, path, scale=scale)
    gold = replace(gold, values=np.where(asked_rows(job.folder, pool), np.nan, gold.values))
    return gold if gold.n_scored else None


def write_gold_sheets(
    folder: Path,
    *,
    size: int | None = None,
    again: int = 0,
    overrides: Mapping[str, object] | None = None,
    listener: Listener | None = None,
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
        listener: is told what happens.

    Raises:
        InputError: the size is below 1 or above the number of rated examples; fewer have a score
            than are to be scored again.
    """
    with opened(folder, until="curate", overrides=overrides, listener=listener) as job:
        pool = Pool.load(folder / "pool.arrow")
        scale = Panel.load(folder / "ratings.parquet").scale
        known = load_gold(job, pool, scale)
        asked = _again(job, pool, known, again) if again else _planned(job, pool, known, size)
        total = asked.pop("total")
        files = write_sheets(job, pool, scale, **asked)
    return GoldSheets(files, total, len(asked["rows"]), scale.low, scale.high)


def write_sheets(
    job: Job, pool: Pool, scale: Scale, *, rows: np.ndarray, **facts: np.ndarray
) -> tuple[Path, ...]:
    """Write the same examples as JSONL, as CSV and as a page; ``facts`` as `write_gold_sheet`'s."""
    files = tuple(job.folder / name for name in SHEETS)
    for path in files[:2]:
        write_gold_sheet(pool, rows, path, **facts)
    items = [
        GoldItem(example.id, example.messages, int(stratum), int(size_of))
        for example, stratum, size_of in zip(
            pool.take(rows), facts["strata"], facts["stratum_rows"], strict=True
        )
    ]
    page = render_gold_page(items, choices=gold_choices(scale), guide=_guide(rubric_of(job)))
    write_text(files[2], page)
    return files


def _guide(rubric: Rubric) -> list[tuple[str, str]]:
    """What the raters are told, for a person: the scored criterion first."""
    named = {one.name: one.description for one in rubric.criteria}
    scored = named.pop(rubric.scored)
    told = [("", rubric.instructions), (rubric.scored, scored), *named.items()]
    return [
        (head, "\n\n".join(" ".join(part.split()) for part in text.split("\n\n")))
        for head, text in told
    ]


def _planned(job: Job, pool: Pool, known: GoldScores | None, size: int | None) -> dict[str, Any]:
    """What of a plan has no trusted score yet; the plan is kept, so that a later one extends it."""
    curation = load(Curation, job.folder)
    n_rated = int((~np.isnan(curation.scores)).sum())
    wanted = min(max(curation.gold_needed, LEAST_PROPOSED), n_rated)
    if size is None and known is not None and known.n_scored >= wanted:
        raise InputError(
            f"The run has {known.n_scored:,} trusted scores, and about {wanted:,} would do on "
            "this pool. Give --size N, more than that, for further ones."
        )
    plan = plan_gold(
        curation.scores,
        size=wanted if size is None else size,
        disagreement=_disagreement(curation),
        strata=_strata(job.folder / PLAN, len(pool)),
        groups=load(Neighbors, job.folder).groups,
        keys=pool.keys,
        seed=job.recipe.seed,
    )
    write_table(job.folder / PLAN, {"row": np.arange(len(pool)), "stratum": plan.stratum})
    new = ~asked_rows(job.folder, pool)[plan.rows]
    if known is not None:
        new &= np.isnan(known.values[plan.rows])
    if not new.any():
        raise InputError(
            f"All {len(plan.rows):,} examples of the plan have a trusted score. Ask for a "
            "larger --size."
        )
    return {
        "rows": plan.rows[new],
        "strata": plan.strata[new],
        "stratum_rows": plan.sizes[plan.strata[new]],
        "probabilities": plan.probabilities[new],
        "total": len(plan.rows),
    }


def _again(job: Job, pool: Pool, known: GoldScores | None, count: int) -> dict[str, Any]:
    """Some examples that have a trusted score, drawn by lot."""
    if known is None:
        raise InputError("No example has a trusted score yet, so none can be scored again.")
    rows = np.flatnonzero(~np.isnan(known.values))
    if len(rows) < count:
        raise InputError(
            f"{len(rows):,} examples have a trusted score, so {count:,} cannot be scored again. "
            "Ask for fewer."
        )
    order = random_order_keys(pool.keys[rows], job.recipe.seed, 103)
    rows = rows[np.argsort(order, kind="stable")[:count]]
    return {
        "rows": rows,
        "strata": known.stratum[rows],
        "stratum_rows": known.stratum_rows[rows],
        "probabilities": np.ones(count),
        "total": count,
    }


def add_gold(
    folder: Path, files: Sequence[Path], *, overrides: Mapping[str, object] | None = None
) -> GoldAdded:
    """Read sheets that were filled in, and put their scores to those that the run has.

    The scores of examples that were asked for to judge selections are kept apart: they never teach.

    Raises:
        InputError: a file cannot be read, or holds no score that can be used.
    """
    with opened(folder, until="rate", overrides=overrides) as job:
        path = resolve_path(folder, job.recipe.gold.path)
        pool = Pool.load(folder / "pool.arrow")
        scale = Panel.load(folder / "ratings.parquet").scale
        judges = asked_rows(folder, pool)
        given = read_gold(pool, files, scale=scale, strata=False)
        here = [one for one in (folder / JUDGES, path) if one.exists()]
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


def _strata(path: Path, n: int) -> np.ndarray | None:
    """(n,) The stratum of every example in the plan so far; None where there is no such plan."""
    if not path.exists():
        return None
    stratum = read_table(path)[0]["stratum"].to_numpy()
    return np.array(stratum, dtype=np.int64) if len(stratum) == n else None


def _disagreement(curation: Curation) -> np.ndarray:
    """(n,) How far raters are apart, or curation is from the rater."""
    observed = curation.observed
    if observed.ndim == 1:
        return np.asarray(np.abs(curation.scores - observed))
    high = np.fmax.reduce(observed, axis=1)
    return np.asarray(high - np.fmin.reduce(observed, axis=1))


def plan_run_rerating(
    folder: Path,
    *,
    budget: int,
    noise_se: float | None = None,
    overrides: Mapping[str, object] | None = None,
    listener: Listener | None = None,
) -> Rerated:
    """Choose the examples near the cut whose next rating helps the selection most.

    Args:
        folder: the run folder; its stages are brought up to date.
        budget: how many ratings.
        noise_se: standard deviation of one more rating, in levels; by default that of the raters
            of the run, as the transition matrix has it.
        overrides: settings that win over the recipe.
        listener: is told what happens.
    """
    with opened(folder, until="curate", overrides=overrides, listener=listener) as job:
        recipe, pool = job.recipe, Pool.load(folder / "pool.arrow")
        if recipe.select.size == "all":
            raise InputError(
                "'select.size' is \"all\": there is no cut to rate at. Set a number of rows."
            )
        curation = load(Curation, folder)
        noise = load(TransitionEstimate, folder)
        own = rater_noise(noise)
        again = own if noise_se is None else noise_se
        size = check_size(recipe.select.size, len(pool))
        scores, se = _known(curation, own)
        drawn = _drawn(pool, curation, budget, recipe.seed)
        plan = plan_rerating(
            scores, np.where(np.isin(np.arange(len(pool)), drawn), 0.0, se), size=size,
            budget=budget - len(drawn), noise_se=again, keys=pool.keys, seed=recipe.seed,
        )  # fmt: skip
        rows = np.concatenate([plan.rows, drawn])
        gain = np.concatenate([plan.gain, np.full(len(drawn), np.nan)])
        ids = pool.table["id"].take(rows).to_pylist()
        with writing(folder / RERATE) as temporary, temporary.open("w", encoding="utf-8") as file:
            for ident, row, more in zip(ids, rows, gain, strict=True):
                line = {
                    "id": ident,
                    "top_probability": round(float(plan.probability[row]), 6),
                    "gain": None if np.isnan(more) else round(float(more), 9),
                }
                file.write(json.dumps(line) + "\n")
        first = np.zeros(len(pool), bool) if curation.scored is None else curation.scored
    return Rerated(
        path=folder / RERATE,
        n=len(rows),
        n_first=int(first[rows].sum()),
        n_random=len(drawn),
        size=size,
        precision=plan.precision,
        precision_after=plan.precision_after,
        noise_se=again,
        gained=(plan.gained.value, plan.gained.low, plan.gained.high),
        gained_by_all=plan.gained_by_all,
        worth=plan.worth,
    )


def _drawn(pool: Pool, curation: Curation, budget: int, seed: int) -> np.ndarray:
    """Rows that nobody has rated, the next of the random order: a fifth of the budget."""
    if curation.scored is None:
        return np.empty(0, dtype=np.int64)
    order = sample_order(pool, seed)
    return np.asarray(order[curation.scored[order]][: int(RANDOM_SHARE * budget)])


def rater_noise(noise: TransitionEstimate) -> float:
    """Root mean square distance of an observed from the true score, in levels; raters' mean."""
    s = len(noise.prior)
    away = np.subtract.outer(np.arange(s), np.arange(s)) ** 2
    matrices = noise.matrix.reshape(-1, s, s)
    return float(np.sqrt(np.einsum("i,rij,ij->", noise.prior, matrices, away) / len(matrices)))


def _known(curation: Curation, noise_se: float) -> tuple[np.ndarray, np.ndarray]:
    """What is known of the true scores: the method's own standard error, or one from the noise."""
    if curation.se is not None and curation.scored is not None:
        # of a scored row it is that of a rating, whose noise is no doubt about the truth
        truth = np.sqrt(np.maximum(curation.se**2 - noise_se**2, (LEAST_DOUBT * curation.se) ** 2))
        return curation.scores, np.where(curation.scored, truth, curation.se)
    if curation.se is not None:
        return curation.scores, curation.se
    return normal_posterior(curation.scores, noise_se=noise_se)
