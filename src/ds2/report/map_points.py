"""The points of a map as a page carries them: quantised places, sets of bits, shortened texts.

50,000 points take 0.3 MB, a selection 8 kB, and texts what is left of a fixed budget: first those
of selected rows, best first, then those of others.
"""

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np

from ds2.pool import Pool
from ds2.report.map_layout import Layout
from ds2.report.text import visible

__all__ = ["MapPoints", "choose_points"]

MOST_POINTS = 50_000
#: Bytes of all texts, as JSON.
TEXT_BYTES = 2_600_000
#: Characters of one text.
TEXT_LENGTH = 160
_STEPS = 65_535
_BATCH = 512


@dataclass(frozen=True, slots=True)
class MapPoints:
    """A map as JSON values.

    Attributes:
        method: how it was laid out.
        explained: PCA's share of the variance.
        n: rows of the pool.
        n_points: points of the map.
        n_texts: points that have a text.
        width: of the map, when its larger side is 1.
        height: the same.
        places: base64 of little-endian uint16: all x, then all y.
        selections: by method, base64 of one bit a point, lowest bit first.
        text_at: numbers of the points that have a text, ascending.
        texts: their texts, as plain text.
    """

    method: str
    explained: float | None
    n: int
    n_points: int
    n_texts: int
    width: float
    height: float
    places: str
    selections: Mapping[str, str]
    text_at: tuple[int, ...]
    texts: tuple[str, ...]


def choose_points(
    pool: Pool, layout: Layout, selections: Mapping[str, np.ndarray], order: np.ndarray
) -> MapPoints:
    """Choose the points that a page shows and put them into a form that is small.

    Args:
        pool: the examples.
        layout: places of all rows.
        selections: rows in pick order, by method.
        order: (n,) row numbers in a random order: the first of them are shown beside what is
            selected.
    """
    ranked = list(islice(_in_turn(selections.values()), MOST_POINTS))
    known = set(ranked)
    others = (int(row) for row in order if int(row) not in known)
    wanted = [*ranked, *islice(others, max(0, MOST_POINTS - len(ranked)))]
    rows = np.sort(np.array(wanted, dtype=np.int64))
    point_of = {int(row): number for number, row in enumerate(rows)}
    texts = {point_of[row]: text for row, text in _texts(pool, wanted)}
    places, width, height = _quantised(layout.places[rows])
    return MapPoints(
        method=layout.method,
        explained=layout.explained,
        n=len(pool),
        n_points=len(rows),
        n_texts=len(texts),
        width=width,
        height=height,
        places=places,
        selections={
            name: _coded(np.packbits(np.isin(rows, chosen), bitorder="little"))
            for name, chosen in selections.items()
        },
        text_at=tuple(sorted(texts)),
        texts=tuple(texts[number] for number in sorted(texts)),
    )


def _in_turn(selections: Iterable[np.ndarray]) -> Iterable[int]:
    """Each row once: the first of every selection, the second of every selection, and on."""
    seen: set[int] = set()
    lists = [rows.tolist() for rows in selections]
    for rank in range(max(map(len, lists), default=0)):
        for rows in lists:
            if rank < len(rows) and rows[rank] not in seen:
                seen.add(rows[rank])
                yield rows[rank]


def _texts(pool: Pool, rows: list[int]) -> Iterable[tuple[int, str]]:
    """Rows and their shortened texts, in the order given, until the budget is used up."""
    used = 0
    for start in range(0, len(rows), _BATCH):
        part = rows[start : start + _BATCH]
        for row, text in zip(part, pool.take(part).texts(), strict=True):
            short = _short(text)
            used += len(json.dumps(short)) + 8  # and its number
            if used > TEXT_BYTES:
                return
            yield row, short


def _short(text: str) -> str:
    flat = " ".join(visible(text[: 8 * TEXT_LENGTH]).split())
    whole = len(text) <= 8 * TEXT_LENGTH and len(flat) <= TEXT_LENGTH
    return flat if whole else f"{flat[: TEXT_LENGTH - 1].rstrip()}…"


def _quantised(places: np.ndarray) -> tuple[str, float, float]:
    """Places as numbers from 0 to 65,535 on either axis, and the shape of the map.

    A few far points would leave all others in a corner, so the outermost 0.1 % on each side are
    moved to the edge.
    """
    low, high = np.quantile(places.astype(np.float64), (0.001, 0.999), axis=0)
    span = np.maximum(high - low, 1e-12)
    inside = np.clip((places - low) / span, 0.0, 1.0)
    numbers = np.rint(inside * _STEPS).astype("<u2")
    larger = float(span.max())
    return _coded(numbers.T), float(span[0]) / larger, float(span[1]) / larger


def _coded(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")
