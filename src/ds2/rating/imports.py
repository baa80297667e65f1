"""Ratings that exist already: in a field of the pool, in a table, or in what another tool wrote.

table         one row an example: an id and ratings
list          numbers, or lists of numbers, in the pool's order (.json, .jsonl, .npy)
opendataarena rows with Q_scores and QA_scores, or scores with Q and QA inside
alpagasus     rows with a review, whose first line is the rating (and triplet, score)
distilabel    rows with an instruction and a generation, or lists of generations, and their
              rating(s) or score(s) beside them
"""

import difflib
import json
import os
import re
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ds2.checks import check_choice
from ds2.errors import Ds2Warning, InputError
from ds2.pool import Pool
from ds2.pool.files import check_readable
from ds2.pool.ids import match_ids, repeated_values
from ds2.pool.rows import Fault, RowSource, read_file
from ds2.pool.wording import kind_of, shown, shown_names, shown_path
from ds2.rating.ratings import PROBLEMS, Panel, Ratings
from ds2.rating.scale import Scale, suggest_scale

if TYPE_CHECKING:
    import pyarrow

__all__ = [
    "ARRAYS",
    "LAYOUTS",
    "UNPARSABLE",
    "UNSAFE",
    "Sheet",
    "detect_layout",
    "from_table",
    "import_panel",
    "import_ratings",
    "numbers",
    "place",
    "read_list",
    "read_sheet",
    "text_key",
]

#: Files of arrays, and files that can run code when they are read.
ARRAYS, UNSAFE = (".npy",), (".pt", ".pth", ".pkl", ".pickle")

#: What stands where something else than a rating was given.
UNPARSABLE = object()


def read_list(path: Path, column: str | None) -> list[object]:
    """Return one number per example as it was read.

    Args:
        path: the file.
        column: in a file of lists, which number of each, from 0.

    Raises:
        InputError: the file holds something else, or could run code.
    """
    values = _array_values(path) if path.suffix.lower() in ARRAYS else _listed_values(path)
    if not values:
        raise InputError(f"{shown_path(path)} holds no ratings.")
    width = max((len(value) for value in values if isinstance(value, list)), default=0)
    if width:
        place = _place(path, column, width)
        values = [_taken(value, place, alone=width == 1) for value in values]
    return values


def _taken(value: object, place: int, *, alone: bool) -> object:
    """Return one number of a row; a number where a list is expected says nothing."""
    if isinstance(value, list):
        return value[place] if place < len(value) else None
    return value if alone or value is None else UNPARSABLE


def _place(path: Path, column: str | None, width: int) -> int:
    """Return which number of each row to take."""
    if column is None and width == 1:
        return 0
    if column is None or not column.isdecimal() or int(column) >= width:
        raise InputError(
            f"Each row of {shown_path(path)} has {width} numbers. Name one with column = '0' (the "
            f"first) to '{width - 1}'." + (f" Got {shown(column)}." if column is not None else "")
        )
    return int(column)


def _array_values(path: Path) -> list[object]:
    check_readable(path)
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError):
        raise InputError(
            f"{shown_path(path)} is no array of numbers that can be read without running code. "
            "Save it again with numpy.save from an array of numbers."
        ) from None
    if array.ndim not in (1, 2) or array.dtype.kind not in "iufb":
        raise InputError(
            f"{shown_path(path)} must hold one number per example, or one row of numbers. Got "
            f"{array.dtype} of shape {array.shape}."
        )
    return list(array.tolist())


def _listed_values(path: Path) -> list[object]:
    if path.suffix.lower() in UNSAFE:
        raise InputError(
            f"{shown_path(path)} can run code when it is read, so ds2 does not read it. Convert it "
            'with: python -c "import sys, numpy, torch; numpy.save(sys.argv[2], '
            'numpy.asarray(torch.load(sys.argv[1])))" OLD.pt NEW.npy'
        )
    source = read_file(path)
    values: list[object] = []
    for line, row in source.rows:
        if not isinstance(row, Fault):
            raise InputError(
                f"{source.name}, {source.unit} {line:,}: an object stands where a number or a list "
                "of numbers is expected."
            )
        if not row.reason.startswith("not an object"):
            raise InputError(f"{source.name}, {source.unit} {line:,}: {row.reason}.")
        values.append(json.loads(row.text))
    return values


#: A number with a decimal comma; with three digits behind it, it could be one of thousands.
_COMMA = re.compile(r"[+-]?\d+,(?:\d\d?|\d{4,})", re.ASCII)
_BATCH = 4096
_MISSING, _NO_NUMBER = 1, 2
_UNPARSABLE = 1 + PROBLEMS.index("unparsable")


def numbers(raw: Iterable[object]) -> tuple[np.ndarray, np.ndarray]:
    """Return values of any kind as numbers, NaN with a problem's code where they are none."""
    pairs = [_number(value) for value in raw]
    return np.array([p[0] for p in pairs], np.float64), np.array([p[1] for p in pairs], np.int8)


def _number(value: object) -> tuple[float, int]:
    if value is None or (isinstance(value, str) and not value.strip()):
        return np.nan, _MISSING
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return np.nan, _UNPARSABLE if value is UNPARSABLE else _NO_NUMBER
    if isinstance(value, str):
        value = value.strip().removesuffix("%")
        value = value.replace(",", ".") if _COMMA.fullmatch(value.strip()) else value
    try:
        number = float(value)
    except ValueError:
        return np.nan, _NO_NUMBER
    except OverflowError:
        return np.inf, 0
    if isinstance(value, str) and "_" in value:
        return np.nan, _NO_NUMBER
    return number, _MISSING if np.isnan(number) else 0


def from_table(
    pool: Pool, path: Path, column: str | None, id_column: str, notes: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the file's ratings in pool order, and note the ids that the pool does not have."""
    source = read_file(path)
    ids, lines, values, codes = _read_table(source, column, id_column)
    first, again = repeated_values(ids)
    if len(again):
        raise InputError(
            f"{source.name}: the id {shown(ids[int(again[0])].as_py())} is given twice, in "
            f"{source.unit} {lines[first[0]]:,} and {source.unit} {lines[again[0]]:,}. Keep one."
        )
    row, loosely = match_ids(pool.ids, ids.to_pylist())
    if len(again := np.flatnonzero(np.bincount(row[row >= 0], minlength=1) > 1)):
        twice = np.flatnonzero(row == again[0])
        raise InputError(
            f"{source.name}: the ids {shown(ids[int(twice[0])].as_py())} and "
            f"{shown(ids[int(twice[1])].as_py())} are one value, in {source.unit} "
            f"{lines[twice[0]]:,} and {source.unit} {lines[twice[1]]:,}. Keep one."
        )
    if loosely:
        notes.append(
            f"{loosely:,} ids in {source.name} are the pool's but for white space or a '.0'."
        )
    unknown = int((row < 0).sum())
    if unknown == len(row):
        raise InputError(
            f"None of the {len(row):,} ids in {source.name} is in the pool: the file's first is "
            f"{shown(ids[0].as_py())}, the pool's first is {shown(pool[0].id)}. Name the file's "
            "column with id_column, or the pool's field with id_field when the pool is read."
        )
    if unknown:
        notes.append(f"{unknown:,} of {len(row):,} ids in {source.name} are not in the pool.")
    out = np.full(len(pool), np.nan)
    problems = np.full(len(pool), _MISSING, dtype=np.int8)
    out[row[row >= 0]], problems[row[row >= 0]] = values[row >= 0], codes[row >= 0]
    return out, problems


def _read_table(
    source: RowSource, column: str | None, id_column: str
) -> tuple["pyarrow.ChunkedArray", np.ndarray, np.ndarray, np.ndarray]:
    """Return the ids, their lines, and the ratings with their problems, in file order."""
    import pyarrow as pa

    ids: list[pyarrow.Array] = []
    lines: list[np.ndarray] = []
    values: list[np.ndarray] = []
    codes: list[np.ndarray] = []
    names: dict[str, None] = {}
    rows = _plain_rows(source)
    while batch := list(islice(rows, _BATCH)):
        for _, row in batch:
            names.update(dict.fromkeys(row))
        column = column if column is not None else _only_column(source, list(names), id_column)
        ids.append(pa.array([_id(source, line, row, id_column) for line, row in batch]))
        lines.append(np.array([line for line, _ in batch]))
        value, code = numbers(row.get(column) for _, row in batch)
        values.append(value)
        codes.append(code)
    if not ids:
        raise InputError(f"{source.name} holds no rows.")
    if column not in names:
        near = difflib.get_close_matches(str(column), list(names), n=1, cutoff=0.5)
        raise InputError(
            f"{source.name} has no column {shown(column)}. It has {shown_names(list(names))}."
            + (f" Did you mean {shown(near[0])}?" if near else "")
        )
    joined = pa.chunked_array(ids, type=pa.string())
    return joined, np.concatenate(lines), np.concatenate(values), np.concatenate(codes)


def _plain_rows(source: RowSource) -> Iterator[tuple[int, dict[str, object]]]:
    for line, row in source.rows:
        if isinstance(row, Fault):
            raise InputError(f"{source.name}, {source.unit} {line:,}: {row.reason}.")
        yield line, row


def _only_column(source: RowSource, names: list[str], id_column: str) -> str:
    others = [name for name in names if name != id_column]
    named = [name for name in others if name in {"rating", "score"}]
    for choice in (others, named):
        if len(choice) == 1:
            return choice[0]
    raise InputError(
        f"Name the column of {source.name} that holds the ratings. It has {shown_names(others)}."
    )


def _id(source: RowSource, line: int, row: dict[str, object], id_column: str) -> str:
    value = row.get(id_column)
    if type(value) is str and value:
        return value
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is int:
        return str(value)
    found = f"it is {kind_of(value)}" if id_column in row else f"it has {shown_names(list(row))}"
    raise InputError(
        f"{source.name}, {source.unit} {line:,}: no id in the column {shown(id_column)} ({found}). "
        "Name the column of the ids with id_column."
    )


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


def place(pool: Pool, sheet: Sheet, notes: list[str], *, told: bool = False) -> list[object]:
    """Return the sheet's values in the pool's order, None where an example has none.

    The texts decide where the file holds those of the pool, then the ids, then the order, where
    there are as many entries as examples. Examples of one text share an entry.

    Args:
        pool: the examples.
        sheet: what the file holds.
        notes: sentences for the user are added here.
        told: the user named the layout, so that only what is uncertain needs to be said.

    Raises:
        InputError: nothing tells which example an entry rates, or an id has two entries.
    """
    rows, n_known = _by_text(pool, sheet)
    how = "joined on the texts"
    if 2 * n_known < len(sheet.values):
        by_id = _by_id(pool, sheet)
        if by_id is not None and by_id[1] > n_known:
            (rows, n_known), how = by_id, "joined on the ids"
    if n_known == 0:
        rows, n_known, how = _by_order(pool, sheet), len(sheet.values), "taken in the pool's order"
    if not told or n_known < len(sheet.values) or "order" in how:
        left = len(sheet.values) - n_known
        notes.append(
            f"{sheet.name} was read as {shown(sheet.layout)}: {len(sheet.values):,} ratings, {how}"
            + (f"; {left:,} rate no example of the pool." if left else ".")
        )
    return [sheet.values[row] if row >= 0 else None for row in rows.tolist()]


def _by_text(pool: Pool, sheet: Sheet) -> tuple[np.ndarray, int]:
    """Return each example's entry, −1 where there is none, and how many entries have examples."""
    entries: defaultdict[int, list[int]] = defaultdict(list)
    for entry, key in enumerate(sheet.keys):
        if key is not None:
            entries[key].append(entry)
    rows = np.full(len(pool), -1, dtype=np.int64)
    if not entries:
        return rows, 0
    seen: defaultdict[int, int] = defaultdict(int)
    for row, example in enumerate(pool):
        key = text_key(m.content for m in example.messages if m.role != "system")
        same = entries.get(key)
        if same:
            rows[row] = same[min(seen[key], len(same) - 1)]
            seen[key] += 1
    return rows, sum(len(entries[key]) for key in seen)


def _by_id(pool: Pool, sheet: Sheet) -> tuple[np.ndarray, int] | None:
    """Do the same by ids; None where no id is the pool's."""
    named = [entry for entry, name in enumerate(sheet.ids) if name is not None]
    where, _ = match_ids(pool.ids, [str(sheet.ids[entry]) for entry in named])
    rows = np.full(len(pool), -1, dtype=np.int64)
    known = 0
    for entry, row in zip(named, where.tolist(), strict=True):
        if row < 0:
            continue
        if rows[row] >= 0:
            first = sheet.lines[rows[row]]
            raise InputError(
                f"{sheet.name}: the id {shown(sheet.ids[entry])} has two ratings, in {sheet.unit} "
                f"{first:,} and {sheet.unit} {sheet.lines[entry]:,}. Keep one, or read a pool of "
                "the texts that the file rates."
            )
        rows[row] = entry
        known += 1
    return (rows, known) if known else None


def _by_order(pool: Pool, sheet: Sheet) -> np.ndarray:
    n = len(sheet.values)
    if n != len(pool):
        raise InputError(
            f"{sheet.name} holds {n:,} ratings and the pool {len(pool):,} examples, and neither "
            "texts nor ids tell which rates which. Give the file the pool's ids, or read the same "
            "rows as a pool."
        )
    numbers = [int(name) if name and name.isdecimal() else None for name in sheet.ids]
    for first in (0, 1):
        if sorted(-1 if number is None else number for number in numbers) == [
            *range(first, first + n)
        ]:
            return np.argsort(np.array(numbers, dtype=np.int64))
    return np.arange(n)


_NO_NUMBER = 1 + PROBLEMS.index("not a number")
_OUTSIDE = 1 + PROBLEMS.index("out of range")


def import_ratings(
    pool: Pool,
    *,
    column: str | None = None,
    file: str | os.PathLike[str] | None = None,
    id_column: str = "id",
    layout: str = "auto",
    scale: Scale | str | None = None,
    bins: Sequence[int | float] | None = None,
    rater: str | None = None,
) -> Ratings:
    """Take over ratings that the examples already have.

    Numbers and text that is a number are ratings. Null, empty text, NaN and an absent field are
    "missing"; other values are "not a number"; a review without a rating is "unparsable"; numbers
    outside the scale are "out of range". None of these becomes a rating.

    A file of another tool is joined on the texts that it rates, else on the ids, else, where there
    are as many rows as examples, in the pool's order; a warning says which.

    Args:
        pool: the examples.
        column: the field of the pool that holds the ratings; with ``file``, the file's column
            (by default its only column beside the id, or the one named rating or score). A dot
            leads into a field: "QA_scores.Clarity", "ratings.0".
        file: a JSONL, JSON, CSV, TSV or Parquet table, also .gz or .zst, joined on the id; or what
            another tool wrote; or an .npy array.
        id_column: the file's column that holds the pool's ids.
        layout: "table", "list" (numbers in the pool's order), "opendataarena", "alpagasus",
            "distilabel", or "auto", which looks at the first rows.
        scale: a `Scale`, or text for `Scale.parse`; by default 1–10 with the bins of the paper.
            Ratings that the levels of a text do not fit decide the cuts; they keep their values.
        bins: the cuts between the scores, where ``scale`` is text.
        rater: who rated; by default the column's name, or the file's.

    Raises:
        InputError: there is no such column, the file has an id twice or none of the pool's, or
            no example has a rating.
    """
    notes: list[str] = []
    given: Sequence[object] = ()
    if file is not None:
        check_choice("layout", layout, LAYOUTS)
        found = detect_layout(Path(file), id_column) if layout == "auto" else layout
        if found == "table":
            values, codes = from_table(pool, Path(file), column, id_column, notes)
        else:
            sheet = read_sheet(Path(file), found, column, id_column)
            values, codes = numbers(place(pool, sheet, notes, told=layout != "auto"))
    elif column is not None:
        given = _pool_values(pool, column)
        values, codes = numbers(given)
    else:
        raise InputError("Name the 'column' that holds the ratings, or the 'file', or both.")
    used = (
        Scale.parse(scale, bins, values=values) if isinstance(scale, str) else scale or Scale.ds2()
    )
    hint = suggest_scale(values, used)
    outside = (codes == 0) & ~used.contains(values)
    codes[outside] = _OUTSIDE
    values[codes != 0] = np.nan
    name = rater or column or _file_name(Path(file or ""))
    if (codes != 0).all():
        raise InputError(
            f"No example has a rating from {shown(name)}: {_counted(codes)}."
            f"{_odd(given, codes)}{_after(hint)}"
        )
    if (codes != 0).any():
        unrated = int((codes != 0).sum())
        notes.append(f"{unrated:,} of {len(pool):,} examples have no rating: {_counted(codes)}.")
    notes += [hint] if hint else []
    if bins is None and (cut := _cut_between(values, used, scale)):
        notes.append(cut)
    if len(np.unique(used.to_scores(values[codes == 0]))) == 1:
        notes.append(
            "All ratings fall into one score, so the scores cannot tell any example from another."
        )
    for note in notes:
        warnings.warn(note, Ds2Warning, stacklevel=2)
    return Ratings(values, codes, used, name, tuple(notes))


def import_panel(
    pool: Pool,
    *,
    columns: Sequence[str],
    file: str | os.PathLike[str] | None = None,
    id_column: str = "id",
    layout: str = "auto",
    scale: Scale | str | None = None,
    bins: Sequence[int | float] | None = None,
    raters: Sequence[str] | None = None,
) -> Panel:
    """Take over the ratings of several raters: one column each, on one scale.

    Ratings on different scales are imported one by one and joined with `Panel`.

    Args:
        pool: the examples.
        columns: the fields of the pool, or with ``file`` the file's columns.
        file: as for `import_ratings`.
        id_column: as for `import_ratings`.
        layout: as for `import_ratings`.
        scale: as for `import_ratings`; cuts that the ratings decide are those of all together.
        bins: as for `import_ratings`.
        raters: who rated, in the order of the columns; by default the columns' names.

    Raises:
        InputError: as for `import_ratings`, or a name is given twice.
    """
    if isinstance(columns, str) or not columns:
        raise InputError(f"'columns' must be a list of names of columns. Got {columns!r}.")
    names = columns if raters is None else raters
    if isinstance(names, str) or len(names) != len(columns):
        raise InputError(
            f"'raters' must have one name for each of the {len(columns)} columns. Got {raters!r}."
        )

    def read(used: Scale | str | None) -> tuple[Ratings, ...]:
        return tuple(
            import_ratings(
                pool,
                column=column,
                file=file,
                id_column=id_column,
                layout=layout,
                scale=used,
                bins=bins,
                rater=name,
            )
            for column, name in zip(columns, names, strict=True)
        )

    found = read(scale)
    if isinstance(scale, str) and len({one.scale for one in found}) > 1:
        together = np.concatenate([one.values for one in found])
        found = read(Scale.parse(scale, bins, values=together))
    return Panel(found)


def _cut_between(values: np.ndarray, scale: Scale, told: object) -> str | None:
    """Say where ratings are cut that are finer than the scores; they keep their values."""
    known = values[~np.isnan(values)]
    different = len(np.unique(known))
    if isinstance(told, str) and different == scale.n_scores and (known != np.floor(known)).any():
        return f"The ratings have {different} different values: each is a score of its own."
    whole = bool((known == np.floor(known)).all())
    if different <= scale.n_scores or (whole and (different <= 10 or scale == Scale.ds2())):
        return None
    return (
        f"The ratings have {different:,} different values. They keep them; where scores are "
        f"counted they are cut into {scale.n_scores}, at "
        f"[{', '.join(f'{cut:.4g}' for cut in scale.cuts)}]. Other cuts: bins = [...]."
    )


def _pool_values(pool: Pool, column: str) -> list[object]:
    """Return a field of the pool, or what lies inside one, dot by dot."""
    head, *inner = column.split(".")
    if column in pool.columns or head not in pool.columns:
        return pool.column(column)
    values = pool.column(head)
    for name in inner:
        values = [_inside(value, name) for value in values]
        if all(value is None for value in values):
            raise InputError(f"No row of the pool has {shown(name)} inside {shown(head)}.")
    return values


def _inside(value: object, name: str) -> object:
    if isinstance(value, dict):
        return value.get(name)
    if isinstance(value, list) and name.isdecimal() and int(name) < len(value):
        return value[int(name)]
    return None


def _file_name(path: Path) -> str:
    """Return the name of a file without its suffix, and without that of its compression."""
    return Path(path.stem).stem if path.suffix in {".gz", ".zst"} else path.stem


def _odd(given: Sequence[object], codes: np.ndarray) -> str:
    """Show the first value that is no number."""
    place = next((row for row in range(len(given)) if codes[row] == _NO_NUMBER), None)
    if place is None:
        return ""
    return (
        f" Example {place + 1:,} has {shown(given[place])}: a rating is a number, or text that is "
        "one. Write numbers in place of words, true or false."
    )


def _after(sentence: str | None) -> str:
    return f" {sentence}" if sentence else ""


def _counted(codes: np.ndarray) -> str:
    counts = np.bincount(codes, minlength=len(PROBLEMS) + 1)[1:]
    return ", ".join(
        f"{count:,} {name}" for name, count in zip(PROBLEMS, counts, strict=True) if count
    )
