"""Numbers that a text says are ratings, as digits of any script or as English words.

Each function takes text that `plain` has been through. A number counts where a label stands in
front ("Overall rating: 8"), where the end of the scale stands behind ("8/10"), after a verb ("I
rate it 8."), or alone on the last or first line. Where several differ and nothing says which one is
meant, none counts. Ranges ("7-8"), percentages and ratings on another scale ("4/5") do not count.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache

__all__ = ["first_value", "labelled", "listed", "plain", "unlabelled"]

_WORD = (
    "zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|"
    "fifteen|sixteen|seventeen|eighteen|nineteen|twenty"
)
_WORDS = {word: number for number, word in enumerate(_WORD.split("|"))}
_DIGITS = r"[0-9]{1,6}(?:[.,][0-9]{1,6})?"
#: What may not follow a number: more of it, a unit, a percentage, or "to" another number.
_AFTER = (
    r"(?![^\W分点點점]|[.,/:]?[0-9]|[ \t]?[%°]"
    rf"|[ \t]*(?:[-–—~/]|to\b|or\b|and\b)[ \t]*(?:[0-9]|(?:{_WORD})\b))"
)
#: What must follow a word: the end of a phrase ("one of the best" is no rating).
_AFTER_WORD = r"(?=[ \t]*(?:$|[.,;:!?)\]}\"'|/\n]|out of\b))"
#: A number, and the upper end of the scale when it is said.
_VALUE = (
    rf"(?:(?P<sign>[-−])?(?P<digits>{_DIGITS})|(?P<word>{_WORD})\b{_AFTER_WORD})"
    rf"(?:[ \t]*(?:/|out of|von|sur|de|из)[ \t]*(?P<of>{_DIGITS}|(?:{_WORD})\b))?{_AFTER}"
)
_BREAK = r"(?<![\w.,/:−–—-])"
_NOUN = (
    r"(?:rating|score|grade|value|level|mark|assessment|quality|bewertung|note|总体评分|综合评分|评分|"
    r"分数|得分|总分)"
)
_QUOTES = r"[\"'“”\\ \t]*"
#: Between a label and its number.
_IS = (
    rf"{_QUOTES}(?:\([^()\n]{{0,40}}\))?{_QUOTES}"
    r"(?:[:=|→–—]|-+>|-(?=[ \t])|\b(?:is|was|of|as|at|gets|would be|should be|will be)\b)"
    r"[\"'“”\\ \t(\[{]*(?:\n[ \t]*)?(?:an?[ \t]+)?"
)
_ANY = rf"(?:{_DIGITS}|\b(?:{_WORD})\b)(?:[ \t]*(?:/|out of)[ \t]*{_DIGITS})?"
_RANGE = re.compile(
    rf"(?<![\w.,/]){_ANY}[ \t]*(?:[-–—~]|to\b|or\b|and\b)[ \t]*{_ANY}", re.IGNORECASE
)
_SCALED = re.compile(_BREAK + _VALUE, re.IGNORECASE)
_GENERIC = re.compile(
    r"(?:^|(?<=[.!?;:\n{,])|\b(?P<last>final|overall|total)[ \t]+|\b(?:my|the|a)[ \t]+)[\"' \t]*"
    rf"(?:{_NOUN}{_IS}|\\boxed\{{[ \t]*){_VALUE}",
    re.IGNORECASE | re.MULTILINE,
)
_VERB = re.compile(
    rf"\b(?:rate|give|score|assign|award)\b[^.\n0-9]{{0,60}}?{_BREAK}{_VALUE}"
    r"(?=[ \t]*(?:$|[.,;!)\n]|points?\b|stars?\b))",
    re.IGNORECASE,
)
_ALONE = re.compile(rf"[\s\"'“”(\[]*{_VALUE}[\s\"'“”)\].,!]*", re.IGNORECASE)
_FIRST = re.compile(rf"[\s\"'“”(\[]*{_VALUE}", re.IGNORECASE)
_LIST = re.compile(r"[\s(\[]*[0-9]{1,6}(?:[\s,;|]+[0-9]{1,6})+[\s)\].]*")
#: Marks of emphasis, and the full-width signs of Chinese and Japanese.
_SIGNS = str.maketrans("*`：／，（）｜＝", "  :/,()|=")


def plain(text: str) -> str:
    """Return text of the same length with ASCII digits and signs, and without emphasis."""
    text = text.translate(_SIGNS)
    if text.isascii():
        return text
    return "".join(
        str(unicodedata.decimal(char)) if char > "\x7f" and char.isdecimal() else char
        for char in text
    )


def first_value(text: str, high: float) -> float | None:
    """Return the number at the start of a text, such as the value of a JSON key."""
    found = _FIRST.match(text)
    return _number(found, high) if found else None


def labelled(text: str, name: str, high: float) -> float | None:
    """Return the number behind the last label that is this criterion's name."""
    return next(iter([_number(found, high) for found in _label(name).finditer(text)][::-1]), None)


def unlabelled(text: str, high: float) -> float | None:
    """Return the number that a text gives as its one rating, without a criterion's name."""
    text = _RANGE.sub("-", text)
    generic = list(_GENERIC.finditer(text))
    final = [found for found in generic if found["last"]][-1:]
    for group in (
        final,
        generic,
        [found for found in _SCALED.finditer(text) if found["of"]],
        [found for found in _VERB.finditer(text) if found["digits"] or found["of"]],
    ):
        values = {value for found in group if (value := _number(found, high)) is not None}
        if values:
            return values.pop() if len(values) == 1 else None
    return next(_alone(text, high), None)


def listed(text: str, n: int) -> list[float] | None:
    """Return the numbers of a text that is nothing but ``n`` whole numbers."""
    numbers = re.findall("[0-9]+", text) if _LIST.fullmatch(text) else []
    return [float(number) for number in numbers] if len(numbers) == n > 1 else None


def _alone(text: str, high: float) -> Iterator[float]:
    """Yield numbers that have the last or the first line for themselves."""
    lines = text.strip().splitlines()
    for line in (*lines[-1:], *lines[:1]):
        found = _ALONE.fullmatch(line)
        value = _number(found, high) if found else None
        if value is not None:
            yield value


@cache
def _label(name: str) -> re.Pattern[str]:
    spelled = re.escape(name).replace("_", r"[ _\t-]*")
    return re.compile(
        rf"(?<![^\W_]){spelled}(?:[ _\t-]*{_NOUN})*(?![^\W\d_]){_IS}{_VALUE}", re.IGNORECASE
    )


def _number(found: re.Match[str], high: float) -> float | None:
    """Return the number of a match, None where it is on another scale."""
    if found["of"] and _plain_number(found["of"]) != high:
        return None
    value = _plain_number(found["digits"] or found["word"])
    return -value if found["sign"] else value


def _plain_number(text: str) -> float:
    word = _WORDS.get(text.lower())
    return float(text.replace(",", ".")) if word is None else float(word)
