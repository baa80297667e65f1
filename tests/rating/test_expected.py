"""The expected rating from the log-probabilities of one token."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2.errors import InputError
from ds2.rating import Rubric, Scale
from ds2.rating.reply import Expected, expected_rating, level_tokens

TEN = Rubric.ds2()
FIVE = replace(TEN, scale=Scale.parse("1-5"))


def logs(**shares):
    return {token: math.log(share) for token, share in shares.items()}


def test_levels_are_digits_where_each_is_one():
    assert level_tokens(FIVE) == ("1", "2", "3", "4", "5")
    assert level_tokens(replace(TEN, scale=Scale.parse("0-9"))) == tuple("0123456789")


def test_ten_levels_are_letters_with_a_the_highest():
    assert level_tokens(TEN) == tuple("JIHGFEDCBA")
    assert level_tokens(replace(TEN, scale=Scale.parse("0-10", [5])))[0] == "K"


def test_too_many_levels_have_no_symbols():
    with pytest.raises(InputError, match=r"at most 20 levels\. The rubric 'ds2' has 101"):
        level_tokens(replace(TEN, scale=Scale.parse("0-100", [5])))


def test_a_certain_rater():
    assert expected_rating({"A": 0.0}, TEN) == Expected(10.0, 0.0, 1.0)
    assert expected_rating({"J": 0.0}, TEN) == Expected(1.0, 0.0, 1.0)


def test_mean_and_spread_by_hand():
    found = expected_rating({"2": math.log(0.3), "4": math.log(0.3)}, FIVE)
    assert found.value == pytest.approx(3.0)
    assert found.spread == pytest.approx(1.0)
    assert found.covered == pytest.approx(0.6)


def test_spellings_with_a_space_in_front_are_the_same_level():
    parts = {"4": 0.2, " 4": 0.2, "▁4": 0.1, "Ġ4": 0.1, "\n4": 0.1, "2": 0.1}
    found = expected_rating({t: math.log(p) for t, p in parts.items()}, FIVE)
    assert found.value == pytest.approx((0.7 * 4 + 0.1 * 2) / 0.8)


def test_other_tokens_and_other_numbers_do_not_count():
    found = expected_rating(logs(A=0.6, a=0.1, AB=0.1, The=0.1) | {"10": math.log(0.1)}, TEN)
    assert found == Expected(10.0, 0.0, pytest.approx(0.6))


@pytest.mark.parametrize(
    "tokens",
    [{}, logs(Sure=0.9), logs(A=0.2, B=0.2), {"A": -math.inf}, {"A": math.nan}, {"A": 12.0}],
)
def test_too_little_covered_is_no_rating(tokens):
    assert expected_rating(tokens, TEN) is None


def test_the_least_mass_can_be_chosen():
    tokens = logs(A=0.2, B=0.2)
    assert expected_rating(tokens, TEN, min_covered=0.3).value == pytest.approx(9.5)
    assert expected_rating({"A": -math.inf}, TEN, min_covered=0.0) is None


@given(
    st.dictionaries(
        st.sampled_from([*"ABCDEFGHIJ", " A", " J", "x", "10", ""]),
        st.floats() | st.floats(-30.0, 1.0),
    ),
    st.floats(0.0, 1.0),
)
def test_on_the_scale_or_missing_whatever_comes(tokens, least):
    found = expected_rating(tokens, TEN, min_covered=least)
    if found is not None:
        assert 1.0 <= found.value <= 10.0
        assert 0.0 <= found.spread <= 4.5 + 1e-9
        assert least <= found.covered <= 1.0


@given(st.lists(st.floats(1e-6, 1.0), min_size=10, max_size=10))
def test_only_the_levels_shares_matter(weights):
    """What a grammar would leave of the distribution has the same expected rating."""
    total = sum(weights)
    symbols = level_tokens(TEN)
    whole = {s: math.log(w / total) for s, w in zip(symbols, weights, strict=True)}
    masked = {s: logprob + math.log(0.7) for s, logprob in whole.items()} | {"no": math.log(0.3)}
    before, after = expected_rating(masked, TEN), expected_rating(whole, TEN)
    naive = sum(level * w for level, w in zip(range(1, 11), weights, strict=True)) / total
    assert before.value == pytest.approx(after.value) == pytest.approx(naive)
    assert before.spread == pytest.approx(after.spread, abs=1e-6)
    assert before.covered == pytest.approx(0.7)
