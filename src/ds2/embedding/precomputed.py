"""Vectors that were made elsewhere: a .npy or .npz file, or a column of the pool."""

from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ds2.checks import check_rows, check_vectors
from ds2.embedding.embedder import TextPool, digest_files
from ds2.errors import InputError

__all__ = ["PrecomputedEmbedder"]


class PrecomputedEmbedder:
    """Ready vectors, which `embed` scales to unit length.

    A file has one row per row of the pool, in its order: of all that were read, or without those
    set aside.

    Not an `Embedder`: its rows belong to examples and not to texts.

    Args:
        path: a .npy file (read as a memory map) or a .npz file.
        array: the name of the array in a .npz that holds several.
        column: a field of the pool's rows that holds a list of numbers, in place of ``path``.

    Raises:
        InputError: neither or both of ``path`` and ``column`` are given.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        array: str | None = None,
        column: str | None = None,
    ) -> None:
        if (path is None) == (column is None):
            raise InputError(
                "PrecomputedEmbedder needs either the path of a .npy or .npz file or the name of "
                f"a column. Got path={path!r} and column={column!r}."
            )
        self.path = None if path is None else Path(path)
        self.array = array
        self.column = column

    def __repr__(self) -> str:
        where = f"column={self.column!r}" if self.path is None else repr(str(self.path))
        return f"PrecomputedEmbedder({where})"

    @property
    def name(self) -> str:
        """The file's name and a digest of its contents, or the column's name."""
        if self.path is None:
            return f"precomputed:column {self.column}"
        _check_exists(self.path)
        return f"precomputed:{self.path.name}:{digest_files([self.path])}"

    def read(self, pool: TextPool) -> np.ndarray:
        """Return the (n, d) vectors as they are, once they are shown to be sound.

        Raises:
            InputError: not a table of finite numbers with one row, not all zeros, per example.
        """
        if self.path is None:
            source = f"column '{self.column}'"
            vectors = _from_column(pool, str(self.column))
        else:
            source = str(self.path)
            vectors = _from_file(self.path, self.array)
            if len(vectors) == getattr(pool, "n_read", 0) != len(pool):  # a row for those set aside
                vectors = vectors[getattr(pool, "positions", slice(None))]
        check_rows(source, check_vectors(source, vectors), len(pool))
        return vectors


def _check_exists(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"'{path}' with precomputed vectors is not a file. Check the path.")


def _from_file(path: Path, array: str | None) -> np.ndarray:
    _check_exists(path)
    if path.suffix not in (".npy", ".npz"):
        raise InputError(f"Precomputed vectors must be a .npy or .npz file. Got '{path}'.")
    try:
        if path.suffix == ".npy":
            vectors: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
            return vectors
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return _from_archive(archive, path, array)
    except InputError:
        raise
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        reason = str(error).rstrip(".")
        raise InputError(f"'{path}' could not be read as an array of numbers: {reason}.") from error


def _from_archive(archive: "np.lib.npyio.NpzFile", path: Path, array: str | None) -> np.ndarray:
    names = list(archive.files)
    if array is None and len(names) == 1:
        array = names[0]
    if array not in names:
        wanted = "Say which one with array=…" if array is None else f"There is no '{array}'."
        raise InputError(f"'{path}' holds the arrays {', '.join(names) or '(none)'}. {wanted}")
    vectors: np.ndarray = archive[array]
    return vectors


def _from_column(pool: TextPool, column: str) -> np.ndarray:
    values = getattr(pool, "iter_column", pool.column)  # a list of lists is 30 bytes a number
    width = next((len(value) for value in values(column) if isinstance(value, list | tuple)), 0)
    rows = np.empty((len(pool), width), dtype=np.float32)
    for row, value in enumerate(values(column)):
        if not isinstance(value, list | tuple):
            found = "nothing" if value is None else type(value).__name__
            raise InputError(
                f"Column '{column}' must hold a list of numbers in every row. Row {row} holds "
                f"{found}."
            )
        if len(value) != width:
            raise InputError(
                f"Column '{column}' must hold lists of one length. Row {row} holds {len(value)} "
                f"numbers, the first row {width}."
            )
        try:
            rows[row] = value
        except (TypeError, ValueError):
            raise InputError(
                f"Column '{column}' must hold numbers. Row {row} holds something else."
            ) from None
    return rows
