import numpy as np
import pytest
from auto_sample import seen
from scipy.optimize import nnls
from scipy.stats import spearmanr

import ds2
from ds2.curation.candidates import soft_scores
from ds2.curation.moments import (
    NeighborMeans,
    NoEvidence,
    Witnesses,
    certainty,
    correlations,
    level_map,
    nonnegative,
    shared_loadings,
)
from ds2.levels import rank_shares
from ds2.neighbors import deal, neighborhoods
from ds2.noise.panel import mean_z


def nobody(n):
    return Witnesses(np.empty((n, 0)), np.full(n, np.nan), np.zeros(n))


def prepared(n=1500, rho=0.5, seed=0):
    pool = ds2.simulate(n, clusterability=rho, seed=seed)
    neighbors = ds2.find_neighbors(pool.vectors)
    labels = neighborhoods(neighbors)
    folds = deal(labels, np.arange(n, dtype=np.uint64), 5, 0, 0)
    return pool, neighbors, NeighborMeans.build(neighbors), folds


def naive_means(neighbors, values):
    """Means by the definition: an edge counts both ways; groups are one entry."""
    n = neighbors.n
    first = np.arange(n) if neighbors.groups is None else neighbors.groups
    entries = np.unique(first)
    value = {}
    for e in entries:
        group = values[first == e]
        value[e] = group[~np.isnan(group)].mean() if (~np.isnan(group)).any() else np.nan

    def edges(k):
        weight = {e: {} for e in entries}
        for e in entries:
            for j, d in zip(neighbors.indices[e, :k], neighbors.distances[e, :k], strict=True):
                for a, b in ((e, j), (j, e)):
                    weight[a][b] = weight[a].get(b, 0.0) + max(0.0, 1 - float(d))
        return weight

    def mean(weight, of):
        result = {}
        for e in entries:
            known = [(w, of[j]) for j, w in weight[e].items() if not np.isnan(of[j]) and w > 0]
            total = sum(w for w, _ in known)
            result[e] = sum(w * v for w, v in known) / total if known else np.nan
        return result

    def twice(weight):
        """Over the ways of two steps, but for those that come back."""
        result = {}
        for e in entries:
            ways = []
            for j, w in weight[e].items():
                known = {k: v for k, v in weight[j].items() if not np.isnan(value[k]) and v > 0}
                total = sum(known.values())
                ways += [(w * v / total, value[k]) for k, v in known.items() if k != e]
            total = sum(w for w, _ in ways)
            result[e] = sum(w * v for w, v in ways) / total if total > 0 else np.nan
        return result

    near, all_edges = edges(2), edges(neighbors.k)
    table = [mean(near, value), mean(all_edges, value), twice(all_edges)]
    return np.nan_to_num(np.array([[column[first[i]] for column in table] for i in range(n)]))


def test_neighbor_means_equal_the_naive_ones():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((60, 5))[np.append(np.arange(60), rng.integers(0, 60, 12))]
    neighbors = ds2.find_neighbors(vectors, 4)
    values = rng.standard_normal((72, 2))
    values[rng.random(72) < 0.4, 0] = np.nan
    found = NeighborMeans.build(neighbors)(values)
    for c in range(2):
        np.testing.assert_allclose(found[:, c], naive_means(neighbors, values[:, c]), atol=1e-5)


def test_folds_keep_neighbors_and_duplicates_together():
    pool, neighbors, _, folds = prepared(800)
    nearest = neighbors.indices[:, 0]
    assert (folds == folds[nearest]).all()
    assert np.bincount(folds).min() > 80
    order = np.random.default_rng(0).permutation(800)
    permuted = ds2.find_neighbors(pool.vectors[order])
    keys = np.arange(800, dtype=np.uint64)
    other = deal(neighborhoods(permuted), keys[order], 5, 0, 0)
    np.testing.assert_array_equal(other, folds[order])


def pull(values, scores):
    """Share of the variance that is between rows of the same ratings: what neighbours add."""
    patterns = np.unique(scores, axis=0, return_inverse=True)[1].reshape(-1)
    means = np.bincount(patterns, values) / np.bincount(patterns)
    return (values - means[patterns]).var() / values.var()


def test_soft_scores_beat_the_mean_where_neighbors_share_and_equal_it_where_they_do_not():
    gains = {}
    for rho in (0.0, 0.6):
        pool, _, means, folds = prepared(2000, rho)
        scores = seen(pool.true_scores, (2.0, 2.0))
        found = soft_scores(scores, nobody(2000), means, folds, 6)
        truth = pool.true_scores
        raw = np.corrcoef(rank_shares(mean_z(scores)), truth)[0, 1]
        gains[rho] = np.corrcoef(rank_shares(found.values), truth)[0, 1] - raw
        assert (pull(found.values, scores) > 0.05) == (rho > 0)
    assert gains[0.6] > 0.08
    assert gains[0.0] > -0.012


def test_the_pull_weakens_with_the_number_of_raters():
    pool, _, means, folds = prepared(3000, 0.4)
    scores = seen(pool.true_scores, (2.0,) * 5)
    few = soft_scores(scores[:, :2], nobody(3000), means, folds, 6)
    many = soft_scores(scores, nobody(3000), means, folds, 6)
    assert pull(many.values, scores) < pull(few.values, scores[:, :2])
    assert np.nanmean(many.se) < np.nanmean(few.se)


def test_no_rows_own_evidence_is_used_for_its_value():
    pool, _, means, folds = prepared(600, 0.6)
    scores = seen(pool.true_scores, (1.5, 1.5))
    use, extra = scores[:, :1], scores[:, 1:]
    before = soft_scores(use, Witnesses(extra, *[np.zeros(600)] * 2), means, folds, 6).values
    other = extra.copy()
    other[folds == 2] = np.minimum(other[folds == 2] + 1, 5)
    after = soft_scores(use, Witnesses(other, *[np.zeros(600)] * 2), means, folds, 6).values
    np.testing.assert_array_equal(after[folds == 2], before[folds == 2])
    assert (after[folds != 2] != before[folds != 2]).any()


def test_missing_ratings_are_allowed_and_rows_without_any_stay_missing():
    pool, _, means, folds = prepared(1500, 0.5)
    scores = seen(pool.true_scores, (1.0, 1.0, 1.0))
    scores[np.random.default_rng(0).random(scores.shape) < 0.4] = np.nan
    found = soft_scores(scores, nobody(1500), means, folds, 6)
    unrated = np.isnan(scores).all(axis=1)
    np.testing.assert_array_equal(np.isnan(found.values), unrated)
    count = (~np.isnan(scores)).sum(axis=1)
    assert found.se[count == 1].mean() > found.se[count == 3].mean()


def test_raters_that_do_not_agree_are_no_evidence():
    _, _, means, folds = prepared(800)
    scores = np.random.default_rng(3).integers(0, 6, (800, 2)).astype(float)
    with pytest.raises(NoEvidence, match="do not agree"):
        soft_scores(scores, nobody(800), means, folds, 6)
    with pytest.raises(NoEvidence, match="one rater"):
        soft_scores(scores[:, :1], nobody(800), means, folds, 6)


def test_loadings_find_the_better_rater_and_the_one_upside_down():
    rng = np.random.default_rng(0)
    truth = rng.standard_normal(5000)
    loads = np.array([0.9, 0.6, 0.4, -0.5])
    z = truth[:, None] * loads + rng.standard_normal((5000, 4)) * np.sqrt(1 - loads**2)
    z[rng.random(z.shape) < 0.2] = np.nan
    matrix, pairs = correlations(z, np.ones(5000, dtype=bool))
    np.testing.assert_allclose(shared_loadings(matrix, pairs, None, 0), loads, atol=0.05)
    one = shared_loadings(matrix[:2, :2], pairs[:2, :2], None, 0)
    assert one[0] == one[1] == pytest.approx(np.sqrt(0.54), abs=0.03)
    with_gold = shared_loadings(matrix[:2, :2], pairs[:2, :2], np.array([0.9, 0.6]), 400)
    assert with_gold[0] - with_gold[1] > 0.2


def test_level_maps_rise_unless_more_than_one_other_rater_says_otherwise():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 6, 4000).astype(float)
    target = (truth - truth.mean()) / truth.std() + rng.normal(0, 1, 4000)
    honest = level_map(truth[:60], [(target[:60], None, 0.0)], 0.8, 6, may_fall=True)
    assert (np.diff(honest) >= 0).all()
    swapped = np.array([1, 0, 2, 3, 4, 5])[truth.astype(int)].astype(float)
    found = level_map(swapped, [(target, None, 0.0)], 0.8, 6, may_fall=True)
    assert found[0] > found[1] < found[2]
    for one in (swapped, 5 - truth):  # however strong one rater's word is
        with pytest.raises(NoEvidence, match="differ on the order of levels"):
            level_map(one, [(target, None, 0.0)], 0.8, 6, may_fall=False)
    alone = level_map(truth, [], 0.5, 6, may_fall=True)
    np.testing.assert_allclose(np.diff(alone, n=2), 0, atol=1e-12)


def test_nonnegative_weights_equal_those_of_least_squares():
    rng = np.random.default_rng(0)
    for _ in range(20):
        X, y = rng.standard_normal((40, 4)), rng.standard_normal(40)
        np.testing.assert_allclose(nonnegative(X.T @ X, X.T @ y), nnls(X, y)[0], atol=1e-6)


def test_uncertain_ratings_count_less_as_far_as_the_evidence_bears_that_out():
    pool, _, means, folds = prepared(3000, rho=0.0, seed=4)
    rng = np.random.default_rng(4)
    sd = rng.choice([0.4, 1.5, 5.0], size=3000)
    own = np.clip(np.round(pool.true_scores + sd * rng.standard_normal(3000)), 0, 5)
    other = seen(pool.true_scores, (1.5,), 5)[:, 0]
    values = np.column_stack([own, other])
    unknown = np.full(3000, np.nan)

    def agreement(spread):
        stated = np.column_stack([spread, unknown])
        found = soft_scores(values, nobody(3000), means, folds, 6, spread=stated)
        return spearmanr(found.values, pool.true_scores).statistic

    plain = agreement(unknown)
    assert agreement(sd) > plain + 0.03
    assert agreement(rng.permutation(sd)) > plain - 0.01  # a spread that says nothing
    assert agreement(5 - sd) > plain - 0.01  # the more certain, the worse: not believed
    assert agreement(np.ones(3000)) == pytest.approx(plain, abs=1e-4)


def test_certainty_is_the_ratio_of_slopes():
    rng = np.random.default_rng(0)
    third = np.repeat([0, 1, 2], 100_000)
    z = rng.standard_normal(300_000)
    target = z * np.array([0.8, 0.6, 0.1])[third] + 0.5 * rng.standard_normal(300_000)
    found = certainty(z, third, [(target, None, 0.0)])
    np.testing.assert_allclose(found, np.array([0.8, 0.6, 0.1]) / 0.5, atol=0.02)
    alike = certainty(z, third[::-1], [(target, None, 0.0)])
    np.testing.assert_allclose(alike, 1.0, atol=0.02)  # rising worth is pooled
    assert (certainty(z, third, [(-target, None, 0.0)]) == 1).all()
