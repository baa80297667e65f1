import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import ds2
from ds2.curation.bias import measure_bias, remove_covariate
from ds2.curation.influence import correlation, correlation_ratio, mid_ranks, residuals
from ds2.errors import InputError


def draw(n, rho, rng, levels=6):
    """A number and a score of few levels that go with each other."""
    x = rng.normal(size=n)
    y = rho * x + np.sqrt(1 - rho**2) * rng.normal(size=n)
    return x, np.clip(np.round(1.2 * y + 2.5), 0, levels - 1)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), min_size=5, max_size=60))
def test_spearman_is_scipys(pairs):
    x, y = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    figure = correlation(mid_ranks(x), mid_ranks(y), ranks=True)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert np.isnan(figure.value)
    else:
        assert figure.value == pytest.approx(stats.spearmanr(x, y).statistic)
        assert figure.influence.mean() == pytest.approx(0, abs=1e-9)


def test_influence_is_the_jackknifes():
    rng = np.random.default_rng(0)
    x, y = draw(400, 0.5, rng)
    figure = correlation(mid_ranks(x), mid_ranks(y), ranks=True)
    left = np.array(
        [stats.spearmanr(np.delete(x, i), np.delete(y, i)).statistic for i in range(400)]
    )
    pseudo = 399 * (left.mean() - left)
    np.testing.assert_allclose(pseudo, figure.influence, atol=0.06)
    assert np.corrcoef(pseudo, figure.influence)[0, 1] > 0.999


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_intervals_of_spearman_hold_with_ties(rho):
    rng = np.random.default_rng(1)
    x, y = draw(400_000, rho, rng)
    truth = stats.spearmanr(x, y).statistic
    held = 0
    for _ in range(500):
        a, b = draw(150, rho, rng)
        figure = correlation(mid_ranks(a), mid_ranks(b), ranks=True)
        held += figure.low <= truth <= figure.high
    assert 0.915 <= held / 500 <= 0.98


def test_the_change_is_paired():
    rng = np.random.default_rng(2)
    held, widths = 0, []
    length = rng.normal(size=300_000)
    base = rng.normal(size=300_000)

    def scores(length, base, rng):
        raw = np.round(base + 0.5 * length)
        return raw, raw - 0.3 * length + 0.1 * rng.normal(size=len(raw))

    raw, curated = scores(length, base, rng)
    (row,) = measure_bias(raw, curated, {"length": length})
    truth = row.change.value
    for _ in range(300):
        pick = rng.integers(0, 300_000, 200)
        raw, curated = scores(length[pick], base[pick], rng)
        (row,) = measure_bias(raw, curated, {"length": length[pick]})
        held += row.change.low <= truth <= row.change.high
        widths.append((row.change.high - row.change.low) / (row.raw.high - row.raw.low))
    assert 0.91 <= held / 300 <= 0.985
    assert np.mean(widths) < 0.8, "less wide than that of one alone"


def test_eta_is_unbiased_where_labels_say_nothing_and_right_where_they_do():
    rng = np.random.default_rng(3)
    null, held_null, held, uncorrected = [], 0, 0, []
    means = np.array([0.0, 0.3, 0.6, 0.9, 1.2])
    truth = float(np.sqrt(means.var() / (means.var() + 1)))
    for _ in range(300):
        group = rng.permutation(np.arange(200) % 5)
        y = rng.normal(size=200)
        figure = correlation_ratio(group, y)
        null.append(figure.value**2)
        held_null += figure.low <= 0
        uncorrected.append(
            np.corrcoef(np.eye(5)[group] @ [y[group == g].mean() for g in range(5)], y)[0, 1]
        )
        found = correlation_ratio(group, y + means[group])
        held += found.low <= truth <= found.high
    assert np.mean(null) < 0.01 < np.mean(np.square(uncorrected)) - 0.005
    assert held_null / 300 > 0.93
    assert 0.9 <= held / 300 <= 0.99


def test_partial_figures_take_the_others_out():
    rng = np.random.default_rng(4)
    n = 4000
    length = rng.normal(size=n)
    source = np.where(length + rng.normal(size=n) > 0, "long", "short")
    raw = length + rng.normal(size=n)
    rows = {
        row.covariate: row for row in measure_bias(raw, raw, {"length": length, "source": source})
    }
    assert rows["source"].raw.value > 0.3
    assert rows["source"].raw_partial.value < 0.08
    assert rows["length"].raw_partial.value > 0.5
    assert rows["length"].change.value == 0
    assert rows["source"].measure == "eta"
    assert rows["source"].n_labels == 2
    x, y = mid_ranks(length), mid_ranks(raw)
    dummy = (source == "short").astype(float)[:, None]
    expected = np.corrcoef(residuals(x, dummy), residuals(y, dummy))[0, 1]
    assert rows["length"].raw_partial.value == pytest.approx(expected)


def test_missing_values_are_left_out_and_constant_ones_are_not_measured():
    rng = np.random.default_rng(5)
    raw = rng.integers(0, 6, 300).astype(float)
    raw[:10] = np.nan
    length = rng.normal(size=300)
    length[10:30] = np.nan
    language: list[object] = ["en", "de"] * 150
    language[40] = None
    rows = measure_bias(
        raw,
        raw,
        {
            "length": length,
            "language": language,
            "same": np.ones(300),
            "id": [f"x{i}" for i in range(300)],
            "few": np.where(np.arange(300) < 280, np.nan, 1.0),
        },
    )
    found = {row.covariate: row for row in rows}
    assert (found["length"].n, found["language"].n) == (270, 289)
    expected = stats.spearmanr(raw[30:], length[30:]).statistic
    assert found["length"].raw.value == pytest.approx(expected)
    assert "id" in found["length"].note
    assert np.isnan(found["same"].raw.value)
    assert np.isnan(found["id"].raw.value)
    assert "say nothing" in found["id"].note
    assert "Only 20 rows" in found["few"].note


def test_bias_does_not_depend_on_the_order_of_rows():
    rng = np.random.default_rng(6)
    x, raw = draw(200, 0.5, rng)
    source = rng.choice(["a", "b", "c"], 200)
    order = rng.permutation(200)
    here = measure_bias(raw, raw + x, {"x": x, "source": source})
    there = measure_bias(raw[order], (raw + x)[order], {"x": x[order], "source": source[order]})
    for one, two in zip(here, there, strict=True):
        for name in ("raw", "curated", "change", "raw_partial", "curated_partial"):
            a, b = getattr(one, name), getattr(two, name)
            np.testing.assert_allclose([a.value, a.low, a.high], [b.value, b.low, b.high])


@pytest.fixture(scope="module")
def biased():
    """Quality by neighbourhood; length goes with topic and, wrongly, with the score."""
    rng = np.random.default_rng(7)
    simulated = ds2.simulate(4000, seed=7)
    neighbors = ds2.find_neighbors(simulated.vectors)
    quality = simulated.true_scores + 0.4 * rng.normal(size=4000)
    length = 0.5 * simulated.true_scores + rng.normal(size=4000)
    within = length - 0.5 * simulated.true_scores
    return quality, length, within, quality + 0.6 * within, neighbors


def test_what_length_explains_within_neighbourhoods_is_removed(biased):
    quality, length, within, scores, neighbors = biased
    cleaned = remove_covariate(scores, length, neighbors)
    assert np.corrcoef(within, scores - quality)[0, 1] > 0.99
    assert abs(np.corrcoef(within, cleaned - quality)[0, 1]) < 0.35
    assert np.corrcoef(cleaned, quality)[0, 1] > np.corrcoef(scores, quality)[0, 1] + 0.02
    assert cleaned.mean() == pytest.approx(scores.mean())
    before, after = (stats.spearmanr(one, length).statistic for one in (scores, cleaned))
    assert after < before - 0.1
    assert after > 0.2, "what goes with the topic stays"


def test_labels_are_removed_within_neighbourhoods(biased):
    quality, _, _, _, neighbors = biased
    source = np.where(np.arange(4000) % 3 == 0, "a", "b")
    cleaned = remove_covariate(quality + 0.8 * (source == "a"), source, neighbors)
    gap = cleaned[source == "a"].mean() - cleaned[source == "b"].mean()
    honest = quality[source == "a"].mean() - quality[source == "b"].mean()
    assert gap == pytest.approx(honest, abs=0.1)


def test_a_covariate_that_explains_nothing_changes_nearly_nothing(biased):
    quality, *_, neighbors = biased
    cleaned = remove_covariate(quality, np.random.default_rng(8).normal(size=4000), neighbors)
    assert np.abs(cleaned - quality).max() < 0.1


def test_removal_equals_the_naive_one_and_leaves_missing_rows_alone():
    rng = np.random.default_rng(9)
    simulated = ds2.simulate(150, seed=1)
    neighbors = ds2.find_neighbors(simulated.vectors, k=4)
    values, length = rng.normal(size=150), rng.normal(size=150)
    values[:7], length[20:25] = np.nan, np.nan
    filled = np.where(np.isnan(length), np.nanmedian(length), length)
    rank = 2 * ((stats.rankdata(filled) - 0.5) / 150 - 0.5)
    rows, left, right = [], [], []
    for i in range(150):
        near = [j for j in neighbors.indices[i] if not np.isnan(values[j] + length[j])]
        if np.isnan(values[i] + length[i]) or not near:
            continue
        rows.append(i)
        right.append(values[i] - values[near].mean())
        left.append([rank[i] ** p - (rank[near] ** p).mean() for p in (1, 2, 3)])
    slope = np.linalg.lstsq(np.array(left), np.array(right), rcond=None)[0]
    fitted = np.array(left) @ slope
    expected = values.copy()
    expected[rows] -= fitted - fitted.mean()
    np.testing.assert_allclose(remove_covariate(values, length, neighbors), expected, atol=1e-9)


def test_bad_input_to_bias_is_one_sentence(untyped):
    scores = np.arange(50.0)
    with pytest.raises(InputError, match="'length' must have 50 rows"):
        measure_bias(scores, scores, {"length": np.ones(3)})
    with pytest.raises(InputError, match="must have shape"):
        measure_bias(scores, scores, {"length": np.ones((50, 2))})
    with pytest.raises(InputError, match="'curated' must have 50 rows"):
        measure_bias(scores, scores[:4], {})


def test_one_label_explains_nothing_and_stops_nothing():
    vectors = np.random.default_rng(0).standard_normal((60, 4))
    values = np.arange(60) % 6.0
    for source in (["web"] * 60, [str(i) for i in range(60)]):
        cleaned = remove_covariate(values, source, ds2.find_neighbors(vectors))
        np.testing.assert_array_equal(cleaned, values)
