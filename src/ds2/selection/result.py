"""The result of a selection."""

from collections.abc import Mapping
from dataclasses import dataclass

from ds2.arrays import Rows

__all__ = ["Selection"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows, in which order, and why.

    Attributes:
        rows: (m,) row numbers in pick order: any prefix is the selection of that size.
        reasons: one sentence for each row.
        method: how they were chosen.
        dropped: how many rows could not be chosen, by the reason ("unrated", "duplicate").
    """

    rows: Rows
    reasons: tuple[str, ...]
    method: str
    dropped: Mapping[str, int]
