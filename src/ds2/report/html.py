"""The report as one HTML file: no script, no network, nothing outside the file."""

from ds2.noise import LOW_LIFT
from ds2.report.numbers import ReportNumbers
from ds2.report.page import render_page
from ds2.report.verdict import how_curated, intervals_from, standing, verdict

__all__ = ["render_html"]


def render_html(numbers: ReportNumbers) -> str:
    """Return the report as the text of one self-contained HTML file."""
    from ds2.report import charts

    tail = numbers.selection.tail
    return render_page(
        "template.html.j2",
        styles=("style.css",),
        n=numbers,
        findings=verdict(numbers),
        standing=standing(numbers.noise, numbers.curation.gate),
        how_curated=how_curated(numbers.curation),
        intervals_from=intervals_from(numbers.noise),
        least_lift=LOW_LIFT,
        score_chart=charts.score_chart(numbers.scores),
        lift_chart=charts.lift_chart(numbers.noise.lifts, LOW_LIFT),
        tail_chart=None if tail is None else charts.tail_chart(tail),
        paired_bar=charts.paired_bar,
    )
