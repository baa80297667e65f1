import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

import ds2
from ds2.curation.vote import Ballot, balanced_draws, error_shares, flag_by_vote
from ds2.errors import Ds2Warning, InputError


def prepare(n=1500, *, perfect=False, **settings):
    simulated = ds2.simulate(n, **settings)
    neighbors = ds2.find_neighbors(simulated.vectors)
    scores = simulated.true_scores if perfect else simulated.scores
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ds2Warning)
        noise = ds2.estimate_transition(scores, neighbors, n_scores=6, n_bootstrap=0, n_starts=3)
    return simulated, scores, neighbors, noise


@pytest.fixture(scope="module")
def pool():
    return prepare(seed=1)


def naive_votes(scores, neighbors, drawn, n_scores):
    """Votes and suggestion by the definition, one example at a time."""
    result = {}
    shared = neighbors.entry_scores(scores)
    for n in range(len(scores)):
        entry = n if neighbors.groups is None else neighbors.groups[n]
        near = [
            (j, d)
            for j, d in zip(neighbors.indices[n], neighbors.distances[n], strict=True)
            if drawn[j] and not np.isnan(shared[j])
        ]
        if np.isnan(scores[n]) or not drawn[entry] or not near:
            continue
        v = np.zeros(n_scores)
        for j, d in near:
            v[int(shared[j])] += max(0.0, 1 - float(d))
        d1, d2 = (float(d) for d in neighbors.distances[n, :2])
        v[int(scores[n])] += max(0.0, 1 - (2 * d1 - d2))
        length = np.sqrt((v**2).sum())
        agreement = v[int(scores[n])] / length if length > 0 else 1.0
        result[n] = agreement, int(v.argmax())
    return result


def test_votes_equal_the_naive_ones():
    rng = np.random.default_rng(0)
    distinct = rng.standard_normal((120, 5))
    vectors = distinct[np.concatenate([np.arange(120), rng.integers(0, 120, 30)])]
    scores = rng.integers(0, 4, 150).astype(float)
    scores[rng.random(150) < 0.15] = np.nan
    neighbors = ds2.find_neighbors(vectors, 4)
    drawn = rng.random(150) < 0.4
    ballot = Ballot.build(scores, neighbors, 4)
    (votes,) = ballot.votes(np.where(drawn, ballot.scores, np.int8(-1))[:, None])
    expected = naive_votes(scores, neighbors, drawn, 4)
    rated = np.flatnonzero(~np.isnan(scores))
    assert set(np.flatnonzero(ballot.of_row >= 0)) == set(rated)
    assert {row for row in rated if votes.visited[ballot.of_row[row]]} == set(expected)
    for row in rated:
        place = ballot.of_row[row]
        if row in expected:
            assert votes.agreement[place] == pytest.approx(expected[row][0])
            assert votes.suggestion[place] == expected[row][1]


def naive_flags(scores, neighbors, shares, draws):
    """Flags and averages by the definition, from the naive votes."""
    k, n = len(shares), len(scores)
    flags, visits, suggested = np.zeros(n), np.zeros(n), np.zeros((n, k))
    for drawn in draws:
        votes = naive_votes(scores, neighbors, drawn, k)
        for row, (_, suggestion) in votes.items():
            visits[row] += 1
            suggested[row, suggestion] += 1
        for c in range(k):
            rows = sorted((a, row) for row, (a, _) in votes.items() if scores[row] == c)
            for _, row in rows[: round(shares[c] * len(rows))]:
                flags[row] += 1
    rate = (flags + 1) / (visits + 2)
    share = (suggested + 1) / (visits[:, None] + k)
    share[np.arange(n), scores.astype(int)] = -1
    return rate, share.max(axis=1) * rate, share.argmax(axis=1)


def test_flags_and_confidence_equal_the_naive_ones():
    simulated = ds2.simulate(160, seed=2)
    neighbors = ds2.find_neighbors(simulated.vectors)
    shares = np.array([0.3, 0.0, 0.4, 0.25, 0.95, 0.5])
    keys = np.arange(160, dtype=np.uint64)
    draws = list(balanced_draws(keys, 11, 0.8, 5))
    found = flag_by_vote(
        simulated.scores, neighbors, shares, n_draws=11, draw_share=0.8, keys=keys, seed=5
    )
    rate, confidence, suggestion = naive_flags(simulated.scores, neighbors, shares, draws)
    np.testing.assert_allclose(found.flag_rate, rate)
    np.testing.assert_allclose(found.confidence, confidence)
    np.testing.assert_array_equal(found.suggestion, suggestion)


@pytest.mark.parametrize("copies", [1, 40])
def test_copies_of_rows_change_nothing_for_the_others(copies):
    simulated = ds2.simulate(240, seed=0)
    again = np.tile(np.arange(7), copies)
    rows = np.append(np.arange(240), again)
    groups = np.append(np.arange(240), again)
    shares = np.array([0.3, 0.1, 0.4, 0.25, 0.95, 0.5])
    found = [
        flag_by_vote(
            simulated.scores[some],
            ds2.find_neighbors(simulated.vectors[some], groups=same),
            shares,
            n_draws=21,
            draw_share=0.8,
            keys=some.astype(np.uint64),
            seed=3,
        )
        for some, same in ((np.arange(240), None), (rows, groups))
    ]
    for name in ("flag_rate", "confidence", "suggestion"):
        alone, doubled = (getattr(one, name) for one in found)
        np.testing.assert_array_equal(doubled, alone[rows])


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 60), n_draws=st.integers(1, 60), share=st.floats(0.01, 1.0))
def test_draws_are_balanced(n, n_draws, share):
    keys = np.arange(n, dtype=np.uint64)
    draws = np.array(list(balanced_draws(keys, n_draws, share, 0)))
    assert draws.shape == (n_draws, n)
    assert (draws.sum(axis=1) == round(share * n)).all()
    visits = draws.sum(axis=0)
    assert visits.max() - visits.min() <= 1


def test_draws_differ_and_follow_the_seed():
    keys = np.arange(100, dtype=np.uint64)
    one, two = (list(balanced_draws(keys, 5, 0.8, seed)) for seed in (0, 1))
    assert (one[0] != one[1]).any()
    assert (one[0] != two[0]).any()
    assert all((a == b).all() for a, b in zip(one, balanced_draws(keys, 5, 0.8, 0), strict=True))


def test_curation_finds_and_mends_most_wrong_scores(pool):
    simulated, scores, neighbors, noise = pool
    found = ds2.curate(scores, neighbors, noise, method="ds2")
    wrong = scores != simulated.true_scores
    assert (found.misrated & wrong).sum() / found.misrated.sum() > 0.85
    assert (found.misrated & wrong).sum() / wrong.sum() > 0.85
    assert (found.scores == simulated.true_scores).mean() > (
        scores == simulated.true_scores
    ).mean() + 0.2
    assert found.method == "ds2"
    assert found.gate == "passed"
    assert found.n_changed == (found.scores != scores).sum() > 0
    np.testing.assert_array_equal(found.observed, scores)
    changed = found.scores != scores
    assert (found.misrated[changed] & (found.confidence[changed] >= 0.5)).all()
    assert (found.confidence >= 0).all()
    assert (found.confidence <= 1).all()


def test_a_perfect_rater_on_a_clusterable_pool_is_left_alone():
    _, scores, neighbors, noise = prepare(2000, perfect=True, seed=3)
    found = ds2.curate(scores, neighbors, noise, method="ds2")
    assert found.n_changed / 2000 <= 0.01
    assert found.misrated.mean() <= 0.01
    floored = ds2.curate(scores, neighbors, noise, method="ds2", paper_floor=True)
    assert floored.misrated.mean() > 0.03


def test_confidence_means_the_same_in_a_small_and_a_large_pool():
    def confidence(n):
        _, scores, neighbors, noise = prepare(n, seed=4)
        fixed = replace(noise, matrix=ds2.simulate(10).transition)
        return ds2.curate(scores, neighbors, fixed, method="ds2").confidence

    small, large = confidence(1000), confidence(16_000)
    assert ks_2samp(small, large).statistic < 0.06
    assert abs(np.quantile(small, 0.99) - np.quantile(large, 0.99)) < 0.03


def test_error_shares_are_the_share_of_an_observed_score_that_is_wrong(pool):
    _, _, _, noise = pool
    shares = error_shares(noise)
    wrong = 1 - noise.matrix.diagonal() * noise.prior / noise.observed
    np.testing.assert_allclose(shares, np.clip(wrong, 0, 0.95))
    perfect = replace(noise, matrix=np.eye(6), prior=noise.observed)
    assert (error_shares(perfect) == 0).all()
    assert (error_shares(perfect, paper_floor=True) == 0.05).all()
    never_right = replace(noise, matrix=np.roll(np.eye(6), 1, axis=1))
    assert (error_shares(never_right) == 0.95).all()


def test_permuting_rows_permutes_the_curation():
    simulated, scores, neighbors, noise = prepare(700, seed=6)
    keys = np.random.default_rng(0).integers(0, 2**63, 700)
    order = np.random.default_rng(1).permutation(700)
    permuted = ds2.find_neighbors(simulated.vectors[order])
    straight = ds2.curate(scores, neighbors, noise, method="ds2", keys=keys)
    other = ds2.curate(scores[order], permuted, noise, method="ds2", keys=keys[order])
    np.testing.assert_array_equal(other.scores, straight.scores[order])
    np.testing.assert_array_equal(other.misrated, straight.misrated[order])
    np.testing.assert_allclose(other.confidence, straight.confidence[order])


def test_unrated_rows_stay_unrated():
    _, scores, neighbors, noise = prepare(600, seed=7)
    scores = scores.copy()
    scores[::5] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ds2Warning)
        noise = ds2.estimate_transition(scores, neighbors, n_scores=6, n_bootstrap=0)
    found = ds2.curate(scores, neighbors, noise, method="ds2")
    assert np.isnan(found.scores[::5]).all()
    assert np.isnan(found.confidence[::5]).all()
    assert not found.misrated[::5].any()
    assert not np.isnan(np.delete(found.scores, np.arange(0, 600, 5))).any()


def test_a_score_that_nobody_gave_is_a_normal_result():
    simulated = ds2.simulate(600, seed=8)
    scores = np.minimum(simulated.scores, 3)
    neighbors = ds2.find_neighbors(simulated.vectors)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ds2Warning)
        noise = ds2.estimate_transition(scores, neighbors, n_scores=6, n_bootstrap=0)
        found = ds2.curate(scores, neighbors, noise, method="ds2")
    assert found.scores.max() <= 3
    assert 0 < found.n_changed < 600


@pytest.fixture(scope="module")
def doubtful():
    rng = np.random.default_rng(9)
    neighbors = ds2.find_neighbors(rng.standard_normal((600, 6)))
    scores = rng.integers(0, 6, 600).astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ds2Warning)
        noise = ds2.estimate_transition(scores, neighbors, n_scores=6, n_bootstrap=0, n_starts=3)
    return scores, neighbors, noise


def test_the_gate_warns_and_goes_on(doubtful):
    with pytest.warns(Ds2Warning, match="lift .* against the gate's 0.1.*made all the same"):
        found = ds2.curate(*doubtful, method="ds2")
    assert found.gate == "fired"
    assert found.method == "ds2"
    assert found.warnings
    assert found.evidence[0].measure == "lift"
    assert found.evidence[0].chosen


def test_the_gate_refuses_and_keeps_the_raw_scores(doubtful):
    with pytest.warns(Ds2Warning, match="The raw scores were kept"):
        found = ds2.curate(*doubtful, method="ds2", gate="refuse")
    assert found.gate == "fired"
    assert found.method == "raw"
    np.testing.assert_array_equal(found.scores, doubtful[0])
    assert found.misrated is None
    assert not found.evidence[0].chosen


def test_the_gate_can_be_off_and_its_limit_moved(doubtful, pool):
    assert ds2.curate(*doubtful, method="ds2", gate="off").gate == "off"
    assert ds2.curate(*doubtful).gate == "unused"
    _, scores, neighbors, noise = pool
    with pytest.warns(Ds2Warning, match="against the gate's 0.9"):
        ds2.curate(scores, neighbors, noise, method="ds2", min_lift=0.9)


def test_method_raw_returns_the_scores(pool):
    _, scores, neighbors, noise = pool
    found = ds2.curate(scores, neighbors, noise, method="raw", min_lift=0.9)
    np.testing.assert_array_equal(found.scores, scores)
    assert found.n_changed == 0
    assert found.confidence is None
    assert found.gate == "unused"
    assert not found.warnings


def test_a_rating_is_doubtful_where_the_posterior_lies_in_the_other_half(pool):
    _, scores, neighbors, noise = pool
    raw = ds2.curate(scores, neighbors, noise, method="raw")
    assert not raw.doubtful(6).any()
    posterior = np.zeros((1500, 6))
    posterior[:, 0], posterior[:, 1], posterior[:, 5] = 0.3, 0.25, 0.45
    fused = replace(raw, posterior=posterior)
    np.testing.assert_array_equal(fused.doubtful(6), scores > 2.5)
    posterior[:, 1], posterior[:, 2] = 0.15, 0.10  # on five scores 2 is the middle
    five = np.minimum(scores, 4)
    odd = replace(raw, observed=five, raw=five, posterior=posterior[:, :5])
    assert not odd.doubtful(5).any()
    voted = ds2.curate(scores, neighbors, noise, method="ds2", gate="off")
    found = voted.doubtful(6)
    assert 0 < found.sum() < voted.n_changed
    np.testing.assert_array_equal(found, (scores > 2.5) != (voted.scores > 2.5))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"method": "ds"}, "Did you mean 'ds2'"),
        ({"gate": "warning"}, "Did you mean 'warn'"),
        ({"n_draws": 0}, "'n_draws' must be a whole number at least 1"),
        ({"draw_share": 0}, r"'draw_share' must be a fraction in \(0, 1\]"),
        ({"min_confidence": 1.1}, "'min_confidence' must be a fraction"),
        ({"keys": np.arange(3)}, "'keys' must have 1500 rows"),
        ({"keys": np.ones(1500)}, "'keys' must be whole numbers"),
    ],
)
def test_bad_settings_are_named(pool, change, sentence, untyped):
    _, scores, neighbors, noise = pool
    with pytest.raises(InputError, match=sentence):
        ds2.curate(scores, neighbors, noise, **change)


def test_a_noise_estimate_of_other_scores_is_refused(pool):
    _, scores, neighbors, noise = pool
    other = scores.copy()
    other[0] = np.nan
    with pytest.raises(InputError, match="estimated from other scores"):
        ds2.curate(other, neighbors, noise)


def test_what_nobody_heard_has_rated_is_not_known_exactly():
    rng = np.random.default_rng(0)
    pool = ds2.simulate(600, seed=0)
    neighbors = ds2.find_neighbors(pool.vectors)
    truth = pool.true_scores[:, None]
    scores = np.clip(np.rint(truth + rng.normal(0, 0.6, (600, 3))), 0, 5)
    scores[:, 2] = 5 - scores[:, 2]  # runs against the others, and is left out
    scores[500:, :2] = np.nan
    with pytest.warns(Ds2Warning, match="runs against the others"):
        noise = ds2.estimate_transition(scores, neighbors, n_scores=6, n_bootstrap=0)
    for method in ("soft", "fused"):
        with pytest.warns(Ds2Warning, match="runs against the others"):
            found = ds2.curate(scores, neighbors, noise, method=method)
        assert np.isfinite(found.scores).all()
        assert found.se[500:].min() >= found.se[:500].max()


def test_raters_whose_gate_refused_are_raw():
    rng = np.random.default_rng(0)
    neighbors = ds2.find_neighbors(rng.standard_normal((400, 4)).astype(np.float32))
    scores = rng.integers(0, 6, (400, 2)).astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ds2Warning)
        each = [ds2.estimate_transition(s, neighbors, n_scores=6, n_bootstrap=0) for s in scores.T]
        found = ds2.curate(scores, neighbors, each, method="ds2", gate="refuse")
    assert found.method == "raw"
    assert found.gate == "fired"
