"""Turns as they are today: what is read of them, what is kept, and what a tool's file holds."""

import json
import warnings

import pyarrow.parquet as pq
import pytest
from pool_files import write_lines

from ds2.errors import Ds2Warning, InputError
from ds2.pool import hand_off, read_pool, write_pool
from ds2.pool.carried import Opened

CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"q": 1}'}}
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
USER, SAID = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "42"}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
TEXT = {"type": "text", "text": "Why?"}
WITH_TOOLS = {
    "id": "a",
    "tools": TOOLS,
    "messages": [USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}, RESULT, SAID],
}


def pool_of(tmp_path, *rows, **settings):
    return read_pool(write_lines(tmp_path / "in.jsonl", rows), max_bad_share=0.0, **settings)


def rows_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def handed(tmp_path, pool, tool, **settings):
    done = hand_off(pool, tmp_path, tool=tool, **settings)
    return rows_of(done.files[0])[0], done


@pytest.mark.parametrize(
    ("turn", "text"),
    [
        ({"role": "assistant", "content": None, "tool_calls": [CALL]}, 'call look({"q": 1})'),
        (
            {"role": "assistant", "content": "I look.", "tool_calls": [CALL, CALL]},
            'I look.\n\ncall look({"q": 1})\n\ncall look({"q": 1})',
        ),
        ({"role": "assistant", "tool_calls": json.dumps([CALL])}, 'call look({"q": 1})'),
        (
            {"role": "assistant", "content": None, "function_call": CALL["function"]},
            'call look({"q": 1})',
        ),
        (
            {"from": "function_call", "value": '{"name": "look", "arguments": {"q": 1}}'},
            'call look({"q": 1})',
        ),
        ({"from": "function_call", "value": "look it up"}, "look it up"),
        ({"role": "tool", "content": {"t": 3}}, '{"t": 3}'),
        ({"role": "developer", "content": "Be brief."}, "Be brief."),
        ({"role": "user", "content": [IMAGE, TEXT]}, "<image>\nWhy?"),
        ({"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}, "<audio>"),
        ({"role": "user", "content": [{"type": "text", "value": "Why?"}, "Now?"]}, "Why?\nNow?"),
        ({"role": "user", "content": TEXT}, "Why?"),
        (
            {"role": "assistant", "content": "Because.", "reasoning_content": "Hm."},
            "<think>\nHm.\n</think>\n\nBecause.",
        ),
        (
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Hm."},
                    {"type": "text", "text": "Because."},
                    {"type": "tool_use", "id": "t", "name": "look", "input": {"q": 1}},
                ],
            },
            '<think>\nHm.\n</think>\n\nBecause.\n\ncall look({"q": 1})',
        ),
        ({"role": "user", "content": [{"type": "tool_result", "content": "42"}]}, "42"),
        (
            {
                "role": "assistant",
                "content": [{"type": "redacted_thinking", "data": "zz"}, {**TEXT, "text": "Yes."}],
            },
            "Yes.",
        ),
        ({"speaker": "user", "text": "Why?"}, "Why?"),
        ({"role": "user", "content": None, "weight": 0}, ""),
    ],
)
def test_a_turn_is_read_as_a_person_reads_it_and_kept_as_it_was(tmp_path, turn, text):
    asked = {"from": "human", "value": "Why?"} if "from" in turn else USER
    final = {"from": "gpt", "value": "Because."} if "from" in turn else SAID
    row = {"messages": [asked, turn, final], "n": 1}
    pool = pool_of(tmp_path, row)
    assert pool[0].messages[1].content == text
    write_pool(pool, tmp_path / "out.jsonl", format=pool.format)
    assert rows_of(tmp_path / "out.jsonl") == [row]


@pytest.mark.parametrize(
    "side",
    [
        "No.",
        {"role": "assistant", "content": "No."},
        [{"role": "assistant", "content": "No."}],
        [USER, {"role": "assistant", "content": "No."}],
    ],
)
@pytest.mark.parametrize("prompt", ["Why?", [USER]])
def test_the_chosen_side_is_the_answer_and_both_go_over(tmp_path, prompt, side):
    chosen = json.loads(json.dumps(side).replace("No.", "Because."))
    row = {"id": "a", "prompt": prompt, "chosen": chosen, "rejected": side}
    with pytest.warns(Ds2Warning, match="1 rows hold a preference: the chosen side"):
        pool = pool_of(tmp_path, row)
    assert [m.content for m in pool[0].messages] == ["Why?", "Because."]
    no = {"role": "assistant", "content": "No."}
    for tool in ("trl", "unsloth"):
        found, done = handed(tmp_path, pool, tool, layout="preference")
        assert (found["prompt"], found["chosen"], found["rejected"]) == ([USER], [SAID], [no])
        assert done.warnings == ()
    found, _ = handed(tmp_path, pool, "axolotl", layout="preference")
    assert (found["messages"], found["chosen"], found["rejected"]) == ([USER], SAID, no)
    found, done = handed(tmp_path, pool, "llama-factory", layout="preference")
    assert found["conversations"] == [{"from": "human", "value": "Why?"}]
    assert found["rejected"] == {"from": "gpt", "value": "No."}
    info = json.loads(done.files[1].read_text())["selected"]
    assert info["ranking"] is True
    assert info["columns"] == {
        "messages": "conversations",
        "chosen": "chosen",
        "rejected": "rejected",
    }
    with pytest.warns(Ds2Warning, match="1 of 1 examples have a rejected answer"):
        hand_off(pool, tmp_path, tool="trl")


@pytest.mark.parametrize(
    "row",
    [
        {
            "conversations": [{"from": "human", "value": "Why?"}],
            "chosen": {"from": "gpt", "value": "Because."},
            "rejected": {"from": "gpt", "value": "No."},
        },
        {"instruction": "Why?", "input": "", "chosen": "Because.", "rejected": "No."},
        {"chosen": [USER, SAID], "rejected": [USER, {"role": "assistant", "content": "No."}]},
        {
            "chosen": "\n\nHuman: Why?\n\nAssistant: Because.",
            "rejected": "\n\nHuman: Why?\n\nAssistant: No.",
        },
    ],
)
def test_every_layout_of_a_preference_is_read_and_comes_back(tmp_path, row):
    with pytest.warns(Ds2Warning, match="hold a preference"):
        pool = pool_of(tmp_path, row)
    assert [m.content for m in pool[0].messages] == ["Why?", "Because."]
    write_pool(pool, tmp_path / "out.jsonl", format=pool.format)
    assert rows_of(tmp_path / "out.jsonl") == [row]
    found, _ = handed(tmp_path, pool, "trl", layout="preference")
    assert found["rejected"] == [{"role": "assistant", "content": "No."}]
    assert found["prompt"] == [USER]


def test_a_preference_without_the_other_side_is_no_preference(tmp_path):
    with pytest.raises(InputError, match="needs a rejected answer, and example 'a' has none"):
        hand_off(
            pool_of(tmp_path, {"id": "a", "prompt": "Why?", "response": "Because."}),
            tmp_path,
            tool="trl",
            layout="preference",
        )


@pytest.mark.parametrize(
    ("last", "why"),
    [
        ([], "no assistant turn"),
        ([{"role": "assistant", "content": " \u200b\n"}], "the answer is empty"),
        ([{"role": "assistant", "content": None}], "the answer is empty"),
        ([SAID, USER], "the conversation ends with the user"),
        ([SAID, RESULT], "the conversation ends with the tool"),
        (
            [{"role": "assistant", "content": None, "tool_calls": [CALL]}],
            "the answer is only a call of a tool",
        ),
        (
            [{"role": "assistant", "content": "<think>\nHm.\n</think>\n"}],
            "the answer is only reasoning",
        ),
        (
            [{"role": "assistant", "content": '<think>Hm.</think>\n<tool_call>{"name": "look"}'}],
            "the answer is only a call of a tool",
        ),
        (
            [{"role": "assistant", "content": "<tool_call>\n{}\n</tool_call>\n"}],
            "the answer is only a call of a tool",
        ),
        ([{**SAID, "weight": 0}], "no answer is to be trained on"),
        ([{**SAID, "train": False}], "no answer is to be trained on"),
    ],
)
def test_what_has_no_answer_is_set_aside_counted_and_can_be_kept(tmp_path, last, why):
    rows = [{"messages": [USER, *last]}, *({"messages": [USER, SAID]} for _ in range(3))]
    path = write_lines(tmp_path / "in.jsonl", rows)
    with pytest.warns(Ds2Warning, match=rf"1 of 4 rows without an answer .* set aside: {why}"):
        pool = read_pool(path, rejects=tmp_path / "rejects.jsonl", max_bad_share=0.0)
    assert len(pool) == 3
    assert pool.rejects[0].reason == why
    assert json.loads((tmp_path / "rejects.jsonl").read_text())["reason"] == why
    with pytest.warns(Ds2Warning, match=f"are kept: {why}"):
        assert len(read_pool(path, no_answer="keep", max_bad_share=0.0)) == 4


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Why?", "completion": "No.", "label": False},
        {"messages": [USER, SAID], "kto_tag": False},
    ],
)
def test_an_answer_labelled_as_bad_is_no_example(tmp_path, row):
    key = "kto_tag" if "kto_tag" in row else "label"
    path = write_lines(tmp_path / "in.jsonl", [row, {**row, key: True}])
    with pytest.warns(Ds2Warning, match="labelled as the worse one"):
        assert len(read_pool(path)) == 1


def test_a_label_that_is_no_judgement_is_a_column(tmp_path):
    pool = pool_of(tmp_path, {"prompt": "Why?", "response": "Because.", "label": 0})
    assert pool.column("label") == [0]


def test_a_pool_without_any_answer_says_how_to_go_on(tmp_path):
    path = write_lines(tmp_path / "in.jsonl", [{"messages": [USER]}] * 3)
    with pytest.raises(InputError, match=r"none of the 3 rows has an answer.*--map response=NAME"):
        read_pool(path)


def test_tools_and_calls_reach_every_tool_that_reads_them(tmp_path):
    pool = pool_of(tmp_path, WITH_TOOLS)
    found, _ = handed(tmp_path, pool, "trl")
    assert found["messages"] == [
        USER,
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        RESULT,
        SAID,
    ]
    assert json.loads(found["tools"]) == TOOLS
    found, done = handed(tmp_path, pool, "axolotl")
    assert found["messages"][1]["tool_calls"] == [CALL]
    assert json.loads(found["tools"][0]["function"]["parameters"]) == {"type": "object"}
    assert "field_tools: tools" in done.usage
    with pytest.warns(Ds2Warning, match="1 of 1 examples name the calls"):
        found, done = handed(tmp_path, pool, "llama-factory")
    assert [turn["from"] for turn in found["conversations"]] == [
        "human",
        "function_call",
        "observation",
        "gpt",
    ]
    assert json.loads(found["conversations"][1]["value"]) == {"name": "look", "arguments": {"q": 1}}
    assert json.loads(found["tools"]) == TOOLS
    assert json.loads(done.files[1].read_text())["selected"]["columns"]["tools"] == "tools"
    found, done = handed(tmp_path, pool, "unsloth")
    assert found["conversations"][1]["tool_calls"] == [CALL]
    assert "tools=json.loads" in done.usage
    done = hand_off(pool, tmp_path, tool="parquet")
    again = read_pool(done.files[0])
    assert again[0].text() == pool[0].text()
    assert pq.read_table(done.files[0])["tools"].to_pylist() == [json.dumps(TOOLS)]


def test_rows_without_tools_beside_rows_with_them_have_none(tmp_path):
    pool = pool_of(tmp_path, WITH_TOOLS, {"messages": [USER, SAID]})
    done = hand_off(pool, tmp_path, tool="trl")
    assert rows_of(done.files[0])[1]["tools"] is None


def test_calls_go_from_sharegpt_to_messages_and_back(tmp_path):
    row = {
        "id": "a",
        "tools": json.dumps(TOOLS),
        "conversations": [
            {"from": "human", "value": "Why?"},
            {"from": "function_call", "value": '{"name": "look", "arguments": {"q": 1}}'},
            {"from": "observation", "value": "42"},
            {"from": "gpt", "value": "Because."},
        ],
    }
    pool = pool_of(tmp_path, row)
    write_pool(pool, tmp_path / "out.jsonl", format="messages")
    found = rows_of(tmp_path / "out.jsonl")[0]
    assert found["messages"][1]["tool_calls"][0]["function"] == {
        "name": "look",
        "arguments": {"q": 1},
    }
    assert found["tools"] == row["tools"]
    again = read_pool(tmp_path / "out.jsonl")
    assert again[0].text() == pool[0].text()
    write_pool(again, tmp_path / "back.jsonl", format="sharegpt")
    back = rows_of(tmp_path / "back.jsonl")[0]
    assert [turn["from"] for turn in back["conversations"]] == [
        "human",
        "function_call",
        "tool",
        "gpt",
    ]
    with pytest.raises(InputError, match="holds texts, and example 'a' has more"):
        write_pool(pool, tmp_path / "x.jsonl", format="alpaca")


@pytest.mark.parametrize(
    ("row", "tool", "layout", "lost"),
    [
        (WITH_TOOLS, "axolotl", "preference", None),
        (WITH_TOOLS, "llama-factory", "alpaca", "calls of tools (1)"),
        (
            {"messages": [{"role": "user", "content": [IMAGE, TEXT]}, SAID]},
            "unsloth",
            None,
            "images (1)",
        ),
        (
            {"videos": ["a.mp4"], "messages": [{**USER, "content": "<video>Why?"}, SAID]},
            "trl",
            None,
            "videos (1)",
        ),
        (
            {"messages": [USER, {**SAID, "weight": 0}, USER, SAID]},
            "trl",
            None,
            "marks of answers that are not to be learned (1)",
        ),
        (
            {"messages": [{**USER, "content": [{"type": "image"}, TEXT]}, SAID]},
            "llama-factory",
            None,
            "images that the row does not hold (1)",
        ),
        (
            {"messages": [{**USER, "content": "<image>Why?"}, SAID]},
            "llama-factory",
            None,
            "<image> in a text without images (1)",
        ),
        (
            {"images": ["a.png"], "messages": [{**USER, "content": "<image><image>"}, SAID]},
            "llama-factory",
            None,
            "images in another number than their places (1)",
        ),
        (
            {"messages": [USER, {**SAID, "tool_calls": ["look"]}]},
            "trl",
            None,
            "calls of tools that cannot be read (1)",
        ),
        (
            {
                "messages": [
                    USER,
                    {
                        **SAID,
                        "content": [
                            {"type": "redacted_thinking", "data": "zz"},
                            {**TEXT, "text": "Because."},
                        ],
                    },
                ]
            },
            "parquet",
            None,
            "reasoning that is encrypted (1)",
        ),
        (
            {"tools": "look it up", "messages": [USER, SAID]},
            "trl",
            None,
            "descriptions of tools that are no JSON (1)",
        ),
        (
            {"prompt": [USER], "chosen": [SAID, USER, SAID], "rejected": [RESULT, USER, SAID]},
            "axolotl",
            "preference",
            None,
        ),
        (
            {
                "messages": [
                    USER,
                    {"role": "assistant", "content": "I look.", "tool_calls": [CALL]},
                    {"role": "tool", "content": "42"},
                    SAID,
                ]
            },
            "llama-factory",
            None,
            "texts beside a call of a tool (1)",
        ),
    ],
)
def test_what_a_layout_cannot_hold_is_refused_and_can_be_left_out(
    tmp_path, row, tool, layout, lost
):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ds2Warning)
        pool = pool_of(tmp_path, row)
    with pytest.raises(InputError) as caught:
        hand_off(pool, tmp_path, tool=tool, layout=layout)
    assert not (tmp_path / "selected.jsonl").exists()
    if lost is None:
        return
    assert lost in str(caught.value)
    assert "--lossy" in str(caught.value)
    if layout == "alpaca":
        return
    with pytest.warns(Ds2Warning, match="Left out of 1 examples"):
        done = hand_off(pool, tmp_path, tool=tool, layout=layout, lossy=True)
    text = str(list(read_pool(done.files[0])))
    assert "Because." in text
    if tool == "llama-factory":
        assert "<image>" not in text


def test_images_go_over_with_their_places(tmp_path):
    path = write_lines(
        tmp_path / "in.jsonl",
        [
            {"messages": [{"role": "user", "content": [IMAGE, TEXT]}, SAID]},
            {"images": ["b.png"], "messages": [{**USER, "content": "See <image> here"}, SAID]},
            {"images": ["c.png"], "messages": [USER, SAID]},
            {"messages": [USER, SAID]},
        ],
    )
    pool = read_pool(path)
    urls = [["https://example.org/a.png"], ["b.png"], ["c.png"], []]
    found = rows_of(hand_off(pool, tmp_path, tool="llama-factory").files[0])
    assert [row["images"] for row in found] == urls
    assert [row["conversations"][0]["value"] for row in found] == [
        "<image>\nWhy?",
        "See <image> here",
        "<image>\nWhy?",
        "Why?",
    ]
    done = hand_off(pool, tmp_path, tool="trl")
    found = rows_of(done.files[0])
    assert [row["images"] for row in found] == urls
    assert found[1]["messages"][0]["content"] == [
        {"type": "text", "text": "See "},
        {"type": "image"},
        {"type": "text", "text": " here"},
    ]
    assert found[3]["messages"][0]["content"] == [{"type": "text", "text": "Why?"}]
    assert "cast_column('images'" in done.usage
    found = rows_of(hand_off(pool, tmp_path, tool="axolotl").files[0])
    assert found[0]["messages"][0]["content"][0] == {"type": "image", "url": urls[0][0]}
    assert found[1]["messages"][0]["content"][1] == {"type": "image", "path": "b.png"}


def test_marks_of_single_turns_reach_axolotl_and_prompt_completion(tmp_path):
    turns = [USER, {**SAID, "weight": 0}, USER, {**SAID, "weight": 1}]
    pool = pool_of(tmp_path, {"messages": turns})
    found, done = handed(tmp_path, pool, "axolotl")
    assert [turn.get("train") for turn in found["messages"]] == [None, False, None, True]
    assert "message_field_training: train" in done.usage
    found, _ = handed(tmp_path, pool, "trl", layout="prompt-completion")
    assert found["completion"] == [SAID]
    assert handed(tmp_path, pool_of(tmp_path, {"messages": [USER, {**SAID, "weight": 1}]}), "trl")


def test_reasoning_stands_before_the_answer_where_a_layout_holds_texts_alone(tmp_path):
    pool = pool_of(tmp_path, {"messages": [USER, {**SAID, "reasoning_content": "Hm."}]})
    assert handed(tmp_path, pool, "trl")[0]["messages"][1]["reasoning_content"] == "Hm."
    found, _ = handed(tmp_path, pool, "llama-factory")
    assert found["conversations"][1]["value"] == "<think>\nHm.\n</think>\n\nBecause."
    found, _ = handed(tmp_path, pool, "unsloth", layout="alpaca")
    assert found["output"] == "<think>\nHm.\n</think>\n\nBecause."


@pytest.mark.filterwarnings("ignore:.*rows hold a preference")
def test_each_judged_answer_is_a_row_of_kto(tmp_path):
    pair = {"prompt": "Why?", "chosen": "Because.", "rejected": "No."}
    pool = pool_of(tmp_path, pair, {**pair, "chosen": [SAID, USER, SAID]})
    done = hand_off(pool, tmp_path, tool="trl", layout="kto", columns={"score": [5, 4]})
    no = {"role": "assistant", "content": "No."}
    found = rows_of(done.files[0])
    assert [row["label"] for row in found] == [True, False] * 2
    assert [row["completion"] for row in found] == [[SAID], [no], [SAID, USER, SAID], [no]]
    assert all(row["prompt"] == [USER] for row in found)
    assert [row["score"] for row in found] == [5, 5, 4, 4]
    assert done.warnings == ()


@pytest.mark.filterwarnings("ignore:.*without an answer to learn are kept")
def test_a_label_says_whether_an_answer_is_a_good_one(tmp_path):
    said = {"prompt": "Why?", "completion": "Because."}
    rows = [{**said, "label": label} for label in (True, False, "true", "False")]
    pool = read_pool(write_lines(tmp_path / "in.jsonl", rows), no_answer="keep")
    found = rows_of(hand_off(pool, tmp_path, tool="unsloth", layout="kto").files[0])
    assert [row["label"] for row in found] == [True, False, True, False]
    assert found[0]["prompt"] == [USER]
    assert found[0]["completion"] == [SAID]
    for more in ({"label": "history"}, {}):
        with pytest.raises(InputError, match="needs a rejected answer or a label"):
            hand_off(pool_of(tmp_path, {**said, **more}), tmp_path, tool="trl", layout="kto")


def test_a_saved_pool_hands_over_the_same(tmp_path):
    pool = pool_of(tmp_path, WITH_TOOLS)
    pool.save(tmp_path / "pool.arrow")
    again = type(pool).load(tmp_path / "pool.arrow")
    assert handed(tmp_path, again, "trl")[0] == handed(tmp_path, pool, "trl")[0]


def test_the_word_for_a_medium_is_a_word_where_no_tool_replaces_it(tmp_path):
    pool = pool_of(tmp_path, {"prompt": "What is <image> in SVG?", "response": "An element."})
    with pytest.warns(Ds2Warning, match="handed over as a word"):
        found, _ = handed(tmp_path, pool, "trl")
    assert found["messages"][0]["content"] == "What is <image> in SVG?"


@pytest.mark.parametrize("tool", ["trl", "axolotl", "unsloth", "parquet"])
def test_the_word_for_a_medium_is_a_word_beside_pictures_and_among_parts(tmp_path, tool):
    parts = [{**TEXT, "text": "Explain <video>"}, {**TEXT, "text": "and <image>"}]
    rows = [{"messages": [{**USER, "content": parts}, SAID]}]
    if tool != "unsloth":  # which holds no pictures
        seen = {**USER, "content": "<image>How do I say <video>?"}
        rows.append({"messages": [seen, SAID], "images": ["a.png"]})
    with pytest.warns(Ds2Warning, match="it is handed over as a word"):
        done = hand_off(pool_of(tmp_path, *rows), tmp_path / "out", tool=tool, lossy=True)
    found = done.files[0].read_bytes()
    if tool == "parquet":
        found = json.dumps(pq.read_table(done.files[0]).to_pylist()).encode()
    assert found.count(b"<video>") == len(rows)
    assert b"and <image>" in found


def shot(*content):
    use = {"type": "tool_use", "id": "t1", "name": "shot", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [*content]}
    return [USER, {"role": "assistant", "content": [use]}, result, SAID]


def test_a_picture_that_a_tool_gave_back_goes_over_or_is_missed(tmp_path):
    asked, call, result, said = shot(IMAGE)
    row = {"messages": [asked, call, {**USER, "content": [result]}, said]}
    found, _ = handed(tmp_path, pool_of(tmp_path, row), "trl")
    assert found["images"] == ["https://example.org/a.png"]
    back = {"role": "tool", "content": [{"type": "image"}], "tool_call_id": "t1"}
    assert found["messages"][2] == back
    with pytest.raises(InputError, match=r"images \(1\)"):
        handed(tmp_path, pool_of(tmp_path, row), "unsloth")


def test_what_a_tool_gave_back_beside_words_of_the_user_is_the_tools(tmp_path):
    asked, call, result, said = shot({**TEXT, "text": "42"})
    row = {"messages": [asked, call, {**USER, "content": [result, TEXT]}, said]}
    pool = pool_of(tmp_path, row)
    found, _ = handed(tmp_path, pool, "trl")
    assert found["messages"][2:4] == [
        {"role": "tool", "content": "42", "tool_call_id": "t1"},
        {"role": "user", "content": "Why?"},
    ]
    write_pool(pool, tmp_path / "again.jsonl", format="messages")
    (again,) = rows_of(tmp_path / "again.jsonl")
    assert again["messages"] == row["messages"]


def test_all_thoughts_of_a_turn_are_kept(tmp_path):
    thoughts = [{"type": "thinking", "thinking": text} for text in ("One.", "Two.")]
    said = {"role": "assistant", "content": [thoughts[0], TEXT, thoughts[1], TEXT]}
    found, _ = handed(tmp_path, pool_of(tmp_path, {"messages": [USER, said]}), "trl")
    assert found["messages"][1]["reasoning_content"] == "One.\n\nTwo."


def test_a_call_that_is_not_to_be_learned_is_none_in_sharegpt(tmp_path):
    asked, call, result, said = shot()
    result = {"role": "tool", "content": "42"}
    pool = pool_of(tmp_path, {"messages": [asked, {**call, "weight": 0}, result, said]})
    write_pool(pool, tmp_path / "out.jsonl", format="sharegpt")
    (found,) = rows_of(tmp_path / "out.jsonl")
    assert found["conversations"][1]["from"] == "function_call"
    assert found["conversations"][1]["weight"] == 0


def test_pictures_inside_a_table_are_missed_when_they_are_needed(tmp_path):
    import pyarrow as pa

    held = pa.array([{"bytes": b"x", "path": "a.png"}])
    table = pa.table({"prompt": ["Why?"], "response": ["Because."], "image": held})
    pq.write_table(table, tmp_path / "in.parquet")
    with pytest.warns(Ds2Warning, match="binary data in 'image'"):
        pool = read_pool(tmp_path / "in.parquet")
    with pytest.raises(InputError, match="images whose data was left out when the pool was read"):
        hand_off(pool, tmp_path, tool="trl")
    row = {"images": [{"bytes": None, "path": "a.png"}], "messages": [USER, SAID]}
    assert handed(tmp_path, pool_of(tmp_path, row), "trl")[0]["images"] == ["a.png"]


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": None, "prompt": "Why?", "output": None, "completion": "Because."},
        {"instruction": "Why?", "prompt": "", "output": "", "solution": "Because."},
        {"prompt": None, "instruction": "Why?", "response": "Because."},
        {"messages": {"role": ["user", "assistant"], "content": ["Why?", "Because."]}},
        {"conversations": {"from": ["human", "gpt"], "value": ["Why?", "Because."]}},
        {"system": [{**TEXT, "text": "Be brief.", "cache": {}}], "messages": [USER, SAID]},
        {"system": ["Be brief."], "prompt": "Why?", "response": "Because."},
    ],
)  # fmt: skip
def test_what_is_filled_is_read_whatever_holds_it(tmp_path, row):
    pool = pool_of(tmp_path, row)
    turns = [(message.role, message.content) for message in pool[0].messages]
    system = [("system", "Be brief.")] if "system" in row else []
    assert turns == [*system, ("user", "Why?"), ("assistant", "Because.")]
    write_pool(pool, tmp_path / "out.jsonl", format=pool.format)
    assert rows_of(tmp_path / "out.jsonl") == [row]
    assert handed(tmp_path, pool, "trl")[0]["messages"][-1] == SAID


def test_data_inside_a_row_is_handed_over_as_data_and_said(tmp_path):
    source = {"type": "base64", "media_type": "image/png", "data": "QUJD"}
    content = [{"type": "image", "source": source}, TEXT]
    pool = pool_of(tmp_path, {"messages": [{"role": "user", "content": content}, SAID]})
    row, _ = handed(tmp_path, pool, "axolotl")
    assert row["messages"][0]["content"][0] == {"type": "image", "base64": "QUJD"}
    with pytest.warns(Ds2Warning, match="as data in the row: trl reads files"):
        row, _ = handed(tmp_path, pool, "trl", name="trl")
    assert row["images"] == ["data:image/png;base64,QUJD"]


def test_axolotl_gets_roles_and_texts_of_a_preference(tmp_path):
    row = {
        "prompt": [{"role": "developer", "content": "Be brief."}, USER],
        "chosen": [{**SAID, "reasoning_content": "Snow."}],
        "rejected": "No.",
    }
    with pytest.warns(Ds2Warning, match="hold a preference"):
        pool = pool_of(tmp_path, row)
    row, _ = handed(tmp_path, pool, "axolotl", layout="preference")
    assert row["messages"] == [{"role": "system", "content": "Be brief."}, USER]
    assert row["chosen"]["content"] == "<think>\nSnow.\n</think>\n\nBecause."
    assert row["rejected"] == {"role": "assistant", "content": "No."}


ROWS = [
    {"messages": [USER, SAID], "score": 1},
    {"id": "x", "source": "s", "messages": [{**SAID, "role": "user"}, SAID]},
    {"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "user"}]},
    {"instruction": "Add.", "input": "2 and 3", "output": "5", "system": ""},
    {"instruction": "Add.", "input": "", "output": "Add."},
    {"prompt": '[{"role": "user", "content": "Why?"}]', "response": "Because."},
    {"instruction": "Go.", "output": "On.", "history": [["Hi", "Hello"]]},
    {"Question": "Why?", "Answer": "Because.", "Tools": "look"},
    {"prompt": "Why?", "completion": "Because.", "label": 1},
    {"messages": [{"role": "developer", "content": "Be brief."}, USER, SAID], "tools": TOOLS},
    {"prompt": "A <video> of what?", "response": "Of snow."},
]


@pytest.mark.parametrize("row", ROWS)
def test_a_plain_row_is_what_reading_it_again_makes_of_it(tmp_path, row):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ds2Warning)
        pool = pool_of(tmp_path, row, {**row, "id": "y"})
    quick, again = Opened(pool), Opened(pool)
    again.is_plain = lambda _: False
    for line in pool.table.to_pylist():
        assert quick(line) == again(line)
    assert quick.is_plain(line["layout"]) == ("label" not in row and "tools" not in {
        name.lower() for name in row})  # fmt: skip


@pytest.mark.parametrize(
    ("text", "turns"),
    [
        ("### Human: Why?### Assistant: Snow.", "user: Why?|assistant: Snow."),
        ("<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nWhy? [/INST] Snow. </s>"
         "<s>[INST] And? [/INST] Rain.",
         "system: Be brief.|user: Why?|assistant: Snow.|user: And?|assistant: Rain."),
        ("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n"
         "<|im_start|>assistant\nSnow.<|im_end|>\n",
         "system: Be brief.|user: Why?|assistant: Snow."),
        ("<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nWhy?<|eot_id|>"
         "<|start_header_id|>assistant<|end_header_id|>\n\nSnow.<|eot_id|>",
         "user: Why?|assistant: Snow."),
        ("<bos><start_of_turn>user\nWhy?<end_of_turn>\n<start_of_turn>model\nSnow.<end_of_turn>",
         "user: Why?|assistant: Snow."),
        ("<|user|>\nWhy?</s>\n<|assistant|>\nSnow.</s>", "user: Why?|assistant: Snow."),
        ("Below is a task.\n\n### Instruction:\nAdd.\n\n### Input:\n2 and 3\n\n### Response:\n5",
         "system: Below is a task.|user: Add.\n\n2 and 3|assistant: 5"),
        ("USER: Why? ASSISTANT: Snow.</s>USER: And?\nASSISTANT: Human: is a label.",
         "user: Why?|assistant: Snow.|user: And?|assistant: Human: is a label."),
        ("Human: Write a form.\n\nAssistant: Name:\nInput: x\nUSER: y",
         "user: Write a form.|assistant: Name:\nInput: x\nUSER: y"),
    ],
)  # fmt: skip
def test_a_text_in_a_templates_words_is_its_turns(tmp_path, text, turns):
    with pytest.warns(Ds2Warning, match="1 rows are one text in the words of a chat template"):
        pool = pool_of(tmp_path, {"text": text, "score": 3})
    assert "|".join(f"{turn.role}: {turn.content}" for turn in pool[0].messages) == turns
    write_pool(pool, tmp_path / "out.jsonl", format="prompt-response")
    assert rows_of(tmp_path / "out.jsonl") == [{"text": text, "score": 3}]
    row, _ = handed(tmp_path, pool, "trl")
    assert "|".join(f"{turn['role']}: {turn['content']}" for turn in row["messages"]) == turns


@pytest.mark.parametrize(
    "text",
    ["Human: Why?", "Rivers flood. Human: why?", "### Response: 5", "<|im_start|>poet\nWhy?",
     "He said: Assistant: no."],
)  # fmt: skip
def test_running_text_is_no_conversation(tmp_path, text):
    with pytest.raises(InputError, match="cannot tell the format"):
        pool_of(tmp_path, {"text": text})


def test_glaive_rows_have_a_system_prompt_and_results(tmp_path):
    chat = (
        "USER: Why?\n\n\nASSISTANT: <functioncall> {} <|endoftext|>\n\n\nFUNCTION RESPONSE: 42"
        "\n\n\nASSISTANT: Snow. <|endoftext|>"
    )
    with pytest.warns(Ds2Warning, match="words of a chat template"):
        pool = pool_of(tmp_path, {"system": "Be brief.", "chat": chat})
    assert pool[0].turns == (
        ("system", "Be brief."), ("user", "Why?"), ("assistant", "<functioncall> {}"),
        ("tool", "42"), ("assistant", "Snow."),
    )  # fmt: skip


def test_rounds_of_two_sides_are_turns(tmp_path):
    rounds = [{"input": "Why?", "output": "Snow."}, {"input": "And?", "output": "Rain."}]
    pool = pool_of(tmp_path, {"conversation": rounds})
    assert [text for _, text in pool[0].turns] == ["Why?", "Snow.", "And?", "Rain."]
    write_pool(pool, tmp_path / "out.jsonl", format=pool.format)
    assert rows_of(tmp_path / "out.jsonl") == [{"conversation": rounds}]
    row, _ = handed(tmp_path, pool, "llama-factory")
    assert [turn["from"] for turn in row["conversations"]] == ["human", "gpt"] * 2


def test_gemini_rows_are_read_where_their_parts_are_texts(tmp_path):
    row = {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [{"role": "user", "parts": [{"text": "Why?"}]},
                     {"role": "model", "parts": [{"text": "Because "}, {"text": "of snow."}]}],
    }  # fmt: skip
    pool = pool_of(tmp_path, row)
    assert pool[0].turns[0] == ("system", "Be brief.")
    assert pool[0].turns[1] == ("user", "Why?")
    write_pool(pool, tmp_path / "out.jsonl", format=pool.format)
    assert rows_of(tmp_path / "out.jsonl") == [row]
    row["contents"][1]["parts"] = [{"functionCall": {"name": "look", "args": {}}}]
    with pytest.raises(InputError, match="content is not text: a part of it is 'functionCall'"):
        pool_of(tmp_path, row)


@pytest.mark.parametrize("tool", ["trl", "llama-factory", "unsloth"])
@pytest.mark.parametrize(
    "tools",
    [TOOLS[0]["function"], [TOOLS[0]["function"]], json.dumps(TOOLS), str(TOOLS),
     [{"type": "function", **TOOLS[0]["function"]}],
     [{"name": "look", "input_schema": {"type": "object"}}]],
)  # fmt: skip
def test_tools_are_a_list_as_openai_has_it(tmp_path, tool, tools):
    row, _ = handed(tmp_path, pool_of(tmp_path, {"tools": tools, "messages": [USER, SAID]}), tool)
    assert json.loads(row["tools"]) == TOOLS


def test_names_of_speakers_that_a_layout_leaves_out_are_counted(tmp_path):
    pool = pool_of(
        tmp_path, {"messages": [{**USER, "name": "Bo"}, SAID]}, {"messages": [USER, SAID]}
    )
    with pytest.warns(Ds2Warning, match="1 of 2 examples name who speaks"):
        handed(tmp_path, pool, "llama-factory")
    row, _ = handed(tmp_path, pool, "trl")
    assert row["messages"][0]["name"] == "Bo"


def test_a_loss_names_every_tool_that_would_hold_it(tmp_path):
    pool = pool_of(tmp_path, {"messages": [USER, {**SAID, "weight": 0}, USER, SAID]})
    with pytest.raises(InputError, match="whole it can be for axolotl messages, parquet messages"):
        handed(tmp_path, pool, "trl")


@pytest.mark.parametrize("row", [
    {"prompt": "Why?", "chosen": "Because.", "rejected": "No."},
    {"prompt": "Why?", "completion": "Because.", "label": True},
])  # fmt: skip
def test_llama_factory_gets_judged_answers(tmp_path, row):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ds2Warning)
        pool = pool_of(tmp_path, row)
    _, done = handed(tmp_path, pool, "llama-factory", layout="kto")
    found = rows_of(done.files[0])
    said = [(row["conversations"][-1]["value"], row["kto_tag"]) for row in found]
    assert said == [("Because.", True), ("No.", False)][: len(found)]
    assert len(found) == (2 if "chosen" in row else 1)
    entry = json.loads((tmp_path / "dataset_info.json").read_text())["selected"]
    assert entry["columns"] == {"messages": "conversations", "kto_tag": "kto_tag"}


def test_a_rejected_text_that_shows_a_dialogue_is_an_answer(tmp_path):
    dialogue = "Human: Hi\n\nAssistant: Hello"
    with pytest.warns(Ds2Warning, match="hold a preference"):
        pool = pool_of(tmp_path, {"prompt": "Write one.", "chosen": "No.", "rejected": dialogue})
    row, _ = handed(tmp_path, pool, "trl", layout="preference")
    assert row["rejected"] == [{"role": "assistant", "content": dialogue}]


def test_texts_around_turns_are_one_layout_for_many_rows(tmp_path):
    texts = [f"Human: Why {at}?\n\nAssistant: Because {at}." for at in range(3)]
    both = [{"chosen": text, "rejected": "Human: a\n\nAssistant: b"} for text in texts]
    with pytest.warns(Ds2Warning, match="hold a preference"):
        pool = pool_of(tmp_path, *both)
    assert len(pool.table["layout"].unique()) == 1
    write_pool(pool, tmp_path / "out.jsonl", format=pool.format)
    assert rows_of(tmp_path / "out.jsonl") == both


def test_data_that_looks_like_a_place_of_a_text_is_data(tmp_path):
    made = [{"": "0"}, {"": "no number"}, {"": ["a", "0"]}, {"": {"": "0"}}, {"": None}]
    calls = [{"type": "function", "function": {"name": "f", "arguments": each}} for each in made]
    row = {"messages": [USER, {**SAID, "tool_calls": calls}]}
    pool = pool_of(tmp_path, row)
    write_pool(pool, tmp_path / "out.jsonl", format="messages")
    assert rows_of(tmp_path / "out.jsonl") == [row]


def test_answers_that_are_a_word_for_nothing_are_counted(tmp_path):
    words = ["NaN", "none", "null", "a", "nano"]
    with pytest.warns(Ds2Warning, match="3 answers are the word NaN, None or null"):
        pool = pool_of(tmp_path, *({"prompt": f"Why {w}?", "response": w} for w in words))
    assert len(pool) == 5


def test_two_files_of_two_formats_are_both_named(tmp_path):
    one = write_lines(tmp_path / "one.jsonl", [{"prompt": "Why?", "response": "So."}])
    two = write_lines(tmp_path / "two.jsonl", [{"messages": [USER, SAID]}])
    said = r"two\.jsonl, line 1, is messages, and line 1 of .*one\.jsonl is prompt-response"
    with pytest.raises(InputError, match=said):
        read_pool([one, two])
