"""Hand the selected examples over to a training tool, in the files that it reads.

    trl            messages            {"messages": [{role, content}, …]}
                   prompt-completion   {"prompt": [… turns …], "completion": [the last answer]}
                   preference          {"prompt": [… turns …], "chosen": […], "rejected": […]}
    axolotl        messages            the same, and a YAML part with ``type: chat_template``
                   alpaca              {"instruction", "input", "output"}, ``type: alpaca``
                   preference          {"messages", "chosen", "rejected"} for ``rl: dpo``
    llama-factory  sharegpt            {"conversations": [{from, value}, …]}
                   alpaca              {"instruction", "input", "output", "system"}
                   preference          {"conversations", "chosen": {from, value}, "rejected"}
                                       and an entry in ``dataset_info.json``
    unsloth        conversations       {"conversations": [{role, content}, …]}
                   alpaca              {"instruction", "input", "output"}
                   preference          as for trl
    parquet        messages            one typed file
                   preference          as for trl

A row is the id, the conversation, the source and the columns that the caller adds; other fields of
the pool stay out, because each tool gives a meaning to some names of fields. Descriptions of tools,
calls, media, reasoning and marks of what is to be learned go along where the tool reads them
(`_CARRIES`); where it does not, nothing is written unless the loss is accepted.
"""

import json
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ds2.atomic import writing
from ds2.checks import check_choice
from ds2.errors import Ds2Warning, InputError
from ds2.pool.carried import (
    Conversation,
    conversations,
    marks_training,
    parts_of,
    tools_list,
)
from ds2.pool.containers import WRITERS, OutRow, plain_values
from ds2.pool.convert import convert_fields
from ds2.pool.files import writer
from ds2.pool.formats import untrained
from ds2.pool.handoff_config import axolotl_part, merged_dataset_info, yaml_text
from ds2.pool.pool import Pool
from ds2.pool.turns import MEDIA, REASONING, Turns, call_of, content_text
from ds2.pool.wording import shown, shown_names

__all__ = ["HANDOFFS", "Handoff", "hand_off"]

_NAME = re.compile(r"\w[\w.-]*", re.ASCII)

#: What each tool reads; the first is the default.
HANDOFFS: dict[str, tuple[str, ...]] = {
    "trl": ("messages", "prompt-completion", "preference"),
    "axolotl": ("messages", "alpaca", "preference"),
    "llama-factory": ("sharegpt", "alpaca", "preference"),
    "unsloth": ("conversations", "alpaca", "preference"),
    "parquet": ("messages", "preference"),
}
_MEDIA = frozenset(MEDIA.values())
#: What each layout holds beside roles and texts; reasoning is written into the text elsewhere.
_CARRIES: dict[tuple[str, str], frozenset[str]] = {
    ("trl", "messages"): frozenset({"tools", "calls", "images"}),
    ("trl", "prompt-completion"): frozenset({"tools", "calls", "images"}),
    ("trl", "preference"): frozenset({"tools", "calls", "images"}),
    ("axolotl", "messages"): frozenset({"tools", "calls", "training"}) | _MEDIA,
    ("llama-factory", "sharegpt"): frozenset({"tools", "calls"}) | _MEDIA,
    ("llama-factory", "alpaca"): frozenset({"tools"}) | _MEDIA,
    ("llama-factory", "preference"): frozenset({"tools", "calls"}) | _MEDIA,
    ("unsloth", "conversations"): frozenset({"tools", "calls"}),
    ("unsloth", "preference"): frozenset({"tools", "calls"}),
    ("parquet", "messages"): frozenset({"tools", "calls", "training"}) | _MEDIA,
    ("parquet", "preference"): frozenset({"tools", "calls", "training"}) | _MEDIA,
}
_WORDS = {
    "tools": "descriptions of tools",
    "calls": "calls of tools",
    "training": "marks of answers that are not to be learned",
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
    lossy: bool = False,
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
        lossy: leave out what the layout cannot hold of the examples; what and how often is said.

    Returns:
        `Handoff`.

    Raises:
        InputError: the layout cannot express an example or hold all of it, a column has the wrong
            length or a name that means something to the tool, ``dataset_info.json`` holds another
            entry of this name or cannot be read, or nothing can be written there.
    """
    check_choice("tool", tool, HANDOFFS)
    shape = check_choice("layout", layout or HANDOFFS[tool][0], HANDOFFS[tool])
    if not _NAME.fullmatch(name):
        raise InputError(f"'name' must be letters, digits, '.', '_' and '-'. Got {shown(name)}.")
    added = dict(columns or {})
    _check_columns(pool, added)
    suffix = "parquet" if tool == "parquet" else "jsonl"
    data = Path(folder) / f"{name}.{suffix}"
    found = _Found(tool, shape)
    for example in conversations(pool):
        found.notice(example)
    found.check(lossy)
    extra = _extra_file(tool, shape, data, name, found.columns)
    with writing(data) as temporary, writer(temporary, None) as stream:
        WRITERS[suffix](lambda: _rows(pool, found, added), stream)
    if extra is not None and extra[1] is not None:
        with writing(extra[0]) as temporary:
            temporary.write_text(extra[1], encoding="utf-8")
    notes = found.notes(lossy)
    for note in notes:
        warnings.warn(note, Ds2Warning, stacklevel=2)
    files = (data,) if extra is None else (data, extra[0])
    return Handoff(files, _usage(tool, shape, data, name, found.columns), notes)


def _extra_file(
    tool: str, shape: str, data: Path, name: str, columns: Sequence[str]
) -> tuple[Path, str | None] | None:
    """The file that a tool needs beside the data, and its text (None: it is there already)."""
    if tool == "axolotl":
        part = axolotl_part(data.as_posix(), shape, columns)
        return data.with_name(f"{name}.axolotl.yaml"), part
    if tool == "llama-factory":
        path = data.with_name("dataset_info.json")
        return path, merged_dataset_info(path, name, data.name, shape, columns)
    return None


def _usage(tool: str, shape: str, data: Path, name: str, columns: Sequence[str]) -> str:
    """The lines to put into the tool's configuration or script."""
    if tool == "axolotl":
        return axolotl_part(data.as_posix(), shape, columns)
    if tool == "llama-factory":
        return f"dataset_dir: {yaml_text(data.parent.as_posix())}\ndataset: {yaml_text(name)}\n"
    kind = "parquet" if tool == "parquet" else "json"
    lines = [
        "from datasets import load_dataset",
        "",
        f"dataset = load_dataset({kind!r}, data_files={data.as_posix()!r}, split='train')",
    ]
    if shape == "conversations" and "tools" in columns:
        lines += [
            "import json",
            "render = lambda row: tokenizer.apply_chat_template(row['conversations'], "
            "tools=json.loads(row['tools'] or 'null'), tokenize=False)",
            "dataset = dataset.map(lambda row: {'text': render(row)})",
        ]
    elif shape == "conversations":
        lines += [
            "render = lambda turns: tokenizer.apply_chat_template(turns, tokenize=False)",
            "dataset = dataset.map(lambda row: {'text': render(row['conversations'])})",
        ]
    if tool == "trl" and "images" in columns:
        lines += [
            "from datasets import Image, Sequence",
            "dataset = dataset.cast_column('images', Sequence(Image()))",
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


class _Found:
    """What the examples have, what a layout holds of it, and how it writes them."""

    def __init__(self, tool: str, shape: str) -> None:
        self.tool, self.shape = tool, shape
        self.carries = _CARRIES.get((tool, shape), frozenset())
        self.total = self.uneven = self.preferred = self.with_ids = self.marked = 0
        self.held: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()

    @property
    def columns(self) -> list[str]:
        """The fields beside the conversation that the rows have."""
        return [name for name in ("tools", *MEDIA.values(), "training") if self.held[name]]

    def notice(self, example: Conversation) -> None:
        """Count what an example has."""
        has = {"tools"} if example.tools is not None else set()
        has |= set(example.media)
        has |= {"calls"} if any("tool_calls" in turn for turn in example.turns) else set()
        if any(map(marks_training, example.turns)) and not self._learns_last(example):
            has.add("training")
        lost = {_WORDS.get(name, name) for name in has - self.carries} | example.lost
        if self.tool == "llama-factory":
            lost |= {f"<{kind}> in a text without {MEDIA[kind]}" for kind in example.marked}
            if any(
                t.get("tool_calls") and content_text(t["content"]).strip() for t in example.turns
            ):
                lost.add("texts beside a call of a tool")
        if self.tool != "parquet" and "tools" in has and tools_list(example.tools) is None:
            lost.add("descriptions of tools that are no JSON")
        if self.tool in ("axolotl", "llama-factory"):
            calls = [call for turn in example.turns for call in turn.get("tool_calls", ())]
            if any(isinstance(_object((call_of(c) or {}).get("arguments")), str) for c in calls):
                lost.add("arguments of calls that are no JSON")
            sides = (example.turns[example.answer_at :], example.rejected or [])
            if self.shape == "preference" and any(len(side) != 1 for side in sides):
                lost.add("answers of several turns")
        self.lost.update(lost)
        self.held.update(has & self.carries)
        self.total += 1
        self.preferred += example.rejected is not None
        self.marked += bool(example.marked)
        if self.tool == "llama-factory":
            self.with_ids += any("tool_call_id" in turn for turn in example.turns)
            self.uneven += not _takes_turns(_shared(example, self))
        if self.shape == "preference" and example.rejected is None:
            raise InputError(
                f"The layout preference needs a rejected answer, and example {shown(example.id)} "
                f"has none. Use '{HANDOFFS[self.tool][0]}', or leave this example out."
            )

    def _learns_last(self, example: Conversation) -> bool:
        """Say whether a layout of prompt and completion learns just what is marked."""
        answers = [marks_training(t) for t in example.turns if t["role"] == "assistant"]
        return self.shape == "prompt-completion" and not answers[-1] and all(answers[:-1])

    def check(self, lossy: bool) -> None:
        """Raise where something would be lost that nobody has agreed to lose."""
        if lossy or not self.lost:
            return
        wanted = {word: name for name, word in _WORDS.items()}
        needed = {wanted.get(word, word) for word in self.lost}
        others = [f"{tool} {shape}" for (tool, shape), held in _CARRIES.items()
                  if needed <= held and shape not in ("preference", self.shape)]  # fmt: skip
        hint = f"Written whole it can be for {', '.join(others)}. " if others else ""
        raise InputError(
            f"{self.tool}'s layout {self.shape} cannot hold what some of the {self.total:,} "
            f"examples have: {_counts(self.lost)}. {hint}To leave it out: --lossy (in Python "
            "lossy=True)."
        )

    def notes(self, lossy: bool) -> tuple[str, ...]:
        """Return what the tool will not do with these examples."""
        notes = []
        if lossy and self.lost:
            notes.append(f"Left out of {self.total:,} examples: {_counts(self.lost)}.")
        if self.uneven:
            notes.append(
                f"{self.uneven:,} of {self.total:,} examples do not go user, assistant, user, "
                "assistant …: LLaMA-Factory skips them. Leave them out, or train with another tool."
            )
        if self.with_ids:
            notes.append(
                f"{self.with_ids:,} of {self.total:,} examples name the calls that results belong "
                "to: LLaMA-Factory goes by their order (results in a row are one turn), and the "
                "names are left out."
            )
        if self.marked and self.tool != "llama-factory":
            notes.append(
                f"{self.marked:,} of {self.total:,} examples have <image>, <video> or <audio> in a "
                "text and no such medium: it is handed over as a word."
            )
        if self.preferred and self.shape != "preference":
            notes.append(
                f"{self.preferred:,} of {self.total:,} examples have a rejected answer, which is "
                "left out: the layout preference hands both over."
            )
        return tuple(notes)


def _counts(found: Counter[str]) -> str:
    return ", ".join(f"{name} ({count:,})" for name, count in found.most_common())


def _takes_turns(turns: Sequence[Mapping[str, object]]) -> bool:
    """Say whether turns go as LLaMA-Factory wants: asked and answered, in pairs."""
    names = [turn["from"] for turn in turns]
    rest = names[1:] if names[0] == "system" else names
    asked, answered = {*rest[::2]}, {*rest[1::2]}
    even = len(rest) % 2 == 0
    return even and asked <= {"human", "observation"} and answered <= {"gpt", "function_call"}


def _rows(pool: Pool, found: _Found, added: Mapping[str, Any]) -> Iterator[OutRow]:
    more = {name: plain_values(values) for name, values in added.items()}
    for number, example in enumerate(conversations(pool)):
        row: OutRow = {"id": example.id, **_fields(example, found), **_beside(example, found)}
        row["source"] = example.source
        yield row | {name: values[number] for name, values in more.items()}


def _beside(example: Conversation, found: _Found) -> dict[str, object]:
    """The fields beside the conversation that the tool reads; every row has all of them."""
    fields: dict[str, object] = {}
    if found.held["tools"]:
        listed = None if example.tools is None else tools_list(example.tools)
        held = example.tools if listed is not None or found.tool == "parquet" else None
        if found.tool == "axolotl":
            fields["tools"] = listed and [_with_text(tool, "parameters") for tool in listed]
        else:  # JSON as one text: a table keeps its own shape for each tool
            fields["tools"] = held if held is None or isinstance(held, str) else _json(held)
    for plural in MEDIA.values():
        if found.held[plural] and found.tool != "axolotl":
            fields[plural] = example.media.get(plural, [])
    return fields


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _with_text(call: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A call or a tool whose object of any shape is a text: tables have one shape for all rows."""
    inner = dict(call["function"]) if isinstance(call.get("function"), dict) else dict(call)
    if key in inner and not isinstance(inner[key], str):
        inner[key] = _json(inner[key])
    return {**call, "function": inner} if "function" in call else inner


def _fields(example: Conversation, found: _Found) -> dict[str, object]:  # noqa: PLR0911
    """The conversation of one example, as the tool reads it."""
    tool, shape = found.tool, found.shape
    if shape == "sharegpt":
        return {"conversations": _shared(example, found)}
    if tool == "llama-factory" and shape == "preference":
        at = example.answer_at
        before = replace(example, turns=example.turns[:at])
        both = (example.turns[at:], example.rejected or [])
        sides = [replace(example, turns=turns) for turns in both]
        chosen, rejected = (_shared(side, found)[-1:] for side in sides)
        asked = _shared(before, found)
        return {"conversations": asked, "chosen": chosen[0], "rejected": rejected[0]}
    if shape in {"messages", "conversations"}:
        return {shape: _messages(example.turns, example, found)}
    if shape == "prompt-completion":
        turns = _messages(example.turns, example, found)
        if turns[-1]["role"] != "assistant" or len(turns) < 2:
            raise InputError(
                f"The layout prompt-completion needs an answer at the end, after a prompt, and "
                f"example {shown(example.id)} ends with {turns[-1]['role']}. Use 'messages', or "
                "leave this example out."
            )
        return {"prompt": turns[:-1], "completion": turns[-1:]}
    if shape == "preference":
        turns = _messages(example.turns, example, found)
        rejected = _messages(example.rejected or [], example, found)
        at = example.answer_at
        if tool == "axolotl":
            return {"messages": turns[:at], "chosen": turns[-1], "rejected": rejected[-1]}
        return {"prompt": turns[:at], "chosen": turns[at:], "rejected": rejected}
    fields = convert_fields(_texts(example, found), "alpaca", example.id)
    if tool != "llama-factory" and "system" in fields:
        raise InputError(
            f"{tool}'s alpaca layout has no system prompt, and example {shown(example.id)} has "
            f"one. Use '{HANDOFFS[tool][0]}', or leave this example out."
        )
    return {"system": "", **fields} if tool == "llama-factory" else fields


def _messages(
    turns: Sequence[Mapping[str, Any]], example: Conversation, found: _Found
) -> list[dict[str, Any]]:
    """Turns as OpenAI writes them, but for what the layout cannot hold."""
    media = {kind: iter(example.media.get(plural, ())) for kind, plural in MEDIA.items()}
    with_parts = found.tool != "parquet" and any(found.held[plural] for plural in _MEDIA)
    marks = found.held["training"] > 0
    out = []
    for turn in turns:
        kept = {k: v for k, v in turn.items()
                if k in _SAID or (k == "tool_calls" and "calls" in found.carries)}  # fmt: skip
        if "tool_calls" in kept and found.tool in ("axolotl", "parquet"):
            kept["tool_calls"] = [_with_text(call, "arguments") for call in kept["tool_calls"]]
        content = turn["content"]
        if not with_parts:
            kept["content"] = _kept_text(content, found)
        else:
            kept["content"] = [
                _filled(part, media, found) for part in parts_of(content)
                if part["type"] == "text" or found.held[MEDIA[part["type"]]]
            ]  # fmt: skip
        if marks and found.tool == "axolotl":
            if turn["role"] == "assistant":
                kept["train"] = not untrained(turn)
        elif marks:
            kept |= {k: v for k, v in turn.items() if k not in kept and k != "tool_calls"}
        out.append(kept)
    return out


#: What of a turn every layout of turns holds.
_SAID = ("role", "content", "name", "tool_call_id", *REASONING)


def _filled(
    part: Mapping[str, Any], media: Mapping[str, Iterator[object]], found: _Found
) -> dict[str, Any]:
    """A part with the path, the address or the data of its medium, as Axolotl reads it."""
    if part["type"] == "text" or found.tool != "axolotl":
        return dict(part)
    held = next(media[part["type"]])
    text = held if isinstance(held, str) else ""
    key = "url" if text.startswith(("http:", "https:")) else "path"
    if text.startswith("data:"):
        key, held = "base64", text.partition(",")[2]
    return {**part, key: held}


def _kept_text(content: object, found: _Found) -> str:
    """A content as a text, without the places of media that are left out."""
    text = content_text(content)
    for kind, plural in MEDIA.items():
        gone = isinstance(content, list) or found.lost[plural] or found.tool == "llama-factory"
        if gone and not found.held[plural]:
            text = text.replace(f"<{kind}>", "")
    return text


def _texts(example: Conversation, found: _Found) -> Turns:
    """Turns as roles and texts: reasoning stands before the answer, calls are left out."""
    said = {"developer": "system"}
    return [
        (said.get(turn["role"], turn["role"]), _reasoned(turn) + _kept_text(turn["content"], found))
        for turn in example.turns
    ]


def _reasoned(turn: Mapping[str, Any]) -> str:
    thought = next((content_text(turn[key]) for key in REASONING if key in turn), "")
    return f"<think>\n{thought}\n</think>\n\n" if thought else ""


def _shared(example: Conversation, found: _Found) -> list[dict[str, object]]:
    """Turns as LLaMA-Factory reads them: a call is a turn, results that follow each other one."""
    out: list[dict[str, object]] = []
    pairs = zip(_texts(example, found), example.turns, strict=True)
    for (role, said), turn in pairs:
        name, text = _FROM[role], said
        if turn.get("tool_calls"):
            calls = [call_of(call) or {} for call in turn["tool_calls"]]
            listed = [{"name": c.get("name"), "arguments": _object(c.get("arguments"))}
                      for c in calls]  # fmt: skip
            name = "function_call"
            text = _reasoned(turn) + _json(listed[0] if len(listed) == 1 else listed)
        if name == "observation" and out and out[-1]["from"] == name:
            out[-1]["value"] = f"{out[-1]['value']}{_BETWEEN}{text}"
        else:
            out.append({"from": name, "value": text})
    return out


def _object(arguments: object) -> object:
    """The arguments of a call as an object, where their text is one."""
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments


#: LLaMA-Factory's words for the roles, and what it puts between two results.
_FROM = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}
_BETWEEN = "\n</tool_response>\n<tool_response>\n"
