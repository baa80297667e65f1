"""Methods that look at no score: what they cover of the pool, against random rows.

Coverage is the share of the pool with a selected row near it (within the median distance of a row
to its last neighbour), redundancy the share of selected rows with another one near: what `ds2
compare` prints in a run without scores. 20,000 random rows of Alpaca with MiniLM vectors and with
those of the default embedder; at three sizes.

    python benchmarks/breadth.py [--quick]

--quick takes 5,000 rows and the MiniLM vectors alone.
"""

import json
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from _common import alpaca, json_line, table

import ds2
from ds2.selection import compare_selections

METHODS = ("random", "facility-location", "k-center", "knn-10", "length")
SIZES = (0.02, 0.1, 0.3)


def measure(name: str, pool: ds2.Pool, vectors: np.ndarray) -> Iterator[dict[str, object]]:
    neighbors = ds2.find_neighbors(vectors, groups=ds2.find_duplicates(pool))
    given = {"neighbors": neighbors, "vectors": vectors, "keys": pool.keys}
    lengths = pool.lengths.astype(np.float64)
    for size in SIZES:
        chosen, took = {}, {}
        for method in METHODS:
            start = time.perf_counter()
            chosen[method] = ds2.select(size=size, method=method, lengths=lengths, **given).rows
            took[method] = time.perf_counter() - start
        for one in compare_selections(chosen, len(pool), lengths=lengths, **given).selections:
            yield {
                "vectors": name,
                "selected": size,
                "method": one.name,
                "coverage": one.coverage,
                "redundancy": one.redundancy,
                "characters": one.length,
                "select_s": took[one.name],
            }


def main() -> None:
    warnings.simplefilter("ignore", ds2.Ds2Warning)
    quick = "--quick" in sys.argv
    rows, vectors = alpaca(5_000 if quick else 20_000)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pool.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        pool = ds2.read_pool(path, no_answer="keep")
        found = list(measure("MiniLM", pool, vectors))
        if not quick:
            found += measure("default", pool, ds2.embed(pool))
    table(found)
    json_line("breadth", rows=found)


if __name__ == "__main__":
    main()
