"""What neighbours say on average: at two neighbours, at all of them, and one step further.

Being near is mutual, so an edge counts both ways: an example that is listed by another is its
neighbour too. That widens the reach where it is short and dampens examples that are near to
everything.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ds2.neighbors import Neighbors

__all__ = ["MEANS", "NeighborMeans"]

#: The means of each value, in the order of the last axis.
MEANS = ("the two nearest", "all neighbours", "neighbours of neighbours")


@dataclass(frozen=True, slots=True)
class NeighborMeans:
    """Similarity-weighted means over a graph; exact duplicates are one entry.

    Attributes:
        near: (e, e) sparse weights 1 − distance among the two nearest, both ways.
        all: (e, e) the same among all neighbours.
        rows: (e,) row numbers of the entries.
        entry: (n,) the entry of each row, as a place in ``rows``.
    """

    near: Any
    all: Any
    rows: np.ndarray
    entry: np.ndarray

    @classmethod
    def build(cls, neighbors: Neighbors) -> "NeighborMeans":
        """Prepare the sums over a graph, in memory linear in n · k."""
        rows = np.flatnonzero(neighbors.entries())
        place = np.zeros(neighbors.n, dtype=np.int32)
        place[rows] = np.arange(len(rows), dtype=np.int32)
        first = np.arange(neighbors.n) if neighbors.groups is None else neighbors.groups
        columns = place[neighbors.indices[rows]]
        weights = np.clip(1 - neighbors.distances[rows], 0, None).astype(np.float32)
        return cls(
            near=_both_ways(columns[:, :2], weights[:, :2]),
            all=_both_ways(columns, weights),
            rows=rows,
            entry=place[first],
        )

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Means of each column over the neighbours that have a value; 0 where none has.

        A row's own value is in none of them.

        Args:
            values: (n, c) floats, NaN where missing. Centre them first: 0 says "nothing known".

        Returns:
            (n, c, 3) float32, in the order of `MEANS`.
        """
        own, weight = self._at_entries(values)
        near, _ = _mean(self.near, own, weight)
        once, mass = _mean(self.all, own, weight)
        twice, reached = _mean(self.all, once, (mass > 0).astype(np.float32))
        # of the ways of two steps some come back: their share of the mean is the row's own value
        back = self.all.power(2) @ np.divide(1, mass, out=np.zeros_like(mass), where=mass > 0)
        share = np.divide(back * weight, reached, out=np.zeros_like(back), where=reached > 0)
        away = 1 - np.minimum(share, 1)
        twice = np.divide(twice - share * own, away, out=np.zeros_like(twice), where=away > 1e-3)
        return np.asarray(np.stack([near, once, twice], axis=2)[self.entry])

    def _at_entries(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(e, c) mean value of each entry's rows, 0 where none has one, and a 1 where one has."""
        known = ~np.isnan(values)
        filled = np.where(known, values, 0.0)
        if len(self.rows) == len(values):
            return filled.astype(np.float32), known.astype(np.float32)
        total, count = (
            np.stack(
                [np.bincount(self.entry, column, minlength=len(self.rows)) for column in table.T],
                axis=1,
            )
            for table in (filled, known)
        )
        mean = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
        return mean.astype(np.float32), (count > 0).astype(np.float32)


def _both_ways(columns: np.ndarray, weights: np.ndarray) -> Any:
    from scipy.sparse import csr_array

    n, k = columns.shape
    pointers = np.arange(n + 1) * k
    directed = csr_array((weights.ravel(), columns.ravel(), pointers), shape=(n, n))
    return (directed + directed.T).tocsr()


def _mean(graph: Any, values: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    total = graph @ (values * weight)
    mass = np.broadcast_to(graph @ (weight[:, :1] if weight.all() else weight), total.shape)
    return np.divide(total, mass, out=np.zeros_like(total), where=mass > 0), mass
