"""Pools with a known transition matrix and a given clusterability."""

from dataclasses import dataclass

import numpy as np

from ds2.arrays import Prior, Scores, Transition, Vectors
from ds2.checks import check_fraction, check_int
from ds2.errors import InputError

__all__ = ["SimulatedPool", "simulate"]

#: Distance of a member from its cluster's centre, the centre's length being 1.
SPREAD = 0.3


@dataclass(frozen=True, slots=True)
class SimulatedPool:
    """A pool whose truth is known.

    Attributes:
        vectors: (n, d) float32 unit rows.
        scores: (n,) observed scores, floats.
        true_scores: (n,) floats.
        transition: (s, s) the matrix the observed scores were drawn through.
        prior: (s,) shares of the true scores.
        clusterability: rho, the excess probability that a neighbour shares the true score.
    """

    vectors: Vectors
    scores: Scores
    true_scores: Scores
    transition: Transition
    prior: Prior
    clusterability: float


def simulate(
    n: int,
    *,
    n_scores: int = 6,
    transition: Transition | None = None,
    prior: Prior | None = None,
    clusterability: float = 1.0,
    cluster_size: int = 20,
    dim: int = 32,
    seed: int = 0,
) -> SimulatedPool:
    """Simulate a pool: clusters of examples that share a true score, seen through a noisy rater.

    Each cluster has a true score; shares of the scores follow ``prior`` as closely as whole
    clusters allow. Each example keeps its cluster's score with probability
    √``clusterability`` and draws its own from the prior otherwise, so that two examples of a
    cluster share their score with excess probability ``clusterability``. Observed scores are
    then drawn through ``transition``.

    Args:
        n: examples.
        n_scores: levels of the score, up to 100.
        transition: (s, s) rows true, columns observed. Default: a rater who is right 60 % of the
            time at the ends of the scale and in its middle, and errs to near levels more often.
        prior: (s,) Default: a hump in the middle.
        clusterability: 0 (neighbours say nothing) to 1 (neighbours always share the score).
        cluster_size: examples per cluster; more than k for neighbours within the cluster.
        dim: dimensions of the vectors.
        seed: the same seed gives the same pool.

    Returns:
        `SimulatedPool`.

    Raises:
        InputError: shapes that do not fit, rows that do not sum to 1, settings out of range.
    """
    n = check_int("n", n, low=1)
    s = check_int("n_scores", n_scores, low=1, high=100)
    share = check_fraction("clusterability", clusterability)
    size = check_int("cluster_size", cluster_size, low=1)
    dim = check_int("dim", dim, low=2)
    T = _default_transition(s) if transition is None else _distribution("transition", transition)
    hump = np.exp(-(((np.arange(s) - (s - 1) / 2) / max(s / 3, 1)) ** 2))
    p = hump / hump.sum() if prior is None else _distribution("prior", prior)
    if T.shape != (s, s) or p.shape != (s,):
        raise InputError(
            f"'transition' and 'prior' must have shapes ({s}, {s}) and ({s},) for n_scores = {s}. "
            f"Got {T.shape} and {p.shape}."
        )
    rng = np.random.default_rng(check_int("seed", seed, low=0))
    cluster = rng.permutation(n) // size
    centres = _unit(rng.standard_normal((int(cluster.max()) + 1, dim)))
    offsets = _unit(rng.standard_normal((n, dim)))
    vectors = _unit(centres[cluster] + SPREAD * offsets).astype(np.float32)
    kept = rng.random(n) < np.sqrt(share)
    true = np.where(kept, _by_quota(len(centres), p, rng)[cluster], _by_quota(n, p, rng))
    return SimulatedPool(
        vectors=vectors,
        scores=draw_scores(T, true, rng).astype(np.float64),
        true_scores=true.astype(np.float64),
        transition=T,
        prior=np.bincount(true, minlength=s) / n,
        clusterability=share,
    )


def draw_scores(T: np.ndarray, true: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n,) One observed score for each true score, drawn from its row of T."""
    ends = np.cumsum(T, axis=1)
    ends[:, -1] = 1.0
    drawn = rng.random(len(true))
    result = np.zeros(len(true), dtype=np.int8)
    for end in ends[:, :-1].T:
        result += drawn >= end[true]
    return result


def _by_quota(n: int, p: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n,) scores whose shares are p to within one row, in random order."""
    ends = np.round(np.cumsum(p) * n).astype(np.int64)
    ends[-1] = n
    return rng.permutation(np.searchsorted(ends, np.arange(n), side="right"))


def _default_transition(s: int) -> np.ndarray:
    away = np.abs(np.subtract.outer(np.arange(s), np.arange(s)))
    rest = 0.5**away * (away > 0)
    total = rest.sum(axis=1, keepdims=True)
    rest = np.divide(rest, total, out=np.zeros_like(rest), where=total > 0)
    return np.asarray(0.6 * np.eye(s) + 0.4 * rest if s > 1 else np.eye(1))


def _distribution(name: str, value: object) -> np.ndarray:
    array = np.asarray(value, dtype=np.float64)
    if not np.isfinite(array).all() or (array < 0).any() or array.size == 0:
        raise InputError(f"'{name}' must hold probabilities, 0 or more.")
    if not np.allclose(array.sum(axis=-1), 1.0, atol=1e-6):
        raise InputError(
            f"'{name}' must sum to 1 (each row of a matrix). Got {array.sum(axis=-1)}."
        )
    return array


def _unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))
