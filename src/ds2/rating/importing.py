"""Ratings that exist already: in a field of the pool, or in a table of their own."""

import difflib
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ds2.checks import check_choice
from ds2.errors import Ds2Warning, InputError
from ds2.pool import Pool
from ds2.pool.ids import repeated_values
from ds2.pool.rows import Fault, RowSource, read_file
from ds2.pool.wording import kind_of, shown, shown_names
from ds2.rating.hints import suggest_scale
from ds2.rating.others import LAYOUTS, UNPARSABLE, detect_layout, read_sheet
from ds2.rating.panel import Panel
from ds2.rating.placing import place
from ds2.rating.ratings import PROBLEMS, Ratings
from ds2.rating.scale import Scale

if TYPE_CHECKING:
    import pyarrow

__all__ = ["import_panel", "import_ratings"]

_BATCH = 4096
_MISSING, _NO_NUMBER, _OUTSIDE = range(1, 4)
_UNPARSABLE = 1 + PROBLEMS.index("unparsable")


def import_ratings(
    pool: Pool,
    *,
    column: str | None = None,
    file: str | os.PathLike[str] | None = None,
    id_column: str = "id",
    layout: str = "auto",
    scale: Scale | str | None = None,
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
        rater: who rated; by default the column's name, or the file's.

    Raises:
        InputError: there is no such column, the file has an id twice or none of the pool's, or
            no example has a rating.
    """
    used = Scale.parse(scale) if isinstance(scale, str) else scale or Scale.ds2()
    notes: list[str] = []
    if file is not None:
        check_choice("layout", layout, LAYOUTS)
        found = detect_layout(Path(file), id_column) if layout == "auto" else layout
        if found == "table":
            values, codes = _from_file(pool, Path(file), column, id_column, notes)
        else:
            sheet = read_sheet(Path(file), found, column, id_column)
            values, codes = _numbers(place(pool, sheet, notes, told=layout != "auto"))
    elif column is not None:
        values, codes = _numbers(_pool_values(pool, column))
    else:
        raise InputError("Name the 'column' that holds the ratings, or the 'file', or both.")
    hint = suggest_scale(values, used)
    outside = (codes == 0) & ~used.contains(values)
    codes[outside] = _OUTSIDE
    values[codes != 0] = np.nan
    name = rater or column or _file_name(Path(file or ""))
    if (codes != 0).all():
        raise InputError(
            f"No example has a rating from {shown(name)}: {_counted(codes)}.{_after(hint)}"
        )
    if (codes != 0).any():
        unrated = int((codes != 0).sum())
        notes.append(f"{unrated:,} of {len(pool):,} examples have no rating: {_counted(codes)}.")
    notes += [hint] if hint else []
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
        scale: as for `import_ratings`.
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
    return Panel(
        tuple(
            import_ratings(
                pool,
                column=column,
                file=file,
                id_column=id_column,
                layout=layout,
                scale=scale,
                rater=name,
            )
            for column, name in zip(columns, names, strict=True)
        )
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


def _after(sentence: str | None) -> str:
    return f" {sentence}" if sentence else ""


def _counted(codes: np.ndarray) -> str:
    counts = np.bincount(codes, minlength=len(PROBLEMS) + 1)[1:]
    return ", ".join(
        f"{count:,} {name}" for name, count in zip(PROBLEMS, counts, strict=True) if count
    )


def _numbers(raw: Iterable[object]) -> tuple[np.ndarray, np.ndarray]:
    """Return values of any kind as numbers, NaN with a problem's code where they are none."""
    pairs = [_number(value) for value in raw]
    return np.array([p[0] for p in pairs], np.float64), np.array([p[1] for p in pairs], np.int8)


def _number(value: object) -> tuple[float, int]:
    if value is None or (isinstance(value, str) and not value.strip()):
        return np.nan, _MISSING
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return np.nan, _UNPARSABLE if value is UNPARSABLE else _NO_NUMBER
    try:
        number = float(value)
    except ValueError:
        return np.nan, _NO_NUMBER
    except OverflowError:
        return np.inf, 0
    if isinstance(value, str) and "_" in value:
        return np.nan, _NO_NUMBER
    return number, _MISSING if np.isnan(number) else 0


def _from_file(
    pool: Pool, path: Path, column: str | None, id_column: str, notes: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the file's ratings in pool order, and note the ids that the pool does not have."""
    import pyarrow as pa
    import pyarrow.compute as pc

    source = read_file(path)
    ids, lines, values, codes = _read_table(source, column, id_column)
    first, again = repeated_values(ids)
    if len(again):
        raise InputError(
            f"{source.name}: the id {shown(ids[int(again[0])].as_py())} is given twice, in "
            f"{source.unit} {lines[first[0]]:,} and {source.unit} {lines[again[0]]:,}. Keep one."
        )
    known = pa.array(pool.table["id"].combine_chunks(), pa.string())
    row = pc.index_in(ids, value_set=known).fill_null(-1).to_numpy()
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
        value, code = _numbers(row.get(column) for _, row in batch)
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
    if type(value) is int:
        return str(value)
    found = f"it is {kind_of(value)}" if id_column in row else f"it has {shown_names(list(row))}"
    raise InputError(
        f"{source.name}, {source.unit} {line:,}: no id in the column {shown(id_column)} ({found}). "
        "Name the column of the ids with id_column."
    )
