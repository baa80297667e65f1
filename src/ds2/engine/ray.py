"""The engine of a cluster: Ray's tasks, which any node may take over from one that is lost.

Work is sent as tasks and not to actors: a task waits for whichever processor is free, also where
the cluster shrinks under it, and a process that is used again still has the model that it loaded
for the task before. The work of one item is tried again where a worker or a node died, never where
it raised an error.
"""

import hashlib
import os
import socket
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ds2.engine.here import AHEAD, ALONE, Item, MakeWorker, Result
from ds2.errors import Ds2Error, MissingDependencyError, RunError

__all__ = ["Ray", "cluster_at", "nodes"]

#: How often the work on one item is begun again after its worker or node was lost.
RETRIES = 3
#: Seconds without any result after which it is looked at whether the cluster has room at all.
LOOK_S = 60.0
#: Seconds that whoever is at an address has to answer.
KNOCK_S = 10.0


@contextmanager
def cluster_at(address: str, *, workers: int, gpus: float, memory_gb: float) -> Iterator["Ray"]:
    """Join a cluster, or start one on this machine (``local``), and leave it afterwards."""
    ray = _ray()
    ours = not ray.is_initialized()
    if ours:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        options: dict[str, Any] = {"num_cpus": workers or None} if address == "local" else {}
        try:
            _knock(address)
            ray.init(
                address=address,
                include_dashboard=False if address == "local" else None,
                configure_logging=False,
                log_to_driver=False,
                runtime_env={"env_vars": ALONE},
                **options,
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise RunError(
                f"There is no Ray cluster at 'engine.address' = {address!r} "
                f"({_first_line(error)}). Start one with: ray start --head, or set it to "
                '"local".'
            ) from None
    try:
        yield Ray(workers, gpus, memory_gb)
    finally:
        if ours:
            ray.shutdown()


def _knock(address: str) -> None:
    """Raise `OSError` where nobody is at host:port: Ray itself would wait for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=KNOCK_S).close()


@dataclass(frozen=True, slots=True)
class Ray:
    """The cluster that this process has joined."""

    workers: int = 0  #: pieces at work at once; 0: one for each processor
    gpus: float = 0.0  #: that a worker has
    memory_gb: float = 0.0  #: that is set aside for a worker

    @property
    def apart(self) -> bool:
        """Workers are always other processes."""
        return True

    def map(
        self, make: MakeWorker[Item, Result], items: Iterable[Item], *, what: str
    ) -> Generator[Result]:
        """As `ds2.engine.Engine.map` says."""
        ray = _ray()
        cloudpickle: Any = import_module("ray.cloudpickle")
        # A worker with a GPU would by default be ended after each task, and its model with it.
        needs: dict[str, Any] = {"num_cpus": 1, "max_retries": RETRIES, "max_calls": 0}
        needs |= {"num_gpus": self.gpus} if self.gpus else {}
        needs |= {"memory": int(self.memory_gb * 2**30)} if self.memory_gb else {}
        task = ray.remote(**needs)(_work)
        packed = cloudpickle.dumps(make)
        name, shared = hashlib.sha256(packed).hexdigest(), ray.put(packed)
        waiting: deque[Any] = deque()
        try:
            for item in items:
                waiting.append(task.remote(name, [shared], item))
                while len(waiting) >= AHEAD * max(1, self._at_once()):
                    yield self._result(waiting, what)
            while waiting:
                yield self._result(waiting, what)
        finally:
            for reference in waiting:
                ray.cancel(reference)

    def _at_once(self) -> int:
        """Workers that the cluster has room for now."""
        return self.workers or self._rooms()

    def _rooms(self) -> int:
        return sum(rooms(node, self.gpus, self.memory_gb) for node in nodes())

    def _result(self, waiting: deque[Any], what: str) -> Any:
        """The result of the item that was sent first."""
        ray = _ray()
        from ray.exceptions import RayError, RayTaskError

        while not ray.wait([waiting[0]], timeout=LOOK_S)[0]:
            if not self._rooms():
                needs = [f"{self.gpus:g} GPUs"] if self.gpus else []
                needs += [f"{self.memory_gb:g} GiB of memory"] if self.memory_gb else []
                raise RunError(
                    f"The cluster has no processor{' with ' * bool(needs)}{' and '.join(needs)} "
                    "left to work on. Add nodes, or ask for less in 'engine', then run the same "
                    "command again; what was finished is kept."
                )
        reference = waiting.popleft()
        try:
            return ray.get(reference)
        except RayTaskError as error:
            cause = error.cause
            if isinstance(cause, Ds2Error):
                raise cause from None
            raise RunError(f"The work on a {what} failed on a node: {cause!r}.") from error
        except RayError as error:
            raise RunError(
                f"The work on a {what} was begun {RETRIES + 1} times, and each time its worker or "
                f"node was lost ({_first_line(error)}). Most often memory ran out: set "
                "'engine.memory_gb', then run the same command again; what was finished is kept."
            ) from None


def nodes() -> list[dict[str, Any]]:
    """The nodes of the cluster that are alive: name, processors, GPUs, bytes of memory."""
    return [
        {
            "name": node["NodeName"],
            "cpus": int(node["Resources"].get("CPU", 0)),
            "gpus": int(node["Resources"].get("GPU", 0)),
            "memory_bytes": int(node["Resources"].get("memory", 0)),
        }
        for node in _ray().nodes()
        if node["Alive"]
    ]


def rooms(node: Mapping[str, Any], gpus: float, memory_gb: float) -> int:
    """Workers that one of `nodes` holds: each has all that it needs from one node."""
    held = [node["cpus"]]
    held += [int(node["gpus"] / gpus)] if gpus else []
    held += [int(node["memory_bytes"] / (memory_gb * 2**30))] if memory_gb else []
    return int(min(held))


_AT_WORK: dict[str, Callable[[Any], Any]] = {}


def _work(name: str, shared: list[Any], item: Any) -> Any:
    """Do the work in a worker; what it needs is made once in each process."""
    if name not in _AT_WORK:
        cloudpickle: Any = import_module("ray.cloudpickle")
        _AT_WORK.clear()
        _AT_WORK[name] = cloudpickle.loads(_ray().get(shared[0]))()
    return _AT_WORK[name](item)


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise MissingDependencyError("ray", "The engine 'ray'", extra="ray") from None
    return ray


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]
