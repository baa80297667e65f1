import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import ds2
from ds2.errors import InputError
from ds2.selection import METHODS
from ds2.selection.methods import cut_levels, halves


@pytest.fixture(scope="module")
def pool():
    simulated = ds2.simulate(400, seed=1)
    neighbors = ds2.find_neighbors(simulated.vectors)
    rng = np.random.default_rng(2)
    return {
        "scores": simulated.scores,
        "raw": rng.integers(0, 6, 400).astype(float),
        "values": np.where(rng.random(400) < 0.1, 1.5, rng.random(400)),
        "sources": rng.choice(["a", "b", "c"], 400, p=[0.6, 0.3, 0.1]),
        "vectors": simulated.vectors,
        "targets": simulated.vectors[:7] + 0.1,
        "threshold": 0.0,
        "tail": ds2.long_tail_scores(neighbors),
        "neighbors": neighbors,
        "lengths": np.random.default_rng(0).integers(1, 50, 400).astype(float),
        "keys": np.random.default_rng(1).integers(0, 2**63, 400),
    }


def test_long_tail_is_tanh_of_half_the_mean_distance(pool):
    distances = pool["neighbors"].distances.astype(np.float64)
    np.testing.assert_allclose(pool["tail"], np.tanh(distances.mean(axis=1) / 2))


def test_ds2_orders_by_score_then_long_tail_then_key(pool):
    chosen = ds2.select(**pool, size=400)
    expected = sorted(
        range(400), key=lambda i: (-pool["scores"][i], -pool["tail"][i], pool["keys"][i])
    )
    assert chosen.rows.tolist() == expected
    first = chosen.rows[0]
    assert chosen.reasons[0] == (
        f"score {pool['scores'][first]:g}, long-tail score {pool['tail'][first]:.4f}"
    )


def test_equal_rows_are_ordered_by_key():
    keys = np.array([5, 1, 3, 2])
    chosen = ds2.select(np.ones(4), np.ones(4), size=4, keys=keys)
    assert chosen.rows.tolist() == [1, 3, 2, 0]


def test_top_score_length_and_knn_put_the_largest_first(pool):
    for method, value in (
        ("top-score", pool["raw"]),
        ("length", pool["lengths"]),
        ("knn-10", pool["neighbors"].distances.mean(axis=1)),
    ):
        rows = ds2.select(**pool, size=400, method=method).rows
        assert (np.diff(value[rows]) <= 0).all()


def test_random_follows_the_seed_and_the_keys_only(pool):
    one, two, other = (
        ds2.select(**pool, size=100, method="random", seed=seed).rows for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, two)
    assert set(one) != set(other)
    halves = [
        (ds2.select(**pool, size=200, method="random", seed=seed).rows < 200).mean()
        for seed in range(40)
    ]
    assert abs(np.mean(halves) - 0.5) < 0.03


@pytest.mark.parametrize("method", [name for name in METHODS if name != "frontier"])
def test_any_prefix_is_the_smaller_selection(pool, method):
    whole = ds2.select(**pool, size=300, method=method)
    part = ds2.select(**pool, size=37, method=method)
    np.testing.assert_array_equal(part.rows, whole.rows[:37])
    assert part.reasons == whole.reasons[:37]
    assert len(set(whole.rows)) == 300


@pytest.mark.parametrize("method", list(METHODS))
def test_permuting_the_pool_permutes_the_selection(pool, method):
    order = np.random.default_rng(3).permutation(400)
    graph = pool["neighbors"]
    inverse = np.argsort(order)
    permuted = ds2.Neighbors(
        inverse[graph.indices[order]].astype(np.int32), graph.distances[order], 1.0, "exact"
    )
    whole = {"neighbors": permuted, "targets": pool["targets"], "threshold": pool["threshold"]}
    moved = {name: pool[name][order] for name in pool if name not in whole}
    straight = ds2.select(**pool, size=150, method=method)
    other = ds2.select(**moved, **whole, size=150, method=method)
    np.testing.assert_array_equal(order[other.rows], straight.rows)


def test_at_most_one_of_a_group_is_selected_the_best_scored():
    scores = np.array([3.0, 5, 4, 1, np.nan])
    groups = np.array([0, 0, 0, 3, 3])
    chosen = ds2.select(scores, np.zeros(5), size=2, groups=groups)
    assert chosen.rows.tolist() == [1, 3]
    assert chosen.dropped == {"unrated": 1, "duplicate": 2}


def test_groups_of_the_graph_are_used_by_default():
    vectors = np.random.default_rng(0).standard_normal((30, 4))
    vectors[10:20] = vectors[:10]
    neighbors = ds2.find_neighbors(vectors, 3)
    chosen = ds2.select(np.ones(30), neighbors=neighbors, size=20)
    assert len(set(neighbors.groups[chosen.rows])) == 20
    assert chosen.dropped == {"duplicate": 10}


def test_identical_vectors_are_duplicates_where_nothing_else_is_given():
    vectors = np.random.default_rng(0).standard_normal((30, 4))
    vectors[10:20] = vectors[:10]
    chosen = ds2.select(np.ones(30), np.ones(30), vectors=vectors, size=20)
    assert chosen.dropped == {"duplicate": 10}
    by_list = ds2.select(np.ones(4), np.ones(4), groups=np.array([0, 0, 2, 2]), size=2)
    assert by_list.dropped == {"duplicate": 2}


def test_unrated_rows_are_never_selected_by_score_but_may_be_at_random():
    scores = np.array([np.nan, 1.0, 2.0, np.nan])
    assert set(ds2.select(scores, np.zeros(4), size=2).rows) == {1, 2}
    assert len(ds2.select(scores, size=4, method="random").rows) == 4


def test_real_valued_scores_are_cut_into_levels_so_that_diversity_has_a_say():
    rng = np.random.default_rng(0)
    scores, tail = rng.random(600) * 5, rng.random(600)
    chosen = ds2.select(scores, tail, size=100, prior=np.array([0.5, 0.3, 0.2])).rows
    top = np.argsort(-scores)[:120]
    assert set(chosen) <= set(top)
    assert set(chosen) == set(top[np.argsort(-tail[top])][:100])


@pytest.mark.parametrize("size", [1, 3, 17, 100, 290])
def test_real_valued_scores_select_from_the_best_twice_as_many(size):
    """Whatever the scale; with the long tail the other way round, and the worst kept for last."""
    rng = np.random.default_rng(1)
    scores = 1e-3 * rng.standard_normal(600)
    chosen = ds2.select(scores, -scores - scores.min() + 1, size=size)
    assert set(chosen.rows) <= set(np.argsort(-scores)[: 2 * size])
    top = chosen.rows[0]
    assert chosen.reasons[0].startswith(f"score {scores[top]:.4g}, among the best 0.0977%")
    most = ds2.select(scores, -scores - scores.min() + 1, size=590).rows
    assert np.argmin(scores) not in most


@settings(max_examples=60, deadline=None)
@given(
    scores=hnp.arrays(np.float64, st.integers(1, 40), elements=st.integers(0, 9).map(float)),
    shares=st.lists(st.floats(0.01, 1), min_size=1, max_size=7),
)
def test_levels_are_ordered_and_keep_equal_scores_together(scores, shares):
    prior = np.array(shares) / np.sum(shares)
    levels = cut_levels(scores, prior)
    order = np.argsort(scores, kind="stable")
    assert (np.diff(levels[order]) >= 0).all()
    for value in np.unique(scores):
        assert len(np.unique(levels[scores == value])) == 1
    assert levels.min() >= 0
    assert levels.max() < len(prior)


@pytest.mark.parametrize("n", [1, 2, 7, 1000])
def test_halves_are_shares_down_to_one_row(n):
    shares = halves(n)
    assert shares.sum() == 1
    np.testing.assert_array_equal(shares, shares[::-1])
    assert shares[-1] * n < 1 or n < 4


def test_levels_have_the_shares_of_the_prior():
    prior = np.array([0.1, 0.2, 0.4, 0.3])
    levels = cut_levels(np.random.default_rng(0).random(1000), prior)
    np.testing.assert_allclose(np.bincount(levels) / 1000, prior, atol=0.002)


def test_the_graph_is_searched_when_only_vectors_are_given():
    simulated = ds2.simulate(100, seed=2)
    neighbors = ds2.find_neighbors(simulated.vectors)
    by_vectors = ds2.select(simulated.scores, size=20, vectors=simulated.vectors)
    by_graph = ds2.select(simulated.scores, size=20, neighbors=neighbors)
    np.testing.assert_array_equal(by_vectors.rows, by_graph.rows)


def test_a_share_of_the_pool_is_a_size():
    chosen = ds2.select(np.arange(200.0), np.zeros(200), size=0.05)
    assert len(chosen.rows) == 10


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"size": 0}, "whole number of rows from 1"),
        ({"size": -3}, "whole number of rows from 1"),
        ({"size": 2.5}, "whole number of rows from 1"),
        ({"size": 1.0}, "whole number of rows from 1"),
        ({"seed": -1}, "'seed' must be a whole number at least 0"),
        ({"scores": object()}, "'scores' must be an array of shape .n,. or None. Got object"),
        ({"tail": np.ones((50, 2))}, r"'tail' must have one value per example"),
        ({"vectors": np.ones((49, 3))}, "'vectors' has 49"),
        ({"vectors": np.ones(50)}, r"'vectors' must be a table.* Got shape \(50,\)"),
        ({"groups": np.ones((50, 2))}, "'groups' must have one value per example"),
        ({"size": 51}, "asks for 51 rows, and the pool has 50"),
        ({"size": "many"}, "must be a number of rows or a share"),
        ({"size": True}, "must be a number of rows or a share"),
        (
            {"size": 50},
            r"asks for 50 rows, and 49 can be selected.* 49: ask for that\. .*1 unrated",
        ),
        ({"method": "length", "lengths": ["long"] * 50}, "'lengths' must hold numbers"),
        ({"method": "perplexity"}, r"needs 'values'\. Pass values=.*\.perplexity"),
        ({"method": "ds-2"}, "Did you mean 'ds2'"),
        ({"method": "length"}, "method 'length' needs 'lengths'"),
        ({"method": "knn-10"}, "method 'knn-10' needs 'neighbors'"),
        ({"tail": None}, "method 'ds2' needs 'tail'"),
        ({"scores": None}, "method 'ds2' needs 'scores'"),
        ({"tail": np.ones(49)}, "'scores' has 50, 'tail' has 49"),
        ({"tail": np.full(50, np.nan)}, "'tail' row 0 is nan"),
        ({"prior": np.ones(6)}, "'prior' must be shares"),
    ],
)
def test_bad_input_is_named(change, sentence, untyped):
    scores = np.ones(50)
    scores[0] = np.nan
    arguments = {"scores": scores, "tail": np.ones(50), "size": 5, **change}
    with pytest.raises(InputError, match=sentence):
        ds2.select(**arguments)


def test_no_rows_at_all_is_named():
    with pytest.raises(InputError, match="was given no rows"):
        ds2.select(size=3, method="random")


def test_a_method_that_compares_rows_is_refused_above_so_many_of_them(monkeypatch):
    pool = ds2.simulate(300, seed=0)
    monkeypatch.setattr(sys.modules["ds2.selection.select"], "MOST_COMPARED", 200)

    def chosen(method, **limits):
        constraints = ds2.Constraints(**limits)
        return ds2.select(
            pool.scores, size=20, vectors=pool.vectors, method=method, constraints=constraints
        )

    with pytest.raises(
        InputError, match=r"above 200 of them, and 300 can be chosen\..*'min_score'"
    ):
        chosen("k-center")
    assert (pool.scores >= 3).sum() <= 200
    assert len(chosen("k-center", min_score=3).rows) == 20
    assert len(chosen("ds2-no-diversity").rows) == 20
