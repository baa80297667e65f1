"""Read a pool: rows in, examples and rejects out."""

import contextlib
import json
import os
import warnings
from collections import Counter
from pathlib import Path
from typing import TextIO

from ds2.atomic import writing
from ds2.checks import check_choice, check_fraction
from ds2.errors import Ds2Warning, InputError
from ds2.pool.builder import TableBuilder
from ds2.pool.example import Reject
from ds2.pool.formats import FORMATS, detect_format
from ds2.pool.hub import HUB_PREFIX, read_folder, read_hub
from ds2.pool.pool import Pool
from ds2.pool.rows import Fault, RowSource, read_file
from ds2.pool.turns import BadRowError
from ds2.pool.wording import shown_names, shown_path

__all__ = ["read_pool"]

_UNDETECTED = 1000
_REJECT_TEXT = 200


def read_pool(
    path: str | os.PathLike[str],
    *,
    format: str = "auto",
    id_field: str = "id",
    source_field: str = "source",
    split: str = "train",
    on_bad_row: str = "reject",
    max_bad_share: int | float = 0.05,
    rejects: str | os.PathLike[str] | None = None,
) -> Pool:
    """Read a pool of instruction data.

    A row without an id gets one that its content decides, so it stays the same when rows are
    reordered; further rows with the same content get a number after it.

    Args:
        path: a JSONL, JSON, Parquet, CSV or TSV file (also .gz, .zst), a folder written by
            ``save_to_disk``, or ``hf:org/name`` with an optional ``:config``.
        format: alpaca, sharegpt, messages or prompt-response; ``auto`` takes what the first
            readable row is, and `Pool.format` says what that was.
        id_field: the field that holds a row's id.
        source_field: the field that says where a row comes from.
        split: the split of a dataset that has splits.
        on_bad_row: ``reject`` sets a malformed row aside; ``stop`` raises.
        max_bad_share: the largest share of malformed rows to go on with.
        rejects: where to write the malformed rows, as JSONL of file, line, reason and text.

    Raises:
        InputError: the file cannot be read, holds two formats or none, is cut off, gives an id
            twice, or has too many malformed rows.
    """
    if format != "auto":
        check_choice("format", format, FORMATS)
    check_choice("on_bad_row", on_bad_row, ("reject", "stop"))
    check_fraction("max_bad_share", max_bad_share)
    place = os.fspath(path)
    if place.startswith(HUB_PREFIX):
        source = read_hub(place, split)
    elif Path(place).is_dir():
        source = read_folder(Path(place), split)
    elif split != "train":
        raise InputError(f"{shown_path(place)} is a file and has no splits, so no {split!r}.")
    else:
        source = read_file(Path(place))
    with contextlib.ExitStack() as stack:
        file: TextIO | None = None
        if rejects is not None:
            temporary = stack.enter_context(writing(Path(rejects)))
            file = stack.enter_context(temporary.open("w", encoding="utf-8"))
        reading = _Reading(source, format, on_bad_row == "stop", file)
        builder = reading.fill(id_field, source_field)
    bad = len(reading.rejects)
    if bad == reading.seen or bad > max_bad_share * reading.seen:
        raise InputError(reading.too_many(max_bad_share, rejects))
    table = builder.finish(source.name, source.unit)
    notes = (*source.warnings, *([reading.summary()] if bad else []))
    for note in notes:
        warnings.warn(note, Ds2Warning, stacklevel=2)
    return Pool(table, reading.form, place, tuple(reading.rejects), notes, id_field, source_field)


class _Reading:
    """One pass over the rows: what was seen, which format it is, what was set aside."""

    def __init__(self, source: RowSource, form: str, stop: bool, file: TextIO | None) -> None:
        self.source = source
        self.form = form
        self.seen = 0
        self.rejects: list[Reject] = []
        self._stop = stop
        self._file = file
        self._auto = form == "auto"
        self._decided = 0
        self._other: str | None = None

    def fill(self, id_field: str, source_field: str) -> TableBuilder:
        """Read every row into a builder."""
        builder = None if self._auto else TableBuilder(self.form, id_field, source_field)
        for line, row in self.source.rows:
            self.seen += 1
            if isinstance(row, Fault):
                self._reject(line, row.reason, row.text)
            elif builder is None and (form := detect_format(row)) is not None:
                self.form, self._decided = form, line
                builder = TableBuilder(form, id_field, source_field)
                self._add(builder, line, row)
            elif builder is None:
                found = shown_names(list(row))
                self._reject(line, f"fields of no known format: {found}", _as_json(row))
            else:
                self._add(builder, line, row)
            if builder is None and self.seen >= _UNDETECTED:
                raise InputError(self._unknown())
        if self.seen == 0:
            raise InputError(f"{self.source.name} holds no rows.")
        if builder is None:
            raise InputError(self._unknown())
        return builder

    def _add(self, builder: TableBuilder, line: int, row: dict[str, object]) -> None:
        try:
            builder.add(line, row)
        except BadRowError as error:
            other = detect_format(row)
            if other not in {None, self.form}:
                self._other = other
                if self._auto:
                    raise InputError(self._mixed(line)) from None
            self._reject(line, str(error), _as_json(row))

    def _reject(self, line: int, reason: str, text: str) -> None:
        if self._stop:
            raise InputError(
                f"{self.source.name}, {self.source.unit} {line:,}: {reason}. Correct the row, or "
                "set on_bad_row to 'reject' to go on without it."
            )
        text = text.rstrip("\r\n")
        if self._file is not None:
            entry = {"file": self.source.name, "line": line, "reason": reason, "text": text}
            self._file.write(json.dumps(entry) + "\n")
        short = text if len(text) <= _REJECT_TEXT else text[:_REJECT_TEXT] + "…"
        self.rejects.append(Reject(self.source.name, line, reason, short))

    def _unknown(self) -> str:
        first = self.rejects[0]
        return (
            f"{self.source.name}: cannot tell the format, because none of the first "
            f"{self.seen:,} rows is in one that ds2 knows. The first fault, in {self.source.unit} "
            f"{first.line:,}: {first.reason}. The formats are alpaca (fields instruction, output), "
            "sharegpt (conversations), messages (messages) and prompt-response (prompt, response)."
        )

    def _mixed(self, line: int) -> str:
        unit = self.source.unit
        return (
            f"{self.source.name} mixes formats: {unit} {self._decided:,} is {self.form} and {unit} "
            f"{line:,} is {self._other}. Put each format in a file of its own, or name the one to "
            f"keep, as in format={self.form!r}, to reject the other rows."
        )

    def summary(self) -> str:
        """Say how many rows were set aside, for which reasons."""
        kinds = Counter(reject.reason.partition(": ")[0] for reject in self.rejects)
        counts = ", ".join(f"{kind} ({count:,})" for kind, count in kinds.most_common())
        return (
            f"{self.source.name}: {len(self.rejects):,} of {self.seen:,} rows were rejected: "
            f"{counts}."
        )

    def too_many(self, share: int | float, path: str | os.PathLike[str] | None) -> str:
        """Say that too many rows were set aside, and which come first."""
        unit = self.source.unit
        first = "; ".join(f"{unit} {r.line:,}: {r.reason}" for r in self.rejects[:3])
        where = f" All are in {shown_path(path)}." if path is not None else ""
        other = f" The rows look like the format {self._other!r}." if self._other else ""
        if len(self.rejects) == self.seen:
            verdict = f"none of the {self.seen:,} rows can be used"
            return f"{self.source.name}: {verdict}.{other} First: {first}.{where}"
        return (
            f"{self.summary()} That is more than max_bad_share = {share:g} allows.{other} "
            f"First: {first}.{where} Correct the rows, or raise max_bad_share."
        )


def _as_json(row: dict[str, object]) -> str:
    return json.dumps(row, ensure_ascii=False, default=str)
