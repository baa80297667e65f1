"""Curves as a small SVG picture, in light and dark, without a plotting library."""

from collections.abc import Callable, Mapping, Sequence
from html import escape

import numpy as np

WIDTH, HEIGHT = 400, 270
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 34, 74
STYLE = """
  svg { color-scheme: light dark; }
  .back { fill: #fbfaf8; }
  text { font: 12px system-ui, "DejaVu Sans", sans-serif; fill: #545b68; }
  .title { font-weight: 600; fill: #1d2129; }
  .grid { stroke: #e3e1dc; }
  polyline { fill: none; stroke-width: 2; stroke-linejoin: round; }
  .c0 { stroke: #1f5fa8; } .c1 { stroke: #a85b00; } .c2 { stroke: #7a808c; }
  .c0 { stroke-width: 2.5; } .c1 { stroke-dasharray: 6 3; } .c2 { stroke-dasharray: 2 3; }
  .band { stroke: none; opacity: 0.16; }
  .b0 { fill: #1f5fa8; } .b1 { fill: #a85b00; } .b2 { fill: #7a808c; }
  @media (prefers-color-scheme: dark) {
    .back { fill: #14161b; }
    text { fill: #a7aebb; }
    .title { fill: #e7e9ee; }
    .grid { stroke: #31353f; }
    .c0 { stroke: #83b6f5; } .c1 { stroke: #e5a567; } .c2 { stroke: #a7aebb; }
    .b0 { fill: #83b6f5; } .b1 { fill: #e5a567; } .b2 { fill: #a7aebb; }
  }
"""


def curve_picture(
    panels: Sequence[tuple[str, Mapping[str, Sequence[Sequence[float]]]]],
    *,
    x: np.ndarray,
    x_title: str,
    y_title: str,
    x_tick: str | Callable[[float], str] = ".0%",
) -> str:
    """Panels side by side: for each name the mean of its curves and ± two standard errors.

    Args:
        panels: title and, by name, curves of len(x) values each.
        x: where the curves are known.
        x_title: below each panel.
        y_title: for screen readers, and the reader of the page's text.
        x_tick: format of the numbers on the x axis, or what writes them.
    """
    names = list(panels[0][1])
    total = len(panels) * WIDTH
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {HEIGHT}" '
        f'role="img" aria-label="{escape(y_title)} against {escape(x_title)}">',
        f"<style>{STYLE}</style>",
        f'<rect class="back" width="{total}" height="{HEIGHT}"/>',
    ]
    for number, (title, curves) in enumerate(panels):
        parts.append(f'<g transform="translate({number * WIDTH} 0)">')
        parts += _panel(title, curves, x, (x_title, y_title, x_tick))
        parts.append("</g>")
    offset = LEFT
    for number, name in enumerate(names):
        y = HEIGHT - 14
        parts.append(f'<polyline class="c{number}" points="{offset},{y} {offset + 26},{y}"/>')
        parts.append(f'<text x="{offset + 32}" y="{y + 4}">{escape(name)}</text>')
        offset += 60 + 7 * len(name)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(title, curves, x, words):
    x_title, y_title, x_tick = words
    table = {name: np.asarray(found, dtype=float) for name, found in curves.items()}
    means = {name: found.mean(axis=0) for name, found in table.items()}
    errors = {
        name: 2 * found.std(axis=0, ddof=1) / np.sqrt(len(found)) for name, found in table.items()
    }
    step = 0.05
    low = step * np.floor(min((means[n] - errors[n]).min() for n in table) / step)
    high = step * np.ceil(max((means[n] + errors[n]).max() for n in table) / step)
    if high - low > 0.4:
        step = 0.1

    def place(value, at):
        across = LEFT + (WIDTH - LEFT - RIGHT) * (at - x[0]) / (x[-1] - x[0])
        down = TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)
        return f"{across:.1f},{down:.1f}"

    yield f'<text class="title" x="{LEFT}" y="18">{escape(title)}</text>'
    for tick in np.arange(low, high + step / 2, step):
        start, end = place(tick, x[0]).split(","), place(tick, x[-1]).split(",")
        yield (
            f'<line class="grid" x1="{start[0]}" y1="{start[1]}" x2="{end[0]}" y2="{end[1]}"/>'
            f'<text x="{LEFT - 6}" y="{float(start[1]) + 4:.1f}" text-anchor="end">'
            f"{tick:.2f}</text>"
        )
    for tick in np.linspace(x[0], x[-1], 6):
        across = place(low, tick).split(",")[0]
        label = format(tick, x_tick) if isinstance(x_tick, str) else x_tick(tick)
        anchor = "end" if tick == x[-1] else "middle"
        yield (
            f'<text x="{across}" y="{HEIGHT - BOTTOM + 17}" text-anchor="{anchor}">{label}</text>'
        )
    yield f'<text x="{LEFT}" y="{HEIGHT - BOTTOM + 36}">{escape(x_title)}</text>'
    yield f"<title>{escape(title)}: {escape(y_title)}</title>"
    for number, name in enumerate(table):
        upper = [place(v, at) for v, at in zip(means[name] + errors[name], x, strict=True)]
        lower = [place(v, at) for v, at in zip(means[name] - errors[name], x, strict=True)]
        middle = [place(v, at) for v, at in zip(means[name], x, strict=True)]
        yield f'<polygon class="band b{number}" points="{" ".join(upper + lower[::-1])}"/>'
        yield f'<polyline class="c{number}" points="{" ".join(middle)}"/>'
