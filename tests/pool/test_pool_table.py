"""The pool itself: columns, ids, keys, taking, saving."""

import random
import subprocess
import sys
import tracemalloc
from collections import deque

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pool_files import ALPACA, MESSAGES, PROMPT, SHAREGPT, alpaca_rows, write_lines

from ds2.errors import Ds2Warning, InputError
from ds2.pool import Example, Message, Pool, read_pool
from ds2.pool.rows import read_file


@pytest.fixture
def pool(tmp_path):
    last = {**ALPACA, "id": "own", "score": 3, "source": None}
    rows = [*alpaca_rows(5, source="a"), last]
    return read_pool(write_lines(tmp_path / "pool.jsonl", rows))


def test_the_columns_are_those_of_the_contract(pool):
    schema = pool.table.schema
    assert schema.names[:5] == ["id", "messages", "source", "extra", "key"]
    turn = pa.struct([("role", pa.string()), ("content", pa.string())])
    assert schema.field("messages").type == pa.list_(turn)
    assert schema.field("key").type == pa.uint64()


def test_a_pool_is_a_sequence_of_examples(pool):
    assert len(pool) == 6
    examples = list(pool)
    assert examples[5] == Example(
        "own", (Message("user", "Add.\n\n1 2"), Message("assistant", "3")), None, {"score": 3}
    )
    assert pool[5] == pool[-1] == examples[5]
    assert pool.ids == [example.id for example in examples]
    assert pool.sources == ["a"] * 5 + [None]
    with pytest.raises(IndexError):
        pool[6]
    assert repr(pool).startswith("Pool(6 examples, format='alpaca'")


def test_texts_are_role_and_content_lines(pool):
    assert pool.texts() == [example.text() for example in pool]
    assert pool.texts(5) == ["user: Add.\n\n1 2\nassistant: 3"]
    assert pool.texts(1, 3) == pool.texts()[1:3]
    assert pool.texts(6) == []


def test_lengths_count_the_characters_of_the_assistant(tmp_path):
    turns = [("user", "é"), ("assistant", "äöü"), ("user", "abc"), ("assistant", "𝄞x")]
    long = {"messages": [{"role": r, "content": c} for r, c in turns]}
    pool = read_pool(write_lines(tmp_path / "pool.jsonl", [MESSAGES, long, MESSAGES]))
    assert pool.lengths.tolist() == [4, 5, 4]
    assert pool.take([1]).lengths.tolist() == [5]
    assert Pool(pool.table.slice(1, 2), "messages", "").lengths.tolist() == [5, 4]
    assert pool.lengths.dtype == np.int64


def test_a_column_is_a_field_as_it_was_read(pool):
    assert pool.columns == ("source", "id", "score")
    assert pool.column("score") == [None] * 5 + [3]
    assert pool.column("id") == [None] * 5 + ["own"]
    assert pool.column("source") == ["a"] * 5 + [None]
    with pytest.raises(InputError, match=r"has the field 'scroe'.*Did you mean 'score'"):
        pool.column("scroe")


def test_a_column_keeps_the_kind_of_an_id(tmp_path):
    rows = [{**PROMPT, "id": 5, "source": 1}, {**PROMPT, "id": "b"}, {**PROMPT, "id": ""}]
    pool = read_pool(write_lines(tmp_path / "pool.jsonl", rows))
    assert pool.column("id") == [5, "b", ""]
    assert pool.column("source") == [1, None, None]
    assert pool.sources == ["1", None, None]


def test_keys_depend_on_the_messages_alone(tmp_path):
    same = [
        {**SHAREGPT, "id": "a"},
        {"conversations": [{"from": "user", "value": "Hi"}, {"from": "gpt", "value": "Yes?"}]},
    ]
    keys = read_pool(write_lines(tmp_path / "one.jsonl", same)).keys
    other = read_pool(
        write_lines(tmp_path / "two.jsonl", [PROMPT, {**PROMPT, "prompt": "hi"}])
    ).keys
    assert keys.dtype == np.uint64
    assert keys[0] == keys[1] == other[0] != other[1]


def key_of(*turns):
    (key,) = read_pool([{"messages": [{"role": r, "content": c} for r, c in turns]}]).keys.tolist()
    return key


def test_a_key_never_changes():
    assert key_of(("user", "Hi"), ("assistant", "é")) == 10509332242383075382


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ([("user", "ab"), ("user", "c")], [("user", "a"), ("user", "bc")]),
        ([("user", "a")], [("assistant", "a")]),
        ([("user", "a\0user\0001\0b")], [("user", "a"), ("user", "b")]),
    ],
)
def test_different_conversations_have_different_keys(one, two):
    assert key_of(*one, ("assistant", "x")) != key_of(*two, ("assistant", "x"))


def test_derived_ids_stay_when_rows_move_and_differ_for_duplicates(tmp_path):
    rows = [*alpaca_rows(4), *alpaca_rows(2), *alpaca_rows(1)]
    pool = read_pool(write_lines(tmp_path / "one.jsonl", rows))
    turned = read_pool(write_lines(tmp_path / "two.jsonl", rows[::-1]))
    assert sorted(pool.ids) == sorted(turned.ids)
    assert pool.ids[0] == f"{pool.keys[0]:016x}"
    assert [pool.ids[4], pool.ids[6]] == [f"{pool.ids[0]}-2", f"{pool.ids[0]}-3"]
    unique = pool.take([1, 2, 3])
    assert unique.ids == [
        turned.ids[list(turned.keys).index(key)].partition("-")[0] for key in unique.keys
    ]


def test_a_derived_id_gives_way_to_a_given_one(tmp_path):
    (first,) = read_pool(write_lines(tmp_path / "one.jsonl", [PROMPT])).ids
    rows = [PROMPT, {**ALPACA, "prompt": "x", "response": "y", "id": first}, PROMPT]
    rows[1] = {"prompt": "x", "response": "y", "id": first}
    ids = read_pool(write_lines(tmp_path / "two.jsonl", rows)).ids
    assert ids == [f"{first}-2", first, f"{first}-3"]


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_taking_rows_is_indexing(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("take")
    many = read_pool(write_lines(folder / "pool.jsonl", alpaca_rows(20, source="s")))
    pool = Pool(pa.concat_tables([many.table.slice(0, 7), many.table.slice(7)]), "alpaca", "")
    rows = data.draw(st.lists(st.integers(0, 19), max_size=30))
    taken = pool.take(np.array(rows, dtype=np.int32))
    assert taken.ids == [pool.ids[row] for row in rows]
    assert taken.texts() == [pool.texts()[row] for row in rows]
    assert taken.lengths.tolist() == pool.lengths[rows].tolist()


def test_taking_more_rows_than_one_block_keeps_their_order(pool, monkeypatch):
    monkeypatch.setattr("ds2.pool.pool._TAKE", 2)
    rows = [5, 0, 3, 3, 1, 5, 2]
    assert pool.take(rows).ids == [pool.ids[row] for row in rows]


def test_taking_by_mask_and_by_nothing(pool):
    assert pool.take(pool.keys == pool.keys[2]).ids == [pool.ids[2]]
    assert pool.take([]).ids == []
    assert len(pool) == 6


@pytest.mark.parametrize("rows", [[6], [-1], [0.5], [[1]], "all"])
def test_rows_that_are_not_there_cannot_be_taken(pool, rows):
    with pytest.raises(InputError, match="'rows' must be"):
        pool.take(rows)


def test_a_saved_pool_is_the_same_pool(tmp_path, pool):
    pool.save(tmp_path / "pool.arrow")
    loaded = Pool.load(tmp_path / "pool.arrow")
    assert list(loaded) == list(pool)
    assert loaded.table.equals(pool.table)
    assert (loaded.format, loaded.origin) == (pool.format, pool.origin)
    mixed = pa.concat_tables([pool.take([1, 5]).table, pool.take([0]).table])
    Pool(mixed, "alpaca", "").save(tmp_path / "again.arrow")
    assert Pool.load(tmp_path / "again.arrow").ids == [pool.ids[row] for row in (1, 5, 0)]


def test_saving_twice_gives_equal_bytes(tmp_path, pool):
    pool.save(tmp_path / "one.arrow")
    pool.save(tmp_path / "two.arrow")
    assert (tmp_path / "one.arrow").read_bytes() == (tmp_path / "two.arrow").read_bytes()
    assert len(list(tmp_path.glob(".*"))) == 0


def test_rejects_and_settings_are_saved_with_the_pool(tmp_path):
    rows = [{**row, "uid": str(n)} for n, row in enumerate(alpaca_rows(30))] + [{"uid": "x"}]
    with pytest.warns(Ds2Warning):
        pool = read_pool(write_lines(tmp_path / "pool.jsonl", rows), id_field="uid")
    pool.save(tmp_path / "pool.arrow")
    loaded = Pool.load(tmp_path / "pool.arrow")
    assert loaded.rejects == pool.rejects
    assert loaded.warnings == pool.warnings != ()
    assert loaded.id_field == "uid"


def test_what_is_no_saved_pool_cannot_be_loaded(tmp_path, pool):
    with pytest.raises(InputError, match="does not exist"):
        Pool.load(tmp_path / "pool.arrow")
    pool.save(tmp_path / "pool.arrow")
    data = (tmp_path / "pool.arrow").read_bytes()
    (tmp_path / "cut.arrow").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="no pool saved by ds2, or it is cut off"):
        Pool.load(tmp_path / "cut.arrow")
    with pa.ipc.new_file(str(tmp_path / "other.arrow"), pa.schema([("a", pa.int8())])):
        pass
    with pytest.raises(InputError, match="an Arrow file, but no pool"):
        Pool.load(tmp_path / "other.arrow")


def test_a_pool_of_a_newer_version_is_said_to_be_one(tmp_path, pool, monkeypatch):
    monkeypatch.setattr("ds2.pool.pool._VERSION", 99)
    pool.save(tmp_path / "pool.arrow")
    monkeypatch.undo()
    with pytest.raises(InputError, match="newer version of ds2"):
        Pool.load(tmp_path / "pool.arrow")


def test_a_pool_that_cannot_be_written_leaves_the_old_one(tmp_path, pool, monkeypatch):
    pool.save(tmp_path / "pool.arrow")
    before = (tmp_path / "pool.arrow").read_bytes()

    def full(*args, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match=r"The disk is full: .*pool.arrow"):
        pool.take([0]).save(tmp_path / "pool.arrow")
    assert (tmp_path / "pool.arrow").read_bytes() == before
    assert [p.name for p in tmp_path.glob("*arrow*")] == ["pool.arrow"]


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv"])
def test_rows_come_before_the_file_is_read(tmp_path, suffix):
    long = "a" * 100_000
    text = {
        ".json": "[" + ",\n".join([f'{{"prompt": "{long}"}}'] * 60) + "]",
        ".jsonl": f'{{"prompt": "{long}"}}\n' * 60,
        ".csv": "prompt\n" + f"{long}\n" * 60,
    }[suffix]
    path = tmp_path / f"pool{suffix}"
    path.write_bytes(text.encode() + b"\xff a fault at the end")
    rows = read_file(path).rows
    assert next(rows)[1] == {"prompt": long}
    with pytest.raises(InputError, match="not UTF-8"):
        deque(rows, maxlen=0)


def test_of_a_parquet_file_few_row_groups_are_held(tmp_path):
    path = tmp_path / "pool.parquet"
    columns = {"prompt": [str(n) for n in range(12_000)]}
    columns["response"] = [random.Random(n).randbytes(400).hex() for n in range(12_000)]
    pq.write_table(pa.table(columns), path, row_group_size=1000)
    assert path.stat().st_size > 8_000_000
    before, most = pa.total_allocated_bytes(), 0
    for _ in read_file(path).rows:
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < path.stat().st_size * 0.8


@pytest.mark.parametrize("separator", [",", "\t"])
def test_a_table_is_not_held_while_it_is_read(tmp_path, separator):
    path = tmp_path / ("pool.csv" if separator == "," else "pool.tsv")
    path.write_text(f"prompt{separator}response\n" + f"{'a' * 300}{separator}b\n" * 10_000)
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_file(path).rows) == 10_000
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


_MILLION = """
import sys
from pathlib import Path
from ds2.pool import read_pool
pool = read_pool(sys.argv[1])
status = Path("/proc/self/status").read_text().splitlines()  # ru_maxrss would count the parent's
peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024
print(len(pool), peak, pool.table.nbytes)
"""


@pytest.mark.slow
def test_a_million_examples_take_little_more_memory_than_their_text(tmp_path):
    path = tmp_path / "pool.jsonl"
    more = "and so on " * 30
    with path.open("w") as file:
        for n in range(1_000_000):
            file.write(f'{{"id": {n}, "prompt": "Say {n}.", "response": "{n} {more}"}}\n')
    command = [sys.executable, "-c", _MILLION, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    count, peak, size = map(int, done.stdout.split())
    assert count == 1_000_000
    assert peak < 1.3 * size + 300e6
