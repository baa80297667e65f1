"""One rater with evidence of rho: gold rows, or repeats.

The scores of one rater and its neighbours leave rho open (`ds2.noise.sharing`). What does not come
from them tells: rho is weighed, on a grid, by how well T at that rho explains the gold rows (their
own scores and their neighbours'), or the rater's second scores given its first ones.
"""

from dataclasses import replace

import numpy as np

from ds2.levels import split_levels
from ds2.neighbors import Neighbors
from ds2.noise.em import TINY, Fit
from ds2.noise.estimate import TransitionEstimate
from ds2.noise.hull import RHO_FLOOR
from ds2.noise.single import Single, dominant
from ds2.noise.trusted import Guesses, Trusted, explain, gold_counts, ordinal_guesses

__all__ = ["with_gold", "with_repeats"]

#: Steps of rho between its least value and 1.
GRID_STEPS = 20
#: Draws behind the intervals with repeats.
DRAWS = 2000


def with_gold(
    single: Single,
    values: np.ndarray,
    neighbors: Neighbors,
    gold: np.ndarray,
    weights: np.ndarray,
    *,
    rho: float | None,
    seed: int,
) -> TransitionEstimate:
    """Let gold choose rho (unless given) and correct T.

    Args:
        single: the estimate at rho = 1 (or at the given rho).
        values: (n,) scores.
        neighbors: the graph.
        gold: (n,) trusted scores, NaN where unknown.
        weights: (n,) inverse inclusion probabilities.
        rho: None: weighed over the grid.
        seed: of the draws behind the intervals.
    """
    rows = np.flatnonzero(~np.isnan(gold) & (weights > 0))
    shares = split_levels(gold[rows], single.counted.graph.n_scores)
    grid = _grid(single, rho)
    fits = single.counted.along(grid, single.fit, prior_rho=1.0)
    near = neighbors.indices[rows, : single.counted.used]
    support = np.array(
        [
            _neighbors_say(single, fit, float(value), near, shares)
            for value, fit in zip(grid, fits, strict=True)
        ]
    )
    D = gold_counts(shares, values[rows], weights[rows])
    guesses = _guesses(single, grid, fits, support)
    found = explain(
        D,
        [guesses, ordinal_guesses(single.counted.graph.n_scores)],
        np.random.default_rng(seed),
    )
    chances = found.weights[0] / max(float(found.weights[0].sum()), TINY)
    prior = _prior(chances, fits, shares, weights[rows])
    estimate = _evidenced(single, (grid, chances), found, prior, "gold")
    return replace(estimate, n_gold=len(rows))


def with_repeats(
    single: Single, values: np.ndarray, repeats: np.ndarray, *, seed: int
) -> TransitionEstimate:
    """Let second scores of the same rater choose rho."""
    both = ~np.isnan(values) & ~np.isnan(repeats)
    first, second = values[both].astype(int), repeats[both].astype(int)
    grid = _grid(single, None)
    fits = single.counted.along(grid, single.fit, prior_rho=1.0)
    logs = np.empty(len(grid))
    for g, fit in enumerate(fits):
        T, p = fit.matrix[0], fit.prior[0]
        pair = T.T @ (p[:, None] * T)
        logs[g] = np.log(np.maximum(pair / np.maximum(pair.sum(axis=0), TINY), 1e-12))[
            second, first
        ].sum()
    chances = np.exp(logs - logs.max())
    chances /= chances.sum()
    guesses = _guesses(single, grid, fits, logs)
    rng = np.random.default_rng(seed)
    picked = rng.choice(len(grid), size=DRAWS, p=chances)
    drawn = guesses.matrices[picked]
    if guesses.errors is not None and guesses.stretch is not None:
        errors = guesses.errors[rng.integers(len(guesses.errors), size=DRAWS)]
        drawn = drawn + errors * guesses.stretch[picked][:, None, None]
    bounds = np.clip(np.quantile(drawn, (0.025, 0.975), axis=0), 0.0, 1.0)
    mean = np.einsum("g,gij->ij", chances, guesses.matrices)
    prior = np.einsum("g,gi->i", chances, [fit.prior[0] for fit in fits])
    found = Trusted(mean, bounds, (chances,))
    return _evidenced(single, (grid, chances), found, prior, "repeats")


def _grid(single: Single, rho: float | None) -> np.ndarray:
    if rho is not None:
        return np.array([rho])
    low = max(RHO_FLOOR, single.estimate.rho_range[0])
    return np.linspace(min(low, 0.99), 1.0, GRID_STEPS)


def _guesses(single: Single, grid: np.ndarray, fits: list[Fit], support: np.ndarray) -> Guesses:
    rounds = single.rounds
    return Guesses(
        matrices=np.array([fit.matrix[0] for fit in fits]),
        support=support,
        errors=None if rounds is None else rounds.matrices - rounds.matrices.mean(axis=0),
        stretch=1 / np.array([single.counted.sharing.shares(float(rho))[1] for rho in grid]),
    )


def _neighbors_say(
    single: Single, fit: Fit, rho: float, near: np.ndarray, shares: np.ndarray
) -> float:
    """Log-probability of the gold rows' neighbours' scores, against chance.

    Neighbours of one example go together, so they count as k / (1 + (k − 1) lift) scores, not k.
    """
    counted = single.counted
    T, p = fit.matrix[0], fit.prior[0]
    q = p @ T
    shared = min(rho, counted.sharing.kappa)
    scores = counted.graph.scores[near]
    ratio = np.maximum((shared * T + (1 - shared) * q) / np.maximum(q, TINY), 1e-9)
    says = np.log(shares @ ratio)[np.arange(len(near))[:, None], np.maximum(scores, 0)]
    known = scores >= 0
    k = known.sum(axis=1)
    together = max(single.estimate.lift.value, 0.0) * counted.sharing.kappa
    worth = 1 / (1 + np.maximum(k - 1, 0) * np.nan_to_num(together))
    return float((np.where(known, says, 0.0).sum(axis=1) * worth).sum())


def _prior(
    chances: np.ndarray, fits: list[Fit], shares: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """(s,) The fits' priors, with the gold rows' levels worth as many examples as they are."""
    p = np.einsum("g,gi->i", chances, [fit.prior[0] for fit in fits])
    seen = (shares * weights[:, None]).sum(axis=0)
    scaled = seen * weights.sum() / (weights**2).sum()
    worth = 10.0 * len(p)
    return np.asarray((worth * p + scaled) / (worth + scaled.sum()))


def _evidenced(
    single: Single,
    weighed: tuple[np.ndarray, np.ndarray],
    found: Trusted,
    prior: np.ndarray,
    source: str,
) -> TransitionEstimate:
    """The estimate with the matrix and the rho, ``weighed`` (grid, chances), of the evidence."""
    grid, chances = weighed
    order = np.cumsum(chances)
    ends = [float(grid[min(int(np.searchsorted(order, q)), len(grid) - 1)]) for q in (0.025, 0.975)]
    effective = single.counted.n * prior
    bounds = found.intervals if single.rounds is not None else None
    rho = float((chances * grid).sum())
    return replace(
        single.estimate,
        matrix=found.matrix,
        prior=prior,
        rho=rho,
        range=found.intervals,
        rho_range=(ends[0], ends[1]),
        rho_interval=(ends[0], ends[1]),
        rho_source=source,
        intervals=bounds,
        effective_counts=effective,
        diagonal_dominant=dominant(found.matrix, effective),
        fit_expected=float("nan"),
    )
