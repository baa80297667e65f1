"""The scores of a pool on its graph: triples of them, counted once, and the lift.

Lift is neighbour agreement above chance: does the method's assumption hold on this pool?

    lift = (agreement − chance) / (1 − chance),     chance = Σ_c q[c]²

with q the observed marginal. In the soft model lift = rho · (Σ_i p[i] Σ_a T[i,a]² − chance) /
(1 − chance) ≤ rho: it mixes how often neighbours share the true score with how noisy the rater is.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ds2.measures import Interval, Z
from ds2.neighbors import Neighbors

__all__ = ["Lift", "ScoreGraph", "count_triples", "measure_lift", "one_hot"]


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

    def count(self, n_neighbors: int, again: np.ndarray | None = None) -> np.ndarray:
        """c3[a, b, c]: joint frequency of the own score and those of two of the neighbours.

        With ``again`` (e,), second scores of the entries or −1, an entry that has one is counted
        by both of its scores, x and y, at a = s + x·s + y.

        Returns:
            (s, s, s), or (s + s², s, s) with ``again``.
        """
        s = self.n_scores
        own_hot = one_hot(self.own, s)
        if again is not None:
            twice = s + self.own.astype(np.int64) * s + again
            own_hot = one_hot(np.where(again >= 0, twice, self.own), s + s * s)
        near = self.adjacency(n_neighbors) @ one_hot(self.scores, self.n_scores)
        return count_triples(own_hot, near)


def one_hot(scores: np.ndarray, n_scores: int) -> np.ndarray:
    """(n, s) float32 with a 1 at each row's score; all zeros where the score is −1."""
    return np.asarray(scores[:, None] == np.arange(n_scores), dtype=np.float32)


def count_triples(own: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Frequencies of (own, neighbour, neighbour) over all pairs of an example's neighbours.

    With h[x] the number of neighbours of score x, the ordered pairs (b, c) of two different
    neighbours number h[b]·h[c] − [b = c]·h[b]; nothing loops over pairs.

    Args:
        own: (e, a) one row per example, a 1 at its score.
        near: (e, s) how many of its neighbours have each score.

    Returns:
        (a, s, s), symmetric in the last two axes, summing to 1 (all zeros without any pair).
    """
    n_scores = near.shape[1]
    table = np.empty((own.shape[1], n_scores, n_scores))
    for a in range(own.shape[1]):
        h = near[own[:, a] > 0].astype(np.float64)
        table[a] = h.T @ h - np.diag(h.sum(axis=0))
    total = table.sum()
    return np.asarray(table / total if total > 0 else table)


@dataclass(frozen=True, slots=True)
class Lift(Interval):
    """Agreement of an example's score with those of its first ``k`` neighbours.

    Attributes:
        value: lift.
        low: lower end of its 95 % interval.
        high: upper end.
        k: how many neighbours were looked at.
        agreement: share of (example, neighbour) pairs with equal scores.
        chance: the share that independent scores of the same marginal would have.
        n_pairs: how many pairs were counted.
    """

    k: int = 1
    agreement: float = float("nan")
    chance: float = float("nan")
    n_pairs: int = 0


def measure_lift(graph: ScoreGraph, k: int, *, first: int = 0) -> Lift:
    """Lift over the neighbours of rank ``first`` … ``k`` − 1 (0 is the nearest).

    The interval allows for pairs that share an example (dyadic-robust variance: Aronow, Samii and
    Assenova 2015) and for the marginal being estimated from the same scores.
    """
    q = graph.observed
    chance = float((q**2).sum())
    near = graph.scores[graph.indices[:, first:k]]
    known = near >= 0
    n_pairs = int(known.sum())
    if n_pairs == 0 or chance >= 1.0:
        agreement = 1.0 if n_pairs else float("nan")
        return Lift(float("nan"), k=k, agreement=agreement, chance=chance, n_pairs=n_pairs)
    equal = near == graph.own[:, None]
    agreement = float(equal[known].mean())
    value = (agreement - chance) / (1 - chance)
    centred = np.where(known, equal - agreement, 0.0) / (n_pairs * (1 - chance))
    slope = 2 * (1 - agreement) / (1 - chance) ** 2
    marginal = slope * (q[graph.own] - chance) / len(graph.own)
    error = _standard_error(graph, centred, graph.indices[:, first:k], marginal)
    low, high = value - Z * error, value + Z * error
    return Lift(value, low, high, k=k, agreement=agreement, chance=chance, n_pairs=n_pairs)


def _standard_error(
    graph: ScoreGraph, pairs: np.ndarray, targets: np.ndarray, marginal: np.ndarray
) -> float:
    """From each example's influence, through all of its pairs and through the marginal."""
    by_row = np.bincount(targets.ravel(), weights=pairs.ravel(), minlength=len(graph.scores))
    by_row[graph.rows] += pairs.sum(axis=1) - marginal
    once = float((pairs**2).sum())  # each pair stands at both of its ends
    return float(np.sqrt(max(float((by_row**2).sum()) - once, once)))
