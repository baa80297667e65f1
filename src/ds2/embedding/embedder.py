"""What an embedder is: a name, a few facts about its limits, and text → unit vectors."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from ds2.errors import InputError

__all__ = [
    "Described",
    "Embedder",
    "TextPool",
    "could_not_load",
    "digest_files",
    "digest_folder",
    "pieces_of",
    "unit_rows",
]


@runtime_checkable
class TextPool(Protocol):
    """What embedding needs of a pool."""

    def __len__(self) -> int:
        """Return the number of examples."""

    def texts(self, start: int = 0, stop: int | None = None) -> list[str]:
        """Return the conversations of rows ``start`` to ``stop``."""

    def column(self, name: str) -> list[object]:
        """Return one field of the original rows."""


@runtime_checkable
class Embedder(Protocol):
    """Anything that turns texts into unit vectors. Write your own class with these six names."""

    @property
    def name(self) -> str:
        """Identity: the library, the model, its version, and every setting that changes a vector.

        Vectors are reused between runs only where this name is the same. It is written into files
        and reports, so it must not hold a secret or a path of this machine.
        """

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""

    @property
    def max_tokens(self) -> int | None:
        """Longer texts are cut to this many tokens; None where nothing is cut or nobody knows."""

    @property
    def languages(self) -> frozenset[str] | None:
        """ISO 639 codes of the languages it was made for; None where that is not declared."""

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Return (n, d) float32 rows of unit length. Row i depends on ``texts[i]`` alone."""

    def count_tokens(self, texts: Sequence[str]) -> np.ndarray | None:
        """Return the (n,) tokens of each text before any cut; None where that cannot be known."""


class Described:
    """What our own embedders say of themselves, fixed once they are loaded: see `Embedder`."""

    name: str
    dimension: int
    max_tokens: int | None = None
    languages: frozenset[str] | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


def could_not_load(kind: str, model: str, error: Exception) -> InputError:
    """Return the sentence for a model that a library does not load."""
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    return InputError(
        f"The {kind} model '{model}' could not be loaded: {reason} "
        "Give a folder, or a name that this machine can download."
    )


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


def pieces_of(text: str, size: int) -> Iterator[str]:
    """Cut a text into pieces of at most ``size`` characters, at spaces, which fall away."""
    start = 0
    while len(text) - start > size:
        space = text.rfind(" ", start + 1, start + size)
        end = space if space > 0 else start + size
        yield text[start:end]
        start = end + 1 if space > 0 else end
    yield text[start:]


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Return the rows scaled to unit length, as float32; the arithmetic is float64, row by row.

    A row of zeros (a text without a single known token) has no direction of its own. It becomes
    the first axis: a finite unit vector, the same one for all such texts, so that they are each
    other's duplicates and still have a distance to everything else.
    """
    rows = np.array(vectors, dtype=np.float64)
    norms = np.sqrt((rows * rows).sum(axis=1))
    empty = norms == 0
    rows[empty, 0] = 1.0
    rows[~empty] /= norms[~empty, None]
    return rows.astype(np.float32)
