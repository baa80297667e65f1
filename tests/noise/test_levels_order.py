import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from raters_sample import rater, scored

import ds2
from ds2.noise import find_swapped_levels, fit_raters
from ds2.noise.order import in_stochastic_order


def pool(seed=0, n=4000, r=3):
    true = ds2.simulate(n, seed=seed).true_scores
    return true, scored(true, [rater(right) for right in np.linspace(0.5, 0.7, r)], seed=seed)


def swap(column, a, b):
    return np.where(column == a, b, np.where(column == b, a, column))


def test_honest_raters_are_not_named():
    for seed in range(10):
        assert find_swapped_levels(pool(seed)[1], 6) == ()


def test_a_swap_is_named_with_its_rater_and_levels():
    _, scores = pool()
    scores[:, 1] = swap(scores[:, 1], 1, 3)
    found = find_swapped_levels(scores, 6, names=("A", "B", "C"))
    assert {case.rater for case in found} == {1}
    assert (found[0].lower, found[0].higher) == (1, 3)
    assert found[0].certain
    assert found[0].judges == (0, 2)
    assert "Levels 1 and 3 of B are out of order" in found[0].sentence


def test_unrated_rows_that_stand_as_a_low_level_are_named():
    _, scores = pool(n=6000)
    unrated = np.random.default_rng(1).random(6000) < 0.2
    scores[unrated, 2] = 0.0
    found = find_swapped_levels(scores, 6)
    assert {case.rater for case in found} == {2}
    assert all(case.lower == 0 for case in found)


def test_of_two_raters_either_may_be_wrong_until_gold_says():
    true, scores = pool(r=2)
    scores[:, 0] = swap(scores[:, 0], 0, 2)
    open_case = find_swapped_levels(scores, 6)
    assert open_case
    assert not any(case.certain for case in open_case)
    assert "It may as well be the other rater's levels" in open_case[0].sentence
    gold = np.full(len(true), np.nan)
    gold[:600] = true[:600]
    settled = find_swapped_levels(scores, 6, gold=gold)
    assert {case.rater for case in settled} == {0}
    assert settled[0].certain
    assert -1 in settled[0].judges


@pytest.mark.slow
def test_in_the_published_scores_mistral_is_named_and_the_others_are_not():
    import gzip
    import json
    import os
    from pathlib import Path

    folder = Path(os.environ.get("DS2_DATA", Path(__file__).parents[3] / "shared" / "data"))
    path = folder / "alpaca52k_ds2.jsonl.gz"
    if not path.exists():
        pytest.skip("the published scores are not there: set DS2_DATA")
    names = ("score_gpt_4o_mini", "score_llama_3_1_8b", "score_mistral_7b_v0_3")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        scores = np.array([[json.loads(line)[name] for name in names] for line in lines], float)
    found = find_swapped_levels(scores, 6)
    assert {case.rater for case in found} == {2}
    assert all(1 in (case.lower, case.higher) for case in found)


def test_rows_of_a_rater_who_agrees_are_in_stochastic_order_and_swapped_levels_are_left_free():
    true = ds2.simulate(900, seed=3).true_scores
    T = np.array([rater(0.5), rater(0.4), rater(0.6), rater(0.5)])
    scores = scored(true, T, missing=0.0)
    swapped = scores[:, 3] + np.select([scores[:, 3] == 1, scores[:, 3] == 4], [3, -3], 0)
    scores[:, 3] = swapped
    fit = fit_raters(scores, 6)
    rises = np.diff(fit.matrix.cumsum(axis=2), axis=1).max(axis=(1, 2))
    assert (rises[:3] < 1e-9).all()
    assert rises[3] > 0.1


@given(counts=npst.arrays(np.float64, (5, 4), elements=st.floats(0.01, 50)))
def test_stochastic_order_is_a_projection(counts):
    rows = in_stochastic_order(counts)
    np.testing.assert_allclose(rows.sum(axis=1), 1)
    assert (rows >= -1e-12).all()
    assert (np.diff(rows.cumsum(axis=1), axis=0) <= 1e-9).all()
    weights = counts.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(in_stochastic_order(rows * weights), rows, atol=1e-9)
