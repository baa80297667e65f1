"""Rows out of files, one at a time: JSONL, JSON, CSV and Parquet.

Every reader yields (line, row): a row is a dict, or a `Fault` where the file holds no row. A
fault of the file as a whole (cut off, wrong encoding, not what its suffix says) is an `InputError`.
"""

import contextlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedIOBase, BytesIO
from typing import TYPE_CHECKING, TypeAlias

from ds2.errors import InputError
from ds2.pool.delimited import check_columns, read_cells
from ds2.pool.files import (
    File,
    FileKind,
    NoRowsError,
    check_content,
    check_readable,
    encoding_advice,
    file_kind,
    open_binary,
)
from ds2.pool.formats import LIST_FIELDS, detect_format
from ds2.pool.jsonstream import json_fault, looks_cut, read_document, read_values
from ds2.pool.remote import RemoteFile
from ds2.pool.turns import MEDIA, BadRowError, from_text, is_turn
from ds2.pool.wording import kind_of, shown, shown_path

if TYPE_CHECKING:
    import pyarrow

__all__ = [
    "Fault",
    "Row",
    "RowSource",
    "as_row",
    "batch_rows",
    "binary_left_out",
    "read_file",
    "text_columns",
]

_BATCH = 4096
_read_json = json.JSONDecoder().decode
_SAMPLE = 1 << 18
#: Fields whose cell may be a list of turns.
_ALWAYS_LISTS = frozenset((*LIST_FIELDS, "history"))
_LISTED = _ALWAYS_LISTS | {"prompt", "completion", "chosen", "rejected"}


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
        warnings: what was left out, complete once every row was read.
        has_header: whether the first line names the columns.
    """

    name: str
    unit: str
    rows: Iterator[tuple[int, Row]]
    warnings: Sequence[str] = ()
    has_header: bool = False


def read_file(path: File, *, headless: bool = False) -> RowSource:
    """Open a JSONL, JSON, CSV, TSV or Parquet file, plain or compressed, as rows.

    With ``headless``, a table whose first row looks like data has its columns numbered.
    """
    kind, name = file_kind(path), shown_path(path)
    try:
        check_readable(path)
        head = check_content(path, kind)
    except NoRowsError as error:
        return RowSource(name, "line", _none(error))
    if kind.container == "parquet":
        return _parquet_source(path, kind, name)
    end = b"\r" if b"\r" in head and b"\n" not in head else b"\n"
    if kind.container in {"csv", "tsv"}:
        notes: list[str] = []
        rows = _table_rows(path, kind, name, end, notes=notes, headless=headless)
        return RowSource(name, "line", rows, notes, has_header=True)
    form = _json_form(head, kind)
    if form == "lines":
        return RowSource(name, "line", _jsonl_rows(path, kind, name, end))
    read = read_document if form == "document" else read_values
    return RowSource(name, "row", _document_rows(path, kind, name, read))


def _none(error: NoRowsError) -> Iterator[tuple[int, Row]]:
    yield from ()
    raise error


def _json_form(head: bytes, kind: FileKind) -> str:
    """Say how JSON text is laid out: one "document", one row a line, or "values" in a row."""
    text = head.decode("utf-8", "ignore").removeprefix("\ufeff").lstrip()
    if text.startswith("["):
        first, _, rest = text.partition("\n")
        lists = kind.container == "jsonl" and first.rstrip().endswith("]") and rest.lstrip()[:1]
        return "lines" if lists == "[" else "document"
    if not text.startswith("{"):
        return "lines" if kind.container == "jsonl" else "document"
    try:
        row, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return "lines" if kind.container == "jsonl" else "document"
    rest = text[end:].lstrip()
    by_column = all(isinstance(value, dict) for value in row.values()) or _is_columns(row)
    if "\n" in text[:end].strip():
        known = not rest and not by_column and detect_format(row) is not None
        return "values" if rest[:1] in ("{", ",") or known else "document"
    alone = not rest and (by_column or detect_format(row) is None)
    return "document" if alone and kind.container == "json" else "lines"


def _is_columns(row: Mapping[str, object]) -> bool:
    """Say whether an object holds a list of texts or numbers for each column."""
    lists = [value for value in row.values() if isinstance(value, list)]
    lengths = {len(value) for value in lists}
    alike = len(lists) == len(row) > 1 and len(lengths) == 1 and max(lengths) > 1
    return alike and not any(isinstance(each, (list, dict)) for value in lists for each in value)


def _document_rows(
    path: File,
    kind: FileKind,
    name: str,
    read: Callable[[BufferedIOBase, str], Iterator[tuple[int, object]]],
) -> Iterator[tuple[int, Row]]:
    with open_binary(path, kind.compression) as stream:
        for number, value in read(stream, name):
            yield number, as_row(value)


def as_row(value: object) -> Row:
    """Return a value as a row, or as the fault of not being an object."""
    if type(value) is dict:
        return value
    return Fault(f"not an object: the row is {kind_of(value)}", json.dumps(value))


def _jsonl_rows(path: File, kind: FileKind, name: str, end: bytes) -> Iterator[tuple[int, Row]]:
    with open_binary(path, kind.compression) as stream:
        for number, text in _lines(stream, name, end, as_cut=True):
            if not text or text.isspace():
                continue
            try:
                yield number, as_row(_read_json(text))
            except json.JSONDecodeError as error:
                cut = not text.endswith("\n") and text.lstrip().startswith("{")
                if cut and looks_cut(error):
                    raise InputError(_last_line_cut(name, number, path)) from None
                for row in _values_of(text, error):
                    yield number, row
            except (RecursionError, ValueError):
                fault = Fault("not valid JSON: a value is nested too deeply or too long", text)
                yield number, fault


def _values_of(text: str, error: json.JSONDecodeError) -> list[Row]:
    """Return the objects that stand in one line, or its fault where something else does."""
    fault = Fault(f"not valid JSON: {json_fault(error)} at column {error.colno:,}", text)
    if error.msg != "Extra data":
        return [fault]
    try:
        values = [value for _, value in read_values(BytesIO(text.encode()), "the line")]
    except (InputError, UnicodeEncodeError):
        return [fault]
    rows: list[Row] = [value for value in values if type(value) is dict]
    return rows if len(rows) == len(values) else [fault]


def _lines(
    stream: BufferedIOBase, name: str, end: bytes, *, as_cut: bool = False
) -> Iterator[tuple[int, str]]:
    """Yield (number, line) with line ends kept, decoded as UTF-8 with or without a mark.

    With ``as_cut``, a file that ends inside a character is read up to it.
    """
    lines = stream if end == b"\n" else _ended(stream, end)
    for number, raw in enumerate(lines, start=1):
        line = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            at_end = error.reason == "unexpected end of data" and not raw.endswith(b"\n")
            if as_cut and at_end:
                text = line[: error.start].decode("utf-8")
            else:
                sample = line + b"".join(itertools.islice(stream, 500))
                raise InputError(
                    f"{name} is not UTF-8: line {number:,} holds the byte "
                    f"0x{line[error.start]:02x}. {encoding_advice(sample[:_SAMPLE])}"
                ) from None
        yield number, text


def _ended(stream: BufferedIOBase, end: bytes) -> Iterator[bytes]:
    """Yield lines that end with ``end``, which becomes a line feed."""
    left = b""
    while chunk := stream.read(_SAMPLE):
        *lines, left = (left + chunk).split(end)
        yield from (line + b"\n" for line in lines)
    if left:
        yield left


def _last_line_cut(name: str, number: int, path: File) -> str:
    kept = f"keep the {number - 1:,} lines before it with: head -n {number - 1} OLD > NEW"
    return (
        f"{name} is cut off: line {number:,}, the last one, ends inside a row. "
        f"Copy or download the file again{', or ' + kept if number > 1 else ''}."
        + (" (Decompress it first.)" if path.suffix in {".gz", ".zst"} else "")
    )


def _table_rows(
    path: File, kind: FileKind, name: str, end: bytes, *, notes: list[str], headless: bool
) -> Iterator[tuple[int, Row]]:
    usual = "\t" if kind.container == "tsv" else ","
    with open_binary(path, kind.compression) as stream:
        lines = _lines(stream, name, end)
        found = read_cells(
            lines, name, usual, lambda number: _last_line_cut(name, number, path), headless=headless
        )
        unnamed = [
            column for column in found.header if column == "" or column.startswith("unnamed ")
        ]
        listed = [column for column in found.header if column in _LISTED]
        for number, cells, text in found.rows:
            if isinstance(cells, str):
                yield number, Fault(cells, text)
                continue
            row: dict[str, object] = dict(zip(found.header, cells, strict=True))
            for column in unnamed:
                if not row[column]:
                    del row[column]
            yield number, _with_lists(row, listed) if listed else row
        notes += found.notes


def _with_lists(row: dict[str, object], fields: list[str]) -> dict[str, object]:
    """Read the cells of some fields that hold a list of turns; every other cell stays text."""
    for field in fields:
        cell = row.get(field)
        if isinstance(cell, str) and cell.lstrip()[:1] == "[":
            with contextlib.suppress(BadRowError):  # it is a text, or `parse_row` says what it is
                listed = from_text(cell)
                of_turns = isinstance(listed, list) and all(map(is_turn, listed)) and listed
                row[field] = listed if of_turns or field in _ALWAYS_LISTS else cell
    return row


def _parquet_source(path: File, kind: FileKind, name: str) -> RowSource:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if kind.compression:
            with open_binary(path, kind.compression) as stream:
                file = pq.ParquetFile(pa.BufferReader(stream.read()))
        else:  # unless told otherwise, Arrow would hold the whole file once its rows are asked for
            place = path.open() if isinstance(path, RemoteFile) else path
            file = pq.ParquetFile(place, pre_buffer=False)
    except (pa.ArrowException, OSError):
        raise InputError(
            f"{name} is no whole Parquet file: it is cut off or damaged. Copy or download it again."
        ) from None
    columns, warnings, left = text_columns(file.schema_arrow, name)
    batches = file.iter_batches(batch_size=_BATCH, columns=columns)
    return RowSource(name, "row", batch_rows(batches, name, left), warnings)


def text_columns(
    schema: "pyarrow.Schema", name: str
) -> tuple[list[str] | None, tuple[str, ...], dict[str, object]]:
    """Return the columns that a pool can keep (None: all), a warning for binary data, and what
    stands for media that were left out.

    Raises:
        InputError: two columns have one name.
    """  # noqa: D205
    check_columns(schema.names, name)
    binary = [field.name for field in schema if _is_binary(field.type)]
    if not binary:
        return None, (), {}
    columns = [column for column in schema.names if column not in binary]
    left: dict[str, object] = {
        column: [{"bytes": None}] for column in binary if column.removesuffix("s") in MEDIA
    }
    return columns, (binary_left_out(name, binary),), left


def binary_left_out(name: str, columns: Iterable[str]) -> str:
    """Return the warning for columns with binary data."""
    listed = ", ".join(map(shown, columns))
    return f"{name}: left out what a pool cannot keep, binary data in {listed}."


def _is_binary(kind: "pyarrow.DataType") -> bool:
    import pyarrow.types as pt

    if pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_fixed_size_binary(kind):
        return True
    return any(_is_binary(kind.field(number).type) for number in range(kind.num_fields))


def batch_rows(
    batches: Iterator["pyarrow.RecordBatch"], name: str, left: Mapping[str, object] | None = None
) -> Iterator[tuple[int, Row]]:
    """Yield (number from 1, row) from Arrow batches, one batch of Python objects at a time.

    ``left`` are fields that every row gets, in the place of what was left out.
    """
    import pyarrow as pa

    number = 0
    try:
        for batch in batches:
            try:
                rows = batch.to_pylist()
            except (ValueError, OverflowError):  # text that is not UTF-8, a date after 9999
                raise InputError(_unreadable(batch, name, number)) from None
            for row in rows:
                number += 1
                yield number, {**row, **left} if left else row
    except (pa.ArrowException, OSError):
        raise InputError(
            f"{name} is damaged after row {number:,}. Copy or download it again."
        ) from None


def _unreadable(batch: "pyarrow.RecordBatch", name: str, before: int) -> str:
    """Say which value of a batch is none for Python; so many rows stand before the batch."""
    for column, values in zip(batch.schema.names, batch.columns, strict=True):
        for number, value in enumerate(values, before + 1):
            try:
                value.as_py()
            except (ValueError, OverflowError) as error:
                return (
                    f"{name}, row {number:,}: the value in {shown(column)} cannot be read: "
                    f"{shown(str(error), 100)}. Correct it, or leave the column out."
                )
    return f"{name}: rows after row {before:,} cannot be read."
