"""The neighbour graph: computed once, read by everything after it."""

from dataclasses import dataclass

import numpy as np

from ds2.arrays import Groups, Mask, NeighborDistances, NeighborIndices
from ds2.errors import InputError
from ds2.shown import Shown

__all__ = ["Neighbors"]


@dataclass(frozen=True, slots=True, repr=False)
class Neighbors(Shown):
    """The k nearest neighbours of every example, the example itself never included.

    Exact duplicates share one *entry*: they have the same neighbours, and an entry stands in the
    lists of others once, as the first row of its group.

    Attributes:
        indices: (n, k) row numbers, nearest first; always the first row of a group.
        distances: (n, k) cosine distances in [0, 2], ascending.
        recall: share of the true k nearest that were found, measured on a sample of rows
            against exact search (1.0 for an exact search).
        method: "exact", "approximate" or "cells".
        groups: (n,) row number of the first example of each example's duplicate group, or None
            when no two examples are duplicates.
    """

    indices: NeighborIndices
    distances: NeighborDistances
    recall: float
    method: str
    groups: Groups | None = None

    def __post_init__(self) -> None:
        n = len(self.indices)
        if self.indices.shape != self.distances.shape:
            raise InputError(
                f"'indices' and 'distances' must have one shape. Got {self.indices.shape} and "
                f"{self.distances.shape}."
            )
        if self.indices.size and not (self.indices.min() >= 0 and self.indices.max() < n):
            raise InputError(f"'indices' must be row numbers in [0, {n - 1}].")
        if self.groups is not None and self.groups.shape != (n,):
            raise InputError(f"'groups' must have {n} rows. Got shape {self.groups.shape}.")

    @property
    def n(self) -> int:
        """How many examples there are."""
        return len(self.indices)

    @property
    def k(self) -> int:
        """How many neighbours each example has."""
        return int(self.indices.shape[1])

    @property
    def n_duplicates(self) -> int:
        """How many examples repeat an earlier one exactly."""
        return 0 if self.groups is None else int((self.groups != np.arange(self.n)).sum())

    def entries(self) -> Mask:
        """(n,) True for the first example of each duplicate group: one per distinct example."""
        if self.groups is None:
            return np.ones(self.n, dtype=bool)
        return np.asarray(self.groups == np.arange(self.n))

    def entry_scores(self, scores: np.ndarray) -> np.ndarray:
        """Scores with each first row of a duplicate group holding its group's score.

        The group's score is the lower median of the scores present in the group: a score that
        was observed, whatever the order of the rows. Other rows keep their own.

        Args:
            scores: (n,) floats, NaN where unrated.
        """
        if self.groups is None or self.n_duplicates == 0:
            return scores
        sizes = np.bincount(self.groups, minlength=self.n)
        shared = np.flatnonzero(sizes[self.groups] > 1)
        rated = shared[~np.isnan(scores[shared])]
        order = rated[np.lexsort((scores[rated], self.groups[rated]))]
        labels, starts, counts = np.unique(
            self.groups[order], return_index=True, return_counts=True
        )
        result = scores.copy()
        result[labels] = scores[order[starts + (counts - 1) // 2]]
        return result
