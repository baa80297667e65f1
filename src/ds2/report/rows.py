"""Rows to look at: what curation changed, what is near the cut, and random rows of both sides."""

import numpy as np

from ds2.report.model import Table, table
from ds2.report.results import Results
from ds2.report.words import excerpt, join, short

__all__ = ["rows_table"]

#: Rows of each kind that are shown, and characters of each text.
EACH, TEXT = 25, 150


def rows_table(found: Results) -> Table:
    """Rows of every kind that a reader may want to judge; at most six times 25."""
    kinds = _kinds(found)
    truth = found.truth
    stable = () if found.stability is None else found.stability.tolist()
    again = dict(zip(found.selection.rows.tolist(), stable, strict=bool(stable)))
    ids, sources, lengths = found.pool.ids, found.pool.sources, found.pool.lengths
    place = iter(found.pool.take([row for _, rows in kinds for row in rows]).texts())
    lines = [
        (
            short(ids[row], 40),
            kind,
            short(sources[row] or "", 30),
            found.raw[row],
            found.curation.scores[row],
            *(() if truth is None else (truth[row],)),
            *((again.get(row),) if again else ()),
            int(lengths[row]),
            short(join(excerpt(next(place), TEXT)), TEXT + 40),
        )
        for kind, rows in kinds
        for row in rows
    ]
    known = "" if truth is None else "true: score, "
    chosen = "selected again: share, " if again else ""
    return table(
        "rows",
        "Rows to look at",
        f"example, which, source, raw: score, curated: score, {known}{chosen}characters, text",
        lines,
        says="The scores that changed most, the rows just inside and outside of the selection, and "
        "random rows of both sides.",
        sifted=True,
    )


def _kinds(found: Results) -> list[tuple[str, list[int]]]:
    rows, raw, curated = found.selection.rows, found.raw, found.curation.scores
    inside = np.zeros(len(raw), dtype=bool)
    inside[rows] = True
    change = np.nan_to_num(np.abs(curated - raw))
    changed = np.lexsort((np.arange(len(raw)), -change))[:EACH]
    outside = np.flatnonzero(~inside & np.isfinite(curated))
    rng = np.random.default_rng(0)

    def some(of: np.ndarray) -> list[int]:
        drawn = rng.choice(of, min(EACH, len(of)), replace=False)
        return [int(row) for row in np.sort(drawn)]

    lowest = float(np.nanmin(curated[rows])) if np.isfinite(curated[rows]).any() else np.nan
    near = outside[np.lexsort((-found.tail[outside], np.abs(curated[outside] - lowest)))][:EACH]
    kinds = {
        "changed, selected": [row for row in changed.tolist() if change[row] and inside[row]],
        "changed, not selected": [
            row for row in changed.tolist() if change[row] and not inside[row]
        ],
        "at the cut, selected": rows[-EACH:].tolist(),
        "at the cut, not selected": near.tolist(),
        "random, selected": some(rows),
        "random, not selected": some(outside),
    }
    return [(kind, [int(row) for row in some]) for kind, some in kinds.items()]
