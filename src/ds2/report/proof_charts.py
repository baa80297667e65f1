"""The charts of the proof page: differences with both sources of noise, and training loss."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from ds2.report.svg import LEFT, RIGHT, SPAN, WIDTH, line, path, rect, svg, text
from ds2.report.text import visible
from ds2.report.words import NOT_ENOUGH, decimal, signed, signed_interval

__all__ = ["differences", "forest_chart", "loss_chart", "reach"]

_EDGE, _Z = 8.0, 1.96
_BINS = 80  # points of a loss curve


def differences(one: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return what a comparison shows, by name: the mean, where there are tasks, and each task."""
    tasks = list(one["tasks"].items())
    return [(f"mean of {len(tasks)} tasks", one["overall"]), *tasks] if len(tasks) > 1 else tasks


def reach(comparisons: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Return the two ends of an axis that holds every interval and what is too small to matter."""
    ends = [sign * one["smallest"] for one in comparisons for sign in (-1.5, 1.5)]
    for one in comparisons:
        for _, found in differences(one):
            ends += [found[end] for end in ("low", "high") if found[end] is not None]
    room = 0.04 * (max(ends) - min(ends))
    return min(ends) - room, max(ends) + room


def forest_chart(name: str, one: Mapping[str, Any], ends: tuple[float, float]) -> Markup:
    """Draw the differences A − B of one comparison, on an axis that others share."""
    low, high = ends
    rows = differences(one)
    top, bottom = 6.0, 10.0 + 40.0 * len(rows)

    def x(value: float) -> float:
        return _EDGE + (value - low) / (high - low) * (WIDTH - 2 * _EDGE)

    smallest: float = one["smallest"]
    wide = x(smallest) - x(-smallest)
    body = [rect("smallest", x(-smallest), top, wide, bottom - top)]
    step, digits = _step(high - low, 4)
    for tick in _ticks(low, high, step):
        body.append(line("axis" if tick == 0 else "grid", x(tick), top, x(tick), bottom))
        body.append(text(min(max(x(tick), 16.0), WIDTH - 18), bottom + 15, decimal(tick, digits)))
    words = []
    for place, (label, found) in enumerate(rows):
        y = 24.0 + 40.0 * place
        said = f"{signed(found['value'])}, 95 % interval {signed_interval(_ends(found))}"
        words.append(f"{label}: {said}.")
        body.append(text(0.0, y, _short(label, 40), anchor="start"))
        if found["value"] is None or found["low"] is None or found["high"] is None:
            body.append(text(WIDTH, y, NOT_ENOUGH, anchor="end"))
            continue
        body.append(text(WIDTH, y, signed(found["value"], 3), anchor="end"))
        body += _interval(x, y + 14, found, decides=len(rows) > 1 and place == 0)
    left, right = (one["b"], one["a"]) if one["higher_is_better"] else (one["a"], one["b"])
    body.append(text(0.0, bottom + 33, f"← {_short(left, 20)} better", anchor="start"))
    body.append(text(WIDTH, bottom + 33, f"{_short(right, 20)} better →", anchor="end"))
    title = f"Differences of {one['a']} from {one['b']}"
    return svg(name, visible(title), visible(" ".join(words)), bottom + 42, body)


def _interval(x: Any, y: float, found: Mapping[str, Any], *, decides: bool) -> list[Markup]:
    """Both sources of noise as a bar, items alone as a line in it, the value as a mark."""
    value, (left, right) = found["value"], (x(found["low"]), x(found["high"]))
    marks = [rect("band", left, y - 6, right - left, 12.0)]
    half = _Z * math.sqrt(found["noise"]["items"] or 0.0)
    marks.append(line("whisker", x(value - half), y, x(value + half), y))
    if decides:
        shape = '<path class="picked" d="M{:.1f} {:.1f}l6 6l-6 6l-6-6z"/>'
        return [*marks, Markup(shape).format(x(value), y - 6)]  # noqa: S704 (our own words)
    return [*marks, Markup('<circle class="dot" cx="{:.1f}" cy="{}" r="3.5"/>').format(x(value), y)]


def loss_chart(name: str, arm: str, runs: Sequence[Mapping[str, Any]], ends: Any) -> Markup:
    """Draw the training loss of an arm's runs, in means over stretches of updates."""
    last, low, high = ends
    bottom, height = 150.0, 138.0

    def y(loss: float) -> float:
        return float(bottom - (loss - low) / (high - low) * height)

    step, digits = _step(high - low, 3)
    body = []
    for tick in _ticks(low, high, step):
        body.append(line("grid", LEFT, y(tick), WIDTH - RIGHT, y(tick)))
        body.append(text(LEFT - 6, y(tick) + 4, decimal(tick, digits), anchor="end"))
    body.append(line("axis", LEFT, bottom, WIDTH - RIGHT, bottom))
    words = []
    for run in runs:
        curve = stretches(run)
        words.append(f"{decimal(curve[0][1])} at first, {decimal(curve[-1][1])} at last.")
        body.append(path("loss", [(LEFT + SPAN * at / last, y(loss)) for at, loss in curve]))
    body.append(text(LEFT, bottom + 16, "0"))
    body.append(text(WIDTH - RIGHT, bottom + 16, f"{last:,} updates", anchor="end"))
    return svg(name, visible(f"Training loss of {arm}"), " ".join(words), bottom + 24, body)


def stretches(run: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Return (update, mean loss) over at most 80 stretches of updates; what is no number is not."""
    known = [
        (at, loss)
        for at, loss in zip(run["steps"], run["loss"], strict=False)
        if loss is not None and math.isfinite(loss)
    ]
    size = -(-len(known) // _BINS) or 1
    parts = [known[i : i + size] for i in range(0, len(known), size)]
    return [tuple(sum(values) / len(values) for values in zip(*p, strict=True)) for p in parts]


def _ends(found: Mapping[str, Any]) -> tuple[float | None, float | None]:
    return found["low"], found["high"]


def _short(label: str, most: int) -> str:
    label = " ".join(visible(label).split())
    return label if len(label) <= most else label[: most - 1] + "…"


def _step(span: float, parts: int) -> tuple[float, int]:
    """A round step of an axis, and the digits that it needs."""
    power = math.floor(math.log10(span / parts))
    rounds = [factor * 10.0**power for factor in (1, 2, 5, 10)]
    step = next((each for each in rounds if each >= span / parts * 0.999), rounds[-1])
    return step, max(0, -math.floor(math.log10(step * 1.001)))


def _ticks(low: float, high: float, step: float) -> list[float]:
    return [at * step for at in range(math.ceil(low / step), math.floor(high / step) + 1)]
