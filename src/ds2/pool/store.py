"""A pool on disk: one Arrow file, opened without reading it."""

import json
from dataclasses import astuple
from pathlib import Path

from ds2.atomic import writing
from ds2.errors import InputError
from ds2.pool.builder import table_schema
from ds2.pool.example import Reject
from ds2.pool.files import check_readable
from ds2.pool.pool import Pool
from ds2.pool.wording import shown_path

__all__ = ["load_pool", "save_pool"]

_ENTRY = b"ds2.pool"
_VERSION = 3


def save_pool(pool: Pool, path: Path) -> None:
    """Write the table, with everything else about the pool as its metadata."""
    import pyarrow as pa

    about = {
        "version": _VERSION,
        "format": pool.format,
        "origin": pool.origin,
        "rejects": [astuple(reject) for reject in pool.rejects],
        "warnings": pool.warnings,
        "id_field": pool.id_field,
        "source_field": pool.source_field,
        "columns": dict(pool.named),
        "roles": dict(pool.roles),
        "n_read": pool.n_read,
    }
    table = pool.table.replace_schema_metadata({_ENTRY: json.dumps(about)}).unify_dictionaries()
    with writing(path) as temporary, pa.ipc.new_file(str(temporary), table.schema) as out:
        out.write_table(table)


def load_pool(path: Path) -> Pool:
    """Map the file of a pool into memory."""
    import pyarrow as pa

    check_readable(path)
    shown = shown_path(path)
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        table.validate()
    except (pa.ArrowException, OSError):
        raise InputError(f"{shown} is no pool saved by ds2, or it is cut off.") from None
    about = json.loads((table.schema.metadata or {}).get(_ENTRY, b"{}"))
    if about.get("version", 0) > _VERSION:
        raise InputError(f"{shown} was saved by a newer version of ds2. Upgrade ds2 to read it.")
    table = table.replace_schema_metadata()
    if about.get("version", _VERSION) < _VERSION:
        raise InputError(
            f"{shown} was saved by an older version of ds2. Read the pool again (in a run: "
            "ds2 pool RUN)."
        )
    if "version" not in about or table.schema != table_schema():
        raise InputError(f"{shown} is an Arrow file, but no pool saved by ds2.")
    return Pool(
        table,
        about["format"],
        about["origin"],
        tuple(Reject(*reject) for reject in about["rejects"]),
        tuple(about["warnings"]),
        about["id_field"],
        about["source_field"],
        about["columns"],
        about["roles"],
        about["n_read"],
    )
