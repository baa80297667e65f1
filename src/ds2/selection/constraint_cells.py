"""Rows in cells, and whether any choice of rows meets all constraints.

Rows that every quota treats alike form a *cell*, and quotas see only how many rows are taken from
each cell. So a question about 300,000 rows becomes an integer program with one variable a cell
(SciPy's HiGHS), whatever the label sets and however they overlap.
"""

from dataclasses import dataclass

import numpy as np

from ds2.selection.constraints import Constraints

__all__ = ["Cells", "Limits", "cheapest_rows", "cut_cells", "find_counts", "limits_for"]

#: Shares times a size are rounded to a whole number of rows with this much room.
ROOM = 1e-9


@dataclass(frozen=True, slots=True)
class Cells:
    """Which cell each row is in, and which quotas count it.

    Attributes:
        of: (n,) the cell of each row of the pool.
        member: (q, c) True where a quota counts the rows of a cell.
    """

    of: np.ndarray
    member: np.ndarray

    @property
    def n(self) -> int:
        """How many cells there are."""
        return int(self.member.shape[1])

    def count(self, rows: np.ndarray) -> np.ndarray:
        """(c,) How many of some rows are in each cell."""
        return np.bincount(self.of[rows], minlength=self.n)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the quotas allow.

    Attributes:
        low: (q,) the fewest rows, or the smallest share; 0 for none.
        high: (q,) the most rows, or the largest share; infinity for none.
        share: (q,) True where the two are shares of the rows chosen.
        tokens: (q,) the most tokens; infinity for none.
    """

    low: np.ndarray
    high: np.ndarray
    share: np.ndarray
    tokens: np.ndarray

    def at(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """The fewest and the most rows of each quota when ``size`` rows are chosen."""
        low = np.where(self.share, np.ceil(self.low * size - ROOM), self.low)
        high = np.where(self.share, np.floor(self.high * size + ROOM), self.high)
        return low, high


def cut_cells(constraints: Constraints, n: int) -> Cells:
    """The cells of a pool of ``n`` rows."""
    code = np.zeros(n, dtype=np.int64)
    masks = []
    for quota in constraints.quotas:
        masks.append(np.asarray(quota.labels).astype(object) == quota.label)
        _, code = np.unique(2 * code + masks[-1], return_inverse=True)
    _, first, of = np.unique(code, return_index=True, return_inverse=True)
    member = np.array([mask[first] for mask in masks], dtype=bool).reshape(len(masks), len(first))
    return Cells(of.reshape(-1), member)


def limits_for(constraints: Constraints) -> Limits:
    """What the quotas allow; under a budget in tokens a maximum share is a share of it."""
    quotas, budget = constraints.quotas, constraints.max_tokens
    low = np.array([quota.minimum or 0 for quota in quotas], dtype=float)
    high = np.array([np.inf if q.maximum is None else q.maximum for q in quotas], dtype=float)
    share = np.array([quota.of == "share" for quota in quotas], dtype=bool)
    tokens = np.full(len(quotas), np.inf)
    if budget is not None:
        capped = share & np.isfinite(high)
        tokens[capped] = np.floor(high[capped] * budget + ROOM)
        high, share = np.where(share, np.inf, high), np.zeros(len(quotas), dtype=bool)
    return Limits(low, high, share, tokens)


def find_counts(
    cells: Cells,
    limits: Limits,
    *,
    least: np.ndarray,
    most: np.ndarray,
    sizes: tuple[float, float],
    wanted: np.ndarray | None = None,
    fewest: bool = False,
) -> np.ndarray | None:
    """(c,) How many rows to take from each cell so that every quota is met; None if none can.

    Args:
        cells: the cells.
        limits: what the quotas allow.
        least: (c,) the fewest rows of each cell (those that must be chosen).
        most: (c,) the most (those that can be chosen).
        sizes: the fewest and the most rows in all.
        wanted: (c,) counts to come as near to from below as possible, in total. Default: as many
            rows as possible in all.
        fewest: as few rows as possible in all.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    n = cells.n
    if (least > most).any() or sizes[0] > sizes[1]:
        return None
    table, floors, ceilings = _quota_rows(cells, limits, sizes)
    goal = np.ones(n) if fewest else -np.ones(n)
    bottom, top = least.astype(float), most.astype(float)
    if wanted is not None:  # x = near + far with near ≤ wanted: as much of x as possible is near
        reach = np.clip(wanted, 0, most).astype(float)
        goal = np.concatenate([goal, np.zeros(n)])
        table = np.concatenate([table, np.eye(n)])
        table = np.concatenate([table, table], axis=1)
        floors, ceilings = np.concatenate([floors, bottom]), np.concatenate([ceilings, top])
        bottom, top = np.zeros(2 * n), np.concatenate([reach, top])
    found = milp(
        goal,
        integrality=np.ones(len(goal)),
        bounds=Bounds(bottom, top),
        constraints=LinearConstraint(table, floors, ceilings),
        options={"mip_rel_gap": 0.0},
    )
    if found.x is None:
        return None
    counts: np.ndarray = np.rint(found.x).astype(np.int64)
    return counts if wanted is None else counts[:n] + counts[n:]


def _quota_rows(
    cells: Cells, limits: Limits, sizes: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The quotas and the size as floors ≤ table · counts ≤ ceilings.

    Where the size is open, a share s of the rows is (members − s · all) · counts ≥ 0 or ≤ 0.
    """
    member = cells.member.astype(float)
    open_share = limits.share & (sizes[0] != sizes[1])
    low, high = limits.low, limits.high
    if sizes[0] == sizes[1]:
        low, high = limits.at(int(sizes[0]))
    capped = open_share & np.isfinite(high)
    below = member - np.where(open_share, low, 0.0)[:, None]
    above = member - np.where(capped, high, 0.0)[:, None]
    unbounded = np.full(len(low), np.inf)
    table = np.concatenate([np.ones((1, cells.n)), below, above])
    floors = np.concatenate([[sizes[0]], np.where(open_share, 0.0, low), -unbounded])
    ceilings = np.concatenate([[sizes[1]], unbounded, np.where(capped, 0.0, high)])
    return table, floors, ceilings


def cheapest_rows(
    cells: Cells,
    rows: np.ndarray,
    cost: np.ndarray,
    *,
    low: np.ndarray,
    high: np.ndarray,
    tokens: np.ndarray,
    size: float,
    budget: float,
) -> np.ndarray | None:
    """The cheapest of ``rows`` that meet what is still missing; None if none can.

    Within a cell a cheaper row does all that a dearer one does, so only the cheapest rows of the
    cells that a minimum asks for are looked at.

    Args:
        cells: the cells.
        rows: row numbers to take from.
        cost: (n,) what each row of the pool costs.
        low: (q,) how many rows each quota still lacks.
        high: (q,) how many more it may take.
        tokens: (q,) how many more tokens it may take.
        size: how many more rows may be taken in all.
        budget: how many more tokens.
    """
    if (low <= 0).all():
        fits = budget >= 0 and size >= 0 and (high >= 0).all() and (tokens >= 0).all()
        return np.empty(0, np.int64) if fits else None
    if (high < np.maximum(low, 0)).any() or size < 0 or budget < 0:
        return None
    from scipy.optimize import Bounds, LinearConstraint, milp

    need = np.where(cells.member, np.maximum(low, 0)[:, None], 0).max(axis=0)
    items = _cheapest_of_each(cells, rows, cost, np.minimum(need, size))
    if len(items) == 0:
        return None
    member = cells.member[:, cells.of[items]].astype(float)
    price = cost[items].astype(float)
    capped = np.isfinite(tokens)
    table = np.concatenate([np.ones((1, len(items))), price[None], member, member[capped] * price])
    floors = np.concatenate([[-np.inf, -np.inf], low, np.full(int(capped.sum()), -np.inf)])
    ceilings = np.concatenate([[size, budget], high, tokens[capped]])
    found = milp(
        price,
        integrality=np.ones(len(items)),
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(table, floors, ceilings),
        options={"mip_rel_gap": 0.0},
    )
    return None if found.x is None else np.asarray(items[found.x > 0.5])


def _cheapest_of_each(
    cells: Cells, rows: np.ndarray, cost: np.ndarray, count: np.ndarray
) -> np.ndarray:
    """The ``count[c]`` cheapest rows of each cell c; equal ones in the order given."""
    cell = cells.of[rows]
    order = np.lexsort((np.arange(len(rows)), cost[rows], cell))
    cell = cell[order]
    starts = np.searchsorted(cell, np.arange(cells.n))
    place = np.arange(len(rows)) - starts[cell]
    return np.asarray(rows[order[place < count[cell]]])
