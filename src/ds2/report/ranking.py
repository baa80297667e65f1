"""Which method to take: paired differences between methods, on judges that none of them has seen.

Every method is held against the run's own, judge by judge, on the rows that either selects. The
intervals hold for all methods together. It is *better* where every judge's interval lies above 0,
*worse* where every one lies below, and *as good* where every judge shows that it loses no more than
a tenth of what the run's own gains over random rows.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ds2.measures import Interval
from ds2.report.model import Column, Finding, State, Table, Tone, table
from ds2.report.state import COLLECT
from ds2.report.words import interval, share, signed
from ds2.selection import VARIANT

if TYPE_CHECKING:
    from ds2.report.compare_report import Beats, Judge, MethodsCompared

__all__ = ["Rank", "compare_state", "rank_methods", "ranking_table", "take", "which_is_better"]

#: What may be lost at most of the run's own gain over random, and still be as good.
LOSS = 0.1
#: Less redundant by this counts.
LESS = 0.01

Standing = Literal["this run", "better", "as good", "worse", "not told apart", "not judged"]


@dataclass(frozen=True, slots=True)
class Rank:
    """One method against the run's own.

    Attributes:
        name: its name.
        standing: what the judges show together.
        difference: mean over the judges; NaN where none judged it.
        by: judge → how much better it is than the run's own.
        redundancy: share of its rows with another one near.
        redundant_less: whether it is less redundant than the run's own, here and where judged.
    """

    name: str
    standing: Standing
    difference: float
    by: Mapping[str, Interval]
    redundancy: float
    redundant_less: bool


def rank_methods(n: "MethodsCompared") -> tuple[Rank, ...]:
    """Return the methods that judges held against the run's own, best first."""
    redundancy = {part.name: part.redundancy for part in n.found.selections}
    ranks = []
    for name in n.entries:
        asked = _asked(name, n)
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


def _asked(name: str, n: "MethodsCompared") -> list["Judge"]:
    """Gold where it can tell, else the raters, as against random."""
    able = [judge for judge in n.judges if name in judge.pairs]
    gold = [judge for judge in able if judge.kind == "gold" and _sure(judge.pairs[name])]
    return gold or [judge for judge in able if judge.kind == "rater"] or able


def _sure(found: Interval) -> bool:
    return not np.isnan(found.low)


def _standing(name: str, asked: list["Judge"], own: str) -> Standing:
    found = [judge.pairs[name] for judge in asked]
    if not all(map(_sure, found)):
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


def ranking_table(
    n: "MethodsCompared", ranks: tuple[Rank, ...], beats: Mapping[str, "Beats"]
) -> Table:
    """The methods, best first."""
    judges = list(dict.fromkeys(words for one in ranks for words in one.by))
    parts = {part.name: part for part in n.found.selections}
    dial, rows = n.dial, []
    for place, one in enumerate(ranks, start=1):
        part = parts[one.name]
        covers = part.coverage if dial is None else part.coverage / dial.random.coverage
        rows.append(
            (
                f"{place} {one.name}",
                one.standing,
                beats[one.name].answer,
                *(
                    (found.value, found.low, found.high) if found is not None else None
                    for found in map(one.by.get, judges)
                ),
                covers,
                part.redundancy,
            )
        )
    return table(
        "ranking",
        "The methods, best first",
        (
            *map(Column, ("method", "against this run", "beats random")),
            *(Column(f"by {words}", "level") for words in judges),
            Column("coverage" if dial is None else "coverage over random's"),
            Column("redundancy", "share"),
        ),
        rows,
        says=f"How many levels a method's rows are above those of {n.own}, by each judge, with "
        "paired 95 % intervals that hold for all methods together: rows that both select cancel "
        "out. As good: every judge shows that it loses no more than a tenth of what "
        f"{n.own} gains over random rows.",
    )


def which_is_better(n: "MethodsCompared", ranks: tuple[Rank, ...]) -> Finding:
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


def compare_state(
    n: "MethodsCompared", ranks: tuple[Rank, ...], beats: Mapping[str, "Beats"]
) -> State:
    """Return which method to take: the first of the cases that holds."""
    return next(_cases(n, ranks, beats))


def _cases(
    n: "MethodsCompared", ranks: tuple[Rank, ...], beats: Mapping[str, "Beats"]
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
        less = "less" if found.redundant_less else "no more"
        reason = (
            f"It is {good} {n.own} ({_says(found)}) and {less} redundant: "
            f"{share(found.redundancy, 0)} of its rows, against {share(own.redundancy, 0)}."
        )
        yield State(f"take {found.name}", reason, take(found.name), "care")
    if answer == "yes":
        reason = f"No other method is shown to be as good and less redundant{_open(ranks)}. "
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


def _open(ranks: tuple[Rank, ...]) -> str:
    """The first method that is less redundant, where nothing tells which is better."""
    for one in ranks:
        if one.redundant_less and one.standing == "not told apart":
            return (
                f" ({one.name} is less redundant, but no judge can tell which selects better rows)"
            )
    return ""


def _says(one: Rank) -> str:
    parts = [
        f"{signed(found.value, 2)}, {interval(found.low, found.high)} by {words}"
        for words, found in one.by.items()
    ]
    return "; ".join(parts)
