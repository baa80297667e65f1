"""The report: the numbers of a run as one dataclass, written as HTML, Markdown or JSON."""

from ds2.report.collect import collect_numbers
from ds2.report.html import render_html
from ds2.report.json import render_json
from ds2.report.markdown import render_markdown
from ds2.report.numbers import ReportNumbers

__all__ = ["ReportNumbers", "collect_numbers", "render_html", "render_json", "render_markdown"]
