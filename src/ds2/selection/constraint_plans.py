"""Plans: rows that would complete a selection, kept up to date while rows are taken in order."""

import numpy as np

from ds2.selection.constraint_cells import Cells, Limits, cheapest_rows, find_counts, limits_for
from ds2.selection.constraints import Constraints

__all__ = ["BUDGET", "KEPT", "BudgetPlan", "CountPlan"]

#: Why a row was passed over, where it was no quota: the budget, or a place kept for a plan.
BUDGET, KEPT = -2, -1


class CountPlan:
    """For an exact number of rows: how many more are to come from each cell.

    Attributes:
        possible: whether any selection meets the quotas.
        left: how many rows are still to be taken.
    """

    def __init__(
        self, cells: Cells, line: np.ndarray, must: np.ndarray, size: int, constraints: Constraints
    ) -> None:
        self._cells = cells
        self._limits = limits_for(constraints)
        self._size = size
        self._member = cells.member.astype(np.int64)
        self._cell = cells.of[line]
        self._low, self._high = self._limits.at(size)
        self._taken = cells.count(must)
        self._most = self._taken + cells.count(line)
        self._closed: dict[int, int] = {}
        self._at = 0
        self.left = size - len(must)
        plan = self._search(self._taken)
        self.possible = plan is not None
        self._plan = np.zeros(cells.n, np.int64) if plan is None else plan - self._taken

    def take(self, i: int) -> bool:
        """Take the i-th row of the line if a plan allows it."""
        cell = int(self._cell[i])
        self._at = i
        if cell in self._closed:
            return False
        if not (self._plan[cell] or self._swap(cell) or self._anew(cell)):
            self._closed[cell] = self._why(cell)
            self._most[cell] = self._taken[cell]
            return False
        self._plan[cell] -= 1
        self._taken[cell] += 1
        self.left -= 1
        return True

    def reason(self, i: int) -> int:
        """The quota whose maximum kept the i-th row out, or `KEPT`."""
        return self._closed[int(self._cell[i])]

    def _why(self, cell: int) -> int:
        full = self._member @ self._taken >= self._high
        counted = np.flatnonzero(full & self._cells.member[:, cell])
        return int(counted[0]) if len(counted) else KEPT

    def _swap(self, cell: int) -> bool:
        """Plan a row of this cell in place of one of another cell, where the quotas allow it."""
        total = self._member @ (self._taken + self._plan)
        after = (total + self._member[:, cell])[:, None] - self._member
        fine = ((after >= self._low[:, None]) & (after <= self._high[:, None])).all(axis=0)
        found = np.flatnonzero(fine & (self._plan > 0))
        if len(found) == 0:
            return False
        self._plan[found[-1]] -= 1
        self._plan[cell] += 1
        return True

    def _anew(self, cell: int) -> bool:
        least = self._taken.copy()
        least[cell] += 1
        plan = self._search(least)
        if plan is None:
            return False
        self._plan = plan - self._taken
        return True

    def _search(self, least: np.ndarray) -> np.ndarray | None:
        """Counts that meet everything, as near as possible to the next rows of the line."""
        coming = self._cell[self._at :]
        if self._closed:
            coming = coming[~np.isin(coming, list(self._closed))]
        wanted = np.bincount(coming[: max(self.left, 0)], minlength=self._cells.n)
        return find_counts(
            self._cells,
            self._limits,
            least=least,
            most=self._most,
            sizes=(self._size, self._size),
            wanted=wanted + self._taken,
        )


class BudgetPlan:
    """For a budget in tokens: the cheapest rows that would still fill the minimums.

    Attributes:
        possible: whether any selection meets the quotas within the budget.
        left: how many more rows may be taken.
    """

    def __init__(
        self,
        cells: Cells,
        line: np.ndarray,
        must: np.ndarray,
        size: int | None,
        constraints: Constraints,
    ) -> None:
        limits = limits_for(constraints)
        assert constraints.tokens is not None
        assert constraints.max_tokens is not None
        self._cells = cells
        self._line = line
        self._all_cost = constraints.tokens
        self._cell = cells.of[line].tolist()
        self._cost = constraints.tokens[line].tolist()
        self._quotas = [np.flatnonzero(cells.member[:, c]).tolist() for c in range(cells.n)]
        self._room = _Room(limits, constraints.max_tokens, len(line) if size is None else size)
        if size is None:
            self._room.rows += len(must)
        for row in must.tolist():
            self._room.spend(self._quotas[cells.of[row]], int(constraints.tokens[row]))
        self._dear: dict[int, int] = {}
        self._capped = bool(np.isfinite(limits.tokens).any())
        found = self._cheapest(self._room, 0)
        self.possible = found is not None
        self._adopt(np.empty(0, np.int64) if found is None else found, self._room, 0)

    @property
    def left(self) -> int:
        """How many more rows may be taken."""
        return self._room.rows

    def take(self, i: int) -> bool:
        """Take the i-th row of the line if a plan allows it."""
        cell, cost = self._cell[i], self._cost[i]
        if cost >= self._dear.get(cell, cost + 1):
            return False
        if not (self._planned(i) or self._spare.fits(self._quotas[cell], cost)):
            out_from = self._anew(i)
            if out_from is not None:
                self._dear[cell] = out_from
                return False
        self._room.spend(self._quotas[cell], cost)
        self._spare.spend(self._quotas[cell], cost)
        return True

    def reason(self, i: int) -> int:
        """The quota that keeps the i-th row out, `BUDGET` or `KEPT`."""
        for quota in self._quotas[self._cell[i]]:
            if self._room.high[quota] < 1 or self._room.tokens[quota] < self._cost[i]:
                return int(quota)
        return BUDGET if self._room.budget < self._cost[i] else KEPT

    def _planned(self, i: int) -> bool:
        """Free the place of the i-th row in the plan, or of the dearest row of its cell."""
        planned = self._plan.get(self._cell[i])
        if not planned:
            return False
        place = planned.index(i) if i in planned else len(planned) - 1
        quotas, cost = self._quotas[self._cell[i]], self._cost[planned[place]]
        self._spare.spend(quotas, cost, back=True)
        if self._spare.fits(quotas, self._cost[i]):
            planned.pop(place)
            return True
        self._spare.spend(quotas, cost)
        return False

    def _anew(self, i: int) -> int | None:
        """Plan anew for what was taken together with the i-th row, None where that works.

        Otherwise the cost from which rows of its cell are out for good: the cheapest completion
        after a row of this cell can only become dearer as more rows are taken.
        """
        quotas = self._quotas[self._cell[i]]
        cost: int = self._cost[i]
        if not any(self._plan.values()):
            return cost
        room = self._room.copy()
        room.spend(quotas, cost)
        budget = room.budget
        if not self._capped:
            room.budget = np.inf
        found = self._cheapest(room, i + 1)
        if found is None:
            return cost if self._capped else 0
        left = budget - int(self._all_cost[found].sum())
        if left < 0:
            return cost if self._capped else int(cost + left + 1)
        room.budget = budget
        self._adopt(found, room, i + 1)
        self._spare.spend(quotas, cost, back=True)
        return None

    def _cheapest(self, room: "_Room", start: int) -> np.ndarray | None:
        """The cheapest rows from ``start`` that fill the minimums."""
        return cheapest_rows(
            self._cells,
            self._line[start:],
            self._all_cost,
            low=np.array(room.low),
            high=np.array(room.high),
            tokens=np.array(room.tokens),
            size=room.rows,
            budget=room.budget,
        )

    def _adopt(self, rows: np.ndarray, room: "_Room", start: int) -> None:
        """Make some rows the plan: those of each cell by cost, and the room that they leave."""
        self._plan: dict[int, list[int]] = {}
        self._spare = room.copy()
        places = start + np.flatnonzero(np.isin(self._line[start:], rows))
        for i in sorted(places.tolist(), key=lambda i: self._cost[i]):
            self._plan.setdefault(self._cell[i], []).append(i)
            self._spare.spend(self._quotas[self._cell[i]], self._cost[i])


class _Room:
    """What may still be taken: rows, tokens, and both for each quota; and what each one lacks."""

    __slots__ = ("budget", "high", "low", "rows", "tokens")

    def __init__(self, limits: Limits, budget: float, rows: int) -> None:
        self.low: list[float] = limits.low.tolist()
        self.high: list[float] = limits.high.tolist()
        self.tokens: list[float] = limits.tokens.tolist()
        self.budget: float = budget
        self.rows = rows

    def copy(self) -> "_Room":
        room = object.__new__(_Room)
        room.low, room.high, room.tokens = self.low.copy(), self.high.copy(), self.tokens.copy()
        room.budget, room.rows = self.budget, self.rows
        return room

    def fits(self, quotas: list[int], cost: int) -> bool:
        """Whether one more row of these quotas and this cost may be taken."""
        return (
            self.rows >= 1
            and self.budget >= cost
            and all(self.high[q] >= 1 and self.tokens[q] >= cost for q in quotas)
        )

    def spend(self, quotas: list[int], cost: int, *, back: bool = False) -> None:
        """Take a row of these quotas and this cost, or give it back."""
        sign = -1 if back else 1
        self.rows -= sign
        self.budget -= sign * cost
        for quota in quotas:
            self.low[quota] -= sign
            self.high[quota] -= sign
            self.tokens[quota] -= sign * cost
