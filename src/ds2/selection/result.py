"""The result of a selection."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ds2.arrays import Rows

__all__ = ["Selection"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows, in which order, and why.

    Attributes:
        rows: (m,) row numbers in pick order. Without constraints any prefix is the selection of
            that size.
        reasons: one sentence for each row.
        method: how they were chosen.
        dropped: how many rows could not be chosen, by the reason ("unrated", "duplicate").
        dropped_rows: which those are, their row numbers, ascending, by the reason.
    """

    rows: Rows
    reasons: tuple[str, ...]
    method: str
    dropped: Mapping[str, int]
    dropped_rows: Mapping[str, np.ndarray] = field(default_factory=dict)
