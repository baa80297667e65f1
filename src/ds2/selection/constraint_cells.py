"""Rows in cells, and whether any choice of rows meets all constraints.

Rows that every quota treats alike and that cost the same form a *cell*: constraints see only how
many rows are taken from each. So a question about 300,000 rows becomes an integer program with one
variable a cell (SciPy's HiGHS), whatever the label sets and however they overlap.
"""

from dataclasses import dataclass

import numpy as np

from ds2.selection.constraints import Constraints

__all__ = ["Cells", "Limits", "complete", "cut_cells", "limits_for"]

#: Shares times a size are rounded to a whole number of rows with this much room.
ROOM = 1e-9


@dataclass(frozen=True, slots=True)
class Cells:
    """Which cell each row is in, which quotas count it, and what its rows cost.

    Attributes:
        of: (n,) the cell of each row of the pool.
        member: (q, c) True where a quota counts the rows of a cell.
        cost: (c,) tokens of a row; 0 without a budget.
        group: (c,) cells with one number differ in their cost alone.
    """

    of: np.ndarray
    member: np.ndarray
    cost: np.ndarray
    group: np.ndarray

    @property
    def n(self) -> int:
        """How many cells there are."""
        return int(self.member.shape[1])

    def count(self, rows: np.ndarray) -> np.ndarray:
        """(c,) How many of some rows are in each cell."""
        return np.bincount(self.of[rows], minlength=self.n)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the quotas and the budget allow.

    Attributes:
        low: (q,) the fewest rows, or the smallest share; 0 for none.
        high: (q,) the most rows, or the largest share; infinity for none.
        share: (q,) True where the two are shares of the rows chosen.
        tokens: (q,) the most tokens; infinity for none.
        budget: the most tokens in all; infinity for none.
    """

    low: np.ndarray
    high: np.ndarray
    share: np.ndarray
    tokens: np.ndarray
    budget: float

    def at(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """The fewest and the most rows of each quota when ``size`` rows are chosen."""
        low = np.where(self.share, np.ceil(self.low * size - ROOM), self.low)
        high = np.where(self.share, np.floor(self.high * size + ROOM), self.high)
        return low, high


def cut_cells(constraints: Constraints, n: int) -> Cells:
    """The cells of a pool of ``n`` rows."""
    group = np.zeros(n, dtype=np.int64)
    masks = []
    for quota in constraints.quotas:
        masks.append(np.asarray(quota.labels).astype(object) == quota.label)
        _, group = np.unique(2 * group + masks[-1], return_inverse=True)
    cost = np.zeros(n, dtype=np.int64)
    if constraints.max_tokens is not None and constraints.tokens is not None:
        cost = constraints.tokens
    step = int(cost.max(initial=0)) + 1
    found, first, of = np.unique(group * step + cost, return_index=True, return_inverse=True)
    member = np.array([mask[first] for mask in masks], dtype=bool).reshape(len(masks), len(first))
    return Cells(of.reshape(-1), member, found % step, found // step)


def limits_for(constraints: Constraints) -> Limits:
    """What is allowed; under a budget in tokens a maximum share is a share of it."""
    quotas, budget = constraints.quotas, constraints.max_tokens
    low = np.array([quota.minimum or 0 for quota in quotas], dtype=float)
    high = np.array([np.inf if q.maximum is None else q.maximum for q in quotas], dtype=float)
    share = np.array([quota.of == "share" for quota in quotas], dtype=bool)
    tokens = np.full(len(quotas), np.inf)
    if budget is not None:
        capped = share & np.isfinite(high)
        tokens[capped] = np.floor(high[capped] * budget + ROOM)
        high, share = np.where(share, np.inf, high), np.zeros(len(quotas), dtype=bool)
    return Limits(low, high, share, tokens, np.inf if budget is None else budget)


def complete(
    cells: Cells,
    limits: Limits,
    *,
    held: np.ndarray,
    room: np.ndarray,
    sizes: tuple[float, float],
    wanted: np.ndarray | None = None,
    fewest: bool = False,
) -> np.ndarray | None:
    """(c,) How many rows more to take from each cell so that all is met; None if none can.

    Args:
        cells: the cells.
        limits: what is allowed.
        held: (c,) how many are taken already.
        room: (c,) how many more there are.
        sizes: the fewest and the most rows in all, with those that are held.
        wanted: (c,) counts to come as near to from below as possible, in total. Default: the
            lowest cost, then as many rows as possible.
        fewest: as few rows as possible instead.
    """
    if sizes[0] > sizes[1]:
        return None
    if not len(limits.low) and not cells.cost.any():  # nothing but the size
        count = max(sizes[0] - held[0], 0) if fewest else min(sizes[1] - held[0], room[0])
        fits = max(sizes[0] - held[0], 0) <= count <= room[0]
        return np.array([int(count)]) if fits else None
    free = _enough(cells, limits, held, room, sizes)
    active = np.flatnonzero(free | held)
    table, floors, ceilings = _table(cells, limits, sizes, active)
    now = table @ held[active]
    floors, ceilings, free = floors - now, ceilings - now, free[active]
    counts = np.zeros(cells.n, dtype=np.int64)
    if not free.any():
        return counts if (floors <= ROOM).all() and (ceilings >= -ROOM).all() else None
    goal = cells.cost[active].astype(float)
    if fewest or not goal.any():
        goal = np.full(len(active), 1.0 if fewest else -1.0)
    near = None if wanted is None else np.clip(wanted[active], 0, free)
    found = _solve(table, floors, ceilings, free=free, goal=goal, near=near)
    if found is None:
        return None
    counts[active] = found
    return counts


def _enough(
    cells: Cells, limits: Limits, held: np.ndarray, room: np.ndarray, sizes: tuple[float, float]
) -> np.ndarray:
    """(c,) How many rows of each cell a completion may need.

    Of cells that differ in their cost alone a cheaper row does all that a dearer one does, so only
    the cheapest rows count, as many as a minimum asks for.
    """
    if not cells.cost.any():
        return room
    lacking = np.maximum(limits.low - cells.member @ held, 0)
    need = np.where(cells.member, lacking[:, None], 0).max(axis=0, initial=0)
    need = np.maximum(need, sizes[0] - held.sum())
    before = np.cumsum(room) - room  # cells stand by group, then by cost
    before -= before[np.searchsorted(cells.group, cells.group)]
    enough: np.ndarray = np.clip(need - before, 0, room).astype(np.int64)
    return enough


def _table(
    cells: Cells, limits: Limits, sizes: tuple[float, float], active: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Size, quotas and budget as floors ≤ table · counts ≤ ceilings, one column an active cell.

    Where the size is open, a share s of the rows is (members − s · all) · counts ≥ 0 or ≤ 0.
    """
    member, cost = cells.member[:, active].astype(float), cells.cost[active].astype(float)
    open_share = limits.share & (sizes[0] != sizes[1])
    low, high = limits.low, limits.high
    if sizes[0] == sizes[1]:
        low, high = limits.at(int(sizes[0]))
    capped = open_share & np.isfinite(high)
    costly = np.isfinite(limits.tokens)
    below = member - np.where(open_share, low, 0.0)[:, None]
    above = member - np.where(capped, high, 0.0)[:, None]
    parts = (np.ones((1, len(active))), below, above, cost[None], member[costly] * cost)
    table = np.concatenate(parts)
    none = np.full(len(table) - 1 - len(low), -np.inf)
    floors = np.concatenate([[sizes[0]], np.where(open_share, 0.0, low), none])
    most = np.where(capped, 0.0, high)
    unbounded = np.full(len(low), np.inf)
    ceilings = np.concatenate([[sizes[1]], unbounded, most, [limits.budget], limits.tokens[costly]])
    return table, floors, ceilings


def _solve(
    table: np.ndarray,
    floors: np.ndarray,
    ceilings: np.ndarray,
    *,
    free: np.ndarray,
    goal: np.ndarray,
    near: np.ndarray | None,
) -> np.ndarray | None:
    """Whole numbers from 0 to ``free`` with the smallest ``goal``; None if there are none.

    With ``near`` a number is a near and a far part, x = y + z with y ≤ near, and as much as
    possible is near.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    bounds = Bounds(np.zeros(len(free)), free.astype(float))
    rows = [LinearConstraint(table, floors, ceilings)]
    if near is not None:
        each = np.eye(len(free))
        rows = [
            LinearConstraint(np.hstack([table, table]), floors, ceilings),
            LinearConstraint(np.hstack([each, each]), 0.0, free.astype(float)),
        ]
        bounds = Bounds(np.zeros(2 * len(free)), np.concatenate([near, free]).astype(float))
        goal = np.concatenate([-np.ones(len(free)), np.zeros(len(free))])
    found = milp(
        goal,
        integrality=np.ones(len(goal)),
        bounds=bounds,
        constraints=rows,
        options={"mip_rel_gap": 0.0},
    )
    if found.x is None:
        return None
    counts: np.ndarray = np.rint(found.x).astype(np.int64)
    return counts if near is None else counts[: len(free)] + counts[len(free) :]
