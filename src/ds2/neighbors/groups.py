"""Groups of exact duplicates: rows that share one entry in the search."""

import numpy as np

__all__ = ["first_rows", "identical_groups"]

BLOCK = 16_384


def first_rows(labels: np.ndarray) -> np.ndarray:
    """(n,) For each row the smallest row number with the same label."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.asarray(first[inverse.reshape(-1)], dtype=np.int64)


def identical_groups(vectors: np.ndarray) -> np.ndarray:
    """(n,) For each row the smallest row number with the very same vector.

    Rows with equal 64-bit hashes are compared element by element, so a chance collision never
    joins two different rows. Memory is O(n), not a copy of the vectors.
    """
    n, width = len(vectors), vectors.shape[1] * vectors.dtype.itemsize
    pad = -width % 8
    rng = np.random.default_rng(0)
    factors = rng.integers(1, 2**63, size=(width + pad) // 8, dtype=np.uint64) * 2 + 1
    hashes = np.empty(n, dtype=np.uint64)
    for start in range(0, n, BLOCK):
        block = np.ascontiguousarray(vectors[start : start + BLOCK])
        raw = block.view(np.uint8).reshape(len(block), width)
        words = (np.pad(raw, ((0, 0), (0, pad))) if pad else raw).view(np.uint64)
        hashes[start : start + len(block)] = (words ^ (words >> np.uint64(32))) @ factors
    labels = first_rows(hashes)
    repeats = np.flatnonzero(labels != np.arange(n))
    for start in range(0, len(repeats), BLOCK):
        rows = repeats[start : start + BLOCK]
        same = (vectors[rows] == vectors[labels[rows]]).all(axis=1)
        labels[rows[~same]] = rows[~same]
    return labels
