"""A pool rated in part: what the scorer of the rest is worth, and what more ratings would bring."""

from collections.abc import Iterator

import numpy as np

from ds2.curation import Skill
from ds2.curation.learners import LEARNERS
from ds2.curation.scorer import MORE
from ds2.measures import Interval
from ds2.report import charts
from ds2.report.model import Figure, Part, facts, plain, table, written
from ds2.report.results import Results
from ds2.report.tables import against_pool, goes_with
from ds2.report.words import count, decimal

__all__ = ["scored_parts", "scored_sentence"]


def scored_sentence(found: Results) -> str:
    """What was rated, what was scored, and how far the scores go with ratings; may be empty."""
    scored, skill = found.curation.scored, found.curation.skill
    if scored is None or skill is None:
        return ""
    said = (
        f"{count(skill.n)} rows were rated; a scorer learned from them scored the other "
        f"{count(int(scored.sum()))}. With held-out ratings it agrees by "
        f"{_figure(skill.agreement)} (Spearman)"
    )
    if np.isfinite(skill.given.value):
        said += f", {_figure(skill.given)} among rows of like length and source"
    if np.isfinite(skill.more.value):
        said += f"; {MORE:,} more ratings would add about {decimal(skill.more.value)}"
    return f"{said}."


def scored_parts(found: Results) -> Iterator[Part]:
    """The parts of the report's section on it; none where no row was scored."""
    scored, skill = found.curation.scored, found.curation.skill
    if skill is None:
        return
    if scored is None:
        yield from skill.says()
    else:
        yield scored_sentence(found)
        yield (
            "All rows are ranked by their expected score, given all that is known of them. More is "
            "known of a rated row, so it is more often far up or far down."
        )
        basis = np.where(scored, "scored", "rated").tolist()
        title = "In the pool and in the selection"
        yield against_pool("by basis", title, basis, found.selection.rows, ("rated", "scored"))
    yield _curve(skill)
    title = "What ratings and the scorer's predictions go with"
    yield goes_with("scorer goes with", title, skill.bias, ("ratings", "predictions"))
    weights = {f"{name} (weight)": w for name, w in zip(LEARNERS, skill.weights, strict=True)}
    yield facts("scorer", "The scorer", {"Ratings": skill.n, **weights})


def _curve(skill: Skill) -> Part:
    points = [(float(n), float(one.value)) for n, one in skill.curve]
    ends = [(n, one.low, one.high) for n, one in skill.curve]
    low = min([0.0, *(a for _, a, _ in ends)])
    chart = charts.line_chart(
        "Agreement with held-out ratings by how many were learned from",
        [
            ("line", points),
            ("outline", [(float(n), a) for n, a, _ in ends]),
            ("outline", [(float(n), b) for n, _, b in ends]),
        ],
        "ratings learned from",
        ends=(low, max(b for _, _, b in ends)),
    )
    return table(
        "learning curve",
        "What more ratings bring",
        "ratings learned from, Spearman with held-out ratings: fine",
        list(skill.curve),
        says=f"On the line through these, {MORE:,} more ratings would add {_figure(skill.more)}.",
        figure=Figure(chart, (("line", "agreement"), ("outline", "95 % interval"))),
    )


def _figure(one: Interval) -> str:
    return written(plain(one))
