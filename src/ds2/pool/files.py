"""Files by suffix: which container, which compression, how to open them and to write rows.

A suffix says what a file is; its first bytes say whether that can be true. A writer of rows gets a
function that yields them anew each time, because CSV and Parquet must know every column before they
can write the first row.
"""

import contextlib
import csv
import difflib
import functools
import gzip
import itertools
import json
import math
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from io import (
    BufferedIOBase,
    BufferedReader,
    BufferedWriter,
    BytesIO,
    FileIO,
    RawIOBase,
    TextIOWrapper,
)
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from ds2.errors import InputError
from ds2.pool.remote import RemoteFile
from ds2.pool.wording import shown, shown_path
from ds2.progress import counter

if TYPE_CHECKING:
    import pyarrow

__all__ = [
    "WRITERS",
    "File",
    "FileKind",
    "NoRowsError",
    "OutRow",
    "check_content",
    "check_readable",
    "encoding_advice",
    "file_kind",
    "open_binary",
    "parquet_schema",
    "plain_values",
    "write_parquet",
    "writer",
]

OutRow: TypeAlias = dict[str, Any]
Rows: TypeAlias = Callable[[], Iterator[OutRow]]
#: A file to read: of this machine, or an object in a store.
File: TypeAlias = Path | RemoteFile

_CONTAINERS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
}
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
_MAGIC = {
    b"\x1f\x8b": "is compressed with gzip: give it the suffix .gz",
    b"\x28\xb5\x2f\xfd": "is compressed with zstd: give it the suffix .zst",
    b"PAR1": "is a Parquet file: give it the suffix .parquet",
    b"PK\x03\x04": "is a zip archive: unpack it first",
    b"ARROW1": "is an Arrow file: open it with Pool.load if ds2 wrote it",
}
_HEAD = 1 << 16
#: Bytes of a line of JSON from which on it is the whole document.
_LONG_LINE = 1 << 24
#: Bytes that are read at once: of a file, and of an object, where each time is a request.
_AT_ONCE, _PER_REQUEST = 1 << 18, 1 << 23
_BATCH = 1024
_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


class NoRowsError(InputError):
    """There is a file and no row in it: a shard may be so, a pool may not."""


@dataclass(frozen=True, slots=True)
class FileKind:
    """What a suffix says: a container (jsonl, json, parquet, csv, tsv) and a compression."""

    container: str
    compression: str | None


#: What to do about files that are of no known kind.
_INSTEAD = {
    (".zip", ".tar", ".tgz", ".bz2", ".xz", ".7z", ".rar"): "Unpack it first.",
    (".xlsx", ".xls", ".ods"): "Save the sheet as CSV (UTF-8).",
    (".txt", ""): "Name it after what it holds.",
}


def file_kind(path: PurePath | RemoteFile) -> FileKind:
    """Return what the suffix of a file says, or raise `InputError` naming the known ones."""
    name = path.name.lower()
    compression = next((_COMPRESSIONS[s] for s in _COMPRESSIONS if name.endswith(s)), None)
    if compression:
        name = name.rpartition(".")[0]
    suffix = Path(name).suffix
    if suffix not in _CONTAINERS:
        near = difflib.get_close_matches(suffix, list(_CONTAINERS), n=1, cutoff=0.6)
        hint = f" Did you mean {near[0]}?" if near else ""
        hint = next((f" {do}" for ends, do in _INSTEAD.items() if suffix in ends), hint)
        raise InputError(
            f"Cannot tell what '{shown_path(path)}' is: its suffix must be one of "
            f"{', '.join(_CONTAINERS)}, alone or followed by .gz or .zst.{hint}"
        )
    return FileKind(_CONTAINERS[suffix], compression)


def check_readable(path: File) -> None:
    """Raise `InputError` unless ``path`` is a file with something in it."""
    name = shown_path(path)
    if isinstance(path, RemoteFile):  # which is there
        if path.size == 0:
            raise NoRowsError(f"{name} is empty (0 bytes).")
        return
    try:
        if not path.exists():
            raise InputError(f"{name} does not exist.{_nearest(path)}")
        if not path.is_file():
            raise InputError(f"{name} is not a file.")
        if path.stat().st_size == 0:
            raise NoRowsError(f"{name} is empty (0 bytes).")
    except OSError as error:
        raise InputError(f"Cannot read {name}: {error.strerror}.") from error


def _nearest(path: Path) -> str:
    if not path.parent.is_dir():
        return f" The folder {shown_path(path.parent)} does not exist either."
    names = [entry.name for entry in path.parent.iterdir()]
    near = difflib.get_close_matches(path.name, names, n=1)
    return f" Did you mean {shown_path(near[0])}?" if near else ""


@contextlib.contextmanager
def open_binary(
    path: File, compression: str | None, *, at_once: int | None = None
) -> Iterator[BufferedIOBase]:
    """Open a file for reading, decompressed as it is read; of an object so many bytes a request.

    Raises:
        InputError: it cannot be read, or its compressed data is cut off or damaged.
    """
    name = shown_path(path)
    try:
        with contextlib.ExitStack() as stack:
            yield _reader(path, compression, stack, at_once or _PER_REQUEST)
    except EOFError:
        raise InputError(_cut_off(name)) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{name} is no readable gzip file: {error}.") from error
    except OSError as error:
        if "Truncated compressed stream" in str(error):
            raise InputError(_cut_off(name)) from None
        if compression == "zstd" and error.errno is None:
            raise InputError(f"{name} is no readable zstd file.") from error
        raise InputError(f"Cannot read {name}: {error.strerror or error}.") from error


def _cut_off(name: str) -> str:
    return (
        f"{name} is cut off: its compressed data ends too early. Copy or download it again, or "
        "decompress what is there and drop the last line."
    )


def _reader(
    path: File, compression: str | None, stack: contextlib.ExitStack, at_once: int
) -> BufferedIOBase:
    plain: RawIOBase = _Counted(path) if isinstance(path, Path) else path.open()
    size = _AT_ONCE if isinstance(path, Path) else at_once
    raw = stack.enter_context(BufferedReader(plain, buffer_size=size))
    if compression == "gzip":
        return stack.enter_context(gzip.GzipFile(fileobj=raw))
    if compression == "zstd":
        import pyarrow as pa

        stream = stack.enter_context(pa.CompressedInputStream(raw, "zstd"))
        return BufferedReader(stream, buffer_size=1 << 20)
    return raw


class _Counted(FileIO):
    """A file that says which share of it has been read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "rb")
        self._count = counter(max(1, path.stat().st_size))

    def readinto(self, buffer: Any, /) -> int | None:
        """Read into a buffer, and count it."""
        n = super().readinto(buffer)
        self._count(n or 0)
        return n


@contextlib.contextmanager
def writer(path: Path, compression: str | None) -> Iterator[BufferedIOBase]:
    """Open a file for writing, compressed as it is written; the same input gives equal bytes."""
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(path.open("wb"))
        if compression == "gzip":
            yield stack.enter_context(gzip.GzipFile("", "wb", fileobj=raw, mtime=0))
        elif compression == "zstd":
            import pyarrow as pa

            stream = stack.enter_context(pa.CompressedOutputStream(raw, "zstd"))
            yield stack.enter_context(BufferedWriter(stream))
        else:
            yield raw


def check_content(path: File, kind: FileKind) -> bytes:
    """Return the first bytes of a file once they can be what its suffix says."""
    name = shown_path(path)
    with open_binary(path, kind.compression, at_once=_HEAD) as stream:
        head = stream.read(_HEAD)
        if kind.container == "json" and b"\n" not in head:  # a row a line, or one line in all?
            head += stream.readline(_LONG_LINE) + stream.read(_HEAD)
    if not head:
        raise NoRowsError(f"{name} is empty (0 bytes once decompressed).")
    if kind.container == "parquet":
        if not head.startswith(b"PAR1"):
            raise InputError(f"{name} is no Parquet file: it does not begin with 'PAR1'.")
        return head
    for magic, what in _MAGIC.items():
        if head.startswith(magic):
            raise InputError(f"{name} {what}.")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or _is_utf16(head):
        raise InputError(
            f"{name} is encoded as UTF-16; ds2 reads UTF-8. Convert it with: "
            "iconv -f UTF-16 -t UTF-8 OLD > NEW"
        )
    if b"\0" in head:
        raise InputError(f"{name} is a binary file (it holds NUL bytes), not {kind.container}.")
    return head


def _is_utf16(head: bytes) -> bool:
    """Say whether every other byte of the start is NUL, as in UTF-16 without a mark."""
    start = head[:64]
    return len(start) >= 4 and any(start[1::2]) != any(start[::2])


def encoding_advice(sample: bytes) -> str:
    """Say in which encoding some bytes seem to be that are no UTF-8, and how to convert them."""
    from charset_normalizer import from_bytes

    names = [_ICONV.get(match.encoding, match.encoding.upper()) for match in from_bytes(sample)]
    likely = list(dict.fromkeys(name.replace("_", "-") for name in names))[:3]
    if not likely or likely[0] in _WESTERN:
        likely = ["WINDOWS-1252"]
    said = f"It looks like {' or '.join(likely)}"
    return f"{said}. Convert it with: iconv -f {likely[0]} -t UTF-8 OLD > NEW"


#: What iconv calls some of Python's encodings, and those that only a reader tells apart.
_ICONV = {"gb2312": "GB18030", "gbk": "GB18030", "euc_jis_2004": "EUC-JP", "cp932": "SHIFT_JIS"}
_WESTERN = {"LATIN-1", "ISO8859-15", "CP1252", "CP1250", "CP1254", "CP1257", "CP850", "MAC-ROMAN"}


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
        # Half a character is written as JSON escapes it.
        stream.write(_as_json(row).encode(errors="backslashreplace") + b"\n")


def _write_json(rows: Rows, stream: BufferedIOBase) -> None:
    before = b"[\n"
    for row in rows():
        stream.write(before + _as_json(row).encode())
        before = b",\n"
    stream.write(b"\n]\n")


def _write_csv(rows: Rows, stream: BufferedIOBase, delimiter: str = ",") -> None:
    header = list(dict.fromkeys(name for row in rows() for name in row))
    text = TextIOWrapper(cast("Any", stream), encoding="utf-8", newline="")
    out = csv.writer(text, delimiter=delimiter)
    out.writerow(header)
    out.writerows([_cell(row.get(name)) for name in header] for row in rows())
    text.detach()  # flushes, and leaves the stream open


def _cell(value: object) -> str:
    if isinstance(value, str):
        if "\0" in value:
            raise InputError("CSV cannot hold a NUL character; write .jsonl instead.")
        return value
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return _as_json(value)


def _write_parquet(rows: Rows, stream: BufferedIOBase) -> None:
    write_parquet(rows(), parquet_schema(rows())[0], stream)


def parquet_schema(
    rows: Iterator[OutRow], fixed: Collection[str] | None = None
) -> tuple["pyarrow.Schema", list[str]]:
    """Return the columns that hold all of these rows, and which of them are texts for want of one.

    A field whose values no column holds together becomes a text, in which what is no text is JSON,
    unless it is ``fixed``; None: all are.

    Raises:
        InputError: values of one fixed field are of kinds that no column holds together.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds: dict[str, pa.DataType] = {}
    mixed: dict[str, None] = {}
    for batch in _batches(rows):
        for name in dict.fromkeys(name for row in batch for name in row):
            try:
                both = kinds.get(name, pa.null()), _column(batch, name).type
                one, other = (pa.schema([(name, kind)]) for kind in both)
                found = pa.unify_schemas([one, other], promote_options="permissive")
                kinds[name] = found.field(name).type
            except (InputError, pa.ArrowException) as error:
                if fixed is None or name in fixed:
                    said = shown(str(error), 120)
                    ours = isinstance(error, InputError)
                    raise error if ours else InputError(f"{_NO_PARQUET} {said}.") from None
                kinds[name], mixed[name] = pa.string(), None
    for name in [name for name in kinds if fixed is not None and name not in fixed]:
        try:
            pq.ParquetWriter(BytesIO(), pa.schema([(name, kinds[name])])).close()
        except pa.ArrowNotImplementedError:  # objects without any field
            kinds[name], mixed[name] = pa.string(), None
    return pa.schema(list(kinds.items())), list(mixed)


def write_parquet(rows: Iterator[OutRow], schema: "pyarrow.Schema", stream: BufferedIOBase) -> None:
    """Write rows as Parquet with these columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetWriter(stream, schema, compression="zstd") as out:
            for batch in _batches(rows):
                arrays = [_column(batch, field.name, field.type) for field in schema]
                out.write_batch(pa.record_batch(arrays, schema=schema))
    except pa.ArrowNotImplementedError as error:
        raise InputError(f"{_NO_PARQUET} {shown(str(error), 120)}.") from None


_NO_PARQUET = (
    "Parquet cannot hold these rows; write .jsonl instead (in a run: output.rows_per_file = 0)."
)


def _column(
    batch: list[OutRow], name: str, kind: "pyarrow.DataType | None" = None
) -> "pyarrow.Array":
    """Return one field of some rows as Arrow, of the kind given or of the kind they have."""
    import pyarrow as pa

    values = [row.get(name) for row in batch]
    if kind == pa.string():
        values = [one if one is None or isinstance(one, str) else _as_json(one) for one in values]
    try:
        return pa.array(values, type=kind)
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
    "tsv": functools.partial(_write_csv, delimiter="\t"),
    "parquet": _write_parquet,
}
