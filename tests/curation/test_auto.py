import functools
import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import spearmanr

import ds2
from ds2.curation.auto import _loadings
from ds2.curation.evidence import Measure, judge
from ds2.curation.fused import fused_posterior
from ds2.errors import Ds2Warning, InputError

SHAPED = ("soft", "fused", "fused+neighbors")


def prepared(n=1500, rho=0.5, sds=(1.5, 1.5), seed=0):
    pool = ds2.simulate(n, clusterability=rho, seed=seed)
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((n, len(sds))) * sds
    scores = np.clip(np.round(pool.true_scores[:, None] + noise), 0, 5)
    return pool, scores, ds2.find_neighbors(pool.vectors)


def true_estimates(scores, neighbors):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ds2Warning)
        return tuple(
            ds2.estimate_transition(
                column, neighbors, n_scores=6, rho=1.0, n_bootstrap=0, n_starts=1
            )
            for column in scores.T
        )


@functools.cache
def template():
    """An estimate of some rater: what is tested here does not rest on its figures."""
    _, scores, neighbors = prepared(400, 0.8, (1.0,))
    return true_estimates(scores, neighbors)[0]


def estimates(scores, neighbors):
    return tuple(replace(template(), n_missing=int(np.isnan(s).sum())) for s in scores.T)


def quiet(*data, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ds2Warning)
        return ds2.curate(*data, **settings)


def agreement(a, b):
    known = ~np.isnan(a) & ~np.isnan(b)
    return spearmanr(a[known], b[known]).statistic


@pytest.fixture(scope="module")
def pair():
    pool, scores, neighbors = prepared(2000, 0.6, (2.0, 2.0))
    return pool, (scores, neighbors, estimates(scores, neighbors))


def test_auto_takes_neighbors_where_left_out_raters_show_that_they_help(pair):
    pool, data = pair
    found = quiet(*data)
    assert found.method in ("soft", "fused+neighbors")
    truth = pool.true_scores
    assert agreement(found.scores, truth) > agreement(found.raw, truth) + 0.05
    chosen = [row for row in found.evidence if row.chosen]
    assert {row.measure for row in chosen} == {
        "rater 1 held out: Spearman",
        "rater 2 held out: Spearman",
    }
    assert all(row.difference_low <= row.difference <= row.difference_high for row in chosen)
    assert all(row.n == 2000 for row in chosen)
    assert "trusted scores" in found.next_evidence
    assert any("only trusted scores can show" in sentence for sentence in found.warnings)


def test_auto_keeps_the_mean_where_neighbors_say_nothing():
    _, scores, neighbors = prepared(1500, 0.0, (1.5, 1.5))
    found = quiet(scores, neighbors, estimates(scores, neighbors))
    assert found.method == "raw"
    np.testing.assert_array_equal(found.scores, found.raw)


def test_gold_decides_against_a_bias_that_raters_share():
    pool, _, neighbors = prepared(2000, 0.0)
    rng = np.random.default_rng(1)
    near = np.column_stack([np.arange(2000), neighbors.indices]).min(axis=1)
    bias = 2.0 * rng.standard_normal(2000)[near]
    noise = rng.standard_normal((2000, 3))
    scores = np.clip(np.round(pool.true_scores[:, None] + noise + bias[:, None]), 0, 5)
    data = (scores, neighbors, estimates(scores, neighbors))
    with pytest.warns(Ds2Warning, match="only trusted scores can show"):
        fooled = ds2.curate(*data)
    assert fooled.method != "raw"
    gold = np.full(2000, np.nan)
    gold[:300] = pool.true_scores[:300]
    told = quiet(*data, gold=gold)
    assert told.method == "raw"
    assert {row.measure for row in told.evidence} >= {"gold: Spearman"}
    assert "300 trusted scores have spoken" in told.next_evidence


def test_gold_tells_which_of_two_raters_to_believe_though_raters_see_no_gain():
    pool, scores, neighbors = prepared(2000, 0.0, (0.6, 4.0), seed=3)
    data = (scores, neighbors, estimates(scores, neighbors))
    assert quiet(*data).method == "raw"
    gold = np.full(2000, np.nan)
    gold[:200] = pool.true_scores[:200]
    found = quiet(*data, gold=gold)
    assert found.method in ("soft", "fused", "fused+neighbors")
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
        with pytest.raises(InputError, match="'spread'"):
            quiet(*data, method="soft", spread=bad)


def test_one_rater_without_evidence_is_ds2_where_the_gate_passes_and_raw_where_it_fires():
    for rho, method in ((1.0, "ds2"), (0.0, "raw")):
        _, scores, neighbors = prepared(1000, rho, (0.8,))
        noise = true_estimates(scores, neighbors)[0]
        found = quiet(scores[:, 0], neighbors, noise)
        assert found.method == method
        assert "100 trusted scores" in found.next_evidence
        assert "'warn'" not in " ".join(found.warnings)
        few = np.full(1000, np.nan)
        few[:19] = scores[:19, 0]  # too few to judge by: as without any
        assert quiet(scores[:, 0], neighbors, noise, gold=few).method == method
        if method == "raw":
            np.testing.assert_array_equal(found.scores, scores[:, 0])
        else:
            same = quiet(scores[:, 0], neighbors, noise, method="ds2")
            np.testing.assert_array_equal(found.scores, same.scores)
            np.testing.assert_array_equal(found.confidence, same.confidence)


def test_gold_lets_one_rater_gain_from_its_neighbors():
    pool, scores, neighbors = prepared(2000, 0.7, (2.5,))
    gold = np.full(2000, np.nan)
    gold[::10] = pool.true_scores[::10]
    found = quiet(scores[:, 0], neighbors, estimates(scores, neighbors)[0], gold=gold)
    assert found.method == "soft"
    rest = np.where(np.isnan(gold), pool.true_scores, np.nan)
    assert agreement(found.scores, rest) > agreement(scores[:, 0], rest) + 0.1


def test_an_upside_down_rater_does_not_spoil_the_others():
    pool, scores, neighbors = prepared(2000, 0.3, (1.2, 1.2, 1.2))
    scores[:, 2] = 5 - scores[:, 2]
    found = quiet(scores, neighbors, estimates(scores, neighbors))
    assert any("Rater 3 runs against the others" in sentence for sentence in found.warnings)
    truth = pool.true_scores
    assert agreement(found.scores, truth) > agreement(found.raw, truth) + 0.1


def test_two_raters_against_each_other_are_averaged_with_a_warning():
    _, scores, neighbors = prepared(800, 0.5, (1.0, 1.0))
    scores[:, 1] = 5 - scores[:, 1]
    with pytest.warns(Ds2Warning, match="do not agree"):
        found = ds2.curate(scores, neighbors, estimates(scores, neighbors))
    assert found.method == "raw"
    with pytest.raises(InputError, match="'soft' learns its weights from evidence"):
        quiet(scores, neighbors, estimates(scores, neighbors), method="soft")


def test_a_joint_estimate_of_all_raters_serves_as_well(pair):
    _, (scores, _neighbors, _) = pair
    scores = scores[:500].copy()
    scores[::7, 0] = np.nan
    small = ds2.find_neighbors(ds2.simulate(500, seed=0).vectors)
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
    found = quiet(scores, neighbors, estimates(scores, neighbors), method=method)
    unrated = np.isnan(scores).all(axis=1)
    np.testing.assert_array_equal(np.isnan(found.scores), unrated)
    assert np.nanmin(found.scores) >= 0
    assert np.nanmax(found.scores) <= 5
    np.testing.assert_array_equal(found.observed, scores)
    if method in SHAPED:
        assert np.nanmin(found.se) > 0
    if method.startswith("fused"):
        np.testing.assert_allclose(np.nansum(found.posterior, axis=1), ~unrated)
        np.testing.assert_allclose(found.posterior @ np.arange(6), found.scores)


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
    straight = quiet(scores, neighbors, estimates(scores, neighbors), keys=keys)
    shuffled = scores[order]
    other = quiet(shuffled, permuted, estimates(shuffled, permuted), keys=keys[order])
    assert other.method == straight.method
    np.testing.assert_allclose(other.scores, straight.scores[order], atol=1e-3)


def test_the_same_seed_gives_the_same_bytes(pair):
    _, data = pair
    one, two = quiet(*data, seed=3), quiet(*data, seed=3)
    assert one.scores.tobytes() == two.scores.tobytes()
    assert one.evidence == two.evidence or str(one.evidence) == str(two.evidence)


def test_repeats_set_the_weight_of_one_rater_and_never_rank():
    pool, scores, neighbors = prepared(2000, 0.8, (2.0, 2.0))
    noise = estimates(scores[:, :1], neighbors)[0]
    repeats = np.where(np.arange(2000) % 4 == 0, scores[:, 1], np.nan)
    soft = quiet(scores[:, 0], neighbors, noise, method="soft", repeats=repeats)
    truth = pool.true_scores
    assert agreement(soft.scores, truth) > agreement(scores[:, 0], truth) + 0.1
    auto = quiet(scores[:, 0], neighbors, noise, repeats=repeats)
    plain = quiet(scores[:, 0], neighbors, noise)
    np.testing.assert_array_equal(auto.scores, plain.scores)


def test_expected_scores_stand_in_for_whole_ones():
    pool, _, neighbors = prepared(1500, 0.3)
    rng = np.random.default_rng(5)
    fine = np.clip(pool.true_scores[:, None] + rng.normal(0, 0.8, (1500, 2)), 0, 5)
    coarse = np.where(fine > 2.5, 3.0, 2.0)
    noise = estimates(coarse, neighbors)
    truth = pool.true_scores
    for method in ("raw", "soft"):
        plain = quiet(coarse, neighbors, noise, method=method)
        finer = quiet(coarse, neighbors, noise, method=method, expected=fine)
        assert agreement(finer.scores, truth) > agreement(plain.scores, truth) + 0.05


def test_a_perfect_candidate_is_seen_with_its_interval():
    rng = np.random.default_rng(0)
    truth = np.where(rng.random(400) < 0.5, rng.integers(0, 6, 400), np.nan).astype(float)
    filled = np.nan_to_num(truth)
    noisy = filled + rng.normal(0, 2, 400)
    measure = Measure("gold", truth, np.ones(400), 1.0, {"raw": noisy, "best": filled})
    (found,) = judge(measure, np.arange(400), "rank", rng)
    assert found.n == int((~np.isnan(truth)).sum())
    known = ~np.isnan(truth)
    assert found.value("raw")[0] == pytest.approx(spearmanr(noisy[known], truth[known]).statistic)
    assert found.value("best")[0] == pytest.approx(1.0)
    gain, low, high = found.difference("best", "raw")
    assert 0 < low < gain < high
    accuracy, kappa = judge(measure, np.arange(400), "level", rng)
    assert kappa.figure == "quadratic kappa"
    assert accuracy.value("best")[0] == 1.0
    assert kappa.value("best")[0] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"method": "fuse"}, "Did you mean 'fused'"),
        ({"objective": "ranks"}, "Did you mean 'rank'"),
        ({"gold": np.zeros(3)}, "'gold' must have 2000 rows"),
        ({"gold": np.full(2000, 9.0)}, "'gold' must lie in 0 … 5"),
        ({"gold_weights": np.ones(2000)}, "'gold_weights' needs 'gold'"),
        ({"gold": np.ones(2000), "gold_weights": np.zeros(2000)}, "row 0 is 0 or missing"),
        ({"expected": np.zeros(2000)}, "'expected' must have the shape of 'scores'"),
    ],
)
def test_bad_evidence_is_named(pair, change, sentence, untyped):
    _, data = pair
    with pytest.raises(InputError, match=sentence):
        quiet(*data, **change)


def test_methods_that_need_more_raters_say_so(pair):
    _, (scores, neighbors, noise) = pair
    with pytest.raises(InputError, match="needs two raters or more"):
        quiet(scores[:, 0], neighbors, noise[0], method="fused")
    with pytest.raises(InputError, match="there is one rater"):
        quiet(scores[:, 0], neighbors, noise[0], method="soft")
    with pytest.raises(InputError, match="an estimate for each of the 2 raters"):
        quiet(scores, neighbors, noise[0])


def test_control_removes_what_a_covariate_explains_within_neighborhoods():
    pool, _, neighbors = prepared(1500, 0.3)
    rng = np.random.default_rng(2)
    length = rng.normal(size=1500)
    noise = rng.standard_normal((1500, 2))
    scores = np.clip(np.round(pool.true_scores[:, None] + noise + length[:, None]), 0, 5)
    data = (scores, neighbors, estimates(scores, neighbors))
    plain = quiet(*data, method="raw")
    freed = quiet(*data, method="raw", control={"length": length})
    assert agreement(plain.scores, length) > 0.3
    assert abs(agreement(freed.scores, length)) < 0.1
    assert agreement(freed.scores, pool.true_scores) > agreement(plain.scores, pool.true_scores)
    assert freed.scores.min() >= 0
    assert freed.scores.max() <= 5


def test_infinite_gold_weights_are_named(pair):
    _, data = pair
    with pytest.raises(InputError, match=r"'gold_weights' must be finite and 0 or more\. Got inf"):
        quiet(*data, gold=np.ones(2000), gold_weights=np.full(2000, np.inf))


@pytest.mark.parametrize("blocks", [3, 6])
def test_few_neighbourhoods_seldom_show_a_gain_that_is_none(blocks):
    rng = np.random.default_rng(blocks)
    label = np.repeat(np.arange(blocks), 8)
    shown, rounds = 0, 200
    for _ in range(rounds):
        truth = rng.standard_normal(len(label))
        errors = rng.standard_normal((2, blocks))[:, label]
        errors = errors + 0.3 * rng.standard_normal((2, len(label)))
        measure = Measure(
            "gold", truth, np.ones(len(label)), 1.0, dict(zip("ab", truth + errors, strict=True))
        )
        (found,) = judge(measure, label, "rank", rng)
        _, low, high = found.difference("a", "b")
        shown += low > 0 or high < 0
    assert shown / rounds <= 0.08
    assert judge(measure, np.zeros(len(label), dtype=int), "rank", rng) == []


def test_gold_weights_undo_a_choice_of_easy_rows_in_the_raters_loadings():
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 6, 4000).astype(float)
    easy = rng.random(4000) < 0.5
    noisy = np.where(easy, truth, rng.integers(0, 6, 4000))
    table = np.column_stack([noisy, np.clip(truth + rng.integers(-1, 2, 4000), 0, 5)])
    asked = rng.random(4000) < np.where(easy, 0.4, 0.04)
    gold = np.where(asked, truth, np.nan)
    weights = np.where(asked, np.where(easy, 1.0, 10.0), 0.0)

    def load(weights):
        case = SimpleNamespace(
            n_raters=2, values=table, gold=gold, gold_weights=weights, has_gold=True
        )
        return _loadings(case)[0]

    real = np.corrcoef(noisy, truth)[0, 1]
    assert abs(load(weights) - real) < 0.08
    assert load(asked.astype(float)) > real + 0.15


def test_gold_that_says_one_thing_only_has_not_spoken(pair):
    pool, data = pair
    gold = np.where(np.arange(len(pool.scores)) % 20 == 0, 2.0, np.nan)
    found = quiet(*data, gold=gold)
    assert found.method == quiet(*data).method
    assert "trusted scores have spoken" not in found.next_evidence
    assert any("only trusted scores can show it" in said for said in found.warnings)


def test_a_rater_of_one_neighbourhood_cannot_judge_and_stops_nothing():
    pool, scores, _ = prepared(300, 0.7)
    vectors = pool.vectors.copy()
    vectors[280:] = vectors[280]
    neighbors = ds2.find_neighbors(vectors)
    few = scores.copy()
    few[:280, 1] = np.nan
    few[280:] = (np.arange(20) % 6)[:, None]
    assert quiet(few, neighbors, estimates(few, neighbors)).method == "raw"
    three = np.column_stack([scores, few[:, 1]])
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("ignore", Ds2Warning)
        found = ds2.curate(three, neighbors, estimates(three, neighbors), method="soft")
    assert not np.isnan(found.scores).any()


def test_the_posterior_of_many_raters_is_a_distribution():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 10, 300)
    right = rng.random((300, 14)) < 0.3
    scores = np.where(right, truth[:, None], rng.integers(0, 10, (300, 14))).astype(float)
    found = fused_posterior(scores, 10, use=np.arange(14))
    np.testing.assert_allclose(found.shares.sum(axis=1), 1.0, atol=1e-6)


def test_levels_stay_whole_when_a_covariate_is_taken_out_of_one_rater():
    _, scores, neighbors = prepared(400, 0.9, (1.0,))
    (noise,) = true_estimates(scores, neighbors)
    control = {"length": np.random.default_rng(0).random(400) + scores[:, 0]}
    for method in ("auto", "ds2", "none"):
        found = quiet(
            scores[:, 0], neighbors, noise, method=method, objective="level", control=control
        )
        np.testing.assert_array_equal(found.scores, np.round(found.scores))


def test_gold_that_is_all_missing_is_no_gold():
    _, scores, neighbors = prepared(400, 0.9, (1.0,))
    noise = true_estimates(scores, neighbors)
    nothing = np.full(400, np.nan)
    for gold in (None, nothing):
        assert quiet(scores[:, 0], neighbors, noise[0], gate="off", gold=gold).method == "ds2"


def test_the_posterior_computes_no_intervals_that_nobody_reads(monkeypatch):
    def asked(*_):
        raise AssertionError("intervals of T were computed")

    rng = np.random.default_rng(1)
    scores = rng.integers(0, 6, (400, 3)).astype(float)
    fit = ds2.fit_raters(scores, 6)
    monkeypatch.setattr("ds2.noise.raters.cell_intervals", asked)
    found = fused_posterior(scores, 6, use=np.arange(3))
    np.testing.assert_allclose(found.shares, fit.posterior, atol=1e-5)
