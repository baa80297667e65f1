"""Tables of separated values: CSV as the csv module reads it, and TSV, which has no quotes.

What separates the cells is told by the first rows. A TSV file has one row a line; quotes in it are
text, but where a cell is written as CSV does it (quoted because of a quote, a tab or a line end in
it, or because every cell is), as spreadsheets do.
"""

import csv
import itertools
import re
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from ds2.errors import InputError
from ds2.pool.wording import shown

__all__ = ["Cells", "check_columns", "looks_like_data", "read_cells"]

_SEPARATORS = (",", ";", "\t", "|")
_SNIFFED = 50
_TOLD = re.compile(r"sep=(.)", re.IGNORECASE)
_CALLED = {"\t": "tabs", ",": "','", ";": "';'", "|": "'|'"}

#: (number of the line, its text), line ends kept.
Lines = Iterator[tuple[int, str]]


@dataclass(slots=True)
class Cells:
    """A table being read.

    Attributes:
        separator: what separates its cells.
        header: the names of its columns.
        rows: (number of the row's first line, its cells, or what is wrong with it, its text).
        notes: what the user should know; complete once every row was read.
    """

    separator: str
    header: list[str]
    rows: Iterator[tuple[int, list[str] | str, str]]
    notes: list[str] = field(default_factory=list)


def looks_like_data(header: Sequence[str]) -> bool:
    """Say whether the first row of a table can be no header: numbers or sentences stand in it."""
    return any(
        cell.strip()[-1:] in set(".?!") or len(cell.split()) > 6 or len(cell) > 60
        or re.fullmatch(r"[+-]?\d+([.,]\d+)?", cell.strip()) is not None
        for cell in header
    )  # fmt: skip


def read_cells(
    lines: Lines, name: str, usual: str, cut: Callable[[int], str], *, headless: bool = False
) -> Cells:
    """Read a table.

    Args:
        lines: its lines.
        name: the file, for messages.
        usual: the separator that its suffix stands for.
        cut: the sentence for a file that ends inside the row of a line.
        headless: where the first row looks like data, take it as data.

    Raises:
        InputError: the header cannot be read, names a column twice, or the file is cut off.
    """
    # The limit belongs to the csv module, not to a reader; 131,072 characters are too few.
    csv.field_size_limit(max(csv.field_size_limit(), min(sys.maxsize, 2**31 - 1)))
    lines = itertools.dropwhile(lambda line: not line[1].strip(), lines)
    first = list(itertools.islice(lines, _SNIFFED))
    if first and (told := _TOLD.fullmatch(first[0][1].strip())):
        first, separator = first[1:], told[1]
    else:
        separator = _separator([text for _, text in first], usual)
    texts = _Remembered(itertools.chain(first, lines))
    cells = Cells(separator, [], iter(()))
    if separator != usual:
        called = _CALLED.get(separator, separator)
        cells.notes.append(f"{name}: its cells are separated by {called}.")
    if separator == "\t":
        rows = _tab_rows(texts)
    else:
        rows = _csv_rows(texts, name, separator, _spaced(first, separator))
    try:
        filled = (row for row in rows if isinstance(row[1], str) or any(map(str.strip, row[1])))
        number, header, text = next(filled, (1, [], ""))
    except InputError:
        raise InputError(f"{name} has no readable header: a quote in it is not closed.") from None
    if isinstance(header, str):
        raise InputError(f"{name} has no readable header in its first line: {header}.")
    if headless and looks_like_data(header):
        cells.header = [f"column {at}" for at in range(1, len(header) + 1)]
        rows = itertools.chain([(number, header, text)], rows)
        cells.notes.append(f"{name} has no header: its first line was read as a row.")
    else:
        cells.header = _header(header, name)
    cells.rows = _fitted(rows, cells, name, cut)
    return cells


def _separator(texts: Sequence[str], usual: str) -> str:
    """Return what separates the cells: it splits the rows alike, and into the most cells."""
    best, most = usual, 1
    for separator in (usual, *(other for other in _SEPARATORS if other != usual)):
        for widths in _widths(texts, separator):
            if not widths or widths[0] <= most:
                continue
            alike = sum(width == widths[0] for width in widths)
            if separator == usual or alike >= 0.8 * len(widths):
                best, most = separator, widths[0]
        if best == usual and most > 1:
            break
    return best


def _widths(texts: Sequence[str], separator: str) -> Iterator[list[int]]:
    """Yield how many cells each row has; with tabs also where quotes are text.

    The last row of those that are looked at may go on behind them, and does not count.
    """
    whole = slice(-1 if len(texts) == _SNIFFED else None)
    if separator == "\t":
        yield [text.count("\t") + 1 for text in texts if text.strip()]
    with suppress(csv.Error):
        rows = [len(row) for row in csv.reader(texts, delimiter=separator) if row]
        yield rows[whole] or rows


def _spaced(lines: Sequence[tuple[int, str]], separator: str) -> bool:
    """Say whether the separator has a space behind it wherever it stands in the first line."""
    try:
        cells = next(csv.reader((text for _, text in lines), delimiter=separator), [])
    except csv.Error:
        return False
    return len(cells) > 1 and all(cell[:1] == " " for cell in cells[1:])


class _Remembered:
    """Lines for the csv module, which does not say where a row began or what it read."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self.again: deque[tuple[int, str]] = deque()
        self.number = 0
        self.last = ""
        self.begun: list[str] = []

    def __iter__(self) -> "_Remembered":
        return self

    def __next__(self) -> str:
        self.number, self.last = self.again.popleft() if self.again else next(self._lines)
        self.begun.append(self.last)
        return self.last


def _csv_rows(
    texts: _Remembered, name: str, separator: str, spaced: bool
) -> Iterator[tuple[int, list[str] | str, str]]:
    reader = csv.reader(texts, delimiter=separator, strict=True, skipinitialspace=spaced)
    while True:
        number = texts.number + 1
        texts.begun = []
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end" in str(error):
                raise InputError(
                    f"{name} is cut off: it ends inside the quoted field of the row that begins "
                    f"in line {number:,}. Close the quotes, or copy the file again."
                ) from None
            yield number, f"not valid CSV: {shown(str(error), 80)}", texts.last
            continue
        number = texts.number - len(texts.begun) + 1
        yield number, cells, texts.last if len(texts.begun) == 1 else "".join(texts.begun)


def _tab_rows(texts: _Remembered) -> Iterator[tuple[int, list[str] | str, str]]:
    width, quoted = 0, False
    for raw in texts:
        number, line = texts.number, raw.rstrip("\r\n")
        cells = line.split("\t")
        if not line.strip():
            continue
        if not width:
            quoted = all(len(cell) > 1 and cell[0] == cell[-1] == '"' for cell in cells)
            width = len(cells)
        begun = '"' in line and any(cell[:1] == '"' for cell in cells)
        unlike = begun and (len(cells) != width or line.count('"') % 2)
        whole = _joined(texts, raw, width) if unlike else None
        texts.begun = []
        if whole:
            yield number, *whole
        else:
            yield number, [_unquoted(cell, quoted) for cell in cells], raw


def _joined(texts: _Remembered, first: str, width: int) -> tuple[list[str], str] | None:
    """Read a row that a quoted cell carries over tabs or line ends.

    None where the quote is text: every line up to the one that closes it is a row of its own, or
    more of those between are than of all are not. A line is none where it ends otherwise than the
    last one, which ends the row: `ds2.write_pool` ends rows with a carriage return and a line feed.
    """
    lines, left = [first], texts.number
    odd = first.count('"') % 2
    while odd and len(lines) < 10_000 and (more := next(texts, None)) is not None:
        lines.append(more)
        odd ^= more.count('"') % 2
    text, end = "".join(lines), _end(lines[-1])
    try:
        rows = list(csv.reader([text], delimiter="\t", strict=True))
    except csv.Error:
        rows = []
    own = [
        len(line.split("\t")) == width != 1 and (_end(line) == end or not end)
        for line in lines
        if line.strip()
    ]
    is_text = all(own) or sum(own[1:-1]) > own.count(False)
    if len(rows) == 1 and len(rows[0]) == width and not is_text:
        return rows[0], text
    texts.again.extendleft(reversed([*enumerate(lines[1:], left + 1)]))
    return None


def _end(line: str) -> str:
    return line[len(line.rstrip("\r\n")) :]


def _unquoted(cell: str, quoted: bool) -> str:
    """Return what a cell says where it is written as CSV writes it, else the cell as it is."""
    if len(cell) < 2 or cell[0] != '"' or cell[-1] != '"':
        return cell
    inner = cell[1:-1]
    if '"' in inner.replace('""', "") or not (quoted or '""' in inner or "\r" in inner):
        return cell
    return inner.replace('""', '"')


def check_columns(names: Sequence[str], name: str) -> None:
    """Raise `InputError` where a table has two columns of one name."""
    twice = next((each for each, count in Counter(names).items() if each and count > 1), None)
    if twice is not None:
        raise InputError(f"{name} has the column {shown(twice)} twice. Rename one.")


def _header(cells: list[str], name: str) -> list[str]:
    names = [cell.strip() for cell in cells]
    check_columns(names, name)
    blank = 0
    for at, cell in enumerate(names):
        if not cell:
            blank += 1
            names[at] = "" if blank == 1 else f"unnamed {blank}"
    return names


def _fitted(
    rows: Iterator[tuple[int, list[str] | str, str]],
    cells: Cells,
    name: str,
    cut: Callable[[int], str],
) -> Iterator[tuple[int, list[str] | str, str]]:
    """Bring every row to the header's width, or say what is wrong with it."""
    width = len(cells.header)
    trailing = spanning = 0
    for number, found, text in rows:
        row = found
        if len(row) == width and type(row) is list and text.count("\n") < 3:
            yield number, row, text
            continue
        if isinstance(row, list) and len(row) != width:
            if not row:
                continue
            if len(row) > width and not any(cell.strip() for cell in row[width:]):
                row, trailing = row[:width], trailing + 1
            elif len(row) < width and not text.endswith("\n"):
                raise InputError(cut(number))
            else:
                yield number, f"wrong number of fields: {len(row)} for {width} columns", text
                continue
        if (
            isinstance(row, list)
            and text.count("\n") > 2
            and _swallows(text, width, cells.separator)
        ):
            spanning = spanning or number
        yield number, row, text
    if trailing:
        cells.notes.append(
            f"{name}: {trailing:,} rows end with separators and no cell behind them, which were "
            "left out."
        )
    if spanning:
        cells.notes.append(
            f"{name}: a quoted cell that begins in line {spanning:,} goes over lines that look "
            "like rows of their own. If a quote there is not closed, close it: those rows are in "
            "the cell."
        )


def _swallows(text: str, width: int, separator: str) -> bool:
    """Say whether lines inside a cell have as many cells as a row."""
    inner = text.split("\n")[1:-2]
    alike = sum(line.count(separator) == width - 1 for line in inner)
    return width > 1 and separator != "\t" and alike >= max(2, len(inner) // 2)
