"""Numbers and other people's texts as words: one way to write each, whatever the format.

None and NaN both mean "not enough data"; neither is ever printed as "nan". A share is a fraction
everywhere and becomes a percentage when it is written. Texts are made safe for the *eye*: a control
character, a change of writing direction or an invisible character is shown, not obeyed. Each
writer makes them safe for its format.
"""

import math
from dataclasses import dataclass

__all__ = [
    "MISSING",
    "NOT_ENOUGH",
    "Excerpt",
    "decimal",
    "either_share",
    "excerpt",
    "interval",
    "join",
    "of",
    "plural",
    "score",
    "share",
    "short",
    "signed",
    "visible",
]

MISSING = "–"
NOT_ENOUGH = "not enough data"
_NBSP = "\u00a0"


def plural(value: int, one: str, many: str | None = None) -> str:
    """Write a count and its noun: "1 example", "52,002 examples"."""
    return f"{value:,} {one if value == 1 else many or one + 's'}"


def decimal(value: float | None, digits: int = 2) -> str:
    """Write a number with fixed digits, never as "-0.00", and as a dash when it is missing."""
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{value:,.{digits}f}"
    return text.removeprefix("-") if not text.strip("-0.") else text.replace("-", "\u2212")


def score(value: float | None) -> str:
    """Write a score: whole numbers bare, others with two digits, a missing one as "unrated"."""
    if value is None or not math.isfinite(value):
        return "unrated"
    return f"{value:.0f}" if value == round(value) else decimal(value)


def share(value: float | None, digits: int = 1) -> str:
    """Write a fraction as a percentage, never rounding something to nothing or to all."""
    if value is None or not math.isfinite(value):
        return MISSING
    least = 10.0**-digits
    percent = 100.0 * value
    if 0 < percent < least:
        return f"<{_NBSP}{least:.{digits}f}{_NBSP}%"
    if 100 - least < percent < 100:
        return f">{_NBSP}{100 - least:.{digits}f}{_NBSP}%"
    return decimal(percent, digits) + f"{_NBSP}%"


def of(part: int, whole: int) -> str:
    """Write a part of a whole as a percentage; a dash when the whole is empty."""
    return share(part / whole if whole else None)


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """Write both ends: "0.79 to 0.85"; a dash when either is missing."""
    ends = (decimal(low, digits), decimal(high, digits))
    return MISSING if MISSING in ends else " to ".join(ends)


def either_share(low: float, high: float) -> str:
    """Write a span of fractions for a sentence: "about 31 %" or "between 5 % and 45 %"."""
    first, last = share(low, 0), share(high, 0)
    return f"about {first}" if first == last else f"between {first} and {last}"


def signed(value: float | None, digits: int = 4) -> str:
    """Write a difference with its sign: "+0.0123", "−0.0045"; a dash when it is missing."""
    text = decimal(value, digits)
    return text if text == MISSING or text.startswith("\u2212") else f"+{text}"


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A text, shortened in its middle: ``left_out`` characters are missing before ``tail``."""

    head: str
    left_out: int
    tail: str


#: How far a cut may move to end at a word.
_SLACK = 20


def excerpt(text: str, limit: int) -> Excerpt:
    """Shorten ``text`` to about ``limit`` characters by leaving out its middle.

    The cuts are moved to the nearest spaces, where there are any close by.
    """
    if len(text) <= limit:
        return Excerpt(head=text, left_out=0, tail="")
    rest = limit // 3
    head, tail = text[: limit - rest], text[len(text) - rest :]
    start, end = head.rfind(" ", -_SLACK), tail.find(" ", 0, _SLACK)
    head = head if start < 0 else head[:start]
    tail = tail if end < 0 else tail[end + 1 :]
    return Excerpt(head=head, left_out=len(text) - len(head) - len(tail), tail=tail)


def join(part: Excerpt) -> str:
    """Return an excerpt as one text, with a mark where characters were left out."""
    if not part.left_out:
        return part.head
    return f"{part.head}\n[… {part.left_out:,} characters left out …]\n{part.tail}"


def short(text: str, limit: int) -> str:
    """Return ``text`` on one line, cut at ``limit`` characters."""
    flat = " ".join(visible(text[: 8 * limit]).split())
    return flat if len(flat) <= limit else f"{flat[: limit - 1].rstrip()}…"


def _escapes() -> dict[int, str]:
    shown = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n"}
    shown |= {0x7F: "\u2421", 0x2028: "\n", 0x2029: "\n"}
    invisible = [
        *range(0x80, 0xA0),  # C1 controls
        *range(0x202A, 0x202F),  # bidirectional embeddings and overrides
        *range(0x2066, 0x206A),  # bidirectional isolates
        *range(0xFFF9, 0xFFFC),  # interlinear annotation
        0xFFFE,
        0xFFFF,
        *range(0xE0000, 0xE0080),  # tag characters: an invisible copy of ASCII
    ]
    shown |= {code: f"[U+{code:04X}]" for code in invisible}
    return shown | dict.fromkeys(range(0xD800, 0xE000), "\ufffd")


_VISIBLE = _escapes()


def visible(text: str) -> str:
    """Return ``text`` with controls, direction overrides and invisible characters spelled out.

    Newlines and tabs stay. Joiners stay as well: emoji and several scripts need them.
    """
    return text.replace("\r\n", "\n").translate(_VISIBLE)
