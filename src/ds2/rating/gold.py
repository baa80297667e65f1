"""Trusted scores of people: a sheet to fill in, and the filled sheets read back.

A sheet holds the id, the conversation, an empty score and an empty note, and, for the estimates,
the stratum that the example was drawn from. It never holds a rater's score. In CSV and TSV a cell
that a spreadsheet would run as a formula begins with an apostrophe, which is taken off again when
the sheet is read.
"""

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ds2.atomic import writing
from ds2.checks import check_rows
from ds2.errors import InputError
from ds2.pool import Pool
from ds2.pool.files import WRITERS, OutRow, file_kind, writer
from ds2.pool.rows import Fault, RowSource, read_file
from ds2.pool.wording import kind_of, shown, shown_names, shown_path
from ds2.rating.scale import Scale

__all__ = [
    "ACTING",
    "PICTURES",
    "GoldScores",
    "Line",
    "read_gold",
    "read_lines",
    "write_gold_sheet",
]

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


#: Where spreadsheets begin a formula, after any number of apostrophes of our own.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
#: A spreadsheet's cell holds 32,767 characters.
_LONGEST = 30_000
_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, eq=False)
class GoldScores:
    """Trusted scores of some examples of a pool, in pool order.

    Attributes:
        values: (n,) scores on ``scale`` as they were given, NaN where there is none.
        scale: what they mean: the scale of the ratings.
        stratum: (n,) code of the stratum that the example was drawn from, −1 where not known.
        stratum_rows: (n,) how many examples of the pool that stratum holds, 0 where not known.
        notes: what people wrote beside a score, by row.
        faults: one sentence for each line that could not be used.
        warnings: what the user should know, such as scores that were replaced.
    """

    values: np.ndarray
    scale: Scale
    stratum: np.ndarray
    stratum_rows: np.ndarray
    notes: Mapping[int, str] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    @property
    def n_scored(self) -> int:
        """How many examples have a trusted score."""
        return int((~np.isnan(self.values)).sum())

    def levels(self) -> np.ndarray:
        """Return the scores as float64 of shape (n,) on 0 … K − 1, where they may be fractions.

        Linear between the cuts of the scale, so that rounding gives the score that the scale's
        bins give; scores that are levels already stay as they are.
        """
        return self.scale.to_finer(self.values)

    def weights(self) -> np.ndarray | None:
        """Return how many examples of the pool each scored one stands for, or None.

        float64 of shape (n,), N_h / (number scored in stratum h), NaN where there is no score or
        no known stratum. None where a stratum was given two sizes, by plans that were not made
        to extend each other, or where a score has no stratum: then every score counts the same.
        """
        known = ~np.isnan(self.values) & (self.stratum >= 0)
        if (~np.isnan(self.values) & (self.stratum < 0)).any():
            return None
        codes, inverse = np.unique(self.stratum[known], return_inverse=True)
        sizes = self.stratum_rows[known]
        if not len(codes) or (sizes <= 0).any():
            return None
        counts = np.bincount(inverse)
        if any(len(np.unique(sizes[inverse == code])) > 1 for code in range(len(codes))):
            return None
        weights = np.full(len(self), np.nan)
        weights[known] = sizes / counts[inverse]
        return weights

    def save(self, path: str | os.PathLike[str], pool: Pool) -> None:
        """Write the scores as JSONL that `read_gold` reads, complete or not at all."""
        rows = np.flatnonzero(~np.isnan(self.values))
        ids = pool.table["id"].take(rows).to_pylist()
        _write(Path(path), (self._line(int(row), ids[at]) for at, row in enumerate(rows)))

    def _line(self, row: int, ident: str) -> OutRow:
        line: OutRow = {"id": ident, "score": float(self.values[row])}
        if row in self.notes:
            line["note"] = self.notes[row]
        if self.stratum[row] >= 0:
            line |= {
                "stratum": int(self.stratum[row]),
                "stratum_rows": int(self.stratum_rows[row]),
            }
        return line


def write_gold_sheet(
    pool: Pool,
    rows: np.ndarray,
    path: str | os.PathLike[str],
    *,
    strata: np.ndarray,
    stratum_rows: np.ndarray,
    probabilities: np.ndarray,
) -> None:
    """Write the examples to score, in the order given, complete or not at all.

    Args:
        pool: the examples.
        rows: (m,) row numbers.
        path: a .jsonl, .json, .csv, .tsv or .parquet file, also .gz or .zst. In CSV and TSV a
            conversation of more than 30,000 characters loses its middle, with a mark.
        strata: (m,) code of the stratum of each; it should tell nothing about a rater's score.
        stratum_rows: (m,) how many examples of the pool that stratum holds.
        probabilities: (m,) inclusion probability of each.

    Raises:
        InputError: shapes do not fit, or nothing can be written there.
    """
    for name, values in (
        ("strata", strata),
        ("stratum_rows", stratum_rows),
        ("probabilities", probabilities),
    ):
        check_rows(name, values, len(rows))
    chosen = pool.take(rows)
    lines: list[OutRow] = [
        {
            "id": ident,
            "conversation": text,
            "score": None,
            "note": None,
            "stratum": int(strata[at]),
            "stratum_rows": int(stratum_rows[at]),
            "probability": float(probabilities[at]),
        }
        for at, (ident, text) in enumerate(zip(chosen.ids, chosen.texts(), strict=True))
    ]
    _write(Path(path), lines)


def read_gold(
    pool: Pool,
    files: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    scale: Scale | str,
) -> GoldScores:
    """Read sheets that people filled in, what the page downloads, and what `save` wrote.

    A line needs an id and a score; a line without a score is an example that nobody scored. An
    example that was scored again keeps the last score, in the order of files and lines, and a
    warning says so. A line that cannot be used becomes a fault, and the others still count.

    Args:
        pool: the examples.
        files: one file or several, .jsonl, .json, .csv, .tsv or .parquet, also .gz or .zst.
        scale: the scale that the scores are on, or text for `Scale.parse`.

    Raises:
        InputError: a file cannot be read or has no column of ids or scores, or no line of any
            file holds a score.
    """
    used = Scale.parse(scale) if isinstance(scale, str) else scale
    paths = [files] if isinstance(files, (str, os.PathLike)) else list(files)
    if not paths:
        raise InputError("Name at least one file of trusted scores.")
    gathered = _Gathered(pool, used)
    for path in paths:
        for line in read_lines(Path(path)):
            gathered.add(line)
    return gathered.finish([shown_path(path) for path in paths])


class _Gathered:
    """What the lines so far amount to."""

    def __init__(self, pool: Pool, scale: Scale) -> None:
        self._rows = {ident: row for row, ident in enumerate(pool.ids)}
        self._scale = scale
        self._values = np.full(len(pool), np.nan)
        self._stratum = np.full(len(pool), -1, dtype=np.int64)
        self._sizes = np.zeros(len(pool), dtype=np.int64)
        self._notes: dict[int, str] = {}
        self._faults: list[str] = []
        self._replaced: dict[int, str] = {}
        self._unscored = 0

    def add(self, line: Line) -> None:
        """Take over one line, or note what is wrong with it."""
        fault = line.fault or self._check(line)
        if fault:
            self._faults.append(f"{line.where}: {fault}")
        elif line.score is None:
            self._unscored += 1
        else:
            self._take(self._row(line.ids), line)

    def _check(self, line: Line) -> str | None:
        if self._row(line.ids) < 0:
            return (
                f"the id {shown(line.ids[0])} is not in the pool. A spreadsheet may have rewritten "
                "it; copy it from the sheet that ds2 wrote."
            )
        if line.score is not None and not self._scale.low <= line.score <= self._scale.high:
            return (
                f"the score {line.score:g} is outside {self._scale.low:g} to "
                f"{self._scale.high:g}. Correct it, or leave it empty."
            )
        return None

    def _row(self, ids: Iterable[str]) -> int:
        return next((self._rows[ident] for ident in ids if ident in self._rows), -1)

    def _take(self, row: int, line: Line) -> None:
        before, now = self._values[row], float(line.score or 0.0)
        if not np.isnan(before) and before != now:
            self._replaced[row] = f"{shown(line.ids[0])} from {before:g} to {now:g} in {line.where}"
        self._values[row] = now
        if line.stratum is not None:
            self._stratum[row], self._sizes[row] = line.stratum
        if line.note:
            self._notes[row] = line.note

    def finish(self, names: list[str]) -> GoldScores:
        if np.isnan(self._values).all():
            first = f" {self._faults[0]}" if self._faults else ""
            raise InputError(
                f"No example has a score in {', '.join(names)}: {self._unscored:,} lines without a "
                f"score, {len(self._faults):,} that could not be used.{first}"
            )
        found = GoldScores(
            self._values, self._scale, self._stratum, self._sizes, self._notes, tuple(self._faults)
        )
        said = list(self._said())
        if found.weights() is None and (self._stratum >= 0).any():
            said.append(
                "The trusted scores do not come from one plan of strata, so no weights can be "
                "given: every score counts the same, and estimates may lean towards the examples "
                "that were asked for more often."
            )
        return replace(found, warnings=tuple(said))

    def _said(self) -> Iterable[str]:
        if self._replaced:
            listed = "; ".join(list(self._replaced.values())[:3])
            more = "; …" if len(self._replaced) > 3 else ""
            yield (
                f"Scored again, and the last score counts, for {len(self._replaced):,} "
                f"example{'s' if len(self._replaced) > 1 else ''}: {listed}{more}."
            )


def _write(path: Path, lines: Iterable[OutRow]) -> None:
    kind = file_kind(path)
    sheet = kind.container in {"csv", "tsv"}
    rows = [_neutral(line) for line in lines] if sheet else list(lines)
    with writing(path) as temporary, writer(temporary, kind.compression) as stream:
        if sheet:
            stream.write(_MARK)  # without it Excel takes UTF-8 for something else
        WRITERS[kind.container](lambda: iter(rows), stream)


def _neutral(line: OutRow) -> OutRow:
    """Return a line whose texts no spreadsheet runs, cuts or refuses."""
    return {name: _cell(name, value) for name, value in line.items()}


def _cell(name: str, value: object) -> object:
    if not isinstance(value, str):
        return value
    value = value.translate(PICTURES if name == "conversation" else ACTING)
    if name == "conversation" and len(value) > _LONGEST:
        left_out = f"\n[… {len(value) - _LONGEST:,} characters left out …]\n"
        value = value[: _LONGEST * 2 // 3] + left_out + value[-_LONGEST // 3 :]
    return f"'{value}" if _FORMULA.match(value) else value
