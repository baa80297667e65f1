"""Datasets of the Hugging Face library: a folder it saved, or a name on the hub."""

import contextlib
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ds2.errors import InputError, RunError
from ds2.pool.rows import RowSource, batch_rows, text_columns
from ds2.pool.wording import shown, shown_names, shown_path

__all__ = ["HUB_PREFIX", "from_dataset", "is_saved", "read_folder", "read_hub"]

HUB_PREFIX = "hf:"
_BATCH = 4096
_NAME = re.compile(r"(?P<name>\w[\w.-]*(?:/\w[\w.-]*)?)(?::(?P<config>\w[\w.\- ]*))?", re.ASCII)


def read_folder(path: Path, split: str) -> RowSource:
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
        return from_dataset(_split(data, split, name), f"{name}/{split}")
    if split != "train":
        raise InputError(f"The folder {name} holds one dataset without splits, so no {split!r}.")
    return from_dataset(data, name)


def is_saved(path: Path) -> bool:
    """Say whether a folder was written by ``save_to_disk``."""
    return any((path / file).is_file() for file in ("dataset_dict.json", "state.json"))


def read_hub(address: str, split: str) -> RowSource:
    """Open ``hf:org/name`` or ``hf:org/name:config`` with ``datasets.load_dataset``.

    Raises:
        InputError: there is no such dataset, config or split.
        RunError: the hub cannot be reached.
    """
    match = _NAME.fullmatch(address.removeprefix(HUB_PREFIX))
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
    return from_dataset(_split(data, split, address), f"{address}/{split}")


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


def from_dataset(data: Any, name: str) -> RowSource:
    """Open a ``datasets.Dataset``."""
    columns, warnings, left = text_columns(data.features.arrow_schema, name)
    if columns is not None:
        data = data.select_columns(columns)
    return RowSource(name, "row", batch_rows(_batches(data), name, left), warnings)


def _batches(data: Any) -> Iterator[Any]:
    return iter(data.with_format("arrow").iter(batch_size=_BATCH))
