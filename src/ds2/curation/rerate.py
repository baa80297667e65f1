"""Where to spend the next rating: near the cut, where one more would change who is selected.

What is known of an example's true score is θ_i ~ N(s_i, se_i²). In a large pool the cut c of the
true top M is as good as fixed:

    Σ_i P_i = M,    P_i = P(θ_i > c) = Φ((s_i − c) / se_i)

One more rating with noise sd v turns P_i into P_i', of mean P_i:

    m_i' ~ N(s_i, τ_i²),  P_i' = Φ((m_i' − c) / se_i'),
    τ_i² = se_i⁴ / (se_i² + v²),  se_i'² = se_i² − τ_i²

Rows are selected where P' is above a threshold q, the one that leaves M rows once all are rated
once more. The rating's value is how many more of the true top M it puts into the selection, in
expectation (the expected value of sample information: Raiffa and Schlaifer 1961):

    gain_i = E[max(P_i' − q, 0)] − max(P_i − q, 0)
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ds2.arrays import Keys, Rows, Scores, Values
from ds2.checks import (
    check_column,
    check_finite_column,
    check_int,
    check_positive,
    check_scores,
    check_table,
)
from ds2.errors import InputError
from ds2.keys import check_keys, random_order_keys
from ds2.measures import Interval

__all__ = ["ReratePlan", "combine_ratings", "normal_posterior", "plan_rerating"]

#: Nodes of the integral over what the next rating will say.
N_NODES = 24
#: Draws behind the interval of what a plan gains.
N_DRAWS = 400
#: Below this a standard error is taken for none.
TINY = 1e-9
#: Ratings that would add fewer rows of the true top than this are not asked for.
LEAST_GAIN = 1e-9


@dataclass(frozen=True, slots=True)
class ReratePlan:
    """Which examples to rate once more, in which order.

    Attributes:
        rows: (m,) row numbers, the most valuable for its cost first; any prefix is the plan of
            that smaller budget.
        gain: (m,) rows of the true top M that each rating is expected to add to the selection.
        probability: (n,) of being in the true top M, as known now; NaN where there is no score.
        cut: the true score at which the top M begins.
        precision: expected share of the true top M among the M rows that are likeliest to be in
            it, as known now: those with the highest scores where all standard errors are equal.
        precision_after: the same once the plan's ratings are in.
        gained: how many more rows of the true top M are then selected, with the interval in which
            that falls 95 times of 100: what ratings and true scores turn out to be is chance.
        gained_by_all: the same where every row is rated once more, without an interval.
    """

    rows: Rows
    gain: np.ndarray
    probability: Values
    cut: float
    precision: float
    precision_after: float
    gained: Interval
    gained_by_all: float

    @property
    def worth(self) -> bool:
        """Whether the plan's ratings gain more than chance may take away."""
        return self.gained.low > 0


def plan_rerating(
    scores: Scores,
    se: Values,
    *,
    size: int,
    budget: int | float,
    noise_se: int | float | Values,
    cost: Values | None = None,
    keys: Keys | None = None,
    seed: int = 0,
) -> ReratePlan:
    """Plan one more rating for those examples where it helps the selection most.

    Spend a large budget in rounds, each planned with what the last one found: the second rating of
    one example is worth knowing the first.

    Args:
        scores: (n,) what the true scores are expected to be (posterior means), NaN where nothing
            is known.
        se: (n,) their standard errors, 0 or more; where there is no score they do not count.
        size: how many rows are to be selected.
        budget: how much may be spent: ratings, or units of ``cost``.
        noise_se: standard deviation of one more rating around the true score, on the scale of
            ``scores``; one number, or one for each row. For a repeat of the same rater it holds
            what repeats cannot average out as well, or the plan promises too much.
        cost: (n,) cost of rating each row. Default: 1.
        keys: (n,) whole numbers that identify the content (Pool.keys), which order rows of equal
            value. Default: the row number.
        seed: seeds that order.

    Returns:
        `ReratePlan`.

    Raises:
        InputError: shapes that do not fit, a size that is not below the number of scores, a
            negative standard error, a cost or a noise of 0.
    """
    values = check_scores("scores", scores)
    n = len(values)
    budget = check_positive("budget", budget, zero=True)
    rows = np.flatnonzero(~np.isnan(values))
    size = check_int("size", size, low=1, high=max(1, len(rows) - 1))
    seed = check_int("seed", seed, low=0)
    noise = _noise(noise_se)
    if noise.shape not in ((), (n,)):
        raise InputError(f"'noise_se' must be one number, or {n}: one a row. Got {noise.shape}.")
    prices = np.ones(n) if cost is None else check_finite_column("cost", cost, n)
    if not (prices > 0).all():
        raise InputError("'cost' must be above 0 for every row.")
    noise, prices = np.broadcast_to(noise, (n,))[rows], prices[rows]
    known = _Known(values[rows], _errors(se, values)[rows], noise, size)
    gain, top_of_all = known.gain()
    order_keys = check_keys(keys, n)[rows]
    shuffle = random_order_keys(order_keys, seed, stream=102)
    order = np.lexsort((order_keys, shuffle, -gain / prices))
    order = order[gain[order] > LEAST_GAIN]
    chosen = order[np.cumsum(prices[order]) <= budget]
    probability = np.full(n, np.nan)
    probability[rows] = known.now
    return ReratePlan(
        rows=rows[chosen].astype(np.int64),
        gain=gain[chosen],
        probability=probability,
        cut=known.cut,
        precision=(before := known.precision(chosen[:0])),
        precision_after=(after := known.precision(chosen)),
        gained=known.gained(chosen, size * (after - before), np.random.default_rng([seed, 103])),
        gained_by_all=top_of_all - size * before,
    )


def combine_ratings(
    scores: Scores, se: Values, ratings: np.ndarray, *, noise_se: int | float | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What is known of the true scores once new ratings are in.

    s' = (s / se² + Σ_j y_j / v_j²) / (1 / se² + Σ_j 1 / v_j²): the posterior for normal noise that
    is independent from one rating to the next.

    Args:
        scores: (n,) posterior means before; NaN where nothing is known, and then the ratings
            alone count.
        se: (n,) their standard errors.
        ratings: (n,) or (n, r) new ratings on the same scale, NaN where there is none.
        noise_se: standard deviation of a rating: one number, one for each row (n, 1) or one for
            each column (r,).

    Returns:
        (n,) posterior means and (n,) standard errors; both NaN where nothing is known still.
    """
    before = check_finite_column("scores", scores, missing=True)
    table = check_table("ratings", ratings, n_rows=len(before), whole=False)
    noise = _noise(noise_se)
    n, r = table.shape
    if noise.shape not in ((), (1,), (r,), (n, 1), (1, r), (n, r)):
        raise InputError(
            f"'noise_se' must be one number, one for each column ({r},) or one for each row "
            f"({n}, 1). Got {noise.shape}."
        )
    errors = np.maximum(_errors(se, before), TINY)
    prior = np.where(np.isnan(before), 0.0, 1 / errors**2)
    weights = np.where(np.isnan(table), 0.0, 1 / np.broadcast_to(noise, table.shape) ** 2)
    total = prior + weights.sum(axis=1)
    summed = prior * np.nan_to_num(before) + (weights * np.nan_to_num(table)).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(total > 0, summed / total, np.nan)
        error = np.where(total > 0, 1 / np.sqrt(total), np.nan)
    error[(errors <= TINY) & (prior > 0)] = 0.0
    return mean, error


def normal_posterior(scores: Scores, *, noise_se: int | float) -> tuple[np.ndarray, np.ndarray]:
    """Posterior means and standard errors of true scores from one noisy score each.

    The scores' own mean and variance give the prior: var(θ) = var(score) − v², and at least a
    twentieth of var(score). For scores of a method that has no standard error of its own.
    """
    values = check_scores("scores", scores)
    noise = check_positive("noise_se", noise_se)
    mean, total = float(np.nanmean(values)), float(np.nanvar(values))
    if total == 0:
        raise InputError("All 'scores' are equal, so nothing says where the next rating helps.")
    true = max(total - noise**2, 0.05 * total)
    share = true / (true + noise**2)
    error = np.where(np.isnan(values), np.nan, np.sqrt(share) * noise)
    return mean + share * (values - mean), error


class _Known:
    """What is known of the true scores of the rated rows, and what one more rating would add."""

    def __init__(self, s: np.ndarray, se: np.ndarray, noise: np.ndarray, size: int) -> None:
        from scipy.special import ndtr

        self._size = size
        se = np.maximum(se, TINY)
        self._tau = se**2 / np.hypot(se, noise)
        self._after = se * noise / np.hypot(se, noise)
        far = 9 * se.max()
        self.cut = _solve(lambda c: ndtr((s - c) / se).sum() - size, s.min() - far, s.max() + far)
        self._se = se
        self._z = (s - self.cut) / se
        self._off = s - self.cut
        self.now = np.asarray(ndtr(self._z))

    def gain(self) -> tuple[np.ndarray, float]:
        """What one more rating of each row adds, and what is selected once all have been rated.

        Returns:
            (n,) rows of the true top, in expectation; rows of it among the best ``size`` then.
        """
        from scipy.special import ndtr

        z = self._threshold(np.ones(len(self._z), dtype=bool))
        q = float(ndtr(z))
        value, reached = self._above(z)
        gain = np.maximum(value - q * reached - np.maximum(self.now - q, 0.0), 0.0)
        return np.asarray(gain), float(value.sum())

    def precision(self, rated: np.ndarray) -> float:
        """Expected precision of the best ``size`` rows once the ``rated`` rows have been rated."""
        again = np.zeros(len(self._z), dtype=bool)
        again[rated] = True
        best = np.sort(self.now[~again])[::-1]
        if not again.any():
            return float(best[: self._size].mean())
        z = self._threshold(again)
        value, reached = self._above(z, again)
        rest = float(np.clip(self._size - reached.sum(), 0, len(best)))  # a share of the last row
        whole = int(rest)
        part = (rest - whole) * best[whole] if whole < len(best) else 0.0
        return float((value.sum() + best[:whole].sum() + part) / self._size)

    def gained(self, rated: np.ndarray, value: float, rng: np.random.Generator) -> Interval:
        """Rows of the true top that the best ``size`` gain once ``rated`` rows have been rated.

        The ends are quantiles over ratings and true scores that are drawn from what is known.
        Rows that are neither rated nor within reach of those that are stay in, or out.
        """
        if not len(rated):
            return Interval(0.0, 0.0, 0.0)
        place = np.empty(len(self._z), dtype=np.int64)
        place[np.argsort(-self._z)] = np.arange(len(self._z))
        near = np.abs(place - self._size + 0.5) <= len(rated)
        near[rated] = True
        rows = np.flatnonzero(near)
        taken = int((place[rows] < self._size).sum())
        again = np.isin(rows, rated)
        off, se, tau, after, z = (
            one[rows] for one in (self._off, self._se, self._tau, self._after, self._z)
        )
        old = place[rows] < self._size
        found = np.empty(N_DRAWS)
        for draw in range(N_DRAWS):
            mean = off + np.where(again, tau, 0.0) * rng.standard_normal(len(rows))
            known = np.where(again, mean / after, z)
            top = mean + np.where(again, after, se) * rng.standard_normal(len(rows)) > 0
            new = np.argsort(-known)[:taken]
            found[draw] = top[new].sum() - top[old].sum()
        low, high = np.quantile(found, (0.025, 0.975))
        return Interval(value, float(low), float(high))

    def _threshold(self, again: np.ndarray) -> float:
        """The z of the probability above which M rows will lie, ``again`` being rated once more."""
        from scipy.special import ndtr

        off, tau, after = self._off[again], self._tau[again], self._after[again]
        still = np.sort(self._z[~again])

        def too_many(z: float) -> float:
            kept = len(still) - np.searchsorted(still, z, side="left")
            return float(ndtr((off - after * z) / tau).sum() + kept - self._size)

        return _solve(too_many, -40.0, 40.0)

    def _above(self, z: float, again: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """E[P'; P' above Φ(z)] and P(P' above Φ(z)) of each row, by Gauss–Legendre."""
        from scipy.special import ndtr

        use = slice(None) if again is None else again
        off, tau, after = self._off[use], self._tau[use], self._after[use]
        low = np.clip((after * z - off) / tau, -8.0, 8.0)
        nodes, weights = np.polynomial.legendre.leggauss(N_NODES)
        value = np.zeros(len(off))
        for node, weight in zip(nodes, weights, strict=True):
            x = low + (8.0 - low) * (node + 1) / 2
            density = np.exp(-x * x / 2) / np.sqrt(2 * np.pi)
            value += weight * density * ndtr((off + tau * x) / after)
        return value * (8.0 - low) / 2, np.asarray(ndtr(-(after * z - off) / tau))


def _solve(decreasing: Callable[[float], float], low: float, high: float) -> float:
    """Where a decreasing function crosses 0, by bisection."""
    for _ in range(60):
        middle = (low + high) / 2
        if decreasing(middle) > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _noise(noise_se: object) -> np.ndarray:
    """Standard deviations of a rating, of any shape."""
    given = np.asarray(noise_se)
    if given.ndim == 0:
        return np.asarray(check_positive("noise_se", given.item()))
    noise = check_table("noise_se", given, whole=False)
    if not (noise > 0).all():
        raise InputError("'noise_se' must be above 0: a rating without noise is the true score.")
    return noise.reshape(given.shape)


def _errors(se: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(n,) standard errors, 0 where there is no score."""
    given = check_column("se", se, len(scores), numbers=True)
    errors: np.ndarray = np.where(np.isnan(scores), 0.0, given)
    wrong = ~(errors >= 0) | np.isinf(errors)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"'se' must be finite and 0 or more where there is a score. Got {errors[row]:g} in row "
            f"{row}. Of what is not known at all it is the spread of all scores."
        )
    return errors
