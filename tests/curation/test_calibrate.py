"""One scale for all kinds of rows."""

import warnings

import numpy as np
import pytest

import ds2
from ds2.curation.bias import calibrated

N = 2000
KINDS = np.array(["chat", "code", "maths", "story"])


def planted(seed=0, *, raters=3, low=(0,), by=1.5):
    """Raters of like skill; those in ``low`` give code ``by`` levels too little."""
    rng = np.random.default_rng(seed)
    quality = rng.normal(5, 1.4, N)
    kinds = KINDS[rng.integers(4, size=N)]
    ratings = quality[:, None] + 0.7 * rng.standard_normal((N, raters))
    for m in low:
        ratings[kinds == "code", m] -= by
    return quality, kinds, np.clip(np.round(ratings), 0, 9)


def excellent_code_in_the_top_fifth(values, quality, kinds):
    top = np.argsort(-values)[: N // 5]
    best = np.argsort(-quality)[: N // 5]
    wanted = best[kinds[best] == "code"]
    return np.isin(wanted, top).mean()


@pytest.mark.parametrize("evidence", ["gold", "raters"])
def test_a_kind_rated_too_low_gets_its_best_rows_back(evidence):
    low = (0, 1, 2) if evidence == "gold" else (1,)
    quality, kinds, ratings = planted(low=low)
    values = ratings[:, low].mean(axis=1)  # what those who are off would select by
    gold = np.full(N, np.nan)
    if evidence == "gold":
        rows = np.random.default_rng(1).permutation(N)[:200]
        gold[rows] = np.clip(np.round(quality[rows]), 0, 9)
    weights = (~np.isnan(gold)).astype(float)
    if evidence == "raters":
        values = ratings.mean(axis=1)
    before = excellent_code_in_the_top_fifth(values, quality, kinds)
    found = calibrated(values, kinds, ratings, gold, weights)
    after = excellent_code_in_the_top_fifth(found, quality, kinds)
    fair = planted(low=())[2]
    fair = fair[:, low].mean(axis=1) if evidence == "gold" else fair.mean(axis=1)
    never_off = excellent_code_in_the_top_fifth(fair, quality, kinds)
    assert before < never_off - 0.15
    assert after > never_off - 0.15
    assert found.mean() == pytest.approx(values.mean())


def test_nothing_is_taken_off_where_nothing_is_off():
    quality, kinds, ratings = planted(low=())
    gold = np.where(np.arange(N) < 100, np.round(quality), np.nan)
    weights = (~np.isnan(gold)).astype(float)
    values = ratings.mean(axis=1)
    assert np.abs(calibrated(values, kinds, ratings, gold, weights) - values).max() < 0.15
    none = np.full(N, np.nan)
    assert np.abs(calibrated(values, kinds, ratings, none, none * 0) - values).max() < 0.1


def test_a_label_of_three_rows_is_not_believed():
    quality, kinds, ratings = planted(low=())
    kinds = kinds.astype(object)
    kinds[:3] = "rare"
    gold = np.where(np.arange(N) < 60, np.round(quality), np.nan)
    gold[:3] -= 2
    weights = (~np.isnan(gold)).astype(float)
    values = ratings.mean(axis=1)
    found = calibrated(values, kinds, ratings, gold, weights)
    assert np.abs(found - values)[:3].max() < 2


def test_two_raters_and_no_gold_do_not_tell():
    _, kinds, ratings = planted(raters=2)
    none = np.full(N, np.nan)
    with pytest.raises(ds2.InputError, match="20 trusted scores of rows with a label, or 3 raters"):
        calibrated(ratings.mean(axis=1), kinds, ratings, none, np.zeros(N))


def test_curate_takes_it():
    _, kinds, ratings = planted()
    vectors = np.random.default_rng(3).standard_normal((N, 8)).astype(np.float32)
    neighbors = ds2.find_neighbors(vectors)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        noise = ds2.estimate_transition(ratings, neighbors, n_scores=10, n_bootstrap=0)
        plain = ds2.curate(ratings, neighbors, noise, method="raw")
        found = ds2.curate(ratings, neighbors, noise, method="raw", calibrate={"kind": kinds})
    code = kinds == "code"
    gap = [scores[code].mean() - scores[~code].mean() for scores in (plain.scores, found.scores)]
    assert gap[0] < -0.3
    assert abs(gap[1]) < 0.15


def test_without_a_label_nothing_is_moved():
    ratings = np.random.default_rng(0).integers(0, 6, (N, 3)).astype(float)
    values, gold = ratings.mean(axis=1), ratings[:, 0]
    none = np.full(N, None)
    some = np.where(np.arange(N) < 5, "a", none)  # fewer than 20 trusted scores have a label
    for weights in (np.ones(N), np.zeros(N)):
        np.testing.assert_array_equal(calibrated(values, none, ratings, gold, weights), values)
        assert np.isfinite(calibrated(values, some, ratings, gold, weights)).all()


def test_labels_that_differ_in_nothing_stay_where_they_are():
    values, kinds = np.full(N, 2.0), np.where(np.arange(N) % 2, "a", "b")
    gold = np.full(N, 2.0)
    with np.errstate(all="raise"):
        found = calibrated(values, kinds, values[:, None], gold, np.ones(N))
    np.testing.assert_array_equal(found, values)
