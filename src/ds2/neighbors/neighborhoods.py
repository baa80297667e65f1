"""Folds and blocks of whole neighbourhoods, so that evidence does not leak between near rows."""

import numpy as np

from ds2.keys import random_order_keys
from ds2.neighbors.graph import Neighbors

__all__ = ["deal", "neighborhoods"]

#: Neighbourhoods are merged once more while their mean size is below this …
WANTED_SIZE = 8
#: … and while the largest stays below this share of the pool.
LARGEST_SHARE = 0.05
#: Stream of random order for dealing; see `ds2.keys`.
DEAL = 2**33


def neighborhoods(neighbors: Neighbors) -> np.ndarray:
    """(n,) a neighbourhood's number for each row; duplicates are always together.

    Each example is joined with its nearest neighbour; then each neighbourhood with the one that
    is nearest to it, until a neighbourhood has 8 examples on average.
    """
    n = neighbors.n
    first = np.arange(n) if neighbors.groups is None else neighbors.groups
    label = _components(np.arange(n), first, n)
    if neighbors.k == 0:
        return label
    columns, distances = neighbors.indices, neighbors.distances
    while label.max() + 1 > n / WANTED_SIZE:
        outside = label[columns] != label[:, None]
        nearest = np.where(outside, distances, np.inf)
        choice = nearest.argmin(axis=1)
        reach = nearest[np.arange(n), choice]
        order = np.lexsort((reach, label))
        lead = order[np.flatnonzero(np.diff(label[order], prepend=-1))]
        lead = lead[np.isfinite(reach[lead])]
        merged = _components(label[lead], label[columns[lead, choice[lead]]], label.max() + 1)
        if len(lead) == 0 or np.bincount(merged[label]).max() > max(LARGEST_SHARE * n, 20):
            break
        label = merged[label]
    return label


def _components(a: np.ndarray, b: np.ndarray, n: int) -> np.ndarray:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(a), np.int8), (a, b)), shape=(n, n))
    return np.asarray(connected_components(links, directed=False)[1])


def deal(labels: np.ndarray, keys: np.ndarray, n_parts: int, seed: int, stream: int) -> np.ndarray:
    """(n,) a part 0 … n_parts − 1 for each row; rows of one neighbourhood share it.

    The order of dealing depends on the smallest key of each neighbourhood, not on row numbers.
    """
    smallest = np.full(labels.max() + 1, np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(smallest, labels, keys)
    order = np.lexsort((smallest, random_order_keys(smallest, seed, DEAL + stream)))
    part = np.empty(len(smallest), dtype=np.int64)
    part[order] = np.arange(len(smallest)) % n_parts
    return np.asarray(part[labels])
