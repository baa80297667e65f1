"""`choose`: rows in order, as far as every constraint can still be met.

The chosen set is the best one there is in this sense: of all sets that meet the constraints it
holds the first row of the order if any of them does, then the second if any of those does, and so
on (the lexicographic optimum). Greedy finds it by definition: a row is taken exactly when what was
taken, with it, can still be completed. Three consequences:

- nothing is violated and nothing feasible is refused;
- allowing more (a wider quota, a larger budget, fewer rows ruled out) never makes it worse in that
  order, because it is the best of more sets;
- where every row is counted by at most one quota, in rows, the sets nest as the size grows: the
  best rows of every minimum, then the best of the rest that no maximum rules out. They are given
  in this order, so every prefix that holds all the minimums is the selection of that size.

With one label set this is the greedy algorithm of a matroid (Edmonds 1971), done by counting. With
overlapping ones, or a budget in tokens, a *plan* is kept: rows that would complete the selection.
A row that is in the plan, or can replace one of it, is taken at once; otherwise an integer program
looks for another plan, and if there is none, this row and every later one of its cell that costs as
much is out for good.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ds2.arrays import Rows
from ds2.errors import InputError
from ds2.selection.constraint_cells import Cells, cut_cells, limits_for
from ds2.selection.constraint_plans import BUDGET, BudgetPlan, CountPlan
from ds2.selection.constraints import Constraints, check_constraints, shown_label

__all__ = ["Chosen", "choose"]

_KEPT = "place kept for another constraint"
_TOO_DEAR = "too long for the tokens that are left"


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
    must = _rows(constraints.must_have)
    line = order if eligible is None else np.concatenate([order, eligible])
    _, first = np.unique(line, return_index=True)
    line = np.asarray(line[np.sort(first)], dtype=np.int64)
    line = line[~np.isin(line, must)]
    if size is None and constraints.max_tokens is None:
        raise InputError("Without a budget in tokens 'size' must be given.")
    cells = cut_cells(constraints, n)
    if constraints.max_tokens is not None:
        budget = BudgetPlan(cells, line, must, size, constraints)
        return _by_plan(line, must, budget, constraints)
    assert size is not None
    if not constraints.quotas:
        taken = line[: max(size - len(must), 0)]
        if len(must) + len(taken) != size:
            raise _impossible()
        return Chosen(np.concatenate([must, taken]), _must_notes(must))
    if _disjoint(cells):
        return _by_counting(line, must, size, constraints, cells)
    counts = CountPlan(cells, line, must, size, constraints)
    return _by_plan(line, must, counts, constraints)


def _rows(rows: np.ndarray | None) -> np.ndarray:
    return np.empty(0, np.int64) if rows is None else rows


def _disjoint(cells: Cells) -> bool:
    """Whether no row is counted by two quotas, but for quotas that count the same rows."""
    different = np.unique(cells.member, axis=0)
    return bool((different.sum(axis=0) <= 1).all())


def _must_notes(must: np.ndarray) -> dict[int, str]:
    return {int(row): "must be chosen" for row in must}


def _impossible() -> InputError:
    return InputError(
        "No choice of the rows that were given meets all constraints. Relax one of them, or give "
        "all rows that can be chosen."
    )


def _by_counting(
    line: np.ndarray, must: np.ndarray, size: int, constraints: Constraints, cells: Cells
) -> Chosen:
    """One label set: the best rows of each minimum, then the best that no maximum rules out."""
    low, high = limits_for(constraints).at(size)
    cell_low = np.where(cells.member, low[:, None], 0).max(axis=0)
    cell_high = np.where(cells.member, high[:, None], np.inf).min(axis=0)
    held = cells.count(must)
    cell = cells.of[line]
    place = _place_in_cell(cell, cells.n)
    needed = place < (cell_low - held)[cell]
    allowed = place < (cell_high - held)[cell]
    free = np.flatnonzero(allowed & ~needed)
    left = size - len(must) - int(needed.sum())
    short = (held + np.bincount(cell[allowed], minlength=cells.n) < cell_low).any()
    if short or (held > cell_high).any() or not 0 <= left <= len(free):
        raise _impossible()
    taken = np.concatenate([np.flatnonzero(needed), free[:left]])
    notes = _must_notes(must)
    ahead = np.flatnonzero(needed & (np.arange(len(line)) > (free[left - 1] if left else -1)))
    notes.update((int(line[i]), _minimum_note(constraints, cells, int(cell[i]))) for i in ahead)
    last = int(taken.max(initial=-1))
    over = np.flatnonzero(~allowed[:last])
    full = {int(c): _full(constraints, cells, int(c)) for c in np.unique(cell[over])}
    dropped = {why: line[over[cell[over] == c]] for c, why in full.items()}
    waiting = np.setdiff1d(np.arange(last), np.concatenate([taken, over]))
    if len(waiting):
        dropped[_KEPT] = line[waiting]
    return Chosen(np.concatenate([must, line[taken]]), notes, dropped)


def _place_in_cell(cell: np.ndarray, n_cells: int) -> np.ndarray:
    """How many rows of the same cell come before each one."""
    order = np.argsort(cell, kind="stable")
    starts = np.searchsorted(cell[order], np.arange(n_cells))
    place = np.empty(len(cell), dtype=np.int64)
    place[order] = np.arange(len(cell)) - starts[cell[order]]
    return place


def _minimum_note(constraints: Constraints, cells: Cells, cell: int) -> str:
    quotas = [q for q, m in zip(constraints.quotas, cells.member[:, cell], strict=True) if m]
    quota = next(quota for quota in quotas if quota.minimum)
    return f"for the minimum of {quota.name} {shown_label(quota.label)}"


def _full(constraints: Constraints, cells: Cells, cell: int) -> str:
    quotas = [q for q, m in zip(constraints.quotas, cells.member[:, cell], strict=True) if m]
    quota = next(quota for quota in quotas if quota.maximum is not None)
    return f"over the maximum of {quota.name} {shown_label(quota.label)}"


def _by_plan(
    line: np.ndarray, must: np.ndarray, plan: CountPlan | BudgetPlan, constraints: Constraints
) -> Chosen:
    """Walk down the line and take what a plan can complete."""
    if not plan.possible:
        raise _impossible()
    taken: list[int] = []
    passed: dict[int, int] = {}
    for i in range(len(line)):
        if plan.left == 0:
            break
        if plan.take(i):
            taken.append(i)
        else:
            passed[i] = plan.reason(i)
    if not taken and not len(must):
        raise _impossible()
    dropped = _reasons(line, passed, taken, constraints)
    return Chosen(np.concatenate([must, line[taken]]), _must_notes(must), dropped)


def _reasons(
    line: np.ndarray, passed: Mapping[int, int], taken: list[int], constraints: Constraints
) -> dict[str, np.ndarray]:
    """Rows passed over before the last one taken, by the reason: a quota, the budget, a plan."""
    last = taken[-1] if taken else -1
    found: dict[str, list[int]] = {}
    for i, reason in passed.items():
        if i > last:
            break
        if reason >= 0:
            quota = constraints.quotas[reason]
            words = f"over the maximum of {quota.name} {shown_label(quota.label)}"
        else:
            words = _TOO_DEAR if reason == BUDGET else _KEPT
        found.setdefault(words, []).append(int(line[i]))
    return {words: np.array(rows, dtype=np.int64) for words, rows in found.items()}
