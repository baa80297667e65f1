"""Too long a conversation keeps its beginning, its middle and its end; a long turn its ends."""

import math
from collections.abc import Callable, Sequence

__all__ = ["generous_tokens", "shorten"]

#: Turns in the middle are left out before any turn gets less than this many tokens.
_LEAST = 64


def generous_tokens(text: str) -> int:
    """Return a high guess of a text's tokens where no tokenizer is known: a third of its bytes.

    English has about four bytes a token, code and most other scripts about three.
    """
    return math.ceil(len(text.encode("utf-8", "replace")) / 3)


def shorten(
    texts: Sequence[str],
    room: int,
    *,
    each: int,
    count: Callable[[str], int],
    note: Callable[[str], str],
) -> tuple[list[str | None], int]:
    """Make turns fit into ``room`` tokens together.

    All turns have the same allowance: the largest with which they fit. A longer one loses its
    middle, and a line of ours says so in its place. Where the allowance would be below 64 tokens,
    whole turns are left out between the beginning, the middle and the end of the conversation; the
    first and the last stay.

    Args:
        texts: the turns, first to last.
        room: tokens for all of them.
        each: tokens that every turn costs beside its text.
        count: counts the tokens of a text.
        note: makes a line of ours from what it should say.

    Returns:
        The texts in the same order, None where a turn is left out; and the characters left out.
    """
    sizes = [count(text) for text in texts]
    if sum(sizes) + each * len(sizes) <= room:
        return list(texts), 0
    gone = _turns_to_drop(sizes, room, each)
    kept = [size for at, size in enumerate(sizes) if at not in gone]
    allowance = _allowance(kept, room - each * len(kept))
    out: list[str | None] = []
    left_out = 0
    for at, (text, size) in enumerate(zip(texts, sizes, strict=True)):
        lost = 0
        if at in gone:
            lost = len(text)
            out.append(None)
        elif size > allowance:
            shorter, lost = _cut_middle(text, size, allowance, count, note)
            out.append(shorter)
        else:
            out.append(text)
        left_out += lost
    return out, left_out


def _turns_to_drop(sizes: Sequence[int], room: int, each: int) -> set[int]:
    """Return the turns that do not fit even when shortened, outside of three windows.

    The beginning and the end have three eighths of the room each, the middle what is left of it.
    """
    n = len(sizes)
    needs = [min(size, _LEAST) + each for size in sizes]
    if sum(needs) <= room:
        return set()
    kept: set[int] = {0, n - 1}
    left = room - sum(needs[at] for at in kept)
    half = n // 2
    outwards = sorted(range(n), key=lambda at: (abs(at - half), at))
    windows = (range(n), range(n - 1, -1, -1), outwards)
    for window, part in zip(windows, (3 * room // 8, 3 * room // 8, room), strict=True):
        share = part
        for at in window:
            share -= needs[at]
            if at in kept:
                continue
            if share < 0 or needs[at] > left:
                break
            kept.add(at)
            left -= needs[at]
    return set(range(n)) - kept


def _allowance(sizes: Sequence[int], room: int) -> int:
    """Return the largest c with Σ min(size, c) ≤ room."""
    left, turns = max(room, 0), len(sizes)
    for size in sorted(sizes):
        if size * turns > left:
            return left // turns
        left, turns = left - size, turns - 1
    return max(sizes, default=0)


def _cut_middle(
    text: str, size: int, allowance: int, count: Callable[[str], int], note: Callable[[str], str]
) -> tuple[str, int]:
    keep = len(text) * allowance // size
    while True:
        head, tail = (keep + 1) // 2, keep // 2
        lost = len(text) - keep
        middle = note(f"{lost:,} characters left out")
        shorter = f"{text[:head]}\n{middle}\n{text[len(text) - tail :]}"
        if keep == 0 or count(shorter) <= allowance:
            return shorter, lost
        keep = keep * 9 // 10
