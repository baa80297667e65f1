"""Rows are worked on in blocks: neither results nor memory depend on how many there are."""

import tracemalloc
import warnings
from dataclasses import fields

import numpy as np
import pytest

import ds2
from ds2.errors import Ds2Warning
from ds2.neighbors import blocks, neighborhoods
from ds2.noise import model
from ds2.noise.triples import _total


def planted(n, n_raters=1, seed=0, k=10):
    """Scores, and a graph of random rows among the 40 around each, whose truth is alike."""
    rng = np.random.default_rng(seed)
    away = rng.permuted(np.tile(np.arange(1, 41), (n, 1)), axis=1)[:, :k]
    away *= rng.choice([-1, 1], away.shape)
    indices = ((np.arange(n)[:, None] + away) % n).astype(np.int32)
    distances = np.sort(rng.gamma(4.0, 0.1, indices.shape), axis=1).clip(0, 2).astype(np.float32)
    truth = np.repeat(rng.integers(0, 6, -(-n // 50)), 50)[:n]
    wrong = rng.random((n, n_raters)) < 0.4
    scores = np.where(wrong, rng.integers(0, 6, wrong.shape), truth[:, None]).astype(float)
    neighbors = ds2.Neighbors(indices, distances, 1.0, "exact")
    return scores[:, 0] if n_raters == 1 else scores, neighbors


def same(one, two):
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(two, field.name)
        if isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b, err_msg=field.name)
        else:
            assert str(a) == str(b), field.name


def outcome(scores, neighbors):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ds2Warning)
        noise = ds2.estimate_transition(scores, neighbors, n_scores=6, n_bootstrap=6)
        return noise, ds2.curate(scores, neighbors, noise, method="ds2", n_draws=5)


@pytest.mark.parametrize("groups", [False, True])
def test_results_do_not_depend_on_the_size_of_the_blocks(monkeypatch, groups):
    scores, neighbors = planted(1000)
    scores[::9] = np.nan
    if groups:
        first = np.arange(1000)
        first[500:600] = first[:100]
        indices = first[neighbors.indices].astype(np.int32)
        indices[500:600], neighbors.distances[500:600] = indices[:100], neighbors.distances[:100]
        neighbors = ds2.Neighbors(indices, neighbors.distances, 1.0, "exact", first)
    whole = outcome(scores, neighbors)
    monkeypatch.setattr(blocks, "ROWS", 96)
    for one, other in zip(whole, outcome(scores, neighbors), strict=True):
        same(one, other)


@pytest.mark.parametrize("n", [1, 127, blocks.ROWS, 3 * blocks.ROWS + 5, 1_000_003])
def test_a_sum_by_halves_is_that_of_the_whole_array(n):
    rng = np.random.default_rng(n)
    values, codes = rng.random(3) ** 9, rng.integers(-1, 2, n).astype(np.int8)
    assert _total(values, codes) == values[codes].sum()


def test_memory_by_row_is_bounded():
    """Beside the graph: under 250 bytes a row, on however many cores."""
    peaks = []
    for n in (40_000, 120_000):
        scores, neighbors = planted(n)
        tracemalloc.start()
        outcome(scores, neighbors)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (peaks[1] - peaks[0]) / 80_000 < 250


def test_links_of_several_raters_do_not_depend_on_how_many_are_sorted_at_once(monkeypatch):
    scores, neighbors = planted(1500, n_raters=3)
    scores[::7, 1] = np.nan
    whole = outcome(scores, neighbors)
    monkeypatch.setattr(model, "LINKS_AT_ONCE", 700)
    monkeypatch.setattr(model, "MOST_CODES", 0)
    monkeypatch.setattr(blocks, "ROWS", 96)
    for one, other in zip(whole, outcome(scores, neighbors), strict=True):
        same(one, other)


def naive_round(neighbors, label):
    """For each neighbourhood its row nearest to another one, and that other one, row by row."""
    best = {}
    for row in range(neighbors.n):
        for to, far in zip(neighbors.indices[row], neighbors.distances[row], strict=True):
            away, old = label[to] != label[row], best.get(label[row])
            if away and (old is None or far < old[0]):
                best[label[row]] = (far, row, to)
    return best


def test_neighborhoods_join_the_one_that_is_nearest_and_of_equal_ones_the_first():
    _, neighbors = planted(300)
    tied = np.round(neighbors.distances, 1).astype(np.float32)
    neighbors = ds2.Neighbors(neighbors.indices, tied, 1.0, "exact")
    label = np.arange(300)
    while len(set(label)) > 15:
        joins = naive_round(neighbors, label)
        old = np.unique(label)
        merged = {one: {one} for one in old}
        for one, (_, _, to) in joins.items():
            both = merged[one] | merged[label[to]]
            for each in both:
                merged[each] = both
        joined = np.array([min(merged[one]) for one in label])
        sizes = {one: (joined == one).sum() for one in set(joined)}
        large = np.array([sizes[one] > 30 for one in joined])
        after = np.unique(np.where(large, 1000 + label, joined), return_inverse=True)[1]
        if len(set(after)) == len(old):
            break
        label = after
    found = neighborhoods(neighbors)
    pairs = set(zip(found.tolist(), label.tolist(), strict=True))
    assert len(pairs) == len(set(found)) == len(set(label))
