"""What was said of examples, and of pairs of an example and a neighbour, counted once.

Rows that every rater scored alike are one pattern: EM then costs no more at 300,000 rows. Gold
enters as one more rater who never errs; a fractional gold score is shared between the two levels
that it lies between. A pair of neighbours is a pair of patterns. With few raters there are few of
them; where they are very many, a random part of the examples stands for all.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ds2.levels import split_levels
from ds2.neighbors import Neighbors

__all__ = ["Links", "Patterns"]

#: Rounds of joining an example to the least numbered among its neighbours.
BLOCK_ROUNDS = 1


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


@dataclass(frozen=True, slots=True)
class Links:
    """Distinct pairs of patterns, an example's and its neighbour's, and how often they occur.

    Attributes:
        first: (m,) pattern of the example.
        second: (m,) pattern of the neighbour.
        counts: (m,) weight of the pair; an example's pairs weigh 1 together.
        by_block: (b, m) sparse, the part of ``counts`` that touches each block of the graph.
        across: (x, m) sparse, the part that connects each two blocks.
    """

    first: np.ndarray
    second: np.ndarray
    counts: np.ndarray
    by_block: Any
    across: Any

    @classmethod
    def build(
        cls,
        patterns: Patterns,
        neighbors: Neighbors,
        n_neighbors: int,
        rng: np.random.Generator,
        *,
        most: int,
    ) -> "Links":
        """Count the pairs of the distinct examples.

        Args:
            patterns: of every row's scores, duplicates sharing theirs.
            neighbors: the graph.
            n_neighbors: how many of each example's neighbours are counted.
            rng: chooses examples where there are too many pairs, and the blocks.
            most: distinct pairs.
        """
        u = len(patterns.counts)
        rated = patterns.rated[patterns.of_row] & neighbors.entries()
        rows = np.flatnonzero(rated)
        blocks = _blocks(neighbors, rng)
        if u**2 > most and len(rows) * n_neighbors > most:
            n_neighbors = min(n_neighbors, 2)
            rows = np.sort(rng.permutation(rows)[: most // n_neighbors])
        near = neighbors.indices[rows, :n_neighbors]
        known = rated[near]
        weight = np.where(known, 1.0 / np.maximum(known.sum(axis=1, keepdims=True), 1), 0.0)[known]
        a = np.broadcast_to(patterns.of_row[rows][:, None], near.shape)[known]
        b = patterns.of_row[near][known]
        distinct, place = np.unique(np.minimum(a, b) * u + np.maximum(a, b), return_inverse=True)
        place = place.reshape(-1)
        ends = np.broadcast_to(blocks[rows][:, None], near.shape)[known], blocks[near][known]
        by_block, across = _touching(*ends, place, weight, len(distinct))
        return cls(
            first=distinct // u,
            second=distinct % u,
            counts=np.bincount(place, weights=weight, minlength=len(distinct)),
            by_block=by_block,
            across=across,
        )

    def without_each(self, n_groups: int) -> list[np.ndarray]:
        """Counts (m,) without each group of blocks, and without what touches it."""
        rows = np.arange(self.by_block.shape[0]) % n_groups
        groups = [
            np.asarray((rows == group) @ self.by_block).ravel() for group in range(rows.max() + 1)
        ]
        return [np.maximum(self.counts - group, 0.0) for group in groups]

    def spread(self, slopes: np.ndarray) -> np.ndarray:
        """Sum over blocks of the squares of their ``slopes`` (m, d): what spreads the estimate."""
        touching, twice = self.by_block @ slopes, self.across @ slopes
        return np.asarray(touching.T @ touching - twice.T @ twice)


def _blocks(neighbors: Neighbors, rng: np.random.Generator) -> np.ndarray:
    """(n,) A block for each row: it joins the least numbered around it, in random numbering."""
    label = rng.permutation(neighbors.n)
    for _ in range(BLOCK_ROUNDS):
        label = np.minimum(label, label[neighbors.indices].min(axis=1))
    return np.asarray(np.unique(label, return_inverse=True)[1]).reshape(-1)


def _touching(
    a: np.ndarray, b: np.ndarray, place: np.ndarray, weight: np.ndarray, width: int
) -> tuple[Any, Any]:
    """(b, m) pairs by the blocks that they touch, and (x, m) by the two blocks that they connect.

    Within one block they count once; the second is what the first counts twice.
    """
    from scipy.sparse import csr_array

    def table(rows: np.ndarray, columns: np.ndarray, values: np.ndarray) -> Any:
        height = int(rows.max()) + 1 if len(rows) else 1
        return csr_array((values, (rows, columns)), shape=(height, width))

    apart = a != b
    by_block = table(
        np.concatenate([a, b[apart]]),
        np.concatenate([place, place[apart]]),
        np.concatenate([weight, weight[apart]]),
    )
    low, high = np.minimum(a, b)[apart], np.maximum(a, b)[apart]
    each = int(max(a.max(initial=0), b.max(initial=0))) + 1
    between = np.unique(low * each + high, return_inverse=True)[1]
    return by_block, table(between.reshape(-1), place[apart], weight[apart])


def _distinct(
    columns: list[np.ndarray], base: list[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First row, inverse and counts of the distinct rows."""
    key, axis = np.zeros(len(columns[0]), dtype=np.int64), None
    if np.prod([float(b) for b in base]) < 2.0**62:
        for column, radix in zip(columns, base, strict=True):
            key = key * radix + column
    else:
        key, axis = np.stack(columns, axis=1), 0
    _, first, inverse, counts = np.unique(
        key, return_index=True, return_inverse=True, return_counts=True, axis=axis
    )
    return first, inverse.reshape(-1), counts
