"""`estimate_transition`: a rater's errors, from what nearest neighbours say."""

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ds2.arrays import Scores
from ds2.checks import check_fraction, check_int, check_positive, check_scores
from ds2.errors import Ds2Warning, InputError
from ds2.neighbors import Neighbors
from ds2.noise.bootstrap import Bootstrap, bootstrap_fits, misfit
from ds2.noise.consensus import ScoreGraph
from ds2.noise.em import Fit, diagonal_starts, fit_triples
from ds2.noise.estimate import TransitionEstimate
from ds2.noise.findings import MIN_COUNT, describe
from ds2.noise.lift import Lift, measure_lift

__all__ = ["estimate_transition"]

#: A neighbour of higher rank is counted while its lift is at least this share of the first two's.
LIFT_KEPT = 0.9
#: How many values of rho the range is taken over.
RHO_STEPS = 8
#: Fits whose log-likelihoods differ by less than this are equally good (95 % for one cell).
SAME_NATS = 1.92
#: The least rho that is considered at all.
RHO_FLOOR = 0.05
#: The ordinal prior's mass falls to this share with each level of distance.
ORDINAL_DECAY = 0.5


def estimate_transition(
    scores: Scores,
    neighbors: Neighbors,
    *,
    n_scores: int,
    rho: float = 1.0,
    n_neighbors: int | str = "auto",
    ordinal_prior: float = 0.0,
    n_bootstrap: int = 200,
    n_starts: int = 9,
    seed: int = 0,
) -> TransitionEstimate:
    """Estimate the score transition matrix T and the prior p without ground truth.

    The scores of an example and of pairs of its neighbours are counted (exact duplicates once),
    and T and p are the maximum likelihood given those counts (Zhu, Song and Liu, ICML
    2021, arXiv 2102.05291; solved by EM). The assumption is that neighbours share the true score
    with excess probability ``rho``; the matrix at ``rho`` = 1 is the rater's noise *and* whatever
    neighbours do not share, so read ``range`` and ``lift`` with it.

    Args:
        scores: (n,) whole numbers 0 … n_scores − 1, NaN where unrated.
        neighbors: the pool's neighbour graph.
        n_scores: how many levels the score has.
        rho: excess probability that a neighbour shares the true score, in (0, 1].
        n_neighbors: count pairs among this many nearest neighbours (2: the paper), or "auto": as
            many as keep at least 0.9 of the lift of the first two.
        ordinal_prior: strength, in examples per score, of a prior that a near level is a
            likelier error than a far one; 0 for none. A few tens steady small pools.
        n_bootstrap: rounds behind the 95 % intervals; 0 for none.
        n_starts: EM starts, all with most mass on the diagonal; the best likelihood is kept.
        seed: the same seed gives the same estimate.

    Returns:
        `TransitionEstimate`.

    Raises:
        InputError: scores that are no whole numbers in range, all missing, or of another length
            than the graph; settings out of range.

    Warns:
        Ds2Warning: once for each finding in the result's ``warnings``.
    """
    n_scores = check_int("n_scores", n_scores, low=2, high=100)
    values = check_scores("scores", scores, n_rows=neighbors.n, n_scores=n_scores)
    rho = check_fraction("rho", rho, open_low=True)
    strength = check_positive("ordinal_prior", ordinal_prior, zero=True)
    n_bootstrap = check_int("n_bootstrap", n_bootstrap, low=0)
    n_starts = check_int("n_starts", n_starts, low=1)
    seed = check_int("seed", seed, low=0)
    graph = ScoreGraph.build(values, neighbors, n_scores)
    used = _n_neighbors(graph, n_neighbors)
    counts = graph.count(used)
    if not counts.any():
        raise InputError(
            "'scores' has no rated example with two rated neighbours, so nothing can be counted. "
            "Rate more examples."
        )
    pseudo = _ordinal(n_scores, strength, len(graph.own), rho) if strength else None
    starts = diagonal_starts(graph.observed, n_starts, np.random.default_rng(seed))
    n_rated = len(graph.own)
    tried = fit_triples(
        counts, *starts, n_examples=n_rated, rho=rho, pseudo=pseudo, max_iterations=300
    )
    best = int(tried.log_likelihood.argmax())

    def fit_at(value: float, start: Fit, of: int = 0) -> Fit:
        matrix, prior = start.matrix[of][None], start.prior[of][None]
        return fit_triples(counts, matrix, prior, n_examples=n_rated, rho=value, pseudo=pseudo)

    fit = fit_at(rho, tried, best)
    T, p = fit.matrix[0], fit.prior[0]
    lifts = tuple(measure_lift(graph, k) for k in (1, 2) if k <= neighbors.k)
    rounds = (
        bootstrap_fits(
            graph, T, p, rho=rho, n_neighbors=used, n_rounds=n_bootstrap, pseudo=pseudo, seed=seed
        )
        if n_bootstrap
        else None
    )
    effective = n_rated * p
    intervals, prior_intervals = _intervals(rounds, T, p, effective)
    rho_range = _rho_range(measure_lift(graph, used), rho)
    estimate = TransitionEstimate(
        matrix=T,
        prior=p,
        observed=graph.observed,
        rho=rho,
        range=_range(fit_at, fit, rho_range, intervals, n_rated),
        rho_range=rho_range,
        intervals=intervals,
        prior_intervals=prior_intervals,
        lift=lifts[0],
        lifts=lifts,
        n_neighbors=used,
        effective_counts=effective,
        diagonal_dominant=bool(
            (T.argmax(axis=1) == np.arange(n_scores))[effective >= MIN_COUNT].all()
        ),
        fit=misfit(counts, T, p, rho),
        fit_expected=float(np.quantile(rounds.misfits, 0.95)) if rounds else float("nan"),
        log_likelihood=float(fit.log_likelihood[0]),
        iterations=tried.iterations + fit.iterations,
        converged=bool(fit.converged[0]),
        n_examples=n_rated,
        n_missing=int(np.isnan(values).sum()),
        n_bootstrap=n_bootstrap,
        warnings=(),
    )
    return _warned(estimate, neighbors)


def _n_neighbors(graph: ScoreGraph, wanted: int | str) -> int:
    """The number of neighbours to count, by the rule that the docstring of the caller states."""
    k = graph.indices.shape[1]
    if k < 2:
        raise InputError(f"The graph must have 2 neighbours or more. Got k = {k}.")
    if wanted != "auto":
        return check_int("n_neighbors", wanted, low=2, high=k)
    from scipy.optimize import isotonic_regression

    by_rank = np.array([measure_lift(graph, r + 1, first=r).value for r in range(k)])
    if np.isnan(by_rank).any():
        return 2
    falling = isotonic_regression(by_rank, increasing=False).x
    kept = falling >= LIFT_KEPT * by_rank[:2].mean()
    kept[:2] = True
    return int(k if kept.all() else kept.argmin())


def _ordinal(s: int, strength: float, n: int, rho: float) -> np.ndarray:
    """(s, s) Pseudo-frequencies worth ``strength`` examples per row, falling with |i − j|."""
    away = np.abs(np.subtract.outer(np.arange(s), np.arange(s)))
    mass = ORDINAL_DECAY**away
    shares = mass / mass.sum(axis=1, keepdims=True)
    return np.asarray(strength / n * (1 + 2 * rho) * shares)


def _intervals(
    rounds: Bootstrap | None, T: np.ndarray, p: np.ndarray, effective: np.ndarray
) -> tuple[np.ndarray | None, np.ndarray | None]:
    if rounds is None:
        return None, None
    cells, shares = rounds.intervals(T, p)
    cells[:, effective < MIN_COUNT] = np.nan
    return cells, shares


def _rho_range(lift: Lift, rho: float) -> tuple[float, float]:
    """From the least rho that the lift allows (a perfect rater's) up to 1."""
    if np.isnan(lift.low):
        return (rho, rho)
    return (float(np.clip(lift.low, RHO_FLOOR, rho)), 1.0)


def _range(
    fit_at: Callable[[float, Fit], Fit],
    at_one: Fit,
    rho_range: tuple[float, float],
    intervals: np.ndarray | None,
    n_examples: int,
) -> np.ndarray | None:
    """(2, s, s) Hull of T over a grid of rho, widened by the sampling error.

    Each rho is fitted from a near-perfect rater and from the fit at the rho before; both count
    where the counts cannot tell them apart. Rows with too few examples range from 0 to 1.
    """
    if rho_range[0] == rho_range[1]:
        return None
    s = at_one.matrix.shape[1]
    perfect = replace(at_one, matrix=(0.97 * np.eye(s) + 0.03 / s)[None])
    last = at_one
    matrices = [at_one.matrix[0]]
    for rho in np.linspace(*rho_range, RHO_STEPS)[::-1]:
        fits = [fit_at(float(rho), last), fit_at(float(rho), perfect)]
        best = max(float(fit.log_likelihood[0]) for fit in fits)
        close = [fit for fit in fits if (best - fit.log_likelihood[0]) * n_examples <= SAME_NATS]
        matrices.extend(fit.matrix[0] for fit in close)
        last = close[0]
    at = at_one.matrix[0]
    below, above = (0.0, 0.0) if intervals is None else np.nan_to_num(np.abs(intervals - at))
    hull = [np.min(matrices, axis=0) - below, np.max(matrices, axis=0) + above]
    bounds = np.clip(np.array(hull), 0.0, 1.0)
    thin = at_one.prior[0] * n_examples < MIN_COUNT
    bounds[0, thin], bounds[1, thin] = 0.0, 1.0
    return np.asarray(bounds)


def _warned(estimate: TransitionEstimate, neighbors: Neighbors) -> TransitionEstimate:
    sentences = describe(estimate, neighbors)
    for sentence in sentences:
        warnings.warn(sentence, Ds2Warning, stacklevel=3)
    return replace(estimate, warnings=sentences)
