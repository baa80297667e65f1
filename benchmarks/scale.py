"""The arrays rooms by size of the pool: CPU seconds and peak memory of each stage.

Each size in a fresh process. Memory is what a stage holds at its peak above what it was given, in
bytes a row; it is read from Linux.

    python benchmarks/scale.py [--quick]
    python benchmarks/scale.py --graph random [--rows 1e6,3e6] [--raters 3] [--method soft]

Without ``--graph`` the vectors are the real-text vectors of `neighbors.real_vectors`, in 128
dimensions at every size and in 1,024 at 300,000; above 300,000 rows each is repeated with a small
random offset of its own. Scores are drawn through a known matrix, the search is a stage as well.

``--graph random`` needs no search: rows lie in a random order, a row's neighbours are random ones
of the 64 around it, and true scores change every 40 rows, so that most neighbours share one. Access
to memory is as random as in a real pool.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from _common import fresh_process, json_line, table

STAGES = """
import json, os, sys, time, warnings
from pathlib import Path
import numpy as np, ds2
warnings.simplefilter("ignore", ds2.Ds2Warning)
place, method = Path(sys.argv[1]), sys.argv[2]

def memory(of):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(of)) * 1024

out = {}
def stage(name, function):
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    start, wall = time.process_time(), time.perf_counter()
    value = function()
    out[name + " CPU s"] = time.process_time() - start
    out[name + " s"] = time.perf_counter() - wall
    out[name + " B/row"] = (memory("VmHWM") - before) / len(scores)
    return value

scores = np.load(place / "scores.npy")
if (place / "vectors.npy").exists():
    vectors = np.load(place / "vectors.npy", mmap_mode="r")
    neighbors = stage("search", lambda: ds2.find_neighbors(vectors, 10))
    out["recall"], out["method"] = neighbors.recall, neighbors.method
else:
    indices, distances = np.load(place / "indices.npy"), np.load(place / "distances.npy")
    neighbors = ds2.Neighbors(indices, distances, 1.0, "exact")
    ds2.estimate_transition(  # what is loaded once is no part of a stage
        scores[:4000], ds2.find_neighbors(np.random.default_rng(0).standard_normal((4000, 8))),
        n_scores=6, n_bootstrap=2)
noise = stage("T", lambda: ds2.estimate_transition(scores, neighbors, n_scores=6))
curated = stage("curate", lambda: ds2.curate(scores, neighbors, noise, method=method))
tail = stage("tail", lambda: ds2.long_tail_scores(neighbors))
size = min(10_000, len(scores) // 3)
stage("select", lambda: ds2.select(curated.scores, tail, size=size, neighbors=neighbors))
print(json.dumps(out))
"""
#: True scores change every so many rows; neighbours lie within so many places on either side.
STRETCH, AROUND = 40, 32
BLOCK = 100_000


def random_graph(place: Path, n: int, n_raters: int, k: int = 10) -> None:
    """Write a graph whose neighbours share planted scores, and the scores, into a folder."""
    import ds2

    rng = np.random.default_rng(0)
    order = rng.permutation(n).astype(np.int32)
    truth = np.empty(n, dtype=np.int64)
    truth[order] = np.repeat(rng.choice(6, -(-n // STRETCH), p=[0.1, 0.15, 0.25, 0.25, 0.15, 0.1]),
                             STRETCH)[:n]  # fmt: skip
    T = ds2.simulate(60, dim=2).transition
    ends = T.cumsum(axis=1)[:, :-1]
    told = [(rng.random(n)[:, None] >= ends[truth]).sum(axis=1) for _ in range(n_raters)]
    scores = np.stack(told, axis=1).astype(float)
    np.save(place / "scores.npy", scores[:, 0] if n_raters == 1 else scores)
    indices = np.lib.format.open_memmap(
        place / "indices.npy", mode="w+", dtype=np.int32, shape=(n, k)
    )
    distances = np.lib.format.open_memmap(
        place / "distances.npy", mode="w+", dtype=np.float32, shape=(n, k)
    )
    for start in range(0, n, BLOCK):
        at = np.arange(start, min(start + BLOCK, n))
        first, step = rng.integers(0, AROUND, len(at)), 2 * rng.integers(0, AROUND // 2, len(at))
        away = (first[:, None] + np.arange(k) * (step[:, None] + 1)) % AROUND + 1
        away *= rng.choice([-1, 1], away.shape)
        indices[order[at]] = order[(at[:, None] + away) % n]
        far = np.sort(rng.gamma(4.0, 0.1, away.shape), axis=1)
        distances[order[at]] = np.clip(far, 0.01, 1.9).round(6)


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
    ask = argparse.ArgumentParser()
    ask.add_argument("--quick", action="store_true", help="up to 60,000 rows")
    ask.add_argument("--graph", choices=["searched", "random"], default="searched")
    ask.add_argument("--rows", default="", help="sizes, with commas between them")
    ask.add_argument("--raters", type=int, default=1, help="of --graph random")
    ask.add_argument("--method", default="", help="of curation: ds2, or auto where it is searched")
    given = ask.parse_args()
    usual = "10000,30000,60000" if given.quick else "10000,30000,100000,300000,1000000"
    sizes = [int(float(rows)) for rows in (given.rows or usual).split(",")]
    plans = [(n, 128) for n in sizes]
    if given.graph == "searched":
        import ds2
        from neighbors import real_vectors

        plans += [] if given.quick or given.rows else [(300_000, 1024)]
        largest = min(300_000, max(sizes))
    rows = []
    for n, dim in plans:
        with tempfile.TemporaryDirectory() as folder:
            place, method = Path(folder), given.method or "ds2"
            if given.graph == "random":
                random_graph(place, n, given.raters)
            else:
                vectors = real_vectors(largest, dim)
                np.save(place / "vectors.npy", enlarged(vectors[:n], n))
                np.save(place / "scores.npy", ds2.simulate(n, dim=2, seed=0).scores)
                method = given.method or "auto"
            figures = fresh_process(STAGES, folder, method)
        figures.pop("process_s")
        rows.append({"rows": n, **({} if given.graph == "random" else {"dim": dim}), **figures})
        print(f"  {rows[-1]}", file=sys.stderr)  # a long run that is stopped leaves its figures
    table(rows)
    json_line("scale", graph=given.graph, raters=given.raters, runs=rows)


if __name__ == "__main__":
    main()
