import tracemalloc
import warnings

import numpy as np
import pytest

from ds2.errors import InputError
from ds2.noise import measure_reliability


def judged(loads, n=6000, shared=0.0, seed=0):
    """Truth and the scores of raters; the first two share that part of their errors."""
    rng = np.random.default_rng(seed)
    loads = np.asarray(loads)
    truth, common = rng.standard_normal(n), rng.standard_normal(n)
    mixed = np.sqrt(np.where(np.arange(len(loads)) < 2, shared, 0.0))
    errors = mixed * common[:, None]
    errors = errors + np.sqrt(1 - mixed**2) * rng.standard_normal((n, len(loads)))
    values = loads * truth[:, None] + np.sqrt(1 - loads**2) * errors
    return truth, np.clip(np.round(1.2 * values + 2.5), 0, 5)


def correlation(truth, scores):
    return np.array([np.corrcoef(column, truth)[0, 1] for column in scores.T])


def test_three_raters_give_each_ones_reliability():
    truth, scores = judged((0.4, 0.6, 0.8))
    scores[np.random.default_rng(1).random(scores.shape) < 0.2] = np.nan
    found = measure_reliability(scores)
    exact = correlation(*judged((0.4, 0.6, 0.8)))
    np.testing.assert_allclose(found.values, exact, atol=0.05)
    assert ((found.low <= exact) & (exact <= found.high)).sum() >= 2
    assert found.source == "raters"
    assert np.isnan(found.effective)
    assert "the effective number is not identified" in found.notes[0]
    assert len(truth) == 6000


def test_the_best_combination_is_as_good_as_it_says():
    truth, scores = judged((0.4, 0.6, 0.8))
    found = measure_reliability(scores)
    z = (scores - scores.mean(axis=0)) / scores.std(axis=0)
    assert found.together == pytest.approx(np.corrcoef(z @ found.weights, truth)[0, 1], abs=0.02)
    two = np.linalg.lstsq(z[:, :2], truth, rcond=None)[0]
    assert found.without[2] == pytest.approx(np.corrcoef(z[:, :2] @ two, truth)[0, 1], abs=0.03)
    assert found.contribution.argmax() == 2
    assert found.with_next > found.together


def test_one_and_two_raters_say_what_is_not_known():
    _, scores = judged((0.5, 0.7))
    one, two = measure_reliability(scores[:, :1]), measure_reliability(scores)
    assert np.isnan(one.values).all()
    assert one.source == "none"
    assert "One rater alone" in one.notes[0]
    assert two.source == "equal"
    assert two.values[0] == two.values[1] == pytest.approx(np.sqrt(0.35), abs=0.05)
    assert "equal by assumption" in two.notes[0]


def test_errors_that_two_of_five_share_are_found():
    truth, scores = judged((0.5, 0.5, 0.6, 0.6, 0.7), shared=0.6)
    found = measure_reliability(scores)
    np.testing.assert_allclose(found.values, correlation(truth, scores), atol=0.06)
    assert found.errors[0, 1] == pytest.approx(0.6, abs=0.12)
    apart = measure_reliability(judged((0.5, 0.5, 0.6, 0.6, 0.7))[1])
    assert found.effective_high < apart.effective_high - 0.4


@pytest.mark.parametrize("r", [2, 4])
def test_with_gold_independent_raters_count_as_many_as_they_are(r):
    held = []
    for seed in range(5):
        truth, scores = judged((0.6,) * r, n=4000, seed=seed)
        gold = np.where(np.arange(4000) < 400, truth + 10, np.nan)
        found = measure_reliability(scores, gold=gold, seed=seed)
        held.append(found.effective_low <= r <= found.effective_high + 1e-6)
        assert f"Your {r} raters count as {found.effective:.1f} independent ones" in found.counts_as
    assert sum(held) >= 4


@pytest.mark.parametrize("loads", [(0.5, 0.5, 0.5), (0.4, 0.6, 0.7, 0.5)])
@pytest.mark.parametrize("shared", [0.0, 0.5, 1.0])
def test_raters_with_correlated_errors_count_as_those_that_would_do_as_well(loads, shared):
    truth, scores = judged(loads, n=20_000, shared=shared)
    z = (scores - scores.mean(axis=0)) / scores.std(axis=0)
    rho, level = np.corrcoef(z.mean(axis=1), truth)[0, 1], correlation(truth, scores).mean()
    expected = min(rho**2 * (1 - level**2) / (level**2 * (1 - rho**2)), len(loads))
    found = measure_reliability(scores, gold=truth + 10)
    assert found.effective == pytest.approx(expected, rel=0.02)
    assert found.effective_low <= expected <= found.effective_high


def test_without_gold_only_an_upper_end_is_known_and_that_from_four_raters_on():
    for r in (2, 3, 4, 5):
        found = measure_reliability(judged((0.6,) * r, n=3000, shared=0.5)[1])
        assert np.isnan(found.effective)
        assert np.isnan(found.effective_low)
        assert np.isfinite(found.effective_high) == (r >= 4)
        if r < 4:
            assert found.counts_as == ""
        else:
            assert found.effective_high <= r
            words = f"Your {r} raters count as at most {found.effective_high:.1f} independent ones"
            assert words in found.counts_as


def test_gold_shows_a_bias_that_the_raters_share():
    truth, scores = judged((0.5, 0.5, 0.6), shared=0.8, seed=3)
    gold = np.full(6000, np.nan)
    gold[:400] = truth[:400] + 10
    blind, seeing = measure_reliability(scores), measure_reliability(scores, gold=gold)
    exact = correlation(truth, scores)
    assert blind.values[0] > exact[0] + 0.1
    assert seeing.source == "gold"
    assert ((seeing.low <= exact) & (exact <= seeing.high)).all()
    assert seeing.errors[0, 1] > 0.5
    assert seeing.effective < 2.7
    assert seeing.n_gold == 400


def test_gold_weights_undo_a_biased_choice():
    truth, scores = judged((0.7, 0.6, 0.5), n=20_000)
    chance = np.where(np.abs(scores[:, 0] - 2.5) > 1.4, 0.2, 0.02)
    rows = np.random.default_rng(4).random(20_000) < chance
    gold = np.where(rows, truth + 10, np.nan)
    exact = correlation(truth, scores)[0]
    plain = measure_reliability(scores, gold=gold)
    weighted = measure_reliability(scores, gold=gold, gold_weights=1 / chance)
    assert abs(weighted.values[0] - exact) < abs(plain.values[0] - exact)
    assert weighted.low[0] <= exact <= weighted.high[0]


def test_too_little_gold_is_said_and_not_used():
    truth, scores = judged((0.5, 0.6, 0.7))
    gold = np.full(6000, np.nan)
    gold[:5] = truth[:5] + 10
    found = measure_reliability(scores, gold=gold)
    assert found.source == "raters"
    assert "5 gold rows are too few" in found.notes[0]


def test_the_same_seed_gives_the_same_intervals():
    scores = judged((0.5, 0.6, 0.7), n=500)[1]
    one, two = (measure_reliability(scores, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.low, two.low)


def test_raters_that_share_no_row_get_no_figure_and_no_numerical_warning():
    _, scores = judged([0.8, 0.8], n=400)
    scores[:200, 0] = np.nan
    scores[200:, 1] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        found = measure_reliability(scores, n_bootstrap=10)
    assert np.isnan(found.values).all()
    assert np.isnan(found.low).all()


@pytest.mark.parametrize("with_gold", [False, True])
def test_a_rater_of_whom_nothing_is_known_is_left_out_and_named(with_gold):
    truth, scores = judged((0.6, 0.7, 0.8, 0.5), n=800)
    gold = truth + 10 if with_gold else None
    plain = measure_reliability(scores, gold=gold, n_bootstrap=5)
    more = np.column_stack([scores[:, :2], np.full(800, 3.0), scores[:, 2:]])
    found = measure_reliability(more, gold=gold, n_bootstrap=5)
    assert found.together == pytest.approx(plain.together)
    assert found.with_next == pytest.approx(plain.with_next)
    assert found.weights == pytest.approx(np.insert(plain.weights, 2, 0.0))
    assert found.contribution[2] == 0
    assert "No reliability is known of rater 3" in found.notes[0]
    assert not any("known of" in note for note in plain.notes)


def test_the_scale_of_gold_weights_says_nothing():
    truth, scores = judged((0.6, 0.7, 0.8), n=60)
    one, other = (
        measure_reliability(scores, gold=truth + 10, gold_weights=np.full(60, w), n_bootstrap=9)
        for w in (1.0, 1 / 60)
    )
    assert other.effective_low == pytest.approx(one.effective_low)
    assert other.effective_high == pytest.approx(one.effective_high)


def test_weights_of_gold_that_are_none_are_named():
    _, scores = judged([0.8, 0.8], n=400)
    for wrong in (-1.0, np.inf):
        with pytest.raises(InputError, match="'gold_weights' must be finite and 0 or more"):
            measure_reliability(scores, gold=scores[:, 0], gold_weights=np.full(400, wrong))


def test_memory_grows_with_the_rows_and_not_with_their_square():
    scores = np.random.default_rng(0).normal(size=(3000, 3))
    tracemalloc.start()
    measure_reliability(scores, n_bootstrap=2)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 3000 * 1000
