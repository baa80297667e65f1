"""How sure the estimate is: a parametric bootstrap on the fixed graph.

Triples share rows, so resampling them as if independent gives intervals that are too narrow. Here
the graph stays and the scores are drawn anew: every entry gets its most probable true score
given its own and its neighbours' scores, observed scores are drawn from the fitted T, counted on
the graph and fitted again. What the fits spread is the interval; their own mean is taken out, so
that a true-score field that is smoother or rougher than the real one does not shift it.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ds2.neighbors import n_threads
from ds2.noise.consensus import ScoreGraph, count_triples, one_hot
from ds2.noise.em import TINY, fit_triples
from ds2.noise.simulation import draw_scores

__all__ = ["Bootstrap", "bootstrap_fits", "probable_scores"]

#: A bootstrap fit starts at the estimate, so that fewer steps are enough.
TOLERANCE = 1e-5
MAX_ITERATIONS = 2000
CHUNK = 20
#: Neighbours' true scores are never taken as certain, even where rho is 1.
MAX_COUPLING = 0.9


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
    s = graph.n_scores
    adjacency = graph.adjacency(graph.indices.shape[1])
    own = np.log(np.maximum(p, TINY)) + _log(T).T[graph.own]
    near = adjacency @ one_hot(graph.scores, s)
    first = (own + near.astype(np.float64) @ _log(rho * T + (1 - rho) * graph.observed).T).argmax(1)
    near = adjacency @ one_hot(graph.spread(first), s)
    held = min(rho, MAX_COUPLING)
    return np.asarray((own + near @ _log(held * np.eye(s) + (1 - held) * p).T).argmax(axis=1))


def _log(probability: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(np.maximum(probability, 1e-12)))


def bootstrap_fits(
    graph: ScoreGraph,
    T: np.ndarray,
    p: np.ndarray,
    *,
    rho: float,
    n_neighbors: int,
    n_rounds: int,
    pseudo: np.ndarray | None,
    seed: int,
) -> Bootstrap:
    """Draw the observed scores ``n_rounds`` times and fit each; same seed, same rounds."""
    adjacency = graph.adjacency(n_neighbors)
    true = probable_scores(graph, T, p, rho)

    def count(stream: np.random.SeedSequence) -> np.ndarray:
        rng = np.random.default_rng(stream)
        drawn = draw_scores(T, true, rng)
        near = adjacency @ one_hot(graph.spread(drawn), graph.n_scores)
        return count_triples(one_hot(drawn, graph.n_scores), near)

    streams = np.random.SeedSequence(seed).spawn(n_rounds)
    with ThreadPoolExecutor(n_threads()) as pool:
        tables = np.array(list(pool.map(count, streams)))
    fits = [
        fit_triples(
            part,
            np.repeat(T[None], len(part), axis=0),
            np.repeat(p[None], len(part), axis=0),
            n_examples=len(graph.own),
            rho=rho,
            pseudo=pseudo,
            tolerance=TOLERANCE,
            max_iterations=MAX_ITERATIONS,
        )
        for part in np.array_split(tables, -(-n_rounds // CHUNK))
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


def expected_triples(T: np.ndarray, p: np.ndarray, q: np.ndarray, rho: float) -> np.ndarray:
    """(s, s, s) The model's frequencies of (own, neighbour, neighbour)."""
    near = rho * T + (1 - rho) * q
    return np.asarray(np.einsum("i,ia,ib,ic->abc", p, T, near, near))


def misfit(counts: np.ndarray, T: np.ndarray, p: np.ndarray, rho: float) -> float:
    """Total variation between counted and fitted triples: 0 is a perfect fit."""
    q = (counts.sum(axis=(1, 2)) + 2 * counts.sum(axis=(0, 2))) / 3
    return float(0.5 * np.abs(counts - expected_triples(T, p, q, rho)).sum())
