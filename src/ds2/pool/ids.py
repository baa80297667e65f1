"""Ids: given ones must differ, and every other row gets one that its content decides."""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ds2.errors import InputError
from ds2.pool.wording import shown

if TYPE_CHECKING:
    import pyarrow

__all__ = ["Places", "complete_ids", "id_value", "match_ids", "repeated_values"]

_BATCH = 1 << 14
_WHOLE = re.compile(r"([+-]?\d+)\.0+", re.ASCII)


def complete_ids(
    table: "pyarrow.Table", lines: Sequence[int], place: Callable[[int], tuple[str, str]]
) -> "pyarrow.ChunkedArray":
    """Give an id to every row without one: its key, and from the second such row on a number."""
    given = table["id"].is_valid().to_numpy()
    keys = table["key"].to_numpy()
    rank = np.zeros(len(keys), dtype=np.int64)
    rank[~given] = _ranks(keys[~given])
    while True:
        ids = _fill_ids(table["id"], keys, rank)
        first, again = repeated_values(ids)
        both = given[first] & given[again]
        if both.any():
            one, two = int(first[both][0]), int(again[both][0])
            (name, one_at), (other, two_at) = place(lines[one]), place(lines[two])
            raise InputError(
                f"{name}: the id {shown(ids[one].as_py())} is given twice, in {one_at} and "
                f"{two_at}{'' if name == other else f' of {other}'}. Ids must differ: correct one, "
                "or name another field with id_field."
            )
        if not len(again):
            return ids
        rank[np.where(given[again], first, again)] += 1


def _ranks(keys: np.ndarray) -> np.ndarray:
    """Return how many earlier rows have the same key, for every row."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    counts = np.diff(np.concatenate([starts, [len(keys)]]))
    ranks = np.empty(len(keys), dtype=np.int64)
    ranks[order] = np.arange(len(keys)) - np.repeat(starts, counts)
    return ranks


def _fill_ids(
    ids: "pyarrow.ChunkedArray", keys: np.ndarray, rank: np.ndarray
) -> "pyarrow.ChunkedArray":
    import pyarrow as pa
    import pyarrow.compute as pc

    chunks = []
    start = 0
    for chunk in ids.chunks:
        stop = start + len(chunk)
        if chunk.null_count:
            pairs = zip(keys[start:stop].tolist(), rank[start:stop].tolist(), strict=True)
            made = [f"{key:016x}-{n + 1}" if n else f"{key:016x}" for key, n in pairs]
            chunks.append(pc.coalesce(chunk, pa.array(made, pa.string())))
        else:
            chunks.append(chunk)
        start = stop
    return pa.chunked_array(chunks, type=pa.string())


def _hashes(texts: "pyarrow.ChunkedArray", of: Callable[[str], str] = str) -> np.ndarray:
    """(n,) A hash of every text, or of what ``of`` makes of it."""
    hashes = np.empty(len(texts), dtype=np.int64)
    for start in range(0, len(texts), _BATCH):
        some = map(of, texts[start : start + _BATCH].to_pylist())
        stop = min(start + _BATCH, len(texts))
        hashes[start:stop] = np.fromiter(map(hash, some), np.int64, stop - start)
    return hashes


def repeated_values(
    texts: "pyarrow.ChunkedArray", of: Callable[[str], str] = str
) -> tuple[np.ndarray, np.ndarray]:
    """Return (row of the first occurrence, row) for every row whose text occurred before.

    Texts, or what ``of`` makes of them, are compared only where their hashes are equal: 24 bytes a
    row, however long they are.
    """
    hashes = _hashes(texts, of)
    order = np.argsort(hashes, kind="stable")
    hashes = hashes[order]
    same, shared = hashes[1:] == hashes[:-1], np.zeros(len(hashes), dtype=bool)
    shared[1:] = same
    shared[:-1] |= same
    first: dict[str, int] = {}
    alike = np.sort(order[shared]).tolist()
    pairs = [(first.setdefault(of(texts[row].as_py()), row), row) for row in alike]
    found = np.array([pair for pair in pairs if pair[0] != pair[1]], np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


class Places:
    """Where in a column each of its texts stands: 16 bytes a row in place of a dict's objects."""

    def __init__(self, texts: "pyarrow.ChunkedArray", of: Callable[[str], str] = str) -> None:
        self._texts, self._of = texts, of
        hashes = _hashes(texts, of)
        self._order = np.argsort(hashes, kind="stable")
        self._hashes = hashes[self._order]

    def find(self, wanted: Sequence[str]) -> np.ndarray:
        """(m,) The first row of each text, −1 where the column does not hold it."""
        hashes = np.fromiter(map(hash, wanted), np.int64, len(wanted))
        first = np.searchsorted(self._hashes, hashes, side="left").tolist()
        behind = np.searchsorted(self._hashes, hashes, side="right").tolist()
        rows = np.full(len(wanted), -1, dtype=np.int64)
        for at, text in enumerate(wanted):
            for row in self._order[first[at] : behind[at]].tolist():
                if self._of(self._texts[row].as_py()) == text:
                    rows[at] = row
                    break
        return rows


def id_value(text: str) -> str:
    """Return an id without what a table may add to it: white space around it, ".0" behind it."""
    text = text.strip()
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def match_ids(known: "pyarrow.ChunkedArray", wanted: Sequence[str]) -> tuple[np.ndarray, int]:
    """Return each wanted id's place among the known, −1 without one, and how many `id_value` found.

    Raises nothing: where two known ids have one value, ids are compared as they are.
    """
    rows = Places(known).find(wanted)
    left = np.flatnonzero(rows < 0)
    if not len(left) or len(repeated_values(known, id_value)[0]):  # two ids would be one
        return rows, 0
    rows[left] = Places(known, id_value).find([id_value(wanted[row]) for row in left.tolist()])
    return rows, int((rows[left] >= 0).sum())
