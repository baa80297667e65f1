"""From the recipe's [embed] to an embedder."""

from pathlib import Path

from ds2.embedding import (
    Embedder,
    Model2VecEmbedder,
    OpenAIEmbedder,
    PrecomputedEmbedder,
    SentenceTransformerEmbedder,
    WordLlamaEmbedder,
)
from ds2.errors import InputError
from ds2.runs.recipe import EmbedSection
from ds2.runs.recipe_file import resolve_path

__all__ = ["choose_embedder"]

#: The settings that each embedder takes.
TAKES = {
    "wordllama": (),
    "sentence-transformers": ("model",),
    "model2vec": ("model",),
    "openai": ("model", "base_url"),
    "precomputed": ("path", "column"),
}


def choose_embedder(wanted: EmbedSection, folder: Path) -> Embedder | PrecomputedEmbedder:
    """Return the embedder that the recipe in ``folder`` asks for.

    Raises:
        InputError: a setting is missing, or means nothing to this embedder.
        MissingDependencyError: it needs a package that is not installed.
    """
    name, model = wanted.embedder, wanted.model
    for key in ("model", "base_url", "path", "column"):
        if getattr(wanted, key) is not None and key not in TAKES[name]:
            raise InputError(
                f"'embed.{key}' means nothing to the embedder '{name}'. Remove it, or choose "
                "another 'embed.embedder'."
            )
    if name == "wordllama":
        return WordLlamaEmbedder()
    if name == "precomputed":
        if (wanted.path is None) == (wanted.column is None):
            raise InputError(
                "The embedder 'precomputed' needs either 'embed.path' (a .npy or .npz file) or "
                "'embed.column' (a column of the pool). Set one of them."
            )
        path = None if wanted.path is None else resolve_path(folder, wanted.path)
        return PrecomputedEmbedder(path, column=wanted.column)
    if name == "sentence-transformers":
        return SentenceTransformerEmbedder(model) if model else SentenceTransformerEmbedder()
    if model is None:
        raise InputError(f"The embedder '{name}' needs a model. Set 'embed.model'.")
    if name == "model2vec":
        return Model2VecEmbedder(model)
    return OpenAIEmbedder(model, base_url=wanted.base_url, api_key_env=wanted.api_key_env)
