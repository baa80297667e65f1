"""Files are complete or absent: a temporary name, fsync, rename; and a sentence when that fails.

TOML that a user wrote is read here, too: each fault is one sentence.

Every file that ds2 writes goes through `writing`. A process that is killed in between leaves a
file whose name begins with a dot and ends in ``.tmp``, which nothing reads; `sweep` removes it.
"""

import errno
import os
import re
import secrets
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ds2.errors import InputError, RunBusyError

__all__ = [
    "check_writable",
    "explain_write_errors",
    "locked",
    "parse_toml",
    "read_toml",
    "spooling",
    "storage_error",
    "sweep",
    "writing",
]

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)
_LEFTOVER = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path``; when the block succeeds, it becomes ``path``.

    The file is fsynced before it is renamed and its folder after, so that a reader finds the old
    file or the new one, whole, whatever happens in between. The name is new each time: two
    processes that write one path never share it.

    Raises:
        InputError: ``path`` is a folder, has no folder, may not be written, or the disk is full.
    """
    with spooling(path) as temporary:
        _begin(path, temporary)
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        if os.name == "posix":
            _sync(path.parent)


def _begin(path: Path, temporary: Path) -> None:
    if path.is_dir():
        raise InputError(f"{_shown(path)} cannot be written: it is a folder. Name a file.")
    temporary.open("xb").close()


def check_writable(path: Path) -> None:
    """Raise what `writing` would raise at once: better before work than after it."""
    with spooling(path) as temporary:
        _begin(path, temporary)


@contextmanager
def spooling(path: Path) -> Iterator[Path]:
    """Yield a name beside ``path`` for what is needed while the block runs, and removed after it.

    Raises:
        InputError: what is written there may not be, or the disk is full; it names ``path``.
    """
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.tmp")
    try:
        with explain_write_errors(path):
            yield temporary
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def explain_write_errors(path: Path) -> Iterator[None]:
    """Turn what the disk refuses into one sentence that names ``path``."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, path) from error


def storage_error(error: OSError, path: Path) -> InputError:
    """Say in one sentence why ``path`` could not be written."""
    if error.errno in _FULL:
        return InputError(
            f"The disk is full: {_shown(path)} could not be written. Free some space and do the "
            "same again; what was finished before is kept."
        )
    if error.errno in _FORBIDDEN:
        return InputError(
            f"{_shown(path)} cannot be written: the file or its folder is read-only for you "
            f"({error.strerror}). Change the permissions, or choose another folder."
        )
    if error.errno == errno.ENOENT and not path.parent.exists():
        return InputError(
            f"{_shown(path)} cannot be written: the folder {_shown(path.parent)} does not exist. "
            "Make it, or choose another one."
        )
    return InputError(
        f"{_shown(path)} could not be written: {error.strerror or error}. Check the path and the "
        "disk, then do the same again; what was finished before is kept."
    )


@contextmanager
def locked(path: Path, busy: str) -> Iterator[None]:
    """Hold the lock of a file for this process while the block runs; afterwards it is removed.

    The system lets go of it when the process dies. A link is never followed: whoever can write into
    the folder could otherwise have any file of the user's made or changed.

    Args:
        path: the lock's own file.
        busy: the sentence to raise where another process holds it.

    Raises:
        InputError: it is a link, or may not be written.
        RunBusyError: another process holds it.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=0)
    with explain_write_errors(path):
        if path.is_symlink():
            raise InputError(f"{_shown(path)} is a link: a lock never follows one. Remove it.")
        path.parent.stat()  # a folder that is not there is not made
        try:
            lock.acquire()
        except Timeout:
            raise RunBusyError(busy) from None
    try:
        yield
    finally:
        with suppress(OSError):  # where an open file cannot be removed it stays
            path.unlink()
        lock.release()


def sweep(folder: Path) -> None:
    """Remove what a killed process left half-written. Call it where nobody else writes."""
    with suppress(OSError):  # what cannot be removed is in nobody's way
        for path in folder.iterdir():
            if _LEFTOVER.fullmatch(path.name):
                path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    # Windows syncs what is open for writing alone; a folder, on POSIX, opens for reading alone.
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _shown(path: Path) -> str:
    """Return the path in quotes, what a terminal might act on escaped."""
    return repr(os.fspath(path))


def read_toml(path: Path, name: str) -> dict[str, Any]:
    """Read a TOML file of the user's.

    Raises:
        InputError: it cannot be read; ``name`` is what it is called.
    """
    try:
        return parse_toml(path.read_bytes(), name)
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror}.") from None


def parse_toml(data: bytes, name: str) -> dict[str, Any]:
    """Read TOML of the user's.

    Raises:
        InputError: it is none; ``name`` is what it is called.
    """
    try:
        return tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name} is not UTF-8 text (byte {error.start}). Save it as UTF-8."
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{name} is not valid TOML: {error}.") from None
