"""Read a pool: rows in, examples and rejects out."""

import contextlib
import functools
import hashlib
import itertools
import json
import os
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeAlias

import numpy as np

from ds2.atomic import spooling, writing
from ds2.checks import check_choice, check_fraction, check_int
from ds2.errors import InputError, warn
from ds2.pool.files import NoRowsError
from ds2.pool.formats import FORMATS, NAMES, PARTS, Names, Parsed, detect_format, parse_row
from ds2.pool.ids import complete_ids
from ds2.pool.layout import dump_layout
from ds2.pool.pool import Pool, Reject, table_schema
from ds2.pool.rows import Fault, Row, RowSource
from ds2.pool.sources import open_sources
from ds2.pool.turns import BadRowError, Turns
from ds2.pool.wording import kind_of, shown, shown_names, shown_path
from ds2.progress import steps

if TYPE_CHECKING:
    import pyarrow

__all__ = ["read_parts", "read_pool"]

_UNDETECTED = 1000
_ROWS = 4096
_CHARACTERS = 1 << 24
_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str)
_REJECT_TEXT = 200
#: Rejects that a pool holds, and faults that a sentence names.
_REJECTS, _SAID = 10_000, 3
_LINES = 1 << 40
_NULLS = frozenset({"nan", "none", "null", "<na>"})
_POOL_ROLES = ("system", "user", "assistant", "tool")
#: One path, or several.
Places: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def read_pool(
    pool: Places | Any,
    *,
    format: str = "auto",
    columns: Mapping[str, str] | None = None,
    roles: Mapping[str, str] | None = None,
    id_field: str = "id",
    source_field: str = "source",
    split: str = "train",
    no_answer: str = "reject",
    on_bad_row: str = "reject",
    max_bad_share: int | float = 0.05,
    rejects: str | os.PathLike[str] | None = None,
    limit: int | None = None,
    out: str | os.PathLike[str] | None = None,
) -> Pool:
    """Read a pool of instruction data.

    A row without an id gets one that its content decides, so it stays the same when rows are
    reordered; further rows with the same content get a number after it.

    Args:
        pool: a JSONL, JSON, Parquet, CSV or TSV file (also .gz, .zst), a folder of such files, a
            pattern (``data/*.jsonl``) or a list of them, on this machine or in an object store
            (``s3://bucket/key``, ``gs://bucket/key``); a folder written by ``save_to_disk``;
            ``hf:org/name`` with an optional ``:config``; a ``datasets.Dataset``, a DataFrame, an
            Arrow table, or objects.
        format: alpaca, sharegpt, messages or prompt-response; ``auto`` takes what the first
            readable row is, and `Pool.format` says what that was.
        columns: the rows' field for a part of the conversation, where it has no usual name:
            messages, prompt, input, response, system, history, chosen, rejected, label, tools,
            images, videos or audios.
        roles: system, user, assistant or tool for names of roles that ds2 does not know.
        id_field: the field that holds a row's id.
        source_field: the field that says where a row comes from.
        split: the split of a dataset that has splits, or of a folder whose files name theirs.
        no_answer: ``reject`` sets a row aside that has no answer to learn (an empty one, a
            conversation that ends with the user, a call of a tool alone); ``keep`` counts them.
        on_bad_row: ``reject`` sets a malformed row aside; ``stop`` raises.
        max_bad_share: the largest share of malformed rows to go on with.
        rejects: where to write the rows set aside, as JSONL of file, line, reason and text.
        limit: read so many rows, the first ones, and no more.
        out: an Arrow file, as `Pool.save` writes it: rows go there while they are read, and the
            pool is that file, opened, so that memory does not grow with the texts.

    Raises:
        InputError: a file cannot be read, holds two formats or none, is cut off, gives an id
            twice, has too many malformed rows, no row with an answer, or none with the id or the
            source that is named.
    """
    if format != "auto":
        check_choice("format", format, FORMATS)
    if limit is not None:
        check_int("limit", limit, low=1)
    check_choice("on_bad_row", on_bad_row, ("reject", "stop"))
    check_choice("no_answer", no_answer, ("reject", "keep"))
    check_fraction("max_bad_share", max_bad_share)
    named, called = dict(columns or {}), dict(roles or {})
    for part in named:
        check_choice("columns", part, PARTS)
    for role in called.values():
        check_choice("roles", role, _POOL_ROLES)
    origin, sources, chosen = open_sources(pool, split)
    target = None if out is None else Path(out)
    with contextlib.nullcontext() if target is None else spooling(target) as spool:
        with contextlib.ExitStack() as stack:
            file: TextIO | None = None
            if rejects is not None:
                temporary = stack.enter_context(writing(Path(rejects)))
                file = stack.enter_context(temporary.open("w", encoding="utf-8"))
            reading = _Reading(sources, format, Names.of(named, called), file)
            reading.stop, reading.keep = on_bad_row == "stop", no_answer == "keep"
            (builder,) = reading.steps(id_field, source_field, limit, spool=spool)
        reading.check(max_bad_share, rejects)
        table = builder.finish(reading.place)
        notes = (*chosen, *(note for one in sources for note in one.warnings), *reading.notes())
        for note in notes:
            warn(note)
        found = Pool(
            table, reading.form, origin, tuple(reading.rejects), notes, id_field, source_field,
            named, called, reading.seen, reading.n_rejected,
        )  # fmt: skip
        whole = limit is None or reading.seen < limit  # else it may come later
        for name in {id_field, source_field} - {"id", "source"} if whole else ():
            next(found.iter_column(name))  # or say that no row has it, and what there is
        if target is None:
            return found
        found.save(target)
    return Pool.load(target)


def read_parts(pool: Places | Any, *, rows: int = 1 << 14, split: str = "train") -> Iterator[Pool]:
    """Read a pool part by part, of about so many rows each, so that memory does not grow with it.

    As `read_pool` with its defaults, but that an id may come back in a later part and that rows
    that cannot be used are passed over: `Pool.positions` says which rows there are, `Pool.n_read`
    how many were read so far.

    Args:
        pool: as for `read_pool`.
        rows: of a part.
        split: as for `read_pool`.

    Raises:
        InputError: a file cannot be read, holds two formats or none, or is cut off.
    """
    origin, sources, _ = open_sources(pool, split)
    reading = _Reading(sources, "auto", Names.of({}, {}), None)
    for builder in reading.steps("id", "source", None, rows):
        table = builder.finish(reading.place)
        if len(table):
            yield Pool(table, reading.form, origin, n_read=reading.seen)


class _Reading:
    """One pass over the rows: what was seen, which format it is, what was set aside."""

    def __init__(
        self, sources: Sequence[RowSource], form: str, names: Names, file: TextIO | None
    ) -> None:
        self.sources = sources
        self.source = sources[0]
        self.form = form
        self.names = names
        self.stop = self.keep = False
        self.seen = self.n_read = self.n_bad = self.n_preferred = self.n_rendered = 0
        self.n_nulls = 0
        self.unanswered: Counter[str] = Counter()
        self.malformed: Counter[str] = Counter()
        self.rejects: list[Reject] = []
        self._first: list[Reject] = []
        self._empty: list[NoRowsError] = []
        self._folded = ""
        self._file = file
        self._auto = form == "auto"
        self._decided = ("", "")
        self._other: str | None = None

    @property
    def n_rejected(self) -> int:
        """Rows that were set aside."""
        return self.n_bad + (0 if self.keep else self.unanswered.total())

    def steps(
        self,
        id_field: str,
        source_field: str,
        limit: int | None,
        part: int | None = None,
        spool: Path | None = None,
    ) -> Iterator["_Builder"]:
        """Read every row, or the first ones, into a builder that is handed out part by part."""
        made = functools.partial(_Builder, id_field, source_field, spool)
        builder = None if self._auto else made(self.form, self.names)
        for number, source in enumerate(steps(self.sources)):
            rows, self._offset = self._begun(source), number * _LINES
            rest = None if limit is None else limit - self.seen
            for line, row in itertools.islice(rows, rest):
                self.seen += 1
                if isinstance(row, Fault):
                    self._reject(line, row.reason, row.text)
                elif builder is None and (form := self._detect(row)) is not None:
                    self.form, self._decided = form, (source.name, f"{source.unit} {line:,}")
                    builder = made(form, self.names)
                    self._add(builder, line, row)
                elif builder is None:
                    found = shown_names(list(row))
                    self._reject(line, f"fields of no known format: {found}", _as_json(row))
                else:
                    self._add(builder, line, row)
                if builder is None and self.seen >= _UNDETECTED:
                    raise self._unknown()
                if part is not None and builder is not None and len(builder) >= part:
                    yield builder
                    builder = made(self.form, self.names)
            if self.seen == limit:
                break
        if not self.seen:
            raise self._empty[0]
        if builder is None:
            raise self._unknown()
        yield builder

    def _begun(self, source: RowSource) -> Iterator[tuple[int, Row]]:
        """Return the rows of a source, and note one that holds none."""
        try:
            first = next(source.rows, None)
            if first is None:
                raise NoRowsError(f"{source.name} holds no rows.")
        except NoRowsError as error:
            self._empty.append(error)
            return iter(())
        self.source = source
        return itertools.chain([first], source.rows)

    def place(self, line: int) -> tuple[str, str]:
        """Return the file and the line that a number of the builder stands for, in words."""
        source = self.sources[line // _LINES]
        return source.name, f"{source.unit} {line % _LINES:,}"

    def _detect(self, row: Mapping[str, object]) -> str | None:
        form = detect_format(row, self.names)
        if form is None and self.names is NAMES:
            folded = Names.folded(row)
            form = detect_format(row, folded)
            if form is not None:
                self.names, self._folded = folded, shown_names(list(row))
        return form

    def _add(self, builder: "_Builder", line: int, row: dict[str, object]) -> None:
        try:
            parsed = builder.add(line + self._offset, self.seen - 1, row, unanswered=self.keep)
        except BadRowError as error:
            other = detect_format(row, self.names)
            if other not in {None, self.form}:
                self._other = other
                if self._auto:
                    file, first = self._decided
                    first += "" if file == self.source.name else f" of {file}"
                    raise InputError(
                        f"{self.source.name}, {self.source.unit} {line:,}, is {other}, and {first} "
                        f"is {self.form}: a pool has one format. Put each in a pool of its own, or "
                        f"name the one to keep, as in format={self.form!r}, to reject the other "
                        "rows."
                    ) from None
            self._reject(line, str(error), _as_json(row))
            return
        self.n_preferred += parsed.preferred
        self.n_rendered += parsed.rendered
        last = parsed.turns[-1][1]
        self.n_nulls += len(last) < 5 and not parsed.missing and last.strip().lower() in _NULLS
        if parsed.missing:
            self.unanswered[parsed.missing] += 1
        if parsed.missing and not self.keep:
            self._set_aside(line, parsed.missing, _as_json(row))
        else:
            self.n_read += 1

    def _reject(self, line: int, reason: str, text: str) -> None:
        if self.stop:
            raise InputError(
                f"{self.source.name}, {self.source.unit} {line:,}: {reason}. Correct the row, or "
                "set on_bad_row to 'reject' to go on without it."
            )
        self.n_bad += 1
        self.malformed[reason.partition(": ")[0]] += 1
        reject = self._set_aside(line, reason, text)
        if self.n_bad <= _SAID:
            self._first.append(reject)

    def _set_aside(self, line: int, reason: str, text: str) -> Reject:
        text = text.rstrip("\r\n")
        if self._file is not None:
            entry = {"file": self.source.name, "line": line, "reason": reason, "text": text}
            self._file.write(json.dumps(entry) + "\n")
        short = text if len(text) <= _REJECT_TEXT else text[:_REJECT_TEXT] + "…"
        reject = Reject(self.source.name, line, reason, short)
        if len(self.rejects) < _REJECTS:
            self.rejects.append(reject)
        return reject

    def _unknown(self) -> InputError:
        first = self.rejects[0]
        header = " Its first line was taken for the header." if self.source.has_header else ""
        return InputError(
            f"{self.source.name}: cannot tell the format, because none of the first "
            f"{self.seen:,} rows is in one that ds2 knows. The first fault, in {self.source.unit} "
            f"{first.line:,}: {first.reason}. The formats are alpaca (fields instruction, output), "
            "sharegpt (conversations), messages (messages) and prompt-response (prompt, "
            "response). Other names of columns: --map prompt=NAME,response=NAME, or "
            f"--map messages=NAME for a list of turns (in Python columns=).{header}"
        )

    def _name(self) -> str:
        more = len(self.sources) - 1
        return self.sources[0].name + (f" and {more:,} more" if more else "")

    def _rejected(self) -> str:
        """Say how many malformed rows were set aside, for which reasons."""
        count = f"{self.n_bad:,} of {self.seen:,} rows were rejected"
        return f"{self._name()}: {count}: {_counted(self.malformed)}."

    def notes(self) -> list[str]:
        """Return what the user should know of the reading."""
        done = "are kept" if self.keep else "were set aside"
        other = "" if self.keep else ' To keep them: no_answer = "keep".'
        said = [
            (
                self._folded,
                f"{self._name()}: the columns {self._folded} were taken for those that have these "
                "names in small letters.",
            ),
            (
                self._empty,
                f"{self._name()}: {len(self._empty):,} of these files hold no rows. The first: "
                f"{self._empty[0] if self._empty else ''}",
            ),
            (self.n_bad, self._rejected()),
            (
                self.unanswered,
                f"{self._name()}: {self.unanswered.total():,} of {self.seen:,} rows without an "
                f"answer to learn {done}: {_counted(self.unanswered)}.{other}",
            ),
            (
                self.n_nulls,
                f"{self._name()}: {self.n_nulls:,} answers are the word NaN, None or null, and "
                "count as answers: where values were missing, write them as empty.",
            ),
            (
                self.n_rendered,
                f"{self._name()}: {self.n_rendered:,} rows are one text in the words of a chat "
                "template: the turns in it are the example's, without the template's marks.",
            ),
            (
                self.n_preferred,
                f"{self._name()}: {self.n_preferred:,} rows hold a preference: the chosen side is "
                "the example's answer, the rejected one stays in the row (ds2 export --layout "
                "preference hands both over).",
            ),
        ]
        return [sentence for true, sentence in said if true]

    def check(self, share: int | float, path: str | os.PathLike[str] | None) -> None:
        """Raise where too many rows are malformed, or none has an answer to learn."""
        where = f" All are in {shown_path(path)}." if path is not None else ""
        if self.n_bad == self.seen or self.n_bad > share * self.seen:
            unit = self.source.unit
            first = "; ".join(f"{unit} {r.line:,}: {r.reason}" for r in self._first)
            other = f" The rows look like the format {self._other!r}." if self._other else ""
            roles = any(reason.startswith("unknown role") for reason in self.malformed)
            named = (
                " Say what a role is: --role NAME=assistant (in Python roles=)." if roles else ""
            )
            shown = f"{other} First: {first}.{where}{named}"
            if self.n_bad == self.seen:
                none = f"none of the {self.seen:,} rows can be used"
                raise InputError(f"{self._name()}: {none}.{shown}")
            raise InputError(
                f"{self._rejected()} That is more than max_bad_share = {share:g} allows.{shown} "
                "Correct the rows, or raise max_bad_share."
            )
        if not self.n_read:
            raise InputError(
                f"{self._name()}: none of the {self.seen:,} rows has an answer to learn: "
                f"{_counted(self.unanswered)}.{where} If the answer is in a field of another name: "
                "--map response=NAME (in Python columns=). To keep them as they are: "
                'no_answer = "keep".'
            )


def _counted(kinds: Counter[str]) -> str:
    return ", ".join(f"{kind} ({count:,})" for kind, count in kinds.most_common())


def _as_json(row: dict[str, object]) -> str:
    return json.dumps(row, ensure_ascii=False, default=str)


def _content_key(turns: Turns) -> bytes:
    """Return 8 bytes: the hash of a conversation, of its roles and texts, unchanged, alone."""
    parts = [f"{role}\0{len(content)}\0{content}" for role, content in turns]
    return hashlib.blake2b("".join(parts).encode(), digest_size=8).digest()


class _Spool:
    """Batches that go to a file in place of memory, and come back memory-mapped."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        self._path = path
        self._out = pa.ipc.new_stream(str(path), table_schema())

    def append(self, batch: "pyarrow.RecordBatch") -> None:
        self._out.write_batch(batch)

    def __iter__(self) -> Iterator["pyarrow.RecordBatch"]:
        import pyarrow as pa

        self._out.close()
        return iter(pa.ipc.open_stream(pa.memory_map(str(self._path))))


class _Builder:
    """Collects rows of one format; at most one batch of them is held as Python objects."""

    def __init__(
        self, id_field: str, source_field: str, spool: Path | None, form: str, names: Names
    ) -> None:
        self._form, self._names = form, names
        self._id_field, self._source_field = id_field, source_field
        self._batches: list[pyarrow.RecordBatch] | _Spool = [] if spool is None else _Spool(spool)
        self._lines = array("q")
        self._clear()

    def __len__(self) -> int:
        return len(self._lines)

    def _clear(self) -> None:
        # Lists of texts: objects of rows would cost a third more time, for the garbage collector.
        self._ids: list[str | None] = []
        self._sources: list[str | None] = []
        self._extras: list[str] = []
        self._layouts: list[str] = []
        self._keys: list[bytes] = []
        self._positions = array("q")
        self._cuts: list[int | None] = []
        self._roles: list[str] = []
        self._texts: list[str] = []
        self._ends = array("i", [0])
        self._size = 0

    def add(
        self, line: int, position: int, row: Mapping[str, object], *, unanswered: bool
    ) -> Parsed:
        """Add one row and return what it holds, or raise `BadRowError` and add nothing.

        ``position`` counts every row that is read, from 0. A row without an answer to learn is
        added only where ``unanswered``.
        """
        parsed = parse_row(row, self._form, self._names)
        held = parsed.starts
        extra = {name: value for name, value in row.items() if name not in held}
        kinds: dict[str, str] = {}
        ident = _take_label(extra, self._id_field, kinds)
        source = _take_label(extra, self._source_field, kinds)
        if self._id_field in extra:
            found = f"{shown(self._id_field)} is {kind_of(extra[self._id_field])}"
            raise BadRowError(f"id is no text or whole number: {found}")
        try:
            key = _content_key(parsed.turns)
            rest = _COMPACT.encode(extra) if extra else "{}"
            layout = dump_layout(row, parsed, kinds)
            kept = f"{rest}{layout}{ident}{source}"
            if not kept.isascii():
                kept.encode()
        except UnicodeEncodeError:
            raise BadRowError("half a character: a lone surrogate, which is no text") from None
        except RecursionError:
            raise BadRowError("a value is nested too deeply") from None
        if parsed.missing and not unanswered:
            return parsed
        self._lines.append(line)
        self._positions.append(position)
        self._ids.append(ident)
        self._sources.append(source)
        self._extras.append(rest)
        self._layouts.append(layout)
        self._keys.append(key)
        self._cuts.append(parsed.cut and parsed.cut[1])
        for role, text in parsed.turns:
            self._roles.append(role)
            self._texts.append(text)
            self._size += len(text)
        self._ends.append(len(self._roles))
        self._size += len(rest) + len(layout)
        if len(self._ends) > _ROWS or self._size >= _CHARACTERS:
            self._flush()
        return parsed

    def _flush(self) -> None:
        import pyarrow as pa

        # Arrow's own allocator keeps twice the memory of columns that are built piece by piece.
        array = functools.partial(pa.array, memory_pool=pa.system_memory_pool())
        schema, text = table_schema(), pa.string()
        messages = schema.field("messages").type
        sides = [array(self._roles, text), array(self._texts, text)]
        flat = pa.StructArray.from_arrays(sides, fields=list(messages.value_type))
        listed = [
            array(self._ids, text),
            pa.ListArray.from_arrays(array(np.asarray(self._ends)), flat, type=messages),
            array(self._sources, text),
            array(self._extras, text),
            array(np.frombuffer(b"".join(self._keys), "<u8")),
            array(np.asarray(self._positions)),
            array(self._layouts, pa.large_string()).dictionary_encode(),  # much faster than at once
            array(self._cuts, pa.int32()),
        ]
        self._batches.append(pa.RecordBatch.from_arrays(listed, schema=schema))
        self._clear()

    def finish(self, place: Callable[[int], tuple[str, str]]) -> "pyarrow.Table":
        """Return the table, every row with an id that no other row has.

        Args:
            place: the file of a row and its line, in words, for the number that `add` was given.

        Raises:
            InputError: two rows give the same id.
        """
        import pyarrow as pa

        if self._roles:
            self._flush()
        table = pa.Table.from_batches(iter(self._batches), schema=table_schema())
        table = table.unify_dictionaries()
        self._batches = []
        return table.set_column(0, "id", complete_ids(table, self._lines, place))


def _take_label(extra: dict[str, object], field: str, kinds: dict[str, str]) -> str | None:
    """Take an id or a source out of the other fields of a row, and note what it is.

    It stays among them where it can be neither.
    """
    if field not in extra:
        return None
    value = extra[field]
    if type(value) is str:
        kinds[field] = "text" if value else "empty"
    elif value is None:
        kinds[field] = "null"
    # A column of whole numbers with a gap in it holds floats.
    elif type(value) is int or (type(value) is float and value.is_integer()):
        kinds[field], value = "number", str(int(value))
    else:
        return None
    del extra[field]
    return str(value) if value else None
