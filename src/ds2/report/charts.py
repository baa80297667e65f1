"""The charts of the report, drawn with numbers and fixed words only."""

import math
from collections.abc import Sequence

from markupsafe import Markup

from ds2.noise import Lift
from ds2.report.numbers import ScoreLevel, SharedBy, TailNumbers
from ds2.report.svg import LEFT, RIGHT, SPAN, WIDTH, line, path, rect, svg, text
from ds2.report.words import NOT_ENOUGH, decimal, interval, of, share

__all__ = ["lift_chart", "paired_bar", "score_chart", "tail_chart"]


def _top(largest: float) -> float:
    """Return the first round share at or above ``largest``, for the top of an axis."""
    return next((top for top in (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8) if largest <= top), 1.0)


def _share_axis(top: float, bottom: float, height: float) -> list[Markup]:
    marks = []
    for part in (0.0, 0.5, 1.0):
        y = bottom - part * height
        marks.append(line("grid" if part else "axis", LEFT, y, WIDTH - RIGHT, y))
        digits = 1 if 0 < part * top < 0.03 else 0
        marks.append(text(LEFT - 6, y + 4, share(part * top, digits), anchor="end"))
    return marks


def score_chart(levels: Sequence[ScoreLevel]) -> Markup:
    """Draw raw and curated shares as bars for each score, and the prior with its interval."""
    raw_total = sum(level.raw for level in levels) or 1
    curated_total = sum(level.curated for level in levels) or 1
    shares = [(level.raw / raw_total, level.curated / curated_total) for level in levels]
    ends = [level.prior.high or level.prior.value or 0.0 for level in levels]
    top, bottom, height = _top(max([*ends, *map(max, shares)])), 176.0, 160.0
    body, words = _share_axis(top, bottom, height), []
    slot = SPAN / len(levels)
    bar = min(slot * 0.34, 26.0)
    every = -(-len(levels) // 16)
    for place, (level, (raw, curated)) in enumerate(zip(levels, shares, strict=True)):
        middle = LEFT + (place + 0.5) * slot
        for kind, part, left in (("pool", raw, middle - bar), ("picked", curated, middle)):
            tall = height * part / top
            body.append(rect(kind, left, bottom - tall, bar - 1, tall))
        body += _whisker(middle, level, bottom, height / top)
        if place % every == 0:
            body.append(text(middle, bottom + 17, str(level.score)))
        words.append(
            f"Score {level.score}: raw {share(raw)}, curated {share(curated)}, "
            f"prior {share(level.prior.value)}."
        )
    body.append(text(LEFT + SPAN / 2, bottom + 36, "score"))
    title = "Shares of each score: raw, curated, and estimated prior"
    return svg("scores-chart", title, " ".join(words), bottom + 44, body)


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
    return [line("whisker", x, low, x, high), diamond]


def lift_chart(lifts: Sequence[Lift], least: float) -> Markup:
    """Draw lift with its interval on a line from chance (0) to always (1)."""
    lowest = min([0.0, *(item.low for item in lifts if math.isfinite(item.low))])
    low = max(math.floor(lowest * 4) / 4, -1.0)
    bottom = 16.0 + 40.0 * len(lifts)

    def x(value: float) -> float:
        return LEFT + (value - low) / (1 - low) * SPAN

    body = [
        line("axis", x(0.0), 8.0, x(0.0), bottom),
        line("threshold", x(least), 8.0, x(least), bottom),
    ]
    body += [line("grid", x(tick), 8.0, x(tick), bottom) for tick in (0.5, 1.0)]
    words = []
    for place, item in enumerate(lifts):
        y = 30.0 + 40.0 * place
        body.append(text(LEFT - 8, y + 4, f"k\u00a0=\u00a0{item.k}", anchor="end"))
        if not math.isfinite(item.value):
            body.append(text(x(0.0) + 8, y + 4, NOT_ENOUGH, anchor="start"))
        else:
            if math.isfinite(item.low) and math.isfinite(item.high):
                wide = x(item.high) - x(item.low)
                body.append(rect("band", x(item.low), y - 8, wide, 16.0))
            body.append(
                Markup('<circle class="dot" cx="{:.1f}" cy="{}" r="3.5"/>').format(x(item.value), y)
            )
        words.append(
            f"Lift at k = {item.k}: {decimal(item.value)}, "
            f"95 % interval {interval(item.low, item.high)}."
        )
    body += [
        text(x(0.0), bottom + 16, "0"),
        text(x(0.5), bottom + 16, "0.5"),
        text(x(1.0), bottom + 16, "1"),
        text(x(0.0), bottom + 32, "chance", anchor="start"),
        text(x(1.0), bottom + 32, "always", anchor="end"),
    ]
    return svg(
        "lift-chart", "Lift: neighbours' agreement above chance", " ".join(words), bottom + 40, body
    )


def tail_chart(tail: TailNumbers) -> Markup:
    """Draw the long-tail score's distribution: the pool as an area, the selection as a line."""
    pool_total, chosen_total = sum(tail.pool) or 1, sum(tail.selected) or 1
    pool = [number / pool_total for number in tail.pool]
    chosen = [number / chosen_total for number in tail.selected]
    top, bottom, height = _top(max([*pool, *chosen])), 156.0, 140.0
    first, last = tail.edges[0], tail.edges[-1]
    width = SPAN / len(pool)
    body = _share_axis(top, bottom, height)
    for place, part in enumerate(pool):
        tall = height * part / top
        body.append(rect("pool", LEFT + place * width, bottom - tall, width - 0.6, tall))
    steps = [(LEFT, bottom)]
    for place, part in enumerate(chosen):
        y = bottom - height * part / top
        steps += [(LEFT + place * width, y), (LEFT + (place + 1) * width, y)]
    body.append(path("outline", [*steps, (LEFT + SPAN, bottom)]))
    if last > first:
        body.append(text(LEFT, bottom + 17, decimal(first, 3), anchor="start"))
        body.append(text(WIDTH - RIGHT, bottom + 17, decimal(last, 3), anchor="end"))
    body.append(text(LEFT + SPAN / 2, bottom + 17, decimal((first + last) / 2, 3)))
    body.append(text(LEFT + SPAN / 2, bottom + 36, "long-tail score"))
    words = f"Pool: median {decimal(tail.pool_spread.median)}. "
    if tail.selected_spread is not None:
        words += f"Selection: median {decimal(tail.selected_spread.median)}. "
    words += f"Values from {decimal(first)} to {decimal(last)}."
    return svg(
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
        rect("pool", 0.0, 0.0, widths[0], 6.0),
        rect("picked", 0.0, 8.0, widths[1], 6.0),
    )
