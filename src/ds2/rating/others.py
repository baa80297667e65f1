"""Files of ratings that other tools write: which one it is, and what each of its rows rates.

list          numbers, or lists of numbers, in the pool's order (.json, .jsonl, .npy)
opendataarena rows with Q_scores and QA_scores, or scores with Q and QA inside
alpagasus     rows with a review, whose first line is the rating (and triplet, score)
distilabel    rows with an instruction and a generation, or lists of generations, and their
              rating(s) or score(s) beside them
table         one row an example: an id and ratings
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from ds2.errors import InputError
from ds2.pool.rows import Fault, RowSource, read_file
from ds2.pool.wording import shown, shown_names, shown_path
from ds2.rating.tables import ARRAYS, UNPARSABLE, UNSAFE, read_list

__all__ = ["LAYOUTS", "Sheet", "detect_layout", "read_sheet", "text_key"]

LAYOUTS = ("auto", "table", "list", "opendataarena", "alpagasus", "distilabel")

_PEEK = 50
_RATINGS = ("ratings", "rating", "scores", "score")
_ANSWERS = ("generations", "generation", "responses", "response", "output", "completion")
_PROMPTS = ("instruction", "prompt", "instructions")
_ODA = ("Q_scores", "QA_scores", "A_scores")
_MARKERS = ("###Instruction:", "### Input:", "### Response:")
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)"
_FIRST = re.compile(rf"\s*({_NUMBER})\s*(?:(?:/|out of)\s*\d+)?\s*\.?\s*(?:\n|$)", re.ASCII)
_NAMED = re.compile(rf"\b(?:score|rating)\s*[:=]\s*({_NUMBER})(?![\d.])", re.ASCII | re.I)

Row: TypeAlias = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a file of another tool rates, one entry a rating.

    Attributes:
        name: the file, for messages.
        unit: what `lines` counts: "line" or "row".
        layout: one of `LAYOUTS`.
        lines: where each entry stands, from 1.
        ids: the id of each entry as text, None where it has none.
        keys: the `text_key` of what each entry rates, None where the file does not hold the text.
        values: the ratings as they were read.
    """

    name: str
    unit: str
    layout: str
    lines: list[int]
    ids: list[str | None]
    keys: list[int | None]
    values: list[object]


def text_key(texts: Iterable[str]) -> int:
    """Return a 64-bit hash of texts in a row, blind to white space between and inside them."""
    joined = "".join("".join(text.split()) for text in texts)
    return int.from_bytes(blake2b(joined.encode("utf-8", "replace"), digest_size=8).digest())


def detect_layout(path: Path, id_column: str) -> str:
    """Return the layout of a file by its suffix and its first rows."""
    if path.suffix.lower() in ARRAYS + UNSAFE:
        return "list"
    first = [row for _, row in islice(read_file(path).rows, _PEEK)]
    if first and all(isinstance(row, Fault) and _is_number_or_list(row) for row in first):
        return "list"
    rows = [row for row in first if isinstance(row, dict)]
    if any(_oda_part(row) for row in rows):
        return "opendataarena"
    if rows and all("review" in row for row in rows):
        return "alpagasus"
    nested = any(isinstance(row.get(name), list) for row in rows for name in _RATINGS)
    told = any("distilabel_metadata" in row for row in rows)
    plain = all(id_column in row for row in rows)
    rated = any(_named(row, _RATINGS) and _named(row, _ANSWERS) for row in rows)
    return "distilabel" if nested or told or (rated and not plain) else "table"


def read_sheet(path: Path, layout: str, column: str | None, id_column: str) -> Sheet:
    """Read a file of another tool whole.

    Args:
        path: the file.
        layout: one of `LAYOUTS` but "auto" and "table".
        column: which ratings, where there are several: a field's name, "QA.Clarity" for a field
            inside a field, a number from 0 inside a list.
        id_column: the field that holds ids.

    Raises:
        InputError: the file is not of the layout, or holds several ratings and ``column`` names
            none of them.
    """
    if layout == "list":
        values = read_list(path, column)
        none, lines = [None] * len(values), list(range(1, len(values) + 1))
        return Sheet(shown_path(path), "row", "list", lines, [*none], [*none], values)
    source = read_file(path)
    rows = list(_objects(source))
    if not rows:
        raise InputError(f"{source.name} holds no rows.")
    read = {"opendataarena": _read_oda, "alpagasus": _read_reviews, "distilabel": _read_pairs}
    lines, ids, keys, values = read[layout](source, rows, column, id_column)
    return Sheet(source.name, source.unit, layout, lines, ids, keys, values)


_Entries: TypeAlias = tuple[list[int], list[str | None], list[int | None], list[object]]


def _objects(source: RowSource) -> Iterator[tuple[int, Row]]:
    for line, row in source.rows:
        if isinstance(row, Fault):
            raise InputError(f"{source.name}, {source.unit} {line:,}: {row.reason}.")
        yield line, row


def _named(row: Row, names: Iterable[str]) -> str | None:
    return next((name for name in names if row.get(name) is not None), None)


def _id_of(row: Row, id_column: str) -> str | None:
    value = row.get(id_column)
    return str(value) if type(value) in (int, str) and value != "" else None


def _is_number_or_list(row: Fault) -> bool:
    return row.text.lstrip()[:1] in set("-0123456789[Nn")


def _oda_part(row: Row) -> dict[str, object]:
    """Return the scores of one row of OpenDataArena's by their names, such as QA.Clarity."""
    found: dict[str, object] = {}
    parts = {name.removesuffix("_scores"): row.get(name) for name in _ODA}
    scores = row.get("scores")
    if isinstance(scores, dict):
        parts |= {name: scores.get(name) for name in ("Q", "A", "QA")}
    for part, inside in parts.items():
        if isinstance(inside, dict):
            whole = inside["All"] if isinstance(inside.get("All"), dict) else inside
            found |= {f"{part}.{name}": value for name, value in whole.items()}
    return found


def _read_oda(
    source: RowSource, rows: list[tuple[int, Row]], column: str | None, id_column: str
) -> _Entries:
    parts = [_oda_part(row) for _, row in rows]
    used: dict[str, None] = {}
    for part in parts:
        used.update((name, None) for name, value in part.items() if value is not None)
    name = _one_of(source, column, list(used))
    keys = [_pair_key(row) for _, row in rows]
    ids = [_id_of(row, id_column) for _, row in rows]
    return [line for line, _ in rows], ids, keys, [part.get(name) for part in parts]


def _one_of(source: RowSource, column: str | None, names: list[str]) -> str:
    """Return the column to read: the one named, or the only one."""
    if column in names:
        return str(column)
    if column is None and len(names) == 1:
        return names[0]
    said = f"has no ratings called {shown(column)}" if column else "holds several ratings"
    raise InputError(
        f"{source.name} {said if names else 'holds no ratings'}. "
        f"Name one with column: {shown_names(sorted(names), 24)}."
    )


def _pair_key(row: Row) -> int | None:
    texts = [row.get("instruction"), row.get("input") or "", row.get("output")]
    if texts[2] is None or not all(isinstance(text, str) for text in texts):
        return None
    return text_key(str(text) for text in texts)


def _read_reviews(
    source: RowSource, rows: list[tuple[int, Row]], column: str | None, id_column: str
) -> _Entries:
    values: list[object] = []
    keys: list[int | None] = []
    for line, row in rows:
        value = row.get(column) if column else row.get("score", row.get("review"))
        if column and column not in row:
            raise InputError(f"{source.name}, {source.unit} {line:,}: no {shown(column)}.")
        values.append(UNPARSABLE if value == -1 else rating_in(value))
        keys.append(_triplet_key(row.get("triplet")) or _pair_key(row))
    ids = [_id_of(row, id_column) for _, row in rows]
    return [line for line, _ in rows], ids, keys, values


def rating_in(value: object) -> object:
    """Return the number that a review begins with or names, `UNPARSABLE` where there is none."""
    if not isinstance(value, str) or not value.strip():
        return value
    found = _FIRST.match(value) or _NAMED.search(value)
    return float(found[1]) if found else UNPARSABLE


def _triplet_key(triplet: object) -> int | None:
    if not isinstance(triplet, str):
        return None
    parts = [triplet]
    for marker in _MARKERS:
        *before, last = parts
        parts = [*before, *last.split(marker, 1)]
    return text_key(parts) if len(parts) == len(_MARKERS) + 1 else None


def _read_pairs(
    source: RowSource, rows: list[tuple[int, Row]], column: str | None, id_column: str
) -> _Entries:
    lines: list[int] = []
    ids: list[str | None] = []
    keys: list[int | None] = []
    values: list[object] = []
    if column and not any(column in row for _, row in rows):
        _one_of(source, column, [name for name in rows[0][1] if name not in _PROMPTS + _ANSWERS])
    for line, row in rows:
        found = _flat(row.get(column or _named(row, _RATINGS) or ""))
        rated = _pairs(row)
        if rated and len(found) != len(rated):
            found = [UNPARSABLE if any(value is not None for value in found) else None]
            found *= len(rated)
        lines += [line] * len(found)
        ids += [_id_of(row, id_column)] * len(found)
        keys += rated or [None] * len(found)
        values += [rating_in(value) for value in found]
    if not values:
        raise InputError(f"{source.name} holds no ratings.")
    return lines, ids, keys, values


def _pairs(row: Row) -> list[int | None]:
    """Return the key of every pair of instruction and generation that a row rates."""
    asked, said = _named(row, _PROMPTS), _named(row, _ANSWERS)
    prompts = _flat(row.get(asked)) if asked else []
    answers = _flat(row.get(said)) if said else []
    if not prompts or not answers:
        return []
    prompts = prompts * len(answers) if len(prompts) == 1 else prompts
    return [
        text_key((p, a)) if isinstance(p, str) and isinstance(a, str) else None
        for p, a in zip(prompts, answers, strict=False)
    ]


def _flat(value: object) -> list[object]:
    """Return a value, or the values of a list of lists of any depth, as one list."""
    if isinstance(value, list):
        return [inner for part in value for inner in _flat(part)]
    return [value]
