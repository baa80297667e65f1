"""How much memory this process holds, and how much is free, as Linux says."""

import sys
from pathlib import Path

__all__ = ["free", "held_at_most", "held_now"]


def held_now() -> int:
    """Return the bytes in memory; where nobody says, the most that there ever were."""
    return _named("/proc/self/status", "VmRSS") or _from_resource()


def held_at_most() -> int:
    """Return the most bytes in memory since the program started; 0 where that is unknown.

    What a parent held when it forked does not count, as it does in ``ru_maxrss``.
    """
    return _named("/proc/self/status", "VmHWM") or _from_resource()


def free() -> int:
    """Return the bytes that are free; 0 where that is unknown."""
    return _named("/proc/meminfo", "MemAvailable")


def _named(path: str, name: str) -> int:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), 0)


def _from_resource() -> int:
    try:
        import resource
    except ImportError:  # on Windows nobody says
        return 0
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(held if sys.platform == "darwin" else held * 1024)
