"""Other people's text, made safe to look at: shortened, and shown as what it is.

Nothing here makes text safe for a *format*: the HTML template escapes by itself, and the Markdown
functions at the end do so for Markdown. These functions make text safe for the *eye*: a control
character, a change of writing direction or an invisible character is shown, not obeyed.
"""

import re

from ds2.report.numbers import Excerpt

__all__ = ["excerpt", "fenced", "join", "markdown_text", "visible"]


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


#: How far a cut may move to end at a word.
_SLACK = 20
_VISIBLE = _escapes()
_MARKDOWN = {ord(mark): f"\\{mark}" for mark in "\\`*_[]~#@$"} | {
    ord("&"): "&amp;",
    ord("<"): "&lt;",
    ord(">"): "&gt;",
    ord("|"): "&#124;",
}
_LINE_START = re.compile(r"^(\d*)([.)+](?=\s|$)|[-=](?!\d))")
_LINK = re.compile(r"(://|www\.)", re.IGNORECASE)


def visible(text: str) -> str:
    """Return ``text`` with controls, direction overrides and invisible characters spelled out.

    Newlines and tabs stay. Joiners stay as well: emoji and several scripts need them.
    """
    return text.replace("\r\n", "\n").translate(_VISIBLE)


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


def markdown_text(text: str) -> str:
    """Escape ``text`` for one line of Markdown: no markup, link, HTML or table cell comes of it."""
    flat = " ".join(visible(text).split()).translate(_MARKDOWN)
    unlinked = _LINK.sub(lambda found: f"{found[0][:-1]}\\{found[0][-1]}", flat)
    return _LINE_START.sub(r"\1\\\2", unlinked)


def fenced(text: str) -> str:
    """Put ``text`` in a fenced block whose fence is longer than any run of backticks in it."""
    shown = visible(text)
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{shown}\n{fence}"
