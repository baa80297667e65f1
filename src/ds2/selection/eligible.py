"""Which rows may be selected, and what happened to the others."""

from collections.abc import Mapping

import numpy as np

from ds2.checks import check_rows
from ds2.errors import InputError
from ds2.neighbors import Neighbors, identical_groups

__all__ = [
    "check_enough",
    "check_size",
    "duplicate_groups",
    "eligible_rows",
    "standing_places",
]


def eligible_rows(
    excluded: Mapping[str, np.ndarray],
    best: np.ndarray | None,
    groups: np.ndarray | None,
    keys: np.ndarray,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Leave out what is excluded, then all but the best row of each group of duplicates.

    Args:
        excluded: (n,) masks by reason; a row goes under the first reason that holds.
        best: (n,) the higher the better, finite where not excluded; None for no preference.
        groups: (n,) labels; equal labels are duplicates.
        keys: (n,) content keys, which settle what is equally good.

    Returns:
        Row numbers, ascending, and the rows left out by reason, ascending.
    """
    kept = np.ones(len(keys), dtype=bool)
    left_out = {}
    for reason, mask in excluded.items():
        left_out[reason] = np.flatnonzero(kept & mask)
        kept &= ~mask
    rows = np.flatnonzero(kept)
    if groups is not None:
        check_rows("groups", groups, len(keys))
        value = np.zeros(len(rows)) if best is None else -best[rows]
        best_first = rows[np.lexsort((keys[rows], value))]
        _, first = np.unique(groups[best_first], return_index=True)
        single = np.sort(best_first[first])
        left_out["duplicate"] = np.setdiff1d(rows, single, assume_unique=True)
        rows = single
    return rows, {reason: dropped for reason, dropped in left_out.items() if len(dropped)}


def duplicate_groups(
    groups: np.ndarray | None, neighbors: Neighbors | None, vectors: np.ndarray | None
) -> np.ndarray | None:
    """The duplicates: those given, those of the graph, or rows with identical vectors."""
    if groups is not None:
        return np.asarray(groups)
    if neighbors is not None:
        return neighbors.groups
    return None if vectors is None else identical_groups(np.asarray(vectors))


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


def check_enough(count: int, n_eligible: int, n: int, dropped: Mapping[str, np.ndarray]) -> None:
    """Raise `InputError` when fewer rows can be selected than are asked for."""
    if count > n_eligible:
        why = ", ".join(f"{len(rows)} {reason}" for reason, rows in dropped.items())
        raise InputError(
            f"'size' asks for {count} rows, and {n_eligible} of {n} can be selected "
            f"({why or 'none dropped'}). Ask for at most {n_eligible}."
        )


def standing_places(rows: np.ndarray, groups: np.ndarray | None, n: int) -> np.ndarray:
    """(n,) The place in ``rows`` of the eligible row that each row of the pool is or duplicates.

    −1 where there is none.
    """
    places = np.full(n, -1, dtype=np.int64)
    places[rows] = np.arange(len(rows))
    if groups is None:
        return places
    labels, group = np.unique(groups, return_inverse=True)
    of_group = np.full(len(labels), -1, dtype=np.int64)
    of_group[group.reshape(-1)[rows]] = np.arange(len(rows))
    return of_group[group.reshape(-1)]
