import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2.report import tables

NAN = float("nan")


def test_levels_round_real_scores_and_mark_what_is_missing() -> None:
    levels = tables.to_levels(np.array([0.2, 4.6, NAN, -1.0, 9.0]), 6)
    assert levels.tolist() == [0, 5, -1, 0, 5]


def test_rating_words_speak_of_whole_ratings_where_the_cuts_allow() -> None:
    assert tables.rating_words(1.0, 10.0, (4.5, 5.5, 8.5)) == ("1 to 4", "5", "6 to 8", "9 to 10")
    assert tables.rating_words(0.0, 1.0, (0.25, 0.5)) == (
        "up to 0.25",
        "above 0.25, up to 0.5",
        "above 0.5",
    )


def test_moves_count_pairs_of_rated_examples() -> None:
    raw, curated = np.array([0, 0, 1, -1]), np.array([0, 1, 1, 1])
    assert tables.moves(raw, curated, 2) == ((1, 1), (0, 1))


def test_unrated_is_a_row_only_where_it_occurs() -> None:
    rows = np.array([1])
    assert [r.label for r in tables.by_score(np.array([0, 1]), rows, 2)] == ["0", "1"]
    with_unrated = tables.by_score(np.array([0, -1]), rows, 2)
    assert (with_unrated[-1].label, with_unrated[-1].pool, with_unrated[-1].selected) == (
        "unrated",
        1,
        1,
    )


def test_sources_are_counted_largest_first_and_small_ones_together() -> None:
    sources = [f"s{number}" for number in range(30)] + ["big"] * 3 + [None]
    table = tables.by_source(sources, np.array([30]))
    assert (table[0].label, table[0].pool, table[0].selected) == ("big", 3, 1)
    assert len(table) == 21
    assert table[-1].label == "(12 smaller sources)"
    assert sum(row.pool for row in table) == len(sources)


def test_no_source_at_all_is_no_table() -> None:
    assert tables.by_source([None, None], np.array([0])) == ()


@given(st.lists(st.integers(0, 50), min_size=1, max_size=60))
def test_lengths_fall_into_one_bin_each(lengths: list[int]) -> None:
    table = tables.by_length(np.array(lengths), np.arange(len(lengths)))
    assert sum(row.pool for row in table) == sum(row.selected for row in table) == len(lengths)
    assert all(row.pool for row in table)
    assert len(table) <= 5


def test_equal_lengths_are_one_bin() -> None:
    assert [r.label for r in tables.by_length(np.full(9, 1200), np.array([2]))] == ["1,200"]


def test_tail_bins_hold_everything() -> None:
    tail = np.random.default_rng(0).random(500)
    found = tables.tail_numbers(tail, np.arange(50))
    assert found is not None
    assert (sum(found.pool), sum(found.selected)) == (500, 50)
    assert len(found.edges) == len(found.pool) + 1


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_equal_tails_are_one_bin(value: float) -> None:
    found = tables.tail_numbers(np.full(5, value), np.array([1]))
    assert found is not None
    assert (found.pool, found.selected) == ((5,), (1,))
