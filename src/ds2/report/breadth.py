"""What selections cover, where there are no scores to say what they are worth."""

from collections.abc import Mapping

import numpy as np

from ds2.noise.estimate import NEAR_DISTANCE
from ds2.report.charts import Mark, plane_chart
from ds2.report.model import Figure, Finding, State, Table, table
from ds2.report.ranking import MethodsCompared, take
from ds2.report.results import Chosen
from ds2.report.words import decimal, of, plural, share
from ds2.selection import ComparedSelection, Curves, rule_of

__all__ = [
    "against_random_rows",
    "breadth_findings",
    "breadth_state",
    "breadth_verdict",
    "methods_by_breadth",
    "methods_state",
]

#: A smaller difference of coverage or redundancy does not count: it is measured on a sample.
LESS = 0.02
_EXPORT, _COMPARE = "ds2 export RUN --tool trl --control", "ds2 compare RUN"
_UNSEEN = "No score was looked at: nothing says that its rows are better ones."
_NEAR = (
    "Near is what lies within the median distance of a row to its last neighbour. Coverage is the "
    "share of the pool with a selected row near it, redundancy the share of selected rows with "
    "another one near."
)
_WAYS: Mapping[int, tuple[str, str]] = {
    1: ("broader", "more redundant"),
    0: ("as broad", "as redundant"),
    -1: ("narrower", "less redundant"),
}


def breadth_verdict(found: Chosen) -> tuple[Finding, ...]:
    """Return the findings of a report on a run without scores, in reading order."""
    parts = [f"{n:,} {why}" for why, n in found.selection.dropped.items() if n]
    left_out = f"Of the pool: {', '.join(parts)}." if parts else "Nothing: every example could be."
    return (
        _selected(found),
        *(() if found.curves is None else (_broad(*_covered(found, found.curves)),)),
        Finding("What could not be selected?", left_out, (), "plain"),
        _WOULD_SAY,
    )


def breadth_state(found: Chosen) -> State:
    """Return what to do with a run without scores: whatever it covers, it was not judged."""
    says, covered = "use it with care", ""
    following = _COMPARE
    if rule_of(found.selection.method).at_random:
        covered = "It is a random draw. "
    elif found.curves is not None:
        own, usual, *_ = _covered(found, found.curves)
        way = {1: "more of the pool than", 0: "as much of the pool as", -1: "less of the pool than"}
        covered = f"It covers {way[_way(own, usual)]} random rows do ({share(own, 0)} against "
        covered += f"{share(usual, 0)}). "
        following = _EXPORT if own > usual + LESS else _COMPARE
    return State(says, f"{covered}{_UNSEEN}", following, "care")


def _way(mine: float, other: float) -> int:
    """1 where it is clearly more, −1 where it is clearly less."""
    return int(mine > other + LESS) - int(mine < other - LESS)


def _covered(found: Chosen, curves: Curves) -> tuple[float, float, float, float]:
    """Coverage of the selection and of random rows, and then their redundancy."""
    of_size = curves.by_size
    at = int(np.flatnonzero(of_size.sizes == len(found.selection.rows))[0])
    return (
        float(of_size.coverage[at]),
        float(of_size.random_coverage[at]),
        float(of_size.redundancy[at]),
        float(of_size.random_redundancy[at]),
    )


def _selected(found: Chosen) -> Finding:
    rows, total = found.selection.rows, len(found.pool)
    lengths = np.asarray(found.pool.lengths)
    answer = f"{len(rows):,} of {plural(total, 'example')} ({of(len(rows), total)})"
    detail = (
        f"Their answers have {int(np.median(lengths[rows])):,} characters in the median; the "
        f"pool's have {int(np.median(lengths)):,}.",
        "Nobody rated: the stages rate, noise and curate are skipped, and the method looks at no "
        "score.",
    )
    answer = f"{answer}, by method {found.selection.method}."
    return Finding("What was selected?", answer, detail, "plain")


def _broad(own: float, usual: float, redundant: float, usually: float) -> Finding:
    way = _way(own, usual)
    lead = {1: "Yes: it covers", 0: "It is as broad: it covers", -1: "No: it covers"}[way]
    answer = (
        f"{lead} {share(own, 0)} of the pool, random rows {share(usual, 0)}. {share(redundant, 0)} "
        f"of its rows are redundant, of random rows {share(usually, 0)}."
    )
    question = "Is it broader than random rows?"
    return Finding(question, answer, (_NEAR,), "care" if way < 0 else "clear" if way else "plain")


_WOULD_SAY = Finding(
    "What would say whether they are good?",
    "Scores: a model that rates, or a column that holds some.",
    (
        "Add [raters.NAME] or scores.column to recipe.toml, and a select.method that goes by "
        "scores, and give ds2 run again: what is there is kept.",
        "In the end models say it that are trained on these rows and on random ones (ds2 export "
        "RUN --control, ds2 proof RUN --plan).",
    ),
    "plain",
)


def against_random_rows(found: Chosen, curves: Curves) -> Table:
    """The selection beside random rows of the pool."""
    own, usual, redundant, usually = _covered(found, curves)
    rows, lengths = found.selection.rows, np.asarray(found.pool.lengths)
    close = found.neighbors.distances[:, 0] <= NEAR_DISTANCE
    return table(
        "breadth",
        "Against random rows",
        "rows, coverage: share, redundancy: share, with a near-duplicate in the pool: share, "
        "long-tail score (median): fine, characters of an answer (median)",
        [
            (
                *("selected", own, redundant, close[rows].mean()),
                *(np.median(found.tail[rows]), int(np.median(lengths[rows]))),
            ),
            (
                *("random", usual, usually, close.mean()),
                *(np.median(found.tail), int(np.median(lengths))),
            ),
        ],
        says=f"{_NEAR} A near-duplicate has a cosine similarity of {decimal(1 - NEAR_DISTANCE)} or "
        "more; exact ones are not counted, since one of them alone can be selected.",
    )


def _by_coverage(n: MethodsCompared) -> list[ComparedSelection]:
    return sorted(n.found.selections, key=lambda one: (-one.coverage, one.redundancy))


def _own(n: MethodsCompared) -> ComparedSelection | None:
    return next((one for one in n.found.selections if one.name == n.own), None)


def _better(n: MethodsCompared) -> ComparedSelection | None:
    """The broadest of those that are clearly broader than the run's own and no more redundant."""
    own = _own(n)
    if own is None:
        return None
    for one in _by_coverage(n):
        if _way(one.coverage, own.coverage) > 0 >= _way(one.redundancy, own.redundancy):
            return one
    return None


def methods_by_breadth(n: MethodsCompared) -> tuple[Table, ...]:
    """The methods, the broadest first; nothing where the run's own is not among them."""
    own = _own(n)
    if own is None:
        return ()
    marks = [
        Mark(
            "picked" if one is own else "other",
            *(one.coverage, 1 - one.redundancy, one.name),
            f"{one.name} {_says(one)}",
        )
        for one in sorted(n.found.selections, key=lambda one: one is not own)
    ]
    axes = ("coverage", "share of its rows that are not redundant")
    chart = plane_chart("Breadth of each method", (), marks, axes, shares=True)
    rows = []
    for place, one in enumerate(_by_coverage(n), start=1):
        ways = _way(one.coverage, own.coverage), _way(one.redundancy, own.redundancy)
        broad, redundant = _WAYS[ways[0]][0], _WAYS[ways[1]][1]
        against = "this run" if one.name == n.own else f"{broad}, {redundant}"
        length = None if np.isnan(one.length) else round(one.length)
        rows.append((f"{place} {one.name}", against, one.coverage, one.redundancy, length))
    return (
        table(
            "ranking",
            "The methods, the broadest first",
            "method, against this run, coverage: share, redundancy: share, characters of a "
            "completion",
            rows,
            says=f"{_NEAR} Differences below {share(LESS, 0)} do not count. Up and to the right "
            "is broader and repeats itself less.",
            figure=Figure(chart, (("picked", f"this run ({n.own})"), ("other", "other methods"))),
        ),
    )


def breadth_findings(n: MethodsCompared) -> tuple[Finding, ...]:
    """Return the findings of a comparison without scores, in reading order."""
    one, own, by_coverage = _better(n), _own(n), _by_coverage(n)
    question = "Is another method broader?"
    if own is None:
        first = Finding(
            question, f"Its method, {n.own}, is not part of this comparison.", (), "open"
        )
    elif one is None:
        answer = f"None is clearly broader than {n.own} at no more redundancy."
        first = Finding(question, answer, (_NEAR,), "plain")
    else:
        answer = f"{one.name} is: {_says(one)}; {n.own} {_says(own)}."
        first = Finding(question, answer, (_NEAR,), "care")
    broadest, least = by_coverage[0], min(by_coverage, key=lambda each: each.redundancy)
    answer = f"The broadest is {broadest.name} ({_says(broadest)}), the least redundant "
    answer += f"{least.name} ({_says(least)})."
    return (
        first,
        Finding("Which is the broadest?", answer, (), "plain"),
        Finding("Which selects better rows?", f"Nothing here can say. {_RATE}", (), "open"),
    )


_RATE = "Nobody rated: add scores or a rater to recipe.toml, or train on the selections."


def methods_state(n: MethodsCompared) -> State:
    """Return which method to take where only breadth is known."""
    one, own = _better(n), _own(n)
    if own is None:
        reason = f"The run's method, {n.own}, is not part of this comparison."
        return State("no verdict", reason, _COMPARE, "open")
    if one is not None:
        reason = f"It {_says(one)}; {n.own} {_says(own)}. {_UNSEEN}"
        return State(f"take {one.name}", reason, take(one.name), "care")
    reason = f"No other method is clearly broader without more redundancy: it {_says(own)}."
    return State(f"keep {n.own}", f"{reason} {_UNSEEN}", _EXPORT, "care")


def _says(one: ComparedSelection) -> str:
    return f"covers {share(one.coverage, 0)} of the pool, with {share(one.redundancy, 0)} redundant"
