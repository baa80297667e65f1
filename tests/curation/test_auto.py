import warnings

import numpy as np
import pytest
from auto_sample import (
    agreement,
    curated,
    estimates,
    prepared,
    quiet,
    seen,
    true_estimates,
    unlike,
)

import ds2
from ds2.curation.auto import Judge, judge
from ds2.errors import Ds2Warning, InputError

SHAPED = ("soft", "fused", "fused+neighbors")
ALONE = np.empty((48, 0))  # no covariates


@pytest.fixture(scope="module")
def pair():
    pool, scores, neighbors = prepared(2000, 0.6, (2.0, 2.0))
    return pool, (scores, neighbors, estimates(scores))


def test_auto_takes_neighbors_where_left_out_raters_show_that_they_help(pair):
    pool, data = pair
    found = quiet(*data)
    assert found.method in ("soft", "fused+neighbors")
    truth = pool.true_scores
    assert agreement(found.scores, truth) > agreement(found.raw, truth) + 0.05
    chosen = [row for row in found.evidence if row.chosen]
    assert {row.measure for row in chosen} == {
        f"rater {m} held out: {figure}"
        for m in (1, 2)
        for figure in ("Spearman", "mean of the top 5 %")
    }
    assert all(row.difference.low <= row.difference.value <= row.difference.high for row in chosen)
    assert all(row.n == 2000 for row in chosen)
    assert f"{found.gold_needed} trusted scores" in found.next_evidence
    assert "a bias that all of them have looks like truth" in found.next_evidence


def test_auto_keeps_the_mean_where_neighbors_say_nothing():
    _, scores, neighbors = prepared(1500, 0.0, (1.5, 1.5))
    found = curated(scores, neighbors)
    assert found.method == "raw"
    np.testing.assert_array_equal(found.scores, found.raw)


def test_gold_decides_against_a_bias_that_raters_share():
    pool, _, neighbors = prepared(2000, 0.0)
    rng = np.random.default_rng(1)
    near = np.column_stack([np.arange(2000), neighbors.indices]).min(axis=1)
    bias = 2.0 * rng.standard_normal(2000)[near]
    scores = seen(pool.true_scores + bias, (1.0,) * 3)
    fooled = curated(scores, neighbors)
    assert fooled.method != "raw"
    gold = np.full(2000, np.nan)
    gold[:300] = pool.true_scores[:300]
    told = curated(scores, neighbors, gold=gold)
    assert told.method == "raw"
    assert {row.measure for row in told.evidence} >= {"gold: Spearman", "gold: mean of the top 5 %"}
    assert "300 trusted scores have spoken" in told.next_evidence


def test_gold_tells_which_of_two_raters_to_believe_though_raters_see_no_gain():
    pool, scores, neighbors = prepared(2000, 0.0, (0.6, 4.0), seed=3)
    assert curated(scores, neighbors).method == "raw"
    gold = np.full(2000, np.nan)
    gold[:200] = pool.true_scores[:200]
    found = curated(scores, neighbors, gold=gold)
    assert found.method in SHAPED
    rest = np.where(np.isnan(gold), pool.true_scores, np.nan)
    assert agreement(found.scores, rest) > agreement(found.raw, rest) + 0.1


def test_a_spread_is_checked_and_reaches_the_soft_scores(pair):
    pool, data = pair
    spread = np.abs(data[0] - pool.true_scores[:, None])
    told = quiet(*data, method="soft", spread=spread)
    plain = quiet(*data, method="soft")
    truth = pool.true_scores
    assert agreement(told.scores, truth) > agreement(plain.scores, truth) + 0.02
    for bad in (-spread, spread[:, 0], spread + np.inf):
        with pytest.raises(InputError, match="'spread"):
            quiet(*data, method="soft", spread=bad)


def test_gold_lets_one_rater_gain_from_its_neighbors():
    pool, scores, neighbors = prepared(2000, 0.7, (2.5,))
    gold = np.full(2000, np.nan)
    gold[::10] = pool.true_scores[::10]
    found = curated(scores[:, 0], neighbors, gold=gold)
    assert found.method == "soft"
    rest = np.where(np.isnan(gold), pool.true_scores, np.nan)
    assert agreement(found.scores, rest) > agreement(scores[:, 0], rest) + 0.1


def test_a_joint_estimate_of_all_raters_serves_as_well():
    _, scores, small = prepared(500, 0.6, (2.0, 2.0))
    scores[::7, 0] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ds2Warning)
        noise = ds2.estimate_transition(scores, small, n_scores=6, n_bootstrap=0, n_starts=1)
    found = quiet(scores, small, noise, method="ds2")
    assert found.method == "ds2"
    assert not np.isnan(found.scores).any()
    with pytest.raises(InputError, match="of rater 1 was estimated from other scores"):
        quiet(np.nan_to_num(scores), small, noise, method="ds2")


@pytest.mark.parametrize("method", ["raw", "ds2", "auto", *SHAPED])
def test_every_method_keeps_the_scale_and_unrated_rows(pair, method):
    _, (scores, neighbors, _) = pair
    scores = scores.copy()
    scores[::3, 0] = np.nan
    scores[::5, 1] = np.nan
    found = curated(scores, neighbors, method=method)
    unrated = np.isnan(scores).all(axis=1)
    np.testing.assert_array_equal(np.isnan(found.scores), unrated)
    assert np.nanmin(found.scores) >= 0
    assert np.nanmax(found.scores) <= 5
    np.testing.assert_array_equal(found.observed, scores)
    if method in SHAPED:
        assert np.nanmin(found.se) > 0
    if method.startswith("fused"):
        np.testing.assert_allclose(np.nansum(found.posterior, axis=1), ~unrated)


@pytest.mark.parametrize("method", ["soft", "fused+neighbors", "raw"])
def test_objective_level_gives_whole_levels(pair, method):
    _, data = pair
    found = quiet(*data, method=method, objective="level")
    np.testing.assert_array_equal(found.scores, np.round(found.scores))
    if found.posterior is not None:
        np.testing.assert_array_equal(found.scores, found.posterior.argmax(axis=1))


def test_level_evidence_is_kappa_and_accuracy(pair):
    _, data = pair
    found = quiet(*data, objective="level")
    assert {row.measure.split(": ")[1] for row in found.evidence} == {
        "quadratic kappa",
        "accuracy",
    }


def test_levels_are_not_made_wrong_for_the_sake_of_kappa():
    away = np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
    near = 0.5**away * (away > 0)
    T = 0.6 * np.eye(6) + 0.4 * near / near.sum(axis=1, keepdims=True)
    pool = ds2.simulate(3000, transition=T, clusterability=0.6, seed=0)
    neighbors = ds2.find_neighbors(pool.vectors)
    truth, gold = pool.true_scores, np.full(3000, np.nan)
    gold[::30] = truth[::30]
    noise = true_estimates(pool.scores[:, None], neighbors)[0]
    right = {
        method: (
            quiet(pool.scores, neighbors, noise, method=method, gold=gold, objective="level").scores
            == truth
        ).mean()
        for method in ("raw", "soft", "auto")
    }
    assert right["soft"] < right["raw"] - 0.03  # better by kappa, right less often
    assert right["auto"] >= right["raw"]


def test_permuting_rows_permutes_the_choice():
    pool, scores, neighbors = prepared(700, 0.6, (1.5, 1.5))
    keys = np.random.default_rng(0).integers(0, 2**63, 700)
    order = np.random.default_rng(1).permutation(700)
    permuted = ds2.find_neighbors(pool.vectors[order])
    straight = curated(scores, neighbors, keys=keys)
    other = curated(scores[order], permuted, keys=keys[order])
    assert other.method == straight.method
    np.testing.assert_allclose(other.scores, straight.scores[order], atol=1e-3)


def test_the_same_seed_gives_the_same_bytes(pair):
    _, data = pair
    one, two = quiet(*data, seed=3), quiet(*data, seed=3)
    assert one.scores.tobytes() == two.scores.tobytes()
    assert str(one.evidence) == str(two.evidence)


def test_repeats_set_the_weight_of_one_rater():
    pool, scores, neighbors = prepared(2000, 0.8, (2.0, 2.0))
    repeats = np.where(np.arange(2000) % 4 == 0, scores[:, 1], np.nan)
    soft = curated(scores[:, 0], neighbors, method="soft", repeats=repeats)
    truth = pool.true_scores
    assert agreement(soft.scores, truth) > agreement(scores[:, 0], truth) + 0.1


def test_expected_scores_stand_in_for_whole_ones():
    pool, _, neighbors = prepared(1500, 0.3)
    rng = np.random.default_rng(5)
    fine = np.clip(pool.true_scores[:, None] + rng.normal(0, 0.8, (1500, 2)), 0, 5)
    coarse = np.where(fine > 2.5, 3.0, 2.0)
    truth = pool.true_scores
    for method in ("raw", "soft"):
        plain = curated(coarse, neighbors, method=method)
        finer = curated(coarse, neighbors, method=method, expected=fine)
        assert agreement(finer.scores, truth) > agreement(plain.scores, truth) + 0.05


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"method": "fuse"}, "Did you mean 'fused'"),
        ({"objective": "ranks"}, "Did you mean 'rank'"),
        ({"gold": np.zeros(3)}, "'gold' must have 2000 rows"),
        ({"gold": np.full(2000, 9.0)}, "'gold' must lie on the level scale 0 … 5"),
        ({"gold_weights": np.ones(2000)}, "'gold_weights' needs 'gold'"),
        ({"gold": np.ones(2000), "gold_weights": np.zeros(2000)}, "row 0 is 0 or missing"),
        (
            {"gold": np.ones(2000), "gold_weights": np.full(2000, np.inf)},
            r"'gold_weights' must be finite and 0 or more\. Got inf",
        ),
        ({"expected": np.zeros(2000)}, "'expected' must have the shape of 'scores'"),
        ({"spread": np.zeros((2, 2000))}, "'spread' must have 2000 rows"),
    ],
)
def test_bad_evidence_is_named(pair, change, sentence, untyped):
    _, data = pair
    with pytest.raises(InputError, match=sentence):
        quiet(*data, **change)


def test_methods_that_need_more_raters_say_so(pair):
    _, (scores, neighbors, noise) = pair
    for method in ("fused", "soft"):
        with pytest.raises(InputError, match=f"Method '{method}' .*there is one rater"):
            quiet(scores[:, 0], neighbors, noise[0], method=method)
    with pytest.raises(InputError, match="an estimate for each of the 2 raters"):
        quiet(scores, neighbors, noise[0])


@pytest.mark.parametrize("blocks", [3, 6])
def test_few_neighbourhoods_seldom_show_a_gain_that_is_none(blocks):
    rng = np.random.default_rng(blocks)
    label = np.repeat(np.arange(blocks), 8)
    n, shown, rounds = len(label), 0, 200
    for _ in range(rounds):
        truth = rng.standard_normal(n)
        errors = rng.standard_normal((2, blocks))[:, label]
        errors = errors + 0.3 * rng.standard_normal((2, n))
        both = dict(zip(("raw", "b"), truth + errors, strict=True))
        found = judge(Judge("gold", truth, np.ones(n), 1.0, both), label, "rank", ALONE[:n])
        ends = found[0].gain("b").interval()
        shown += ends.low > 0 or ends.high < 0
    assert shown / rounds <= 0.08
    one = Judge("gold", truth, np.ones(n), 1.0, both)
    assert judge(one, np.zeros(n, dtype=int), "rank", ALONE[:n]) == []


def test_gold_that_says_one_thing_only_has_not_spoken(pair):
    pool, data = pair
    gold = np.where(np.arange(len(pool.scores)) % 20 == 0, 2.0, np.nan)
    found = quiet(*data, gold=gold)
    assert found.method == quiet(*data).method
    assert "trusted scores have spoken" not in found.next_evidence


def test_a_rater_of_one_neighbourhood_cannot_judge_and_stops_nothing():
    pool, scores, _ = prepared(300, 0.7)
    vectors = pool.vectors.copy()
    vectors[280:] = vectors[280]
    neighbors = ds2.find_neighbors(vectors)
    few = scores.copy()
    few[:280, 1] = np.nan
    few[280:] = (np.arange(20) % 6)[:, None]
    assert curated(few, neighbors).method == "raw"
    three = np.column_stack([scores, few[:, 1]])
    assert not np.isnan(curated(three, neighbors, method="soft").scores).any()


def test_the_posterior_of_many_raters_is_a_distribution():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 10, 150)
    right = rng.random((150, 14)) < 0.3
    scores = np.where(right, truth[:, None], rng.integers(0, 10, (150, 14))).astype(float)
    found = curated(scores, unlike(150), 10, method="fused")
    np.testing.assert_allclose(found.posterior.sum(axis=1), 1.0, atol=1e-6)


def test_levels_stay_whole_when_a_covariate_is_taken_out_of_one_rater():
    _, scores, neighbors = prepared(400, 0.9, (1.0,))
    (noise,) = true_estimates(scores, neighbors)
    control = {"length": np.random.default_rng(0).random(400) + scores[:, 0]}
    for method in ("auto", "ds2"):
        found = quiet(
            scores[:, 0], neighbors, noise, method=method, objective="level", control=control
        )
        np.testing.assert_array_equal(found.scores, np.round(found.scores))


def test_the_posterior_computes_no_intervals_that_nobody_reads(monkeypatch):
    def asked(*_):
        raise AssertionError("intervals of T were computed")

    scores = seen(np.arange(400) % 6, (1.0,) * 3)
    fit, noise = ds2.fit_raters(scores, 6), estimates(scores)
    monkeypatch.setattr("ds2.noise.model.cell_intervals", asked)
    found = quiet(scores, unlike(400), noise, method="fused")
    np.testing.assert_allclose(found.posterior, fit.posterior, atol=1e-3)
