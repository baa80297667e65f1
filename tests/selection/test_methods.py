"""Every method against a naive version of its paper's rule, and properties of all of them."""

from collections import Counter
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

import ds2
from ds2.errors import InputError
from ds2.keys import random_order_keys
from ds2.selection import METHODS, greedy, methods


def drawn_order(n, method, seed=0):
    """Row numbers in the random order that settles ties."""
    keys = np.arange(n, dtype=np.uint64)
    return np.argsort(random_order_keys(keys, seed, stream=METHODS[method].stream))


def cosines(vectors, others=None):
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    other = unit if others is None else others / np.linalg.norm(others, axis=1, keepdims=True)
    return np.round(unit @ other.T, 6)


def naive_farthest(similarity, base, weight, *, first, count, ties):
    picked = [first]
    while len(picked) < count:
        best = None
        for i in ties:
            if i not in picked:
                value = base[i] - weight * max(similarity[i, j] for j in picked)
                if best is None or value > best[0] + 1e-9:
                    best = (value, i)
        picked.append(best[1])
    return picked


def naive_deita(similarity, scores, limit, count, ties):
    picked = []
    for i in sorted(ties, key=lambda i: -scores[i]):
        if len(picked) < count and all(1 - similarity[i, j] >= limit - 1e-9 for j in picked):
            picked.append(i)
    return picked


def naive_facility(similarity, count, ties):
    picked, covered = [], np.zeros(len(similarity))
    while len(picked) < count:
        best = None
        for j in ties:
            if j not in picked:
                gain = np.maximum(similarity[:, j] - covered, 0).sum()
                if best is None or gain > best[0] + 1e-9:
                    best = (gain, j)
        picked.append(best[1])
        covered = np.maximum(covered, similarity[:, best[1]])
    return picked


def graph_matrix(graph):
    """(n, n) 1 − distance where one row lists the other, 1 on the diagonal, otherwise 0."""
    similarity = np.eye(graph.n)
    for i in range(graph.n):
        for j, distance in zip(graph.indices[i], graph.distances[i], strict=True):
            value = max(0.0, 1 - float(distance))
            similarity[i, j] = max(similarity[i, j], value)
            similarity[j, i] = max(similarity[j, i], value)
    return similarity


def naive_rds(similarity, count, ties):
    picked = []
    while len(picked) < count:
        for target in range(similarity.shape[1]):
            left = [i for i in ties if i not in picked]
            if left and len(picked) < count:
                picked.append(max(left, key=lambda i: similarity[i, target]))
    return picked


small_blocks = {"WORKING": 7, "PICKS": 3, "BLOCK": 5, "CANDIDATES": 6, "SPARE": 0}


@contextmanager
def tiny_blocks():
    """Blocks so small that a small pool needs many of them."""
    with ExitStack() as stack:
        for name, size in small_blocks.items():
            stack.enter_context(mock.patch.object(greedy, name, size))
        yield


pools = st.tuples(st.integers(2, 45), st.integers(0, 2**31), st.integers(1, 6), st.booleans())


def drawn_pool(n, seed, d, rough):
    """Vectors and scores; ``rough`` ones are corners of a cube, so that many cosines are equal.

    In four dimensions their unit vectors have no rounding error, in any precision.
    """
    rng = np.random.default_rng(seed)
    vectors = rng.choice([-1.0, 1.0], (n, 4)) if rough else rng.standard_normal((n, d)) + 0.01
    return vectors, rng.integers(0, 4, n).astype(float)


def one_each(n):
    return np.arange(n)


@tiny_blocks()
@settings(max_examples=60, deadline=None)
@given(pools, st.floats(0.05, 1), st.integers(0, 3))
def test_k_center_is_the_naive_one(drawn, share, seed):
    n, *_ = drawn
    vectors, _ = drawn_pool(*drawn)
    count = max(1, round(share * n))
    chosen = ds2.select(
        vectors=vectors, size=count, method="k-center", groups=one_each(n), seed=seed
    )
    ties = drawn_order(n, "k-center", seed)
    naive = naive_farthest(
        cosines(vectors), np.zeros(n), 1.0, first=ties[0], count=count, ties=ties
    )
    assert chosen.rows.tolist() == naive


@tiny_blocks()
@settings(max_examples=60, deadline=None)
@given(pools, st.floats(0.05, 1), st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]))
def test_mmr_is_the_naive_one(drawn, share, dial):
    n, *_ = drawn
    vectors, scores = drawn_pool(*drawn)
    count = max(1, round(share * n))
    chosen = ds2.select(
        scores, vectors=vectors, size=count, method="mmr", groups=one_each(n), diversity=dial
    )
    ties = drawn_order(n, "mmr")
    quality = (scores - scores.min()) / (np.ptp(scores) or 1)
    first = max(ties, key=lambda i: quality[i])
    naive = naive_farthest(
        cosines(vectors), (1 - dial) * quality, dial, first=first, count=count, ties=ties
    )
    assert chosen.rows.tolist() == naive


@tiny_blocks()
@settings(max_examples=60, deadline=None)
@given(pools, st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.2]))
def test_deita_is_the_naive_one_and_says_when_it_ends(drawn, limit):
    n, *_ = drawn
    vectors, scores = drawn_pool(*drawn)
    whole = naive_deita(cosines(vectors), scores, limit, n, drawn_order(n, "deita"))
    arguments = {
        "vectors": vectors,
        "method": "deita",
        "threshold": limit,
        "groups": one_each(n),
    }
    chosen = ds2.select(scores, size=len(whole), **arguments)
    assert chosen.rows.tolist() == whole
    if len(whole) < n:
        with pytest.raises(InputError, match=f"stops after {len(whole)} of {n}"):
            ds2.select(scores, size=len(whole) + 1, **arguments)


@tiny_blocks()
@settings(max_examples=60, deadline=None)
@given(pools, st.integers(1, 5), st.floats(0.05, 1))
def test_rds_is_the_naive_one(drawn, n_targets, share):
    n, seed, *rest = drawn
    vectors, _ = drawn_pool(*drawn)
    wanted, _ = drawn_pool(n_targets, seed + 1, *rest)
    count = max(1, round(share * n))
    chosen = ds2.select(
        vectors=vectors, targets=wanted, size=count, method="rds", groups=one_each(n)
    )
    naive = naive_rds(cosines(vectors, wanted), count, drawn_order(n, "rds"))
    assert chosen.rows.tolist() == naive


@settings(max_examples=60, deadline=None)
@given(st.tuples(st.integers(5, 45), st.integers(0, 2**31), st.integers(2, 6), st.booleans()))
def test_facility_location_is_the_naive_one_on_the_same_graph(drawn):
    n, *_ = drawn
    vectors, _ = drawn_pool(*drawn)
    graph = ds2.find_neighbors(vectors, 3, groups=one_each(n))
    count = max(1, n // 2)
    chosen = ds2.select(neighbors=graph, size=count, method="facility-location")
    naive = naive_facility(graph_matrix(graph), count, drawn_order(n, "facility-location"))
    assert chosen.rows.tolist() == naive


@pytest.mark.parametrize("size", [1, 30, 300])
def test_blocks_of_the_usual_size_give_the_naive_result(size):
    rng = np.random.default_rng(5)
    vectors, scores = rng.standard_normal((300, 8)), rng.integers(0, 4, 300).astype(float)
    one = {"vectors": vectors, "size": size}
    ties = drawn_order(300, "k-center")
    assert ds2.select(**one, method="k-center").rows.tolist() == naive_farthest(
        cosines(vectors), np.zeros(300), 1.0, first=ties[0], count=size, ties=ties
    )
    apart = naive_deita(cosines(vectors), scores, 0.05, size, drawn_order(300, "deita"))
    deita = ds2.select(scores, vectors=vectors, size=len(apart), method="deita", threshold=0.05)
    assert deita.rows.tolist() == apart


def test_clusters_take_turns_with_their_best_row():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((400, 6))
    scores = rng.integers(0, 6, 400).astype(float)
    chosen = ds2.select(scores, vectors=vectors, size=400, method="cluster-balanced")
    ties = drawn_order(400, "cluster-balanced")
    labels = np.empty(400, dtype=int)
    labels[ties] = methods.kmeans_labels(vectors, ties, 14, 0)
    members = {c: sorted(ties[labels[ties] == c], key=lambda i: -scores[i]) for c in set(labels)}
    place = {row: at for at, row in enumerate(ties)}
    naive = []
    while any(members.values()):
        turn = [rows.pop(0) for rows in members.values() if rows]
        naive += sorted(turn, key=lambda i: (-scores[i], place[i]))
    assert chosen.rows.tolist() == naive
    assert Counter(labels[chosen.rows[:28]]).most_common()[0][1] <= 2


def test_the_clusters_are_about_as_tight_as_those_of_scikit_learn():
    vectors = ds2.simulate(3000, dim=16, seed=0).vectors
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = methods.kmeans_labels(vectors, np.arange(3000), 30, 0)
    centres = np.stack([unit[labels == c].mean(axis=0) for c in range(30)])
    spread_ours = ((unit - centres[labels]) ** 2).sum()
    theirs = KMeans(30, n_init=1, random_state=0).fit(unit).inertia_
    assert spread_ours < 1.1 * theirs


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=12))
def test_every_prefix_keeps_the_mix_to_within_a_row(sizes):
    total = sum(sizes)
    turns = list(methods._source_turns(np.array(sizes), total))
    had = [0] * len(sizes)
    for h, source in enumerate(turns, start=1):
        had[source] += 1
        for one, size in zip(had, sizes, strict=True):
            assert abs(one - Fraction(h * size, total)) < 1
    assert had == sizes


def test_turns_are_those_of_the_quota_method():
    sizes = np.array([50, 31, 12, 5, 2])
    had = np.zeros(5, dtype=int)
    for h, source in enumerate(methods._source_turns(sizes, 100)):
        open_to = [s for s in range(5) if had[s] * 100 < sizes[s] * (h + 1)]
        assert source == max(open_to, key=lambda s: (Fraction(int(sizes[s]), had[s] + 1), -s))
        had[source] += 1


def test_random_by_source_draws_at_random_inside_a_source():
    sources = np.array([None, "web", "web", "books"] * 50, dtype=object)
    rows = [ds2.select(sources=sources, size=40, method="random-by-source", seed=s) for s in (0, 1)]
    for one in rows:
        assert Counter(sources[one.rows]) == {"web": 20, None: 10, "books": 10}
    assert set(rows[0].rows) != set(rows[1].rows)
    assert "which is 50.0% of what can be selected" in rows[0].reasons[0]


def test_ifd_takes_the_highest_up_to_1_and_perplexity_the_highest():
    values = np.array([0.5, 1.2, np.nan, 0.9, 1.0, 0.1])
    ifd = ds2.select(values=values, size=3, method="ifd")
    assert ifd.rows.tolist() == [4, 3, 0]
    assert ifd.dropped == {"without a value": 1, "above 1": 1}
    assert {why: rows.tolist() for why, rows in ifd.dropped_rows.items()} == {
        "without a value": [2],
        "above 1": [1],
    }
    assert ifd.reasons[1] == "instruction-following difficulty 0.9"
    assert ds2.select(values=values, size=2, method="perplexity").rows.tolist() == [1, 4]


def test_alpagasus_keeps_the_best_classes_and_draws_from_the_one_at_the_cut():
    scores = np.repeat([5.0, 4.5, 4.0, 3.0], [3, 5, 40, 10])
    draws = {
        tuple(sorted(ds2.select(scores, size=20, method="alpagasus", seed=s).rows))
        for s in range(5)
    }
    assert all(set(range(8)) < set(rows) and max(rows) < 48 for rows in draws)
    assert len(draws) == 5
    with pytest.raises(InputError, match=r"and 8 can be selected.* 50 below the threshold"):
        ds2.select(scores, size=9, method="alpagasus", threshold=4.5)


def test_the_ablations_of_ds2_look_at_what_they_say():
    curated, raw = np.array([1.0, 2, 3, 3]), np.array([3.0, 3, 1, 2])
    tail = np.array([0.1, 0.4, 0.2, 0.3])
    rows = {
        name: ds2.select(curated, tail, raw=raw, size=4, method=name).rows.tolist()
        for name in ("ds2", "ds2-no-curation", "ds2-no-diversity", "top-score")
    }
    assert rows["ds2"] == [3, 2, 1, 0]
    assert rows["ds2-no-curation"] == [1, 0, 3, 2]
    assert rows["ds2-no-diversity"][2:] == [1, 0]
    assert rows["top-score"][2:] == [3, 2]


def test_mmr_goes_from_the_best_scores_to_the_farthest_rows():
    rng = np.random.default_rng(0)
    vectors, scores = rng.standard_normal((200, 5)), rng.permutation(200).astype(float)
    at = {
        dial: ds2.select(scores, vectors=vectors, size=40, method="mmr", diversity=dial).rows
        for dial in (0.0, 0.5, 1.0)
    }
    assert at[0.0].tolist() == np.argsort(-scores)[:40].tolist()
    worst = [scores[rows].mean() for rows in at.values()]
    assert worst == sorted(worst, reverse=True)
    similarity = cosines(vectors) - 2 * np.eye(200)
    nearest = [similarity[np.ix_(rows, rows)].max() for rows in at.values()]
    assert nearest == sorted(nearest, reverse=True)


def test_facility_location_counts_duplicates_once_whichever_of_them_is_kept():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((60, 4))
    vectors[50:] = vectors[:10]
    scores = rng.random(60)
    graph = ds2.find_neighbors(vectors, 3)
    distinct = ds2.find_neighbors(vectors[:50], 3)
    rows = ds2.select(neighbors=graph, size=20, method="facility-location").rows
    alone = ds2.select(neighbors=distinct, size=20, method="facility-location").rows
    assert len(set(graph.groups[rows])) == 20
    cover = graph_matrix(distinct)
    value = [cover[:, picked].max(axis=1).sum() for picked in (graph.groups[rows], alone)]
    assert value[0] == pytest.approx(value[1], rel=1e-6)
    assert scores.shape == (60,)


@pytest.fixture(scope="module")
def everything():
    rng = np.random.default_rng(7)
    vectors = ds2.simulate(300, dim=8, seed=3).vectors
    return {
        "scores": rng.integers(0, 6, 300).astype(float),
        "raw": rng.integers(0, 6, 300).astype(float),
        "tail": rng.random(300),
        "lengths": rng.integers(1, 9, 300),
        "values": rng.random(300),
        "sources": rng.integers(0, 5, 300),
        "keys": rng.integers(0, 2**63, 300),
        "vectors": vectors,
        "targets": vectors[:5] + 0.2,
        "threshold": 0.0,
    }


@pytest.mark.parametrize("method", list(METHODS))
def test_the_same_call_gives_the_same_rows_and_a_reason_for_each(everything, method):
    one, two = (ds2.select(**everything, size=60, method=method, seed=4) for _ in range(2))
    np.testing.assert_array_equal(one.rows, two.rows)
    assert one.reasons == two.reasons
    assert all(one.reasons)
    assert len(set(one.rows.tolist())) == 60


@pytest.mark.parametrize("method", list(METHODS))
def test_the_whole_pool_can_be_ordered(everything, method):
    whole = ds2.select(**everything, size=300, method=method)
    assert sorted(whole.rows.tolist()) == list(range(300))
    part = ds2.select(**everything, size=23, method=method)
    if method != "frontier":
        np.testing.assert_array_equal(part.rows, whole.rows[:23])


def test_every_method_draws_from_a_random_order_of_its_own():
    """Their numbers stay, so that a seed gives the rows that it gave before."""
    streams = {name: method.stream for name, method in METHODS.items()}
    assert len(set(streams.values())) == len(streams)
    assert {name: streams[name] for name in ("ds2", "random", "k-center")} == {
        "ds2": 0,
        "random": 2,
        "k-center": 12,
    }


def test_a_method_says_which_scores_do_the_choosing():
    raw = {"top-score", "ds2-no-curation", "alpagasus", "deita"}
    curated = {"ds2", "ds2-no-diversity", "mmr", "cluster-balanced", "frontier"}
    for name, method in METHODS.items():
        expected = "raw" if name in raw else "curated" if name in curated else None
        assert method.uses == expected, name


@pytest.mark.parametrize("method", list(METHODS))
def test_half_precision_on_disk_is_read_in_place(everything, method, tmp_path):
    half = everything["vectors"].astype(np.float16)
    np.save(tmp_path / "vectors.npy", half)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    graph = ds2.find_neighbors(half)
    rest = {name: value for name, value in everything.items() if name != "vectors"}
    rows = [
        ds2.select(**rest, vectors=vectors, neighbors=graph, size=50, method=method).rows
        for vectors in (half, mapped)
    ]
    np.testing.assert_array_equal(*rows)


@pytest.mark.parametrize("method", [name for name in METHODS if METHODS[name].needs])
def test_a_method_names_what_it_lacks(method):
    with pytest.raises(InputError, match=f"method '{method}' needs") as caught:
        ds2.select(keys=np.arange(9), size=3, method=method)
    for need in METHODS[method].needs:
        assert ("'raw' or 'scores'" if need == "rating" else f"'{need}'") in str(caught.value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"method": "mmr", "diversity": 1.5}, r"'diversity' must be a fraction in \[0, 1\]"),
        ({"method": "deita", "threshold": 3}, r"is a cosine distance in \[0, 2\]. Got 3"),
        ({"method": "deita", "threshold": "near"}, "'threshold' must be a number. Got 'near'"),
        ({"method": "alpagasus", "threshold": np.inf}, "'threshold' must be a finite number"),
        ({"method": "rds", "targets": np.ones((2, 5))}, "'targets' must have one row .* and 3 dim"),
        ({"method": "rds", "targets": np.ones((0, 3))}, "'targets' must have one row"),
        ({"method": "rds", "targets": np.zeros((1, 3))}, "'targets' row 0 is all zeros"),
        ({"method": "k-center", "vectors": np.zeros((50, 3))}, "'vectors' row 0 is all zeros"),
        ({"method": "random-by-source", "sources": np.ones((50, 2))}, "'sources' must have one"),
        ({"method": "random-by-source", "sources": np.ones(49)}, "'sources' has 49"),
        (
            {"method": "ifd", "values": np.full(50, 2.0)},
            r"No row of the pool can be chosen.* 50 above 1",
        ),
        ({"method": "ifd", "values": np.full(50, np.inf)}, "'values' row 0 is infinite"),
        ({"method": "ds2-no-curation", "raw": np.ones(3)}, "'raw' has 3"),
    ],
)
def test_bad_input_of_a_method_is_named(change, sentence, untyped):
    arguments = {
        "scores": np.ones(50),
        "vectors": np.random.default_rng(0).random((50, 3)),
        "size": 5,
        "tail": np.ones(50),
    }
    with pytest.raises(InputError, match=sentence):
        ds2.select(**{**arguments, **change})
