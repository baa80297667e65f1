import numpy as np
import pytest

from ds2.errors import Ds2Warning, InputError
from ds2.neighbors import (
    Neighbors,
    blocks,
    cells,
    device,
    exact,
    find_neighbors,
    identical_groups,
    prepare_cells,
)
from ds2.neighbors.groups import first_rows
from ds2.neighbors.recall import RecallSample


def naive(vectors, k, labels=None):
    """Every distance, every row, no cleverness."""
    unit = vectors.astype(np.float64)
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    labels = np.arange(len(unit)) if labels is None else labels
    rows = []
    for i in range(len(unit)):
        found = [
            (round(float(1 - unit[i] @ unit[j]), 6), j)
            for j in range(len(unit))
            if labels[j] == j and labels[i] != j
        ]
        rows.append(sorted(found)[:k])
    return np.array([[j for _, j in row] for row in rows]), np.array(
        [[d for d, _ in row] for row in rows]
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_exact_search_equals_the_naive_one(dtype, monkeypatch):
    monkeypatch.setattr(exact, "TILE", 128)
    monkeypatch.setattr(exact, "BLOCK", 64)
    vectors = np.random.default_rng(0).standard_normal((500, 12)).astype(dtype)
    found = find_neighbors(vectors, 7)
    indices, distances = naive(vectors, 7)
    assert (found.indices == indices).mean() > 0.999  # rounding may swap near-ties
    np.testing.assert_allclose(found.distances, distances, atol=3e-6)
    assert found.method == "exact"
    assert found.recall == 1.0
    assert found.groups is None


def test_vectors_need_not_be_unit_rows():
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((200, 8))
    scaled = vectors * rng.uniform(0.1, 10, (200, 1))
    np.testing.assert_array_equal(find_neighbors(vectors).indices, find_neighbors(scaled).indices)


def test_self_is_never_a_neighbour_and_distances_ascend():
    vectors = np.random.default_rng(2).standard_normal((300, 5)).astype(np.float32)
    found = find_neighbors(vectors, 20)
    assert not (found.indices == np.arange(300)[:, None]).any()
    assert (np.diff(found.distances, axis=1) >= 0).all()
    assert (found.distances >= 0).all()
    assert (found.distances <= 2).all()


def test_exact_ties_go_to_the_lower_row():
    angles = np.array([0.0, 0.3, -0.3, 1.2, -1.2, 2.0])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert find_neighbors(vectors, 2).indices[0].tolist() == [1, 2]


def test_duplicates_share_one_entry_and_never_meet():
    rng = np.random.default_rng(3)
    distinct = rng.standard_normal((60, 6)).astype(np.float32)
    order = rng.permutation(np.concatenate([np.arange(60), rng.integers(0, 60, 40)]))
    vectors = distinct[order]
    found = find_neighbors(vectors, 5)
    labels = first_rows(order)
    np.testing.assert_array_equal(found.groups, labels)
    indices, _ = naive(vectors, 5, labels)
    np.testing.assert_array_equal(found.indices, indices)
    assert found.n_duplicates == 40
    assert set(found.indices.ravel()) <= set(np.flatnonzero(found.entries()))
    for i, j in [(i, j) for i in range(100) for j in range(100) if order[i] == order[j]]:
        np.testing.assert_array_equal(found.indices[i], found.indices[j])
        assert j not in found.indices[i]


def test_given_groups_take_the_place_of_identical_vectors():
    vectors = np.random.default_rng(4).standard_normal((30, 4))
    groups = np.arange(30) // 3
    found = find_neighbors(vectors, 4, groups=groups)
    assert found.n_duplicates == 20
    assert (found.indices // 3 != (np.arange(30) // 3)[:, None]).all()


def test_identical_groups_survive_a_hash_collision(monkeypatch):
    vectors = np.random.default_rng(5).standard_normal((50, 3)).astype(np.float16)
    vectors[7] = vectors[3]

    class Zeros:
        def integers(self, *args, size, dtype):
            return np.zeros(size, dtype=dtype)  # every factor 1: sums of words collide easily

    monkeypatch.setattr(np.random, "default_rng", lambda seed: Zeros())
    labels = identical_groups(vectors)
    assert labels[7] == 3
    assert (np.delete(labels, 7) == np.delete(np.arange(50), 7)).all()


def clustered(n, dim, seed):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((n // 30, dim))
    spread = rng.uniform(0.2, 1.5, (n, 1))
    return (
        centres[rng.integers(0, len(centres), n)] + spread * rng.standard_normal((n, dim))
    ).astype(np.float16)


@pytest.mark.parametrize("method", ["approximate", "cells"])
def test_a_seed_may_have_more_than_31_bits(method):
    found = find_neighbors(clustered(300, 8, 0), 5, method=method, seed=2**40 + 1)
    assert found.recall >= 0.99


@pytest.mark.parametrize("method", ["approximate", "cells"])
def test_approximate_search_reaches_its_recall_and_repeats_itself(method, monkeypatch):
    monkeypatch.setattr(cells, "CELL_ROWS", 150)
    vectors = clustered(4000, 48, 0)
    truth = find_neighbors(vectors, 10, method="exact")
    found = find_neighbors(vectors, 10, method=method, min_recall=0.98)
    again = find_neighbors(vectors, 10, method=method, min_recall=0.98)
    hits = (found.distances <= truth.distances[:, -1:] + 2e-6).mean()
    assert found.method == method
    assert hits > 0.975
    assert abs(hits - found.recall) < 0.01
    np.testing.assert_array_equal(found.indices, again.indices)
    np.testing.assert_array_equal(found.distances, again.distances)


def test_cells_give_the_same_by_any_number_of_threads_and_in_any_parts(monkeypatch):
    monkeypatch.setattr(cells, "CELL_ROWS", 100)
    vectors = clustered(2500, 32, 3)
    rows = np.arange(2500)
    whole = cells.CellIndex.build(vectors, np.arange(len(vectors)), 0).search(rows, 12, 6)
    monkeypatch.setattr(blocks, "n_threads", lambda: 1)
    index = cells.CellIndex.build(vectors, np.arange(len(vectors)), 0)
    np.testing.assert_array_equal(index.search(rows, 12, 6), whole)
    parts = [index.search(part, 12, 6) for part in np.array_split(rows[::-1], 7)]
    np.testing.assert_array_equal(np.concatenate(parts), whole[::-1])
    assert not (whole == rows[:, None]).any()


@pytest.mark.slow
def test_a_device_of_pytorch_finds_what_processors_find(monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(cells, "CELL_ROWS", 100)
    vectors = clustered(2500, 32, 3)
    rows = np.arange(2500)
    index = cells.CellIndex.build(vectors, rows, 0)
    on = "cpu", index.codes, index.centres, index.ends
    places, search = index.places(rows), device.search_on(*on)
    found = search(places, 12, 6)
    assert not (found == places[:, None]).any()
    whole = index.search(rows, 12, 6)
    assert (np.sort(index.rows[found]) == np.sort(whole)).mean() > 0.999  # ties in the last bits
    inside = np.diff(index.ends)[np.searchsorted(index.ends, places[0], side="right") - 1]
    assert (search(places[:1], 300, 1) >= 0).sum() == inside - 1  # not so many are in one cell


@pytest.mark.slow
def test_a_graph_that_a_device_found_is_the_same():
    pytest.importorskip("torch")
    vectors = clustered(3000, 24, 6)
    here, there = (find_neighbors(vectors, method="cells", device=on) for on in ("cpu", "cpu:0"))
    np.testing.assert_array_equal(there.indices, here.indices)
    np.testing.assert_array_equal(there.distances, here.distances)


@pytest.mark.slow
def test_a_device_that_is_not_there_is_said():
    pytest.importorskip("torch")
    with pytest.raises(InputError, match="'device' is 'nowhere', which PyTorch cannot use"):
        find_neighbors(clustered(500, 8, 0), method="cells", device="nowhere")


def test_a_device_is_for_cells_only():
    with pytest.raises(InputError, match="'device' is used by method 'cells' only"):
        find_neighbors(clustered(500, 8, 0), device="cuda")


def test_a_cell_that_is_too_large_is_cut(monkeypatch):
    monkeypatch.setattr(cells, "CELL_ROWS", 100)
    rng = np.random.default_rng(4)
    crowd = rng.standard_normal(16) + 0.2 * rng.standard_normal((3000, 16))
    vectors = np.concatenate([crowd, rng.standard_normal((1000, 16))])
    index = cells.CellIndex.build(vectors, np.arange(len(vectors)), 0)
    every = index.search(np.arange(4000), 32, index.widths[-1])
    truth = exact.exact_candidates(vectors, np.arange(4000), np.arange(4000), 10)
    near = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(every, truth, strict=True)])
    assert near > 0.99  # all cells: only the reduced codes are between them
    assert index.largest <= 250


def test_rows_that_are_all_but_equal_do_not_make_the_search_look_into_every_cell(monkeypatch):
    monkeypatch.setattr(cells, "CELL_ROWS", 100)
    rng = np.random.default_rng(5)
    kinds = np.repeat(rng.standard_normal((20, 32)), 200, axis=0)
    vectors = (kinds + 1e-2 * rng.standard_normal(kinds.shape)).astype(np.float32)
    with pytest.warns(Ds2Warning, match=r"finds 0\.\d+ of the nearest .* and not 0\.99"):
        found = find_neighbors(vectors, 10, method="cells", min_recall=0.99)
    assert found.recall < 0.95
    assert (found.indices // 200 == np.arange(4000)[:, None] // 200).all()
    searched = prepare_cells(vectors, 10, groups=np.arange(4000), min_recall=0.5, seed=0)
    assert searched.width < len(searched.index.centres) / 2


def test_a_search_that_finds_none_of_the_nearest_still_gives_neighbors(monkeypatch):
    monkeypatch.setattr(cells, "CELL_ROWS", 100)
    monkeypatch.setattr(RecallSample, "recall", lambda *_: (0.0, 0.0))
    vectors = clustered(1000, 16, 0)
    with pytest.warns(Ds2Warning, match=r"finds 0\.000 of the nearest"):
        found = find_neighbors(vectors, 10, method="cells")
    assert found.recall == 0
    assert np.isfinite(found.distances).all()


def test_a_row_in_a_small_cell_is_looked_for_in_others(monkeypatch):
    monkeypatch.setattr(cells, "CELL_ROWS", 100)
    rng = np.random.default_rng(6)
    crowd = rng.standard_normal(16) + 0.05 * rng.standard_normal((1500, 16))
    lonely = 3 * rng.standard_normal((12, 16))
    vectors = np.concatenate([crowd, lonely])
    found = find_neighbors(vectors, 10, method="cells", min_recall=0.01)
    assert (np.diff(np.sort(found.indices, axis=1), axis=1) > 0).all()
    assert found.indices.min() >= 0


def test_exact_search_steps_in_where_no_width_reaches_the_recall(monkeypatch):
    vectors = clustered(1500, 48, 1)
    monkeypatch.setattr("ds2.neighbors.approximate.GraphIndex.widths", (16,))
    monkeypatch.setattr("ds2.neighbors.approximate.LINKS", 2)
    monkeypatch.setattr("ds2.neighbors.approximate.BUILD_WIDTH", 2)
    found = find_neighbors(vectors, 10, method="approximate", min_recall=1.0)
    assert found.method == "exact"
    assert found.recall == 1.0


def test_permuting_the_rows_permutes_the_graph():
    vectors = np.random.default_rng(6).standard_normal((200, 10))
    order = np.random.default_rng(7).permutation(200)
    straight = find_neighbors(vectors, 6)
    permuted = find_neighbors(vectors[order], 6)
    np.testing.assert_array_equal(order[permuted.indices], straight.indices[order])


def test_a_group_has_the_lower_median_of_its_scores_whatever_the_order():
    groups = np.array([0, 0, 0, 0, 4, 4, 6])
    graph = Neighbors(
        np.full((7, 1), 4, np.int32), np.zeros((7, 1), np.float32), 1.0, "exact", groups
    )
    scores = np.array([np.nan, 5, 2, 3, np.nan, np.nan, 1.0])
    np.testing.assert_array_equal(graph.entry_scores(scores), [3, 5, 2, 3, np.nan, np.nan, 1.0])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"k": 0}, "'k' must be a whole number at least 1. Got 0"),
        ({"k": 2.5}, "'k' must be a whole number"),
        ({"k": 40}, "fewer|smaller than the number of distinct examples. Got k = 40 with 40"),
        ({"method": "exat"}, "Did you mean 'exact'"),
        ({"min_recall": 1.5}, "'min_recall' must be a fraction"),
        ({"groups": np.zeros(3, int)}, "'groups' must have 40 rows"),
        ({"groups": np.zeros((40, 2))}, "'groups' must have one value per example"),
        ({"vectors": np.ones(4)}, r"shape \(rows, dimensions\). Got shape \(4,\)"),
        ({"vectors": np.ones((40, 3), int)}, "floating-point"),
    ],
)
def test_bad_input_is_named(change, sentence, untyped):
    arguments = {"vectors": np.random.default_rng(0).standard_normal((40, 3)), **change}
    with pytest.raises(InputError, match=sentence):
        find_neighbors(arguments.pop("vectors"), **arguments)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (np.nan, "row 3 holds NaN"),
        (0.0, "all zeros"),
        (1e25, "row 3 has a largest element of 1e.25"),
        (1e-25, "row 3 has a largest element of 1e-25"),
    ],
)
def test_vectors_without_direction_are_named_by_row(value, sentence):
    vectors = np.random.default_rng(0).standard_normal((40, 3))
    vectors[3] = value
    with pytest.raises(InputError, match=sentence):
        find_neighbors(vectors)
