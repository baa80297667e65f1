"""Neighbours by cells against the HNSW graph: processor time, memory, recall, by size of the pool.

Vectors as in `scale`: real text in 128 dimensions, repeated with small offsets above 300,000 rows.
Each search in a fresh process that tells its processor time (all threads), so that a busy machine
shows less. Then, for each width (cells looked into), the recall on a sample of 1,000 rows and how
many rows each is compared with.

    python benchmarks/cells.py [--quick] [--widths] [--rows 100000,300000,1000000]

With --widths only the second table, which takes minutes at a million rows where the first takes an
hour.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from _common import PEAK, fresh_process, json_line, table
from scale import enlarged

from neighbors import real_vectors

SEARCH = (
    PEAK
    + """
import json, sys, time
import numpy as np, ds2
vectors = np.load(sys.argv[1], mmap_mode="r")
wall, cpu = time.perf_counter(), time.process_time()
found = ds2.find_neighbors(vectors, 10, method=sys.argv[2], min_recall=float(sys.argv[3]))
print(json.dumps({"used": found.method, "recall": found.recall,
                  "CPU s": time.process_time() - cpu,
                  "wall s": time.perf_counter() - wall, "peak MB": peak_mb()}))
"""
)
WIDTHS = (
    PEAK
    + """
import json, sys, time
import numpy as np
from ds2.neighbors.blocks import sort_candidates
from ds2.neighbors.cells import CellIndex
from ds2.neighbors.recall import RecallSample
vectors = np.load(sys.argv[1], mmap_mode="r")
cpu = time.process_time()
entries = np.arange(len(vectors))
index = CellIndex.build(vectors, entries, 0)
out = {"cutting CPU s": time.process_time() - cpu, "largest": index.largest, "widths": []}
sample = RecallSample.draw(vectors, entries, 10, 0)
for width in index.widths:
    near = index.search(sample.rows, 128, width)
    found = [sample.recall(sort_candidates(vectors, sample.rows, near[:, :depth], 10)[1])[0]
             for depth in (32, 64, 128)]
    recall = found[-1]
    out["widths"].append([width, *found, index.compared(sample.rows, width)])
    if recall > 0.995:
        break
print(json.dumps(out))
"""
)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="30,000 and 60,000 rows")
    parser.add_argument("--widths", action="store_true", help="no whole searches")
    parser.add_argument("--rows", default="100000,300000,1000000")
    asked = parser.parse_args()
    sizes = [30_000, 60_000] if asked.quick else [int(one) for one in asked.rows.split(",")]
    small = real_vectors(min(max(sizes), 300_000), 128)
    searches, widths = [], []
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "vectors.npy"
        for rows in sizes:
            np.save(path, enlarged(small[:rows], rows))
            plans = (("approximate", 0.99), ("cells", 0.99), ("cells", 0.97))
            for method, least in () if asked.widths else plans:
                found = fresh_process(SEARCH, str(path), method, str(least))
                found.pop("process_s")
                each = 1e6 * found["CPU s"] / rows
                searches.append({"rows": rows, "asked for": least, **found, "CPU us a row": each})
                print(searches[-1], file=sys.stderr, flush=True)
            told = fresh_process(WIDTHS, str(path))
            cut = {"cutting CPU s": told["cutting CPU s"], "largest cell": told["largest"]}
            for width, few, more, most, compared in told["widths"]:
                recalls = {"recall of 32": few, "of 64": more, "of 128": most}
                widths.append({"rows": rows, **cut, "cells": width, **recalls})
                widths[-1]["compared"] = compared
    table(searches)
    table(widths)
    json_line("cells", searches=searches, widths=widths)


if __name__ == "__main__":
    main()
