import json
import resource
import warnings

import numpy as np
import pytest
from embedding_fakes import HashEmbedder, TextsOnly, hash_vector
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2.embedding import (
    compute,
    embed,
    embed_with_report,
    read_report,
    sample_keys,
    share_held,
)
from ds2.errors import Ds2Warning, InputError

TEXTS = [f"user: question {i}\nassistant: {'answer ' * (i * 7 % 11)}" for i in range(50)]


def expected(texts, dimension=8):
    return np.array([hash_vector(text, dimension) for text in texts])


def test_rows_are_in_pool_order_and_of_unit_length():
    vectors = embed(TextsOnly(TEXTS), HashEmbedder(), batch_size=7)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected(TEXTS), atol=1e-6)


def test_out_is_a_float16_memory_map_of_the_same_vectors(tmp_path):
    out = tmp_path / "embeddings.npy"
    vectors = embed(TextsOnly(TEXTS), HashEmbedder(), out=out, batch_size=7)
    assert isinstance(vectors, np.memmap)
    assert vectors.dtype == np.float16
    np.testing.assert_allclose(vectors, expected(TEXTS), atol=1e-3)
    np.testing.assert_array_equal(np.load(out), vectors)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "embeddings.json",
        "embeddings.keys.npy",
        "embeddings.npy",
    ]


@given(
    texts=st.lists(st.sampled_from("abcdefg") | st.text(max_size=5), min_size=1, max_size=20),
    batch_size=st.integers(1, 9),
    data=st.data(),
)
@settings(max_examples=40, deadline=None)
def test_permuting_rows_permutes_vectors(texts, batch_size, data):
    order = data.draw(st.permutations(range(len(texts))))
    vectors = embed(TextsOnly(texts), HashEmbedder(), batch_size=batch_size)
    permuted = embed(TextsOnly([texts[row] for row in order]), HashEmbedder(), batch_size=3)
    np.testing.assert_array_equal(permuted, vectors[list(order)])


def test_the_same_text_is_embedded_once(tmp_path):
    texts = ["a", "b", "a", "c", "b", "a"]
    for out in (None, tmp_path / "e.npy"):
        embedder = HashEmbedder()
        vectors, report = embed_with_report(TextsOnly(texts), embedder, out=out)
        assert sorted(embedder.seen) == ["a", "b", "c"]
        np.testing.assert_array_equal(vectors[[0, 1]], vectors[[5, 4]])
        assert (report.n, report.n_unique, report.n_embedded, report.n_reused) == (6, 3, 3, 0)


def test_batches_are_sorted_by_length_within_bounded_slices(monkeypatch):
    monkeypatch.setattr(compute, "SLICE_ROWS", 20)
    monkeypatch.setattr(compute, "SLICE_CHARS", 600)
    embedder, pool = HashEmbedder(), TextsOnly(TEXTS)
    embed(pool, embedder, batch_size=4)
    spans = [(a, b) for a, b in pool.asked if b - a > 1][1:]
    assert all(b - a <= 20 and sum(map(len, TEXTS[a:b])) <= 600 for a, b in spans)
    assert spans[0][0] == 0
    assert spans[-1][1] == 50
    at = 0
    for a, b in spans:
        seen = [len(text) for text in embedder.seen[at : at + b - a]]
        assert seen == sorted(seen, reverse=True)
        at += b - a
    assert all(len(call) <= 4 for call in embedder.calls)


def test_one_text_longer_than_a_slice_is_embedded(monkeypatch):
    monkeypatch.setattr(compute, "SLICE_CHARS", 10)
    texts = ["short", "long " * 50, "short too", ""]
    np.testing.assert_allclose(embed(TextsOnly(texts), HashEmbedder()), expected(texts), atol=1e-6)


def test_a_grown_and_reordered_pool_reuses_its_vectors_bit_by_bit(tmp_path):
    first = embed(TextsOnly(TEXTS), HashEmbedder(), out=tmp_path / "a.npy")
    order = np.random.default_rng(0).permutation(50)
    grown = [*(TEXTS[row] for row in order), "new one", "new two"]
    embedder = HashEmbedder()
    second, report = embed_with_report(
        TextsOnly(grown), embedder, out=tmp_path / "b.npy", reuse=tmp_path / "a.npy"
    )
    assert sorted(embedder.seen) == ["new one", "new two"]
    assert second[:50].tobytes() == first[order].tobytes()
    assert (report.n_embedded, report.n_reused) == (2, 50)
    in_memory = embed(TextsOnly(grown), HashEmbedder(), reuse=tmp_path / "b.npy")
    np.testing.assert_allclose(in_memory, expected(grown), atol=1e-3)


def test_out_is_reused_when_it_is_there(tmp_path):
    out = tmp_path / "a.npy"
    embed(TextsOnly(TEXTS[:30]), HashEmbedder(), out=out)
    embedder = HashEmbedder()
    vectors = embed(TextsOnly(TEXTS), embedder, out=out)
    assert sorted(embedder.seen) == sorted(TEXTS[30:])
    np.testing.assert_allclose(vectors, expected(TEXTS), atol=1e-3)


def test_vectors_of_another_embedder_are_not_reused(tmp_path):
    out = tmp_path / "a.npy"
    embed(TextsOnly(TEXTS), HashEmbedder("hash:1"), out=out)
    with pytest.warns(Ds2Warning, match=r"they were made by 'hash:1', and these by 'hash:2'"):
        embed(TextsOnly(TEXTS), HashEmbedder("hash:2"), reuse=out)
    other = HashEmbedder("hash:2")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        embed(TextsOnly(TEXTS), other, out=out)
    assert len(other.seen) == 50


def damage(path):
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda npy: npy.unlink(), "'a.npy' is missing"),
        (lambda npy: npy.with_suffix(".json").unlink(), "'a.json' is missing"),
        (lambda npy: npy.with_suffix(".keys.npy").unlink(), "'a.keys.npy' is missing"),
        (lambda npy: damage(npy.with_suffix(".keys.npy")), "does not belong"),
        (damage, "does not belong"),
        (lambda npy: npy.write_bytes(npy.read_bytes()[:-10]), "damaged"),
        (lambda npy: npy.write_bytes(b""), "damaged"),
        (lambda npy: npy.with_suffix(".keys.npy").write_bytes(b""), "damaged"),
        (lambda npy: npy.with_suffix(".json").write_text("{"), "damaged"),
        (lambda npy: npy.with_suffix(".json").write_text("[]"), "damaged"),
        (
            lambda npy: npy.with_suffix(".json").write_text(
                '{"format": 99, "embedder": "hash:1", "report": {}, "keys": ""}'
            ),
            "another version of ds2",
        ),
    ],
)
def test_what_cannot_be_reused_is_one_sentence(tmp_path, spoil, sentence):
    npy = tmp_path / "a.npy"
    embed(TextsOnly(TEXTS), HashEmbedder(), out=npy)
    spoil(npy)
    with pytest.raises(InputError, match=sentence):
        embed(TextsOnly(TEXTS), HashEmbedder(), reuse=npy)
    embedder = HashEmbedder()
    vectors = embed(TextsOnly(TEXTS), embedder, out=npy)
    assert len(embedder.seen) == 50, "a damaged file must never be believed"
    np.testing.assert_allclose(vectors, expected(TEXTS), atol=1e-3)


def test_a_file_of_keys_that_is_empty_holds_none(tmp_path):
    npy, embedder, keys = tmp_path / "a.npy", HashEmbedder(), sample_keys(TextsOnly(TEXTS))
    embed(TextsOnly(TEXTS), embedder, out=npy)
    assert share_held(npy, embedder.name, keys) == 1
    npy.with_suffix(".keys.npy").write_bytes(b"")
    assert share_held(npy, embedder.name, keys) == 0


def test_progress_tells_done_total_rate_and_time_left(tmp_path):
    embed(TextsOnly(TEXTS[:10]), HashEmbedder(), out=tmp_path / "a.npy")
    told = []
    embed(
        TextsOnly(TEXTS),
        HashEmbedder(),
        out=tmp_path / "a.npy",
        batch_size=16,
        progress=lambda *numbers: told.append(numbers),
    )
    assert [done for done, _, _, _ in told] == [10, 26, 42, 50]
    assert {total for _, total, _, _ in told} == {50}
    assert told[0][2:] == (0.0, float("inf"))
    assert all(rate > 0 for _, _, rate, _ in told[1:])
    assert told[-2][3] > told[-1][3] == 0.0


def test_the_report_is_written_beside_the_vectors(tmp_path):
    _, report = embed_with_report(
        TextsOnly(TEXTS), HashEmbedder(languages=frozenset({"en"})), out=tmp_path / "a.npy"
    )
    assert read_report(tmp_path / "a.npy") == report
    assert report.embedder == "hash:1"
    assert (report.dimension, report.n_sampled, report.truncated_share) == (8, 50, 0.0)
    assert report.elapsed_s > 0
    assert report.texts_per_s > 0


@pytest.mark.parametrize("wrong", ['{"n": 1}', '{"unknown_languages": 3, "warnings": []}'])
def test_a_report_that_cannot_be_read_is_one_sentence(tmp_path, wrong):
    embed(TextsOnly(TEXTS), HashEmbedder(), out=tmp_path / "a.npy")
    facts = json.loads((tmp_path / "a.json").read_text())
    (tmp_path / "a.json").write_text(json.dumps({**facts, "report": json.loads(wrong)}))
    with pytest.raises(InputError, match="damaged"):
        read_report(tmp_path / "a.npy")


class Returns(HashEmbedder):
    def __init__(self, change):
        super().__init__()
        self.change = change

    def embed(self, texts):
        return self.change(super().embed(texts))


def with_nan(vectors):
    vectors[0, 0] = np.nan
    return vectors


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda vectors: vectors[:, :4], r"must return an array of shape \(50, 8\)"),
        (lambda vectors: vectors[1:], r"Got \(49, 8\)"),
        (with_nan, "returned NaN or infinity"),
    ],
)
def test_an_embedder_that_returns_nonsense_is_one_sentence(change, sentence):
    with pytest.raises(InputError, match=sentence):
        embed(TextsOnly(TEXTS), Returns(change))


def test_rows_that_are_not_of_unit_length_are_scaled():
    vectors = embed(TextsOnly(TEXTS), Returns(lambda vectors: vectors * 3))
    np.testing.assert_allclose(vectors, expected(TEXTS), atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"batch_size": 0}, "'batch_size' must be a whole number at least 1"),
        ({"out": "vectors.npz"}, "'out' must be the name of a .npy file"),
        ({"out": "nowhere/vectors.npy"}, "The folder 'nowhere' for the vectors does not exist"),
        ({"reuse": "nothing.npy"}, "'nothing.npy' is missing"),
    ],
)
def test_wrong_arguments_are_one_sentence(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        embed(TextsOnly(TEXTS), HashEmbedder(), **arguments)


def test_an_empty_pool_is_one_sentence():
    with pytest.raises(InputError, match="The pool is empty"):
        embed(TextsOnly([]), HashEmbedder())


@pytest.mark.parametrize(("limit", "n_embedded_next"), [(600, 35), (2400, 0)])
def test_a_full_disk_is_one_sentence_and_leaves_no_half_file(tmp_path, limit, n_embedded_next):
    """600 bytes hold 15 of 50 records; 2,400 hold them all but not the finished file."""
    out, texts = tmp_path / "a.npy", TEXTS * 3
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(InputError, match="could not be written: File too large"):
            embed(TextsOnly(texts), HashEmbedder(dimension=16), out=out, batch_size=5)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy.partial"]
    embedder = HashEmbedder(dimension=16)
    vectors = embed(TextsOnly(texts), embedder, out=out)
    assert len(embedder.seen) == n_embedded_next
    np.testing.assert_allclose(vectors, expected(texts, 16), atol=1e-3)


def test_a_place_that_cannot_be_written_is_said_before_anything_is_embedded(tmp_path):
    (tmp_path / "a.npy.partial").mkdir()
    embedder = HashEmbedder()
    with pytest.raises(InputError, match=r"a.npy.partial.* could not be written: Is a directory"):
        embed(TextsOnly(TEXTS), embedder, out=tmp_path / "a.npy")
    assert embedder.seen == []


def test_the_default_embedder_is_wordllama():
    texts = ["user: hello\nassistant: Good morning to you.", "user: Buy milk.\nassistant: Done."]
    vectors, report = embed_with_report(TextsOnly(texts))
    assert vectors.shape == (2, 256)
    assert report.embedder.startswith("wordllama:")
    assert report.unknown_language_share == 0.0
    assert report.truncated_share == 0.0
