"""The thread that writes replies and reservations, so that no request waits for another's disk."""

import asyncio
import itertools
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from ds2.rating.rows import Reserved, Row
from ds2.rating.store import Store

__all__ = ["Commit", "Writer"]

#: A commit follows the first row that waits after this long, or this many entries.
COMMIT_S = 0.4
COMMIT_ROWS = 1000


@dataclass(slots=True)
class Commit:
    """What is written together, in the order in which it came."""

    rows: list[tuple[int, Row]] = field(default_factory=list)
    reserved: list[Reserved] = field(default_factory=list)
    settled: dict[int, float] = field(default_factory=dict)
    learned: dict[str, float] = field(default_factory=dict)

    def write(self, store: Store) -> None:
        """Write it to the store."""
        store.add(self.rows, reserved=self.reserved, settled=self.settled, learned=self.learned)


#: Adds one entry to a commit.
Entry = Callable[[Commit], object]


class Writer:
    """Commits in small batches in a thread of its own; a context manager.

    Leaving the block commits everything that was put and raises what stopped the thread, if
    anything did. A subclass may do so at other times, or elsewhere: see `_hand_over`.

    Args:
        path: the store's file.
        stopped: called, in the thread, when the store can no longer be written.
    """

    def __init__(self, path: Path, *, stopped: Callable[[], object]) -> None:
        self._path, self._stopped = path, stopped
        with Store(path) as store:
            self._number = store.next_reservation()
        self._queue: queue.SimpleQueue[Entry | asyncio.Future[bool] | None] = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="ds2-rating-store", daemon=True)

    def put(self, setup: int, row: Row, settles: int | None = None) -> None:
        """Hand over a row: it is committed within a second, and settles a reservation with it."""
        sound = row.sound()

        def add(commit: Commit) -> None:
            commit.rows.append((setup, sound))
            if settles is not None:
                commit.settled[settles] = 0.0

        self._hand_over(add)

    def reserve(self, n_input: int, n_output: int, model: str, usd: float | None) -> Reserved:
        """Keep what a request may cost."""
        reserved = Reserved(self._number, model, n_input, n_output, usd)
        self._number += 1
        self._hand_over(lambda commit: commit.reserved.append(reserved))
        return reserved

    def settle(self, number: int, usd: float) -> None:
        """Put a cost in a reservation's place."""
        self._hand_over(lambda commit: commit.settled.__setitem__(number, usd))

    def learn(self, model: str, factor: float) -> None:
        """Keep by how much a server bills above what it was asked for."""
        self._hand_over(lambda commit: commit.learned.__setitem__(model, factor))

    async def written(self) -> bool:
        """Wait until everything that was handed over is on disk; False where it never will be."""
        if self._error is not None:
            return False
        waiting: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._hand_over(waiting)
        return await waiting

    @property
    def failed(self) -> bool:
        """Whether the store can no longer be written."""
        return self._error is not None

    def _hand_over(self, entry: Entry | asyncio.Future[bool] | None) -> None:
        self._queue.put(entry)
        if self._error is not None:
            self._give_up()

    def _run(self) -> None:
        try:
            with Store(self._path) as store:
                last = False
                while not last:
                    commit, waiting, last = self._next_batch()
                    try:
                        commit.write(store)
                    except BaseException:
                        _tell(waiting, done=False)
                        raise
                    _tell(waiting, done=True)
        except BaseException as error:  # raised again where the block is left
            self._error = error
            self._give_up()
            self._stopped()

    def _give_up(self) -> None:
        """Tell everybody who waits that it was in vain."""
        while True:
            try:
                entry = self._queue.get_nowait()
            except queue.Empty:
                return
            if isinstance(entry, asyncio.Future):
                _tell([entry], done=False)

    def _next_batch(self) -> tuple[Commit, list[asyncio.Future[bool]], bool]:
        """Wait for an entry, then for what comes within `COMMIT_S`, unless somebody waits.

        Returns:
            What to commit, who waits for it, and whether it is the last.
        """
        commit, waiting = Commit(), list[asyncio.Future[bool]]()
        entry, until = self._queue.get(), time.monotonic() + COMMIT_S
        for n in itertools.count(1):
            if entry is None:
                return commit, waiting, True
            if isinstance(entry, asyncio.Future):
                waiting.append(entry)
            else:
                entry(commit)
            left_s = 0.0 if waiting else max(0.0, until - time.monotonic())
            try:
                if n >= COMMIT_ROWS:
                    break
                entry = self._queue.get(timeout=left_s) if left_s else self._queue.get_nowait()
            except queue.Empty:
                break
        return commit, waiting, False

    def __enter__(self) -> "Writer":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._queue.put(None)
        self._thread.join()
        if self._error is not None and not isinstance(error, KeyboardInterrupt):
            raise self._error


def _tell(waiting: list[asyncio.Future[bool]], *, done: bool) -> None:
    """Tell those who wait, each in its own event loop."""

    def tell(future: asyncio.Future[bool]) -> None:
        if not future.done():
            future.set_result(done)

    for future in waiting:
        loop = future.get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, future)
