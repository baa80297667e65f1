"""What the loaders of training tools make of a file that was written for them.

None needs a GPU. Each is None where its tool is not installed (Unsloth reads with transformers, as
its own example does; its package does not start without a GPU).
"""

import importlib.util
import json
import sys
import types
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from ds2.pool import Handoff

TEMPLATE = (
    "{% for tool in tools or [] %}TOOL {{ tool | tojson }}\n{% endfor %}"
    "{% for m in messages %}{{ m.role }}: {{ m.reasoning_content or '' }}"
    "{% if m.content is string %}{{ m.content }}"
    "{% else %}{% for part in m.content or [] %}{{ part.text or '' }} {% endfor %}{% endif %}"
    "{% for c in m.tool_calls or [] %}CALL {{ c.function.name }} "
    "{{ c.function.arguments | tojson }}{% endfor %}<eos>\n{% endfor %}"
)


def tokenizer() -> Any:
    """Bytes as tokens, and a chat template that shows all that a row holds."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({each: at for at, each in enumerate([*alphabet, "<eos>"])}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<eos>", pad_token="<eos>", chat_template=TEMPLATE
    )


def rows_of(done: Handoff) -> list[dict[str, Any]]:
    """The rows as the datasets library reads them."""
    from datasets import load_dataset

    kind = "parquet" if done.files[0].suffix == ".parquet" else "json"
    cache = str(done.files[0].parent / "cache")
    return list(load_dataset(kind, data_files=str(done.files[0]), split="train", cache_dir=cache))


def trl(done: Handoff) -> list[str]:
    """The text of each row, rendered by TRL."""
    from trl.data_utils import apply_chat_template, is_conversational, maybe_convert_to_chatml

    made = []
    for row in map(maybe_convert_to_chatml, rows_of(done)):
        if not is_conversational(row):
            raise ValueError(f"no conversation: {sorted(row)}")
        tools = json.loads(row["tools"]) if row.get("tools") else None
        turns = {"messages": row["messages"]}
        made.append(apply_chat_template(turns, tokenizer(), tools=tools)["text"])
    return made


def unsloth(done: Handoff) -> list[str]:
    """The text of each row, rendered by the lines to paste."""
    names: dict[str, Any] = {"tokenizer": tokenizer()}
    exec(done.usage, names)
    return list(names["dataset"]["text"])


def axolotl(done: Handoff) -> list[str]:
    """The text of each row, from the tokens that Axolotl trains on or masks."""
    import yaml
    from axolotl.prompt_strategies.chat_template import load
    from axolotl.utils.dict import DictDefault

    (given,) = yaml.safe_load(done.usage)["datasets"]
    settings = {"sequence_len": 1 << 20, "chat_template": "tokenizer_default", "datasets": [given]}
    tokens = tokenizer()
    strategy = load(tokens, DictDefault(settings), ds_cfg=given)
    return [tokens.decode(strategy.tokenize_prompt(row)["input_ids"]) for row in rows_of(done)]


def llama_factory(done: Handoff) -> list[str]:
    """The turns of each row, as LLaMA-Factory's converter returns them."""
    if importlib.util.find_spec("torchaudio") is None:  # imported, and used for recordings alone
        empty = types.ModuleType("torchaudio")
        empty.__spec__ = ModuleSpec("torchaudio", None)
        sys.modules["torchaudio"] = empty
    from llamafactory.data.converter import get_dataset_converter
    from llamafactory.data.parser import get_dataset_list

    file = Path(done.files[0])
    (attributes,) = get_dataset_list([file.stem], str(file.parent))
    given = types.SimpleNamespace(media_dir=str(file.parent))
    converter = get_dataset_converter(attributes.formatting, attributes, given)
    found = map(converter, rows_of(done))
    parts = ("_system", "_tools")
    return [
        "\n".join([*(row[part] or "" for part in parts),
                   *(turn["content"] for turn in row["_prompt"] + row["_response"])])
        for row in found
    ]  # fmt: skip


PACKAGES = {"trl": "trl", "axolotl": "axolotl", "llama-factory": "llamafactory",
            "unsloth": "transformers"}  # fmt: skip
LOADERS: dict[str, Callable[[Handoff], list[str]]] = {
    "trl": trl, "axolotl": axolotl, "llama-factory": llama_factory, "unsloth": unsloth,
}  # fmt: skip


def loaded(tool: str, done: Handoff) -> list[str] | None:
    """What the tool's loader makes of each row; None where the tool is not installed."""
    if tool not in LOADERS or importlib.util.find_spec(PACKAGES[tool]) is None:
        return None
    return LOADERS[tool](done)
