"""`choose`: rows in order, as far as every constraint can still be met.

The chosen set is the best one there is in this sense: of all sets that meet the constraints it
holds the first row of the order if any of them does, then the second if any of those does, and so
on (the lexicographic optimum). Greedy finds it by definition: a row is taken exactly when what was
taken, with it, can still be completed. Three consequences:

- nothing is violated and nothing feasible is refused;
- allowing more (a wider quota, a larger budget, fewer rows ruled out) never makes it worse in that
  order, because it is the best of more sets;
- where every row is counted by at most one quota, in rows, the sets nest as the size grows (the
  greedy algorithm of a matroid, Edmonds 1971): the best rows of every minimum, then the best of the
  rest that no maximum rules out. They are given in this order, so every prefix that holds all the
  minimums is the selection of that size.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ds2.arrays import Rows
from ds2.errors import InputError
from ds2.selection.constraint_cells import Cells, cut_cells, limits_for
from ds2.selection.constraint_plan import BUDGET, KEPT, Plan
from ds2.selection.constraints import Constraints, check_constraints, shown_label

__all__ = ["Chosen", "choose"]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which rows a selection under constraints takes.

    Attributes:
        rows: (m,) row numbers in pick order.
        notes: why a row was taken out of turn ("must be chosen", "for the minimum of …").
        dropped: rows that stand before the last chosen one in the order and were not taken, by
            the reason.
    """

    rows: Rows
    notes: Mapping[int, str] = field(default_factory=dict)
    dropped: Mapping[str, np.ndarray] = field(default_factory=dict)


def choose(
    order: Rows,
    size: int | None,
    constraints: Constraints,
    *,
    n: int,
    eligible: np.ndarray | None = None,
) -> Chosen:
    """Take rows, best first, so that every constraint is met.

    The rows that must be chosen come first, in the order that they are named in. Rows that are
    ruled out by score, name, reason or near-duplicate are `eligible_rows`' business: they must not
    be in ``order``.

    Args:
        order: (e,) row numbers that can be chosen, best first.
        size: how many rows; under a budget in tokens the most rows, or None.
        constraints: what must be met.
        n: how many rows the pool has.
        eligible: the rest of the rows that can be chosen, best first, where ``order`` is a start
            only. They complete the selection when the order alone cannot.

    Returns:
        `Chosen`.

    Raises:
        InputError: no choice meets all constraints.
    """
    constraints = check_constraints(constraints, n)
    must = np.empty(0, np.int64) if constraints.must_have is None else constraints.must_have
    line = order if eligible is None else np.concatenate([order, eligible])
    _, first = np.unique(line, return_index=True)
    line = np.asarray(line[np.sort(first)], dtype=np.int64)
    line = line[~np.isin(line, must)]
    if size is None and constraints.max_tokens is None:
        raise InputError("Without a budget in tokens 'size' must be given.")
    notes = dict.fromkeys(must.tolist(), "must be chosen")
    if constraints.max_tokens is None and not constraints.quotas:
        assert size is not None
        if not len(must) <= size <= len(must) + len(line):
            raise _impossible()
        return Chosen(np.concatenate([must, line[: size - len(must)]]), notes)
    cells = cut_cells(constraints, n)
    plan = Plan(cells, line, must, size, constraints)
    if not plan.possible:
        raise _impossible()
    taken, passed = _walk(line, plan)
    kept = min((i for i, why in passed.items() if why == KEPT), default=len(line))
    notes |= {int(line[i]): _note(constraints, cells, int(line[i])) for i in taken if i > kept}
    rows = line[taken]
    if size is not None and _nested(constraints, cells):
        rows = _minimums_first(rows, must, size, constraints, cells)
    return Chosen(np.concatenate([must, rows]), notes, _by_reason(line, passed, constraints))


def _impossible() -> InputError:
    return InputError(
        "No choice of the rows that were given meets all constraints. Relax one of them, or give "
        "all rows that can be chosen."
    )


def _walk(line: np.ndarray, plan: Plan) -> tuple[list[int], dict[int, int]]:
    """Places that a plan takes, and those passed over before the last of them, with the reason."""
    taken: list[int] = []
    passed: dict[int, int] = {}
    for i in range(len(line)):
        if plan.full:
            break
        if plan.take(i):
            taken.append(i)
        else:
            passed[i] = plan.reason(i)
    last = taken[-1] if taken else -1
    return taken, {i: why for i, why in passed.items() if i < last}


def _nested(constraints: Constraints, cells: Cells) -> bool:
    """Whether sets nest: rows alone are counted, and none by two quotas (but for the same one)."""
    return constraints.max_tokens is None and bool(
        (np.unique(cells.member, axis=0).sum(axis=0) <= 1).all()
    )


def _minimums_first(
    rows: np.ndarray, must: np.ndarray, size: int, constraints: Constraints, cells: Cells
) -> np.ndarray:
    """The best rows of each minimum, then the others, both in order."""
    low, _ = limits_for(constraints).at(size)
    lacking = np.where(cells.member, low[:, None], 0).max(axis=0, initial=0) - cells.count(must)
    needed = np.zeros(len(rows), dtype=bool)
    for at, cell in enumerate(cells.of[rows].tolist()):
        needed[at] = lacking[cell] > 0
        lacking[cell] -= 1
    return np.concatenate([rows[needed], rows[~needed]])


def _note(constraints: Constraints, cells: Cells, row: int) -> str:
    """Say for which minimum a row was taken though better ones were passed over."""
    counts = cells.member[:, cells.of[row]]
    asked = [q for q, own in zip(constraints.quotas, counts, strict=True) if own and q.minimum]
    if not asked:
        return "within the constraints"
    return f"for the minimum of {asked[0].name} {shown_label(asked[0].label)}"


def _by_reason(
    line: np.ndarray, passed: Mapping[int, int], constraints: Constraints
) -> dict[str, np.ndarray]:
    """Rows that were passed over by the reason: a quota, the budget, a place kept."""
    found: dict[str, list[int]] = {}
    for i, why in passed.items():
        if why >= 0:
            quota = constraints.quotas[why]
            words = f"over the maximum of {quota.name} {shown_label(quota.label)}"
        elif why == BUDGET:
            words = "too long for the tokens that are left"
        else:
            words = "place kept for another constraint"
        found.setdefault(words, []).append(int(line[i]))
    return {words: np.array(rows, dtype=np.int64) for words, rows in found.items()}
