"""A plan: rows that would complete a selection, kept up to date while rows are taken in order."""

from dataclasses import replace

import numpy as np

from ds2.selection.constraint_cells import Cells, Limits, complete, limits_for
from ds2.selection.constraints import Constraints

__all__ = ["BUDGET", "KEPT", "Plan"]

#: Why a row was passed over, where it was no quota: the budget, or a place kept for the plan.
BUDGET, KEPT = -2, -1


class Plan:
    """How many more rows are to come from each cell, so that all constraints are met.

    A row is taken where the plan holds one of its cell, has room for one more, or can hold it in
    place of another; otherwise an integer program looks for another plan. Where there is none, this
    row and every later one that differs from it at most by a higher cost is out for good, since
    what can be completed only shrinks.

    Attributes:
        possible: whether any selection meets the constraints.
    """

    def __init__(
        self,
        cells: Cells,
        line: np.ndarray,
        must: np.ndarray,
        size: int | None,
        constraints: Constraints,
    ) -> None:
        self._cells, self._limits = cells, limits_for(constraints)
        self._most = len(line) + len(must) if size is None else size
        self._exact = constraints.max_tokens is None
        self._sizes = (self._most if self._exact else 1, self._most)
        self._low, self._high = self._limits.at(self._most)
        self._member = cells.member.astype(np.int64)
        self._cell = cells.of[line]
        self._taken, self._room = cells.count(must), cells.count(line)
        self._why = np.zeros(cells.n, dtype=np.int64)
        self._open = np.ones(cells.n, dtype=bool).tolist()
        self._at = 0
        self._rows: np.ndarray
        self._tokens: np.ndarray
        self._spent: int
        self._count: int
        plan = self._search(self._taken, self._room, self._limits)
        self.possible = plan is not None
        self._adopt(np.zeros(cells.n, np.int64) if plan is None else plan)

    @property
    def full(self) -> bool:
        """Whether no row more may be taken."""
        return int(self._taken.sum()) == self._most

    def take(self, i: int) -> bool:
        """Take the i-th row of the line if a plan allows it."""
        cell = int(self._cell[i])
        if not self._open[cell]:
            return False
        self._at = i
        if not (self._held(cell) or self._in_place(cell) or self._anew(cell)):
            return False
        self._taken[cell] += 1
        self._room[cell] -= 1
        return True

    def reason(self, i: int) -> int:
        """The quota whose maximum kept the i-th row out, `BUDGET` or `KEPT`."""
        return int(self._why[self._cell[i]])

    def _held(self, cell: int) -> bool:
        """Take a row that the plan holds, or one in place of the dearest of its group, or more."""
        if self._plan[cell]:
            self._plan[cell] -= 1
            return True
        first, stop = self._group(cell)
        planned = first + np.flatnonzero(self._plan[first:stop])
        for out in (*planned[-1:].tolist(), None):
            if self._fits(cell, out):
                self._exchange(out, cell)
                return True
        return False

    def _group(self, cell: int) -> tuple[int, int]:
        """Where the cells stand that differ from one by their cost alone, the cheapest first."""
        number = self._cells.group[cell]
        first, stop = np.searchsorted(self._cells.group, [number, number + 1]).tolist()
        return first, stop

    def _fits(self, cell: int, out: int | None) -> bool:
        """Whether the plan can hold one row more of a cell, without one of another."""
        rows = self._rows + self._member[:, cell]
        cost = self._cells.cost[cell]
        tokens = self._tokens + self._member[:, cell] * cost
        spent, count = self._spent + cost, self._count + 1
        if out is not None:
            less = self._cells.cost[out]
            rows, tokens = rows - self._member[:, out], tokens - self._member[:, out] * less
            spent, count = spent - less, count - 1
        return bool(
            count <= self._most
            and spent <= self._limits.budget
            and (rows <= self._high).all()
            and (tokens <= self._limits.tokens).all()
            and (rows >= self._low).all()
        )

    def _exchange(self, out: int | None, cell: int) -> None:
        """Count a row of a cell in, and a planned one of another out."""
        changes = [(cell, 1)] if out is None else [(cell, 1), (out, -1)]
        for which, sign in changes:
            cost = self._cells.cost[which]
            self._rows = self._rows + sign * self._member[:, which]
            self._tokens = self._tokens + sign * cost * self._member[:, which]
            self._spent += sign * cost
            self._count += sign
        if out is not None:
            self._plan[out] -= 1

    def _in_place(self, cell: int) -> bool:
        """Take a row in place of a planned one of any other cell."""
        planned = np.flatnonzero(self._plan)
        member = self._member[:, [cell]] - self._member[:, planned]
        rows = self._rows[:, None] + member
        cost = self._cells.cost[planned]
        mine = self._cells.cost[cell]
        tokens = self._tokens + mine * self._member[:, cell]
        fine = (
            ((rows >= self._low[:, None]) & (rows <= self._high[:, None])).all(axis=0)
            & (self._spent + mine - cost <= self._limits.budget)
            & (
                tokens[:, None] - cost * self._member[:, planned] <= self._limits.tokens[:, None]
            ).all(axis=0)
        )
        found = np.flatnonzero(fine)
        if len(found) == 0:
            return False
        self._exchange(int(planned[found[-1]]), cell)
        return True

    def _anew(self, cell: int) -> bool:
        """Look for another plan that goes with one row more of a cell; rule it out if none does.

        The cheapest completion says how much a row may cost: with dearer ones of its group it is
        over the budget, and it becomes no cheaper. Where quotas cap tokens, that is known of this
        cost alone.
        """
        taken, room = self._taken.copy(), self._room.copy()
        taken[cell] += 1
        room[cell] -= 1
        cost = int(self._cells.cost[cell])
        free = not np.isfinite(self._limits.tokens).any()
        limits = replace(self._limits, budget=np.inf) if free else self._limits
        plan = self._search(taken, room, limits)
        if plan is None:
            self._close(cell, 0 if free else cost)
            return False
        over = int((taken + plan) @ self._cells.cost) - self._limits.budget
        if over > 0:
            self._close(cell, cost - int(over) + 1)
            return False
        self._adopt(plan)
        self._exchange(None, cell)
        return True

    def _search(self, held: np.ndarray, room: np.ndarray, limits: Limits) -> np.ndarray | None:
        """A plan; for an exact size as near as possible to the next rows of the line."""
        wanted = None
        if self._exact:
            coming = self._cell[self._at :]
            coming = coming[room[coming] > 0][: max(self._most - int(held.sum()), 0)]
            wanted = np.bincount(coming, minlength=self._cells.n)
        return complete(self._cells, limits, held=held, room=room, sizes=self._sizes, wanted=wanted)

    def _adopt(self, plan: np.ndarray) -> None:
        """Count what a plan holds with what is taken: rows and tokens of each quota, and of all."""
        self._plan = plan
        held = self._taken + plan
        self._rows = self._member @ held
        self._tokens = self._member @ (held * self._cells.cost)
        self._spent = int(held @ self._cells.cost)
        self._count = int(held.sum())

    def _close(self, cell: int, least: int) -> None:
        """Rule out the cells of a group whose rows cost ``least`` or more."""
        cost = self._cells.cost
        first, stop = self._group(cell)
        counted = self._cells.member[:, cell]
        full = counted & (self._member @ self._taken + 1 > self._high)
        spent, caps = self._member @ (self._taken * cost), self._limits.tokens
        left = self._limits.budget - int(self._taken @ cost)
        for which in range(first + int(np.searchsorted(cost[first:stop], least)), stop):
            if self._open[which]:
                over = full | (counted & (spent + cost[which] > caps))
                why = int(over.argmax()) if over.any() else BUDGET if cost[which] > left else KEPT
                self._why[which] = why
                self._open[which] = False
                self._room[which] = 0
