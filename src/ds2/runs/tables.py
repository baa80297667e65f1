"""Results with one row per example as Parquet tables, and back.

What does not fit a column (method, evidence, …) is JSON in the table's metadata. Missing
numbers are null in the file and NaN in memory.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ds2.atomic import writing
from ds2.curation import Curation, Evidence
from ds2.runs.artefacts import plain
from ds2.selection import Selection

__all__ = [
    "load_curation",
    "load_selection",
    "save_curation",
    "save_selection",
]

_FACTS = b"ds2"


def save_curation(path: Path, curation: Curation, ids: pa.Array) -> None:
    """Write columns id, row, observed, score (curated), misrated, confidence and suggestion."""
    n = len(curation.scores)
    misrated = curation.misrated
    columns = {
        "id": ids,
        "row": _rows(n),
        "observed": _numbers(curation.observed),
        "score": _numbers(curation.scores),
        "misrated": pa.nulls(n, pa.bool_()) if misrated is None else pa.array(misrated),
        "confidence": _numbers(curation.confidence, n),
        "suggestion": _numbers(curation.suggestion, n),
    }
    facts = {
        "method": curation.method,
        "gate": curation.gate,
        "evidence": curation.evidence,
        "warnings": curation.warnings,
    }
    _write(path, columns, facts)


def load_curation(path: Path) -> Curation:
    """Read what `save_curation` wrote."""
    table, facts = _read(path)
    misrated = table["misrated"]
    return Curation(
        scores=_array(table, "score"),
        observed=_array(table, "observed"),
        misrated=None if _empty(misrated) else misrated.to_numpy().astype(bool),
        confidence=None if _empty(table["confidence"]) else _array(table, "confidence"),
        suggestion=None if _empty(table["suggestion"]) else _array(table, "suggestion"),
        method=facts["method"],
        evidence=tuple(Evidence(**row) for row in facts["evidence"]),
        gate=facts["gate"],
        warnings=tuple(facts["warnings"]),
    )


def save_selection(
    path: Path, selection: Selection, ids: pa.Array, curation: Curation, tail: np.ndarray
) -> None:
    """Write the selected rows in pick order, with their scores and the reason for each."""
    rows = selection.rows
    confidence = curation.confidence
    columns = {
        "rank": pa.array(np.arange(1, len(rows) + 1)),
        "row": pa.array(rows),
        "id": ids.take(pa.array(rows)),
        "score": _numbers(curation.scores[rows]),
        "observed": _numbers(curation.observed[rows]),
        "confidence": _numbers(None if confidence is None else confidence[rows], len(rows)),
        "long_tail": _numbers(tail[rows]),
        "reason": pa.array(selection.reasons, pa.string()),
    }
    _write(path, columns, {"method": selection.method, "dropped": dict(selection.dropped)})


def load_selection(path: Path) -> Selection:
    """Read what `save_selection` wrote."""
    table, facts = _read(path)
    return Selection(
        rows=table["row"].to_numpy(),
        reasons=tuple(table["reason"].to_pylist()),
        method=facts["method"],
        dropped=facts["dropped"],
    )


def _rows(n: int) -> pa.Array:
    return pa.array(np.arange(n))


def _numbers(values: np.ndarray | None, n: int = 0) -> pa.Array:
    if values is None:
        return pa.nulls(n, pa.float64())
    return pa.array(values.astype(np.float64), from_pandas=True)


def _array(table: pa.Table, name: str) -> np.ndarray:
    return np.array(table[name].to_numpy(), dtype=np.float64)


def _empty(column: pa.ChunkedArray) -> bool:
    return bool(column.null_count == len(column))


def _write(path: Path, columns: Mapping[str, pa.Array], facts: Mapping[str, Any]) -> None:
    metadata = {_FACTS: json.dumps(plain(facts), allow_nan=False).encode()}
    table = pa.table(dict(columns)).replace_schema_metadata(metadata)
    with writing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def _read(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    table = pq.read_table(path)
    return table, json.loads(table.schema.metadata[_FACTS])
