"""`fit_raters`: every rater's errors from the raters alone (Dawid and Skene 1979).

The model (`ds2.noise.model`) without neighbours. Gold rows are rows whose true score is known.
Starts with most mass on the diagonal and an ordinal prior (a near level is a likelier error than a
far one) lead to classes that are in order.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ds2.arrays import Prior, Scores
from ds2.checks import check_gold, check_int, check_positive, check_table
from ds2.noise.intervals import cell_intervals
from ds2.noise.model import Model, Solved
from ds2.noise.observed import Patterns
from ds2.noise.order import class_values, ordered_raters, used_levels
from ds2.noise.panel import look_at

__all__ = ["RaterFit", "fit_raters", "solve_raters"]

#: Examples per row of T that the ordinal prior is worth, and EM starts, unless given.
PRIOR_STRENGTH, N_STARTS = 4.0, 4
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
    values = check_table("scores", scores, n_scores=n_scores)
    trusted, _ = check_gold(gold, len(values), n_scores)
    strength = check_positive("prior_strength", prior_strength, zero=True)
    solved = Solved.find(
        _model(values, trusted, n_scores, strength),
        check_int("n_starts", n_starts, low=1),
        seed=check_int("seed", seed, low=0),
    )
    model, patterns = solved.model, solved.model.patterns
    bounds = cell_intervals(solved.state.matrix[0], model.covariance(solved.state))
    posterior = model.posterior(solved.state)[patterns.of_row]
    posterior[~patterns.rated[patterns.of_row]] = np.nan
    note = _note(values, trusted)
    return RaterFit(
        matrix=solved.matrix,
        prior=solved.prior,
        posterior=posterior,
        intervals=bounds.reshape(2, *solved.matrix.shape),
        log_likelihood=model.data_likelihood(solved.state),
        converged=solved.converged,
        iterations=solved.iterations,
        reordered=solved.reordered,
        values=class_values(solved.matrix, solved.prior),
        identified=not note,
        note=note,
    )


def solve_raters(
    scores: np.ndarray, n_scores: int, *, gold: np.ndarray | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """(r, s, s) and (s,): T and p of `fit_raters` as exactly as a posterior needs them."""
    trusted = np.full(len(scores), np.nan) if gold is None else gold
    solved = Solved.find(
        _model(scores, trusted, n_scores, PRIOR_STRENGTH), 2, seed=seed, tolerance=ROUGH
    )
    return solved.matrix, solved.prior


def _model(values: np.ndarray, gold: np.ndarray, n_scores: int, strength: float) -> Model:
    return Model.build(
        Patterns.build(values, gold, n_scores),
        None,
        strength=strength,
        used=used_levels(values, n_scores, gold),
        ordered=ordered_raters(values, n_scores, look_at(values)),
    )


def _note(values: np.ndarray, gold: np.ndarray) -> str:
    r = values.shape[1]
    if r >= 3 or not np.isnan(gold).all():
        return ""
    who = "One rater alone does" if r == 1 else "Two raters alone do"
    return (
        f"{who} not determine how noisy each is: the matrices lean on the ordinal prior"
        + (" and on equal reliabilities" if r == 2 else "")
        + ". Neighbours, a further rater or gold would settle it."
    )
