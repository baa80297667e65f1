"""Write a pool back, in the format it came in or in another one."""

import json
import os
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ds2.atomic import writing
from ds2.checks import check_choice
from ds2.errors import Ds2Warning, InputError
from ds2.pool.carried import conversation
from ds2.pool.containers import WRITERS, OutRow, plain_values
from ds2.pool.convert import convert_fields, convert_rich
from ds2.pool.files import file_kind, writer
from ds2.pool.formats import FORMATS, Names
from ds2.pool.layout import conversation_fields, label, load_layout, original_row
from ds2.pool.pool import Pool
from ds2.pool.wording import shown, shown_names

__all__ = ["write_pool"]

_BATCH = 1024


def write_pool(
    pool: Pool,
    path: str | os.PathLike[str],
    *,
    format: str = "messages",
    columns: Mapping[str, Sequence[object] | np.ndarray] | None = None,
) -> None:
    """Write every example of a pool, complete or not at all.

    In the format that the pool was read in, every row is written as it was read. In another one,
    and where columns or roles were named when it was read, a row is the id, the conversation, the
    source and all other fields.

    Args:
        pool: the examples.
        path: a .jsonl, .json, .parquet, .csv or .tsv file, also .gz or .zst. CSV holds what is
            no text as JSON, and null as an empty field.
        format: alpaca, sharegpt, messages or prompt-response.
        columns: fields to add to the rows, each with one value per example (NaN becomes null).
            A field of the rows with the same name is replaced.

    Raises:
        InputError: the format cannot express an example, the file cannot hold a value, a column
            has the wrong length or the name of a part of the conversation, or nothing can be
            written there.
    """
    target = Path(path)
    kind = file_kind(target)
    check_choice("format", format, FORMATS)
    if len(pool) == 0:
        raise InputError("The pool holds no examples, so there is nothing to write.")
    added = dict(columns or {})
    for name, values in added.items():
        if len(values) != len(pool):
            raise InputError(
                f"The column {shown(name)} must have {len(pool):,} values, one per example. "
                f"Got {len(values):,}."
            )
    replaced: dict[str, None] = {}
    with writing(target) as temporary, writer(temporary, kind.compression) as stream:
        WRITERS[kind.container](lambda: _rows(pool, format, added, replaced), stream)
    if replaced:
        warnings.warn(
            f"The format {format} has fields that the rows had as well; the conversation's own "
            f"text was written in {shown_names(list(replaced))}.",
            Ds2Warning,
            stacklevel=2,
        )


def _rows(
    pool: Pool, form: str, added: Mapping[str, Any], replaced: dict[str, None]
) -> Iterator[OutRow]:
    start = 0
    for batch in pool.table.to_batches(max_chunksize=_BATCH):
        stop = start + batch.num_rows
        more = {name: plain_values(values[start:stop]) for name, values in added.items()}
        for number, line in enumerate(batch.to_pylist()):
            row, parts = _row(pool, line, form, replaced)
            for name, values in more.items():
                if name in parts:
                    raise InputError(
                        f"The column {shown(name)} has the name of a part of the conversation in "
                        f"the format {form}. Give it another name."
                    )
                row[name] = values[number]
            yield row
        start = stop


def _row(
    pool: Pool, line: dict[str, Any], form: str, replaced: dict[str, None]
) -> tuple[OutRow, Collection[str]]:
    """Return a row to write, and the names of its fields that are the conversation."""
    layout = load_layout(line["layout"])
    extra = json.loads(line["extra"])
    if form == pool.format and not pool.named and not pool.roles:
        return original_row(line, extra, pool.id_field), conversation_fields(layout)
    example = conversation(pool, line, Names.of(pool.named, pool.roles))
    if all(set(turn) == {"role", "content"} and isinstance(turn["content"], str)
           for turn in example.turns):  # fmt: skip
        turns = [(turn["role"], turn["content"]) for turn in line["messages"]]
        fields = convert_fields(turns, form, line["id"])
    else:
        fields = convert_rich(example.turns, form, line["id"])
        extra = {**example.media, **extra}
    ident = label(layout.get(pool.id_field), line["id"])
    source = label(layout.get(pool.source_field), line["source"])
    row: OutRow = {pool.id_field: line["id"] if ident in {None, ""} else ident, **fields}
    if source not in {None, ""}:
        row[pool.source_field] = source
    replaced.update((name, None) for name in extra if name in fields)
    return row | {name: value for name, value in extra.items() if name not in fields}, fields
