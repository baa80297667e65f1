"""Trusted scores of people: a sheet to fill in, and the filled sheets read back.

A sheet holds the id, the conversation, an empty score and an empty note, and, for the estimates,
the stratum that the example was drawn from. It never holds a rater's score. In CSV and TSV a cell
that a spreadsheet would run as a formula begins with an apostrophe, which is taken off again when
the sheet is read.
"""

import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ds2.atomic import writing
from ds2.checks import check_rows
from ds2.errors import InputError
from ds2.pool import Pool
from ds2.pool.files import WRITERS, OutRow, file_kind, writer
from ds2.pool.ids import Places
from ds2.pool.rows import Fault, read_file
from ds2.pool.wording import kind_of, shown, shown_names, shown_path
from ds2.rating.scale import Scale

__all__ = ["GoldScores", "read_gold", "write_gold_sheet"]

#: Where spreadsheets begin a formula, after any number of apostrophes of our own.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_COMMA = re.compile(r"\s*[+-]?\d+,\d+\s*")
#: A spreadsheet's cell holds 32,767 characters.
_LONGEST = 30_000
_MARK = b"\xef\xbb\xbf"
#: Control characters, on which a spreadsheet or a terminal might act, as pictures of them.
_PICTURES = {
    **{code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\t\n\r"},
    **dict.fromkeys(range(0x7F, 0xA0), "\u2421"),
}
#: The same for what is read back: the two that act everywhere.
_ACTING = {code: chr(0x2400 + code) for code in (0x00, 0x1B)}
_UNPICTURED = {0x2400 + code: chr(code) for code in _ACTING}


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
        rows = np.flatnonzero(~np.isnan(self.values)).tolist()
        lines: list[OutRow] = []
        for row, ident in zip(rows, pool.take(rows).ids, strict=True):
            lines.append({"id": ident, "score": float(self.values[row])})
            if row in self.notes:
                lines[-1]["note"] = self.notes[row]
            if self.stratum[row] >= 0:
                lines[-1]["stratum"] = int(self.stratum[row])
                lines[-1]["stratum_rows"] = int(self.stratum_rows[row])
        _write(Path(path), lines)


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
    rows: np.ndarray | None = None,
    strata: bool = True,
) -> GoldScores:
    """Read sheets that people filled in, what the page downloads, and what `save` wrote.

    A line needs an id and a score; a line without a score is an example that nobody scored. An
    example that was scored again keeps the last score, in the order of files and lines, and a
    warning says so. A line that cannot be used becomes a fault, and the others still count.

    Args:
        pool: the examples.
        files: one file or several, .jsonl, .json, .csv, .tsv or .parquet, also .gz or .zst.
        scale: the scale that the scores are on, or text for `Scale.parse`.
        rows: (n,) True for the examples whose lines are read; the others' are left alone, and that
            none of these has a score is no error.
        strata: whether the strata of the sheets are read as well.

    Raises:
        InputError: a file cannot be read or has no column of ids or scores, or no line of any
            file holds a score.
    """
    used = Scale.parse(scale) if isinstance(scale, str) else scale
    paths = [files] if isinstance(files, (str, os.PathLike)) else list(files)
    if not paths:
        raise InputError("Name at least one file of trusted scores.")
    n, places = len(pool), Places(pool.table["id"])
    gold = GoldScores(np.full(n, np.nan), used, np.full(n, -1), np.zeros(n, dtype=np.int64), {})
    notes, faults, replaced, n_unscored = dict[int, str](), list[str](), dict[int, str](), 0
    for path in map(Path, paths):
        source, names = read_file(path), dict[str, None]()
        sheet = file_kind(path).container in {"csv", "tsv"}
        for number, line in source.rows:
            where = f"{source.name}, {source.unit} {number:,}"
            try:
                if isinstance(line, Fault):
                    raise _UnusableError(f"{line.reason}.")
                names.update(dict.fromkeys(line))
                score = _score(line.get("score"), used)
                if score is None:
                    n_unscored += 1
                    continue
                row = _row_of(line, places, sheet=sheet)
                if rows is not None and not rows[row]:
                    continue
                stratum = _stratum(line) if strata else None
            except _UnusableError as fault:
                faults.append(f"{where}: {fault}")
                continue
            before = gold.values[row]
            if not np.isnan(before) and before != score:
                replaced[row] = f"{shown(pool[row].id)} from {before:g} to {score:g} in {where}"
            gold.values[row] = score
            if stratum is not None:
                gold.stratum[row], gold.stratum_rows[row] = stratum
            if isinstance(note := line.get("note"), str) and note:
                notes[row] = _original(note).translate(_UNPICTURED) if sheet else note
        if lacking := [name for name in ("id", "score") if name not in names]:
            raise InputError(
                f"{source.name} has no column "
                f"{' and no column '.join(shown(name) for name in lacking)}. It has "
                f"{shown_names(list(names))}. Fill in the sheet that ds2 wrote, or give the "
                "columns these names."
            )
    if not gold.n_scored and rows is None:
        raise InputError(
            f"No example has a score in {', '.join(shown_path(path) for path in paths)}: "
            f"{n_unscored:,} lines without a score, {len(faults):,} that could not be used."
            + "".join(f" {fault}" for fault in faults[:1])
        )
    said = tuple(_warnings(gold, list(replaced.values())))
    return replace(gold, notes=notes, faults=tuple(faults), warnings=said)


def _warnings(gold: GoldScores, replaced: Sequence[str]) -> Iterator[str]:
    if replaced:
        more = "; …" if len(replaced) > 3 else ""
        yield (
            f"Scored again, and the last score counts, for {len(replaced):,} "
            f"example{'s' if len(replaced) > 1 else ''}: {'; '.join(replaced[:3])}{more}."
        )
    if gold.weights() is None and (gold.stratum >= 0).any():
        yield (
            "The trusted scores do not come from one plan of strata, so no weights can be given: "
            "every score counts the same, and estimates may lean towards the examples that were "
            "asked for more often."
        )


class _UnusableError(Exception):
    """What is wrong with a line; nothing else in it is used."""


def _row_of(line: Mapping[str, object], places: Places, *, sheet: bool) -> int:
    """Return the example that a line is about; a spreadsheet may have changed how its id looks."""
    ident = line.get("id")
    if isinstance(ident, int) and not isinstance(ident, bool):
        ident = str(ident)
    if not isinstance(ident, str) or not ident:
        found = kind_of(ident) if "id" in line and ident != "" else "nothing"
        raise _UnusableError(f"there is no id, but {found}. Copy it from the sheet.")
    plain = _original(ident)
    idents = (plain.translate(_UNPICTURED), plain, ident) if sheet else (ident,)
    row = next((int(row) for row in places.find(idents) if row >= 0), None)
    if row is None:
        raise _UnusableError(
            f"the id {shown(idents[0])} is not in the pool. A spreadsheet may have rewritten it; "
            "copy it from the sheet that ds2 wrote."
        )
    return row


def _original(cell: str) -> str:
    """Take off the apostrophe that keeps a spreadsheet from running the cell."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _score(value: object, scale: Scale) -> float | None:
    """Return the score, None where there is none."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    number = _number(value)
    if number is None:
        with_comma = isinstance(value, str) and _COMMA.fullmatch(value)
        point = " with a point, as in 3.5" if with_comma else ""
        raise _UnusableError(
            f"the score {shown(value)} is not a number. Write a number{point}, or leave it empty."
        )
    if not (math.isnan(number) or scale.low <= number <= scale.high):
        raise _UnusableError(
            f"the score {number:g} is outside {scale.low:g} to {scale.high:g}. Correct it, or "
            "leave it empty."
        )
    return None if math.isnan(number) else number


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return None if isinstance(value, str) and "_" in value else float(value)
    except (ValueError, OverflowError):
        return None


def _stratum(line: Mapping[str, object]) -> tuple[int, int] | None:
    """Return the stratum's code and how many examples it holds, None where the line names none."""
    given = (line.get("stratum"), line.get("stratum_rows"))
    if None in given or "" in given:
        return None
    found = [_number(value) for value in given]
    code, rows = (value if value is not None and abs(value) < 2**53 else -0.5 for value in found)
    if code < 0 or rows < 1 or not (code.is_integer() and rows.is_integer()):
        raise _UnusableError(
            f"the stratum {shown(given[0])} with {shown(given[1])} rows is none that ds2 wrote. "
            "Copy both from the sheet, or leave them empty."
        )
    return int(code), int(rows)


def _write(path: Path, lines: list[OutRow]) -> None:
    """Write lines; no spreadsheet runs, cuts or refuses the texts of a sheet."""
    kind = file_kind(path)
    sheet = kind.container in {"csv", "tsv"}
    if sheet:
        lines = [{name: _cell(name, value) for name, value in line.items()} for line in lines]
    with writing(path) as temporary, writer(temporary, kind.compression) as stream:
        if sheet:
            stream.write(_MARK)  # without it Excel takes UTF-8 for something else
        WRITERS[kind.container](lambda: iter(lines), stream)


def _cell(name: str, value: object) -> object:
    if not isinstance(value, str):
        return value
    value = value.translate(_PICTURES if name == "conversation" else _ACTING)
    if name == "conversation" and len(value) > _LONGEST:
        left_out = f"\n[… {len(value) - _LONGEST:,} characters left out …]\n"
        value = value[: _LONGEST * 2 // 3] + left_out + value[-_LONGEST // 3 :]
    return f"'{value}" if _FORMULA.match(value) else value
