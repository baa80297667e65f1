"""The parts that a Markdown report is put together from: tables and shown examples."""

from collections.abc import Container, Iterable, Sequence

from ds2.report.numbers import Correction, Count, Excerpt, SharedBy
from ds2.report.sheets import Sheet, written
from ds2.report.text import fenced, join, markdown_text
from ds2.report.words import count, decimal, of, score

__all__ = ["compared", "correction", "counted", "quoted", "sheet_parts", "table"]


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, words: Container[int] = (0,)
) -> str:
    """Write a table whose cells are already Markdown; columns of ``words`` are set to the left."""
    rule = ["---" if place in words else "---:" for place in range(len(head))]
    lines = [head, rule, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def counted(head: str, rows: Sequence[Count]) -> str:
    """Write how many examples each name has."""
    return table([head, "examples"], [[markdown_text(row.label), count(row.n)] for row in rows])


def compared(head: str, rows: Sequence[SharedBy], n_pool: int, n_selected: int) -> str:
    """Write how the pool and the selection fall into the same classes."""
    return table(
        [head, "pool", "share", "selected", "share"],
        [
            [
                markdown_text(row.label),
                count(row.pool),
                of(row.pool, n_pool),
                count(row.selected),
                of(row.selected, n_selected),
            ]
            for row in rows
        ],
    )


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


def correction(item: Correction) -> list[str]:
    """Write a changed score with its text and those of its neighbours."""
    facts = [f"confidence {decimal(item.confidence)}", f"row {count(item.row)}"]
    facts += [] if item.source is None else [f"source {markdown_text(item.source)}"]
    facts += [] if item.true is None else [f"true score {score(item.true)}"]
    parts = [
        f"#### {markdown_text(item.id)}: {score(item.observed)} → {score(item.curated)}",
        ", ".join(facts),
        quoted(item.text),
    ]
    for near in item.neighbors:
        name = markdown_text(near.id)
        parts.append(
            f"Neighbour {name}: score {score(near.score)}, distance {decimal(near.distance, 3)}"
        )
        parts.append(quoted(near.text))
    return parts
