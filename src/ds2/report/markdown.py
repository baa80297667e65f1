"""The report as Markdown: what the HTML page says, in headings, tables and fenced texts.

The page is read and written anew, so the two cannot differ. Charts are left out, since the tables
beside them hold their numbers, and what the page folds away: further examples. Every text goes
through `markdown_text` (one line) or `fenced` (a block): it cannot become a heading, a link, an
image, HTML, or the end of a table.
"""

from html.parser import HTMLParser

from ds2.report.html import render_html
from ds2.report.markdown_parts import table
from ds2.report.numbers import ReportNumbers
from ds2.report.text import fenced, markdown_text

__all__ = ["page_markdown", "render_markdown"]

#: What is for the eye or the browser alone.
_LEFT_OUT = frozenset({"head", "nav", "svg", "figure", "footer"})
_HEADINGS = {"h1": "# ", "h2": "## ", "h3": "### ", "h4": "#### "}
_BLOCKS = frozenset({*_HEADINGS, "p", "li", "div", "summary", "caption", "dt", "dd", "td", "th"})


def render_markdown(numbers: ReportNumbers) -> str:
    """Return the report as Markdown text."""
    return page_markdown(render_html(numbers))


def page_markdown(page: str) -> str:
    """Return a page of ours as Markdown text."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return "\n\n".join(reader.parts) + "\n"


class _Reader(HTMLParser):
    """Turns a page of ours into parts of Markdown; it knows the few tags that the pages have."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._skipped = 0
        self._text = ""
        self._classes: str | None = None
        self._head: list[str] = []
        self._words: set[int] = {0}
        self._rows: list[list[str]] = []
        self._spans: dict[int, int] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        classes = named.get("class") or ""
        folded = tag == "details" and "open" not in named
        if self._skipped or tag in _LEFT_OUT or classes == "skip" or folded:
            self._skipped += tag not in ("meta", "link")  # which have no end
        elif tag in _BLOCKS:
            self._flush("- " if tag == "li" else "")
            self._classes = classes
            self._spans.update({len(self._row()): 1} if named.get("rowspan") == "2" else {})
        elif tag == "tr":
            waiting, self._spans = self._spans, {}
            self._rows.append([""] if 0 in waiting else [])
        elif tag == "small" and self._text.strip():
            self._text += " ("
        elif tag == "br":
            self._text += " "

    def handle_endtag(self, tag: str) -> None:
        if self._skipped:
            self._skipped -= 1
        elif tag in ("td", "th"):
            self._end_cell()
        elif tag in ("dt", "dd"):
            self._rows += [[]] if tag == "dt" else []
            self._end_cell()
        elif tag == "thead":  # of two rows of headings the second names the columns
            self._head, self._rows = self._rows[-1], []
        elif tag in ("table", "dl"):
            self._end_table()
        elif tag == "small" and " (" in self._text:
            self._text += ")"
        elif tag in _BLOCKS:
            self._flush("- " if tag == "li" else _HEADINGS.get(tag, ""))

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self._text += data

    def _row(self) -> list[str]:
        return self._rows[-1] if self._rows else []

    def _flush(self, mark: str) -> None:
        """Write what stands so far; a text that an example holds becomes a block."""
        text, self._text = self._text, ""
        if self._classes == "text":
            self.parts.append(fenced(text))
        elif text.strip():
            bold = "**" if self._classes == "answer" else ""
            self.parts.append(f"{mark}{bold}{markdown_text(text)}{bold}")
        self._classes = None

    def _end_cell(self) -> None:
        if self._classes == "words":
            self._words.add(len(self._row()))
        if "wide" not in (self._classes or ""):  # a bar
            self._row().append(markdown_text(self._text))
        self._text, self._classes = "", None

    def _end_table(self) -> None:
        head = self._head or ["what", ""]
        width = max(len(head), *map(len, self._rows), 0)
        rows = [[*row, *[""] * (width - len(row))] for row in self._rows]
        words = self._words if self._head else {0, 1}
        self.parts.append(table([*head, *[""] * (width - len(head))], rows, words=words))
        self._head, self._rows, self._words = [], [], {0}
