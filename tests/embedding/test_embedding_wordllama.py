import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2.embedding import Embedder, WordLlamaEmbedder
from ds2.embedding import wordllama as module
from ds2.embedding.embedder import pieces_of
from ds2.errors import InputError, MissingDependencyError

TEXTS = st.text(st.characters(codec="utf-8"), max_size=60) | st.sampled_from(
    ["", " ", "\n", "user: hello\nassistant: hi", "a" * 3000, "word " * 400, "</s>", "数据", "🦙🦙"]
)


@pytest.fixture(scope="module")
def embedder():
    return WordLlamaEmbedder()


@pytest.fixture(scope="module")
def library(embedder):
    """The library's own model, read from its own folder."""
    from pathlib import Path

    wordllama = pytest.importorskip("wordllama")
    folder = Path(wordllama.__file__).parent
    return wordllama.WordLlama.load(cache_dir=folder, disable_download=True)


def test_is_an_embedder_with_its_facts(embedder):
    assert isinstance(embedder, Embedder)
    assert embedder.dimension == 256
    assert embedder.max_tokens is None
    assert embedder.languages == {"en"}
    assert embedder.name.startswith("wordllama:l2_supercat-256:")
    assert embedder.name == WordLlamaEmbedder().name


@given(texts=st.lists(TEXTS, min_size=1, max_size=12), data=st.data())
@settings(max_examples=60, deadline=None)
def test_the_same_text_gives_bitwise_the_same_vector_in_any_batch(embedder, texts, data):
    together = embedder.embed(texts)
    order = data.draw(st.permutations(range(len(texts))))
    cut = data.draw(st.integers(0, len(texts)))
    for rows in (order[:cut], order[cut:]):
        part = embedder.embed([texts[row] for row in rows])
        assert part.tobytes() == together[list(rows)].tobytes()
    alone = embedder.embed(texts[:1])
    assert alone.tobytes() == together[:1].tobytes()
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)


def test_agrees_with_the_library(embedder, library):
    texts = [
        "user: Name three primes.\nassistant: 2, 3, 5",
        "def f(x):\n    return x",
        "Größe 数据",
    ]
    np.testing.assert_allclose(
        embedder.embed(texts), library.embed(texts, norm=True), rtol=0, atol=1e-6
    )


def test_close_in_meaning_is_close_in_angle(embedder):
    cat, kitten, tax = embedder.embed(
        ["The cat sleeps on the sofa.", "A kitten naps on the couch.", "File your tax return."]
    )
    assert cat @ kitten > cat @ tax + 0.2


def test_a_text_without_tokens_is_a_unit_vector(embedder):
    empty, empty_again, other = embedder.embed(["", "", "word"])
    assert np.linalg.norm(empty) == 1
    assert (empty == empty_again).all()
    assert empty @ other < 0.9
    assert embedder.embed([]).shape == (0, 256)


def test_long_texts_count_to_their_end(embedder, monkeypatch):
    words = [f"word{i % 97}" for i in range(3000)]
    text, ends_otherwise = " ".join(words), " ".join([*words, *["zebra"] * 500])
    whole = embedder.embed([text, ends_otherwise])
    assert whole[0] @ whole[1] < 0.99
    n_tokens = embedder.count_tokens([text, "x", ends_otherwise])
    monkeypatch.setattr(module, "PIECE_CHARS", 1000)
    monkeypatch.setattr(module, "GROUP_CHARS", 3000)
    np.testing.assert_array_equal(embedder.count_tokens([text, "x", ends_otherwise]), n_tokens)
    in_pieces = embedder.embed([text, ends_otherwise])
    np.testing.assert_allclose(in_pieces, whole, rtol=0, atol=1e-6)
    assert embedder.embed([text]).tobytes() == in_pieces[:1].tobytes()


def test_pieces_without_spaces_lose_no_character():
    assert list(pieces_of("abcdefghijklmnopqrstuvwxyz", 10)) == [
        "abcdefghij",
        "klmnopqrst",
        "uvwxyz",
    ]
    assert list(pieces_of("one two three four", 10)) == ["one two", "three four"]


def test_counts_tokens(embedder, library):
    texts = ["", "hello world", "a b c d"]
    tokens = [sum(encoding.attention_mask) for encoding in library.tokenize(texts)]
    np.testing.assert_array_equal(embedder.count_tokens(texts), tokens)


OFFLINE = """
import logging, os, socket, sys
for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
    os.environ.pop(name, None)
def refuse(*args, **kwargs):
    raise AssertionError("the network was touched")
socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = socket.create_connection = refuse
from ds2.embedding import WordLlamaEmbedder
assert WordLlamaEmbedder().embed(["no network"]).shape == (1, 256)
assert not {"wordllama", "requests", "torch"} & set(sys.modules), "more was imported than needed"
assert not logging.getLogger().handlers, "logging was reconfigured"
"""


def test_needs_no_network():
    subprocess.run([sys.executable, "-c", OFFLINE], check=True, timeout=60)


def test_a_missing_package_is_one_sentence(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="pip install wordllama"):
        WordLlamaEmbedder()


def test_a_package_without_the_weights_is_one_sentence(monkeypatch, tmp_path):
    spec = importlib.util.spec_from_loader("wordllama", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(module, "find_spec", lambda name: spec)
    with pytest.raises(InputError, match=r"does not ship 'l2_supercat_256\.safetensors'"):
        WordLlamaEmbedder()
