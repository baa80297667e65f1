"""What a training tool needs of an example beside roles and texts, in one form: OpenAI's.

    turns      {role, content, tool_calls, tool_call_id, name, reasoning_content, weight …}
    tools      the descriptions of the tools, as the row has them
    media      images, videos, audios: paths or addresses, in the order of their placeholders
    rejected   the turns of the answer that lost

``content`` is a text, or a list of parts where the row has one. Every way in which rows are laid
out is read into this form and every layout is written from it, so that what a layout cannot hold
can be counted (`losses`) before anything is written.
"""

import functools
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ds2.pool.formats import NAMES, Names, detect_format, parse_row, untrained
from ds2.pool.layout import original_row, row_of_layout
from ds2.pool.pool import Pool, lines_of
from ds2.pool.transcripts import transcript_turns
from ds2.pool.turns import (
    HIDDEN,
    MEDIA,
    REASONING,
    BadRowError,
    Told,
    Turns,
    calls_in,
    content_text,
    filled,
    from_text,
    is_caller,
    is_result,
    medium_of,
    read_side,
    role_keys,
)

if TYPE_CHECKING:
    import pyarrow

__all__ = [
    "Conversation",
    "Opened",
    "conversations",
    "kinds_of",
    "marks_training",
    "parts_of",
    "tools_list",
]

_BATCH = 1024
#: What of a turn is handed over under its own name.
_KEPT = ("name", "tool_call_id", *REASONING, "weight", "train", "loss", "training", "trainable",
         "loss_weight", "loss_scale", "train_detail")  # fmt: skip
#: The parts of a row that are not its turns.
_BESIDE = ("tools", *MEDIA.values(), "rejected", "label")
_PLACEHOLDER = re.compile("<(image|video|audio)>")


@dataclass(slots=True)
class Conversation:
    """One example as a training tool may need it.

    Attributes:
        id: its id.
        source: where it comes from, None where its row does not say.
        turns: as above.
        tools: as the row has them, None where it has none.
        media: those of the turns, by the plural of their kind.
        marked: kinds of media whose placeholder stands in a text without any media in the row.
        rejected: the turns of the rejected side, None where there is none.
        answer_at: where the answer begins that the rejected side is the other one of.
        label: whether the row calls its answer a good one, None where it does not say.
        lost: what no layout can hold, in words.
    """

    id: str
    source: str | None
    turns: list[dict[str, Any]]
    tools: object = None
    media: dict[str, list[object]] = field(default_factory=dict)
    marked: frozenset[str] = frozenset()
    rejected: list[dict[str, Any]] | None = None
    answer_at: int = -1
    label: bool | None = None
    lost: frozenset[str] = frozenset()


def conversations(pool: Pool) -> Iterator[Conversation]:
    """Yield every example of a pool with all that a training tool may need of it."""
    opened = Opened(pool)
    for batch in pool.table.select(Opened.columns).to_batches(max_chunksize=_BATCH):
        yield from map(opened, lines_of(batch))


def kinds_of(pool: Pool) -> Iterator[tuple[Conversation, int]]:
    """Yield examples of a pool, and how many have the same as each but for their texts.

    Those that are roles and texts alone and are laid out alike count as the first of them, unless
    a text names a medium.
    """
    import pyarrow as pa

    opened = Opened(pool)
    for batch in pool.table.select(Opened.columns).to_batches(max_chunksize=_BATCH):
        layouts = batch.column("layout").dictionary_decode().to_pylist()
        plain = {layout for layout in set(layouts) if opened.is_plain(layout)}
        marked = _naming_media(batch.column("messages"))
        firsts: dict[str, int] = {}
        times: Counter[int] = Counter()
        for row, layout in enumerate(layouts):
            alone = layout not in plain or row in marked
            times[row if alone else firsts.setdefault(layout, row)] += 1
        lines = lines_of(batch.take(pa.array(times, pa.int64())))
        yield from zip(map(opened, lines), times.values(), strict=True)


def _naming_media(messages: "pyarrow.ListArray") -> set[int]:
    """Return the rows in which a text has the placeholder of a medium."""
    import pyarrow.compute as pc

    texts = messages.flatten().field("content")
    found = np.flatnonzero(pc.match_substring_regex(texts, _PLACEHOLDER.pattern))
    ends = messages.offsets.to_numpy() - messages.offsets[0].as_py()
    return set((np.searchsorted(ends, found, side="right") - 1).tolist())


class Opened:
    """What each example of a pool is, called with a line of the pool's table.

    Where the layout of a row says that its turns are roles and texts alone and that it has nothing
    beside them, the table's messages are all there is; any other row is read again as it was.
    """

    #: The columns of the table that a line must have.
    columns = ("id", "messages", "source", "extra", "layout", "cut")

    def __init__(self, pool: Pool) -> None:
        self._form, self._id_field = pool.format, pool.id_field
        self._names = Names.of(pool.named, pool.roles)
        self.is_plain = functools.lru_cache(maxsize=1024)(self._plain)

    def __call__(self, line: Mapping[str, Any]) -> Conversation:
        """Return one example."""
        found = Conversation(line["id"], line["source"], [])
        if self.is_plain(line["layout"]):
            found.turns = line["messages"]
            for turn in found.turns:
                if "<" in turn["content"]:
                    found.marked |= set(_PLACEHOLDER.findall(turn["content"]))
        else:
            self._read(line, found)
        return found

    def _plain(self, layout: str) -> bool:
        row = row_of_layout(layout, self._id_field)
        names = self._names_of(row)
        for each in (names, Names.folded(row)):
            if any(name in row for part in _BESIDE for name in each.parts[part]):
                return False
        try:
            return not any(parse_row(row, self._form, names).told)
        except BadRowError:
            return False

    def _names_of(self, row: Mapping[str, object]) -> Names:
        """Return the names of fields by which a row was read."""
        folded = self._names is NAMES and detect_format(row) is None
        return Names.folded(row) if folded else self._names

    def _read(self, line: Mapping[str, Any], found: Conversation) -> None:
        row = original_row(line, json.loads(line["extra"]), self._id_field)
        names = self._names_of(row)
        parsed = parse_row(row, self._form, names)
        embedded: dict[str, list[object]] = {}
        for (role, text), turn in zip(parsed.turns, parsed.told, strict=True):
            given = turn.get("tool_calls") if turn else None
            if turn and isinstance(given, list) and len(calls_in(turn)) < len(given):
                found.lost |= {"calls of tools that cannot be read"}
            found.turns += _open_turns(role, text, turn, embedded)
        found.tools = _first(row, names.parts["tools"])
        for kind, plural in MEDIA.items():
            _place(found, kind, _listed(_first(row, names.parts[plural])) or embedded.get(kind, []))
        if embedded.get("file"):
            found.lost |= {"files"}
        if embedded.get("redacted_thinking"):
            found.lost |= {"reasoning that is encrypted"}
        _set_rejected(row, names, parsed.parts, found)
        judged = str(_first(row, names.parts["label"])).lower()
        found.label = {"true": True, "1": True, "false": False, "0": False}.get(judged)


def _place(found: Conversation, kind: str, listed: list[object]) -> None:
    """Note the media of one kind, and that their number is that of their placeholders."""
    contents = [turn["content"] for turn in found.turns]
    if any(each is None for each in listed):
        found.lost |= {f"{MEDIA[kind]} whose data was left out when the pool was read"}
        return
    placed = sum(_count(content, kind) for content in contents)
    if not listed:
        if any(isinstance(c, list) and any(p["type"] == kind for p in c) for c in contents):
            found.lost |= {f"{MEDIA[kind]} that the row does not hold"}
        elif placed:
            found.marked |= {kind}
    elif not placed:
        first = next((turn for turn in found.turns if turn["role"] == "user"), found.turns[0])
        first["content"] = [{"type": kind}] * len(listed) + parts_of(first["content"], ())
        found.media[MEDIA[kind]] = listed
    elif placed == len(listed):
        found.media[MEDIA[kind]] = listed
    else:
        found.lost |= {f"{MEDIA[kind]} in another number than their places"}


def _first(row: Mapping[str, object], names: Sequence[str]) -> object:
    found = next((row[name] for name in names if filled(row.get(name))), None)
    return None if found in ("[]", "null", "{}") else found


def _listed(value: object) -> list[object]:
    if isinstance(value, str) and value[:1] == "[":
        try:
            value = from_text(value)
        except BadRowError:
            return [value]
    listed = value if isinstance(value, list) else [] if value is None else [value]
    return [_path_of(each) if isinstance(each, dict) else each for each in listed]


def _path_of(medium: Mapping[str, Any]) -> object:
    """Return the path of a medium of the datasets library, None where its data was left out."""
    return medium if medium.get("bytes") is not None else medium.get("path", medium.get("url"))


def _count(content: object, kind: str) -> int:
    """Return how often a medium is placed in a content."""
    if isinstance(content, str):
        return content.count(f"<{kind}>")
    parts = content if isinstance(content, list) else []
    return sum(
        part.get("type") == kind if part.get("type") != "text" else _count(part["text"], kind)
        for part in parts
    )


def _open_turns(
    role: str, text: str, turn: Mapping[str, Any] | None, embedded: dict[str, list[object]]
) -> list[dict[str, Any]]:
    """Return a turn as OpenAI writes it; several results of tools in one are several turns."""
    if turn is None:
        return [{"role": role, "content": text}]
    keys = role_keys(turn) or ("role", "")
    name = turn.get(keys[0])
    content = turn.get(keys[1]) if keys[1] else None
    if isinstance(content, dict) and "type" in content:
        content = [content]
    if isinstance(content, list) and role == "tool" and any(is_result(part) for part in content):
        results = [part for part in content if isinstance(part, dict)]
        return [_open_result(part, embedded) for part in results]
    out: dict[str, Any] = {"role": "developer" if name == "developer" else role}
    calls = calls_in(turn)
    called = bool(calls) and is_caller(turn)
    out["content"] = "" if called else _open_content(content, out, embedded)
    if calls:
        given = turn.get("tool_calls")
        out["tool_calls"] = given if isinstance(given, list) and given else [
            {**({"id": call["id"]} if call["id"] else {}), "type": "function",
             "function": {"name": call["name"], "arguments": call["arguments"]}}
            for call in calls
        ]  # fmt: skip
    out.update({key: turn[key] for key in _KEPT if turn.get(key) is not None})
    return [out]


def _open_result(part: Mapping[str, Any], embedded: dict[str, list[object]]) -> dict[str, Any]:
    out: dict[str, Any] = {"role": "tool"}
    out["content"] = _open_content(part.get("content", part.get("text")), out, embedded)
    if part.get("tool_use_id"):
        out["tool_call_id"] = part["tool_use_id"]
    return out


def _open_content(
    content: object, out: dict[str, Any], embedded: dict[str, list[object]]
) -> str | list[dict[str, Any]]:
    """Return a text, or parts that are texts or placeholders; the media go into ``embedded``."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        return content_text(content)
    parts: list[dict[str, Any]] = []
    for part in content:
        if isinstance(part, str):
            parts.append({"type": "text", "text": part})
            continue
        kind = str(part.get("type") or "").lower()
        medium = medium_of(part)
        if kind in HIDDEN:
            if kind != "tool_use":
                embedded.setdefault(kind, []).append(part)
            continue
        if kind in {"thinking", "reasoning"}:
            thought = content_text(part.get(kind) or part.get("text"))
            before = out.get("reasoning_content")
            out["reasoning_content"] = f"{before}\n\n{thought}" if before else thought
        elif medium is None:
            parts.append({"type": "text", "text": content_text([part])})
        else:
            held = _payload(part, medium)
            if held is not None:
                embedded.setdefault(medium, []).append(held)
            parts.append({"type": medium})
    if all(part["type"] == "text" for part in parts) and len(parts) < 2:
        return parts[0]["text"] if parts else ""
    return parts


def _payload(part: Mapping[str, Any], medium: str) -> object:
    """Return the path, the address or the data of a part, None where it is a placeholder."""
    keys = (medium, f"{medium}_url", f"input_{medium}", "path", "url", "source", "data", "base64")
    held = next((part[key] for key in keys if filled(part.get(key))), None)
    if isinstance(held, Mapping):
        if filled(data := held.get("data")):
            kind = held.get("media_type") or f"{medium}/{held.get('format') or '*'}"
            return f"data:{kind};base64,{data}"
        inner = ("url", "path", "file_data", "bytes")
        return next((held[key] for key in inner if filled(held.get(key))), dict(held))
    return held


def parts_of(content: object, kinds: Collection[str]) -> list[dict[str, Any]]:
    """Return a content as parts; ``<image>`` becomes one of its own where it is of the kinds."""
    if isinstance(content, list):
        split = (parts_of(p["text"], kinds) if p["type"] == "text" else [p] for p in content)
        return [piece for pieces in split for piece in pieces]
    pieces = re.split(f"<({'|'.join(kinds)})>", str(content)) if kinds else [str(content)]
    parts: list[dict[str, Any]] = []
    for at, piece in enumerate(pieces):
        if at % 2:
            parts.append({"type": piece})
        elif piece or len(pieces) == 1:
            parts.append({"type": "text", "text": piece})
    return parts


def tools_list(tools: object) -> list[dict[str, Any]] | None:
    """Return descriptions of tools as {type: function, function}, None where they are none."""
    if isinstance(tools, str):
        try:
            tools = from_text(tools)
        except BadRowError:
            return None
    listed: list[Any] = tools if isinstance(tools, list) else [tools]
    if not all(isinstance(tool, dict) for tool in listed):
        return None
    return [_tool(tool) for tool in listed]


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A description of a tool as OpenAI's chat endpoint has it."""
    if isinstance(tool.get("function"), dict) or not isinstance(tool.get("name"), str):
        return dict(tool)
    names = {"input_schema": "parameters"}  # Anthropic's word
    inner = {names.get(k, k): v for k, v in tool.items() if (k, v) != ("type", "function")}
    return {"type": "function", "function": inner}


def _set_rejected(
    row: Mapping[str, object], names: Names, parts: Mapping[str, str], found: Conversation
) -> None:
    value = _first(row, names.parts["rejected"])
    if value is None:
        return
    try:
        whole = transcript_turns(str(value)) if "answer" not in parts else []
        turns = _said(whole, [None] * len(whole)) if whole else _side_turns(value, names)
        answer = _side_turns(row[parts["answer"]], names) if "answer" in parts else found.turns[-1:]
    except BadRowError:
        found.lost |= {"rejected answers that cannot be read"}
        return
    same = 0
    while same < min(len(turns), len(found.turns)) - 1 and all(
        turns[same][key] == found.turns[same][key] for key in ("role", "content")
    ):
        same += 1
    found.answer_at = same or len(found.turns) - len(answer)
    found.rejected = turns[same:]


def _side_turns(value: object, names: Names) -> list[dict[str, Any]]:
    return _said(*read_side(value, "assistant", "messages", "rejected", names.roles))


def _said(turns: Turns, told: Told) -> list[dict[str, Any]]:
    return [
        out
        for (role, text), turn in zip(turns, told, strict=True)
        for out in _open_turns(role, text, turn, {})
    ]


def marks_training(turn: Mapping[str, Any]) -> bool:
    """Say whether an answer is marked as one that is learned in part or not at all."""
    if turn["role"] != "assistant" or len(turn) == 2:  # a role and a content
        return False
    if untrained(turn) or "train_detail" in turn:
        return True
    given = [turn[key] for key in _KEPT if key in turn and key not in ("name", *REASONING)]
    return any(isinstance(value, float) and value not in (0.0, 1.0) for value in given)
