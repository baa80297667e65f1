"""A scorer: predictions of rows it has not seen, what they are worth, and pools rated in part."""

import dataclasses
import warnings

import numpy as np
import pytest
from scipy.sparse import csr_array, hstack
from scipy.stats import spearmanr
from sklearn.ensemble import HistGradientBoostingRegressor

import ds2
from ds2.arrays import N_WORDS
from ds2.curation.learners import TREES, Trees

N, RATED = 1200, 400


def pool(seed=0, *, n=N, signal=1.0):
    """Quality lies in directions of the vectors, in figures and in words; raters add noise."""
    rng = np.random.default_rng(seed)
    quality = rng.standard_normal(n)
    vectors = rng.standard_normal((n, 16)) / 4
    vectors[:, 0] += 0.4 * signal * quality
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    figures = np.column_stack([signal * quality + rng.standard_normal(n), rng.standard_normal(n)])
    words = rng.poisson(0.002, (n, N_WORDS)).astype(np.float32)
    words[:, 7] = rng.poisson(np.exp(np.clip(signal * quality, -2, 1)))
    features = hstack([csr_array(figures.astype(np.float32)), csr_array(words)], format="csr")
    ratings = np.clip(np.round(2.5 + quality[:, None] + 1.2 * rng.standard_normal((n, 2))), 0, 5)
    return vectors.astype(np.float32), csr_array(features), ratings, quality


def part_of(ratings, seed=0, rated=RATED):
    given = np.full(ratings.shape, np.nan)
    rows = np.random.default_rng(seed + 100).permutation(len(ratings))[:rated]
    given[rows] = ratings[rows]
    return given


@pytest.fixture(scope="module")
def made():
    vectors, features, ratings, quality = pool()
    return vectors, features, ratings, quality, ds2.find_neighbors(vectors)


@pytest.fixture(scope="module")
def scorer(made):
    vectors, features, ratings, _, neighbors = made
    return ds2.fit_scorer(part_of(ratings).mean(axis=1), vectors, features, neighbors=neighbors)


def curated(made, scores, **how):
    vectors, features, _, _, neighbors = made
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        noise = ds2.estimate_transition(scores, neighbors, n_scores=6, n_bootstrap=0)
    return ds2.curate(scores, neighbors, noise, vectors=vectors, features=features, **how)


def test_it_predicts_what_it_has_not_seen_and_knows_how_well(made, scorer):
    vectors, features, ratings, quality, _ = made
    mean = part_of(ratings).mean(axis=1)
    found = scorer.predict(vectors, features)
    fresh = np.isnan(mean)
    reached = spearmanr(found.scores[fresh], ratings[fresh].mean(axis=1))[0]
    agreement = scorer.skill.agreement
    assert agreement.low < reached < agreement.high + 0.05
    assert spearmanr(found.scores[fresh], quality[fresh])[0] > 0.7
    off = np.abs(found.scores - ratings.mean(axis=1))[fresh]
    assert 0.92 <= (off < 1.96 * found.se[fresh]).mean() <= 0.98
    sizes = [n for n, _ in scorer.skill.curve]
    assert sizes == sorted(sizes)
    assert len(sizes) >= 2
    assert scorer.skill.more.value >= 0


def test_every_learner_is_heard_where_it_alone_knows(made):
    vectors, features, ratings, *_ = made
    plain = np.full_like(vectors, 0.25)
    alone = ds2.fit_scorer(ratings.mean(axis=1), vectors)
    nothing = csr_array((N, 2), dtype=np.float32)
    words = hstack([nothing, features[:, 2:]], format="csr")
    by_words = ds2.fit_scorer(ratings.mean(axis=1), plain, csr_array(words))
    assert alone.skill.agreement.low > 0.3
    assert by_words.skill.weights[1] > 0.5
    assert by_words.skill.agreement.low > 0.05


def test_trees_as_arrays_say_exactly_what_the_library_says():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((500, 9)).astype(np.float32)
    x[:, 3] = np.round(x[:, 3])
    y = x[:, 0] * x[:, 1] + x[:, 3] + rng.standard_normal(500)
    model = HistGradientBoostingRegressor(**TREES, random_state=0).fit(x, y)
    other = rng.standard_normal((3000, 9)).astype(np.float32)
    other[:500] = x
    np.testing.assert_allclose(Trees.of(model).predict(other), model.predict(other), atol=1e-12)


def test_a_scorer_of_noise_says_so_and_rows_stay_without_a_score(made):
    _, _, ratings, *_ = made
    noise = part_of(np.random.default_rng(5).integers(0, 6, ratings.shape).astype(float))
    with pytest.warns(ds2.Ds2Warning, match="left without a score"):
        found = curated(made, noise[:, 0])
    assert found.scored is None
    assert found.method == "raw"
    assert np.isnan(found.scores).sum() == N - RATED


@pytest.mark.filterwarnings("ignore::ds2.Ds2Warning")
@pytest.mark.parametrize("raters", [1, 2])
def test_a_pool_rated_in_part_is_scored_on_one_scale(made, raters):
    _, _, ratings, quality, _ = made
    given = part_of(ratings)[:, :raters]
    found = curated(made, given if raters > 1 else given[:, 0])
    fresh = np.isnan(given[:, 0])
    assert found.method == "scorer"
    assert (found.scored == fresh).all()
    assert not np.isnan(found.scores).any()
    assert spearmanr(found.scores[fresh], quality[fresh])[0] > 0.6
    target = ratings[:, :raters].mean(axis=1)
    covered = (np.abs(found.scores - target) < 1.96 * found.se)[fresh].mean()
    assert 0.91 <= covered <= 0.99
    top = np.argsort(-found.scores)[: N // 10]
    assert (~fresh)[top].mean() < (0.45 if raters == 1 else 0.65)  # rated rows are a third


@pytest.mark.filterwarnings("ignore::ds2.Ds2Warning")
def test_few_missing_ratings_change_nothing_unless_asked(made):
    *_, ratings, _, _ = made
    given = ratings[:, 0].copy()
    given[::50] = np.nan
    left = curated(made, given)
    assert left.method == "raw"
    assert left.scored is None
    asked = curated(made, given, unrated="score")
    assert asked.method == "scorer"
    assert asked.scored.sum() == len(given[::50])
    assert curated(made, part_of(ratings)[:, 0], unrated="leave").method == "raw"


@pytest.mark.filterwarnings("ignore::ds2.Ds2Warning")
def test_rows_that_were_not_to_be_scored_have_none_under_any_method(made):
    *_, ratings, _, _ = made
    given = ratings.copy()
    given[::50] = np.nan
    for method in ("scorer", "auto"):
        found = curated(made, given, method=method)
        assert found.scored is None
        assert np.isnan(found.scores[::50]).all()
        assert np.isnan(found.scores).sum() == len(given[::50])


@pytest.mark.filterwarnings("ignore::ds2.Ds2Warning")
def test_no_row_s_own_rating_is_in_the_score_of_one_rater(made):
    *_, ratings, _, _ = made
    given = part_of(ratings)[:, 0]
    row = int(np.flatnonzero(~np.isnan(given))[3])
    other = given.copy()
    other[row] = 5 - other[row]
    one, two = curated(made, given), curated(made, other)
    place = [np.argsort(np.argsort(each.scores))[row] / N for each in (one, two)]
    assert abs(place[0] - place[1]) < 0.03


@pytest.mark.filterwarnings("ignore::ds2.Ds2Warning")
def test_it_is_one_more_candidate_where_every_row_is_rated(made):
    *_, ratings, quality, _ = made
    found = curated(made, ratings)
    assert "scorer" in {row.candidate for row in found.evidence}
    assert found.scored is None
    raw = spearmanr(found.raw, quality)[0]
    assert spearmanr(found.scores, quality)[0] > raw


def test_a_skill_that_is_length_is_called_so(made):
    vectors, features, ratings, quality, _ = made
    length = quality + 0.1 * np.random.default_rng(1).standard_normal(N)
    scorer = ds2.fit_scorer(ratings.mean(axis=1), vectors, features, covariates={"length": length})
    assert scorer.skill.given.high < scorer.skill.agreement.low
    assert any("length" in sentence for sentence in scorer.skill.says())


def test_saved_and_loaded_it_says_the_same(made, scorer, tmp_path):
    vectors, features, *_ = made
    ds2.save_scorer(scorer, tmp_path / "scorer")
    again = ds2.load_scorer(tmp_path / "scorer")
    for one, two in zip(
        dataclasses.astuple(scorer.predict(vectors, features)),
        dataclasses.astuple(again.predict(vectors, features)),
        strict=True,
    ):
        np.testing.assert_array_equal(one, two)
    assert repr(again.skill) == repr(scorer.skill)
    (tmp_path / "scorer" / "scorer.safetensors").write_bytes(b"cut off")
    with pytest.raises(ds2.InputError, match="damaged"):
        ds2.load_scorer(tmp_path / "scorer")


@pytest.mark.filterwarnings("ignore::ds2.Ds2Warning")
def test_other_vectors_features_and_too_few_scores_are_refused(made, scorer):
    vectors, features, ratings, *_ = made
    with pytest.raises(ds2.InputError, match="'vectors' with 16 columns"):
        scorer.predict(vectors[:, :15], features)
    with pytest.raises(ds2.InputError, match="'features'"):
        scorer.predict(vectors)
    with pytest.raises(ds2.InputError, match="at least 100 scores"):
        ds2.fit_scorer(part_of(ratings, rated=99).mean(axis=1), vectors)
    neighbors = made[-1]
    noise = ds2.estimate_transition(ratings, neighbors, n_scores=6, n_bootstrap=0)
    with pytest.raises(ds2.InputError, match=r"vectors=ds2\.embed"):
        ds2.curate(ratings, neighbors, noise, method="scorer")


def test_what_the_scorer_knows_is_told_whichever_way_it_runs(made):
    vectors, features, *_ = made
    length = features.toarray()[:, 0]
    noise = np.random.default_rng(1).standard_normal(N)  # quality is drawn with seed 0
    scores = np.where(np.arange(N) < RATED, length.argsort().argsort() + N * noise / 5, np.nan)
    for sign in (1, -1):
        skill = ds2.fit_scorer(
            scores, vectors, features, covariates={"length": sign * length}
        ).skill
        assert "Most of what the scorer knows is length" in skill.says()[0]


@pytest.mark.parametrize("rows", [RATED, N + 1])
def test_covariates_of_another_length_are_named(made, rows):
    vectors, _, ratings, *_ = made
    scores = part_of(ratings).mean(axis=1)
    with pytest.raises(ds2.InputError, match=f"'length' must have {N} rows"):
        ds2.fit_scorer(scores, vectors, covariates={"length": np.arange(rows)})


def test_ratings_of_one_neighbourhood_teach_no_scorer():
    vectors = np.eye(8, dtype=np.float32)[np.repeat(np.arange(8), [150, *[20] * 7])]
    scores = np.where(np.arange(290) < 150, np.arange(290) % 6, np.nan)
    neighbors = ds2.find_neighbors(vectors, k=3)
    with pytest.raises(ds2.InputError, match="all rows with a score are in one"):
        ds2.fit_scorer(scores, vectors, neighbors=neighbors)


@pytest.mark.parametrize("second", [60, "constant"])
def test_a_second_rater_who_teaches_nothing_leaves_rows_without_a_score(made, second):
    scores = part_of(made[2])
    if second == "constant":
        scores[~np.isnan(scores[:, 1]), 1] = 3
    else:
        scores[np.flatnonzero(~np.isnan(scores[:, 1]))[second:], 1] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = curated(made, scores)
    assert any("left without a score: " in sentence for sentence in found.warnings)
    np.testing.assert_array_equal(np.isnan(found.scores), np.isnan(scores).all(axis=1))


def test_one_rater_of_all_rows_is_scored_by_the_scorer_and_its_neighbours(made):
    ratings, quality = made[2], made[3]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = curated(made, ratings[:, 0], method="scorer")
    raw = spearmanr(ratings[:, 0], quality)[0]
    assert spearmanr(found.scores, quality)[0] > raw
