"""How two columns of numbers agree: Spearman, quadratic kappa, overlap of the tops."""

import numpy as np

from ds2.checks import check_int
from ds2.errors import InputError

__all__ = ["exact_agreement", "quadratic_kappa", "ranks", "spearman", "top_overlap"]


def ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks from 0, equal values sharing their mean rank, float64 of shape (n,)."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    counts = np.diff(np.concatenate([starts, [len(values)]]))
    out = np.empty(len(values))
    out[order] = np.repeat(starts + (counts - 1) / 2, counts)
    return out


def spearman(one: np.ndarray, two: np.ndarray) -> float:
    """Return Spearman's rank correlation over the rows where neither is NaN.

    NaN where fewer than two rows are left, or one side is all equal.
    """
    one, two = _both(one, two)
    if len(one) < 2:
        return float("nan")
    x, y = (ranks(side) - (len(one) - 1) / 2 for side in (one, two))
    size = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / size if size else float("nan")


def exact_agreement(one: np.ndarray, two: np.ndarray) -> tuple[float, float]:
    """Return the share of equal scores, and the share that chance gives: Σ_c P₁(c)·P₂(c)."""
    one, two = _both(one, two)
    if len(one) == 0:
        return float("nan"), float("nan")
    levels = np.union1d(one, two)
    shares = [np.array([(side == level).mean() for level in levels]) for side in (one, two)]
    return float((one == two).mean()), float(shares[0] @ shares[1])


def quadratic_kappa(one: np.ndarray, two: np.ndarray) -> float:
    """Return Cohen's kappa with quadratic weights (Cohen 1968), over rows where neither is NaN.

        κ = 1 − Σ_ab (a − b)²·O[a,b] / Σ_ab (a − b)²·P₁[a]·P₂[b]

    The sums need no table: they are the means of (a − b)² over the pairs, and over all pairs of a
    row of one side with a row of the other. NaN where both sides are one and the same constant.
    """
    one, two = _both(one, two)
    if len(one) == 0:
        return float("nan")
    observed = float(np.mean((one - two) ** 2))
    expected = float(one.var() + two.var() + (one.mean() - two.mean()) ** 2)
    return 1 - observed / expected if expected else float("nan")


def top_overlap(one: np.ndarray, two: np.ndarray, size: int) -> tuple[float, float]:
    """Return the share that the two sides' ``size`` highest have in common, and chance's share.

    Where equal values stand at the cut, every choice among them is as likely, independently on
    both sides, and the mean over the choices is returned. Chance is size / n.

    Raises:
        InputError: ``size`` is no number from 1 to the number of rows where neither is NaN.
    """
    one, two = _both(one, two)
    if len(one) == 0:
        raise InputError("No example is rated on both sides, so their tops have nothing in common.")
    check_int("size", size, low=1, high=len(one))
    shared = float(_membership(one, size) @ _membership(two, size))
    return shared / size, size / len(one)


def _membership(values: np.ndarray, size: int) -> np.ndarray:
    """Return the probability of each row to be among the ``size`` highest, ties drawn by lot."""
    cut = np.partition(values, len(values) - size)[len(values) - size]
    above, at = values > cut, values == cut
    share = (size - above.sum()) / at.sum()
    return np.asarray(above + share * at)


def _both(one: np.ndarray, two: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(one, dtype=np.float64), np.asarray(two, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise InputError(f"Both sides must have one number per row. Got {x.shape} and {y.shape}.")
    present = ~(np.isnan(x) | np.isnan(y))
    return x[present], y[present]
