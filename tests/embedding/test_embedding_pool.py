"""`embed` on real pools."""

import json

import numpy as np
import pytest

from ds2.embedding import PrecomputedEmbedder, WordLlamaEmbedder, embed, embed_with_report
from ds2.errors import InputError
from ds2.pool import read_pool


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    rows = [
        {
            "instruction": f"Describe animal {i % 30}.",
            "output": f"Animal {i % 30} " + "walks, eats and sleeps. " * (i % 7),
            "vector": [float(i + 1), 1.0, -2.0],
        }
        for i in range(210 + 20)
    ]
    path = tmp_path_factory.mktemp("pools") / "pool.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return read_pool(path)


def test_a_pool_is_embedded_text_by_text(pool, tmp_path):
    vectors, report = embed_with_report(pool, out=tmp_path / "e.npy", batch_size=16)
    assert vectors.shape == (230, 256)
    assert (report.n_unique, report.n_embedded) == (210, 210)
    np.testing.assert_array_equal(vectors, WordLlamaEmbedder().embed(pool.texts()).astype("f2"))


def test_rows_taken_from_a_pool_keep_their_vectors(pool, tmp_path):
    vectors = embed(pool, out=tmp_path / "e.npy")
    rows = np.random.default_rng(0).permutation(len(pool))[:50]
    part, report = embed_with_report(
        pool.take(rows), out=tmp_path / "part.npy", reuse=tmp_path / "e.npy"
    )
    assert report.n_embedded == 0
    np.testing.assert_array_equal(part, vectors[rows])


def test_a_column_of_a_pool(pool):
    vectors = embed(pool, PrecomputedEmbedder(column="vector"))
    wanted = np.array(pool.column("vector"), dtype=float)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors, wanted, atol=1e-6)
    with pytest.raises(InputError, match="Did you mean"):
        embed(pool, PrecomputedEmbedder(column="vectors"))


@pytest.mark.filterwarnings("ignore:.*without an answer to learn:ds2.Ds2Warning")
def test_a_file_of_vectors_may_have_a_row_for_rows_set_aside(tmp_path):
    rows = [{"instruction": f"Say {i}.", "output": "" if i % 4 == 1 else f"{i}"} for i in range(12)]
    (tmp_path / "pool.jsonl").write_text("\n\n".join(map(json.dumps, rows)))
    pool = read_pool(tmp_path / "pool.jsonl")
    kept = np.array([0, 2, 3, 4, 6, 7, 8, 10, 11])
    np.testing.assert_array_equal(pool.positions, kept)
    given = np.random.default_rng(0).standard_normal((12, 5))
    given[1] = 0.0  # of a row that is no example
    np.save(tmp_path / "all.npy", given)
    np.save(tmp_path / "kept.npy", given[kept])
    np.save(tmp_path / "other.npy", given[2:])
    of_all, of_kept = (
        embed(pool, PrecomputedEmbedder(tmp_path / name)) for name in ("all.npy", "kept.npy")
    )
    np.testing.assert_array_equal(of_all, of_kept)
    np.testing.assert_allclose(of_all, given[kept] / np.linalg.norm(given[kept], axis=1)[:, None])
    part = embed(pool.take([5, 2]), PrecomputedEmbedder(tmp_path / "all.npy"))
    np.testing.assert_array_equal(part, of_all[[5, 2]])
    with pytest.raises(InputError, match=r"must have 9 rows, one per example. Got 10"):
        embed(pool, PrecomputedEmbedder(tmp_path / "other.npy"))
