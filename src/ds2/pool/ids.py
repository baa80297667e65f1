"""Ids: given ones must differ, and every other row gets one that its content decides."""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ds2.errors import InputError
from ds2.pool.wording import shown

if TYPE_CHECKING:
    import pyarrow

__all__ = ["complete_ids", "id_value", "match_ids", "repeated_values"]

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


def repeated_values(values: "pyarrow.ChunkedArray") -> tuple[np.ndarray, np.ndarray]:
    """Return (row of the first occurrence, row) for every row whose value occurred before.

    Texts are compared only where their hashes are equal, so it takes 24 bytes a row.
    """
    hashes = np.empty(len(values), dtype=np.int64)
    for start in range(0, len(values), _BATCH):
        texts = values[start : start + _BATCH].to_pylist()
        hashes[start : start + _BATCH] = np.fromiter(map(hash, texts), np.int64, len(texts))
    order = np.argsort(hashes, kind="stable")
    hashes = hashes[order]
    same, shared = hashes[1:] == hashes[:-1], np.zeros(len(hashes), dtype=bool)
    shared[1:] = same
    shared[:-1] |= same
    alike = np.sort(order[shared])
    first: dict[object, int] = {}
    pairs = [(first.setdefault(values[row].as_py(), row), row) for row in alike.tolist()]
    found = np.array([pair for pair in pairs if pair[0] != pair[1]], np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def id_value(text: str) -> str:
    """Return an id without what a table may add to it: white space around it, ".0" behind it."""
    text = text.strip()
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def match_ids(known: Sequence[str], wanted: Sequence[str]) -> tuple[np.ndarray, int]:
    """Return each wanted id's place among the known, −1 without one, and how many `id_value` found.

    Raises nothing: where two known ids have one value, ids are compared as they are.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    def places(values: Sequence[str], among: Sequence[str]) -> np.ndarray:
        found = pc.index_in(pa.array(values, pa.string()), value_set=pa.array(among, pa.string()))
        return np.asarray(found.fill_null(-1).to_numpy(zero_copy_only=False), dtype=np.int64)

    rows = places(wanted, known)
    left = np.flatnonzero(rows < 0)
    if not len(left):
        return rows, 0
    values = list(map(id_value, known))
    if len(set(values)) < len(values):  # two ids would be one
        return rows, 0
    rows[left] = places([id_value(wanted[row]) for row in left.tolist()], values)
    return rows, int((rows[left] >= 0).sum())
