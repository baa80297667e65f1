"""Conversations → unit vectors: the embedder protocol, its adapters, and a resumable `embed`."""

from ds2.embedding.audit import (
    EmbeddingReport,
    identify_languages,
    languages_note,
    multilingual_reads,
    unread_languages,
)
from ds2.embedding.compute import (
    Chunk,
    Progress,
    Workers,
    embed,
    embed_chunk,
    embed_with_report,
    index_texts,
    read_report,
    sample_keys,
    share_held,
    vectors_digest,
    vectors_of,
)
from ds2.embedding.embedder import Embedder
from ds2.embedding.model2vec import Model2VecEmbedder
from ds2.embedding.multilingual import MultilingualEmbedder
from ds2.embedding.openai import OpenAIEmbedder
from ds2.embedding.precomputed import PrecomputedEmbedder
from ds2.embedding.sentence_transformers import SentenceTransformerEmbedder
from ds2.embedding.surface import CONTENT, FIGURES, content_types, surface_features
from ds2.embedding.wordllama import WordLlamaEmbedder

__all__ = [
    "CONTENT",
    "FIGURES",
    "Chunk",
    "Embedder",
    "EmbeddingReport",
    "Model2VecEmbedder",
    "MultilingualEmbedder",
    "OpenAIEmbedder",
    "PrecomputedEmbedder",
    "Progress",
    "SentenceTransformerEmbedder",
    "WordLlamaEmbedder",
    "Workers",
    "content_types",
    "embed",
    "embed_chunk",
    "embed_with_report",
    "identify_languages",
    "index_texts",
    "languages_note",
    "multilingual_reads",
    "read_report",
    "sample_keys",
    "share_held",
    "surface_features",
    "unread_languages",
    "vectors_digest",
    "vectors_of",
]
