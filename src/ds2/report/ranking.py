"""Which method to take: a comparison, which methods beat random, and which is the best of them.

One judge shows a method to be better than random where the lower end of the paired interval lies
above zero, and worse where the upper end lies below. A method beats random where every judge shows
it to be better. Gold goes first: raters are asked only where gold has no interval.

Then every method is held against the run's own, judge by judge, on the rows that either selects.
The intervals hold for all methods together. It is *better* where every judge's interval lies above
0, *worse* where every one lies below, and *as good* where every judge shows that it loses no more
than a tenth of what the run's own gains over random rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ds2.curation import GoldDifference
from ds2.measures import Interval
from ds2.pool import Pool
from ds2.report.layout import Layout
from ds2.report.model import Case, Column, Finding, State, Table, Tone, table
from ds2.report.verdict import COLLECT
from ds2.report.words import decimal, interval, plural, share, signed
from ds2.selection import VARIANT, AgainstRandom, Comparison, FrontierCurve, rule_of

__all__ = [
    "Answer",
    "Beats",
    "Decided",
    "Entry",
    "Judge",
    "Judged",
    "MethodsCompared",
    "Rank",
    "beats_random",
    "compare_state",
    "rank_methods",
    "ranking_table",
    "sure",
    "take",
    "which_is_better",
]

#: What may be lost at most of the run's own gain over random, and still be as good.
LOSS = 0.1
#: Less redundant by this counts.
LESS = 0.01

Answer = Literal["yes", "no", "not shown", "not known", "is random"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one method's selection beside what the comparison measured."""

    rows: np.ndarray  #: in pick order
    n_gold: int  #: how many of its rows have gold
    tokens: int  #: sum of what the tokenizer counts
    seconds_s: float  #: how long selecting took
    #: share of its rows that it also selects under another seed; None where selecting again would
    #: cost too much
    kept_seed: float | None
    #: mean share of its rows that it also selects when one of the raters is left out
    kept_rater: float | None
    n_only: int  #: rows that no other method selected
    only: tuple[Case, ...]  #: a few of them, in pick order
    kept: float = float("nan")  #: share of the attainable gain over random, in curated scores


@dataclass(frozen=True, slots=True)
class Judged:
    """One method against random, by one judge."""

    plain: AgainstRandom  #: against random selections of its size
    #: against those with the same mix of sources; None where the pool names no two sources
    mixed: AgainstRandom | None
    #: against those with the same lengths of completions, which a liking for long answers cannot
    #: explain
    same_length: AgainstRandom


@dataclass(frozen=True, slots=True)
class Judge:
    """What one judge says of every method."""

    name: str  #: "gold", or the rater's name
    kind: Literal["gold", "rater"]  #: what it is
    n_values: int  #: rows of the pool that it scored
    methods: Mapping[str, Judged]  #: by name, random itself left out
    #: by name, how much better than the run's own; the intervals hold together
    pairs: Mapping[str, Interval] = field(default_factory=dict)
    #: by name, of the rows that were judged, which were chosen without its scores
    redundancy: Mapping[str, float] = field(default_factory=dict)
    note: str = ""  #: what had to be done otherwise than the recipe says, without this judge
    left_out: tuple[str, ...] = ()  #: methods that could not select without it

    @property
    def words(self) -> str:
        """Its name, and that it was held out."""
        return f"{self.name}{', held out' if self.kind == 'rater' else ''}"


@dataclass(frozen=True, slots=True)
class Decided:
    """What gold that was drawn between two selections says of them."""

    a: str  #: what A is called
    b: str  #: what B is called
    found: GoldDifference  #: mean of A − mean of B
    #: whether one of them selects other rows now than when the gold was planned
    changed: bool = False


@dataclass(frozen=True, slots=True)
class MethodsCompared:
    """Several methods at one budget."""

    title: str  #: of the page
    pool: Pool  #: the examples; texts are read only for the points of the map
    own: str  #: the method of the recipe
    #: how scores were curated; None in a run without scores, whose page says what methods cover
    curation: str | None
    n_scores: int  #: levels of the scale
    tokenizer: str  #: what counted tokens
    n_draws: int  #: random selections that each method is held against
    #: what the selections hold; means of "raw", "curated" and, where there is any, "gold"
    found: Comparison
    entries: Mapping[str, Entry]  #: what else is known of them, by method
    #: gold, or the raters, each held out; none where there is one rater and no gold
    judges: tuple[Judge, ...]
    left_out: Mapping[str, str]  #: by method, why it took no part
    notes: tuple[str, ...]  #: what else the reader should know
    layout: Layout  #: where examples lie on the map
    #: (n,) rows in a random order: the first of them are on the map beside what is selected
    order: np.ndarray
    between: tuple[Decided, ...] = ()  #: what gold drawn between two selections says
    dial: FrontierCurve | None = None  #: the frontier of the pool, where it was drawn
    gold_needed: int = 100  #: trusted scores that would tell
    run: str = "RUN"  #: the run folder, as commands name it

    @property
    def size(self) -> int:
        """Rows of the largest selection."""
        return max(part.n for part in self.found.selections)

    @property
    def chance(self) -> float:
        """What two random selections of that size share."""
        return self.size / self.found.n


@dataclass(frozen=True, slots=True)
class Beats:
    """Whether a method beats random, and what says so."""

    answer: Answer  #: by all judges that were asked
    says: str  #: their figures in a sentence
    #: the answer against random selections with the same mix of sources
    same_mix: Answer = "not known"
    same_length: Answer = "not known"  #: the answer against random selections with the same lengths


def beats_random(n: MethodsCompared) -> dict[str, Beats]:
    """Return the answer for every method, in their order."""
    return {name: _one(name, n) for name in n.entries}


_SETTLES = (
    "There is one rater and no gold, so nothing independent to judge by: trusted scores (ds2 gold "
    "RUN --between run,random) or a second rater would settle it."
)


def _one(method: str, n: MethodsCompared) -> Beats:
    if rule_of(method).at_random:
        return Beats("is random", "Nothing to hold it against.")
    able = [(one, one.methods[method].plain) for one in n.judges if method in one.methods]
    if not able:
        return Beats("not known", "No judge could be asked." if n.judges else _SETTLES)
    asked = [(judge, judge.methods[method]) for judge in _asked(able)]
    return Beats(
        _answer([judged.plain for _, judged in asked]),
        " ".join(_against(judge, judged) for judge, judged in asked),
        _answer([judged.mixed for _, judged in asked]),
        _answer([judged.same_length for _, judged in asked]),
    )


def _asked(found: Sequence[tuple[Judge, AgainstRandom | Interval]]) -> list[Judge]:
    """Gold where it can tell, else the raters."""
    able = [judge for judge, _ in found]
    gold = [judge for judge, figure in found if judge.kind == "gold" and sure(figure)]
    return gold or [judge for judge in able if judge.kind == "rater"] or able


def sure(found: AgainstRandom | Interval) -> bool:
    """Whether there is an interval."""
    return not np.isnan(found.low)


def _answer(found: Sequence[AgainstRandom | None]) -> Answer:
    if None in found:
        return "not known"
    shown = {one.better for one in found if one is not None}
    return "yes" if shown == {True} else "no" if shown == {False} else "not shown"


def _against(judge: Judge, judged: Judged) -> str:
    plain, where = judged.plain, f"On {judge.words}"
    if not sure(plain):
        return f"{where}: only {plural(plain.n, 'selected row')} with a score, too few to say."
    rows = f"; {plain.n:,} of its rows have gold" if judge.kind == "gold" else ""
    but = [
        f"{decimal(other.difference)} ({interval(other.low, other.high)}) from random with the "
        f"same {what}"
        for what, other in (("mix of sources", judged.mixed), ("lengths", judged.same_length))
        if other is not None and sure(other) and other.better != plain.better
    ]
    return (
        f"{where}: {decimal(abs(plain.difference))} levels "
        f"{'above' if plain.difference >= 0 else 'below'} random "
        f"({interval(plain.low, plain.high)}{rows})"
        f"{', but ' if but else ''}{' and '.join(but)}."
    )


Standing = Literal["this run", "better", "as good", "worse", "not told apart", "not judged"]


@dataclass(frozen=True, slots=True)
class Rank:
    """One method against the run's own."""

    name: str  #: its name
    standing: Standing  #: what the judges show together
    difference: float  #: mean over the judges; NaN where none judged it
    by: Mapping[str, Interval]  #: judge → how much better it is than the run's own
    redundancy: float  #: share of its rows with another one near
    redundant_less: bool  #: whether it is less redundant than the run's own, here and where judged


def rank_methods(n: MethodsCompared) -> tuple[Rank, ...]:
    """Return the methods that judges held against the run's own, best first."""
    redundancy = {part.name: part.redundancy for part in n.found.selections}
    ranks = []
    for name in n.entries:
        asked = _asked([(one, one.pairs[name]) for one in n.judges if name in one.pairs])
        by = {judge.words: judge.pairs[name] for judge in asked}
        if name == n.own and any(judge.pairs for judge in n.judges):
            by = {}
        elif not by:
            continue
        ranks.append(
            Rank(
                name,
                "this run" if name == n.own else _standing(name, asked, n.own),
                float(np.mean([one.value for one in by.values()])) if by else 0.0,
                by,
                redundancy[name],
                all(
                    each[name] < each.get(n.own, np.nan) - LESS
                    for each in (redundancy, *(judge.redundancy for judge in asked))
                ),
            )
        )
    return tuple(sorted(ranks, key=lambda one: -one.difference))


def _standing(name: str, asked: list[Judge], own: str) -> Standing:
    found = [judge.pairs[name] for judge in asked]
    if not all(map(sure, found)):
        return "not judged"
    if all(one.low > 0 for one in found):
        return "better"
    if all(one.high < 0 for one in found):
        return "worse"
    gains = [judge.methods[own].plain.difference for judge in asked]
    enough = all(one.low >= -LOSS * max(gain, 0.0) for one, gain in zip(found, gains, strict=True))
    return "as good" if enough else "not told apart"


def _better(ranks: tuple[Rank, ...]) -> Rank | None:
    """The first that is at least as good and less redundant; else one that is better at no cost."""
    own = next((one for one in ranks if one.standing == "this run"), None)
    if own is None:
        return None
    good = [one for one in ranks if one.standing in ("better", "as good")]
    less = [one for one in good if one.redundant_less]
    same = [
        one for one in good if one.standing == "better" and one.redundancy <= own.redundancy + LESS
    ]
    return next(iter((*less, *same)), None)


def ranking_table(n: MethodsCompared, ranks: tuple[Rank, ...], beats: Mapping[str, Beats]) -> Table:
    """The methods, best first."""
    judges = list(dict.fromkeys(words for one in ranks for words in one.by))
    parts = {part.name: part for part in n.found.selections}
    usual = 1.0 if n.dial is None else n.dial.random.coverage
    return table(
        "ranking",
        "The methods, best first",
        (
            *map(Column, ("method", "against this run", "beats random")),
            *(Column(f"by {words}", "level") for words in judges),
            Column("coverage" if n.dial is None else "coverage over random's"),
            Column("redundancy", "share"),
        ),
        [
            (
                *(f"{place} {one.name}", one.standing, beats[one.name].answer),
                *map(one.by.get, judges),
                *(parts[one.name].coverage / usual, parts[one.name].redundancy),
            )
            for place, one in enumerate(ranks, start=1)
        ],
        says=f"How many levels a method's rows are above those of {n.own}, by each judge, with "
        "paired 95 % intervals that hold for all methods together: rows that both select cancel "
        "out. As good: every judge shows that it loses no more than a tenth of what "
        f"{n.own} gains over random rows.",
    )


def which_is_better(n: MethodsCompared, ranks: tuple[Rank, ...]) -> Finding:
    """Whether another method is better than the run's own."""
    question = "Is another method better?"
    if len(ranks) < 2:
        return Finding(question, "Nothing here can say.", (), "open")
    named = {
        says: [one.name for one in ranks if one.standing == standing]
        for standing, says in (
            ("better", "Better"),
            ("as good", "As good"),
            ("not told apart", "Not told apart"),
            ("worse", "Worse"),
            ("not judged", "Too few rows judged"),
        )
    }
    parts = [f"{says}: {', '.join(names)}." for says, names in named.items() if names]
    one = _better(ranks)
    first = f"{one.name} is. " if one else f"None is shown to be better than {n.own} at no cost. "
    return Finding(question, first + parts[0], tuple(parts[1:]), "care")


def compare_state(n: MethodsCompared, ranks: tuple[Rank, ...], beats: Mapping[str, Beats]) -> State:
    """Return which method to take: the first of the cases that holds."""
    return next(_cases(n, ranks, beats))


def _cases(
    n: MethodsCompared, ranks: tuple[Rank, ...], beats: Mapping[str, Beats]
) -> Iterator[State]:
    if n.own not in beats:
        reason = f"The run's method, {n.own}, is not part of this comparison."
        yield State("no verdict", reason, "ds2 compare RUN", "open")
        return
    answer = beats[n.own].answer
    if answer == "not known":
        reason = "There is one rater and no trusted score: nothing independent to judge by."
        yield State(COLLECT.format(n=n.gold_needed), reason, "ds2 gold RUN", "open")
    found = _better(ranks)
    if found is not None and beats[found.name].answer == "yes":
        own = next(one for one in ranks if one.name == n.own)
        good = "better than" if found.standing == "better" else "at least as good as"
        by = (
            f"{signed(each.value, 2)}, {interval(each.low, each.high)} by {words}"
            for words, each in found.by.items()
        )
        less = "less" if found.redundant_less else "no more"
        reason = (
            f"It is {good} {n.own} ({'; '.join(by)}) and {less} redundant: "
            f"{share(found.redundancy, 0)} of its rows, against {share(own.redundancy, 0)}."
        )
        yield State(f"take {found.name}", reason, take(found.name), "care")
    if answer == "yes":
        open_ = (
            f" ({one.name} is less redundant, but no judge can tell which selects better rows)"
            for one in ranks
            if one.redundant_less and one.standing == "not told apart"
        )
        reason = f"No other method is shown to be as good and less redundant{next(open_, '')}. "
        gold = any(judge.kind == "gold" for judge in n.judges)
        sure: Tone = "clear" if gold and beats[n.own].same_length == "yes" else "care"
        reason += beats[n.own].says
        yield State(f"keep {n.own}", reason, "ds2 export RUN --tool trl", sure)
    others = [one.name for one in ranks if beats[one.name].answer == "yes"]
    others += [name for name, each in beats.items() if each.answer == "yes"]
    if answer in ("no", "is random") and others:
        what = "shown to be worse than random rows" if answer == "no" else "random"
        reason = f"{n.own} is {what}; {others[0]} beats random rows."
        yield State(f"take {others[0]}", reason, take(others[0]), "open")
    reason = f"That {n.own} beats random rows is not shown. {beats[n.own].says}"
    yield State("use it with care", reason, "ds2 gold RUN", "open")


def take(name: str) -> str:
    """The command that takes a method; the variant of the run's own is a setting of curation."""
    if VARIANT in name:
        return f"ds2 run RUN --set curate.doubtful={'drop' if 'dropped' in name else 'replace'}"
    return f"ds2 run RUN --set select.method={name}"
