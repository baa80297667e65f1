"""The four formats of a row: which one it is, and the conversation that it holds.

    alpaca           instruction, input (or context), output (or response …), system, history
    sharegpt         conversations: a list of {from, value}
    messages         messages: a list of {role, content}
    prompt-response  prompt (or question, query, problem, input) and response (or completion,
                     answer, solution, output), each a text or a list of turns, system

A ``system`` (or ``system_prompt``) field becomes a system turn in every format. In rows of
preferences the ``chosen`` side is the answer. Of several names for one part, the first that holds
something counts.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ds2.pool.transcripts import transcript_turns
from ds2.pool.turns import (
    TURN_KEYS,
    BadRowError,
    Told,
    Turns,
    by_column,
    calls_in,
    content_text,
    filled,
    from_text,
    is_caller,
    is_round,
    is_turn,
    medium_of,
    parse_turns,
    read_side,
    role_keys,
)
from ds2.pool.wording import kind_of, shown, shown_names

__all__ = [
    "FORMATS",
    "INPUT_JOINT",
    "LIST_FIELDS",
    "NAMES",
    "PARTS",
    "Names",
    "Parsed",
    "detect_format",
    "parse_row",
    "untrained",
]

FORMATS = ("alpaca", "sharegpt", "messages", "prompt-response")

#: What stands between an Alpaca row's instruction and its input in the user's turn.
INPUT_JOINT = "\n\n"

LIST_FIELDS = ("messages", "conversations", "conversation", "dialogue", "dialog", "contents")
_ANSWERS = ("response", "completion", "answer", "solution", "output", "chosen")
_PARTS: dict[str, tuple[str, ...]] = {
    "turns": LIST_FIELDS,
    "system": ("system", "system_prompt", "systemInstruction", "system_instruction"),
    "history": ("history",),
    "prompt": ("prompt", "question", "query", "problem", "input"),
    "instruction": ("instruction",),
    "input": ("input", "context"),
    "answer": _ANSWERS,
    "output": ("output", "response", "answer", "completion", "chosen"),
    "text": ("text", "chat"),
    "chosen": ("chosen",),
    "rejected": ("rejected",),
    "label": ("kto_tag", "label"),
    "tools": ("tools", "functions"),
    "images": ("images", "image"),
    "videos": ("videos", "video"),
    "audios": ("audios", "audio"),
}
#: What is asked and what is said, in the words of a format and in those of the other one.
_ASKED_SAID = {
    "alpaca": (("instruction", "prompt"), ("output", "answer")),
    "prompt-response": (("prompt", "instruction"), ("answer", "output")),
}
#: The parts of a conversation that a user may name a column for.
PARTS = ("messages", "prompt", "input", "response", "system", "history", "chosen", "rejected",
         "label", "tools", "images", "videos", "audios")  # fmt: skip
_UNTRAINED = ("weight", "train", "loss", "training", "trainable", "loss_weight", "loss_scale")
_CALLS = re.compile(r"<tool_call>.*?(?:</tool_call>|\Z)", re.DOTALL)
_VISIBLE = re.compile("[^\\s\u200b-\u200f\u2060\ufeff]")


@dataclass(frozen=True, slots=True, eq=False)
class Names:
    """Which fields of a row are which part of its conversation, and what its roles are called.

    Attributes:
        parts: the names that each part may have, in order of preference.
        form: the format that named columns make a row, None where none are named.
        roles: names of roles beside the usual ones, and the pool's word for each.
        usual: the same names, where ``parts`` has only those of them that a row has.
    """

    parts: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _PARTS)
    form: str | None = None
    roles: Mapping[str, str] = field(default_factory=dict)
    usual: Mapping[str, tuple[str, ...]] | None = None

    @staticmethod
    def of(columns: Mapping[str, str], roles: Mapping[str, str]) -> "Names":
        """Return the usual names with those of a user in their place."""
        if not columns and not roles:
            return NAMES
        given = {part: (name,) for part, name in columns.items()}
        parts: dict[str, tuple[str, ...]] = {**_PARTS, **given}
        form = None
        if "messages" in given:
            parts["turns"] = given["messages"]
        elif "prompt" in given or "response" in given:
            form = "alpaca" if {"input", "history"} & set(given) else "prompt-response"
            parts["turns"] = ()
            parts["instruction"] = given.get("prompt", ("instruction",))
            answer = given.get("response") or given.get("chosen") or ()
            parts["answer"] = answer or _PARTS["answer"]
            parts["output"] = answer or _PARTS["output"]
            if "input" not in given and form == "prompt-response":
                parts["input"] = ()
        return Names(parts, form, roles)

    @functools.lru_cache(maxsize=1024)  # noqa: B019
    def within(self, fields: tuple[str, ...]) -> "Names":
        """Return those of the names that a row of some fields has."""
        held = {
            part: tuple(name for name in names if name in fields)
            for part, names in self.parts.items()
        }
        return Names(held, self.form, self.roles, self.parts)

    @staticmethod
    def folded(row: Mapping[str, object]) -> "Names":
        """Return the usual names as the fields of a row write them, in capitals for example."""
        written = {name.strip().lower().replace(" ", "_"): name for name in row}
        return Names({
            part: tuple(written.get(name, name) for name in names)
            for part, names in _PARTS.items()
        })  # fmt: skip


NAMES = Names()


@dataclass(slots=True)
class Parsed:
    """A conversation, and where in its row it stood.

    Attributes:
        turns: (role, text) pairs.
        told: for each turn what the row has of it, None where that is its text alone.
        parts: the field of each part: turns, prompt, input, answer, history, system.
        starts: the number of the first turn that each of these fields holds.
        cut: the number of the turn in which an instruction and its input are joined, and where the
            instruction ends.
        missing: why there is nothing to learn an answer from; empty where there is.
        preferred: whether the answer is the better one of two.
        rendered: whether the turns were one text, in the words of a chat template.
    """

    turns: Turns = field(default_factory=list)
    told: Told = field(default_factory=list)
    parts: dict[str, str] = field(default_factory=dict)
    starts: dict[str, int] = field(default_factory=dict)
    cut: tuple[int, int] | None = None
    missing: str = ""
    preferred: bool = False
    rendered: bool = False


def detect_format(row: Mapping[str, object], names: Names = NAMES) -> str | None:
    """Return the format that a row has the fields of, or None."""
    if names.form is not None:
        return names.form
    listed = _turn_field(row, names)
    first = None if listed is None else _first_turn(row[listed])
    named = len(names.parts["turns"]) == 1  # by the user
    if listed is not None and (named or first is not None):
        return _list_format(first, listed)
    for form, prompt, answer in (
        ("alpaca", "instruction", "output"),
        ("prompt-response", "prompt", "answer"),
    ):
        asked, said = _named(row, names.parts[prompt]), _named(row, names.parts[answer])
        if asked is None or said is None or asked == said:
            continue
        if listed is None or (filled(row[asked]) and filled(row[said])):
            return form
    if listed is not None:
        return _list_format(None, listed)
    return "prompt-response" if _transcript(row, names) is not None else None


def _turn_field(row: Mapping[str, object], names: Names) -> str | None:
    """Return the field that holds a whole conversation as a list."""
    held = None
    for name in names.parts["turns"]:
        value = row.get(name)
        in_text = type(value) is str and value.lstrip()[:1] == "["
        if in_text or isinstance(value, list) or (isinstance(value, dict) and by_column(value)):
            if value:
                return name
            held = held or name
    for name in names.parts["chosen"]:
        value = row.get(name)
        if isinstance(value, str) and value[:2] == "[{":
            with_turns = _listed(value)
            value = with_turns if with_turns is not None else value
        if isinstance(value, list) and len(value) > 1 and is_turn(value[0]):
            first = parse_turns(value[:1], "messages", name, names.roles)[0]
            if first[0][0] != "assistant":
                return name
    return held


def _listed(text: str) -> object | None:
    try:
        return from_text(text)
    except BadRowError:
        return None


def _first_turn(value: object) -> dict[str, object] | None:
    """Return the first turn of a list of turns or rounds, None where it is none."""
    turns = _listed(value) if isinstance(value, str) else value
    turns = by_column(turns) if isinstance(turns, dict) else turns
    first = turns[0] if isinstance(turns, list) and turns else None
    return first if isinstance(first, dict) and (is_turn(first) or is_round(first)) else None


def _list_format(first: dict[str, object] | None, name: str) -> str:
    keys = None if first is None else role_keys(first)
    if keys is not None:
        return "sharegpt" if keys[0] == "from" else "messages"
    return "messages" if name not in ("conversations", "conversation") else "sharegpt"


def parse_row(row: Mapping[str, object], form: str, names: Names = NAMES) -> Parsed:
    """Return the conversation of a row in the given format, or raise `BadRowError`."""
    names = names.within(tuple(row))
    parsed = _parse_list(row, form, names) if form in TURN_KEYS else _parse_fields(row, form, names)
    for _, content in parsed.turns:
        if content and not content.isspace():
            break
    else:
        raise BadRowError("no text at all")
    parsed.missing = _missing_answer(parsed)
    if not parsed.missing and names.parts["label"] and _refused(row, names):
        parsed.missing = "the answer is labelled as the worse one"
    return parsed


def _parse_list(row: Mapping[str, object], form: str, names: Names) -> Parsed:
    name = _turn_field(row, names) or _named(row, names.parts["turns"])
    if name is None:
        raise _absent(row, names, "turns", "conversations" if form == "sharegpt" else "messages")
    value = row[name]
    system, chosen = _named(row, names.parts["system"]), _named(row, names.parts["chosen"])
    sides = _Sides(row, form, names.roles)
    if system is not None:
        sides.system(system)
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        value = from_text(value, name)
    if isinstance(value, list) and value and type(value[0]) is str:
        sides.read("turns", name, value, "user")
    else:
        sides.take("turns", name, *parse_turns(value, form, name, names.roles))
    found = sides.found
    found.preferred = chosen is not None and (chosen == name or filled(row[chosen]))
    if found.preferred and chosen != name and found.turns[-1][0] != "assistant":
        sides.answer(str(chosen))
    return found


def _parse_fields(row: Mapping[str, object], form: str, names: Names) -> Parsed:
    sides = _Sides(row, form, names.roles)
    alpaca = form == "alpaca"
    system = _named(row, names.parts["system"])
    both = None if alpaca else _transcript(row, names)
    if both is not None:
        name, turns = both
        if system is not None:
            sides.system(system)
        sides.take("turns", name, turns, [None] * len(turns))
        sides.found.preferred = name in names.parts["chosen"]
        sides.found.rendered = not sides.found.preferred
        return sides.found
    asked, said = _ASKED_SAID[form]
    prompt = _filled_name(row, names, asked, names.parts["input"] if alpaca else ())
    answer = _filled_name(row, names, said)
    if prompt is None or answer is None or answer == prompt:
        part = said[0] if prompt else asked[0]
        raise _absent(row, names, part, _PARTS[part][0])
    history = _named(row, names.parts["history"]) if alpaca else None
    if system is not None:
        sides.system(system)
    if history is not None:
        sides.history(history)
    sides.prompt(prompt, _named(row, names.parts["input"]) if alpaca else None)
    sides.answer(answer)
    sides.found.preferred = answer in names.parts["chosen"]
    return sides.found


class _Sides:
    """The sides of a conversation, put together in the order of their turns."""

    def __init__(self, row: Mapping[str, object], form: str, roles: Mapping[str, str]) -> None:
        self.row, self.form, self.roles = row, form, roles
        self.found = Parsed()

    def read(self, part: str, name: str, value: object, role: str) -> None:
        """Read a field that holds a text, a turn or a list."""
        if type(value) is str and value[:1] != "[":
            self.take(part, name, [(role, value)], [None])
        else:
            self.take(part, name, *read_side(value, role, self.form, name, self.roles))

    def take(self, part: str, name: str, turns: Turns, told: Told) -> None:
        """Add the turns of a field."""
        self.found.parts[part] = name
        self.found.starts[name] = len(self.found.turns)
        self.found.turns += turns
        self.found.told += told

    def _text(self, name: str) -> str:
        value = self.row[name]
        if not filled(value):
            return ""
        if type(value) is str:
            return value
        raise BadRowError(f"field is not text: {shown(name)} is {kind_of(value)}")

    def system(self, name: str) -> None:
        """Add the system prompt, unless it is empty; it may be a list of parts that are texts."""
        value = self.row[name]
        value = value.get("parts") if isinstance(value, dict) else value
        try:
            parts = value if isinstance(value, list) else []
            media = any(medium_of(part) for part in parts if isinstance(part, dict))
            text = content_text(parts) if parts and not media else self._text(name)
        except TypeError:
            raise BadRowError(f"field is not text: {shown(name)} is {kind_of(value)}") from None
        self.take("system", name, [("system", text)] if text else [], [None] if text else [])

    def history(self, name: str) -> None:
        """Add the earlier rounds of an Alpaca row: a list of [instruction, output] pairs."""
        value = self.row[name]
        if type(value) is str and value.lstrip()[:1] == "[":
            value = from_text(value, name)
        if isinstance(value, list) and value and all(map(is_turn, value)):
            self.read("history", name, value, "user")
            return
        pairs: list[Any] = value if isinstance(value, list) else [value] if filled(value) else []
        if not all(
            isinstance(pair, list) and len(pair) == 2 and all(type(p) is str for p in pair)
            for pair in pairs
        ):
            raise BadRowError(f"not a list of pairs of text: {shown(name)}")
        turns = [turn for asked, said in pairs for turn in (("user", asked), ("assistant", said))]
        self.take("history", name, turns, [None] * len(turns))

    def prompt(self, name: str, given: str | None) -> None:
        """Add what is asked, and behind it the input of an Alpaca row."""
        value = self.row[name] if filled(self.row[name]) else ""
        text = "" if given is None else self._text(given)
        if text and type(value) is str:
            if value:
                self.found.cut = len(self.found.turns), len(value)
                text = value + INPUT_JOINT + text
            self.take("prompt", name, [("user", text)], [None])
        else:
            self._side("prompt", name, value, "user")
        if given is not None:
            self.found.parts["input"] = given
            self.found.starts[given] = self.found.starts[name]

    def answer(self, name: str) -> None:
        """Add the answer; one that is null is empty."""
        self._side("answer", name, self.row[name] if filled(self.row[name]) else "", "assistant")

    def _side(self, part: str, name: str, value: object, role: str) -> None:
        if not isinstance(value, (str, list)) and not (
            isinstance(value, dict) and {"content", "value", "text"} & set(value)
        ):
            raise BadRowError(f"field is not text: {shown(name)} is {kind_of(value)}")
        self.read(part, name, value, role)


def _transcript(row: Mapping[str, object], names: Names) -> tuple[str, Turns] | None:
    """Return the turns of a text that is a whole conversation, and its field.

    It is the better side of a preference, or all that a row has.
    """
    chosen, text = _named(row, names.parts["chosen"]), _named(row, names.parts["text"])
    name = chosen if chosen and _named(row, names.parts["rejected"]) else text
    value = row[name] if name else None
    if type(value) is not str or _named(row, (*_PARTS["prompt"], "instruction")):
        return None
    turns = transcript_turns(value)
    return (str(name), turns) if turns else None


def _missing_answer(parsed: Parsed) -> str:  # noqa: PLR0911
    """Say why there is no answer to learn; an empty text where there is one."""
    role, text = parsed.turns[-1]
    if role != "assistant":
        any_answer = any(role == "assistant" for role, _ in parsed.turns)
        return f"the conversation ends with the {role}" if any_answer else "no assistant turn"
    if _VISIBLE.search(text) is None:
        return "the answer is empty"
    if text.startswith(("<think>", "<tool_call>")):
        thought, _, said = text.rpartition("</think>")
        if thought and _VISIBLE.search(said) is None:
            return "the answer is only reasoning"
        if "<tool_call>" in said and _VISIBLE.search(_CALLS.sub("", said)) is None:
            return "the answer is only a call of a tool"
    if parsed.told[-1] is None:
        return ""
    if _only_calls(parsed.told[-1]):
        return "the answer is only a call of a tool"
    both = zip(parsed.turns, parsed.told, strict=True)
    answers = [turn for (who, _), turn in both if who == "assistant"]
    unlearned = all(turn is not None and untrained(turn) for turn in answers)
    return "no answer is to be trained on" if unlearned else ""


def _only_calls(turn: Mapping[str, object] | None) -> bool:
    if turn is None or not calls_in(turn):
        return False
    keys = role_keys(turn)
    content = turn.get(keys[1]) if keys and keys[1] else None
    beside = content if isinstance(content, str) and not is_caller(turn) else ""
    return _VISIBLE.search(beside) is None


def untrained(turn: Mapping[str, object]) -> bool:
    """Say whether a turn is marked as one that is not to be learned (weight 0, train false)."""
    return any(
        key in turn and turn[key] is not None and turn[key] in (0, False, "0", "false", "False")
        for key in _UNTRAINED
    )


def _is_worse(label: object) -> bool:
    """Say whether a judgement is that of a bad answer; 0 is not, which other labels are too."""
    return label is False or (isinstance(label, str) and label.lower() == "false")


def _refused(row: Mapping[str, object], names: Names) -> bool:
    """Say whether a row of single judgements (KTO) calls its answer a bad one."""
    usual = (names.usual or names.parts)["label"]
    if usual is _PARTS["label"] and "kto_tag" not in row:
        return _is_worse(row.get("label")) and "completion" in row
    label = _named(row, names.parts["label"])
    return label is not None and _is_worse(row[label])


def _named(row: Mapping[str, object], names: tuple[str, ...]) -> str | None:
    """Return the first of the names whose field holds something, else the first that is there."""
    if not names:
        return None
    there = None
    for name in names:
        if name in row:
            value = row[name]
            if value is not None and value != "" and value == value:  # noqa: PLR0124
                return name
            there = there or name
    return there


def _filled_name(
    row: Mapping[str, object], names: Names, parts: tuple[str, str], taken: tuple[str, ...] = ()
) -> str | None:
    """Return the field of a part; where that is empty, one of the other format that is filled."""
    usual = names.parts[parts[0]]
    found = _named(row, usual)
    if found is not None and filled(row[found]):
        return found
    return _named(row, (*usual, *(name for name in names.parts[parts[1]] if name not in taken)))


def _absent(row: Mapping[str, object], names: Names, part: str, name: str) -> BadRowError:
    """Return the error of a row without a field; ``name`` is what it is called by default."""
    usual = (names.usual or names.parts)[part]
    name = name if usual is _PARTS[part] else next(iter(usual), name)
    return BadRowError(f"field missing: {shown(name)} (the row has {shown_names(list(row))})")
