"""The report: the numbers of a run as one dataclass, written as HTML, Markdown or JSON."""

from ds2.report.collect import collect_numbers
from ds2.report.gold_page import GoldItem, gold_choices, render_gold_page
from ds2.report.html import render_html
from ds2.report.json import render_json
from ds2.report.markdown import render_markdown
from ds2.report.numbers import ReportNumbers

__all__ = [
    "GoldItem",
    "ReportNumbers",
    "collect_numbers",
    "gold_choices",
    "render_gold_page",
    "render_html",
    "render_json",
    "render_markdown",
]
