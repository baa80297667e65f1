"""How a row was laid out, so that the same row can be written again.

The pool keeps a row's conversation as messages and its other fields as one JSON object. Its layout
is the row without either: every field in order, as one JSON object in which

    null               stands for a field that is no part of the conversation,
    "text", "number"   for an id or a source and for the kind that it was of,
    "null", "empty"    for one that held nothing, and
    [value]            for a part of the conversation, as it was, with ``{"": "2"}`` in the place of
                       the text of turn 2 (``"2<"`` and ``"2>"``: of its two halves, an instruction
                       and its input), and ``{"": ["Q: ", "1", " A: ", "2", ""]}`` in the place of a
                       text that holds turns 1 and 2 between other words.

Few layouts occur in a pool, so the table holds them as a dictionary-encoded column.
"""

import functools
import json
from collections.abc import Mapping
from typing import Any

from ds2.pool.formats import INPUT_JOINT, Parsed
from ds2.pool.turns import ROLE_KEYS, Turns

__all__ = [
    "conversation_fields",
    "dump_layout",
    "label",
    "load_layout",
    "original_row",
    "row_of_layout",
]

_DUMP = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, separators=(",", ":"), default=str
).encode
_TEXT = ""


def dump_layout(row: Mapping[str, object], parsed: Parsed, labels: Mapping[str, str]) -> str:
    """Return the layout of a row; ``labels`` are its id and its source, by what they were."""
    starts, cells = parsed.starts, []
    for name, value in row.items():
        if name not in starts:
            cells.append(_beside(name, labels.get(name)))
        else:
            cells.append(f"{_named(name)}[{_part(name, value, parsed, starts[name])}]")
    return f"{{{','.join(cells)}}}"


def _part(name: str, value: object, parsed: Parsed, start: int) -> str:
    """Write a part of the conversation; its texts, where it has any, are the turns from ``start``.

    Most parts are a text, or a list of texts or of roles and texts: few pieces, each made once.
    """
    turns, n = parsed.turns, len(parsed.turns)
    if type(value) is str:
        if parsed.cut is not None and name in (parsed.parts["prompt"], parsed.parts["input"]):
            return _place(f"{start}{'<' if name == parsed.parts['prompt'] else '>'}")
        if name == parsed.parts.get("turns"):
            return _DUMP({_TEXT: _woven(value, turns[start:], start)})
    listed = value if type(value) is list else [value]
    pieces = []
    for number, each in enumerate(listed, start):
        piece = _piece(each, turns[number][1] if number < n else None, number)
        if piece is None:
            places = {text: str(number) for number, (_, text) in enumerate(turns) if text}
            return _DUMP(_without(value, places))
        pieces.append(piece)
    return pieces[0] if listed is not value else f"[{','.join(pieces)}]"


def _piece(value: object, text: str | None, number: int) -> str | None:
    """Write a text, or a role and a text, where the text is turn ``number``; else None."""
    if type(value) is str:
        return '""' if not value else _place(str(number)) if value is text else None
    if type(value) is dict and len(value) == 2:
        (first, one), (second, other) = value.items()
        if other is text and first in ROLE_KEYS:
            return _turn(number, first, one, second, None)
        if one is text and second in ROLE_KEYS:
            return _turn(number, first, None, second, other)
    return None


def _woven(value: str, turns: Turns, start: int) -> list[str]:
    """Return what stands around the texts of turns in one text, and the numbers of these."""
    pieces, at = [], 0
    for number, (_, text) in enumerate(turns, start):
        found = value.find(text, at) if text else -1
        if found >= 0:
            pieces += [value[at:found], str(number)]
            at = found + len(text)
    return [*pieces, value[at:]]


@functools.lru_cache(maxsize=4096)
def _turn(number: int, first: str, one: str | None, second: str, other: str | None) -> str:
    place = {_TEXT: str(number)}
    return _DUMP({first: place if one is None else one, second: place if other is None else other})


@functools.lru_cache(maxsize=4096)
def _place(number: str) -> str:
    return _DUMP({_TEXT: number})


@functools.lru_cache(maxsize=4096)
def _beside(name: str, label: str | None) -> str:
    return _DUMP({name: label})[1:-1]


@functools.lru_cache(maxsize=4096)
def _named(name: str) -> str:
    return _DUMP({name: ""})[1:-3]


def _without(value: object, places: Mapping[str, str]) -> object:
    if isinstance(value, str):
        return {_TEXT: places[value]} if value in places else value
    if isinstance(value, dict):
        if list(value) == [_TEXT]:  # looks like a place, and is data
            return {_TEXT: [value]}
        return {
            key: {_TEXT: places[each]} if type(each) is str and each in places
            else each if type(each) is str else _without(each, places)
            for key, each in value.items()
        }  # fmt: skip
    return [_without(each, places) for each in value] if isinstance(value, list) else value


@functools.lru_cache(maxsize=1024)
def load_layout(text: str) -> dict[str, Any]:
    """Read back what `dump_layout` wrote."""
    return dict(json.loads(text))


def conversation_fields(layout: Mapping[str, object]) -> list[str]:
    """Return the fields of a row that hold its conversation."""
    return [name for name, cell in layout.items() if isinstance(cell, list)]


def row_of_layout(layout: str, id_field: str) -> dict[str, object]:
    """Return a row of a layout: some text for each text, null for what is not the conversation."""
    some = {"content": f"x{INPUT_JOINT}x"}
    line = {"messages": [some] * len(layout), "layout": layout, "cut": 1, "id": None}
    return original_row({**line, "source": None}, dict.fromkeys(load_layout(layout)), id_field)


def label(kind: object, text: str | None) -> object:
    """Return an id or a source as it was in the row, None where the row had none."""
    if kind == "number" and text is not None:
        return int(text)
    return {"text": text, "empty": ""}.get(str(kind))


def original_row(
    line: Mapping[str, Any], extra: Mapping[str, object], id_field: str
) -> dict[str, object]:
    """Return a row as it was read, from a line of the pool's table and its other fields."""
    texts = [turn["content"] for turn in line["messages"]]
    row: dict[str, object] = {}
    for name, cell in load_layout(line["layout"]).items():
        if isinstance(cell, list):
            row[name] = _with(cell[0], texts, line["cut"])
        elif cell is None:
            row[name] = extra[name]
        else:
            row[name] = label(cell, line["id" if name == id_field else "source"])
    return row


def _with(value: Any, texts: list[str], cut: int) -> object:
    if isinstance(value, list):
        return [_with(each, texts, cut) for each in value]
    if not isinstance(value, dict):
        return value
    place = value.get(_TEXT)
    if len(value) == 1 and isinstance(place, list):
        return (
            place[0]
            if isinstance(place[0], dict)
            else "".join(texts[int(piece)] if at % 2 else piece for at, piece in enumerate(place))
        )
    if len(value) != 1 or not isinstance(place, str):
        return {key: _with(each, texts, cut) for key, each in value.items()}
    text = texts[int(place.rstrip("<>"))]
    if place[-1] in "<>":
        return text[:cut] if place[-1] == "<" else text[cut + len(INPUT_JOINT) :]
    return text
