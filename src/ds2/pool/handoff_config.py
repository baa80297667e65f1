"""Parts of other tools' configuration: Axolotl's YAML, LLaMA-Factory's ``dataset_info.json``."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ds2.errors import InputError
from ds2.pool.wording import shown, shown_path

__all__ = ["axolotl_part", "merged_dataset_info", "yaml_text"]

#: The columns of each layout, in LLaMA-Factory's words.
_INFO: dict[str, dict[str, Any]] = {
    "sharegpt": {
        "formatting": "sharegpt",
        "columns": {"messages": "conversations"},
        "tags": {
            "role_tag": "from",
            "content_tag": "value",
            "user_tag": "human",
            "assistant_tag": "gpt",
            "observation_tag": "observation",
            "function_tag": "function_call",
            "system_tag": "system",
        },
    },
    "alpaca": {
        "formatting": "alpaca",
        "columns": {
            "prompt": "instruction",
            "query": "input",
            "response": "output",
            "system": "system",
        },
    },
}


def yaml_text(text: str) -> str:
    """A text as a double-quoted scalar of YAML, on one line, every odd character escaped."""
    return '"' + "".join(map(_yaml_character, text)) + '"'


def _yaml_character(c: str) -> str:
    if c in '"\\':
        return "\\" + c
    if c.isprintable():
        return c
    return "\\uFFFD" if 0xD800 <= ord(c) <= 0xDFFF else f"\\U{ord(c):08X}"


def axolotl_part(file: str, layout: str, columns: Collection[str] = ()) -> str:
    """The part of an Axolotl configuration that trains on the answers of a file.

    Args:
        file: the path of the data.
        layout: messages, alpaca or preference.
        columns: what the rows have beside the conversation: tools, training.
    """
    lines = ["datasets:", f"  - path: {yaml_text(file)}", "    ds_type: json"]
    if layout == "alpaca":
        lines += ["    type: alpaca", "train_on_inputs: false"]
        return "\n".join(lines) + "\n"
    mapped = [
        "    field_messages: messages",
        "    message_property_mappings:",
        "      role: role",
        "      content: content",
    ]
    if layout == "preference":
        fields = ["    field_chosen: chosen", "    field_rejected: rejected"]
        lines += ["    type: chat_template.default", *mapped, *fields]
        return "\n".join(["rl: dpo", *lines]) + "\n"
    lines += ["    type: chat_template", *mapped]
    lines += ["    field_tools: tools"] if "tools" in columns else []
    lines += ["    message_field_training: train"] if "training" in columns else []
    lines += ["    roles_to_train: [assistant]"]
    return "\n".join(lines) + "\n"


def merged_dataset_info(
    path: Path, name: str, file: str, layout: str, columns: Collection[str] = ()
) -> str | None:
    """The text of ``dataset_info.json`` with an entry more, every other entry as it is.

    Where the entry is there already and says the same, whatever the user added to it, nothing is
    to be written: None.

    Raises:
        InputError: the file is no JSON object, names something twice, or holds another entry of
            this name.
    """
    ranked = layout == "preference"
    entry = {"file_name": file, **_INFO["sharegpt" if ranked else layout]}
    sides = ("chosen", "rejected") if ranked else ()
    beside = {column: column for column in (*columns, *sides) if column != "training"}
    entry["columns"] = {**entry["columns"], **beside}
    if ranked:
        entry["ranking"] = True
    held = _read_info(path)
    there = held.get(name)
    if there is None:
        return json.dumps({**held, name: entry}, ensure_ascii=False, indent=2) + "\n"
    if not _says(there, entry):
        raise InputError(
            f"{shown_path(path)} has another entry {shown(name)}. Choose another 'name', or take "
            "that entry out."
        )
    return None


def _says(there: object, entry: dict[str, Any]) -> bool:
    """Whether an entry holds all that another one does."""
    return isinstance(there, dict) and all(there.get(key) == entry[key] for key in entry)


def _read_info(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_once)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{shown_path(path)} cannot be read as JSON, so nothing can be added to it: "
            f"{shown(str(error), 120)}. Correct it, or write into another folder."
        ) from error
    if not isinstance(value, dict):
        raise InputError(
            f"{shown_path(path)} is no JSON object of datasets. Write into another folder."
        )
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are all different: writing it back would lose a repeated one."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice} stands there twice")
    return found
