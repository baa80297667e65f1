import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ds2.levels import level_shares, nearest_level, rank_shares, split_levels, to_levels


def test_a_value_half_way_belongs_to_the_lower_level():
    values = np.array([0.0, 0.5, 0.51, 1.5, 2.5, 3.5, 4.499, np.nan])
    np.testing.assert_array_equal(nearest_level(values), [0, 0, 1, 1, 2, 3, 4, np.nan])


def test_the_level_scale_keeps_the_order_and_the_shares():
    rng = np.random.default_rng(0)
    values = rng.standard_normal(3000)
    values[::10] = np.nan
    shares = np.array([0.1, 0.2, 0.0, 0.4, 0.3])
    found = to_levels(values, shares)
    known = ~np.isnan(values)
    np.testing.assert_array_equal(np.isnan(found), ~known)
    order = np.argsort(values[known])
    assert (np.diff(found[known][order]) > 0).all()
    levels = nearest_level(found[known]).astype(int)
    np.testing.assert_allclose(np.bincount(levels, minlength=5) / known.sum(), shares, atol=2e-3)
    np.testing.assert_allclose(level_shares(np.array([0.0, 0.5, 1.0, np.nan]), 3), [0.5, 0.5, 0])


@given(st.lists(st.floats(0, 5), min_size=1, max_size=40))
def test_a_value_between_two_levels_is_shared_by_its_distance(values):
    values = np.array(values)
    shares = split_levels(values, 6)
    np.testing.assert_allclose(shares @ np.arange(6), values, atol=1e-12)
    assert (shares >= 0).all()
    assert ((shares > 0).sum(axis=1) <= 2).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1)


def test_a_weight_counts_as_that_many_values():
    rng = np.random.default_rng(0)
    values, weights = rng.integers(0, 6, 80).astype(float), rng.integers(1, 4, 80)
    copies = np.repeat(values, weights)
    np.testing.assert_allclose(level_shares(values, 6, weights), level_shares(copies, 6))
    of_copies = rank_shares(copies)[np.cumsum(weights) - 1]
    np.testing.assert_allclose(rank_shares(values, weights), of_copies)
