"""Embedders from sentence-transformers; by default the one the paper uses."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ds2.checks import check_choice, check_int
from ds2.embedding.embedder import Described, could_not_load, digest_folder, unit_rows
from ds2.errors import MissingDependencyError

__all__ = ["SentenceTransformerEmbedder"]


class SentenceTransformerEmbedder(Described):
    """A sentence-transformers model, on CPU or GPU.

    The defaults are the paper's: BAAI/bge-large-en-v1.5, mean pooling, 512 tokens. In another batch
    the same text's vector may differ by the rounding of the matrix product (about 1e-7). Its name
    holds the model's commit or digest, the pooling and the length limit.

    Args:
        model: a name on the hub, or a folder.
        device: "cpu", "cuda", "mps"; None takes the fastest one there is.
        max_tokens: longer texts are cut here, or earlier where the model's positions end.
        pooling: "mean", or "model" for whatever the model's own settings say.
        batch_size: texts in one forward pass.
        languages: ISO 639 codes; None takes English for a name with "-en" in it and otherwise
            declares nothing.
        revision: a commit of the model on the hub.

    Raises:
        MissingDependencyError: sentence-transformers is not installed.
        InputError: the model cannot be loaded.
    """

    def __init__(
        self,
        model: str = "BAAI/bge-large-en-v1.5",
        *,
        device: str | None = None,
        max_tokens: int = 512,
        pooling: str = "mean",
        batch_size: int = 32,
        languages: Collection[str] | None = None,
        revision: str | None = None,
    ) -> None:
        check_int("max_tokens", max_tokens, low=1)
        check_choice("pooling", pooling, ("mean", "model"))
        self._batch_size = check_int("batch_size", batch_size, low=1)
        self._model = _load(model, device, max_tokens, pooling, revision)
        self.max_tokens = int(self._model.max_seq_length)
        self.dimension = int(self._model.encode(["dimension"], show_progress_bar=False).shape[1])
        if languages is None and "-en" in model:
            languages = ("en",)
        self.languages = None if languages is None else frozenset(languages)
        self.name = (
            f"sentence-transformers:{_identity(model, self._model, revision)}"
            f";pooling={pooling};max_tokens={self.max_tokens}"
        )

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Return (n, d) float32 rows of unit length."""
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        vectors = self._model.encode(
            list(texts),
            batch_size=self._batch_size,
            convert_to_numpy=True,
            show_progress_bar=False,
        )
        return unit_rows(vectors)

    def count_tokens(self, texts: Sequence[str]) -> np.ndarray | None:
        """Return the (n,) tokens of each text, special tokens included, before the cut."""
        if not texts:
            return np.empty(0, dtype=np.int64)
        found = self._model.tokenizer(
            list(texts), add_special_tokens=True, truncation=False, padding=False, verbose=False
        )
        return np.fromiter(map(len, found["input_ids"]), np.int64, len(texts))


def _load(
    model: str, device: str | None, max_tokens: int, pooling: str, revision: str | None
) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise MissingDependencyError(
            "sentence-transformers", "SentenceTransformerEmbedder"
        ) from None
    try:
        loaded = SentenceTransformer(model, device=device, revision=revision)
    except (OSError, ValueError, RuntimeError) as error:
        raise could_not_load("sentence-transformers", model, error) from error
    if pooling == "mean":
        loaded = SentenceTransformer(modules=_mean_pooled(loaded[0]), device=device)
    own_limit = _positions(loaded)
    loaded.max_seq_length = max_tokens if own_limit is None else min(max_tokens, own_limit)
    return loaded


def _mean_pooled(transformer: Any) -> list[Any]:
    try:  # moved in version 6
        from sentence_transformers.sentence_transformer.modules import Pooling
    except ImportError:
        from sentence_transformers.models import Pooling
    dimension = getattr(transformer, "get_embedding_dimension", None)
    dimension = dimension or transformer.get_word_embedding_dimension
    return [transformer, Pooling(dimension(), "mean")]


def _positions(model: Any) -> int | None:
    """Return how many tokens the model has positions for, where it says so."""
    config = getattr(getattr(model[0], "auto_model", None), "config", None)
    positions = getattr(config, "max_position_embeddings", None)
    return int(positions) if positions else None


def _identity(name: str, model: Any, revision: str | None) -> str:
    """Name what was loaded: a folder by its last part and its contents, a hub model by commit."""
    folder = Path(name)
    if folder.is_dir():
        return f"{folder.resolve().name}:{digest_folder(folder)}"
    config = getattr(getattr(model[0], "auto_model", None), "config", None)
    commit = getattr(config, "_commit_hash", None) or revision or "unknown"
    return f"{name}@{commit[:12]}"
