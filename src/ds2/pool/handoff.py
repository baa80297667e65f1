"""Hand the selected examples over to a training tool, in the files that it reads.

    trl            messages            {"messages": [{role, content}, …]}
                   prompt-completion   {"prompt": [… turns …], "completion": [the last answer]}
    axolotl        messages            the same, and a YAML part with ``type: chat_template``
                   alpaca              {"instruction", "input", "output"}, ``type: alpaca``
    llama-factory  sharegpt            {"conversations": [{from, value}, …]}
                   alpaca              {"instruction", "input", "output", "system"}
                                       and an entry in ``dataset_info.json``
    unsloth        conversations       {"conversations": [{role, content}, …]}
                   alpaca              {"instruction", "input", "output"}
    parquet        messages            one typed file

A row is the id, the conversation, the source and the columns that the caller adds; other fields of
the pool stay out, because each tool gives a meaning to some names of fields.
"""

import math
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ds2.atomic import writing
from ds2.checks import check_choice
from ds2.errors import Ds2Warning, InputError
from ds2.pool.containers import WRITERS, OutRow
from ds2.pool.files import writer
from ds2.pool.handoff_config import axolotl_part, merged_dataset_info, yaml_text
from ds2.pool.layout import convert_fields
from ds2.pool.pool import Pool
from ds2.pool.turns import Turns
from ds2.pool.wording import shown, shown_names

__all__ = ["HANDOFFS", "Handoff", "hand_off"]

_BATCH = 1024
_NAME = re.compile(r"\w[\w.-]*", re.ASCII)

#: What each tool reads; the first is the default.
HANDOFFS: dict[str, tuple[str, ...]] = {
    "trl": ("messages", "prompt-completion"),
    "axolotl": ("messages", "alpaca"),
    "llama-factory": ("sharegpt", "alpaca"),
    "unsloth": ("conversations", "alpaca"),
    "parquet": ("messages",),
}
#: Fields that a tool reads beside those of the layout, so that a column must not have their names.
_MEANT = frozenset({
    "id", "source", "messages", "conversations", "conversation", "prompt", "completion", "system",
    "instruction", "input", "output", "history", "text", "tools", "images", "videos", "audios",
    "chosen", "rejected", "label", "kto_tag", "chat_template", "chat_template_kwargs",
    "input_ids", "labels", "attention_mask", "completion_mask", "assistant_masks",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Handoff:
    """What was written for a training tool.

    Attributes:
        files: the data first, then what the tool needs to find it.
        usage: the lines to put into the tool's configuration or script.
        warnings: what the tool will not do with these examples.
    """

    files: tuple[Path, ...]
    usage: str
    warnings: tuple[str, ...] = ()


def hand_off(
    pool: Pool,
    folder: str | os.PathLike[str],
    *,
    tool: str,
    layout: str | None = None,
    name: str = "selected",
    columns: Mapping[str, Sequence[object] | np.ndarray] | None = None,
) -> Handoff:
    """Write every example of a pool for a training tool; each file is complete or not there at all.

    Args:
        pool: the selected examples, in pick order.
        folder: where to write; it must be there.
        tool: trl, axolotl, llama-factory, unsloth or parquet.
        layout: which of the layouts above. Default: the tool's first.
        name: the name of the data, without a suffix.
        columns: fields to add, each with one value per example (NaN becomes null): score, curated
            score, confidence, long-tail score, reason.

    Returns:
        `Handoff`.

    Raises:
        InputError: the layout cannot express an example, a column has the wrong length or a name
            that means something to the tool, ``dataset_info.json`` holds another entry of this
            name or cannot be read, or nothing can be written there.
    """
    check_choice("tool", tool, HANDOFFS)
    shape = check_choice("layout", layout or HANDOFFS[tool][0], HANDOFFS[tool])
    if not _NAME.fullmatch(name):
        raise InputError(f"'name' must be letters, digits, '.', '_' and '-'. Got {shown(name)}.")
    added = dict(columns or {})
    _check_columns(pool, added)
    suffix = "parquet" if tool == "parquet" else "jsonl"
    data = Path(folder) / f"{name}.{suffix}"
    extra = _extra_file(tool, shape, data, name)
    seen = _Seen()
    with writing(data) as temporary, writer(temporary, None) as stream:
        WRITERS[suffix](lambda: _rows(pool, tool, shape, added, seen), stream)
    if extra is not None and extra[1] is not None:
        with writing(extra[0]) as temporary:
            temporary.write_text(extra[1], encoding="utf-8")
    notes = seen.notes(tool)
    for note in notes:
        warnings.warn(note, Ds2Warning, stacklevel=2)
    files = (data,) if extra is None else (data, extra[0])
    return Handoff(files, _usage(tool, shape, data, name), notes)


def _extra_file(tool: str, shape: str, data: Path, name: str) -> tuple[Path, str | None] | None:
    """The file that a tool needs beside the data, and its text (None: it is there already)."""
    if tool == "axolotl":
        return data.with_name(f"{name}.axolotl.yaml"), axolotl_part(data.as_posix(), shape)
    if tool == "llama-factory":
        path = data.with_name("dataset_info.json")
        return path, merged_dataset_info(path, name, data.name, shape)
    return None


def _usage(tool: str, shape: str, data: Path, name: str) -> str:
    """The lines to put into the tool's configuration or script."""
    if tool == "axolotl":
        return axolotl_part(data.as_posix(), shape)
    if tool == "llama-factory":
        return f"dataset_dir: {yaml_text(data.parent.as_posix())}\ndataset: {yaml_text(name)}\n"
    kind = "parquet" if tool == "parquet" else "json"
    lines = [
        "from datasets import load_dataset",
        "",
        f"dataset = load_dataset({kind!r}, data_files={data.as_posix()!r}, split='train')",
    ]
    if shape == "conversations":
        lines += [
            "render = lambda turns: tokenizer.apply_chat_template(turns, tokenize=False)",
            "dataset = dataset.map(lambda row: {'text': render(row['conversations'])})",
        ]
    return "\n".join(lines) + "\n"


def _check_columns(pool: Pool, added: Mapping[str, Any]) -> None:
    if len(pool) == 0:
        raise InputError("The pool holds no examples, so there is nothing to hand over.")
    for column, values in added.items():
        if len(values) != len(pool):
            raise InputError(
                f"The column {shown(column)} must have {len(pool):,} values, one per example. "
                f"Got {len(values):,}."
            )
    taken = [column for column in added if column in _MEANT]
    if taken:
        raise InputError(
            f"Columns have names that a training tool reads as something else: "
            f"{shown_names(taken)}. Give them other names."
        )


class _Seen:
    """How many rows were written, and how many do not take turns as LLaMA-Factory wants."""

    def __init__(self) -> None:
        self.uneven = 0
        self.total = 0

    def notice(self, turns: Turns) -> None:
        roles = [role for role, _ in turns]
        rest = roles[1:] if roles[0] == "system" else roles
        asked, answered = rest[::2], rest[1::2]
        even = len(asked) == len(answered) and {*answered} == {"assistant"}
        self.uneven += not (even and {*asked} <= {"user", "tool"})
        self.total += 1

    def notes(self, tool: str) -> tuple[str, ...]:
        if tool != "llama-factory" or not self.uneven:
            return ()
        return (
            f"{self.uneven:,} of {self.total:,} examples do not go user, assistant, user, "
            "assistant …: LLaMA-Factory skips them. Leave them out, or train with another tool.",
        )


def _rows(
    pool: Pool, tool: str, shape: str, added: Mapping[str, Any], seen: _Seen
) -> Iterator[OutRow]:
    start = 0
    seen.total = seen.uneven = 0
    names = ["id", "messages", "source"]
    for batch in pool.table.select(names).to_batches(max_chunksize=_BATCH):
        stop = start + batch.num_rows
        more = {name: _plain(values[start:stop]) for name, values in added.items()}
        for number, line in enumerate(batch.to_pylist()):
            turns = [(turn["role"], turn["content"]) for turn in line["messages"]]
            seen.notice(turns)
            row: OutRow = {"id": line["id"], **_fields(turns, tool, shape, line["id"])}
            row["source"] = line["source"]
            yield row | {name: values[number] for name, values in more.items()}
        start = stop


def _fields(turns: Turns, tool: str, shape: str, ident: str) -> dict[str, object]:
    """The conversation of one example, as the tool reads it."""
    messages = [{"role": role, "content": content} for role, content in turns]
    if shape in {"messages", "conversations"}:
        return {shape: messages}
    if shape == "prompt-completion":
        if messages[-1]["role"] != "assistant" or len(messages) < 2:
            raise InputError(
                f"The layout prompt-completion needs an answer at the end, after a prompt, and "
                f"example {shown(ident)} ends with {messages[-1]['role']}. Use 'messages', or "
                "leave this example out."
            )
        return {"prompt": messages[:-1], "completion": messages[-1:]}
    if shape == "sharegpt":
        return {
            "conversations": [{"from": _FROM[role], "value": content} for role, content in turns]
        }
    fields = convert_fields(turns, "alpaca", ident)
    if tool != "llama-factory" and "system" in fields:
        raise InputError(
            f"{tool}'s alpaca layout has no system prompt, and example {shown(ident)} has one. "
            f"Use '{HANDOFFS[tool][0]}', or leave this example out."
        )
    return {"system": "", **fields} if tool == "llama-factory" else fields


#: LLaMA-Factory's words for the roles.
_FROM = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}


def _plain(values: Any) -> list[object]:
    """Values as Python objects, None in place of NaN."""
    listed = values.tolist() if isinstance(values, np.ndarray) else list(values)
    plain = [value.item() if isinstance(value, np.generic) else value for value in listed]
    return [None if isinstance(value, float) and math.isnan(value) else value for value in plain]
