"""Values on the level scale: z-scores, their mean over raters, and a monotone map back."""

import numpy as np

__all__ = ["level_shares", "mean_z", "rank_shares", "to_levels"]


def mean_z(values: np.ndarray) -> np.ndarray:
    """(n,) mean over raters (n, r) of z-scores over the ratings present; NaN where none is."""
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    filled = np.where(known, values, 0.0)
    centre = filled.sum(axis=0) / np.maximum(count, 1)
    away = np.where(known, values - centre, 0.0)
    spread = np.sqrt((away**2).sum(axis=0) / np.maximum(count, 1))
    z = np.divide(away, spread, out=np.zeros_like(away), where=spread > 0)
    raters = known.sum(axis=1)
    total = z.sum(axis=1)
    mean = np.divide(total, raters, out=np.full(len(values), np.nan), where=raters > 0)
    return np.asarray(mean)


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
    at = np.clip(values[known], 0, n_scores - 1)
    weight = np.ones(len(at)) if weights is None else weights[known]
    low = np.minimum(at.astype(np.int64), n_scores - 2)
    above = at - low
    counts = np.bincount(low, weight * (1 - above), minlength=n_scores)
    counts += np.bincount(low + 1, weight * above, minlength=n_scores)
    return np.asarray(counts / max(counts.sum(), 1e-300))


def rank_shares(values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """(n,) share of the (weighted) values below each, ties in the middle; NaN where missing."""
    result = np.full(len(values), np.nan)
    rows = np.flatnonzero(~np.isnan(values))
    weight = np.ones(len(rows)) if weights is None else weights[rows]
    _, place = np.unique(values[rows], return_inverse=True)
    mass = np.bincount(place.reshape(-1), weight)
    middle = (np.cumsum(mass) - mass / 2) / max(mass.sum(), 1e-300)
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
