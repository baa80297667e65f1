"""What an embedding run did and what its embedder could not read."""

from dataclasses import dataclass

__all__ = ["EmbeddingReport"]


@dataclass(frozen=True, slots=True)
class EmbeddingReport:
    """The numbers of one `embed_with_report`.

    Attributes:
        embedder: identity of the embedder.
        dimension: numbers in a vector.
        n: examples.
        n_unique: different texts; each is embedded once.
        n_embedded: texts that this call embedded.
        n_reused: texts whose vector came from an earlier run, finished or killed.
        n_sampled: different texts on which the two shares below were measured.
        truncated_share: fraction of them that the embedder cuts; None where it cannot say.
        unknown_language_share: fraction of them in a language that the embedder was not made for;
            None where it declares no languages. Code, numbers and texts too short to tell are
            never counted as foreign.
        unknown_languages: ISO 639 code and fraction of the most frequent ones, largest first.
        elapsed_s: seconds of wall time.
        texts_per_s: texts embedded per second of embedding; 0 when nothing was embedded.
        warnings: what the user should know, one sentence each.
    """

    embedder: str
    dimension: int
    n: int
    n_unique: int
    n_embedded: int
    n_reused: int
    n_sampled: int = 0
    truncated_share: float | None = None
    unknown_language_share: float | None = None
    unknown_languages: tuple[tuple[str, float], ...] = ()
    elapsed_s: float = 0.0
    texts_per_s: float = 0.0
    warnings: tuple[str, ...] = ()
