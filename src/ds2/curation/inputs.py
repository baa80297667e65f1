"""What `curate` is given, checked and in the form that the candidates work with."""

from collections.abc import Sequence

import numpy as np

from ds2.checks import check_rows, check_scores, check_weights
from ds2.errors import InputError
from ds2.neighbors import Neighbors
from ds2.noise import TransitionEstimate

__all__ = ["check_gold", "check_noise", "check_spread", "check_table"]


def check_table(
    name: str, scores: object, neighbors: Neighbors, n_scores: int, *, whole: bool = True
) -> np.ndarray:
    """(n, r) floats from (n,) or (n, r), NaN where missing.

    Args:
        name: the argument's name.
        scores: as given.
        neighbors: says how many rows there must be.
        n_scores: scores lie in 0 … n_scores − 1.
        whole: whether they must be whole numbers.
    """
    try:
        array = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"'{name}' must hold numbers (NaN where missing).") from None
    if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[1] == 0):
        raise InputError(
            f"'{name}' must have shape (n,), or (n, r) for r raters. Got {array.shape}."
        )
    table = array.reshape(len(array), -1)
    check_rows(name, table, neighbors.n)
    for i, column in enumerate(table.T):
        label = name if table.shape[1] == 1 else f"{name}[:, {i}]"
        if whole:
            check_scores(label, column, n_rows=neighbors.n, n_scores=n_scores)
        elif ((column < 0) | (column > n_scores - 1) | np.isinf(column)).any():
            raise InputError(f"'{label}' must lie in 0 … {n_scores - 1} (NaN where missing).")
    return table


def check_spread(spread: object, scores: np.ndarray) -> np.ndarray:
    """(n, r) floats of the shape of ``scores``, 0 or more, NaN where unknown."""
    if spread is None:
        return np.full(scores.shape, np.nan)
    try:
        table = np.asarray(spread, dtype=np.float64).reshape(scores.shape)
    except (TypeError, ValueError):
        raise InputError("'spread' must hold numbers in the shape of 'scores'.") from None
    if ((table < 0) | np.isinf(table)).any():
        raise InputError("'spread' must be finite and 0 or more (NaN where unknown).")
    return table


def check_noise(
    noise: TransitionEstimate | Sequence[TransitionEstimate], scores: np.ndarray
) -> tuple[TransitionEstimate | None, ...]:
    """One estimate per rater, each made from that rater's scores; None where it has none."""
    r = scores.shape[1]
    each: tuple[TransitionEstimate | None, ...]
    if isinstance(noise, Sequence):
        each = tuple(noise)
    elif noise.n_raters == 1 and not noise.raters:
        each = (noise,)
    else:
        each = tuple(
            None if alone is None else noise.rater(i) for i, alone in enumerate(noise.raters)
        )
    if len(each) != r:
        raise InputError(
            f"'noise' must hold an estimate for each of the {r} raters. Got {len(each)}. "
            "Estimate it from the same table of scores (estimate_transition)."
        )
    for i, (one, column) in enumerate(zip(each, scores.T, strict=True)):
        missing = int(np.isnan(column).sum())
        if one is not None and one.n_missing != missing:
            which = "" if r == 1 else f" of rater {i + 1}"
            raise InputError(
                f"'noise'{which} was estimated from other scores: it counts {one.n_missing} "
                f"missing, these have {missing}."
            )
    return each


def check_gold(
    gold: object, weights: object, neighbors: Neighbors, n_scores: int
) -> tuple[np.ndarray, np.ndarray]:
    """(n,) gold and (n,) weights, 0 where there is no gold."""
    if gold is None:
        if weights is not None:
            raise InputError("'gold_weights' needs 'gold'. Pass both, or neither.")
        return np.full(neighbors.n, np.nan), np.zeros(neighbors.n)
    values = check_table("gold", gold, neighbors, n_scores, whole=False)
    if values.shape[1] != 1:
        raise InputError(f"'gold' must have shape (n,). Got {np.asarray(gold).shape}.")
    known = ~np.isnan(values[:, 0])
    if weights is None:
        return values[:, 0], known.astype(np.float64)
    given = check_weights("gold_weights", weights, neighbors.n)
    if (known & (given == 0)).any():
        row = int(np.argmax(known & (given == 0)))
        raise InputError(f"'gold_weights' row {row} is 0 or missing, but the row has gold.")
    return values[:, 0], np.where(known, given, 0.0)
