"""From a rating to a score."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2.errors import InputError
from ds2.rating import Scale

NAN = float("nan")


def scores(scale, *values):
    return scale.to_scores(np.array(values, dtype=float)).tolist()


def test_the_scale_of_the_paper():
    assert scores(Scale.ds2(), *range(1, 11)) == [0, 0, 0, 0, 1, 2, 3, 4, 5, 5]
    assert Scale.ds2().n_scores == 6


def test_levels_are_scores_already():
    assert scores(Scale.levels(6), *range(6)) == list(range(6))
    assert Scale.levels(2) == Scale(0.0, 1.0, (0.5,))


def test_missing_stays_missing():
    found = Scale.ds2().to_scores(np.array([NAN, 7.0, NAN]))
    assert np.array_equal(found, [NAN, 3.0, NAN], equal_nan=True)


def test_a_rating_on_a_cut_is_below_it():
    assert scores(Scale(0.0, 1.0, (0.5,)), 0.0, 0.5, 0.50001, 1.0) == [0, 0, 1, 1]


@pytest.mark.parametrize("value", [0.9, 10.1, np.inf])
def test_a_rating_outside_the_scale_has_no_score(value):
    with pytest.raises(InputError, match=r"in row 1 is outside the scale 1 to 10, cut at \[4.5"):
        scores(Scale.ds2(), 5, value)


@given(st.lists(st.floats(1, 10), min_size=1), st.sampled_from(["1-10", "0-10/2,4,9.5"]))
def test_a_score_is_the_number_of_cuts_below_the_rating(values, text):
    ends, _, bins = text.partition("/")
    cuts = [float(cut) for cut in bins.split(",")] if bins else None
    scale = Scale.parse(ends, cuts)
    counted = [sum(cut < value for cut in scale.cuts) for value in values]
    assert scores(scale, *values) == counted


@pytest.mark.parametrize(
    ("text", "bins", "scale"),
    [
        ("1-10", None, Scale.ds2()),
        (" 1 - 10 ", None, Scale.ds2()),
        ("1..10", None, Scale.ds2()),
        ("1–10", None, Scale.ds2()),
        ("1-10", [3, 7], Scale(1.0, 10.0, (3.0, 7.0))),
        ("0-5", None, Scale.levels(6)),
        ("levels:6", None, Scale.levels(6)),
        ("levels: 4", [1.5], Scale(0.0, 3.0, (1.5,))),
        ("1-5", None, Scale(1.0, 5.0, (1.5, 2.5, 3.5, 4.5))),
        ("-1-1", None, Scale(-1.0, 1.0, (-0.5, 0.5))),
        ("-1--0.5", [-0.7], Scale(-1.0, -0.5, (-0.7,))),
        ("0-100", (25, 50, 75), Scale(0.0, 100.0, (25.0, 50.0, 75.0))),
    ],
)
def test_a_scale_as_text(text, bins, scale):
    assert Scale.parse(text, bins) == scale


@pytest.mark.parametrize(
    ("text", "bins", "said"),
    [
        ("0-100", None, r"needs bins.*bins = \[16.67, 33.33, 50, 66.67, 83.33\] for 6 scores"),
        ("0-10", None, "needs bins"),
        ("0.5-3.5", None, "needs bins"),
        ("5-1", None, "lower end must be below"),
        ("5-1", [3], "lower end must be below"),
        ("levels:1", None, "at least 2 scores"),
        ("five", None, "must be a range such as '1-10'"),
        ("1-10\x1b[31m", None, r"Got '1-10\\x1b\[31m'"),
        ("1-10", [], "at least one, ascending"),
        ("1-10", [5, 4], "ascending"),
        ("1-10", [5, 5], "ascending"),
        ("1-10", [1, 5], "above 1 and below 10"),
        ("1-10", [5, 11], "above 1 and below 10"),
        ("1-10", [NAN], "finite"),
    ],
)
def test_what_is_no_scale(text, bins, said):
    with pytest.raises(InputError, match=said):
        Scale.parse(text, bins)
