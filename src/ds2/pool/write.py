"""Write a pool: in the format it came in or another one, and as the files of a training tool.

In a tool's file a row is the id, the conversation, the source and the columns that the caller adds;
other fields of the pool stay out, because each tool gives a meaning to some names of fields.
Descriptions of tools, calls, media, reasoning and marks of what is to be learned go along where the
tool reads them (`ds2.pool.layouts`); where it does not, nothing is written unless the loss is
accepted.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import numpy as np

from ds2.atomic import explain_write_errors, sweep, writing
from ds2.checks import check_choice
from ds2.errors import InputError, warn
from ds2.pool.carried import (
    Conversation,
    Opened,
    conversations,
    kinds_of,
    marks_training,
    tools_list,
)
from ds2.pool.files import (
    WRITERS,
    OutRow,
    file_kind,
    parquet_schema,
    plain_values,
    write_parquet,
    writer,
)
from ds2.pool.formats import FORMATS
from ds2.pool.layout import conversation_fields, label, load_layout, original_row
from ds2.pool.layouts import HANDOFFS, LAYOUTS, Kept, arguments_of, beside, shared_turns
from ds2.pool.pool import Pool, lines_of
from ds2.pool.turns import MEDIA, REASONING, call_of, content_text
from ds2.pool.wording import shown, shown_names, shown_path

if TYPE_CHECKING:
    import pyarrow

__all__ = ["Handoff", "hand_off", "remove_parts", "table_of", "write_parts", "write_pool"]

_BATCH = 1024
_NAME = re.compile(r"\w[\w.-]*", re.ASCII)
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


def write_pool(
    pool: Pool,
    path: str | os.PathLike[str],
    *,
    format: str = "messages",
    columns: Mapping[str, Sequence[object] | np.ndarray] | None = None,
) -> None:
    """Write every example of a pool, complete or not at all.

    In the format that the pool was read in, every row is written as it was read. In another one,
    and where columns or roles were named when it was read, a row is the id, the conversation, the
    source and all other fields.

    Args:
        pool: the examples.
        path: a .jsonl, .json, .parquet, .csv or .tsv file, also .gz or .zst. CSV holds what is
            no text as JSON, and null as an empty field.
        format: alpaca, sharegpt, messages or prompt-response.
        columns: fields to add to the rows, each with one value per example (NaN becomes null).
            A field of the rows with the same name is replaced.

    Raises:
        InputError: the format cannot express an example, the file cannot hold a value, a column
            has the wrong length or the name of a part of the conversation, or nothing can be
            written there.
    """
    target = Path(path)
    kind = file_kind(target)
    check_choice("format", format, FORMATS)
    added = _added(pool, columns, "write")
    replaced: dict[str, None] = {}
    with writing(target) as temporary, writer(temporary, kind.compression) as stream:
        WRITERS[kind.container](lambda: _rows(pool, format, added, replaced), stream)
    _say_replaced(replaced, format)


def write_parts(
    pool: Pool,
    rows: np.ndarray,
    folder: Path,
    *,
    size: int,
    format: str,
    columns: Mapping[str, Sequence[object] | np.ndarray],
) -> None:
    """Write some rows of a pool as ``part-00000.parquet`` and so on, of at most ``size`` rows each.

    Memory is that of one part. All parts have the same columns, so that they are one dataset; a
    further field with values of different kinds is a column of texts, and a warning says so.

    Args:
        pool: all examples.
        rows: (m,) those to write, in this order.
        folder: is made where it is not there.
        size: rows of a file.
        format: as for `write_pool`.
        columns: as for `write_pool`, with m values each.
    """
    replaced: dict[str, None] = {}

    def lines(start: int, stop: int) -> Iterator[OutRow]:
        part = pool.take(rows[start:stop])
        added = {name: values[start:stop] for name, values in columns.items()}
        return _rows(part, format, _added(part, added, "write"), replaced)

    ends = [(start, min(start + size, len(rows))) for start in range(0, len(rows), size)]
    every = (row for ends_of_part in ends for row in lines(*ends_of_part))
    schema, mixed = parquet_schema(every, fixed=_MEANT - {"id", "source"})
    if mixed:
        warn(
            f"The pool's rows hold values of different kinds in {shown_names(mixed)}, which no "
            "column of Parquet holds: there they are texts, what was none as JSON."
        )
    with explain_write_errors(folder):
        folder.mkdir(exist_ok=True)
    for number, (start, stop) in enumerate(ends):
        path = folder / f"part-{number:05d}.parquet"
        with writing(path) as temporary, writer(temporary, None) as stream:
            write_parquet(lines(start, stop), schema, stream)
    _say_replaced(replaced, format)


def remove_parts(folder: Path) -> None:
    """Remove what `write_parts` wrote, and the folder where nothing else is in it."""
    sweep(folder)  # what a killed process was at
    with explain_write_errors(folder):
        for path in folder.glob("part-*.parquet"):
            path.unlink()
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _say_replaced(replaced: Mapping[str, None], format: str) -> None:
    if replaced:
        warn(
            f"The format {format} has fields that the rows had as well; the conversation's own "
            f"text was written in {shown_names(list(replaced))}.",
        )


def table_of(pool: Pool, form: str) -> "pyarrow.Table":
    """Return what `write_pool` writes, as an Arrow table."""
    from pyarrow.parquet import read_table

    check_choice("format", form, FORMATS)
    _added(pool, None, "return")
    replaced: dict[str, None] = {}
    with BytesIO() as stream:
        WRITERS["parquet"](lambda: _rows(pool, form, {}, replaced), stream)
        stream.seek(0)
        return read_table(stream)


def _added(pool: Pool, columns: Mapping[str, Any] | None, what: str) -> dict[str, Any]:
    if len(pool) == 0:
        raise InputError(f"The pool holds no examples, so there is nothing to {what}.")
    for name, values in (columns or {}).items():
        if len(values) != len(pool):
            raise InputError(
                f"The column {shown(name)} must have {len(pool):,} values, one per example. "
                f"Got {len(values):,}."
            )
    return dict(columns or {})


def _rows(
    pool: Pool, form: str, added: Mapping[str, Any], replaced: dict[str, None]
) -> Iterator[OutRow]:
    start, opened, kept = 0, Opened(pool), Kept("ds2")
    as_it_was = form == pool.format and not pool.named and not pool.roles
    for batch in pool.table.select(opened.columns).to_batches(max_chunksize=_BATCH):
        stop = start + batch.num_rows
        more = {name: plain_values(values[start:stop]) for name, values in added.items()}
        for number, line in enumerate(lines_of(batch)):
            layout, extra = load_layout(line["layout"]), json.loads(line["extra"])
            if as_it_was:
                row = original_row(line, extra, pool.id_field)
                parts: Collection[str] = conversation_fields(layout)
            else:
                example = opened(line)
                (fields,) = LAYOUTS["ds2"][form].rows(example, kept)
                if example.media and any(isinstance(t["content"], list) for t in example.turns):
                    extra = {**example.media, **extra}
                ident = label(layout.get(pool.id_field), line["id"])
                row = {pool.id_field: line["id"] if ident in (None, "") else ident, **fields}
                source = label(layout.get(pool.source_field), line["source"])
                if source not in (None, ""):
                    row[pool.source_field] = source
                for name, value in extra.items():
                    if name in fields:
                        replaced[name] = None
                    else:
                        row[name] = value
                parts = fields
            for name, values in more.items():
                if name in parts:
                    raise InputError(
                        f"The column {shown(name)} has the name of a part of the conversation in "
                        f"the format {form}. Give it another name."
                    )
                row[name] = values[number]
            yield row
        start = stop


@dataclass(frozen=True, slots=True)
class Handoff:
    """What was written for a training tool.

    Attributes:
        files: the data first, then what the tool needs to find it.
        usage: the lines to put into the tool's configuration or script.
        command: what to type to train, but for the model's name; empty where the tool has none.
        warnings: what the tool will not do with these examples.
        n: how many examples.
    """

    files: tuple[Path, ...]
    usage: str
    warnings: tuple[str, ...] = ()
    command: str = ""
    n: int = 0


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
        folder: where to write; made where it is not there.
        tool: trl, axolotl, llama-factory, unsloth or parquet.
        layout: messages, prompt-completion, preference, kto, sharegpt, alpaca or conversations,
            where the tool has it. Default: what the tool reads first of all.
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
    added = _added(pool, columns, "hand over")
    if taken := [column for column in added if column in _MEANT]:
        raise InputError(
            f"Columns have names that a training tool reads as something else: "
            f"{shown_names(taken)}. Give them other names."
        )
    suffix = "parquet" if tool == "parquet" else "jsonl"
    data = Path(folder) / f"{name}.{suffix}"
    found = _Found(tool, shape)
    for example, times in kinds_of(pool):
        found.notice(example, times)
    found.check(lossy)
    kept = Kept(tool, frozenset(+found.held), frozenset(found.lost) & frozenset(MEDIA.values()))
    more, usage = _for_the_tool(kept, shape, data, name)
    with explain_write_errors(data):
        data.parent.mkdir(parents=True, exist_ok=True)
    with writing(data) as temporary, writer(temporary, None) as stream:
        WRITERS[suffix](lambda: _tool_rows(pool, kept, shape, added), stream)
    for path, text in more.items():
        if text is not None:
            with writing(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
    notes = found.notes(lossy)
    for note in notes:
        warn(note)
    command = _command(tool, shape, data, name)
    return Handoff((data, *more), usage, notes, command, len(pool))


def _tool_rows(pool: Pool, kept: Kept, shape: str, added: Mapping[str, Any]) -> Iterator[OutRow]:
    more = {name: plain_values(values) for name, values in added.items()}
    rows_of = LAYOUTS[kept.tool][shape].rows
    for number, example in enumerate(conversations(pool)):
        for fields in rows_of(example, kept):
            row: OutRow = {"id": example.id, **fields}
            if kept.beside:
                row |= beside(example, kept)
            row["source"] = example.source
            for name, values in more.items():
                row[name] = values[number]
            yield row


class _Found:
    """What the examples have, and what a layout holds of it."""

    def __init__(self, tool: str, shape: str) -> None:
        self.tool, self.shape = tool, shape
        self.holds = LAYOUTS[tool][shape].holds
        self.as_texts = tool == "llama-factory" or (tool, shape) == ("axolotl", "preference")
        self.as_texts |= shape == "alpaca"
        self.total = self.uneven = self.preferred = self.with_ids = self.marked = 0
        self.inline = self.with_names = 0
        self.held: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()

    def notice(self, example: Conversation, times: int) -> None:
        """Count what an example has that is there so many times."""
        has = set(example.media)
        has |= {"tools"} if example.tools is not None else set()
        has |= {"calls"} if any("tool_calls" in turn for turn in example.turns) else set()
        if any(map(marks_training, example.turns)) and not self._learns_last(example):
            has.add("training")
        lost = {_WORDS.get(name, name) for name in has - self.holds} | example.lost
        calls = [call for turn in example.turns for call in turn.get("tool_calls", ())]
        if self.tool == "llama-factory":
            lost |= {f"<{kind}> in a text without {MEDIA[kind]}" for kind in example.marked}
            if any(
                t.get("tool_calls") and content_text(t["content"]).strip() for t in example.turns
            ):
                lost.add("texts beside a call of a tool")
            self.with_ids += times * any("tool_call_id" in turn for turn in example.turns)
            turns = shared_turns(example.turns, Kept(self.tool))
            self.uneven += times * (not _takes_turns(turns))
        if self.tool != "parquet" and "tools" in has and tools_list(example.tools) is None:
            lost.add("descriptions of tools that are no JSON")
        if self.tool in ("axolotl", "llama-factory"):
            if any(isinstance(arguments_of(call_of(call) or {}), str) for call in calls):
                lost.add("arguments of calls that are no JSON")
            sides = (example.turns[example.answer_at :], example.rejected or [])
            if self.shape == "preference" and any(len(side) != 1 for side in sides):
                lost.add("answers of several turns")
        media = [each for listed in example.media.values() for each in listed]
        named = self.as_texts and any("name" in t for t in example.turns if t["role"] != "tool")
        self.with_names += times * named
        inline = any(isinstance(each, str) and each.startswith("data:") for each in media)
        reasoned = any(key in turn for turn in example.turns for key in REASONING)
        self.inline += times * inline
        self.lost.update(dict.fromkeys(lost, times))
        self.held.update(dict.fromkeys(has & self.holds, times))
        self.held["reasoning"] += times * reasoned
        self.total += times
        self.preferred += times * (example.rejected is not None)
        self.marked += times * bool(example.marked)

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
        others = [
            f"{tool} {shape}"
            for tool, shapes in HANDOFFS.items()
            for shape in shapes
            if needed <= LAYOUTS[tool][shape].holds and shape not in ("preference", "kto")
        ]
        hint = f"Written whole it can be for {', '.join(others)}. " if others else ""
        raise InputError(
            f"{self.tool}'s layout {self.shape} cannot hold what some of the {self.total:,} "
            f"examples have: {_counts(self.lost)}. {hint}To leave it out: --lossy (in Python "
            "lossy=True)."
        )

    def notes(self, lossy: bool) -> tuple[str, ...]:
        """Return what the tool will not do with these examples."""
        both = self.shape in ("preference", "kto")
        said = [
            (lossy and self.lost, f"Left out of {self.total:,} examples: {_counts(self.lost)}."),
            (
                self.uneven,
                f"{self.uneven:,} of {self.total:,} examples do not go user, assistant, user, "
                "assistant …: LLaMA-Factory skips them. Leave them out, or train with another "
                "tool.",
            ),
            (
                self.with_ids,
                f"{self.with_ids:,} of {self.total:,} examples name the calls that results belong "
                "to: LLaMA-Factory goes by their order (results in a row are one turn), and the "
                "names are left out.",
            ),
            (
                self.with_names,
                f"{self.with_names:,} of {self.total:,} examples name who speaks: the layout has "
                "no place for it, and the names are left out.",
            ),
            (
                self.marked and self.tool != "llama-factory",
                f"{self.marked:,} of {self.total:,} examples have <image>, <video> or <audio> in a "
                "text and no such medium: it is handed over as a word.",
            ),
            (
                self.inline and self.tool in ("trl", "llama-factory"),
                f"{self.inline:,} of {self.total:,} examples hold a medium as data in the row: "
                f"{self.tool} reads files. Write them to files, and their paths into the rows.",
            ),
            (
                self.preferred and not both,
                f"{self.preferred:,} of {self.total:,} examples have a rejected answer, which is "
                "left out: the layout preference hands both over.",
            ),
        ]
        return tuple(sentence for true, sentence in said if true)


def _counts(found: Counter[str]) -> str:
    return ", ".join(f"{name} ({count:,})" for name, count in found.most_common())


def _takes_turns(turns: Sequence[Mapping[str, object]]) -> bool:
    """Say whether turns go as LLaMA-Factory wants: asked and answered, in pairs."""
    names = [turn["from"] for turn in turns]
    rest = names[1:] if names[0] == "system" else names
    asked, answered = {*rest[::2]}, {*rest[1::2]}
    even = len(rest) % 2 == 0
    return even and asked <= {"human", "observation"} and answered <= {"gpt", "function_call"}


# What a tool needs to find the data.


def _for_the_tool(
    kept: Kept, shape: str, data: Path, name: str
) -> tuple[dict[Path, str | None], str]:
    """The text of each further file (None: it is there already), and the lines to paste."""
    import yaml

    def dump(value: object) -> str:
        return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=10_000))

    if kept.tool == "axolotl":
        part = dump(_axolotl(data.as_posix(), shape, kept.beside))
        return {data.with_name(f"{name}.axolotl.yaml"): part}, part
    if kept.tool == "llama-factory":
        path = data.with_name("dataset_info.json")
        text = _merged_info(path, name, _entry(data.name, shape, kept.beside))
        return {path: text}, dump({"dataset_dir": data.parent.as_posix(), "dataset": name})
    kind = "parquet" if kept.tool == "parquet" else "json"
    lines = [
        "from datasets import load_dataset",
        "",
        f"dataset = load_dataset({kind!r}, data_files={data.as_posix()!r}, split='train')",
    ]
    if shape == "conversations":
        tools = "tools" in kept.beside
        lines += ["import json"] if tools else []
        given = "tools=json.loads(row['tools'] or 'null'), " if tools else ""
        lines += [
            "render = lambda row: tokenizer.apply_chat_template(row['conversations'], "
            f"{given}tokenize=False)",
            "dataset = dataset.map(lambda row: {'text': render(row)})",
        ]
    if kept.tool == "trl" and "images" in kept.beside:
        lines += [
            "from datasets import Image, Sequence",
            "dataset = dataset.cast_column('images', Sequence(Image()))",
        ]
    return {}, "\n".join(lines) + "\n"


def _command(tool: str, shape: str, data: Path, name: str) -> str:
    """What to type to train on the data."""
    folder = quote(data.parent.as_posix())
    method = {"preference": "dpo", "kto": "kto"}.get(shape, "sft")
    if tool == "trl":
        return (
            f"trl {method} --model_name_or_path MODEL --dataset_name {folder} --use_peft "
            "--output_dir out"
        )
    if tool == "axolotl":
        return f"axolotl train CONFIG.yaml   # with {name}.axolotl.yaml's lines in it"
    if tool == "llama-factory":
        return (
            f"llamafactory-cli train --do_train --stage {method} --finetuning_type lora "
            f"--model_name_or_path MODEL --template TEMPLATE --dataset {name} "
            f"--dataset_dir {folder} --output_dir out"
        )
    return ""


def _axolotl(file: str, shape: str, beside: frozenset[str]) -> dict[str, Any]:
    """The part of an Axolotl configuration that trains on the answers of a file."""
    data: dict[str, Any] = {"path": file, "ds_type": "json"}
    if shape == "alpaca":
        return {"datasets": [{**data, "type": "alpaca"}], "train_on_inputs": False}
    # Axolotl finds out by itself which properties a template reads, but not of every template.
    mapped = ["role", "content"]
    mapped += ["tool_calls", "tool_call_id", "name"] if "calls" in beside else []
    mapped += ["reasoning_content"] if "reasoning" in beside else []
    data |= {
        "type": "chat_template",
        "field_messages": "messages",
        "message_property_mappings": {name: name for name in mapped},
    }
    if shape == "preference":
        data["type"] = "chat_template.default"
        data |= {f"field_{side}": side for side in ("chosen", "rejected")}
        return {"rl": "dpo", "datasets": [data]}
    data |= {"field_tools": "tools"} if "tools" in beside else {}
    data |= {"message_field_training": "train"} if "training" in beside else {}
    return {"datasets": [{**data, "roles_to_train": ["assistant"]}]}


def _entry(file: str, shape: str, beside: frozenset[str]) -> dict[str, Any]:
    """The entry of ``dataset_info.json`` that says how LLaMA-Factory reads a file."""
    columns = {each: each for each in ("tools", *MEDIA.values()) if each in beside}
    if shape == "alpaca":
        usual = {"prompt": "instruction", "query": "input", "response": "output"}
        columns = {**usual, "system": "system", **columns}
        return {"file_name": file, "formatting": "alpaca", "columns": columns}
    tags = {
        "role_tag": "from",
        "content_tag": "value",
        "user_tag": "human",
        "assistant_tag": "gpt",
        "observation_tag": "observation",
        "function_tag": "function_call",
        "system_tag": "system",
    }
    columns = {"messages": "conversations", **columns}
    ranked = {"ranking": True} if shape == "preference" else {}
    own = {"preference": ("chosen", "rejected"), "kto": ("kto_tag",)}
    columns |= {name: name for name in own.get(shape, ())}
    about = {"file_name": file, "formatting": "sharegpt"}
    return {**about, "columns": columns, "tags": tags, **ranked}


def _merged_info(path: Path, name: str, entry: Mapping[str, Any]) -> str | None:
    """The text of ``dataset_info.json`` with an entry more, every other entry as it is.

    Where the entry is there already and says the same, whatever the user added to it, nothing is
    to be written: None.

    Raises:
        InputError: the file is no JSON object, names something twice, or holds another entry of
            this name.
    """
    held: Any = {}
    try:
        if path.exists():
            text = path.read_text(encoding="utf-8-sig")
            held = json.loads(text, object_pairs_hook=_once)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{shown_path(path)} cannot be read as JSON, so nothing can be added to it: "
            f"{shown(str(error), 120)}. Correct it, or write into another folder."
        ) from error
    if not isinstance(held, dict):
        raise InputError(
            f"{shown_path(path)} is no JSON object of datasets. Write into another folder."
        )
    there = held.get(name)
    if there is None:
        return json.dumps({**held, name: entry}, ensure_ascii=False, indent=2) + "\n"
    if not isinstance(there, dict) or any(there.get(key) != entry[key] for key in entry):
        raise InputError(
            f"{shown_path(path)} has another entry {shown(name)}. Choose another 'name', or take "
            "that entry out."
        )
    return None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are all different: writing it back would lose a repeated one."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice} stands there twice")
    return found
