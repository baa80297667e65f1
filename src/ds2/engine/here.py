"""What an engine is, and the one that this machine's processes are.

An engine maps a function over items and yields what it makes of them, in their order, while items
are taken as they are needed: neither all items nor all results are ever held. What a worker needs
once (a model, open files) a maker gives it: it is called in the worker, not where the work is
shared out. Workers write nothing; whoever shares the work out keeps what comes back, so a worker
that dies costs the items that it was at.
"""

import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import parent_process
from multiprocessing.context import SpawnContext, SpawnProcess
from threading import Thread
from types import ModuleType
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

from ds2.errors import Ds2Error, RunError

__all__ = ["ALONE", "Engine", "Here", "MakeWorker"]

Item = TypeVar("Item")
Result = TypeVar("Result")
#: Returns what turns an item into a result. It is sent to workers: a function or a frozen value.
MakeWorker: TypeAlias = Callable[[], Callable[[Item], Result]]

#: What a worker among others is told: one thread each, since there is one for each processor.
ALONE = {
    "DS2_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
#: Items for each worker that are at work or wait for their turn to be yielded.
AHEAD = 3


@runtime_checkable
class Engine(Protocol):
    """Where work is done."""

    @property
    def apart(self) -> bool:
        """Whether workers are other processes than this one."""

    def map(
        self, make: MakeWorker[Item, Result], items: Iterable[Item], *, what: str
    ) -> Generator[Result]:
        """Yield what workers make of items, in their order.

        Args:
            make: is called once in each worker.
            items: are taken as they are needed.
            what: a word for an item ("part"), for errors.

        Raises:
            Ds2Error: what a worker raised.
            RunError: a worker died, or failed in a way that nobody foresaw.
        """


@dataclass(frozen=True, slots=True)
class Here:
    """This machine: this process where there is one worker, else processes of their own."""

    workers: int = 1
    _maps: list["_Spawning"] = field(default_factory=list, repr=False, compare=False)

    @property
    def apart(self) -> bool:
        """Whether workers are other processes than this one."""
        return self.workers > 1

    def map(
        self, make: MakeWorker[Item, Result], items: Iterable[Item], *, what: str
    ) -> Generator[Result]:
        """As `Engine.map` says."""
        if not self.apart:
            work = make()
            yield from map(work, items)
            return
        spawning = _Spawning()
        self._maps.append(spawning)
        with ProcessPoolExecutor(self.workers, spawning, _begin, (make,)) as pool:
            waiting: deque[Future[Any]] = deque()
            try:
                for item in items:
                    waiting.append(pool.submit(_work, item))
                    if len(waiting) > AHEAD * self.workers:
                        yield _result(waiting.popleft(), what)
                while waiting:
                    yield _result(waiting.popleft(), what)
            except BrokenProcessPool:
                raise RunError(
                    f"A process that worked on a {what} was ended from outside: most often memory "
                    "ran out. Set fewer 'engine.workers', then run the same command again; what "
                    "was finished is kept."
                ) from None
            except BaseException:  # nobody waits for what is being worked on
                spawning.end()
                raise
            finally:
                self._maps.remove(spawning)

    def end(self) -> None:
        """End the processes of maps that were left in their middle."""
        for spawning in self._maps:
            spawning.end()


def _result(future: Future[Any], what: str) -> Any:
    try:
        return future.result()
    except (Ds2Error, BrokenProcessPool):
        raise
    except Exception as error:
        raise RunError(f"The work on a {what} failed in a process: {error!r}.") from error


class _Worker(SpawnProcess):
    """A process that does not run the script of the user's again, which may have no guard.

    Ctrl-C goes to all processes of a terminal: the one that shares the work out hears it.
    """

    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802 - its name in the standard library
        script, mask = sys.modules["__main__"], getattr(signal, "pthread_sigmask", None)
        before = mask(signal.SIG_BLOCK, {signal.SIGINT}) if mask else ()
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            return SpawnProcess._Popen(process_obj)
        finally:
            sys.modules["__main__"] = script
            if mask:
                mask(signal.SIG_SETMASK, before)


class _Spawning(SpawnContext):
    """What starts the processes of one map, and ends them."""

    def __init__(self) -> None:
        self._started: list[_Worker] = []

    def Process(self, *given: Any, **more: Any) -> _Worker:  # type: ignore[override]  # noqa: N802
        self._started.append(_Worker(*given, **more))
        return self._started[-1]

    def end(self) -> None:
        for process in self._started:
            if process.is_alive():
                process.terminate()


_AT_WORK: list[MakeWorker[Any, Any]] = []


def _begin(make: MakeWorker[Any, Any]) -> None:
    """Prepare this process for work; what it needs is made with the first item, whose error it is.

    Libraries that were loaded on the way here have read the environment already.
    """
    from threadpoolctl import threadpool_limits

    os.environ.update(ALONE)
    with suppress(RuntimeError):
        threadpool_limits(1)
    Thread(target=_end_with, args=(parent_process(),), daemon=True).start()
    _AT_WORK[:] = [cache(make)]


def _end_with(parent: Any) -> None:
    """End this process when the one that shares the work out is gone, however it went."""
    parent.join()
    os._exit(1)


def _work(item: Any) -> Any:
    return _AT_WORK[0]()(item)
