"""Levels and real values: one rounding rule, one map there and one map back.

A value half-way between two levels belongs to the lower one, as a rating on a cut does
(`ds2.Scale`: the score is the number of cuts below the rating).
"""

import numpy as np

__all__ = ["level_shares", "nearest_level", "rank_shares", "split_levels", "to_levels"]


def nearest_level(values: np.ndarray) -> np.ndarray:
    """(…) the level of each value, half-way to the lower one; NaN stays NaN."""
    return np.asarray(np.ceil(values - 0.5) + 0.0)


def split_levels(values: np.ndarray, n_scores: int) -> np.ndarray:
    """(m, s) each value of 0 … s − 1 as a mixture of the two levels next to it; none missing."""
    if n_scores == 1:
        return np.ones((len(values), 1))
    at = np.clip(values, 0, n_scores - 1)
    below = np.minimum(at.astype(np.int64), n_scores - 2)
    rows, part = np.arange(len(at)), at - below
    shares = np.zeros((len(at), n_scores))
    shares[rows, below] = 1 - part
    shares[rows, below + 1] = part
    return shares


def level_shares(
    values: np.ndarray, n_scores: int, weights: np.ndarray | None = None
) -> np.ndarray:
    """(s,) share of each level; a value between two levels counts for both, the nearer one more.

    Args:
        values: floats of any shape on 0 … s − 1, NaN where missing.
        n_scores: s.
        weights: one weight per value, or None for equal ones.
    """
    known = ~np.isnan(values)
    weight = np.ones(int(known.sum())) if weights is None else weights[known]
    counts = weight @ split_levels(values[known], n_scores)
    return np.asarray(counts / max(float(counts.sum()), 1e-300))


def rank_shares(values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """(n,) share of the (weighted) values below each, ties in the middle; NaN where missing."""
    result = np.full(len(values), np.nan)
    rows = np.flatnonzero(~np.isnan(values))
    _, place = np.unique(values[rows], return_inverse=True)
    mass = np.bincount(place.reshape(-1), None if weights is None else weights[rows])
    middle = (np.cumsum(mass) - mass / 2) / max(float(mass.sum()), 1e-300)
    result[rows] = middle[place.reshape(-1)]
    return result


def to_levels(values: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Map real values to the level scale, keeping their order.

    A value that exceeds a share q of the pool gets the level that a share q of the levels lies
    below, level c being spread evenly from c − ½ to c + ½ (within 0 … s − 1). So the shares of the
    rounded result follow ``shares``; equal values stay equal and no others become so.

    Args:
        values: (n,) floats, NaN where missing.
        shares: (s,) of the levels, summing to 1.
    """
    s = len(shares)
    edges = np.concatenate([[0.0], np.arange(s - 1) + 0.5, [s - 1.0]])
    ends = np.concatenate([[0.0], np.cumsum(np.maximum(shares, 1e-9))])
    return np.asarray(np.interp(rank_shares(values), ends / ends[-1], edges))
