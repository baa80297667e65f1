"""The four formats of a row: which one it is, and the conversation that it holds.

    alpaca           instruction, input (or context), output (or response …), system, history
    sharegpt         conversations: a list of {from, value}
    messages         messages: a list of {role, content}
    prompt-response  prompt (or question, query, problem, input) and response (or completion,
                     answer, solution, output), system

A ``system`` (or ``system_prompt``) field becomes a system turn in every format. What cannot be
read back from the conversation alone is noted in `Parsed`, so that a row can be written as it was.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ds2.pool.turns import BadRowError, Turns, parse_turns
from ds2.pool.wording import kind_of, shown, shown_names

__all__ = ["FORMATS", "INPUT_JOINT", "LIST_FIELDS", "Pair", "Parsed", "detect_format", "parse_row"]

FORMATS = ("alpaca", "sharegpt", "messages", "prompt-response")

#: What stands between an Alpaca row's instruction and its input in the user's turn.
INPUT_JOINT = "\n\n"

#: A part and its field, or a field and its value as JSON.
Pair: TypeAlias = tuple[str, str]

LIST_FIELDS = ("messages", "conversations", "conversation")
_SYSTEM = ("system", "system_prompt")
_FIELDS = {
    "alpaca": {
        "prompt": ("instruction",),
        "input": ("input", "context"),
        "answer": ("output", "response", "answer", "completion"),
        "history": ("history",),
        "system": _SYSTEM,
    },
    "prompt-response": {
        "prompt": ("prompt", "question", "query", "problem", "input"),
        "answer": ("response", "completion", "answer", "solution", "output"),
        "system": _SYSTEM,
    },
}
_TURN_LISTS = {"sharegpt": ("conversations", "conversation", "messages"), "messages": LIST_FIELDS}


@dataclass(slots=True)
class Parsed:
    """A conversation, and what is needed to write its row back.

    Attributes:
        turns: (role, content) pairs.
        parts: which field held which part: turns, prompt, input, answer, history, system.
        blank: fields of the conversation that were empty or null, and their value as JSON.
        bare: the list of turns without contents, as JSON, where it is not the plain form.
        cut: where the instruction ends in the user's turn, when an input follows it.
    """

    turns: Turns
    parts: tuple[Pair, ...] = ()
    blank: tuple[Pair, ...] = ()
    bare: str | None = None
    cut: int | None = None


def detect_format(row: Mapping[str, object]) -> str | None:
    """Return the format that a row has the fields of, or None."""
    for name in LIST_FIELDS:
        turns = row.get(name)
        if isinstance(turns, list):
            first = turns[0] if turns else None
            keys = first if isinstance(first, dict) else {}
            if "role" in keys or "from" in keys:
                return "messages" if "role" in keys else "sharegpt"
            return "messages" if name == "messages" else "sharegpt"
    for form, fields in _FIELDS.items():
        if _named(row, fields["prompt"]) and _named(row, fields["answer"]):
            return form
    return None


def parse_row(row: Mapping[str, object], form: str) -> Parsed:
    """Return the conversation of a row in the given format, or raise `BadRowError`."""
    parsed = _parse_list(row, form) if form in _TURN_LISTS else _parse_fields(row, form)
    if not any(content and not content.isspace() for _, content in parsed.turns):
        raise BadRowError("no text at all")
    if not any(role == "assistant" for role, _ in parsed.turns):
        raise BadRowError("no assistant turn")
    return parsed


def _parse_list(row: Mapping[str, object], form: str) -> Parsed:
    names = _TURN_LISTS[form]
    name = next((n for n in names if isinstance(row.get(n), list)), None) or _named(row, names)
    if name is None:
        raise BadRowError(_missing(row, names[0]))
    turns, bare = parse_turns(row[name], form, name)
    parts = [("turns", name)]
    blank: list[Pair] = []
    system = _named(row, _SYSTEM)
    if system is not None:
        parts.append(("system", system))
        _add_text(row, system, "system", turns, blank)
    return Parsed(turns, tuple(parts), tuple(blank), bare)


def _parse_fields(row: Mapping[str, object], form: str) -> Parsed:
    found = {part: _named(row, names) for part, names in _FIELDS[form].items()}
    prompt_field, answer_field = found["prompt"], found["answer"]
    for part, name in (("prompt", prompt_field), ("answer", answer_field)):
        if name is None:
            raise BadRowError(_missing(row, _FIELDS[form][part][0]))
        if type(row[name]) is not str:
            raise BadRowError(f"field is not text: {shown(name)} is {kind_of(row[name])}")
    assert prompt_field is not None
    assert answer_field is not None
    turns: Turns = []
    blank: list[Pair] = []
    if found.get("history"):
        _add_history(row, str(found["history"]), turns, blank)
    if found.get("system"):
        _add_text(row, str(found["system"]), "system", turns, blank)
    prompt, cut = str(row[prompt_field]), None
    if found.get("input"):
        given: Turns = []
        _add_text(row, str(found["input"]), "input", given, blank)
        if given:
            prompt, cut = _joined(prompt, given[0][1]), len(prompt)
    turns += [("user", prompt), ("assistant", str(row[answer_field]))]
    parts = tuple((part, name) for part, name in found.items() if name is not None)
    return Parsed(turns, parts, tuple(blank), None, cut)


def _joined(instruction: str, given: str) -> str:
    return instruction + INPUT_JOINT + given if instruction else given


def _add_text(
    row: Mapping[str, object], name: str, role: str, turns: Turns, blank: list[Pair]
) -> None:
    """Put the text of an optional field first among the turns, or note that it is empty."""
    value = row[name]
    if value is None or value == "":
        blank.append((name, json.dumps(value)))
    elif isinstance(value, str):
        turns.insert(0, (role, value))
    else:
        raise BadRowError(f"field is not text: {shown(name)} is {kind_of(value)}")


def _add_history(row: Mapping[str, object], name: str, turns: Turns, blank: list[Pair]) -> None:
    """Add the earlier rounds of an Alpaca row: a list of [instruction, output] pairs."""
    value = row[name]
    if value is None or value == []:
        blank.append((name, json.dumps(value)))
        return
    for pair in value if isinstance(value, list) else [value]:
        if not (isinstance(pair, list) and len(pair) == 2 and all(type(p) is str for p in pair)):
            raise BadRowError(f"not a list of pairs of text: {shown(name)}")
        turns += [("user", pair[0]), ("assistant", pair[1])]


def _named(row: Mapping[str, object], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in row), None)


def _missing(row: Mapping[str, object], name: str) -> str:
    return f"field missing: {shown(name)} (the row has {shown_names(list(row))})"
