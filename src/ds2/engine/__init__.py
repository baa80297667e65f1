"""Where the pieces of a stage are worked on: in this process, in several, on a cluster by Ray."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ds2.engine.here import Engine, Here, MakeWorker

__all__ = ["Engine", "Here", "MakeWorker", "nodes_of", "opened_engine"]


@contextmanager
def opened_engine(
    name: str, *, workers: int, address: str, gpus: float, memory_gb: float
) -> Iterator[Engine]:
    """Yield the engine of a name, and leave what it joined when the block is over.

    Args:
        name: ``here`` or ``ray``.
        workers: pieces at work at once; 0 with ``ray``: one for each processor of the cluster.
        address: ray: ``local``, ``auto`` or host:port.
        gpus: ray: GPUs of a worker.
        memory_gb: ray: memory that the cluster sets aside for a worker; 0: none.

    Raises:
        MissingDependencyError: Ray is not installed.
        RunError: there is no cluster at the address.
    """
    if name == "here":
        here = Here(workers)
        try:
            yield here
        finally:
            here.end()
        return
    from ds2.engine.ray import cluster_at

    with cluster_at(address, workers=workers, gpus=gpus, memory_gb=memory_gb) as engine:
        yield engine


def nodes_of(address: str) -> list[dict[str, Any]]:
    """The nodes of the Ray cluster at an address: name, cpus, gpus, memory_bytes.

    Raises:
        MissingDependencyError: Ray is not installed.
        RunError: there is no cluster at the address.
    """
    from ds2.engine.ray import cluster_at, nodes

    with cluster_at(address, workers=0, gpus=0.0, memory_gb=0.0):
        return nodes()
