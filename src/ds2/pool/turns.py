"""Roles, and the lists of turns that ShareGPT and ``messages`` rows hold."""

import json
from collections.abc import Sequence
from typing import TypeAlias

from ds2.pool.wording import kind_of, shown

__all__ = ["TURN_KEYS", "BadRowError", "Turns", "join_turns", "parse_turns"]

#: (role, content) pairs, first to last.
Turns: TypeAlias = list[tuple[str, str]]

#: The keys of one turn: who speaks, and what.
TURN_KEYS = {"messages": ("role", "content"), "sharegpt": ("from", "value")}

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
    "function_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "function_response": "tool",
    "tool_response": "tool",
    "ipython": "tool",
}

#: How each format writes the pool's roles.
_WRITTEN = {
    "messages": {role: role for role in ("system", "user", "assistant", "tool")},
    "sharegpt": {"system": "system", "user": "human", "assistant": "gpt", "tool": "tool"},
}


class BadRowError(Exception):
    """A row cannot become an example; the message is ``kind`` or ``kind: what was found``."""


def parse_turns(value: object, form: str, field: str) -> tuple[Turns, str | None]:
    """Read a list of turns.

    Returns:
        The turns, and None when `join_turns` alone would write the same list back; otherwise
        the list as JSON with the contents left out (other keys, other names of roles).
    """
    if not isinstance(value, list):
        raise BadRowError(f"turns are no list: {shown(field)} is {kind_of(value)}")
    role_key, content_key = TURN_KEYS[form]
    written = _WRITTEN[form]
    turns: Turns = []
    plain = True
    for number, turn in enumerate(value, start=1):
        if not isinstance(turn, dict):
            raise BadRowError(f"turn is no object: turn {number} is {kind_of(turn)}")
        name, content = turn.get(role_key), turn.get(content_key)
        role = _role(name, role_key, number)
        if type(content) is not str:
            raise BadRowError(_no_text(turn, content_key, number))
        turns.append((role, content))
        if len(turn) != 2 or written[role] != name or next(iter(turn)) != role_key:
            plain = False
    if not turns:
        raise BadRowError(f"no turns: {shown(field)} is an empty list")
    if plain:
        return turns, None
    bare = [{key: None if key == content_key else turn[key] for key in turn} for turn in value]
    return turns, json.dumps(bare, ensure_ascii=False, separators=(",", ":"), default=str)


def join_turns(
    turns: Turns, form: str, bare: Sequence[dict[str, object]] | None = None
) -> list[dict[str, object]]:
    """Write turns in the form of ``messages`` or ``sharegpt``, into ``bare`` turns if given."""
    role_key, content_key = TURN_KEYS[form]
    if bare is None:
        written = _WRITTEN[form]
        return [{role_key: written[role], content_key: content} for role, content in turns]
    return [{**turn, content_key: text} for turn, (_, text) in zip(bare, turns, strict=True)]


def _role(name: object, key: str, number: int) -> str:
    if not isinstance(name, str):
        raise BadRowError(f"turn without a role: turn {number} has no text in {shown(key)}")
    role = _ROLES.get(name) or _ROLES.get(name.strip().lower())
    if role is None:
        raise BadRowError(f"unknown role: {shown(name)} in turn {number}")
    return role


def _no_text(turn: dict[str, object], key: str, number: int) -> str:
    if key not in turn:
        return f"content is not text: turn {number} has no {shown(key)}"
    tools = " (a call of a tool has no text to rate)" if "tool_calls" in turn else ""
    return f"content is not text: it is {kind_of(turn[key])} in turn {number}{tools}"
