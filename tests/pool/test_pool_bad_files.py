"""Files that cannot be read: one clear sentence each."""

import gzip
import json
import struct

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pool_files import ALPACA, MESSAGES, PROMPT, alpaca_rows, write_lines

from ds2.errors import Ds2Warning, InputError
from ds2.pool import read_pool


def error(path, **settings):
    with pytest.raises(InputError) as caught:
        read_pool(path, **settings)
    message = str(caught.value)
    assert "\n" not in message
    assert message.isprintable()
    assert caught.value.exit_code == 2
    return message


def test_a_missing_file_names_the_nearest_one(tmp_path):
    write_lines(tmp_path / "pool.jsonl", [ALPACA])
    assert "does not exist. Did you mean pool.jsonl?" in error(tmp_path / "pol.jsonl")


def test_a_missing_folder_is_named(tmp_path):
    assert "The folder" in error(tmp_path / "nowhere" / "pool.jsonl")


def test_a_folder_of_several_kinds_of_files_names_them(tmp_path):
    write_lines(tmp_path / "pool.jsonl", [ALPACA])
    (tmp_path / "pool.csv").write_text("a,b\n1,2\n")
    message = error(tmp_path)
    assert "several kinds (csv, jsonl)" in message
    assert "'pool.csv', 'pool.jsonl'" in message


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        *((f"pool.{s}", "", "is empty (0 bytes)") for s in ("jsonl", "json", "csv", "parquet")),
        ("pool.jsonl.gz", gzip.compress(b"", mtime=0), "0 bytes once decompressed"),
        (
            "pool.jsonl",
            gzip.compress(b"{}", mtime=0),
            "compressed with gzip: give it the suffix .gz",
        ),
        *(
            ("pool.jsonl", json.dumps(ALPACA).encode(code), "encoded as UTF-16")
            for code in ("utf-16", "utf-16-le", "utf-16-be")
        ),
        ("pool.jsonl", '{"prompt": "a", "response": "é"}'.encode()[:-3], "is cut off: line 1"),
        ("\x1b[31mpool.jsonl", "{", "\\x1b[31m"),
        ("pool.jsonl", "\n\n", "holds no rows"),
        ("pool.json", "[]", "empty list"),
        ("pool.json", '{"data": []}', "empty list"),
        ("pool.json", '{"a": 1, "b": "x"}', "without a list of rows; its fields are 'a', 'b'"),
        ("pool.json", '{"a": [{"b": 1}], "c": []}', "more than one list: 'a', 'c'"),
        ("pool.json", '{"a": ["b", "c"], "d": [1, 2]}', "if each is a column, write the rows as"),
        ("pool.json", '// mine\n[{"a": 1}]', "a comment, which JSON does not have (take the"),
        ("pool.json", '[{"a": 1}, // one\n{"a": 2}]', "a comment, which JSON does not have"),
        ("pool.json", '[{"a": 1} /* one */]', "a comment, which JSON does not have"),
        ("pool.jsonl", '{"a": 1, # one\n"b": 2}', "a comment, which JSON does not have"),
        ("pool.jsonl", '["a", "b"]\n["c", "d"]\n', "not an object: the row is a list"),
        ("pool.xlsx", "PK", "Save the sheet as CSV"),
        ("pool.jsonl.xz", "Hi", "Unpack it first"),
        ("pool.json", "nonsense", "is not valid JSON: '{' expected. Line 1, column 1."),
        ("pool.json", '[{"a": 1} {"b": 2}]', "is not valid JSON: ',' expected. Line 1, column 11."),
        ("pool.json", '[\n{"a": nope}]', "Expecting value. Line 2, column 7."),
        ("pool.json", '[{"a": 1}] 5', "goes on after the end"),
        ("pool.json", '[{"a": 1},', "is cut off"),
        ("pool.json", '[{"a": "x', "is cut off"),
        ("pool.json", '[{"a": tr', "is cut off"),
        ("pool.csv", "prompt,response\n", "holds no rows"),
        ("pool.csv", "a,b,a\n1,2,3\n", "column 'a' twice"),
        ("pool.csv", "prompt,response\na,b\nc,'d\ne", "is cut off: line 4"),
        ("pool.csv", b"prompt,response\na,caf\xe9", "not UTF-8: line 2 holds the byte 0xe9"),
        ("pool.tsv", b"prompt\tresponse\na\tcaf\xe9", "not UTF-8: line 2 holds the byte 0xe9"),
        ("pool.csv", 'prompt,response\na,b\nc,"d\ne\n', "inside the quoted field of the row that"),
        ("pool.csv", '"prompt,response\n', "no readable header"),
        ("pool.parquet", "nonsense", "is no Parquet file"),
        ("pool.parquet", "PAR1nonsense", "is no whole Parquet file"),
        ("pool.jsonl.gz", "nonsense", "is no readable gzip file"),
        ("pool.jsonl.zst", "nonsense", "is no readable zstd file"),
        ("pool.txt", "Hi", "suffix must be one of .jsonl"),
        ("pool.jsnl", "Hi", "Did you mean .jsonl?"),
        ("pool.gz", "Hi", "suffix must be one of .jsonl"),
        ("pool.jsonl", "PK\x03\x04", "zip archive"),
        ("pool.jsonl", '{"a": "\0"}', "binary file"),
        ("pool.csv", "PAR1", "is a Parquet file"),
    ],
)
def test_a_file_without_rows_to_read(tmp_path, name, text, said):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    assert said in error(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pool.jsonl", '{"prompt": "a", "response": "b"}\n{"prompt": "é", "response": "b"}\n'),
        ("pool.json", '[{"prompt": "é", "response": "b"}]'),
        ("pool.csv", "prompt,response\né,b\n"),
    ],
)
def test_a_mark_of_utf8_is_fine_and_latin_1_is_not(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8-sig")
    assert read_pool(tmp_path / name)[-1].messages[0].content == "é"
    (tmp_path / name).write_text(text, encoding="latin-1")
    message = error(tmp_path / name)
    assert "not UTF-8" in message
    assert "0xe9" in message
    assert "iconv" in message
    assert name == "pool.json" or "line 2" in message


def test_json_lines_in_a_json_file_and_a_list_in_a_jsonl_file(tmp_path):
    lines = write_lines(tmp_path / "pool.json", [MESSAGES, MESSAGES])
    assert len(read_pool(lines)) == 2
    assert len(read_pool(write_lines(tmp_path / "one.json", [MESSAGES]))) == 1
    (tmp_path / "pool.jsonl").write_text(json.dumps([MESSAGES, MESSAGES], indent=1))
    assert len(read_pool(tmp_path / "pool.jsonl")) == 2


def test_a_cut_last_line_of_many_is_an_error_that_says_how_to_go_on(tmp_path):
    path = write_lines(tmp_path / "pool.jsonl", ["", *alpaca_rows(100), *[""] * 69_899])
    with path.open("a") as file:
        file.write(json.dumps(ALPACA)[:-10])
    message = error(path)
    assert "cut off: line 70,001, the last one" in message
    assert "head -n 70000 OLD > NEW" in message


def test_a_last_line_may_be_cut_anywhere(tmp_path):
    path = tmp_path / "pool.jsonl"
    row = {"instruction": "a}", "output": "b", "more": [1, {"x": True, "é": "\n"}, None, 1.5e3]}
    line = json.dumps(row)
    for cut in range(1, len(line)):
        path.write_text(f"{json.dumps(PROMPT)}\n{line[:-cut]}")
        assert "cut off: line 2" in error(path)


def test_a_whole_last_line_needs_no_line_end(tmp_path):
    (tmp_path / "pool.jsonl").write_text(json.dumps(PROMPT))
    assert len(read_pool(tmp_path / "pool.jsonl")) == 1


def test_a_wrong_last_line_that_is_whole_is_a_reject(tmp_path):
    lines = [json.dumps(row) for row in alpaca_rows(30)]
    (tmp_path / "pool.jsonl").write_text("\n".join([*lines, "{'instruction': 1}"]))
    with pytest.warns(Ds2Warning, match="1 of 31 rows"):
        assert read_pool(tmp_path / "pool.jsonl").rejects[0].line == 31


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_cut_compressed_data(tmp_path, suffix):
    data = "".join(json.dumps(row) + "\n" for row in alpaca_rows(5000)).encode()
    whole = gzip.compress(data) if suffix == ".gz" else pa.compress(data, "zstd", asbytes=True)
    path = tmp_path / f"pool.jsonl{suffix}"
    path.write_bytes(whole[: len(whole) // 2])
    assert "its compressed data ends too early" in error(path)


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1, 10**15], pa.timestamp("s")),
        pa.Array.from_buffers(
            pa.string(), 2, [None, pa.py_buffer(struct.pack("3i", 0, 1, 2)), pa.py_buffer(b"a\xff")]
        ),
    ],
)
def test_a_value_of_a_table_that_python_cannot_hold_is_named(tmp_path, values):
    table = pa.table({"prompt": ["a", "b"], "response": ["c", "d"], "x": values})
    pq.write_table(table, tmp_path / "pool.parquet")
    for pool in (tmp_path / "pool.parquet", table):
        with pytest.raises(InputError, match="row 2: the value in 'x' cannot be read"):
            read_pool(pool)


def test_a_cut_parquet_file(tmp_path):
    path = tmp_path / "pool.parquet"
    pq.write_table(pa.Table.from_pylist(alpaca_rows(100)), path)
    path.write_bytes(path.read_bytes()[:-20])
    assert "no whole Parquet file" in error(path)


def test_an_id_given_twice_names_both_lines(tmp_path):
    rows = alpaca_rows(5)
    rows[1]["id"], rows[4]["id"] = "a", "a"
    message = error(write_lines(tmp_path / "pool.jsonl", rows))
    assert "the id 'a' is given twice, in line 2 and line 5" in message


def test_a_number_and_a_text_are_the_same_id(tmp_path):
    rows = alpaca_rows(2)
    rows[0]["id"], rows[1]["id"] = 5, "5"
    assert "given twice" in error(write_lines(tmp_path / "pool.jsonl", rows))


def test_too_many_bad_rows_are_an_error_with_counts_and_lines(tmp_path):
    rows = alpaca_rows(95) + [{"instruction": "a", "output": 3}] * 4 + ["{]"] * 2
    path = write_lines(tmp_path / "pool.jsonl", rows)
    message = error(path, rejects=tmp_path / "rejects.jsonl")
    assert "6 of 101 rows" in message
    assert "field is not text (4), not valid JSON (2)" in message
    assert "line 96: field is not text: 'output' is a number" in message
    assert "max_bad_share = 0.05" in message
    assert len((tmp_path / "rejects.jsonl").read_text().splitlines()) == 6
    with pytest.warns(Ds2Warning):
        assert len(read_pool(path, max_bad_share=0.06)) == 95


def test_no_good_row_at_all_is_an_error_at_any_share(tmp_path):
    path = write_lines(tmp_path / "pool.jsonl", [{"instruction": "a", "output": 3}] * 3)
    assert "none of the 3 rows can be used" in error(path, max_bad_share=1.0)


def test_bad_rows_can_stop_the_reading(tmp_path):
    path = write_lines(tmp_path / "pool.jsonl", [*alpaca_rows(3), "{]"])
    message = error(path, on_bad_row="stop", max_bad_share=1.0)
    assert "pool.jsonl, line 4: not valid JSON" in message


def test_rejects_are_written_whole_and_the_rest_goes_on(tmp_path):
    long = {"instruction": "a\x1b[31m", "output": 3, "more": "x" * 5000}
    path = write_lines(tmp_path / "pool.jsonl", [*alpaca_rows(50), long])
    with pytest.warns(Ds2Warning, match="1 of 51 rows were rejected: field is not text"):
        pool = read_pool(path, rejects=tmp_path / "rejects.jsonl")
    assert len(pool) == 50
    assert len(pool.rejects[0].text) < 250
    text = (tmp_path / "rejects.jsonl").read_text()
    assert "\x1b" not in text
    entry = json.loads(text)
    assert json.loads(entry.pop("text")) == long
    assert entry == {
        "file": str(path),
        "line": 51,
        "reason": "field is not text: 'output' is a number",
    }


def test_the_rejects_file_is_empty_when_there_are_none_and_absent_when_reading_fails(tmp_path):
    rejects = tmp_path / "rejects.jsonl"
    read_pool(write_lines(tmp_path / "pool.jsonl", alpaca_rows(3)), rejects=rejects)
    assert rejects.read_text() == ""
    rejects.unlink()
    error(write_lines(tmp_path / "two.jsonl", [ALPACA, MESSAGES]), rejects=rejects)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pool.jsonl", "two.jsonl"]


def test_csv_rows_with_too_many_fields_are_rejects(tmp_path):
    lines = ["prompt,response", *(f"q{n},a{n}" for n in range(40)), "a,b,c", '"x"y,b', "z,z"]
    (tmp_path / "pool.csv").write_text("\n".join(lines) + "\n")
    with pytest.warns(Ds2Warning, match="2 of 43 rows"):
        pool = read_pool(tmp_path / "pool.csv")
    assert [(r.line, r.reason.partition(":")[0]) for r in pool.rejects] == [
        (42, "wrong number of fields"),
        (43, "not valid CSV"),
    ]
    assert pool[40].messages[0].content == "z"


def test_lines_are_counted_over_quoted_line_ends(tmp_path):
    good = 'q,"a\n\nb"\n' * 20
    (tmp_path / "pool.csv").write_text("prompt,response\n" + good + "one\n")
    with pytest.warns(Ds2Warning):
        assert read_pool(tmp_path / "pool.csv").rejects[0].line == 62


@pytest.mark.parametrize("settings", [{"on_bad_row": "skip"}, {"max_bad_share": 5.0}])
def test_a_wrong_setting_is_named(tmp_path, settings):
    assert next(iter(settings)) in error(write_lines(tmp_path / "p.jsonl", [ALPACA]), **settings)
