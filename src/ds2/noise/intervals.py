"""How sure an estimate is: three means, for three things that are not known.

**Several raters** (`ds2.noise.model`): the scores of the likelihood (Louis 1982). Every row of T
and p is a softmax of free numbers η. With R[i] the responsibility of class i for an observation,
the derivative of its log-probability is

    ∂/∂η_T[m,i,a] = R[i] · ([a_m = a] − T_m[i,a])            ∂/∂η_p[i] = R[i] − p[i]

The sum of their squares is the information H. Where observations are not independent (pairs that
share rows), J sums the squares of whole blocks of the graph, and the variance is H⁻¹ J H⁻¹
(Godambe). Intervals of a cell are taken on its log-odds, so that they stay within (0, 1).

That is what sampling does. Where near levels are hard to tell apart the likelihood is so flat that
the ordinal prior decides, and the curvature does not show it. So the fit goes on under a sharper
and under a blunter prior, and the larger move of a cell, of p and of rho counts as one more
standard error: two or three raters who see round(truth + a normal error) on 2,000 rows were held
in 70 to 93 % of the cells without that, and are in 92 to 99 % with it (decision 23).

**One rater** (`ds2.noise.triples`): a parametric bootstrap on the fixed graph. The graph stays and
the scores are drawn anew: every entry gets its most probable true score given its own and its
neighbours' scores, observed scores are drawn from the fitted T, counted on the graph and fitted
again. What the fits spread is the interval; their own mean is taken out, so that a true-score
field that is smoother or rougher than the real one does not shift it. The sandwich does not serve
here: it takes the true scores for drawn anew as well, and makes the intervals of p 2.5 to 3.8
times too wide (decision 23 has the figures).

**rho**, which the scores of one rater do not tell: the hull of T over a grid of rho, under two
pictures of how neighbours share: one by one with the example (the paper's, extended by rho), and
through the neighbourhood as the counted triples themselves show. Both start at the least rho that
lift allows.
"""

from dataclasses import dataclass, replace

import numpy as np

from ds2.measures import Z
from ds2.neighbors import in_threads, stretch_of
from ds2.neighbors.blocks import ROWS
from ds2.noise.em import TINY
from ds2.noise.estimate import MIN_COUNT
from ds2.noise.simulation import draw_scores
from ds2.noise.triples import (
    Counted,
    Fit,
    ScoreGraph,
    fit_triples,
    misfit,
    tally,
)
from ds2.progress import part, steps

__all__ = [
    "RHO_FLOOR",
    "Bootstrap",
    "bootstrap_fits",
    "cell_intervals",
    "covariance",
    "log_odds_interval",
    "matrix_range",
    "prior_information",
    "widened",
]

#: Eigenvalues below this share of the largest are directions that nothing is known of.
FLAT = 1e-9
EDGE = 1e-6
#: A bootstrap fit starts at the estimate, so that fewer steps are enough.
BOOTSTRAP_TOLERANCE, BOOTSTRAP_STEPS = 1e-5, 2000
#: Rounds that are counted at once (1, 2, 4 or 8), and that are fitted at once.
TOGETHER, CHUNK = 8, 20
#: Neighbours' true scores are never taken as certain, even where rho is 1.
MAX_COUPLING = 0.9
#: How many values of rho the range is taken over.
RHO_STEPS = 8
#: Fits whose log-likelihoods differ by less than this are equally good (95 % for one cell).
SAME_NATS = 1.92
#: The least rho that is considered at all.
RHO_FLOOR = 0.05


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


def widened(shares: np.ndarray, bounds: np.ndarray, others: list[np.ndarray]) -> np.ndarray:
    """(2, …) Intervals that allow for how far ``shares`` go with what was guessed beforehand."""
    pull = Z * np.max([np.abs(other - shares) for other in others], axis=0)
    low, high = shares - np.hypot(shares - bounds[0], pull), np.hypot(bounds[1] - shares, pull)
    return np.asarray(np.clip(np.array([low, shares + high]), 0.0, 1.0))


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Fits to scores drawn anew.

    Attributes:
        matrices: (b, s, s).
        priors: (b, s).
        misfits: (b,) total variation between each counted table and its fit.
    """

    matrices: np.ndarray
    priors: np.ndarray
    misfits: np.ndarray

    def intervals(self, T: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """95 % intervals (2, s, s) and (2, s) around an estimate."""
        return _around(T, self.matrices), _around(p, self.priors)


def probable_scores(graph: ScoreGraph, T: np.ndarray, p: np.ndarray, rho: float) -> np.ndarray:
    """(e,) The most probable true score of each entry, from its neighbourhood.

    First from its own score and all of its neighbours' scores; then once more from its own score
    and the true scores that the first pass gave its neighbours, which removes most of the
    roughness that single wrong neighbours leave.
    """
    s, k = graph.n_scores, graph.indices.shape[1]
    own = np.log(np.maximum(p, TINY)) + _log(T).T
    held = min(rho, MAX_COUPLING)
    scores = graph.scores
    for near in (rho * T + (1 - rho) * graph.observed, held * np.eye(s) + (1 - held) * p):
        told = _log(near).T
        found = np.empty(len(graph.rows), dtype=np.int8)
        for block in graph.blocks:
            h = tally(graph.near(block, k, scores), s)
            found[block] = (own[graph.own[block]] + h @ told).argmax(axis=1)
        scores = graph.spread(found)
    return found


def _log(probability: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(np.maximum(probability, 1e-12)))


def bootstrap_fits(
    counted: Counted, fit: Fit, rho: float, *, n_rounds: int, seed: int
) -> Bootstrap:
    """Draw the observed scores ``n_rounds`` times and fit each; same seed, same rounds."""
    graph, T, p = counted.graph, fit.matrix[0], fit.prior[0]
    true = probable_scores(graph, T, p, rho)

    def count(streams: list[np.random.SeedSequence]) -> np.ndarray:
        drawn = np.full((len(graph.scores), TOGETHER), -1, dtype=np.int8)
        for place, stream in enumerate(streams):
            rng = np.random.default_rng(stream)
            for block in graph.blocks:
                rows = stretch_of(graph.rows[block])
                drawn[rows, place] = draw_scores(T, true[block], rng)
        own = drawn[stretch_of(graph.rows), : len(streams)]
        return graph.triples(own, drawn, counted.used, graph.n_scores)

    streams = np.random.SeedSequence(seed).spawn(n_rounds)
    rounds = [streams[at : at + TOGETHER] for at in range(0, n_rounds, TOGETHER)]
    held = 2 * TOGETHER * len(graph.scores) + ROWS * (24 * counted.used + 32 * graph.n_scores)
    with part(0.0, 0.75):
        tables = np.concatenate(list(steps(in_threads(count, rounds, each=held), len(rounds))))
    with part(0.75, 1.0):
        fits = [
            fit_triples(
                some,
                np.repeat(T[None], len(some), axis=0),
                np.repeat(p[None], len(some), axis=0),
                n_examples=counted.n,
                rho=rho,
                pseudo=counted.pseudo(rho),
                tolerance=BOOTSTRAP_TOLERANCE,
                max_iterations=BOOTSTRAP_STEPS,
            )
            for some in steps(np.array_split(tables, -(-n_rounds // CHUNK)))
        ]
    matrices = np.concatenate([fit.matrix for fit in fits])
    priors = np.concatenate([fit.prior for fit in fits])
    misfits = np.array(
        [misfit(table, m, q, rho) for table, m, q in zip(tables, matrices, priors, strict=True)]
    )
    return Bootstrap(matrices, priors, misfits)


def _around(estimate: np.ndarray, fits: np.ndarray) -> np.ndarray:
    deviations = np.quantile(fits - fits.mean(axis=0), (0.025, 0.975), axis=0, method="weibull")
    return np.asarray(np.clip(estimate + deviations, 0.0, 1.0))


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
    with part(0.0, 0.6):
        matrices = [at, *_one_by_one(counted, at_rho, rho, grid)]
    low, high = np.min(matrices, axis=0) - below, np.max(matrices, axis=0) + above
    inside = replace(at_rho, matrix=0.99 * at_rho.matrix + 0.01 / len(at))  # no cell at 0
    with part(0.6, 1.0):
        fits = counted.along(grid, inside, prior_rho=rho)
    for value, fit in zip(grid, fits, strict=True):
        stretch = 1 / counted.shares(float(value))[1]
        low = np.minimum(low, fit.matrix[0] - stretch * below)
        high = np.maximum(high, fit.matrix[0] + stretch * above)
    bounds = np.clip(np.array([low, high]), 0.0, 1.0)
    thin = at_rho.prior[0] * counted.n < MIN_COUNT
    bounds[0, thin], bounds[1, thin] = 0.0, 1.0
    return np.asarray(bounds)


def _one_by_one(counted: Counted, at_rho: Fit, rho: float, grid: np.ndarray) -> list[np.ndarray]:
    """Fits where neighbours share with the example one by one.

    Each rho is fitted from a near-perfect rater and from the fit at the rho before; both count
    where the counts cannot tell them apart.
    """
    s = counted.graph.n_scores
    perfect = replace(at_rho, matrix=(0.97 * np.eye(s) + 0.03 / s)[None])
    matrices: list[np.ndarray] = []
    last = at_rho
    for value in steps(grid[::-1]):
        fits = [counted.fit_at(float(value), start, prior_rho=rho) for start in (last, perfect)]
        best = max(float(fit.log_likelihood[0]) for fit in fits)
        close = [fit for fit in fits if (best - fit.log_likelihood[0]) * counted.n <= SAME_NATS]
        matrices.extend(fit.matrix[0] for fit in close)
        last = close[0]
    return matrices
