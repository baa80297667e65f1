"""The run folder on disk: whole files or none, their hashes, and one writer at a time."""

import errno
import hashlib
import json
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ds2.errors import InputError, RunBusyError

__all__ = [
    "FileHash",
    "hash_file",
    "hash_input",
    "is_storage",
    "lock_holder",
    "locked",
    "storage_error",
    "sweep",
    "write_json",
    "writing",
]

LOCK = ".lock"
TEMPORARY = ".tmp"

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True, slots=True)
class FileHash:
    """What a file held when it was hashed. ``mtime_ns`` is 0 where it does not matter."""

    sha256: str
    size: int
    mtime_ns: int = 0


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path``; when the block succeeds, it becomes ``path``.

    The file is fsynced before it is renamed and its folder after, so that a reader finds the old
    file or the new one, whole, whatever happens in between.
    """
    temporary = path.with_name(f".{path.name}{TEMPORARY}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as indented JSON, whole or not at all. NaN is refused: write null."""
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    with writing(path) as temporary:
        temporary.write_text(text, encoding="ascii")


def is_storage(error: OSError) -> bool:
    """Say whether the disk is full or may not be written."""
    return error.errno in (*_FULL, *_FORBIDDEN)


def storage_error(error: OSError, path: Path) -> InputError:
    """Say in one sentence why ``path`` could not be written."""
    if error.errno in _FULL:
        return InputError(
            f"The disk is full: '{path}' could not be written. Free some space and run the same "
            "command again; finished stages are kept."
        )
    if error.errno in _FORBIDDEN:
        return InputError(
            f"'{path}' cannot be written: the run folder is read-only for you "
            f"({error.strerror}). Change its permissions, or use another folder."
        )
    return InputError(
        f"'{path}' could not be written: {error.strerror or error}. Check the disk, then run the "
        "same command again; finished stages are kept."
    )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def hash_file(path: Path) -> FileHash:
    """Hash one file."""
    with path.open("rb") as file:
        stat = os.fstat(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileHash(digest, stat.st_size, stat.st_mtime_ns)


def hash_input(path: Path, known: FileHash | None = None) -> FileHash:
    """Hash a file or a whole folder outside the run folder.

    Where size and modification time are those of ``known``, its hash is taken over unread.
    """
    if path.is_dir():
        return _hash_folder(path, known)
    stat = path.stat()
    if known and (known.size, known.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
        return known
    return hash_file(path)


def _hash_folder(folder: Path, known: FileHash | None) -> FileHash:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    stats = [path.stat() for path in files]
    size = sum(stat.st_size for stat in stats)
    newest = max((stat.st_mtime_ns for stat in stats), default=0)
    if known and (known.size, known.mtime_ns) == (size, newest):
        return known
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(folder)}\0{hash_file(path).sha256}\n".encode())
    return FileHash(digest.hexdigest(), size, newest)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run folder for this process alone; the system lets go of it if the process dies."""
    import fcntl

    path = folder / LOCK
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise storage_error(error, path) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            raise RunBusyError(
                f"Another process (pid {pid}) is working on '{folder}'. Wait until it has ended "
                f"(see: ds2 status {shlex.quote(str(folder))}), then run this command again."
            ) from None
        except OSError as error:
            raise storage_error(error, path) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode("ascii"), 0)
        yield
    finally:
        os.close(descriptor)


def lock_holder(folder: Path) -> int | None:
    """Return the process id of whoever works on the folder now, or None."""
    import fcntl

    try:
        with (folder / LOCK).open("rb") as file:
            pid = int(file.read(32))
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return pid
    except (OSError, ValueError):
        return None
    return None


def sweep(folder: Path) -> None:
    """Remove what a killed process left half-written. Call it while holding the lock."""
    for pattern in (f".*{TEMPORARY}", f"{TEMPORARY}.*"):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)
