"""The loop that costs: texts in batches of similar length, with progress."""

import math
import time
from collections.abc import Callable, Iterator

import numpy as np

from ds2.embedding.embedder import Embedder, unit_rows
from ds2.embedding.texts import TextIndex, TextPool
from ds2.errors import InputError

__all__ = ["Progress", "embed_rows"]

#: Called after each batch with: texts done, texts in all, texts per second, seconds left.
Progress = Callable[[int, int, float, float], None]

#: Texts are sorted by length within slices of at most this many rows and characters.
SLICE_ROWS = 16_384
SLICE_CHARS = 2**25


def embed_rows(
    pool: TextPool,
    index: TextIndex,
    embedder: Embedder,
    rows: np.ndarray,
    *,
    batch_size: int,
    progress: Progress | None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Embed ``rows`` (ascending) and yield each batch's rows and its unit float32 vectors."""
    clock = _Clock(index, rows)
    if progress is not None:
        progress(*clock.read())
    wanted = np.zeros(index.n, dtype=bool)
    wanted[rows] = True
    for start, stop in index.slices(SLICE_ROWS, SLICE_CHARS):
        todo = start + np.flatnonzero(wanted[start:stop])
        if len(todo) == 0:
            continue
        texts = pool.texts(start, stop)
        todo = todo[np.argsort(-index.sizes[todo], kind="stable")]
        for at in range(0, len(todo), batch_size):
            batch = todo[at : at + batch_size]
            vectors = embedder.embed([texts[row - start] for row in batch])
            yield batch, _check(vectors, len(batch), embedder)
            clock.add(batch)
            if progress is not None:
                progress(*clock.read())


def _check(vectors: np.ndarray, n: int, embedder: Embedder) -> np.ndarray:
    wanted = (n, embedder.dimension)
    if not isinstance(vectors, np.ndarray) or vectors.shape != wanted:
        got = getattr(vectors, "shape", type(vectors).__name__)
        raise InputError(
            f"The embedder '{embedder.name}' must return an array of shape {wanted}. Got {got}."
        )
    if not np.isfinite(vectors).all():
        raise InputError(
            f"The embedder '{embedder.name}' returned NaN or infinity for one of {n} texts."
        )
    return unit_rows(vectors)


class _Clock:
    """Counts texts for the rate, and characters for the time left: long texts take longer."""

    def __init__(self, index: TextIndex, rows: np.ndarray) -> None:
        self._sizes = index.sizes
        self._total = len(index.unique)
        self._earlier = self._total - len(rows)
        self._done = 0
        self._chars_left = int(index.sizes[rows].sum())
        self._chars_done = 0
        self._started_s = time.perf_counter()

    def add(self, batch: np.ndarray) -> None:
        chars = int(self._sizes[batch].sum())
        self._done += len(batch)
        self._chars_done += chars
        self._chars_left -= chars

    def read(self) -> tuple[int, int, float, float]:
        elapsed_s = max(time.perf_counter() - self._started_s, 1e-9)
        rate = self._done / elapsed_s
        left_s = self._chars_left * elapsed_s / self._chars_done if self._chars_done else math.inf
        return self._earlier + self._done, self._total, rate, left_s if self._chars_left else 0.0
