"""The report: the numbers of a run as one dataclass, written as HTML, Markdown or JSON."""

from ds2.report.collect import collect_numbers
from ds2.report.compare_numbers import (
    CompareNumbers,
    Judged,
    JudgeNumbers,
    LeftOut,
    MethodNumbers,
)
from ds2.report.compare_page import render_comparison
from ds2.report.compare_text import comparison_json, comparison_markdown
from ds2.report.compare_words import beats_random, compare_findings
from ds2.report.examples import pick_of
from ds2.report.gold_page import GoldItem, gold_choices, render_gold_page
from ds2.report.html import render_html
from ds2.report.json import render_json
from ds2.report.map_layout import Layout, lay_out
from ds2.report.map_points import MapPoints, choose_points
from ds2.report.markdown import render_markdown
from ds2.report.numbers import Estimate, Pick, ReportNumbers, Share
from ds2.report.proof_page import proof_markdown, render_proof
from ds2.report.text import excerpt, join

__all__ = [
    "CompareNumbers",
    "Estimate",
    "GoldItem",
    "JudgeNumbers",
    "Judged",
    "Layout",
    "LeftOut",
    "MapPoints",
    "MethodNumbers",
    "Pick",
    "ReportNumbers",
    "Share",
    "beats_random",
    "choose_points",
    "collect_numbers",
    "compare_findings",
    "comparison_json",
    "comparison_markdown",
    "excerpt",
    "gold_choices",
    "join",
    "lay_out",
    "pick_of",
    "proof_markdown",
    "render_comparison",
    "render_gold_page",
    "render_html",
    "render_json",
    "render_markdown",
    "render_proof",
]
