"""A contest of selection methods: one pool, one budget, and judges that nobody maximised.

A judge is gold, or a rater. What it judges is made without it: noise, curation and selections are
computed anew from the other raters alone, or, part by part, from the rest of the gold. So no method
is ever judged on what it maximised, nor on what its scores were curated with.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ds2.curation import Curation
from ds2.errors import InputError
from ds2.keys import random_order_keys
from ds2.progress import steps
from ds2.rating import GoldScores, Ratings
from ds2.report import Judge, Judged
from ds2.runs.ask import load_gold
from ds2.runs.job import Job, unheard
from ds2.runs.select import (
    Materials,
    constraints_of,
    load_materials,
    token_counts,
    without_doubtful,
)
from ds2.runs.steps import curation_of, noise_of
from ds2.runs.unrated import required
from ds2.selection import (
    VARIANT,
    AgainstRandom,
    Constraints,
    Selection,
    against_random,
    against_selection,
    compare_selections,
    rule_of,
)

__all__ = [
    "Contest",
    "costs_of",
    "judge_all",
    "judges_of",
    "made_without",
    "open_contest",
    "share_of",
]

#: How long methods take, one against the other, by their kind (benchmarks/progress.py).
_COSTS = {"sort": 1.0, "greedy": 10.0, "whole": 15.0}
_FRONTIER = 110.0
#: Gold is held out in so many parts, dealt by key in a stream of their own.
_PARTS, _STREAM = 3, 109
#: Rows of like length are those of one of so many equally large parts of the pool.
_LENGTHS = 20


@dataclass(frozen=True, slots=True)
class Contest:
    """One pool, one budget, and all that a method may look at."""

    job: Job  #: the folder and its recipe
    materials: Materials  #: what selections are made of
    constraints: Constraints | None  #: what each of them must meet, but for doubtful rows
    ratings: Ratings | None  #: what the raters gave; None in a run without scores
    gold: GoldScores | None  #: trusted scores, where there are any
    tokens: np.ndarray  #: (n,) what the tokenizer of the recipe counts
    note: str = ""  #: what had to be done otherwise than the recipe says; may be empty

    @property
    def raters(self) -> tuple[str, ...]:
        """Who rated; nobody in a run without scores."""
        return () if self.ratings is None else self.ratings.raters

    @property
    def n(self) -> int:
        """How many examples there are."""
        return len(self.materials.pool)

    @property
    def variant(self) -> str | None:
        """The run's own method with doubtful rows treated the other way; None if there are none."""
        own = self.job.recipe.select.method
        if rule_of(own).at_random or not self.materials.doubtful.any():
            return None
        other = "replaced" if self.job.recipe.curate.doubtful == "drop" else "dropped"
        return f"{own}{VARIANT}doubtful {other})"

    def drops(self, method: str) -> bool:
        """Whether doubtful rows are left out; never for random, which all are held against."""
        if rule_of(method).at_random:
            return False
        return (self.job.recipe.curate.doubtful == "drop") != (VARIANT in method)

    def looks(self, method: str) -> bool:
        """Whether a selection would be another one if the scores were."""
        return bool(rule_of(method).uses) or self.drops(method)

    def lacking(self, method: str, named: Sequence[str]) -> str | None:
        """Say why a method cannot take part, None where it can; ``named`` are asked for by name."""
        needs = rule_of(method).needs
        wanted = self.job.recipe.select
        if lacks := self.materials.lacking(method):
            return lacks
        if "sources" in needs and len(self.materials.pool.coded_sources()[0]) < 2:
            return "The pool names no two sources, so this is the same as random."
        if "values" in needs and wanted.values and method not in (*named, wanted.method):
            return (
                "The recipe does not say which method select.values belongs to: name the method, "
                f"for example with --methods {method}."
            )
        return None

    def select(self, method: str, *, seed: int | None = None) -> Selection:
        """Select the budget with one method, or with `variant`.

        Raises:
            InputError: the method cannot select so many.
        """
        limits = self.constraints
        if self.drops(method):
            limits = without_doubtful(limits, self.materials)
        method, other = method.split(VARIANT, maxsplit=1)[0], {} if seed is None else {"seed": seed}
        return unheard(self.materials.select, method, constraints=limits, **other)

    def eligible(self) -> np.ndarray:
        """(n,) The rows that can be selected without looking at scores."""
        eligible = np.ones(self.n, dtype=bool)
        for left_out in self.select("random").dropped_rows.values():
            eligible[left_out] = False
        return eligible

    def without(self, rater: int | None, held: np.ndarray | None = None) -> "Contest":
        """The same with noise and curation made anew, without one rater and without gold.

        A method of the recipe that cannot do without what was left out gives way to "auto".

        Args:
            rater: who is left out; None: nobody.
            held: (n,) rows whose gold alone is left out; None: all of it is.
        """
        parts = required(self.ratings).parts
        kept = Ratings.join([one for number, one in enumerate(parts) if number != rater])
        recipe, materials, gold = self.job.recipe, self.materials, None
        if held is not None and self.gold is not None:
            gold = replace(self.gold, values=np.where(held, np.nan, self.gold.values))
        noise = noise_of(
            recipe, kept, materials.neighbors, gold=gold, vectors=materials.vectors, n_bootstrap=0
        )

        def curated(method: str) -> Curation:
            return curation_of(
                recipe, materials.pool, kept, materials.neighbors, noise, gold=gold,
                vectors=materials.vectors, method=method,
            )  # fmt: skip

        method, note = recipe.curate.method, ""
        try:
            curation = curated(method)
        except InputError as error:
            if method == "auto":
                raise
            curation = curated("auto")
            note = (
                f"Without it, curate.method = {method} is not possible "
                f"({str(error).rstrip('.')}), so {curation.method} was taken."
            )
        own = required(materials.curated).method
        if not note and curation.method != own:
            missing = "it" if held is None else "a third of it"
            note = (
                f"Without {missing} curate.method = {method} takes {curation.method}, where the "
                f"run has {own}: what it judges then is selected by that."
            )
        new = replace(materials, curated=curation, prior=noise.prior)
        return replace(self, materials=new, note=note)


def open_contest(job: Job, methods: Sequence[str]) -> Contest:
    """Read what the stages of a run left behind, and what else the methods need."""
    materials = load_materials(job, methods)
    panel = job.ratings if job.recipe.rated else None
    return Contest(
        job=job,
        materials=materials,
        constraints=constraints_of(job, materials),
        ratings=panel,
        gold=None if panel is None else load_gold(job, materials.pool, panel.scale),
        tokens=token_counts(job, materials.pool),
    )


def costs_of(methods: Iterable[str]) -> list[float]:
    """How long each method takes, one against the other."""
    rules = [(name.split(VARIANT, maxsplit=1)[0], rule_of(name).cost) for name in methods]
    return [_FRONTIER if name == "frontier" else _COSTS[cost] for name, cost in rules]


def judges_of(contest: Contest) -> int:
    """How many judges there can be: gold, or else the raters."""
    raters = len(contest.raters)
    return 1 if contest.gold is not None else raters if raters > 1 else 0


def judge_all(
    contest: Contest,
    chosen: Mapping[str, np.ndarray],
    eligible: np.ndarray,
) -> tuple[tuple[Judge, ...], Mapping[str, float]]:
    """Let gold, and where it is not there or says too little each rater, judge every method.

    ``chosen`` are the rows by method, ``eligible`` (n,) those that a random selection draws from.
    """
    judges = []
    if contest.gold is not None:
        judges.append(_judge(contest, chosen, eligible, None)[0])
    kept: dict[str, list[float]] = {name: [] for name in chosen if contest.looks(name)}
    little = any(np.isnan(each.plain.low) for one in judges for each in one.methods.values())
    if len(contest.raters) > 1 and (not judges or little):
        for rater in steps(range(len(contest.raters))):
            judge, selections = _judge(contest, chosen, eligible, rater)
            judges.append(judge)
            for name in kept.keys() & selections.keys():
                kept[name].append(share_of(chosen[name], selections[name]))
    shares = {name: float(np.mean(each)) for name, each in kept.items() if each}
    return tuple(judges), shares


def share_of(rows: np.ndarray, others: np.ndarray) -> float:
    """The share of some rows that is among others."""
    return len(np.intersect1d(rows, others, assume_unique=True)) / len(rows)


def _judge(
    contest: Contest,
    chosen: Mapping[str, np.ndarray],
    eligible: np.ndarray,
    rater: int | None,
) -> tuple[Judge, Mapping[str, np.ndarray]]:
    """Let gold (None) or a rater judge selections that were made without it, and return both.

    A method that does not look at scores keeps its rows; random is what others are held against.
    """
    name, weights = "gold", None
    if rater is not None:
        name, values = contest.raters[rater], required(contest.ratings).finer()[:, rater]
    else:
        gold = required(contest.gold)
        values, weights = gold.levels(), gold.weights()
    selections, failed, notes = made_without(contest, chosen, rater)
    made_of = contest.materials
    sources = made_of.sources if len(made_of.pool.coded_sources()[0]) > 1 else None
    lengths = made_of.pool.lengths
    ends = np.unique(np.quantile(lengths[eligible], np.linspace(0, 1, _LENGTHS + 1)[1:-1]))
    of_length = np.searchsorted(ends, lengths)

    def against(rows: np.ndarray, mix: np.ndarray | None = None) -> AgainstRandom:
        return against_random(
            values,
            rows,
            weights=weights,
            eligible=eligible,
            sources=mix,
            n_draws=contest.job.recipe.compare.n_draws,
            seed=contest.job.recipe.seed,
        )

    methods = {
        method: Judged(
            against(rows),
            mixed=None if sources is None else against(rows, sources),
            same_length=against(rows, of_length),
        )
        for method, rows in selections.items()
    }
    own = contest.job.recipe.select.method
    pairs = {
        method: against_selection(
            values, rows, selections[own], weights=weights, n_compared=len(selections) - 1
        )
        for method, rows in selections.items()
        if own in selections and method != own
    }
    near = compare_selections(selections, contest.n, **made_of.near)
    judge = Judge(
        name=name,
        kind="gold" if rater is None else "rater",
        n_values=int((~np.isnan(values)).sum()),
        methods=methods,
        pairs=pairs,
        redundancy={part.name: part.redundancy for part in near.selections},
        note=" ".join(notes),
        left_out=failed,
    )
    return judge, selections


def made_without(
    contest: Contest, chosen: Mapping[str, np.ndarray], rater: int | None
) -> tuple[dict[str, np.ndarray], tuple[str, ...], tuple[str, ...]]:
    """Select without a judge.

    A rater is left out whole. Gold is held out part by part: whether a row is selected is decided
    without the gold of its part, and with the rest, so that what is judged is nearly the run's own
    selection. Rows without gold, which judge nothing, are the run's.

    Returns:
        Rows by method, random left out; methods that cannot select; and what was done otherwise
        than the recipe says.
    """
    parts = [np.ones(contest.n, dtype=bool)]
    if rater is None:
        known = ~np.isnan(required(contest.gold).values)
        keys = random_order_keys(contest.materials.pool.keys, contest.job.recipe.seed, _STREAM)
        parts = [known & (keys % np.uint64(_PARTS) == part) for part in range(_PARTS)]
    taking = {name: rows for name, rows in chosen.items() if not rule_of(name).at_random}
    marks = {name: np.isin(np.arange(contest.n), rows) for name, rows in taking.items()}
    looking = [name for name in taking if contest.looks(name)]
    failed, notes = dict[str, None](), dict[str, None]()
    for held in steps([part for part in parts if part.any()]):
        anew = contest.without(rater, held if rater is None else None)
        notes[anew.note] = None
        for name in steps(looking, costs=costs_of(looking)):
            try:
                rows = anew.select(name).rows
            except InputError:
                failed[name] = None
                continue
            marks[name][held] = False
            marks[name][rows[held[rows]]] = True
    made = {name: np.flatnonzero(mark) for name, mark in marks.items() if name not in failed}
    return made, tuple(failed), tuple(filter(None, notes))
