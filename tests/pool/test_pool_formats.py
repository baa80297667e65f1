"""What each format of a row becomes."""

import json

import pytest
from pool_files import ALPACA, MESSAGES, PROMPT, SHAREGPT, write_lines

from ds2.errors import Ds2Warning, InputError
from ds2.pool import read_pool


def one(tmp_path, row, **settings):
    path = write_lines(tmp_path / "pool.jsonl", [row])
    (example,) = read_pool(path, max_bad_share=0.0, **settings)
    return example


def reason(tmp_path, row, **settings):
    """Return why a row is rejected, beside one good row that decides the format."""
    path = write_lines(tmp_path / "pool.jsonl", [*settings.pop("before", []), row])
    with pytest.warns(Ds2Warning, match="1 of"):
        pool = read_pool(path, max_bad_share=1.0, **settings)
    (reject,) = pool.rejects
    return reject.reason


@pytest.mark.parametrize(
    ("row", "form"),
    [
        (ALPACA, "alpaca"),
        ({"instruction": "Why?", "context": "", "response": "So."}, "alpaca"),
        (SHAREGPT, "sharegpt"),
        ({"conversation": SHAREGPT["conversations"]}, "sharegpt"),
        (MESSAGES, "messages"),
        ({"conversations": MESSAGES["messages"]}, "messages"),
        ({**MESSAGES, "prompt": "Hi", "completion": "Yes?"}, "messages"),
        (PROMPT, "prompt-response"),
        ({"prompt": "a", "completion": "b"}, "prompt-response"),
        ({"question": "a", "answer": "b"}, "prompt-response"),
        ({"problem": "a", "solution": "b"}, "prompt-response"),
        ({"input": "a", "output": "b"}, "prompt-response"),
        ({"system_prompt": "s", "question": "a", "response": "b"}, "prompt-response"),
    ],
)
def test_the_format_is_detected(tmp_path, row, form):
    assert read_pool(write_lines(tmp_path / "pool.jsonl", [row])).format == form


NAMES = ["system", "human", "function_call", "observation", "GPT"]
ASKED = [("user", "Add.\n\n1 2"), ("assistant", "3")]
HI = [("user", "Hi"), ("assistant", "Yes?")]
BRIEF = ("system", "Be brief.")


@pytest.mark.parametrize(
    ("row", "turns"),
    [
        (ALPACA, ASKED),
        ({**ALPACA, "input": ""}, [("user", "Add."), ASKED[1]]),
        ({**ALPACA, "input": None}, [("user", "Add."), ASKED[1]]),
        ({**ALPACA, "instruction": ""}, [("user", "1 2"), ASKED[1]]),
        (
            {**ALPACA, "system": "Be brief.", "history": [["Hello", "Hi"]]},
            [BRIEF, ("user", "Hello"), ("assistant", "Hi"), *ASKED],
        ),
        *(({"system": "Be brief.", **row}, [BRIEF, *HI]) for row in (SHAREGPT, MESSAGES, PROMPT)),
        (
            {"conversations": [{"from": name, "value": name} for name in NAMES]},
            list(zip(["system", "user", "assistant", "tool", "assistant"], NAMES, strict=True)),
        ),
    ],
)
def test_a_row_becomes_turns_with_the_pools_roles(tmp_path, row, turns):
    example = one(tmp_path, row)
    assert list(example.turns) == turns
    assert example.extra == {}


def test_other_fields_are_kept_and_the_id_and_source_are_not_among_them(tmp_path):
    row = {"id": "a", "score": 3, **PROMPT, "source": "web", "meta": {"n": [1, None]}}
    example = one(tmp_path, row)
    assert (example.id, example.source) == ("a", "web")
    assert example.extra == {"score": 3, "meta": {"n": [1, None]}}


def test_the_names_of_the_id_and_the_source_can_be_given(tmp_path):
    row = {**PROMPT, "uid": 7, "origin": 3, "id": "x"}
    example = one(tmp_path, row, id_field="uid", source_field="origin")
    assert (example.id, example.source, example.extra["id"]) == ("7", "3", "x")


def test_an_empty_answer_can_be_kept(tmp_path):
    with pytest.warns(Ds2Warning, match=r"1 of 1 rows .* are kept: the answer is empty \(1\)"):
        example = one(tmp_path, {"prompt": "Hi", "response": ""}, no_answer="keep")
    assert example.messages[1].content == ""


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"messages": [{"role": "assistant", "content": " \n"}]}, "no text at all"),
        ({"messages": MESSAGES["messages"][:1]}, "no assistant turn"),
        ({"messages": []}, "no turns: 'messages' is an empty list"),
        ({"messages": ["Hi", 3]}, "turn is no object: turn 1 is text"),
        ({"messages": [{"content": "a"}]}, "turn without a role: turn 1 has no text in 'role'"),
        ({"messages": [{"role": "critic", "content": "a"}]}, "unknown role: 'critic' in turn 1"),
        ({"messages": [{"role": "user"}]}, "content is not text: turn 1 has no 'content'"),
        (
            {"messages": [{"role": "user", "content": [{"type": "hologram"}]}]},
            "content is not text: a part of it has the type 'hologram' in turn 1",
        ),
        (
            {"messages": [{"role": "assistant", "content": 3}]},
            "content is not text: it is a number in turn 1",
        ),
        ({"instruction": "a", "output": None}, "the answer is empty"),
        ({"instruction": "a", "output": 3}, "field is not text: 'output' is a number"),
        (
            {"instruction": "a", "output": "b", "input": ["c"]},
            "field is not text: 'input' is a list",
        ),
        ({"instruction": "a"}, "field missing: 'output' (the row has 'instruction')"),
        (
            {"instruction": "a", "output": "b", "history": [["x"]]},
            "not a list of pairs of text: 'history'",
        ),
        ({"messages": "Hi"}, "turns are no list: 'messages' is text"),
        ({"message": "Hi"}, "field missing: 'messages' (the row has 'message')"),
        ({**MESSAGES, "system": 3}, "field is not text: 'system' is a number"),
        ({**MESSAGES, "id": 1.5}, "id is no text or whole number: 'id' is a number"),
        ([1, 2], "not an object: the row is a list"),
        ('{"messages": [}', "not valid JSON: Expecting value at column 15"),
        ('{"messages": "\\ud800"}', "turns are no list: 'messages' is text"),
        (
            '{"messages": [{"role": "assistant", "content": "\\ud800"}]}',
            "half a character: a lone surrogate, which is no text",
        ),
        ("[" * 100_000, "not valid JSON: a value is nested too deeply or too long"),
        ('{"n": ' + "9" * 5000 + "}", "not valid JSON: a value is nested too deeply or too long"),
    ],
)
def test_a_bad_row_says_what_is_wrong(tmp_path, row, expected):
    good = ALPACA if "instruction" in row else MESSAGES
    assert reason(tmp_path, row, before=[good]) == expected


def test_a_reason_shows_no_control_characters_and_little_text(tmp_path):
    nasty = "\x1b[31m[bold]" + "x" * 5000
    turns = {"messages": [{"role": nasty, "content": "a"}]}
    found = reason(tmp_path, turns, before=[MESSAGES])
    assert found.isprintable()
    assert len(found) < 100


def test_the_first_readable_row_decides_the_format(tmp_path):
    path = write_lines(tmp_path / "pool.jsonl", ["{", {"a": 1}, PROMPT, PROMPT])
    with pytest.warns(Ds2Warning, match=r"2 of 4 rows were rejected: not valid JSON \(1\)"):
        pool = read_pool(path, max_bad_share=0.5)
    assert pool.format == "prompt-response"
    assert [reject.line for reject in pool.rejects] == [1, 2]


def test_two_formats_in_one_file_are_an_error_that_names_both(tmp_path):
    path = write_lines(tmp_path / "pool.jsonl", [ALPACA, ALPACA, SHAREGPT])
    with pytest.raises(InputError, match="line 3, is sharegpt, and line 1 is alpaca"):
        read_pool(path)


def test_a_named_format_rejects_rows_of_another(tmp_path):
    rows = [ALPACA] * 19 + [SHAREGPT]
    with pytest.warns(Ds2Warning, match=r"1 of 20 rows were rejected: field missing"):
        pool = read_pool(write_lines(tmp_path / "pool.jsonl", rows), format="alpaca")
    assert len(pool) == 19


@pytest.mark.parametrize(
    ("row", "form", "sentence"),
    [
        (SHAREGPT, "alpaca", "The rows look like the format 'sharegpt'"),
        ({"text": "Hi", "label": 1}, "auto", r"cannot tell the format.*'text', 'label'.*alpaca"),
        (ALPACA, "alpacca", "Did you mean 'alpaca'"),
    ],
)
def test_a_file_in_another_format_or_none_is_one_sentence(tmp_path, row, form, sentence):
    path = write_lines(tmp_path / "pool.jsonl", [row] * 3)
    with pytest.raises(InputError, match=sentence):
        read_pool(path, format=form)


def test_reading_json_and_csv_gives_the_same_example(tmp_path):
    (tmp_path / "pool.json").write_text(json.dumps([ALPACA], indent=2))
    (tmp_path / "pool.csv").write_text("instruction,input,output\nAdd.,1 2,3\n")
    examples = [list(read_pool(tmp_path / name)) for name in ("pool.json", "pool.csv")]
    assert examples[0] == examples[1]
