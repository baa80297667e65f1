"""Folds and blocks of whole neighbourhoods, so that evidence does not leak between near rows."""

import numpy as np

from ds2.keys import random_order_keys
from ds2.neighbors.graph import Neighbors

__all__ = ["deal", "neighborhoods"]

#: Neighbourhoods have so many examples on average, where that leaves at least so many of them.
LARGEST_MEAN, LEAST_COUNT = 100, 15
#: None holds more than this share of the pool.
LARGEST_SHARE = 0.1
#: Stream of random order for dealing; see `ds2.keys`.
DEAL = 2**33


def neighborhoods(neighbors: Neighbors) -> np.ndarray:
    """(n,) a neighbourhood's number for each row; duplicates are always together.

    Each example is joined with its nearest neighbour; then each neighbourhood with the one that
    is nearest to it, until they are as large as what near examples share may reach: 100 examples
    on average, and fewer in a small pool, since an interval needs some of them.
    """
    n = neighbors.n
    first = np.arange(n) if neighbors.groups is None else neighbors.groups
    label = _components(np.arange(n), first, n)
    wanted = max(LEAST_COUNT, n / LARGEST_MEAN)
    most = max(LARGEST_SHARE * n, 20)
    columns, distances = neighbors.indices, neighbors.distances
    while neighbors.k and label.max() + 1 > wanted:
        outside = label[columns] != label[:, None]
        nearest = np.where(outside, distances, np.inf)
        choice = nearest.argmin(axis=1)
        reach = nearest[np.arange(n), choice]
        order = np.lexsort((reach, label))
        lead = order[np.flatnonzero(np.diff(label[order], prepend=-1))]
        lead = lead[np.isfinite(reach[lead])]
        merged = _components(label[lead], label[columns[lead, choice[lead]]], label.max() + 1)
        large = np.bincount(merged[label]) > most
        joined = np.where(large[merged], len(merged) + np.arange(len(merged)), merged)
        joined = np.unique(joined, return_inverse=True)[1].reshape(-1)
        if joined.max() == label.max():
            break
        label = joined[label]
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
