"""Cells: one task at one level of quality, and the conversations that are drawn from it.

A cell's turns are texts with `{slots}` and `<one|of|these>` choices. A slot is a list to draw from
(`{tip}`, `{tip2}` and `{tip3}` are different members of the list `tip`), a field of an item (items
are drawn as a whole, so that their facts belong together), or a computed value.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import compute
import long_texts
import numpy as np

TEXTS = Path(__file__).parent / "texts"
COMPUTED: dict[str, Callable[[np.random.Generator], compute.Slots]] = {
    "shopping": compute.shopping,
    "interest": compute.interest,
    "statistics": compute.statistics,
    "units": compute.units,
    "invoice": compute.invoice,
    "training_plan": long_texts.training_plan,
    "meeting": long_texts.meeting,
    "transcript": long_texts.transcript,
}
SLOT = re.compile(r"\{(\w+)\}")
CHOICE = re.compile(r"<([^<>|]*(?:\|[^<>|]*)+)>")
WORD = re.compile(r"[\u4e00-\u9fff]|\w+")  # a Chinese character counts as a word
TRIES = 8
COMPARED = 24

Messages = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One task at one level of quality, as read from a file of `texts/`."""

    name: str
    source: str
    level: int
    turns: tuple[str, ...]  # user, assistant, user, …
    system: str | None
    slots: Mapping[str, list[str]]
    items: tuple[Mapping[str, str], ...]
    computed: str | None
    weight: float
    showcase: bool  # also in small pools


def load_cells(folder: Path = TEXTS) -> list[Cell]:
    """Read every family of tasks in `folder`."""
    families = {path.stem: _read(path) for path in sorted(folder.glob("*.toml"))}
    return [
        Cell(
            name=f"{name}/{entry['level']}",
            source=family["source"],
            level=entry["level"],
            turns=tuple(entry["turns"]),
            system=entry.get("system", family.get("system")),
            slots=family.get("slots", {}) | entry.get("slots", {}),
            items=tuple(entry.get("items", [{}])),
            computed=entry.get("compute", family.get("compute")),
            weight=entry.get("weight", 1.0),
            showcase=entry.get("showcase", False),
        )
        for name, family in families.items()
        for entry in family["cells"]
    ]


def _read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def draw_apart(cell: Cell, n: int, rng: np.random.Generator) -> list[Messages]:
    """Draw `n` different conversations; of a few tries each keeps the one least like the others."""
    words: dict[Messages, set[str]] = {}
    for _ in range(n):
        recent = list(words.values())[-COMPARED:]
        new = {messages: _words(messages) for messages in _tries(cell, words, rng)}
        best = min(new, key=lambda messages: _closeness(new[messages], recent))
        words[best] = new[best]
    return list(words)


def _tries(
    cell: Cell, known: Mapping[Messages, object], rng: np.random.Generator
) -> list[Messages]:
    for _ in range(20):
        tries = {write_conversation(cell, rng): None for _ in range(TRIES)}
        new = [messages for messages in tries if messages not in known]
        if new:
            return new
    raise SystemExit(f"texts/{cell.name}: too few different texts for a pool of this size.")


def _words(messages: Messages) -> set[str]:
    return set(WORD.findall(" ".join(text for _, text in messages)))


def _closeness(words: set[str], others: list[set[str]]) -> float:
    return max((len(words & other) / max(1, len(words | other)) for other in others), default=0.0)


def write_conversation(cell: Cell, rng: np.random.Generator) -> Messages:
    """Fill the slots of `cell` with one draw."""
    values: dict[str, str] = {}
    for name, options in cell.slots.items():
        order = rng.permutation(len(options))
        values |= {name + n: options[i] for n, i in zip(("", "2", "3"), order, strict=False)}
    if cell.computed is not None:
        values |= COMPUTED[cell.computed](rng)
    values |= cell.items[int(rng.integers(len(cell.items)))]
    values = {name: _choose(value, rng) for name, value in values.items()}
    texts = [_fill(turn, values, rng) for turn in cell.turns]
    roles = [("user", "assistant")[i % 2] for i in range(len(texts))]
    system = [("system", cell.system)] if cell.system else []
    return (*system, *zip(roles, texts, strict=True))


def _fill(text: str, values: Mapping[str, str], rng: np.random.Generator) -> str:
    while SLOT.search(text):
        text = SLOT.sub(lambda found: values[found[1]], text)
    return _choose(text, rng).strip()


def _choose(text: str, rng: np.random.Generator) -> str:
    def one_of(found: re.Match[str]) -> str:
        options = found[1].split("|")
        return options[int(rng.integers(len(options)))]

    while CHOICE.search(text):
        text = CHOICE.sub(one_of, text)
    return text
