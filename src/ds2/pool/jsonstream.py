"""A JSON document read piece by piece: a list of rows, or an object that holds one such list."""

import codecs
import json
import re
from collections.abc import Iterator
from io import BufferedIOBase

from ds2.errors import InputError
from ds2.pool.files import NoRowsError, encoding_advice
from ds2.pool.wording import shown_names

__all__ = ["json_fault", "looks_cut", "read_document", "read_values"]

_CHUNK = 1 << 20
_SPACE = " \t\n\r"
_WORDS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")
_NUMBER_END = re.compile(r"\.|[eE][+-]?")


def looks_cut(error: json.JSONDecodeError) -> bool:
    """Say whether a JSON text is right up to its end, and only ends too early."""
    rest = error.doc[error.pos :].strip()
    return (
        error.msg.startswith("Unterminated string")
        or any(word.startswith(rest) for word in _WORDS)
        or _NUMBER_END.fullmatch(rest) is not None
        or (error.msg.startswith("Invalid \\u") and len(rest) < 8)
    )


#: What stands at a comment in JSON, and what to do about it.
COMMENTS = re.compile("//|/\\*|#")
COMMENT = "a comment, which JSON does not have (take the comments out)"


def json_fault(error: json.JSONDecodeError) -> str:
    """Return what is wrong with a JSON text: a comment or a comma too many by its name."""
    before = error.doc[: error.pos].rstrip()
    rest = error.doc[error.pos :].lstrip()
    after = rest[:1]
    if COMMENTS.match(rest):
        return COMMENT
    if "trailing comma" in error.msg or (before.endswith(",") and after in ("}", "]")):
        return "a comma stands before the closing bracket"
    return error.msg


def read_values(stream: BufferedIOBase, name: str) -> Iterator[tuple[int, object]]:
    """Yield (number from 1, value) of JSON values that stand one after another."""
    text = _Text(stream, name)
    number = 0
    while text.peek():
        number += 1
        yield number, text.decode()
        if text.peek() == ",":
            text.expect(",")


def read_document(stream: BufferedIOBase, name: str) -> Iterator[tuple[int, object]]:
    """Yield (number of the row from 1, row) from a JSON document without holding all of it.

    Args:
        stream: UTF-8 bytes.
        name: the file, for messages.

    Raises:
        InputError: it is no JSON, it is cut off, or it holds no list of rows.
    """
    text = _Text(stream, name)
    if text.peek() == "[":
        yield from _items(text)
    else:
        yield from _only_list(text)
    if text.peek():
        raise InputError(f"{name} goes on after the end of its JSON document. {text.where()}")


_AS_ROWS = (
    "write the rows as a list, or one a line (of a DataFrame: to_json(..., orient='records', "
    "lines=True))"
)


def _only_list(text: "_Text") -> Iterator[tuple[int, object]]:
    text.expect("{")
    keys: list[str] = []
    found = None
    while text.peek() != "}":
        if keys:
            text.expect(",")
        key = text.decode()
        text.expect(":")
        if text.peek() != "[":
            text.decode()
        elif found is not None:
            raise InputError(
                f"{text.name} holds more than one list: {shown_names([found, str(key)])}. "
                f"Keep the list of rows alone; if each is a column, {_AS_ROWS}."
            )
        else:
            found = str(key)
            yield from _items(text)
        keys.append(str(key))
    text.expect("}")
    if found is None:
        raise InputError(
            f"{text.name} is one JSON object without a list of rows; its fields are "
            f"{shown_names(keys)}. Change it: {_AS_ROWS}."
        )


def _items(text: "_Text") -> Iterator[tuple[int, object]]:
    text.expect("[")
    number = 0
    while text.peek() != "]":
        if number:
            text.expect(",")
            if text.peek() == "]":
                raise text.wrong("a comma stands before the closing bracket")
        number += 1
        yield number, text.decode()
    text.expect("]")
    if not number:
        raise NoRowsError(f"{text.name} holds an empty list, so there are no rows to read.")


class _Text:
    """The part of a document that has been read and not yet used."""

    def __init__(self, stream: BufferedIOBase, name: str) -> None:
        self.name = name
        self._stream = stream
        self._bytes = codecs.getincrementaldecoder("utf-8-sig")()
        self._json = json.JSONDecoder()
        self._text = ""
        self._at = 0
        self._lines = 0
        self._ended = False

    def peek(self) -> str:
        """Return the next character that is no white space, or nothing at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _SPACE:
                    return self._text[self._at]
                self._at += 1
            if self._ended:
                return ""
            self._fill()

    def expect(self, character: str) -> None:
        """Step over a character, or raise `InputError`."""
        if self.peek() != character and COMMENTS.match(self._text, self._at):
            raise self.wrong(COMMENT)
        if self._text[self._at : self._at + 1] != character:
            raise self.wrong(f"{character!r} expected")
        self._at += 1

    def decode(self) -> object:
        """Return the next value of the document."""
        self.peek()
        while True:
            try:
                value, end = self._json.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._ended or not self._may_go_on(error):
                    self._at = len(self._text) if looks_cut(error) else error.pos
                    raise self.wrong(json_fault(error)) from None
            except (RecursionError, ValueError):
                raise self.wrong("a value is nested too deeply or too long") from None
            else:
                if end < len(self._text) or self._ended:
                    self._at = end
                    return value
            self._fill()

    def _may_go_on(self, error: json.JSONDecodeError) -> bool:
        """Say whether the value may be right once more of the document is read."""
        near_the_end = error.pos >= len(self._text) - 16
        return near_the_end or error.msg.startswith("Unterminated string")

    def where(self) -> str:
        """Return the line and column of the next character, as a sentence."""
        before = self._text[: self._at]
        line = self._lines + before.count("\n") + 1
        return f"Line {line:,}, column {len(before) - before.rfind(chr(10)):,}."

    def wrong(self, what: str) -> InputError:
        """Return the error for what stands here."""
        if self._at >= len(self._text):
            return InputError(
                f"{self.name} is cut off: its JSON document does not end. {self.where()} Copy or "
                "download it again, or close the document by hand after the last whole row."
            )
        return InputError(f"{self.name} is not valid JSON: {what}. {self.where()}")

    def _fill(self) -> None:
        chunk = self._stream.read(max(_CHUNK, len(self._text) - self._at))
        self._ended = not chunk
        try:
            more = self._bytes.decode(chunk, final=self._ended)
        except UnicodeDecodeError as error:
            raise InputError(
                f"{self.name} is not UTF-8 (byte 0x{error.object[error.start]:02x}). "
                f"{encoding_advice(chunk[: 1 << 18])}"
            ) from None
        self._lines += self._text.count("\n", 0, self._at)
        self._text, self._at = self._text[self._at :] + more, 0
