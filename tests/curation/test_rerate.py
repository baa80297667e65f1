import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from ds2.curation import combine_ratings, normal_posterior, plan_rerating
from ds2.errors import InputError


def posterior(n=2000, seed=0, spread=1.0):
    """True scores, and posterior means and errors that are right about them."""
    rng = np.random.default_rng(seed)
    se = rng.uniform(0.2, 0.8, n)
    means = rng.normal(0, spread, n)
    return means + se * rng.normal(size=n), means, se


def test_probability_is_that_of_being_in_the_true_top():
    _, means, se = posterior(300)
    rng = np.random.default_rng(1)
    drawn = means + se * rng.normal(size=(4000, 300))
    cut = np.sort(drawn, axis=1)[:, -60][:, None]
    simulated = (drawn >= cut).mean(axis=0)
    plan = plan_rerating(means, se, size=60, budget=0, noise_se=0.5)
    assert np.abs(plan.probability - simulated).max() < 0.04
    assert plan.probability.sum() == pytest.approx(60)
    best = np.argsort(-plan.probability)[:60]
    assert plan.precision == pytest.approx(simulated[best].mean(), abs=0.01)


def naive_gain(mean, se, cut, q, rng, *, noise=0.5):
    """E[max(P' − q, 0)] − max(P − q, 0) by simulating the next rating."""
    theta = mean + se * rng.normal(size=400_000)
    rating = theta + noise * rng.normal(size=400_000)
    w = se**2 / (se**2 + noise**2)
    after = ndtr((mean + w * (rating - mean) - cut) / (se * np.sqrt(1 - w)))
    return np.maximum(after - q, 0).mean() - max(ndtr((mean - cut) / se) - q, 0)


def test_gain_is_the_naive_one():
    _, means, se = posterior(200)
    plan = plan_rerating(means, se, size=40, budget=200, noise_se=0.5)
    gains = dict(zip(plan.rows.tolist(), plan.gain.tolist(), strict=True))
    # the threshold: M rows lie above it once all have been rated again
    rng = np.random.default_rng(2)
    w = se**2 / (se**2 + 0.25)
    m = means + np.sqrt(w) * se * rng.normal(size=(4000, 200))
    q = np.quantile(ndtr((m - plan.cut) / (se * np.sqrt(1 - w))), 0.8)
    for row in (*plan.rows[:4], *plan.rows[60:64], plan.rows[-1]):
        naive = naive_gain(means[row], se[row], plan.cut, q, rng)
        assert gains[row] == pytest.approx(naive, abs=0.004)
    assert (np.diff(plan.gain) <= 1e-12).all()


def test_what_the_plan_promises_is_what_happens():
    before, after, promised, random = [], [], [], []
    for seed in range(12):
        true, means, se = posterior(3000, seed)
        rng = np.random.default_rng(seed + 100)
        plan = plan_rerating(means, se, size=300, budget=600, noise_se=0.4)
        top = true >= np.sort(true)[-300]

        def precision(rows, *, rng=rng, true=true, means=means, se=se, top=top, plan=plan):
            ratings = np.full(3000, np.nan)
            ratings[rows] = true[rows] + 0.4 * rng.normal(size=len(rows))
            mean, error = combine_ratings(means, se, ratings, noise_se=0.4)
            return top[np.argsort(-(mean - plan.cut) / error)[:300]].mean()

        before.append(precision(plan.rows[:0]) - plan.precision)
        after.append(precision(plan.rows))
        promised.append(plan.precision_after)
        random.append(precision(rng.permutation(3000)[:600]))
    assert abs(np.mean(before)) < 0.02
    assert np.mean(after) == pytest.approx(np.mean(promised), abs=0.02)
    assert np.mean(after) > np.mean(random) + 0.05


def test_the_interval_is_that_of_what_happens():
    _, means, se = posterior(1500, 3)
    plan = plan_rerating(means, se, size=150, budget=200, noise_se=0.5)
    rng = np.random.default_rng(9)
    old = np.argsort(-(means - plan.cut) / se)[:150]
    found = []
    for _ in range(600):
        true = means + se * rng.normal(size=1500)
        ratings = np.full(1500, np.nan)
        ratings[plan.rows] = true[plan.rows] + 0.5 * rng.normal(size=len(plan.rows))
        mean, error = combine_ratings(means, se, ratings, noise_se=0.5)
        top = true > plan.cut
        found.append(top[np.argsort(-(mean - plan.cut) / error)[:150]].sum() - top[old].sum())
    assert plan.gained.value == pytest.approx(np.mean(found), abs=1)
    assert plan.gained.low == pytest.approx(np.quantile(found, 0.025), abs=3)
    assert plan.gained.high == pytest.approx(np.quantile(found, 0.975), abs=3)


def test_ratings_that_bring_less_than_chance_takes_are_not_worth_it():
    _, means, se = posterior(1000)
    plan = plan_rerating(means, se, size=100, budget=200, noise_se=0.3)
    assert plan.worth
    assert plan.gained.value == pytest.approx(100 * (plan.precision_after - plan.precision))
    assert plan.gained_by_all >= plan.gained.value
    assert not plan_rerating(means, se, size=100, budget=200, noise_se=9.0).worth
    assert not plan_rerating(means, se, size=100, budget=3, noise_se=0.3).worth
    sure = plan_rerating(means, np.zeros(1000), size=100, budget=200, noise_se=0.3)
    assert (sure.gained.value, sure.worth) == (0.0, False)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 500), st.integers(1, 200), st.integers(0, 150))
def test_a_smaller_budget_is_a_prefix_and_promises_less(seed, budget, more):
    _, means, se = posterior(300, seed)
    small = plan_rerating(means, se, size=50, budget=budget, noise_se=0.5)
    large = plan_rerating(means, se, size=50, budget=budget + more, noise_se=0.5)
    np.testing.assert_array_equal(large.rows[: len(small.rows)], small.rows)
    assert small.precision <= small.precision_after + 1e-6
    assert small.precision_after <= large.precision_after + 1e-6


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 500))
def test_permuting_rows_permutes_the_rerating(seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 6, 200).astype(float)
    scores[:5] = np.nan
    keys = rng.integers(0, 2**63, 200)
    order = rng.permutation(200)
    se = np.full(200, 0.6)
    here = plan_rerating(scores, se, size=30, budget=40, noise_se=0.6, keys=keys)
    there = plan_rerating(scores[order], se, size=30, budget=40, noise_se=0.6, keys=keys[order])
    np.testing.assert_array_equal(order[there.rows], here.rows)
    assert not np.isnan(scores[here.rows]).any()
    assert np.isnan(here.probability[:5]).all()


def test_ratings_go_near_the_cut_and_not_where_all_is_known():
    means, se = np.linspace(0, 5, 1001), np.full(1001, 0.3)
    se[600:620] = 0.0
    plan = plan_rerating(means, se, size=400, budget=100, noise_se=0.3)
    assert np.abs(means[plan.rows] - plan.cut).max() < 0.4
    assert not set(plan.rows) & set(range(600, 620))


def test_cost_decides_between_equals_and_the_budget_is_kept():
    means, se = np.zeros(100), np.ones(100)
    cost = np.where(np.arange(100) < 50, 1.0, 3.0)
    plan = plan_rerating(means, se, size=20, budget=53.5, noise_se=1.0, cost=cost)
    assert set(plan.rows[:50]) == set(range(50))
    assert cost[plan.rows].sum() <= 53.5
    assert len(plan.rows) == 51


def test_a_stronger_rater_gains_more():
    _, means, se = posterior(300)
    weak, strong = (
        plan_rerating(means, se, size=50, budget=40, noise_se=v).precision_after for v in (1.0, 0.1)
    )
    assert strong > weak + 0.02


def test_combined_ratings_are_the_precision_weighted_mean():
    mean, se = combine_ratings(
        np.array([1.0, 2.0, np.nan, np.nan, 3.0]),
        np.array([0.5, 0.5, np.nan, np.nan, 0.0]),
        np.array([[2.0, np.nan], [np.nan, np.nan], [4.0, 2.0], [np.nan, np.nan], [5.0, 5.0]]),
        noise_se=np.array([0.5, 1.0]),
    )
    np.testing.assert_allclose(mean, [1.5, 2.0, (16 + 2) / 5, np.nan, 3.0], atol=1e-12)
    np.testing.assert_allclose(se, [np.sqrt(0.125), 0.5, np.sqrt(1 / 5), np.nan, 0.0], atol=1e-9)


def test_normal_posterior_is_right_about_what_it_does_not_know():
    rng = np.random.default_rng(0)
    true = rng.normal(3, 1, 20_000)
    mean, se = normal_posterior(true + 0.7 * rng.normal(size=20_000), noise_se=0.7)
    assert np.std(true - mean) == pytest.approx(se[0], rel=0.03)
    assert np.mean(np.abs(true - mean) < 1.96 * se) == pytest.approx(0.95, abs=0.01)


def test_it_takes_seconds_for_a_large_pool():
    import time

    _, means, se = posterior(300_000)
    start = time.perf_counter()
    plan = plan_rerating(means, se, size=10_000, budget=2000, noise_se=0.5)
    assert time.perf_counter() - start < 10
    assert len(plan.rows) == 2000


def test_the_cut_is_found_where_errors_are_larger_than_the_scores_spread():
    means = np.random.default_rng(0).normal(50, 3, 1000)
    plan = plan_rerating(means, np.full(1000, 25.0), size=10, budget=50, noise_se=10.0)
    assert plan.probability.sum() == pytest.approx(10, abs=1e-6)


def test_bad_input_to_rerating_is_one_sentence(untyped):
    scores, se = np.arange(10.0), np.ones(10)
    good = {"size": 3, "budget": 5, "noise_se": 0.5}
    for change, words in (
        ({"size": 10}, r"'size' must be a whole number in \[1, 9\]"),
        ({"budget": -1}, "budget"),
        ({"noise_se": 0.0}, "noise_se"),
        ({"noise_se": np.ones(3)}, "noise_se"),
        ({"cost": np.zeros(10)}, "cost"),
        ({"cost": np.ones(3)}, "cost"),
    ):
        with pytest.raises(InputError, match=words):
            plan_rerating(scores, se, **{**good, **change})
    with pytest.raises(InputError, match="'se' must be finite"):
        plan_rerating(scores, -se, **good)
    with pytest.raises(InputError, match="'se' must have 10 rows"):
        plan_rerating(scores, se[:3], **good)
    with pytest.raises(InputError, match="'noise_se' must be a finite number above 0"):
        combine_ratings(scores, se, scores, noise_se=0.0)
    with pytest.raises(InputError, match="without noise"):
        combine_ratings(scores, se, scores, noise_se=np.zeros((10, 1)))
    for change in ({"scores": ["a"] * 10}, {"se": ["a"] * 10}, {"ratings": ["a"] * 10}):
        (name,) = change
        with pytest.raises(InputError, match=f"'{name}' must hold numbers"):
            combine_ratings(
                **{"scores": scores, "se": se, "ratings": scores, "noise_se": 0.5, **change}
            )
    with pytest.raises(InputError, match=r"'noise_se' must be a number\. Got 'a'"):
        combine_ratings(scores, se, scores, noise_se="a")
    with pytest.raises(InputError, match="one for each row"):
        combine_ratings(scores, se, scores, noise_se=np.ones(10))
    with pytest.raises(InputError, match="All 'scores' are equal"):
        normal_posterior(se, noise_se=0.5)


def test_an_unknown_error_is_not_certainty():
    scores, se = np.array([1.0, 2.0, np.nan]), np.array([0.5, np.nan, np.nan])
    for call in (
        lambda: plan_rerating(scores, se, size=1, budget=1, noise_se=1.0),
        lambda: combine_ratings(scores, se, np.ones(3), noise_se=1.0),
    ):
        with pytest.raises(InputError, match=r"'se' must be finite .* in row 1"):
            call()
