"""Several raters and the neighbours together: EM on pairs of an example and a neighbour.

Given the true scores, all ratings are independent. With J[i, j] = P(true = i, neighbour's true = j)
and L_x[i] = Π_m T_m[i, x_m] for what the raters said of an example,

    P(what was said of an example, of its neighbour) = Σ_ij L_a[i] J[i, j] L_b[j]

J is free (symmetric), so neighbours may share a true score, lie near it, or not care; nothing is
assumed of them but that they are rated independently. Two raters of the example and a rater of its
neighbour are three looks at one true score, which is what determines every T_m. From J follow the
prior and rho = (Σ_i J[i, i] − Σ p²) / (1 − Σ p²).

Each example's pairs count as one together. Pairs share rows, so the intervals are Godambe's, with
blocks of the graph as what is independent.
"""

from dataclasses import dataclass, replace

import numpy as np

from ds2.measures import student
from ds2.noise.em import TINY, State, accelerate, diagonal_starts
from ds2.noise.information import cell_intervals, covariance, log_odds_interval, prior_information
from ds2.noise.ordered import in_order
from ds2.noise.pairs import PairTable

__all__ = ["JointFit", "fit_joint"]

MAX_ITERATIONS = 1500
#: Pseudo-pairs of the prior of J, spread as if neighbours did not care.
PRIOR_PAIRS = 1.0
SHARES = (0.2, 0.6)
#: Groups of blocks of the jackknife, and EM steps of a fit without one.
GROUPS, GROUP_STEPS = 10, 90


@dataclass(frozen=True, slots=True)
class JointFit:
    """Matrices, prior and sharing that explain the pairs best.

    Attributes:
        matrix: (r, s, s).
        prior: (s,).
        sharing: (s, s) J, symmetric, summing to 1.
        intervals: (2, r, s, s) 95 % intervals.
        prior_intervals: (2, s).
        rho: excess probability that a neighbour shares the true score.
        rho_interval: its 95 % interval.
        log_likelihood: mean log-probability of a pair.
        iterations: EM steps.
        converged: whether EM stood still.
    """

    matrix: np.ndarray
    prior: np.ndarray
    sharing: np.ndarray
    intervals: np.ndarray
    prior_intervals: np.ndarray
    rho: float
    rho_interval: tuple[float, float]
    log_likelihood: float
    iterations: int
    converged: bool


def fit_joint(table: PairTable, n_scores: int, *, pseudo: np.ndarray, n_starts: int) -> JointFit:
    """Fit by EM from diagonal-heavy starts; ``pseudo`` (r, s, s) is the prior of the matrices."""
    problem = _Problem(table, pseudo.reshape(-1, n_scores), n_scores)
    starts = _starts(table, n_scores, n_starts)
    tried = [
        accelerate(problem, start, n_examples=1, tolerance=1e-4, max_iterations=90)
        for start in starts
    ]
    best = max(tried, key=lambda one: float(one[1][0]))
    state, _, taken, still = _run(problem, best[0])
    matrices, sharing = problem.split(state)
    order = in_order(matrices, sharing.sum(axis=1))
    if order is not None:
        moved = State(
            matrices[:, order].reshape(1, -1, n_scores),
            sharing[np.ix_(order, order)].reshape(1, -1),
        )
        state, _, more, still = _run(problem, moved)
        matrices, sharing = problem.split(state)
        taken += more
    cov = problem.covariance(state)
    cells = matrices.size
    rows = matrices.reshape(-1, n_scores)
    prior = sharing.sum(axis=1)
    rho, interval = _rho(problem, state)
    return JointFit(
        matrix=matrices,
        prior=prior,
        sharing=sharing,
        intervals=cell_intervals(rows, cov).reshape(2, *matrices.shape),
        prior_intervals=_prior_bounds(sharing, cov[cells:, cells:]),
        rho=rho,
        rho_interval=interval,
        log_likelihood=float(problem.data_likelihood(state) / max(table.total, TINY)),
        iterations=taken + best[2],
        converged=bool(still[0]),
    )


def _run(problem: "_Problem", state: State) -> tuple[State, np.ndarray, int, np.ndarray]:
    return accelerate(problem, state, n_examples=1, max_iterations=MAX_ITERATIONS)


@dataclass(frozen=True, slots=True)
class _Problem:
    """Pairs, and the steps of EM on them. J stands in the state's prior, flat (1, s·s)."""

    table: PairTable
    pseudo: np.ndarray
    s: int

    def split(self, state: State) -> tuple[np.ndarray, np.ndarray]:
        """T (r, s, s) and J (s, s)."""
        return state.matrix[0].reshape(-1, self.s, self.s), state.prior[0].reshape(self.s, self.s)

    def looks(self, matrices: np.ndarray) -> np.ndarray:
        """(u, s) L: probability of what the raters said, given each true score."""
        logs = np.log(np.maximum(matrices, TINY))[self.table.of_column]
        by_score = logs.transpose(0, 2, 1).reshape(-1, self.s)
        terms = self.table.hot @ by_score + self.table.log_gold
        return np.asarray(np.exp(np.maximum(terms, -600)))

    def data_likelihood(self, state: State) -> float:
        """Log-likelihood of the pairs."""
        T, J = self.split(state)
        return self.table.log_likelihood(self.looks(T), J)

    def likelihood(self, state: State) -> np.ndarray:
        """(1,) With the priors' part."""
        cells = (self.pseudo * np.log(np.maximum(state.matrix[0], TINY))).sum()
        J = state.prior[0]
        free = PRIOR_PAIRS / self.s**2 * np.log(np.maximum(J, TINY)).sum()
        return np.array([self.data_likelihood(state) + cells + free])

    def step(self, state: State) -> State:
        """One EM step."""
        T, J = self.split(state)
        looks = self.looks(T)
        first, second, joint = self.table.expectations(looks, J)
        weight = first + second
        cells = (self.table.hot.T @ weight).reshape(-1, self.s, self.s).transpose(0, 2, 1)
        summed = np.zeros_like(T)
        np.add.at(summed, self.table.of_column, cells)
        rows = summed.reshape(-1, self.s) + self.pseudo
        total = rows.sum(axis=1, keepdims=True)
        matrix = np.where(total > TINY, rows / np.maximum(total, TINY), state.matrix[0])
        shared = (joint + joint.T) / 2 + PRIOR_PAIRS / self.s**2
        return State(matrix[None], (shared / shared.sum()).reshape(1, -1))

    def covariance(self, state: State) -> np.ndarray:
        """Covariance of the free numbers behind T and J."""
        T, J = self.split(state)
        information, spread = self.table.information(self.looks(T), T, J)
        cells = T.size
        information[:cells, :cells] += prior_information(self.pseudo, state.matrix[0])
        J_prior = np.full((1, self.s**2), PRIOR_PAIRS / self.s**2)
        information[cells:, cells:] += prior_information(J_prior, J.reshape(1, -1))
        return covariance(information, spread)


def _starts(table: PairTable, s: int, n_starts: int) -> list[State]:
    matrices, _ = diagonal_starts(table.observed, n_starts, np.random.default_rng(0))
    p = table.observed
    starts = []
    for i, matrix in enumerate(matrices):
        share = SHARES[i % len(SHARES)]
        J = share * np.diag(p) + (1 - share) * np.outer(p, p)
        J = 0.99 * J + 0.01 / s**2
        rows = np.tile(matrix, (int(table.of_column.max()) + 1, 1))
        starts.append(State(rows[None], J.reshape(1, -1)))
    return starts


def _share(sharing: np.ndarray) -> float:
    """Excess probability of sharing a true score."""
    p = sharing.sum(axis=1)
    square, same = float((p**2).sum()), float(np.trace(sharing))
    return (same - square) / (1 - square) if square < 1 else 0.0


def _rho(problem: "_Problem", state: State) -> tuple[float, tuple[float, float]]:
    """Rho and its interval, by the jackknife over groups of the graph's blocks (Quenouille 1956).

    The likelihood's rho is off by something that falls with the number of examples, and spreads
    more than the curvature says where matrices are many: leaving out a tenth of the blocks in turn
    tells both.
    """
    whole = _share(problem.split(state)[1])
    groups = problem.table.without_each(GROUPS)
    left = []
    for counts in groups:
        part = replace(problem, table=replace(problem.table, counts=counts))
        found, *_ = accelerate(
            part, state, n_examples=1, tolerance=1e-4, max_iterations=GROUP_STEPS
        )
        left.append(_share(part.split(found)[1]))
    n = len(left)
    if n < 2:
        return float(np.clip(whole, 0.0, 1.0)), (0.0, 1.0)
    mean = float(np.mean(left))
    rho = n * whole - (n - 1) * mean
    error = float(np.sqrt((n - 1) / n * np.square(np.array(left) - mean).sum()))
    half = student(n + 1) * error
    low, high = np.clip([rho - half, rho + half], 0.0, 1.0)
    return float(np.clip(rho, 0.0, 1.0)), (float(low), float(high))


def _prior_bounds(sharing: np.ndarray, cov: np.ndarray) -> np.ndarray:
    """(2, s) Intervals of p, the rows' sums of J."""
    flat = sharing.ravel()
    s = len(sharing)
    slopes = np.zeros((s, s * s))
    p = sharing.sum(axis=1)
    for i in range(s):
        inside = np.repeat(np.arange(s) == i, s)
        slopes[i] = flat * (inside - p[i])
    errors = np.sqrt(np.maximum(np.einsum("ia,ab,ib->i", slopes, cov, slopes), 0.0))
    return log_odds_interval(p, errors)
