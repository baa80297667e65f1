"""The main picture: what a selection keeps of the score against what it covers of the pool."""

from collections.abc import Mapping

import numpy as np

from ds2.report import charts
from ds2.report.model import Figure, Table, table
from ds2.report.words import decimal, share
from ds2.selection import Curves, FrontierCurve, FrontierPoint

__all__ = ["KEPT", "NARROW", "broader", "plane_table", "relative", "size_table"]

#: A selection that covers less than this of what random rows do is narrow.
NARROW = 0.5
KEPT = (
    "Score kept is the share of the attainable gain over random rows, in curated scores: 0 is "
    "random, 1 the highest scores. Coverage is the share of the pool with a selected row near it, "
    "over that of random rows; redundancy the share of selected rows with another one near."
)


def relative(point: FrontierPoint, dial: FrontierCurve) -> float:
    """Coverage over that of random rows."""
    return point.coverage / dial.random.coverage if dial.random.coverage > 0 else float("nan")


def broader(own: FrontierPoint, dial: FrontierCurve) -> tuple[float, FrontierPoint] | None:
    """The dial and point of the frontier that covers clearly more, at no cost in score if it can.

    None where no point does.
    """
    more = [
        pair for pair in _distinct(dial) if relative(pair[1], dial) >= relative(own, dial) + 0.05
    ]
    free = [pair for pair in more if pair[1].kept >= own.kept - 0.005]
    return max(free or more, key=lambda pair: (pair[1].coverage, pair[0]), default=None)


def _distinct(dial: FrontierCurve) -> list[tuple[float, FrontierPoint]]:
    """The points of the frontier, each with the highest dial that gives it."""
    found: dict[FrontierPoint, float] = {}
    for keep, point in dial.curve.items():
        found.setdefault(point, keep)
    return [(keep, point) for point, keep in found.items()]


def plane_table(dial: FrontierCurve, points: Mapping[str, FrontierPoint], own: str) -> Table:
    """The plane: the frontier, random rows, and the points of selections, the run's own marked."""

    def mark(kind: str, name: str, point: FrontierPoint, label: str = "") -> charts.Mark:
        says = (
            f"{name}: score kept {decimal(point.kept)}, coverage over random's "
            f"{decimal(relative(point, dial))}, redundancy {share(point.redundancy)}"
        )
        return charts.Mark(kind, relative(point, dial), point.kept, label or name, says)

    names = sorted(points, key=lambda name: (name != own, -points[name].kept))
    marks = [mark("picked" if name == own else "other", name, points[name]) for name in names]
    curve = [
        mark("", f"frontier, keep {keep:g}", each, f"keep {keep:g}")
        for keep, each in _distinct(dial)
    ]
    chart = charts.plane_chart(
        "Score kept against coverage",
        curve,
        marks,
        ("coverage (random rows = 1)", "score kept (highest scores = 1, random rows = 0)"),
    )
    legend = [("picked", f"this run ({own})" if own in points else "")] * (own in points)
    legend += [("other", "other methods")] * (len(points) > (own in points))
    legend += [("line", "the frontier")]
    rows = [*((f"{name} (this run)" if name == own else name, points[name]) for name in names)]
    rows += [("random rows", dial.random)]
    rows += [(f"frontier, keep {keep:g}", each) for keep, each in _distinct(dial)]
    return table(
        "plane",
        "Score kept against coverage",
        "selection, score kept, coverage over random's, coverage: share, redundancy: share",
        [(name, one.kept, relative(one, dial), one.coverage, one.redundancy) for name, one in rows],
        says=f"{KEPT} Up and to the right is better; random rows have coverage 1 and keep nothing. "
        "The frontier meets what the recipe asks of a selection; random rows need not. Its keep "
        "counts from the most that is kept where no more rows are redundant than of random ones.",
        figure=Figure(chart, tuple(legend)),
    )


_SIZES = "What another size would bring"
_HERE = "The run's method at other sizes; the upright line is this run's."
_PRECISE = (
    "Expected precision: the share of the rows that belong to the best so many of the pool, {}."
)
_BY_ERRORS = "by the scores' own standard errors"
_NO_ERRORS = "which takes standard errors that this curation does not give"


def size_table(curves: Curves, own: int) -> Table:
    """What another size would bring: without scores, beside random rows of that size."""
    found = curves.by_size
    if not np.isfinite(found.score).any():
        return _sized(
            curves,
            own,
            {"covered": ("coverage", found.coverage), "precise": ("of random rows",
             found.random_coverage)},
            {
                "coverage: share": found.coverage,
                "random rows' coverage: share": found.random_coverage,
                "redundancy: share": found.redundancy,
                "random rows' redundancy: share": found.random_redundancy,
            },
            _HERE,
        )  # fmt: skip
    relative = found.coverage / found.random_coverage
    precise = bool(np.isfinite(found.precision).all())
    return _sized(
        curves,
        own,
        {
            "kept": ("score kept", found.kept),
            "covered": ("coverage over random's", relative),
            "precise": ("expected precision", found.precision),
        },
        {
            "mean score": found.score,
            "score kept": found.kept,
            "coverage: share": found.coverage,
            "coverage over random's": relative,
            "redundancy: share": found.redundancy,
            "expected precision: share": found.precision,
        },
        f"{_HERE} {_PRECISE.format(_BY_ERRORS if precise else _NO_ERRORS)}",
    )


def _sized(
    curves: Curves,
    own: int,
    lines: Mapping[str, tuple[str, np.ndarray]],
    columns: Mapping[str, np.ndarray],
    says: str,
) -> Table:
    """The table of sizes: its columns, and the lines of its chart by what they are drawn as."""
    sizes = [round(float(size)) for size in curves.by_size.sizes]
    known = {kind: one for kind, one in lines.items() if np.isfinite(one[1]).all()}
    chart = charts.line_chart(
        _SIZES,
        [(kind, list(zip(map(float, sizes), values.tolist(), strict=True)))
         for kind, (_, values) in known.items()],
        "rows selected",
        ends=(0.0, max(1.0, *(float(values.max()) for _, values in known.values()))),
        here=float(own),
    )  # fmt: skip
    rows = zip(sizes, *columns.values(), strict=True)
    return table(
        "sizes",
        _SIZES,
        ", ".join(["rows", *columns]),
        [(f"{size:,}{' (this run)' * (size == own)}", *values) for size, *values in rows],
        says=says,
        figure=Figure(chart, tuple((kind, words) for kind, (words, _) in known.items())),
    )
