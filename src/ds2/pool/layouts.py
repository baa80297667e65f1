"""How examples are laid out in files: for ds2 itself, and for each training tool.

    ds2            messages            {"messages": [{role, content}, …]}
                   sharegpt            {"conversations": [{from, value}, …]}
                   alpaca              {"instruction", "input", "output", "system"}
                   prompt-response     {"prompt", "response", "system"}
    trl            messages            as above
                   prompt-completion   {"prompt": [… turns …], "completion": [the last answer]}
                   preference          {"prompt": [… turns …], "chosen": […], "rejected": […]}
                   kto                 {"prompt": [… turns …], "completion": […], "label"}, a row
                                       for each answer
    axolotl        messages            as above, and a YAML part with ``type: chat_template``
                   alpaca              {"instruction", "input", "output"}, ``type: alpaca``
                   preference          {"messages", "chosen", "rejected"} for ``rl: dpo``
    llama-factory  sharegpt            {"conversations": [{from, value}, …]}
                   alpaca              {"instruction", "input", "output", "system"}
                   preference          {"conversations", "chosen": {from, value}, "rejected"}
                   kto                 {"conversations", "kto_tag"}, a row for each answer
                                       and an entry in ``dataset_info.json``
    unsloth        conversations       {"conversations": [{role, content}, …]}
                   alpaca              {"instruction", "input", "output"}
                   preference, kto     as for trl
    parquet        messages            one typed file
                   preference          as for trl

ds2's own layouts hold all that a conversation has, or refuse it. A tool's hold what the tool reads.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ds2.errors import InputError
from ds2.pool.carried import Conversation, parts_of, tools_list
from ds2.pool.files import OutRow
from ds2.pool.formats import untrained
from ds2.pool.turns import MEDIA, REASONING, Turns, call_of, content_text
from ds2.pool.wording import shown

__all__ = ["HANDOFFS", "LAYOUTS", "Kept", "Layout", "arguments_of", "beside", "shared_turns"]


@dataclass(frozen=True, slots=True)
class Kept:
    """What of the examples goes over.

    Attributes:
        tool: which tool reads them.
        beside: what some example has and the layout holds beside roles and texts: tools, calls,
            images, videos, audios, training, reasoning.
        left: the media that are left out.
        in_parts: whether contents are lists of parts.
        marked: whether each answer says that it is to be learned, as Axolotl reads it.
    """

    tool: str
    beside: frozenset[str] = frozenset()
    left: frozenset[str] = frozenset()
    in_parts: bool = field(init=False)
    marked: bool = field(init=False)

    def __post_init__(self) -> None:
        in_parts = self.tool != "parquet" and not self.beside.isdisjoint(MEDIA.values())
        object.__setattr__(self, "in_parts", in_parts)
        object.__setattr__(self, "marked", self.tool == "axolotl" and "training" in self.beside)


@dataclass(frozen=True, slots=True)
class Layout:
    """One way to lay out examples.

    Attributes:
        rows: returns the conversation's fields of each row that an example becomes.
        holds: what it holds beside roles and texts; reasoning is written into the text elsewhere.
    """

    rows: Callable[[Conversation, Kept], list[OutRow]]
    holds: frozenset[str] = frozenset()


def beside(example: Conversation, kept: Kept) -> OutRow:
    """Return the fields beside the conversation that the tool reads; every row has all of them."""
    fields: OutRow = {}
    if "tools" in kept.beside:
        listed = None if example.tools is None else tools_list(example.tools)
        if kept.tool == "axolotl":
            fields["tools"] = listed and [_with_text(tool, "parameters") for tool in listed]
        elif listed is None and kept.tool == "parquet":
            fields["tools"] = example.tools and _text_of(example.tools)
        else:  # JSON as one text: a table keeps its own shape for each tool
            fields["tools"] = _json(listed) if listed else None
    for plural in MEDIA.values():
        if plural in kept.beside and kept.tool != "axolotl":
            fields[plural] = example.media.get(plural, [])
    return fields


def _text_of(value: object) -> str:
    return value if isinstance(value, str) else _json(value)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _with_text(call: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A call or a tool whose object of any shape is a text: tables have one shape for all rows."""
    inner = dict(call["function"]) if isinstance(call.get("function"), dict) else dict(call)
    if key in inner and not isinstance(inner[key], str):
        inner[key] = _json(inner[key])
    return {**call, "function": inner} if "function" in call else inner


# Turns as OpenAI writes them.

#: What of a turn every layout of turns holds.
_SAID = ("role", "content", "name", "tool_call_id", *REASONING)


def _turns(turns: Sequence[OutRow], example: Conversation, kept: Kept) -> list[OutRow]:
    """Turns, but for what the layout cannot hold."""
    media: dict[str, Iterator[object]] = {}
    if kept.in_parts:
        media = {k: iter(example.media[each]) for k, each in MEDIA.items() if each in example.media}
    as_they_are = not (kept.in_parts or kept.marked)
    out = []
    for turn in turns:
        content = turn["content"]
        if as_they_are and len(turn) == 2 and type(content) is str and "<" not in content:
            out.append(turn)
            continue
        said = {k: v for k, v in turn.items() if k in _SAID}
        if kept.tool == "axolotl" and (held := [k for k in REASONING if k in said]):
            said["reasoning_content"] = said.pop(held[0])  # the one name that it reads
        if "tool_calls" in turn and "calls" in kept.beside:
            calls = turn["tool_calls"]
            as_text = kept.tool in ("axolotl", "parquet")
            said["tool_calls"] = [_with_text(c, "arguments") for c in calls] if as_text else calls
        if not kept.in_parts:
            said["content"] = _kept_text(content, kept)
        else:
            said["content"] = [
                _filled(part, media, kept) for part in parts_of(content, media)
                if _stays(part, kept)
            ]  # fmt: skip
        if kept.marked and turn["role"] == "assistant":
            said["train"] = not untrained(turn)
        elif "training" in kept.beside and not kept.marked:
            said |= {k: v for k, v in turn.items() if k not in said and k != "tool_calls"}
        out.append(said)
    return out


def _stays(part: Mapping[str, Any], kept: Kept) -> bool:
    return part["type"] == "text" or MEDIA.get(part["type"]) in kept.beside


def _filled(
    part: Mapping[str, Any], media: Mapping[str, Iterator[object]], kept: Kept
) -> dict[str, Any]:
    """A part with the path, the address or the data of its medium, as Axolotl reads it."""
    if part["type"] == "text" or kept.tool != "axolotl":
        return dict(part)
    held = next(media[part["type"]])
    text = held if isinstance(held, str) else ""
    key = "url" if text.startswith(("http:", "https:")) else "path"
    if text.startswith("data:"):
        key, held = "base64", text.partition(",")[2]
    return {**part, key: held}


def _kept_text(content: object, kept: Kept) -> str:
    """A content as a text, without the places of media that are left out."""
    if isinstance(content, list):
        content = [part for part in content if _stays(part, kept)]
    text = content if type(content) is str else content_text(content)
    if "<" not in text:
        return text
    for kind, plural in MEDIA.items():
        if (plural in kept.left or kept.tool == "llama-factory") and plural not in kept.beside:
            text = text.replace(f"<{kind}>", "")
    return text


def _under(name: str) -> Callable[[Conversation, Kept], list[OutRow]]:
    return lambda example, kept: [{name: _turns(example.turns, example, kept)}]


def _completion(example: Conversation, kept: Kept) -> list[OutRow]:
    _check_answer(example, kept, "prompt-completion")
    turns = _turns(example.turns, example, kept)
    return [{"prompt": turns[:-1], "completion": turns[-1:]}]


def _check_answer(example: Conversation, kept: Kept, layout: str) -> None:
    last = example.turns[-1]["role"]
    if last != "assistant" or len(example.turns) < 2:
        raise InputError(
            f"The layout {layout} needs an answer at the end, after a prompt, and example "
            f"{shown(example.id)} ends with {last}. {_instead(kept)}"
        )


def _instead(kept: Kept) -> str:
    return f"Use '{HANDOFFS[kept.tool][0]}', or leave this example out."


def _rejected(example: Conversation, kept: Kept) -> list[OutRow]:
    if example.rejected is None:
        raise InputError(
            f"The layout preference needs a rejected answer, and example {shown(example.id)} "
            f"has none. {_instead(kept)}"
        )
    return example.rejected


def _both_sides(example: Conversation, kept: Kept) -> list[OutRow]:
    rejected, at = _rejected(example, kept), example.answer_at
    if kept.tool == "axolotl":  # reads a role and a text of each turn, and knows no developer
        *asked, chosen = _said(example.turns, kept)
        return [{"messages": asked[:at], "chosen": chosen, "rejected": _said(rejected, kept)[-1]}]
    rejected = _turns(rejected, example, kept)
    turns = _turns(example.turns, example, kept)
    return [{"prompt": turns[:at], "chosen": turns[at:], "rejected": rejected}]


def _judgements(example: Conversation, kept: Kept) -> list[tuple[list[OutRow], bool]]:
    """Conversations up to an answer, and whether it is a good one."""
    if example.rejected is not None:
        asked = example.turns[: example.answer_at]
        return [(example.turns, True), ([*asked, *example.rejected], False)]
    if example.label is None:
        raise InputError(
            f"The layout kto needs a rejected answer or a label (true or false), and example "
            f"{shown(example.id)} has neither. {_instead(kept)}"
        )
    _check_answer(example, kept, "kto")
    return [(example.turns, example.label)]


def _judged(example: Conversation, kept: Kept) -> list[OutRow]:
    at = -1 if example.rejected is None else example.answer_at
    return [
        {"prompt": turns[:at], "completion": turns[at:], "label": good}
        for said, good in _judgements(example, kept)
        for turns in [_turns(said, example, kept)]
    ]


# Turns as texts.


def _texts(turns: Sequence[Mapping[str, Any]], kept: Kept) -> Turns:
    """Turns as roles and texts: reasoning stands before the answer, calls are left out."""
    return [
        (
            "system" if turn["role"] == "developer" else turn["role"],
            _reasoned(turn) + _kept_text(turn["content"], kept),
        )
        for turn in turns
    ]


def _said(turns: Sequence[Mapping[str, Any]], kept: Kept) -> list[OutRow]:
    return [{"role": role, "content": text} for role, text in _texts(turns, kept)]


def _reasoned(turn: Mapping[str, Any]) -> str:
    if len(turn) == 2:  # a role and a content
        return ""
    thought = next((content_text(turn[key]) for key in REASONING if key in turn), "")
    return f"<think>\n{thought}\n</think>\n\n" if thought else ""


def _one_answer(turns: Turns, example: Conversation, layout: str) -> tuple[str, str, OutRow]:
    """The prompt, the answer, and the system prompt where there is one."""
    roles = tuple(role for role, _ in turns)
    if roles not in {("user", "assistant"), ("system", "user", "assistant")}:
        raise InputError(
            f"The {layout} format holds one user turn and one assistant turn, and example "
            f"{shown(example.id)} has the turns {', '.join(roles[:6])}{' …' * (len(roles) > 6)}. "
            "Write the pool as 'messages' or 'sharegpt', or leave this example out."
        )
    return turns[-2][1], turns[-1][1], {"system": turns[0][1]} if len(turns) == 3 else {}


def _alpaca(example: Conversation, kept: Kept) -> list[OutRow]:
    turns = _texts(example.turns, kept)
    prompt, answer, system = _one_answer(turns, example, "alpaca")
    if kept.tool == "llama-factory":
        system = {"system": "", **system}
    elif system:
        raise InputError(
            f"{kept.tool}'s alpaca layout has no system prompt, and example {shown(example.id)} "
            f"has one. {_instead(kept)}"
        )
    return [{**system, "instruction": prompt, "input": "", "output": answer}]


#: LLaMA-Factory's words for the roles, and what it puts between two results.
_FROM = {"system": "system", "developer": "system", "user": "human", "assistant": "gpt",
         "tool": "observation"}  # fmt: skip
_BETWEEN = "\n</tool_response>\n<tool_response>\n"


def shared_turns(turns: Sequence[Mapping[str, Any]], kept: Kept) -> list[OutRow]:
    """Turns as LLaMA-Factory reads them: a call is a turn, results that follow each other one."""
    out: list[OutRow] = []
    for turn in turns:
        name, text = _FROM[turn["role"]], _kept_text(turn["content"], kept)
        if len(turn) > 2 and turn.get("tool_calls"):
            calls = [call_of(call) or {} for call in turn["tool_calls"]]
            listed = [{"name": c.get("name"), "arguments": arguments_of(c)} for c in calls]
            name = "function_call"
            text = _json(listed[0] if len(listed) == 1 else listed)
        text = _reasoned(turn) + text
        if name == "observation" and out and out[-1]["from"] == name:
            out[-1]["value"] = f"{out[-1]['value']}{_BETWEEN}{text}"
        else:
            out.append({"from": name, "value": text})
    return out


def arguments_of(call: Mapping[str, object]) -> object:
    """Return the arguments of a call as an object, where their text is one."""
    arguments = call.get("arguments")
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments


def _shared(example: Conversation, kept: Kept) -> list[OutRow]:
    return [{"conversations": shared_turns(example.turns, kept)}]


def _shared_sides(example: Conversation, kept: Kept) -> list[OutRow]:
    at = example.answer_at
    sides = (example.turns[:at], example.turns[at:], _rejected(example, kept))
    asked, chosen, rejected = (shared_turns(turns, kept) for turns in sides)
    return [{"conversations": asked, "chosen": chosen[-1], "rejected": rejected[-1]}]


def _shared_judged(example: Conversation, kept: Kept) -> list[OutRow]:
    return [
        {"conversations": shared_turns(turns, kept), "kto_tag": good}
        for turns, good in _judgements(example, kept)
    ]


# ds2's own: all that a conversation holds.


def _own_shared(example: Conversation, _: Kept) -> list[OutRow]:
    """Turns as ShareGPT writes them; a call of tools is a turn of its own."""
    names = {"user": "human", "assistant": "gpt"}
    out: list[OutRow] = []
    for turn in example.turns:
        calls = [call_of(call) or {} for call in turn.get("tool_calls") or ()]
        more = {k: v for k, v in turn.items() if k not in ("role", "content", "tool_calls")}
        if turn["content"] or not calls or any(key in turn for key in REASONING):
            name = names.get(turn["role"], turn["role"])
            out.append({"from": name, "value": turn["content"], **more})
        if calls:
            said = [{k: v for k, v in call.items() if v is not None} for call in calls]
            text = _json(said[0] if len(said) == 1 else said)
            more = {k: v for k, v in more.items() if k not in REASONING}
            out.append({"from": "function_call", "value": text, **more})
    return [{"conversations": out}]


def _own_answer(layout: str) -> Callable[[Conversation, Kept], list[OutRow]]:
    """One prompt and one answer, as texts; prompt-response may hold turns where there is more."""
    asked, said = ("instruction", "output") if layout == "alpaca" else ("prompt", "response")

    def rows(example: Conversation, kept: Kept) -> list[OutRow]:
        turns = example.turns
        if all(set(t) == {"role", "content"} and isinstance(t["content"], str) for t in turns):
            prompt, answer, system = _one_answer(_texts(turns, kept), example, layout)
            given = {"input": ""} if layout == "alpaca" else {}
            return [{asked: prompt, **given, said: answer, **system}]
        if layout == "prompt-response" and turns[-1]["role"] == "assistant":
            return [{asked: turns[:-1], said: turns[-1:]}]
        raise InputError(
            f"The {layout} format holds texts, and example {shown(example.id)} has more: calls of "
            "tools, media, reasoning or marks of single turns. Write the pool as 'messages'."
        )

    return rows


_MEDIA = frozenset(MEDIA.values())
_CALLS = frozenset({"tools", "calls"})
_MARKED = _CALLS | {"training"} | _MEDIA
#: Every layout, by who reads it; a tool's first is its default.
LAYOUTS: dict[str, dict[str, Layout]] = {
    "ds2": {
        "messages": Layout(lambda example, _: [{"messages": example.turns}]),
        "sharegpt": Layout(_own_shared),
        "alpaca": Layout(_own_answer("alpaca")),
        "prompt-response": Layout(_own_answer("prompt-response")),
    },
    "trl": {
        "messages": Layout(_under("messages"), _CALLS | {"images"}),
        "prompt-completion": Layout(_completion, _CALLS | {"images"}),
        "preference": Layout(_both_sides, _CALLS | {"images"}),
        "kto": Layout(_judged, _CALLS | {"images"}),
    },
    "axolotl": {
        "messages": Layout(_under("messages"), _MARKED),
        "alpaca": Layout(_alpaca),
        "preference": Layout(_both_sides),
    },
    "llama-factory": {
        "sharegpt": Layout(_shared, _CALLS | _MEDIA),
        "alpaca": Layout(_alpaca, _MEDIA | {"tools"}),
        "preference": Layout(_shared_sides, _CALLS | _MEDIA),
        "kto": Layout(_shared_judged, _CALLS | _MEDIA),
    },
    "unsloth": {
        "conversations": Layout(_under("conversations"), _CALLS),
        "alpaca": Layout(_alpaca),
        "preference": Layout(_both_sides, _CALLS),
        "kto": Layout(_judged, _CALLS),
    },
    "parquet": {
        "messages": Layout(_under("messages"), _MARKED),
        "preference": Layout(_both_sides, _MARKED),
    },
}
#: What each training tool reads.
HANDOFFS = {tool: tuple(layouts) for tool, layouts in LAYOUTS.items() if tool != "ds2"}
