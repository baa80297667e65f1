import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2.curation import plan_gold
from ds2.errors import InputError


def pool(n=3000, seed=0):
    rng = np.random.default_rng(seed)
    true = rng.choice(6, n, p=[0.05, 0.15, 0.3, 0.3, 0.17, 0.03]).astype(float)
    scores = np.clip(true + rng.integers(-1, 2, n), 0, 5)
    disagreement = np.abs(rng.normal(size=n)) + (scores != true)
    return true, scores, disagreement


def test_estimates_are_unbiased_and_equal_weights_are_not():
    true, scores, disagreement = pool()
    wrong = (scores != true).astype(float)
    estimates, plain, variances = [], [], []
    for seed in range(400):
        plan = plan_gold(scores, size=80, disagreement=disagreement, seed=seed)
        assert plan.weights.sum() == pytest.approx(len(scores))
        estimates.append((plan.weights * wrong[plan.rows]).sum() / len(scores))
        plain.append(wrong[plan.rows].mean())
        variance = 0.0
        for code, size in enumerate(plan.sizes):
            values = wrong[plan.rows[plan.strata == code]]
            variance += size**2 * (1 - len(values) / size) * values.var(ddof=1) / len(values)
        variances.append(variance / len(scores) ** 2)
    error = np.std(estimates) / 20
    assert abs(np.mean(estimates) - wrong.mean()) < 3 * error
    assert abs(np.mean(plain) - wrong.mean()) > 10 * error, "the test can tell"
    held = np.abs(np.array(estimates) - wrong.mean()) < 1.96 * np.sqrt(variances)
    assert held.mean() > 0.9
    assert np.mean(variances) == pytest.approx(np.var(estimates), rel=0.25)


def test_inclusion_probabilities_are_exact():
    _, scores, disagreement = pool(300)
    rounds = 1000
    counts = np.zeros(300)
    for seed in range(rounds):
        plan = plan_gold(scores, size=40, disagreement=disagreement, seed=seed)
        counts[plan.rows] += 1
    probability = np.bincount(plan.strata, minlength=len(plan.sizes)) / plan.sizes
    # codes are shuffled by seed: the last plan's codes give every row its stratum
    expected = probability[plan.stratum]
    z = (counts / rounds - expected) / np.sqrt(expected * (1 - expected) / rounds + 1e-12)
    assert expected.min() > 0
    assert np.abs(z[expected < 1]).max() < 4.5
    assert (z[expected < 1] ** 2).mean() == pytest.approx(1, abs=0.25)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.integers(20, 90), st.integers(0, 100), st.booleans())
def test_a_larger_plan_extends_a_smaller_one(seed, size, more, real):
    _, scores, disagreement = pool(400, seed % 7)
    scores = scores + (np.linspace(0, 0.9, 400) if real else 0)
    small = plan_gold(scores, size=size, disagreement=disagreement, seed=seed)
    large = plan_gold(scores, size=size + more, disagreement=disagreement, seed=seed)
    np.testing.assert_array_equal(large.rows[:size], small.rows)
    np.testing.assert_array_equal(large.strata[:size], small.strata)
    assert (large.probabilities[:size] >= small.probabilities).all()
    assert len(set(large.rows)) == size + more


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_permuting_rows_permutes_the_plan(seed):
    rng = np.random.default_rng(seed)
    _, scores, disagreement = pool(200, seed % 5)
    keys = rng.integers(0, 2**63, 200)
    order = rng.permutation(200)
    here = plan_gold(scores, size=40, disagreement=disagreement, keys=keys, seed=3)
    there = plan_gold(
        scores[order], size=40, disagreement=disagreement[order], keys=keys[order], seed=3
    )
    np.testing.assert_array_equal(order[there.rows], here.rows)
    np.testing.assert_array_equal(there.strata, here.strata)


def test_rare_scores_and_disagreement_are_asked_for_more_often():
    _, scores, disagreement = pool()
    plan = plan_gold(scores, size=100, disagreement=disagreement)
    top = scores == scores.max()
    assert (top[plan.rows].mean()) > 1.5 * top.mean()
    high = disagreement > np.quantile(disagreement, 2 / 3)
    assert high[plan.rows].mean() > high.mean() * 1.2
    assert plan.weights.max() <= 3000 / (0.5 * 100) * 1.5
    even = plan_gold(scores, size=100, disagreement=disagreement, random_share=1.0)
    assert np.ptp(even.weights) < 0.6 * np.ptp(plan.weights)


def test_unrated_rows_and_duplicates_are_not_asked_for():
    _, scores, _ = pool(200)
    scores[:50] = np.nan
    keys = np.arange(200)
    keys[100:150] = keys[50:100]
    plan = plan_gold(scores, size=100, keys=keys)
    assert (plan.rows >= 50).all()
    assert len(set(keys[plan.rows])) == 100
    assert plan.weights.sum() == pytest.approx(100)
    assert (plan.stratum[:50] == -1).all()
    assert plan.sizes.sum() == 100
    by_group = plan_gold(scores, size=100, groups=keys)
    assert len(set(keys[by_group.rows])) == 100


def test_every_stratum_has_two_where_it_holds_two():
    _, scores, disagreement = pool(500)
    plan = plan_gold(scores, size=30, disagreement=disagreement)
    counts = np.bincount(plan.strata, minlength=len(plan.sizes))
    assert (counts >= np.minimum(plan.sizes, 2)).all()
    assert len(plan.names) == len(plan.sizes) == 12
    assert {"score 0, the rest", "score 5, most disagreement"} <= set(plan.names)


def test_names_fit_their_strata():
    _, scores, disagreement = pool(500)
    plan = plan_gold(scores, size=50, disagreement=disagreement, seed=4)
    for code, name in enumerate(plan.names):
        inside = plan.stratum == code
        level = float(name.split(",")[0].removeprefix("score "))
        assert (scores[inside] == level).all()
        others = (scores == level) & ~inside
        if name.endswith("most disagreement"):
            assert disagreement[inside].min() > disagreement[others].max()


def test_an_earlier_plan_is_extended_although_scores_changed():
    _, scores, disagreement = pool(600)
    first = plan_gold(scores, size=50, disagreement=disagreement, seed=1)
    changed = scores + np.random.default_rng(0).normal(size=600)
    second = plan_gold(changed, size=90, strata=first.stratum, seed=1)
    np.testing.assert_array_equal(second.rows[:50], first.rows)
    np.testing.assert_array_equal(second.sizes, first.sizes)


def test_all_scores_equal_is_one_stratum():
    plan = plan_gold(np.ones(50), size=10)
    assert plan.names == ("score 1",)
    np.testing.assert_allclose(plan.weights, 5.0)
    whole = plan_gold(np.ones(50), size=50)
    np.testing.assert_allclose(whole.weights, 1.0)


def test_real_valued_scores_with_many_ties():
    scores = np.concatenate([np.zeros(500), np.linspace(0.1, 1, 40)])
    plan = plan_gold(scores, size=20)
    assert set(plan.stratum) == set(range(len(plan.sizes)))
    assert plan.weights.sum() == pytest.approx(540)


def test_bad_input_is_one_sentence(untyped):
    scores = np.arange(100) % 6.0
    for bad, words in (
        ({"size": 3}, "at least 6"),
        ({"size": 101}, "100 can be scored"),
        ({"size": 50, "random_share": 0.0}, "random_share"),
        ({"size": 50, "disagreement": np.ones(3)}, "disagreement"),
        ({"size": 50, "strata": np.full(100, -1)}, "no rated example"),
        ({"size": 50, "strata": np.zeros(3, dtype=int)}, "strata"),
        ({"size": 50, "strata": np.full(100, 0.5)}, "must hold whole numbers"),
        ({"size": 50, "groups": np.zeros(3, dtype=int)}, "groups"),
    ):
        with pytest.raises(InputError, match=words):
            plan_gold(scores, **bad)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plan_gold(scores, size=6)
