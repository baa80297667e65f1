"""`measure_reliability`: how well each rater tracks the truth, and what the raters share.

One factor: z-scored, rater m says z_m = λ_m t + e_m with t the truth. Then corr(z_m, z_l) = λ_m λ_l
where errors are independent, and λ_m is the rater's reliability: its correlation with the truth.
Three raters determine three λ; from four on, pairs that agree more than the factor allows show
errors that they share. Gold gives λ directly, and with it every pair's error correlation

    E[m, l] = (R[m, l] − λ_m λ_l) / √((1 − λ_m²)(1 − λ_l²)).

The best linear combination of the raters correlates √(λᵀ R⁻¹ λ) with the truth; leaving one out,
or adding one like the average, gives what each is worth.

The mean of the raters correlates ρ = Σ λ / √(Σ R) with the truth; n independent raters of the mean
reliability λ̄ would reach √(n λ̄² / (1 + (n − 1) λ̄²)). So they count as

    n = ρ² (1 − λ̄²) / (λ̄² (1 − ρ²)).

Without gold what all raters share enters the factor and raises λ, so this is an upper end only.

`agreement` is how well values agree with trusted scores: `ds2.measures` at the public door.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from ds2.arrays import Scores, Values
from ds2.checks import (
    check_choice,
    check_column,
    check_gold,
    check_int,
    check_table,
    check_weights,
)
from ds2.measures import MEASURES, Interval, Z, measure
from ds2.noise.factor import Factor, combined, correlations, error_correlations, one_factor
from ds2.noise.model import distinct_rows

__all__ = ["Agreement", "Reliability", "agreement", "agreement_difference", "measure_reliability"]

#: Fewer gold rows than this are no basis for a reliability.
MIN_GOLD = 20
#: Fewer than this carry no interval of an agreement.
LEAST_ENDS = 8


@dataclass(frozen=True, slots=True)
class Reliability:
    """Reliability of several raters. What is not identified is NaN, and a note says why.

    Attributes:
        values: (r,) correlation of each rater with the truth.
        low: (r,) lower ends of the 95 % intervals.
        high: (r,) upper ends.
        source: "gold", "raters" (one-factor model), "equal" (two raters: equal by assumption) or
            "none".
        agreement: (r, r) correlations between the raters; NaN where two share too few rows.
        errors: (r, r) correlations of their errors given the truth.
        effective: how many independent raters of their mean reliability they count as; NaN where
            that is not identified (no gold).
        effective_low: lower end of its 95 % interval.
        effective_high: upper end; with four raters or more, and without gold, all that is known.
        weights: (r,) of the best linear combination of the z-scored raters, summing to 1; 0 of a
            rater whose reliability is not known.
        together: correlation of that combination with the truth.
        without: (r,) the same when each rater in turn is left out.
        with_next: the same with one more rater like the average of these.
        n: rows with two ratings or more.
        n_gold: gold rows.
        notes: plain sentences: what is assumed, and what is not identified.
    """

    values: Values
    low: Values
    high: Values
    source: str
    agreement: Float[np.ndarray, "r r"]
    errors: Float[np.ndarray, "r r"]
    effective: float
    effective_low: float
    effective_high: float
    weights: Values
    together: float
    without: Values
    with_next: float
    n: int
    n_gold: int
    notes: tuple[str, ...]

    @property
    def counts_as(self) -> str:
        """How many independent raters they count as, in a sentence; empty where it is not known."""
        r = len(self.values)
        if np.isfinite(self.effective):
            ends = f"95 % interval {self.effective_low:.1f} to {self.effective_high:.1f}"
            return f"Your {r} raters count as {self.effective:.1f} independent ones ({ends})."
        if np.isfinite(self.effective_high):
            return (
                f"Your {r} raters count as at most {self.effective_high:.1f} independent ones: "
                "what all of them share is not seen without trusted scores."
            )
        return ""

    @property
    def contribution(self) -> np.ndarray:
        """(r,) What each rater adds to the others together."""
        return np.asarray(self.together - self.without)


def measure_reliability(
    scores: Float[np.ndarray, "n r"],
    *,
    gold: Scores | None = None,
    gold_weights: Values | None = None,
    n_bootstrap: int = 200,
    seed: int = 0,
) -> Reliability:
    """Measure how well each of several raters tracks the truth.

    Without gold this assumes that the raters' errors are independent given the truth; a bias that
    all of them share raises every figure, and only gold can show it.

    Args:
        scores: (n, r) scores, NaN where missing.
        gold: (n,) trusted scores, NaN where unknown; 20 or more are used.
        gold_weights: (n,) inverse inclusion probabilities of the gold rows; default equal.
        n_bootstrap: rounds behind the intervals.
        seed: the same seed gives the same intervals.

    Returns:
        `Reliability`.

    Raises:
        InputError: scores that are no numbers, a rater without any score, gold of another length.
    """
    values = check_table("scores", scores)
    trusted, w = check_gold(gold, len(values), None, gold_weights)
    n_rounds = check_int("n_bootstrap", n_bootstrap, low=2)
    rng = np.random.default_rng(check_int("seed", seed, low=0))
    distinct, counts = _distinct(values)
    R, shared = correlations(distinct, counts)
    known = ~np.isnan(trusted) & ~np.isnan(values).all(axis=1)
    rows, weights = np.column_stack([values, trusted])[known], w[known]
    r, with_gold = values.shape[1], len(rows) >= MIN_GOLD
    if with_gold:
        found, rounds = _from_gold(rows, weights, R, n_rounds, rng)
        source = "gold"
    else:
        found, rounds = one_factor(R, shared), []
        heard = int((~np.isnan(found.loadings)).sum()) or r
        source = "none" if r == 1 else "equal" if heard == 2 else "raters"
        n = round(counts.sum())
        if r > 1:
            drawn = rng.multinomial(n, counts / n, size=n_rounds).astype(np.float64)
            rounds = [one_factor(*correlations(distinct, c), freed=found.freed) for c in drawn]
    if found.low is None or found.high is None:
        found = _with_ends(found, [part.loadings for part in rounds])
    seen = r > 1 and (with_gold or r >= 4)
    spread = [_effective(R, part.loadings) for part in rounds] if seen else []
    ends = np.nanquantile(spread, (0.025, 0.975)) if np.isfinite(spread).any() else (np.nan, np.nan)
    best, together = combined(R, found.loadings)
    without = [
        combined(np.delete(np.delete(R, m, 0), m, 1), np.delete(found.loadings, m))[1]
        for m in range(r)
    ]
    return Reliability(
        values=found.loadings,
        low=np.asarray(found.low),
        high=np.asarray(found.high),
        source=source,
        agreement=R,
        errors=found.errors if seen else np.full((r, r), np.nan),
        effective=_effective(R, found.loadings) if seen and with_gold else float("nan"),
        effective_low=float(ends[0]) if seen and with_gold else float("nan"),
        effective_high=float(ends[1]),
        weights=best,
        together=together,
        without=np.array(without) if r > 1 else np.full(r, np.nan),
        with_next=_with_next(R, found),
        n=int(((~np.isnan(values)).sum(axis=1) >= 2).sum()),
        n_gold=len(rows),
        notes=_notes(source, found, len(rows)),
    )


def _distinct(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows of scores and how often each occurs, so that a resampling costs nothing."""
    codes = np.zeros(values.T.shape, dtype=np.int64)
    base = []
    for code, column in zip(codes, values.T, strict=True):
        known = ~np.isnan(column)
        levels, place = np.unique(column[known], return_inverse=True)
        code[known] = 1 + place
        base.append(len(levels) + 1)
    first, _, counts = distinct_rows(list(codes), base)
    return values[first], counts.astype(np.float64)


def _from_gold(
    rows: np.ndarray, weights: np.ndarray, R: np.ndarray, n_rounds: int, rng: np.random.Generator
) -> tuple[Factor, list[Factor]]:
    """Loadings from gold rows (g, r + 1), the gold score last, with weights (g,)."""
    weights = weights / weights.mean()  # their scale says nothing; counts are held against it
    loads = [agreement(column, rows[:, -1], weights, measure="pearson") for column in rows.T[:-1]]
    value, low, high = (
        np.array([getattr(load, part) for load in loads]) for part in ("value", "low", "high")
    )
    rounds = []
    for _ in range(n_rounds):
        counts = np.bincount(rng.integers(0, len(rows), len(rows)), minlength=len(rows))
        drawn = correlations(rows, counts * weights)[0][:-1, -1]
        rounds.append(Factor(drawn, error_correlations(R, drawn), (), False))
    return Factor(value, error_correlations(R, value), (), False, low=low, high=high), rounds


def _with_ends(found: Factor, rounds: list[np.ndarray]) -> Factor:
    """The loadings with bootstrap intervals on Fisher's z."""
    half = np.full(len(found.loadings), np.nan)
    if rounds:
        z = np.arctanh(np.clip(rounds, -0.9999, 0.9999))
        seen = (~np.isnan(z)).sum(axis=0) > 1
        half[seen] = Z * np.nanstd(z[:, seen], axis=0, ddof=1)
    centre = np.arctanh(np.clip(found.loadings, -0.9999, 0.9999))
    return replace(found, low=np.tanh(centre - half), high=np.tanh(centre + half))


def _effective(R: np.ndarray, loadings: np.ndarray) -> float:
    r, average = len(R), float(loadings.mean())
    filled = np.where(np.isnan(R), np.outer(loadings, loadings), R)
    both = float(loadings.sum() ** 2 / max(float(filled.sum()), 1e-9))
    if not average > 0:
        return float("nan")
    best = average**2 * r / (1 + (r - 1) * average**2)  # of r independent ones
    square = min(both, best)
    return float(np.clip(square * (1 - average**2) / (average**2 * (1 - square)), 0, r))


def _with_next(R: np.ndarray, found: Factor) -> float:
    """With one more rater of the average loading and the average error correlation."""
    known = ~np.isnan(found.loadings)
    some = np.ix_(known, known)
    R, errors, loadings = R[some], found.errors[some], found.loadings[known]
    r = len(R)
    if r == 0:
        return float("nan")
    average = float(np.sqrt((loadings**2).mean()))
    apart = errors[~np.eye(r, dtype=bool)]
    shared = (
        float(np.clip(np.nanmean(apart), 0.0, 1.0)) if r > 1 and not np.isnan(apart).all() else 0
    )
    noise = np.sqrt(np.maximum(1 - loadings**2, 0) * max(1 - average**2, 0))
    column = average * loadings + shared * noise
    grown = np.block([[R, column[:, None]], [column[None, :], np.ones((1, 1))]])
    return combined(grown, np.append(loadings, average))[1]


def _notes(source: str, found: Factor, n_gold: int) -> tuple[str, ...]:
    unknown = np.flatnonzero(np.isnan(found.loadings))
    notes, r = [], len(found.loadings) - len(unknown)
    if len(unknown) and source != "none":
        who = ", ".join(f"rater {m + 1}" for m in unknown)
        notes.append(
            f"No reliability is known of {who}: one score only, or too few rows in common with the "
            f"{'trusted scores' if source == 'gold' else 'others'}. What the raters reach together "
            "leaves such a rater out."
        )
    if 0 < n_gold < MIN_GOLD:
        notes.append(f"{n_gold} gold rows are too few for a reliability; {MIN_GOLD} are needed.")
    if source == "none":
        notes.append(
            "One rater alone says nothing about its own reliability. A second rater or 50 gold "
            "scores would."
        )
    if source == "equal":
        notes.append(
            "Two raters without gold: their reliabilities are equal by assumption, and their "
            "effective number is not identified. A third rater or 50 gold scores would tell."
        )
    if source == "raters" and r == 3:
        notes.append(
            "Three raters determine three reliabilities and nothing more: errors are taken as "
            "independent, and the effective number is not identified. Gold or a fourth rater "
            "would tell."
        )
    if source == "raters" and r >= 4:
        notes.append(
            "Errors that only some raters share are seen; a bias that all of them share is not. "
            "Only gold can show it."
        )
        if r == 4 and found.freed:
            notes.append(
                "With four raters an excess agreement of one pair cannot be told from one of the "
                "other pair; gold or a fifth rater would tell."
            )
    if found.bounded:
        notes.append(
            "The correlations do not fit one common truth (a reliability would be 1 or more, or "
            "not real), so read the reliabilities with care."
        )
    return tuple(notes)


@dataclass(frozen=True, slots=True)
class Agreement(Interval):
    """An agreement, or the difference of two, with its 95 % interval.

    Attributes:
        value: the estimate; NaN where it is not defined (equal values, no gold row).
        low: lower end of the interval; NaN with fewer than 8 gold rows.
        high: upper end.
        measure: see `agreement`.
        n: gold rows that have a value.
        n_effective: how many rows of equal weight would say as much.
        n_missing: gold rows without a value; they are left out.
    """

    measure: str = ""
    n: int = 0
    n_effective: float = 0.0
    n_missing: int = 0


def agreement(
    values: Values, gold: Values, weights: Values | None = None, *, measure: str = "spearman"
) -> Agreement:
    """Agreement of ``values`` with gold, for the pool that the gold rows were drawn from.

    Args:
        values: (n,) real numbers, NaN where there is none.
        gold: (n,) trusted scores on the level scale, fractions allowed; NaN where unknown.
        weights: (n,) inverse inclusion probabilities; rows with NaN or 0 are left out. Default:
            equal.
        measure: "spearman", "pearson", "accuracy", "kappa" (quadratic weights) or "top" (mean of
            gold, in its standard deviations, among the 5 % with the highest values).

    Returns:
        `Agreement`.

    Raises:
        InputError: lengths that differ, an unknown measure, weights that are negative or infinite.
    """
    return _agreement([values], gold, weights, measure)


def agreement_difference(
    values: Values,
    baseline: Values,
    gold: Values,
    weights: Values | None = None,
    *,
    measure: str = "spearman",
) -> Agreement:
    """How much better ``values`` agree with gold than ``baseline``: value, paired 95 % interval.

    Arguments as in `agreement`; only gold rows with both values count.
    """
    return _agreement([values, baseline], gold, weights, measure)


def _agreement(columns: list[Values], gold: Values, weights: Values | None, name: str) -> Agreement:
    check_choice("measure", name, MEASURES)
    y = check_column("gold", gold, numbers=True)
    arrays = [
        check_column(of, column, len(y), numbers=True)
        for of, column in zip(("values", "baseline"), columns, strict=False)
    ]
    w = np.ones(len(y)) if weights is None else check_weights("weights", weights, len(y))
    known = ~np.isnan(y) & (w > 0)
    present = known & ~np.any([np.isnan(array) for array in arrays], axis=0)
    w = np.where(present, w, 0.0)
    each = [measure(name, array, y, w) for array in arrays]
    found = each[0] if len(each) == 1 else each[0] - each[1]
    n = int(present.sum())
    ends = found.interval() if n >= LEAST_ENDS else Interval(found.value)
    return Agreement(
        ends.value, ends.low, ends.high, name, n, found.n_effective, int(known.sum()) - n
    )
