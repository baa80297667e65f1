import numpy as np
import pytest
from embedding_fakes import HashEmbedder, TextsOnly

from ds2.embedding import PrecomputedEmbedder, embed, embed_with_report, read_report
from ds2.errors import InputError

N = 6
POOL = TextsOnly([f"text {i}" for i in range(N)])
VECTORS = np.random.default_rng(0).normal(size=(N, 5)) * 7


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_ready_vectors_are_scaled_to_unit_length(tmp_path, dtype, suffix):
    path = tmp_path / f"v.{suffix}"
    given = VECTORS.astype(dtype)
    np.save(path, given) if suffix == "npy" else np.savez(path, given)
    embedder = PrecomputedEmbedder(path)
    vectors, report = embed_with_report(POOL, embedder)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, unit(given.astype(float)), atol=1e-6)
    assert report.embedder == embedder.name
    assert report.embedder.startswith(f"precomputed:v.{suffix}:")
    assert (report.n, report.dimension, report.n_embedded, report.n_reused) == (6, 5, 0, 6)
    assert (report.truncated_share, report.unknown_language_share) == (None, None)


def test_written_out_as_float16_with_a_report(tmp_path):
    np.save(tmp_path / "v.npy", VECTORS)
    vectors = embed(POOL, PrecomputedEmbedder(tmp_path / "v.npy"), out=tmp_path / "e.npy")
    assert vectors.dtype == np.float16
    np.testing.assert_allclose(vectors, unit(VECTORS), atol=1e-3)
    assert read_report(tmp_path / "e.npy").n_reused == N


def test_the_rows_are_not_taken_for_texts_by_a_later_run(tmp_path):
    np.save(tmp_path / "v.npy", VECTORS)
    embed(POOL, PrecomputedEmbedder(tmp_path / "v.npy"), out=tmp_path / "e.npy")
    embedder = HashEmbedder()
    embed(POOL, embedder, out=tmp_path / "e.npy")
    assert len(embedder.seen) == N


def test_one_array_of_several_is_named(tmp_path):
    path = tmp_path / "v.npz"
    np.savez(path, other=VECTORS[:2], vectors=VECTORS)
    np.testing.assert_allclose(
        embed(POOL, PrecomputedEmbedder(path, array="vectors")), unit(VECTORS), atol=1e-6
    )
    with pytest.raises(InputError, match="holds the arrays other, vectors"):
        embed(POOL, PrecomputedEmbedder(path))
    with pytest.raises(InputError, match="There is no 'vector'"):
        embed(POOL, PrecomputedEmbedder(path, array="vector"))


def test_a_column_of_lists(tmp_path):
    pool = TextsOnly(POOL.all_texts, embedding=VECTORS.tolist())
    vectors, report = embed_with_report(pool, PrecomputedEmbedder(column="embedding"))
    np.testing.assert_allclose(vectors, unit(VECTORS), atol=1e-6)
    assert report.embedder == "precomputed:column embedding"


def changed(row, value):
    vectors = VECTORS.copy()
    vectors[row] = value
    return vectors


@pytest.mark.parametrize(
    ("vectors", "sentence"),
    [
        (VECTORS[:4], "must have 6 rows, one per example. Got 4"),
        (VECTORS[:, 0], r"must be a table of shape \(rows, dimensions\). Got shape \(6,\)"),
        (changed(2, np.nan), "row 2 holds NaN or infinity"),
        (changed(3, np.inf), "row 3 holds NaN or infinity"),
        (changed(4, 0), "row 4 is all zeros"),
        (np.ones((6, 2), dtype=int), "must hold floating-point numbers"),
    ],
)
def test_unsound_vectors_are_one_sentence(tmp_path, vectors, sentence):
    np.save(tmp_path / "v.npy", vectors)
    with pytest.raises(InputError, match=sentence) as caught:
        embed(POOL, PrecomputedEmbedder(tmp_path / "v.npy"), out=tmp_path / "e.npy")
    assert "v.npy" in str(caught.value)
    assert not (tmp_path / "e.npy").exists()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([[1.0], None], "Row 1 holds nothing"),
        ([[1.0], "1.0"], "Row 1 holds str"),
        ([[1.0], [1.0, 2.0]], "Row 1 holds 2 numbers, the first row 1"),
        ([[1.0], ["x"]], "must hold numbers. Row 1 holds something else"),
        ([[], []], "must be a table"),
        ([[1.0], [float("nan")]], "row 1 holds NaN or infinity"),
    ],
)
def test_an_unsound_column_is_one_sentence(values, sentence):
    pool = TextsOnly(["a", "b"], v=values)
    with pytest.raises(InputError, match=sentence):
        embed(pool, PrecomputedEmbedder(column="v"))


@pytest.mark.parametrize("suffix", ["npy", "npz"])
@pytest.mark.parametrize("content", [b"", b"not numpy", b"\x93NUMPY\x01\x00v\x00{'descr'"])
def test_a_broken_file_is_one_sentence(tmp_path, suffix, content):
    path = tmp_path / f"v.{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match="could not be read as an array of numbers"):
        embed(POOL, PrecomputedEmbedder(path))


def test_a_truncated_file_is_one_sentence(tmp_path):
    for name in ("v.npy", "v.npz"):
        path = tmp_path / name
        np.save(path, VECTORS) if name.endswith("y") else np.savez(path, VECTORS)
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(InputError, match="could not be read as an array of numbers"):
            embed(POOL, PrecomputedEmbedder(path))


def test_nothing_is_unpickled(tmp_path):
    np.save(tmp_path / "v.npy", np.array([[1], None], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="could not be read"):
        embed(POOL, PrecomputedEmbedder(tmp_path / "v.npy"))


def test_wrong_arguments_are_one_sentence(tmp_path):
    for arguments in ({}, {"path": "v.npy", "column": "v"}):
        with pytest.raises(InputError, match=r"either the path of a \.npy or .npz file or"):
            PrecomputedEmbedder(**arguments)
    with pytest.raises(InputError, match="is not a file"):
        embed(POOL, PrecomputedEmbedder(tmp_path / "none.npy"))
    (tmp_path / "v.csv").write_text("1,2")
    with pytest.raises(InputError, match=r"must be a \.npy or .npz file"):
        embed(POOL, PrecomputedEmbedder(tmp_path / "v.csv"))
