"""Ratings that the levels of a scale do not fit keep their values, and decide the cuts."""

import numpy as np
import pytest

from ds2.errors import Ds2Warning, InputError
from ds2.pool import read_pool
from ds2.rating import Scale, import_panel, import_ratings

RNG = np.random.default_rng(0)
PERCENT = RNG.integers(0, 101, 300)


def rows(values):
    return [{"instruction": f"Why {n}?", "output": "So.", "score": v} for n, v in enumerate(values)]


@pytest.mark.parametrize(
    ("values", "scale", "n_scores"),
    [
        (RNG.random(200).round(3), "0-1", 6),
        (RNG.uniform(-1, 1, 200).round(3), "-1-1", 6),
        (PERCENT, "0-100", 6),
        ([f"{value}%" for value in PERCENT], "0-100", 6),
        (RNG.integers(2, 11, 300) / 2, "1-5", 9),
        (RNG.integers(1, 11, 300) / 2, "0.5-5", 10),
        (RNG.integers(3, 16, 300) / 3, "1-5", 5),
        (RNG.integers(2, 21, 300) / 2, "1-10", 6),
        (RNG.integers(0, 1000, 300), "levels:1000", 6),
        (RNG.integers(0, 21, 300), "0-20", 6),
    ],
)
def test_no_resolution_is_lost_in_silence(values, scale, n_scores):
    pool = read_pool(rows(np.asarray(values).tolist()))
    with pytest.warns(Ds2Warning, match="different values") as caught:
        found = import_ratings(pool, column="score", scale=scale)
    assert found.scale.n_scores == n_scores
    assert len(np.unique(found.finer().round(9))) == len(np.unique(found.values))
    assert (np.ceil(found.finer() - 0.5) == found.scores()).all()
    assert found.codes.max() == 0
    assert len(caught) == 1
    order = np.argsort(found.values, kind="stable")
    assert (np.diff(found.finer()[order]) >= 0).all()


@pytest.mark.parametrize(
    ("values", "scale", "cuts"),
    [
        ([0, 1] * 30, "0-1", (0.5,)),
        ([-1, 0, 1] * 30, "-1-1", (-0.5, 0.5)),
        (list(range(1, 6)) * 9, "1-5", (1.5, 2.5, 3.5, 4.5)),
        (list(range(1, 11)) * 9, "1-10", Scale.ds2().cuts),
        ([0, 10, 50, 100] * 9, "0-100", (5.0, 30.0, 75.0)),
    ],
)
def test_levels_stay_what_they_are(values, scale, cuts):
    assert import_ratings(read_pool(rows(values)), column="score", scale=scale).scale.cuts == cuts


def test_bins_that_are_given_win():
    pool = read_pool(rows(RNG.random(50).tolist()))
    found = import_ratings(pool, column="score", scale="0-1", bins=[0.3, 0.6])
    assert found.scale.cuts == (0.3, 0.6)


def test_raters_on_one_scale_have_the_same_cuts():
    more = rows(RNG.random(100).round(2).tolist())
    for row in more:
        row["other"] = round(row["score"] ** 2, 2)
    with pytest.warns(Ds2Warning, match="different values"):
        panel = import_panel(read_pool(more), columns=["score", "other"], scale="0-1")
    assert panel.parts[0].scale == panel.parts[1].scale


def test_a_recipe_takes_any_range_and_refuses_what_is_none():
    for text in ("0-1", "-1-1", "0-100", "levels:1000", "1-20"):
        Scale.check(text)
    for text, bins in (("5-1", None), ("stars", None), ("0-1", [2.0])):
        with pytest.raises(InputError):
            Scale.check(text, bins)
    with pytest.raises(InputError, match="needs bins"):
        Scale.parse("0-100")


def test_ids_are_joined_by_value_and_it_is_said(tmp_path):
    pool = read_pool([{**row, "id": n} for n, row in enumerate(rows([1, 2, 3]))])
    (tmp_path / "r.csv").write_text("id,rating\n0.0,1\n 1,5\n2,7\n")
    with pytest.warns(Ds2Warning, match=r"2 ids in .* are the pool's but for white"):
        found = import_ratings(pool, file=tmp_path / "r.csv")
    assert found.values.tolist() == [1, 5, 7]
    (tmp_path / "r.csv").write_text("id,rating\n0.0,1\n0,5\n2,7\n")
    with pytest.raises(InputError, match=r"'0.0' and '0' are one value"):
        import_ratings(pool, file=tmp_path / "r.csv")


def test_a_decimal_comma_is_a_number_and_one_of_thousands_is_not():
    pool = read_pool(rows(["7,5", "8,25", " 1,5 ", "1,000"]))
    with pytest.warns(Ds2Warning, match="1 not a number"):
        found = import_ratings(pool, column="score", scale="0-9")
    assert found.values[:3].tolist() == [7.5, 8.25, 1.5]
