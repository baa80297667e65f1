"""Several files, rows in memory, columns and roles by name, tables as people write them."""

import contextlib
import datetime
import json
import warnings

import pandas as pd
import pytest
from pool_files import ALPACA, MESSAGES, alpaca_rows, write_lines

from ds2.errors import Ds2Warning, InputError
from ds2.pool import find_contaminated, keep_rows, read_pool, write_pool

QA = alpaca_rows(4)
LINES = "".join(json.dumps(row) + "\n" for row in QA)
CELLS = "instruction,output\n" + "".join(f"{r['instruction']},{r['output']}\n" for r in QA)


def answers(path, **settings):
    return [example.messages[-1].content for example in read_pool(path, **settings)]


def written(tmp_path, name, text):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_folder_a_pattern_and_a_list_are_one_pool_in_order(tmp_path):
    for number in (10, 2, 1):
        row = {"instruction": "Why?", "output": str(number)}
        write_lines(tmp_path / f"shard-{number}.jsonl", [row])
    (tmp_path / "dataset_info.json").write_text("{}")
    assert answers(tmp_path) == ["1", "2", "10"]
    assert answers(str(tmp_path / "shard-1*.jsonl")) == ["1", "10"]
    assert answers([tmp_path / "shard-10.jsonl", tmp_path / "shard-2.jsonl"]) == ["10", "2"]
    with pytest.raises(InputError, match="matches no file"):
        read_pool(str(tmp_path / "*.csv"))


def test_a_folder_whose_files_name_splits_is_read_by_split(tmp_path):
    for name, said in (("train-0", "a"), ("train-1", "b"), ("validation-0", "c")):
        path = written(tmp_path, f"data/{name}.jsonl", "")
        write_lines(path, [{"instruction": "Why?", "output": said}])
    with pytest.warns(Ds2Warning, match="2 files of the split 'train' were read, 1 others"):
        assert answers(tmp_path) == ["a", "b"]
    with pytest.warns(Ds2Warning, match="split 'validation'"):
        assert answers(tmp_path, split="validation") == ["c"]
    with pytest.raises(InputError, match=r"no split 'test'. It has 'train', 'validation'"):
        read_pool(tmp_path, split="test")


@pytest.mark.parametrize(
    ("name", "text"),
    [("b.jsonl", ""), ("b.jsonl", "\n"), ("b.json", "[]"), ("b.csv", "prompt,response\n")],
)
def test_a_shard_may_be_empty_and_a_pool_may_not(tmp_path, name, text):
    empty = written(tmp_path, name, text)
    one, other = (written(tmp_path, name, LINES) for name in ("a.jsonl", "c.jsonl"))
    for places in ([empty, one], [one, empty, other]):
        with pytest.warns(Ds2Warning, match=r"1 of these files hold no rows. The first: .*b\."):
            assert len(answers(places)) == 4 * (len(places) - 1)
    with pytest.raises(InputError, match=r"b\..* (is empty|no rows)"):
        read_pool([empty, written(tmp_path, "c.jsonl", "")])


def test_a_file_that_is_listed_twice_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{**QA[0], "id": "x"}]
    write_lines(tmp_path / "a.jsonl", rows)
    for places in (["a.jsonl", tmp_path / "a.jsonl"], ["a*.jsonl", "./*.jsonl"]):
        with pytest.raises(InputError, match=r"a\.jsonl is listed twice\. Name it once"):
            read_pool(places)


def test_faults_in_shards_name_their_file(tmp_path):
    write_lines(tmp_path / "a.jsonl", [{**QA[0], "id": "x"}])
    write_lines(tmp_path / "b.jsonl", [QA[1], {**QA[2], "id": "x"}])
    with pytest.raises(InputError, match=r"a.jsonl: the id 'x' .* line 1 and line 2 of .*b.jsonl"):
        read_pool(tmp_path)
    write_lines(tmp_path / "b.jsonl", ["{", *QA])
    with pytest.warns(Ds2Warning, match=r"a\.jsonl and 1 more: 1 of 6 rows were rejected"):
        pool = read_pool(tmp_path, max_bad_share=0.5)
    assert pool.rejects[0].file == str(tmp_path / "b.jsonl")


def test_rows_in_memory_are_read(tmp_path):
    import datasets
    import pyarrow as pa

    frame = pd.DataFrame([{**row, "id": n, "x": None if n else 1.0} for n, row in enumerate(QA)])
    expected = [row["output"] for row in QA]
    for given in (frame, QA, iter(QA), datasets.Dataset.from_list(QA), pa.Table.from_pylist(QA)):
        assert answers(given) == expected
    assert read_pool(frame).ids == ["0", "1", "2", "3"]
    assert read_pool(frame).column("x") == [1.0, None, None, None]
    turns = pd.DataFrame({"messages": [MESSAGES["messages"]]})
    assert answers(turns) == ["Yes?"]
    with pytest.raises(InputError, match="Got dict"):
        read_pool({"a": 1})


def test_columns_can_be_named(tmp_path):
    rows = [{"frage": "Why?", "antwort": "So.", "rolle": "Be brief.", "prompt": "other"}]
    path = write_lines(tmp_path / "p.jsonl", rows)
    columns = {"prompt": "frage", "response": "antwort", "system": "rolle"}
    pool = read_pool(path, columns=columns)
    assert [(m.role, m.content) for m in pool[0].messages] == [
        ("system", "Be brief."),
        ("user", "Why?"),
        ("assistant", "So."),
    ]
    pool.save(tmp_path / "pool.arrow")
    with pytest.warns(Ds2Warning, match="text was written in 'prompt'"):
        write_pool(
            type(pool).load(tmp_path / "pool.arrow"),
            tmp_path / "out.jsonl",
            format="prompt-response",
        )
    found = json.loads((tmp_path / "out.jsonl").read_text())
    assert found.pop("id") == pool.ids[0]
    assert found == {"prompt": "Why?", "response": "So.", "system": "Be brief."}
    with pytest.raises(InputError, match="Did you mean 'prompt'"):
        read_pool(path, columns={"promt": "frage"})
    with pytest.raises(InputError, match=r"cannot tell the format.*--map prompt=NAME"):
        read_pool(write_lines(tmp_path / "q.jsonl", [{"frage": "Why?", "antwort": "So."}]))


def test_a_list_of_turns_and_roles_can_be_named(tmp_path):
    turns = [{"role": "Kunde", "content": "Why?"}, {"role": "Berater", "content": "So."}]
    path = write_lines(tmp_path / "p.jsonl", [{"verlauf": turns}])
    roles = {"Kunde": "user", "Berater": "assistant"}
    pool = read_pool(path, columns={"messages": "verlauf"}, roles=roles)
    assert [m.role for m in pool[0].messages] == ["user", "assistant"]
    with pytest.raises(InputError, match="unknown role: 'Kunde'"):
        read_pool(path, columns={"messages": "verlauf"})


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": "Why?", "output": None, "response": "So."},
        {"instruction": "Why?", "output": "", "response": "So."},
        {"messages": None, "instruction": "Why?", "output": "So."},
        {"messages": [], "conversations": [{"from": "human", "value": "Why?"},
                                           {"from": "gpt", "value": "So."}]},
        {"prompt": None, "question": "Why?", "answer": "So."},
    ],
)  # fmt: skip
def test_the_name_that_holds_something_counts(tmp_path, row):
    pool = read_pool(write_lines(tmp_path / "p.jsonl", [row]))
    assert [m.content for m in pool[0].messages] == ["Why?", "So."]
    write_pool(pool, tmp_path / "out.jsonl", format=pool.format)
    assert json.loads((tmp_path / "out.jsonl").read_text()) == row


def test_names_in_capitals_are_taken_and_said(tmp_path):
    path = write_lines(tmp_path / "p.jsonl", [{"Question": "Why?", "Answer": "So."}])
    with pytest.warns(Ds2Warning, match="the columns 'Question', 'Answer' were taken"):
        assert answers(path) == ["So."]


def test_rows_in_memory_are_kept_as_they_are_read(tmp_path):
    import pyarrow as pa

    at = pa.array([datetime.datetime(2020, 1, 1)] * 2)
    table = pa.table({"prompt": ["a", "b"], "response": ["c", "d"], "at": at})
    for pool in (table, [{**ALPACA, "at": 3}, {**ALPACA, "output": "half \ud83d"}]):
        keep_rows(pool, tmp_path / "kept.jsonl")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Ds2Warning)
            first, again = (
                read_pool(p, max_bad_share=1.0) for p in (pool, tmp_path / "kept.jsonl")
            )
        assert again.ids == first.ids
        assert again.column("at") == first.column("at")


def test_rows_in_memory_that_are_nested_too_deeply_are_set_aside():
    deep = []
    for _ in range(2000):
        deep = [deep]
    with pytest.warns(Ds2Warning, match=r"rejected: a value is nested too deeply \(1\)"):
        assert len(read_pool([{**ALPACA, "x": deep}, ALPACA], max_bad_share=1.0)) == 1


def test_bytes_of_rows_in_memory_are_left_out_and_said(tmp_path):
    rows = [{**ALPACA, "x": b"hello", "y": [{"bytes": b"z"}]}, {"instruction": b"a", "output": "b"}]
    with pytest.warns(Ds2Warning, match="binary data in 'x', 'y', 'instruction'"):
        pool = read_pool(rows)
    assert pool[0].extra == {"x": None, "y": [{"bytes": None}]}
    assert pool[1].messages[0].content == ""


def test_two_columns_of_one_name_are_refused(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table([["a"], ["b"], ["c"], ["d"]], names=["prompt", "response", "x", "x"])
    pq.write_table(table, tmp_path / "p.parquet")
    frame = pd.DataFrame([list("abcd")], columns=table.column_names)
    for pool in (table, tmp_path / "p.parquet", frame):
        with pytest.raises(InputError, match="has the column 'x' twice"):
            read_pool(pool)


def test_ids_that_are_whole_numbers_as_floats_are_those_numbers(tmp_path):
    pool = read_pool(write_lines(tmp_path / "p.jsonl", [{**ALPACA, "id": 7.0}]))
    assert pool.ids == ["7"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("p.csv", CELLS.replace(",", ";"), "its cells are separated by ';'"),
        ("p.csv", "sep=;\n" + CELLS.replace(",", ";"), "separated by ';'"),
        ("p.csv", CELLS.replace(",", "|"), "separated by '|'"),
        ("p.csv", CELLS.replace(",", "\t"), "separated by tabs"),
        ("p.tsv", CELLS, "separated by ','"),
        ("p.csv", CELLS.replace("\n", ",,\n"), ""),
        ("p.csv", "\n,\n" + CELLS, ""),
        ("p.tsv", "\n\t\n" + CELLS.replace(",", "\t"), ""),
        ("p.csv", "instruction, output\n" + CELLS.partition("\n")[2], ""),
        ("p.csv", CELLS.replace("\n", "\r"), ""),
        ("p.jsonl", LINES.replace("\n", "\r"), ""),
        ("p.jsonl", LINES.replace("\n", ""), ""),
        ("p.jsonl", LINES.replace("\n", ",\n"), ""),
        ("p.jsonl", "\n".join(json.dumps(row, indent=1) for row in QA), ""),
        ("p.json", "\n".join(json.dumps(row, indent=1) for row in QA), ""),
        ("p.json", ",\n".join(json.dumps(row, indent=1) for row in QA), ""),
        ("p.json", LINES, ""),
        ("p.json", LINES.replace('{"', '{  "', 1).replace("  ", " " * 70_000, 1), ""),
    ],
)
def test_files_as_people_write_them(tmp_path, name, text, said):
    path = written(tmp_path, name, text)
    if said:
        with pytest.warns(Ds2Warning, match=said.replace("|", r"\|")):
            pool = read_pool(path)
    else:
        pool = read_pool(path)
    assert [e.messages[-1].content for e in pool] == [row["output"] for row in QA]
    assert all(not e.extra for e in pool)


@pytest.mark.parametrize("separator", [";", "\t", "|"])
@pytest.mark.parametrize("lines", [2, 30, 80])
def test_a_separator_is_told_where_cells_have_lines(tmp_path, separator, lines):
    cell = "\n".join(f"one, of the lines {n}" for n in range(lines))
    text = f"prompt{separator}response\n" + f'"{cell}"{separator}yes\n' * 5
    with pytest.warns(Ds2Warning, match="cells are separated by"):
        pool = read_pool(written(tmp_path, "p.csv", text))
    assert [[turn.content for turn in example.messages] for example in pool] == [[cell, "yes"]] * 5


def test_spaces_before_a_cell_are_its_own_where_the_header_has_none(tmp_path):
    text = '"prompt, raw",prompt,response\nx,q,    def f(): pass\n'
    assert answers(written(tmp_path, "p.csv", text)) == ["    def f(): pass"]
    text = '"id", "prompt", "response"\n"x", "q", "a, b"\n'
    assert answers(written(tmp_path, "p.csv", text)) == ["a, b"]


def test_one_json_object_that_is_a_row_is_a_pool(tmp_path):
    assert answers(written(tmp_path, "p.json", json.dumps(QA[0], indent=2))) == ["It is 0."]


def test_rows_with_separators_behind_them_are_counted(tmp_path):
    text = "instruction,output\n" + "".join(f"{r['instruction']},{r['output']},\n" for r in QA)
    with pytest.warns(Ds2Warning, match="4 rows end with separators and no cell behind them"):
        assert len(read_pool(written(tmp_path, "p.csv", text))) == 4


def test_quotes_in_a_tsv_are_text_but_where_a_spreadsheet_wrote_them(tmp_path):
    cells = ['"open', '"said" she', '"quoted"', '"He said ""x"""', '"two\nlines"', '"a\tb"']
    text = "instruction\toutput\n" + "".join(f"Q{n}\t{c}\n" for n, c in enumerate(cells))
    assert answers(written(tmp_path, "p.tsv", text)) == [
        '"open',
        '"said" she',
        '"quoted"',
        'He said "x"',
        "two\nlines",
        "a\tb",
    ]


@pytest.mark.parametrize("more", [{}, {"score": 3}])
@pytest.mark.parametrize("after", ["", "\nAnn\t4", "\n\nAnn is 4.\n"])
def test_tables_in_a_cell_come_back_from_a_tsv(tmp_path, more, after):
    rows = [{"prompt": "Q", "response": f"name\tage\nBob\t3{after}", **more}] * 3
    write_pool(read_pool(rows), tmp_path / "p.tsv", format="prompt-response")
    assert answers(tmp_path / "p.tsv") == [rows[0]["response"]] * 3
    text = (tmp_path / "p.tsv").read_bytes().replace(b"\r\n", b"\n").rstrip(b"\n")
    if after:
        assert answers(written(tmp_path, "p.tsv", text)) == [rows[0]["response"]] * 3


@pytest.mark.parametrize("between", ["A\tB\n" * 3, "A\tB\n\nA\tB\nbroken\n"])
@pytest.mark.parametrize("end", ["\n", ""])
def test_a_quote_in_a_tsv_swallows_no_rows(tmp_path, between, end):
    text = f'instruction\toutput\nQ\t"open\n{between}Q\tlast"{end}'
    told = pytest.warns(Ds2Warning) if "broken" in between else contextlib.nullcontext()
    with told:
        pool = read_pool(written(tmp_path, "p.tsv", text), max_bad_share=1.0)
    said = [example.messages[-1].content for example in pool]
    assert said == ['"open', *["B"] * between.count("B"), 'last"']


def test_a_quote_that_swallows_rows_of_a_csv_is_told(tmp_path):
    text = 'instruction,output\nA,"B\nC,D\nE,F\nG,H"\nI,J\n'
    with pytest.warns(Ds2Warning, match="a quoted cell that begins in line 2 goes over lines"):
        read_pool(written(tmp_path, "p.csv", text))


def test_turns_as_python_writes_them_are_read_and_nothing_is_run(tmp_path):
    turns = str(MESSAGES["messages"])
    assert answers(written(tmp_path, "p.csv", f'messages\n"{turns}"\n')) == ["Yes?"]
    evil = "[__import__('os').mkdir('{}')]".format(tmp_path / "made")
    with pytest.raises(InputError, match="not valid JSON: in the field 'messages'"):
        read_pool(written(tmp_path, "p.csv", f'messages\n"{evil}"\n'))
    assert not (tmp_path / "made").exists()
    numpy = "[{'role': 'user', 'content': 'a'}\n {'role': 'assistant', 'content': 'b'}]"
    with pytest.raises(InputError, match="as numpy prints arrays"):
        read_pool(written(tmp_path, "p.csv", f'messages\n"{numpy}"\n'))


@pytest.mark.parametrize("answer", ['["apple", "pear"]', "[1, 2, 3]", "[]", "[{}]"])
def test_a_list_in_a_cell_that_is_no_list_of_turns_is_a_text(tmp_path, answer):
    rows = [{"prompt": "Name some", "completion": answer}]
    pd.DataFrame(rows).to_csv(tmp_path / "p.csv", index=False)
    write_lines(tmp_path / "p.jsonl", rows)
    assert answers(tmp_path / "p.csv") == answers(tmp_path / "p.jsonl") == [answer]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"contents": ["one", "two"]}, "A"),
        ({"dialogue": "[1] hello"}, "A"),
        ({"messages": []}, "A"),
        ({"dialog": ["one", "two"], "answer": ""}, "two"),
        ({"conversations": [{"human": "one", "assistant": "two"}]}, "two"),
    ],
)
def test_a_prompt_and_an_answer_win_over_a_list_that_is_no_conversation(tmp_path, more, said):
    row = {"question": "Q", "answer": "A", **more}
    assert answers([row]) == [said]
    cells = {k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items()}
    pd.DataFrame([cells]).to_csv(tmp_path / "p.csv", index=False)
    assert answers(tmp_path / "p.csv") == [said]


@pytest.mark.parametrize(
    ("encoding", "named", "text"),
    [
        ("gb18030", "GB18030", "请解释为什么河流在春天会泛滥，并举一个例子。"),
        ("big5", "BIG5", "請解釋為什麼河流在春天會氾濫，並舉一個例子。"),
        ("cp1251", "CP1251", "Почему реки разливаются весной? Приведите пример."),
        ("cp1252", "WINDOWS-1252", "Où déborde la rivière, près d'Orléans, à Noël ?"),
    ],
)
@pytest.mark.parametrize("name", ["p.jsonl", "p.json", "p.csv"])
def test_other_encodings_are_recognised(tmp_path, name, encoding, named, text):
    rows = [{"instruction": text, "output": f"{text} {n}"} for n in range(20)]
    found = json.dumps(rows, ensure_ascii=False)
    if name == "p.jsonl":
        found = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    if name == "p.csv":
        found = "instruction;output\n" + "".join(f"{text};{text}\n" for _ in rows)
    path = written(tmp_path, name, found.encode(encoding))
    with pytest.raises(InputError, match=rf"not UTF-8.* iconv -f {named} -t UTF-8 OLD > NEW"):
        read_pool(path)


@pytest.mark.parametrize("text", ['[{"a": 1},]', '{"instruction": "a", "output": "b",}'])
def test_a_comma_too_many_is_named(tmp_path, text):
    with pytest.raises(InputError, match="a comma stands before the closing bracket"):
        read_pool(written(tmp_path, "p.json" if text[0] == "[" else "p.jsonl", text))


def test_a_frame_written_column_by_column_is_told_how_to_write_rows(tmp_path):
    with pytest.raises(InputError, match="orient='records', lines=True"):
        read_pool(written(tmp_path, "p.json", pd.DataFrame(QA).to_json()))


def test_an_evaluation_set_without_a_header_loses_no_row(tmp_path):
    words = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen?"
    pool = read_pool([{"instruction": words, "output": "So."}])
    path = written(
        tmp_path, "mmlu.csv", f"{words},0,4,2,6,B\nWhat is two and two and so on?,1,2,C\n"
    )
    path.write_text(f"{words},0,B\nWhich of these many long words comes first in the list?,1,C\n")
    found = find_contaminated(pool, [path])
    assert found.rows.tolist() == [0]
    assert found.checked == {"mmlu.csv": 2}
