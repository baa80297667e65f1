"""Intervals from the scores of the likelihood (Louis 1982), for any mixture with rows of T.

Every row of T and p is a softmax of free numbers η. With R[i] the responsibility of class i for
an observation, the derivative of its log-probability is

    ∂/∂η_T[m,i,a] = R[i] · ([a_m = a] − T_m[i,a])            ∂/∂η_p[i] = R[i] − p[i]

The sum of their squares is the information H. Where observations are not independent (pairs that
share rows), J sums the squares of whole blocks, and the variance is H⁻¹ J H⁻¹ (Godambe). Intervals
of a cell are taken on its log-odds, so that they stay within (0, 1) and are wider towards 0.5.
"""

import numpy as np

from ds2.measures import Z

__all__ = [
    "cell_intervals",
    "covariance",
    "log_odds_interval",
    "ordinal_shares",
    "prior_information",
]

#: The ordinal prior's mass falls to this share with each level of distance.
ORDINAL_DECAY = 0.5
#: Eigenvalues below this share of the largest are directions that nothing is known of.
FLAT = 1e-9
EDGE = 1e-6


def ordinal_shares(s: int) -> np.ndarray:
    """(s, s) A row for each level, its mass falling with the distance from the diagonal."""
    mass = ORDINAL_DECAY ** np.abs(np.subtract.outer(np.arange(s), np.arange(s)))
    return np.asarray(mass / mass.sum(axis=1, keepdims=True))


def prior_information(pseudo: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(rows·s, rows·s) What pseudo-counts (rows, s) add to the information of η."""
    rows, s = matrix.shape
    result = np.zeros((rows * s, rows * s))
    for row in range(rows):
        T, mass = matrix[row], pseudo[row].sum()
        block = mass * (np.diag(T) - np.outer(T, T))
        result[row * s : (row + 1) * s, row * s : (row + 1) * s] = block
    return result


def covariance(information: np.ndarray, spread: np.ndarray | None = None) -> np.ndarray:
    """Covariance of η: H⁻¹, or H⁻¹ J H⁻¹ with ``spread`` = J; flat directions are left out."""
    values, vectors = np.linalg.eigh((information + information.T) / 2)
    kept = values > FLAT * max(float(values.max()), 0.0)
    inverse = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T
    return np.asarray(inverse if spread is None else inverse @ spread @ inverse)


def cell_intervals(rows: np.ndarray, cov: np.ndarray) -> np.ndarray:
    """(2, rows, s) 95 % intervals of distributions whose η have the covariance ``cov``."""
    n, s = rows.shape
    errors = np.empty((n, s))
    for row, T in enumerate(rows):
        slope = np.diag(T) - np.outer(T, T)
        block = cov[row * s : (row + 1) * s, row * s : (row + 1) * s]
        errors[row] = np.sqrt(np.maximum(np.einsum("ab,bc,ac->a", slope, block, slope), 0.0))
    return log_odds_interval(rows, errors)


def log_odds_interval(shares: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """(2, …) Shares ± 1.96 standard errors, on the scale of their log-odds."""
    inner = np.clip(shares, EDGE, 1 - EDGE)
    centre = np.log(inner / (1 - inner))
    half = Z * errors / (inner * (1 - inner))
    bounds = np.array([centre - half, centre + half])
    return np.asarray(1 / (1 + np.exp(-np.clip(bounds, -700, 700))))
