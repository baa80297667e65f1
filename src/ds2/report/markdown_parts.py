"""The parts that a Markdown report is put together from: tables and shown examples."""

from collections.abc import Container, Iterable, Sequence

from ds2.report.numbers import Excerpt
from ds2.report.sheets import Sheet, written
from ds2.report.text import fenced, join, markdown_text

__all__ = ["quoted", "sheet_parts", "table"]


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, words: Container[int] = (0,)
) -> str:
    """Write a table whose cells are already Markdown; columns of ``words`` are set to the left."""
    rule = ["---" if place in words else "---:" for place in range(len(head))]
    lines = [head, rule, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def sheet_parts(sheet: Sheet) -> list[str]:
    """Write a sheet: heading, sentence, table."""
    kinds = [column.kind for column in sheet.columns]
    rows = [
        [markdown_text(written(value, kind)) for value, kind in zip(row, kinds, strict=True)]
        for row in sheet.rows
    ]
    head = [markdown_text(column.head) for column in sheet.columns]
    words = {0, *(place for place, kind in enumerate(kinds) if kind == "text")}
    says = [markdown_text(sheet.says)] if sheet.says else []
    return [f"### {markdown_text(sheet.title)}", *says, table(head, rows, words=words)]


def quoted(part: Excerpt) -> str:
    """Write a text as a block that it cannot get out of."""
    return fenced(join(part))
