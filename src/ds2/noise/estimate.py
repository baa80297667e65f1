"""The result of a noise estimate: what is known of a rater's errors, how well, and in words."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from ds2.arrays import Prior, PriorBounds, Transition, TransitionBounds
from ds2.checks import check_int
from ds2.errors import Caution, InputError
from ds2.neighbors import Neighbors
from ds2.noise.triples import Lift
from ds2.shown import Shown, heat_map

__all__ = ["LOW_LIFT", "MIN_COUNT", "WIDE_RANGE", "TransitionEstimate", "describe", "dominant"]

#: A score with fewer examples than this (effective count) gets no intervals.
MIN_COUNT = 25
#: A range that is wider than this on average is not informative.
WIDE_RANGE = 0.3
#: Below this lift (lower end of the interval) the assumption is in doubt.
LOW_LIFT = 0.1
#: Neighbours closer than this are near-duplicates; a larger share than the next is worth saying.
NEAR_DISTANCE = 0.02
NEAR_SHARE = 0.1
MISSING_SHARE = 0.2
#: Pairs of scores that a sentence names.
MOST_PAIRS = 4

Transitions = Float[np.ndarray, "r s s"]
TransitionsBounds = Float[np.ndarray, "2 r s s"]


@dataclass(frozen=True, slots=True, repr=False)
class TransitionEstimate(Shown):
    """Score transition matrix of a rater, with everything that says how far to trust it.

    Of several raters, ``matrix``, ``intervals`` and ``range`` have one more axis, r, before the
    matrix's own, ``observed`` is their mean, and ``lift`` is that of the rater who has most of it.

    Attributes:
        matrix: (s, s) T[i, j] = P(observed = j given true = i), at ``rho``; (r, s, s) of several
            raters, fitted jointly with what their neighbours were given.
        prior: (s,) p[i] = P(true = i).
        observed: (s,) shares of the observed scores among distinct rated examples.
        rho: excess probability that a neighbour shares the true score: as assumed (1: the paper),
            or as the evidence in ``rho_source`` says.
        range: (2, s, s) lowest and highest value of each cell over the plausible rho, sampling
            error included; 0 to 1 in the rows of scores with too few examples. None where lift is
            undefined (all scores equal). With evidence of rho, its uncertainty and the sampling
            error together.
        rho_range: the rho over which ``range`` was taken; without evidence its lower end is the
            least that the measured lift allows.
        intervals: (2, s, s) 95 % intervals of T given ``rho``; NaN in the rows of scores with too
            few examples; None without bootstrap.
        prior_intervals: (2, s) 95 % intervals of p; None without bootstrap.
        lift: neighbour agreement above chance at k = 1.
        lifts: the same at k = 1 and k = 2.
        n_neighbors: among how many nearest neighbours pairs were counted.
        effective_counts: (s,) distinct rated examples times p: what each row of T rests on.
        diagonal_dominant: whether every score that has enough examples is most often observed
            as itself.
        fit: total variation between counted and fitted triples; 0 is a perfect fit. Where evidence
            chose rho it is that of the neighbours' matrix at rho = 1, as are ``log_likelihood``,
            ``iterations`` and ``converged``; NaN for several raters.
        fit_expected: what ``fit`` is exceeded by in 1 of 20 pools that follow the model; NaN
            without bootstrap, with gold, repeats, or several raters.
        log_likelihood: mean log-probability of a triple; of a pair for several raters.
        iterations: EM steps of the fit.
        converged: whether EM stood still.
        n_examples: distinct examples with a score.
        n_missing: examples without a score.
        n_bootstrap: bootstrap rounds behind the intervals.
        warnings: sentences, each with a code that a program can go by.
        rho_source: what rho rests on: "gold", "repeats" or "raters"; "assumed" where it was given,
            or nothing tells.
        rho_interval: interval of rho, meant to hold it in 95 % of pools; 0 to 1 where it is
            assumed. On simulated pools of 2,000 rows with 100 gold rows it does so in 92 to
            100 %, of several raters in all where they err alike at all levels but in 50 to 100 %
            where they round the truth plus a normal error, with repeats alone in 4 of 6 at
            rho = 0.3. The rho of several raters also goes with the order of the rows and the seed:
            five orders of 1,500 rows differed by up to 0.13.
        matrix_source: what the matrix rests on beside a rater's own scores: "neighbors" alone, or
            "gold", "repeats" or "raters" as well, whether or not rho was given.
        n_gold: gold rows that were used.
        raters: of several raters, each one's estimate from its own scores and its neighbours',
            at ``rho``; None for a rater whose scores have too few rated neighbours.
    """

    matrix: Transition | Transitions
    prior: Prior
    observed: Prior
    rho: float
    range: TransitionBounds | TransitionsBounds | None
    rho_range: tuple[float, float]
    intervals: TransitionBounds | TransitionsBounds | None
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
    warnings: tuple[Caution, ...]
    rho_source: str = "assumed"
    rho_interval: tuple[float, float] = (0.0, 1.0)
    matrix_source: str = "neighbors"
    n_gold: int = 0
    raters: tuple["TransitionEstimate | None", ...] = ()

    seen = (
        *("error_rate", "rho", "rho_source", "lift", "matrix", "prior", "n_examples"),
        *("n_missing", "raters", "warnings"),
    )

    def _repr_html_(self) -> str:
        return Shown._repr_html_(self) + heat_map(self.mean_matrix)

    @property
    def mean_matrix(self) -> np.ndarray:
        """(s, s) The matrix; of several raters the mean of theirs."""
        return self.matrix if self.matrix.ndim == 2 else self.matrix.mean(axis=0)

    @property
    def error_rate(self) -> float:
        """1 − Σ_i p[i] T[i, i]: the share of scores that differ from the true ones, at ``rho``.

        Of several raters: their mean.
        """
        if self.matrix.ndim == 3:
            return float(self.error_rates.mean())
        return float(1.0 - (self.prior * self.matrix.diagonal()).sum())

    @property
    def error_rates(self) -> np.ndarray:
        """(r,) The share of wrong scores of each rater."""
        matrices = self.matrix.reshape(-1, *self.matrix.shape[-2:])
        return np.asarray(1.0 - (self.prior * np.diagonal(matrices, axis1=1, axis2=2)).sum(axis=1))

    @property
    def n_raters(self) -> int:
        """How many raters the estimate is of."""
        return 1 if self.matrix.ndim == 2 else len(self.matrix)

    @property
    def range_width(self) -> float:
        """Mean width of ``range`` over the rows with enough examples; NaN where there is none."""
        enough = self.effective_counts >= MIN_COUNT
        if self.range is None or not enough.any():
            return float("nan")
        return float((self.range[1] - self.range[0])[..., enough, :].mean())

    @property
    def range_informative(self) -> bool:
        """Whether ``range`` is at most 0.3 wide on average."""
        return bool(self.range_width <= WIDE_RANGE)

    def rater(self, number: int) -> "TransitionEstimate":
        """One rater's part of the joint estimate, in the form of an estimate of one rater.

        Raises:
            InputError: there is no such rater.
        """
        number = check_int("number", number, low=0, high=self.n_raters - 1)
        if self.matrix.ndim == 2:
            return self
        alone = self.raters[number]
        if alone is None:
            raise InputError(
                f"Rater {number + 1} has too few rated neighbours for an estimate of its own. Read "
                f"'matrix[{number}]', or rate more examples."
            )
        matrix = np.asarray(self.matrix[number])
        return replace(
            alone,
            matrix=matrix,
            prior=self.prior,
            range=None if self.range is None else self.range[:, number],
            rho_range=self.rho_range,
            intervals=None if self.intervals is None else self.intervals[:, number],
            prior_intervals=self.prior_intervals,
            effective_counts=self.effective_counts,
            diagonal_dominant=dominant(matrix, self.effective_counts),
            rho_source=self.rho_source,
            rho_interval=self.rho_interval,
            matrix_source=self.matrix_source,
            n_gold=self.n_gold,
        )


def dominant(T: np.ndarray, effective: np.ndarray) -> bool:
    """Whether every score with enough examples is most often observed as itself."""
    return bool((T.argmax(axis=-1) == np.arange(len(effective)))[..., effective >= MIN_COUNT].all())


def describe(
    estimate: TransitionEstimate,
    neighbors: Neighbors,
    names: Sequence[str] = (),
    aside: Collection[int] = (),
) -> tuple[Caution, ...]:
    """One sentence for each thing that limits the estimate; empty where nothing does.

    Args:
        estimate: what was found.
        neighbors: the graph.
        names: what sentences call the raters, where there are several.
        aside: raters of whom all is said: they run against the others, or are another once more.
    """
    return (*_about_rho(estimate), *_about_data(estimate, neighbors, names, aside))


def _about_rho(estimate: TransitionEstimate) -> Iterator[Caution]:
    """How far neighbours share true scores, and how much of the matrix that leaves open."""
    lift, width, rho = estimate.lift, estimate.range_width, estimate.rho
    alone = estimate.matrix_source == "neighbors"
    if np.isnan(lift.value):
        yield Caution(
            "equal-scores",
            "All scores are equal, so neighbours tell nothing about the rater's errors.",
        )
    elif alone and not lift.low >= LOW_LIFT:
        wide = ""
        if not np.isnan(width):
            wide = f" (its cells range over {width:.2f} on average)"
            if not estimate.range_informative:
                wide = f" (its range over plausible rho, {width:.2f} wide, is not informative)"
        yield Caution(
            "low-lift",
            f"Neighbours agree little more than by chance (lift {lift.value:.2f}, "
            f"95 % interval {lift.low:.2f} to {lift.high:.2f}): either the rater is very noisy, or "
            "neighbours do not share a true score. The scores alone cannot tell which, so read the "
            f"matrix at rho = {rho:g} as its noisiest end{wide}. A second rater or "
            "trusted scores would settle it.",
            lift=lift.value,
            low=lift.low,
            high=lift.high,
            rho=rho,
            width=width,
        )
    if alone and not lift.low < LOW_LIFT and width > WIDE_RANGE:
        yield Caution(
            "wide-range",
            f"The cells of the matrix range over {width:.2f} on average over every "
            "plausible rho, which is not informative. A second rater or trusted scores would "
            "narrow it.",
            width=width,
        )
    if estimate.matrix_source == "repeats":
        yield Caution(
            "repeats-only",
            "Repeats show only how a rater scatters around its own opinion: what it gets wrong "
            "every time counts as true in this matrix.",
        )
    elif estimate.rho_source != "assumed" and rho < LOW_LIFT:
        yield Caution(
            "low-rho",
            f"Neighbours hardly share a true score (rho {rho:.2f}), so they should not "
            "correct anyone's scores.",
            rho=rho,
        )


def _about_data(
    estimate: TransitionEstimate,
    neighbors: Neighbors,
    names: Sequence[str],
    aside: Collection[int],
) -> Iterator[Caution]:
    """What of the estimate rests on too little, or does not fit."""
    few = np.flatnonzero(estimate.effective_counts < MIN_COUNT)
    if len(few):
        levels = ", ".join(map(str, few))
        yield Caution(
            "few-examples",
            f"Not enough data for true score {levels}: fewer than {MIN_COUNT} examples, so those "
            "rows of the matrix have no intervals and should not be read.",
            levels=few.tolist(),
        )
    likeliest = estimate.matrix.argmax(axis=-1)
    off = (estimate.effective_counts >= MIN_COUNT) & (likeliest != np.arange(len(estimate.prior)))
    if off.ndim > 1:
        off[list(aside)] = False
    wrong = np.argwhere(off)
    if len(wrong):
        pairs = ", ".join(
            f"{at[-1]} (as {likeliest[tuple(at)]}" + (f", {names[at[0]]})" if at[1:] else ")")
            for at in wrong[:MOST_PAIRS].tolist()
        )
        if len(wrong) > MOST_PAIRS:
            pairs += f" and {len(wrong) - MOST_PAIRS} more"
        why = "Which row belongs to which score is then not certain."
        if estimate.matrix_source == "gold":
            why = "Trusted scores name the rows, so that is the rater's doing."
        yield Caution(
            "moved-levels",
            f"Some true scores are most often observed as another score: {pairs}. {why}",
            cells=[[*at, int(likeliest[tuple(at)])] for at in wrong.tolist()],
        )
    if estimate.fit > estimate.fit_expected:  # NaN: not known, nothing to say
        yield Caution(
            "misfit",
            f"The model does not fit the counts well (misfit {estimate.fit:.3f}, "
            f"{estimate.fit_expected:.3f} is exceeded once in 20): neighbours do not share the "
            f"true score as often as rho = {estimate.rho:g} says.",
            misfit=estimate.fit,
            expected=estimate.fit_expected,
        )
    if not estimate.converged:
        yield Caution(
            "not-converged",
            f"EM had not converged after {estimate.iterations} steps; read the matrix with care.",
            steps=estimate.iterations,
        )
    near = float((neighbors.distances[:, 0] < NEAR_DISTANCE).mean())
    if near >= NEAR_SHARE and estimate.lift.low >= LOW_LIFT:  # else they are not scored alike
        yield Caution(
            "near-duplicates",
            f"{near:.0%} of the examples have a near-duplicate (distance below {NEAR_DISTANCE}), "
            "which a rater scores alike; the rater looks less noisy than it is.",
            share=near,
        )
    missing = estimate.n_missing / (estimate.n_examples + estimate.n_missing)
    if missing >= MISSING_SHARE:
        yield Caution(
            "missing-scores",
            f"{missing:.0%} of the examples have no score; the estimate speaks of the others only.",
            share=missing,
        )
