"""How a row was laid out, so that the same row can be written again.

The pool keeps a row's conversation as messages and its other fields as one JSON object. Its layout
is the row without either: every field in order, as one JSON object in which

    null               stands for a field that is no part of the conversation,
    "text", "number"   for an id or a source and for the kind that it was of,
    "null", "empty"    for one that held nothing, and
    [value]            for a part of the conversation, as it was, with ``{"": "2"}`` in the place of
                       the text of turn 2 (``"2<"`` and ``"2>"``: of its two halves, an instruction
                       and its input).

Few layouts occur in a pool, so the table holds them as a dictionary-encoded column.
"""

import functools
import json
from collections.abc import Mapping
from typing import Any

from ds2.pool.formats import INPUT_JOINT, Parsed

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


#: Layouts of rows whose turns are texts alone, by what decides them; most rows of a pool share one.
_known: dict[tuple[object, ...], str] = {}
_MOST = 1024


def dump_layout(row: Mapping[str, object], parsed: Parsed, labels: Mapping[str, str]) -> str:
    """Return the layout of a row; ``labels`` are its id and its source, by what they were."""
    places = {text: str(number) for number, (_, text) in enumerate(parsed.turns) if text}
    if parsed.cut is not None:
        turn, at = parsed.cut
        text = parsed.turns[turn][1]
        places |= {text[:at]: f"{turn}<", text[at + len(INPUT_JOINT) :]: f"{turn}>"}
    shape = _shape(row, parsed, places)
    decisive = shape and (*row, *labels.items(), *shape)
    if decisive and decisive in _known:
        return _known[decisive]
    held = set(parsed.parts.values())
    dumped = _DUMP(
        {
            name: [_without(value, places)] if name in held else labels.get(name)
            for name, value in row.items()
        }
    )
    if decisive:
        if len(_known) >= _MOST:
            _known.clear()
        _known[decisive] = dumped
    return dumped


def _shape(
    row: Mapping[str, object], parsed: Parsed, places: Mapping[str, str]
) -> tuple[object, ...] | None:
    """Return all that the layout holds of a conversation of texts alone; None for any other."""
    if any(parsed.told):
        return None
    shape: list[object] = []
    for name in parsed.parts.values():
        value = row[name]
        shape.append(name)
        if type(value) is list and value and type(value[0]) is dict:
            for turn in value:  # a role and a text
                for key, text in turn.items():
                    if type(text) is not str:
                        return None
                    shape += (key, places.get(text, text))
        elif type(value) is str and (value in places or not value):
            shape.append(places.get(value, value))
        else:
            return None
    return tuple(shape)


def _without(value: object, places: Mapping[str, str]) -> object:
    if isinstance(value, str):
        return {_TEXT: places[value]} if value in places else value
    if isinstance(value, dict):
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
    if len(value) != 1 or not isinstance(place, str):
        return {key: _with(each, texts, cut) for key, each in value.items()}
    text = texts[int(place.rstrip("<>"))]
    if place[-1] in "<>":
        return text[:cut] if place[-1] == "<" else text[cut + len(INPUT_JOINT) :]
    return text
