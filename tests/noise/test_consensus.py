import numpy as np

from ds2.neighbors import find_neighbors
from ds2.noise.triples import ScoreGraph


def naive(scores, neighbors, n_scores, m):
    shared = neighbors.entry_scores(scores)
    table = np.zeros((n_scores,) * 3)
    for row in np.flatnonzero(neighbors.entries()):
        near = [shared[j] for j in neighbors.indices[row, :m]]
        for i, b in enumerate(near):
            for j, c in enumerate(near):
                if i != j and not np.isnan([shared[row], b, c]).any():
                    table[int(shared[row]), int(b), int(c)] += 1
    return table / table.sum()


def test_triples_are_counted_as_by_hand():
    rng = np.random.default_rng(0)
    distinct = rng.standard_normal((80, 4))
    vectors = distinct[np.concatenate([np.arange(80), rng.integers(0, 80, 20)])]
    scores = rng.integers(0, 4, 100).astype(float)
    scores[rng.random(100) < 0.2] = np.nan
    neighbors = find_neighbors(vectors, 6)
    graph = ScoreGraph.build(scores, neighbors, 4)
    for m in (2, 3, 6):
        np.testing.assert_allclose(graph.count(m), naive(scores, neighbors, 4, m), atol=1e-12)


def test_a_text_that_occurs_often_is_counted_once():
    vectors = np.random.default_rng(1).standard_normal((40, 3))
    scores = np.random.default_rng(2).integers(0, 3, 40).astype(float)
    many = np.concatenate([vectors, np.repeat(vectors[:1], 50, axis=0)])
    more = np.concatenate([scores, np.repeat(scores[:1], 50)])
    once = ScoreGraph.build(scores, find_neighbors(vectors, 5), 3)
    often = ScoreGraph.build(more, find_neighbors(many, 5), 3)
    np.testing.assert_allclose(often.count(3), once.count(3), atol=1e-12)
    np.testing.assert_allclose(often.observed, once.observed)
