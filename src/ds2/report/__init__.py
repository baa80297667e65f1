"""The pages of a run: each is one model, written as HTML, Markdown or JSON."""

from ds2.report.compare_report import compare_report
from ds2.report.gold_page import GoldItem, gold_choices, render_gold_page
from ds2.report.layout import Layout, lay_out
from ds2.report.leanings import LENGTH, in_words, of_scores, of_selection
from ds2.report.model import (
    Case,
    Cases,
    Fact,
    Facts,
    Finding,
    Page,
    Section,
    State,
    Table,
    facts,
    table,
    written,
)
from ds2.report.proof_report import proof_report
from ds2.report.ranking import (
    Beats,
    Decided,
    Entry,
    Judge,
    Judged,
    MethodsCompared,
    beats_random,
)
from ds2.report.results import Chosen, Results
from ds2.report.run_report import pick, run_report
from ds2.report.verdict import LEAST_GOLD
from ds2.report.words import excerpt, join
from ds2.report.write import page_html, page_json, page_markdown

__all__ = [
    "LEAST_GOLD",
    "LENGTH",
    "Beats",
    "Case",
    "Cases",
    "Chosen",
    "Decided",
    "Entry",
    "Fact",
    "Facts",
    "Finding",
    "GoldItem",
    "Judge",
    "Judged",
    "Layout",
    "MethodsCompared",
    "Page",
    "Results",
    "Section",
    "State",
    "Table",
    "beats_random",
    "compare_report",
    "excerpt",
    "facts",
    "gold_choices",
    "in_words",
    "join",
    "lay_out",
    "of_scores",
    "of_selection",
    "page_html",
    "page_json",
    "page_markdown",
    "pick",
    "proof_report",
    "render_gold_page",
    "run_report",
    "table",
    "written",
]
