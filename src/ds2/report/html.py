"""The report as one HTML file: no script, no network, nothing outside the file.

The template escapes every value by itself; only the charts and the style sheet, which hold no
text of users, are passed as markup.
"""

import functools
from importlib import resources
from typing import Any

from ds2.noise import LOW_LIFT
from ds2.report import words
from ds2.report.numbers import ReportNumbers
from ds2.report.sheets import written
from ds2.report.text import visible
from ds2.report.verdict import how_curated, intervals_from, standing, verdict

__all__ = ["render_html"]

_TEMPLATES = ("template.html.j2", "macros.html.j2")


def render_html(numbers: ReportNumbers) -> str:
    """Return the report as the text of one self-contained HTML file."""
    from markupsafe import Markup

    from ds2.report import charts

    tail = numbers.selection.tail
    return str(
        _environment()
        .get_template(_TEMPLATES[0])
        .render(
            n=numbers,
            style=Markup(_packaged("style.css")),  # noqa: S704 (our own file)
            findings=verdict(numbers),
            standing=standing(numbers.noise, numbers.curation.gate),
            least_lift=LOW_LIFT,
            score_chart=charts.score_chart(numbers.scores),
            lift_chart=charts.lift_chart(numbers.noise.lifts, LOW_LIFT),
            tail_chart=None if tail is None else charts.tail_chart(tail),
            paired_bar=charts.paired_bar,
        )
    )


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
    environment.globals["intervals_from"] = intervals_from
    environment.globals["how_curated"] = how_curated
    environment.globals["MISSING"] = words.MISSING
    environment.globals["NOT_ENOUGH"] = words.NOT_ENOUGH
    return environment


def _packaged(name: str) -> str:
    return resources.files("ds2.report").joinpath(name).read_text(encoding="utf-8")
