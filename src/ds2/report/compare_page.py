"""The comparison as one HTML file that opens from a folder, offline.

The one script draws the map. The page's policy names it by hash and allows nothing else; texts of
examples stand in the page as JSON and only ever become text nodes.
"""

import dataclasses

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
from ds2.report.page import render_page, script_values

__all__ = ["render_comparison"]


def render_comparison(numbers: CompareNumbers, points: MapPoints) -> str:
    """Return the page as the text of one self-contained HTML file."""
    return render_page(
        "compare_page.html.j2",
        styles=("style.css", "compare_page.css"),
        **script_values("compare_page.js", _for_script(numbers, points)),
        n=numbers,
        map=points,
        findings=compare_findings(numbers),
        beats=beats_sheet(numbers),
        judges=judge_sheets(numbers),
        sheets=[score_sheet(numbers), spread_sheet(numbers), cost_sheet(numbers)],
        sources=source_sheet(numbers),
    )


def _for_script(numbers: CompareNumbers, points: MapPoints) -> dict[str, object]:
    return {
        **{field.name: getattr(points, field.name) for field in dataclasses.fields(points)},
        "own": numbers.own,
        "size": numbers.size,
    }
