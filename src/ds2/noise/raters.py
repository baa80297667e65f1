"""`fit_raters`: every rater's errors from the raters alone (Dawid and Skene 1979).

Given the true score the raters err independently of each other:

    P(a_1 … a_r) = Σ_i p[i] Π_m T_m[i, a_m]            (a missing rating is left out of the product)

EM finds p and every T_m; gold rows are rows whose true score is known. The likelihood does not
know the order of the classes: it is what raters say in each (`ds2.noise.ordered`). Starts with most
mass on the diagonal and an ordinal prior (a near level is a likelier error than a far one) lead
there. A level that hardly anybody uses has no class of its own.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ds2.arrays import Prior, Scores
from ds2.checks import check_int, check_positive, check_rows, check_scores
from ds2.errors import InputError
from ds2.noise.em import TINY, TOLERANCE, State, accelerate, diagonal_starts
from ds2.noise.information import (
    cell_intervals,
    covariance,
    ordinal_shares,
    prior_information,
)
from ds2.noise.ordered import class_values, in_order, used_levels
from ds2.noise.patterns import Patterns

__all__ = ["RaterFit", "check_gold", "check_raters", "fit_raters", "solve_raters"]

#: Examples per row of T that the ordinal prior is worth, and EM starts, unless given.
PRIOR_STRENGTH, N_STARTS = 4.0, 4
#: Pseudo-examples of each level in the prior of the true scores.
PRIOR_EXAMPLES = 1.0
MAX_ITERATIONS = 3000
#: EM steps that every start gets before the best one goes on.
FIRST_STEPS = 60
#: A posterior that is read as a score needs no cell more exactly than this.
ROUGH = 1e-4


@dataclass(frozen=True, slots=True)
class RaterFit:
    """What the raters say of each other.

    Attributes:
        matrix: (r, s, s) one transition matrix per rater.
        prior: (s,) p[i] = P(true = i).
        posterior: (n, s) P(true = i given the row's ratings); NaN in rows without any.
        intervals: (2, r, s, s) 95 % intervals from the observed information.
        log_likelihood: of all rows, in nats.
        converged: whether EM stood still.
        iterations: EM steps.
        reordered: whether the rows had to be put into another order at the end.
        values: (s,) what raters say in each class, in standard deviations of each rater's scores.
        identified: whether the ratings determine the matrices: three raters, or gold.
        note: a sentence where they do not, otherwise empty.
    """

    matrix: Float[np.ndarray, "r s s"]
    prior: Prior
    posterior: Float[np.ndarray, "n s"]
    intervals: Float[np.ndarray, "2 r s s"]
    log_likelihood: float
    converged: bool
    iterations: int
    reordered: bool
    values: Prior
    identified: bool
    note: str

    def expected(self) -> np.ndarray:
        """(n,) Posterior mean of the true score; NaN in rows without a rating."""
        return np.asarray(self.posterior @ np.arange(len(self.prior)))

    def spread(self) -> np.ndarray:
        """(n,) Posterior standard deviation of the true score."""
        levels = np.arange(len(self.prior))
        mean = self.expected()
        return np.asarray(np.sqrt(np.maximum(self.posterior @ levels**2 - mean**2, 0.0)))


def fit_raters(
    scores: Float[np.ndarray, "n r"],
    n_scores: int,
    *,
    prior_strength: float = PRIOR_STRENGTH,
    gold: Scores | None = None,
    n_starts: int = N_STARTS,
    seed: int = 0,
) -> RaterFit:
    """Fit one transition matrix per rater from what the raters say of the same rows.

    Args:
        scores: (n, r) whole numbers 0 … n_scores − 1, NaN where missing.
        n_scores: how many levels there are.
        prior_strength: how many examples per row of each T the ordinal prior is worth.
        gold: (n,) trusted scores on the level scale, NaN where unknown. They enter as known rows;
            the likelihood needs no weights as long as the rows were chosen by their scores.
        n_starts: EM starts, all with most mass on the diagonal.
        seed: the same seed gives the same fit.

    Returns:
        `RaterFit`.

    Raises:
        InputError: scores that are no whole numbers in range, a rater without any score, gold of
            another length.
    """
    n_scores = check_int("n_scores", n_scores, low=2, high=100)
    values = check_raters(scores, n_scores)
    trusted = check_gold(gold, len(values), n_scores)
    solved = _Solved.find(
        values,
        trusted,
        n_scores,
        strength=check_positive("prior_strength", prior_strength, zero=True),
        n_starts=check_int("n_starts", n_starts, low=1),
        seed=check_int("seed", seed, low=0),
    )
    problem, state, patterns = solved.problem, solved.state, solved.patterns
    bounds = cell_intervals(state.matrix[0], covariance(_information(problem, state)))
    posterior = problem.posterior(state)[0][patterns.of_row]
    posterior[~patterns.rated[patterns.of_row]] = np.nan
    note = _note(values, trusted)
    return RaterFit(
        matrix=solved.matrix,
        prior=state.prior[0],
        posterior=posterior,
        intervals=bounds.reshape(2, *solved.matrix.shape),
        log_likelihood=float(problem.data_likelihood(state)[0]),
        converged=solved.converged,
        iterations=solved.iterations,
        reordered=solved.reordered,
        values=class_values(solved.matrix, state.prior[0]),
        identified=not note,
        note=note,
    )


def solve_raters(
    scores: np.ndarray, n_scores: int, *, gold: np.ndarray | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """(r, s, s) and (s,): T and p of `fit_raters` as exactly as a posterior needs them."""
    trusted = check_gold(gold, len(scores), n_scores)
    solved = _Solved.find(
        check_raters(scores, n_scores), trusted, n_scores,
        strength=PRIOR_STRENGTH, n_starts=2, seed=seed, tolerance=ROUGH,
    )  # fmt: skip
    return solved.matrix, solved.state.prior[0]


def check_raters(scores: object, n_scores: int | None, *, n_rows: int | None = None) -> np.ndarray:
    """Return ``scores`` as (n, r) floats; every rater checked by `check_scores`."""
    try:
        array = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(
            f"'scores' must hold numbers (NaN where unrated). Got {type(scores).__name__}."
        ) from None
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or array.shape[1] == 0:
        raise InputError(f"'scores' must have shape (rows, raters). Got {array.shape}.")
    for m, column in enumerate(array.T):
        check_scores(f"scores[:, {m}]", column, n_rows=n_rows, n_scores=n_scores)
    return array


def check_gold(gold: object, n_rows: int, n_scores: int) -> np.ndarray | None:
    """Return gold as (n,) floats in [0, n_scores − 1]; None where no row has any."""
    if gold is None:
        return None
    array = np.asarray(gold, dtype=np.float64)
    if array.ndim != 1:
        raise InputError(f"'gold' must have one score per example, shape (n,). Got {array.shape}.")
    check_rows("gold", array, n_rows)
    wrong = ~np.isnan(array) & ~((array >= 0) & (array <= n_scores - 1))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"'gold' must lie on the level scale 0 … {n_scores - 1} (NaN where unknown). "
            f"Got {array[row]:g} in row {row}."
        )
    return None if np.isnan(array).all() else array


@dataclass(frozen=True, slots=True)
class RaterProblem:
    """Counts of patterns (z, u), and what an EM step needs of them."""

    hot: np.ndarray
    log_gold: np.ndarray
    counts: np.ndarray
    pseudo: np.ndarray
    used: np.ndarray

    @classmethod
    def build(
        cls, patterns: Patterns, n_scores: int, strength: float, used: np.ndarray
    ) -> "RaterProblem":
        """Take the patterns of a table; ``strength`` examples per row of each T.

        ``used`` (s,) says which levels have a class.
        """
        r = patterns.scores.shape[1]
        pseudo = np.tile(strength * ordinal_shares(n_scores), (r, 1))
        counts = np.where(patterns.rated, patterns.counts, 0.0)
        return cls(patterns.one_hot(n_scores), patterns.log_gold(), counts[None], pseudo, used)

    def posterior(self, state: State) -> np.ndarray:
        """(z, u, s) P(true = i given the pattern)."""
        return self._joint(state)[0]

    def _joint(self, state: State) -> tuple[np.ndarray, np.ndarray]:
        """Posterior (z, u, s) and log-probability of each pattern (z, u)."""
        z, rows, s = state.matrix.shape
        logs = np.log(np.maximum(state.matrix, TINY)).reshape(z, rows // s, s, s)
        by_score = logs.transpose(0, 1, 3, 2).reshape(z, rows, s)
        terms = self.hot @ by_score + self.log_gold
        terms += np.log(np.maximum(state.prior, TINY))[:, None, :]
        top = terms.max(axis=2, keepdims=True)
        np.exp(terms - top, out=terms)
        total = terms.sum(axis=2, keepdims=True)
        terms /= total
        return terms, (np.log(total) + top)[:, :, 0]

    def data_likelihood(self, state: State) -> np.ndarray:
        """(z,) Log-likelihood of the ratings, without the prior's part."""
        return np.asarray((self.counts * self._joint(state)[1]).sum(axis=1))

    def likelihood(self, state: State) -> np.ndarray:
        """(z,) Log-posterior: what an EM step never lowers."""
        cells = (self.pseudo * np.log(np.maximum(state.matrix, TINY))).sum(axis=(1, 2))
        shares = PRIOR_EXAMPLES * np.log(np.maximum(state.prior[:, self.used], TINY)).sum(axis=1)
        return np.asarray(self.data_likelihood(state) + cells + shares)

    def step(self, state: State) -> State:
        """One EM step."""
        z, rows, s = state.matrix.shape
        weighted = self._joint(state)[0] * self.counts[:, :, None]
        cells = (self.hot.T @ weighted).reshape(z, rows // s, s, s).transpose(0, 1, 3, 2)
        cells = cells.reshape(z, rows, s) + self.pseudo
        total = cells.sum(axis=2, keepdims=True)
        matrix = np.where(total > TINY, cells / np.maximum(total, TINY), state.matrix)
        prior = (weighted.sum(axis=1) + PRIOR_EXAMPLES) * self.used
        return State(matrix, prior / prior.sum(axis=1, keepdims=True))


def _starts(patterns: Patterns, s: int, n_starts: int, rng: np.random.Generator) -> State:
    """Diagonal-heavy matrices for every rater; the prior from all ratings together."""
    flat = patterns.scores.ravel()
    weights = np.repeat(patterns.counts, patterns.scores.shape[1])
    observed = np.bincount(flat[flat >= 0], weights=weights[flat >= 0], minlength=s)
    shares = (observed + 1) / (observed + 1).sum()
    matrices, priors = diagonal_starts(shares, n_starts, rng)
    return State(np.tile(matrices, (1, patterns.scores.shape[1], 1)), priors)


def _run(
    problem: RaterProblem, state: State, of: int, tolerance: float
) -> tuple[State, np.ndarray, int, np.ndarray]:
    chosen = State(state.matrix[of][None], state.prior[of][None])
    return accelerate(
        problem, chosen, n_examples=1, tolerance=tolerance, max_iterations=MAX_ITERATIONS
    )


@dataclass(frozen=True, slots=True)
class _Solved:
    """Where EM came to, the rows in order."""

    patterns: Patterns
    problem: RaterProblem
    state: State
    converged: bool
    iterations: int
    reordered: bool

    @property
    def matrix(self) -> np.ndarray:
        """(r, s, s)."""
        s = self.state.matrix.shape[2]
        return np.asarray(self.state.matrix[0].reshape(-1, s, s))

    @classmethod
    def find(
        cls,
        values: np.ndarray,
        gold: np.ndarray | None,
        n_scores: int,
        *,
        strength: float,
        n_starts: int,
        seed: int,
        tolerance: float = TOLERANCE,
    ) -> "_Solved":
        """Run EM from the best of some starts, and once more where the rows were out of order."""
        patterns = Patterns.build(values, gold, n_scores)
        used = used_levels(values, n_scores, gold)
        problem = RaterProblem.build(patterns, n_scores, strength, used)
        start = _starts(patterns, n_scores, n_starts, np.random.default_rng(seed))
        start = State(start.matrix, start.prior * used / (start.prior @ used)[:, None])
        tried, _, taken, _ = accelerate(
            problem, start, n_examples=1, tolerance=tolerance, max_iterations=FIRST_STEPS
        )
        best = int(problem.likelihood(tried).argmax())
        state, _, more, still = _run(problem, tried, best, tolerance)
        found = cls(patterns, problem, state, bool(still[0]), taken + more, reordered=False)
        order = in_order(found.matrix, state.prior[0], used)
        if order is None:
            return found
        moved = State(found.matrix[:, order].reshape(1, -1, n_scores), state.prior[:, order])
        state, _, again, still = _run(problem, moved, 0, tolerance)
        return cls(patterns, problem, state, bool(still[0]), taken + more + again, reordered=True)


def _information(problem: RaterProblem, state: State) -> np.ndarray:
    """Information of the free numbers behind every T and p, the prior's part included."""
    R = problem.posterior(state)[0]
    s = R.shape[1]
    T = state.matrix[0].reshape(-1, s, s)
    parts = [R - state.prior[0]]
    for m, matrix in enumerate(T):
        hot = problem.hot[:, m * s : (m + 1) * s]
        off = hot[:, None, :] - hot.sum(axis=1)[:, None, None] * matrix
        parts.insert(m, (R[:, :, None] * off).reshape(len(R), -1))
    slopes = np.concatenate(parts, axis=1)
    found = (slopes * problem.counts[0][:, None]).T @ slopes
    cells = state.matrix[0].size
    found[:cells, :cells] += prior_information(problem.pseudo, state.matrix[0])
    return np.asarray(found)


def _note(values: np.ndarray, gold: np.ndarray | None) -> str:
    r = values.shape[1]
    if gold is not None or r >= 3:
        return ""
    who = "One rater alone does" if r == 1 else "Two raters alone do"
    return (
        f"{who} not determine how noisy each is: the matrices lean on the ordinal prior"
        + (" and on equal reliabilities" if r == 2 else "")
        + ". Neighbours, a further rater or gold would settle it."
    )
