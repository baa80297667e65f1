"""Embedders from model2vec: static token vectors from the hub or a folder."""

from collections.abc import Collection, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from ds2.embedding.embedder import Described, could_not_load, unit_rows
from ds2.errors import MissingDependencyError

__all__ = ["Model2VecEmbedder"]


class Model2VecEmbedder(Described):
    """A model2vec static model. The whole text counts; nothing is cut.

    Its name holds a digest of the vectors and the vocabulary.

    Args:
        model: a name on the hub (for example "minishlab/potion-base-8M"), or a folder.
        languages: ISO 639 codes; None where not declared.

    Raises:
        MissingDependencyError: model2vec is not installed.
        InputError: the model cannot be loaded.
    """

    def __init__(self, model: str, *, languages: Collection[str] | None = None) -> None:
        self._model = _load(model)
        self.dimension = int(self._model.dim)
        self.languages = None if languages is None else frozenset(languages)
        shown = Path(model).resolve().name if Path(model).is_dir() else model
        self.name = f"model2vec:{shown}:{_digest(self._model)}"

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Return (n, d) float32 rows of unit length."""
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        vectors = self._model.encode(
            list(texts), max_length=None, use_multiprocessing=False, show_progress_bar=False
        )
        return unit_rows(vectors)

    def count_tokens(self, texts: Sequence[str]) -> np.ndarray | None:
        """Return the (n,) known tokens of each text."""
        self._model.tokenizer.no_truncation()
        found = self._model.tokenize(list(texts)) if texts else []
        return np.fromiter(map(len, found), np.int64, len(texts))


def _load(model: str) -> Any:
    try:
        from model2vec import StaticModel
    except ImportError:
        raise MissingDependencyError("model2vec", "Model2VecEmbedder") from None
    try:
        return StaticModel.from_pretrained(model, force_download=False)
    except Exception as error:  # the hub client's and the file readers' errors share no base
        raise could_not_load("model2vec", model, error) from error


def _digest(model: Any) -> str:
    digest = blake2b(model.tokenizer.to_str().encode(), digest_size=6)
    for array in (model.embedding, model.weights, model.token_mapping):
        if array is not None:
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
