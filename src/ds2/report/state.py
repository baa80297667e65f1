"""What to do with a run: use it, use it with care, or collect trusted scores first; and why.

Trusted scores are the only judge that shares no bias with the raters. So: with trusted scores that
bear the scores out, use it; with raters who bear each other out, use it with care; with neither,
collect trusted scores first.
"""

from collections.abc import Iterator
from math import isfinite

from ds2.curation import Evidence
from ds2.report.model import Finding, State
from ds2.report.plane import NARROW, broader, relative
from ds2.report.results import Results
from ds2.report.words import count, decimal, interval, share

__all__ = ["COLLECT", "LEAST_GOLD", "better_method", "run_state", "would_change"]

COLLECT = "collect {n:,} trusted scores first"
#: Fewer trusted scores than this say little on any pool.
LEAST_GOLD = 50
_RESCALE = "ds2 run RUN --set scores.scale=SCALE"


def run_state(found: Results) -> State:
    """Return what to do with a run: the first of the cases that holds."""
    return next(_cases(found))


def _cases(found: Results) -> Iterator[State]:
    curation, n_gold = found.curation, int(found.noise.n_gold)
    parts = found.ratings.parts
    judged = [row for row in curation.evidence if row.chosen and isfinite(row.low)]
    gold = [row for row in judged if row.measure.startswith("gold")]
    held_out = [row for row in judged if "held out" in row.measure]
    collect = COLLECT.format(n=max(curation.gold_needed, LEAST_GOLD))
    outside = sum(one.problems.get("out of range", 0) for one in parts if not one.usage)
    if outside:
        reason = f"{count(outside)} ratings lie outside the declared scale and count as missing."
        yield State("use it with care", reason, _RESCALE, "care")
    if curation.contradiction:
        yield State(collect, curation.contradiction, "ds2 gold RUN", "open")
    for row in gold[:1]:
        yield _by_gold(found, row, collect)
    if n_gold:
        reason = f"The {count(n_gold)} trusted scores did not judge the scores that it went by."
        yield State("use it with care", reason, "ds2 compare RUN", "care")
    if held_out and min(row.low for row in held_out) > 0:
        reason = (
            f"Raters who were held out agree with the scores ({_says(held_out[0])}), and nobody "
            "else has judged them: a bias that all raters share would look the same."
        )
        yield State("use it with care", reason, "ds2 compare RUN", "care")
    reason = (
        "The raters do not bear each other out, and no trusted score says who is right."
        if len(parts) > 1
        else "One rater alone: nothing says whether its scores, or a correction of them, go with "
        "quality."
    )
    yield State(collect, reason, "ds2 gold RUN", "open")


def _by_gold(found: Results, row: Evidence, collect: str) -> State:
    """What trusted scores say of the scores that it went by."""
    n_gold, more = count(int(found.noise.n_gold)), row.difference
    if row.low <= 0:
        reason = f"The {n_gold} trusted scores do not show that the scores mean anything"
        return State(collect, f"{reason} ({_says(row)}).", "ds2 gold RUN", "open")
    agree = f"{n_gold} trusted scores agree with the scores that it went by ({_says(row)})"
    but = ""
    if found.curation.warnings:
        but = ", but a warning says what they do not bear out"
    elif found.curation.method != "raw" and isfinite(more.low) and more.low <= 0:
        but = ", but do not show that correcting them helped"
    else:
        but = _narrow(found)
    if but:
        return State("use it with care", f"{agree}{but}.", "ds2 compare RUN", "care")
    return State("use it", f"{agree}.", "ds2 export RUN --tool trl", "clear")


def _narrow(found: Results) -> str:
    """What speaks against a selection that covers much less than random rows; else nothing."""
    dial = None if found.curves is None else found.curves.by_dial
    own = None if dial is None else dial.methods.get(found.selection.method)
    if dial is None or own is None or relative(own, dial) >= NARROW:
        return ""
    return (
        f", but it is narrow: it covers {decimal(relative(own, dial))} of what random rows do, and "
        f"{share(own.redundancy, 0)} of its rows are redundant"
    )


def _says(row: Evidence) -> str:
    measure = row.measure.removeprefix("gold: ")
    return f"{measure} {decimal(row.value)}, {interval(row.low, row.high)}"


def better_method(found: Results) -> Finding:
    """Whether the frontier of this pool lies beyond the run's own point."""
    question, method = "Is there a better method?", found.selection.method
    judge = (
        "These are the run's own scores. ds2 compare RUN holds the methods against each other, on "
        "scores that none of them has seen."
    )
    dial = None if found.curves is None else found.curves.by_dial
    if dial is None or method not in dial.methods:
        return Finding(question, "Not known: the frontier was not drawn.", (judge,), "open")
    own = dial.methods[method]
    more = broader(own, dial)
    if more is None:
        answer = (
            f"None that is broader: it covers {decimal(relative(own, dial))} of what random rows "
            f"do, and keeps {decimal(own.kept)} of the attainable score."
        )
        return Finding(question, answer, (judge,), "plain")
    keep, point = more
    worse = point.kept < own.kept - 0.005 or point.redundancy > own.redundancy + 0.005
    lead = "Perhaps" if worse else "It seems so"
    answer = (
        f"{lead}: frontier (keep {keep:g}) covers {decimal(relative(point, dial))} of what random "
        f"rows do with {share(point.redundancy, 0)} of its rows redundant, and keeps "
        f"{decimal(point.kept)} of the attainable score; {method}: "
        f"{decimal(relative(own, dial))}, {share(own.redundancy, 0)}, {decimal(own.kept)}."
    )
    try_it = f"To try it: ds2 run RUN --set select.method=frontier --set select.keep={keep:g}."
    return Finding(question, answer, (judge, try_it), "care")


def would_change(found: Results) -> Finding:
    """What further evidence could turn the answer."""
    question, needed = "What would change this?", found.curation.gold_needed
    detail = tuple(part for part in (found.curation.next_evidence,) if part)
    if found.noise.n_gold and not found.curation.contradiction:
        answer = (
            "Training: models trained on this selection and on random rows are the final judge "
            "(ds2 proof RUN --plan)."
        )
    else:
        n = count(max(needed, LEAST_GOLD))
        second = " or a second rater" if len(found.ratings.raters) == 1 else ""
        answer = (
            f"{n} trusted scores{second}: they show what raters and neighbours get wrong alike."
        )
    return Finding(question, answer, detail, "plain")
