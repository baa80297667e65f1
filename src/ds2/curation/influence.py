"""Correlations with what each row contributes to them, from which their intervals follow.

An estimate θ over n rows has influences ψ_i of mean 0 with θ̂ − θ ≈ mean(ψ); its standard error is
sd(ψ) / √n, and that of a difference of two estimates on the same rows is sd(ψ − ψ') / √n.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["Figure", "correlation", "correlation_ratio", "mid_ranks", "residuals"]

_Z = 1.959964


@dataclass(frozen=True, slots=True, eq=False)
class Figure:
    """An estimate with its 95 % interval.

    Attributes:
        value: the estimate; NaN where it is not defined.
        low: lower end of the interval.
        high: upper end.
        influence: (n,) what each row contributes; empty where nothing was measured.
    """

    value: float
    low: float
    high: float
    influence: np.ndarray

    @staticmethod
    def nothing() -> "Figure":
        """Return what stands where nothing could be measured."""
        return Figure(float("nan"), float("nan"), float("nan"), np.empty(0))

    def less(self, other: "Figure") -> "Figure":
        """Return this less another figure of the same rows."""
        if len(self.influence) != len(other.influence) or not len(self.influence):
            return Figure.nothing()
        influence = self.influence - other.influence
        value, error = self.value - other.value, _error(influence)
        return Figure(value, value - _Z * error, value + _Z * error, influence)


def mid_ranks(values: np.ndarray) -> np.ndarray:
    """(n,) Shares of rows below, ties counted half, less one half: of mean 0, in (−½, ½)."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = (np.cumsum(counts) - counts / 2) / len(values) - 0.5
    return np.asarray(middle[place.reshape(-1)])


def residuals(y: np.ndarray, controls: np.ndarray) -> np.ndarray:
    """(n,) What of ``y`` the columns of ``controls``, and a constant, do not explain."""
    centred = controls - controls.mean(axis=0)
    slope, *_ = np.linalg.lstsq(centred, y - y.mean(), rcond=1e-9)
    return np.asarray(y - y.mean() - centred @ slope)


def correlation(x: np.ndarray, y: np.ndarray, *, ranks: bool = False) -> Figure:
    """Correlation of two columns, its interval on Fisher's z.

    Args:
        x: (n,) numbers.
        y: (n,) numbers.
        ranks: whether they are `mid_ranks`; then the influence includes that on the other rows'
            ranks.
    """
    x, y = x - x.mean(), y - y.mean()
    vx, vy = float((x * x).mean()), float((y * y).mean())
    if vx < 1e-14 or vy < 1e-14:
        return Figure.nothing()
    scale = np.sqrt(vx * vy)
    s = float((x * y).mean())
    r = float(np.clip(s / scale, -1, 1))
    in_s, in_x, in_y = x * y - s, x * x - vx, y * y - vy
    if ranks:
        in_s = in_s + _above(x, y) - s + _above(y, x) - s
        in_x = in_x + 2 * (_above(x, x) - vx)
        in_y = in_y + 2 * (_above(y, y) - vy)
    influence = in_s / scale - r / 2 * (in_x / vx + in_y / vy)
    error = _error(influence)
    centre = np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12))
    half = _Z * error / max(1 - r * r, 1e-9)
    return Figure(r, float(np.tanh(centre - half)), float(np.tanh(centre + half)), influence)


def correlation_ratio(
    group: np.ndarray, y: np.ndarray, controls: np.ndarray | None = None
) -> Figure:
    """Correlation ratio η of labels and a column, corrected for chance.

    Args:
        group: (n,) codes 0 … g − 1, each on some row.
        y: (n,) numbers.
        controls: (n, c) columns to hold fixed: η² is then the share of what they leave
            unexplained that the labels explain.
    """
    n, g = len(y), int(group.max()) + 1
    c = 0 if controls is None else controls.shape[1]
    if controls is None or not c:
        rest = y - y.mean()
        counts = np.bincount(group, minlength=g)
        fitted = (np.bincount(group, weights=rest, minlength=g) / counts)[group]
    else:
        rest = residuals(y, controls)
        dummies = np.asarray(group[:, None] == np.arange(1, g), dtype=np.float64)
        inside = np.column_stack([residuals(column, controls) for column in dummies.T])
        slope, *_ = np.linalg.lstsq(inside, rest, rcond=1e-9)
        fitted = inside @ slope
    total = float((rest * rest).mean())
    freedom = n - g - c
    if total < 1e-14 or freedom < 1:
        return Figure.nothing()
    share = float((fitted * fitted).mean()) / total
    corrected = 1 - (1 - share) * (n - 1 - c) / freedom
    influence = (2 * fitted * rest - fitted**2 - share * rest**2) / total
    chance = 2 * (g - 1) / n**2  # the variance of η² where labels say nothing
    half = _Z * np.sqrt(_error(influence) ** 2 + chance)
    low, value, high = (
        float(np.sqrt(np.clip(one, 0, 1)))
        for one in (corrected - half, corrected, corrected + half)
    )
    slope_of_root = 1 / (2 * max(value, np.sqrt(chance) ** 0.5, 1e-6))
    return Figure(value, low, high, influence * slope_of_root)


def _above(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(n,) For each row, the mean over all rows of y where x is larger (ties count half)."""
    _, place = np.unique(x, return_inverse=True)
    place = place.reshape(-1)
    sums = np.bincount(place, weights=y)
    return np.asarray(((sums.sum() - np.cumsum(sums)) + sums / 2)[place] / len(x))


def _error(influence: np.ndarray) -> float:
    return float(influence.std(ddof=1) / np.sqrt(len(influence)))
