"""A run in the explorer embedding-atlas: what `ds2 explore` does; the extra ``explore``.

The explorer gets the places, neighbours and scores that the run has, so it embeds nothing and
downloads nothing. Queries are answered by the server on this machine: the browser's own database
would load a part of itself from the network.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ds2.atomic import writing
from ds2.curation import Curation
from ds2.errors import InputError, MissingDependencyError, RunError, installing
from ds2.neighbors import Neighbors
from ds2.report import excerpt, join
from ds2.runs.compare import lay_out_run
from ds2.runs.frozen import load, observed_of
from ds2.runs.job import Job
from ds2.runs.loop import opened
from ds2.runs.select import Materials, load_materials
from ds2.selection import Selection

if TYPE_CHECKING:
    import pyarrow

__all__ = ["explore_run", "prepare_explorer"]

HOST = "127.0.0.1"
FILE = "explore.parquet"
#: Characters of an example that the explorer shows.
LONGEST = 2_000
_BATCH = 4096


def prepare_explorer(job: Job) -> Path:
    """Bring the run up to date, up to the selection, and write what the explorer reads.

    Raises:
        MissingDependencyError: embedding-atlas is not installed.
    """
    if find_spec("embedding_atlas") is None:
        raise MissingDependencyError("embedding-atlas", "The explorer", "explore")
    path = job.folder / FILE
    with opened(job, "select"):
        materials = load_materials(job, ())
        _, layout = lay_out_run(materials, job.recipe)
        rows = load(Selection, job.folder).rows
        _write(path, materials, layout.places, rows, _scores_of(job, materials.curated))
    return path


def explore_run(path: Path, *, port: int) -> None:
    """Serve the explorer on this machine alone, until it is interrupted.

    Raises:
        InputError: the port is in use.
        RunError: the explorer ended by itself.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise InputError(
                f"Port {port} cannot be used ({error.strerror}). Choose another with --port."
            ) from None
    command = [
        *(sys.executable, "-m", "embedding_atlas.cli", str(path)),
        *("--text", "text", "--x", "x", "--y", "y", "--neighbors", "neighbors"),
        *("--disable-projection", "--duckdb", "server", "--no-mcp"),
        *("--host", HOST, "--port", str(port), "--no-auto-port"),
    ]
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    try:
        done = subprocess.run(  # noqa: S603 (our own words)
            command, env=offline, stdout=subprocess.DEVNULL, check=False
        )
    except KeyboardInterrupt:
        return
    if done.returncode > 0:
        raise RunError(
            f"The explorer (embedding-atlas) ended with code {done.returncode}. What it said is "
            "above; try another --port, or update it with: "
            f"{installing('--upgrade', 'embedding-atlas')}"
        )


def _scores_of(job: Job, curation: Curation | None) -> dict[str, np.ndarray]:
    """(n,) columns of scores; none in a run without them."""
    if curation is None:
        return {}
    panel = job.ratings
    columns = {"curated score": curation.scores, "raw score": observed_of(curation)}
    if len(panel.raters) > 1:
        each = zip(panel.raters, panel.finer().T, strict=True)
        columns |= {f"score by {name}": scores for name, scores in each}
    if curation.confidence is not None:
        columns["confidence"] = curation.confidence
    return columns


def _write(
    path: Path,
    materials: Materials,
    places: np.ndarray,
    rows: np.ndarray,
    scores: Mapping[str, np.ndarray],
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pool = materials.pool
    rank = np.full(len(pool), np.nan)
    rank[rows] = np.arange(1, len(rows) + 1)
    columns: dict[str, pyarrow.Array | pyarrow.ChunkedArray] = {
        "id": pool.table["id"],
        "text": pa.array(
            join(excerpt(text, LONGEST))
            for start in range(0, len(pool), _BATCH)
            for text in pool.texts(start, start + _BATCH)
        ),
        "source": pool.table["source"],
        "selected": pa.array(np.where(np.isnan(rank), "no", "yes")),
        "rank": pa.array(rank, from_pandas=True),
        **{name: pa.array(values, from_pandas=True) for name, values in scores.items()},
        "long-tail score": pa.array(materials.tail),
        "length": pa.array(pool.lengths),
        "x": pa.array(places[:, 0].astype(np.float64)),
        "y": pa.array(places[:, 1].astype(np.float64)),
        "neighbors": _neighbors(materials.neighbors),
    }
    with writing(path) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")


def _neighbors(neighbors: Neighbors) -> "pyarrow.StructArray":
    """The graph as the explorer reads it: row numbers and distances of each example."""
    import pyarrow as pa

    ends = pa.array(np.arange(0, neighbors.n * neighbors.k + 1, neighbors.k, dtype=np.int32))
    ids = pa.ListArray.from_arrays(ends, pa.array(neighbors.indices.ravel().astype(np.int64)))
    distances = pa.array(neighbors.distances.ravel().astype(np.float64))
    return pa.StructArray.from_arrays(
        [ids, pa.ListArray.from_arrays(ends, distances)], ["ids", "distances"]
    )
