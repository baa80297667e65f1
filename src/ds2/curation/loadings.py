"""How strongly each rater's values follow what raters share: loadings of one factor.

    correlation of raters i and j = l[i] · l[j]

With two raters only the product is known: they are taken as equally reliable. With three or more
each has its own loading. Gold rows give each rater's loading directly, and then the sign as well.
"""

import numpy as np

from ds2.noise import factor

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

    A pair with too few common rows, or a constant, counts as uncorrelated.

    Args:
        z: (n, m) z-scores, NaN where missing.
        rows: (n,) marks of the rows to use.
    """
    part = z[rows]
    matrix, pairs = factor.correlations(part, np.ones(len(part)))
    return np.nan_to_num(matrix), pairs


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
    found, _ = factor.least_squares_loadings(matrix, off)
    loads = np.clip(np.nan_to_num(found), -LARGEST_LOADING, LARGEST_LOADING)
    variance = 1 / np.maximum(off @ loads**2, 1.0)
    spread = max(0.0, loads.var() - variance.mean())
    kept = spread / (spread + variance)
    return loads.mean() + kept * (loads - loads.mean()), variance
