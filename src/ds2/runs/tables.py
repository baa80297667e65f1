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
from ds2.measures import Interval
from ds2.runs.artefacts import plain
from ds2.selection import Selection

__all__ = [
    "load_curation",
    "load_plan",
    "load_selection",
    "load_stability",
    "observed_of",
    "save_curation",
    "save_dropped",
    "save_plan",
    "save_selection",
]

_FACTS = b"ds2"


def save_curation(path: Path, curation: Curation, ids: pa.Array) -> None:
    """Write columns id, row, observed, raw, score (curated) and what a method says of each score.

    Of several raters, what each said is in the columns observed@1, observed@2, …, and a posterior
    in posterior@0, posterior@1, ….
    """
    n = len(curation.scores)
    misrated = curation.misrated
    posterior = curation.posterior
    columns = {
        "id": ids,
        "row": _rows(n),
        **_matrix("observed", curation.observed, first=1),
        "raw": _numbers(curation.raw, n),
        "score": _numbers(curation.scores),
        "se": _numbers(curation.se, n),
        "misrated": pa.nulls(n, pa.bool_()) if misrated is None else pa.array(misrated),
        "confidence": _numbers(curation.confidence, n),
        "suggestion": _numbers(curation.suggestion, n),
        **({} if posterior is None else _matrix("posterior", posterior, first=0)),
    }
    facts = {
        "method": curation.method,
        "gate": curation.gate,
        "evidence": curation.evidence,
        "next_evidence": curation.next_evidence,
        "contradiction": curation.contradiction,
        "gold_needed": curation.gold_needed,
        "warnings": curation.warnings,
    }
    _write(path, columns, facts)


def load_curation(path: Path) -> Curation:
    """Read what `save_curation` wrote."""
    table, facts = _read(path)
    misrated = table["misrated"]
    return Curation(
        scores=_array(table, "score"),
        observed=_stacked(table, "observed", first=1),
        raw=_optional(table, "raw"),
        se=_optional(table, "se"),
        posterior=_stacked(table, "posterior", first=0)
        if "posterior@0" in table.schema.names
        else None,
        misrated=None if _empty(misrated) else misrated.to_numpy().astype(bool),
        confidence=_optional(table, "confidence"),
        suggestion=_optional(table, "suggestion"),
        method=facts["method"],
        evidence=tuple(_evidence(row) for row in facts["evidence"]),
        gate=facts["gate"],
        next_evidence=facts["next_evidence"],
        contradiction=facts["contradiction"],
        gold_needed=facts["gold_needed"],
        warnings=tuple(facts["warnings"]),
    )


def _evidence(row: Mapping[str, Any]) -> Evidence:
    values: dict[str, Any] = {k: float("nan") if v is None else v for k, v in row.items()}
    ends = {k: float("nan") if v is None else v for k, v in row["difference"].items()}
    return Evidence(**(values | {"difference": Interval(**ends)}))


def save_selection(
    path: Path,
    selection: Selection,
    ids: pa.Array,
    curation: Curation,
    tail: np.ndarray,
    *,
    stability: np.ndarray | None = None,
) -> None:
    """Write the selected rows in pick order, with their scores and the reason for each.

    ``stability`` (n,) is the probability of each row being selected, where it was measured.
    """
    rows = selection.rows
    confidence = curation.confidence
    columns = {
        "rank": pa.array(np.arange(1, len(rows) + 1)),
        "row": pa.array(rows),
        "id": ids.take(pa.array(rows)),
        "score": _numbers(curation.scores[rows]),
        "observed": _numbers(observed_of(curation)[rows]),
        "confidence": _numbers(None if confidence is None else confidence[rows], len(rows)),
        "stability": _numbers(None if stability is None else stability[rows], len(rows)),
        "long_tail": _numbers(tail[rows]),
        "reason": pa.array(selection.reasons, pa.string()),
    }
    _write(path, columns, {"method": selection.method, "dropped": dict(selection.dropped)})


def load_stability(path: Path) -> np.ndarray | None:
    """(m,) The stability of the selected rows in a file of `save_selection`, where measured."""
    return _optional(_read(path)[0], "stability")


def observed_of(curation: Curation) -> np.ndarray:
    """(n,) What one rater said, or what several said on average."""
    if curation.observed.ndim == 1 or curation.raw is None:
        return curation.observed
    return curation.raw


def load_selection(path: Path) -> Selection:
    """Read what `save_selection` wrote."""
    table, facts = _read(path)
    return Selection(
        rows=table["row"].to_numpy(),
        reasons=tuple(table["reason"].to_pylist()),
        method=facts["method"],
        dropped=facts["dropped"],
    )


def save_dropped(path: Path, selection: Selection, ids: pa.Array) -> None:
    """Write the rows that could not be selected, with the reason for each."""
    parts = [(why, np.asarray(rows)) for why, rows in selection.dropped_rows.items() if len(rows)]
    rows = np.concatenate([np.empty(0, np.int64), *(part for _, part in parts)])
    reasons = np.repeat([why for why, _ in parts], [len(part) for _, part in parts])
    columns = {
        "row": pa.array(rows),
        "id": ids.take(pa.array(rows)),
        "reason": pa.array(reasons.tolist(), pa.string()),
    }
    _write(path, columns, {})


def save_plan(path: Path, stratum: np.ndarray) -> None:
    """Write the stratum that every example of a gold plan is in."""
    _write(path, {"row": _rows(len(stratum)), "stratum": pa.array(stratum)}, {})


def load_plan(path: Path, n: int) -> np.ndarray | None:
    """Read what `save_plan` wrote for a pool of ``n`` rows; None where there is none."""
    if not path.exists():
        return None
    stratum = _read(path)[0]["stratum"].to_numpy()
    return np.array(stratum, dtype=np.int64) if len(stratum) == n else None


def _rows(n: int) -> pa.Array:
    return pa.array(np.arange(n))


def _numbers(values: np.ndarray | None, n: int = 0) -> pa.Array:
    if values is None:
        return pa.nulls(n, pa.float64())
    return pa.array(values.astype(np.float64), from_pandas=True)


def _matrix(name: str, values: np.ndarray, *, first: int) -> dict[str, pa.Array]:
    """One column for each of the second axis; (n,) is one column without a number."""
    if values.ndim == 1:
        return {name: _numbers(values)}
    return {f"{name}@{i}": _numbers(column) for i, column in enumerate(values.T, first)}


def _stacked(table: pa.Table, name: str, *, first: int) -> np.ndarray:
    if name in table.schema.names:
        return _array(table, name)
    count = sum(column.startswith(f"{name}@") for column in table.schema.names)
    return np.column_stack([_array(table, f"{name}@{first + i}") for i in range(count)])


def _optional(table: pa.Table, name: str) -> np.ndarray | None:
    return None if _empty(table[name]) else _array(table, name)


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
