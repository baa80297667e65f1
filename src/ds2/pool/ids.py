"""Ids: given ones must differ, and every other row gets one that its content decides."""

from typing import TYPE_CHECKING

import numpy as np

from ds2.errors import InputError
from ds2.pool.wording import shown

if TYPE_CHECKING:
    import pyarrow

__all__ = ["complete_ids", "repeated_values"]


def complete_ids(
    table: "pyarrow.Table", lines: np.ndarray, name: str, unit: str
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
            raise InputError(
                f"{name}: the id {shown(ids[one].as_py())} is given twice, in {unit} "
                f"{lines[one]:,} and {unit} {lines[two]:,}. Ids must differ: correct one, or name "
                "another field with id_field."
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
    """Return (row of the first occurrence, row) for every row whose value occurred before."""
    import pyarrow.compute as pc

    if pc.count_distinct(values).as_py() == len(values):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    encoded = values.dictionary_encode().unify_dictionaries()
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks])
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    rows = np.flatnonzero(first[inverse] != np.arange(len(codes)))
    return first[inverse][rows].astype(np.int64), rows.astype(np.int64)
