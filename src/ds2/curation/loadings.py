"""How strongly each rater's values follow what raters share: loadings of one factor.

    correlation of raters i and j = l[i] · l[j]

With two raters only the product is known: they are taken as equally reliable. With three or more
each has its own loading. Gold rows give each rater's loading directly, and then the sign as well.
"""

import numpy as np

__all__ = ["NoEvidence", "correlations", "one_factor"]

#: Standard deviation that two raters' loadings may differ by, unseen.
EQUAL_SD = 0.15
#: Standard deviation of what raters may share that is not quality, once gold can tell.
SHARED_BIAS_SD = 0.1
LARGEST_LOADING = 0.99


class NoEvidence(Exception):  # noqa: N818 (no fault of the caller: a finding, turned into a sentence)
    """The ratings hold nothing that weights could be learned from; the message says why."""


def correlations(z: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(m, m) correlations over the rows where both are present, and how many those are.

    Args:
        z: (n, m) z-scores, NaN where missing.
        rows: (n,) marks of the rows to use.
    """
    part = z[rows]
    known = ~np.isnan(part)
    filled = np.where(known, part, 0.0)
    pairs = known.T.astype(np.float64) @ known
    both = np.maximum(pairs, 1)
    mean_i = (filled.T @ known) / both
    power = ((filled**2).T @ known) / both - mean_i**2
    covariance = (filled.T @ filled) / both - mean_i * mean_i.T
    scale = np.sqrt(np.maximum(power * power.T, 0))
    matrix = np.divide(covariance, scale, out=np.zeros_like(scale), where=scale > 1e-12)
    matrix[pairs < 3] = 0.0
    np.fill_diagonal(matrix, 1.0)
    return np.clip(matrix, -1, 1), pairs


def one_factor(
    matrix: np.ndarray, pairs: np.ndarray, with_gold: np.ndarray | None, n_gold: float
) -> np.ndarray:
    """(m,) loadings, oriented so that most raters' are positive, or by gold.

    Args:
        matrix: (m, m) correlations.
        pairs: (m, m) rows behind each.
        with_gold: (m,) correlation with gold, or None.
        n_gold: how many gold rows those rest on (effective number).

    Raises:
        NoEvidence: raters that do not agree above chance, without gold.
    """
    m = len(matrix)
    off = np.where(np.eye(m, dtype=bool), 0.0, pairs)
    if m == 1:
        if with_gold is None:
            raise NoEvidence("there is one rater, without gold, repeats or a second rater")
        return np.asarray(np.clip(with_gold, -LARGEST_LOADING, LARGEST_LOADING))
    found, variance = _from_raters(matrix, off)
    signal = np.outer(found, found)
    agreement = (signal * matrix * off).sum() / np.sqrt(max(2 * (signal**2 * off).sum(), 1e-300))
    agree = agreement > 1.96 and not (m == 2 and matrix[0, 1] <= 0)
    if with_gold is None:
        if not agree:
            raise NoEvidence("the raters do not agree with each other above chance")
        return found
    if (found * with_gold).sum() < 0:
        found = -found
    variance = variance + (SHARED_BIAS_SD**2 if agree else 1.0)
    gold_variance = np.maximum((1 - with_gold**2) ** 2, 0.01) / max(n_gold, 1)
    weight = gold_variance / (gold_variance + variance)
    mixed = weight * found + (1 - weight) * with_gold
    return np.asarray(np.clip(mixed, -LARGEST_LOADING, LARGEST_LOADING))


def _from_raters(matrix: np.ndarray, off: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(m,) loadings by least squares, shrunk towards each other, and their variances."""
    m = len(matrix)
    if m == 2:
        return np.full(2, np.sqrt(max(matrix[0, 1], 1e-4))), np.full(2, EQUAL_SD**2)
    values, vectors = np.linalg.eigh(np.where(off > 0, matrix, 0.0))
    loads = vectors[:, -1] * np.sqrt(max(values[-1], 1e-4))
    loads = 0.7 * loads * (1 if loads.sum() >= 0 else -1)
    for _ in range(200):
        before = loads.copy()
        for i in range(m):
            mass = (off[i] * loads**2).sum()
            if mass > 0:
                fitted = (off[i] * matrix[i]) @ loads / mass
                loads[i] = np.clip(fitted, -LARGEST_LOADING, LARGEST_LOADING)
        if np.abs(loads - before).max() < 1e-6:
            break
    variance = 1 / np.maximum(off @ loads**2, 1.0)
    spread = max(0.0, loads.var() - variance.mean())
    kept = spread / (spread + variance)
    return loads.mean() + kept * (loads - loads.mean()), variance
