"""What a selection must meet: a budget, quotas, rows that must or must not be in it.

`eligible_rows` says which rows can be chosen at all and `choose` takes them, best first, as far as
every constraint can still be met.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

import numpy as np

from ds2.checks import check_choice, check_fraction, check_int, check_rows
from ds2.errors import InputError

__all__ = ["Constraints", "Quota", "check_constraints", "cost_of", "quotas_for", "shown_label"]


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


def quotas_for(
    labels: np.ndarray,
    limits: Mapping[object, tuple[int | float | None, int | float | None]],
    *,
    of: str = "rows",
    name: str = "label",
) -> tuple[Quota, ...]:
    """One quota for each label of ``limits``: its minimum and maximum, None for neither."""
    return tuple(Quota(labels, label, *ends, of=of, name=name) for label, ends in limits.items())


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
    if constraints.min_score is not None and not np.isfinite(constraints.min_score):
        raise InputError(f"'min_score' must be a finite number. Got {constraints.min_score}.")
    for quota in constraints.quotas:
        _check_quota(quota, n, constraints.max_tokens is not None)
    return Constraints(
        max_tokens=constraints.max_tokens,
        tokens=tokens,
        quotas=constraints.quotas,
        near_duplicate=constraints.near_duplicate,
        must_have=_row_list("must_have", constraints.must_have, n),
        must_not=_row_list("must_not", constraints.must_not, n),
        min_score=constraints.min_score,
        blocked={
            reason: _row_list(f"blocked[{reason!r}]", rows, n)
            for reason, rows in constraints.blocked.items()
        },
    )


def cost_of(constraints: Constraints, rows: np.ndarray) -> int:
    """What some rows cost together, in the unit of ``tokens``; 0 where nothing costs."""
    return 0 if constraints.tokens is None else int(constraints.tokens[rows].sum())


def shown_label(label: object) -> str:
    """A label as a message may show it: short, with nothing in it that can act."""
    text = label if isinstance(label, str) else str(label)
    return repr(text) if len(text) <= 40 else f"{text[:40]!r}…"


def _check_quota(quota: Quota, n: int, budget: bool) -> None:
    check_choice("of", quota.of, ("rows", "share"))
    labels = np.asarray(quota.labels)
    check_rows("labels", labels, n)
    what = f"{quota.name} {shown_label(quota.label)}"
    if quota.minimum is None and quota.maximum is None:
        raise InputError(f"The quota for {what} has no minimum and no maximum. Give one.")
    for end, value in (("minimum", quota.minimum), ("maximum", quota.maximum)):
        if value is not None and quota.of == "rows":
            check_int(f"{end} of {what}", value, low=0)
        elif value is not None:
            check_fraction(f"{end} of {what}", value)
    low, high = quota.minimum, quota.maximum
    if low is not None and high is not None and low > high:
        raise InputError(f"The quota for {what} has a minimum of {low} above its maximum {high}.")
    if budget and quota.of == "share" and quota.minimum:
        raise InputError(
            f"The quota for {what} asks for a minimum share under a budget in tokens, where the "
            "number of rows is not known before. Give the minimum in rows."
        )
    if not (labels.astype(object) == quota.label).any():
        there = sorted({str(label) for label in labels.tolist() if label is not None})
        near = get_close_matches(str(quota.label), there, n=1, cutoff=0.5)
        hint = f" Did you mean {shown_label(near[0])}?" if near else ""
        raise InputError(f"No row of the pool has the {what} of a quota.{hint}")


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
    array = np.asarray([] if rows is None else rows)
    if array.size == 0:
        return np.empty(0, np.int64)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"'{name}' must be row numbers. Got {array.dtype} of {array.shape}.")
    outside = (array < 0) | (array >= n)
    if outside.any():
        raise InputError(
            f"'{name}' must be row numbers in [0, {n - 1}]. Got {array[outside.argmax()]}."
        )
    return np.asarray(list(dict.fromkeys(array.tolist())), dtype=np.int64)
