"""Artefacts are complete or absent: write under a temporary name, fsync, rename."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from ds2.errors import InputError
from ds2.pool.wording import shown_path

__all__ = ["replace_when_done"]


@contextlib.contextmanager
def replace_when_done(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; move it there when the block ends without error.

    Raises:
        InputError: the place cannot be written to (no folder, no right, no space left).
    """
    if path.is_dir():
        raise InputError(f"Cannot write {shown_path(path)}: it is a folder. Name a file.")
    temporary = path.with_name(f".{path.name[:80]}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.open("xb").close()
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise InputError(f"Cannot write {shown_path(path)}: {why}.") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
