"""What the loaders of training tools make of the files written for them.

Each needs the tool itself; none needs a GPU. LLaMA-Factory's data package imports torchaudio for
recordings, which no test here has: an empty module stands for it where it is not installed.
"""

import importlib.util
import json
import sys
import types
import warnings
from importlib.machinery import ModuleSpec

import pytest
import yaml
from pool_files import write_lines

from ds2.errors import Ds2Warning
from ds2.pool import hand_off, read_pool

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
USER, SAID = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}
NO = {"role": "assistant", "content": "No."}


def called(key):
    function = {"name": "look", "arguments": {key: 1}}
    return {"role": "assistant", "content": "", "tool_calls": [{"id": key, "type": "function",
            "function": function}]}  # fmt: skip


ROWS = [
    {"tools": TOOLS, "messages": [USER, called("a"), {"role": "tool", "content": "42"}, SAID]},
    {"tools": TOOLS, "messages": [USER, called("b"), {"role": "tool", "content": "43"}, SAID]},
    {"messages": [USER, SAID]},
]
PAIR = {"prompt": "Why?", "chosen": "Because.", "rejected": "No."}
PICTURES = [{"images": ["a.png"], "messages": [{**USER, "content": "<image>Why?"}, SAID]},
            {"messages": [USER, SAID]}]  # fmt: skip


def handed(tmp_path, monkeypatch, rows, tool, **settings):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ds2Warning)
        pool = read_pool(write_lines(tmp_path / "in.jsonl", rows))
        done = hand_off(pool, tmp_path, tool=tool, **settings)
    from datasets import load_dataset

    return list(load_dataset("json", data_files=str(done.files[0]), split="train",
                             cache_dir=str(tmp_path / "cache")))  # fmt: skip


@pytest.fixture
def tokenizer():
    pytest.importorskip("trl")
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    made = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"x": 0}, "x")))
    made.chat_template = (
        "{% for tool in tools or [] %}TOOL {{ tool | tojson }}\n{% endfor %}"
        "{% for m in messages %}{{ m.role }}: {{ m.content }}"
        "{% for c in m.tool_calls or [] %}CALL {{ c.function.name }} "
        "{{ c.function.arguments | tojson }}{% endfor %}\n{% endfor %}"
    )
    return made


@pytest.mark.parametrize("layout", ["messages", "prompt-completion"])
def test_trl_renders_tools_and_calls(tmp_path, monkeypatch, tokenizer, layout):
    from trl.data_utils import apply_chat_template, is_conversational

    rows = handed(tmp_path, monkeypatch, ROWS, "trl", layout=layout)
    fields = ("messages",) if layout == "messages" else ("prompt", "completion")
    texts = []
    for row in rows:
        assert is_conversational(row)
        tools = json.loads(row["tools"]) if row["tools"] else None
        made = apply_chat_template({name: row[name] for name in fields}, tokenizer, tools=tools)
        texts.append("".join(made.values()))
    assert 'CALL look {"a": 1}' in texts[0]
    assert 'CALL look {"b": 1}' in texts[1]
    assert 'TOOL {"' in texts[0]
    assert "TOOL" not in texts[2]
    assert all("Because." in text for text in texts)


def test_trl_takes_both_sides_of_a_preference(tmp_path, monkeypatch, tokenizer):
    from trl.data_utils import apply_chat_template, is_conversational

    (row,) = handed(tmp_path, monkeypatch, [PAIR], "trl", layout="preference")
    fields = {name: row[name] for name in ("prompt", "chosen", "rejected")}
    assert is_conversational(fields)
    made = apply_chat_template(fields, tokenizer)
    assert "Because." in made["chosen"]
    assert "No." in made["rejected"]


def test_trl_puts_images_into_their_places(tmp_path, monkeypatch, tokenizer):
    from trl.data_utils import prepare_multimodal_messages

    rows = handed(tmp_path, monkeypatch, PICTURES, "trl")
    made = prepare_multimodal_messages(rows[0]["messages"], images=rows[0]["images"])
    kinds = [part["type"] for part in made[0]["content"]]
    assert kinds == ["image", "text"]
    assert made[0]["content"][0]["image"] == "a.png"
    made = prepare_multimodal_messages(rows[1]["messages"], images=rows[1]["images"])
    assert [part["type"] for part in made[0]["content"]] == ["text"]


@pytest.fixture
def axolotl(tmp_path, monkeypatch, tokenizer):
    """Returns the text of each row of a file for Axolotl, and the part of it that is learned."""
    pytest.importorskip("axolotl.prompt_strategies.chat_template", exc_type=ImportError)
    from axolotl.prompt_strategies.chat_template import load
    from axolotl.utils.dict import DictDefault
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({each: at for at, each in enumerate([*alphabet, "<eos>"])}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    said = "{{ m.reasoning_content or '' }}{{ m.content }}"
    template = tokenizer.chat_template.replace("{{ m.content }}", said)
    template = template.replace("\n{% endfor %}", "<eos>{% endfor %}")
    tokens = type(tokenizer)(tokenizer_object=made, eos_token="<eos>", chat_template=template)

    def read(rows):
        found = handed(tmp_path, monkeypatch, rows, "axolotl")
        (given,) = yaml.safe_load((tmp_path / "selected.axolotl.yaml").read_text())["datasets"]
        settings = {"sequence_len": 4096, "chat_template": "tokenizer_default", "datasets": [given]}
        strategy = load(tokens, DictDefault(settings), ds_cfg=given)
        texts = []
        for row in found:
            made = strategy.tokenize_prompt(row)
            both = zip(made["input_ids"], made["labels"], strict=True)
            learned = [token for token, label in both if label != -100]
            texts.append((tokens.decode(made["input_ids"]), tokens.decode(learned)))
        return texts

    return read


def test_axolotl_renders_tools_and_calls(axolotl):
    one, two, plain = axolotl(ROWS)
    assert 'CALL look {"a": 1}' in one[0]
    assert 'CALL look {"b": 1}' in two[0]
    assert 'TOOL {"' in one[0]
    assert "TOOL" not in plain[0]
    assert all("Because." in learned for _, learned in (one, two, plain))
    assert "42" not in one[1]


def test_axolotl_learns_what_is_marked_and_reads_reasoning(axolotl):
    row = {"messages": [USER, {**NO, "weight": 0}, USER, {**SAID, "reasoning": "Snow."}]}
    ((text, learned),) = axolotl([row])
    assert "Snow." in text
    assert "Because." in learned
    assert "No." in text
    assert "No." not in learned


@pytest.fixture
def llama_factory(tmp_path, monkeypatch):
    if importlib.util.find_spec("torchaudio") is None:
        empty = types.ModuleType("torchaudio")
        empty.__spec__ = ModuleSpec("torchaudio", None)
        monkeypatch.setitem(sys.modules, "torchaudio", empty)
    pytest.importorskip("llamafactory.data")
    from llamafactory.data.converter import get_dataset_converter
    from llamafactory.data.parser import get_dataset_list

    def convert(rows):
        (attributes,) = get_dataset_list(["selected"], str(tmp_path))
        given = types.SimpleNamespace(media_dir=str(tmp_path))
        converter = get_dataset_converter(attributes.formatting, attributes, given)
        return [converter(row) for row in rows]

    return convert


def test_llama_factory_reads_tools_and_calls(tmp_path, monkeypatch, llama_factory):
    from llamafactory.data.template import TEMPLATES

    found = llama_factory(handed(tmp_path, monkeypatch, ROWS, "llama-factory"))
    roles = [[turn["role"] for turn in row["_prompt"] + row["_response"]] for row in found]
    assert roles == [["user", "function", "observation", "assistant"]] * 2 + [["user", "assistant"]]
    template = TEMPLATES["qwen"]
    text = str(template.format_function.apply(content=found[1]["_prompt"][1]["content"]))
    assert '"arguments": {"b": 1}' in text
    assert "look" in str(template.format_tools.apply(content=found[0]["_tools"]))
    assert not found[2]["_tools"]


def test_llama_factory_reads_both_sides_of_a_preference(tmp_path, monkeypatch, llama_factory):
    rows = handed(tmp_path, monkeypatch, [PAIR], "llama-factory", layout="preference")
    (row,) = llama_factory(rows)
    assert [turn["content"] for turn in row["_prompt"]] == ["Why?"]
    assert [turn["content"] for turn in row["_response"]] == ["Because.", "No."]


def test_llama_factory_finds_as_many_images_as_places(tmp_path, monkeypatch, llama_factory):
    found = llama_factory(handed(tmp_path, monkeypatch, PICTURES, "llama-factory"))
    assert found[0]["_images"] == ["a.png"]
    assert found[0]["_prompt"][0]["content"].count("<image>") == 1
    assert not found[1]["_images"]


@pytest.mark.parametrize("layout", ["sharegpt", "alpaca"])
def test_llama_factory_keeps_the_system_prompt(tmp_path, monkeypatch, llama_factory, layout):
    row = {"messages": [{"role": "system", "content": "Be brief."}, USER, SAID]}
    rows = handed(tmp_path, monkeypatch, [row], "llama-factory", layout=layout)
    (row,) = llama_factory(rows)
    assert row["_system"] == "Be brief."
    assert row["_response"][0]["content"] == "Because."
