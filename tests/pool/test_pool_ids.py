"""Where ids stand: by hashes, compared as texts where these are equal."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pool_files import alpaca_rows, write_lines

from ds2.pool import ids, read_pool
from ds2.pool.ids import Places, match_ids, repeated_values
from ds2.pool.pool import take_rows

SOME = st.lists(st.sampled_from(["a", "b", "1", "1.0", " 1", "é", "", "a-2"]), max_size=12)


@pytest.fixture(params=[False, True])
def hashing(request, monkeypatch):
    """Hashes as they are, and hashes of which most are equal."""
    if request.param:
        monkeypatch.setattr(ids, "hash", len, raising=False)


def _column(texts):
    """In chunks, of which one is empty."""
    return pa.chunked_array([texts[:3], [], texts[3:]], type=pa.string())


@pytest.mark.usefixtures("hashing")
@given(SOME, SOME)
def test_places_and_repeats_are_those_of_a_naive_search(known, wanted):
    column = _column(known)
    assert Places(column).find(wanted).tolist() == [
        known.index(one) if one in known else -1 for one in wanted
    ]
    first, rows = repeated_values(column)
    again = [(known.index(one), row) for row, one in enumerate(known) if one in known[:row]]
    assert list(zip(first.tolist(), rows.tolist(), strict=True)) == again


def test_ids_that_a_table_changed_are_found_unless_two_would_be_one():
    rows, loosely = match_ids(_column(["1", "2", "x"]), ["2.0", " x", "y", "1"])
    assert (rows.tolist(), loosely) == ([1, 2, -1, 0], 2)
    rows, loosely = match_ids(_column(["1", "1.0", "x"]), ["x", " x"])
    assert (rows.tolist(), loosely) == ([2, -1], 0)


def test_rows_of_a_column_with_more_than_two_gigabytes_of_text_are_taken():
    long = pa.array(["x" * 1_000_000] * 100)
    table = pa.table({"id": pa.chunked_array([long] * 22 + [pa.array(["a", "b"])])})
    assert table["id"].nbytes > 2**31
    assert take_rows(table, np.array([2201, 2200]))["id"].to_pylist() == ["b", "a"]


def test_sources_are_coded_in_the_order_of_their_first_row(tmp_path, monkeypatch):
    monkeypatch.setattr("ds2.pool.read._ROWS", 3)
    rows = [{**row, "source": "cbab"[n % 4]} for n, row in enumerate(alpaca_rows(9))]
    del rows[2]["source"]
    pool = read_pool(write_lines(tmp_path / "pool.jsonl", rows))
    names, codes = pool.coded_sources()
    assert names == ["c", "b", None, "a"]
    assert [names[code] for code in codes] == pool.sources
    assert pool.take([]).coded_sources()[1].tolist() == []
