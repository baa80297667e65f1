"""Files by suffix: which container, which compression, and how to open them.

A suffix says what a file is; its first bytes say whether that can be true.
"""

import contextlib
import difflib
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedIOBase, BufferedReader, BufferedWriter
from pathlib import Path

from ds2.errors import InputError
from ds2.pool.wording import shown_path

__all__ = [
    "FileKind",
    "check_content",
    "check_readable",
    "encoding_advice",
    "file_kind",
    "open_binary",
    "writer",
]

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


@dataclass(frozen=True, slots=True)
class FileKind:
    """What a suffix says: a container (jsonl, json, parquet, csv, tsv) and a compression."""

    container: str
    compression: str | None


def file_kind(path: Path) -> FileKind:
    """Return what the suffix of a file says, or raise `InputError` naming the known ones."""
    name = path.name.lower()
    compression = next((_COMPRESSIONS[s] for s in _COMPRESSIONS if name.endswith(s)), None)
    if compression:
        name = name.rpartition(".")[0]
    suffix = Path(name).suffix
    if suffix not in _CONTAINERS:
        near = difflib.get_close_matches(suffix, list(_CONTAINERS), n=1, cutoff=0.6)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise InputError(
            f"Cannot tell what {shown_path(path)} is: its suffix must be one of "
            f"{', '.join(_CONTAINERS)}, alone or followed by .gz or .zst.{hint}"
        )
    return FileKind(_CONTAINERS[suffix], compression)


def check_readable(path: Path) -> None:
    """Raise `InputError` unless ``path`` is a file with something in it."""
    shown = shown_path(path)
    try:
        if not path.exists():
            raise InputError(f"{shown} does not exist.{_nearest(path)}")
        if not path.is_file():
            raise InputError(f"{shown} is not a file.")
        if path.stat().st_size == 0:
            raise InputError(f"{shown} is empty (0 bytes).")
    except OSError as error:
        raise InputError(f"Cannot read {shown}: {error.strerror}.") from error


def _nearest(path: Path) -> str:
    if not path.parent.is_dir():
        return f" The folder {shown_path(path.parent)} does not exist either."
    names = [entry.name for entry in path.parent.iterdir()]
    near = difflib.get_close_matches(path.name, names, n=1)
    return f" Did you mean {shown_path(near[0])}?" if near else ""


@contextlib.contextmanager
def open_binary(path: Path, compression: str | None) -> Iterator[BufferedIOBase]:
    """Open a file for reading, decompressed as it is read.

    Raises:
        InputError: it cannot be read, or its compressed data is cut off or damaged.
    """
    shown = shown_path(path)
    try:
        with contextlib.ExitStack() as stack:
            yield _reader(path, compression, stack)
    except EOFError:
        raise InputError(_cut_off(shown)) from None
    except (gzip.BadGzipFile, _zlib_error()) as error:
        raise InputError(f"{shown} is no readable gzip file: {error}.") from error
    except OSError as error:
        if "Truncated compressed stream" in str(error):
            raise InputError(_cut_off(shown)) from None
        if compression == "zstd" and error.errno is None:
            raise InputError(f"{shown} is no readable zstd file.") from error
        raise InputError(f"Cannot read {shown}: {error.strerror or error}.") from error


def _zlib_error() -> type[Exception]:
    """Return zlib's own error, which gzip lets through."""
    import zlib

    return zlib.error


def _cut_off(shown: str) -> str:
    return (
        f"{shown} is cut off: its compressed data ends too early. Copy or download it again, or "
        "decompress what is there and drop the last line."
    )


def _reader(path: Path, compression: str | None, stack: contextlib.ExitStack) -> BufferedIOBase:
    raw = stack.enter_context(path.open("rb"))
    if compression == "gzip":
        return stack.enter_context(gzip.GzipFile(fileobj=raw))
    if compression == "zstd":
        import pyarrow as pa

        stream = stack.enter_context(pa.CompressedInputStream(raw, "zstd"))
        return BufferedReader(stream, buffer_size=1 << 20)
    return raw


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


def check_content(path: Path, kind: FileKind) -> bytes:
    """Return the first bytes of a file once they can be what its suffix says."""
    shown = shown_path(path)
    with open_binary(path, kind.compression) as stream:
        head = stream.read(_HEAD)
    if not head:
        raise InputError(f"{shown} is empty (0 bytes once decompressed).")
    if kind.container == "parquet":
        if not head.startswith(b"PAR1"):
            raise InputError(f"{shown} is no Parquet file: it does not begin with 'PAR1'.")
        return head
    for magic, what in _MAGIC.items():
        if head.startswith(magic):
            raise InputError(f"{shown} {what}.")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or _is_utf16(head):
        raise InputError(
            f"{shown} is encoded as UTF-16; ds2 reads UTF-8. Convert it with: "
            "iconv -f UTF-16 -t UTF-8 OLD > NEW"
        )
    if b"\0" in head:
        raise InputError(f"{shown} is a binary file (it holds NUL bytes), not {kind.container}.")
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
