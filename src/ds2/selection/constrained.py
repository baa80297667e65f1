"""Methods under constraints: what they may order, and how far, until the constraints are met."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from ds2.errors import InputError
from ds2.neighbors import Neighbors
from ds2.selection.constraint_choose import Chosen, choose
from ds2.selection.constraint_eligible import eligible_rows
from ds2.selection.constraints import Constraints
from ds2.selection.inputs import Inputs, Method, Order

__all__ = ["constrained_rows", "take_constrained"]

#: How many times the rows wanted a greedy method orders, one after the other, until all that is
#: chosen stands in its order.
LENGTHS = (2, 8, 32)
COMPLETES = "completes the selection under the constraints"


def constrained_rows(
    constraints: Constraints,
    excluded: Mapping[str, np.ndarray],
    *,
    size: int | None,
    scores: np.ndarray | None,
    allow_unrated: bool,
    groups: np.ndarray | None,
    vectors: np.ndarray | None,
    neighbors: Neighbors | None,
    keys: np.ndarray,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Rows that may be chosen besides those that must be, and the others by reason.

    Args:
        constraints: what must be met.
        excluded: (n,) masks of the rows that the method never selects, by reason; rows that must
            be chosen are exempt.
        size: how many rows; None under a budget in tokens.
        scores: (n,) for the lowest score and the best of duplicates.
        allow_unrated: whether the method looks at something else.
        groups: (n,) labels of duplicates.
        vectors: (n, d) embeddings, for near-duplicates.
        neighbors: the graph, which makes that faster.
        keys: (n,) content keys.
    """
    free = np.ones(len(keys), dtype=bool)
    if constraints.must_have is not None:
        free[np.asarray(constraints.must_have)] = False
    blocked = {**constraints.blocked}
    for reason, mask in excluded.items():
        if reason != "unrated" and (mask & free).any():
            blocked[reason] = np.flatnonzero(mask & free)
    found = eligible_rows(
        len(keys),
        size,
        replace(constraints, blocked=blocked),
        scores=scores,
        allow_unrated=allow_unrated,
        groups=groups,
        vectors=vectors,
        neighbors=neighbors,
        keys=keys,
    )
    return found.rows, dict(found.dropped)


def take_constrained(
    method: Method, inputs: Inputs, constraints: Constraints, *, size: int | None, n: int
) -> tuple[np.ndarray, tuple[str, ...], dict[str, np.ndarray]]:
    """Order the eligible rows by the method and choose from them what the constraints allow.

    A method that sorts orders all of them. A greedy one, where a longer order costs more, orders
    twice the rows wanted, and more where that is not enough; then rows that it did not come to
    complete the selection, unless its own rule ends the order.

    Returns:
        Row numbers in pick order, a reason for each, and the rows that were passed over by reason.
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
                raise
            continue
        places = dict(zip(inputs.rows[order].tolist(), order.tolist(), strict=True))
        if last or all(row in places or row in chosen.notes for row in chosen.rows.tolist()):
            break
    return chosen.rows, _reasons(chosen, places, reason), dict(chosen.dropped)


_NOTHING: Order = (np.empty(0, dtype=np.int64), str)


def _lengths(
    method: Method, inputs: Inputs, constraints: Constraints, size: int | None
) -> list[int]:
    """How many rows the method is asked to order, one attempt after the other."""
    all_rows = len(inputs.rows)
    if not method.greedy or not all_rows:
        return [all_rows]
    if constraints.max_tokens is None or constraints.tokens is None:
        wanted = [times * (size or 0) for times in LENGTHS]
    else:  # rows of the usual cost, twice; what is left of the budget is filled with the rest
        usual = max(1.0, float(np.mean(np.asarray(constraints.tokens)[inputs.rows])))
        wanted = [2 * math.ceil(min(size or all_rows, constraints.max_tokens / usual))]
    if method.ends:
        wanted.append(all_rows)
    return sorted({min(length, all_rows) for length in wanted})


def _rest(inputs: Inputs, order: np.ndarray) -> np.ndarray:
    """The rows that are not in the order, best score first, equal ones at random."""
    rest = np.delete(np.arange(len(inputs.rows)), order)
    if inputs.scores is not None:
        rest = rest[np.argsort(-inputs.scores[rest], kind="stable")]
    return np.asarray(inputs.rows[rest])


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
