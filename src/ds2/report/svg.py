"""What charts are made of: small inline SVG, every text in it escaped.

Every chart is 360 units wide, so that its text keeps its size on a phone. Colours are classes that
the style sheet fills for light and dark. Each carries a title and a description that says its
numbers in words; the tables beside them say them again.
"""

from collections.abc import Sequence

from markupsafe import Markup

__all__ = ["LEFT", "RIGHT", "SPAN", "WIDTH", "line", "path", "rect", "svg", "text"]

WIDTH = 360.0
LEFT = 38.0
RIGHT = 8.0
SPAN = WIDTH - LEFT - RIGHT


def svg(name: str, title: str, description: str, height: float, body: Sequence[Markup]) -> Markup:
    """Return a chart 360 units wide, named by a title and a description."""
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


def rect(kind: str, x: float, y: float, width: float, height: float) -> Markup:
    """Return a rectangle; a negative size is none."""
    return Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
        kind, x, y, max(width, 0.0), max(height, 0.0)
    )


def line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    """Return a line."""
    return Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(
        kind, x1, y1, x2, y2
    )


def text(x: float, y: float, text: str, *, anchor: str = "middle") -> Markup:
    """Return a text that stands on ``y``."""
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
        x, y, anchor, text
    )


def path(kind: str, points: Sequence[tuple[float, float]]) -> Markup:
    """Return a line through points."""
    steps = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return Markup('<polyline class="{}" points="{}"/>').format(kind, steps)
