"""What a selection must meet, and which rows can be chosen at all.

`eligible_rows` cuts a pool down; `ds2.selection.meet` takes rows, best first, as far as every
constraint can still be met.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

import numpy as np

from ds2.checks import (
    check_choice,
    check_column,
    check_finite,
    check_fraction,
    check_index,
    check_int,
    check_rows,
)
from ds2.errors import InputError
from ds2.neighbors import Neighbors, row_blocks
from ds2.selection.near import find_near_duplicates

__all__ = [
    "Constraints",
    "Quota",
    "asked_words",
    "check_constraints",
    "constraint_words",
    "eligible_rows",
    "given_rows",
]

#: Constraints that a sentence lists.
LISTED = 6


@dataclass(frozen=True, slots=True)
class Quota:
    """At least, at most so many of the chosen rows carry a label.

    Attributes:
        labels: (n,) the label of every row of the pool (its source, its language, …), of any
            kind; None for a row without one.
        label: the label that is counted.
        minimum: the fewest chosen rows with it, or None.
        maximum: the most, or None.
        of: "rows", or "share" of the selection: fractions in [0, 1]. Under a budget in tokens a
            maximum share is a share of the budget, counted in tokens, and a minimum share is
            refused: the number of rows is not known before.
        name: what the labels are, for messages.
    """

    labels: np.ndarray
    label: object
    minimum: int | float | None = None
    maximum: int | float | None = None
    of: str = "rows"
    name: str = "label"

    @property
    def words(self) -> str:
        """The label as a message may show it: short, with nothing in it that can act."""
        text = self.label if isinstance(self.label, str) else str(self.label)
        return f"{self.name} {text!r}" if len(text) <= 40 else f"{self.name} {text[:40]!r}…"

    def counts(self) -> np.ndarray:
        """(n,) Whether a row has the label."""
        labels = np.asarray(self.labels)
        found = np.empty(len(labels), dtype=bool)
        for block in row_blocks(len(labels)):
            found[block] = labels[block].astype(object) == self.label
        return found


@dataclass(frozen=True, slots=True)
class Constraints:
    """What the chosen rows must meet, all of it together.

    Attributes:
        max_tokens: the budget: the chosen rows cost at most so much. The size is then the most
            rows, not the exact number.
        tokens: (n,) what each row costs, whole numbers from 0, in any unit.
        quotas: how many rows a label may or must have. The label sets may overlap (sources and
            languages).
        near_duplicate: of rows whose cosine similarity (1 − distance) is this or more, only the
            best-scored can be chosen.
        must_have: rows that are chosen whatever their score, even without one.
        must_not: rows that are not chosen.
        min_score: rows with a lower score, or without one, are not chosen: of ``scores``, whatever
            the method goes by, and of its own scores only where those are not given.
        blocked: rows that are not chosen, by the reason (decontamination and the like).
    """

    max_tokens: int | None = None
    tokens: np.ndarray | None = None
    quotas: tuple[Quota, ...] = ()
    near_duplicate: float | None = None
    must_have: np.ndarray | None = None
    must_not: np.ndarray | None = None
    min_score: float | None = None
    blocked: Mapping[str, np.ndarray] = field(default_factory=dict)


def check_constraints(constraints: Constraints, n: int) -> Constraints:
    """Return constraints whose every part fits a pool of ``n`` rows, or raise `InputError`.

    Row lists come back as int64 without repeats, in the order given.
    """
    tokens = None
    if constraints.max_tokens is not None:
        check_int("max_tokens", constraints.max_tokens, low=1)
        if constraints.tokens is None:
            raise InputError("'max_tokens' needs 'tokens', what each row costs. Pass both.")
    if constraints.tokens is not None:
        tokens = _costs(constraints.tokens, n)
    if constraints.near_duplicate is not None:
        check_fraction("near_duplicate", constraints.near_duplicate, open_low=True)
    if constraints.min_score is not None:
        check_finite("min_score", constraints.min_score)
    for quota in constraints.quotas:
        _check_quota(quota, n, constraints.max_tokens is not None)
    return replace(
        constraints,
        tokens=tokens,
        must_have=_row_list("must_have", constraints.must_have, n),
        must_not=_row_list("must_not", constraints.must_not, n),
        blocked={
            reason: _row_list(f"blocked[{reason!r}]", rows, n)
            for reason, rows in constraints.blocked.items()
        },
    )


def _check_quota(quota: Quota, n: int, budget: bool) -> None:
    check_choice("of", quota.of, ("rows", "share"))
    labels = check_column(f"labels of {quota.words}", quota.labels, n)
    low, high = quota.minimum, quota.maximum
    if low is None and high is None:
        raise InputError(f"The quota for {quota.words} has no minimum and no maximum. Give one.")
    for end, value in (("minimum", low), ("maximum", high)):
        if value is not None and quota.of == "rows":
            check_int(f"{end} of {quota.words}", value, low=0)
        elif value is not None:
            check_fraction(f"{end} of {quota.words}", value)
    if low is not None and high is not None and low > high:
        raise InputError(
            f"The quota for {quota.words} has a minimum of {low} above its maximum {high}."
        )
    if budget and quota.of == "share" and low:
        raise InputError(
            f"The quota for {quota.words} asks for a minimum share under a budget in tokens, where "
            "the number of rows is not known before. Give the minimum in rows."
        )
    if not quota.counts().any():
        there = sorted({str(label) for label in labels.tolist() if label is not None})
        near = get_close_matches(str(quota.label), there, n=1, cutoff=0.5)
        hint = f" Did you mean {replace(quota, label=near[0]).words}?" if near else ""
        raise InputError(f"No row of the pool has the {quota.words} of a quota.{hint}")


def _costs(tokens: object, n: int) -> np.ndarray:
    array = np.asarray(tokens)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise InputError(
            f"'tokens' must be whole numbers of shape ({n},). Got {array.dtype} of {array.shape}."
        )
    check_rows("tokens", array, n)
    if n and array.min() < 0:
        raise InputError(f"'tokens' row {int(array.argmin())} is {array.min()}, below 0.")
    return array.astype(np.int64)


def _row_list(name: str, rows: object, n: int) -> np.ndarray:
    """Row numbers without repeats, in the order given; empty for None."""
    array = check_index(name, [] if rows is None else rows, n)
    return array[np.sort(np.unique(array, return_index=True)[1])]


def eligible_rows(
    constraints: Constraints,
    keys: np.ndarray,
    *,
    excluded: Mapping[str, np.ndarray],
    scores: np.ndarray | None,
    groups: np.ndarray | None,
    lowest: np.ndarray | None = None,
    vectors: np.ndarray | None = None,
    neighbors: Neighbors | None = None,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Cut a pool down to the rows that can be chosen.

    A row that is ruled out by name or reason rules out its exact duplicates: they hold the same
    text. Of exact duplicates, then of near-duplicates, the best stays: one that must be chosen,
    then the highest score, then the smallest key. Near-duplicates are looked for among the rows
    that pass everything else, not only among those that the method would pick.

    Args:
        constraints: what must be met, checked.
        keys: (n,) content keys.
        excluded: (n,) masks of rows that the method never selects, by the reason, "unrated" first;
            rows that must be chosen are exempt.
        scores: (n,) what the best of duplicates is chosen by, NaN where unrated.
        lowest: (n,) what ``min_score`` is held against.
        groups: (n,) labels; rows with equal labels are exact duplicates.
        vectors: (n, d) embeddings, for near-duplicates.
        neighbors: the graph, which makes near-duplicates fast.

    Returns:
        The row numbers that are left, ascending, those that must be chosen among them; and the
        other rows by the reason: "unrated", "must not be chosen", those of `Constraints.blocked`
        and of ``excluded``, "below the minimum score", "duplicate", "near-duplicate". Each row has
        one reason, the first of these.
    """
    n, must = len(keys), given_rows(constraints.must_have)
    free = ~_marks(n, must)
    alive = np.ones(n, dtype=bool)
    dropped: dict[str, np.ndarray] = {}

    def drop(reason: str, out: np.ndarray) -> None:
        rows = np.flatnonzero(alive & out)
        alive[rows] = False
        if len(rows):
            dropped[reason] = np.union1d(dropped.get(reason, rows), rows)

    def copies_of(rows: np.ndarray) -> np.ndarray:
        return _marks(n, rows) if groups is None else np.isin(groups, groups[rows])

    others = dict(excluded)
    drop("unrated", others.pop("unrated", ~alive) & free)
    drop("must not be chosen", copies_of(given_rows(constraints.must_not)))
    for reason, rows in constraints.blocked.items():
        drop(reason, copies_of(rows))
    for reason, mask in others.items():
        drop(reason, mask & free)
    if constraints.min_score is not None:
        if lowest is None:
            raise InputError("'min_score' needs 'scores'. Pass them.")
        drop("below the minimum score", ~(lowest >= constraints.min_score) & free)
    if groups is None and constraints.near_duplicate is None:
        return np.flatnonzero(alive), dropped
    best = np.zeros(n) if scores is None else np.nan_to_num(scores, nan=-np.inf)
    order = np.lexsort((keys, -best, free))
    order = np.concatenate([must, order[len(must) :]])
    order = order[alive[order]]
    if groups is not None:
        first = np.zeros(n, dtype=bool)
        first[order[np.unique(groups[order], return_index=True)[1]]] = True
        drop("duplicate", ~first & free)
    if constraints.near_duplicate is not None:
        near = find_near_duplicates(
            order[alive[order]],
            similarity=constraints.near_duplicate,
            vectors=vectors,
            neighbors=neighbors,
            keep=must[alive[must]],
        )
        drop("near-duplicate", _marks(n, near.rows))
    return np.flatnonzero(alive), dropped


def _marks(n: int, rows: np.ndarray) -> np.ndarray:
    """(n,) True at some rows."""
    found = np.zeros(n, dtype=bool)
    found[rows] = True
    return found


def given_rows(rows: np.ndarray | None) -> np.ndarray:
    """Some row numbers, none where None is given."""
    return np.empty(0, np.int64) if rows is None else rows


def constraint_words(constraints: Constraints, size: int | None, rows: np.ndarray) -> str:
    """What is asked for, in words: the minimums that too few of some rows are there for, or all."""
    short = []
    for quota in constraints.quotas:
        there = int(quota.counts()[rows].sum())
        least = (quota.minimum or 0) * (1 if quota.of == "rows" else size or 0)
        if there < least:
            short.append(f"{_ends(quota)[0]} (of which {there:,} can be chosen)")
    words = short or list(asked_words(constraints, size))
    more = len(words) - LISTED
    if more > 0:
        words = [*words[:LISTED], f"{more} more"]
    if len(words) == 1:
        return f"The constraint {words[0]} cannot be met."
    return f"The constraints {', '.join(words[:-1])} and {words[-1]} cannot be met together."


def asked_words(constraints: Constraints, size: int | None) -> Iterator[str]:
    """Each constraint in words, and the size."""
    for quota in constraints.quotas:
        yield from _ends(quota)
    for name in ("must_have", "must_not"):
        rows = given_rows(getattr(constraints, name))
        if len(rows):
            yield f"{name} ({_rows(len(rows))})"
    for reason, rows in constraints.blocked.items():
        yield f"{_rows(len(rows))} blocked as {reason!r}"
    for name in ("near_duplicate", "min_score", "max_tokens"):
        if getattr(constraints, name) is not None:
            yield f"{name} = {getattr(constraints, name):,}"
    if size is not None:
        yield f"size = {size:,}"


def _ends(quota: Quota) -> list[str]:
    ends = (("at least", quota.minimum or None), ("at most", quota.maximum))
    return [
        f"{word} {_rows(end) if quota.of == 'rows' else f'a share of {end:g}'} of {quota.words}"
        for word, end in ends
        if end is not None
    ]


def _rows(count: float) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"
