"""The pool: candidate examples in a fixed order, held as columns, in memory or in a file."""

import difflib
import functools
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ds2.arguments import got, remedy
from ds2.atomic import writing
from ds2.errors import InputError
from ds2.pool.files import check_readable
from ds2.pool.layout import conversation_fields, label, load_layout
from ds2.pool.wording import shown, shown_names, shown_path

if TYPE_CHECKING:
    import datasets
    import pandas  # type: ignore[import-untyped]
    import pyarrow

__all__ = [
    "Example",
    "Message",
    "Pool",
    "Reject",
    "conversation_text",
    "lines_of",
    "table_schema",
    "take_rows",
]

_BATCH = 1024
_TAKE = 1 << 14
_ENTRY = b"ds2.pool"
_VERSION = 5


def conversation_text(turns: Iterable[tuple[str, str]]) -> str:
    """Join (role, content) pairs as ``role: content`` lines."""
    return "\n".join(f"{role}: {content}" for role, content in turns)


@dataclass(frozen=True, slots=True)
class Message:
    """One turn: who speaks (``system``, ``user``, ``assistant`` or ``tool``) and what."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Example:
    """One conversation of the pool.

    Attributes:
        id: the example's own id, or one derived from its content.
        messages: the turns, first to last.
        source: where the example comes from, when the row says so.
        extra: every other field of the row.
    """

    id: str
    messages: tuple[Message, ...]
    source: str | None = None
    extra: Mapping[str, object] = field(default_factory=dict)

    @property
    def turns(self) -> tuple[tuple[str, str], ...]:
        """(role, content) of each message."""
        return tuple((message.role, message.content) for message in self.messages)

    def text(self) -> str:
        """Return the whole conversation as ``role: content`` lines."""
        return conversation_text(self.turns)


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that could not become an example.

    Attributes:
        file: the file it was read from.
        line: line of the file (JSONL, CSV) or number of the row (JSON, Parquet), from 1.
        reason: the kind of fault, then after a colon what was found.
        text: the start of the row as it was read. It is data: escape it before showing it.
    """

    file: str
    line: int
    reason: str
    text: str


@functools.cache
def table_schema() -> "pyarrow.Schema":
    """Return the schema of every pool's table.

    The public columns are id, messages, source, extra (a JSON object), key and position;
    ``layout`` and ``cut`` are what it takes to write a row as it was read (`ds2.pool.layout`).
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
            ("layout", pa.dictionary(pa.int32(), pa.large_string())),  # may be over 2 GB
            ("cut", pa.int32()),
        ]
    )


def lines_of(batch: "pyarrow.RecordBatch") -> list[dict[str, Any]]:
    """Return rows of a pool's table, as ``to_pylist`` does, which is slow for layouts."""
    if "layout" in batch.schema.names:
        at = batch.schema.get_field_index("layout")
        batch = batch.set_column(at, "layout", batch.column(at).dictionary_decode())
    lines: list[dict[str, Any]] = batch.to_pylist()
    return lines


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Pool:
    """Examples in a fixed order, in Arrow columns; rows become Python objects when asked for.

    Attributes:
        table: columns ``id``, ``messages`` (a list of role and content), ``source``, ``extra``
            (every other field, a JSON object), ``key`` and ``position``; ``layout`` and ``cut``
            are internal.
        format: the format of the rows: alpaca, sharegpt, messages or prompt-response.
        origin: where they were read from.
        rejects: the rows that could not be read, the first 10,000 of them; a file of rejects that
            `read_pool` writes has all.
        warnings: what the user should know about the reading.
        id_field: the name of the rows' field for the id.
        source_field: the name of the rows' field for the source.
        named: the columns that the user named, by the part of the conversation that they hold.
        roles: the names of roles that the user gave, and the pool's word for each.
        n_read: the rows that were read, those set aside included.
        n_rejected: the rows that were set aside.
    """

    table: "pyarrow.Table"
    format: str
    origin: str
    rejects: tuple[Reject, ...] = ()
    warnings: tuple[str, ...] = ()
    id_field: str = "id"
    source_field: str = "source"
    named: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    n_read: int = 0
    n_rejected: int = 0

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __repr__(self) -> str:
        return f"Pool({len(self):,} examples, format={self.format!r}, origin={self.origin!r})"

    def __iter__(self) -> Iterator[Example]:
        columns = self.table.select(["id", "messages", "source", "extra"])
        for batch in columns.to_batches(max_chunksize=_BATCH):
            yield from map(_example, batch.to_pylist())

    def __getitem__(self, row: int) -> Example:
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of a pool of {len(self):,} examples")
        return next(iter(self.take([row % len(self)])))

    def to_dataset(self, format: str = "messages") -> "datasets.Dataset":
        """Return the examples as a ``datasets.Dataset``, in memory: what `ds2.write_pool` writes.

        Raises:
            InputError: the format cannot express an example.
        """
        from datasets import Dataset

        from ds2.pool.write import table_of

        return Dataset(table_of(self, format))

    def to_pandas(self, format: str = "messages") -> "pandas.DataFrame":
        """Return the examples as a DataFrame; as `to_dataset`."""
        return self.to_dataset(format).to_pandas()

    @property
    def ids(self) -> list[str]:
        """The id of every example; no two are equal."""
        ids: list[str] = self.table["id"].to_pylist()
        return ids

    @property
    def keys(self) -> np.ndarray:
        """A hash of every example's messages alone, uint64 of shape (n,)."""
        return np.asarray(self.table["key"].to_numpy(), dtype=np.uint64)

    @property
    def positions(self) -> np.ndarray:
        """Where each example stands among all rows that were read, int64 of shape (n,)."""
        return np.asarray(self.table["position"].to_numpy(), dtype=np.int64)

    @property
    def sources(self) -> list[str | None]:
        """Where every example comes from, None where its row does not say."""
        sources: list[str | None] = self.table["source"].to_pylist()
        return sources

    def coded_sources(self) -> tuple[list[str | None], np.ndarray]:
        """`sources` as the k that there are, in order of first appearance, and (n,) their numbers.

        However many rows there are, each source is one Python object.
        """
        import pyarrow as pa

        column = self.table["source"].cast(pa.large_string())  # all names together may be over 2 GB
        coded = column.dictionary_encode(null_encoding="encode")  # one dictionary for all chunks
        names = coded.chunk(0).dictionary.to_pylist() if coded.num_chunks else []
        codes = [chunk.indices.to_numpy(zero_copy_only=False) for chunk in coded.chunks]
        return names, np.concatenate([*codes, np.empty(0, np.int32)])

    @property
    def lengths(self) -> np.ndarray:
        """The characters of every example's assistant turns, int64 of shape (n,)."""
        chunks = [_assistant_lengths(chunk) for chunk in self.table["messages"].chunks]
        return np.concatenate([*chunks, np.empty(0, np.int64)])

    @property
    def columns(self) -> tuple[str, ...]:
        """The fields of the rows beside the conversation, in order of first appearance."""
        names: dict[str, None] = {}
        for layout in map(load_layout, self.table["layout"].unique().to_pylist()):
            held = conversation_fields(layout)
            names.update((name, None) for name in layout if name not in held)
        return tuple(names)

    def column(self, name: str) -> list[object]:
        """Return one field of the rows as it was read, None where a row does not have it.

        Raises:
            InputError: no row has the field.
        """
        return list(self.iter_column(name))

    def iter_column(self, name: str) -> Iterator[object]:
        """Yield what `column` returns, row by row."""
        if name not in self.columns:
            near = difflib.get_close_matches(name, self.columns, n=1, cutoff=0.5)
            hint = f" Did you mean {shown(near[0])}?" if near else ""
            raise InputError(
                f"No row of the pool has the field {shown(name)} beside its conversation. "
                f"There are: {shown_names(list(self.columns))}.{hint}"
            )
        held = {self.id_field: "id", self.source_field: "source"}.get(name)
        for batch in self.table.select(["extra", "layout", held or "id"]).to_batches():
            for extra, layout, text in zip(*(c.to_pylist() for c in batch.columns), strict=True):
                value = json.loads(extra).get(name) if extra != "{}" else None
                if value is None and held:
                    value = label(load_layout(layout).get(name), text)
                yield value

    def texts(self, start: int = 0, stop: int | None = None) -> list[str]:
        """Return the conversations of the rows from ``start`` to ``stop`` as text."""
        return [conversation_text(turns) for turns in self.turns(start, stop)]

    def turns(self, start: int = 0, stop: int | None = None) -> Iterator[list[tuple[str, str]]]:
        """Yield the (role, content) pairs of the rows from ``start`` to ``stop``, row by row."""
        part = self.table["messages"][slice(start, stop)]
        for chunk in part.chunks:
            for begin in range(0, len(chunk), _BATCH):
                rows = chunk.slice(begin, _BATCH)
                inside = rows.flatten()
                pairs = list(zip(*(inside.field(i).to_pylist() for i in (0, 1)), strict=True))
                ends = rows.offsets.to_numpy() - rows.offsets[0].as_py()
                yield from (pairs[a:b] for a, b in itertools.pairwise(ends.tolist()))

    def take(self, rows: object) -> "Pool":
        """Return a pool of the given rows (whole numbers or a mask), in the given order."""
        wanted = np.asarray(rows)
        if wanted.dtype == np.bool_ and wanted.shape == (len(self),):
            wanted = np.flatnonzero(wanted)
        if wanted.size == 0:
            wanted = wanted.astype(np.int64)
        if wanted.ndim != 1 or not np.issubdtype(wanted.dtype, np.integer):
            raise InputError(
                "'rows' must be whole numbers, or true/false for each of the "
                f"{len(self):,} examples. Got {got(rows)}.{remedy('rows')}"
            )
        outside = (wanted < 0) | (wanted >= len(self))
        if outside.any():
            raise InputError(
                f"'rows' must be in [0, {len(self) - 1}]. Got {wanted[np.argmax(outside)]}."
            )
        return replace(self, table=take_rows(self.table, wanted.astype(np.int64)))

    def save(self, path: str | Path) -> None:
        """Write the pool as one Arrow file, complete or not at all."""
        import pyarrow as pa

        about = {
            "version": _VERSION,
            "rejects": [astuple(reject) for reject in self.rejects],
            **{name: getattr(self, name) for name in _SAVED},
        }
        table = self.table.replace_schema_metadata({_ENTRY: json.dumps(about)})
        with (
            writing(Path(path)) as temporary,
            pa.ipc.new_file(str(temporary), table.schema) as out,
        ):
            out.write_table(table.unify_dictionaries())

    @staticmethod
    def load(path: str | Path) -> "Pool":
        """Open a pool written by `save`; its columns stay on disk until they are used.

        Raises:
            InputError: there is no such file, or it is no pool of this version.
        """
        import pyarrow as pa

        check_readable(Path(path))
        name = shown_path(path)
        try:
            table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
            table.validate()
        except (pa.ArrowException, OSError):
            raise InputError(f"{name} is no pool saved by ds2, or it is cut off.") from None
        about = json.loads((table.schema.metadata or {}).get(_ENTRY, b"{}"))
        version = about.get("version", _VERSION)
        if version > _VERSION:
            raise InputError(f"{name} was saved by a newer version of ds2. Upgrade ds2 to read it.")
        if version < _VERSION:
            raise InputError(
                f"{name} was saved by an older version of ds2. Read the pool again (in a run: "
                "ds2 pool RUN)."
            )
        table = table.replace_schema_metadata()
        if not about or table.schema != table_schema():
            raise InputError(f"{name} is an Arrow file, but no pool saved by ds2.")
        rejects = tuple(Reject(*reject) for reject in about["rejects"])
        about.setdefault("n_rejected", len(rejects))  # which a file of an older ds2 lacks
        saved = {**{name: about[name] for name in _SAVED}, "warnings": tuple(about["warnings"])}
        return Pool(table, rejects=rejects, **saved)


#: The fields of a pool that its file holds beside the table and the rejects.
_SAVED = (
    "format",
    "origin",
    "warnings",
    "id_field",
    "source_field",
    "named",
    "roles",
    "n_read",
    "n_rejected",
)


def _example(row: dict[str, Any]) -> Example:
    messages = tuple(Message(**turn) for turn in row["messages"])
    return Example(row["id"], messages, row["source"], json.loads(row["extra"]))


def _assistant_lengths(chunk: "pyarrow.ListArray") -> np.ndarray:
    import pyarrow.compute as pc

    turns = chunk.flatten()
    counted = pc.utf8_length(turns.field("content")).to_numpy(zero_copy_only=False)
    counted = counted * pc.equal(turns.field("role"), "assistant").to_numpy(zero_copy_only=False)
    total = np.concatenate([[0], np.cumsum(counted, dtype=np.int64)])
    ends = chunk.offsets.to_numpy().astype(np.int64) - chunk.offsets[0].as_py()
    return np.asarray(total[ends[1:]] - total[ends[:-1]], dtype=np.int64)


def take_rows(table: "pyarrow.Table", rows: np.ndarray) -> "pyarrow.Table":
    """Take rows block by block, so that no text column has to be copied into one piece.

    Arrow's own ``take`` joins the chunks of a column, which fails above 2 GB of text.
    """
    import pyarrow as pa

    batches = table.to_batches()
    starts = np.cumsum([0] + [batch.num_rows for batch in batches])
    blocks = []
    for begin in range(0, len(rows), _TAKE):
        block = rows[begin : begin + _TAKE]
        where = np.searchsorted(starts, block, side="right") - 1
        parts = [
            batches[number].take(pa.array(block[where == number] - starts[number]))
            for number in np.unique(where)
        ]
        order = np.argsort(where, kind="stable")
        joined = pa.Table.from_batches(parts, schema=table.schema).combine_chunks()
        back = np.empty(len(order), dtype=np.int64)
        back[order] = np.arange(len(order))
        blocks.append(joined.take(pa.array(back)))
    return pa.concat_tables(blocks) if blocks else table.slice(0, 0)
