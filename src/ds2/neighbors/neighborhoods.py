"""Folds and blocks of whole neighbourhoods, so that evidence does not leak between near rows."""

import numpy as np

from ds2.keys import random_order_keys
from ds2.neighbors.blocks import in_threads, row_blocks
from ds2.neighbors.graph import Neighbors

__all__ = ["deal", "neighborhoods", "some_of"]

#: Neighbourhoods have so many examples on average, where that leaves at least so many of them.
LARGEST_MEAN, LEAST_COUNT = 100, 15
#: None holds more than this share of the pool.
LARGEST_SHARE = 0.1
#: Stream of random order for dealing; see `ds2.keys`.
DEAL = 2**33
#: … and for drawing some of them.
SOME = 2**35


def neighborhoods(neighbors: Neighbors) -> np.ndarray:
    """(n,) a neighbourhood's number for each row; duplicates are always together.

    Each example is joined with its nearest neighbour; then each neighbourhood with the one that
    is nearest to it, until they are as large as what near examples share may reach: 100 examples
    on average, and fewer in a small pool, since an interval needs some of them.
    """
    n = neighbors.n
    label = np.arange(n, dtype=np.int32)
    if neighbors.groups is not None:
        label = _components(label, neighbors.groups, n)
    wanted = max(LEAST_COUNT, n / LARGEST_MEAN)
    most = max(LARGEST_SHARE * n, 20)
    while neighbors.k and label.max() + 1 > wanted:
        toward, reach = _nearest_outside(neighbors, label)
        best = np.full(label.max() + 1, np.inf, dtype=reach.dtype)
        np.minimum.at(best, label, reach)
        lead = np.flatnonzero(reach == best[label])[::-1]
        lead = lead[np.isfinite(reach[lead])]
        of = np.full(len(best), -1)
        of[label[lead]] = lead  # of equal ones the first row
        lead = of[of >= 0]
        merged = _components(label[lead], label[toward[lead]], len(best))
        large = np.bincount(merged[label]) > most
        joined = np.where(large[merged], len(merged) + np.arange(len(merged)), merged)
        joined = np.unique(joined, return_inverse=True)[1].reshape(-1).astype(np.int32)
        if joined.max() == label.max():
            break
        label = joined[label]
    return label


def _nearest_outside(neighbors: Neighbors, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) the nearest neighbour of each row that has another label, and its distance: inf without.

    The neighbour of a row without one is of no meaning.
    """
    toward = np.empty(neighbors.n, dtype=neighbors.indices.dtype)
    reach = np.empty(neighbors.n, dtype=neighbors.distances.dtype)

    def look(block: slice) -> None:
        columns = neighbors.indices[block]
        outside = label[columns] != label[block][:, None]
        nearest = np.where(outside, neighbors.distances[block], np.inf)
        at = np.arange(len(columns)), nearest.argmin(axis=1)
        toward[block], reach[block] = columns[at], nearest[at]

    for _ in in_threads(look, row_blocks(neighbors.n)):
        pass
    return toward, reach


def _components(a: np.ndarray, b: np.ndarray, n: int) -> np.ndarray:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(a), np.int8), (a, b)), shape=(n, n))
    return np.asarray(connected_components(links, directed=False)[1])


def deal(labels: np.ndarray, keys: np.ndarray, n_parts: int, seed: int, stream: int) -> np.ndarray:
    """(n,) a part 0 … n_parts − 1 for each row; rows of one neighbourhood share it.

    The order of dealing depends on the smallest key of each neighbourhood, not on row numbers.
    """
    order = _in_turn(labels, keys, seed, DEAL + stream)
    part = np.empty(len(order), dtype=np.int32)
    part[order] = np.arange(len(order)) % n_parts
    return np.asarray(part[labels])


def some_of(
    labels: np.ndarray, keys: np.ndarray, counted: np.ndarray, most: int, seed: int
) -> np.ndarray:
    """(n,) marks whole neighbourhoods that hold at most so many counted rows, drawn by key.

    Args:
        labels: (n,) the neighbourhood of each row.
        keys: (n,) uint64.
        counted: (n,) small whole numbers: 0 for rows that do not count; neighbourhoods with the
            largest are taken first.
        most: how many rows that count may be marked.
        seed: the same seed marks the same rows.
    """
    order = _in_turn(labels, keys, seed, SOME)
    size = np.bincount(labels, weights=counted > 0, minlength=len(order)).astype(np.int64)
    first = np.zeros(len(order), dtype=counted.dtype)
    np.maximum.at(first, labels, counted)
    order = order[np.argsort(-first[order].astype(np.int64), kind="stable")]
    taken = np.zeros(len(order), dtype=bool)
    for one, rows in zip(order.tolist(), size[order].tolist(), strict=True):
        taken[one] = 0 < rows <= most
        most -= rows if taken[one] else 0
    return np.asarray(taken[labels])


def _in_turn(labels: np.ndarray, keys: np.ndarray, seed: int, stream: int) -> np.ndarray:
    """Neighbourhoods in a random order that depends on their smallest keys."""
    smallest = np.full(labels.max() + 1, np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(smallest, labels, keys)
    return np.lexsort((smallest, random_order_keys(smallest, seed, stream)))
