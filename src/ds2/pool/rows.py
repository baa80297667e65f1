"""Rows out of files, one at a time: JSONL, JSON, CSV and Parquet.

Every reader yields (line, row): a row is a dict, or a `Fault` where the file holds no row. A
fault of the file as a whole (cut off, wrong encoding, not what its suffix says) is an `InputError`.
"""

import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ds2.errors import InputError
from ds2.pool.files import FileKind, check_content, check_readable, file_kind, open_binary
from ds2.pool.formats import LIST_FIELDS, detect_format
from ds2.pool.jsonstream import looks_cut, read_document
from ds2.pool.wording import kind_of, shown, shown_path

if TYPE_CHECKING:
    import pyarrow

__all__ = ["Fault", "Row", "RowSource", "as_row", "batch_rows", "read_file", "text_columns"]

_BATCH = 4096


@dataclass(frozen=True, slots=True)
class Fault:
    """What stands in a file where a row should be."""

    reason: str
    text: str


Row: TypeAlias = dict[str, object] | Fault


@dataclass(frozen=True, slots=True)
class RowSource:
    """Rows to read, once.

    Attributes:
        name: the file or dataset, for messages.
        unit: what the numbers count: "line" or "row".
        rows: (number from 1, row) pairs.
        warnings: what was left out before any row was read.
    """

    name: str
    unit: str
    rows: Iterator[tuple[int, Row]]
    warnings: tuple[str, ...] = ()


def read_file(path: Path) -> RowSource:
    """Open a JSONL, JSON, CSV, TSV or Parquet file, plain or compressed, as rows."""
    kind = file_kind(path)
    check_readable(path)
    head = check_content(path, kind)
    name = shown_path(path)
    if kind.container == "parquet":
        return _parquet_source(path, kind, name)
    if kind.container in {"csv", "tsv"}:
        return RowSource(name, "line", _csv_rows(path, kind, name))
    if _is_document(head, kind):
        return RowSource(name, "row", _document_rows(path, kind, name))
    return RowSource(name, "line", _jsonl_rows(path, kind, name))


def _is_document(head: bytes, kind: FileKind) -> bool:
    """Say whether JSON text is one document; a .json file may hold one row a line as well."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"["):
        return True
    if kind.container == "jsonl":
        return False
    if not start.startswith(b"{"):
        return True
    first, _, rest = start.partition(b"\n")
    try:
        row = json.loads(first)
    except (ValueError, RecursionError):
        return True
    return not rest.strip() and detect_format(row) is None


def _document_rows(path: Path, kind: FileKind, name: str) -> Iterator[tuple[int, Row]]:
    with open_binary(path, kind.compression) as stream:
        for number, value in read_document(stream, name):
            yield number, as_row(value)


def as_row(value: object) -> Row:
    """Return a value as a row, or as the fault of not being an object."""
    if type(value) is dict:
        return value
    return Fault(f"not an object: the row is {kind_of(value)}", json.dumps(value))


def _jsonl_rows(path: Path, kind: FileKind, name: str) -> Iterator[tuple[int, Row]]:
    with open_binary(path, kind.compression) as stream:
        for number, text in _lines(stream, name):
            if not text or text.isspace():
                continue
            try:
                row = as_row(json.loads(text))
            except json.JSONDecodeError as error:
                if not text.endswith("\n") and text.lstrip().startswith("{") and looks_cut(error):
                    raise InputError(_last_line_cut(name, number, path)) from None
                row = Fault(f"not valid JSON: {error.msg} at column {error.colno:,}", text)
            except (RecursionError, ValueError):
                row = Fault("not valid JSON: a value is nested too deeply or too long", text)
            yield number, row


def _lines(stream: BufferedIOBase, name: str) -> Iterator[tuple[int, str]]:
    """Yield (number, line) with line ends kept, decoded as UTF-8 with or without a mark."""
    for number, raw in enumerate(stream, start=1):
        line = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            if error.reason == "unexpected end of data" and not raw.endswith(b"\n"):
                text = line[: error.start].decode("utf-8")
            else:
                raise InputError(
                    f"{name} is not UTF-8: line {number:,} holds the byte "
                    f"0x{line[error.start]:02x}. If it is Latin-1 or Windows-1252, convert it "
                    "with: iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW"
                ) from None
        yield number, text


def _last_line_cut(name: str, number: int, path: Path) -> str:
    kept = f"keep the {number - 1:,} lines before it with: head -n {number - 1} OLD > NEW"
    return (
        f"{name} is cut off: line {number:,}, the last one, ends inside a row. "
        f"Copy or download the file again{', or ' + kept if number > 1 else ''}."
        + (" (Decompress it first.)" if path.suffix in {".gz", ".zst"} else "")
    )


def _csv_rows(path: Path, kind: FileKind, name: str) -> Iterator[tuple[int, Row]]:
    # The limit belongs to the csv module, not to a reader; 131,072 characters are too few.
    csv.field_size_limit(max(csv.field_size_limit(), min(sys.maxsize, 2**31 - 1)))
    with open_binary(path, kind.compression) as stream:
        texts = _Remembered(_lines(stream, name))
        tab = "\t" if kind.container == "tsv" else ","
        reader = csv.reader(texts, delimiter=tab, strict=True)
        header = _csv_header(reader, name)
        while True:
            number = texts.number + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                if "unexpected end" in str(error):
                    raise InputError(
                        f"{name} is cut off: it ends inside the quoted field of the row that "
                        f"begins in line {number:,}. Close the quotes, or copy the file again."
                    ) from None
                yield number, Fault(f"not valid CSV: {shown(str(error), 80)}", texts.last)
                continue
            if not cells:
                continue
            if len(cells) != len(header):
                if len(cells) < len(header) and not texts.last.endswith("\n"):
                    raise InputError(_last_line_cut(name, number, path))
                found = f"{len(cells)} for {len(header)} columns"
                yield number, Fault(f"wrong number of fields: {found}", texts.last)
            else:
                yield number, _csv_row(dict(zip(header, cells, strict=True)))


class _Remembered:
    """Lines for the csv module, which does not say where a row began or what it read."""

    def __init__(self, lines: Iterator[tuple[int, str]]) -> None:
        self._lines = lines
        self.number = 0
        self.last = ""

    def __iter__(self) -> "_Remembered":
        return self

    def __next__(self) -> str:
        self.number, self.last = next(self._lines)
        return self.last


def _csv_header(reader: Iterator[list[str]], name: str) -> list[str]:
    try:
        cells = next(reader, [])
    except csv.Error as error:
        raise InputError(f"{name} has no readable header in its first line: {error}.") from None
    repeated = [cell for number, cell in enumerate(cells) if cell in cells[:number]]
    if repeated:
        raise InputError(f"{name} has the column {shown(repeated[0])} twice. Rename one.")
    return cells


def _csv_row(row: dict[str, object]) -> Row:
    """Read the cells that hold a list of turns as JSON; every other cell stays text."""
    for field in (*LIST_FIELDS, "history"):
        cell = row.get(field)
        if isinstance(cell, str) and cell.lstrip().startswith("["):
            try:
                row[field] = json.loads(cell)
            except (ValueError, RecursionError):
                return Fault(f"not valid JSON: in the field {shown(field)}", cell)
    return row


def _parquet_source(path: Path, kind: FileKind, name: str) -> RowSource:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if kind.compression:
            with open_binary(path, kind.compression) as stream:
                file = pq.ParquetFile(pa.BufferReader(stream.read()))
        else:
            file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError):
        raise InputError(
            f"{name} is no whole Parquet file: it is cut off or damaged. Copy or download it again."
        ) from None
    columns, warnings = text_columns(file.schema_arrow, name)
    batches = file.iter_batches(batch_size=_BATCH, columns=columns)
    return RowSource(name, "row", batch_rows(batches, name), warnings)


def text_columns(schema: "pyarrow.Schema", name: str) -> tuple[list[str] | None, tuple[str, ...]]:
    """Return the columns that a pool can keep (None: all), and a warning for binary data."""
    binary = [field.name for field in schema if _is_binary(field.type)]
    if not binary:
        return None, ()
    columns = [column for column in schema.names if column not in binary]
    listed = ", ".join(shown(column) for column in binary)
    return columns, (f"{name}: left out what a pool cannot keep, binary data in {listed}.",)


def _is_binary(kind: "pyarrow.DataType") -> bool:
    import pyarrow.types as pt

    if pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_fixed_size_binary(kind):
        return True
    return any(_is_binary(kind.field(number).type) for number in range(kind.num_fields))


def batch_rows(batches: Iterator["pyarrow.RecordBatch"], name: str) -> Iterator[tuple[int, Row]]:
    """Yield (number from 1, row) from Arrow batches, one batch of Python objects at a time."""
    import pyarrow as pa

    number = 0
    try:
        for batch in batches:
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except (pa.ArrowException, OSError):
        raise InputError(
            f"{name} is damaged after row {number:,}. Copy or download it again."
        ) from None
