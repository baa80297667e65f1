"""Finished vectors on disk: ``x.npy`` and, beside it, ``x.json`` that says what they are.

The sidecar holds the embedder's name, one key per row and a digest of the .npy, so that a pair
that does not belong together is never believed.
"""

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ds2.atomic import writing
from ds2.embedding.report import EmbeddingReport
from ds2.errors import InputError

__all__ = [
    "StoredVectors",
    "read_report",
    "read_stored",
    "sidecar",
    "write_report",
    "write_vectors",
]

FORMAT = 1
BLOCK_BYTES = 2**24


@dataclass(frozen=True, slots=True)
class StoredVectors:
    """Vectors of an earlier run: (n, d) float16 memory map, (n,) uint64 keys, embedder's name."""

    vectors: np.ndarray
    keys: np.ndarray
    embedder: str


def sidecar(path: Path) -> Path:
    """Return the name of the file that describes ``path``."""
    return path.with_suffix(".json")


def write_vectors(
    path: Path, n: int, dimension: int, block: Callable[[int, int], np.ndarray]
) -> str:
    """Write (n, dimension) float16 as a .npy, whole or not at all, and return its digest.

    Args:
        path: the .npy.
        n: rows.
        dimension: columns.
        block: returns the rows from start to stop.
    """
    digest = hashlib.blake2b(digest_size=16)
    rows = max(1, BLOCK_BYTES // (2 * dimension))
    with writing(path) as temporary, temporary.open("wb") as file:
        header = {"descr": "<f2", "fortran_order": False, "shape": (n, dimension)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, n, rows):
            data = block(start, min(start + rows, n)).astype("<f2").tobytes()
            digest.update(data)
            file.write(data)
    return digest.hexdigest()


def write_report(path: Path, digest: str, keys: np.ndarray | None, report: EmbeddingReport) -> None:
    """Write the sidecar of ``path``; ``keys`` None where rows do not belong to texts."""
    facts = {
        "format": FORMAT,
        "embedder": report.embedder,
        "vectors_blake2b": digest,
        "report": asdict(report),
        "keys": None if keys is None else base64.b64encode(keys.astype("<u8").tobytes()).decode(),
    }
    with writing(sidecar(path)) as temporary:
        temporary.write_text(json.dumps(facts, indent=1), encoding="ascii")


def read_report(path: str | Path) -> EmbeddingReport:
    """Return the report that was written with the vectors at ``path`` (the .npy).

    Raises:
        InputError: there is none, or it cannot be read.
    """
    report = _read_sidecar(Path(path))["report"]
    try:
        languages = tuple((str(name), float(share)) for name, share in report["unknown_languages"])
        warnings = tuple(report["warnings"])
        return EmbeddingReport(**{**report, "unknown_languages": languages, "warnings": warnings})
    except (TypeError, KeyError, ValueError) as error:
        raise _damaged(sidecar(Path(path))) from error


def read_stored(path: Path) -> StoredVectors:
    """Open the vectors of an earlier run.

    Raises:
        InputError: a file is missing or damaged, or the two do not belong together.
    """
    facts = _read_sidecar(path)
    try:
        vectors: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        keys = np.frombuffer(base64.b64decode(facts["keys"] or b""), dtype="<u8").astype(np.uint64)
        whole = vectors.ndim == 2 and vectors.dtype == np.float16 and len(keys) == len(vectors)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path) from error
    if not whole or _digest(vectors) != facts.get("vectors_blake2b"):
        raise _damaged(path)
    return StoredVectors(vectors, keys, str(facts["embedder"]))


def _read_sidecar(path: Path) -> dict[str, Any]:
    described = sidecar(path)
    for needed in (path, described):
        if not needed.is_file():
            raise InputError(
                f"There are no vectors to take over at '{path}': '{needed.name}' is missing. "
                "Embedding with out= writes both files."
            )
    try:
        facts = json.loads(described.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(described) from error
    if not isinstance(facts, dict) or not {"format", "embedder", "report", "keys"} <= facts.keys():
        raise _damaged(described)
    if facts["format"] != FORMAT:
        raise InputError(
            f"'{described}' was written by another version of ds2 (format {facts['format']}, "
            f"this one reads {FORMAT}). Embed again."
        )
    return facts


def _digest(vectors: np.ndarray) -> str:
    digest = hashlib.blake2b(digest_size=16)
    rows = max(1, BLOCK_BYTES // max(1, 2 * vectors.shape[1]))
    for start in range(0, len(vectors), rows):
        digest.update(vectors[start : start + rows].tobytes())
    return digest.hexdigest()


def _damaged(path: Path) -> InputError:
    return InputError(
        f"'{path}' is damaged, or does not belong to the file beside it. Remove both and embed "
        "again."
    )
