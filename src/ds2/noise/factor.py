"""The one-factor model of several raters: loadings, error correlations, best combination."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

__all__ = [
    "Factor",
    "combined",
    "correlations",
    "error_correlations",
    "least_squares_loadings",
    "one_factor",
]

#: Two raters need this many common rows for a correlation.
MIN_COMMON = 10
#: A pair's errors are taken as correlated when its residual is this many standard errors.
FREED = 4.0
MAX_LOADING = 0.999
STEPS = 500


@dataclass(frozen=True, slots=True)
class Factor:
    """Loadings (r,) on the truth, error correlations (r, r), and the pairs that were freed."""

    loadings: np.ndarray
    errors: np.ndarray
    freed: tuple[tuple[int, int], ...]
    bounded: bool
    low: np.ndarray | None = None
    high: np.ndarray | None = None


def correlations(values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Correlations (r, r) over the rows that both have, and how many those are.

    Args:
        values: (u, r) distinct rows, NaN where missing.
        counts: (u,) how often each occurs.
    """
    known = (~np.isnan(values)).astype(np.float64)
    centre = np.nansum(values * counts[:, None], axis=0) / np.maximum(known.T @ counts, 1e-300)
    x = np.where(known > 0, np.nan_to_num(values) - centre, 0.0)
    weighted = counts[:, None]
    shared = (known * weighted).T @ known
    safe = np.maximum(shared, 1e-300)
    mean = (x * weighted).T @ known / safe  # [m, l]: mean of m where l is known
    product = (x * weighted).T @ x / safe - mean * mean.T
    square = ((x**2) * weighted).T @ known / safe - mean**2
    scale = np.sqrt(np.maximum(square * square.T, 0.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        R = np.where(scale > 1e-12, product / scale, np.nan)
    R[shared < MIN_COMMON] = np.nan
    np.fill_diagonal(R, 1.0)
    return np.clip(R, -1.0, 1.0), shared


def one_factor(
    R: np.ndarray, shared: np.ndarray, *, freed: tuple[tuple[int, int], ...] | None = None
) -> Factor:
    """Fit R[m, l] = λ_m λ_l off the diagonal, least squares weighted by common rows.

    From four raters on, the pair that agrees most in excess of the factor is set free (its errors
    are correlated) as long as its excess is four standard errors or more.

    Args:
        R: (r, r) correlations.
        shared: (r, r) common rows.
        freed: pairs to set free; None: found by that rule.
    """
    r = len(R)
    if r == 1:
        return Factor(np.full(1, np.nan), np.full((1, 1), np.nan), (), False)
    free: list[tuple[int, int]] = list(freed or ())
    loadings, bounded = least_squares_loadings(R, _pair_weights(R, shared, free))
    # as long as correlations are left over once every loading is determined
    while freed is None and r >= 4 and r * (r - 1) // 2 - len(free) - r > 1:
        pair, excess, fit = _best_pair(R, shared, free)
        if excess < FREED:
            break
        free.append(pair)
        loadings, bounded = fit
    errors = np.zeros((r, r))
    full = error_correlations(R, loadings)
    for m, j in free:
        errors[m, j] = errors[j, m] = full[m, j]
    np.fill_diagonal(errors, 1.0)
    return Factor(loadings, errors, tuple(free), bounded)


def error_correlations(R: np.ndarray, loadings: np.ndarray) -> np.ndarray:
    """(r, r) Correlation of the errors, given the loadings."""
    rest = np.sqrt(np.maximum(1 - loadings**2, 1e-6))
    errors = np.clip((R - np.outer(loadings, loadings)) / np.outer(rest, rest), -1.0, 1.0)
    np.fill_diagonal(errors, 1.0)
    return np.asarray(errors)


def combined(R: np.ndarray, loadings: np.ndarray) -> tuple[np.ndarray, float]:
    """Best linear combination of z-scored raters: weights R⁻¹ λ, and √(λᵀ R⁻¹ λ).

    That is its correlation with the truth. A rater of unknown loading is left out: its weight is 0.
    """
    known = ~np.isnan(loadings)
    if not known.any():
        return np.full(len(R), np.nan), float("nan")
    if not known.all():
        some, value = combined(R[np.ix_(known, known)], loadings[known])
        weights = np.zeros(len(R))
        weights[known] = some
        return weights, value
    filled = np.where(np.isnan(R), np.outer(loadings, loadings), R)
    values, vectors = np.linalg.eigh(filled)
    inverse = (vectors / np.maximum(values, 1e-3)) @ vectors.T
    weights = inverse @ loadings
    total = weights.sum()
    value = float(np.sqrt(np.clip(loadings @ weights, 0.0, 1.0)))
    return weights / total if abs(total) > 1e-9 else weights, value


def _pair_weights(R: np.ndarray, shared: np.ndarray, free: list[tuple[int, int]]) -> np.ndarray:
    weights = np.where(np.isnan(R), 0.0, shared / max(float(shared.max()), 1.0))
    np.fill_diagonal(weights, 0.0)
    for m, j in free:
        weights[m, j] = weights[j, m] = 0.0
    return weights


def _best_pair(
    R: np.ndarray, shared: np.ndarray, free: list[tuple[int, int]]
) -> tuple[tuple[int, int], float, tuple[np.ndarray, bool]]:
    """The pair whose release improves the fit most, and its excess in standard errors."""
    best: tuple[float, tuple[int, int], float, tuple[np.ndarray, bool]] | None = None
    for pair in combinations(range(len(R)), 2):
        if pair in free or np.isnan(R[pair]):
            continue
        weights = _pair_weights(R, shared, [*free, pair])
        fit = least_squares_loadings(R, weights)
        misfit = float((weights * np.nan_to_num(R - np.outer(fit[0], fit[0])) ** 2).sum())
        m, j = pair
        error = (1 - R[pair] ** 2) / np.sqrt(max(shared[pair], 1.0))
        excess = float((R[pair] - fit[0][m] * fit[0][j]) / max(2**0.5 * error, 1e-12))
        key = misfit - 1e-9 * R[pair]
        if best is None or key < best[0]:
            best = (key, pair, excess, fit)
    if best is None:
        return (0, 0), -np.inf, least_squares_loadings(R, _pair_weights(R, shared, free))
    return best[1], best[2], best[3]


def least_squares_loadings(R: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, bool]:
    """Loadings by alternating least squares, and whether one had to be held at its bound.

    Args:
        R: (r, r) correlations.
        weights: (r, r) of each pair; 0 where it does not count, and on the diagonal. A rater of
            whom no pair counts gets NaN.
    """
    r = len(R)
    target = np.nan_to_num(R)
    if r == 2:
        value = float(np.sqrt(max(target[0, 1], 0.0)))
        return np.full(2, value if weights[0, 1] > 0 else np.nan), bool(target[0, 1] < 0)
    if r == 3 and (weights + np.eye(3) > 0).all() and (target > 0).all():
        a, b, c = target[0, 1], target[0, 2], target[1, 2]
        exact = np.sqrt(np.array([a * b / c, a * c / b, b * c / a]))
        return np.minimum(exact, MAX_LOADING), bool((exact > MAX_LOADING).any())
    values, vectors = np.linalg.eigh(target)
    loadings = vectors[:, -1] * np.sqrt(max(float(values[-1]), 0.0))
    loadings = loadings * (1.0 if loadings.sum() >= 0 else -1.0)
    for _ in range(STEPS):
        before = loadings.copy()
        for m in range(r):
            below = float((weights[m] * loadings**2).sum())
            if below > 1e-12:
                new = float((weights[m] * target[m] * loadings).sum()) / below
                loadings[m] = np.clip(new, -MAX_LOADING, MAX_LOADING)
        if np.abs(loadings - before).max() < 1e-8:
            break
    loadings[weights.sum(axis=1) == 0] = np.nan
    return loadings, bool((np.abs(loadings) >= MAX_LOADING).any())
