"""Rows that every rater scored alike are one pattern: EM then costs no more at 300,000 rows.

Gold enters as one more rater who never errs. A fractional gold score is shared between the two
levels that it lies between.
"""

from dataclasses import dataclass

import numpy as np

from ds2.levels import split_levels

__all__ = ["Patterns"]


@dataclass(frozen=True, slots=True)
class Patterns:
    """The distinct rows of a table of scores.

    Attributes:
        scores: (u, r) small ints, −1 where a rater gave none.
        gold: (u, s) share of each level in the gold score; all ones where there is none.
        known: (u,) whether there is a gold score.
        counts: (u,) how many rows have the pattern.
        of_row: (n,) the pattern of each row.
    """

    scores: np.ndarray
    gold: np.ndarray
    known: np.ndarray
    counts: np.ndarray
    of_row: np.ndarray

    @classmethod
    def build(cls, scores: np.ndarray, gold: np.ndarray | None, n_scores: int) -> "Patterns":
        """Find them; ``scores`` (n, r) with NaN where missing, ``gold`` (n,) likewise or None."""
        n, r = scores.shape
        small = np.where(np.isnan(scores), -1, scores).astype(np.int64)
        trusted = np.full(n, np.nan) if gold is None else gold
        values, place = np.unique(trusted[~np.isnan(trusted)], return_inverse=True)
        code = np.zeros(n, dtype=np.int64)
        code[~np.isnan(trusted)] = 1 + place
        columns = [*(small.T + 1), code]
        base = [n_scores + 1] * r + [len(values) + 1]
        first, of_row, counts = _distinct(columns, base)
        levels = np.vstack([np.ones(n_scores), split_levels(values, n_scores)])
        return cls(
            small[first].astype(np.int16),
            levels[code[first]],
            code[first] > 0,
            counts.astype(np.float64),
            of_row,
        )

    @property
    def rated(self) -> np.ndarray:
        """(u,) Whether any rater, or gold, scored the pattern."""
        return np.asarray((self.scores >= 0).any(axis=1) | self.known)

    def one_hot(self, n_scores: int) -> np.ndarray:
        """(u, r·s) A 1 at each rater's score; zeros where it gave none."""
        hot = self.scores[:, :, None] == np.arange(n_scores)
        return np.asarray(hot.reshape(len(hot), -1), dtype=np.float64)

    def log_gold(self) -> np.ndarray:
        """(u, s) Log of the gold shares, 0 where there is none."""
        return np.asarray(np.log(np.maximum(self.gold, 1e-300)))


def _distinct(
    columns: list[np.ndarray], base: list[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First row, inverse and counts of the distinct rows."""
    if np.prod([float(b) for b in base]) < 2.0**62:
        key = np.zeros(len(columns[0]), dtype=np.int64)
        for column, radix in zip(columns, base, strict=True):
            key = key * radix + column
        _, first, inverse, counts = np.unique(
            key, return_index=True, return_inverse=True, return_counts=True
        )
    else:
        _, first, inverse, counts = np.unique(
            np.stack(columns, axis=1),
            axis=0,
            return_index=True,
            return_inverse=True,
            return_counts=True,
        )
    return first, inverse.reshape(-1), counts
