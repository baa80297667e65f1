"""Why constraints cannot be met together: a smallest set that clashes, and what would be possible.

The set is found by leaving out one constraint after another and keeping those without which the
rest could be met (a deletion filter; Chinneck and Dravnieks 1991). So the constraints that it names
cannot be met together, and without any one of them the others can.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ds2.selection.constraint_cells import Cells, Limits, complete, cut_cells, limits_for
from ds2.selection.constraints import Constraints, shown_label

__all__ = ["Conflict", "Part", "find_conflict"]

#: Part of the constraints: what it is, and which one (a quota's number, a reason).
Part = tuple[str, int | str]
_FILTERS = ("near_duplicate", "min_score", "blocked", "must_not", "must_have")


@dataclass(frozen=True, slots=True)
class Conflict:
    """Constraints that cannot be met together.

    Attributes:
        parts: a smallest set of them: pairs of what it is ("size", "max_tokens", "minimum",
            "maximum", "must_have", "must_not", "blocked", "min_score", "near_duplicate") and
            which one (the number of a quota, a reason to block; 0 where there is only one).
        sentence: the same in words, with what would be possible.
        largest: the largest feasible size below the size asked for, if there is one.
        smallest: where there is none, the smallest feasible size above it; under a budget the
            tokens that the minimums need at least.
    """

    parts: tuple[Part, ...]
    sentence: str
    largest: int | None = None
    smallest: int | None = None


def find_conflict(
    n: int,
    size: int | None,
    constraints: Constraints,
    rows: np.ndarray,
    rows_under: Callable[[Constraints], np.ndarray],
) -> Conflict | None:
    """Say which constraints clash and what is possible instead; None where all can be met.

    Args:
        n: rows of the pool.
        size: rows to choose, or the most of them under a budget in tokens.
        constraints: checked constraints.
        rows: the rows that are left under them, those that must be chosen among them.
        rows_under: gives the rows that are left under other constraints.
    """
    cells, limits = cut_cells(constraints, n), limits_for(constraints)
    question = _Question(size, constraints, cells, limits, rows_under)
    parts = question.parts()
    every = frozenset(parts)
    left = {_filters(every): rows}
    if question.possible(every, left):
        return None
    if not question.possible(frozenset(), left):
        return Conflict((), "No row of the pool can be chosen.")
    before = None
    while before != every:  # again: fewer rows that must be chosen can leave fewer duplicates
        before = every
        for part in parts:
            if part in every and not question.possible(every - {part}, left):
                every -= {part}
    clash = tuple(part for part in parts if part in every)
    words = [question.words(part) for part in clash]
    largest, smallest = question.instead(rows)
    sentence = (
        f"'size' asks for {size:,} rows, and {len(left[_filters(every)]):,} can be selected."
        if clash == (("size", 0),)
        else f"The constraint {words[0]} cannot be met."
        if len(words) == 1
        else f"The constraints {', '.join(words[:-1])} and {words[-1]} cannot be met together."
    )
    return Conflict(clash, f"{sentence} {question.advice(largest, smallest)}", largest, smallest)


def _rows(count: float | None) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _filters(parts: frozenset[Part]) -> frozenset[Part]:
    return frozenset(part for part in parts if part[0] in _FILTERS)


@dataclass(frozen=True, slots=True)
class _Question:
    """Constraints, of which some may be left out."""

    size: int | None
    constraints: Constraints
    cells: Cells
    limits: Limits
    rows_under: Callable[[Constraints], np.ndarray]

    def parts(self) -> list[Part]:
        """Every part of the constraints; the first are left out first."""
        given = self.constraints
        found: list[Part] = []
        if given.near_duplicate is not None:
            found.append(("near_duplicate", 0))
        if given.min_score is not None:
            found.append(("min_score", 0))
        found += [("blocked", reason) for reason, rows in given.blocked.items() if len(rows)]
        found += [(name, 0) for name in ("must_not", "must_have") if len(self._named(name))]
        found += [("maximum", q) for q, one in enumerate(given.quotas) if one.maximum is not None]
        found += [("minimum", q) for q, one in enumerate(given.quotas) if one.minimum]
        if given.max_tokens is not None:
            found.append(("max_tokens", 0))
        if self.size is not None:
            found.append(("size", 0))
        return found

    def words(self, part: Part) -> str:
        """A part as a sentence names it."""
        kind, which = part
        given = self.constraints
        if kind in {"minimum", "maximum"}:
            quota = given.quotas[int(which)]
            end = quota.minimum if kind == "minimum" else quota.maximum
            unit = _rows(end) if quota.of == "rows" else f"a share of {end:g}"
            least = "at least" if kind == "minimum" else "at most"
            return f"{least} {unit} of {quota.name} {shown_label(quota.label)}"
        if kind == "blocked":
            return f"{_rows(len(given.blocked[str(which)]))} blocked as {shown_label(which)}"
        if kind in {"must_have", "must_not"}:
            return f"{kind} ({_rows(len(self._named(kind)))})"
        if kind == "size":
            return f"size = {self.size:,}"
        return f"{kind} = {getattr(given, kind):,}"

    def possible(self, parts: frozenset[Part], left: dict[frozenset[Part], np.ndarray]) -> bool:
        """Whether some rows meet these parts; ``left`` remembers the rows under each set."""
        filters = _filters(parts)
        if filters not in left:
            left[filters] = self.rows_under(self._filtered(filters))
        must = self._named("must_have") if ("must_have", 0) in parts else np.empty(0, np.int64)
        size = self.size if ("size", 0) in parts else None
        most = np.inf if size is None else size
        exact = size is not None and self.constraints.max_tokens is None
        sizes = (most if exact else 1, most)
        return self._taken(self._limits(parts), must, left[filters], sizes) is not None

    def instead(self, rows: np.ndarray) -> tuple[int | None, int | None]:
        """The largest feasible size below, or else the smallest above; or the smallest budget."""
        must = self._named("must_have")
        if self.constraints.max_tokens is not None:
            free = np.full(len(self.limits.tokens), np.inf)
            limits = replace(self.limits, tokens=free, budget=np.inf)
            sizes = (1, np.inf if self.size is None else self.size)
            found = self._taken(limits, must, rows, sizes)
            return None, None if found is None else int(found @ self.cells.cost)
        if self.size is None:
            return None, None
        below = self._taken(self.limits, must, rows, (1, self.size - 1))
        if below is not None:
            return int(below.sum()), None
        above = self._taken(self.limits, must, rows, (self.size + 1, np.inf), fewest=True)
        return None, None if above is None else int(above.sum())

    def advice(self, largest: int | None, smallest: int | None) -> str:
        """What to do about it, in words."""
        if largest is not None:
            return f"The largest feasible size is {largest:,}: ask for that, or relax a constraint."
        if smallest is None:
            what = "size" if self.constraints.max_tokens is None else "budget"
            return f"No other {what} helps: relax a constraint."
        if self.constraints.max_tokens is None:
            return (
                f"The smallest feasible size is {smallest:,}: ask for that, or relax a constraint."
            )
        return f"The minimums need {smallest:,} tokens at least: raise the budget, or relax one."

    def _named(self, name: str) -> np.ndarray:
        rows = getattr(self.constraints, name)
        return np.empty(0, np.int64) if rows is None else np.asarray(rows)

    def _filtered(self, filters: frozenset[Part]) -> Constraints:
        given, kinds = self.constraints, {kind for kind, _ in filters}
        return replace(
            given,
            near_duplicate=given.near_duplicate if "near_duplicate" in kinds else None,
            min_score=given.min_score if "min_score" in kinds else None,
            must_not=given.must_not if "must_not" in kinds else None,
            must_have=given.must_have if "must_have" in kinds else None,
            blocked={
                reason: rows
                for reason, rows in given.blocked.items()
                if ("blocked", reason) in filters
            },
        )

    def _limits(self, parts: frozenset[Part]) -> Limits:
        quotas = range(len(self.constraints.quotas))
        floor = np.array([("minimum", q) in parts for q in quotas], dtype=bool)
        roof = np.array([("maximum", q) in parts for q in quotas], dtype=bool)
        return replace(
            self.limits,
            low=np.where(floor, self.limits.low, 0.0),
            high=np.where(roof, self.limits.high, np.inf),
            tokens=np.where(roof, self.limits.tokens, np.inf),
            budget=self.limits.budget if ("max_tokens", 0) in parts else np.inf,
        )

    def _taken(
        self,
        limits: Limits,
        must: np.ndarray,
        rows: np.ndarray,
        sizes: tuple[float, float],
        *,
        fewest: bool = False,
    ) -> np.ndarray | None:
        """(c,) How many rows of each cell to take so that all is met; None if none can be."""
        if not np.isin(must, rows).all():
            return None  # they are ruled out, whatever the size
        held = self.cells.count(must)
        room = self.cells.count(rows) - held
        more = complete(self.cells, limits, held=held, room=room, sizes=sizes, fewest=fewest)
        return None if more is None else held + more
