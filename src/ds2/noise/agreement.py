"""How well values agree with trusted scores: from few gold rows, with intervals that hold.

    Spearman    correlation of the ranks (mean ranks where values are tied)
    Pearson     correlation of the values
    accuracy    share of rows whose value, rounded to a level, is the gold score's level
    kappa       quadratic-weighted: 1 − Σ w (x − y)² / Σ w_a w_b (x_a − y_b)², chance at 0

Weights are inverse inclusion probabilities, so that a stratified sample speaks for the whole pool.
The intervals are from the jackknife over gold rows, for correlations on Fisher's z = artanh r, with
Student quantiles whose degrees of freedom follow the weights (Kish's effective number). Where two
candidates are compared on the same rows, the jackknife of the difference keeps what they share.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ds2.arrays import Values
from ds2.checks import check_choice, check_rows, check_weights

__all__ = ["MEASURES", "Agreement", "agreement", "agreement_difference", "effective_rows"]

MEASURES = ("spearman", "pearson", "accuracy", "kappa")
#: Fewer gold rows than this carry no interval.
MIN_GOLD = 8
#: Rows of the jackknife; more are taken in this many groups.
MAX_FOLDS = 400
#: Fisher's z is not taken closer to 1 than this.
NEAR_ONE = 0.9999


@dataclass(frozen=True, slots=True)
class Agreement:
    """An agreement, or the difference of two, with its 95 % interval.

    Attributes:
        measure: "spearman", "pearson", "accuracy" or "kappa".
        value: the estimate; NaN where it is not defined (equal values, no gold row).
        low: lower end of the interval; NaN with fewer than 8 gold rows.
        high: upper end.
        n: gold rows that have a value.
        n_effective: how many rows of equal weight would say as much.
        n_missing: gold rows without a value; they are left out.
    """

    measure: str
    value: float
    low: float
    high: float
    n: int
    n_effective: float
    n_missing: int


def agreement(
    values: Values, gold: Values, weights: Values | None = None, *, measure: str = "spearman"
) -> Agreement:
    """Agreement of ``values`` with gold, for the pool that the gold rows were drawn from.

    Args:
        values: (n,) real numbers, NaN where there is none.
        gold: (n,) trusted scores on the level scale, fractions allowed; NaN where unknown.
        weights: (n,) inverse inclusion probabilities; rows with NaN or 0 are left out. Default:
            equal.
        measure: "spearman", "pearson", "accuracy" or "kappa" (quadratic weights).

    Returns:
        `Agreement`.

    Raises:
        InputError: lengths that differ, an unknown measure, weights that are negative or infinite.
    """
    compute = _MEASURES[check_choice("measure", measure, MEASURES)]
    (x,), y, w, n_missing = _rows([values], gold, weights)
    value = compute(x, y, w) if len(y) > 1 else float("nan")
    shares = effective_rows(w)
    if np.isnan(value) or len(y) < MIN_GOLD:
        return Agreement(measure, value, np.nan, np.nan, len(y), shares, n_missing)
    left = _leave_out(lambda m: compute(x[m], y[m], w[m]), len(y))
    if measure == "accuracy":
        low, high = _wilson(value, _design_rows(left, value, shares, equal=bool(np.ptp(w) < 1e-9)))
    else:
        low, high = _fisher(left, value, shares, ranks=measure == "spearman")
    return Agreement(measure, value, low, high, len(y), shares, n_missing)


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
    compute = _MEASURES[check_choice("measure", measure, MEASURES)]
    (x, b), y, w, n_missing = _rows([values, baseline], gold, weights)
    value = compute(x, y, w) - compute(b, y, w) if len(y) > 1 else float("nan")
    shares = effective_rows(w)
    if np.isnan(value) or len(y) < MIN_GOLD:
        return Agreement(measure, value, np.nan, np.nan, len(y), shares, n_missing)
    left = _leave_out(lambda m: compute(x[m], y[m], w[m]) - compute(b[m], y[m], w[m]), len(y))
    half = _student(shares) * _jackknife_error(left)
    return Agreement(measure, value, value - half, value + half, len(y), shares, n_missing)


def effective_rows(weights: np.ndarray) -> float:
    """Kish's number: (Σ w)² / Σ w²."""
    square = float((weights**2).sum())
    return float(weights.sum() ** 2 / square) if square > 0 else 0.0


def _rows(
    columns: list[Values], gold: Values, weights: Values | None
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray, int]:
    """The gold rows that count: columns, gold, weights of mean 1, and how many lack a value."""
    y = np.asarray(gold, dtype=np.float64)
    arrays = [np.asarray(column, dtype=np.float64) for column in columns]
    for array in arrays:
        check_rows("values", array, len(y))
    w = np.ones(len(y)) if weights is None else check_weights("weights", weights, len(y))
    known = ~np.isnan(y) & (w > 0)
    present = known & ~np.any([np.isnan(array) for array in arrays], axis=0)
    kept = w[present]
    scaled = kept / kept.mean() if len(kept) else kept
    missing = int(known.sum() - present.sum())
    return [array[present] for array in arrays], y[present], scaled, missing


def _weighted_ranks(values: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Mean ranks in the population that the weights stand for."""
    _, place = np.unique(values, return_inverse=True)
    mass = np.bincount(place, weights=w)
    return np.asarray((np.cumsum(mass) - mass / 2)[place])


def _pearson(x: np.ndarray, y: np.ndarray, w: np.ndarray) -> float:
    x = x - np.average(x, weights=w)
    y = y - np.average(y, weights=w)
    scale = float(np.sqrt((w * x * x).sum() * (w * y * y).sum()))
    return float((w * x * y).sum() / scale) if scale > 1e-12 * w.sum() else float("nan")


def _spearman(x: np.ndarray, y: np.ndarray, w: np.ndarray) -> float:
    return _pearson(_weighted_ranks(x, w), _weighted_ranks(y, w), w)


def _accuracy(x: np.ndarray, y: np.ndarray, w: np.ndarray) -> float:
    return float(np.average(np.rint(x) == np.rint(y), weights=w))


def _kappa(x: np.ndarray, y: np.ndarray, w: np.ndarray) -> float:
    near = np.average((x - y) ** 2, weights=w)
    mean_x, mean_y = np.average(x, weights=w), np.average(y, weights=w)
    spread = np.average((x - mean_x) ** 2, weights=w) + np.average((y - mean_y) ** 2, weights=w)
    chance = spread + (mean_x - mean_y) ** 2
    return float(1 - near / chance) if chance > 0 else float("nan")


_MEASURES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], float]] = {
    "spearman": _spearman,
    "pearson": _pearson,
    "accuracy": _accuracy,
    "kappa": _kappa,
}


def _leave_out(compute: Callable[[np.ndarray], float], n: int) -> np.ndarray:
    """The estimate without each row (or, of many rows, without each of 400 groups)."""
    fold = np.arange(n) % min(n, MAX_FOLDS)
    return np.array([compute(fold != i) for i in range(int(fold.max()) + 1)])


def _jackknife_error(left: np.ndarray) -> float:
    known = left[~np.isnan(left)]
    m = len(known)
    if m < 2:
        return float("nan")
    return float(np.sqrt((m - 1) / m * ((known - known.mean()) ** 2).sum()))


def _student(n_effective: float) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, max(n_effective - 2, 1)))


def _fisher(left: np.ndarray, value: float, shares: float, *, ranks: bool) -> tuple[float, float]:
    """Interval on Fisher's z; for ranks no narrower than 0.8 of Bonett and Wright's (2000)."""

    def z(r: np.ndarray) -> np.ndarray:
        return np.asarray(np.arctanh(np.clip(r, -NEAR_ONE, NEAR_ONE)))

    error = _jackknife_error(z(left))
    if ranks:
        error = max(error, 0.8 * np.sqrt((1 + value**2 / 2) / max(shares - 3, 1)))
    centre, half = float(z(np.array(value))), _student(shares) * error
    return float(np.tanh(centre - half)), float(np.tanh(centre + half))


def _design_rows(left: np.ndarray, value: float, shares: float, *, equal: bool) -> float:
    """How many equal rows would give a share the error that the jackknife finds."""
    error = _jackknife_error(left)
    if equal or not error > 0:
        return shares
    return float(np.clip(value * (1 - value) / error**2, shares / 2, shares * 2))


def _wilson(share: float, n: float) -> tuple[float, float]:
    """Wilson's interval for a share."""
    z2 = 1.96**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = 1.96 / (1 + z2 / n) * np.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)
