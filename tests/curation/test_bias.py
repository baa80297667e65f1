import numpy as np
import pytest
from auto_sample import curated, prepared, seen, some
from scipy import stats

import ds2
from ds2.curation import measure_bias, remove_covariate
from ds2.errors import InputError
from ds2.measures import residuals


def draw(n, rho, rng, levels=6):
    """A number and a score of few levels that go with each other."""
    x = rng.normal(size=n)
    y = rho * x + np.sqrt(1 - rho**2) * rng.normal(size=n)
    return x, np.clip(np.round(1.2 * y + 2.5), 0, levels - 1)


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
    x, y = stats.rankdata(length), stats.rankdata(raw)
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
    neighbors = ds2.find_neighbors(np.eye(8, dtype=np.float32), k=3)
    with pytest.raises(
        InputError, match=r"'values' must be an array.* Pass values=curation\.scores"
    ):
        ds2.remove_covariate("a", scores, neighbors)
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


def named(found, *words):
    return [said for said in found.warnings if all(word in said for word in words)]


@pytest.fixture(scope="module")
def swayed():
    """Two raters who like length beside quality, which has nothing to do with it."""
    pool, _, neighbors = prepared(1500, 0.3)
    length = np.random.default_rng(2).normal(size=1500)
    return pool.true_scores, seen(pool.true_scores + length, (1.0, 1.0)), length, neighbors


def test_what_two_raters_go_with_is_named_until_gold_says_that_it_is_quality(swayed):
    truth, scores, length, neighbors = swayed
    source = np.where(length > 0.5, "long", "short")
    blind = curated(scores, neighbors, covariates={"length": length, "source": source})
    assert len(named(blind, "The scores go with length (Spearman", "only trusted scores")) == 1
    assert len(named(blind, "The scores go with source (correlation ratio", "control")) == 1
    told = curated(scores, neighbors, covariates={"length": length}, gold=some(truth, 200))
    assert len(named(told, "The scores go with length", "more than trusted scores do", "bias")) == 1
    quality = np.clip(np.round(truth + length), 0, 5)
    fine = curated(scores, neighbors, covariates={"length": length}, gold=some(quality, 200))
    assert not named(fine, "length")


def test_what_one_of_two_raters_goes_with_is_not_shared(swayed):
    truth, scores, length, neighbors = swayed
    scores = np.column_stack([scores[:, 0], seen(truth, (1.0,), 7)[:, 0]])
    assert not named(curated(scores, neighbors, covariates={"length": length}), "go with")
    only = curated(scores[:, 0], neighbors, covariates={"length": length})
    assert len(named(only, "The scores go with length")) == 1


def test_honest_raters_are_not_said_to_share_anything():
    said = 0
    for seed in range(12):
        pool, scores, neighbors = prepared(500, 0.3, (1.0, 1.0, 1.0), seed)
        rng = np.random.default_rng(seed)
        covariates = {"length": rng.normal(size=500), "source": rng.choice(list("abcd"), 500)}
        gold = some(pool.true_scores, 100, seed)
        found = curated(scores, neighbors, covariates=covariates, gold=gold)
        said += bool(named(found, "go with")) + bool(named(found, "share errors"))
    assert said <= 1


def test_a_hidden_error_that_raters_share_is_shown_by_gold():
    pool, _, neighbors = prepared(1500, 0.3)
    hidden = 1.5 * np.random.default_rng(4).normal(size=1500)
    scores = seen(pool.true_scores + hidden, (0.8, 0.8, 0.8))
    assert not named(curated(scores, neighbors), "share errors")
    told = curated(scores, neighbors, gold=some(pool.true_scores, 200))
    assert len(named(told, "The raters share errors that the trusted scores do not")) == 1


def test_a_gain_that_is_only_the_covariates_is_no_gain():
    n = 2000
    rng = np.random.default_rng(6)
    place = rng.standard_normal((n // 8, 6)).repeat(8, axis=0) + 0.2 * rng.standard_normal((n, 6))
    length = 2.0 * rng.standard_normal(n // 8).repeat(8)  # neighbours share it, not quality
    truth = 2.5 + rng.standard_normal(n)
    scores, neighbors = seen(truth + length, (1.5, 1.5)), ds2.find_neighbors(place)
    fooled = curated(scores, neighbors)
    assert fooled.method != "raw"
    aware = curated(scores, neighbors, covariates={"length": length})
    ours, raw = (stats.spearmanr(one, truth).statistic for one in (aware.scores, aware.raw))
    assert ours > raw - 0.02
    assert stats.spearmanr(fooled.scores, truth).statistic < raw - 0.02


def test_control_takes_out_what_raters_share(swayed):
    truth, scores, length, neighbors = swayed
    for method in ("raw", "auto"):
        plain = curated(scores, neighbors, method=method).scores
        freed = curated(scores, neighbors, method=method, control={"length": length}).scores
        before, after = (stats.spearmanr(one, length).statistic for one in (plain, freed))
        assert before > 0.3
        assert abs(after) < 0.1
        right = [stats.spearmanr(one, truth).statistic for one in (plain, freed)]
        assert right[1] > right[0]
        assert 0 <= freed.min() <= freed.max() <= 5


def test_numbers_of_numpy_in_a_list_are_numbers():
    rng = np.random.default_rng(0)
    length, scores = rng.integers(1, 500, 200), rng.integers(0, 6, 200)
    of_array, of_list = (
        measure_bias(scores, scores, {"length": covariate})[0]
        for covariate in (length, list(length))
    )
    assert of_list == of_array
    assert of_list.measure == "spearman"


def test_thousands_of_labels_take_no_column_each(monkeypatch):
    wide = []
    real = np.linalg.lstsq
    monkeypatch.setattr(
        np.linalg, "lstsq", lambda a, b, **k: wide.append(a.shape) or real(a, b, **k)
    )
    rng = np.random.default_rng(0)
    neighbors = ds2.find_neighbors(rng.standard_normal((2000, 4)).astype(np.float32))
    labels = [f"source {i}" for i in rng.integers(0, 300, 2000)]
    remove_covariate(rng.standard_normal(2000), labels, neighbors)
    assert wide == [(2000, 50)]
