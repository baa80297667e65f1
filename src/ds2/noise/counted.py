"""One rater's triples, counted once, and every fit that is made of them."""

from dataclasses import dataclass

import numpy as np

from ds2.checks import check_int
from ds2.errors import InputError
from ds2.neighbors import Neighbors
from ds2.noise.consensus import ScoreGraph
from ds2.noise.em import Fit, diagonal_starts, fit_triples
from ds2.noise.information import ordinal_shares
from ds2.noise.lift import measure_lift
from ds2.noise.sharing import Sharing

__all__ = ["Counted", "pick_neighbors"]

#: A neighbour of higher rank is counted while its lift is at least this share of the first two's.
LIFT_KEPT = 0.9
#: EM steps that every start gets before the best one goes on.
FIRST_STEPS = 300


@dataclass(frozen=True, slots=True)
class Counted:
    """What the fits of one rater work on.

    Attributes:
        graph: the rated entries and their neighbours.
        counts: (s, s, s) joint frequency of the own score and two neighbours'.
        used: among how many nearest neighbours pairs were counted.
        strength: of the ordinal prior, in examples per score.
        sharing: how the members of a neighbourhood go together.
    """

    graph: ScoreGraph
    counts: np.ndarray
    used: int
    strength: float
    sharing: Sharing

    @classmethod
    def build(
        cls,
        values: np.ndarray,
        neighbors: Neighbors,
        n_scores: int,
        *,
        n_neighbors: int | str,
        strength: float,
    ) -> "Counted":
        """Count the triples of ``values`` (n,), NaN where unrated."""
        graph = ScoreGraph.build(values, neighbors, n_scores)
        used = pick_neighbors(graph, n_neighbors)
        counts = graph.count(used)
        if not counts.any():
            raise InputError(
                "'scores' has no rated example with two rated neighbours, so nothing can be "
                "counted. Rate more examples."
            )
        return cls(graph, counts, used, strength, Sharing.measure(counts))

    @property
    def n(self) -> int:
        """Distinct rated examples."""
        return len(self.graph.own)

    def pseudo(self, rho: float) -> np.ndarray | None:
        """(s, s) Pseudo-frequencies of the ordinal prior, falling with |i − j|; None without."""
        if not self.strength:
            return None
        shares = ordinal_shares(self.graph.n_scores)
        return np.asarray(self.strength / self.n * (1 + 2 * rho) * shares)

    def first(self, rho: float, n_starts: int, seed: int) -> tuple[Fit, int]:
        """Short fits from all starts, and the number of the best."""
        starts = diagonal_starts(self.graph.observed, n_starts, np.random.default_rng(seed))
        tried = fit_triples(
            self.counts,
            *starts,
            n_examples=self.n,
            rho=rho,
            pseudo=self.pseudo(rho),
            max_iterations=FIRST_STEPS,
        )
        return tried, int(tried.log_likelihood.argmax())

    def fit_at(
        self,
        rho: float,
        start: Fit,
        of: int = 0,
        *,
        own_share: float = 1.0,
        prior_rho: float | None = None,
    ) -> Fit:
        """Fit until EM stands still, from one of the solutions in ``start``."""
        matrix, prior = start.matrix[of][None], start.prior[of][None]
        return fit_triples(
            self.counts,
            matrix,
            prior,
            n_examples=self.n,
            rho=rho,
            own_share=own_share,
            pseudo=self.pseudo(rho if prior_rho is None else prior_rho),
        )

    def along(self, grid: np.ndarray, start: Fit, *, prior_rho: float) -> list[Fit]:
        """Fits at each rho of ``grid`` under the measured sharing, largest first inside."""
        found: dict[float, Fit] = {}
        last = start
        for rho in sorted(grid, reverse=True):
            own_share, near = self.sharing.shares(float(rho))
            last = self.fit_at(near, last, own_share=own_share, prior_rho=prior_rho)
            found[float(rho)] = last
        return [found[float(rho)] for rho in grid]


def pick_neighbors(graph: ScoreGraph, wanted: int | str) -> int:
    """The number of neighbours to count: as many as keep 0.9 of the lift of the first two."""
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
