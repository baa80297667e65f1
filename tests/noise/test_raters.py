import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raters_sample import distance, rater, scored

import ds2
from ds2.errors import InputError
from ds2.noise import fit_raters
from ds2.noise.em import State
from ds2.noise.model import Links, Model, Patterns

T = np.array([rater(right) for right in (0.5, 0.6, 0.7)])


@pytest.fixture(scope="module")
def pool():
    true = ds2.simulate(4000, seed=1).true_scores
    return true, scored(true, T)


@pytest.fixture(scope="module")
def fit(pool):
    return fit_raters(pool[1], 6)


def test_three_raters_determine_their_matrices(pool, fit):
    true, _ = pool
    assert distance(fit.matrix, T) < 0.08
    assert np.abs(fit.prior - np.bincount(true.astype(int)) / 4000).max() < 0.05
    assert fit.converged
    assert fit.identified
    assert fit.note == ""


def test_intervals_hold_most_cells(fit):
    seen = T >= 0.02
    low, high = fit.intervals
    assert ((low <= T) & (high >= T))[seen].mean() > 0.88
    assert (high - low)[seen].mean() < 0.3


def test_the_posterior_is_the_naive_one(pool, fit):
    _, scores = pool
    for row in range(50):
        chances = fit.prior.copy()
        for m, score in enumerate(scores[row]):
            if not np.isnan(score):
                chances = chances * fit.matrix[m][:, int(score)]
        if np.isnan(scores[row]).all():
            assert np.isnan(fit.posterior[row]).all()
        else:
            np.testing.assert_allclose(fit.posterior[row], chances / chances.sum(), atol=1e-9)
    rated = ~np.isnan(scores).all(axis=1)
    spread = np.sqrt((fit.posterior * (np.arange(6) - fit.expected()[:, None]) ** 2).sum(axis=1))
    np.testing.assert_allclose(fit.spread()[rated], spread[rated], atol=1e-6)


def test_the_posterior_mean_is_nearer_the_truth_than_the_raters(pool, fit):
    true, scores = pool
    rated = ~np.isnan(scores).all(axis=1)
    mean = np.nanmean(scores[rated], axis=1)
    ours = np.corrcoef(fit.expected()[rated], true[rated])[0, 1]
    assert ours > np.corrcoef(mean, true[rated])[0, 1]


@pytest.mark.parametrize("linked", [False, True])
def test_every_step_raises_the_likelihood(linked):
    simulated = ds2.simulate(1500, seed=1)
    scores = scored(simulated.true_scores, T)
    patterns, links = Patterns.build(scores, None, 6), None
    rng = np.random.default_rng(0)
    if linked:
        near = ds2.find_neighbors(simulated.vectors)
        links = Links.build(patterns, near, 3, rng, most=10**6)
    model = Model.build(patterns, links, strength=2.0, used=np.arange(6) != 5)
    J = np.outer(rng.dirichlet(np.ones(6)), rng.dirichlet(np.ones(6)))
    J[5], J[:, 5] = 0, 0
    J = (J.sum(axis=1) if links is None else J.ravel()) / J.sum()
    state = State(rng.dirichlet(np.ones(6), 18)[None], J[None])
    last = -np.inf
    for _ in range(40):
        state = model.step(state)
        now = float(model.likelihood(state)[0])
        assert now >= last - 1e-7
        last = now
    shares = model.split(state)[1]
    assert shares.sum() == pytest.approx(1)
    assert (shares[5] == 0).all()


def test_the_likelihood_of_pairs_is_the_naive_one():
    simulated = ds2.simulate(300, seed=1)
    scores = scored(simulated.true_scores, T)
    patterns, rng = Patterns.build(scores, None, 6), np.random.default_rng(0)
    neighbors = ds2.find_neighbors(simulated.vectors)
    links = Links.build(patterns, neighbors, 2, rng, most=10**6)
    model = Model.build(patterns, links, strength=1.0, used=np.ones(6, dtype=bool))
    J = rng.dirichlet(np.ones(36)).reshape(6, 6)
    J = (J + J.T) / 2
    found = model.data_likelihood(State(T.reshape(1, 18, 6), J.reshape(1, 36)))
    L = np.ones((300, 6))
    for m in range(3):
        known = ~np.isnan(scores[:, m])
        L[known] *= T[m].T[scores[known, m].astype(int)]
    rated, wanted = ~np.isnan(scores).all(axis=1), 0.0
    for row in np.flatnonzero(rated):
        near = [n for n in neighbors.indices[row, :2] if rated[n]]
        wanted += sum(np.log(L[row] @ J @ L[n]) / len(near) for n in near)
    assert found == pytest.approx(wanted)


def test_gold_settles_what_two_raters_leave_open():
    true = ds2.simulate(3000, seed=2).true_scores
    pair = np.array([rater(0.4), rater(0.8)])
    scores = scored(true, pair, missing=0.0)
    gold = np.full(3000, np.nan)
    gold[:600] = true[:600]
    alone, settled = fit_raters(scores, 6), fit_raters(scores, 6, gold=gold)
    assert not alone.identified
    assert "Two raters alone do not determine" in alone.note
    assert settled.identified
    assert distance(settled.matrix, pair) < distance(alone.matrix, pair) - 0.02
    np.testing.assert_allclose(settled.posterior[:600].argmax(axis=1), true[:600])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_rows_and_raters_may_come_in_any_order(seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 4, (150, 3)).astype(float)
    scores[rng.random(scores.shape) < 0.2] = np.nan
    rows, who = rng.permutation(150), rng.permutation(3)
    straight = fit_raters(scores, 4, n_starts=1)
    moved = fit_raters(scores[rows][:, who], 4, n_starts=1)
    np.testing.assert_allclose(moved.matrix, straight.matrix[who], atol=1e-4)
    np.testing.assert_allclose(moved.posterior, straight.posterior[rows], atol=1e-3)


def test_many_raters_still_make_patterns():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 6, (300, 30)).astype(float)  # no 64-bit number would hold a key
    patterns = Patterns.build(scores, None, 6)
    assert patterns.counts.sum() == 300
    np.testing.assert_array_equal(patterns.scores[patterns.of_row], scores)


@pytest.mark.parametrize(
    ("scores", "more", "sentence"),
    [
        (np.ones((4, 2, 2)), {}, r"'scores' must have shape \(n,\), or \(n, r\)"),
        (np.full((4, 2), np.nan), {}, r"'scores\[:, 0\]' holds no score at all"),
        (np.full((4, 2), 7.0), {}, r"'scores\[:, 0\]' must hold whole numbers 0 … 5"),
        (np.ones((4, 2)), {"gold": np.ones(3)}, "'gold' must have 4 rows"),
        (np.ones((4, 2)), {"gold": np.full(4, 6.0)}, r"'gold' must lie on the level scale 0 … 5"),
        (np.ones((4, 2)), {"prior_strength": -1.0}, "'prior_strength' must be a finite number"),
    ],
)
def test_bad_input_is_named(scores, more, sentence, untyped):
    with pytest.raises(InputError, match=sentence):
        fit_raters(scores, 6, **more)
