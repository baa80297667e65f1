"""Ratings that exist already: in a field of the pool, or in a table of their own."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ds2.checks import check_choice
from ds2.errors import Ds2Warning, InputError
from ds2.pool import Pool
from ds2.pool.wording import shown
from ds2.rating.others import LAYOUTS, detect_layout, read_sheet
from ds2.rating.panel import Panel
from ds2.rating.placing import place
from ds2.rating.ratings import PROBLEMS, Ratings
from ds2.rating.scale import Scale, suggest_scale
from ds2.rating.tables import from_table, numbers

__all__ = ["import_panel", "import_ratings"]

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
