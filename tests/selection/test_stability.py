import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ds2
from ds2.errors import InputError
from ds2.selection import selection_stability
from ds2.selection.stability import _first, _shift


@pytest.fixture(scope="module")
def pool():
    simulated = ds2.simulate(600, seed=2)
    neighbors = ds2.find_neighbors(simulated.vectors)
    return simulated.scores, neighbors, ds2.long_tail_scores(neighbors)


@pytest.mark.parametrize("method", ["ds2", "top-score"])
@pytest.mark.parametrize("real", [False, True])
def test_without_noise_it_is_the_selection(pool, method, real):
    scores, _, tail = pool
    scores = scores.copy()
    scores[:9] = np.nan
    if real:
        scores = scores + 0.1 * np.random.default_rng(0).normal(size=600)
    keys = np.random.default_rng(1).integers(0, 2**63, 600)
    groups = np.arange(600)
    groups[100:140] = groups[140:180]
    given = {"size": 150, "method": method, "keys": keys, "groups": groups, "seed": 4}
    chosen = ds2.select(scores, tail, **given)
    found = selection_stability(
        scores, tail, se=np.zeros(600), resample_rows=False, n_draws=2, **given
    )
    expected = np.zeros(600)
    expected[chosen.rows] = 1
    possible = ~np.isnan(found.probability)
    assert possible.sum() == 600 - sum(chosen.dropped.values())
    np.testing.assert_array_equal(found.probability[possible], expected[possible])
    assert found.kept == 1.0
    assert found.over == ("scores",)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_the_first_by_weight_are_the_naive_ones(seed, size):
    rng = np.random.default_rng(seed)
    order = [rng.integers(0, 3, 40), rng.integers(0, 3, 40).astype(float), rng.permutation(40)]
    weights = rng.exponential(size=40) if seed % 2 else np.ones(40)
    counted, expected = 0.0, set()
    for row in sorted(range(40), key=lambda i: tuple(-one[i] for one in order)):
        if counted < size:
            expected.add(row)
        counted += weights[row]
    assert set(_first(order, weights, size).tolist()) == expected


def test_probability_is_that_of_being_above_the_cut():
    from scipy.special import ndtr

    scores = np.linspace(-3, 3, 2001)
    se = np.full(2001, 0.5)
    found = selection_stability(
        scores, size=400, method="top-score", se=se, n_draws=400, resample_rows=False
    )
    low, high = -3.0, 3.0
    for _ in range(50):
        cut = (low + high) / 2
        low, high = (cut, high) if ndtr((scores - cut) / 0.5).sum() > 400 else (low, cut)
    assert np.abs(found.probability - ndtr((scores - cut) / 0.5)).max() < 0.11
    assert found.probability.sum() == pytest.approx(400)


def test_raters_move_as_much_as_the_error_of_their_mean():
    rng = np.random.default_rng(0)
    for r in (2, 3, 6):
        table = rng.normal(size=(400, r))
        shifts = np.array([_shift(table, rng.standard_exponential(r)) for _ in range(4000)])
        expected = table.var(axis=1, ddof=1) / r
        assert (shifts**2).mean() == pytest.approx(expected.mean(), rel=0.06)
    table[:100, 1:] = np.nan
    assert (_shift(table, np.ones(6) + np.arange(6))[:100] == 0).all()


def test_raters_who_agree_give_a_stable_selection():
    rng = np.random.default_rng(1)
    true = rng.normal(size=1000)
    kept = []
    for noise in (0.1, 1.0):
        raters = true[:, None] + noise * rng.normal(size=(1000, 3))
        found = selection_stability(
            raters.mean(axis=1), size=0.1, method="top-score", raters=raters, resample_rows=False
        )
        kept.append(found.kept)
    assert kept[0] > 0.9 > kept[1] + 0.1


def test_rows_move_the_cut_and_nothing_else():
    scores = np.arange(1000.0)
    found = selection_stability(scores, size=100, method="top-score", n_draws=300)
    assert (np.diff(found.probability) >= 0).all(), "the order never changes"
    assert found.probability[900] == pytest.approx(0.5, abs=0.1)
    # the place of the cut varies as √size: 10 rows either way are one standard deviation
    inside = (found.probability > 0.16) & (found.probability < 0.84)
    assert 10 <= inside.sum() <= 32


def test_neighbours_move_the_long_tail(pool):
    scores, neighbors, tail = pool
    still = selection_stability(
        scores, tail, size=100, se=np.zeros(600), resample_rows=False, n_draws=20
    )
    moved = selection_stability(
        scores, size=100, neighbors=neighbors, resample_rows=False, n_draws=20
    )
    assert still.kept == 1.0 > moved.kept
    assert moved.over == ("neighbours",)
    level = np.sort(scores)[-100]
    assert (moved.probability[scores > level] == 1).all()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 500))
def test_permuting_rows_permutes_the_probability(seed):
    rng = np.random.default_rng(seed)
    scores, tail = rng.integers(0, 4, 120).astype(float), rng.random(120)
    keys, order = rng.integers(0, 2**63, 120), rng.permutation(120)
    raters = scores[:, None] + rng.normal(size=(120, 3))
    given = {"size": 30, "n_draws": 5, "seed": 3}
    here = selection_stability(scores, tail, raters=raters, keys=keys, **given)
    there = selection_stability(
        scores[order], tail[order], raters=raters[order], keys=keys[order], **given
    )
    np.testing.assert_array_equal(there.probability, here.probability[order])


@pytest.mark.slow
def test_a_large_pool_takes_seconds():
    import time

    rng = np.random.default_rng(0)
    n = 300_000
    neighbors = ds2.Neighbors(
        rng.integers(0, n, (n, 10)), np.sort(rng.random((n, 10)), axis=1), 1.0, "exact"
    )
    scores = rng.normal(size=n)
    start = time.perf_counter()
    found = selection_stability(
        scores, size=10_000, neighbors=neighbors, se=np.full(n, 0.5), n_draws=30
    )
    assert time.perf_counter() - start < 30
    assert np.isfinite(found.probability).all()


def test_one_rater_moves_no_row(untyped, pool):
    scores, _, tail = pool
    for raters in (scores, scores[:, None]):
        found = selection_stability(
            scores, tail, size=10, raters=raters, resample_rows=False, n_draws=3
        )
        assert found.kept == 1


def test_bad_input_to_stability_is_one_sentence(untyped, pool):
    scores, neighbors, tail = pool
    for bad, words in (
        ({"se": tail, "raters": np.ones((600, 2))}, "the same noise"),
        ({"resample_rows": False}, "Nothing to resample"),
        ({"method": "random"}, "'method' must be one of ds2, top-score"),
        ({"size": 601}, "601 rows"),
        ({"se": tail[:5]}, "'se' must have 600 rows"),
        ({"groups": np.zeros((600, 2))}, "'groups' must have one value per example"),
        ({"raters": np.ones((5, 2))}, "'raters' must have 600 rows"),
        ({"groups": np.zeros(600, dtype=int)}, "1 can be selected"),
    ):
        with pytest.raises(InputError, match=words):
            selection_stability(scores, tail, **{"size": 10, **bad})
    with pytest.raises(InputError, match="needs 'tail' or 'neighbors'"):
        selection_stability(scores, size=10)
    with pytest.raises(InputError, match="'neighbors' must have 5 rows"):
        selection_stability(scores[:5], tail[:5], size=2, neighbors=neighbors)
