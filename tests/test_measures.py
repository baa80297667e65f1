import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from ds2.measures import MEASURES, Measured, correlation_ratio, effective_rows, measure

NAMES = tuple(MEASURES)


def rated(n, rng, loads=(0.7, 0.4)):
    """Truth, and values that go with it: six levels each."""
    truth = rng.standard_normal(n)
    values = [truth] + [a * truth + np.sqrt(1 - a * a) * rng.standard_normal(n) for a in loads]
    return [np.clip(np.round(1.2 * v + 2.5), 0, 5) for v in values]


def top(values, truth):
    """Mean standardised truth of the top 5 %; tied rows share what places are left."""
    z, places = (truth - truth.mean()) / truth.std(), 0.05 * len(values)
    total, left = 0.0, places
    for value in np.unique(values)[::-1]:
        tied = z[values == value]
        taken = min(len(tied), left)
        total, left = total + taken * tied.mean(), left - taken
    return total / places


def naive(name, x, y):
    return {
        "spearman": lambda: stats.spearmanr(x, y).statistic,
        "pearson": lambda: stats.pearsonr(x, y).statistic,
        "accuracy": (x == y).mean,
        "kappa": lambda: cohen_kappa_score(x, y, weights="quadratic", labels=range(7)),
        "top": lambda: top(x, y),
    }[name]()


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=5, max_size=60))
def test_values_are_those_of_known_libraries(name, pairs):
    x, y = np.array(pairs, dtype=float).T
    found = measure(name, x, y)
    if np.ptp(y) == 0 or (np.ptp(x) == 0 and name in ("spearman", "pearson")):
        assert name in ("accuracy", "kappa") or np.isnan(found.value)
    else:
        assert found.value == pytest.approx(naive(name, x, y), abs=1e-9)
        assert found.parts.sum() == pytest.approx(0, abs=1e-9) or name == "top"


@pytest.mark.parametrize("name", NAMES)
def test_a_weight_counts_as_that_many_rows_and_missing_rows_as_none(name):
    rng = np.random.default_rng(1)
    truth, good, _ = rated(200, rng)
    weights = rng.integers(0, 5, 200).astype(float)
    good[:9] = np.nan
    rows = np.repeat(np.arange(200), np.where(np.isnan(good), 0, weights).astype(int))
    found, copied = measure(name, good, truth, weights), measure(name, good[rows], truth[rows])
    assert found.value == pytest.approx(copied.value)
    assert found.n_effective == pytest.approx(effective_rows(weights[9:]))
    assert (found.parts[(weights == 0) | np.isnan(good)] == 0).all()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "top"])
def test_parts_are_those_of_the_jackknife(name):
    truth, good, _ = rated(300, np.random.default_rng(0))
    found = measure(name, good, truth)
    left = [naive(name, np.delete(good, i), np.delete(truth, i)) for i in range(300)]
    pseudo = 299 / 300 * (np.mean(left) - left)
    np.testing.assert_allclose(found.parts, pseudo, atol=4e-4)
    assert np.corrcoef(found.parts, pseudo)[0, 1] > 0.999
    assert found.error == pytest.approx(np.sqrt((pseudo**2).sum()), rel=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_a_difference_on_the_same_rows_is_narrower_than_either(name):
    rng = np.random.default_rng(2)
    truth, good, _ = rated(500, rng)
    other = np.clip(good + (rng.random(500) < 0.2) * rng.integers(-1, 2, 500), 0, 5)
    one, two = measure(name, good, truth), measure(name, other, truth)
    gap, error = (one - two).interval(), (one - two).error
    assert gap.value == pytest.approx(one.value - two.value)
    assert gap.low < gap.value < gap.high
    assert error < 0.8 * min(one.error, two.error)
    both = one + two * -1.0
    np.testing.assert_allclose([both.value, both.error], [gap.value, error], rtol=0.02)
    same = (one - one).interval()
    assert (same.low, same.high) == (0, 0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [40, 300])
def test_intervals_hold_the_pools_figure(name, n):
    rng = np.random.default_rng(3)
    truth, good, poor = rated(200_000, rng)
    exact = measure(name, good, truth).value
    gap = exact - measure(name, poor, truth).value
    held, of_gap = [], []
    for _ in range(300):
        at = rng.integers(0, len(truth), n)
        one, two = (measure(name, side[at], truth[at]) for side in (good, poor))
        ends, apart = one.interval(), (one - two).interval()
        held.append(ends.low <= exact <= ends.high)
        of_gap.append(apart.low <= gap <= apart.high)
    for hits in (held, of_gap):
        least = 0.83 if (name, n) == ("top", 40) else 0.915  # two rows are the top of 40
        assert least <= np.mean(hits) <= 0.995


def test_rows_of_one_block_tell_no_more_than_one():
    rng = np.random.default_rng(4)
    label = np.repeat(np.arange(60), 10)
    exact = 6 / np.pi * np.arcsin(0.5 / 2)  # Spearman of two normals with correlation 0.5
    held = {"alone": [], "blocks": [], "many": []}
    for _ in range(300):
        x, e = (0.9 * rng.standard_normal(60)[label] + np.sqrt(0.19) * rng.standard_normal(600)
                for _ in range(2))  # fmt: skip
        alone = measure("spearman", 0.5 * x + np.sqrt(0.75) * e, x)
        blocks = alone.by_block(label)
        assert blocks.value == alone.value
        assert blocks.n_effective == 60
        for name, one in (("alone", alone.interval()), ("blocks", blocks.interval())):
            held[name].append(one.low <= exact <= one.high)
        many = blocks.interval(competing=5)
        held["many"].append(many.low <= exact <= many.high)
    assert np.mean(held["alone"]) < 0.75
    assert 0.91 <= np.mean(held["blocks"]) <= 0.985
    assert np.mean(held["many"]) > 0.97


def test_what_rounding_leaves_of_a_block_is_nothing():
    parts = np.array([0.4, -0.4, 0.3, 0.0, 0.0])
    blocks = np.arange(5)
    exact = Measured(1.0, parts, 5.0).by_block(blocks)
    off = Measured(1.0, parts + np.array([0, 0, 0, 1e-17, -2e-17]), 5.0).by_block(blocks)
    assert exact.n_effective == off.n_effective == 3
    assert exact.interval() == off.interval()


def test_tied_rows_share_the_last_places_of_the_top():
    values = np.repeat([2.0, 1.0, 0.0], [2, 10, 88])
    truth = np.concatenate([[5.0, 3.0], np.arange(10.0), np.zeros(88)])
    z = (truth - truth.mean()) / truth.std()
    expected = (z[:2].sum() + 3 * z[2:12].mean()) / 5
    assert measure("top", values, truth).value == pytest.approx(expected)
    order = np.random.default_rng(0).permutation(100)
    assert measure("top", values[order], truth[order]).value == pytest.approx(expected)
    assert measure("top", np.zeros(100), truth).value == pytest.approx(0)


def test_eta_is_unbiased_where_labels_say_nothing_and_right_where_they_do():
    rng = np.random.default_rng(3)
    null, held_null, held, uncorrected = [], 0, 0, []
    means = np.array([0.0, 0.3, 0.6, 0.9, 1.2])
    truth = float(np.sqrt(means.var() / (means.var() + 1)))
    for _ in range(300):
        group = rng.permutation(np.arange(200) % 5)
        y = rng.normal(size=200)
        figure, ends = correlation_ratio(group, y)
        null.append(figure.value**2)
        held_null += ends.low <= 0
        uncorrected.append(
            np.corrcoef(np.eye(5)[group] @ [y[group == g].mean() for g in range(5)], y)[0, 1]
        )
        _, found = correlation_ratio(group, y + means[group])
        held += found.low <= truth <= found.high
    assert np.mean(null) < 0.01 < np.mean(np.square(uncorrected)) - 0.005
    assert held_null / 300 > 0.93
    assert 0.9 <= held / 300 <= 0.99


@pytest.mark.parametrize("collinear", [False, True])
def test_eta_with_columns_held_fixed_is_that_of_a_regression_on_labels(collinear):
    rng = np.random.default_rng(4)
    group = np.concatenate([np.arange(6), rng.integers(0, 6, 294)])
    fixed = rng.standard_normal((300, 2)) + 0.2 * group[:, None]
    if collinear:  # one of the labels is held fixed itself
        fixed = np.column_stack([fixed, group == 2])
    y = rng.standard_normal(300) + 0.3 * group + fixed[:, 0]

    def unexplained(*columns):
        table = np.column_stack([np.ones(300), *columns])
        return np.square(y - table @ np.linalg.lstsq(table, y, rcond=None)[0]).sum()

    labels = (group[:, None] == np.arange(6)).astype(float)
    share = 1 - unexplained(fixed, labels) / unexplained(fixed)
    c = fixed.shape[1]
    corrected = 1 - (1 - share) * (299 - c) / (300 - 6 - c)
    found, _ = correlation_ratio(group, y, fixed)
    assert found.value == pytest.approx(np.sqrt(corrected), abs=1e-12)


def test_thousands_of_labels_take_no_column_each():
    rng = np.random.default_rng(5)
    group = np.arange(60_000) % 3000
    fixed, y = rng.standard_normal((60_000, 1)), rng.standard_normal(60_000)
    tracemalloc.start()
    correlation_ratio(group, y, fixed)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60_000 * 200  # a column for each label would be 24,000 bytes a row
