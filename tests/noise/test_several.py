import numpy as np
import pytest
from raters_sample import distance, estimate, rater, rounding, scored, some

import ds2
from ds2.errors import InputError
from ds2.noise.model import Links, Patterns

T = np.array([rater(0.5), rater(0.7)])


@pytest.fixture(scope="module")
def pool():
    simulated = ds2.simulate(3000, clusterability=0.5, seed=2)
    scores = scored(simulated.true_scores, T)
    return simulated, scores, ds2.find_neighbors(simulated.vectors)


@pytest.fixture(scope="module")
def joint(pool):
    return estimate(pool[1], pool[2])


def test_two_raters_and_neighbours_determine_everything(joint):
    assert joint.matrix.shape == (2, 6, 6)
    assert distance(joint.matrix, T) < 0.1
    assert joint.rho == pytest.approx(0.5, abs=0.1)
    assert joint.rho_interval[0] <= 0.5 <= joint.rho_interval[1]
    assert joint.rho_source == "raters"
    assert joint.error_rate == pytest.approx(joint.error_rates.mean())
    np.testing.assert_allclose(joint.error_rates, [0.5, 0.3], atol=0.08)
    seen = T >= 0.02
    low, high = joint.intervals
    inside = ((low <= T) & (high >= T))[seen]
    assert np.nanmean(inside) > 0.85
    assert joint.range_informative


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_intervals_hold_where_near_levels_are_hard_to_tell_apart(seed):
    simulated = ds2.simulate(1000, clusterability=0.6, seed=seed)
    two = np.array([rounding(0.8), rounding(1.1)])
    scores = scored(simulated.true_scores, two, seed, missing=0)
    found = estimate(scores, ds2.find_neighbors(simulated.vectors), n_bootstrap=0)
    low, high = found.intervals
    assert ((low <= two) & (two <= high))[two >= 0.02].mean() > 0.85
    low, high = found.prior_intervals
    assert ((low <= simulated.prior) & (simulated.prior <= high)).mean() > 0.8


def test_rho_lies_in_its_interval():
    rng = np.random.default_rng(0)
    vectors = np.random.default_rng(1).normal(size=(50, 16)).astype(np.float32)
    scores = rng.integers(0, 6, (50, 3)).astype(float)
    found = estimate(scores, ds2.find_neighbors(vectors, k=2))
    assert found.rho_interval[0] <= found.rho <= found.rho_interval[1]


def test_one_rater_of_several_reads_like_an_estimate_of_one(joint, pool):
    one = joint.rater(1)
    np.testing.assert_array_equal(one.matrix, joint.matrix[1])
    assert one.matrix.shape == (6, 6)
    assert one.range.shape == (2, 6, 6)
    assert one.n_raters == 1
    alone = joint.raters[1]
    again = estimate(pool[1][:, 1], pool[2], rho=joint.rho, n_bootstrap=0)
    np.testing.assert_array_equal(alone.matrix, again.matrix)
    with pytest.raises(InputError, match="'number' must be a whole number"):
        joint.rater(2)


def test_raters_that_neighbours_do_not_help_are_still_fitted():
    simulated = ds2.simulate(3000, clusterability=0.0, seed=3)
    three = np.array([rater(0.5), rater(0.6), rater(0.7)])
    scores = scored(simulated.true_scores, three)
    found = estimate(scores, ds2.find_neighbors(simulated.vectors))
    assert distance(found.matrix, three) < 0.12
    assert found.rho < 0.1
    assert any("Neighbours hardly share a true score" in said for said in found.warnings)


def test_gold_overrules_raters_who_err_together():
    simulated = ds2.simulate(3000, clusterability=0.5, seed=4)
    rng = np.random.default_rng(0)
    scores = scored(simulated.true_scores, T, missing=0.0)
    generous = rng.random(3000) < 0.35  # both see these one level too high
    scores[generous] = np.minimum(scores[generous] + 1, 5)
    drawn = []
    for m in range(2):
        counts = np.zeros((6, 6))
        np.add.at(counts, (simulated.true_scores.astype(int), scores[:, m].astype(int)), 1)
        drawn.append(counts / counts.sum(axis=1, keepdims=True))
    drawn = np.array(drawn)
    neighbors = ds2.find_neighbors(simulated.vectors)
    blind = estimate(scores, neighbors)
    seeing = estimate(scores, neighbors, gold=some(simulated.true_scores, 400))
    assert seeing.rho_source == "gold"
    assert seeing.n_gold == 400
    assert distance(seeing.matrix, drawn) < distance(blind.matrix, drawn)


def test_a_rater_with_few_scores_is_part_of_the_whole(pool):
    _, scores, neighbors = pool
    few = scores.copy()
    few[3:, 1] = np.nan
    found = estimate(few, neighbors)
    assert found.raters[1] is None
    with pytest.raises(InputError, match="Rater 2 has too few rated neighbours"):
        found.rater(1)


def test_levels_out_of_order_are_said(pool):
    simulated, _, neighbors = pool
    scores = scored(simulated.true_scores, [rater(0.6)] * 3)
    scores[:, 2] = np.where(scores[:, 2] == 1, 3, np.where(scores[:, 2] == 3, 1, scores[:, 2]))
    found = estimate(scores, neighbors)
    assert any("Levels 1 and 3 of rater 3 are out of order" in said for said in found.warnings)


def test_too_many_levels_are_refused_before_the_work_starts(pool):
    _, scores, neighbors = pool
    with pytest.raises(InputError, match="at most 20 levels"):
        estimate(scores * 8, neighbors, n_scores=50)


def test_an_ordinal_prior_of_nothing_is_none(pool):
    simulated, scores, _ = pool
    few = scores[:400].copy()
    near = ds2.find_neighbors(simulated.vectors[:400])
    free, usual, strong = (
        estimate(few, near, ordinal_prior=strength) for strength in (0, "auto", 50)
    )
    same = estimate(few, near, ordinal_prior=4)
    np.testing.assert_array_equal(usual.matrix, same.matrix)
    empty = [int((found.matrix < 0.01).sum()) for found in (free, usual, strong)]
    assert empty[0] > empty[1] + 5 > empty[2] + 10


def test_pairs_are_counted_as_by_hand(pool):
    _, scores, neighbors = pool
    patterns = Patterns.build(scores, None, 6)
    links = Links.build(patterns, neighbors, 3, np.random.default_rng(0), most=10**6)
    rated = ~np.isnan(scores).all(axis=1)
    counted = {}
    for n in np.flatnonzero(rated):
        near = [j for j in neighbors.indices[n, :3] if rated[j]]
        for j in near:
            key = tuple(sorted([tuple(np.nan_to_num(scores[r], nan=-1)) for r in (n, j)]))
            counted[key] = counted.get(key, 0) + 1 / len(near)
    assert links.counts.sum() == pytest.approx(sum(counted.values()))
    names = patterns.scores.astype(float)
    for a, b, weight in zip(links.first, links.second, links.counts, strict=True):
        key = tuple(sorted([tuple(names[a]), tuple(names[b])]))
        assert counted[key] == pytest.approx(weight)


def test_of_very_many_pairs_some_are_counted(pool, joint, monkeypatch):
    monkeypatch.setattr("ds2.noise.model.MOST_LINKS", 4000)
    _, scores, neighbors = pool
    patterns, rng = Patterns.build(scores, None, 6), np.random.default_rng(0)
    links = Links.build(patterns, neighbors, 5, rng, most=10**6)
    assert links.counts.sum() == pytest.approx(2000)  # an example's two nearest weigh 1 together
    some = estimate(scores, neighbors)
    assert distance(some.matrix, joint.matrix) < 0.05
    wider = np.diff(some.intervals, axis=0).mean() / np.diff(joint.intervals, axis=0).mean()
    assert 1 < wider < np.sqrt(len(scores) / 2000) * 1.5


def test_the_same_seed_gives_the_same_estimate(pool, joint):
    again = estimate(pool[1], pool[2])
    np.testing.assert_array_equal(again.matrix, joint.matrix)
    np.testing.assert_array_equal(again.intervals, joint.intervals)
