"""What the scores of an example and its neighbours say together: counted once, on the graph."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ds2.arrays import Consensus
from ds2.neighbors import Neighbors

__all__ = ["ScoreGraph"]


@dataclass(frozen=True, slots=True)
class ScoreGraph:
    """The scores of the rated entries, and who neighbours whom.

    Exact duplicates are one entry, so a text that occurs a hundred times is counted once and
    never with itself.

    Attributes:
        rows: (e,) row numbers of the rated entries.
        own: (e,) their scores, 0 … s − 1.
        scores: (n,) entry scores as small ints, −1 where unrated.
        indices: (e, k) row numbers of their neighbours, nearest first.
        n_scores: s.
    """

    rows: np.ndarray
    own: np.ndarray
    scores: np.ndarray
    indices: np.ndarray
    n_scores: int

    @classmethod
    def build(cls, scores: np.ndarray, neighbors: Neighbors, n_scores: int) -> "ScoreGraph":
        """Take the rated entries of a pool; ``scores`` (n,) whole numbers, NaN where unrated."""
        shared = neighbors.entry_scores(scores)
        rows = np.flatnonzero(neighbors.entries() & ~np.isnan(shared))
        small = np.where(np.isnan(shared), -1, shared).astype(np.int8)
        return cls(rows, small[rows], small, neighbors.indices[rows], n_scores)

    @property
    def observed(self) -> np.ndarray:
        """(s,) Share of each score among the rated entries."""
        return np.bincount(self.own, minlength=self.n_scores) / len(self.own)

    def spread(self, values: np.ndarray) -> np.ndarray:
        """(n,) int8 with ``values`` (e,) at the rated entries and −1 elsewhere."""
        result = np.full(len(self.scores), -1, dtype=np.int8)
        result[self.rows] = values
        return result

    def adjacency(self, n_neighbors: int) -> Any:
        """(e, n) sparse matrix with a 1 for each of an entry's first ``n_neighbors``."""
        from scipy.sparse import csr_array

        e, n = len(self.rows), len(self.scores)
        columns = np.ascontiguousarray(self.indices[:, :n_neighbors]).ravel()
        pointers = np.arange(e + 1) * n_neighbors
        return csr_array((np.ones(len(columns), np.float32), columns, pointers), shape=(e, n))

    def count(self, n_neighbors: int) -> Consensus:
        """c3[a, b, c]: joint frequency of the own score and those of two of the neighbours."""
        own_hot = one_hot(self.own, self.n_scores)
        near = self.adjacency(n_neighbors) @ one_hot(self.scores, self.n_scores)
        return count_triples(own_hot, near)


def one_hot(scores: np.ndarray, n_scores: int) -> np.ndarray:
    """(n, s) float32 with a 1 at each row's score; all zeros where the score is −1."""
    return np.asarray(scores[:, None] == np.arange(n_scores), dtype=np.float32)


def count_triples(own: np.ndarray, near: np.ndarray) -> Consensus:
    """Frequencies of (own, neighbour, neighbour) over all pairs of an example's neighbours.

    With h[x] the number of neighbours of score x, the ordered pairs (b, c) of two different
    neighbours number h[b]·h[c] − [b = c]·h[b]; nothing loops over pairs.

    Args:
        own: (e, s) one row per example, a 1 at its score.
        near: (e, s) how many of its neighbours have each score.

    Returns:
        (s, s, s), symmetric in the last two axes, summing to 1 (all zeros without any pair).
    """
    n_scores = own.shape[1]
    table = np.empty((n_scores, n_scores, n_scores))
    for a in range(n_scores):
        h = near[own[:, a] > 0].astype(np.float64)
        table[a] = h.T @ h - np.diag(h.sum(axis=0))
    total = table.sum()
    return np.asarray(table / total if total > 0 else table)
