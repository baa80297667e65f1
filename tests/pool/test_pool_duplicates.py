"""Exact duplicates after normalisation."""

import unicodedata

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pool_files import alpaca_rows, write_lines

from ds2.pool import find_duplicates, read_pool
from ds2.pool.duplicates import normalise


def groups(tmp_path, *pairs):
    rows = [
        {"prompt": prompt, "response": response, "n": n}
        for n, (prompt, response) in enumerate(pairs)
    ]
    return find_duplicates(read_pool(write_lines(tmp_path / "pool.jsonl", rows))).tolist()


def test_the_label_is_the_first_row_with_the_same_text(tmp_path):
    found = groups(
        tmp_path,
        ("Straße  1", "Yes"),
        ("Other", "Yes"),
        (" STRASSE\t１\n", "yes"),
        ("strasse 1", "no"),
        ("strasse\u00a01", "YES"),
    )
    assert found == [0, 1, 0, 3, 0]


def test_text_does_not_move_between_turns_or_words(tmp_path):
    assert groups(tmp_path, ("a b", "c"), ("a", "b c"), ("ab", "c"), ("c", "a b")) == [0, 1, 2, 3]


def test_the_same_text_in_other_roles_is_no_duplicate(tmp_path):
    rows = [
        {"messages": [{"role": role, "content": "a"}, {"role": "assistant", "content": "b"}]}
        for role in ("user", "system", "human")
    ]
    pool = read_pool(write_lines(tmp_path / "pool.jsonl", rows))
    assert find_duplicates(pool).tolist() == [0, 1, 0]


def test_a_pool_without_duplicates_has_every_row_as_its_own_group(tmp_path):
    pool = read_pool(write_lines(tmp_path / "pool.jsonl", alpaca_rows(3000)))
    found = find_duplicates(pool)
    assert found.dtype == np.int64
    assert np.array_equal(found, np.arange(3000))
    assert find_duplicates(pool.take([])).tolist() == []


@given(st.text())
def test_normalised_text_is_normalised(text):
    assert normalise(normalise(text)) == normalise(text)
    for same in (unicodedata.normalize("NFD", text), f" {text}\n", text.casefold()):
        assert normalise(same) == normalise(text)
