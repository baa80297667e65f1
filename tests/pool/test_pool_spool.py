"""Rows that go to a file while they are read: the same pool, and no texts in memory."""

import json

import pyarrow as pa
import pytest
from pool_files import alpaca_rows, write_lines

from ds2.errors import Ds2Warning, InputError
from ds2.pool import Pool, read_pool
from ds2.pool import pool as files


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr("ds2.pool.read._ROWS", 4)


def _rows():
    """Rows of several layouts, with and without ids, of which some are equal."""
    plain = [*alpaca_rows(6, source="a"), *alpaca_rows(3)]
    told = [{**row, "id": n, "more": [n]} for n, row in enumerate(alpaca_rows(9))]
    return [*plain, *told, {**alpaca_rows(1)[0], "input": "x"}]


def test_a_pool_in_a_file_is_the_pool_in_memory(tmp_path):
    path, out = write_lines(tmp_path / "pool.jsonl", _rows()), tmp_path / "pool.arrow"
    held, spooled = read_pool(path), read_pool(path, out=out)
    assert spooled.table.num_columns == held.table.num_columns > 0
    assert spooled.table.equals(held.table)
    assert spooled.columns == held.columns == ("source", "id", "more")
    assert any(one.endswith("-2") for one in spooled.ids)
    held.save(tmp_path / "saved.arrow")
    assert out.read_bytes() == (tmp_path / "saved.arrow").read_bytes()
    assert list(Pool.load(out)) == list(held)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pool.arrow", "pool.jsonl", "saved.arrow"]


def test_texts_are_not_held_while_a_file_is_read_into_one(tmp_path, monkeypatch):
    rows = [{**row, "input": "x" * 20_000} for row in alpaca_rows(200)]
    path, held = write_lines(tmp_path / "pool.jsonl", rows), {}

    def measured(table, *more):
        from ds2.pool.ids import complete_ids

        held[len(held)] = pa.system_memory_pool().bytes_allocated() - before
        return complete_ids(table, *more)

    monkeypatch.setattr("ds2.pool.read.complete_ids", measured)
    before = pa.system_memory_pool().bytes_allocated()
    read_pool(path)
    read_pool(path, out=tmp_path / "pool.arrow")
    assert held[0] > 4_000_000
    assert held[1] < 200_000


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{**row, "id": "one"} for row in alpaca_rows(9)], "is given twice, in line 1 and line 2"),
        ([*alpaca_rows(9), *({"instruction": n} for n in range(9))], "First: line 10"),
    ],
)
def test_a_pool_that_cannot_be_read_leaves_the_file_as_it_was(tmp_path, rows, says):
    path, out = write_lines(tmp_path / "pool.jsonl", rows), tmp_path / "pool.arrow"
    out.write_bytes(b"before")
    with pytest.raises(InputError, match=says):
        read_pool(path, out=out)
    assert out.read_bytes() == b"before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pool.arrow", "pool.jsonl"]


def test_so_many_rejects_are_held_and_all_are_counted_and_written(tmp_path, monkeypatch):
    monkeypatch.setattr("ds2.pool.read._REJECTS", 5)
    rows = [*alpaca_rows(3), *({"instruction": "a", "output": ""} for _ in range(7)), "{]", "{}}"]
    path, rejects = write_lines(tmp_path / "pool.jsonl", rows), tmp_path / "rejects.jsonl"
    with pytest.warns(Ds2Warning) as said:
        pool = read_pool(path, rejects=rejects, max_bad_share=0.5, out=tmp_path / "pool.arrow")
    assert [one.line for one in pool.rejects] == [4, 5, 6, 7, 8]
    assert (len(pool), pool.n_read, pool.n_rejected) == (3, 12, 9)
    assert len([json.loads(line) for line in rejects.read_text().splitlines()]) == 9
    assert "2 of 12 rows were rejected: not valid JSON (2)" in str(said[0].message)
    with pytest.raises(InputError, match=r"First: line 11: not valid JSON.*; line 12: not valid"):
        read_pool(path, max_bad_share=0.0)


def test_a_pool_of_an_older_ds2_says_how_many_rows_were_set_aside(tmp_path, monkeypatch):
    path = write_lines(tmp_path / "pool.jsonl", [*alpaca_rows(30), "{]"])
    saved = [name for name in files._SAVED if name != "n_rejected"]
    with pytest.warns(Ds2Warning):
        pool = read_pool(path)
    with monkeypatch.context() as older:
        older.setattr("ds2.pool.pool._SAVED", saved)
        pool.save(tmp_path / "pool.arrow")
    assert Pool.load(tmp_path / "pool.arrow").n_rejected == 1
