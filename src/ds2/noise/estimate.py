"""The result of a noise estimate: what is known of a rater's errors, and how well."""

from dataclasses import dataclass

from ds2.arrays import Prior, PriorBounds, Transition, TransitionBounds
from ds2.noise.lift import Lift

__all__ = ["TransitionEstimate"]


@dataclass(frozen=True, slots=True)
class TransitionEstimate:
    """Score transition matrix of one rater, with everything that says how far to trust it.

    Attributes:
        matrix: (s, s) T[i, j] = P(observed = j given true = i), at ``rho``.
        prior: (s,) p[i] = P(true = i).
        observed: (s,) shares of the observed scores among distinct rated examples.
        rho: excess probability that a neighbour shares the true score, as assumed (1: the paper).
        range: (2, s, s) lowest and highest value of each cell over the plausible rho, sampling
            error included; 0 to 1 in the rows of scores with too few examples. None where lift is
            undefined (all scores equal).
        rho_range: the rho over which ``range`` was taken; its lower end is the least that the
            measured lift allows.
        intervals: (2, s, s) 95 % intervals of T given ``rho``; NaN in the rows of scores with too
            few examples; None without bootstrap.
        prior_intervals: (2, s) 95 % intervals of p; None without bootstrap.
        lift: neighbour agreement above chance at k = 1.
        lifts: the same at k = 1 and k = 2.
        n_neighbors: among how many nearest neighbours pairs were counted.
        effective_counts: (s,) distinct rated examples times p: what each row of T rests on.
        diagonal_dominant: whether every score that has enough examples is most often observed
            as itself.
        fit: total variation between counted and fitted triples; 0 is a perfect fit.
        fit_expected: what ``fit`` is exceeded by in 1 of 20 pools that follow the model; NaN
            without bootstrap.
        log_likelihood: mean log-probability of a triple.
        iterations: EM steps of the fit.
        converged: whether EM stood still.
        n_examples: distinct examples with a score.
        n_missing: examples without a score.
        n_bootstrap: bootstrap rounds behind the intervals.
        warnings: plain sentences.
    """

    matrix: Transition
    prior: Prior
    observed: Prior
    rho: float
    range: TransitionBounds | None
    rho_range: tuple[float, float]
    intervals: TransitionBounds | None
    prior_intervals: PriorBounds | None
    lift: Lift
    lifts: tuple[Lift, ...]
    n_neighbors: int
    effective_counts: Prior
    diagonal_dominant: bool
    fit: float
    fit_expected: float
    log_likelihood: float
    iterations: int
    converged: bool
    n_examples: int
    n_missing: int
    n_bootstrap: int
    warnings: tuple[str, ...]

    @property
    def error_rate(self) -> float:
        """1 − Σ_i p[i] T[i, i]: the share of scores that differ from the true ones, at ``rho``."""
        return float(1.0 - (self.prior * self.matrix.diagonal()).sum())
