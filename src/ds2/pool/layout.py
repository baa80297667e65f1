"""How a row was laid out, so that the same row can be written again.

The pool keeps a row's conversation as messages and its other fields as one JSON object. What
these two lose is the layout: the order of the fields, which of them held the conversation, which
were empty; and ``raw``, the fields of a conversation that is more than texts. Few layouts occur in
a pool, so the table holds them as a dictionary-encoded column of JSON.
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass

from ds2.pool.formats import INPUT_JOINT, Pair, Parsed
from ds2.pool.turns import Turns, join_turns, put_back

__all__ = ["Layout", "dump_layout", "load_layout", "original_fields"]


@dataclass(frozen=True, slots=True)
class Layout:
    """How a row was laid out.

    Attributes:
        keys: its fields, in order.
        parts: which field held which part of the conversation.
        blank: the fields of the conversation, the id and the source that were empty or null.
        numbers: the id and the source where they were whole numbers.
    """

    keys: tuple[str, ...]
    parts: Mapping[str, str]
    blank: Mapping[str, object]
    numbers: tuple[str, ...]

    def label(self, field: str, text: str | None) -> object:
        """Return an id or a source as it was in the row, None where the row had none."""
        if field in self.numbers and text is not None:
            return int(text)
        return self.blank.get(field, text) if field in self.keys else None


def dump_layout(
    row: Mapping[str, object], parsed: Parsed, empty: tuple[Pair, ...], numbers: tuple[str, ...]
) -> str:
    """Return the layout of a row as JSON; ``empty`` are labels that were empty or null."""
    return _dumped(tuple(row), parsed.parts, parsed.blank + empty, numbers)


@functools.lru_cache(maxsize=1024)
def _dumped(
    keys: tuple[str, ...],
    parts: tuple[Pair, ...],
    blank: tuple[Pair, ...],
    numbers: tuple[str, ...],
) -> str:
    empty = {name: json.loads(value) for name, value in blank}
    return json.dumps(
        {"keys": keys, "parts": dict(parts), "blank": empty, "numbers": numbers},
        ensure_ascii=False,
        separators=(",", ":"),
    )


@functools.lru_cache(maxsize=1024)
def load_layout(text: str) -> Layout:
    """Read back what `dump_layout` wrote."""
    value = json.loads(text)
    return Layout(tuple(value["keys"]), value["parts"], value["blank"], tuple(value["numbers"]))


def original_fields(
    turns: Turns, layout: Layout, form: str, raw: str | None, cut: int | None
) -> dict[str, object]:
    """Return the fields of the conversation as they were in the row, but for empty ones."""
    if raw is not None:
        return {name: put_back(value, turns) for name, value in json.loads(raw).items()}
    fields: dict[str, object] = {}
    parts = {part: name for part, name in layout.parts.items() if name not in layout.blank}
    left = list(turns)
    if "system" in parts:
        fields[parts["system"]] = left.pop(0)[1]
    if "turns" in parts:
        fields[parts["turns"]] = join_turns(left, form)
        return fields
    if "history" in parts:
        texts = [text for _, text in left[:-2]]
        pairs = zip(texts[::2], texts[1::2], strict=True)
        fields[parts["history"]] = [list(pair) for pair in pairs]
    prompt, answer = left[-2][1], left[-1][1]
    if "input" in parts and cut is not None:
        fields[parts["input"]] = prompt[cut + len(INPUT_JOINT) :] if cut else prompt
        prompt = prompt[:cut]
    fields[parts["prompt"]], fields[parts["answer"]] = prompt, answer
    return fields
