"""Rows into files: JSONL, JSON, CSV and Parquet.

A writer gets a function that yields the rows anew each time, because CSV and Parquet must know
every column before they can write the first row.
"""

import csv
import itertools
import json
import math
from collections.abc import Callable, Iterator
from io import BufferedIOBase
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ds2.errors import InputError
from ds2.pool.wording import shown

if TYPE_CHECKING:
    import pyarrow

__all__ = ["WRITERS", "OutRow", "Rows", "plain_values"]

OutRow: TypeAlias = dict[str, object]
Rows: TypeAlias = Callable[[], Iterator[OutRow]]

_BATCH = 1024
_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def plain_values(values: Any) -> list[object]:
    """Return values as Python objects, None in place of NaN."""
    listed = values.tolist() if isinstance(values, np.ndarray) else list(values)
    plain = [value.item() if isinstance(value, np.generic) else value for value in listed]
    return [None if isinstance(value, float) and math.isnan(value) else value for value in plain]


def _as_json(value: object) -> str:
    """Return JSON, with null for the numbers that JSON does not have (NaN, infinity)."""
    try:
        return _JSON.encode(value)
    except ValueError:
        return _JSON.encode(_finite(value))


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list) else value


def _write_jsonl(rows: Rows, stream: BufferedIOBase) -> None:
    for row in rows():
        stream.write(_as_json(row).encode() + b"\n")


def _write_json(rows: Rows, stream: BufferedIOBase) -> None:
    before = b"[\n"
    for row in rows():
        stream.write(before + _as_json(row).encode())
        before = b",\n"
    stream.write(b"\n]\n")


def _write_csv(rows: Rows, stream: BufferedIOBase, delimiter: str = ",") -> None:
    header = list(dict.fromkeys(name for row in rows() for name in row))
    out = csv.writer(_Utf8(stream), delimiter=delimiter)
    out.writerow(header)
    out.writerows([_cell(row.get(name)) for name in header] for row in rows())


class _Utf8:
    """Takes the text of the csv module as UTF-8."""

    def __init__(self, stream: BufferedIOBase) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(text.encode())


def _write_tsv(rows: Rows, stream: BufferedIOBase) -> None:
    _write_csv(rows, stream, "\t")


def _cell(value: object) -> str:
    if isinstance(value, str):
        if "\0" in value:
            raise InputError("CSV cannot hold a NUL character; write .jsonl instead.")
        return value
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return _as_json(value)


def _write_parquet(rows: Rows, stream: BufferedIOBase) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([])
    for batch in _batches(rows()):
        names = dict.fromkeys(name for row in batch for name in row)
        found = pa.schema([(name, _column(batch, name).type) for name in names])
        try:
            schema = pa.unify_schemas([schema, found], promote_options="permissive")
        except pa.ArrowException as error:
            raise InputError(f"{_NO_PARQUET} {shown(str(error), 120)}.") from None
    try:
        with pq.ParquetWriter(stream, schema, compression="zstd") as out:
            for batch in _batches(rows()):
                arrays = [_column(batch, field.name, field.type) for field in schema]
                out.write_batch(pa.record_batch(arrays, schema=schema))
    except pa.ArrowNotImplementedError as error:
        raise InputError(f"{_NO_PARQUET} {shown(str(error), 120)}.") from None


_NO_PARQUET = "Parquet cannot hold these rows; write .jsonl instead."


def _column(
    batch: list[OutRow], name: str, kind: "pyarrow.DataType | None" = None
) -> "pyarrow.Array":
    """Return one field of some rows as Arrow, of the kind given or of the kind they have."""
    import pyarrow as pa

    try:
        return pa.array([row.get(name) for row in batch], type=kind)
    except (pa.ArrowException, OverflowError, TypeError):
        raise InputError(
            f"{_NO_PARQUET} The field {shown(name)} holds values of different kinds, or numbers "
            "of more than 64 bits."
        ) from None


def _batches(rows: Iterator[OutRow]) -> Iterator[list[OutRow]]:
    while batch := list(itertools.islice(rows, _BATCH)):
        yield batch


#: The writer of each container.
WRITERS: dict[str, Callable[[Rows, BufferedIOBase], None]] = {
    "jsonl": _write_jsonl,
    "json": _write_json,
    "csv": _write_csv,
    "tsv": _write_tsv,
    "parquet": _write_parquet,
}
