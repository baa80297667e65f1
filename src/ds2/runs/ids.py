"""Files that list examples by id: one a line, or the ``id`` of every row of a JSONL file."""

import json
from pathlib import Path

import numpy as np

from ds2.errors import InputError
from ds2.pool import Pool
from ds2.pool.ids import id_value, match_ids
from ds2.pool.wording import shown, shown_path

__all__ = ["rows_of_ids"]


def rows_of_ids(pool: Pool, path: Path) -> np.ndarray:
    """Return the rows of the pool that a file lists, in its order, each once.

    Raises:
        InputError: the file cannot be read, lists nothing, or an id that the pool does not have.
    """
    name = shown_path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8 text (byte {error.start}). Save it so.") from None
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror}.") from None
    as_json = path.suffix == ".jsonl"
    ids = [_id(line, place, name, as_json) for place, line in enumerate(lines, 1) if line.strip()]
    if not ids:
        raise InputError(f"{name} lists no id. Write one a line.")
    rows, _ = match_ids(pool.ids, ids)
    missing = np.flatnonzero(rows < 0)
    if len(missing):
        raise InputError(
            f"The pool does not have {len(missing):,} of the ids in {name}, the first is "
            f"{shown(ids[missing[0]])}. The pool's first is {shown(pool[0].id)}."
        )
    return np.array(list(dict.fromkeys(rows.tolist())), dtype=np.int64)


def _id(line: str, place: int, name: str, as_json: bool) -> str:
    if not as_json:
        return line.strip()
    try:
        row = json.loads(line)
    except ValueError:
        raise InputError(f"{name}, line {place:,}: no JSON. Mend the line.") from None
    if isinstance(row, dict) and type(row.get("id")) in (int, float):
        return id_value(str(row["id"]))
    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
        raise InputError(f"{name}, line {place:,}: no object with a text 'id'. Add it.")
    return str(row["id"])
