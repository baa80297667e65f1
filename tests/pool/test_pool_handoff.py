"""Files for training tools: layouts, configuration, and what is never lost or run."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from pool_files import ALPACA, MESSAGES, SHAREGPT, alpaca_rows, write_lines

from ds2.errors import Ds2Warning, InputError
from ds2.pool import HANDOFFS, hand_off, read_pool

HI = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]
SYSTEM = {"role": "system", "content": "Be brief."}


def pool_of(tmp_path, *rows):
    return read_pool(write_lines(tmp_path / "in.jsonl", rows))


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(
    ("tool", "layout", "fields"),
    [
        ("trl", None, {"messages": HI}),
        ("trl", "prompt-completion", {"prompt": HI[:1], "completion": HI[1:]}),
        ("axolotl", None, {"messages": HI}),
        ("axolotl", "alpaca", {"instruction": "Hi", "input": "", "output": "Yes?"}),
        ("llama-factory", None, SHAREGPT),
        (
            "llama-factory",
            "alpaca",
            {"system": "", "instruction": "Hi", "input": "", "output": "Yes?"},
        ),
        ("unsloth", None, {"conversations": HI}),
        ("unsloth", "alpaca", {"instruction": "Hi", "input": "", "output": "Yes?"}),
    ],
)
def test_every_tool_gets_its_fields(tmp_path, tool, layout, fields):
    pool = pool_of(tmp_path, {"id": "a", **MESSAGES, "source": "web", "text": "not for training"})
    done = hand_off(pool, tmp_path, tool=tool, layout=layout, columns={"score": [3]})
    assert done.files[0] == tmp_path / "selected.jsonl"
    assert lines(done.files[0]) == [{"id": "a", **fields, "source": "web", "score": 3}]
    assert done.warnings == ()


def test_parquet_is_typed_and_loads(tmp_path):
    pool = pool_of(tmp_path, *alpaca_rows(3))
    done = hand_off(
        pool, tmp_path, tool="parquet", columns={"confidence": np.array([0.5, np.nan, 1])}
    )
    table = pq.read_table(done.files[0])
    assert table["confidence"].to_pylist() == [0.5, None, 1.0]
    assert table["messages"][0].as_py()[0] == {"role": "user", "content": "Say 0."}


def test_the_lines_to_paste_load_the_rows(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    pool = pool_of(tmp_path, *alpaca_rows(3))
    (tmp_path / "a 'b").mkdir()
    done = hand_off(pool, tmp_path / "a 'b", tool="trl", columns={"score": [1, 2, 3]})
    names = {}
    exec(done.usage, names)
    assert names["dataset"]["score"] == [1, 2, 3]
    assert names["dataset"][2]["messages"][1]["content"] == "It is 2."


def test_axolotl_gets_a_part_of_its_configuration(tmp_path):
    pool = pool_of(tmp_path, MESSAGES)
    done = hand_off(pool, tmp_path, tool="axolotl", name="best-1.0")
    assert done.files[1] == tmp_path / "best-1.0.axolotl.yaml"
    assert done.files[1].read_text() == done.usage
    (part,) = yaml.safe_load(done.usage)["datasets"]
    assert part == {
        "path": str(tmp_path / "best-1.0.jsonl"),
        "ds_type": "json",
        "type": "chat_template",
        "field_messages": "messages",
        "message_property_mappings": {"role": "role", "content": "content"},
        "roles_to_train": ["assistant"],
    }
    alpaca = yaml.safe_load(hand_off(pool, tmp_path, tool="axolotl", layout="alpaca").usage)
    assert alpaca["datasets"][0]["type"] == "alpaca"


def test_llama_factory_gets_an_entry_and_others_stay(tmp_path):
    info = tmp_path / "dataset_info.json"
    others = {"zürich": {"file_name": "z.json", "num": 1.0}, "b": {"hf_hub_url": "x/y", "n": None}}
    info.write_text(json.dumps(others, ensure_ascii=False), encoding="utf-8")
    pool = pool_of(tmp_path, MESSAGES)
    done = hand_off(pool, tmp_path, tool="llama-factory")
    found = json.loads(info.read_text(encoding="utf-8"))
    assert list(found) == ["zürich", "b", "selected"]
    assert {name: found[name] for name in others} == others
    assert found["selected"]["file_name"] == "selected.jsonl"
    assert found["selected"]["formatting"] == "sharegpt"
    assert found["selected"]["columns"] == {"messages": "conversations"}
    assert found["selected"]["tags"]["observation_tag"] == "observation"
    assert done.files == (tmp_path / "selected.jsonl", info)
    assert yaml.safe_load(done.usage) == {"dataset_dir": str(tmp_path), "dataset": "selected"}


def test_an_entry_that_the_user_extended_is_left_alone(tmp_path):
    info = tmp_path / "dataset_info.json"
    pool = pool_of(tmp_path, MESSAGES)
    hand_off(pool, tmp_path, tool="llama-factory", layout="alpaca")
    text = info.read_text().replace('"file_name"', '"num_samples": 5,\n    "file_name"')
    info.write_text(text)
    hand_off(pool, tmp_path, tool="llama-factory", layout="alpaca")
    assert info.read_text() == text


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"selected": {"file_name": "mine.json"}}', "has another entry 'selected'"),
        ('{"a": 1, "a": 2}', "the name a stands there twice"),
        ('{"a": 1', "cannot be read as JSON"),
        ("[]", "is no JSON object"),
        ("\udcff", "cannot be read as JSON"),
    ],
)
def test_a_dataset_info_that_would_be_harmed_stops_everything(tmp_path, text, sentence):
    info = tmp_path / "dataset_info.json"
    info.write_bytes(text.encode("utf-8", "surrogateescape"))
    before = info.read_bytes()
    with pytest.raises(InputError, match=sentence):
        hand_off(pool_of(tmp_path, MESSAGES), tmp_path, tool="llama-factory")
    assert info.read_bytes() == before
    assert not (tmp_path / "selected.jsonl").exists()


def test_turns_that_llama_factory_skips_are_told(tmp_path):
    tool = {"role": "tool", "content": "42"}
    rows = [
        {"messages": [SYSTEM, *HI, tool, HI[1]]},
        {"messages": [*HI, HI[1]]},
        {"messages": [*HI, HI[0]]},
        {"messages": [*HI, SYSTEM, *HI]},
    ]
    with pytest.warns(Ds2Warning, match="1 of 4 rows without an answer to learn are kept"):
        pool = read_pool(write_lines(tmp_path / "in.jsonl", rows), no_answer="keep")
    with pytest.warns(Ds2Warning, match="3 of 4 examples do not go user, assistant"):
        done = hand_off(pool, tmp_path, tool="llama-factory")
    assert len(done.warnings) == 1
    spoken = [turn["from"] for turn in lines(done.files[0])[0]["conversations"]]
    assert spoken == ["system", "human", "gpt", "observation", "gpt"]


def test_what_a_layout_cannot_express_is_named(tmp_path):
    path = write_lines(tmp_path / "in.jsonl", [{"id": "a", "messages": [*HI, HI[0]]}])
    with pytest.warns(Ds2Warning, match="ends with the user"):
        last = read_pool(path, no_answer="keep")
    with pytest.raises(InputError, match="example 'a' ends with user"):
        hand_off(last, tmp_path, tool="trl", layout="prompt-completion")
    with pytest.raises(InputError, match="holds one user turn"):
        hand_off(last, tmp_path, tool="unsloth", layout="alpaca")
    system = pool_of(tmp_path, {"id": "b", "messages": [SYSTEM, *HI]})
    with pytest.raises(InputError, match=r"axolotl's alpaca .* 'b' has one. Use 'messages'"):
        hand_off(system, tmp_path, tool="axolotl", layout="alpaca")
    done = hand_off(system, tmp_path, tool="llama-factory", layout="alpaca")
    assert lines(done.files[0])[0]["system"] == "Be brief."


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"tool": "tlr"}, "Did you mean 'trl'"),
        ({"tool": "trl", "layout": "alpaca"}, "'layout' must be one of messages, prompt-compl"),
        ({"tool": "trl", "name": "../x"}, "'name' must be letters"),
        ({"tool": "trl", "name": ".x"}, "'name' must be letters"),
        ({"tool": "trl", "columns": {"score": [1, 2]}}, "'score' must have 1 values"),
        ({"tool": "trl", "columns": {"text": [1]}}, "reads as something else: 'text'"),
        ({"tool": "trl", "columns": {"id": [1]}}, "reads as something else: 'id'"),
    ],
)
def test_bad_settings_are_named(tmp_path, settings, sentence):
    pool = pool_of(tmp_path, ALPACA)
    with pytest.raises(InputError, match=sentence):
        hand_off(pool, tmp_path, **settings)
    with pytest.raises(InputError, match="nothing to hand over"):
        hand_off(pool.take([]), tmp_path, tool="trl")
    assert {path.name for path in tmp_path.iterdir()} == {"in.jsonl"}


def test_the_same_pool_gives_the_same_bytes(tmp_path):
    pool = pool_of(tmp_path, *alpaca_rows(20))
    for tool in HANDOFFS:
        one = hand_off(pool, tmp_path, tool=tool, name="one").files[0]
        two = hand_off(pool, tmp_path, tool=tool, name="two").files[0]
        assert one.read_bytes() == two.read_bytes()
