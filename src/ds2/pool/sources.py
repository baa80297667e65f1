"""What a pool is read from: one file or several, a saved dataset, the hub, rows in memory."""

import contextlib
import glob
import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, TypeVar

from ds2.arguments import got
from ds2.atomic import writing
from ds2.errors import InputError, RunError, warn
from ds2.pool.delimited import check_columns
from ds2.pool.files import WRITERS, file_kind, writer
from ds2.pool.remote import RemoteFile, is_remote, listed
from ds2.pool.rows import (
    Fault,
    Row,
    RowSource,
    as_row,
    batch_rows,
    binary_left_out,
    read_file,
    text_columns,
)
from ds2.pool.wording import shown, shown_names, shown_path

__all__ = ["is_place", "keep_rows", "open_sources"]

_SPLIT = re.compile(r"(?:^|[-_./])(train|test|validation|valid|val|dev|eval)(?=[-_.]|$)")
_SAME = {"valid": "validation", "val": "validation", "dev": "validation"}
#: Files beside a dataset's data that hold no rows.
_ABOUT = {"dataset_info.json", "dataset_infos.json", "config.json", "metadata.json", "state.json"}
SomePath = TypeVar("SomePath", bound=PurePath)
_BATCH = 4096
_AT_ONCE = 16
_HUB = "hf:"
_BYTES = (bytes, bytearray, memoryview)
_NAME = re.compile(r"(?P<name>\w[\w.-]*(?:/\w[\w.-]*)?)(?::(?P<config>\w[\w.\- ]*))?", re.ASCII)


def open_sources(pool: Any, split: str) -> tuple[str, list[RowSource], list[str]]:
    """Open what `ds2.read_pool` was given.

    Returns:
        What to call it, its sources in order, and what the user should know of the choice.
    """
    if isinstance(pool, (str, os.PathLike)):
        place = os.fspath(pool)
        if place.startswith(_HUB):
            return place, [_read_hub(place, split)], []
        if is_remote(place):
            name, files, notes = _in_store(place, split)
            with ThreadPoolExecutor(_AT_ONCE) as threads:  # each start is a request or two
                opened = [threads.submit(copy_context().run, read_file, file) for file in files]
                return name, [one.result() for one in opened], notes
        if any((Path(place) / file).is_file() for file in ("dataset_dict.json", "state.json")):
            return place, [_read_saved(Path(place), split)], []
        paths, notes = _files_of(place, split)
        return place, [read_file(path) for path in paths], notes
    listed = list(pool) if isinstance(pool, (list, tuple)) else None
    if listed and is_place(listed):
        sources: list[RowSource] = []
        notes = []
        for each in listed:
            _, found, said = open_sources(each, split)
            sources += found
            notes += said
        names = Counter(os.path.abspath(one.name) for one in sources)  # noqa: PTH100
        if twice := next((name for name, count in names.items() if count > 1), None):
            raise InputError(f"{twice} is listed twice. Name it once.")
        return ", ".join(os.fspath(each) for each in listed), sources, notes
    source = _in_memory(pool, listed, split)
    return source.name, [source], []


def is_place(pool: Any) -> bool:
    """Say whether a pool is named (a path, several, one on the hub) and not given itself."""
    if isinstance(pool, (str, os.PathLike)):
        return True
    listed = isinstance(pool, (list, tuple)) and bool(pool)
    return listed and all(isinstance(each, (str, os.PathLike)) for each in pool)


def keep_rows(pool: Any, path: Path) -> None:
    """Write the rows of a pool that is in memory as JSONL, as `ds2.read_pool` would take them.

    Raises:
        InputError: it is no pool, or a row is no object.
    """
    _, (source,), _ = open_sources(pool, "train")

    def rows() -> Iterator[dict[str, Any]]:
        for number, row in source.rows:
            if isinstance(row, Fault):
                raise InputError(f"{source.name}, {source.unit} {number:,}: {row.reason}.")
            yield {name: _plain(value) for name, value in row.items()}

    with writing(path) as temporary, writer(temporary, None) as stream:
        WRITERS["jsonl"](rows, stream)
    for note in source.warnings:
        warn(note)


def _files_of(place: str, split: str = "train") -> tuple[list[Path], list[str]]:
    """Return the files that a path, a folder or a pattern (``*``) names, shards in order.

    Raises:
        InputError: there are none, or a folder holds files of several kinds.
    """
    path = Path(place)
    if path.is_dir():
        found = [file for file in path.rglob("*") if file.is_file()]
        return _in_folder(shown_path(path), path, found, split)
    if path.exists() or not glob.has_magic(place):
        return [path], _alone(place, split)
    matched = map(Path, glob.glob(place, recursive=True))  # noqa: PTH207 - may be absolute
    return _matching(place, [file for file in matched if file.is_file()]), []


def _in_store(place: str, split: str) -> tuple[str, list[RemoteFile], list[str]]:
    """The same of an address in an object store, and what to call it."""
    name, files, folder = listed(place)
    by_key = {PurePosixPath(file.key): file for file in files}
    if folder is not None:
        keys, notes = _in_folder(shown_path(name), PurePosixPath(folder), list(by_key), split)
    elif glob.has_magic(name):
        keys, notes = _matching(name, list(by_key)), []
    else:
        keys, notes = list(by_key), _alone(name, split)
    return name, [by_key[key] for key in keys], notes


def _alone(place: str, split: str) -> list[str]:
    if split != "train":
        raise InputError(f"{shown_path(place)} is a file and has no splits, so no {split!r}.")
    return []


def _matching(place: str, found: Sequence[SomePath]) -> list[SomePath]:
    files = [file for file in sorted(found, key=_in_order) if _known(file)]
    if not files:
        raise InputError(f"{shown_path(place)} matches no file that ds2 reads. Check the pattern.")
    return files


def _in_order(path: PurePath) -> list[tuple[int, str]]:
    """Sort names as people number them: 2 before 10."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part)
        for part in re.split(r"(\d+)", path.as_posix())
    ]


def _known(path: PurePath) -> bool:
    try:
        file_kind(path)
    except InputError:
        return False
    return path.name.lower() not in _ABOUT and not path.name.startswith((".", "_"))


def _in_folder(
    name: str, folder: PurePath, found: Sequence[SomePath], split: str
) -> tuple[list[SomePath], list[str]]:
    files = [file for file in found if _known(file)]
    files = [f for f in files if not any(p.startswith(".") for p in f.relative_to(folder).parts)]
    if not files:
        raise InputError(
            f"{name} is a folder and no dataset saved by the datasets library, and no file in it "
            "is one that ds2 reads."
        )
    kinds = sorted({file_kind(file).container for file in files})
    if len(kinds) > 1:
        raise InputError(
            f"The folder {name} holds files of several kinds ({', '.join(kinds)}): "
            f"{shown_names(sorted(f.name for f in files), 3)}. Name those to read, for example "
            f"{name}/*.{kinds[0]}"
        )
    marks = {file: _split_of(file.relative_to(folder)) for file in files}
    splits = sorted({mark for mark in marks.values() if mark})
    notes = []
    if splits:
        if split not in splits:
            raise InputError(
                f"The folder {name} has no split {shown(split)}. It has {shown_names(splits)}."
            )
        left = [file for file in files if marks[file] != split]
        files = [file for file in files if marks[file] == split]
        if left:
            notes.append(
                f"{name}: {len(files):,} files of the split {split!r} were read, "
                f"{len(left):,} others were not."
            )
    elif split != "train":
        raise InputError(f"The files in {name} name no splits, so there is no {split!r}.")
    return sorted(files, key=_in_order), notes


def _split_of(path: PurePath) -> str | None:
    found = _SPLIT.findall(path.as_posix().lower())
    return _SAME.get(found[-1], found[-1]) if found else None


def _read_saved(path: Path, split: str) -> RowSource:
    """Open a folder written by ``Dataset.save_to_disk`` or ``DatasetDict.save_to_disk``."""
    name = shown_path(path)
    import datasets

    try:
        data = datasets.load_from_disk(str(path))
    except Exception as error:
        raise InputError(
            f"The folder {name} is a saved dataset that cannot be opened: {shown(str(error), 200)}."
        ) from error
    if isinstance(data, datasets.DatasetDict):
        return _from_dataset(_split(data, split, name), f"{name}/{split}")
    if split != "train":
        raise InputError(f"The folder {name} holds one dataset without splits, so no {split!r}.")
    return _from_dataset(data, name)


def _read_hub(address: str, split: str) -> RowSource:
    """Open ``hf:org/name`` or ``hf:org/name:config`` with ``datasets.load_dataset``.

    Raises:
        InputError: there is no such dataset, config or split.
        RunError: the hub cannot be reached.
    """
    match = _NAME.fullmatch(address.removeprefix(_HUB))
    if match is None:
        raise InputError(
            f"A dataset on the hub is written hf:org/name or hf:org/name:config. "
            f"Got {shown(address, 80)}."
        )
    import datasets

    try:
        with _quiet():
            data = datasets.load_dataset(match["name"], match["config"])
    except (ConnectionError, TimeoutError) as error:
        raise RunError(
            f"The hub cannot be reached for {address}. Check the network, or read a saved folder."
        ) from error
    except Exception as error:
        raise InputError(f"Cannot load {address}: {shown(str(error), 300)}.") from error
    return _from_dataset(_split(data, split, address), f"{address}/{split}")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the hub client's own lines about each try off the screen."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _split(data: Mapping[str, Any], split: str, name: str) -> Any:
    if split not in data:
        raise InputError(f"{name} has no split {shown(split)}. It has {shown_names(list(data))}.")
    return data[split]


def _from_dataset(data: Any, name: str) -> RowSource:
    """Open a ``datasets.Dataset``."""
    columns, warnings, left = text_columns(data.features.arrow_schema, name)
    if columns is not None:
        data = data.select_columns(columns)
    batches = iter(data.with_format("arrow").iter(batch_size=_BATCH))
    return RowSource(name, "row", batch_rows(batches, name, left), warnings)


def _in_memory(pool: Any, listed: list[Any] | None, split: str) -> RowSource:
    """Open rows that are no file: a Dataset, a DataFrame, an Arrow table, objects, a pool."""
    if hasattr(pool, "to_dataset"):
        pool = pool.to_dataset()
    if hasattr(pool, "features") and hasattr(pool, "select_columns"):
        return _from_dataset(pool, "the Dataset")
    if isinstance(pool, Mapping) and split in pool:
        return _from_dataset(pool[split], f"the DatasetDict's {split}")
    if hasattr(pool, "to_dict") and hasattr(pool, "columns") and hasattr(pool, "iloc"):
        columns = [str(column) for column in pool.columns]
        check_columns(columns, "the DataFrame")
        frame = pool.set_axis(columns, axis=1)
        return _objects("the DataFrame", frame.to_dict("records"))
    if hasattr(pool, "__arrow_c_stream__") and hasattr(pool, "columns"):  # polars
        import pyarrow as pa

        pool = pa.table(pool)
    if hasattr(pool, "to_batches") and hasattr(pool, "schema"):
        kept, notes, left = text_columns(pool.schema, "the table")
        table = pool if kept is None else pool.select(kept)
        batches = table.to_batches(max_chunksize=_BATCH)
        return RowSource("the table", "row", batch_rows(iter(batches), "the table", left), notes)
    rows = isinstance(pool, Iterable) and not isinstance(pool, Mapping)
    if listed is not None or (rows and not hasattr(pool, "shape")):  # which columns have
        return _objects("the list", listed if listed is not None else pool)
    raise InputError(
        "A pool is a path, a list of paths, hf:org/name, a Dataset, a DataFrame, an Arrow table or "
        f"a list of objects. Got {got(pool)}."
    )


def _objects(name: str, rows: Iterable[Any]) -> RowSource:
    notes: list[str] = []

    def numbered() -> Iterator[tuple[int, Row]]:
        binary: dict[str, None] = {}
        for at, row in enumerate(rows, 1):
            try:
                plain = as_row(_plain(row))
                columns = row.items() if isinstance(row, Mapping) else ()
                binary |= {str(column): None for column, value in columns if _holds_bytes(value)}
            except RecursionError:
                plain = Fault("a value is nested too deeply", "")
            notes[:] = [binary_left_out(name, binary)] if binary else []
            yield at, plain

    return RowSource(name, "row", numbered(), notes)


def _holds_bytes(value: Any) -> bool:
    if isinstance(value, Mapping):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return isinstance(value, _BYTES)
    return any(map(_holds_bytes, value))


def _plain(value: Any) -> object:
    """Return a value as JSON knows it: no arrays or numbers of numpy's, null for NaN and bytes."""
    if isinstance(value, _BYTES):
        return None
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(each) for each in value]
    if value is None or (isinstance(value, float) and value != value):  # noqa: PLR0124
        return None
    known = isinstance(value, (str, int, float))
    return value if known else None if type(value).__name__ in {"NAType", "NaTType"} else str(value)
