"""Degenerate panels: columns that are one rater, mirror images, a rater upside down."""

import re
import warnings

import numpy as np
import pytest
from raters_sample import rater, scored
from scipy.stats import spearmanr

import ds2
from ds2.errors import Ds2Warning, InputError
from ds2.noise import find_swapped_levels

SAME = "Rater 1 and rater 2 gave the same scores"


def quiet(call, *data, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ds2Warning)
        return call(*data, **settings)


def estimate(scores, neighbors):
    return quiet(ds2.estimate_transition, scores, neighbors, n_scores=6, n_bootstrap=0, n_starts=2)


@pytest.fixture(scope="module")
def pool():
    simulated = ds2.simulate(1200, clusterability=0.7, seed=1)
    scores = scored(simulated.true_scores, [rater(p) for p in (0.6, 0.7, 0.5)], missing=0.0)
    return simulated.true_scores, scores, ds2.find_neighbors(simulated.vectors)


@pytest.fixture(scope="module")
def alone(pool):
    return estimate(pool[1][:, 0], pool[2])


def changed(column, share=0.01):
    rng = np.random.default_rng(0)
    return np.where(rng.random(len(column)) < share, rng.integers(0, 6, len(column)), column)


@pytest.mark.parametrize(
    ("copy", "exact"),
    [
        (lambda column: column, True),
        (lambda column: np.array([0, 0, 1, 2, 4, 5.0])[column.astype(int)], False),
        (changed, False),
    ],
    ids=["equal", "mapped", "one per cent changed"],
)
def test_columns_that_are_one_rater_count_once(pool, alone, copy, exact):
    _, scores, neighbors = pool
    twice = np.column_stack([scores[:, 0], copy(scores[:, 0])])
    found = estimate(twice, neighbors)
    assert [SAME in sentence for sentence in found.warnings].count(True) == 1
    assert found.matrix.shape == (2, 6, 6)
    np.testing.assert_allclose(found.matrix[0], alone.matrix)
    np.testing.assert_allclose(found.matrix.sum(axis=2), 1)
    if exact:
        assert found.error_rates == pytest.approx([alone.error_rate] * 2)
        np.testing.assert_array_equal(found.matrix[1], found.matrix[0])
    curation = quiet(ds2.curate, twice, neighbors, found)
    assert curation.method == "raw"
    assert [SAME in sentence for sentence in curation.warnings].count(True) == 1


def test_a_copy_changes_nothing_for_the_others(pool):
    _, scores, neighbors = pool
    found = estimate(scores[:, [0, 0, 1]], neighbors)
    without = estimate(scores[:, :2], neighbors)
    np.testing.assert_array_equal(found.matrix, without.matrix[[0, 0, 1]])
    assert not any("rater 1 and rater 3" in sentence.lower() for sentence in found.warnings)


def test_of_a_rater_twice_the_fuller_column_is_counted(pool, alone):
    _, scores, neighbors = pool
    sparse = np.where(np.arange(1200) < 55, scores[:, 0], np.nan)
    for columns in ([scores[:, 0], sparse], [sparse, scores[:, 0]]):
        found = estimate(np.column_stack(columns), neighbors)
        assert found.n_examples == alone.n_examples
        np.testing.assert_array_equal(found.matrix, [alone.matrix] * 2)


def test_a_rater_of_one_score_says_it_whatever_is_true(pool):
    _, scores, neighbors = pool
    half = np.arange(1200) < 600
    for rated in (~half, half & (scores[:, 0] > 0)):  # without common rows, and without a level
        both = np.column_stack([np.where(half, scores[:, 0], np.nan), np.where(rated, 5, np.nan)])
        np.testing.assert_allclose(estimate(both, neighbors).matrix[1], np.eye(6)[[5] * 6])


def test_a_rater_and_its_mirror_image_stop_the_run(pool, alone):
    _, scores, neighbors = pool
    both = np.column_stack([scores[:, 0], 5 - scores[:, 0]])
    for call in (
        lambda: estimate(both, neighbors),
        lambda: quiet(ds2.curate, both, neighbors, (alone, alone)),
    ):
        with pytest.raises(InputError, match=r"rater 1 and rater 2 cancel.*Turn the scale of one"):
            call()


@pytest.fixture(scope="module")
def contrary(pool):
    _, scores, neighbors = pool
    table = scores.copy()
    table[:, 2] = 5 - table[:, 2]
    return table, estimate(table, neighbors)


def test_one_sentence_tells_of_a_rater_that_is_upside_down(pool, contrary):
    table, found = contrary
    curation = quiet(ds2.curate, table, pool[2], found)
    for one in (found, curation):
        (about,) = (said for said in one.warnings if "rater 3" in said.lower())
        assert "Rater 3 runs against the others" in about
        sizes = re.findall(r"([\d,.]+) standard errors", " ".join(one.warnings))
        assert all(float(size.replace(",", "")) < 100 for size in sizes)


def test_a_rater_that_is_upside_down_is_left_out_of_the_mean(pool, contrary):
    truth, scores, neighbors = pool
    table, found = contrary
    curation = quiet(ds2.curate, table, neighbors, found)
    z = (scores - scores.mean(axis=0)) / scores.std(axis=0)
    ours, mean = (spearmanr(one, truth).statistic for one in (curation.scores, z[:, :2].sum(1)))
    assert ours > mean - 0.01
    assert not {row.measure.split(":")[0] for row in curation.evidence} & {"rater 3 held out"}


def test_a_rater_with_several_swapped_levels_gets_one_sentence(pool):
    _, scores, _ = pool
    table = scores.copy()
    table[:, 1] = np.array([2, 1, 0, 5, 4, 3.0])[table[:, 1].astype(int)]
    found = find_swapped_levels(table, 6)
    assert {case.rater for case in found} == {1}
    assert len(found) > 1
    (sentence,) = {case.sentence for case in found}
    assert "2 and 1" not in sentence
    for case in found:
        assert f"{case.lower} and {case.higher}" in sentence
