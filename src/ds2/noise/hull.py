"""T as a range: what its cells may be over every plausible rho.

The hull is taken over a grid of rho, and over two pictures of how neighbours share: one by one
with the example (the paper's, extended by rho), and through the neighbourhood as the counted
triples themselves show (`ds2.noise.sharing`). Both start at the least rho that lift allows.
"""

from dataclasses import replace

import numpy as np

from ds2.noise.counted import Counted
from ds2.noise.em import Fit
from ds2.noise.findings import MIN_COUNT
from ds2.noise.lift import Lift

__all__ = ["RHO_FLOOR", "RHO_STEPS", "matrix_range", "rho_range"]

#: How many values of rho the range is taken over.
RHO_STEPS = 8
#: Fits whose log-likelihoods differ by less than this are equally good (95 % for one cell).
SAME_NATS = 1.92
#: The least rho that is considered at all.
RHO_FLOOR = 0.05


def rho_range(lift: Lift, rho: float) -> tuple[float, float]:
    """From the least rho that the lift allows (a perfect rater's) up to 1."""
    if np.isnan(lift.low):
        return (rho, rho)
    return (float(np.clip(lift.low, RHO_FLOOR, rho)), 1.0)


def matrix_range(
    counted: Counted,
    at_rho: Fit,
    rho: float,
    over: tuple[float, float],
    intervals: np.ndarray | None,
) -> np.ndarray | None:
    """(2, s, s) Hull of T over a grid of rho, widened by the sampling error.

    The sampling error is that of the neighbourhood's matrix: T is q + (F − q) / s1, so an error of
    F counts 1 / s1 fold. Rows with too few examples range from 0 to 1.
    """
    if over[0] == over[1]:
        return None
    at = at_rho.matrix[0]
    below, above = (0.0, 0.0) if intervals is None else np.nan_to_num(np.abs(intervals - at))
    grid = np.linspace(*over, RHO_STEPS)
    matrices = [at, *_one_by_one(counted, at_rho, rho, grid)]
    low, high = np.min(matrices, axis=0) - below, np.max(matrices, axis=0) + above
    for value, fit in zip(
        grid, counted.along(grid, _first(counted, at_rho), prior_rho=rho), strict=True
    ):
        stretch = 1 / counted.sharing.shares(float(value))[1]
        low = np.minimum(low, fit.matrix[0] - stretch * below)
        high = np.maximum(high, fit.matrix[0] + stretch * above)
    bounds = np.clip(np.array([low, high]), 0.0, 1.0)
    thin = at_rho.prior[0] * counted.n < MIN_COUNT
    bounds[0, thin], bounds[1, thin] = 0.0, 1.0
    return np.asarray(bounds)


def _first(counted: Counted, at_rho: Fit) -> Fit:
    """A start for the other picture: every cell of the estimate, none of them at 0."""
    s = counted.graph.n_scores
    return replace(at_rho, matrix=0.99 * at_rho.matrix + 0.01 / s)


def _one_by_one(counted: Counted, at_rho: Fit, rho: float, grid: np.ndarray) -> list[np.ndarray]:
    """Fits where neighbours share with the example one by one.

    Each rho is fitted from a near-perfect rater and from the fit at the rho before; both count
    where the counts cannot tell them apart.
    """
    s = counted.graph.n_scores
    perfect = replace(at_rho, matrix=(0.97 * np.eye(s) + 0.03 / s)[None])
    matrices: list[np.ndarray] = []
    last = at_rho
    for value in grid[::-1]:
        fits = [counted.fit_at(float(value), start, prior_rho=rho) for start in (last, perfect)]
        best = max(float(fit.log_likelihood[0]) for fit in fits)
        close = [fit for fit in fits if (best - fit.log_likelihood[0]) * counted.n <= SAME_NATS]
        matrices.extend(fit.matrix[0] for fit in close)
        last = close[0]
    return matrices
