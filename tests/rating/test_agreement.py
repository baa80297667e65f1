"""What the audit of ratings says, against naive versions and planted faults."""

import gzip
import json
import os
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rating_fakes import ratings_of

from ds2.errors import InputError
from ds2.rating import Ratings, Scale, audit_ratings
from ds2.rating.audit import exact_agreement, top_overlap

NAN = float("nan")
columns = st.integers(2, 40).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 5), min_size=n, max_size=n)] * 2)
)


def arrays(pair):
    return tuple(np.array(side, dtype=float) for side in pair)


@given(columns, st.data())
def test_the_overlap_is_the_mean_over_all_ways_to_break_ties(pair, data):
    one, two = arrays([side[:6] for side in pair])
    size = data.draw(st.integers(1, len(one)))

    def tops(values):
        best = sorted(values)[-size:]
        return [
            set(rows)
            for rows in combinations(range(len(values)), size)
            if sorted(values[list(rows)]) == best
        ]

    shared = [len(a & b) / size for a, b in product(tops(one), tops(two))]
    overlap, chance = top_overlap(one, two, size)
    assert overlap == pytest.approx(np.mean(shared))
    assert chance == size / len(one)


@given(columns)
def test_chance_is_the_mean_over_all_pairings(pair):
    one, two = arrays(pair)
    exact, chance = exact_agreement(one, two)
    assert exact == np.mean(one == two)
    assert chance == pytest.approx(np.mean(one[:, None] == two[None, :]))


def test_missing_rows_take_no_part():
    one = np.array([1, NAN, 3, 4, 2])
    two = np.array([1, 9, NAN, 4, 3])
    assert exact_agreement(one, two)[0] == pytest.approx(2 / 3)
    assert top_overlap(one, two, 1) == (1, pytest.approx(1 / 3))


@pytest.fixture
def panel():
    rng = np.random.default_rng(0)
    true = rng.normal(size=400)

    def rated(noise, rater, **further):
        values = np.clip(np.rint(5.5 + 2 * true + noise * rng.normal(size=400)), 1, 10)
        values[rng.random(400) < 0.02] = NAN
        return ratings_of(values, rater, **further)

    good = rated(1, "good")
    again = np.where(
        np.arange(400) < 60, np.clip(good.values + rng.choice([-1, 1], 400), 1, 10), NAN
    )
    good = ratings_of(
        good.values,
        "good",
        repeats=again,
        spread=np.full(400, 0.75),
        criteria={
            "rarity": rng.integers(1, 11, 400).astype(float),
            "overall": good.values,
            "same": np.full(400, 7.0),
        },
        usage={"cost_usd": 0.5},
    )
    return Ratings.join([good, rated(1, "other"), rated(20, "poor")])


def test_an_audit_of_three_raters(panel):
    lengths = np.where(np.isnan(panel.parts[0].values), 3, panel.parts[0].values ** 2)
    audit = audit_ratings(panel, lengths=lengths, top=40)
    good = audit.raters[0]
    assert (good.rater, good.n, good.usage) == ("good", 400, {"cost_usd": 0.5})
    assert good.unrated == {"timed out": 400 - good.n_rated}
    assert sum(good.scores) == sum(good.ratings.counts) == good.n_rated
    assert good.ratings.edges[:2] == (0.5, 1.5)
    assert good.ratings.edges[-1] == 10.5
    assert good.ratings.length_correlation == pytest.approx(1)
    assert [part.name for part in good.criteria] == ["rarity", "overall", "same"]
    assert good.correlation.shape == (3, 3)
    assert good.correlation[0, 0] == pytest.approx(1)
    assert abs(good.correlation[0, 1]) < 0.2
    assert np.isnan(good.correlation[2]).all()
    assert good.mean_spread == 0.75
    assert good.retest.n == 60 - int(np.isnan(panel.parts[0].values[:60]).sum())
    assert good.retest.noise == pytest.approx(np.sqrt(0.5), rel=0.1)
    assert good.retest.spearman > 0.8
    assert audit.raters[1].retest is None
    best, worst = audit.pairs[0], audit.pairs[2]
    assert best.raters == ("good", "other")
    assert (best.top_size, best.top_by_chance) == (40, 40 / best.n)
    assert best.spearman > 0.7 > worst.spearman
    assert best.kappa > worst.kappa
    assert best.top_overlap > 3 * best.top_by_chance
    assert best.exact > best.exact_by_chance
    assert audit.warnings == ("'good' gave every example the same 'same', 7.",)


def test_without_lengths_there_is_no_correlation_with_them(panel):
    audit = audit_ratings(panel.parts[1])
    assert np.isnan(audit.raters[0].ratings.length_correlation)
    assert audit.pairs == ()
    with pytest.raises(InputError, match="'lengths' must have 400 rows"):
        audit_ratings(panel, lengths=[1, 2])
    with pytest.raises(InputError, match="'top' must be a whole number"):
        audit_ratings(panel, top=401)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([7, 7, 7], "'a' gave every example the same rating, 7."),
        ([1, 2, 3, 4], "All ratings of 'a' fall into one score."),
        ([10, 10, 10, 3], "'a' gave 75% of the examples the highest rating there is: a ceiling"),
        ([1, 9, 1, 1], "'a' gave 75% of the examples the lowest rating there is: a floor"),
        ([NAN, 9, 1, 5], "'a' left 1 of 4 examples unrated: 1 timed out."),
        ([NAN, NAN], "'a' rated no example."),
    ],
)
def test_what_is_wrong_is_said(values, said):
    warned = audit_ratings(ratings_of(values)).warnings
    assert len(warned) == 1
    assert warned[0].startswith(said)


def test_criteria_that_say_the_same_are_named():
    values = np.tile(np.arange(1.0, 11), 5)
    criteria = {"rarity": values, "depth": np.minimum(values + 0.5, 10), "other": values[::-1] % 7}
    (said,) = audit_ratings(ratings_of(values, criteria=criteria)).warnings
    assert said.endswith("(correlation above 0.95): 'rarity' and 'depth'.")


def test_raters_that_cannot_be_compared_or_disagree():
    few = Ratings.join([ratings_of([1, NAN, 9]), ratings_of([NAN, 3, NAN], "b")])
    audit = audit_ratings(few)
    assert "both rated only 0 examples" in audit.warnings[-1]
    assert np.isnan(audit.pairs[0].top_overlap)
    values = np.tile(np.arange(1.0, 11), 5)
    turned = Ratings.join([ratings_of(values), ratings_of(11 - values, "b")])
    assert "opposite ways (Spearman -1.00)" in audit_ratings(turned).warnings[0]


def test_ratings_between_the_levels_get_ten_bars():
    rating = ratings_of(np.linspace(0, 1, 50), scale=Scale.parse("0-1", [0.5]))
    found = audit_ratings(rating).raters[0].ratings
    assert sum(found.counts) == 50
    assert len(found.counts) == 10
    whole = ratings_of([0, 1, 1], scale=Scale.levels(2))
    assert audit_ratings(whole).raters[0].ratings.counts == (1, 2)
    wide = ratings_of(np.linspace(0, 100, 50), scale=Scale.parse("0-100", [50]))
    assert len(audit_ratings(wide).raters[0].ratings.counts) == 10


DATA = Path(os.environ.get("DS2_DATA", "/nowhere")) / "alpaca52k_ds2.jsonl.gz"


@pytest.mark.slow
@pytest.mark.skipif(not DATA.exists(), reason="the published scores are not in $DS2_DATA")
def test_the_published_scores_agree_as_is_known():
    names = ("score_gpt_4o_mini", "score_llama_3_1_8b", "score_mistral_7b_v0_3")
    with gzip.open(DATA, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    panel = Ratings.join([ratings_of([r[n] for r in rows], n, Scale.levels(6)) for n in names])
    lengths = [np.log1p(len(row["output"])) for row in rows]
    audit = audit_ratings(panel, lengths=lengths)
    assert [round(pair.exact, 2) for pair in audit.pairs] == [0.24, 0.22, 0.33]
    assert [round(pair.spearman, 2) for pair in audit.pairs] == [0.29, 0.31, 0.20]
    found = [round(one.ratings.length_correlation, 2) for one in audit.raters]
    assert found == [0.52, 0.38, 0.33]
