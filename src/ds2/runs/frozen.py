"""Frozen values as files and back, one file of the run folder for each kind.

A graph is npz, an estimate JSON; what has a row per example is Parquet: arrays are its columns and
the rest (method, evidence, …) is JSON in its metadata. Missing numbers are null in the file and
NaN in memory. Nothing is pickled.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ds2.atomic import writing
from ds2.curation import Curation, Scorer
from ds2.embedding import FIGURES
from ds2.errors import Caution, InputError
from ds2.neighbors import Neighbors
from ds2.noise import TransitionEstimate
from ds2.pool.wording import shown_path
from ds2.runs.folder import write_json
from ds2.selection import Curves, Selection

__all__ = [
    "load",
    "load_scorer",
    "load_vectors",
    "matrix_of",
    "observed_of",
    "plain",
    "read_scorer",
    "read_table",
    "save",
    "save_scorer",
    "thawed",
    "write_table",
]

Value = TypeVar("Value", Neighbors, TransitionEstimate, Curation, Selection, Curves)

FILES = {
    Neighbors: "neighbors.npz",
    TransitionEstimate: "noise.json",
    Curation: "curation.parquet",
    Selection: "selection.parquet",
    Curves: "curves.json",
}
#: Fields that are columns of another name, or columns though they are no arrays.
_COLUMNS = {"scores": "score", "rows": "row", "reasons": "reason"}
#: The number of a matrix's first column, where it is not 1: a level, not a rater.
_FIRST = {"posterior": 0}
#: Fields that have a file of their own.
_ELSEWHERE = ("dropped_rows",)
_FACTS = b"ds2"
#: The files of a scorer, and their version.
ARRAYS, REST, SCORER_VERSION = "scorer.safetensors", "scorer.json", 1


def save(folder: Path, value: Any, more: Mapping[str, Any] | None = None) -> None:
    """Write a value into its file of the run folder; ``more`` are columns beside its own."""
    path = folder / FILES[type(value)]
    if path.suffix == ".json":
        write_json(path, plain(value))
    elif path.suffix == ".npz":
        held = {field.name: getattr(value, field.name) for field in fields(value)}
        arrays: dict[str, Any] = {name: one for name, one in held.items() if one is not None}
        with writing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
    else:
        columns, facts = dict(more or {}), {}
        for name, hint in _hints(type(value)).items():
            if _is_column(name, hint):
                if getattr(value, name) is not None or name not in _FIRST:
                    columns[_COLUMNS.get(name, name)] = getattr(value, name)
            elif name not in _ELSEWHERE:
                facts[name] = getattr(value, name)
        write_table(path, columns, facts)


def load(kind: type[Value], folder: Path) -> Value:
    """Read what `save` wrote of a value of this kind."""
    path = folder / FILES[kind]
    if path.suffix == ".json":
        found: Value = thawed(kind, json.loads(path.read_bytes()))
        return found
    values: dict[str, Any] = {}
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            values = {name: arrays[name] for name in arrays}
        return kind(**{name: one if one.ndim else one.item() for name, one in values.items()})
    table, facts = read_table(path)
    for name, hint in _hints(kind).items():
        if _is_column(name, hint):
            values[name] = _column(table, _COLUMNS.get(name, name), hint)
        elif name in facts:
            values[name] = thawed(hint, facts[name])
    return kind(**values)


def load_vectors(folder: Path) -> np.ndarray:
    """(n, d) the run's vectors, left on disk."""
    found: np.ndarray = np.load(folder / "embeddings.npy", mmap_mode="r", allow_pickle=False)
    return found


def write_table(path: Path, columns: Mapping[str, Any], facts: Any = None) -> None:
    """Write columns as Parquet: (n,) arrays, (n, k) ones column by column, None as nulls."""
    n = next(len(column) for column in columns.values() if column is not None)
    parts: dict[str, pa.Array | pa.ChunkedArray] = {}
    for name, column in columns.items():
        if isinstance(column, np.ndarray) and column.ndim == 2:
            each = enumerate(column.T, _FIRST.get(name, 1))
            parts |= {f"{name}@{i}": pa.array(one, from_pandas=True) for i, one in each}
        elif column is None:
            parts[name] = pa.nulls(n, pa.float64())
        elif isinstance(column, np.ndarray) and column.dtype.kind == "f":
            parts[name] = pa.array(column.astype(np.float64), from_pandas=True)
        else:
            arrow = isinstance(column, (pa.Array, pa.ChunkedArray))
            parts[name] = column if arrow else pa.array(column)
    metadata = {_FACTS: json.dumps(plain(facts or {}), allow_nan=False).encode()}
    with writing(path) as temporary:
        table = pa.table(parts).replace_schema_metadata(metadata)
        pq.write_table(table, temporary, compression="zstd")


def read_table(path: Path, columns: Sequence[str] | None = None) -> tuple[pa.Table, dict[str, Any]]:
    """Read what `write_table` wrote: the columns, or some of them, and the facts beside them."""
    table = pq.read_table(path, columns=columns)
    return table, json.loads(table.schema.metadata[_FACTS])


def observed_of(curation: Curation) -> np.ndarray:
    """(n,) What one rater said, or the mean of several raters' z-scores on the levels."""
    if curation.observed.ndim == 1 or curation.raw is None:
        return curation.observed
    return curation.raw


def _hints(kind: Any) -> dict[str, Any]:
    """The types of a dataclass's fields, by name."""
    hints = get_type_hints(kind)
    return {one.name: hints[one.name] for one in fields(kind)}


def _is_column(name: str, hint: Any) -> bool:
    return name in _COLUMNS or _is_array(_members(hint)[0])


def _column(table: pa.Table, name: str, hint: Any) -> Any:
    """A field from its column, or from the columns NAME@1, NAME@2, … of a matrix."""
    if name in table.schema.names:
        column = table[name]
        if column.null_count == len(column) and NoneType in _members(hint):
            return None
        if not _is_array(_members(hint)[0]):
            return tuple(column.to_pylist())
        return np.array(column.to_numpy())
    return matrix_of(table, name) if f"{name}@{_FIRST.get(name, 1)}" in table.schema.names else None


def matrix_of(table: pa.Table, name: str) -> np.ndarray:
    """(n, k) The matrix whose columns are NAME@1, NAME@2 and so on."""
    parts = [other for other in table.schema.names if other.startswith(f"{name}@")]
    return np.column_stack([table[part].to_numpy() for part in parts])


def _members(hint: Any) -> tuple[Any, ...]:
    """The members of a union; anything else alone."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _is_array(hint: Any) -> bool:
    return hint is np.ndarray or hasattr(hint, "array_type")  # or one of jaxtyping's


def plain(value: Any, arrays: dict[str, np.ndarray] | None = None, name: str = "") -> Any:
    """Return JSON values: arrays as lists, NaN as null, frozen dataclasses as objects.

    Where ``arrays`` is given, the arrays of a dataclass go there, by dotted name, and are null.
    """
    if arrays is not None and isinstance(value, np.ndarray):
        arrays[name] = np.ascontiguousarray(value)
        return None
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, Caution):
        return {"code": value.code, "says": str(value), "figures": plain(value.figures)}
    if is_dataclass(value):
        return {
            one.name: plain(getattr(value, one.name), arrays, f"{name}.{one.name}".strip("."))
            for one in fields(value)
        }
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _caution(raw: Mapping[str, Any] | str) -> Caution:
    """A warning; older files hold its sentence alone."""
    if isinstance(raw, str):
        return Caution("", raw)
    return Caution(raw["code"], raw["says"], **raw["figures"])


def thawed(hint: Any, raw: Any, arrays: Mapping[str, np.ndarray] = {}, name: str = "") -> Any:
    """Return the value of an annotated type from what `plain` made of it."""
    kind = _members(hint)[0]
    if name in arrays or raw is None:
        return arrays.get(name, np.nan if hint is float else None)
    if kind is Caution or _is_array(kind):
        return _caution(raw) if kind is Caution else np.array(raw, dtype=np.float64)
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        parts = {
            key: thawed(hints[key], one, arrays, f"{name}.{key}".strip("."))
            for key, one in raw.items()
        }
        return kind(**parts)  # type: ignore[operator]
    inner = get_args(kind)
    if get_origin(kind) is tuple:
        kinds = inner[:1] * len(raw) if inner[-1] is ... else inner
        return tuple(thawed(one, part) for one, part in zip(kinds, raw, strict=True))
    if isinstance(raw, Mapping) and inner:
        return {inner[0](key): thawed(inner[1], one) for key, one in raw.items()}
    return raw


def save_scorer(
    scorer: Scorer, folder: str | Path, *, about: Mapping[str, object] | None = None
) -> None:
    """Write a scorer into a folder: its arrays (safetensors), then the rest, which vouches.

    Args:
        scorer: what `ds2.fit_scorer` gave.
        folder: is made where it is not there.
        about: what else should be known of it, as JSON values: embedder, raters, rubric.
    """
    from safetensors.numpy import save as packed

    place, arrays = Path(folder), dict[str, np.ndarray]()
    place.mkdir(parents=True, exist_ok=True)
    rest = {"version": SCORER_VERSION, "about": dict(about or {}), "figures": FIGURES}
    rest["scorer"] = plain(scorer, arrays)
    with writing(place / ARRAYS) as temporary:
        temporary.write_bytes(packed(arrays))
    write_json(place / REST, rest)


def load_scorer(folder: str | Path) -> Scorer:
    """Read what `save_scorer` wrote.

    Raises:
        InputError: there is none, it is damaged, or another version of ds2 wrote it.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as unpacked

    place, said = Path(folder), read_scorer(folder)
    try:
        found: Scorer = thawed(Scorer, said["scorer"], unpacked((place / ARRAYS).read_bytes()))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        raise InputError(f"{shown_path(place / ARRAYS)} is missing or damaged.") from None
    return found


def read_scorer(folder: str | Path) -> Mapping[str, Any]:
    """Read what a scorer has beside its arrays, and what was said about it when it was saved."""
    path = Path(folder) / REST
    try:
        said: Mapping[str, Any] = json.loads(path.read_bytes())
        version, figures = said["version"], tuple(said["figures"])
    except FileNotFoundError:
        raise InputError(f"There is no scorer in {shown_path(folder)}.") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{shown_path(path)} is damaged.") from None
    if version != SCORER_VERSION or figures != FIGURES:
        raise InputError(
            f"{shown_path(folder)} was written by another version of ds2, whose features are "
            "others. Fit the scorer anew."
        )
    return said
