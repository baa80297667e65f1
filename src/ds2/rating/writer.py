"""The thread that writes replies, so that no request waits for the disk."""

import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from ds2.rating.rows import Row
from ds2.rating.store import Store

__all__ = ["Writer"]

#: A commit follows the first row that waits after this long, or this many rows.
COMMIT_S = 0.4
COMMIT_ROWS = 1000


class Writer:
    """Commits rows in small batches in a thread of its own; a context manager.

    Leaving the block commits everything that was put and raises what stopped the thread, if
    anything did.

    Args:
        path: the store's file.
        stopped: called, in the thread, when the store can no longer be written.
    """

    def __init__(self, path: Path, *, stopped: Callable[[], object]) -> None:
        self._path, self._stopped = path, stopped
        self._queue: queue.SimpleQueue[tuple[int, Row] | None] = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="ds2-rating-store", daemon=True)

    def put(self, setup: int, row: Row) -> None:
        """Hand over a row: it is committed within a second."""
        self._queue.put((setup, row))

    @property
    def failed(self) -> bool:
        """Whether the store can no longer be written."""
        return self._error is not None

    def _run(self) -> None:
        try:
            with Store(self._path) as store:
                while batch := self._next_batch():
                    rows = [item for item in batch if item is not None]
                    if rows:
                        store.add(rows)
                    if len(rows) < len(batch):
                        return
        except BaseException as error:  # raised again where the block is left
            self._error = error
            self._stopped()

    def _next_batch(self) -> list[tuple[int, Row] | None]:
        """Wait for a row, then for what comes within `COMMIT_S`; None ends the batch."""
        batch = [self._queue.get()]
        until = time.monotonic() + COMMIT_S
        while batch[-1] is not None and len(batch) < COMMIT_ROWS:
            try:
                batch.append(self._queue.get(timeout=max(0.0, until - time.monotonic())))
            except queue.Empty:
                break
        return batch

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
