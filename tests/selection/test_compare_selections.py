"""Comparisons of selections: against naive counts, and an interval that holds."""

import numpy as np
import pytest

from ds2.errors import InputError
from ds2.neighbors import find_neighbors
from ds2.selection import (
    against_random,
    against_selection,
    compare_selections,
    long_tail_scores,
)


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def place():
    rng = np.random.default_rng(3)
    vectors = unit(rng.standard_normal((300, 16)))
    return vectors, find_neighbors(vectors, k=5), rng


def test_measures_are_those_of_naive_counts(place):
    vectors, neighbors, rng = place
    a, b = rng.choice(300, 40, replace=False), rng.choice(300, 60, replace=False)
    value = np.where(rng.random(300) < 0.2, np.nan, rng.random(300))
    sources = np.array(["x", "y", "z"])[rng.integers(0, 3, 300)]
    lengths = rng.integers(1, 50, 300)
    found = compare_selections(
        {"a": a, "b": b},
        300,
        values={"score": value},
        vectors=vectors,
        neighbors=neighbors,
        lengths=lengths,
        sources=sources,
    )
    distance = 1 - vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    radius = np.median(neighbors.distances[:, -1])
    assert found.radius == pytest.approx(radius)
    for name, rows in (("a", a), ("b", b)):
        one = found.selections[["a", "b"].index(name)]
        assert one.means["score"] == pytest.approx(np.nanmean(value[rows]))
        assert one.tail == pytest.approx(long_tail_scores(neighbors)[rows].mean())
        assert one.coverage == pytest.approx((distance[:, rows].min(axis=1) <= radius).mean())
        inner = distance[np.ix_(rows, rows)] + 9 * np.eye(len(rows))
        assert one.nearest == pytest.approx(inner.min(axis=1).mean(), abs=1e-5)
        assert one.redundancy == pytest.approx((inner.min(axis=1) <= radius).mean())
        assert one.length == pytest.approx(lengths[rows].mean())
        for source, share in one.sources.items():
            assert share == pytest.approx((sources[rows] == source).mean())
    common = len(set(a.tolist()) & set(b.tolist()))
    assert found.overlap[0, 1] == pytest.approx(common / 40)
    assert found.chance[1, 0] == pytest.approx(60 / 300)


def test_what_is_not_given_is_nan_and_not_a_guess():
    found = compare_selections({"a": np.array([0, 2])}, 5)
    (one,) = found.selections
    assert np.isnan([one.tail, one.coverage, one.redundancy, one.length, found.radius]).all()
    assert one.sources == {}
    assert found.n_sampled == 0


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "The selection 'bad' is empty"),
        ([5], "bad.* must be row numbers in .0, 4.. Got 5"),
        ([-1, 2], "bad.* must be row numbers in .0, 4.. Got -1"),
        ([True, False, True, True, True], "bad.* must be row numbers. Got bool"),
    ],
)
def test_rows_outside_the_pool_are_named(rows, words, untyped):
    with pytest.raises(InputError, match=words):
        compare_selections({"bad": np.array(rows, dtype=None if rows else int)}, 5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rows": np.arange(40) < 9}, r"'rows' must be row numbers.*np\.flatnonzero"),
        ({"rows": [40]}, "'rows' must be row numbers in .0, 39.. Got 40"),
        ({"eligible": np.arange(20)}, "'eligible' must be True or False for each of the 40 rows"),
        ({"eligible": np.ones(20, bool)}, "'eligible' must have 40 rows"),
        ({"values": ["a"] * 40}, "'values' must hold numbers"),
        ({"values": np.append(np.ones(39), np.inf)}, "'values' row 39 is inf"),
        ({"weights": -np.ones(40)}, "'weights' must be finite and 0 or more. Got -1 in row 0"),
    ],
)
def test_bad_input_to_a_comparison_with_random_is_one_sentence(change, words, untyped):
    given = {"values": np.arange(40.0), "rows": np.arange(9), **change}
    with pytest.raises(InputError, match=words):
        against_random(given.pop("values"), given.pop("rows"), **given)


def test_an_empty_selection_has_no_figure(untyped):
    assert np.isnan(against_random(np.arange(40.0), []).difference)


def test_a_selection_by_the_value_itself_beats_every_draw_and_a_random_one_does_not():
    rng = np.random.default_rng(0)
    value = rng.random(2000)
    best = np.argsort(-value)[:200]
    found = against_random(value, best)
    assert found.better is True
    assert found.beaten == 1.0
    assert found.random == pytest.approx(value.mean())
    assert found.difference == pytest.approx(value[best].mean() - value.mean())
    worst = against_random(value, np.argsort(value)[:200])
    assert worst.better is False


def test_the_interval_holds_the_true_difference_19_times_in_20():
    """With gold on few rows, drawn with known and unequal probabilities."""
    rng = np.random.default_rng(1)
    n, held = 4000, []
    truth = rng.normal(size=n)
    chosen = np.flatnonzero(truth + rng.normal(size=n) > 1.0)
    real = truth[chosen].mean() - truth.mean()
    selected = np.isin(np.arange(n), chosen)
    chance = np.where(selected, 0.08, 0.02)
    for _ in range(400):
        gold = rng.random(n) < chance
        found = against_random(
            np.where(gold, truth, np.nan),
            chosen,
            weights=np.where(gold, 1 / chance, np.nan),
            n_draws=20,
        )
        held.append(found.low <= real <= found.high)
    assert 0.92 <= np.mean(held) <= 0.98


def test_random_rows_of_the_same_sources_are_the_harder_baseline():
    rng = np.random.default_rng(2)
    source = np.repeat(["good", "bad"], 500)
    value = np.where(source == "good", 1.0, 0.0) + 0.01 * rng.random(1000)
    rows = rng.choice(500, 100, replace=False)
    plain = against_random(value, rows)
    mixed = against_random(value, rows, sources=source)
    assert plain.better is True
    assert mixed.mixed
    assert mixed.random == pytest.approx(value[:500].mean())
    assert abs(mixed.difference) < 0.01


def test_the_interval_is_as_wide_as_chance_among_rows_of_the_same_sources():
    """What sources differ by is no chance: random selections hold as many rows of each."""
    rng = np.random.default_rng(3)
    source, held = np.arange(1000) % 4, []
    for seed in range(400):
        value = 2.0 * source + rng.normal(size=1000)
        rows = rng.choice(1000, 200, replace=False)
        found = against_random(value, rows, sources=source, n_draws=20, seed=seed)
        held.append(found.low <= 0 <= found.high)
    assert 0.92 <= np.mean(held) <= 0.97


@pytest.mark.parametrize("judged", [10, 40])
@pytest.mark.parametrize("kind", ["levels", "heavy"])
def test_a_random_selection_of_few_rows_is_rarely_called_better_or_worse(kind, judged):
    """Values lie askew: a mean of few goes with their variance."""
    wrong = np.zeros(2)
    for seed in range(600):
        rng = np.random.default_rng(seed)
        value = np.exp(1.5 * rng.normal(size=800))
        if kind == "levels":
            value = rng.choice(6, 800, p=[0.02, 0.05, 0.1, 0.2, 0.6, 0.03]).astype(float)
        found = against_random(value, rng.choice(800, judged, replace=False), n_draws=20)
        wrong += found.low > 0, found.high < 0
    assert (wrong / 600 < 0.045).all()


def test_judged_rows_that_happen_to_be_equal_say_no_more_than_others():
    rng = np.random.default_rng(5)
    value = rng.choice(6, 1000).astype(float)
    equal = np.flatnonzero(value == 3)[:10]
    found = against_random(value, equal)
    assert found.better is None
    assert found.high - found.low > value.std()
    pair = against_selection(value, equal, rng.choice(1000, 10, replace=False))
    assert pair.high - pair.low > value.std()
    assert against_selection(value, equal, equal).low == 0
    assert against_random(np.full(40, 0.1), np.arange(9)).better is None


def test_too_few_gold_rows_carry_no_interval():
    value = np.full(100, np.nan)
    value[:5] = 1.0
    found = against_random(value, np.arange(20))
    assert np.isnan(found.low)
    assert found.better is None
    assert found.n == 5
    with pytest.raises(InputError, match="n_draws"):
        against_random(value, np.arange(20), n_draws=3)


def test_a_paired_difference_is_that_of_the_rows_that_differ():
    rng = np.random.default_rng(0)
    values = rng.normal(size=2000)
    same, one, other = np.split(rng.permutation(2000)[:300], 3)
    a, b = np.concatenate([same, one]), np.concatenate([same, other])
    found = against_selection(values, a, b)
    assert found.value == pytest.approx((values[one].mean() - values[other].mean()) / 2)
    usual = np.sqrt((values[one].var() + values[other].var()) / 100) / 2
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * usual, rel=0.1)
    together = against_selection(values, a, b, n_compared=10)
    assert together.high - together.low == pytest.approx(
        2.807 / 1.96 * (found.high - found.low), rel=1e-2
    )
    back = against_selection(values, b, a)
    assert (back.value, back.low) == pytest.approx((-found.value, -found.high))
    few = np.full(2000, np.nan)
    few[one[:7]], few[other] = 1.0, 0.0
    assert np.isnan(against_selection(few, one, other).low)


def test_nine_of_ten_intervals_of_equal_selections_hold_zero():
    rng, inside = np.random.default_rng(1), 0
    for _ in range(400):
        values = rng.normal(size=400)
        rows = rng.permutation(400)
        found = against_selection(values, rows[:60], rows[30:90])
        inside += found.low < 0 < found.high
    assert 0.92 <= inside / 400 <= 0.98
