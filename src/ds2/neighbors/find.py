"""`find_neighbors`: exact where that is fast, approximate with a measured recall where it pays."""

import numpy as np

from ds2.arrays import Groups, Vectors
from ds2.checks import check_choice, check_fraction, check_int, check_rows, check_vectors
from ds2.errors import InputError
from ds2.neighbors.approximate import GraphIndex
from ds2.neighbors.blocks import sort_candidates
from ds2.neighbors.cells import CellIndex
from ds2.neighbors.exact import exact_candidates
from ds2.neighbors.graph import Neighbors
from ds2.neighbors.groups import first_rows, identical_groups
from ds2.neighbors.recall import RecallSample
from ds2.progress import part

__all__ = ["find_neighbors"]

#: Up to this many distinct examples the exact search is at least as fast (benchmarks/neighbors.py).
EXACT_UP_TO = 20_000
_Index = type[GraphIndex] | type[CellIndex]
#: The approximate searches by name.
INDEXES: dict[str, _Index] = {"approximate": GraphIndex, "cells": CellIndex}
#: Candidates beyond k whose exact distances are computed by the exact search.
SPARE = 6


def find_neighbors(
    vectors: Vectors,
    k: int = 10,
    *,
    groups: Groups | None = None,
    method: str = "auto",
    min_recall: float = 0.99,
    seed: int = 0,
) -> Neighbors:
    """Find the ``k`` nearest neighbours of every example by cosine distance.

    The same arguments give the same result, whatever the number of threads. Ties are broken by
    row number. Memory is O(n · (d + k)).

    Args:
        vectors: (n, d) floats (float16 and memory-mapped arrays stay as they are); need not be of
            unit length.
        k: neighbours per example, the example and its exact duplicates not counted.
        groups: (n,) labels; rows with equal labels are exact duplicates and share one entry.
            Default: rows whose vectors are identical.
        method: "exact"; "approximate", by a graph that two threads build; "cells", by cells of the
            pool, which every core works on; or "auto": exact up to 20,000 distinct examples, then
            approximate.
        min_recall: share of the true neighbours that an approximate search must find on a
            sample of rows. The search is widened until it does; where even the widest does not,
            the exact search is used.
        seed: seeds the samples.

    Returns:
        `Neighbors`, with the recall that was measured.

    Raises:
        InputError: vectors of the wrong shape or with NaN, infinity or zero rows; ``k`` below 1;
            fewer than k + 1 distinct examples; an unknown method.
    """
    vectors = check_vectors("vectors", vectors)
    k = check_int("k", k, low=1)
    method = check_choice("method", method, ("auto", "exact", *INDEXES))
    min_recall = check_fraction("min_recall", min_recall, open_low=True)
    seed = check_int("seed", seed, low=0)
    if groups is None:
        labels = identical_groups(vectors)
    else:
        check_rows("groups", np.asarray(groups), len(vectors))
        labels = first_rows(np.asarray(groups))
    entries = np.flatnonzero(labels == np.arange(len(vectors)))
    if len(entries) < k + 1:
        raise InputError(
            f"'k' must be smaller than the number of distinct examples. Got k = {k} with "
            f"{len(entries)} distinct examples (of {len(vectors)} rows). Lower k or add examples."
        )
    duplicated = len(entries) < len(vectors)
    distinct = vectors[entries] if duplicated else vectors
    exact = method == "exact" or (method == "auto" and len(entries) <= EXACT_UP_TO)
    index = "approximate" if method == "auto" else method
    found = None if exact else _approximate(distinct, k, min_recall, seed, INDEXES[index])
    if found is None:
        found = _exact(distinct, k)
    indices, distances, recall = found
    if duplicated:
        position = np.empty(len(vectors), dtype=np.int64)
        position[entries] = np.arange(len(entries))
        expand = position[labels]
        indices = entries[indices].astype(np.int32)[expand]
        distances = distances[expand]
    return Neighbors(
        indices=indices,
        distances=distances,
        recall=1.0 if recall is None else recall,
        method="exact" if recall is None else index,
        groups=labels if duplicated else None,
    )


_Found = tuple[np.ndarray, np.ndarray, float | None]


def _exact(vectors: np.ndarray, k: int) -> _Found:
    rows = np.arange(len(vectors))
    with part(0.0, 0.95):
        candidates = exact_candidates(vectors, rows, min(k + SPARE, len(vectors) - 1))
    with part(0.95, 1.0):
        return *sort_candidates(vectors, rows, candidates, k), None


def _approximate(
    vectors: np.ndarray, k: int, min_recall: float, seed: int, index_of: _Index
) -> _Found | None:
    """The approximate search at the first width that reaches the recall; None if none does."""
    with part(0.0, 0.04):
        sample = RecallSample.draw(vectors, k, seed)
    with part(0.04, 0.46):
        index = index_of(vectors, seed)
    rows = np.arange(len(vectors))
    for width in index.widths:
        wanted = min(max(3 * k + 2, width // 2), len(vectors) - 1)
        with part(0.46, 0.47):
            tried = index.search(sample.rows, wanted, width)
            _, distances = sort_candidates(vectors, sample.rows, tried, k)
        recall, error = sample.recall(distances)
        if recall - error >= min_recall:
            with part(0.47, 0.95):
                candidates = index.search(rows, wanted, width)
            with part(0.95, 1.0):
                return *sort_candidates(vectors, rows, candidates, k), recall
    return None
