"""Work block by block, on every core: unit rows, exact distances of candidates."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from ds2.progress import steps

__all__ = [
    "distances_to",
    "in_threads",
    "n_threads",
    "row_blocks",
    "sort_candidates",
    "stretch_of",
    "unit_block",
    "visit_all",
]

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Distances are rounded to this many decimals: finer than float32 sums can tell apart.
DECIMALS = 6
#: Bytes that the threads of one piece of work hold together.
TOGETHER = 2**31
#: Rows of a block, where what is made of a row is small.
ROWS = 16_384


def n_threads() -> int:
    """How many processors this process may use: as many as there are, or as DS2_THREADS says."""
    if (wanted := os.environ.get("DS2_THREADS", "")).isdecimal():
        return max(1, int(wanted))
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def row_blocks(n: int, rows: int | None = None) -> list[slice]:
    """The rows 0 … n − 1 as blocks of `ROWS`, or of so many, so that one fits into a cache."""
    size = rows or ROWS
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def stretch_of(rows: np.ndarray) -> slice | np.ndarray:
    """Ascending row numbers, as a slice where they follow one on another: it copies nothing."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1:
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows


def in_threads(
    work: Callable[[Item], Result], items: Iterable[Item], *, each: int = 0
) -> Generator[Result]:
    """Yield what ``work`` makes of the items, in their order.

    As many at once as there are processors, and no more than memory allows: an item that is at work
    holds ``each`` bytes, and all together at most `TOGETHER` (one, where one holds more).
    """
    threads = max(1, min(n_threads(), TOGETHER // max(each, 1)))
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Result]] = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def visit_all(visit: Callable[[Item], object], items: Sequence[Item]) -> None:
    """Visit every item, on every core; each is a step of the progress."""
    for _ in steps(in_threads(visit, items), len(items)):
        pass


def unit_block(vectors: np.ndarray, rows: slice | np.ndarray) -> np.ndarray:
    """Some rows as float32 of length 1."""
    block = np.array(vectors[rows], dtype=np.float32)
    block /= np.sqrt(np.einsum("nd,nd->n", block, block))[:, None]
    return block


def distances_to(vectors: np.ndarray, queries: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Cosine distances (q, c) from each query row to its candidate rows, in [0, 2]."""
    query = unit_block(vectors, queries)
    near = np.asarray(vectors[candidates], dtype=np.float32)
    similarity = np.matmul(near, query[:, :, None])[:, :, 0]
    similarity /= np.sqrt(np.einsum("qcd,qcd->qc", near, near))
    return np.asarray(np.clip(np.round(1.0 - similarity, DECIMALS), 0.0, 2.0))


def sort_candidates(
    vectors: np.ndarray, queries: np.ndarray, candidates: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of each query's candidates by exact distance, ties by row number.

    Args:
        vectors: (n, d) floats.
        queries: (q,) row numbers.
        candidates: (q, c) row numbers; −1 stands for none and sorts last.
        k: how many to keep.

    Returns:
        Row numbers (q, k) and distances (q, k), ascending.
    """
    width = candidates.shape[1]
    indices = np.empty((len(queries), k), dtype=np.int32)
    distances = np.empty((len(queries), k), dtype=np.float32)
    step = max(1, 2**21 // (width * vectors.shape[1]))

    def sort_block(start: int) -> None:
        part = slice(start, start + step)
        near = candidates[part]
        measured = distances_to(vectors, queries[part], np.maximum(near, 0))
        measured[near < 0] = np.inf
        order = np.lexsort((near, measured))[:, :k]
        indices[part] = np.take_along_axis(near, order, axis=1)
        distances[part] = np.take_along_axis(measured, order, axis=1)

    visit_all(sort_block, range(0, len(queries), step))
    return indices, distances
