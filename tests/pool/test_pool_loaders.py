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
        pool = read_pool(write_lines(tmp_path / "in.jsonl", rows), no_answer="keep")
        done = hand_off(pool, tmp_path, tool=tool, **settings)
    from datasets import load_dataset

    return list(load_dataset("json", data_files=str(done.files[0]), split="train",
                             cache_dir=str(tmp_path / "cache")))  # fmt: skip


@pytest.fixture
def tokenizer():
    pytest.importorskip("transformers")
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


@pytest.fixture
def trl():
    """LLaMA-Factory installs an older one, which has no conversations with tools."""
    pytest.importorskip("trl", minversion="1.0")


@pytest.mark.parametrize("layout", ["messages", "prompt-completion"])
@pytest.mark.usefixtures("trl")
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


@pytest.mark.usefixtures("trl")
def test_trl_takes_both_sides_of_a_preference(tmp_path, monkeypatch, tokenizer):
    from trl.data_utils import apply_chat_template, is_conversational

    (row,) = handed(tmp_path, monkeypatch, [PAIR], "trl", layout="preference")
    fields = {name: row[name] for name in ("prompt", "chosen", "rejected")}
    assert is_conversational(fields)
    made = apply_chat_template(fields, tokenizer)
    assert "Because." in made["chosen"]
    assert "No." in made["rejected"]


@pytest.mark.usefixtures("trl")
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
def tokens(tokenizer):
    """Bytes as tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({each: at for at, each in enumerate([*alphabet, "<eos>"])}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return type(tokenizer)(tokenizer_object=made, eos_token="<eos>", pad_token="<eos>")


@pytest.fixture
def axolotl(tmp_path, monkeypatch, tokenizer, tokens):
    """Returns the text of each row of a file for Axolotl, and the part of it that is learned."""
    pytest.importorskip("axolotl.prompt_strategies.chat_template", exc_type=ImportError)
    from axolotl.prompt_strategies.chat_template import load
    from axolotl.utils.dict import DictDefault

    said = "{{ m.reasoning_content or '' }}{{ m.content }}"
    template = tokenizer.chat_template.replace("{{ m.content }}", said)
    tokens.chat_template = template.replace("\n{% endfor %}", "<eos>{% endfor %}")

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
    """LLaMA-Factory's data package."""
    if importlib.util.find_spec("torchaudio") is None:
        empty = types.ModuleType("torchaudio")
        empty.__spec__ = ModuleSpec("torchaudio", None)
        monkeypatch.setitem(sys.modules, "torchaudio", empty)
    return pytest.importorskip("llamafactory.data")


@pytest.fixture
def loaded(tmp_path, monkeypatch, llama_factory, tokens):
    """Returns each row as LLaMA-Factory trains on it: the text of every column of tokens."""
    from llamafactory.data.loader import get_dataset
    from llamafactory.data.template import get_template_and_fix_tokenizer
    from llamafactory.hparams import DataArguments, ModelArguments
    from transformers import Seq2SeqTrainingArguments

    def load(rows, layout="sharegpt", stage="sft", template="qwen"):
        handed(tmp_path, monkeypatch, rows, "llama-factory", layout=layout)
        folder, cache = str(tmp_path), str(tmp_path / "cache")
        given = DataArguments(
            template=template, dataset="selected", dataset_dir=folder, cutoff_len=1 << 16
        )
        found = get_dataset(
            get_template_and_fix_tokenizer(tokens, given),
            ModelArguments(model_name_or_path="none", cache_dir=cache),
            given,
            Seq2SeqTrainingArguments(output_dir=folder, report_to=[], use_cpu=True),
            stage,
            tokens,
        )
        return [
            {
                name: tokens.decode([token for token in column if token != -100])
                if name.endswith(("input_ids", "labels")) else column
                for name, column in row.items()
            }
            for row in found["train_dataset"]
        ]  # fmt: skip

    return load


def test_llama_factory_trains_on_calls_and_answers_alone(loaded):
    for row, key in zip(loaded(ROWS), ["a", "b", None], strict=True):
        learned, shown = row["labels"], row["input_ids"]
        assert "Because." in learned
        assert "Why?" in shown
        assert "Why?" not in learned
        assert '"type": "function", "function": {"name": "look"' in shown or key is None
        assert f'{{"name": "look", "arguments": {{"{key}": 1}}}}' in learned or key is None
        assert ("4" in shown) == (key is not None)
        assert "4" not in learned
        assert ("# Tools" in shown) == (key is not None)


def test_llama_factory_reads_one_tool_and_tools_of_other_tongues(loaded):
    schema = {"type": "object", "properties": {"q": {"type": "string"}}}
    flat = {"name": "look", "description": "Look.", "parameters": schema}
    told = [flat, [flat], json.dumps(flat), str([flat]), [{"type": "function", **flat}],
            [{"name": "look", "description": "Look.", "input_schema": schema}],
            {"type": "function", "function": flat}]  # fmt: skip
    for row in loaded([{"tools": tools, "messages": [USER, SAID]} for tools in told]):
        assert json.dumps({"type": "function", "function": flat}) in row["input_ids"]


def test_llama_factory_keeps_reasoning_before_a_call(loaded):
    turns = [USER, {**called("a"), "reasoning_content": "Look."}, {**NO, "role": "tool"}, SAID]
    (row,) = loaded([{"tools": TOOLS, "messages": turns}])
    assert "<think>\nLook.\n</think>\n\n<tool_call>" in row["labels"]


def test_llama_factory_trains_on_both_sides_of_a_preference(loaded):
    (row,) = loaded([PAIR], "preference", "rm")
    for side, answer in (("chosen", "Because."), ("rejected", "No.")):
        assert "Why?" in row[f"{side}_input_ids"]
        assert row[f"{side}_labels"].startswith(answer)


@pytest.mark.parametrize("pair", [True, False])
def test_llama_factory_trains_on_judged_answers(loaded, pair):
    rows = [{"prompt": "Why?", "completion": "Because.", "label": True},
            {"prompt": "Why?", "completion": "No.", "label": False}]  # fmt: skip
    found = loaded([PAIR] if pair else rows, "kto", "kto")
    assert [row["kto_tags"] for row in found] == [True, False]
    assert [row["labels"].partition("<")[0] for row in found] == ["Because.", "No."]
    assert all("Why?" in row["input_ids"] for row in found)


@pytest.mark.parametrize("layout", ["sharegpt", "alpaca"])
def test_llama_factory_keeps_the_system_prompt(loaded, layout):
    (row,) = loaded(
        [{"messages": [{"role": "system", "content": "Be brief."}, USER, SAID]}], layout
    )
    assert "Be brief." in row["input_ids"]
    assert row["labels"].startswith("Because.")


def test_llama_factory_finds_as_many_images_as_places(tmp_path, monkeypatch, llama_factory):
    from llamafactory.data.converter import get_dataset_converter
    from llamafactory.data.parser import get_dataset_list

    rows = handed(tmp_path, monkeypatch, PICTURES, "llama-factory")
    (attributes,) = get_dataset_list(["selected"], str(tmp_path))
    given = types.SimpleNamespace(media_dir=str(tmp_path))
    found = [get_dataset_converter(attributes.formatting, attributes, given)(row) for row in rows]
    assert found[0]["_images"] == ["a.png"]
    assert found[0]["_prompt"][0]["content"].count("<image>") == 1
    assert not found[1]["_images"]
