"""What a file holds, as a short digest."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

__all__ = ["digest_files", "digest_folder"]


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
