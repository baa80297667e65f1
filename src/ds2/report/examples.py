"""The few examples that a report shows with their texts; no other text is ever fetched."""

import numpy as np

from ds2.curation import Curation
from ds2.neighbors import Neighbors
from ds2.pool import Pool
from ds2.report.numbers import (
    Correction,
    DuplicateGroup,
    DuplicateNumbers,
    Excerpt,
    NearText,
    Pick,
)
from ds2.report.tables import number
from ds2.report.text import excerpt
from ds2.selection import Selection

__all__ = ["corrections", "duplicate_numbers", "first_picks", "pick_of"]

_MOST_ID = 80
_MOST_REASON = 200


def _shown(pool: Pool, row: int, limit: int) -> tuple[str, str | None, Excerpt]:
    example = pool[row]
    source = None if example.source is None else _short(example.source)
    return _short(example.id), source, excerpt(example.text(), limit)


def _short(text: str, limit: int = _MOST_ID) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def corrections(
    pool: Pool,
    raw: np.ndarray,
    curation: Curation,
    neighbors: Neighbors,
    *,
    truth: np.ndarray | None,
    n_examples: int,
    n_near: int = 5,
) -> tuple[Correction, ...]:
    """Return the changed scores, one of each group of duplicates.

    The most confident come first, among equally confident ones the largest changes.
    """
    curated = curation.scores
    confidence = curation.confidence
    changed = np.flatnonzero(np.isfinite(raw) & np.isfinite(curated) & (curated != raw))
    sure = np.zeros(len(changed)) if confidence is None else np.nan_to_num(confidence[changed])
    rows = changed[np.lexsort((changed, -np.abs(curated - raw)[changed], -sure))]
    if neighbors.groups is not None:
        _, first = np.unique(neighbors.groups[rows], return_index=True)
        rows = rows[np.sort(first)]
    entry_scores = neighbors.entry_scores(raw)
    shown = []
    for row in (int(row) for row in rows[:n_examples]):
        name, source, text = _shown(pool, row, 700)
        shown.append(
            Correction(
                row=row,
                id=name,
                source=source,
                observed=number(raw[row]),
                curated=number(curated[row]),
                confidence=None if confidence is None else number(confidence[row]),
                true=None if truth is None else number(truth[row]),
                text=text,
                neighbors=_near(pool, row, neighbors, entry_scores, n_near),
            )
        )
    return tuple(shown)


def _near(
    pool: Pool, row: int, neighbors: Neighbors, entry_scores: np.ndarray, n_near: int
) -> tuple[NearText, ...]:
    near = []
    for place in range(min(n_near, neighbors.k)):
        other = int(neighbors.indices[row, place])
        name, _, text = _shown(pool, other, 300)
        distance = float(neighbors.distances[row, place])
        near.append(NearText(other, name, number(entry_scores[other]), distance, text))
    return tuple(near)


def duplicate_numbers(
    pool: Pool, raw: np.ndarray, groups: np.ndarray | None, *, n_examples: int = 5
) -> DuplicateNumbers:
    """Count groups of exact duplicates, how often their scores differ, and show the largest."""
    if groups is None:
        return DuplicateNumbers(0, 0, 0, 0, ())
    labels, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    rated = np.isfinite(raw)
    n_rated = np.bincount(codes[rated], minlength=len(labels))
    lowest, highest = np.full(len(labels), np.inf), np.full(len(labels), -np.inf)
    np.minimum.at(lowest, codes[rated], raw[rated])
    np.maximum.at(highest, codes[rated], raw[rated])
    twice = n_rated > 1
    repeated = np.flatnonzero(sizes > 1)
    order = repeated[np.lexsort((labels[repeated], -sizes[repeated]))][:n_examples]
    first = np.full(len(labels), len(groups))
    np.minimum.at(first, codes, np.arange(len(groups)))
    largest = []
    for group in (int(group) for group in order):
        name, _, text = _shown(pool, int(first[group]), 200)
        largest.append(
            DuplicateGroup(
                row=int(first[group]),
                id=name,
                size=int(sizes[group]),
                lowest=number(lowest[group]),
                highest=number(highest[group]),
                text=text,
            )
        )
    return DuplicateNumbers(
        n_groups=len(repeated),
        n_rows=int(sizes.sum() - len(labels)),
        n_rated_apart=int((twice & (lowest < highest)).sum()),
        n_groups_rated=int(twice.sum()),
        largest=tuple(largest),
    )


def first_picks(pool: Pool, selection: Selection, *, n_examples: int = 10) -> tuple[Pick, ...]:
    """Show the first rows in pick order, with the reason for each."""
    first = zip(selection.rows[:n_examples].tolist(), selection.reasons, strict=False)
    return tuple(pick_of(pool, row, rank, why) for rank, (row, why) in enumerate(first, start=1))


def pick_of(pool: Pool, row: int, rank: int, reason: str) -> Pick:
    """Show one selected row."""
    name, source, text = _shown(pool, row, 240)
    return Pick(rank, row, name, source, _short(reason, _MOST_REASON), text)
