"""Near-duplicates against a loop over all pairs, with and without a graph."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import ds2.selection.near as module
from ds2.errors import InputError
from ds2.neighbors import find_neighbors
from ds2.selection import find_near, find_near_duplicates


def clustered(seed, n, spread=0.12, repeats=0):
    """(n, 6) floats around a few centres; some rows repeat others exactly."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((max(2, n // 12), 6))
    vectors = centres[rng.integers(0, len(centres), n)] + spread * rng.standard_normal((n, 6))
    if repeats:
        vectors[rng.integers(0, n, repeats)] = vectors[rng.integers(0, n, repeats)]
    return vectors.astype(np.float32)


def naive(order, vectors, similarity, keep=()):
    """Row → the kept row it repeats, by a loop over all pairs."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    kept, of = list(keep), {}
    for row in order:
        if row in kept:
            continue
        near = [
            k for k in kept if round(1 - float(unit[row] @ unit[k]), 6) <= 1 - similarity + 5e-7
        ]
        if near:
            of[row] = near
        else:
            kept.append(row)
    return of


def not_on_the_edge(vectors, similarity):
    """Skip pools with a pair so near to the limit that the rounding of a float decides."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assume(np.abs(unit @ unit.T - similarity).min() > 3e-6)


def check(found, expected):
    assert set(found.rows.tolist()) == set(expected)
    for row, of in zip(found.rows.tolist(), found.of.tolist(), strict=True):
        assert of in expected[row]


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 7)
    monkeypatch.setattr(module, "TILE", 5)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(14, 60), st.sampled_from([0.9, 0.97, 0.995]))
def test_products_are_the_loop(seed, n, similarity):
    vectors = clustered(seed, n, repeats=n // 10)
    not_on_the_edge(vectors, similarity)
    order = np.random.default_rng(seed).permutation(n)[: n - 3]
    found = find_near_duplicates(order, similarity=similarity, vectors=vectors)
    check(found, naive(order.tolist(), vectors, similarity))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(30, 80), st.sampled_from([0.9, 0.97, 0.995]))
def test_an_exact_graph_gives_what_all_products_give(seed, n, similarity):
    vectors = clustered(seed, n, repeats=n // 10)
    not_on_the_edge(vectors, similarity)
    graph = find_neighbors(vectors, 3, method="exact")
    order = np.random.default_rng(seed).permutation(n)[: n - 3]
    keep = order[-2:]
    found = find_near_duplicates(
        order, similarity=similarity, vectors=vectors, neighbors=graph, keep=keep
    )
    expected = naive(order.tolist(), vectors, similarity, keep.tolist())
    assert set(found.rows.tolist()) == set(expected)


def test_blocks_and_tiles_change_nothing(small_blocks):
    for seed in range(8):
        vectors = clustered(seed, 60, repeats=5)
        graph = find_neighbors(vectors, 3, method="exact")
        order = np.random.default_rng(seed).permutation(60)
        for neighbors in (None, graph):
            found = find_near_duplicates(
                order, similarity=0.97, vectors=vectors, neighbors=neighbors
            )
            assert set(found.rows.tolist()) == set(naive(order.tolist(), vectors, 0.97))


def test_the_graph_alone_is_enough_where_nobody_is_crowded():
    vectors = np.eye(12, dtype=np.float32)
    vectors[1] = vectors[0] + 0.1 * vectors[5]
    graph = find_neighbors(vectors, 3, method="exact")
    found = find_near_duplicates(np.arange(12)[::-1], similarity=0.9, neighbors=graph)
    assert (found.rows.tolist(), found.of.tolist()) == ([0], [1])


def test_crowded_rows_need_vectors():
    vectors = clustered(0, 40, spread=0.01)
    graph = find_neighbors(vectors, 2, method="exact")
    with pytest.raises(InputError, match=r"rows have 2 neighbours within.*Pass 'vectors'"):
        find_near_duplicates(np.arange(40), similarity=0.9, neighbors=graph)
    with pytest.raises(InputError, match="need 'vectors' or 'neighbors'"):
        find_near_duplicates(np.arange(40), similarity=0.9)


def test_marks_are_no_row_numbers(untyped):
    vectors = clustered(0, 40, spread=0.01)
    for order, words in ((np.arange(40) < 9, "Got bool"), (np.array([40]), "in .0, 39.. Got 40")):
        with pytest.raises(InputError, match=f"'order' must be row numbers.*{words}"):
            find_near_duplicates(order, similarity=0.9, vectors=vectors)


def test_rows_that_are_kept_stay_and_stand_for_others():
    vectors = np.ones((4, 3), dtype=np.float32)
    found = find_near_duplicates(
        np.arange(4), similarity=0.99, vectors=vectors, keep=np.array([3, 1])
    )
    assert found.rows.tolist() == [0, 2]
    assert found.of.tolist() == [3, 3]


def test_a_lower_threshold_never_keeps_a_better_set():
    vectors = clustered(3, 80, spread=0.2)
    order = np.arange(80)
    before = None
    for similarity in (0.8, 0.9, 0.95, 0.99, 1.0):
        gone = find_near_duplicates(order, similarity=similarity, vectors=vectors).rows
        kept = [row not in set(gone.tolist()) for row in order]
        assert before is None or kept >= before
        before = kept


def test_near_to_given_vectors_is_the_loop(small_blocks):
    vectors, targets = clustered(1, 50), clustered(2, 13)
    targets[4] = 3 * vectors[20]
    one = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    two = targets / np.linalg.norm(targets, axis=1, keepdims=True)
    products = one @ two.T
    found = find_near(vectors, targets, similarity=0.8)
    assert found.rows.tolist() == np.flatnonzero(products.max(axis=1) >= 0.8).tolist()
    assert found.targets.tolist() == products.argmax(axis=1)[found.rows].tolist()
    np.testing.assert_allclose(found.similarities, products.max(axis=1)[found.rows], atol=1e-6)
    assert 20 in found.rows


def test_what_cannot_be_compared_is_named(untyped):
    with pytest.raises(InputError, match="'vectors' have 6 dimensions and 'targets' 5"):
        find_near(clustered(0, 20), clustered(0, 20)[:, :5], similarity=0.9)
    with pytest.raises(InputError, match="'similarity' must be a fraction in"):
        find_near(clustered(0, 20), clustered(0, 20), similarity=0.0)
