"""What every page is made of: findings, and sections of tables, facts and examples.

A page is built once, of values; `ds2.report.write` makes HTML, Markdown and JSON of it, so the
three cannot disagree. A value says how it is written by its kind. None is "not known".
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from shlex import quote
from typing import Any, Literal, get_args

import numpy as np
from markupsafe import Markup

from ds2.measures import Interval
from ds2.report.words import (
    MISSING,
    NOT_ENOUGH,
    Excerpt,
    decimal,
    score,
    share,
    signed,
)

__all__ = [
    "Case",
    "Cases",
    "Column",
    "Fact",
    "Facts",
    "Figure",
    "Finding",
    "Kind",
    "Page",
    "Part",
    "Section",
    "State",
    "Table",
    "Tone",
    "Value",
    "by_level",
    "columns",
    "distinct",
    "facts",
    "plain",
    "sections",
    "table",
    "written",
]

#: How a number is written: "decimal" has two digits, or none where it is an int; "fine" has three
#: and "exact" four; "share" is a fraction as a percentage, "level" and "signed" are differences
#: with two and four digits, "usd" is money, and a "score" is bare where it is whole.
Kind = Literal["decimal", "fine", "exact", "share", "level", "signed", "usd", "score"]
Tone = Literal["clear", "care", "open", "plain"]
#: Two numbers are the ends of an interval, three a figure and the ends of its interval.
Value = str | int | float | tuple[float | None, ...] | None


@dataclass(frozen=True, slots=True)
class Finding:
    """A question, its answer in one sentence, what the answer rests on, and how settled it is."""

    question: str
    answer: str
    detail: tuple[str, ...]
    tone: Tone
    more: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """What to do, why, and the command that does it."""

    says: str  #: what to do, in a few words
    reason: str  #: why, in one sentence
    next: str  #: the command to give next; ``RUN`` stands for the run folder
    tone: Tone  #: how settled it is

    def command(self, run: str) -> str:
        """The command for a run folder, as it is written in a shell."""
        return " ".join(quote(run) if word == "RUN" else word for word in self.next.split(" "))


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, and how its numbers are written; texts are as they are."""

    head: str
    kind: Kind = "decimal"


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart of a table's numbers; ``legend`` pairs what a mark is drawn as with its meaning."""

    chart: Markup
    legend: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A table, and the chart of its numbers where there is one."""

    key: str  #: its name in JSON, unique in a page
    title: str  #: its heading
    columns: tuple[Column, ...]  #: the first one names the row; no two have one heading
    rows: tuple[tuple[Value, ...], ...]  #: one value a column
    says: str = ""  #: what it shows, in a sentence or two
    figure: Figure | None = None  #: drawn beside it
    heat: bool = False  #: whether cells are shaded by their value and the diagonal is outlined
    #: two columns of shares that are drawn as bars at the end of each row
    bars: tuple[int, int] | None = None
    folded: bool = False  #: whether a page shows it on demand
    sifted: bool = False  #: whether its rows are examples that a page can filter and sort

    def is_text(self, place: int) -> bool:
        """Whether a column holds texts."""
        return place == 0 or any(isinstance(row[place], str) for row in self.rows)


@dataclass(frozen=True, slots=True)
class Fact:
    """A named value."""

    name: str
    value: Value
    kind: Kind = "decimal"


@dataclass(frozen=True, slots=True)
class Facts:
    """A list of named values; without a key it explains, and is not in JSON."""

    key: str
    title: str
    rows: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """An example with its text, and its nearest neighbours where they are shown."""

    id: str
    facts: tuple[Fact, ...]
    text: Excerpt
    near: tuple["Case", ...] = ()


@dataclass(frozen=True, slots=True)
class Cases:
    """Examples; those after the first ``shown`` on demand."""

    key: str
    title: str
    cases: tuple[Case, ...]
    says: str = ""
    shown: int = 3


Part = str | Table | Facts | Cases


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page under a heading; ``nav`` is its short name."""

    key: str
    title: str
    nav: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """A page: what it found first, then what that rests on."""

    title: str  #: its heading
    lead: str  #: one sentence under it
    findings: tuple[Finding, ...]  #: the verdict
    notes: tuple[tuple[str, str], ...]  #: warnings and notes, each with whose it is
    sections: tuple[Section, ...]  #: all else
    links: tuple[tuple[str, str], ...] = ()  #: addresses and names of other pages
    state: State | None = None  #: what to do; None where the findings alone say it
    main: str = ""  #: key of the table whose picture stands beside the verdict
    pictures: tuple[str, ...] = ()  #: keys of the tables whose pictures follow it
    run: str = "RUN"  #: the run folder, for the command

    @property
    def tables(self) -> dict[str, Table]:
        """The tables of all sections, by key."""
        parts = (part for section in self.sections for part in section.parts)
        return {part.key: part for part in parts if isinstance(part, Table)}


def sections(*named: tuple[str, str, str, Iterable[Part]]) -> tuple[Section, ...]:
    """Return the sections that have something in them: key, title, short name and parts of each."""
    made = [Section(key, title, nav, tuple(parts)) for key, title, nav, parts in named]
    keys = [part.key for one in made for part in one.parts if isinstance(part, Table)]
    key = iter(distinct(keys))  # a rater may be called what we call something else
    return tuple(
        replace(
            one,
            parts=tuple(
                replace(part, key=next(key)) if isinstance(part, Table) else part
                for part in one.parts
            ),
        )
        for one in made
        if one.parts
    )


def distinct(names: Iterable[str]) -> list[str]:
    """Return the names, one that is there already with a number: "gold", "gold (2)"."""
    found: dict[str, None] = {}
    for name in names:
        one, number = name, 1
        while one in found:
            number += 1
            one = f"{name} ({number})"
        found[one] = None
    return list(found)


def columns(heads: str) -> tuple[Column, ...]:
    """Return the columns of "rater, at the lowest: share"."""
    return tuple(Column(*_kind_of(head)) for head in heads.split(", "))


def by_level(head: str, n_scores: int) -> str:
    """Return a heading for each level of the scale: "to 0, to 1" of "to {}"."""
    return ", ".join(head.format(level) for level in range(n_scores))


def table(
    key: str,
    title: str,
    heads: str | Sequence[Column],
    rows: Iterable[Sequence[object]],
    **options: Any,
) -> Table:
    """Return a table of any numbers, its headings made `distinct`; other fields by name."""
    given = columns(heads) if isinstance(heads, str) else heads
    pairs = zip(distinct(one.head for one in given), given, strict=True)
    named = tuple(Column(head, one.kind) for head, one in pairs)
    return Table(key, title, named, tuple(tuple(map(plain, row)) for row in rows), **options)


def facts(key: str, title: str, values: Mapping[str, object]) -> Facts:
    """Return named values: "right scores: share" says how its number is written."""
    rows = [(*_kind_of(name), plain(value)) for name, value in values.items()]
    return Facts(key, title, tuple(Fact(name, value, kind) for name, kind, value in rows))


def _kind_of(head: str) -> tuple[str, Kind]:
    name, _, kind = head.partition(": ")
    return name, {each: each for each in get_args(Kind)}[kind or "decimal"]


def plain(value: object) -> Value:
    """Return a value that JSON can hold: an interval as three numbers, NaN as None."""
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, Interval):
        return (_number(value.value), _number(value.low), _number(value.high))
    if isinstance(value, (tuple, list)):
        return tuple(_number(part) for part in value)
    if isinstance(value, np.integer):
        return int(value)
    return _number(value)


def _number(value: object) -> float | None:
    number = float("nan") if value is None else float(np.asarray(value, dtype=np.float64))
    return number if np.isfinite(number) else None


def written(value: Value, kind: Kind = "decimal") -> str:
    """Write a value; a dash where there is none. Text is returned as it is: escape it."""
    if value is None:
        return MISSING
    if isinstance(value, str):
        return value
    way = _WAYS[kind]
    if not isinstance(value, tuple):
        return f"{value:,}" if kind == "decimal" and isinstance(value, int) else way(value)
    *middle, low, high = value
    ends = None if low is None or high is None else f"{way(low)} to {way(high)}"
    if not middle:
        return ends or MISSING
    if middle[0] is None:
        return NOT_ENOUGH
    return way(middle[0]) if ends is None else f"{way(middle[0])} ({ends})"


def _usd(value: float) -> str:
    return f"{decimal(value, 2 if value >= 0.1 or value == 0 else 4)} USD"


_WAYS: Mapping[Kind, Callable[..., str]] = {
    "decimal": decimal,
    "fine": lambda value: decimal(value, 3),
    "exact": lambda value: decimal(value, 4),
    "share": share,
    "level": lambda value: signed(value, 2),
    "signed": signed,
    "usd": _usd,
    "score": score,
}
