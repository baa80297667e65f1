"""The raters together: the posterior of the true score, with or without what neighbours say.

    P(true = i | row) ∝ q[i] Π_m T_m[i, a_m],        q = (1 − rho) p + rho · m

T and p as `ds2.fit_raters` finds them; as a score, a class counts what raters say in it
(`ds2.noise.order`), so the posterior's value is Σ_i P(i) v[i]. m is the mean of the neighbours'
posteriors, and rho how far it can be trusted: the value that predicts each rater's scores best from
the other raters'. rho = 0 is the posterior of the raters alone.
"""

from dataclasses import dataclass

import numpy as np

from ds2.curation.means import NeighborMeans
from ds2.noise.order import class_values
from ds2.noise.raters import solve_raters

__all__ = ["Posterior", "fused_posterior"]

#: The rho that are tried.
GRID = np.array([0.0, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97])
#: Which means of `NeighborMeans` may stand for the neighbours: all of them, or one step further.
REACH = (1, 2)
#: Many raters make any row of ratings unlikely: nothing above this may be taken for 0.
SMALLEST = 1e-250


@dataclass(frozen=True, slots=True)
class Posterior:
    """P(true score) of each row.

    Attributes:
        shares: (n, s) NaN in rows without any rating.
        values: (s,) what raters say in each class, in standard deviations.
        rho: how far neighbours were trusted.
    """

    shares: np.ndarray
    values: np.ndarray
    rho: float

    @property
    def expected(self) -> np.ndarray:
        """(n,) posterior means of the classes' values."""
        return np.asarray(self.shares @ self.values)

    @property
    def se(self) -> np.ndarray:
        """(n,) posterior standard deviations, in levels."""
        levels = np.arange(self.shares.shape[1])
        mean = self.shares @ levels
        return np.asarray(np.sqrt(np.maximum(self.shares @ levels**2 - mean**2, 0)))

    @property
    def mode(self) -> np.ndarray:
        """(n,) most probable scores; NaN in rows without any rating."""
        known = ~np.isnan(self.shares[:, 0])
        best = np.where(known[:, None], self.shares, 0.0).argmax(axis=1).astype(np.float64)
        return np.where(known, best, np.nan)


def fused_posterior(
    scores: np.ndarray,
    n_scores: int,
    means: NeighborMeans,
    *,
    gold: np.ndarray | None = None,
    seed: int = 0,
) -> tuple[Posterior, Posterior]:
    """The posteriors of two raters or more: without the neighbours, and with them.

    Args:
        scores: (n, m) whole numbers 0 … s − 1, NaN where missing; two columns or more.
        n_scores: s.
        means: the neighbours.
        gold: (n,) trusted scores that enter T as known rows, or None.
        seed: of the fit's starts.
    """
    T, p = solve_raters(scores, n_scores, gold=gold, seed=seed)
    values = class_values(T, p)
    votes = _likelihoods(scores, T)
    rated = ~np.isnan(scores).all(axis=1)
    alone = Posterior(_posterior(votes, p, rated), values, 0.0)
    rho, reach = _trust(votes, scores, p, means)
    if rho == 0:
        return alone, alone
    near = _near(votes, p, rated, means)[:, :, REACH.index(reach)]
    return alone, Posterior(_posterior(votes, (1 - rho) * p + rho * near, rated), values, rho)


def _likelihoods(scores: np.ndarray, T: np.ndarray) -> np.ndarray:
    """(n, m, s) float32 T_m[i, a_m]; 1 where the rating is missing."""
    known = ~np.isnan(scores)
    at = np.where(known, scores, 0).astype(np.int64)
    result = np.ones((*scores.shape, T.shape[1]), dtype=np.float32)
    for m in range(scores.shape[1]):
        result[known[:, m], m] = T[m].T[at[known[:, m], m]]
    return result


def _posterior(votes: np.ndarray, prior: np.ndarray, rated: np.ndarray) -> np.ndarray:
    """(n, s) normalised; NaN in rows that are not rated."""
    mass = prior * votes.prod(axis=1, dtype=np.float64)
    total = mass.sum(axis=1, keepdims=True)
    return np.where(rated[:, None], mass / np.maximum(total, SMALLEST), np.nan)


def _near(votes: np.ndarray, p: np.ndarray, rated: np.ndarray, means: NeighborMeans) -> np.ndarray:
    """(n, s, 2) mean posterior of the neighbours at each `REACH`; p where none is rated."""
    near = means(_posterior(votes, p, rated))[:, :, REACH].astype(np.float64)
    total = near.sum(axis=1, keepdims=True)
    return np.where(total > 0, near / np.maximum(total, SMALLEST), p[:, None])


def _trust(
    votes: np.ndarray, scores: np.ndarray, p: np.ndarray, means: NeighborMeans
) -> tuple[float, int]:
    """The rho and the reach under which each rater's scores are likeliest, given the others'."""
    gain = np.zeros((len(GRID), len(REACH)))
    for m in range(votes.shape[1]):
        others = np.delete(np.arange(votes.shape[1]), m)
        rated = ~np.isnan(scores[:, others]).all(axis=1)
        near = _near(votes[:, others], p, rated, means)
        judged = rated & ~np.isnan(scores[:, m])
        told, own = votes[judged][:, others].prod(axis=1, dtype=np.float64), votes[judged, m]
        before, after = told @ p, (told * own) @ p
        for place in range(len(REACH)):
            mixed = told * near[judged, :, place]
            nearby, nearby_after = mixed.sum(axis=1), (mixed * own).sum(axis=1)
            for step, rho in enumerate(GRID):
                predicted = (1 - rho) * after + rho * nearby_after
                total = (1 - rho) * before + rho * nearby
                gain[step, place] += np.log(
                    np.maximum(predicted, SMALLEST) / np.maximum(total, SMALLEST)
                ).sum()
    best = divmod(int(gain.argmax()), len(REACH))
    return float(GRID[best[0]]), REACH[best[1]]
