"""Numbers as words: one way to write a count, a share, an interval, and what is missing.

None and NaN both mean "not enough data"; neither is ever printed as "nan". A share is kept as a
fraction everywhere and becomes a percentage here, when it is written.
"""

import math

__all__ = [
    "MISSING",
    "NOT_ENOUGH",
    "count",
    "decimal",
    "either_share",
    "interval",
    "of",
    "plural",
    "score",
    "share",
    "share_span",
    "signed",
    "signed_interval",
]

MISSING = "–"
NOT_ENOUGH = "not enough data"
_NBSP = "\u00a0"


def _absent(value: float | None) -> bool:
    return value is None or not math.isfinite(value)


def count(value: int) -> str:
    """Write a whole number: 52,002."""
    return f"{value:,}"


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
    if _absent(low) or _absent(high):
        return MISSING
    return f"{decimal(low, digits)} to {decimal(high, digits)}"


def share_span(low: float | None, high: float | None) -> str:
    """Write a span of fractions: "5 % and 45 %"-style ends joined by "to"; one when they agree."""
    first, last = share(low, 0), share(high, 0)
    return first if first == last else f"{first} to {last}"


def either_share(low: float, high: float) -> str:
    """Write a span of fractions for a sentence: "about 31 %" or "between 5 % and 45 %"."""
    first, last = share(low, 0), share(high, 0)
    return f"about {first}" if first == last else f"between {first} and {last}"


def signed(value: float | None, digits: int = 4) -> str:
    """Write a difference with its sign: "+0.0123", "−0.0045"; a dash when it is missing."""
    text = decimal(value, digits)
    return text if text == MISSING or text.startswith("\u2212") else f"+{text}"


def signed_interval(ends: tuple[float | None, float | None], joined: str = " to ") -> str:
    """Write both ends of a difference; a dash when either is missing."""
    low, high = ends
    return MISSING if _absent(low) or _absent(high) else f"{signed(low)}{joined}{signed(high)}"
