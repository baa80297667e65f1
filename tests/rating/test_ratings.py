"""Ratings in full, and several raters side by side."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rating_fakes import ratings_of, same

from ds2.errors import InputError
from ds2.levels import nearest_level
from ds2.rating import Note, Panel, Ratings, Scale

NAN = float("nan")
SCALES = [Scale.ds2(), Scale.levels(6), Scale.parse("0-1", [0.2, 0.3]), Scale.parse("-1-1", [0])]


def full(rater, rng, n=40):
    values = rng.integers(1, 11, n).astype(float)
    values[rng.random(n) < 0.2] = NAN
    return ratings_of(
        values,
        rater,
        notes=(Note("said", {"text": f"{rater} said something."}), Note("one score")),
        spread=np.where(rng.random(n) < 0.5, NAN, rng.random(n)),
        criteria={"rarity": rng.random(n), "two words": np.full(n, NAN)},
        repeats=np.where(rng.random(n) < 0.9, NAN, 3.0),
        usage={"n_input": 12, "cost_usd": None},
    )


def alike(one, two):
    assert (one.scale, one.rater, one.notes) == (two.scale, two.rater, two.notes)
    assert dict(one.usage) == dict(two.usage)
    assert list(one.criteria) == list(two.criteria)
    for name in one.criteria:
        assert same(one.criteria[name], two.criteria[name])
    for name in ("values", "codes", "spread", "repeats"):
        assert same(getattr(one, name), getattr(two, name)), name
    return True


@pytest.mark.parametrize("n_raters", [1, 3])
def test_a_saved_panel_is_the_same_panel(tmp_path, n_raters):
    rng = np.random.default_rng(0)
    panel = Ratings.join([full(f"gpt-4.1@{n}", rng) for n in range(n_raters)])
    ids = [f"r{n}" for n in range(40)]
    panel.save(tmp_path / "ratings.parquet", ids=ids)
    loaded = Panel.load(tmp_path / "ratings.parquet")
    assert len(loaded.parts) == n_raters
    assert loaded.values.shape == ((40,) if n_raters == 1 else (40, 3))
    assert all(alike(*both) for both in zip(panel.parts, loaded.parts, strict=True))
    table = pq.read_table(tmp_path / "ratings.parquet")
    assert table["id"].to_pylist() == ids
    end = "@gpt-4.1@0" if n_raters > 1 else ""
    assert table.column_names[1:7] == [
        name + end
        for name in ("rating", "score", "problem", "spread", "repeat", "criterion:rarity")
    ]


def test_bare_ratings_come_back_bare(tmp_path):
    ratings = ratings_of([1, NAN, 9])
    ratings.save(tmp_path / "r.parquet")
    assert alike(ratings, Ratings.load(tmp_path / "r.parquet"))
    assert pq.read_table(tmp_path / "r.parquet").column_names == ["rating", "score", "problem"]


def test_a_file_of_one_rater_as_it_used_to_be_written(tmp_path):
    about = {"scale": [1.0, 10.0, [4.5, 8.5]], "rater": "Ann", "warnings": ["Look."]}
    table = pa.table(
        {
            "id": ["a", "b"],
            "rating": [7.0, None],
            "score": pa.array([1, None], pa.int16()),
            "problem": pa.array([None, "not a number"], pa.string()),
        }
    ).replace_schema_metadata({b"ds2.ratings": json.dumps(about)})
    pq.write_table(table, tmp_path / "old.parquet")
    expected = Ratings(
        np.array([7, NAN]),
        np.array([0, 2], np.int8),
        Scale(1.0, 10.0, (4.5, 8.5)),
        "Ann",
        (Note("said", {"text": "Look."}),),
    )
    assert Panel is Ratings
    assert alike(Panel.load(tmp_path / "old.parquet"), expected)


def test_a_problem_of_another_version_is_named(tmp_path):
    ratings_of([1, NAN]).save(tmp_path / "r.parquet")
    table = pq.read_table(tmp_path / "r.parquet")
    changed = table.set_column(2, "problem", pa.array([None, "bored"], pa.string()))
    pq.write_table(changed, tmp_path / "new.parquet")
    with pytest.raises(InputError, match="names the problem 'bored'"):
        Ratings.load(tmp_path / "new.parquet")


def test_a_panel_is_of_one_pool_and_one_k():
    with pytest.raises(InputError, match="at least one rater"):
        Ratings.join([])
    with pytest.raises(InputError, match="'a' and 'b' rated 1 and 2 examples"):
        Ratings.join([ratings_of([1]), ratings_of([1, 2], "b")])
    with pytest.raises(InputError, match=r"'a' and 'b' have 6 and 4 scores \(1 to 10, cut at"):
        Ratings.join([ratings_of([1]), ratings_of([1], "b", Scale.levels(4))])
    with pytest.raises(InputError, match="Two raters are called 'a'"):
        Ratings.join([ratings_of([1]), ratings_of([1], "b"), ratings_of([1])])


def test_columns_of_one_name_are_refused(tmp_path):
    one = ratings_of([1], "a", criteria={"x@b": np.ones(1)})
    two = ratings_of([1], "b@a", criteria={"x": np.ones(1)})
    with pytest.raises(InputError, match="Two columns would be called 'criterion:x@b@a'"):
        Ratings.join([one, two]).save(tmp_path / "r.parquet")


def test_raters_of_different_scales_side_by_side():
    one = ratings_of([5, NAN, 10], "a", repeats=np.array([NAN, 9.0, 6.0]))
    two = ratings_of([0, 3, 5], "b", Scale.levels(6), notes=(Note("said", {"text": "Hm."}),))
    panel = Ratings.join([one, two])
    assert same(panel.scores(), np.array([[1, 0], [NAN, 3], [5, 5]]))
    assert same(panel.finer(), np.array([[1, 0], [NAN, 3], [5, 5]]))
    assert same(panel.repeat_scores(), np.array([[NAN, NAN], [5, NAN], [2, NAN]]))
    assert (panel.raters, panel.n_scores, panel.warnings) == (("a", "b"), 6, ("b: Hm.",))
    assert panel.of("b") is two
    with pytest.raises(InputError, match=r"No rater is called 'c'\. There are: 'a', 'b'"):
        panel.of("c")


def test_finer_scores_of_the_paper_s_scale():
    assert ratings_of([1, 4.5, 5, 6.25, 8, 10]).finer() == pytest.approx([0, 0.5, 1, 2.25, 4, 5])


@given(st.data(), st.sampled_from(SCALES))
def test_finer_scores_round_to_scores_and_keep_the_order(data, scale):
    inside = st.one_of(st.floats(scale.low, scale.high), st.sampled_from(scale.cuts))
    values = sorted(data.draw(st.lists(inside, min_size=1)))
    ratings = ratings_of([*values, NAN], scale=scale)
    finer = ratings.finer()
    assert np.array_equal(nearest_level(finer), ratings.scores(), equal_nan=True)
    assert (np.diff(finer[:-1]) >= 0).all()
    assert finer[:-1].min() >= 0
    assert finer[:-1].max() <= scale.n_scores - 1


def test_further_arrays_have_one_entry_per_example():
    for further in ({"spread": np.ones(2)}, {"criteria": {"rarity": np.ones(2)}}):
        with pytest.raises(InputError, match=r"must have one entry per example, shape \(1,\)"):
            ratings_of([1], **further)
