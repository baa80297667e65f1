"""`eligible_rows`: which rows can be selected at all, and whether what is asked for can be met."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ds2.arrays import Groups, Keys, Rows, Scores, Vectors
from ds2.checks import check_rows, check_scores
from ds2.errors import InputError
from ds2.keys import check_keys
from ds2.neighbors import Neighbors, identical_groups
from ds2.selection.constraint_conflict import find_conflict
from ds2.selection.constraints import Constraints, check_constraints
from ds2.selection.near_duplicates import find_near_duplicates

__all__ = ["Eligible", "check_size", "duplicate_groups", "eligible_rows", "standing_places"]


@dataclass(frozen=True, slots=True)
class Eligible:
    """Which rows can be chosen.

    Attributes:
        rows: (e,) row numbers, ascending, without those that must be chosen.
        dropped: the other rows, ascending, by the reason: "unrated", "must not be chosen", those of
            `Constraints.blocked` and of ``excluded``, "below the minimum score", "duplicate",
            "near-duplicate". Each row has one reason, the first of these.
    """

    rows: Rows
    dropped: Mapping[str, np.ndarray]


def eligible_rows(
    n: int,
    size: int | None,
    constraints: Constraints,
    *,
    excluded: Mapping[str, np.ndarray] | None = None,
    scores: Scores | None = None,
    lowest: Scores | None = None,
    allow_unrated: bool = False,
    groups: Groups | None = None,
    vectors: Vectors | None = None,
    neighbors: Neighbors | None = None,
    keys: Keys | None = None,
) -> Eligible:
    """Cut a pool down to the rows that can be chosen, and check that enough is left.

    A row that is ruled out by name or reason rules out its exact duplicates: they hold the same
    text. Of exact duplicates, then of near-duplicates, the best stays: one that must be chosen,
    then the highest score, then the smallest key. Near-duplicates are looked for among the rows
    that pass everything else, not only among those that the method would pick.

    Args:
        n: rows of the pool.
        size: rows to choose (the most, under a budget in tokens; None for no limit).
        constraints: what must be met.
        excluded: (n,) masks of rows that the method never selects, by the reason; rows that must be
            chosen are exempt.
        scores: (n,) what the best of duplicates is chosen by, NaN where unrated.
        lowest: (n,) what ``min_score`` is held against. Default: ``scores``.
        allow_unrated: keep rows without a score (for methods that do not look at scores).
        groups: (n,) labels; rows with equal labels are exact duplicates.
        vectors: (n, d) embeddings, for near-duplicates.
        neighbors: the graph, which makes near-duplicates fast.
        keys: (n,) content keys. Default: the row number.

    Returns:
        `Eligible`.

    Raises:
        InputError: the constraints cannot be met together: it names the smallest set of them that
            clash, and the largest size that is possible.
    """
    constraints = check_constraints(constraints, n)
    if groups is not None:
        check_rows("groups", np.asarray(groups), n)
    given = None if scores is None else check_scores("scores", scores, n_rows=n)
    floor = given if lowest is None else check_scores("scores", lowest, n_rows=n)
    if constraints.min_score is not None and floor is None:
        raise InputError("'min_score' needs 'scores'. Pass them.")
    out = dict(excluded or {})
    if given is not None and not allow_unrated:
        out = {"unrated": np.isnan(given), **out}
    pool = _Pool(n, check_keys(keys, n), out, given, floor, groups, vectors, neighbors)
    rows, dropped = pool.cut(constraints)
    conflict = find_conflict(n, size, constraints, rows, lambda other: pool.cut(other)[0])
    if conflict is not None:
        raise InputError(conflict.sentence + _out(n, dropped))
    must = constraints.must_have
    return Eligible(rows[~np.isin(rows, [] if must is None else must)], dropped)


@dataclass(frozen=True, slots=True)
class _Pool:
    """What is known of the rows, to cut them down under one set of constraints or another."""

    n: int
    keys: np.ndarray
    excluded: Mapping[str, np.ndarray]
    scores: np.ndarray | None
    lowest: np.ndarray | None
    groups: np.ndarray | None
    vectors: np.ndarray | None
    neighbors: Neighbors | None

    def cut(self, constraints: Constraints) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Rows that are left, those that must be chosen among them, and the others by reason."""
        must = np.empty(0, np.int64) if constraints.must_have is None else constraints.must_have
        alive = np.ones(self.n, dtype=bool)
        dropped: dict[str, np.ndarray] = {}

        def drop(reason: str, out: np.ndarray) -> None:
            rows = np.flatnonzero(alive & out)
            alive[rows] = False
            if len(rows):
                dropped[reason] = np.union1d(dropped.get(reason, rows), rows)

        free = np.ones(self.n, dtype=bool)
        free[must] = False
        excluded = dict(self.excluded)
        if "unrated" in excluded:
            drop("unrated", excluded.pop("unrated") & free)
        if constraints.must_not is not None:
            drop("must not be chosen", self._with_copies(constraints.must_not))
        for reason, rows in constraints.blocked.items():
            drop(reason, self._with_copies(rows))
        for reason, mask in excluded.items():
            drop(reason, mask & free)
        if constraints.min_score is not None and self.lowest is not None:
            drop("below the minimum score", ~(self.lowest >= constraints.min_score) & free)
        order = self._best_first(np.flatnonzero(alive), must[alive[must]])
        if self.groups is not None:
            copies = self._copies(order) & free
            drop("duplicate", copies)
            order = order[~copies[order]]
        if constraints.near_duplicate is not None:
            found = find_near_duplicates(
                order,
                similarity=constraints.near_duplicate,
                vectors=self.vectors,
                neighbors=self.neighbors,
                keep=must[alive[must]],
            )
            drop("near-duplicate", np.isin(np.arange(self.n), found.rows))
        return np.flatnonzero(alive), dropped

    def _with_copies(self, rows: np.ndarray) -> np.ndarray:
        """(n,) True for some rows and their exact duplicates."""
        if self.groups is None:
            return np.isin(np.arange(self.n), rows)
        return np.isin(self.groups, self.groups[rows])

    def _best_first(self, rows: np.ndarray, must: np.ndarray) -> np.ndarray:
        scores = (
            np.zeros(self.n) if self.scores is None else np.nan_to_num(self.scores, nan=-np.inf)
        )
        rest = rows[~np.isin(rows, must)]
        return np.concatenate([must, rest[np.lexsort((self.keys[rest], -scores[rest]))]])

    def _copies(self, order: np.ndarray) -> np.ndarray:
        """(n,) True for a row with the same text as a better one."""
        assert self.groups is not None
        _, first = np.unique(self.groups[order], return_index=True)
        copies = np.zeros(self.n, dtype=bool)
        copies[order] = True
        copies[order[first]] = False
        return copies


def _out(n: int, dropped: Mapping[str, np.ndarray]) -> str:
    """Say how many rows are out, by reason."""
    if not dropped:
        return ""
    listed = ", ".join(f"{len(rows):,} {reason}" for reason, rows in dropped.items())
    return f" Of {n:,} rows these are out: {listed}."


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
