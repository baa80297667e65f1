"""Surface features of conversations: a few figures of their texts, and hashed words.

They say what a vector says badly: length, lists, code, digits, single words. Words are runs of
letters or digits, lower-cased; scripts that are written without spaces count by character.
"""

import re
from collections.abc import Callable, Iterator
from itertools import islice
from math import log1p, sqrt
from typing import Protocol, runtime_checkable

import numpy as np

from ds2.arrays import N_WORDS, Features
from ds2.errors import InputError

__all__ = ["CONTENT", "FIGURES", "content_types", "surface_features"]

#: Of what was asked (system, user, tool) and of what was answered (assistant), each.
_EACH = (
    "characters",
    "words",
    "lines",
    "list items",
    "code blocks",
    "questions",
    "digits",
    "capitals",
    "punctuation",
    "symbols",
    "different words",
    "word length",
)
#: The names of the figures, in the order of their columns. Counts are log(1 + count); digits,
#: capitals, punctuation and symbols are shares of the characters; different words are over the
#: square root of the words.
FIGURES = (
    *(f"{name} asked" for name in _EACH),
    *(f"{name} answered" for name in _EACH),
    "turns",
    "answer begins as asked",
)

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")
#: The same on text of nothing but ASCII, much faster.
_ASCII_WORD = re.compile("[a-z0-9]+")
_ITEM = re.compile(r"^[ \t]*(?:[-*•+]|\d+[.)])[ \t]", re.M)
#: What `content_types` tells apart.
CONTENT = ("code", "list", "maths", "text")
_CODE = re.compile(
    r"^\s*(?:def |class |import |from \w+ import |#include|public |function |SELECT |return )"
    r"|[;{]\s*$",
    re.M,
)
_FORMULA = re.compile(r"\\(?:frac|sqrt|sum|int|begin)\b|\$[^$\n]+\$|=\s*-?\d+(?:\.\d+)?\s*[+*/^-]")
_DIGITS = b"0123456789"
_CAPITALS = bytes(range(65, 91))
_PUNCTUATION = b".,;:!?'\""
_SYMBOLS = b"{}()[]<>=+*/\\_|$#%^~&@"
#: Characters of one side of a conversation that are looked at.
_LOOK_AT = 50_000
#: Words whose columns are held, and rows whose words are held at once.
_WORDS_HELD = 1 << 20
_BLOCK = 2048


@runtime_checkable
class TurnPool(Protocol):
    """What surface features need of a pool."""

    def __len__(self) -> int:
        """Return the number of examples."""

    def turns(self) -> Iterator[list[tuple[str, str]]]:
        """Yield the (role, content) pairs of each example, in order."""


def surface_features(
    pool: TurnPool, *, progress: Callable[[int, int], None] | None = None
) -> Features:
    """Figures and hashed words of a pool's conversations: what a scorer learns from beside vectors.

    Args:
        pool: the conversations.
        progress: called now and then with examples done and in all.

    Returns:
        (n, f) sparse float32 rows (scipy CSR): one column for each of `FIGURES`, then
        ``ds2.arrays.N_WORDS`` columns of word counts (words hashed with MurmurHash3).

    Raises:
        InputError: ``pool`` is no pool.
    """
    from scipy.sparse import csr_array, hstack, vstack

    if not hasattr(pool, "turns"):
        raise InputError("'pool' must be a pool: ds2.surface_features(ds2.read_pool(…)).")
    column_of, parts, done = _Columns().__getitem__, [], 0
    figures: list[list[float]] = []
    columns: list[int] = []
    ends = [0]

    def close() -> None:
        nonlocal figures, columns, ends, done
        done += len(figures)
        ones = np.ones(len(columns), np.float32)
        counted = csr_array((ones, columns, ends), shape=(len(figures), N_WORDS))
        counted.sum_duplicates()
        parts.append(hstack([csr_array(np.array(figures, np.float32)), counted], format="csr"))
        figures, columns, ends = [], [], [0]
        if progress:
            progress(done, len(pool))

    for turns in pool.turns():
        row, words = _look_at(turns)
        figures.append(row)
        columns.extend(map(column_of, words))
        ends.append(len(columns))
        if len(figures) == _BLOCK:
            close()
    if figures:
        close()
    if not parts:
        return csr_array((0, len(FIGURES) + N_WORDS), dtype=np.float32)
    return csr_array(vstack(parts, format="csr"))


def content_types(pool: TurnPool, step: int = 1) -> list[str]:
    """What the answer of every ``step``-th example mostly is, one of `CONTENT`, by its surface."""
    return [
        _content("\n".join(text for role, text in turns if role == "assistant")[:_LOOK_AT])
        for turns in islice(pool.turns(), 0, None, step)
    ]


def _content(answer: str) -> str:
    if "```" in answer or len(_CODE.findall(answer)) >= 2:
        return "code"
    raw = answer.encode("utf-8", "replace")
    digits = len(raw) - len(raw.translate(None, _DIGITS))
    if _FORMULA.search(answer):
        return "maths"
    if len(_ITEM.findall(answer)) >= 3:
        return "list"
    return "maths" if digits > 0.12 * len(raw) else "text"


class _Columns(dict[str, int]):
    """The column of each word, as it is met."""

    def __missing__(self, word: str) -> int:
        from sklearn.utils import murmurhash3_32

        if len(self) == _WORDS_HELD:
            self.clear()
        self[word] = column = int(abs(murmurhash3_32(word)) % N_WORDS)
        return column


def _look_at(turns: list[tuple[str, str]]) -> tuple[list[float], list[str]]:
    """The figures of one conversation, and its words."""
    asked = "\n".join(text for role, text in turns if role != "assistant")[:_LOOK_AT]
    answered = "\n".join(text for role, text in turns if role == "assistant")[:_LOOK_AT]
    of_asked, words_asked = _figures(asked)
    of_answered, words = _figures(answered)
    same = float(bool(words) and words[:3] == words_asked[:3])
    row = [*of_asked, *of_answered, log1p(len(turns)), same]
    words_asked.extend(words)
    return row, words_asked


def _figures(text: str) -> tuple[list[float], list[str]]:
    """The figures `_EACH` of one side, counts as they are, and its words."""
    raw = text.encode("utf-8", "replace")
    size, n = len(raw), len(text)
    lower = text.lower()
    words: list[str] = (_ASCII_WORD if lower.isascii() else _WORD).findall(lower)
    if not size:
        return [0.0] * len(_EACH), words
    marks = [size - len(raw.translate(None, of)) for of in (_DIGITS, _CAPITALS, _PUNCTUATION)]
    counts = (n, len(words), raw.count(b"\n"), len(_ITEM.findall(text)), raw.count(b"```"))
    row = [log1p(count) for count in (*counts, raw.count(b"?"))]
    row += [mark / size for mark in marks]
    row.append((size - len(raw.translate(None, _SYMBOLS))) / size)
    if not words:
        return [*row, 0.0, 0.0], words
    row += [len(set(words)) / sqrt(len(words)), sum(map(len, words)) / len(words)]
    return row, words
