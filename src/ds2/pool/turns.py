"""Turns: who speaks, what a person reads of it, and how lists of turns are laid out.

A turn may hold more than a text: calls of tools, parts of a message (images, sound), reasoning.
`Turns` is what is rated and embedded: (role, text) pairs in which all of that is written out.
The row itself is kept as it was (`ds2.pool.layout`).
"""

import ast
import itertools
import json
import re
import warnings
from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

from ds2.pool.wording import kind_of, shown, shown_names

__all__ = [
    "HIDDEN",
    "MEDIA",
    "NO_ROLES",
    "REASONING",
    "ROLE_KEYS",
    "TURN_KEYS",
    "BadRowError",
    "Told",
    "Turns",
    "by_column",
    "call_of",
    "calls_in",
    "content_text",
    "filled",
    "from_text",
    "is_caller",
    "is_result",
    "is_round",
    "is_turn",
    "medium_of",
    "parse_turns",
    "read_side",
    "role_keys",
]

#: (role, content) pairs, first to last.
Turns: TypeAlias = list[tuple[str, str]]

#: For each turn, the turn as it was in the row, or None where it was its text alone.
Told: TypeAlias = list[dict[str, object] | None]

#: The keys of one turn: who speaks, and what.
TURN_KEYS = {"messages": ("role", "content"), "sharegpt": ("from", "value")}
ROLE_KEYS = ("role", "from", "speaker", "author")
_CONTENT_KEYS = ("content", "value", "text", "parts")

#: Every name of a role that is understood, and the pool's word for it.
_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "ai": "assistant",
    "function_call": "assistant",
    "function-call": "assistant",
    "tool_call": "assistant",
    "tool-call": "assistant",
    "tool_calls": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "function_response": "tool",
    "function-response": "tool",
    "tool_response": "tool",
    "tool-response": "tool",
    "tool_result": "tool",
    "ipython": "tool",
}
#: Names of roles whose text is a call.
_CALLERS = frozenset(name for name in _ROLES if "_call" in name or "-call" in name)
#: What the two sides of a round are called where an object holds both, and nothing else.
_ROUNDS = (("input", "output"), ("human", "assistant"), ("user", "assistant"), ("human", "gpt"),
           ("human", "bot"), ("prompt", "response"), ("question", "answer"),
           ("instruction", "output"))  # fmt: skip
NO_ROLES: Mapping[str, str] = MappingProxyType({})

#: Names of roles that a turn of a text alone has.
_PLAIN = {name: _ROLES[name] for name in ("system", "user", "assistant", "tool", "human", "gpt")}
_TURNS = re.compile(r"\[\s*\{")
#: What a turn calls the reasoning before its answer.
REASONING = ("reasoning_content", "reasoning", "thinking")
#: Parts that have no text of their own: `calls_in` has a call; reasoning that is encrypted.
HIDDEN = frozenset({"tool_use", "redacted_thinking"})
#: The media of a part, by its type: what it is called in a text.
MEDIA = {"image": "images", "video": "videos", "audio": "audios"}


class BadRowError(Exception):
    """A row cannot become an example; the message is ``kind`` or ``kind: what was found``."""


def filled(value: object) -> bool:
    """Say whether a field holds anything: null, NaN, an empty text or list do not."""
    return value is not None and value not in ("", []) and value == value  # noqa: PLR0124


def is_turn(value: object) -> bool:
    """Say whether a value is an object that names who speaks and what."""
    return isinstance(value, dict) and role_keys(value) is not None


def by_column(value: Mapping[str, object]) -> list[dict[str, object]]:
    """Return the turns of an object that holds a list for each of their keys; else nothing.

    The datasets library stores a sequence of objects so.
    """
    columns = {key: each for key, each in value.items() if isinstance(each, list)}
    if len(columns) < len(value) or len({len(each) for each in columns.values()}) != 1:
        return []
    turns = [dict(zip(columns, turn, strict=True)) for turn in zip(*columns.values(), strict=True)]
    return turns if all(map(is_turn, turns)) else []


def role_keys(turn: Mapping[str, object]) -> tuple[str, str] | None:
    """Return the keys of a turn that hold its role and its content, None where it has no role."""
    role = next((key for key in ROLE_KEYS if turn.get(key) is not None), None)
    return None if role is None else (role, _content_key(turn))


def from_text(value: str, name: str = "") -> object:
    """Return the list or object that a text is, as JSON or as Python writes it.

    Raises:
        BadRowError: it is neither.
    """
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # of a backslash in somebody's text
            return ast.literal_eval(value.strip())  # literals alone: nothing is run
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        where = f" in the field {shown(name)}" if name else ""
        numpy = "}" in value and "{" in value[value.find("}") :].split(",", 1)[0]
        why = " (objects without commas, as numpy prints arrays: write it as JSON)" if numpy else ""
        raise BadRowError(f"not valid JSON:{where}{why}") from None


def read_side(
    value: object, role: str, form: str, field: str, roles: Mapping[str, str] = NO_ROLES
) -> tuple[Turns, Told]:
    """Read one side of a conversation: a text, a turn, or a list of turns or of texts.

    Args:
        value: what the row holds.
        role: who speaks, where that is not said; a list of texts goes on in turns.
        form: the format of the row.
        field: its name, for messages.
        roles: names of roles that the user gives, and the pool's word for each.
    """
    if isinstance(value, str):
        inner = _turns_in(value, role) if _TURNS.match(value) else None
        if inner is None:
            return [(role, value)], [None]
        return parse_turns(inner, form, field, roles, role)
    if isinstance(value, list) and value and all(type(text) is str for text in value):
        order = ("user", "assistant") if role == "user" else ("assistant", "user")
        turns = [(order[at % 2], text) for at, text in enumerate(value)]
        return turns, [None] * len(turns)
    return parse_turns([value] if isinstance(value, dict) else value, form, field, roles, role)


def _turns_in(text: str, role: str) -> object | None:
    """Return the turns that a text is, None where it is just a text.

    A prompt is one where it does not end with an answer, an answer where it begins with one.
    """
    try:
        value = from_text(text)
    except BadRowError:
        return None
    if not (isinstance(value, list) and value and all(is_turn(turn) for turn in value)):
        return None
    turn = value[0] if role == "assistant" else value[-1]
    keys = role_keys(turn) or ("", "")
    known = _ROLES.get(str(turn[keys[0]]).strip().lower())
    return value if known is not None and (known == "assistant") == (role == "assistant") else None


def parse_turns(
    value: object,
    form: str,
    field: str,
    roles: Mapping[str, str] = NO_ROLES,
    default: str = "",
) -> tuple[Turns, Told]:
    """Read a list of turns; ``default`` is the role of a turn that names none."""
    if isinstance(value, dict):
        value = by_column(value) or value
    if not isinstance(value, list):
        raise BadRowError(f"turns are no list: {shown(field)} is {kind_of(value)}")
    usual = TURN_KEYS.get(form, TURN_KEYS["messages"])
    role_key, content_key = usual
    plain = NO_ROLES if roles else _PLAIN
    turns: Turns = []
    told: Told = []
    for number, turn in enumerate(value, start=1):
        if not isinstance(turn, dict):
            raise BadRowError(f"turn is no object: turn {number} is {kind_of(turn)}")
        name, content = turn.get(role_key), turn.get(content_key)
        if len(turn) == 2 and type(content) is str and type(name) is str and name in plain:
            turns.append((plain[name], content))
            told.append(None)
        elif both := _round(turn):
            turns += both
            told += [None, None]
        else:
            read = _read_turn(turn, number, roles, default, usual)
            apart = [turn] if read[0] == "assistant" else _apart(turn)
            if len(apart) == 1:
                turns.append(read)
            else:
                turns += [_read_turn(each, number, roles, default, usual) for each in apart]
            told += apart
    if not turns:
        raise BadRowError(f"no turns: {shown(field)} is an empty list")
    return turns, told


def is_round(value: Mapping[str, object]) -> bool:
    """Say whether an object holds what was asked and what was said, and nothing else."""
    return bool(_round(value))


def _round(turn: Mapping[str, object]) -> Turns:
    """Return the two turns of an object that is a round; else nothing."""
    for asked, said in _ROUNDS if len(turn) == 2 else ():
        one, other = turn.get(asked), turn.get(said)
        if type(one) is str and type(other) is str:
            return [("user", one), ("assistant", other)]
    return []


def _apart(turn: dict[str, object]) -> list[dict[str, object]]:
    """Return a turn as turns of which each holds only what tools gave back, or none of it."""
    key = _content_key(turn)
    content = turn.get(key)
    if not isinstance(content, list) or not any(map(is_result, content)):
        return [turn]
    return [{**turn, key: list(parts)} for _, parts in itertools.groupby(content, is_result)]


def _content_key(turn: Mapping[str, object]) -> str:
    held = [key for key in _CONTENT_KEYS if key in turn]
    return next((key for key in held if filled(turn[key])), held[0] if held else "")


def _read_turn(
    turn: dict[str, object],
    number: int,
    roles: Mapping[str, str],
    default: str,
    usual: tuple[str, str],
) -> tuple[str, str]:
    keys = role_keys(turn)
    content_key, role = _content_key(turn), default
    if keys is not None:
        role = _to_role(turn[keys[0]], keys[0], number, roles)
    elif not role:
        raise BadRowError(f"turn without a role: turn {number} has no text in {shown(usual[0])}")
    content = turn.get(content_key) if content_key else None
    calls = calls_in(turn)
    thought = next((turn[key] for key in REASONING if filled(turn.get(key))), None)
    if content is None and thought is None and not calls:
        if not content_key:
            raise BadRowError(f"content is not text: turn {number} has no {shown(usual[1])}")
        return role, ""
    if role == "user" and isinstance(content, list) and content and all(map(is_result, content)):
        role = "tool"
    try:
        if content_key == "parts":
            _check_parts(content)
        text = content_text(content)
    except TypeError as error:
        raise BadRowError(f"content is not text: {error} in turn {number}") from None
    if thought is None and not calls:
        return role, text
    parts = [] if thought is None else [f"<think>\n{content_text(thought)}\n</think>"]
    if text.strip() and not (calls and is_caller(turn)):
        parts.append(text)
    return role, "\n\n".join([*parts, *map(_call_text, calls)])


def _check_parts(content: object) -> None:
    """Raise `TypeError` where Gemini's parts are more than texts."""
    for part in content if isinstance(content, list) else []:
        if isinstance(part, dict) and "text" not in part:
            raise TypeError(f"a part of it is {shown_names(list(part))}")


def _to_role(name: object, key: str, number: int, roles: Mapping[str, str]) -> str:
    """Return the pool's word for the name of a role."""
    if not isinstance(name, str):
        raise BadRowError(f"turn without a role: turn {number} has no text in {shown(key)}")
    role = roles.get(name) or _ROLES.get(name) or _ROLES.get(name.strip().lower())
    if role is None:
        raise BadRowError(f"unknown role: {shown(name)} in turn {number}")
    return role


def is_caller(turn: Mapping[str, object]) -> bool:
    """Say whether a turn's role says that its text is a call of a tool."""
    keys = role_keys(turn)
    name = turn[keys[0]] if keys else None
    return isinstance(name, str) and name.strip().lower() in _CALLERS


def calls_in(turn: Mapping[str, object]) -> list[dict[str, object]]:
    """Return the calls of tools in a turn, each as {name, arguments, id}."""
    found = turn.get("tool_calls")
    if isinstance(found, str) and found[:1] in ("[", "{"):
        try:
            found = from_text(found)
        except BadRowError:
            found = None
    if not filled(found):
        found = turn.get("function_call")
    keys = role_keys(turn)
    content = turn.get(keys[1]) if keys and keys[1] else None
    if not filled(found) and is_caller(turn):
        found = content
        if isinstance(found, str):
            try:
                found = json.loads(found)
            except (ValueError, RecursionError):
                return []
    listed = found if isinstance(found, list) else [found] if isinstance(found, dict) else []
    if isinstance(content, list):
        parts = [part for part in content if isinstance(part, dict)]
        listed = [*listed, *(part for part in parts if part.get("type") == "tool_use")]
    calls = [call_of(each) for each in listed]
    return [call for call in calls if call is not None]


def call_of(value: object) -> dict[str, object] | None:
    """Return one call as {name, arguments, id}, whatever way it is written; else None."""
    if not isinstance(value, dict):
        return None
    inner = value["function"] if isinstance(value.get("function"), dict) else value
    name = inner.get("name")
    if not isinstance(name, str):
        return None
    key = next((k for k in ("arguments", "parameters", "input") if inner.get(k) is not None), "")
    return {"name": name, "arguments": inner[key] if key else {}, "id": value.get("id")}


def _call_text(call: Mapping[str, object]) -> str:
    given = call["arguments"]
    text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False, default=str)
    return f"call {call['name']}({text})"


def medium_of(part: Mapping[str, object]) -> str | None:
    """Return "image", "video", "audio" or "file" for a part that is no text, else None."""
    kind = str(part.get("type") or "").lower()
    for name in ("image", "video", "audio", "file"):
        if name in kind or (not kind and filled(part.get(name))):
            return name
    return "file" if kind == "document" else None


def is_result(part: object) -> bool:
    """Say whether a part is what a tool gave back."""
    return isinstance(part, dict) and part.get("type") == "tool_result"


def content_text(content: object) -> str:
    """Return the content of a turn as a person reads it; media stand as ``<image>`` and so on.

    Raises:
        TypeError: it is no text, no list of parts and no object.
    """
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        raise TypeError(f"it is {kind_of(content)}")
    return "\n".join(text for text in map(_part_text, content) if text is not None)


def _part_text(part: object) -> str | None:  # noqa: PLR0911
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        raise TypeError(f"a part of it is {kind_of(part)}")
    kind = str(part.get("type") or "").lower()
    if kind in HIDDEN:
        return None
    if kind == "tool_result":
        return content_text(part.get("content"))
    text = next((part[key] for key in ("text", "value", "refusal") if filled(part.get(key))), None)
    if kind in {"thinking", "reasoning"}:
        thought = text if text is not None else part.get(kind)
        return f"<think>\n{content_text(thought)}\n</think>\n"
    if (medium := medium_of(part)) is not None:
        return f"<{medium}>"
    if text is not None:
        return content_text(text)
    if "text" in kind:
        return ""
    if kind:
        raise TypeError(f"a part of it has the type {shown(kind)}")
    return json.dumps(part, ensure_ascii=False, default=str)
