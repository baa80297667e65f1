"""How far a long computation is, told to whoever listens, through any depth of functions.

A function that takes long says how its work divides: `part` is the share of a stretch of it,
`steps` goes through equal ones, `counter` counts what threads do. Shares nest. Nobody needs to
listen, and no result depends on it.

    with told(print):
        with part(0.0, 0.2):
            prepare()
        with part(0.2, 1.0):
            for item in steps(items):      # what is inside a step may have parts of its own
                work(item)
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from threading import Lock
from typing import TypeVar

__all__ = ["counter", "part", "steps", "told"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Whom to tell, and which shares of the whole this part of the work begins and ends at."""

    tell: Callable[[float], None]
    low: float = 0.0
    high: float = 1.0

    def at(self, share: float) -> float:
        return self.low + share * (self.high - self.low)

    def inner(self, low: float, high: float) -> "_Stretch":
        return replace(self, low=self.at(low), high=self.at(high))


_NOW: ContextVar[_Stretch | None] = ContextVar("ds2_progress", default=None)


@contextmanager
def told(tell: Callable[[float], None]) -> Iterator[None]:
    """Tell ``tell`` which share of the block's work is done, from 0 to 1, as often as it changes.

    It may be called from another thread.
    """
    before = _NOW.set(_Stretch(tell))
    try:
        tell(0.0)
        yield
    finally:
        _NOW.reset(before)


@contextmanager
def part(low: float, high: float) -> Iterator[None]:
    """Say that the block is the work between two shares of what is around it."""
    around = _NOW.get()
    if around is None:
        yield
        return
    before = _NOW.set(around.inner(low, high))
    try:
        around.tell(around.at(low))
        yield
        around.tell(around.at(high))
    finally:
        _NOW.reset(before)


def steps(
    items: Iterable[T], total: int | None = None, *, costs: Sequence[float] | None = None
) -> Generator[T]:
    """Go through items whose work is alike, or as ``costs`` say.

    ``total`` says how many there are where the items cannot.
    """
    around = _NOW.get()
    if around is None:
        yield from items
        return
    if total is None:
        items = items if isinstance(items, Sized) else list(items)
        total = len(items)
    whole = sum(costs) if costs else float(max(total, 1))
    start = 0.0
    try:
        for at, item in enumerate(items):
            end = start + (costs[at] if costs else 1.0) / whole
            _NOW.set(around.inner(start, min(1.0, end)))
            around.tell(around.at(start))
            yield item
            start = min(1.0, end)
        around.tell(around.high)
    finally:
        _NOW.set(around)


def counter(total: float) -> Callable[[float], None]:
    """Return what counts the work done, of ``total`` in all; threads may share it."""
    around, lock, done = _NOW.get(), Lock(), 0.0

    def count(more: float = 1) -> None:
        nonlocal done
        if around is not None:
            with lock:
                done += more
                around.tell(around.at(min(1.0, done / total)))

    return count
