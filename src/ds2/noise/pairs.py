"""Pairs of an example and a neighbour, as counted pairs of patterns.

With few raters there are few patterns, and all pairs fit in one table; with many, the distinct
pairs are listed, and where they are very many, a random part of the examples stands for all.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ds2.neighbors import Neighbors
from ds2.noise.em import TINY
from ds2.noise.patterns import Patterns

__all__ = ["PairTable"]

#: Distinct pairs that are looked at in one step.
MAX_PAIRS = 250_000
#: Rounds of joining an example to the least numbered among its neighbours.
BLOCK_ROUNDS = 1


@dataclass(frozen=True, slots=True)
class PairTable:
    """Distinct pairs of patterns and how often they occur.

    Attributes:
        hot: (u, c·s) a 1 at each column's score, zeros where it has none.
        log_gold: (u, s) log of the gold shares, 0 where there is none.
        of_column: (c,) which rater's matrix a column belongs to.
        observed: (s,) shares of the observed scores.
        first: (m,) pattern of the example.
        second: (m,) pattern of the neighbour.
        counts: (m,) weight of the pair; an example's pairs weigh 1 together.
        by_block: (b, m) sparse, the part of ``counts`` that touches each block of the graph.
        across: (x, m) sparse, the part that connects each two blocks.
        n_examples: examples that were used.
    """

    hot: np.ndarray
    log_gold: np.ndarray
    of_column: np.ndarray
    observed: np.ndarray
    first: np.ndarray
    second: np.ndarray
    counts: np.ndarray
    by_block: Any
    across: Any
    n_examples: int

    @classmethod
    def build(
        cls,
        columns: np.ndarray,
        gold: np.ndarray | None,
        neighbors: Neighbors,
        n_scores: int,
        *,
        of_column: np.ndarray,
        n_neighbors: int,
        rng: np.random.Generator,
    ) -> "PairTable":
        """Count the pairs of the distinct examples.

        Args:
            columns: (n, c) scores, NaN where missing.
            gold: (n,) or None.
            neighbors: the graph.
            n_scores: s.
            of_column: (c,) the rater behind each column (a repeat has its rater's).
            n_neighbors: how many of each example's neighbours are counted.
            rng: chooses examples where there are too many pairs, and the blocks.
        """
        shared = np.column_stack([neighbors.entry_scores(column) for column in columns.T])
        trusted = None if gold is None else neighbors.entry_scores(gold)
        patterns = Patterns.build(shared, trusted, n_scores)
        rated = patterns.rated[patterns.of_row] & neighbors.entries()
        rows = np.flatnonzero(rated)
        blocks = _blocks(neighbors, rng)
        if len(patterns.counts) ** 2 > MAX_PAIRS and len(rows) * n_neighbors > MAX_PAIRS:
            n_neighbors = min(n_neighbors, 2)
            rows = np.sort(rng.permutation(rows)[: MAX_PAIRS // n_neighbors])
        near = neighbors.indices[rows, :n_neighbors]
        known = rated[near]
        weight = np.where(known, 1.0 / np.maximum(known.sum(axis=1, keepdims=True), 1), 0.0)[known]
        a = np.broadcast_to(patterns.of_row[rows][:, None], near.shape)[known]
        b = patterns.of_row[near][known]
        low, high = np.minimum(a, b), np.maximum(a, b)
        distinct, place = np.unique(low * len(patterns.counts) + high, return_inverse=True)
        place = place.reshape(-1)
        ends = np.broadcast_to(blocks[rows][:, None], near.shape)[known], blocks[near][known]
        flat = patterns.scores[patterns.of_row[rows]]
        observed = np.bincount(flat[flat >= 0], minlength=n_scores) + 1.0
        return cls(
            hot=patterns.one_hot(n_scores),
            log_gold=patterns.log_gold(),
            of_column=of_column,
            observed=observed / observed.sum(),
            first=distinct // len(patterns.counts),
            second=distinct % len(patterns.counts),
            counts=np.bincount(place, weights=weight, minlength=len(distinct)),
            by_block=_by_block(ends[0], ends[1], place, weight),
            across=_across(ends[0], ends[1], place, weight),
            n_examples=len(rows),
        )

    @property
    def total(self) -> float:
        """Weight of all pairs together."""
        return float(self.counts.sum())

    def without_each(self, n_groups: int) -> list[np.ndarray]:
        """Counts (m,) without each group of blocks, and without what touches it."""
        rows = np.arange(self.by_block.shape[0]) % n_groups
        groups = [
            np.asarray((rows == group) @ self.by_block).ravel() for group in range(rows.max() + 1)
        ]
        return [np.maximum(self.counts - group, 0.0) for group in groups]

    def probabilities(self, looks: np.ndarray, J: np.ndarray) -> np.ndarray:
        """(m,) Probability of each pair."""
        return np.asarray(((looks @ J)[self.first] * looks[self.second]).sum(axis=1))

    def log_likelihood(self, looks: np.ndarray, J: np.ndarray) -> float:
        """Σ counts · log probability."""
        found = self.probabilities(looks, J)
        return float((self.counts * np.log(np.maximum(found, TINY))).sum())

    def expectations(
        self, looks: np.ndarray, J: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Expected true scores: of the firsts (u, s), the seconds (u, s), and both (s, s)."""
        from scipy.sparse import csr_array

        ratio = self.counts / np.maximum(self.probabilities(looks, J), TINY)
        u = len(looks)
        table = csr_array((ratio, (self.first, self.second)), shape=(u, u))
        toward, back = table @ looks, table.T @ looks
        first = looks * (toward @ J.T)
        second = looks * (back @ J)
        return first, second, J * (looks.T @ toward)

    def information(
        self, looks: np.ndarray, T: np.ndarray, J: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """H and J of `ds2.noise.information`, over the free numbers of T and of J."""
        slopes = self._slopes(looks, T, J)
        information = (slopes * self.counts[:, None]).T @ slopes
        touching, twice = self.by_block @ slopes, self.across @ slopes
        return np.asarray(information), np.asarray(touching.T @ touching - twice.T @ twice)

    def _slopes(self, looks: np.ndarray, T: np.ndarray, J: np.ndarray) -> np.ndarray:
        """(m, cells) Derivative of each pair's log-probability."""
        s = len(J)
        at, to = looks[self.first], looks[self.second]
        joint = at[:, :, None] * J * to[:, None, :]
        joint /= np.maximum(joint.sum(axis=(1, 2), keepdims=True), TINY)
        cells = np.zeros((len(self.first), *T.shape))
        for side, classes in ((self.first, joint.sum(axis=2)), (self.second, joint.sum(axis=1))):
            for c, m in enumerate(self.of_column):
                hot = self.hot[side, c * s : (c + 1) * s]
                off = hot[:, None, :] - hot.sum(axis=1)[:, None, None] * T[m]
                cells[:, m] += classes[:, :, None] * off
        both = (joint + joint.transpose(0, 2, 1)) / 2 - J
        return np.concatenate([cells.reshape(len(cells), -1), both.reshape(len(cells), -1)], axis=1)


def _blocks(neighbors: Neighbors, rng: np.random.Generator) -> np.ndarray:
    """(n,) A block for each row: it joins the least numbered around it, in random numbering."""
    label = rng.permutation(neighbors.n)
    for _ in range(BLOCK_ROUNDS):
        label = np.minimum(label, label[neighbors.indices].min(axis=1))
    return np.asarray(np.unique(label, return_inverse=True)[1]).reshape(-1)


def _by_block(a: np.ndarray, b: np.ndarray, place: np.ndarray, weight: np.ndarray) -> Any:
    """(b, m) Pairs by the blocks that they touch; within one block they count once."""
    apart = a != b
    return _sparse(
        np.concatenate([a, b[apart]]),
        np.concatenate([place, place[apart]]),
        np.concatenate([weight, weight[apart]]),
        int(place.max()) + 1,
    )


def _across(a: np.ndarray, b: np.ndarray, place: np.ndarray, weight: np.ndarray) -> Any:
    """(x, m) Pairs by the two blocks that they connect: what `_by_block` counts twice."""
    apart = a != b
    low, high = np.minimum(a, b)[apart], np.maximum(a, b)[apart]
    between = np.unique(low * (int(max(a.max(), b.max())) + 1) + high, return_inverse=True)[1]
    return _sparse(between.reshape(-1), place[apart], weight[apart], int(place.max()) + 1)


def _sparse(rows: np.ndarray, columns: np.ndarray, values: np.ndarray, width: int) -> Any:
    from scipy.sparse import csr_array

    height = int(rows.max()) + 1 if len(rows) else 1
    return csr_array((values, (rows, columns)), shape=(height, width))
