"""The law of `auto`: never silently worse than raw (`ds2.curation.auto`)."""

import re
from dataclasses import replace

import numpy as np
import pytest
from auto_sample import agreement, curated, estimates, prepared, quiet, some, true_estimates, unlike

import ds2
from ds2.curation import auto
from ds2.curation.candidates import CANDIDATES, Candidate


@pytest.fixture(scope="module")
def three():
    pool, scores, neighbors = prepared(1500, 0.6, (2.0, 2.0, 2.0))
    return pool, scores, neighbors


def sentences(found, words):
    return [sentence for sentence in found.warnings if words in sentence]


@pytest.mark.parametrize("rho", [0.0, 1.0])
def test_one_rater_without_gold_keeps_its_scores_to_the_byte(rho):
    pool, scores, neighbors = prepared(600, rho, (0.8, 0.8))
    own = scores[:, 0]
    (noise,) = (true_estimates if rho else lambda scores, _: estimates(scores))(
        own[:, None], neighbors
    )
    wanted = []
    for more in (
        {},
        {"repeats": np.where(np.arange(600) % 4 == 0, scores[:, 1], np.nan)},
        {"gold": np.full(600, np.nan)},
        {"gold": some(pool.true_scores, 19)},  # too few to judge by
        {"gate": "off"},
        {"min_lift": 0.9},
    ):
        found = quiet(own, neighbors, noise, **more)
        assert found.method == "raw"
        assert found.scores.tobytes() == own.tobytes()
        assert not found.warnings
        wanted.append(found.gold_needed)
    plain = quiet(own, neighbors, noise)
    assert f"About {plain.gold_needed} trusted scores of this pool" in plain.next_evidence
    assert set(wanted[:3]) == {plain.gold_needed}


def test_how_many_trusted_scores_depends_on_the_pool():
    needed = []
    for sd in (0.3, 2.0):
        _, scores, neighbors = prepared(600, 1.0, (sd,))
        (noise,) = true_estimates(scores, neighbors)
        needed.append(quiet(scores[:, 0], neighbors, noise).gold_needed)
    assert needed[0] < needed[1] / 2  # a correction that changes little is soon told


@pytest.mark.parametrize("curve", [(4, 3, 2, 1, 3, 5), (3, 2, 1, 2, 4, 5), (4, 2, 0, 2, 4, 5)])
def test_one_other_raters_word_never_turns_levels_round(curve):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 6, 2000)
    other = np.clip(np.round(np.array(curve)[truth] + 0.5 * rng.standard_normal(2000)), 0, 5)
    found = curated(np.column_stack([truth, other]).astype(float), unlike(2000))
    assert found.method == "raw"  # where the reversed map lost 0.25


def test_of_three_raters_the_one_that_judges_has_not_taught(three, monkeypatch):
    _, scores, neighbors = three
    heard = []
    asked = auto.judge

    def listening(one, *more):
        heard.append(one)
        return asked(one, *more)

    monkeypatch.setattr(auto, "judge", listening)
    changed = scores.copy()
    rows = np.random.default_rng(0).random(1500) < 0.3
    changed[rows, 2] = np.random.default_rng(1).integers(0, 6, rows.sum())
    before, after = (
        next(one for one in heard if one.name == "rater 3 held out")
        for table in (scores, changed)
        if not heard.clear() and curated(table, neighbors)
    )
    assert (before.truth != after.truth).sum() > 300
    assert set(before.candidates) >= {"raw", "soft", "fused", "fused+neighbors"}
    for name, values in before.candidates.items():
        np.testing.assert_array_equal(after.candidates[name], values)


def test_raters_that_run_against_each_other_are_not_corrected():
    rng = np.random.default_rng(1)
    z, place = rng.standard_normal((2, 2000))  # one likes the first place, one the last
    said = [0.6 * z + side * 0.74 * place + 0.6 * rng.standard_normal(2000) for side in (1, -1)]
    scores = np.clip(np.round(np.stack(said, axis=1) + 2.5), 0, 5)
    assert agreement(*scores.T) == pytest.approx(-0.15, abs=0.05)
    found = curated(scores, unlike(2000))
    assert found.method == "raw"
    np.testing.assert_array_equal(found.scores, found.raw)
    assert len(found.warnings) == 1
    assert re.search(r"ater.? 1 and .*2 run against each other", found.warnings[0])


def test_raters_that_say_nothing_of_each_other_are_averaged():
    scores = np.random.default_rng(3).integers(0, 6, (1500, 2)).astype(float)
    found = curated(scores, unlike(1500))
    assert found.method == "raw"
    np.testing.assert_array_equal(found.scores, found.raw)
    assert len(found.warnings) == 1
    assert "do not agree" in found.warnings[0]


def test_equal_columns_are_one_rater_and_no_evidence(three):
    _, scores, neighbors = three
    own = scores[:, 0]
    for other in (own, np.array([0, 0, 1, 3, 3, 5.0])[own.astype(int)]):
        found = curated(np.column_stack([own, other]), neighbors)
        assert found.method == "raw"
        assert len(sentences(found, "count as one rater")) == 1
        assert agreement(found.scores, own) > 0.95
    # twice one rater and another: each of the two judges as if the copy were not there
    twice, once = (curated(scores[:, use], neighbors) for use in ([0, 0, 1], [0, 1]))
    soft = [
        [row.value for row in found.evidence if row.candidate == "soft"] for found in (twice, once)
    ]
    assert len(soft[0]) == 4  # two judges, two figures
    np.testing.assert_allclose(*soft, atol=1e-9)


def test_what_is_applied_is_what_was_judged(three, monkeypatch):
    _, scores, neighbors = three
    make = CANDIDATES["soft"]

    def turned(case, team, final):
        found = make(case, team, final)
        return found if len(team.heard) < 3 else replace(found, values=-found.values)

    before = curated(scores, neighbors)
    assert before.method in ("soft", "fused+neighbors")
    monkeypatch.setitem(CANDIDATES, "soft", turned)
    found = curated(scores, neighbors)
    assert found.method != "soft"
    assert len(sentences(found, "Method 'soft' would gain")) == 1
    assert "it was not used" in found.warnings[-1]


def test_a_gain_in_order_that_spoils_the_top_is_no_gain(three, monkeypatch):
    pool, scores, neighbors = three
    truth = pool.true_scores
    spoilt = truth + 0.1 * np.random.default_rng(0).standard_normal(1500)
    spoilt[np.argsort(truth)[:45]] = 9.0  # the worst rows on top
    assert agreement(spoilt, truth) > agreement(scores[:, :2].mean(axis=1), truth) + 0.1
    for name in set(CANDIDATES) - {"raw"}:
        monkeypatch.setitem(CANDIDATES, name, lambda *_: Candidate(spoilt))
    assert curated(scores[:, :2], neighbors, gold=some(truth, 1400)).method == "raw"


def test_gold_that_runs_against_the_ratings_is_said_and_not_used(three):
    pool, scores, neighbors = three
    gold = 5 - some(pool.true_scores, 150)
    for table in (scores, scores[:, 0]):
        found, plain = (curated(table, neighbors, gold=one) for one in (gold, None))
        assert found.method == plain.method
        np.testing.assert_array_equal(found.scores, plain.scores)
        assert "run against the ratings" in found.warnings[0]
        assert "upside down" in found.warnings[0]
        assert "gold" not in {row.measure.split(":")[0] for row in found.evidence}


def test_gold_that_does_not_go_with_the_ratings_is_as_if_there_were_none(three):
    _, scores, neighbors = three
    gold = some(np.random.default_rng(5).integers(0, 6, 1500).astype(float), 200)
    for table in (scores, scores[:, 0]):
        found, plain = (curated(table, neighbors, gold=one) for one in (gold, None))
        assert "do not go with the ratings at all" in found.warnings[0]
        assert found.method == plain.method
        np.testing.assert_array_equal(found.scores, plain.scores)
        assert str(found.evidence) == str(plain.evidence)


def tracking(reliabilities, n=3000, seed=0):
    """A truth, and raters of six levels who correlate so with it."""
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal(n)
    loads = np.array(reliabilities)
    said = truth[:, None] * loads + rng.standard_normal((n, len(loads))) * np.sqrt(1 - loads**2)
    return truth, np.clip(np.round(1.3 * said + 2.5), 0, 5)


def test_a_weak_majority_does_not_leave_out_the_one_who_is_right():
    truth, scores = tracking((0.8, -0.25, -0.25))
    neighbors = unlike(3000)
    blind = curated(scores, neighbors)
    np.testing.assert_array_equal(blind.scores, blind.raw)
    gold = some(np.clip(np.round(1.3 * truth + 2.5), 0, 5), 150)
    told = curated(scores, neighbors, gold=gold)
    assert not told.contradiction  # it goes with rater 1
    assert agreement(told.scores, truth) > agreement(told.raw, truth) + 0.3


def test_four_who_hardly_agree_leave_out_one_who_is_upside_down():
    truth, scores = tracking((0.4, 0.4, 0.3, 0.3, -0.85))
    found = curated(scores, unlike(3000))
    assert any("Rater 5 runs against the others" in said for said in found.warnings)
    assert agreement(found.scores, truth) > agreement(found.raw, truth) + 0.1


def test_a_rater_of_noise_does_not_silence_two_who_agree():
    truth, scores = tracking((0.4, 0.85, 0.0), 1500, seed=1)
    found = curated(scores, unlike(1500))
    assert found.evidence
    assert not any("do not agree" in said for said in found.warnings)
    assert agreement(found.scores, truth) >= agreement(found.raw, truth)


def test_gold_says_which_of_two_is_upside_down():
    truth, scores = tracking((0.5, -0.8, 0.0))
    gold = some(np.clip(np.round(1.3 * truth + 2.5), 0, 5), 200)
    found = curated(scores, unlike(3000), gold=gold)
    assert "go with rater 1 and against rater 2" in found.contradiction
    np.testing.assert_array_equal(found.scores, found.raw)  # reversed gold would look the same


def test_gold_that_would_need_more_raters_upside_down_than_its_opposite_is_not_believed():
    truth, scores = tracking((0.5, -0.8, -0.8))
    gold = some(np.clip(np.round(1.3 * truth + 2.5), 0, 5), 200)
    found = curated(scores, unlike(3000), gold=gold)
    assert found.contradiction


def test_a_judge_of_few_rows_counts_for_few():
    truth, scores = tracking((0.9, 0.4, 0.4, 0.3, 0.3, 0.9), 2500, seed=2)
    scores[60:, 5] = np.nan
    found = curated(scores, unlike(2500))
    assert found.method != "raw"
    assert agreement(found.scores, truth) > agreement(found.raw, truth) + 0.02


def test_rows_that_only_a_rater_left_out_has_rated_are_not_ranked_by_it():
    _, scores = tracking((0.7, 0.7, -0.7), 1200)
    scores[:300, :2] = np.nan
    found = curated(scores, unlike(1200))
    assert any("Rater 3 runs against the others" in said for said in found.warnings)
    assert np.ptp(found.scores[:300]) < 1e-9
    whole = curated(scores, unlike(1200), objective="level")
    assert not np.isnan(whole.scores).any()


def test_ties_are_ties_whatever_the_order_of_the_sum():
    truth, scores = tracking((0.7, 0.7), 1000)
    ranks = np.argsort(np.argsort(scores + 1e-3 * truth[:, None], axis=0), axis=0)
    equal = np.floor(ranks * 6 / 1000)  # equal shares: sums that are equal but for the last bit
    found = curated(equal, unlike(1000), method="raw")
    assert len(np.unique(found.scores)) <= 11
    assert found.n_changed == 0


def test_gold_on_rows_that_nobody_rated_is_no_evidence():
    _, scores = tracking((0.7, 0.7, 0.6, 0.5), 1500)
    scores[:60] = np.nan
    gold = np.where(np.arange(1500) < 60, 3.0, np.nan)
    gold[:30] = 1.0
    with_it, without = (curated(scores, unlike(1500), gold=one) for one in (gold, None))
    assert with_it.method == without.method
    np.testing.assert_array_equal(with_it.scores, without.scores)
    assert ds2.measure_reliability(scores, gold=gold).source == "raters"


def test_a_rater_of_one_score_changes_nothing():
    _, scores = tracking((0.8,), 800)
    idle = np.where(np.arange(800) % 2 == 0, 3.0, np.nan)
    found = curated(np.column_stack([scores, idle]), unlike(800))
    assert "Rater 2 gave one score to everything" in found.warnings[0]
    assert agreement(found.scores, scores[:, 0]) == pytest.approx(1.0)


def test_level_leaves_the_whole_scores_of_one_rater_as_they_are(three):
    pool, scores, neighbors = three
    gold = some(pool.true_scores, 60)
    found = curated(scores[:, 0], neighbors, method="raw", gold=gold, objective="level")
    np.testing.assert_array_equal(found.scores, scores[:, 0])


@pytest.mark.parametrize("reliabilities", [(0.6,) * 5 + (-0.6,), (0.6, -0.6)])
def test_reversed_gold_that_goes_with_one_who_is_upside_down_does_not_lead(reliabilities):
    truth, scores = tracking(reliabilities, 1500)
    gold = 5 - some(np.clip(np.round(1.3 * truth + 2.5), 0, 5), 100)
    found = curated(scores, unlike(1500), gold=gold)
    assert agreement(found.scores, truth) >= agreement(found.raw, truth) - 0.01
