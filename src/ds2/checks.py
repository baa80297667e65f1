"""Validators that speak one sentence: what, where, what was got, what to do.

Each takes the argument's name first, so that its sentence can name it, and returns the value in
the form the caller works with. None of them changes its argument.
"""

import difflib
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np

from ds2.arguments import got, remedy
from ds2.errors import InputError

__all__ = [
    "check_choice",
    "check_column",
    "check_finite",
    "check_finite_column",
    "check_fraction",
    "check_gold",
    "check_index",
    "check_int",
    "check_like",
    "check_mask",
    "check_positive",
    "check_rows",
    "check_scores",
    "check_table",
    "check_vectors",
    "check_weights",
]

#: Elements of vectors beyond these could not be squared and summed in float32.
SMALLEST, LARGEST = 1e-12, 1e12
#: Weights below this, or above its inverse, could not be squared and summed.
LEAST_WEIGHT = 1e-100


def check_int(name: str, value: object, *, low: int, high: int | None = None) -> int:
    """Return ``value`` as an int in [low, high], or raise `InputError`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InputError(f"'{name}' must be a whole number. Got {got(value)}.{remedy(name)}")
    number = int(value)
    if number < low or (high is not None and number > high):
        span = f"in [{low}, {high}]" if high is not None else f"at least {low}"
        raise InputError(f"'{name}' must be a whole number {span}. Got {number} instead.")
    return number


def check_fraction(name: str, value: object, *, open_low: bool = False) -> float:
    """Return ``value`` as a float in [0, 1] (in (0, 1] when ``open_low``), or raise."""
    number = _real(name, value)
    if not 0.0 <= number <= 1.0 or (open_low and number == 0.0):
        span = "(0, 1]" if open_low else "[0, 1]"
        raise InputError(f"'{name}' must be a fraction in {span}. Got {value} instead.")
    return number


def check_positive(name: str, value: object, *, zero: bool = False) -> float:
    """Return ``value`` as a finite float above 0 (or from 0 when ``zero``), or raise."""
    number = _real(name, value)
    if not np.isfinite(number) or number < 0 or (number == 0 and not zero):
        span = "0 or more" if zero else "above 0"
        raise InputError(f"'{name}' must be a finite number {span}. Got {value} instead.")
    return number


def check_finite(name: str, value: object) -> float:
    """Return ``value`` as a finite float, or raise `InputError`."""
    number = _real(name, value)
    if not np.isfinite(number):
        raise InputError(f"'{name}' must be a finite number. Got {value}.")
    return number


def _real(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InputError(f"'{name}' must be a number. Got {got(value)}.")
    return float(value)


def check_choice(name: str, value: object, choices: Iterable[str]) -> str:
    """Return ``value`` if it is one of ``choices``; otherwise name the nearest one and raise."""
    allowed = list(choices)
    if isinstance(value, str) and value in allowed:
        return value
    near = difflib.get_close_matches(str(value).lower(), allowed, n=1, cutoff=0.5)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    raise InputError(f"'{name}' must be one of {', '.join(allowed)}. Got {got(value)}.{hint}")


def check_column(
    name: str, values: object, n_rows: int | None = None, *, numbers: bool = False
) -> np.ndarray:
    """Return one value per example as an array (n,), of floats where they must be ``numbers``."""
    try:
        array = np.asarray(values, dtype=np.float64 if numbers else None)
    except (TypeError, ValueError):
        what = "numbers (NaN where there is none)" if numbers else "one value per example"
        raise InputError(f"'{name}' must hold {what}. Got {got(values)}.{remedy(name)}") from None
    if array.ndim != 1:
        raise InputError(
            f"'{name}' must have one value per example, shape (n,). Got {array.shape}."
        )
    check_rows(name, array, n_rows)
    return array


def check_finite_column(
    name: str, values: object, n_rows: int | None = None, *, missing: bool = False
) -> np.ndarray:
    """Return one finite number per example as (n,) floats; NaN too where ``missing`` is allowed."""
    array = check_column(name, values, n_rows, numbers=True)
    wrong = np.isinf(array) if missing else ~np.isfinite(array)
    if wrong.any():
        row = int(np.argmax(wrong))
        none = ", or NaN where there is none" if missing else ""
        raise InputError(f"'{name}' row {row} is {array[row]}. It must be a finite number{none}.")
    return array


def check_index(name: str, rows: object, n_rows: int | None) -> np.ndarray:
    """Return row numbers as (m,) int64, each in [0, n_rows − 1] (of any size when None)."""
    array = np.asarray(rows)
    if array.size == 0:
        return np.empty(0, np.int64)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        marks = " Pass np.flatnonzero of the marks." if array.dtype == bool else ""
        raise InputError(
            f"'{name}' must be row numbers. Got {array.dtype} of {array.shape}.{marks}"
        )
    outside = (array < 0) | (array >= (np.inf if n_rows is None else n_rows))
    if outside.any():
        top = "…" if n_rows is None else n_rows - 1
        raise InputError(
            f"'{name}' must be row numbers in [0, {top}]. Got {array[outside.argmax()]}."
        )
    return array.astype(np.int64)


def check_mask(name: str, marks: object, n_rows: int) -> np.ndarray:
    """Return a yes or no per example as (n,) bools."""
    array = check_column(name, marks)
    if array.dtype != bool:
        raise InputError(
            f"'{name}' must be True or False for each of the {n_rows} rows. Got {array.dtype}."
        )
    check_rows(name, array, n_rows)
    return array


def check_vectors(name: str, vectors: object) -> np.ndarray:
    """Return ``vectors`` as an (n, d) floating array, every row finite and not all zeros.

    Memory-mapped and float16 arrays pass through unchanged; rows are checked in blocks.
    """
    try:
        array = vectors if isinstance(vectors, np.ndarray) else np.asarray(vectors)
    except ValueError:
        raise InputError(f"'{name}' has rows of different lengths.{remedy(name)}") from None
    if array.ndim != 2 or array.shape[1] == 0:
        raise InputError(
            f"'{name}' must be a table of shape (rows, dimensions). Got shape "
            f"{array.shape}.{remedy(name)}"
        )
    if np.issubdtype(array.dtype, np.integer):
        raise InputError(
            f"'{name}' must hold floating-point numbers. Got {array.dtype}: convert them, "
            "vectors.astype('float32')."
        )
    if not np.issubdtype(array.dtype, np.floating):
        raise InputError(
            f"'{name}' must hold floating-point numbers. Got {array.dtype}.{remedy(name)}"
        )
    block = max(1, 2**22 // array.shape[1])
    for start in range(0, len(array), block):
        part = array[start : start + block]
        finite = np.isfinite(part).all(axis=1)
        if not finite.all():
            row = start + int(np.argmin(finite))
            raise InputError(
                f"'{name}' row {row} holds NaN or infinity. Embed that example again, or drop it."
            )
        largest = np.abs(part).max(axis=1).astype(np.float64)
        if not largest.all():
            row = start + int(np.argmin(largest))
            raise InputError(
                f"'{name}' row {row} is all zeros, which has no direction and so no cosine "
                "distance. Embed that example again, or drop it."
            )
        if largest.max() > LARGEST or largest.min() < SMALLEST:
            row = start + int(np.argmax((largest > LARGEST) | (largest < SMALLEST)))
            raise InputError(
                f"'{name}' row {row} has a largest element of {largest[row - start]:.3g}, outside "
                f"{SMALLEST:g} … {LARGEST:g}. Divide the vectors by their length first."
            )
    return array


def check_scores(
    name: str, scores: object, *, n_rows: int | None = None, n_scores: int | None = None
) -> np.ndarray:
    """Return ``scores`` as a float64 array of shape (n,), NaN where unrated.

    Args:
        name: the argument's name, for the message.
        scores: ints or floats, one per example.
        n_rows: how many there must be.
        n_scores: when given, every score present must be a whole number in [0, n_scores − 1].
    """
    try:
        array = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(
            f"'{name}' must hold numbers (NaN where unrated). Got {got(scores)} with values that "
            f"are not numbers.{remedy(name)}"
        ) from None
    if array.ndim != 1:
        raise InputError(
            f"'{name}' must have one score per example, shape (n,). Got {array.shape}."
            f"{remedy(name)}"
        )
    check_rows(name, array, n_rows)
    present = ~np.isnan(array)
    if not present.any():
        raise InputError(f"'{name}' holds no score at all: every value is missing.")
    if np.isinf(array).any():
        row = int(np.argmax(np.isinf(array)))
        raise InputError(f"'{name}' row {row} is infinite. Use NaN for an unrated example.")
    if n_scores is not None:
        wrong = present & ((array < 0) | (array > n_scores - 1) | (array != np.floor(array)))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise InputError(
                f"'{name}' must hold whole numbers 0 … {n_scores - 1} (NaN where unrated). "
                f"Got {array[row]:g} in row {row}: ratings are binned first.{remedy(name)}"
            )
    return array


def check_table(
    name: str,
    scores: object,
    *,
    n_rows: int | None = None,
    n_scores: int | None = None,
    whole: bool = True,
) -> np.ndarray:
    """Return scores of shape (n,) or (n, r), one column a rater, as (n, r) floats.

    Args:
        name: the argument's name, for the message.
        scores: ints or floats, NaN where missing.
        n_rows: how many rows there must be.
        n_scores: when given, scores must lie in [0, n_scores − 1].
        whole: every column goes through `check_scores`; otherwise fractions are allowed, and
            columns in which all is missing.
    """
    try:
        array = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(
            f"'{name}' must hold numbers (NaN where missing). Got {got(scores)} with values that "
            f"are not numbers.{remedy(name)}"
        ) from None
    if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[1] == 0):
        raise InputError(
            f"'{name}' must have shape (n,), or (n, r) for r raters. Got {array.shape}."
        )
    table = array.reshape(len(array), -1)
    check_rows(name, table, n_rows)
    for m, column in enumerate(table.T):
        label = name if table.shape[1] == 1 else f"{name}[:, {m}]"
        if whole:
            check_scores(label, column, n_scores=n_scores)
        elif np.isinf(column).any() or (
            n_scores is not None and ((column < 0) | (column > n_scores - 1)).any()
        ):
            top = "" if n_scores is None else f" in 0 … {n_scores - 1}"
            raise InputError(f"'{label}' must hold finite numbers{top} (NaN where missing).")
    return table


def check_like(
    name: str, given: object, scores: np.ndarray, n_scores: int | None = None
) -> np.ndarray:
    """Return finite numbers, NaN where missing, in the shape (n, r) of ``scores``.

    They lie in [0, n_scores − 1] where that is given. None is NaN everywhere.
    """
    if given is None:
        return np.broadcast_to(np.nan, scores.shape)
    table = check_table(name, given, n_rows=len(scores), n_scores=n_scores, whole=False)
    if table.shape != scores.shape:
        raise InputError(
            f"'{name}' must have the shape of 'scores', {scores.shape}. Got {table.shape}."
        )
    return table


def check_gold(
    gold: object, n_rows: int, n_scores: int | None, weights: object = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return trusted scores (n,), NaN where unknown, and their weights (n,), 0 where unknown.

    Args:
        gold: (n,) on the level scale, fractions allowed; None: no row has any.
        n_rows: how many rows there must be.
        n_scores: levels, or None for any scale.
        weights: inverse inclusion probabilities; None for equal ones.
    """
    if gold is None:
        if weights is not None:
            raise InputError("'gold_weights' needs 'gold'. Pass both, or neither.")
        return np.broadcast_to(np.nan, n_rows), np.broadcast_to(0.0, n_rows)
    table = check_table("gold", gold, n_rows=n_rows, whole=False)
    if table.shape[1] != 1:
        raise InputError(f"'gold' must have one score per example, shape (n,). Got {table.shape}.")
    values = table[:, 0]
    known = ~np.isnan(values)
    wrong = known & (values < 0 if n_scores is None else (values < 0) | (values > n_scores - 1))
    if wrong.any():
        row = int(np.argmax(wrong))
        top = "…" if n_scores is None else f"… {n_scores - 1}"
        raise InputError(
            f"'gold' must lie on the level scale 0 {top} (NaN where unknown). "
            f"Got {values[row]:g} in row {row}."
        )
    given = np.ones(n_rows) if weights is None else check_weights("gold_weights", weights, n_rows)
    if (known & (given == 0)).any():
        row = int(np.argmax(known & (given == 0)))
        raise InputError(f"'gold_weights' row {row} is 0 or missing, but the row has gold.")
    return values, np.where(known, given, 0.0)


def check_weights(name: str, weights: object, n_rows: int) -> np.ndarray:
    """Return inverse inclusion probabilities as (n,) floats, 0 where there is none."""
    array = check_column(name, weights, n_rows, numbers=True)
    wrong = (array < 0) | (array > 1 / LEAST_WEIGHT) | ((array > 0) & (array < LEAST_WEIGHT))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"'{name}' must be finite and 0 or more. Got {array[row]:g} in row {row}. A weight is "
            "the inverse of a row's probability of being asked for; none is so large or so small."
        )
    return np.where(np.isnan(array), 0.0, array)


def check_rows(name: str, array: Any, n_rows: int | None) -> None:
    """Raise `InputError` unless an array or list has ``n_rows`` rows (any number when None)."""
    found = array.shape[0] if hasattr(array, "shape") else len(array)
    if n_rows is not None and found != n_rows:
        raise InputError(f"'{name}' must have {n_rows} rows, one per example. Got {found}.")
