"""Lines of files with trusted scores: what each says, or what is wrong with it."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ds2.errors import InputError
from ds2.pool.files import file_kind
from ds2.pool.rows import Fault, RowSource, read_file
from ds2.pool.wording import kind_of, shown, shown_names

__all__ = ["ACTING", "PICTURES", "Line", "read_lines"]

_NEUTRALISED = re.compile(r"''*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_COMMA = re.compile(r"\s*[+-]?\d+,\d+\s*")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file.

    Attributes:
        where: the file and the line, for messages.
        ids: the id, as the sheet was written and as a spreadsheet may have left it.
        score: the score, or None where nobody gave one.
        note: what was written beside it.
        stratum: its code and how many examples the stratum holds, where the line says so.
        fault: what is wrong with the line; nothing else is to be used then.
    """

    where: str
    ids: tuple[str, ...] = ()
    score: float | None = None
    note: str = ""
    stratum: tuple[int, int] | None = None
    fault: str | None = None


def read_lines(path: Path) -> Iterator[Line]:
    """Yield the lines of a JSONL, JSON, CSV, TSV or Parquet file.

    Raises:
        InputError: it cannot be read, or no line has an id and a score.
    """
    source = read_file(path)
    sheet = file_kind(path).container in {"csv", "tsv"}
    names: dict[str, None] = {}
    for number, row in source.rows:
        where = f"{source.name}, {source.unit} {number:,}"
        if isinstance(row, Fault):
            yield Line(where, fault=f"{row.reason}.")
        else:
            names.update(dict.fromkeys(row))
            yield _line(where, row, sheet)
    _check_columns(source, names)


def _check_columns(source: RowSource, names: dict[str, None]) -> None:
    lacking = [name for name in ("id", "score") if name not in names]
    if not lacking:
        return
    listed = list(names)
    raise InputError(
        f"{source.name} has no column {' and no column '.join(shown(name) for name in lacking)}. "
        f"It has {shown_names(listed)}. Fill in the sheet that ds2 wrote, or give the columns "
        "these names."
    )


def _line(where: str, row: dict[str, object], sheet: bool) -> Line:
    ident = row.get("id")
    if isinstance(ident, int) and not isinstance(ident, bool):
        ident = str(ident)
    if not isinstance(ident, str) or not ident:
        found = kind_of(ident) if "id" in row and ident != "" else "nothing"
        return Line(where, fault=f"there is no id, but {found}. Copy it from the sheet.")
    score = _score(row.get("score"))
    if isinstance(score, str):
        return Line(where, fault=score)
    stratum = _stratum(row.get("stratum"), row.get("stratum_rows"))
    if isinstance(stratum, str):
        return Line(where, fault=stratum)
    note = row.get("note")
    text = note if isinstance(note, str) else ""
    if not sheet:
        return Line(where, (ident,), score, text, stratum)
    idents = (_original(ident).translate(_UNPICTURED), _original(ident), ident)
    return Line(where, idents, score, _original(text).translate(_UNPICTURED), stratum)


#: Control characters, on which a spreadsheet or a terminal might act, as pictures of them.
PICTURES = {
    **{code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\t\n\r"},
    **dict.fromkeys(range(0x7F, 0xA0), "\u2421"),
}
#: The same for what is read back: the two that act everywhere.
ACTING = {code: chr(0x2400 + code) for code in (0x00, 0x1B)}
_UNPICTURED = {0x2400 + code: chr(code) for code in ACTING}


def _original(cell: str) -> str:
    """Take off the apostrophe that keeps a spreadsheet from running the cell."""
    return cell[1:] if _NEUTRALISED.match(cell) else cell


def _score(value: object) -> float | str | None:
    """Return the score, None where there is none, or the fault."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    number = _number(value)
    if number is not None:
        return None if math.isnan(number) else number
    with_comma = isinstance(value, str) and _COMMA.fullmatch(value) is not None
    point = " with a point, as in 3.5" if with_comma else ""
    return f"the score {shown(value)} is not a number. Write a number{point}, or leave it empty."


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, str) and "_" in value:
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _stratum(code: object, rows: object) -> tuple[int, int] | str | None:
    """Return the stratum, None where the line names none, or the fault."""
    if code in (None, "") or rows in (None, ""):
        return None
    found = [_number(value) for value in (code, rows)]
    whole = [int(value) for value in found if value is not None and abs(value) < 2**53]
    if len(whole) < 2 or whole != found or whole[0] < 0 or whole[1] < 1:
        return (
            f"the stratum {shown(code)} with {shown(rows)} rows is none that ds2 wrote. Copy both "
            "from the sheet, or leave them empty."
        )
    return whole[0], whole[1]
