"""The inputs of `select`: one row per example, of the right form."""

from collections.abc import Mapping
from numbers import Real

import numpy as np

from ds2.checks import check_vectors
from ds2.errors import InputError
from ds2.neighbors import Neighbors

__all__ = [
    "check_finite",
    "check_prior",
    "check_targets",
    "check_threshold",
    "common_length",
    "source_labels",
]

#: Levels that real-valued scores are cut into when no prior is given.
N_LEVELS = 6


def common_length(given: Mapping[str, np.ndarray | Neighbors | None]) -> int:
    """The number of rows that all inputs have, or `InputError`."""
    sizes = {
        name: value.n if isinstance(value, Neighbors) else _n_rows(name, value)
        for name, value in given.items()
        if value is not None
    }
    if not sizes:
        raise InputError("select() was given no rows: pass 'scores', 'keys' or 'neighbors'.")
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"'{name}' has {size}" for name, size in sizes.items())
        raise InputError(f"All inputs must have one row per example. Got: {listed}.")
    return next(iter(sizes.values()))


def check_finite(name: str, values: np.ndarray) -> np.ndarray:
    """(n,) float64 without NaN or infinity."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise InputError(
            f"'{name}' must have one value per example, shape (n,). Got {array.shape}."
        )
    if not np.isfinite(array).all():
        row = int(np.argmin(np.isfinite(array)))
        raise InputError(f"'{name}' row {row} is {array[row]}. It must be a finite number.")
    return array


def check_prior(prior: np.ndarray | None) -> np.ndarray:
    """(s,) shares of the levels: those given, or equal ones."""
    if prior is None:
        return np.full(N_LEVELS, 1 / N_LEVELS)
    array = np.asarray(prior, dtype=np.float64)
    if array.ndim != 1 or (array < 0).any() or not np.isclose(array.sum(), 1):
        raise InputError("'prior' must be shares of the levels, 0 or more, that sum to 1.")
    return array


def check_targets(targets: np.ndarray, dimensions: int) -> np.ndarray:
    """(t, d) vectors of the targets, as long as those of the pool."""
    array = check_vectors("targets", targets)
    if not len(array) or array.shape[1] != dimensions:
        raise InputError(
            f"'targets' must have one row per example of what is wanted and {dimensions} "
            f"dimensions, as 'vectors' has. Got shape {array.shape}. Embed both alike."
        )
    return array


def check_threshold(method: str, threshold: object) -> float | None:
    """The threshold of a method that has one: a distance for "deita", a score for "alpagasus"."""
    if threshold is None or method not in ("deita", "alpagasus"):
        return None
    if isinstance(threshold, bool) or not isinstance(threshold, Real):
        raise InputError(f"'threshold' must be a number. Got {threshold!r}.")
    number = float(threshold)
    if method == "deita" and not 0.0 <= number <= 2.0:
        raise InputError(
            f"'threshold' of method 'deita' is a cosine distance in [0, 2]. Got {threshold}."
        )
    if not np.isfinite(number):
        raise InputError(f"'threshold' must be a finite number. Got {threshold}.")
    return number


def source_labels(sources: np.ndarray) -> np.ndarray:
    """(n,) numbers 0 … of the sources, in the order of their first row; None is a source too."""
    array = np.asarray(sources)
    if array.ndim != 1:
        raise InputError(
            f"'sources' must have one label per example, shape (n,). Got {array.shape}."
        )
    codes: dict[object, int] = {}
    return np.array([codes.setdefault(label, len(codes)) for label in array.tolist()])


def _n_rows(name: str, value: object) -> int:
    shape = np.asarray(value).shape
    if not shape:
        raise InputError(
            f"'{name}' must be an array with one row per example. Got {type(value).__name__}."
        )
    return int(shape[0])
