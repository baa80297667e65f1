"""The transition matrix as numbers of a report: what is known of each cell, and of the whole."""

from collections.abc import Sequence

import numpy as np

from ds2.noise import MIN_COUNT, TransitionEstimate
from ds2.report.numbers import Cell, Estimate, NoiseNumbers, Share
from ds2.report.tables import number

__all__ = ["known_cells", "noise_numbers", "prior_estimates"]

#: A cell below this says little about how wide a "typical" interval is.
_LEAST_CELL = 0.02


def noise_numbers(noise: TransitionEstimate, raters: Sequence[str] = ("",)) -> NoiseNumbers:
    """Return the matrix, its intervals and range, and the checks on the fit.

    Of several ``raters`` the first one's, and the share of wrong scores of each.
    """
    rates = noise.error_rates
    noise = noise.rater(0)
    known = known_cells(noise)
    thin = [level for level in range(len(noise.prior)) if not known[level].any()]
    ends = _error_ends(noise)
    return NoiseNumbers(
        n_scores=len(noise.prior),
        matrix=_cells(noise, known),
        rho=float(noise.rho),
        rho_low=None if noise.range is None else number(noise.rho_range[0]),
        rho_high=None if noise.range is None else number(noise.rho_range[1]),
        error=number(noise.error_rate),
        error_low=None if ends is None else min(ends),
        error_high=None if ends is None else max(ends),
        sampling_error=_half_width(noise.intervals, noise.matrix, known),
        range_error=_half_width(noise.range, noise.matrix, known),
        lifts=noise.lifts,
        n_neighbors=int(noise.n_neighbors),
        n_examples=int(noise.n_examples),
        n_missing=int(noise.n_missing),
        n_bootstrap=int(noise.n_bootstrap),
        has_intervals=noise.intervals is not None,
        thin_scores=tuple(thin),
        diagonal_dominant=bool(noise.diagonal_dominant),
        converged=bool(noise.converged),
        iterations=int(noise.iterations),
        fit=number(noise.fit),
        fit_expected=number(noise.fit_expected),
        rho_source=noise.rho_source,
        by_rater=tuple(
            Share(name, float(error))
            for name, error in zip(raters, rates, strict=True)
            if len(raters) > 1
        ),
    )


def prior_estimates(noise: TransitionEstimate) -> tuple[Estimate, ...]:
    """Return the share of each true score with its interval."""
    bounds = noise.prior_intervals
    return tuple(
        Estimate(
            number(noise.prior[level]),
            None if bounds is None else number(bounds[0, level]),
            None if bounds is None else number(bounds[1, level]),
        )
        for level in range(len(noise.prior))
    )


def known_cells(noise: TransitionEstimate) -> np.ndarray:
    """(s, s) True where there is enough data to print a cell."""
    known = np.isfinite(noise.matrix) & (noise.effective_counts >= MIN_COUNT)[:, None]
    if noise.intervals is not None:
        known = known & np.isfinite(noise.intervals).all(axis=0)
    return np.asarray(known)


def _cells(noise: TransitionEstimate, known: np.ndarray) -> tuple[tuple[Cell, ...], ...]:
    def bound(stack: np.ndarray | None, end: int, row: int, column: int) -> float | None:
        return None if stack is None else number(stack[end, row, column])

    def cell(row: int, column: int) -> Cell:
        if not known[row, column]:
            return Cell(None, None, None, None, None)
        ends = [bound(noise.range, end, row, column) for end in (0, 1)]
        present = sorted(end for end in ends if end is not None)
        return Cell(
            value=number(noise.matrix[row, column]),
            low=bound(noise.intervals, 0, row, column),
            high=bound(noise.intervals, 1, row, column),
            range_low=present[0] if present else None,
            range_high=present[-1] if present else None,
        )

    size = len(noise.prior)
    return tuple(tuple(cell(row, column) for column in range(size)) for row in range(size))


def _error_ends(noise: TransitionEstimate) -> tuple[float, ...] | None:
    """Return 1 − Σ p[i] T[i, i] at ``rho`` and with every cell at one end of its range."""
    if noise.range is None:
        return None
    prior = np.asarray(noise.prior, dtype=np.float64)
    ends = [1.0 - float((prior * np.diagonal(end)).sum()) for end in noise.range]
    rates = [min(max(end, 0.0), 1.0) for end in (*ends, float(noise.error_rate))]
    return tuple(rates) if np.isfinite(rates).all() else None


def _half_width(stack: np.ndarray | None, matrix: np.ndarray, known: np.ndarray) -> float | None:
    """Median half width of the cells that matter and rest on enough examples."""
    if stack is None:
        return None
    width = np.abs(stack[1] - stack[0]) / 2.0
    readable = np.isfinite(width) & known
    typical = readable & (matrix >= _LEAST_CELL)
    chosen = width[typical if typical.any() else readable]
    return float(np.median(chosen)) if chosen.size else None
