"""The charts of every page: small inline SVG, 360 units wide, so that its text is read on a phone.

Colours are classes that the style sheet fills for light and dark. A chart stands beside the table
of its numbers, so it is named and not described. Every text in it is escaped.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from ds2.report.model import Kind, Table, Value, written
from ds2.report.words import NOT_ENOUGH, decimal, share, short

__all__ = [
    "Bar",
    "Mark",
    "Span",
    "bar_chart",
    "interval_chart",
    "line_chart",
    "paired_bar",
    "plane_chart",
    "point_chart",
]

WIDTH, LEFT, RIGHT, EDGE = 360.0, 38.0, 8.0, 8.0
SPAN = WIDTH - LEFT - RIGHT


class Bar(NamedTuple):
    """What stands over one label: values side by side, and an estimate with its interval."""

    label: str
    values: Sequence[float]
    estimate: Sequence[float | None]


class Span(NamedTuple):
    """A figure with its interval, and half the width of a part of that."""

    label: str
    value: float | None
    low: float | None
    high: float | None
    part: float | None = None


def bar_chart(title: str, bars: Sequence[Bar], kinds: Sequence[str], label: str) -> Markup:
    """Draw bars of shares for each label, side by side, and an estimate over them."""
    ends = [end for bar in bars for end in (*bar.values, *bar.estimate) if end is not None]
    ticks, top = _ticks(0.0, max(ends, default=0.0) or 1.0)
    bottom, height = 176.0, 160.0
    body = _grid(ticks, top, bottom, height, "share")
    slot, every = SPAN / len(bars), -(-len(bars) // 16)
    wide = min(slot * 0.68 / len(kinds), 26.0)
    for place, bar in enumerate(bars):
        middle = LEFT + (place + 0.5) * slot
        left = middle - wide * len(kinds) / 2
        for kind, part in zip(kinds, bar.values, strict=True):
            tall = height * part / top
            body.append(_rect(kind, left, bottom - tall, wide - 1, tall))
            left += wide
        value, low, high = [None if v is None else bottom - v * height / top for v in bar.estimate]
        if low is not None and high is not None:
            body.append(_line("whisker", middle, low, middle, high))
        if value is not None:
            body.append(_diamond("mark", middle, value, 4))
        if place % every == 0:
            body.append(_text(middle, bottom + 17, bar.label))
    body.append(_text(LEFT + SPAN / 2, bottom + 36, label))
    return _svg(title, bottom + 44, body)


def interval_chart(
    title: str,
    spans: Sequence[Span],
    ends: tuple[float, float],
    *,
    zone: tuple[float, float],
    words: tuple[str, str],
    kind: Kind = "decimal",
    leads: bool = False,
) -> Markup:
    """Draw figures with their intervals on one axis, a line each.

    Args:
        title: what it shows.
        spans: the figures.
        ends: of the axis.
        zone: a part of the axis that is shaded: too little to count.
        words: what the left and the right end mean.
        kind: how the figures are written.
        leads: whether the first is the mean of the others, and marked as such.
    """
    low, high = ends
    top, bottom = 6.0, 10.0 + 40.0 * len(spans)

    def x(value: float) -> float:
        return EDGE + (value - low) / (high - low) * (WIDTH - 2 * EDGE)

    body = [_rect("zone", x(zone[0]), top, x(zone[1]) - x(zone[0]), bottom - top)]
    step, axis_digits = _step(high - low, 4)
    for tick in (n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1)):
        body.append(_line("axis" if tick == 0 else "grid", x(tick), top, x(tick), bottom))
        at = min(max(x(tick), 16.0), WIDTH - 18)
        body.append(_text(at, bottom + 15, decimal(tick, axis_digits)))
    for place, span in enumerate(spans):
        y = 24.0 + 40.0 * place
        body.append(_text(0.0, y, short(span.label, 40), anchor="start"))
        if span.value is None or span.low is None or span.high is None:
            body.append(_text(WIDTH, y, NOT_ENOUGH, anchor="end"))
            continue
        body.append(_text(WIDTH, y, written(span.value, kind), anchor="end"))
        body.append(_rect("band", x(span.low), y + 8, x(span.high) - x(span.low), 12.0))
        if span.part is not None:
            left, right = x(span.value - span.part), x(span.value + span.part)
            body.append(_line("whisker", left, y + 14, right, y + 14))
        if leads and place == 0:
            body.append(_diamond("picked", x(span.value), y + 14, 6))
        else:
            body.append(_dot("dot", x(span.value), y + 14, 3.5))
    body.append(_text(0.0, bottom + 33, f"← {short(words[0], 26)}", anchor="start"))
    body.append(_text(WIDTH, bottom + 33, f"{short(words[1], 26)} →", anchor="end"))
    return _svg(title, bottom + 42, body)


Points = Sequence[tuple[float, float]]


def line_chart(
    title: str,
    lines: Iterable[tuple[str, Points]],
    label: str,
    *,
    ends: tuple[float, float] | None = None,
    y_kind: Kind = "decimal",
    x_digits: int = 0,
    here: float | None = None,
) -> Markup:
    """Draw lines through points, over the x of all of them; a kind "area" is filled down to 0.

    ``here`` is an x that is marked.
    """
    drawn = [(kind, points) for kind, points in lines if points]
    xs = [x for _, points in drawn for x, _ in points]
    ys = [y for _, points in drawn for _, y in points]
    first, last = (min(xs), max(xs)) if xs else (0.0, 1.0)
    low, high = ends or (min(ys, default=0.0), max(ys, default=1.0))
    ticks, top = _ticks(low, high)
    bottom, height = 156.0, 144.0
    body = _grid(ticks, top, bottom, height, y_kind)
    wide = (last - first) or 1.0
    base = ticks[0]
    for kind, points in drawn:
        at = [
            (LEFT + SPAN * (x - first) / wide, bottom - height * (y - base) / ((top - base) or 1.0))
            for x, y in points
        ]
        if kind == "area":
            at = [(at[0][0], bottom), *at, (at[-1][0], bottom)]
        body.append(_path(kind, at))
        body += [_dot(kind, *each, 2.5) for each in at if here is not None]
    if here is not None:
        at_x = LEFT + SPAN * (here - first) / wide
        body.append(_line("whisker", at_x, bottom - height, at_x, bottom))
        if 0.12 < (here - first) / wide < 0.3 or 0.7 < (here - first) / wide < 0.88:
            body.append(_text(at_x, bottom + 17, decimal(here, x_digits)))
    body.append(_text(LEFT, bottom + 17, decimal(first, x_digits), anchor="start"))
    body.append(_text(WIDTH - RIGHT, bottom + 17, decimal(last, x_digits), anchor="end"))
    body.append(_text(LEFT + SPAN / 2, bottom + 17, label))
    return _svg(title, bottom + 25, body)


class Mark(NamedTuple):
    """A named point of a plane: how it is drawn, where, and what shows where one points at it."""

    kind: str
    x: float
    y: float
    label: str
    says: str


#: Where a label may stand beside its point: steps to the right and down, and how it is anchored.
_BESIDE = (
    *((9, 4, "start"), (-9, 4, "end"), (0, -9, "middle"), (0, 18, "middle")),
    *((8, -6, "start"), (8, 14, "start"), (-8, -6, "end"), (-8, 14, "end")),
    *((8, -15, "start"), (8, 23, "start"), (-8, -15, "end"), (-8, 23, "end")),
)


def plane_chart(
    title: str,
    curve: Sequence[Mark],
    marks: Sequence[Mark],
    names: tuple[str, str],
    *,
    shares: bool = False,
) -> Markup:
    """Draw a curve and named points over two axes; a label without room gives way to its number.

    Args:
        title: what it shows.
        curve: the points of the curve, in order; the ends are named where there is room.
        marks: points, the most important first; the number of one is its place, from 1.
        names: of the two axes.
        shares: whether both are shares, so that they go from 0 to 1.
    """
    top, bottom, left, right = 22.0, 290.0, 44.0, WIDTH - 18.0
    across = _around([1.0, *(each.x for each in (*curve, *marks))])
    up = _around([max(each.y, -1.0) for each in (*curve, *marks)])
    x_ticks, x_end = _ticks(*((0.0, 1.0) if shares else across))
    y_ticks, y_end = _ticks(*((0.0, 1.0) if shares else up), 5)

    def place(one: Mark) -> tuple[float, float]:
        x = (one.x - x_ticks[0]) / (x_end - x_ticks[0])
        y = (max(one.y, y_ticks[0]) - y_ticks[0]) / (y_end - y_ticks[0])
        return left + (right - left) * x, bottom - (bottom - top) * y

    body = []
    for tick in y_ticks:
        y = place(Mark("", 0.0, tick, "", ""))[1]
        kind = "axis" if abs(tick) < 1e-9 else "grid"
        body.append(_line(kind, left, y, right, y))
        body.append(_text(left - 6, y + 4, decimal(tick, 2), anchor="end"))
    for tick in x_ticks:
        x = place(Mark("", tick, 0.0, "", ""))[0]
        body.append(_line("axis" if abs(tick - 1) < 1e-9 else "grid", x, top, x, bottom))
        body.append(_text(x, bottom + 16, decimal(tick, 2)))
    body.append(_path("outline", [place(one) for one in curve]))
    boxes = [_box(*place(one), 7.0, 7.0, "middle") for one in marks]
    body += [_told(_dot("outline", *place(one), 2.5), one.says) for one in curve]
    for one in reversed(marks):
        drawn = (
            _diamond("picked", *place(one), 7)
            if one.kind == "picked"
            else _dot(one.kind, *place(one), 4)
        )
        body.append(_told(drawn, one.says))
    ends = dict.fromkeys((curve[0], curve[-1])) if curve else {}
    for number, one in enumerate((*marks, *ends), start=1):
        x, y = place(one)
        spots = [
            (x + dx, y + dy, anchor, label, _box(x + dx, y + dy - 4, 6.3 * len(label), 12, anchor))
            for label in (short(one.label, 22), str(number))[: 1 if one in ends else 2]
            for dx, dy, anchor in _BESIDE
        ]
        free = (spot for spot in spots if _is_free(spot[4], boxes, (left, 0.0, WIDTH, bottom)))
        found = next(free, None)
        if found is not None:
            body.append(_text(found[0], found[1], found[3], anchor=found[2]))
            boxes.append(found[4])
    body.append(_text(right, bottom + 34, f"{names[0]} →", anchor="end"))
    body.append(_text(0.0, 10.0, f"↑ {names[1]}", anchor="start"))
    return _svg(title, bottom + 42, body, kind="chart plane")


def _around(values: Sequence[float]) -> tuple[float, float]:
    """Ends a little beyond the values, and apart."""
    low, high = min(values), max(values)
    room = max(0.06 * (high - low), 0.02)
    return low - room, high + room


def _box(x: float, y: float, wide: float, tall: float, anchor: str) -> tuple[float, ...]:
    """Left, top, right, bottom of what stands at a place."""
    start = x - {"start": 0.0, "middle": wide / 2, "end": wide}[anchor]
    return start, y - tall / 2, start + wide, y + tall / 2


def _is_free(
    box: tuple[float, ...], others: Sequence[tuple[float, ...]], inside: tuple[float, ...]
) -> bool:
    if box[0] < inside[0] or box[1] < inside[1] or box[2] > inside[2] or box[3] > inside[3]:
        return False
    return not any(
        box[0] < one[2] and one[0] < box[2] and box[1] < one[3] and one[1] < box[3]
        for one in others
    )


def _told(drawn: Markup, says: str) -> Markup:
    """What is drawn, with a text where one points at it."""
    return Markup("<g>{}<title>{}</title></g>").format(drawn, says)


def point_chart(title: str, points: Iterable[tuple[str, float, float, str]]) -> Markup:
    """Draw (kind, x, y, text) with x and y from 0 to 1; the text shows where one points at it."""
    side = WIDTH - 2 * EDGE
    body = [
        Markup(
            '<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{}"><title>{}</title></circle>'
        ).format(
            kind, EDGE + side * x, EDGE + side * (1 - y), 2.2 if kind == "picked" else 1.5, text
        )
        for kind, x, y, text in points
    ]
    return _svg(title, WIDTH, body, kind="chart map")


def paired_bar(part: Table, row: Sequence[Value]) -> Markup:
    """Draw two shares of one row as bars, the longest of the table at full width."""
    assert part.bars is not None

    def at(line: Sequence[Value], column: int) -> float:
        value = line[column]
        return value if isinstance(value, float) else 0.0

    top = max(at(line, column) for line in part.rows for column in part.bars) or 1.0
    first, second = (100 * at(row, column) / top for column in part.bars)
    return Markup(
        '<svg class="pair" viewBox="0 0 100 14" preserveAspectRatio="none" aria-hidden="true">'
        "{}{}</svg>"
    ).format(_rect("pool", 0.0, 0.0, first, 6.0), _rect("picked", 0.0, 8.0, second, 6.0))


def _grid(
    ticks: Sequence[float], top: float, bottom: float, height: float, kind: Kind
) -> list[Markup]:
    """Lines across at round values, and their names."""
    body = []
    span = (top - ticks[0]) or 1.0
    for tick in ticks:
        y = bottom - height * (tick - ticks[0]) / span
        body.append(_line("grid" if tick > ticks[0] else "axis", LEFT, y, WIDTH - RIGHT, y))
        digits = 0 if tick >= 0.03 or tick == 0 else 1
        says = share(tick, digits) if kind == "share" else written(tick, kind)
        body.append(_text(LEFT - 6, y + 4, says, anchor="end"))
    return body


def _ticks(low: float, high: float, parts: int = 3) -> tuple[list[float], float]:
    """Round values from at or below ``low`` to at or above ``high``, and the last.

    They are about ``parts`` steps, or two more.
    """
    step, _ = _step((high - low) or abs(high) or 1.0, parts)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [place * step for place in range(first, max(last, first + 1) + 1)]
    return ticks, ticks[-1]


def _step(span: float, parts: int) -> tuple[float, int]:
    """A round step of an axis, and the digits that it needs."""
    power = math.floor(math.log10(span / parts))
    rounds = [factor * 10.0**power for factor in (1, 2, 5, 10)]
    step = next((each for each in rounds if each >= span / parts * 0.999), rounds[-1])
    return step, max(0, -math.floor(math.log10(step * 1.001)))


def _svg(title: str, height: float, body: Sequence[Markup], kind: str = "chart") -> Markup:
    return Markup(
        '<svg class="{}" role="img" aria-label="{}" viewBox="0 0 360 {:.0f}">{}</svg>'
    ).format(kind, short(title, 200), height, Markup("").join(body))


def _rect(kind: str, x: float, y: float, width: float, height: float) -> Markup:
    return Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
        kind, x, y, max(width, 0.0), max(height, 0.0)
    )


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    return Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(
        kind, x1, y1, x2, y2
    )


def _dot(kind: str, x: float, y: float, r: float) -> Markup:
    return Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{}"/>').format(kind, x, y, r)


def _diamond(kind: str, x: float, y: float, r: float) -> Markup:
    return Markup('<path class="{0}" d="M{1:.1f} {2:.1f}l{3} {3}l-{3} {3}l-{3}-{3}z"/>').format(
        kind, x, y - r, r
    )


def _text(x: float, y: float, text: str, *, anchor: str = "middle") -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
        x, y, anchor, text
    )


def _path(kind: str, points: Points) -> Markup:
    steps = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return Markup('<polyline class="{}" points="{}"/>').format(kind, steps)
