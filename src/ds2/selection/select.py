"""`select`: which rows to train on, in which order, and why."""

from collections.abc import Mapping

import numpy as np

from ds2.arrays import Groups, Keys, Lengths, Prior, Scores, Values, Vectors
from ds2.checks import check_choice, check_int, check_rows, check_scores
from ds2.errors import InputError
from ds2.keys import check_keys, random_order_keys
from ds2.neighbors import Neighbors, find_neighbors, identical_groups
from ds2.selection.long_tail import long_tail_scores
from ds2.selection.result import Selection
from ds2.selection.strategies import METHODS, Inputs

__all__ = ["check_size", "select"]

#: Levels that real-valued scores are cut into when no prior is given.
N_LEVELS = 6


def select(
    scores: Scores | None = None,
    tail: Values | None = None,
    *,
    size: int | float,
    method: str = "ds2",
    neighbors: Neighbors | None = None,
    vectors: Vectors | None = None,
    lengths: Lengths | None = None,
    groups: Groups | None = None,
    keys: Keys | None = None,
    prior: Prior | None = None,
    seed: int = 0,
) -> Selection:
    """Select rows of the pool, best first.

    The order is total, so the first rows of a selection are the selection of that smaller size.
    With ``keys``, permuting the pool permutes the result. At most one of a group of exact
    duplicates is selected: the one with the highest score. A row without a score is not selected
    by a method that looks at scores.

    Methods: "ds2" (highest score first, then highest long-tail score), "top-score", "random",
    "length" (longest completion first), "knn-10" (largest mean distance to the neighbours first).

    Args:
        scores: (n,) curated or raw scores, NaN where unrated. Real-valued scores are cut into
            levels first, whose shares follow ``prior``, so that diversity has a say.
        tail: (n,) long-tail scores. Default for a method that needs them: those of ``neighbors``.
        size: how many rows (a whole number from 1), or which share of the pool (a float in
            (0, 1)).
        method: see above. One that lacks an input names it.
        neighbors: the graph, for "knn-10" and, by default, for ``tail`` and ``groups``.
        vectors: (n, d) embeddings, searched for a method that needs the graph and was not given it.
        lengths: (n,) completion lengths, in any unit.
        groups: (n,) labels; equal labels are duplicates. Default: those of ``neighbors``, or rows
            with identical ``vectors``.
        keys: (n,) whole numbers that identify the content (Pool.keys). Default: the row number.
        prior: (s,) shares of the levels for real-valued scores (TransitionEstimate.prior).
            Default: six equal shares.
        seed: seeds "random" and, independently, the order among equals of the other baselines.

    Returns:
        `Selection`.

    Raises:
        InputError: an unknown method, a missing input, a size of 0 or larger than what can be
            selected, shapes that do not fit.
    """
    name = check_choice("method", method, METHODS)
    needs = METHODS[name].needs
    if vectors is not None and neighbors is None and _wants_graph(needs, tail):
        neighbors = find_neighbors(vectors, groups=groups, seed=seed)
    if "tail" in needs and tail is None and neighbors is not None:
        tail = long_tail_scores(neighbors)
    given: dict[str, np.ndarray | Neighbors | None] = {
        "vectors": vectors,
        "scores": scores,
        "tail": tail,
        "lengths": lengths,
        "neighbors": neighbors,
    }
    lacking = [need for need in needs if given[need] is None]
    if lacking:
        wanted = " and ".join(f"'{need}'" for need in lacking)
        raise InputError(f"method '{name}' needs {wanted}. Pass {wanted} to select().")
    n = _common_length(given, groups, keys)
    count = check_size(size, n)
    seed = check_int("seed", seed, low=0)
    order_keys = check_keys(keys, n)
    shuffle = random_order_keys(order_keys, seed, stream=list(METHODS).index(name))
    values = None if scores is None else check_scores("scores", scores, n_rows=n)
    labels = _groups(groups, neighbors, vectors)
    rows, dropped = _eligible(values if "scores" in needs else None, labels, n, order_keys)
    if count > len(rows):
        raise InputError(
            f"'size' asks for {count} rows, and {len(rows)} of {n} can be selected "
            f"({_words(dropped)}). Ask for at most {len(rows)}."
        )
    inputs = Inputs(
        rows=rows,
        scores=None if values is None else values[rows],
        tail=None if tail is None else _finite("tail", tail)[rows],
        lengths=None if lengths is None else _finite("lengths", lengths)[rows],
        distance=None if neighbors is None else neighbors.distances[rows].mean(axis=1),
        shuffle=shuffle[rows],
        tie=order_keys[rows],
        prior=_levels_prior(prior),
    )
    order, reason = METHODS[name].order(inputs)
    chosen = order[:count]
    return Selection(
        rows=rows[chosen].astype(np.int64),
        reasons=tuple(reason(int(i)) for i in chosen),
        method=name,
        dropped=dropped,
    )


def _groups(
    groups: np.ndarray | None, neighbors: Neighbors | None, vectors: np.ndarray | None
) -> np.ndarray | None:
    """The duplicates: those given, those of the graph, or rows with identical vectors."""
    if groups is not None:
        return np.asarray(groups)
    if neighbors is not None:
        return neighbors.groups
    return None if vectors is None else identical_groups(np.asarray(vectors))


def _wants_graph(needs: tuple[str, ...], tail: np.ndarray | None) -> bool:
    return "neighbors" in needs or ("tail" in needs and tail is None)


def check_size(size: object, n: int) -> int:
    """The number of rows that ``size`` means in a pool of ``n``: rows, or a share in (0, 1)."""
    if isinstance(size, bool) or not isinstance(size, (int, float, np.integer, np.floating)):
        raise InputError(f"'size' must be a number of rows or a share in (0, 1). Got {size!r}.")
    if 0 < size < 1:
        return max(1, round(float(size) * n))
    if size < 1 or not isinstance(size, (int, np.integer)):
        raise InputError(
            f"'size' must be a whole number of rows from 1, or a share in (0, 1). Got {size}."
        )
    if size > n:
        raise InputError(f"'size' asks for {int(size)} rows, and the pool has {n}.")
    return int(size)


def _common_length(
    given: Mapping[str, np.ndarray | Neighbors | None],
    groups: np.ndarray | None,
    keys: np.ndarray | None,
) -> int:
    sizes = {
        name: value.n if isinstance(value, Neighbors) else _n_rows(name, value)
        for name, value in {**given, "groups": groups, "keys": keys}.items()
        if value is not None
    }
    if not sizes:
        raise InputError("select() was given no rows: pass 'scores', 'keys' or 'neighbors'.")
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"'{name}' has {size}" for name, size in sizes.items())
        raise InputError(f"All inputs must have one row per example. Got: {listed}.")
    return next(iter(sizes.values()))


def _eligible(
    scores: np.ndarray | None, groups: np.ndarray | None, n: int, keys: np.ndarray
) -> tuple[np.ndarray, dict[str, int]]:
    """Rows that may be selected, and how many may not, by reason."""
    rated = np.ones(n, dtype=bool) if scores is None else ~np.isnan(scores)
    rows = np.flatnonzero(rated)
    dropped = {"unrated": n - len(rows)}
    if groups is not None:
        check_rows("groups", groups, n)
        value = np.zeros(len(rows)) if scores is None else -scores[rows]
        best_first = rows[np.lexsort((keys[rows], value))]
        _, first = np.unique(groups[best_first], return_index=True)
        kept = np.sort(best_first[first])
        dropped["duplicate"] = len(rows) - len(kept)
        rows = kept
    return rows, {reason: count for reason, count in dropped.items() if count}


def _words(dropped: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in dropped.items()) or "none dropped"


def _n_rows(name: str, value: object) -> int:
    shape = np.asarray(value).shape
    if not shape:
        raise InputError(
            f"'{name}' must be an array with one row per example. Got {type(value).__name__}."
        )
    return int(shape[0])


def _finite(name: str, values: np.ndarray) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise InputError(
            f"'{name}' must have one value per example, shape (n,). Got {array.shape}."
        )
    if not np.isfinite(array).all():
        row = int(np.argmin(np.isfinite(array)))
        raise InputError(f"'{name}' row {row} is {array[row]}. It must be a finite number.")
    return array


def _levels_prior(prior: np.ndarray | None) -> np.ndarray:
    if prior is None:
        return np.full(N_LEVELS, 1 / N_LEVELS)
    array = np.asarray(prior, dtype=np.float64)
    if array.ndim != 1 or (array < 0).any() or not np.isclose(array.sum(), 1):
        raise InputError("'prior' must be shares of the levels, 0 or more, that sum to 1.")
    return array
