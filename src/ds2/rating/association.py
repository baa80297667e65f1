"""How two columns of scores agree exactly, and how far their tops overlap."""

import numpy as np

from ds2.checks import check_int
from ds2.errors import InputError

__all__ = ["exact_agreement", "top_overlap"]


def exact_agreement(one: np.ndarray, two: np.ndarray) -> tuple[float, float]:
    """Return the share of equal scores, and the share that chance gives: Σ_c P₁(c)·P₂(c)."""
    one, two = _both(one, two)
    if len(one) == 0:
        return float("nan"), float("nan")
    levels = np.union1d(one, two)
    shares = [np.array([(side == level).mean() for level in levels]) for side in (one, two)]
    return float((one == two).mean()), float(shares[0] @ shares[1])


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
