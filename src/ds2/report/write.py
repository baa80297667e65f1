"""One page, three formats: an HTML file that loads nothing, Markdown, JSON.

The HTML template escapes every value by itself. In Markdown every text goes through `markdown_text`
(one line) or `fenced` (a block): it cannot become a heading, a link, an image, HTML, or the end of
a table. JSON is ASCII.
"""

import base64
import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Any

from markupsafe import Markup

from ds2.report import words
from ds2.report.charts import paired_bar
from ds2.report.model import Case, Cases, Fact, Facts, Page, Part, Table, Value, written
from ds2.report.words import join, visible

__all__ = ["packaged", "page_html", "page_json", "page_markdown", "render"]

#: Raised when a key is renamed, removed, or changes its meaning.
_LAYOUT = 3


def page_html(page: Page) -> str:
    """Return a page as the text of one HTML file that loads nothing.

    A page with rows to sift has one script, which its policy names by hash.
    """
    script = packaged("sift.js") if any(one.sifted for one in page.tables.values()) else ""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    script = Markup(script)  # noqa: S704 (our own file)
    return render("page.html.j2", style="style.css", page=page, script=script, digest=digest)


def page_json(page: Page) -> str:
    """Return a page's verdict and values as a JSON object; what is missing is null."""
    document: dict[str, Any] = {"layout": _LAYOUT, "title": page.title}
    if page.state is not None:
        command = {"command": page.state.command(page.run)}
        document["state"] = dataclasses.asdict(page.state) | command
    document["verdict"] = [dataclasses.asdict(finding) for finding in page.findings]
    document["notes"] = [{"of": of, "says": says} for of, says in page.notes]
    document |= {"facts": {}, "tables": {}, "examples": {}}
    for part in (part for section in page.sections for part in section.parts):
        if isinstance(part, Table):
            heads = [column.head for column in part.columns]
            rows = [dict(zip(heads, row, strict=True)) for row in part.rows]
            document["tables"][part.key] = {"title": part.title, "says": part.says, "rows": rows}
        elif isinstance(part, Facts) and part.key:
            document["facts"][part.key] = _named(part.rows)
        elif isinstance(part, Cases):
            document["examples"][part.key] = [_case(case) for case in part.cases]
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def _named(facts: Sequence[Fact]) -> dict[str, Value]:
    return {fact.name: fact.value for fact in facts}


def _case(case: Case) -> dict[str, Any]:
    near = {"near": [_case(other) for other in case.near]} if case.near else {}
    return {"id": case.id, **_named(case.facts), "text": join(case.text), **near}


def page_markdown(page: Page) -> str:
    """Return what a page says as Markdown; charts and folded examples are left out."""
    return "\n\n".join(_page_parts(page)) + "\n"


def _page_parts(page: Page) -> Iterator[str]:
    yield from (f"# {markdown_text(page.title)}", markdown_text(page.lead), "## Verdict")
    if page.state is not None:
        yield f"**{markdown_text(page.state.says)}** {markdown_text(page.state.reason)}"
        yield fenced(page.state.command(page.run))
    for finding in page.findings:
        yield f"### {markdown_text(finding.question)}"
        yield f"**{markdown_text(finding.answer)}**"
        yield from map(markdown_text, finding.detail)
        yield from (f"- {markdown_text(f'{name}: {says}')}" for name, says in finding.more)
    if page.notes:
        yield "## Warnings and notes"
        yield "\n".join(f"- {markdown_text(f'{of}: {says}')}" for of, says in page.notes)
    for section in page.sections:
        yield f"## {markdown_text(section.title)}"
        for part in section.parts:
            yield from _markdown(part)


def _markdown(part: Part) -> Iterator[str]:
    if isinstance(part, str):
        yield markdown_text(part)
        return
    if part.title:
        yield f"### {markdown_text(part.title)}"
    if isinstance(part, Facts):
        rows = [(fact.name, written(fact.value, fact.kind)) for fact in part.rows]
        yield _grid([("what", ""), *rows], ("---", "---"))
        return
    if part.says:
        yield markdown_text(part.says)
    if isinstance(part, Table):
        rule = ["---" if part.is_text(place) else "---:" for place in range(len(part.columns))]
        heads = [column.head for column in part.columns]
        yield _grid([heads, *(_cells(part, row) for row in part.rows)], rule)
        return
    for case in part.cases[: part.shown]:
        yield f"#### {markdown_text(case.id)}"
        yield from _example(case)
        for other in case.near:
            yield f"- {markdown_text(other.id)}"
            yield from _example(other)


def _example(case: Case) -> Iterator[str]:
    if case.facts:
        yield markdown_text(said(case.facts))
    yield fenced(join(case.text))


def _cells(part: Table, row: Sequence[Value]) -> list[str]:
    return [written(value, c.kind) for value, c in zip(row, part.columns, strict=True)]


def _grid(rows: Sequence[Sequence[str]], rule: Sequence[str]) -> str:
    heads, *lines = [[markdown_text(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in (heads, rule, *lines))


def said(facts: Sequence[Fact]) -> str:
    """Write what is known of an example in one line."""
    return " · ".join(f"{one.name} {written(one.value, one.kind)}" for one in facts)


_MARKDOWN = {ord(mark): f"\\{mark}" for mark in "\\`*_[]~#@$"} | {
    ord("&"): "&amp;",
    ord("<"): "&lt;",
    ord(">"): "&gt;",
    ord("|"): "&#124;",
}
_LINE_START = re.compile(r"^(\d*)([.)+](?=\s|$)|[-=](?!\d))")
_LINK = re.compile(r"(://|www\.)", re.IGNORECASE)


def markdown_text(text: str) -> str:
    """Escape ``text`` for one line of Markdown: no markup, link, HTML or table cell comes of it."""
    flat = " ".join(visible(text).split()).translate(_MARKDOWN)
    unlinked = _LINK.sub(lambda found: f"{found[0][:-1]}\\{found[0][-1]}", flat)
    return _LINE_START.sub(r"\1\\\2", unlinked)


def fenced(text: str) -> str:
    """Put ``text`` in a fenced block whose fence is longer than any run of backticks in it."""
    shown = visible(text)
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{shown}\n{fence}"


def render(template: str, *, style: str, **values: object) -> str:
    """Return one of our templates as text, every value in it escaped."""
    css = Markup(packaged("colours.css") + packaged(style))  # noqa: S704 (our own files)
    return str(_environment().get_template(template).render(style=css, **values))


@functools.cache
def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(packaged),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"visible": visible, "plural": words.plural, "said": said}
    environment.globals |= {
        "kind_of": lambda part: type(part).__name__,
        "written": written,
        "paired_bar": paired_bar,
        "tones": {"clear": "● settled", "care": "◐ with care", "open": "○ open"},
    }
    return environment


def packaged(name: str) -> str:
    """Return one of our own files as text."""
    return resources.files("ds2.report").joinpath(name).read_text(encoding="utf-8")
