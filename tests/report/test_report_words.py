import math

import pytest

from ds2.report import words


@pytest.mark.parametrize("missing", [None, math.nan, math.inf])
def test_missing_is_a_dash_and_never_nan(missing: float | None) -> None:
    assert words.decimal(missing) == words.share(missing) == words.MISSING
    assert words.interval(0.1, missing) == words.MISSING


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.358, "35.8\u00a0%"),
        (0.0, "0.0\u00a0%"),
        (1.0, "100.0\u00a0%"),
        (0.0004, "<\u00a00.1\u00a0%"),
        (0.9999, ">\u00a099.9\u00a0%"),
    ],
)
def test_a_share_never_becomes_nothing_or_all(value: float, written: str) -> None:
    assert words.share(value) == written


def test_decimals_have_no_negative_zero_and_a_real_minus() -> None:
    assert words.decimal(-0.001) == "0.00"
    assert words.decimal(-0.25) == "\u22120.25"
    assert words.decimal(1085.2, 0) == "1,085"


def test_scores_are_bare_when_whole() -> None:
    assert [words.score(value) for value in (3.0, 3.25, None)] == ["3", "3.25", "unrated"]


def test_plural_and_of() -> None:
    assert words.plural(1, "example") == "1 example"
    assert words.plural(52_002, "example") == "52,002 examples"
    assert words.of(1, 0) == words.MISSING


def test_spans_collapse_when_their_ends_are_written_alike() -> None:
    assert words.share_span(0.311, 0.312) == "31\u00a0%"
    assert words.either_share(0.05, 0.45) == "between 5\u00a0% and 45\u00a0%"
    assert words.either_share(0.311, 0.312) == "about 31\u00a0%"
