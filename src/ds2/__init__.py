"""Select the instruction data that trains best, and say how far to trust the selection.

The public names, in the order of a run: `read_pool`, `import_ratings`, `embed`, `find_neighbors`,
`estimate_transition`, `curate`, `long_tail_scores`, `select`, `write_pool`.
"""

from ds2._version import __version__
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
