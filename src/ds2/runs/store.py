"""The run folder on disk: what its files hold, and one writer at a time."""

import glob
import hashlib
import json
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ds2.atomic import explain_write_errors, open_lock, writing
from ds2.errors import RunBusyError

__all__ = [
    "FileHash",
    "hash_file",
    "hash_input",
    "lock_holder",
    "locked",
    "write_json",
]

LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class FileHash:
    """What a file held when it was hashed. ``mtime_ns`` is 0 where it does not matter."""

    sha256: str
    size: int
    mtime_ns: int = 0


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as indented JSON, whole or not at all. NaN is refused: write null."""
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    with writing(path) as temporary:
        temporary.write_text(text, encoding="ascii")


def hash_file(path: Path) -> FileHash:
    """Hash one file."""
    with path.open("rb") as file:
        stat = os.fstat(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileHash(digest, stat.st_size, stat.st_mtime_ns)


def hash_input(path: Path, known: FileHash | None = None) -> FileHash:
    """Hash a file, a whole folder or what a pattern matches, outside the run folder.

    Where size and modification time are those of ``known``, its hash is taken over unread.
    """
    if path.is_dir():
        return _hash_files(path, [file for file in path.rglob("*") if file.is_file()], known)
    if not path.exists() and glob.has_magic(str(path)):
        found = [Path(name) for name in glob.glob(str(path), recursive=True)]  # noqa: PTH207
        return _hash_files(Path(path.anchor), [file for file in found if file.is_file()], known)
    stat = path.stat()
    if known and (known.size, known.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
        return known
    return hash_file(path)


def _hash_files(folder: Path, files: list[Path], known: FileHash | None) -> FileHash:
    files = sorted(files)
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
    path = folder / LOCK
    descriptor = open_lock(path)
    try:
        with explain_write_errors(path):
            _take_lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _take_lock(descriptor: int, folder: Path) -> None:
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
        raise RunBusyError(
            f"Another process (pid {pid}) is working on '{folder}'. Wait until it has ended "
            f"(see: ds2 status {shlex.quote(str(folder))}), then run this command again."
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode("ascii"), 0)


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
