"""The comparison as Markdown and as JSON."""

import dataclasses
import json

from ds2.report.compare_numbers import CompareNumbers
from ds2.report.compare_sheets import (
    beats_sheet,
    cost_sheet,
    judge_sheets,
    overlap_sheet,
    score_sheet,
    source_sheet,
    spread_sheet,
)
from ds2.report.compare_words import beats_random, compare_findings
from ds2.report.markdown_parts import quoted, sheet_parts, table
from ds2.report.text import markdown_text
from ds2.report.words import plural

__all__ = ["comparison_json", "comparison_markdown"]

#: Raised when a field is renamed, removed, or changes its meaning.
_LAYOUT = 1


def comparison_markdown(n: CompareNumbers) -> str:
    """Return the comparison as Markdown; the map is in the HTML page alone."""
    parts = [
        f"# {markdown_text(n.title)}",
        f"{plural(len(n.methods), 'method')} select {plural(n.size, 'row')} each of "
        f"{plural(n.n, 'example')}.",
    ]
    for finding in compare_findings(n):
        parts += [f"**{finding.question}** {markdown_text(finding.answer)}"]
        parts += [markdown_text(sentence) for sentence in finding.detail]
    parts += [f"- {markdown_text(note)}" for note in n.notes]
    mix = source_sheet(n)
    sheets = [
        *(beats_sheet(n), *judge_sheets(n), score_sheet(n), spread_sheet(n), cost_sheet(n)),
        *(() if mix is None else (mix,)),
        overlap_sheet(n),
    ]
    parts.append("## Tables")
    for sheet in sheets:
        parts += sheet_parts(sheet)
    parts.append("## Who picks what")
    for method in n.methods:
        parts.append(f"### {markdown_text(method.name)}")
        parts.append(f"{plural(method.n_only, 'row')} of {method.n:,} that no other selected.")
        for pick in method.only:
            parts.append(f"{pick.rank}. {markdown_text(pick.id)}: {markdown_text(pick.reason)}")
            parts.append(quoted(pick.text))
    if n.left_out:
        parts.append("## Left out")
        rows = [[markdown_text(each.method), markdown_text(each.why)] for each in n.left_out]
        parts.append(table(["method", "why"], rows))
    return "\n\n".join(parts) + "\n"


def comparison_json(n: CompareNumbers) -> str:
    """Return the numbers as a JSON object; what is missing is null, and all text is ASCII."""
    document = {
        "layout": _LAYOUT,
        "verdict": [dataclasses.asdict(finding) for finding in compare_findings(n)],
        "beats_random": [dataclasses.asdict(each) for each in beats_random(n)],
        **dataclasses.asdict(n),
    }
    return json.dumps(document, indent=1, allow_nan=False) + "\n"
