"""What an example's neighbours vote for, within one draw.

    v[c] = Σ over the neighbours in the draw, and the example, of (1 − distance) · [score = c]

with weights clipped at 0, and the example's own distance replaced by 2·d1 − d2.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ds2.neighbors import Neighbors

__all__ = ["Ballot", "Votes"]


@dataclass(frozen=True, slots=True)
class Votes:
    """The votes of one draw.

    Attributes:
        agreement: (r,) v[observed] / ‖v‖₂; 1 where nothing has any weight.
        suggestion: (r,) argmax v.
        visited: (r,) whether the example and at least one rated neighbour are in the draw.
    """

    agreement: np.ndarray
    suggestion: np.ndarray
    visited: np.ndarray


@dataclass(frozen=True, slots=True)
class Ballot:
    """Everything about a pool that does not change between draws.

    Exact duplicates with one score are one example here, however many rows they are.

    Attributes:
        rows: (r,) a rated row for each entry and each score that its rows were given.
        of_row: (n,) the place in ``rows`` that speaks for a row; −1 where unrated.
        entry: (r,) the entry each belongs to.
        own: (r,) their scores.
        own_weight: (r,) the weight of the own score.
        weights: (r, n) sparse, 1 − distance of each neighbour.
        links: (r, n) sparse, 1 at each neighbour.
        hot: (n, s) one-hot entry scores, zeros where unrated.
    """

    rows: np.ndarray
    of_row: np.ndarray
    entry: np.ndarray
    own: np.ndarray
    own_weight: np.ndarray
    weights: Any
    links: Any
    hot: np.ndarray

    @classmethod
    def build(cls, scores: np.ndarray, neighbors: Neighbors, n_scores: int) -> "Ballot":
        """Prepare the votes of a pool; ``scores`` (n,) whole numbers, NaN where unrated."""
        from scipy.sparse import csr_array

        rated = np.flatnonzero(~np.isnan(scores))
        entry = rated if neighbors.groups is None else neighbors.groups[rated]
        _, first, place = np.unique(
            entry * n_scores + scores[rated].astype(np.int64),
            return_index=True,
            return_inverse=True,
        )
        rows, entry = rated[first], entry[first]
        of_row = np.full(len(scores), -1)
        of_row[rated] = place.reshape(-1)
        distances = neighbors.distances[rows].astype(np.float64)
        nearest, second = distances[:, 0], distances[:, min(1, neighbors.k - 1)]
        columns = neighbors.indices[rows].ravel()
        pointers = np.arange(len(rows) + 1) * neighbors.k
        shape = (len(rows), neighbors.n)
        near = np.clip(1 - distances, 0, None).ravel()
        shared = neighbors.entry_scores(scores)
        return cls(
            rows=rows,
            of_row=of_row,
            entry=entry,
            own=scores[rows].astype(np.int64),
            own_weight=np.clip(1 - (2 * nearest - second), 0, None),
            weights=csr_array((near, columns, pointers), shape=shape),
            links=csr_array((np.ones(len(columns)), columns, pointers), shape=shape),
            hot=(shared[:, None] == np.arange(n_scores)).astype(np.float64),
        )

    def votes(self, drawn: np.ndarray) -> Votes:
        """Count the votes of one draw; ``drawn`` (n,) marks the entries that are in it."""
        voters = self.hot * drawn[:, None]
        tally = self.weights @ voters
        everyone = np.arange(len(self.rows))
        tally[everyone, self.own] += self.own_weight
        norm = np.sqrt((tally**2).sum(axis=1))
        agreement = np.divide(
            tally[everyone, self.own], norm, out=np.ones(len(norm)), where=norm > 0
        )
        accompanied = self.links @ voters.any(axis=1).astype(np.float64) > 0
        return Votes(agreement, tally.argmax(axis=1), accompanied & drawn[self.entry])
