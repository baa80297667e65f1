"""Whole files or none: temporary name, fsync, rename; and what a file holds, as a short digest."""

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ds2.errors import InputError

__all__ = ["digest_files", "digest_folder", "explain_write_errors", "writing"]


@contextmanager
def explain_write_errors(path: Path) -> Iterator[None]:
    """Turn what the disk refuses into one sentence that names ``path``."""
    try:
        yield
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)
        raise InputError(
            f"Cannot write '{path}': {reason}. Free some space or choose another place and run "
            "again; vectors that were already computed are kept."
        ) from error


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that becomes ``path`` when the block succeeds, and never before."""
    temporary = path.with_name(f".tmp.{path.name}")
    with explain_write_errors(path):
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def digest_files(paths: Iterable[Path]) -> str:
    """Return 12 hex digits of the contents of ``paths``, in the order given."""
    digest = hashlib.blake2b(digest_size=6)
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()


def digest_folder(folder: Path) -> str:
    """Return 12 hex digits of a model folder: every weight, vocabulary and setting in it."""
    kinds = {".json", ".txt", ".safetensors", ".bin", ".model"}
    return digest_files(sorted(path for path in folder.rglob("*") if path.suffix in kinds))
