"""The default embedder: static token vectors that ship inside the wordllama wheel.

A text's vector is the mean of its tokens' vectors, scaled to unit length: no network, no torch, no
limit on length. The package's two files are read directly; its own code is never imported, because
importing it reconfigures logging, and its loader can download.
"""

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ds2.embedding.embedder import Described, digest_files, pieces_of, unit_rows
from ds2.errors import InputError, MissingDependencyError, installing

__all__ = ["WordLlamaEmbedder"]

MODEL = "l2_supercat"
DIMENSION = 256
#: A longer text is tokenized in pieces of at most this many characters, cut at a space. The
#: tokenizer starts every piece with a space of its own, so the tokens are those of the whole text.
PIECE_CHARS = 2**17
#: Characters tokenized at once: bounds memory at about 100 bytes each.
GROUP_CHARS = 2**20


class WordLlamaEmbedder(Described):
    """wordllama's 256-d static embedding (MIT), read from the installed package.

    The whole text counts, however long. The same text gives bitwise the same vector in any batch:
    tokens are counted per text and multiplied with the table, so there is no padding. A text
    without tokens (the empty one) gets the first axis (`unit_rows`). Made for English; texts in
    other languages get vectors too, of unknown worth.

    Raises:
        MissingDependencyError: wordllama, tokenizers or safetensors is not installed.
        InputError: the installed wordllama does not ship this model.
    """

    dimension = DIMENSION
    languages = frozenset({"en"})

    def __init__(self) -> None:
        weights, vocabulary = _package_files()
        try:
            from safetensors.numpy import load_file
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingDependencyError(error.name or "tokenizers", "The embedder") from None
        # float64, so that a text of a hundred thousand tokens is summed as exactly as a short one.
        self._table = load_file(weights)["embedding.weight"].astype(np.float64)
        self._tokenizer = Tokenizer.from_file(str(vocabulary))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.name = f"wordllama:{MODEL}-{DIMENSION}:{digest_files([weights, vocabulary])}"

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Return (n, 256) float32 rows of unit length."""
        from scipy.sparse import csr_array

        sums = np.zeros((len(texts), DIMENSION))
        for owners, tokens in self._tokens(texts):
            ends = np.cumsum([0, *map(len, tokens)])
            ids = np.fromiter((i for piece in tokens for i in piece), np.int32, ends[-1])
            ones = np.ones(len(ids))
            counts = csr_array((ones, ids, ends), shape=(len(tokens), len(self._table)))
            np.add.at(sums, owners, counts @ self._table)
        return unit_rows(sums)

    def count_tokens(self, texts: Sequence[str]) -> np.ndarray | None:
        """Return the (n,) tokens of each text."""
        totals = np.zeros(len(texts), dtype=np.int64)
        for owners, tokens in self._tokens(texts):
            np.add.at(totals, owners, np.fromiter(map(len, tokens), np.int64, len(tokens)))
        return totals

    def _tokens(self, texts: Sequence[str]) -> Iterator[tuple[list[int], list[list[int]]]]:
        """Yield the row of each piece and its token ids, a bounded number of pieces at a time."""
        for owners, pieces in _groups(texts):
            found = self._tokenizer.encode_batch_fast(pieces, add_special_tokens=False)
            yield owners, [encoding.ids for encoding in found]


def _groups(texts: Sequence[str]) -> Iterator[tuple[list[int], list[str]]]:
    owners: list[int] = []
    pieces: list[str] = []
    size = 0
    for row, text in enumerate(texts):
        for piece in pieces_of(text, PIECE_CHARS):
            if size + len(piece) > GROUP_CHARS:
                yield owners, pieces
                owners, pieces, size = [], [], 0
            owners.append(row)
            pieces.append(piece)
            size += len(piece)
    if pieces:
        yield owners, pieces


def _package_files() -> tuple[Path, Path]:
    """Find the weights and the vocabulary without importing the package."""
    spec = find_spec("wordllama")
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError("wordllama", "The default embedder")
    folder = Path(spec.submodule_search_locations[0])
    weights = folder / "weights" / f"{MODEL}_{DIMENSION}.safetensors"
    vocabulary = folder / "tokenizers" / f"{MODEL}_tokenizer_config.json"
    for path in (weights, vocabulary):
        if not path.is_file():
            raise InputError(
                f"The installed wordllama {version('wordllama')} does not ship '{path.name}', "
                f"which the default embedder reads. Install it with: {installing('wordllama>=0.4')}"
            )
    return weights, vocabulary
