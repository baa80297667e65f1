"""From the recipe's [embed] to an embedder, and from texts to vectors like those of the run."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ds2.embedding import (
    Embedder,
    Model2VecEmbedder,
    MultilingualEmbedder,
    OpenAIEmbedder,
    PrecomputedEmbedder,
    SentenceTransformerEmbedder,
    WordLlamaEmbedder,
    embed_with_report,
)
from ds2.errors import InputError
from ds2.runs.job import Job
from ds2.runs.recipe import EmbedSection
from ds2.runs.recipe_file import resolve_name, resolve_path

__all__ = ["choose_embedder", "embed_like"]

#: What each name of the recipe makes, and of which settings.
_MAKE: dict[str, tuple[Callable[..., Embedder | PrecomputedEmbedder], tuple[str, ...]]] = {
    "wordllama": (WordLlamaEmbedder, ()),
    "multilingual": (MultilingualEmbedder, ()),
    "sentence-transformers": (SentenceTransformerEmbedder, ("model",)),
    "model2vec": (Model2VecEmbedder, ("model",)),
    "openai": (OpenAIEmbedder, ("model", "base_url", "api_key_env")),
    "precomputed": (PrecomputedEmbedder, ("path", "column")),
}


def choose_embedder(wanted: EmbedSection, folder: Path) -> Embedder | PrecomputedEmbedder:
    """Return the embedder that the recipe in ``folder`` asks for.

    Raises:
        InputError: a setting is missing, or means nothing to this embedder.
        MissingDependencyError: it needs a package that is not installed.
    """
    name = wanted.embedder
    make, takes = _MAKE[name]
    given = wanted.model_dump(exclude={"embedder", "batch_size"}, exclude_none=True)
    for key in given:
        if key not in takes:
            raise InputError(
                f"'embed.{key}' means nothing to the embedder '{name}'. Remove it, or choose "
                "another 'embed.embedder'."
            )
    if name == "precomputed" and len(given) != 1:
        raise InputError(
            "The embedder 'precomputed' needs either 'embed.path' (a .npy or .npz file) or "
            "'embed.column' (a column of the pool). Set one of them."
        )
    if name in ("model2vec", "openai") and "model" not in given:
        raise InputError(f"The embedder '{name}' needs a model. Set 'embed.model'.")
    if "path" in given:
        given["path"] = resolve_path(folder, given["path"])
    if "model" in given and name != "openai":
        given["model"] = resolve_name(folder, given["model"])
    return make(**given)


class _Texts:
    """Texts as what the embedder reads."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts

    def __len__(self) -> int:
        return len(self._texts)

    def texts(self, start: int = 0, stop: int | None = None) -> list[str]:
        return list(self._texts[start:stop])

    def column(self, name: str) -> list[object]:
        raise InputError(f"Plain texts have no column '{name}'.")


def embed_like(job: Job, texts: Sequence[str]) -> np.ndarray:
    """(t, d) Vectors of texts, by the embedder of the run.

    Raises:
        InputError: the vectors of the run are ready-made.
    """
    wanted = job.recipe.embed
    if wanted.embedder == "precomputed":
        raise InputError(
            "The vectors of this run are ready-made ('embed.embedder' is 'precomputed'), so "
            "nothing else can be embedded like them: leave out select.targets and "
            "select.decontaminate_similarity, or choose another embedder."
        )
    embedder = choose_embedder(wanted, job.folder)
    vectors, _ = embed_with_report(_Texts(texts), embedder, batch_size=wanted.batch_size)
    return np.asarray(vectors)
