"""What an embedder cannot read, measured on a sample of the texts."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from ds2.embedding.embedder import Embedder
from ds2.embedding.languages import identify_languages
from ds2.embedding.texts import TextIndex, TextPool

__all__ = ["Audit", "audit_texts"]

#: Different texts that are looked at: a share of 0.05 is known to ±0.01.
SAMPLE = 2000
#: A share above this is worth a warning.
WORTH_SAYING = 0.05
N_LANGUAGES = 5


@dataclass(frozen=True, slots=True)
class Audit:
    """See the attributes of the same names in `EmbeddingReport`."""

    n_sampled: int
    truncated_share: float | None
    unknown_language_share: float | None
    unknown_languages: tuple[tuple[str, float], ...]
    warnings: tuple[str, ...]


def audit_texts(pool: TextPool, index: TextIndex, embedder: Embedder) -> Audit:
    """Measure which share of the texts is cut, and which is in a language it does not know.

    The sample is the different texts with the smallest keys: random with respect to content, the
    same in every run, and unchanged by the order of the rows.
    """
    rows = index.unique
    rows = np.sort(rows[np.argsort(index.keys[rows])[:SAMPLE]])
    texts = [text for row in rows for text in pool.texts(int(row), int(row) + 1)]
    truncated = _truncated_share(texts, embedder)
    unknown = _unknown_languages(texts, embedder)
    share = None if unknown is None else sum(unknown.values()) / max(len(texts), 1)
    top = (
        ()
        if unknown is None
        else tuple(
            (language, count / len(texts)) for language, count in unknown.most_common(N_LANGUAGES)
        )
    )
    warnings = tuple(_sentences(embedder, truncated, share, top))
    return Audit(len(texts), truncated, share, top, warnings)


def _truncated_share(texts: list[str], embedder: Embedder) -> float | None:
    if embedder.max_tokens is None:
        # Nothing is cut, or nobody knows: an embedder that can count tokens and names no limit
        # has none.
        return 0.0 if embedder.count_tokens([""]) is not None else None
    counts = embedder.count_tokens(texts)
    return None if counts is None else float(np.mean(counts > embedder.max_tokens))


def _unknown_languages(texts: list[str], embedder: Embedder) -> Counter[str] | None:
    known = embedder.languages
    if known is None:
        return None
    found = identify_languages(texts)
    return Counter(language for language in found if language is not None and language not in known)


def _sentences(
    embedder: Embedder,
    truncated: float | None,
    unknown: float | None,
    top: tuple[tuple[str, float], ...],
) -> list[str]:
    sentences = []
    if truncated is not None and truncated > WORTH_SAYING:
        sentences.append(
            f"About {truncated:.0%} of the texts are longer than the {embedder.max_tokens} tokens "
            "that the embedder reads: their ends do not count in their neighbours."
        )
    if unknown is not None and unknown > WORTH_SAYING:
        named = ", ".join(f"{language} {share:.0%}" for language, share in top)
        sentences.append(
            f"About {unknown:.0%} of the texts are in languages that the embedder was not made "
            f"for ({named}): their neighbours mean little. Choose a multilingual embedder."
        )
    return sentences
