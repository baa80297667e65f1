"""Writing: formats, added columns, and what a format cannot hold."""

import gzip
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from pool_files import ALPACA, MESSAGES, PROMPT, SHAREGPT, alpaca_rows, write_lines

from ds2.errors import Ds2Warning, InputError
from ds2.pool import Pool, read_pool, write_pool
from ds2.pool.write import write_parts


def pool_of(tmp_path, *rows):
    return read_pool(write_lines(tmp_path / "in.jsonl", rows))


def written(pool, tmp_path, **settings):
    write_pool(pool, tmp_path / "out.jsonl", **settings)
    return [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]


def test_messages_are_the_default(tmp_path):
    pool = pool_of(tmp_path, {**ALPACA, "score": 3, "source": "web"})
    assert written(pool, tmp_path) == [
        {
            "id": pool.ids[0],
            "messages": [
                {"role": "user", "content": "Add.\n\n1 2"},
                {"role": "assistant", "content": "3"},
            ],
            "source": "web",
            "score": 3,
        }
    ]


@pytest.mark.parametrize(
    ("form", "fields"),
    [
        ("sharegpt", SHAREGPT),
        ("messages", MESSAGES),
        ("prompt-response", PROMPT),
        ("alpaca", {"instruction": "Hi", "input": "", "output": "Yes?"}),
    ],
)
def test_every_format_has_its_own_fields(tmp_path, form, fields):
    source = {"conversation": SHAREGPT["conversations"]} if form != "sharegpt" else MESSAGES
    pool = pool_of(tmp_path, {**source, "id": 7, "source": None})
    assert written(pool, tmp_path, format=form) == [{"id": 7, **fields}]


def test_a_number_zero_is_an_id(tmp_path):
    assert written(pool_of(tmp_path, {**PROMPT, "id": 0}), tmp_path)[0]["id"] == 0


def test_the_separate_input_survives(tmp_path):
    rows = [{**ALPACA, "n": 1}, {**ALPACA, "input": "\n\n"}, {**ALPACA, "instruction": "\n\n"}]
    assert written(pool_of(tmp_path, *rows), tmp_path, format="alpaca") == rows


def test_several_turns_do_not_fit_alpaca(tmp_path):
    turns = [*MESSAGES["messages"], {"role": "user", "content": "a"}, MESSAGES["messages"][1]]
    pool = pool_of(tmp_path, {**MESSAGES, "id": "a"}, {"messages": turns, "id": "b\x1b"})
    for form in ("alpaca", "prompt-response"):
        with pytest.raises(InputError, match=r"example 'b\\x1b' has the turns.*'sharegpt'"):
            write_pool(pool, tmp_path / "out.jsonl", format=form)
    assert not (tmp_path / "out.jsonl").exists()


def test_columns_are_added_to_every_row(tmp_path):
    pool = pool_of(tmp_path, *alpaca_rows(3))
    columns = {
        "ds2_score": np.array([1.0, np.nan, 3.0]),
        "why": ("a", "b", None),
        "n": [np.int8(1)] * 3,
    }
    rows = written(pool, tmp_path, format="alpaca", columns=columns)
    assert [row["ds2_score"] for row in rows] == [1.0, None, 3.0]
    assert [row["why"] for row in rows] == ["a", "b", None]
    assert list(rows[0]) == ["instruction", "output", "ds2_score", "why", "n"]


def test_a_column_replaces_a_field_and_can_be_the_id(tmp_path):
    pool = pool_of(tmp_path, {"score": 1, **PROMPT})
    rows = written(pool, tmp_path, format="prompt-response", columns={"score": [2], "id": pool.ids})
    assert rows == [{"score": 2, **PROMPT, "id": pool.ids[0]}]


def test_a_column_cannot_replace_the_conversation_or_be_short(tmp_path):
    pool = pool_of(tmp_path, ALPACA, ALPACA)
    with pytest.raises(InputError, match="'messages' has the name of a part of the conversation"):
        write_pool(pool, tmp_path / "out.jsonl", columns={"messages": [1, 2]})
    with pytest.raises(InputError, match=r"'n' must have 2 values.*Got 1"):
        write_pool(pool, tmp_path / "out.jsonl", columns={"n": [1]})


def test_fields_that_the_format_needs_are_replaced_with_a_warning(tmp_path):
    pool = pool_of(tmp_path, {**SHAREGPT, "instruction": "old", "more": 1})
    with pytest.warns(Ds2Warning, match="conversation's own text was written in 'instruction'"):
        (row,) = written(pool, tmp_path, format="alpaca")
    assert (row["instruction"], row["more"]) == ("Hi", 1)


def test_numbers_that_json_does_not_have_become_null(tmp_path):
    line = json.dumps({**PROMPT, "a": float("nan"), "b": [{"c": float("inf")}]})
    (row,) = written(pool_of(tmp_path, line), tmp_path, format="prompt-response")
    assert (row["a"], row["b"]) == (None, [{"c": None}])


def test_the_same_pool_gives_the_same_bytes(tmp_path):
    pool = pool_of(tmp_path, *alpaca_rows(50))
    for suffix in (".jsonl", ".json.gz", ".csv.zst", ".parquet"):
        one, two = tmp_path / f"one{suffix}", tmp_path / f"two{suffix}"
        write_pool(pool, one, format="alpaca")
        write_pool(pool, two, format="alpaca")
        assert one.read_bytes() == two.read_bytes()


def test_gzip_is_gzip_and_parquet_is_typed(tmp_path):
    pool = pool_of(tmp_path, *alpaca_rows(2, score=3))
    write_pool(pool, tmp_path / "out.csv.gz", format="alpaca")
    text = gzip.decompress((tmp_path / "out.csv.gz").read_bytes()).decode()
    assert text.splitlines()[1] == "Say 0.,It is 0.,3"
    write_pool(pool, tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert str(table.schema.field("score").type) == "int64"
    assert table["messages"][1].as_py()[0] == {"role": "user", "content": "Say 1."}


def test_parquet_takes_kinds_that_go_together_from_far_apart(tmp_path, monkeypatch):
    monkeypatch.setattr("ds2.pool.files._BATCH", 2)
    rows = alpaca_rows(6)
    rows[3]["score"], rows[5]["score"], rows[5]["meta"] = 2, 2.5, {"a": 1}
    write_pool(pool_of(tmp_path, *rows), tmp_path / "out.parquet", format="alpaca")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["score"].to_pylist() == [None] * 3 + [2, None, 2.5]
    assert table["meta"].to_pylist() == [None] * 5 + [{"a": 1}]


@pytest.mark.parametrize("values", [[1, "a"], [1, [1]], [2**64, None], [{}, None]])
@pytest.mark.parametrize("batch", [1, 10])
def test_parquet_says_what_it_cannot_hold(tmp_path, monkeypatch, values, batch):
    monkeypatch.setattr("ds2.pool.files._BATCH", batch)
    rows = [{**PROMPT, "x": value} for value in values]
    with pytest.raises(InputError, match=r"Parquet cannot hold these rows; write \.jsonl instead"):
        write_pool(pool_of(tmp_path, *rows), tmp_path / "out.parquet", format="prompt-response")
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([1, "a", None], ["1", "a", None]),
        ([1, [1], {"b": True}], ["1", "[1]", '{"b": true}']),
        ([2**64, 1.5, "é"], [str(2**64), "1.5", "é"]),
        ([{}, {}, None], ["{}", "{}", None]),
    ],
)
@pytest.mark.parametrize("batch", [1, 10])
def test_parts_hold_fields_of_different_kinds_as_texts(tmp_path, monkeypatch, values, texts, batch):
    monkeypatch.setattr("ds2.pool.files._BATCH", batch)
    pool = pool_of(tmp_path, *({**PROMPT, "x": value, "y": 1} for value in values))
    with pytest.warns(Ds2Warning, match="values of different kinds in 'x'"):
        write_parts(
            pool, np.arange(3), tmp_path / "parts", size=2, format="prompt-response", columns={}
        )
    paths = sorted((tmp_path / "parts").iterdir())
    tables = [pq.read_table(path) for path in paths]
    assert tables[0].schema == tables[1].schema
    assert [value for one in tables for value in one["x"].to_pylist()] == texts
    assert [value for one in tables for value in one["y"].to_pylist()] == [1, 1, 1]


def test_csv_cannot_hold_nul(tmp_path):
    pool = pool_of(tmp_path, {**PROMPT, "x": "a\0"})
    with pytest.raises(InputError, match="CSV cannot hold a NUL"):
        write_pool(pool, tmp_path / "out.csv")


def test_where_a_pool_cannot_be_written(tmp_path):
    pool = pool_of(tmp_path, PROMPT)
    with pytest.raises(InputError, match="suffix must be one of"):
        write_pool(pool, tmp_path / "out.txt")
    with pytest.raises(InputError, match="Did you mean 'sharegpt'"):
        write_pool(pool, tmp_path / "out.jsonl", format="sharegpd")
    with pytest.raises(InputError, match="does not exist"):
        write_pool(pool, tmp_path / "no" / "out.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(InputError, match="it is a folder"):
        write_pool(pool, tmp_path / "folder.jsonl")
    with pytest.raises(InputError, match="holds no examples"):
        write_pool(pool.take([]), tmp_path / "out.jsonl")


def test_a_loaded_and_taken_pool_writes_the_rows_it_read(tmp_path):
    rows = [{**row, "n": n, "input": None} for n, row in enumerate(alpaca_rows(10))]
    rows[3] = {**ALPACA, "n": 3}
    pool_of(tmp_path, *rows).save(tmp_path / "pool.arrow")
    taken = Pool.load(tmp_path / "pool.arrow").take([3, 0, 9])
    assert written(taken, tmp_path, format="alpaca") == [rows[3], rows[0], rows[9]]
