from dataclasses import replace

import numpy as np
import pytest
from raters_sample import distance, estimate, rater, scored, some

import ds2
from ds2.errors import InputError
from ds2.noise.single import explain, gold_counts, ordinal_guesses
from ds2.noise.triples import Counted, fit_triples, kappa_of


def prepared(rho, seed, n=3000):
    simulated = ds2.simulate(n, clusterability=rho, seed=seed)
    return simulated, ds2.find_neighbors(simulated.vectors)


@pytest.mark.parametrize("rho", [pytest.param(0.3, marks=pytest.mark.slow), 0.6, 1.0])
def test_a_hundred_gold_rows_do_nearly_what_knowing_rho_does(rho):
    ours, known = [], []
    for seed in range(2):
        pool, neighbors = prepared(rho, seed)
        gold = some(pool.true_scores, 100, seed)
        found = estimate(pool.scores, neighbors, gold=gold, n_bootstrap=0)
        told = estimate(pool.scores, neighbors, rho=rho, n_bootstrap=0)
        ours.append(distance(found.matrix, pool.transition))
        known.append(distance(told.matrix, pool.transition))
        assert found.rho_source == "gold"
        assert found.n_gold == 100
        assert rho < 0.5 or found.rho == pytest.approx(rho, abs=0.25)
    assert np.mean(ours) <= 1.5 * np.mean(known)


def test_the_interval_of_rho_reaches_as_far_as_each_piece_of_evidence():
    for seed in (1, 3, 4):  # gold's own scores and its neighbours' contradict each other here
        pool, neighbors = prepared(0.3, seed, n=2000)
        gold = np.full(2000, np.nan)
        rows = np.random.default_rng(seed + 5).choice(2000, 100, replace=False)
        gold[rows] = pool.true_scores[rows]
        found = estimate(pool.scores, neighbors, gold=gold, n_bootstrap=0, seed=seed)
        low, high = found.rho_interval
        assert low <= 0.3 <= high
        assert low <= found.rho <= high


@pytest.mark.parametrize("weight", [1e300, 1e-300])
def test_weights_that_cannot_be_squared_are_named(weight):
    pool, neighbors = prepared(0.6, 0, n=300)
    gold = some(pool.true_scores, 60)
    with pytest.raises(InputError, match="'gold_weights' must be finite and 0 or more"):
        estimate(pool.scores, neighbors, gold=gold, gold_weights=np.full(300, weight))


def test_gold_overrules_neighbours_that_mislead():
    rng = np.random.default_rng(0)
    place = rng.standard_normal((3000, 3))
    place /= np.linalg.norm(place, axis=1, keepdims=True)
    smooth = np.digitize(place[:, 0], [-0.7, -0.4, 0.0, 0.4, 0.7]).astype(float)
    T = np.array(rater(0.6))
    scores = scored(smooth, [T], missing=0.0)[:, 0]
    scores = np.where(place[:, 1] > 0.3, np.minimum(scores + 1, 5), scores)  # a shared bias
    counts = np.zeros((6, 6))
    np.add.at(counts, (smooth.astype(int), scores.astype(int)), 1)
    drawn = counts / counts.sum(axis=1, keepdims=True)
    neighbors = ds2.find_neighbors(place.astype(np.float32))
    blind = estimate(scores, neighbors, n_bootstrap=0)
    seeing = estimate(scores, neighbors, n_bootstrap=0, gold=some(smooth, 600))
    assert distance(seeing.matrix, drawn) < distance(blind.matrix, drawn) - 0.03


def test_repeats_find_rho_where_a_rater_only_scatters():
    for size in (300, 1500):
        pool, neighbors = prepared(0.5, 1)
        again = scored(pool.true_scores, [pool.transition], seed=7, missing=0.0)[:, 0]
        found = estimate(pool.scores, neighbors, repeats=some(again, size), n_bootstrap=20)
        assert found.rho_source == "repeats"
        assert found.rho == pytest.approx(0.5, abs=0.2)
        assert distance(found.matrix, pool.transition) < 0.15
        assert any("Repeats show only how a rater scatters" in said for said in found.warnings)


def test_a_prior_lies_in_its_own_interval_whatever_the_evidence():
    held = []
    for seed in range(3):
        pool, neighbors = prepared((0.4, 0.7, 1.0)[seed], seed, n=1000)
        again = scored(pool.true_scores, [pool.transition], seed=seed, missing=0.0)[:, 0]
        gold = {"gold": some(pool.true_scores, 100, seed)}
        for more in (gold, {"repeats": some(again, 200)}, gold | {"rho": 0.8}):
            found = estimate(pool.scores, neighbors, n_bootstrap=20, **more)
            low, high = found.prior_intervals
            assert ((low <= found.prior) & (found.prior <= high)).all()
            held.append((low <= pool.prior) & (pool.prior <= high))
    assert np.mean(held) >= 0.85


def test_repeats_between_levels_count_as_the_nearest():
    pool, neighbors = prepared(0.5, 1, n=800)
    again = some(scored(pool.true_scores, [pool.transition], missing=0.0)[:, 0], 300)
    whole = estimate(pool.scores, neighbors, repeats=again, n_bootstrap=0)
    near = estimate(pool.scores, neighbors, repeats=np.maximum(again - 1e-9, 0), n_bootstrap=0)
    assert near.rho == whole.rho
    np.testing.assert_array_equal(near.matrix, whole.matrix)


@pytest.mark.parametrize("rho", [pytest.param(0.3, marks=pytest.mark.slow), 0.5, 1.0])
def test_the_range_holds_the_truth_without_evidence(rho):
    held, widths = [], []
    for seed in range(2):
        pool, neighbors = prepared(rho, seed, n=1500)
        found = estimate(pool.scores, neighbors, n_bootstrap=40)
        held.append(
            ((found.range[0] <= pool.transition) & (pool.transition <= found.range[1])).mean()
        )
        widths.append(found.range_width)
        assert found.range_informative == (found.range_width <= 0.3)
        assert found.rho_source == "assumed"
        assert found.rho == 1.0
    assert np.mean(held) >= 0.9
    assert np.mean(widths) < 0.6


def test_kappa_tells_clusters_from_neighbours_one_by_one():
    pool, neighbors = prepared(0.5, 3, n=6000)
    clusters = Counted.build(pool.true_scores, neighbors, 6, n_neighbors=10, strength=0.0)
    assert clusters.kappa > 0.9
    rng = np.random.default_rng(0)
    true = pool.true_scores.astype(int)
    redrawn = rng.permutation(true)
    own = np.eye(6)[true]
    near = np.stack([np.where(rng.random(6000) < 0.5, true, redrawn), true * 0], axis=1)
    near[:, 1] = np.where(rng.random(6000) < 0.5, true, rng.permutation(true))
    chain = np.einsum("ea,eb,ec->abc", own, np.eye(6)[near[:, 0]], np.eye(6)[near[:, 1]]) / 6000
    chain = (chain + chain.transpose(0, 2, 1)) / 2
    assert kappa_of(chain) == pytest.approx(0.5, abs=0.07)
    assert replace(clusters, kappa=1.0).shares(0.49) == pytest.approx((0.7, 0.7))
    assert replace(clusters, kappa=0.5).shares(0.9) == pytest.approx((1.0, 0.5))


def test_exact_counts_of_clusters_give_back_the_matrix():
    T, p = ds2.simulate(10).transition, np.array([0.05, 0.15, 0.3, 0.25, 0.15, 0.1])
    own_share, near_share = 0.7, 0.8
    q = p @ T
    own = own_share * T + (1 - own_share) * q
    near = near_share * T + (1 - near_share) * q
    counts = np.einsum("i,ia,ib,ic->abc", p, own, near, near)
    start = (0.7 * np.eye(6) + 0.05)[None]
    fit = fit_triples(counts, start, p[None], n_examples=10**9, rho=near_share, own_share=own_share)
    np.testing.assert_allclose(fit.matrix[0], T, atol=0.01)


def test_gold_alone_is_what_many_gold_rows_say():
    counts = np.array([[800.0, 200.0], [100.0, 900.0]])
    found = explain(counts, [ordinal_guesses(2)], np.random.default_rng(0))
    np.testing.assert_allclose(found.matrix, [[0.8, 0.2], [0.1, 0.9]], atol=0.02)
    assert (found.intervals[0] <= found.matrix).all()
    assert (found.matrix <= found.intervals[1]).all()


def test_rows_corrected_by_gold_sum_to_one():
    D = np.random.default_rng(0).integers(0, 9, (6, 6)).astype(float)
    found = explain(D, [ordinal_guesses(6)], np.random.default_rng(0))
    np.testing.assert_allclose(found.matrix.sum(axis=1), 1.0, atol=1e-12)


def test_weighted_gold_counts_as_its_effective_number():
    shares = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    D = gold_counts(shares, np.array([0.0, 1.0, np.nan]), np.array([1.0, 3.0, 9.0]))
    scale = 4 / 10  # (Σ w)/(Σ w²) over the two rated rows
    np.testing.assert_allclose(D, [[scale, 1.5 * scale], [0.0, 1.5 * scale]])


def test_a_rho_that_is_given_is_assumed_whatever_else_there_is():
    pool, neighbors = prepared(1.0, 2, n=800)
    gold, other = some(pool.true_scores, 60), scored(pool.true_scores, [rater(0.6)])[:, 0]
    both = np.column_stack([pool.scores, other])
    for scores, evidence, rests in (
        (pool.scores, gold, "gold"),
        (both, None, "raters"),
        (both, gold, "gold"),
    ):
        found = estimate(scores, neighbors, gold=evidence, rho=1e-3, n_bootstrap=0, n_starts=1)
        for one in (found, found.rater(0)):
            assert (one.rho, one.rho_source, one.rho_interval) == (1e-3, "assumed", (0.0, 1.0))
            assert one.matrix_source == rests
        assert not any("would settle it" in said for said in found.warnings)


def test_little_evidence_is_no_evidence():
    pool, neighbors = prepared(1.0, 2, n=800)
    plain = estimate(pool.scores, neighbors, n_bootstrap=10)
    few = estimate(
        pool.scores,
        neighbors,
        n_bootstrap=10,
        gold=some(pool.true_scores, 5),
        repeats=some(pool.scores, 9),
    )
    np.testing.assert_array_equal(few.matrix, plain.matrix)
    np.testing.assert_array_equal(few.range, plain.range)
    column = estimate(pool.scores[:, None], neighbors, n_bootstrap=10)
    np.testing.assert_array_equal(column.matrix, plain.matrix)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"gold": np.full(800, 9.0)}, "'gold' must lie on the level scale"),
        ({"gold": np.ones(5)}, "'gold' must have 800 rows"),
        ({"gold": np.ones(800), "gold_weights": np.full(800, -1.0)}, "'gold_weights' must be"),
        ({"gold": np.ones(800), "gold_weights": np.full(800, np.inf)}, "'gold_weights' must be"),
        ({"repeats": np.ones((800, 2))}, "'repeats' must have the shape of 'scores'"),
        ({"rho": "often"}, "'rho' must be"),
    ],
)
def test_bad_evidence_is_named(more, sentence, untyped):
    pool, neighbors = prepared(1.0, 2, n=800)
    with pytest.raises(InputError, match=sentence):
        ds2.estimate_transition(pool.scores, neighbors, n_scores=6, n_bootstrap=0, **more)
