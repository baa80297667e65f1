"""Neighbours against faiss's flat index, each in a fresh process, and what recall they reach.

1. Alpaca's MiniLM embeddings (52,002 × 384): the whole process, start-up and all.
2. 300,000 × 1,024 float16 made from real text (see `real_vectors`): flat is timed on a sample of
   queries and scaled up (its cost per query is constant), since the whole would take an hour.

Flat is timed twice: as the wheel runs it, and with OPENBLAS_CORETYPE=SkylakeX where the processor
has AVX-512, because the wheel's matrix library does not know every processor and then takes its
slowest kernel. The second is the harder rival.

    python benchmarks/neighbors.py [--quick]
"""

import itertools
import re
import sys
import tempfile
from pathlib import Path

import numpy as np
from _common import PEAK, alpaca_rows, data_file, fresh_process, json_line, table

FLAT = """
import json, sys, time
import numpy as np, faiss
vectors = np.load(sys.argv[1]).astype(np.float32)
queries = vectors[:: int(sys.argv[2])]
faiss.normalize_L2(vectors)
start = time.perf_counter()
index = faiss.IndexFlatIP(vectors.shape[1])
index.add(vectors)
similarity, found = index.search(np.ascontiguousarray(queries), 11)
np.save(sys.argv[3], found)
print(json.dumps({"search_s": time.perf_counter() - start, "queries": len(queries)}))
"""

OURS = (
    PEAK
    + """
import json, sys, time
import numpy as np, ds2
vectors = np.load(sys.argv[1], mmap_mode="r")
seconds = []
for _ in range(int(sys.argv[2])):
    start = time.perf_counter()
    found = ds2.find_neighbors(vectors, 10)
    seconds.append(time.perf_counter() - start)
np.savez(sys.argv[3], indices=found.indices, distances=found.distances)
print(json.dumps({"search_s": seconds[-1], "measured": found.recall, "method": found.method,
                  "peak_mb": peak_mb()}))
"""
)

MODERN = {"OPENBLAS_CORETYPE": "SkylakeX"}


def has_avx512() -> bool:
    info = Path("/proc/cpuinfo")
    return info.exists() and "avx512f" in info.read_text()


def real_vectors(n: int, dim: int = 1024) -> np.ndarray:
    """(n, dim) float16, no two rows equal, from the text of Alpaca's 52,002 examples.

    Each instruction, each clause of an output and each two clauses in a row are one text; its
    static embedding (256 dimensions) is spread over ``dim`` dimensions by a fixed random map and
    tanh, so that, as with an encoder of that size, a fifth of the directions hold nine tenths of
    the length.
    """
    import ds2
    from ds2.neighbors.groups import identical_groups

    texts: dict[str, None] = {}
    for example in alpaca_rows():
        clauses = re.split(r"(?<=[.!?\n;:,])\s+", example["output"])
        pairs = (" ".join(pair) for pair in itertools.pairwise(clauses))
        texts.update(dict.fromkeys([example["instruction"], *clauses, *pairs]))
    chosen = np.random.default_rng(0).permutation([text for text in texts if len(text) > 8])
    embedder = ds2.WordLlamaEmbedder()
    spread = np.random.default_rng(1).standard_normal((embedder.dimension, dim), dtype=np.float32)
    parts = []
    for start in range(0, min(len(chosen), n + n // 10), 20_000):
        rows = np.tanh(embedder.embed(chosen[start : start + 20_000].tolist()) @ spread)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        parts.append(rows.astype(np.float16))
    vectors = np.concatenate(parts)
    distinct = vectors[identical_groups(vectors) == np.arange(len(vectors))]
    if len(distinct) < n:
        sys.exit(f"only {len(distinct)} distinct vectors; {n} wanted")
    return distinct[:n]


def recall(truth: np.ndarray, step: int, found: np.lib.npyio.NpzFile, vectors: np.ndarray) -> float:
    """Share of flat's ten nearest (self left out) at least matched by ours, by distance."""
    rows = np.arange(0, len(vectors), step)
    limits = []
    for row, near in zip(rows, truth, strict=True):
        true = [j for j in near if j != row][:10]
        a, b = vectors[row].astype(np.float64), vectors[true[-1]].astype(np.float64)
        limits.append(1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    return float((found["distances"][rows] <= np.array(limits)[:, None] + 5e-6).mean())


def compare(name: str, path: Path, step: int, folder: Path) -> list[dict]:
    """Flat (as installed, and at its best) against ours: cold process and warm search."""
    vectors = np.load(path, mmap_mode="r")
    flats = {"flat, as installed": fresh_process(FLAT, str(path), str(step), str(folder / "t.npy"))}
    if has_avx512():
        flats["flat, AVX-512 kernel"] = fresh_process(
            FLAT, str(path), str(step), str(folder / "t.npy"), env=MODERN
        )
    cold = fresh_process(OURS, str(path), "1", str(folder / "o.npz"))
    warm = fresh_process(OURS, str(path), "2", str(folder / "o.npz")) if step == 1 else cold
    reached = recall(np.load(folder / "t.npy"), step, np.load(folder / "o.npz"), vectors)
    rows = []
    for flat, figures in flats.items():
        extra = figures["search_s"] * (len(vectors) / figures["queries"] - 1)
        whole = figures["process_s"] + extra
        rows.append(
            {
                "vectors": name,
                "rival": flat,
                "flat s": whole,
                "ours s (process)": cold["process_s"],
                "times faster": whole / cold["process_s"],
                "warm: times faster": (figures["search_s"] + extra) / warm["search_s"],
                "recall@10": reached,
                "recall said": cold["measured"],
                "peak MB": cold["peak_mb"],
                "vectors MB": vectors.nbytes / 2**20,
            }
        )
    return rows


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        rows += compare("Alpaca 52,002 × 384", data_file("alpaca52k_minilm.f16.npy"), 1, folder)
        table(rows)
        n = 60_000 if "--quick" in sys.argv else 300_000
        path = folder / "real.npy"
        np.save(path, real_vectors(n))
        rows += compare(f"sentences {n:,} × 1,024", path, 100, folder)
    table(rows)
    json_line("neighbors", runs=rows)


if __name__ == "__main__":
    main()
