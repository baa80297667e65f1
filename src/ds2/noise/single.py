"""One rater, from what nearest neighbours say (Zhu, Song and Liu, ICML 2021)."""

from dataclasses import dataclass

import numpy as np

from ds2.neighbors import Neighbors
from ds2.noise.estimate import MIN_COUNT, TransitionEstimate, dominant
from ds2.noise.intervals import Bootstrap, bootstrap_fits, matrix_range, rho_range
from ds2.noise.scored import measure_lift
from ds2.noise.triples import Counted, Fit, misfit
from ds2.progress import part

__all__ = ["Single", "Wanted", "estimate_single"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The settings of an estimate, checked.

    Attributes are the arguments of `ds2.estimate_transition`; an ordinal prior of None is "auto".
    """

    n_scores: int
    n_neighbors: int | str
    ordinal_prior: float | None
    n_bootstrap: int
    n_starts: int
    seed: int


@dataclass(frozen=True, slots=True)
class Single:
    """An estimate together with what it was made of."""

    estimate: TransitionEstimate
    counted: Counted
    fit: Fit
    rounds: Bootstrap | None


def estimate_single(
    values: np.ndarray,
    neighbors: Neighbors,
    wanted: Wanted,
    *,
    rho: float,
    repeats: np.ndarray | None = None,
    ranged: bool = True,
) -> Single:
    """Fit T and p at ``rho``; with ``ranged`` also the range over every plausible rho."""
    counted = Counted.build(
        values,
        neighbors,
        wanted.n_scores,
        n_neighbors=wanted.n_neighbors,
        strength=wanted.ordinal_prior or 0.0,
        repeats=repeats,
    )
    tried, best = counted.first(rho, wanted.n_starts, wanted.seed)
    fit = counted.fit_at(rho, tried, best)
    with part(0.02, 0.45 if wanted.n_bootstrap else 0.02):
        rounds = _rounds(counted, fit, rho, wanted)
    T, p = fit.matrix[0], fit.prior[0]
    effective = counted.n * p
    intervals, prior_intervals = _intervals(rounds, T, p, effective)
    lifts = tuple(measure_lift(counted.graph, k) for k in (1, 2) if k <= neighbors.k)
    over = rho_range(measure_lift(counted.graph, counted.used), rho)
    with part(0.45, 1.0):
        ends = matrix_range(counted, fit, rho, over, intervals) if ranged else None
    estimate = TransitionEstimate(
        matrix=T,
        prior=p,
        observed=counted.graph.observed,
        rho=rho,
        range=ends,
        rho_range=over,
        intervals=intervals,
        prior_intervals=prior_intervals,
        lift=lifts[0],
        lifts=lifts,
        n_neighbors=counted.used,
        effective_counts=effective,
        diagonal_dominant=dominant(T, effective),
        fit=misfit(counted.counts, T, p, rho),
        fit_expected=float(np.quantile(rounds.misfits, 0.95)) if rounds else float("nan"),
        log_likelihood=float(fit.log_likelihood[0]),
        iterations=tried.iterations + fit.iterations,
        converged=bool(fit.converged[0]),
        n_examples=counted.n,
        n_missing=int(np.isnan(values).sum()),
        n_bootstrap=wanted.n_bootstrap,
        warnings=(),
    )
    return Single(estimate, counted, fit, rounds)


def _rounds(counted: Counted, fit: Fit, rho: float, wanted: Wanted) -> Bootstrap | None:
    if not wanted.n_bootstrap:
        return None
    return bootstrap_fits(
        counted.graph,
        fit.matrix[0],
        fit.prior[0],
        rho=rho,
        n_neighbors=counted.used,
        n_rounds=wanted.n_bootstrap,
        pseudo=counted.pseudo(rho),
        seed=wanted.seed,
    )


def _intervals(
    rounds: Bootstrap | None, T: np.ndarray, p: np.ndarray, effective: np.ndarray
) -> tuple[np.ndarray | None, np.ndarray | None]:
    if rounds is None:
        return None, None
    cells, shares = rounds.intervals(T, p)
    cells[:, effective < MIN_COUNT] = np.nan
    return cells, shares
