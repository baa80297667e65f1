"""What a report counts over the whole pool: arrays in, small frozen numbers out.

Every function works on arrays at once, so that a million examples cost seconds. A curated score
may be a real number; where it is counted, it counts for the nearest score.
"""

import itertools
from collections.abc import Sequence

import numpy as np

from ds2.levels import nearest_level
from ds2.report.numbers import Estimate, ScoreLevel, SharedBy, Spread, TailNumbers

__all__ = [
    "by_length",
    "by_score",
    "by_source",
    "mean",
    "moves",
    "number",
    "rating_words",
    "score_levels",
    "spread",
    "tail_numbers",
    "to_levels",
]

_MOST_SOURCES = 20


def number(value: object) -> float | None:
    """Return a plain float, or None for what is missing or not finite."""
    if value is None:
        return None
    result = float(np.asarray(value, dtype=np.float64))
    return result if np.isfinite(result) else None


def mean(values: np.ndarray) -> float | None:
    """Return the mean of the finite values, None when there is none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else None


def spread(values: np.ndarray) -> Spread | None:
    """Return five quantiles and the mean of the finite values, None when there is none."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return None
    low, lower, median, upper, high = np.quantile(finite, (0.0, 0.25, 0.5, 0.75, 1.0)).tolist()
    return Spread(low, lower, median, upper, high, mean=float(finite.mean()))


def to_levels(scores: np.ndarray, n_scores: int) -> np.ndarray:
    """Return (n,) int64 score levels, the nearest one to a real score, and −1 where unrated."""
    present = np.isfinite(scores)
    nearest = np.clip(nearest_level(np.where(present, scores, 0.0)), 0, n_scores - 1)
    return np.where(present, nearest, -1.0).astype(np.int64)


def rating_words(low: float, high: float, cuts: Sequence[float]) -> tuple[str, ...]:
    """Say which ratings each score stands for: ("1 to 4", "5", …)."""
    if low % 1 == 0 and high % 1 == 0 and all(cut % 1 == 0.5 for cut in cuts):
        starts = [low, *(cut + 0.5 for cut in cuts)]
        ends = [*(cut - 0.5 for cut in cuts), high]
        return tuple(
            f"{start:g}" if start == end else f"{start:g} to {end:g}"
            for start, end in zip(starts, ends, strict=True)
        )
    if not cuts:
        return (f"{low:g} to {high:g}",)
    inner = [f"above {a:g}, up to {b:g}" for a, b in itertools.pairwise(cuts)]
    return (f"up to {cuts[0]:g}", *inner, f"above {cuts[-1]:g}")


def score_levels(
    raw: np.ndarray,
    curated: np.ndarray,
    *,
    words: Sequence[str],
    priors: Sequence[Estimate],
    effective: Sequence[float | None],
) -> tuple[ScoreLevel, ...]:
    """Count raw and curated levels (−1: unrated) beside the prior of each score."""
    n_scores = len(priors)
    before = np.bincount(raw[raw >= 0], minlength=n_scores)
    after = np.bincount(curated[curated >= 0], minlength=n_scores)
    return tuple(
        ScoreLevel(
            score=level,
            ratings=words[level] if level < len(words) else str(level),
            raw=int(before[level]),
            curated=int(after[level]),
            prior=priors[level],
            effective_count=effective[level],
        )
        for level in range(n_scores)
    )


def moves(raw: np.ndarray, curated: np.ndarray, n_scores: int) -> tuple[tuple[int, ...], ...]:
    """Count levels a that became b: a table of n_scores rows and columns."""
    both = (raw >= 0) & (curated >= 0)
    flat = np.bincount(raw[both] * n_scores + curated[both], minlength=n_scores**2)
    return tuple(tuple(int(n) for n in row) for row in flat.reshape(n_scores, n_scores))


def _shared(labels: Sequence[str], codes: np.ndarray, rows: np.ndarray) -> tuple[SharedBy, ...]:
    pool = np.bincount(codes, minlength=len(labels))
    selected = np.bincount(codes[rows], minlength=len(labels))
    return tuple(
        SharedBy(label, int(a), int(b)) for label, a, b in zip(labels, pool, selected, strict=True)
    )


def by_score(levels: np.ndarray, rows: np.ndarray, n_scores: int) -> tuple[SharedBy, ...]:
    """Count levels in the pool and in the selection; unrated last, when there are any."""
    labels = [str(level) for level in range(n_scores)]
    table = _shared([*labels, "unrated"], np.where(levels < 0, n_scores, levels), rows)
    return table if table[-1].pool else table[:-1]


def _coded(sources: Sequence[str | None]) -> tuple[list[str | None], np.ndarray]:
    place: dict[str | None, int] = {}
    codes = np.fromiter(
        (place.setdefault(source, len(place)) for source in sources), np.int64, len(sources)
    )
    return list(place), codes


def by_source(sources: Sequence[str | None], rows: np.ndarray) -> tuple[SharedBy, ...]:
    """Count sources, largest first; the small ones together; nothing when none is named."""
    names, codes = _coded(sources)
    if all(name is None for name in names):
        return ()
    labels = ["(no source)" if name is None else name for name in names]
    table = sorted(_shared(labels, codes, rows), key=lambda row: (-row.pool, row.label))
    rest = table[_MOST_SOURCES:]
    if not rest:
        return tuple(table)
    together = SharedBy(
        f"({len(rest):,} smaller sources)",
        sum(row.pool for row in rest),
        sum(row.selected for row in rest),
    )
    return (*table[:_MOST_SOURCES], together)


def by_length(lengths: np.ndarray, rows: np.ndarray) -> tuple[SharedBy, ...]:
    """Count lengths in fifths of the pool; equal lengths stay together."""
    if not lengths.size:
        return ()
    inner = np.unique(np.quantile(lengths, (0.2, 0.4, 0.6, 0.8), method="lower"))
    codes = np.searchsorted(inner, lengths, side="left")
    used, codes = np.unique(codes, return_inverse=True)
    labels = []
    for code in range(len(used)):
        inside = lengths[codes == code]
        low, high = int(inside.min()), int(inside.max())
        labels.append(f"{low:,}" if low == high else f"{low:,} to {high:,}")
    return _shared(labels, codes, rows)


def tail_numbers(tail: np.ndarray, rows: np.ndarray, *, n_bins: int = 24) -> TailNumbers | None:
    """Count the long-tail score of pool and selection in equal bins."""
    pool_spread = spread(tail)
    if pool_spread is None:
        return None
    chosen = tail[rows]
    low, high = pool_spread.low, pool_spread.high
    if high <= low:
        edges = np.array([low, high])
        pool = [int(np.isfinite(tail).sum())]
        selected = [int(np.isfinite(chosen).sum())]
    else:
        counts, edges = np.histogram(tail[np.isfinite(tail)], bins=n_bins, range=(low, high))
        pool = [int(n) for n in counts]
        inside = chosen[np.isfinite(chosen)]
        selected = [int(n) for n in np.histogram(inside, bins=n_bins, range=(low, high))[0]]
    return TailNumbers(
        edges=tuple(float(edge) for edge in edges),
        pool=tuple(pool),
        selected=tuple(selected),
        pool_spread=pool_spread,
        selected_spread=spread(chosen),
    )
