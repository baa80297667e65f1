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
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial, reduce
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ds2.checks import check_choice
from ds2.errors import InputError, warn
from ds2.pool import Pool
from ds2.pool.files import check_readable
from ds2.pool.ids import match_ids
from ds2.pool.rows import Fault, read_file
from ds2.pool.wording import kind_of, shown, shown_names, shown_path
from ds2.rating.ratings import Note, Ratings, codes_of, counted
from ds2.rating.scale import Scale, even_bins

__all__ = ["import_panel", "import_ratings"]

_LAYOUTS = ("auto", "table", "list", "opendataarena", "alpagasus", "distilabel")
_MISSING, _NO_NUMBER, _OUTSIDE, _UNPARSABLE = codes_of(
    ["missing", "not a number", "out of range", "unparsable"]
).tolist()


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
    notes: list[Note] = []
    given: Callable[[], Iterable[object]]
    if file is not None:
        check_choice("layout", layout, _LAYOUTS)
        sheet = _read_sheet(Path(file), layout, column, id_column)
        placed = _place(pool, sheet, notes, told=layout != "auto")
        given = lambda: placed  # noqa: E731
    elif column is not None:
        given = pool_values(pool, column)
    else:
        raise InputError("Name the 'column' that holds the ratings, or the 'file', or both.")
    name = rater or column or _file_name(Path(file or ""))
    values, codes, tops = _numbers(given())
    used = (
        Scale.parse(scale, bins, values=values) if isinstance(scale, str) else scale or Scale.ds2()
    )
    if len(other := np.flatnonzero((tops != used.high) & ~np.isnan(tops))):
        top, value = f"{tops[other[0]]:g}", _nth(given(), int(other[0]))
        raise InputError(
            f"The ratings of {shown(name)} are out of {top}, as example {other[0] + 1:,} says "
            f"({shown(value)}), and the declared scale is {used.low:g} to {used.high:g}. "
            f'Set scale to the one that they are on, for example "1-{top}" or "0-{top}".'
        )
    hint = _other_scale(values, used)
    codes[(codes == 0) & ~used.contains(values)] = _OUTSIDE
    values[codes != 0] = np.nan
    rated = codes == 0
    if not rated.any():
        raise InputError(
            f"No example has a rating from {shown(name)}: {_counted(codes)}.{_odd(given(), codes)}"
            + "".join(f" {note}" for note in hint)
        )
    if not rated.all():
        numbers = {"unrated": int((~rated).sum()), "n": len(pool), "why": _counted(codes)}
        notes.append(Note("unrated", numbers))
    notes += hint
    if bins is None:
        notes += _cut_between(values[rated], used, told=isinstance(scale, str))
    if len(np.unique(used.to_scores(values[rated]))) == 1:
        notes.append(Note("one score"))
    for note in notes:
        warn(str(note))
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
) -> Ratings:
    """Take over the ratings of several raters: one column each, on one scale.

    Ratings on different scales are imported one by one and joined with `Ratings.join`.

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

    def read(used: Scale | str | None) -> list[Ratings]:
        return [
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
        ]

    found = read(scale)
    if isinstance(scale, str) and len({one.scale for one in found}) > 1:
        together = np.concatenate([one.values for one in found])
        found = read(Scale.parse(scale, bins, values=together))
    return Ratings.join(found)


def pool_values(pool: Pool, column: str) -> Callable[[], Iterable[object]]:
    """Return what yields a field of the pool, or what lies inside one, dot by dot."""
    head, *inner = column.split(".")
    if column in pool.columns or head not in pool.columns:
        return partial(pool.iter_column, column)

    def values(depth: int = len(inner)) -> Iterator[object]:
        return (reduce(_inside, inner[:depth], value) for value in pool.iter_column(head))

    for depth, name in enumerate(inner, 1):
        if all(value is None for value in values(depth)):
            raise InputError(f"No row of the pool has {shown(name)} inside {shown(head)}.")
    return values


def _inside(value: object, name: str) -> object:
    if isinstance(value, dict):
        return value.get(name)
    if isinstance(value, list) and name.isdecimal() and int(name) < len(value):
        return value[int(name)]
    return None


def _nth(values: Iterable[object], place: int) -> object:
    return next(islice(values, place, None))


def _file_name(path: Path) -> str:
    """Return the name of a file without its suffix, and without that of its compression."""
    return Path(path.stem).stem if path.suffix in {".gz", ".zst"} else path.stem


# -- values and what they mean --------------------------------------------------------------------

#: What stands where something else than a rating was given.
_ELSE = object()
#: A number with a decimal comma; with three digits behind it, it could be one of thousands.
_COMMA = re.compile(r"[+-]?\d+,(?:\d\d?|\d{4,})", re.ASCII)
#: "3.5/5", "4 out of 5 stars", and stars themselves, a half one behind them.
_OUT_OF = re.compile(
    r"([\d.,+-]+)\s*(?:/|out of|of)\s*(\d+)(?:\s*stars?)?", re.ASCII | re.IGNORECASE
)
_STARS = re.compile("([★⭐]+)(½?)☆*")


def _numbers(raw: Iterable[object]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return values of any kind as numbers, NaN with a problem's code where they are none.

    The third array is what each is said to be out of ("3.5/5"), NaN where it does not say.
    """
    kinds = np.dtype([("value", np.float64), ("code", np.int8), ("top", np.float64)])
    found = np.fromiter(map(_number, raw), kinds)
    values, codes, tops = (np.ascontiguousarray(found[name]) for name in kinds.names or ())
    return values, codes, tops


def _number(value: object) -> tuple[float, int, float]:
    none, top = np.nan, np.nan
    if value is None or (isinstance(value, str) and not value.strip()):
        return none, _MISSING, top
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return none, _UNPARSABLE if value is _ELSE else _NO_NUMBER, top
    if isinstance(value, str):
        value = value.strip().removesuffix("%").strip()
        if stars := _STARS.fullmatch(value):
            value = len(stars[1]) + 0.5 * bool(stars[2])
        elif out_of := _OUT_OF.fullmatch(value):
            value, top = out_of[1], float(out_of[2])
    if isinstance(value, str) and _COMMA.fullmatch(value):
        value = value.replace(",", ".")
    try:
        number = float(value.replace("_", "x") if isinstance(value, str) else value)
    except ValueError:
        return none, _NO_NUMBER, none
    except OverflowError:
        return np.inf, 0, top
    return number, _MISSING if np.isnan(number) else 0, top


def _counted(codes: np.ndarray) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counted(codes).items())


def _odd(given: Iterable[object], codes: np.ndarray) -> str:
    """Show the first value that is no number."""
    place = next((row for row, code in enumerate(codes) if code == _NO_NUMBER), None)
    if place is None:
        return ""
    return (
        f" Example {place + 1:,} has {shown(_nth(given, place))}: a rating is a number, or text "
        "that is one. Write numbers in place of words, true or false."
    )


def _cut_between(known: np.ndarray, scale: Scale, *, told: bool) -> list[Note]:
    """Say where ratings are cut that are finer than the scores; they keep their values."""
    different = len(np.unique(known))
    whole = bool((known == np.floor(known)).all())
    if told and different == scale.n_scores and not whole:
        return [Note("a score each", {"different": different})]
    if different <= scale.n_scores or (whole and (different <= 10 or scale == Scale.ds2())):
        return []
    cuts = f"[{', '.join(f'{cut:.4g}' for cut in scale.cuts)}]"
    return [Note("cut", {"different": different, "n_scores": scale.n_scores, "cuts": cuts})]


_COMMON = ((0.0, 1.0), (-1.0, 1.0), (1.0, 5.0), (0.0, 5.0), (1.0, 10.0), (0.0, 10.0), (0.0, 100.0))
#: So many ratings say something about the scale; so large a share outside does.
_ENOUGH, _MANY = 100, 0.25


def _other_scale(values: np.ndarray, scale: Scale) -> list[Note]:
    """Name the setting to use when the ratings fit another scale than the declared one.

    That is when most of them lie outside the declared range; when more than a quarter do, at
    more than one value (a single value, such as 0, may stand for "unrated"); or when all lie in a
    narrower range and either some are outside or the declared range's upper half is unused.
    """
    found = values[np.isfinite(values)]
    if len(found) == 0:
        return []
    outside = found[~scale.contains(found)]
    share = len(outside) / len(found)
    low = float(np.floor(found.min()))
    low, high = _around(found) or (low, float(max(np.ceil(found.max()), low + 1)))
    narrower = high - low < scale.high - scale.low
    unused = len(found) >= _ENOUGH and found.max() <= (scale.low + scale.high) / 2
    many = share > _MANY and len(np.unique(outside)) > 1
    if not (share > 0.5 or many or (narrower and (share > 0 or unused))):
        return []
    numbers = {
        "outside": len(outside),
        "n": len(found),
        "declared": f"{scale.low:g} to {scale.high:g}",
        "found": f"{low:g} to {high:g}",
        "setting": _setting(low, high, found),
    }
    return [Note("outside the scale" if len(outside) else "upper half unused", numbers)]


def _around(found: np.ndarray) -> tuple[float, float] | None:
    """The narrowest of the usual scales that holds all values."""
    ends = [(low, high) for low, high in _COMMON if low <= found.min() and found.max() <= high]
    return min(ends, key=lambda pair: pair[1] - pair[0], default=None)


def no_number(values: Sequence[object]) -> str:
    """Return a sentence on values of which some are given and none is a number; else nothing."""
    numbers, codes, _ = _numbers(values)
    return "" if np.isfinite(numbers).any() else _odd(values, codes).strip()


def guess_scale(values: Iterable[object], *, named: bool = False) -> str | None:
    """Return the scale that a column's values could be scores on, None where they are no scores.

    They could be where nine in ten of those given are numbers, not all of them equal, within a
    usual scale; whole numbers that all differ are taken for ids. Where the column is ``named`` as
    one of scores, these may be on any scale.
    """
    numbers, codes, tops = _numbers(values)
    found = numbers[np.isfinite(numbers)]
    if len(found) < max(2, 0.9 * int((codes != _MISSING).sum())):
        return None
    ends = _around(np.concatenate([found, tops[np.isfinite(tops)]]))
    whole = bool((found == np.floor(found)).all())
    different = len(np.unique(found))
    if named and ends is None and different > 1:
        step = 10.0 ** np.floor(np.log10(np.ptp(found)))
        ends = (np.floor(found.min() / step) * step + 0.0, np.ceil(found.max() / step) * step + 0.0)
    elif ends is None or different == 1 or (whole and different == len(found) > 10):
        return None
    return _scale_text(*ends, whole=whole)


def _scale_text(low: float, high: float, *, whole: bool) -> str:
    """Return a range as a recipe writes it; whole numbers from 0 are scores already."""
    plain = f"{low:.12g}-{high:.12g}"
    return f"levels:{int(high) + 1}" if whole and low == 0 and high <= 9 else plain


def _setting(low: float, high: float, values: np.ndarray) -> str:
    text = _scale_text(low, high, whole=bool((values == np.floor(values)).all()))
    try:
        if high - low > 2 or text.startswith("levels"):
            Scale.parse(text)
            return f'scale = "{text}"'
    except InputError:
        pass
    return f'scale = "{text}" and bins = {even_bins(low, high)}'


# -- files ----------------------------------------------------------------------------------------

_Row: TypeAlias = Mapping[str, object]
_Rows: TypeAlias = list[tuple[int, dict[str, object]]]
#: Files of arrays, and files that can run code when they are read.
_ARRAYS, _UNSAFE = (".npy",), (".pt", ".pth", ".pkl", ".pickle")
_PEEK = 50
_RATINGS = ("ratings", "rating", "scores", "score")
_ANSWERS = ("generations", "generation", "responses", "response", "output", "completion")
_PROMPTS = ("instruction", "prompt", "instructions")
_ODA = ("Q_scores", "QA_scores", "A_scores")
_MARKERS = ("###Instruction:", "### Input:", "### Response:")
_DIGITS = r"[+-]?(?:\d+\.?\d*|\.\d+)"
_RATED = rf"({_DIGITS}(?:\s*(?:/|out of)\s*\d+)?)"
_FIRST = re.compile(rf"\s*{_RATED}\s*\.?\s*(?:\n|$)", re.ASCII)
_NAMED = re.compile(rf"\b(?:score|rating)\s*[:=]\s*{_RATED}(?!\.?\d)", re.ASCII | re.I)


@dataclass(slots=True)
class _Sheet:
    """What a file rates, one entry a rating: where it stands, from 1, its id, text and value.

    ``unit`` is what ``lines`` counts: "line" or "row"; ``keys`` are the `_text_key` of what each
    entry rates, None where the file does not hold the text; ``values`` are as they were read.
    """

    name: str
    layout: str
    unit: str = "row"
    lines: list[int] = field(default_factory=list)
    ids: list[str | None] = field(default_factory=list)
    keys: list[int | None] = field(default_factory=list)
    values: list[object] = field(default_factory=list)

    def add(self, line: int, name: str | None, key: int | None, value: object) -> None:
        self.lines.append(line)
        self.ids.append(name)
        self.keys.append(key)
        self.values.append(value)

    def at(self, entry: int) -> str:
        return f"{self.unit} {self.lines[entry]:,}"


def _read_sheet(path: Path, layout: str, column: str | None, id_column: str) -> _Sheet:
    """Read a file whole.

    Raises:
        InputError: it is not of the layout, or holds several ratings and ``column`` names none of
            them.
    """
    layout = _layout_of(path, id_column) if layout == "auto" else layout
    if layout == "list":
        sheet = _Sheet(shown_path(path), layout)
        for line, value in enumerate(_read_list(path, column), start=1):
            sheet.add(line, None, None, value)
        return sheet
    source = read_file(path)
    rows: _Rows = []
    for line, row in source.rows:
        if isinstance(row, Fault):
            raise InputError(f"{source.name}, {source.unit} {line:,}: {row.reason}.")
        rows.append((line, row))
    if not rows:
        raise InputError(f"{source.name} holds no rows.")
    sheet = _Sheet(source.name, layout, source.unit)
    read = {"table": _read_table, "opendataarena": _read_oda, "alpagasus": _read_reviews}
    read.get(layout, _read_pairs)(sheet, rows, column, id_column)
    return sheet


def _layout_of(path: Path, id_column: str) -> str:
    """Return the layout of a file by its suffix and its first rows."""
    if path.suffix.lower() in _ARRAYS + _UNSAFE:
        return "list"
    first = [row for _, row in islice(read_file(path).rows, _PEEK)]
    if first and all(
        isinstance(row, Fault) and row.text.lstrip()[:1] in set("-0123456789[Nn") for row in first
    ):
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


def _named(row: _Row, names: Iterable[str]) -> str | None:
    return next((name for name in names if row.get(name) is not None), None)


def _id_of(row: _Row, id_column: str) -> str | None:
    value = row.get(id_column)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if type(value) in (int, str) and value != "" else None


def _read_table(sheet: _Sheet, rows: _Rows, column: str | None, id_column: str) -> None:
    names = list(dict.fromkeys(name for _, row in rows for name in row))
    if column is None:
        others = [name for name in names if name != id_column]
        choices = (others, [name for name in others if name in {"rating", "score"}])
        column = next((choice[0] for choice in choices if len(choice) == 1), None)
        if column is None:
            raise InputError(
                f"Name the column of {sheet.name} that holds the ratings. It has "
                f"{shown_names(others)}."
            )
    if column not in names:
        near = difflib.get_close_matches(column, names, n=1, cutoff=0.5)
        raise InputError(
            f"{sheet.name} has no column {shown(column)}. It has {shown_names(names)}."
            + "".join(f" Did you mean {shown(name)}?" for name in near)
        )
    for line, row in rows:
        ident = _id_of(row, id_column)
        if ident is None:
            there = id_column in row
            found = kind_of(row[id_column]) if there else shown_names(list(row))
            raise InputError(
                f"{sheet.name}, {sheet.unit} {line:,}: no id in the column {shown(id_column)} (it "
                f"{'is' if there else 'has'} {found}). Name the column of the ids with id_column."
            )
        sheet.add(line, ident, None, row.get(column))


def _oda_part(row: _Row) -> dict[str, object]:
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


def _read_oda(sheet: _Sheet, rows: _Rows, column: str | None, id_column: str) -> None:
    parts = [_oda_part(row) for _, row in rows]
    used = {name for part in parts for name, value in part.items() if value is not None}
    name = _one_of(sheet, column, sorted(used))
    for (line, row), part in zip(rows, parts, strict=True):
        sheet.add(line, _id_of(row, id_column), _pair_key(row), part.get(name))


def _one_of(sheet: _Sheet, column: str | None, names: list[str]) -> str:
    """Return the column to read: the one named, or the only one."""
    if column in names:
        return str(column)
    if column is None and len(names) == 1:
        return names[0]
    said = f"has no ratings called {shown(column)}" if column else "holds several ratings"
    raise InputError(
        f"{sheet.name} {said if names else 'holds no ratings'}. "
        f"Name one with column: {shown_names(sorted(names), 24)}."
    )


def _pair_key(row: _Row) -> int | None:
    texts = [row.get("instruction"), row.get("input") or "", row.get("output")]
    if texts[2] is None or not all(isinstance(text, str) for text in texts):
        return None
    return _text_key(str(text) for text in texts)


def _text_key(texts: Iterable[str]) -> int:
    """Return a 64-bit hash of texts in a row, blind to white space between and inside them."""
    joined = "".join("".join(text.split()) for text in texts)
    return int.from_bytes(blake2b(joined.encode("utf-8", "replace"), digest_size=8).digest())


def _read_reviews(sheet: _Sheet, rows: _Rows, column: str | None, id_column: str) -> None:
    for line, row in rows:
        if column and column not in row:
            raise InputError(f"{sheet.name}, {sheet.unit} {line:,}: no {shown(column)}.")
        value = row.get(column) if column else row.get("score", row.get("review"))
        key = _triplet_key(row.get("triplet")) or _pair_key(row)
        sheet.add(line, _id_of(row, id_column), key, _ELSE if value == -1 else _rating_in(value))


def _rating_in(value: object) -> object:
    """Return the rating that a review begins with or names ("4", "4/5"), `_ELSE` without one."""
    if not isinstance(value, str) or not value.strip():
        return value
    found = _FIRST.match(value) or _NAMED.search(value)
    return found[1] if found else _ELSE


def _triplet_key(triplet: object) -> int | None:
    if not isinstance(triplet, str):
        return None
    parts = [triplet]
    for marker in _MARKERS:
        *before, last = parts
        parts = [*before, *last.split(marker, 1)]
    return _text_key(parts) if len(parts) == len(_MARKERS) + 1 else None


def _read_pairs(sheet: _Sheet, rows: _Rows, column: str | None, id_column: str) -> None:
    if column and not any(column in row for _, row in rows):
        _one_of(sheet, column, [name for name in rows[0][1] if name not in _PROMPTS + _ANSWERS])
    for line, row in rows:
        found = _flat(row.get(column or _named(row, _RATINGS) or ""))
        rated = _pairs(row)
        if rated and len(found) != len(rated):
            found = [_ELSE if any(value is not None for value in found) else None] * len(rated)
        for key, value in zip(rated or [None] * len(found), found, strict=True):
            sheet.add(line, _id_of(row, id_column), key, _rating_in(value))
    if not sheet.values:
        raise InputError(f"{sheet.name} holds no ratings.")


def _pairs(row: _Row) -> list[int | None]:
    """Return the key of every pair of instruction and generation that a row rates."""
    asked, said = _named(row, _PROMPTS), _named(row, _ANSWERS)
    prompts = _flat(row.get(asked)) if asked else []
    answers = _flat(row.get(said)) if said else []
    if not prompts or not answers:
        return []
    prompts = prompts * len(answers) if len(prompts) == 1 else prompts
    return [
        _text_key((p, a)) if isinstance(p, str) and isinstance(a, str) else None
        for p, a in zip(prompts, answers, strict=False)
    ]


def _flat(value: object) -> list[object]:
    """Return a value, or the values of a list of lists of any depth, as one list."""
    if isinstance(value, list):
        return [inner for part in value for inner in _flat(part)]
    return [value]


def _read_list(path: Path, column: str | None) -> list[object]:
    """Return one number per example as it was read; of lists, the number at the place ``column``.

    Raises:
        InputError: the file holds something else, or could run code.
    """
    name, suffix = shown_path(path), path.suffix.lower()
    if suffix in _UNSAFE:
        raise InputError(
            f"{name} can run code when it is read, so ds2 does not read it. Convert it with: "
            'python -c "import sys, numpy, torch; numpy.save(sys.argv[2], '
            'numpy.asarray(torch.load(sys.argv[1])))" OLD.pt NEW.npy'
        )
    values = _array_values(path, name) if suffix in _ARRAYS else _listed_values(path)
    if not values:
        raise InputError(f"{name} holds no ratings.")
    width = max((len(value) for value in values if isinstance(value, list)), default=0)
    if not width:
        return values
    if not (width == 1 if column is None else column.isdecimal() and int(column) < width):
        got = f" Got {shown(column)}." if column is not None else ""
        raise InputError(
            f"Each row of {name} has {width} numbers. Name one with column = '0' (the first) to "
            f"'{width - 1}'.{got}"
        )
    at = int(column or 0)
    lists = [value if isinstance(value, list) else [value] * (width == 1) for value in values]
    return [
        one[at] if at < len(one) else None if value is None or isinstance(value, list) else _ELSE
        for one, value in zip(lists, values, strict=True)
    ]


def _array_values(path: Path, name: str) -> list[object]:
    check_readable(path)
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError):
        raise InputError(
            f"{name} is no array of numbers that can be read without running code. Save it again "
            "with numpy.save from an array of numbers."
        ) from None
    if array.ndim not in (1, 2) or array.dtype.kind not in "iufb":
        raise InputError(
            f"{name} must hold one number per example, or one row of numbers. Got {array.dtype} of "
            f"shape {array.shape}."
        )
    return list(array.tolist())


def _listed_values(path: Path) -> list[object]:
    source = read_file(path)
    values: list[object] = []
    for line, row in source.rows:
        if isinstance(row, Fault) and row.reason.startswith("not an object"):
            values.append(json.loads(row.text))
            continue
        what = "an object stands where a number or a list of numbers is expected"
        what = row.reason if isinstance(row, Fault) else what
        raise InputError(f"{source.name}, {source.unit} {line:,}: {what}.")
    return values


# -- which example an entry rates -----------------------------------------------------------------


def _place(pool: Pool, sheet: _Sheet, notes: list[Note], *, told: bool) -> list[object]:
    """Return the sheet's values in the pool's order, None where an example has none.

    A table is joined on the ids. Elsewhere the texts decide where the file holds those of the pool,
    then the ids, then the order, where there are as many entries as examples. Examples of one text
    share an entry. What the user should know is added to the notes; where the layout was ``told``,
    only what is uncertain.

    Raises:
        InputError: nothing tells which example an entry rates, or an id has two entries.
    """
    n = len(sheet.values)
    if sheet.layout == "table":
        rows, n_known, loosely = _by_id(pool, sheet)
        if not n_known:
            raise InputError(
                f"None of the {n:,} ids in {sheet.name} is in the pool: the file's first is "
                f"{shown(sheet.ids[0])}, the pool's first is {shown(pool[0].id)}. Name the file's "
                "column with id_column, or the pool's field with id_field when the pool is read."
            )
        if loosely:
            notes.append(Note("ids alike", {"n": loosely, "name": sheet.name}))
        if n_known < n:
            numbers = {"unknown": n - n_known, "n": n, "name": sheet.name}
            notes.append(Note("ids unknown", numbers))
    else:
        (rows, n_known), how = _by_text(pool, sheet), "joined on the texts"
        if 2 * n_known < n:
            by_id, n_by_id, _ = _by_id(pool, sheet)
            if n_by_id > n_known:
                rows, n_known, how = by_id, n_by_id, "joined on the ids"
        if n_known == 0:
            rows, n_known, how = _by_order(pool, sheet), n, "taken in the pool's order"
        if not told or n_known < n or "order" in how:
            left = f"; {n - n_known:,} rate no example of the pool" if n_known < n else ""
            numbers = {"name": sheet.name, "layout": shown(sheet.layout), "n": n, "how": how}
            notes.append(Note("layout", numbers | {"left": left}))
    return [sheet.values[row] if row >= 0 else None for row in rows.tolist()]


def _by_text(pool: Pool, sheet: _Sheet) -> tuple[np.ndarray, int]:
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
        key = _text_key(m.content for m in example.messages if m.role != "system")
        same = entries.get(key)
        if same:
            rows[row] = same[min(seen[key], len(same) - 1)]
            seen[key] += 1
    return rows, sum(len(entries[key]) for key in seen)


def _by_id(pool: Pool, sheet: _Sheet) -> tuple[np.ndarray, int, int]:
    """Do the same by ids; also return how many ids are the pool's only loosely."""
    named = [entry for entry, name in enumerate(sheet.ids) if name is not None]
    first: dict[str | None, int] = {}
    for entry in named if sheet.layout == "table" else ():
        if (before := first.setdefault(sheet.ids[entry], entry)) != entry:
            raise _two_ratings(sheet, before, entry)
    where, loosely = match_ids(pool.table["id"], [str(sheet.ids[entry]) for entry in named])
    rows = np.full(len(pool), -1, dtype=np.int64)
    for entry, row in zip(named, where.tolist(), strict=True):
        if row >= 0:
            if rows[row] >= 0:
                raise _two_ratings(sheet, int(rows[row]), entry)
            rows[row] = entry
    return rows, int((rows >= 0).sum()), loosely


def _two_ratings(sheet: _Sheet, one: int, two: int) -> InputError:
    same = sheet.ids[one] == sheet.ids[two]
    what = (
        f"the id {shown(sheet.ids[one])} is given twice"
        if same
        else f"the ids {shown(sheet.ids[one])} and {shown(sheet.ids[two])} are one value"
    )
    other = "" if sheet.layout == "table" else ", or read a pool of the texts that the file rates"
    return InputError(
        f"{sheet.name}: {what}, in {sheet.at(one)} and {sheet.at(two)}. Keep one{other}."
    )


def _by_order(pool: Pool, sheet: _Sheet) -> np.ndarray:
    n = len(sheet.values)
    if n != len(pool):
        raise InputError(
            f"{sheet.name} holds {n:,} ratings and the pool {len(pool):,} examples, and neither "
            "texts nor ids tell which rates which. Give the file the pool's ids, or read the same "
            "rows as a pool."
        )
    numbers = [int(name) if name and name.isdecimal() else -1 for name in sheet.ids]
    for first in (0, 1):
        if sorted(numbers) == [*range(first, first + n)]:
            return np.argsort(np.array(numbers, dtype=np.int64))
    return np.arange(n)
