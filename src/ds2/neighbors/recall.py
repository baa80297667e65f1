"""How many of the true neighbours an approximate search found, measured on a sample."""

from dataclasses import dataclass

import numpy as np

from ds2.neighbors.blocks import sort_candidates
from ds2.neighbors.exact import exact_candidates

__all__ = ["RecallSample"]

SAMPLE = 1000
#: Distances closer than this are a tie: either row is a right answer.
TIE = 2e-6


@dataclass(frozen=True, slots=True)
class RecallSample:
    """Some rows with the distances of their true nearest neighbours.

    Attributes:
        rows: (r,) row numbers, ascending.
        distances: (r, k) true distances, ascending.
    """

    rows: np.ndarray
    distances: np.ndarray

    @classmethod
    def draw(cls, vectors: np.ndarray, entries: np.ndarray, k: int, seed: int) -> "RecallSample":
        """Choose up to 1,000 of the entries at random and search them exactly."""
        rng = np.random.default_rng(seed)
        n = len(entries)
        rows = entries[np.sort(rng.choice(n, size=min(SAMPLE, n), replace=False))]
        candidates = exact_candidates(vectors, entries, rows, min(k + 1, n - 1))
        _, distances = sort_candidates(vectors, rows, candidates, k)
        return cls(rows, distances)

    def recall(self, distances: np.ndarray) -> tuple[float, float]:
        """Share of the true k nearest among the found, and its standard error over rows.

        A found row counts when it is no farther than the true k-th neighbour.
        """
        hits = (distances <= self.distances[:, -1:] + TIE).mean(axis=1)
        return float(hits.mean()), float(hits.std() / np.sqrt(len(hits)))
