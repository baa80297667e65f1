"""Gold drawn between two selections: its design, its estimate, its interval."""

from itertools import combinations, product

import numpy as np
import pytest

from ds2.curation import gold_between, plan_gold_between
from ds2.curation.between import _Sample
from ds2.errors import InputError


def pool(n=2000, seed=0):
    """(trusted, curated, A, B): A the best by the curated score, B larger and by another one."""
    rng = np.random.default_rng(seed)
    quality = rng.normal(size=n)
    truth = np.clip(np.rint(2.2 + 1.1 * quality), 0, 5)
    curated = 2.2 + 0.8 * quality + 0.8 * rng.normal(size=n)
    other = 2.2 + 0.5 * quality + rng.normal(size=n)
    return truth, curated, np.argsort(-curated)[:150], np.argsort(-other)[:200]


def scored(plan, truth):
    gold = np.full(len(truth), np.nan)
    gold[plan.rows] = truth[plan.rows]
    return gold


def difference(truth, a, b):
    return truth[a].mean() - truth[b].mean()


def test_inclusion_probabilities_are_exact():
    _, curated, a, b = pool(400)
    rounds, counts = 1000, np.zeros(400)
    for seed in range(rounds):
        plan = plan_gold_between(curated, [(a[:40], b[:60])], size=50, seed=seed)
        counts[plan.rows] += 1
    expected = np.zeros(400)
    share = np.bincount(plan.strata, minlength=len(plan.sizes)) / plan.sizes
    expected[plan.stratum >= 0] = share[plan.stratum[plan.stratum >= 0]]
    np.testing.assert_allclose(share[plan.strata], plan.probabilities)
    open_ = (expected > 0) & (expected < 1)
    z = (counts - rounds * expected)[open_] / np.sqrt(rounds * (expected * (1 - expected))[open_])
    assert np.abs(z).max() < 4.5
    assert (z**2).mean() == pytest.approx(1, abs=0.3)
    assert (counts[expected == 0] == 0).all(), "rows that both hold alike, or neither"


def test_estimate_and_variance_are_unbiased_over_every_sample():
    """All samples of two strata, by enumeration; also with λ, as long as it is given."""
    rng = np.random.default_rng(0)
    sizes, drawn = np.array([5, 6]), (2, 3)
    strata = np.repeat([0, 1], sizes)
    w = np.where(strata == 0, 0.2, -1 / 6)
    y, f = rng.normal(size=11), rng.normal(size=11)
    g = w * f - np.array([(w * f)[strata == h].mean() for h in (0, 1)])[strata]
    for trust in (0.0, 0.7):
        values, variances = [], []
        parts = [combinations(np.flatnonzero(strata == h), drawn[h]) for h in (0, 1)]
        for chosen in product(*map(list, parts)):
            rows = np.concatenate(chosen)
            sample = _Sample((w * y)[rows], g[rows], w[rows], strata[rows], sizes, np.array(drawn))
            e = sample.z - trust * sample.g
            values.append(sample.total(e))
            inside = [e[strata[rows] == h].var(ddof=1) for h in (0, 1)]
            variances.append((sizes**2 * (1 - drawn / sizes) * inside / drawn).sum())
        assert np.mean(values) == pytest.approx(w @ y)
        assert np.mean(variances) == pytest.approx(np.var(values))


@pytest.mark.parametrize("size", [50, 200])
@pytest.mark.parametrize("kind", ["good", "says nothing"])
def test_intervals_hold_and_curated_scores_never_widen_them(size, kind):
    truth, curated, a, b = pool()
    f = curated if kind == "good" else np.random.default_rng(3).normal(size=2000)
    target, found = difference(truth, a, b), []
    for seed in range(150):
        plan = plan_gold_between(f, [(a, b)], size=size, seed=seed)
        (one,) = gold_between(plan, scored(plan, truth))
        held = one.low <= target <= one.high, one.plain.low <= target <= one.plain.high
        found.append(
            (one.value - target, *held, one.high - one.low, one.plain.high - one.plain.low)
        )
    error, held, plain, width, width_plain = np.array(found, dtype=float).T
    assert abs(error.mean()) < 3.5 * error.std() / np.sqrt(150)
    assert 0.9 <= held.mean() <= 0.99
    assert 0.9 <= plain.mean() <= 0.99
    assert width.mean() < 1.03 * width_plain.mean()
    foretold = plan.expected(size, (truth - f).std() if kind == "good" else truth.std())[0]
    assert width.mean() / 2 < 1.15 * foretold


def test_what_is_known_and_what_both_hold_needs_no_score():
    truth, curated, a, b = pool()
    b = np.concatenate([a[:50], b])
    b = np.unique(b)[: len(a)]
    plan = plan_gold_between(curated, [(a, b)], size=60)
    assert not set(plan.rows) & (set(a) & set(b)), "of equally large ones what both hold cancels"
    known = np.full(2000, np.nan)
    known[a[::3]] = truth[a[::3]]
    plan = plan_gold_between(curated, [(a, b)], size=60, gold=known)
    assert not set(plan.rows) & set(a[::3])
    assert set(np.flatnonzero(~np.isnan(plan.known))) == set(a[::3]) - (set(a) & set(b))
    whole = plan_gold_between(curated, [(a, b)], size=int(plan.sizes.sum()), gold=known)
    (one,) = gold_between(whole, scored(whole, truth))
    assert one.plain.low == pytest.approx(one.plain.high)
    assert one.plain.value == pytest.approx(difference(truth, a, b))
    assert one.low <= difference(truth, a, b) <= one.high
    assert one.high - one.low < 0.02


def test_a_larger_plan_extends_a_smaller_one_and_order_does_not_matter():
    truth, curated, a, b = pool()
    keys = np.random.default_rng(1).integers(0, 2**62, 2000)
    small = plan_gold_between(curated, [(a, b)], size=50, keys=keys, seed=4)
    large = plan_gold_between(curated, [(a, b)], size=120, keys=keys, seed=4)
    np.testing.assert_array_equal(large.rows[:50], small.rows)
    order = np.random.default_rng(2).permutation(2000)
    place = np.argsort(order)
    there = plan_gold_between(
        curated[order], [(place[a], place[b])], size=50, keys=keys[order], seed=4
    )
    np.testing.assert_array_equal(order[there.rows], small.rows)
    part = scored(large, truth)
    part[large.rows[50:]] = np.nan  # scored in part, as the smaller plan
    assert gold_between(large, part)[0].value == gold_between(small, scored(small, truth))[0].value


def test_duplicates_are_asked_for_once_and_cancel_where_each_has_one():
    _, curated, a, b = pool()
    keys = np.arange(2000)
    twin = np.setdiff1d(np.arange(2000), np.concatenate([a, b]))[0]
    row = np.setdiff1d(a, b)[0]
    keys[twin] = keys[row]  # B holds the twin of a row of A
    mine, theirs = a, np.append(b[: len(a) - 1], twin)
    plan = plan_gold_between(curated, [(mine, theirs)], size=60, keys=keys)
    assert plan.stratum[twin] == plan.stratum[row] == -1
    pool_mean = plan_gold_between(curated, [(mine, np.arange(2000))], size=60, keys=keys)
    assert (pool_mean.stratum[[twin, row]] >= 0).sum() == 1
    assert pool_mean.contrasts.sum() == pytest.approx(0, abs=1e-12)


def test_pairs_share_rows_and_each_has_its_own_estimate():
    truth, curated, a, b = pool()
    everything = np.arange(2000)
    plan = plan_gold_between(curated, [(a, b), (a, everything)], size=200)
    first, second = gold_between(plan, scored(plan, truth))
    assert first.low < difference(truth, a, b) < first.high
    assert second.low < difference(truth, a, everything) < second.high
    assert plan.bears_on() == (first.n, second.n)
    assert first.n + second.n > 200
    assert len(plan.expected(100, 0.8)) == 2


def test_too_few_scores_have_no_interval():
    truth, curated, a, b = pool()
    plan = plan_gold_between(curated, [(a, b)], size=60)
    gold = scored(plan, truth)
    gold[plan.rows[plan.strata == 0]] = np.nan
    (one,) = gold_between(plan, gold)
    assert np.isnan([one.value, one.low, one.plain.value]).all()
    gold = scored(plan, truth)
    gold[plan.rows[len(plan.sizes) :]] = np.nan
    (one,) = gold_between(plan, gold)
    assert np.isfinite(one.value)
    assert np.isnan(one.low)
    same = np.full(2000, np.nan)
    same[plan.rows] = 5.0  # everybody gives the best score: not certainty, but what few rows show
    (one,) = gold_between(plan, same)
    assert one.low < one.value < one.high


def test_unrated_rows_may_be_asked_for():
    truth, curated, a, b = pool()
    curated[b[:20]] = np.nan
    plan = plan_gold_between(curated, [(a, b)])
    assert (plan.stratum[np.setdiff1d(b[:20], a)] >= 0).all()
    assert len(plan.rows) == 200
    assert np.isfinite(gold_between(plan, scored(plan, truth))[0].low)


def test_bad_input_is_one_sentence(untyped):
    _, curated, a, b = pool()
    for pairs, more, words in (
        ([], {}, "'pairs' is empty"),
        ([(a, a[::-1])], {}, "the same rows"),
        ([(a, a[:0])], {}, "Got none"),
        ([(a, a + 2000)], {}, "row numbers in \\[0, 1999\\]"),
        ([(np.zeros(2000, bool), a)], {}, "np.flatnonzero of the marks"),
        ([(a.astype(float), b)], {}, "'pairs' must be row numbers. Got float64"),
        ([(a, b)], {"size": 3}, "two examples of each stratum"),
        ([(a, b)], {"size": 900}, "at most those in which"),
        ([(a, b)], {"gold": np.zeros(2000)}, "has a score already"),
        ([(a, b)], {"groups": np.zeros(3, dtype=int)}, "groups"),
    ):
        with pytest.raises(InputError, match=words):
            plan_gold_between(curated, pairs, **{"size": 50, **more})
    plan = plan_gold_between(curated, [(a, b)], size=50)
    for gold in (np.zeros(3), np.zeros((2000, 2)), np.full(2000, np.inf), np.full(2000, -999.0)):
        with pytest.raises(InputError, match="gold"):
            gold_between(plan, gold)


def test_a_pair_of_which_all_is_known_asks_for_nothing():
    truth, curated, a, b = pool()
    gold = np.full(len(truth), np.nan)
    known = np.union1d(a, b)
    gold[known] = truth[known]
    plan = plan_gold_between(curated, [(a, b), (a, np.arange(600, 900))], size=60, gold=gold)
    found, other = gold_between(plan, scored(plan, truth))
    assert found.value == pytest.approx(difference(truth, a, b))
    assert found.low == found.high == found.value
    assert other.low < other.high


def test_gold_of_no_row_is_none():
    _, curated, a, b = pool()
    plans = [
        plan_gold_between(curated, [(a, b)], size=60, gold=gold)
        for gold in (None, np.full(len(curated), np.nan))
    ]
    np.testing.assert_array_equal(plans[0].rows, plans[1].rows)


def test_selections_that_differ_in_copies_alone_are_told():
    _, curated, a, b = pool()
    copies = np.arange(len(curated))
    copies[1] = 0
    pairs = [(a, b), (np.array([0, 5]), np.array([1, 5]))]
    with pytest.raises(InputError, match="differ in exact copies alone"):
        plan_gold_between(curated, pairs, size=60, groups=copies)
