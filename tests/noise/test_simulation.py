import numpy as np
import pytest

import ds2
from ds2.errors import InputError


def test_the_planted_matrix_and_prior_are_in_the_scores():
    pool = ds2.simulate(60_000, seed=1)
    true, seen = pool.true_scores.astype(int), pool.scores.astype(int)
    joint = np.zeros((6, 6))
    np.add.at(joint, (true, seen), 1)
    np.testing.assert_allclose(joint / joint.sum(1, keepdims=True), pool.transition, atol=0.02)
    np.testing.assert_allclose(np.bincount(true) / 60_000, pool.prior)
    np.testing.assert_allclose(np.linalg.norm(pool.vectors, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("rho", [0.0, 0.4, 1.0])
def test_neighbours_share_the_true_score_as_often_as_asked(rho):
    pool = ds2.simulate(6000, clusterability=rho, seed=2)
    graph = ds2.find_neighbors(pool.vectors, 5)
    share = (pool.true_scores[graph.indices] == pool.true_scores[:, None]).mean()
    chance = (pool.prior**2).sum()
    assert (share - chance) / (1 - chance) == pytest.approx(rho, abs=0.04)


def test_the_same_seed_gives_the_same_pool():
    one, two, other = ds2.simulate(100, seed=7), ds2.simulate(100, seed=7), ds2.simulate(100)
    np.testing.assert_array_equal(one.scores, two.scores)
    np.testing.assert_array_equal(one.vectors, two.vectors)
    assert (one.scores != other.scores).any()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"n": 0}, "'n' must be a whole number at least 1"),
        ({"n_scores": 200}, r"'n_scores' must be a whole number in \[1, 100\]"),
        ({"seed": -1}, "'seed' must be a whole number at least 0"),
        ({"clusterability": 1.2}, "'clusterability' must be a fraction"),
        ({"transition": np.eye(5)}, r"shapes \(6, 6\) and \(6,\)"),
        ({"prior": np.full(6, 0.5)}, "'prior' must sum to 1"),
        ({"transition": -np.eye(6)}, "'transition' must hold probabilities"),
    ],
)
def test_bad_settings_are_named(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        ds2.simulate(**{"n": 100, **settings})
