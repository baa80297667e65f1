"""The comparison as one HTML file that opens from a folder, offline.

The one script draws the map. The page's policy names it by hash and allows nothing else; texts of
examples stand in the page as JSON and only ever become text nodes.
"""

import base64
import dataclasses
import functools
import hashlib
import json
from importlib import resources
from typing import Any

from ds2.report import words
from ds2.report.compare_numbers import CompareNumbers
from ds2.report.compare_sheets import (
    beats_sheet,
    cost_sheet,
    judge_sheets,
    score_sheet,
    source_sheet,
    spread_sheet,
)
from ds2.report.compare_words import compare_findings
from ds2.report.map_points import MapPoints
from ds2.report.sheets import written
from ds2.report.text import visible

__all__ = ["render_comparison"]

_TEMPLATES = ("compare_page.html.j2", "macros.html.j2")


def render_comparison(numbers: CompareNumbers, points: MapPoints) -> str:
    """Return the page as the text of one self-contained HTML file."""
    from markupsafe import Markup

    script = _packaged("compare_page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    style = _packaged("style.css") + _packaged("compare_page.css")
    return str(
        _environment()
        .get_template(_TEMPLATES[0])
        .render(
            n=numbers,
            map=points,
            digest=digest,
            style=Markup(style),  # noqa: S704 (our own file)
            script=Markup(script),  # noqa: S704 (our own file)
            data=Markup(_json(_for_script(numbers, points))),  # noqa: S704 (escaped for a script)
            findings=compare_findings(numbers),
            beats=beats_sheet(numbers),
            judges=judge_sheets(numbers),
            sheets=[score_sheet(numbers), spread_sheet(numbers), cost_sheet(numbers)],
            sources=source_sheet(numbers),
        )
    )


def _for_script(numbers: CompareNumbers, points: MapPoints) -> dict[str, object]:
    return {
        **{field.name: getattr(points, field.name) for field in dataclasses.fields(points)},
        "own": numbers.own,
        "size": numbers.size,
    }


def _json(value: object) -> str:
    """Return JSON in plain ASCII in which nothing can end a script element or begin a comment."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@functools.cache
def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.DictLoader({name: _packaged(name) for name in _TEMPLATES}),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {name: getattr(words, name) for name in words.__all__ if name.islower()}
    environment.filters["visible"] = visible
    environment.globals["written"] = written
    return environment


def _packaged(name: str) -> str:
    return resources.files("ds2.report").joinpath(name).read_text(encoding="utf-8")
