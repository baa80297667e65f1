"""Sheets: tables of numbers whose columns say how a value is written, for every format at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from ds2.report.words import MISSING, count, decimal, interval, share, signed, signed_interval

__all__ = ["Column", "Sheet", "Value", "written"]

Kind = Literal[
    "text", "count", "share", "decimal", "fine", "exact", "usd",
    "interval", "signed", "signed interval",
]  # fmt: skip
Value = str | int | float | tuple[float | None, float | None] | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, and how its values are written.

    The kinds: "text" (as it is), "count" (52,002), "share" (a fraction as a percentage), "decimal"
    (two digits), "fine" (three), "exact" (four), "usd" (money), "interval" (two ends), "signed" and
    "signed interval" (a difference, with four digits).
    """

    head: str
    kind: Kind = "decimal"


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table of a report.

    Attributes:
        title: its heading.
        says: what it shows, in a sentence or two; may be empty.
        columns: the first one names the row.
        rows: one value a column; None where there is none.
    """

    title: str
    says: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]


def written(value: Value, kind: Kind) -> str:
    """Write a value; a dash where there is none. Text is returned as it is: escape it."""
    if value is None:
        return MISSING
    return _WAYS[kind](value)


def _usd(value: float) -> str:
    return f"{decimal(value, 2 if value >= 0.1 or value == 0 else 4)} USD"


_WAYS: Mapping[str, Callable[..., str]] = {
    "text": str,
    "count": count,
    "share": share,
    "decimal": decimal,
    "fine": lambda value: decimal(value, 3),
    "exact": lambda value: decimal(value, 4),
    "usd": _usd,
    "interval": lambda ends: interval(*ends),
    "signed": signed,
    "signed interval": signed_interval,
}
