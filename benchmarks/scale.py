"""From vectors and scores to a selection: time and peak memory by size of the pool.

Each size in a fresh process. Vectors are the real-text vectors of `neighbors.real_vectors`, in 128
dimensions at every size and in 1,024 at 300,000. Above 300,000 rows each is repeated with a small
random offset of its own. Scores are drawn through a known matrix.

    python benchmarks/scale.py [--quick]
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from _common import PEAK, fresh_process, json_line, table

from neighbors import real_vectors

STAGES = (
    PEAK
    + """
import json, sys, time, warnings
import numpy as np, ds2
warnings.simplefilter("ignore", ds2.Ds2Warning)
vectors = np.load(sys.argv[1], mmap_mode="r")
n = len(vectors)
scores = ds2.simulate(n, dim=2, seed=0).scores
out = {}
def timed(name, function):
    start = time.perf_counter(); value = function(); out[name] = time.perf_counter() - start
    return value
neighbors = timed("neighbours s", lambda: ds2.find_neighbors(vectors, 10))
noise = timed("T, 200 rounds s", lambda: ds2.estimate_transition(scores, neighbors, n_scores=6))
curated = timed("curation s", lambda: ds2.curate(scores, neighbors, noise))
tail = timed("long-tail s", lambda: ds2.long_tail_scores(neighbors))
size = min(10_000, n // 3)
timed("selection s", lambda: ds2.select(curated.scores, tail, size=size, neighbors=neighbors))
out["after neighbours s"] = sum(v for k, v in out.items() if k != "neighbours s")
out["recall"] = neighbors.recall
out["method"] = neighbors.method
out["peak MB"] = peak_mb()
out["vectors MB"] = vectors.nbytes / 2**20
print(json.dumps(out))
"""
)


def enlarged(vectors: np.ndarray, n: int) -> np.ndarray:
    """(n, d) from fewer rows: repeats, each shifted by its own small random offset."""
    rng = np.random.default_rng(1)
    result = np.empty((n, vectors.shape[1]), dtype=np.float16)
    for start in range(0, n, len(vectors)):
        part = vectors[: n - start].astype(np.float32)
        offset = rng.standard_normal(part.shape, dtype=np.float32)
        offset *= 0.15 / np.sqrt(part.shape[1]) * np.linalg.norm(part, axis=1, keepdims=True)
        result[start : start + len(part)] = part + (offset if start else 0)
    return result


def main() -> None:
    quick = "--quick" in sys.argv
    largest = 60_000 if quick else 300_000
    sizes = (10_000, 30_000, 60_000) if quick else (10_000, 30_000, 100_000, 300_000, 1_000_000)
    small = real_vectors(largest, 128)
    rows = []
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "vectors.npy"
        plans = [(n, 128) for n in sizes] + ([] if quick else [(300_000, 1024)])
        for n, dim in plans:
            real = small if dim == small.shape[1] else real_vectors(largest, dim)
            np.save(path, enlarged(real[:n], n))
            figures = fresh_process(STAGES, str(path))
            figures.pop("process_s")
            rows.append({"rows": n, "dim": dim, **figures})
            print(f"  {rows[-1]}", file=sys.stderr)  # a long run that is stopped leaves its figures
    table(rows)
    json_line("scale", runs=rows)


if __name__ == "__main__":
    main()
