"""Put vectors together in pool order, from what is known already and what has to be embedded."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ds2.embedding.embedder import Embedder, unit_rows
from ds2.embedding.journal import Journal
from ds2.embedding.stored import StoredVectors, write_vectors
from ds2.embedding.texts import TextIndex, find_keys

__all__ = ["Assembled", "Batches", "in_file", "in_memory", "partial_name"]

#: Rows that are copied at once.
BLOCK_ROWS = 16_384

#: Embeds the given rows and yields each batch's rows and vectors.
Batches = Callable[[np.ndarray], Iterator[tuple[np.ndarray, np.ndarray]]]


@dataclass(frozen=True, slots=True)
class Assembled:
    """All vectors in pool order, and what it took.

    Attributes:
        vectors: (n, d) float32 in memory, or a float16 memory map.
        digest: of the file; empty without one.
        n_embedded: texts that were embedded now.
        loop_s: seconds that embedding them took.
    """

    vectors: np.ndarray
    digest: str
    n_embedded: int
    loop_s: float


def in_memory(
    index: TextIndex, earlier: StoredVectors, embedder: Embedder, batches: Batches
) -> Assembled:
    """Assemble float32 vectors in memory."""
    vectors = np.empty((index.n, embedder.dimension), dtype=np.float32)
    unique = index.unique
    at = find_keys(index.keys[unique], earlier.keys)
    known = np.flatnonzero(at >= 0)
    for start in range(0, len(known), BLOCK_ROWS):
        part = known[start : start + BLOCK_ROWS]
        vectors[unique[part]] = unit_rows(earlier.vectors[at[part]])
    todo = unique[at < 0]
    started_s = time.perf_counter()
    for rows, found in batches(todo):
        vectors[rows] = found
    loop_s = time.perf_counter() - started_s
    repeated = np.flatnonzero(index.first != np.arange(index.n))
    vectors[repeated] = vectors[index.first[repeated]]
    return Assembled(vectors, "", len(todo), loop_s)


def partial_name(path: Path) -> Path:
    """Return the name of the journal that grows while ``path`` is made."""
    return path.with_name(path.name + ".partial")


def in_file(
    path: Path, index: TextIndex, earlier: StoredVectors, embedder: Embedder, batches: Batches
) -> Assembled:
    """Assemble a float16 .npy, keeping every finished batch in the journal beside it.

    The journal stays: the caller removes it once nothing is missing any more.
    """
    earlier_at = find_keys(index.keys, earlier.keys)
    partial = partial_name(path)
    with Journal(partial, embedder=embedder.name, dimension=embedder.dimension) as journal:
        known = (earlier_at >= 0) | (find_keys(index.keys, journal.keys) >= 0)
        todo = index.unique[~known[index.unique]]
        started_s = time.perf_counter()
        for rows, found in batches(todo):
            journal.append(index.keys[rows], found)
        loop_s = time.perf_counter() - started_s
        journal_at = find_keys(index.keys, journal.keys)
        new = journal.vectors()

    def block(start: int, stop: int) -> np.ndarray:
        old_at, new_at = earlier_at[start:stop], journal_at[start:stop]
        rows = np.empty((stop - start, embedder.dimension), dtype=np.float16)
        rows[old_at >= 0] = earlier.vectors[old_at[old_at >= 0]]
        rows[old_at < 0] = new[new_at[old_at < 0]]
        return rows

    digest = write_vectors(path, index.n, embedder.dimension, block)
    return Assembled(np.load(path, mmap_mode="r"), digest, len(todo), loop_s)
