"""Charts as small inline SVG, drawn with numbers and fixed words only.

Every chart is 360 units wide, so that its text keeps its size on a phone. Colours are classes that
the style sheet fills for light and dark. Each carries a title and a description that says its
numbers in words; the tables beside them say them again.
"""

import math
from collections.abc import Sequence

from markupsafe import Markup

from ds2.noise import Lift
from ds2.report.numbers import ScoreLevel, SharedBy, TailNumbers
from ds2.report.words import NOT_ENOUGH, decimal, interval, of, share

__all__ = ["lift_chart", "paired_bar", "score_chart", "tail_chart"]

_WIDTH = 360.0
_LEFT = 38.0
_RIGHT = 8.0
_SPAN = _WIDTH - _LEFT - _RIGHT


def _svg(name: str, title: str, description: str, height: float, body: Sequence[Markup]) -> Markup:
    return Markup(
        '<svg class="chart" role="img" aria-labelledby="{name}-t {name}-d" '
        'viewBox="0 0 360 {height:.0f}"><title id="{name}-t">{title}</title>'
        '<desc id="{name}-d">{description}</desc>{body}</svg>'
    ).format(
        name=name,
        title=title,
        description=description,
        height=height,
        body=Markup("").join(body),
    )


def _rect(kind: str, x: float, y: float, width: float, height: float) -> Markup:
    return Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
        kind, x, y, max(width, 0.0), max(height, 0.0)
    )


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    return Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(
        kind, x1, y1, x2, y2
    )


def _text(x: float, y: float, text: str, *, anchor: str = "middle") -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
        x, y, anchor, text
    )


def _path(kind: str, points: Sequence[tuple[float, float]]) -> Markup:
    steps = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return Markup('<polyline class="{}" points="{}"/>').format(kind, steps)


def _top(largest: float) -> float:
    """Return the first round share at or above ``largest``, for the top of an axis."""
    return next((top for top in (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8) if largest <= top), 1.0)


def _share_axis(top: float, bottom: float, height: float) -> list[Markup]:
    marks = []
    for part in (0.0, 0.5, 1.0):
        y = bottom - part * height
        marks.append(_line("grid" if part else "axis", _LEFT, y, _WIDTH - _RIGHT, y))
        digits = 1 if 0 < part * top < 0.03 else 0
        marks.append(_text(_LEFT - 6, y + 4, share(part * top, digits), anchor="end"))
    return marks


def score_chart(levels: Sequence[ScoreLevel]) -> Markup:
    """Draw raw and curated shares as bars for each score, and the prior with its interval."""
    raw_total = sum(level.raw for level in levels) or 1
    curated_total = sum(level.curated for level in levels) or 1
    shares = [(level.raw / raw_total, level.curated / curated_total) for level in levels]
    ends = [level.prior.high or level.prior.value or 0.0 for level in levels]
    top, bottom, height = _top(max([*ends, *map(max, shares)])), 176.0, 160.0
    body, words = _share_axis(top, bottom, height), []
    slot = _SPAN / len(levels)
    bar = min(slot * 0.34, 26.0)
    every = -(-len(levels) // 16)
    for place, (level, (raw, curated)) in enumerate(zip(levels, shares, strict=True)):
        middle = _LEFT + (place + 0.5) * slot
        for kind, part, left in (("pool", raw, middle - bar), ("picked", curated, middle)):
            tall = height * part / top
            body.append(_rect(kind, left, bottom - tall, bar - 1, tall))
        body += _whisker(middle, level, bottom, height / top)
        if place % every == 0:
            body.append(_text(middle, bottom + 17, str(level.score)))
        words.append(
            f"Score {level.score}: raw {share(raw)}, curated {share(curated)}, "
            f"prior {share(level.prior.value)}."
        )
    body.append(_text(_LEFT + _SPAN / 2, bottom + 36, "score"))
    title = "Shares of each score: raw, curated, and estimated prior"
    return _svg("scores-chart", title, " ".join(words), bottom + 44, body)


def _whisker(x: float, level: ScoreLevel, bottom: float, scale: float) -> list[Markup]:
    prior = level.prior
    if prior.value is None:
        return []
    y = bottom - prior.value * scale
    diamond = Markup('<path class="mark" d="M{x:.1f} {a:.1f}l4 4l-4 4l-4-4z"/>').format(
        x=x, a=y - 4
    )
    if prior.low is None or prior.high is None:
        return [diamond]
    low, high = bottom - prior.low * scale, bottom - prior.high * scale
    return [_line("whisker", x, low, x, high), diamond]


def lift_chart(lifts: Sequence[Lift], least: float) -> Markup:
    """Draw lift with its interval on a line from chance (0) to always (1)."""
    lowest = min([0.0, *(item.low for item in lifts if math.isfinite(item.low))])
    low = max(math.floor(lowest * 4) / 4, -1.0)
    bottom = 16.0 + 40.0 * len(lifts)

    def x(value: float) -> float:
        return _LEFT + (value - low) / (1 - low) * _SPAN

    body = [
        _line("axis", x(0.0), 8.0, x(0.0), bottom),
        _line("threshold", x(least), 8.0, x(least), bottom),
    ]
    body += [_line("grid", x(tick), 8.0, x(tick), bottom) for tick in (0.5, 1.0)]
    words = []
    for place, item in enumerate(lifts):
        y = 30.0 + 40.0 * place
        body.append(_text(_LEFT - 8, y + 4, f"k\u00a0=\u00a0{item.k}", anchor="end"))
        if not math.isfinite(item.value):
            body.append(_text(x(0.0) + 8, y + 4, NOT_ENOUGH, anchor="start"))
        else:
            if math.isfinite(item.low) and math.isfinite(item.high):
                wide = x(item.high) - x(item.low)
                body.append(_rect("band", x(item.low), y - 8, wide, 16.0))
            body.append(
                Markup('<circle class="dot" cx="{:.1f}" cy="{}" r="3.5"/>').format(x(item.value), y)
            )
        words.append(
            f"Lift at k = {item.k}: {decimal(item.value)}, "
            f"95 % interval {interval(item.low, item.high)}."
        )
    body += [
        _text(x(0.0), bottom + 16, "0"),
        _text(x(0.5), bottom + 16, "0.5"),
        _text(x(1.0), bottom + 16, "1"),
        _text(x(0.0), bottom + 32, "chance", anchor="start"),
        _text(x(1.0), bottom + 32, "always", anchor="end"),
    ]
    return _svg(
        "lift-chart", "Lift: neighbours' agreement above chance", " ".join(words), bottom + 40, body
    )


def tail_chart(tail: TailNumbers) -> Markup:
    """Draw the long-tail score's distribution: the pool as an area, the selection as a line."""
    pool_total, chosen_total = sum(tail.pool) or 1, sum(tail.selected) or 1
    pool = [number / pool_total for number in tail.pool]
    chosen = [number / chosen_total for number in tail.selected]
    top, bottom, height = _top(max([*pool, *chosen])), 156.0, 140.0
    first, last = tail.edges[0], tail.edges[-1]
    width = _SPAN / len(pool)
    body = _share_axis(top, bottom, height)
    for place, part in enumerate(pool):
        tall = height * part / top
        body.append(_rect("pool", _LEFT + place * width, bottom - tall, width - 0.6, tall))
    steps = [(_LEFT, bottom)]
    for place, part in enumerate(chosen):
        y = bottom - height * part / top
        steps += [(_LEFT + place * width, y), (_LEFT + (place + 1) * width, y)]
    body.append(_path("outline", [*steps, (_LEFT + _SPAN, bottom)]))
    if last > first:
        body.append(_text(_LEFT, bottom + 17, decimal(first, 3), anchor="start"))
        body.append(_text(_WIDTH - _RIGHT, bottom + 17, decimal(last, 3), anchor="end"))
    body.append(_text(_LEFT + _SPAN / 2, bottom + 17, decimal((first + last) / 2, 3)))
    body.append(_text(_LEFT + _SPAN / 2, bottom + 36, "long-tail score"))
    words = f"Pool: median {decimal(tail.pool_spread.median)}. "
    if tail.selected_spread is not None:
        words += f"Selection: median {decimal(tail.selected_spread.median)}. "
    words += f"Values from {decimal(first)} to {decimal(last)}."
    return _svg(
        "tail-chart", "Long-tail score of the pool and of the selection", words, bottom + 44, body
    )


def paired_bar(row: SharedBy, pool: int, selected: int, top: float) -> Markup:
    """Draw one row's share of the pool above its share of the selection (decoration of a table)."""
    ends = [(row.pool / pool if pool else 0.0), (row.selected / selected if selected else 0.0)]
    widths = [100 * end / top if top else 0.0 for end in ends]
    return Markup(
        '<svg class="pair" viewBox="0 0 100 14" preserveAspectRatio="none" aria-hidden="true">'
        "<title>{}</title>{}{}</svg>"
    ).format(
        f"pool {of(row.pool, pool)}, selection {of(row.selected, selected)}",
        _rect("pool", 0.0, 0.0, widths[0], 6.0),
        _rect("picked", 0.0, 8.0, widths[1], 6.0),
    )
