"""Numbers from files: a table joined on the id, or a list (JSON, or .npy) in the pool's order."""

import difflib
import json
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ds2.errors import InputError
from ds2.pool import Pool
from ds2.pool.files import check_readable
from ds2.pool.ids import match_ids, repeated_values
from ds2.pool.rows import Fault, RowSource, read_file
from ds2.pool.wording import kind_of, shown, shown_names, shown_path
from ds2.rating.ratings import PROBLEMS

if TYPE_CHECKING:
    import pyarrow

__all__ = ["ARRAYS", "UNPARSABLE", "UNSAFE", "from_table", "numbers", "read_list"]

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
