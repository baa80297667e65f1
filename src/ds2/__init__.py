"""Select the instruction data that trains best, and say how far to trust the selection.

The public names, in the order of a run: `read_pool`, `import_ratings`, `embed`, `find_neighbors`,
`estimate_transition`, `curate`, `long_tail_scores`, `select`, `write_pool`. Each is loaded when
it is first used, so that `import ds2` is fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from ds2._version import __version__

if TYPE_CHECKING:
    from ds2.curation import Curation, Evidence, curate
    from ds2.embedding import (
        Embedder,
        EmbeddingReport,
        Model2VecEmbedder,
        OpenAIEmbedder,
        PrecomputedEmbedder,
        SentenceTransformerEmbedder,
        WordLlamaEmbedder,
        embed,
    )
    from ds2.errors import Ds2Error, Ds2Warning, InputError, MissingDependencyError, RunError
    from ds2.neighbors import Neighbors, find_neighbors
    from ds2.noise import (
        Lift,
        SimulatedPool,
        TransitionEstimate,
        estimate_transition,
        simulate,
    )
    from ds2.pool import Example, Message, Pool, find_duplicates, read_pool, write_pool
    from ds2.rating import Ratings, Scale, import_ratings
    from ds2.selection import Selection, long_tail_scores, select

__all__ = [
    "Curation",
    "Ds2Error",
    "Ds2Warning",
    "Embedder",
    "EmbeddingReport",
    "Evidence",
    "Example",
    "InputError",
    "Lift",
    "Message",
    "MissingDependencyError",
    "Model2VecEmbedder",
    "Neighbors",
    "OpenAIEmbedder",
    "Pool",
    "PrecomputedEmbedder",
    "Ratings",
    "RunError",
    "Scale",
    "Selection",
    "SentenceTransformerEmbedder",
    "SimulatedPool",
    "TransitionEstimate",
    "WordLlamaEmbedder",
    "__version__",
    "curate",
    "embed",
    "estimate_transition",
    "find_duplicates",
    "find_neighbors",
    "import_ratings",
    "long_tail_scores",
    "read_pool",
    "select",
    "simulate",
    "write_pool",
]

_HOME = {
    "Curation": "ds2.curation",
    "Ds2Error": "ds2.errors",
    "Ds2Warning": "ds2.errors",
    "Embedder": "ds2.embedding",
    "EmbeddingReport": "ds2.embedding",
    "Evidence": "ds2.curation",
    "Example": "ds2.pool",
    "InputError": "ds2.errors",
    "Lift": "ds2.noise",
    "Message": "ds2.pool",
    "MissingDependencyError": "ds2.errors",
    "Model2VecEmbedder": "ds2.embedding",
    "Neighbors": "ds2.neighbors",
    "OpenAIEmbedder": "ds2.embedding",
    "Pool": "ds2.pool",
    "PrecomputedEmbedder": "ds2.embedding",
    "Ratings": "ds2.rating",
    "RunError": "ds2.errors",
    "Scale": "ds2.rating",
    "Selection": "ds2.selection",
    "SentenceTransformerEmbedder": "ds2.embedding",
    "SimulatedPool": "ds2.noise",
    "TransitionEstimate": "ds2.noise",
    "WordLlamaEmbedder": "ds2.embedding",
    "curate": "ds2.curation",
    "embed": "ds2.embedding",
    "estimate_transition": "ds2.noise",
    "find_duplicates": "ds2.pool",
    "find_neighbors": "ds2.neighbors",
    "import_ratings": "ds2.rating",
    "long_tail_scores": "ds2.selection",
    "read_pool": "ds2.pool",
    "select": "ds2.selection",
    "simulate": "ds2.noise",
    "write_pool": "ds2.pool",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'ds2' has no attribute '{name}'")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
