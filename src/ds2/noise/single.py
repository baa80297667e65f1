"""One rater, from what nearest neighbours say (Zhu, Song and Liu, ICML 2021), gold and repeats.

The scores of one rater and its neighbours leave rho open (`ds2.noise.triples`). What does not come
from them tells: rho is weighed, on a grid, by how well T at that rho explains the gold rows (their
own scores and their neighbours'), and the rater's second scores given its first ones.

T from gold, with everything else as a guess that gold may overrule:

A guess is a matrix M and a strength v: the rows of T are Dirichlet around M's rows, worth v
examples each. Gold rows, counted as D[i, a] (true i, observed a), then have the probability of a
Dirichlet-multinomial, and T's mean becomes (v M + D) / (v + D's row sums). Guesses compete by that
probability: what neighbours say at each rho (or several raters together), and plain ordinal
matrices, in case neighbours do not share in the way that is assumed. Where a guess explains the
gold rows, its strength comes out large; where none does, T is what gold itself says.

Gold rows are weighted by their inverse inclusion probabilities, scaled to their effective number.
"""

from dataclasses import dataclass, replace

import numpy as np

from ds2.levels import split_levels
from ds2.neighbors import Neighbors
from ds2.noise.em import TINY
from ds2.noise.estimate import MIN_COUNT, TransitionEstimate, dominant
from ds2.noise.intervals import RHO_FLOOR, Bootstrap, bootstrap_fits, matrix_range
from ds2.noise.triples import Counted, Fit, measure_lift, misfit
from ds2.progress import part

__all__ = [
    "Guesses",
    "Single",
    "Trusted",
    "Wanted",
    "estimate_one",
    "estimate_single",
    "explain",
    "gold_counts",
    "ordinal_guesses",
]


#: Fewer repeats than this choose no rho.
MIN_REPEATS = 30
#: Steps of rho between its least value and 1.
GRID_STEPS = 20

#: Strengths that a guess may have, in examples per row; without gold nothing speaks against one.
STRENGTHS = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
EXACT = (1e6,)
#: What every cell of a guess has at least.
LEAST_CELL = 1e-4
RIGHT = np.linspace(0.2, 0.95, 16)
DECAYS = (0.3, 0.5, 0.7, 0.9)
#: A guess of strength v has a chance proportional to v to this power beforehand: for the estimate,
#: which may lean on a guess that explains the gold rows …
LEAN = 0.5
#: … and for the intervals, which must not. That is a uniform prior on 1/√v, the standard deviation
#: of a guess's own error: a hundred gold rows do not show that a guess is exact.
DOUBT = -0.5
DRAWS = 2000
#: Examples that a prior without gold counts as, by level.
GUESS_WORTH = 10.0


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
    tried = counted.first(rho, wanted.n_starts, wanted.seed)
    fit = counted.fit_at(rho, tried)
    with part(0.02, 0.45 if wanted.n_bootstrap else 0.02):
        rounds = None
        if wanted.n_bootstrap:
            rounds = bootstrap_fits(
                counted, fit, rho, n_rounds=wanted.n_bootstrap, seed=wanted.seed
            )
    T, p = fit.matrix[0], fit.prior[0]
    effective = counted.n * p
    intervals = prior_intervals = None
    if rounds is not None:
        intervals, prior_intervals = rounds.intervals(T, p)
        intervals[:, effective < MIN_COUNT] = np.nan
    lifts = tuple(measure_lift(counted.graph, k) for k in (1, 2) if k <= neighbors.k)
    # from the least rho that the lift allows (a perfect rater's) up to 1
    least = measure_lift(counted.graph, counted.used).low
    over = (rho, rho) if np.isnan(least) else (float(np.clip(least, RHO_FLOOR, rho)), 1.0)
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


@dataclass(frozen=True, slots=True)
class Guesses:
    """Matrices that may be the rater's, of one family.

    Attributes:
        matrices: (g, s, s).
        support: (g,) log-probability of other evidence under each (0: none).
        errors: (d, s, s) deviations that sampling may have given them; None: exact.
        stretch: (g,) by which the deviations count.
    """

    matrices: np.ndarray
    support: np.ndarray
    errors: np.ndarray | None = None
    stretch: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Trusted:
    """What gold makes of the guesses.

    Attributes:
        matrix: (s, s) posterior mean.
        intervals: (2, s, s) 95 %.
        weights: the posterior probability of each guess, one (g,) per family.
    """

    matrix: np.ndarray
    intervals: np.ndarray
    weights: tuple[np.ndarray, ...]


def gold_counts(shares: np.ndarray, observed: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(s, s) D: gold level by observed score.

    Args:
        shares: (g, s) share of each level in the gold scores.
        observed: (g,) the rater's scores, NaN where it gave none.
        weights: (g,) inverse inclusion probabilities.
    """
    s = shares.shape[1]
    rated = ~np.isnan(observed)
    D = np.zeros((s, s))
    if not rated.any():
        return D
    scaled = _in_examples(weights[rated])
    np.add.at(D.T, observed[rated].astype(int), shares[rated] * scaled[:, None])
    return D


def _in_examples(weights: np.ndarray) -> np.ndarray:
    """(g,) How many examples each row is worth; together as many as rows are effective (Kish)."""
    return np.asarray(weights * weights.sum() / max(float((weights**2).sum()), TINY))


def ordinal_guesses(s: int) -> Guesses:
    """Raters who are right this often and err to near levels, more or less."""
    away = np.abs(np.subtract.outer(np.arange(s), np.arange(s)))
    matrices: list[np.ndarray] = []
    for decay in DECAYS:
        rest = decay**away * (away > 0)
        rest /= rest.sum(axis=1, keepdims=True)
        matrices.extend(right * np.eye(s) + (1 - right) * rest for right in RIGHT)
    return Guesses(np.array(matrices), np.zeros(len(matrices)))


def explain(D: np.ndarray, families: list[Guesses], rng: np.random.Generator) -> Trusted:
    """Weigh families of guesses, each family equally beforehand, by how they explain ``D``."""
    strengths = np.array(STRENGTHS if D.any() else EXACT)
    logs = [
        _told(D, family.matrices, strengths) + (family.support - _log_mean(family.support))[:, None]
        for family in families
    ]
    weights = _weights(logs, strengths**LEAN)
    mean = np.zeros_like(D)
    for family, weight in zip(families, weights, strict=True):
        for M, row in zip(family.matrices, weight, strict=True):
            for v, w in zip(strengths, row, strict=True):
                if w > 1e-6:
                    mean += w * (v * _held(M) + D) / (v + D.sum(axis=1, keepdims=True))
    mean /= mean.sum(axis=1, keepdims=True)  # what was too unlikely to be looked at is left out
    bounds = _intervals(D, families, _weights(logs, strengths**DOUBT), strengths, rng)
    return Trusted(mean, bounds, tuple(weight.sum(axis=1) for weight in weights))


def _told(D: np.ndarray, matrices: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """(g, v) Log-probability of ``D`` for each guess and strength."""
    return np.array([[_log_probability(D, v * _held(M)) for v in strengths] for M in matrices])


def _weights(logs: list[np.ndarray], beforehand: np.ndarray) -> list[np.ndarray]:
    """Posterior of guess and strength, one (guesses, strengths) per family of equal chances."""
    told = [log + np.log(beforehand / beforehand.mean()) for log in logs]
    chances = _softmax(np.array([_log_mean(log) for log in told]))
    return [chance * _softmax(log) for chance, log in zip(chances, told, strict=True)]


def _intervals(
    D: np.ndarray,
    families: list[Guesses],
    weights: list[np.ndarray],
    strengths: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """(2, s, s) Quantiles of T drawn from its posterior, sampling errors of the guesses added."""
    flat = np.concatenate([weight.ravel() for weight in weights])
    owner = np.repeat(np.arange(len(weights)), [weight.size for weight in weights])
    offset = np.cumsum([0, *(weight.size for weight in weights)])
    drawn = np.empty((DRAWS, *D.shape))
    for i, cell in enumerate(rng.choice(len(flat), size=DRAWS, p=flat / flat.sum())):
        family = families[owner[cell]]
        guess, strength = divmod(int(cell - offset[owner[cell]]), len(strengths))
        M = family.matrices[guess]
        if family.errors is not None:
            error = family.errors[rng.integers(len(family.errors))]
            M = M + error * (1.0 if family.stretch is None else family.stretch[guess])
        gamma = rng.standard_gamma(strengths[strength] * _held(M) + D)
        drawn[i] = gamma / np.maximum(gamma.sum(axis=1, keepdims=True), 1e-300)
    return np.asarray(np.quantile(drawn, (0.025, 0.975), axis=0))


def _held(M: np.ndarray) -> np.ndarray:
    cells = np.clip(M, LEAST_CELL, 1.0)
    return np.asarray(cells / cells.sum(axis=1, keepdims=True))


def _log_probability(D: np.ndarray, alpha: np.ndarray) -> float:
    """Log-probability of the counts under a Dirichlet-multinomial per row."""
    from scipy.special import gammaln

    rows = gammaln(alpha.sum(axis=1)) - gammaln(alpha.sum(axis=1) + D.sum(axis=1))
    return float(rows.sum() + (gammaln(alpha + D) - gammaln(alpha)).sum())


def _softmax(logs: np.ndarray) -> np.ndarray:
    shares = np.exp(logs - logs.max())
    return np.asarray(shares / shares.sum())


def _log_mean(logs: np.ndarray) -> float:
    top = float(logs.max())
    return top + float(np.log(np.exp(logs - top).mean()))


def estimate_one(
    values: np.ndarray,
    neighbors: Neighbors,
    wanted: Wanted,
    *,
    rho: float | None,
    gold: np.ndarray,
    weights: np.ndarray,
    repeats: np.ndarray,
) -> TransitionEstimate:
    """Estimate one rater: gold and repeats choose rho (unless it is given), and gold corrects T.

    Args:
        values: (n,) scores.
        neighbors: the graph.
        wanted: the settings.
        rho: None: weighed over a grid, or 1 where there is no evidence.
        gold: (n,) trusted scores, NaN where unknown.
        weights: (n,) inverse inclusion probabilities, 0 where unknown.
        repeats: (n,) second scores, NaN where there are none.
    """
    both = np.flatnonzero(~np.isnan(repeats + values))
    rows, twice = np.flatnonzero(weights > 0), len(both) >= MIN_REPEATS
    evident = len(rows) > 0 or (twice and rho is None)
    single = estimate_single(
        values,
        neighbors,
        wanted,
        rho=1.0 if rho is None else rho,
        repeats=repeats if twice else None,
        ranged=not evident,
    )
    if not evident:
        return single.estimate
    counted, rounds = single.counted, single.rounds
    low = min(max(RHO_FLOOR, single.estimate.rho_range[0]), 0.99)
    grid = np.linspace(low, 1.0, GRID_STEPS) if rho is None else np.array([rho])
    fits = counted.along(grid, single.fit, prior_rho=1.0)
    shares = split_levels(gold[rows], wanted.n_scores)
    near = neighbors.indices[rows, : counted.used]
    said = []
    if len(rows):
        at_grid = zip(fits, grid, strict=True)
        said.append([_neighbors_say(single, fit, float(at), near, shares) for fit, at in at_grid])
    if twice:
        again = values[both].astype(int), repeats[both].astype(int)
        said.append([_repeats_say(fit, *again) for fit in fits])
    stretch = 1 / np.array([counted.shares(float(value))[1] for value in grid])
    guesses = Guesses(
        matrices=np.array([fit.matrix[0] for fit in fits]),
        support=np.sum(said, axis=0),
        errors=None if rounds is None else rounds.matrices - rounds.matrices.mean(axis=0),
        stretch=stretch,
    )
    families = [guesses, ordinal_guesses(wanted.n_scores)] if len(rows) else [guesses]
    D = gold_counts(shares, values[rows], weights[rows])
    rng = np.random.default_rng(wanted.seed)
    found = explain(D, families, rng)
    chances = found.weights[0] / max(float(found.weights[0].sum()), TINY)
    levels = _in_examples(weights[rows]) @ shares
    priors = np.array([fit.prior[0] for fit in fits])
    prior, prior_intervals = _prior(
        priors, chances, stretch=stretch, levels=levels, rounds=rounds, rng=rng
    )
    witnesses = [_softmax(np.array(logs)) for logs in said]
    if D.any():
        strong = np.array(STRENGTHS)
        (own,) = _weights([_told(D, guesses.matrices, strong)], strong**LEAN)
        witnesses.append(own.sum(axis=1))
    low, high = _rho_interval(grid, chances, witnesses)
    effective, source = counted.n * prior, "gold" if len(rows) else "repeats"
    return replace(
        single.estimate,
        matrix=found.matrix,
        prior=prior,
        prior_intervals=prior_intervals,
        rho=float((chances * grid).sum()),
        range=found.intervals,
        rho_range=(low, high),
        rho_interval=(low, high) if rho is None else (0.0, 1.0),
        rho_source=source if rho is None else "assumed",
        matrix_source=source,
        intervals=None if rounds is None else found.intervals,
        effective_counts=effective,
        diagonal_dominant=dominant(found.matrix, effective),
        fit_expected=float("nan"),
        n_gold=len(rows),
    )


def _rho_interval(
    grid: np.ndarray, chances: np.ndarray, witnesses: list[np.ndarray]
) -> tuple[float, float]:
    """Interval of rho by all evidence, as far as each piece alone puts it, give or take its SD.

    What T is off by at each rho draws the pieces apart: the gold rows' own scores towards 1, their
    neighbours' scores towards 0.

    Args:
        grid: (g,) rho.
        chances: (g,) of each, by all evidence.
        witnesses: (g,) the same by each piece.
    """
    order = np.cumsum(chances)
    ends = [grid[min(int(np.searchsorted(order, q)), len(grid) - 1)] for q in (0.025, 0.975)]
    for chance in witnesses:
        mean = chance @ grid
        off = np.sqrt(chance @ (grid - mean) ** 2)
        ends += [mean - off, mean + off]
    ends = np.clip([*ends, chances @ grid], grid[0], grid[-1])
    return float(ends.min()), float(ends.max())


def _prior(
    guesses: np.ndarray,
    chances: np.ndarray,
    *,
    stretch: np.ndarray,
    levels: np.ndarray,
    rounds: Bootstrap | None,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Weigh the priors of a grid of rho, and add gold's levels to them.

    The guess counts as many examples as its `GUESS_WORTH`: p ~ Dirichlet(worth · guess), and gold
    is a draw from p. The guess itself is a draw from the grid, with the error of the bootstrap.

    Args:
        guesses: (g, s) p at each rho.
        chances: (g,) of each rho; they sum to 1.
        stretch: (g,) by which an error at rho = 1 counts at each.
        levels: (s,) how many examples each level of the gold rows is worth; 0 without gold.
        rounds: None: without intervals.
        rng: draws.

    Returns:
        (s,) p, and its 95 % interval (2, s).
    """
    worth = GUESS_WORTH * guesses.shape[1]
    prior = (worth * chances @ guesses + levels) / (worth + levels.sum())
    if rounds is None:
        return prior, None
    errors = rounds.priors - rounds.priors.mean(axis=0)
    at, of = rng.choice(len(guesses), DRAWS, p=chances), rng.integers(len(errors), size=DRAWS)
    drawn = np.maximum(guesses[at] + errors[of] * stretch[at, None], TINY)
    drawn /= drawn.sum(axis=1, keepdims=True)
    if levels.any():
        drawn = rng.standard_gamma(worth * drawn + levels)
        drawn /= drawn.sum(axis=1, keepdims=True)
    ends = np.quantile(drawn, (0.025, 0.975), axis=0)
    return prior, np.array([np.minimum(ends[0], prior), np.maximum(ends[1], prior)])


def _repeats_say(fit: Fit, first: np.ndarray, second: np.ndarray) -> float:
    """Log-probability of the second scores, given the first ones."""
    T, p = fit.matrix[0], fit.prior[0]
    pair = T.T @ (p[:, None] * T)
    told = np.log(np.maximum(pair / np.maximum(pair.sum(axis=0), TINY), 1e-12))
    return float(told[second, first].sum())


def _neighbors_say(
    single: Single, fit: Fit, rho: float, near: np.ndarray, shares: np.ndarray
) -> float:
    """Log-probability of the gold rows' neighbours' scores, against chance.

    Neighbours of one example go together, so they count as k / (1 + (k − 1) lift) scores, not k.
    """
    counted = single.counted
    T, p = fit.matrix[0], fit.prior[0]
    q = p @ T
    shared = min(rho, counted.kappa)
    scores = counted.graph.scores[near]
    ratio = np.maximum((shared * T + (1 - shared) * q) / np.maximum(q, TINY), 1e-9)
    says = np.log(shares @ ratio)[np.arange(len(near))[:, None], np.maximum(scores, 0)]
    known = scores >= 0
    k = known.sum(axis=1)
    together = max(single.estimate.lift.value, 0.0) * counted.kappa
    worth = 1 / (1 + np.maximum(k - 1, 0) * np.nan_to_num(together))
    return float((np.where(known, says, 0.0).sum(axis=1) * worth).sum())
