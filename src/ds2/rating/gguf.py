"""The head of a GGUF file: how long a text the model was trained on."""

import struct
from pathlib import Path
from typing import IO

__all__ = ["trained_context"]

#: Formats of the numbers by their type in the file; 8 is text and 9 a list.
_NUMBERS = dict(enumerate(("<B", "<b", "<H", "<h", "<I", "<i", "<f", "<?"))) | {
    10: "<Q",
    11: "<q",
    12: "<d",
}
_TEXT, _LIST = 8, 9
_LONGEST = 1 << 24
_MOST_ENTRIES = 4096


def trained_context(path: Path) -> int | None:
    """Return the tokens that a model can attend to, None where the file does not say."""
    try:
        with path.open("rb") as file:
            return _search(file)
    except (OSError, ValueError, struct.error):
        return None


def _search(file: IO[bytes]) -> int | None:
    if file.read(4) != b"GGUF":
        return None
    _, _, n_entries = struct.unpack("<IQQ", file.read(20))
    for _ in range(min(n_entries, _MOST_ENTRIES)):
        key = _text(file)
        (kind,) = struct.unpack("<I", file.read(4))
        value = _value(file, kind)
        if key.endswith(b".context_length") and isinstance(value, int) and value > 0:
            return value
    return None


def _value(file: IO[bytes], kind: int) -> object:
    """Return a text or a number; pass over a list."""
    if kind == _TEXT:
        return _text(file)
    if kind != _LIST:
        return _number(file, kind)
    inner, count = struct.unpack("<IQ", file.read(12))
    if count > _LONGEST or inner == _LIST:
        raise ValueError(f"a list of {count} values")
    for _ in range(count):
        _value(file, inner)
    return None


def _text(file: IO[bytes]) -> bytes:
    (size,) = struct.unpack("<Q", file.read(8))
    if size > _LONGEST:
        raise ValueError(f"a text of {size} bytes")
    text = file.read(size)
    if len(text) < size:
        raise ValueError("the file ends early")
    return text


def _number(file: IO[bytes], kind: int) -> int | float:
    if kind not in _NUMBERS:
        raise ValueError(f"a value of type {kind}")
    form = _NUMBERS[kind]
    value: int | float = struct.unpack(form, file.read(struct.calcsize(form)))[0]
    return value
