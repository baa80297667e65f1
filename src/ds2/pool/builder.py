"""From rows to a pool's table, a batch at a time."""

import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from ds2.pool.formats import NAMES, Names, Pair, Parsed, parse_row
from ds2.pool.ids import complete_ids
from ds2.pool.layout import dump_layout
from ds2.pool.turns import BadRowError, Turns
from ds2.pool.wording import kind_of, shown

if TYPE_CHECKING:
    import pyarrow

__all__ = ["TableBuilder", "content_key", "table_schema"]

_ROWS = 4096
_CHARACTERS = 1 << 24
_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str)


@functools.cache
def table_schema() -> "pyarrow.Schema":
    """Return the schema of every pool's table.

    The public columns are id, messages, source, extra (a JSON object), key and position;
    ``layout``, ``raw`` and ``cut`` are what it takes to write a row as it was read
    (`ds2.pool.layout`).
    """
    import pyarrow as pa

    turn = pa.struct([("role", pa.string()), ("content", pa.string())])
    return pa.schema(
        [
            ("id", pa.string()),
            ("messages", pa.list_(turn)),
            ("source", pa.string()),
            ("extra", pa.string()),
            ("key", pa.uint64()),
            ("position", pa.int64()),
            ("layout", pa.dictionary(pa.int32(), pa.string())),
            ("raw", pa.dictionary(pa.int32(), pa.string())),
            ("cut", pa.int32()),
        ]
    )


def content_key(turns: Turns) -> int:
    """Return the 64-bit hash of a conversation: of its roles and texts, unchanged, alone."""
    parts = [f"{role}\0{len(content)}\0{content}" for role, content in turns]
    data = "".join(parts).encode()
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


class TableBuilder:
    """Collects rows of one format; at most one batch of them is held as Python objects."""

    def __init__(self, form: str, id_field: str, source_field: str, names: Names = NAMES) -> None:
        self._form = form
        self._id_field = id_field
        self._source_field = source_field
        self._names = names
        self._batches: list[pyarrow.RecordBatch] = []
        self._lines: list[np.ndarray] = []
        self._clear()

    def _clear(self) -> None:
        self._ids: list[str | None] = []
        self._line: list[int] = []
        self._sources: list[str | None] = []
        self._extras: list[str] = []
        self._keys: list[int] = []
        self._positions: list[int] = []
        self._layouts: list[str] = []
        self._raws: list[str | None] = []
        self._cuts: list[int | None] = []
        self._roles: list[str] = []
        self._contents: list[str] = []
        self._ends: list[int] = [0]
        self._size = 0

    def add(
        self, line: int, position: int, row: Mapping[str, object], *, unanswered: bool = False
    ) -> Parsed:
        """Add one row and return what it holds, or raise `BadRowError` and add nothing.

        ``position`` counts every row that is read, from 0. A row without an answer to learn is added only where ``unanswered``.
        """
        parsed = parse_row(row, self._form, self._names)
        held = {name for _, name in parsed.parts}
        extra = {name: value for name, value in row.items() if name not in held}
        empty: tuple[Pair, ...] = ()
        numbers: tuple[str, ...] = ()
        for field in (self._id_field, self._source_field):
            if field in extra:
                value = extra[field]
                if value is None or value == "":
                    empty = (*empty, (field, json.dumps(extra.pop(field))))
                elif type(value) is not str:
                    numbers = (*numbers, field)
        ident, source = _take_label(extra, self._id_field), _take_label(extra, self._source_field)
        if ident is None and self._id_field in extra:
            found = f"{shown(self._id_field)} is {kind_of(extra[self._id_field])}"
            raise BadRowError(f"id is no text or whole number: {found}")
        try:
            key = content_key(parsed.turns)
            rest = _COMPACT.encode(extra) if extra else "{}"
            layout = dump_layout(row, parsed, empty, numbers)
            for text in (rest, layout, ident, source, parsed.raw):
                if text and not text.isascii():
                    text.encode()
        except UnicodeEncodeError:
            raise BadRowError("half a character: a lone surrogate, which is no text") from None
        except RecursionError:
            raise BadRowError("a value is nested too deeply") from None
        if parsed.missing and not unanswered:
            return parsed
        self._ids.append(ident)
        self._line.append(line)
        self._sources.append(source)
        self._extras.append(rest)
        self._keys.append(key)
        self._positions.append(position)
        self._layouts.append(layout)
        self._raws.append(parsed.raw)
        self._cuts.append(parsed.cut)
        for role, content in parsed.turns:
            self._roles.append(role)
            self._contents.append(content)
            self._size += len(content)
        self._ends.append(len(self._roles))
        self._size += len(rest) + len(parsed.raw or "")
        if len(self._keys) >= _ROWS or self._size >= _CHARACTERS:
            self._flush()
        return parsed

    def _flush(self) -> None:
        import pyarrow as pa

        # Arrow's own allocator keeps twice the memory of columns that are built piece by piece.
        array = functools.partial(pa.array, memory_pool=pa.system_memory_pool())
        text = pa.string()
        messages = table_schema().field("messages").type
        turns = pa.StructArray.from_arrays(
            [array(self._roles, text), array(self._contents, text)],
            fields=list(messages.value_type),
        )
        columns = [
            array(self._ids, text),
            pa.ListArray.from_arrays(array(self._ends, pa.int32()), turns, type=messages),
            array(self._sources, text),
            array(self._extras, text),
            array(self._keys, pa.uint64()),
            array(self._positions, pa.int64()),
            array(self._layouts, text).dictionary_encode(),
            array(self._raws, text).dictionary_encode(),
            array(self._cuts, pa.int32()),
        ]
        self._batches.append(pa.RecordBatch.from_arrays(columns, schema=table_schema()))
        self._lines.append(np.array(self._line, dtype=np.int64))
        self._clear()

    def finish(self, place: Callable[[int], tuple[str, str]]) -> "pyarrow.Table":
        """Return the table, every row with an id that no other row has.

        Args:
            place: the file of a row and its line, in words, for the number that `add` was given.

        Raises:
            InputError: two rows give the same id.
        """
        import pyarrow as pa

        if self._keys:
            self._flush()
        table = pa.Table.from_batches(self._batches, schema=table_schema()).unify_dictionaries()
        self._batches = []
        lines = np.concatenate([*self._lines, np.empty(0, np.int64)])
        return table.set_column(0, "id", complete_ids(table, lines, place))


def _take_label(extra: dict[str, object], field: str) -> str | None:
    """Take an id or a source out of the other fields of a row, where it is text or a number."""
    value = extra.get(field)
    if type(value) is float and value.is_integer():
        value = int(value)  # a column of whole numbers with a gap in it
    if type(value) is str or type(value) is int:
        del extra[field]
        return str(value)
    return None
