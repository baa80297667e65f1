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
