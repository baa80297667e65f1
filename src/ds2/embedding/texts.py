"""The texts of a pool, a slice at a time: their keys, their lengths, which are the same."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol, runtime_checkable

import numpy as np

__all__ = ["TextIndex", "TextPool", "find_keys", "index_texts"]

#: Rows whose texts are held at once while they are indexed.
INDEX_ROWS = 1024


@runtime_checkable
class TextPool(Protocol):
    """What embedding needs of a pool."""

    def __len__(self) -> int:
        """Return the number of examples."""

    def texts(self, start: int = 0, stop: int | None = None) -> list[str]:
        """Return the conversations of rows ``start`` to ``stop``."""

    def column(self, name: str) -> list[object]:
        """Return one field of the original rows."""


@dataclass(frozen=True, slots=True)
class TextIndex:
    """What is known of every text without holding it.

    Attributes:
        keys: (n,) uint64, a hash of each text. Two texts among a million share one by chance
            with probability 3e-8.
        sizes: (n,) characters.
        first: (n,) the smallest row with the same text.
    """

    keys: np.ndarray
    sizes: np.ndarray
    first: np.ndarray

    @property
    def n(self) -> int:
        """Examples."""
        return len(self.keys)

    @property
    def unique(self) -> np.ndarray:
        """Rows whose text occurs in no earlier row, ascending."""
        return np.flatnonzero(self.first == np.arange(self.n))

    def slices(self, max_rows: int, max_chars: int) -> Iterator[tuple[int, int]]:
        """Cut the pool into ranges of rows within both limits (or of one row above the second)."""
        ends = np.concatenate([[0], np.cumsum(self.sizes)])
        start = 0
        while start < self.n:
            fits = int(np.searchsorted(ends, ends[start] + max_chars, side="right")) - 1
            stop = min(max(fits, start + 1), start + max_rows)
            yield start, stop
            start = stop


def index_texts(pool: TextPool) -> TextIndex:
    """Read every text once, a slice at a time."""
    n = len(pool)
    digests = bytearray()
    sizes = np.empty(n, dtype=np.int64)
    for start in range(0, n, INDEX_ROWS):
        stop = min(start + INDEX_ROWS, n)
        texts = pool.texts(start, stop)
        digests += b"".join(blake2b(text.encode(), digest_size=8).digest() for text in texts)
        sizes[start:stop] = np.fromiter(map(len, texts), np.int64, stop - start)
    keys = np.frombuffer(bytes(digests), dtype="<u8").astype(np.uint64)
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return TextIndex(keys, sizes, first[inverse].astype(np.int64))


def find_keys(keys: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Return for each key its position in ``among``, −1 where it is not there."""
    if len(among) == 0:
        return np.full(len(keys), -1, dtype=np.int64)
    order = np.argsort(among, kind="stable")
    found = np.searchsorted(among, keys, sorter=order)
    positions = order[np.minimum(found, len(among) - 1)]
    return np.where(among[positions] == keys, positions, -1).astype(np.int64)
