"""Ordered levels for real-valued scores, so that diversity keeps a say."""

import numpy as np

__all__ = ["cut_levels"]


def cut_levels(scores: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Cut real-valued scores into ordered levels whose shares follow ``prior``.

    Equal scores stay together: a run of equal scores goes where its middle lies.

    Args:
        scores: (n,) finite floats.
        prior: (s,) shares, lowest level first, summing to 1.

    Returns:
        (n,) levels 0 … s − 1 as ints.
    """
    values, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    middle = (np.cumsum(counts) - counts / 2) / len(scores)
    ends = np.cumsum(prior)[:-1]
    level = np.searchsorted(ends, middle, side="right")
    return np.asarray(level[inverse.reshape(-1)] if len(values) else np.empty(0, dtype=np.int64))
