"""Constraints met: rows in order, as far as every constraint can still be met.

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

Rows that every quota treats alike and that cost the same form a *cell*: constraints see only how
many rows are taken from each. So whether a selection can be completed is an integer program with
one variable a cell (SciPy's HiGHS), whatever the label sets and however they overlap. It is asked
for runs of rows: the longest start of a run that can be completed is taken, and the cell of the
row after it is closed, since what can be completed only shrinks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ds2.selection.constraints import Constraints, asked_words, constraint_words, given_rows

__all__ = ["Chosen", "choose", "clash"]

#: Shares times a size are rounded to a whole number of rows with this much room.
ROOM = 1e-9
#: Rows that are looked at in one run.
RUN = 4096
#: Why a row was passed over, where it was no quota.
_TOO_LONG = "too long for the tokens that are left"
_KEPT = "place kept for another constraint"


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which rows a selection under constraints takes.

    Attributes:
        rows: (m,) row numbers in pick order.
        notes: why a row was taken out of turn ("must be chosen", "for the minimum of …").
        dropped: rows that stand before the last chosen one in the order and were not taken, by
            the reason.
    """

    rows: np.ndarray
    notes: Mapping[int, str] = field(default_factory=dict)
    dropped: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Program:
    """The integer program of some constraints.

    Attributes:
        of: (n,) the cell of each row of the pool.
        member: (q, c) True where a quota counts the rows of a cell.
        cost: (c,) tokens of a row; 0 without a budget.
        group: (c,) cells with one number differ in their cost alone.
        low: (q,) the fewest rows, or the smallest share; 0 for none.
        high: (q,) the most rows, or the largest share; infinity for none.
        share: (q,) True where the two are shares of the rows chosen.
        tokens: (q,) the most tokens; infinity for none.
        budget: the most tokens in all; infinity for none.
    """

    of: np.ndarray
    member: np.ndarray
    cost: np.ndarray
    group: np.ndarray
    low: np.ndarray
    high: np.ndarray
    share: np.ndarray
    tokens: np.ndarray
    budget: float

    @classmethod
    def build(cls, constraints: Constraints, n: int) -> "Program":
        """The program of a pool of ``n`` rows.

        Under a budget in tokens a maximum share is a share of it.
        """
        quotas, budget = constraints.quotas, constraints.max_tokens
        group = np.zeros(n, dtype=np.int64)
        masks = []
        for quota in quotas:
            masks.append(quota.counts())
            _, group = np.unique(2 * group + masks[-1], return_inverse=True)
        cost = np.zeros(n, dtype=np.int64)
        if budget is not None and constraints.tokens is not None:
            cost = constraints.tokens
        step = int(cost.max(initial=0)) + 1
        found, first, of = np.unique(group * step + cost, return_index=True, return_inverse=True)
        member = np.array([mask[first] for mask in masks], bool).reshape(len(masks), len(first))
        low = np.array([quota.minimum or 0 for quota in quotas], dtype=float)
        high = np.array([np.inf if q.maximum is None else q.maximum for q in quotas], dtype=float)
        share = np.array([quota.of == "share" for quota in quotas], dtype=bool)
        tokens = np.full(len(quotas), np.inf)
        if budget is not None:
            capped = share & np.isfinite(high)
            tokens[capped] = np.floor(high[capped] * budget + ROOM)
            high, share = np.where(share, np.inf, high), np.zeros(len(quotas), dtype=bool)
        most = np.inf if budget is None else float(budget)
        return cls(
            of.reshape(-1), member, found % step, found // step, low, high, share, tokens, most
        )

    def count(self, rows: np.ndarray) -> np.ndarray:
        """(c,) How many of some rows are in each cell."""
        return np.bincount(self.of[rows], minlength=len(self.cost))

    def at(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """The fewest and the most rows of each quota when ``size`` rows are chosen."""
        low = np.where(self.share, np.ceil(self.low * size - ROOM), self.low)
        return low, np.where(self.share, np.floor(self.high * size + ROOM), self.high)

    def complete(
        self, held: np.ndarray, room: np.ndarray, sizes: tuple[float, float]
    ) -> np.ndarray | None:
        """(c,) How many rows more to take from each cell so that all is met; None if none can.

        At the lowest cost; where nothing costs, as many rows as possible.

        Args:
            held: (c,) how many are taken already.
            room: (c,) how many more there are.
            sizes: the fewest and the most rows in all, with those that are held.
        """
        if sizes[0] > sizes[1]:
            return None
        free = self._enough(held, room, sizes)
        active = np.flatnonzero(free | held)
        table, floors, ceilings = self._table(sizes, active)
        now = table @ held[active]
        floors, ceilings, free = floors - now, ceilings - now, free[active]
        counts = np.zeros(len(held), dtype=np.int64)
        costs = self.cost[active].astype(float)
        if not free.any():
            fits = (floors <= ROOM).all() and (ceilings >= -ROOM).all()
            return counts if fits else None
        goal = costs if costs.any() else np.full(len(active), -1.0)
        found = _solve(table, floors, ceilings, free.astype(float), goal)
        if found is None:
            return None
        counts[active] = found
        return counts

    def _enough(self, held: np.ndarray, room: np.ndarray, sizes: tuple[float, float]) -> np.ndarray:
        """(c,) How many rows of each cell a completion may need.

        Of cells that differ in their cost alone a cheaper row does all that a dearer one does, so
        only the cheapest rows count, as many as a minimum asks for.
        """
        if not self.cost.any():
            return room
        lacking = np.maximum(self.low - self.member @ held, 0)
        need = np.where(self.member, lacking[:, None], 0).max(axis=0, initial=0)
        need = np.maximum(need, sizes[0] - held.sum())
        before = np.cumsum(room) - room  # cells stand by group, then by cost
        before -= before[np.searchsorted(self.group, self.group)]
        return np.asarray(np.clip(need - before, 0, room).astype(np.int64))

    def _table(
        self, sizes: tuple[float, float], active: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Size, quotas and budget as floors ≤ table · counts ≤ ceilings, a column an active cell.

        Where the size is open, a share s of the rows is (members − s · all) · counts ≥ 0 or ≤ 0.
        """
        member, cost = self.member[:, active].astype(float), self.cost[active].astype(float)
        exact = sizes[0] == sizes[1]
        low, high = self.at(int(sizes[0])) if exact else (self.low, self.high)
        floating = np.zeros(len(low), dtype=bool) if exact else self.share
        capped = floating & np.isfinite(high)
        below = member - np.where(floating, low, 0.0)[:, None]
        above = member - np.where(capped, high, 0.0)[:, None]
        costly = np.isfinite(self.tokens)
        table = np.concatenate(
            [np.ones((1, len(active))), below, above, cost[None], member[costly] * cost]
        )
        none = np.full(len(table) - 1 - len(low), -np.inf)
        floors = np.concatenate([[sizes[0]], np.where(floating, 0.0, low), none])
        ceilings = np.concatenate(
            [
                [sizes[1]],
                np.full(len(low), np.inf),
                np.where(capped, 0.0, high),
                [self.budget],
                self.tokens[costly],
            ]
        )
        return table, floors, ceilings


def _solve(
    table: np.ndarray, floors: np.ndarray, ceilings: np.ndarray, free: np.ndarray, goal: np.ndarray
) -> np.ndarray | None:
    """Whole numbers from 0 to ``free`` with the smallest ``goal``; None if there are none."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    found = milp(
        goal,
        integrality=np.ones(len(goal)),
        bounds=Bounds(np.zeros(len(free)), free),
        constraints=LinearConstraint(table, floors, ceilings),
        options={"mip_rel_gap": 0.0},
    )
    return None if found.x is None else np.rint(found.x).astype(np.int64)


def clash(rows: np.ndarray, size: int | None, constraints: Constraints, n: int) -> str | None:
    """Say why some rows do not meet constraints, and what is possible; None where they do.

    Args:
        rows: the rows that can be chosen, those that must be among them.
        size: how many are wanted; under a budget in tokens the most, or None.
        constraints: what must be met, checked.
        n: how many rows the pool has.
    """
    must = given_rows(constraints.must_have)
    plain = not constraints.quotas and constraints.max_tokens is None and not len(must)
    if plain and size is not None and 0 < size <= len(rows):
        return None
    out = must[~np.isin(must, rows)]
    if len(out):
        named = ", ".join(map(str, out[:5].tolist())) + (", …" if len(out) > 5 else "")
        return f"'must_have' names rows that cannot be chosen: {named}. Leave them out."
    if not len(rows):
        return "No row of the pool can be chosen."
    program, most = Program.build(constraints, n), np.inf if size is None else size
    held = program.count(must)
    room = program.count(rows) - held
    budgeted = constraints.max_tokens is not None
    if program.complete(held, room, (1 if budgeted else most, most)) is not None:
        return None
    free = replace(program, tokens=np.full(len(program.tokens), np.inf), budget=np.inf)
    least = free.complete(held, room, (1, most))
    advice = "No other budget helps: relax a constraint."
    if budgeted and least is not None:
        needed = int((held + least) @ program.cost)
        advice = f"The minimums need {needed:,} tokens at least: raise the budget, or relax one."
    if not budgeted:
        fewer = program.complete(held, room, (1, most - 1))
        advice = "No smaller size helps: relax a constraint."
        if fewer is not None:
            relax = ", or relax a constraint" if any(asked_words(constraints, None)) else ""
            largest = int((held + fewer).sum())
            advice = f"The largest feasible size is {largest:,}: ask for that{relax}."
    if size is not None and size > len(rows) and not budgeted:
        return f"'size' asks for {size:,} rows, and {len(rows):,} can be selected. {advice}"
    return f"{constraint_words(constraints, size, rows)} {advice}"


def choose(line: np.ndarray, size: int | None, constraints: Constraints, n: int) -> Chosen | None:
    """Take rows, best first, so that every constraint is met; None where that cannot be.

    The rows that must be chosen come first, in the order that they are named in. Rows that are
    ruled out by score, name, reason or near-duplicate are `eligible_rows`' business.

    Args:
        line: (e,) row numbers that can be chosen, best first, without those that must be.
        size: how many rows; under a budget in tokens the most rows, or None.
        constraints: what must be met, checked.
        n: how many rows the pool has.
    """
    must = given_rows(constraints.must_have)
    notes = dict.fromkeys(must.tolist(), "must be chosen")
    if constraints.max_tokens is None and not constraints.quotas:
        assert size is not None
        if not len(must) <= size <= len(must) + len(line):
            return None
        return Chosen(np.concatenate([must, line[: size - len(must)]]), notes)
    program = Program.build(constraints, n)
    walk = _Walk(program, line, must, size, constraints)
    if not walk.possible:
        return None
    taken = walk.take()
    last = taken[-1] if len(taken) else -1
    passed = {why: places[places < last] for why, places in walk.passed().items()}
    passed = {why: places for why, places in passed.items() if len(places)}
    kept = passed[_KEPT][0] if _KEPT in passed else len(line)
    for row in line[taken[taken > kept]].tolist():
        quotas = zip(constraints.quotas, program.member[:, program.of[row]], strict=True)
        asked = [quota.words for quota, counts in quotas if counts and quota.minimum]
        notes[row] = f"for the minimum of {asked[0]}" if asked else "within the constraints"
    rows = line[taken]
    if size is not None and constraints.max_tokens is None:
        rows = _minimums_first(rows, must, size, program)
    in_turn = sorted(passed.items(), key=lambda one: int(one[1][0]))
    dropped = {why: line[places].astype(np.int64) for why, places in in_turn}
    return Chosen(np.concatenate([must, rows]), notes, dropped)


class _Walk:
    """Rows taken in order: what is held, what there is room for, which cells are closed and why."""

    def __init__(
        self,
        program: Program,
        line: np.ndarray,
        must: np.ndarray,
        size: int | None,
        constraints: Constraints,
    ) -> None:
        self._program, self._quotas = program, constraints.quotas
        self._most = len(line) + len(must) if size is None else size
        self._exact = constraints.max_tokens is None
        self._sizes = (self._most if self._exact else 1, self._most)
        self._low, self._high = program.at(self._most)
        self._member = program.member.astype(np.int64)
        self._cell = program.of[line]
        self._held, self._room = program.count(must), program.count(line)
        self._open = np.ones(len(self._held), dtype=bool)
        self._why = np.full(len(self._held), "", dtype=object)
        self._taken = np.zeros(len(line), dtype=bool)
        plan = program.complete(self._held, self._room, self._sizes)
        self.possible = plan is not None
        # without a budget the cheapest completion says how much the budget lacks; where quotas cap
        # tokens, the cheapest for one may be too dear for the other
        capped = np.isfinite(program.tokens).any()
        self._unbounded = program if capped else replace(program, budget=np.inf)
        self._over = np.inf
        self._plan = np.zeros_like(self._held) if plan is None else plan

    def take(self) -> np.ndarray:
        """The places of the line that are taken."""
        at = 0
        while at < len(self._cell) and self._held.sum() < self._most:
            run = at + np.flatnonzero(self._open[self._cell[at : at + RUN]])
            run = run[: self._most - int(self._held.sum())]
            m = self._longest(self._cell[run])
            self._taken[run[:m]] = True
            more = np.bincount(self._cell[run[:m]], minlength=len(self._held))
            self._held, self._room = self._held + more, self._room - more
            at += RUN
            if m < len(run):
                self._close(int(self._cell[run[m]]))
                at = int(run[m]) + 1
        return np.flatnonzero(self._taken)

    def passed(self) -> dict[str, np.ndarray]:
        """Why places of the line are not taken though their cell was tried, and which those are."""
        out = ~self._taken & ~self._open[self._cell]
        reasons = dict.fromkeys(self._why[~self._open].tolist())
        return {why: np.flatnonzero(out & (self._why == why)[self._cell]) for why in reasons}

    def _longest(self, cells: np.ndarray) -> int:
        """How many of the next rows, given by their cells, can be taken one after the other.

        By counting, as far as the plan goes; beyond it the program is asked for another plan.
        """
        out = self._in_place_of(cells)
        high = self._within(cells, np.full_like(out, -1), self._held)
        low = min(high, self._within(cells, out, self._held + self._plan))
        used = out[:low][out[:low] >= 0]
        self._plan = self._plan - np.bincount(used, minlength=len(self._plan))
        step = 1
        while low < high:  # what can be completed is a start of the run: gallop, then halve
            middle = min(low + step, (low + high + 1) // 2)
            if self._can(cells[:middle]):
                low, step = middle, 2 * step
            else:
                high = middle - 1
        return low

    def _in_place_of(self, cells: np.ndarray) -> np.ndarray:
        """The cell whose planned row each of the next rows takes the place of, −1 for none.

        First one of its own cell; then the dearest of its group that no row of its own cell takes.
        """
        plan, group = self._plan, self._program.group
        out = np.where(_rank(cells) < plan[cells], cells, -1)
        spare = plan - np.minimum(plan, np.bincount(cells, minlength=len(plan)))
        planned = np.repeat(np.arange(len(plan)), spare)[::-1]  # groups last first, dearest first
        more = np.flatnonzero(out < 0)
        start = np.searchsorted(-group[planned], -group[cells[more]])
        at = start + _rank(group[cells[more]])
        there = np.bincount(group[planned], minlength=int(group[-1]) + 1)
        fits = at < start + there[group[cells[more]]]
        out[more[fits]] = planned[at[fits]]
        return out

    def _within(self, cells: np.ndarray, out: np.ndarray, held: np.ndarray) -> int:
        """How many of the next rows fit under maximums and budget, by counting alone.

        Args:
            cells: of the rows.
            out: the cells of which a row is given up for each, −1 for none.
            held: (c,) what is held or planned before them.
        """
        program, member, cost = self._program, self._member[:, cells], self._program.cost[cells]
        added = out < 0
        cost = cost - np.where(added, 0, program.cost[out])
        rows, spent = self._member @ held, self._member @ (held * program.cost)
        fits = (
            (rows[:, None] + np.cumsum(member * added, axis=1) <= self._high[:, None]).all(axis=0)
            & (spent[:, None] + np.cumsum(member * cost, axis=1) <= program.tokens[:, None]).all(0)
            & (held @ program.cost + np.cumsum(cost) <= program.budget)
            & (held.sum() + np.cumsum(added) <= self._most)
        )
        return len(cells) if fits.all() else int(fits.argmin())

    def _can(self, cells: np.ndarray) -> bool:
        """Whether what is held, with these rows more, can be completed; if so, plan for that."""
        more = np.bincount(cells, minlength=len(self._held))
        held, cost = self._held + more, self._program.cost
        plan = self._unbounded.complete(held, self._room - more, self._sizes)
        over = np.inf if plan is None else float((held + plan) @ cost - self._program.budget)
        if plan is None or over > 0:
            self._over = over
            return False
        self._plan = plan
        return True

    def _close(self, cell: int) -> None:
        """Close a cell that nothing more can come from, and the dearer ones of its group.

        Where it is the minimums that keep it out, the cheapest completion says how much a row may
        cost: with dearer ones of its group it is over the budget, and it becomes no cheaper. Where
        quotas cap tokens, that is known of this cost alone.
        """
        program, cost = self._program, self._program.cost
        counted = program.member[:, cell]
        full = counted & (self._member @ self._held + 1 > self._high)
        spent = self._member @ (self._held * cost)
        left = program.budget - int(self._held @ cost)
        most = min(left, np.where(counted, program.tokens - spent, np.inf).min(initial=np.inf))
        least = float(cost[cell])
        if full.any():
            least = 0
        elif cost[cell] > most:
            least = most + 1
        elif not np.isfinite(program.tokens).any():
            least = max(least - self._over + 1, 0)
        first, stop = np.searchsorted(program.group, program.group[cell] + np.arange(2)).tolist()
        for which in range(first + int(np.searchsorted(cost[first:stop], least)), stop):
            if self._open[which]:
                over_caps = full | (counted & (spent + cost[which] > program.tokens))
                self._open[which], self._room[which] = False, 0
                self._why[which] = _TOO_LONG if cost[which] > left else _KEPT
                if over_caps.any():
                    quota = self._quotas[int(over_caps.argmax())]
                    self._why[which] = f"over the maximum of {quota.words}"


def _rank(labels: np.ndarray) -> np.ndarray:
    """(m,) How many equal labels stand before each."""
    order = np.argsort(labels, kind="stable")
    rank = np.empty(len(labels), dtype=np.int64)
    rank[order] = np.arange(len(labels)) - np.searchsorted(labels[order], labels[order])
    return rank


def _minimums_first(rows: np.ndarray, must: np.ndarray, size: int, program: Program) -> np.ndarray:
    """The best rows of each minimum, then the others, both in order, where the sets nest.

    They do where rows alone are counted, and none by two quotas (but for the same one).
    """
    if (np.unique(program.member, axis=0).sum(axis=0) > 1).any():
        return rows
    low, _ = program.at(size)
    lacking = np.where(program.member, low[:, None], 0).max(axis=0, initial=0)
    lacking = lacking - program.count(must)
    needed = np.zeros(len(rows), dtype=bool)
    for at, cell in enumerate(program.of[rows].tolist()):
        needed[at] = lacking[cell] > 0
        lacking[cell] -= 1
    return np.concatenate([rows[needed], rows[~needed]])
