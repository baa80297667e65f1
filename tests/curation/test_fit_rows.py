"""Where more rows than ``fit_rows`` are rated, a part of them teaches what is applied to all."""

from dataclasses import fields

import numpy as np
import pytest
from auto_sample import estimates, prepared, quiet

import ds2
from ds2.errors import InputError
from ds2.measures import spearman
from ds2.neighbors import neighborhoods, some_of

SAYS = "Learned on"


@pytest.fixture(scope="module")
def sample():
    pool, scores, neighbors = prepared(4000, rho=0.6, sds=(1.2, 1.5, 1.8))
    scores[np.random.default_rng(3).random(scores.shape) < 0.05] = np.nan
    return pool, scores, neighbors, estimates(scores)


def gold_of(pool, n=80):
    gold = np.full(len(pool.scores), np.nan)
    rows = np.random.default_rng(1).choice(len(gold), n, replace=False)
    gold[rows] = pool.true_scores[rows]
    return gold


def said(curation):
    return [one for one in curation.warnings if one.startswith(SAYS)]


@pytest.mark.parametrize("method", ["auto", "soft", "fused", "fused+neighbors", "scorer"])
def test_a_part_teaches_nearly_what_all_do(sample, method):
    pool, scores, neighbors, noise = sample
    given = {"method": method, "vectors": pool.vectors, "seed": 2}
    whole = quiet(scores, neighbors, noise, **given)
    part = quiet(scores, neighbors, noise, fit_rows=1500, **given)
    assert not said(whole)
    (sentence,) = said(part)
    assert " of 4,000 rated rows" in sentence or " of 3,999 rated rows" in sentence
    assert 1200 <= int(sentence.split()[2].replace(",", "")) <= 1500
    assert part.method == whole.method
    assert spearman(part.scores, whole.scores) > 0.98
    true = pool.true_scores
    assert spearman(part.scores, true) > spearman(whole.scores, true) - 0.01


def test_where_few_enough_are_rated_nothing_changes(sample):
    _, scores, neighbors, noise = sample
    one, other = (
        quiet(scores, neighbors, noise, method="soft", fit_rows=most) for most in (4000, 10**6)
    )
    for field in fields(one):
        assert str(getattr(one, field.name)) == str(getattr(other, field.name))
    np.testing.assert_array_equal(one.scores, other.scores)
    np.testing.assert_array_equal(one.se, other.se)


@pytest.mark.parametrize("method", ["raw", "ds2"])
def test_what_learns_nothing_is_not_changed_and_says_nothing(sample, method):
    _, scores, neighbors, noise = sample
    whole, part = (
        quiet(scores[:, 0], neighbors, noise[0], method=method, fit_rows=most)
        for most in (10**6, 1000)
    )
    np.testing.assert_array_equal(part.scores, whole.scores)
    assert not said(part)


def test_which_rows_teach_depends_on_their_keys_and_not_on_their_order(sample):
    _, scores, neighbors, noise = sample
    n = len(scores)
    keys = np.random.default_rng(5).integers(0, 2**60, n).astype(np.uint64)
    order = np.random.default_rng(6).permutation(n)
    place = np.argsort(order)
    moved = ds2.Neighbors(
        place[neighbors.indices[order]].astype(np.int32), neighbors.distances[order], 1.0, "exact"
    )
    found = [
        some_of(neighborhoods(graph), own, np.ones(n, np.int8), 900, 7)
        for graph, own in ((neighbors, keys), (moved, keys[order]))
    ]
    np.testing.assert_array_equal(found[1], found[0][order])
    assert 700 <= found[0].sum() <= 900
    one = quiet(scores, neighbors, noise, method="soft", fit_rows=900, keys=keys)
    other = quiet(scores[order], moved, noise, method="soft", fit_rows=900, keys=keys[order])
    np.testing.assert_allclose(other.scores, one.scores[order], atol=1e-5)


def test_rows_with_gold_are_among_those_that_teach(sample):
    pool, scores, neighbors, noise = sample
    labels = neighborhoods(neighbors)
    gold = gold_of(pool)
    counted = np.ones(len(gold), np.int8) + ~np.isnan(gold)
    taken = some_of(labels, np.arange(len(gold), dtype=np.uint64), counted, 3000, 0)
    assert taken[~np.isnan(gold)].all()
    for label in np.unique(labels):
        assert len(set(taken[labels == label])) == 1
    assert taken.sum() <= 3000
    curation = quiet(
        scores[:, 0], neighbors, noise[0], gold=gold, fit_rows=3000, method="soft", seed=1
    )
    assert len(said(curation)) == 1
    assert not np.isnan(curation.scores[~np.isnan(scores[:, 0])]).any()


def test_unrated_rows_are_scored_by_what_a_part_taught(sample):
    pool, scores, neighbors, _ = sample
    features = np.column_stack([pool.true_scores, np.ones(len(scores))]).astype(np.float32)
    some = scores[:, :1].copy()
    some[np.random.default_rng(0).random(len(some)) < 0.4] = np.nan
    noise = estimates(some)[0]
    given = {"vectors": pool.vectors, "features": features}
    whole, part = (
        quiet(some[:, 0], neighbors, noise, fit_rows=most, **given) for most in (10**6, 1000)
    )
    assert part.method == "scorer" == whole.method
    assert len(said(part)) == 1
    assert not np.isnan(part.scores).any()
    assert spearman(part.scores, whole.scores) > 0.97


def test_fewer_than_100_rows_teach_nothing(sample):
    _, scores, neighbors, noise = sample
    with pytest.raises(InputError, match="'fit_rows'"):
        ds2.curate(scores, neighbors, noise, fit_rows=50)
