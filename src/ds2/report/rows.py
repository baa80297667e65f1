"""Rows to look at: what curation changed, what is near the cut, and random rows of both sides."""

import numpy as np

from ds2.report.model import Table, table
from ds2.report.results import Chosen, Results
from ds2.report.words import excerpt, join, short

__all__ = ["rows_table"]

#: Rows of each kind that are shown, and characters of each text.
EACH, TEXT = 25, 150


def rows_table(found: Chosen) -> Table:
    """Rows of every kind that a reader may want to judge; at most six times 25."""
    kinds = _kinds(found)
    stability = found.stability if isinstance(found, Results) else None
    stable = () if stability is None else stability.tolist()
    again = dict(zip(found.selection.rows.tolist(), stable, strict=bool(stable)))
    ids, sources, lengths = found.pool.ids, found.pool.sources, found.pool.lengths
    place = iter(found.pool.take([row for _, rows in kinds for row in rows]).texts())
    lines = [
        (
            short(ids[row], 40),
            kind,
            short(sources[row] or "", 30),
            *(values[row] for values in found.scores.values()),
            *((again.get(row),) if again else ()),
            int(lengths[row]),
            short(join(excerpt(next(place), TEXT)), TEXT + 40),
        )
        for kind, rows in kinds
        for row in rows
    ]
    known = "".join(f"{name}: score, " for name in found.scores)
    chosen = "selected again: share, " if again else ""
    return table(
        "rows",
        "Rows to look at",
        f"example, which, source, {known}{chosen}characters, text",
        lines,
        says=f"{_CHANGED if found.scores else _LAST}, and random rows of both sides.",
        sifted=True,
    )


_CHANGED = "The scores that changed most, the rows just inside and outside of the selection"
_LAST = "The rows that were selected last"


def _kinds(found: Chosen) -> list[tuple[str, list[int]]]:
    rows = found.selection.rows
    inside = np.zeros(len(found.pool), dtype=bool)
    inside[rows] = True
    outside = ~inside
    kinds: dict[str, list[int]] = {}
    if found.scores:
        raw, curated = found.scores["raw"], found.scores["curated"]
        outside &= np.isfinite(curated)
        kinds |= _changed(raw, curated, inside)
    kinds["at the cut, selected"] = rows[-EACH:].tolist()
    if found.scores:
        kinds["at the cut, not selected"] = _near(found, curated, np.flatnonzero(outside))
    rng = np.random.default_rng(0)

    def some(of: np.ndarray) -> list[int]:
        drawn = rng.choice(of, min(EACH, len(of)), replace=False)
        return [int(row) for row in np.sort(drawn)]

    kinds["random, selected"] = some(rows)
    kinds["random, not selected"] = some(np.flatnonzero(outside))
    return list(kinds.items())


def _changed(raw: np.ndarray, curated: np.ndarray, inside: np.ndarray) -> dict[str, list[int]]:
    """The rows whose scores changed most."""
    change = np.nan_to_num(np.abs(curated - raw))
    most = np.lexsort((np.arange(len(raw)), -change))[:EACH].tolist()
    changed = [row for row in most if change[row]]
    return {
        "changed, selected": [row for row in changed if inside[row]],
        "changed, not selected": [row for row in changed if not inside[row]],
    }


def _near(found: Chosen, curated: np.ndarray, outside: np.ndarray) -> list[int]:
    """The rows outside whose scores are nearest to the lowest one inside."""
    chosen = curated[found.selection.rows]
    lowest = float(np.nanmin(chosen)) if np.isfinite(chosen).any() else np.nan
    order = np.lexsort((-found.tail[outside], np.abs(curated[outside] - lowest)))
    return [int(row) for row in outside[order][:EACH]]
