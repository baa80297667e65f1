"""One of each measure of agreement, and what each row contributes to it.

    spearman    correlation of the ranks (mean ranks where values are tied)
    pearson     correlation of the values
    accuracy    share of rows whose value, rounded to a level, is the truth's level
    kappa       quadratic-weighted: 1 − Σ w (x − y)² / Σ w_a w_b (x_a − y_b)², chance at 0
    top         mean truth, in its standard deviations, of the 5 % with the highest values

An estimate θ over n rows has parts ψ_i with θ̂ − θ ≈ Σ ψ_i (the infinitesimal jackknife; Efron
1982). Parts are linear: those of a difference, or of a sum over judges, on the same rows are the
difference or the sum of the parts, so what two figures share cancels. Rows of one block (a
neighbourhood) count as one; few blocks are widened by Student's quantiles.

Weights are inverse inclusion probabilities, so that a stratified sample speaks for the whole pool.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from ds2.levels import nearest_level, rank_shares

__all__ = [
    "MEASURES",
    "TOP",
    "Interval",
    "Measured",
    "Z",
    "correlation_ratio",
    "effective_rows",
    "measure",
    "measure_given",
    "residuals",
    "spearman",
    "student",
    "thinned",
    "weighted_sum",
]

#: Rows on which it is measured what scores go with: its intervals are then 0.004 wide.
MOST = 1_000_000

#: Half-width of a 95 % interval in standard errors, from many rows.
Z = 1.959964
#: Share of the rows that "top" looks at, and those around its end that tell the value there.
TOP, AROUND = 0.05, (0.02, 0.1)
#: Fisher's z is not taken closer to 1 than this.
NEAR_ONE = 0.9999
#: The parts of n rows spread like n / (n − this) times their squares (a jackknife's correction).
FEW = 4.0
TINY = 1e-14
#: A block whose parts are so much smaller than the largest has none: sums end on such rests.
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its 95 % interval; NaN is "not known".

    Attributes:
        value: the estimate.
        low: lower end.
        high: upper end.
    """

    value: float
    low: float = float("nan")
    high: float = float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """An estimate with what each row contributes to it.

    Attributes:
        value: the estimate; NaN where it is not defined.
        parts: (n,) ψ_i, 0 for rows that were left out.
        n_effective: how many rows of equal weight would say as much.
        curved: whether it is a correlation, whose interval is taken on Fisher's z.
        least: the standard error is at least this (on that scale): what few rows cannot show.
    """

    value: float
    parts: np.ndarray
    n_effective: float
    curved: bool = False
    least: float = 0.0

    def __sub__(self, other: "Measured") -> "Measured":
        """Return this less another figure of the same rows."""
        rows = min(self.n_effective, other.n_effective)
        return Measured(self.value - other.value, self.parts - other.parts, rows)

    def __add__(self, other: "Measured") -> "Measured":
        """Return the sum with another figure of the same pool."""
        rows = max(self.n_effective, other.n_effective)
        return Measured(self.value + other.value, self.parts + other.parts, rows)

    def __mul__(self, by: float) -> "Measured":
        """Return a multiple."""
        return Measured(self.value * by, self.parts * by, self.n_effective)

    def by_block(self, blocks: np.ndarray, n_blocks: int = 0) -> "Measured":
        """Return the same with the parts of each block (n,) summed: it tells no more than one."""
        parts = np.bincount(blocks, weights=self.parts, minlength=n_blocks)
        weight = np.bincount(blocks, weights=np.abs(self.parts))
        present = float(np.count_nonzero(weight > ROUNDING * weight.max(initial=0.0)))
        rows = min(self.n_effective, present)
        return Measured(self.value, parts, rows, self.curved, self.least)

    @property
    def error(self) -> float:
        """Standard error."""
        n = self.n_effective
        return float(np.sqrt((self.parts**2).sum() * n / max(n - FEW, 1.0)))

    def interval(self, *, competing: int = 1) -> Interval:
        """Return the 95 % interval.

        Args:
            competing: of so many figures that compete, all are to be inside at once (Bonferroni).
        """
        if np.isnan(self.value):
            return Interval(float("nan"))
        width = student(self.n_effective, competing)
        if not self.curved:
            half = width * max(self.error, self.least)
            return Interval(self.value, self.value - half, self.value + half)
        half = width * max(self.error / max(1 - self.value**2, 1e-4), self.least)
        centre = np.arctanh(np.clip(self.value, -NEAR_ONE, NEAR_ONE))
        return Interval(self.value, *(float(np.tanh(centre + d)) for d in (-half, half)))


def weighted_sum(found: Sequence[Measured], shares: Sequence[float]) -> Measured:
    """Σ share · figure, over figures of one pool; at least one."""
    total = found[0] * shares[0]
    for one, share in zip(found[1:], shares[1:], strict=True):
        total = total + one * share
    return total


@cache
def _student(freedom: int, competing: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 1 - 0.025 / competing))


def student(n_effective: float, competing: int = 1) -> float:
    """Half-width of a 95 % interval in standard errors, from so many rows."""
    return _student(max(int(n_effective) - 2, 1), competing)


def effective_rows(weights: np.ndarray) -> float:
    """Kish's number: (Σ w)² / Σ w²."""
    square = float((weights**2).sum())
    return float(weights.sum() ** 2 / square) if square > 0 else 0.0


def measure(
    name: str,
    values: np.ndarray,
    truth: np.ndarray,
    weights: np.ndarray | None = None,
) -> Measured:
    """Measure how ``values`` agree with ``truth``.

    Args:
        name: one of `MEASURES`.
        values: (n,) floats, NaN where there is none.
        truth: (n,) likewise.
        weights: (n,) 0 for rows to leave out; None for equal ones.
    """
    rows = ~np.isnan(values) & ~np.isnan(truth)
    if weights is not None:
        rows &= weights > 0
    w = np.ones(int(rows.sum())) if weights is None else weights[rows]
    parts = np.zeros(len(values))
    if len(w) < 2:
        return Measured(float("nan"), parts, float(len(w)))
    share = w / w.sum()
    value, inside = MEASURES[name](values[rows], truth[rows], share)
    parts[rows] = share * inside
    n = effective_rows(w)
    return Measured(value, parts, n, name in ("spearman", "pearson"), _least(name, value, n))


def measure_given(
    values: np.ndarray, truth: np.ndarray, fixed: np.ndarray, weights: np.ndarray | None = None
) -> Measured:
    """Measure the rank correlation of values with a truth, columns (n, c) held fixed."""
    x, y = (residuals(rank_shares(side, weights), fixed) for side in (values, truth))
    return measure("pearson", x, y, weights)


def _least(name: str, value: float, n: float) -> float:
    """0.8 of Bonett and Wright's error (2000) for ranks; Agresti and Coull's (1998) for shares."""
    if name == "spearman":
        return float(0.8 * np.sqrt((1 + value**2 / 2) / max(n - 3, 1)))
    if name == "accuracy":
        share = (n * value + 2) / (n + 4)
        return float(np.sqrt(share * (1 - share) / (n + 4)))
    return 0.0


def spearman(one: np.ndarray, two: np.ndarray) -> float:
    """Spearman's correlation over the rows where neither is NaN; NaN where it is not defined."""
    return measure("spearman", one, two).value


def correlation_ratio(
    group: np.ndarray, y: np.ndarray, fixed: np.ndarray | None = None
) -> tuple[Measured, Interval]:
    """Correlation ratio η of labels and a column, corrected for chance (Kelley 1935).

    Args:
        group: (n,) codes 0 … g − 1, each on some row.
        y: (n,) numbers.
        fixed: (n, c) columns to hold fixed: η² is then the share of what they leave unexplained
            that the labels explain.

    Returns:
        η with its parts, and its interval, which is taken on η².
    """
    n, g = len(y), int(group.max()) + 1
    c = 0 if fixed is None else fixed.shape[1]
    sizes = np.bincount(group, minlength=g)

    def within(column: np.ndarray) -> np.ndarray:
        means = np.bincount(group, weights=column, minlength=g) / sizes
        return np.asarray(column - means[group])

    rest = residuals(y, fixed) if fixed is not None and c else y - y.mean()
    # What labels and columns leave together is what the columns leave within labels (Frisch-Waugh).
    left = within(y)
    if c and fixed is not None:
        inside = np.column_stack([within(column) for column in fixed.T])
        slope, *_ = np.linalg.lstsq(inside, left, rcond=1e-9)
        left -= inside @ slope
    fitted = rest - left
    total, freedom = float((rest * rest).mean()), n - g - c
    if total < TINY or freedom < 1:
        return Measured(float("nan"), np.zeros(n), float(n)), Interval(float("nan"))
    share = float((fitted * fitted).mean()) / total
    corrected = 1 - (1 - share) * (n - 1 - c) / freedom
    parts = (2 * fitted * rest - fitted**2 - share * rest**2) / total / n
    chance = 2 * (g - 1) / n**2  # the variance of η² where labels say nothing
    half = student(n) * np.sqrt(float((parts**2).sum()) + chance)
    low, value, high = (
        float(np.sqrt(np.clip(one, 0, 1)))
        for one in (corrected - half, corrected, corrected + half)
    )
    root = 1 / (2 * max(value, np.sqrt(chance) ** 0.5, 1e-6))
    return Measured(value, parts * root, float(n)), Interval(value, low, high)


def thinned(n: int) -> slice:
    """Every row, or of more than `MOST` every second, third and so on."""
    return slice(None, None, max(1, -(-n // MOST)))


def residuals(y: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """(n,) what of ``y`` the columns of ``fixed`` (n, c), and a constant, do not explain."""
    centred = fixed - fixed.mean(axis=0)
    slope, *_ = np.linalg.lstsq(centred, y - y.mean(), rcond=1e-9)
    return np.asarray(y - y.mean() - centred @ slope)


def _pearson(x: np.ndarray, y: np.ndarray, share: np.ndarray) -> tuple[float, np.ndarray]:
    x, y = x - share @ x, y - share @ y
    vx, vy = float(share @ x**2), float(share @ y**2)
    if vx < TINY or vy < TINY:
        return float("nan"), np.zeros(len(x))
    x, y = x / np.sqrt(vx), y / np.sqrt(vy)
    r = float(np.clip(share @ (x * y), -1, 1))
    return r, x * y - r / 2 * (x**2 + y**2)


def _spearman(x: np.ndarray, y: np.ndarray, share: np.ndarray) -> tuple[float, np.ndarray]:
    """With what each row does to the other rows' ranks."""
    x, y = rank_shares(x, share) - 0.5, rank_shares(y, share) - 0.5
    r, parts = _pearson(x, y, share)
    if np.isnan(r):
        return r, parts
    vx, vy = float(share @ x**2), float(share @ y**2)
    s = float(share @ (x * y))
    moved = (_above(x, y, share) - s + _above(y, x, share) - s) / np.sqrt(vx * vy)
    spread = (_above(x, x, share) - vx) / vx + (_above(y, y, share) - vy) / vy
    return r, parts + moved - r * spread


def _above(x: np.ndarray, y: np.ndarray, share: np.ndarray) -> np.ndarray:
    """(n,) for each row, the mean over all rows of y where x is larger (ties count half)."""
    _, place = np.unique(x, return_inverse=True)
    place = place.reshape(-1)
    sums = np.bincount(place, weights=share * y)
    return np.asarray(((sums.sum() - np.cumsum(sums)) + sums / 2)[place])


def _accuracy(x: np.ndarray, y: np.ndarray, share: np.ndarray) -> tuple[float, np.ndarray]:
    equal = (nearest_level(x) == nearest_level(y)).astype(np.float64)
    value = float(share @ equal)
    return value, equal - value


def _kappa(x: np.ndarray, y: np.ndarray, share: np.ndarray) -> tuple[float, np.ndarray]:
    near = (x - y) ** 2
    mean_x, mean_y = float(share @ x), float(share @ y)
    dx, dy, gap = x - mean_x, y - mean_y, mean_x - mean_y
    vx, vy, off = float(share @ dx**2), float(share @ dy**2), float(share @ near)
    chance = vx + vy + gap**2
    if chance < TINY:
        return float("nan"), np.zeros(len(x))
    moved = dx**2 - vx + dy**2 - vy + 2 * gap * (dx - dy)
    return 1 - off / chance, off / chance**2 * moved - (near - off) / chance


def _top(x: np.ndarray, y: np.ndarray, share: np.ndarray) -> tuple[float, np.ndarray]:
    """Ties at the end of the top 5 % share what places are left."""
    spread = float(np.sqrt(share @ (y - share @ y) ** 2))
    if spread < TINY:
        return float("nan"), np.zeros(len(x))
    y = (y - share @ y) / spread
    different, place = np.unique(-x, return_inverse=True)
    place = place.reshape(-1)
    mass = np.bincount(place, weights=share, minlength=len(different))
    ends = np.cumsum(mass)
    taken = np.clip((TOP - (ends - mass)) / np.maximum(mass, TINY), 0, 1)[place]
    width = float(share @ taken)
    value = float(share @ (taken * y)) / width
    around = (ends - mass <= AROUND[1])[place] & (ends >= AROUND[0])[place]
    there = float(np.average(y[around], weights=share[around])) if around.any() else value
    return value, taken * (y - there) / width - (value - there)


MEASURES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[float, np.ndarray]]] = {
    "spearman": _spearman,
    "pearson": _pearson,
    "accuracy": _accuracy,
    "kappa": _kappa,
    "top": _top,
}
