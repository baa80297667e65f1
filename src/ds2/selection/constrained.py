"""Methods under constraints: how far they order, until everything that is asked for is met."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from ds2.errors import InputError
from ds2.selection.constraint_choose import Chosen, choose
from ds2.selection.constraint_conflict import find_conflict
from ds2.selection.constraints import Constraints, check_constraints
from ds2.selection.inputs import Inputs, Method, Order

__all__ = ["take_constrained"]

#: How many times the rows wanted a greedy method orders, one after the other, until all that is
#: chosen stands in its order.
LENGTHS = (2, 8, 32)
COMPLETES = "completes the selection under the constraints"
_NOTHING: Order = (np.empty(0, dtype=np.int64), str)


def take_constrained(
    name: str,
    method: Method,
    inputs: Inputs,
    constraints: Constraints,
    *,
    size: int | None,
    n: int,
) -> tuple[np.ndarray, tuple[str, ...], dict[str, np.ndarray]]:
    """Order the eligible rows by the method and choose from them what the constraints allow.

    A method that sorts orders all of them. A greedy one, where a longer order costs more, orders
    what is wanted; under quotas or a budget twice that, and more where it is not enough; then rows
    that it did not come to complete the selection, unless its own rule ends the order.

    Returns:
        Row numbers in pick order, a reason for each, and the rows that were passed over by reason.

    Raises:
        InputError: the method's own rule leaves too few rows.
    """
    lengths = _lengths(method, inputs, constraints, size)
    for length in lengths:
        order, reason = method.order(replace(inputs, count=length)) if length else _NOTHING
        rest = None if method.ends else _rest(inputs, order)
        last = length == lengths[-1] or len(order) < length
        try:
            chosen = choose(inputs.rows[order], size, constraints, n=n, eligible=rest)
        except InputError:
            if last:
                raise _too_few(name, inputs, order, constraints, size=size, n=n) from None
            continue
        places = dict(zip(inputs.rows[order].tolist(), order.tolist(), strict=True))
        if last or all(row in places or row in chosen.notes for row in chosen.rows.tolist()):
            break
    return chosen.rows, _reasons(chosen, places, reason), dict(chosen.dropped)


def _lengths(
    method: Method, inputs: Inputs, constraints: Constraints, size: int | None
) -> list[int]:
    """How many rows the method is asked to order, one attempt after the other."""
    all_rows = len(inputs.rows)
    if not method.greedy or not all_rows:
        return [all_rows]
    if constraints.max_tokens is not None and constraints.tokens is not None:
        # rows of the usual cost, twice; what is left of the budget is filled with the rest
        usual = max(1.0, float(np.mean(np.asarray(constraints.tokens)[inputs.rows])))
        wanted = [2 * math.ceil(min(size or all_rows, constraints.max_tokens / usual))]
    elif constraints.quotas:
        wanted = [times * (size or 0) for times in LENGTHS]
    else:
        must = constraints.must_have
        return [min(max((size or 0) - (0 if must is None else len(must)), 0), all_rows)]
    if method.ends:
        wanted.append(all_rows)
    return sorted({min(length, all_rows) for length in wanted})


def _rest(inputs: Inputs, order: np.ndarray) -> np.ndarray:
    """The rows that are not in the order, best score first, equal ones at random."""
    rest = np.delete(np.arange(len(inputs.rows)), order)
    if inputs.scores is not None:
        rest = rest[np.argsort(-inputs.scores[rest], kind="stable")]
    return np.asarray(inputs.rows[rest])


def _too_few(
    name: str,
    inputs: Inputs,
    order: np.ndarray,
    constraints: Constraints,
    *,
    size: int | None,
    n: int,
) -> InputError:
    """Say what cannot be met with the rows that the method came to, and that its rule is why."""
    checked = check_constraints(constraints, n)
    must = np.empty(0, np.int64) if checked.must_have is None else checked.must_have
    rows = np.union1d(inputs.rows[order], must)
    conflict = find_conflict(n, size, checked, rows, lambda _: rows)
    assert conflict is not None, "it could be chosen"
    return InputError(
        f"Method '{name}' stops after {len(order)} of {len(inputs.rows)} rows: the others are "
        f"closer than 'threshold' to a chosen one. {conflict.sentence} Or lower 'threshold'."
    )


def _reasons(
    chosen: Chosen, places: Mapping[int, int], reason: Callable[[int], str]
) -> tuple[str, ...]:
    """The method's reason for each row, and after it why it was taken out of turn."""
    sentences = []
    for row in chosen.rows.tolist():
        parts = [reason(places[row])] if row in places else []
        parts += [chosen.notes[row]] if row in chosen.notes else []
        sentences.append("; ".join(parts) or COMPLETES)
    return tuple(sentences)
