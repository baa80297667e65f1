"""EM that is accelerated: where it starts, how it steps, when it stands still.

What is solved is a `Problem`: `ds2.noise.model` (several raters, patterns and pairs) and
`ds2.noise.triples` (one rater, a table of counts) are two E-steps of one model. Everything here
works on a stack of problems at once (leading axis z): starts, or bootstrap rounds.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

__all__ = ["TINY", "TOLERANCE", "State", "accelerate", "diagonal_starts", "ordinal_shares"]

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
#: The ordinal prior's mass falls to this share with each level of distance.
ORDINAL_DECAY = 0.5


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


def ordinal_shares(s: int, decay: float = ORDINAL_DECAY) -> np.ndarray:
    """(s, s) A row for each level, its mass falling with the distance from the diagonal."""
    mass = decay ** np.abs(np.subtract.outer(np.arange(s), np.arange(s)))
    return np.asarray(mass / mass.sum(axis=1, keepdims=True))
