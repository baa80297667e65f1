"""Maximum likelihood for the transition matrix, by EM on the consensus counts.

Model (soft 2-NN score clusterability; Zhu, Song and Liu, arXiv 2102.05291, for rho = 1): the
example's true score is i with probability p[i]; it is observed as a with T[i, a]; each of two
neighbours shares the true score with excess probability rho, so that it is observed as b with

    F[i, b] = rho · T[i, b] + (1 − rho) · q[b],      q the observed marginal.

A triple's probability is Σ_i p[i] T[i, a] F[i, b] F[i, c]. EM on the table of counts is exact and
monotone and has no learning rate. A neighbour's count enters T with the weight rho·T / F that
it shares the true score; the example's own count with weight 1.

Everything here works on a stack of problems at once (leading axis z): starts, or bootstrap rounds.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

__all__ = ["Fit", "State", "accelerate", "diagonal_starts", "fit_triples"]

TINY = 1e-300
#: Stop when no cell of T or p moves by more than this in one accelerated step …
TOLERANCE = 1e-6
#: … or when the log-likelihood of all examples together gains less than this.
GAIN = 1e-6
MAX_ITERATIONS = 10_000
#: Probabilities below this count as 0 when a step is extrapolated.
SMALLEST = 1e-12
#: The longest extrapolation, in EM steps.
LONGEST_STEP = 256.0


@dataclass(frozen=True, slots=True)
class Fit:
    """Solutions of a stack of problems.

    Attributes:
        matrix: (z, s, s).
        prior: (z, s).
        log_likelihood: (z,) mean log-probability of a triple.
        iterations: EM steps that were taken.
        converged: (z,) whether it stood still.
    """

    matrix: np.ndarray
    prior: np.ndarray
    log_likelihood: np.ndarray
    iterations: int
    converged: np.ndarray


def fit_triples(
    counts: np.ndarray,
    matrix: np.ndarray,
    prior: np.ndarray,
    *,
    n_examples: int,
    rho: float = 1.0,
    own_share: float = 1.0,
    pseudo: np.ndarray | None = None,
    tolerance: float = TOLERANCE,
    max_iterations: int = MAX_ITERATIONS,
) -> Fit:
    """Run EM from given starts until it stands still.

    Args:
        counts: (s, s, s) or (z, s, s, s) joint frequencies summing to 1.
        matrix: (z, s, s) start.
        prior: (z, s) start.
        n_examples: how many examples the counts stand for: what `GAIN` is measured on.
        rho: excess probability that a neighbour shares the true score.
        own_share: excess probability that the example itself has the score that its neighbours
            share (1: the neighbours share the example's).
        pseudo: (s, s) pseudo-frequencies added to the counts of T's cells (an ordinal prior).
        tolerance: see `TOLERANCE`.
        max_iterations: EM steps at most.
    """
    problem = _Problem.build(counts, len(matrix), rho, pseudo, own_share)
    state, likelihood, taken, still = accelerate(
        problem,
        State(matrix.copy(), prior.copy()),
        n_examples=n_examples,
        tolerance=tolerance,
        max_iterations=max_iterations,
    )
    return Fit(state.matrix, state.prior, likelihood, taken, still)


@dataclass(frozen=True, slots=True)
class State:
    """Matrices (z, rows, s) and priors (z, s) of a stack of problems."""

    matrix: np.ndarray
    prior: np.ndarray

    def where(self, mask: np.ndarray, other: "State") -> "State":
        """This state where ``mask`` (z,) is true, the other elsewhere."""
        return State(
            np.where(mask[:, None, None], self.matrix, other.matrix),
            np.where(mask[:, None], self.prior, other.prior),
        )

    def distance(self, other: "State") -> np.ndarray:
        """(z,) The largest difference of any cell."""
        matrix = np.abs(self.matrix - other.matrix).max(axis=(1, 2))
        return np.asarray(np.maximum(matrix, np.abs(self.prior - other.prior).max(axis=1)))


class Problem(Protocol):
    """What can be solved by EM."""

    def likelihood(self, state: State) -> np.ndarray:
        """(z,) What a step never lowers."""

    def step(self, state: State) -> State:
        """One EM step."""


def accelerate(
    problem: Problem,
    state: State,
    *,
    n_examples: int,
    tolerance: float = TOLERANCE,
    max_iterations: int = MAX_ITERATIONS,
) -> tuple[State, np.ndarray, int, np.ndarray]:
    """Run EM until it stands still: state, likelihood (z,), steps taken, who stands still (z,).

    Steps are extrapolated (SQUAREM, Varadhan and Roland 2008) and taken back where that does not
    raise the likelihood, so the likelihood never falls.
    """
    likelihood = problem.likelihood(state)
    still = np.zeros(len(state.matrix), dtype=bool)
    taken = 0
    while taken < max_iterations and not still.all():
        first = problem.step(state)
        second = problem.step(first)
        candidate = problem.step(_extrapolate(state, first, second))
        reached = problem.likelihood(candidate)
        fallback = problem.likelihood(second)
        better = reached >= fallback
        following = candidate.where(better, second)
        gained = np.where(better, reached, fallback) - likelihood
        still = (following.distance(state) <= tolerance) | (gained * n_examples < GAIN)
        state, likelihood = following, likelihood + gained
        taken += 3
    return state, likelihood, taken, still


@dataclass(frozen=True, slots=True)
class _Problem:
    """One table (or one per start) as a matrix with the own score as rows, (z, s, s·s)."""

    counts: np.ndarray
    marginal: np.ndarray
    rho: float
    pseudo: np.ndarray | None
    own_share: float = 1.0

    @classmethod
    def build(
        cls,
        counts: np.ndarray,
        n_starts: int,
        rho: float,
        pseudo: np.ndarray | None,
        own_share: float = 1.0,
    ) -> "_Problem":
        stacked = counts if counts.ndim == 4 else counts[None]
        s = stacked.shape[-1]
        own = stacked.sum(axis=(2, 3))
        marginal = (own + 2 * stacked.sum(axis=(1, 3))) / 3
        flat = np.broadcast_to(stacked.reshape(-1, s, s * s), (n_starts, s, s * s))
        return cls(flat, marginal[:, None, :], rho, pseudo, own_share)

    def _own(self, state: State) -> np.ndarray:
        """(z, s, s) How the example itself is observed, given the score of its neighbourhood."""
        if self.own_share == 1.0:
            return state.matrix
        return np.asarray(self.own_share * state.matrix + (1 - self.own_share) * self.marginal)

    def _parts(self, state: State) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """F (z, s, s), products F[i,b]·F[i,c] as (z, s, s·s), and triple probabilities."""
        near = self.rho * state.matrix + (1 - self.rho) * self.marginal
        z, s, _ = near.shape
        pairs = (near[:, :, :, None] * near[:, :, None, :]).reshape(z, s, s * s)
        joint = state.prior[:, :, None] * self._own(state)
        return near, pairs, joint.transpose(0, 2, 1) @ pairs

    def _kept(self, state: State, view: np.ndarray, own: np.ndarray) -> np.ndarray:
        """The part of the own counts that come from the neighbourhood's score."""
        return np.asarray(own * self.own_share * state.matrix / np.maximum(view, TINY))

    def likelihood(self, state: State) -> np.ndarray:
        expected = self._parts(state)[2]
        value = (self.counts * np.log(np.maximum(expected, TINY))).sum(axis=(1, 2))
        if self.pseudo is not None:
            value = value + (self.pseudo * np.log(np.maximum(state.matrix, TINY))).sum(axis=(1, 2))
        return np.asarray(value)

    def step(self, state: State) -> State:
        """One EM step: responsibilities of the counts, then new p and T."""
        near, pairs, expected = self._parts(state)
        z, s, _ = near.shape
        ratio = self.counts / np.maximum(expected, TINY)
        view = self._own(state)
        own = state.prior[:, :, None] * view * (ratio @ pairs.transpose(0, 2, 1)).transpose(0, 2, 1)
        weighted = (view @ ratio).reshape(z, s, s, s)
        shared = (weighted @ near[:, :, :, None])[:, :, :, 0]
        shared = state.prior[:, :, None] * self.rho * state.matrix * shared
        cells = (own if view is state.matrix else self._kept(state, view, own)) + 2 * shared
        if self.pseudo is not None:
            cells = cells + self.pseudo
        rows = cells.sum(axis=2, keepdims=True)
        matrix = np.where(rows > TINY, cells / np.maximum(rows, TINY), state.matrix)
        prior = own.sum(axis=2)
        return State(matrix, prior / np.maximum(prior.sum(axis=1, keepdims=True), TINY))


def _extrapolate(start: State, first: State, second: State) -> State:
    """SQUAREM's squared step, on log-probabilities so that it stays inside the simplex.

    What is 0 stays 0, as in an EM step.
    """

    def cells(state: State) -> np.ndarray:
        return np.concatenate([state.matrix.reshape(len(state.matrix), -1), state.prior], axis=1)

    def flat(state: State) -> np.ndarray:
        return np.asarray(np.log(np.maximum(cells(state), SMALLEST)))

    r = flat(first) - flat(start)
    v = flat(second) - flat(first) - r
    length = np.linalg.norm(r, axis=1) / np.maximum(np.linalg.norm(v, axis=1), 1e-12)
    alpha = np.clip(length, 1.0, LONGEST_STEP)[:, None]
    jumped = np.clip(flat(start) + 2 * alpha * r + alpha**2 * v, np.log(SMALLEST), 0.0)
    values = np.where(cells(start) > 0, np.exp(jumped), 0.0)
    cut = start.matrix[0].size
    matrix = values[:, :cut].reshape(start.matrix.shape)
    prior = values[:, cut:]
    return State(
        matrix / matrix.sum(axis=2, keepdims=True), prior / prior.sum(axis=1, keepdims=True)
    )


def diagonal_starts(
    observed: np.ndarray, n_starts: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Starting points with most mass on the diagonal, which fixes the order of the rows.

    The first ones spread the rest evenly, then by distance, then by the observed marginal; the
    others are random. Priors start at the observed marginal, so a score that was never observed
    keeps a prior of 0: nothing could tell its examples from another score's.
    """
    s = len(observed)
    away = np.abs(np.subtract.outer(np.arange(s), np.arange(s)))
    eye = np.eye(s)
    floor = np.maximum(observed, 0.5 / s)
    shapes = [np.ones((s, s)), 0.5**away, np.tile(floor, (s, 1))]
    matrices = []
    for i in range(n_starts):
        share = (0.7, 0.5, 0.85)[i % 3]
        base = shapes[(i // 3) % 3] if i < 9 else rng.dirichlet(np.ones(s), size=s)
        rest = base * (1 - eye)
        matrices.append(share * eye + (1 - share) * rest / rest.sum(axis=1, keepdims=True))
    return np.array(matrices), np.tile(observed, (n_starts, 1))
