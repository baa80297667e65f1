from dataclasses import replace

import numpy as np
import pytest
from raters_sample import distance, estimate, rater, scored

import ds2
from ds2.errors import Ds2Warning, InputError
from ds2.noise.estimate import describe
from ds2.noise.triples import ScoreGraph, measure_lift


@pytest.fixture(scope="module")
def pool():
    simulated = ds2.simulate(6000, seed=3)
    return simulated, ds2.find_neighbors(simulated.vectors)


@pytest.fixture(scope="module")
def known(pool):
    simulated, neighbors = pool
    return estimate(simulated.scores, neighbors, n_bootstrap=60)


def test_a_known_matrix_is_recovered(pool, known):
    simulated, _ = pool
    assert distance(known.matrix, simulated.transition) < 0.05
    assert np.abs(known.prior - simulated.prior).max() < 0.03
    assert known.error_rate == pytest.approx(
        (simulated.scores != simulated.true_scores).mean(), abs=0.03
    )
    assert known.converged
    assert known.diagonal_dominant
    assert known.n_neighbors == 10  # every rank shares the score here


def test_intervals_hold_most_cells_and_are_not_silly(pool, known):
    simulated, _ = pool
    low, high = known.intervals
    seen = simulated.transition >= 0.02
    inside = (low <= simulated.transition) & (simulated.transition <= high)
    assert inside[seen].mean() > 0.8
    assert 0.01 < (high - low)[seen].mean() < 0.2
    low, high = known.prior_intervals
    assert ((low <= simulated.prior) & (simulated.prior <= high)).mean() >= 0.8
    assert (known.range[0] <= known.intervals[0] + 1e-9).all()
    assert (known.range[1] >= known.intervals[1] - 1e-9).all()


def test_lift_measures_agreement_above_chance(pool, known):
    simulated, neighbors = pool
    nearest = simulated.scores[neighbors.indices[:, 0]]
    agreement = (nearest == simulated.scores).mean()
    assert known.lift.agreement == pytest.approx(agreement)
    chance = (known.observed**2).sum()
    assert known.lift.value == pytest.approx((agreement - chance) / (1 - chance))
    assert known.lift.low < known.lift.value < known.lift.high
    assert [lift.k for lift in known.lifts] == [1, 2]


def test_a_perfect_rater_looks_perfect(pool):
    simulated, neighbors = pool
    perfect = estimate(simulated.true_scores, neighbors, n_bootstrap=0)
    assert perfect.error_rate < 1e-6
    assert perfect.intervals is None
    assert perfect.prior_intervals is None
    assert np.isnan(perfect.fit_expected)


def test_rho_that_is_known_beats_the_hard_assumption():
    simulated = ds2.simulate(8000, clusterability=0.5, seed=5)
    neighbors = ds2.find_neighbors(simulated.vectors)
    hard = estimate(simulated.scores, neighbors, n_bootstrap=0)
    soft = estimate(simulated.scores, neighbors, n_bootstrap=0, rho=0.5)
    assert (
        distance(soft.matrix, simulated.transition)
        < distance(hard.matrix, simulated.transition) - 0.03
    )
    low, high = hard.range
    assert ((low <= simulated.transition) & (simulated.transition <= high)).mean() > 0.85
    assert hard.rho_range[0] <= 0.5 <= hard.rho_range[1]


def test_fewer_neighbours_are_counted_where_lift_falls_with_rank():
    simulated = ds2.simulate(3000, cluster_size=4, seed=6)  # three neighbours share, the rest not
    found = estimate(simulated.scores, ds2.find_neighbors(simulated.vectors), n_bootstrap=0)
    assert found.n_neighbors == 3


@pytest.mark.slow
def test_an_ordinal_prior_steadies_a_small_pool():
    plain, steadied = [], []
    for seed in range(6):
        simulated = ds2.simulate(240, seed=seed)
        neighbors = ds2.find_neighbors(simulated.vectors)
        for strength, errors in ((0.0, plain), (30.0, steadied)):
            found = estimate(simulated.scores, neighbors, n_bootstrap=0, ordinal_prior=strength)
            errors.append(distance(found.matrix, simulated.transition))
    assert np.mean(steadied) < np.mean(plain)


def test_missing_scores_stay_out(pool):
    simulated, neighbors = pool
    scores = simulated.scores.copy()
    scores[np.random.default_rng(0).random(6000) < 0.3] = np.nan
    found = estimate(scores, neighbors, n_bootstrap=0)
    assert any("30% of the examples have no score" in said for said in found.warnings)
    assert found.n_missing == np.isnan(scores).sum()
    assert found.n_examples == 6000 - found.n_missing
    assert distance(found.matrix, simulated.transition) < 0.07


def test_permuting_the_rows_changes_nothing():
    simulated = ds2.simulate(800, seed=8)
    order = np.random.default_rng(9).permutation(800)
    straight = estimate(simulated.scores, ds2.find_neighbors(simulated.vectors), n_bootstrap=0)
    permuted = estimate(
        simulated.scores[order], ds2.find_neighbors(simulated.vectors[order]), n_bootstrap=0
    )
    np.testing.assert_allclose(permuted.matrix, straight.matrix, atol=1e-8)
    assert permuted.lift.value == pytest.approx(straight.lift.value)


def test_the_same_seed_gives_the_same_estimate(pool):
    simulated, neighbors = pool
    one, two = (estimate(simulated.scores, neighbors, n_bootstrap=10, seed=4) for _ in range(2))
    np.testing.assert_array_equal(one.matrix, two.matrix)
    np.testing.assert_array_equal(one.intervals, two.intervals)


def test_a_score_with_few_examples_has_no_interval():
    simulated = ds2.simulate(1500, seed=1)
    found = estimate(
        simulated.scores, ds2.find_neighbors(simulated.vectors), n_scores=7, n_bootstrap=20
    )
    assert any("Not enough data for true score 6:" in said for said in found.warnings)
    assert np.isnan(found.intervals[:, 6]).all()
    assert not np.isnan(found.intervals[:, :6]).any()
    assert (found.range[0, 6] == 0).all()
    assert (found.range[1, 6] == 1).all()


def test_equal_scores_are_a_normal_result_with_a_warning():
    vectors = np.random.default_rng(0).standard_normal((100, 4))
    with pytest.warns(Ds2Warning) as caught:
        found = ds2.estimate_transition(
            np.full(100, 2.0), ds2.find_neighbors(vectors), n_scores=6, n_bootstrap=5
        )
    assert [str(warning.message) for warning in caught] == list(found.warnings)
    assert found.warnings[0].startswith("All scores are equal")
    assert np.isnan(found.lift.value)
    assert found.range is None
    assert found.prior[2] > 0.99


def test_low_lift_is_said_and_the_matrix_not_presented_as_noise():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 6, 3000).astype(float)
    vectors = rng.standard_normal((3000, 8))
    found = estimate(scores, ds2.find_neighbors(vectors), n_bootstrap=20)
    assert "either the rater is very noisy, or neighbours do not share" in found.warnings[0]
    assert "is not informative" in found.warnings[0]
    assert abs(found.lift.value) < 0.05
    assert found.lift.low < 0 < found.lift.high
    assert (found.range[1] - found.range[0]).mean() > 0.3


def test_lift_intervals_hold_the_truth():
    held = []
    for seed in range(80):
        simulated = ds2.simulate(600, seed=seed)
        graph = ScoreGraph.build(simulated.scores, ds2.find_neighbors(simulated.vectors), 6)
        T, p = simulated.transition, simulated.prior
        agreement, chance = (p[:, None] * T**2).sum(), ((p @ T) ** 2).sum()
        truth = (agreement - chance) / (1 - chance)
        found = measure_lift(graph, 2)
        held.append(found.low <= truth <= found.high)
    assert 0.88 <= np.mean(held) <= 1.0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"scores": np.full(50, np.nan)}, "no score at all"),
        ({"scores": np.arange(50.0)}, "whole numbers 0 … 5"),
        ({"scores": np.full(50, 1.5)}, r"Got 1.5 in row 0: ratings are binned first"),
        ({"scores": np.ones(49)}, "'scores' must have 50 rows"),
        ({"scores": ["good"] * 50}, "must hold numbers"),
        ({"scores": np.ones((50, 2, 2))}, r"shape \(n,\), or \(n, r\)"),
        ({"n_scores": 1}, "'n_scores' must be a whole number in"),
        ({"rho": 0}, r"'rho' must be a fraction in \(0, 1\]"),
        ({"n_neighbors": 11}, r"'n_neighbors' must be a whole number in \[2, 10\]"),
        ({"ordinal_prior": -1.0}, "'ordinal_prior' must be a finite number 0 or more"),
        ({"n_bootstrap": -1}, "'n_bootstrap' must be a whole number at least 0"),
    ],
)
def test_bad_input_is_named(change, sentence, untyped):
    vectors = np.random.default_rng(0).standard_normal((50, 3))
    arguments = {"scores": np.arange(50.0) % 6, "n_scores": 6, **change}
    with pytest.raises(InputError, match=sentence):
        ds2.estimate_transition(arguments.pop("scores"), ds2.find_neighbors(vectors), **arguments)


def test_too_few_rated_neighbours_is_said():
    scores = np.full(50, np.nan)
    scores[0] = 1
    vectors = np.random.default_rng(0).standard_normal((50, 3))
    with pytest.raises(InputError, match="Rate more examples"):
        ds2.estimate_transition(scores, ds2.find_neighbors(vectors, 3), n_scores=6)


def test_rows_that_trusted_scores_name_are_not_called_uncertain():
    pool = ds2.simulate(400, seed=4)
    neighbors = ds2.find_neighbors(pool.vectors)
    found = estimate(pool.scores, neighbors, n_bootstrap=0)
    swapped = replace(found, matrix=found.matrix[[1, 0, 2, 3, 4, 5]], diagonal_dominant=False)
    assert any("not certain" in sentence for sentence in describe(swapped, neighbors))
    named = describe(replace(swapped, matrix_source="gold"), neighbors)
    assert any("the rater's doing" in sentence for sentence in named)
    assert not any("not certain" in sentence for sentence in named)


def test_a_level_without_data_does_not_hide_whose_levels_are_swapped():
    pool = ds2.simulate(3000, seed=4)
    true = np.minimum(pool.true_scores, 4)
    scores = scored(true, [rater(0.8)] * 3)
    scores = np.where(scores == 5, 4, scores)
    second = scores[:, 1]
    scores[:, 1] = np.select([second == 1, second == 2], [2, 1], second)
    found = estimate(scores, ds2.find_neighbors(pool.vectors), n_bootstrap=0)
    assert any("Not enough data for true score 5:" in said for said in found.warnings)
    assert any("1 (as 2, rater 2), 2 (as 1, rater 2)" in said for said in found.warnings)
