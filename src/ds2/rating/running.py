"""Where a run happens: a store that no other process writes, and an event loop to run in."""

import asyncio
import os
import shutil
import tempfile
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ds2.atomic import open_lock
from ds2.errors import RunBusyError
from ds2.pool.wording import shown_path

__all__ = ["run_async", "writable_store"]


@contextmanager
def writable_store(store: str | Path | None) -> Iterator[Path]:
    """Yield the path of a store that no other process writes."""
    if store is not None:
        path = Path(store)
        with _locked(path):
            yield path
        return
    folder = Path(tempfile.mkdtemp(prefix="ds2-rating-"))
    path = folder / "ratings.sqlite"
    try:
        yield path
    except BaseException as error:
        error.add_note(f"The replies are kept: rate(…, store={str(path)!r}) goes on from them.")
        raise
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep the store for this process; the system lets go of it when the process ends.

    The lock is a file of its own: closing another handle of the database would drop SQLite's locks.
    """
    import fcntl

    descriptor = open_lock(path.with_name(path.name + "-lock"))
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunBusyError(
                f"Another process rates into {shown_path(path)}. Wait until it has ended, or "
                "choose another store."
            ) from None
        yield
    finally:
        os.close(descriptor)


def run_async(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end, in a thread of its own where this one runs an event loop (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        _one_error(work)
        return
    failed: list[BaseException] = []
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = []

    async def noted() -> None:
        task = asyncio.current_task()
        assert task is not None
        running.append((asyncio.get_running_loop(), task))
        await work

    def target() -> None:
        try:
            _one_error(noted())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=target, name="ds2-rating")
    thread.start()
    try:
        thread.join()
    except BaseException:  # interrupted: what is in flight is dropped, what came is kept
        for loop, task in running:
            loop.call_soon_threadsafe(task.cancel)
        thread.join()
        raise
    if failed:
        raise failed[0]


def _one_error(work: Coroutine[Any, Any, None]) -> None:
    """Run, and raise the first error of several by itself."""
    try:
        asyncio.run(work)
    except BaseExceptionGroup as group:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
