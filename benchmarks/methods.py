"""The methods of selection: are they what their papers say, and what do they cost?

1. On 2,000 rows of Alpaca (MiniLM embeddings, published scores of one rater), M = 500: each method
   against a naive version of its rule, written here with all 2,000 × 2,000 similarities in double
   precision. The rows must be the same, in the same order. Facility location is greedy on the
   graph's similarities, without sampling; how much it covers is set against greedy on all
   similarities, which no large pool can hold.
2. Time and peak memory of `select` at 10,000, 100,000 and 300,000 rows × 384 (float16, mapped from
   a file, from real text: `neighbors.real_vectors`), M = 1,000 and 10,000, each in a fresh process.
   The graph is given to those that need it; finding it is measured by `neighbors.py`.
3. What stochastic greedy (Mirzasoleiman et al., AAAI 2015, eps = 0.1) would give in place of the
   exact lazy one: its time and its share of the objective, on the same similarities.

    python benchmarks/methods.py [--quick] [METHOD …]
"""

import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
from _common import PEAK, alpaca_rows, alpaca_vectors, fresh_process, json_line, table
from scipy.sparse import csc_array, eye_array

import ds2
from ds2.keys import random_order_keys
from ds2.selection import METHODS
from ds2.selection.greedy import greedy_coverage
from ds2.selection.methods import kmeans_labels
from neighbors import real_vectors

ROWS, CHOSEN = 2_000, 500

TIMED = (
    PEAK
    + """
import json, sys, time
import numpy as np, ds2
folder, method, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
vectors = np.load(f"{folder}/vectors.npy", mmap_mode="r")
n = len(vectors)
rng = np.random.default_rng(0)
graph = np.load(f"{folder}/graph.npz")
neighbors = ds2.Neighbors(graph["indices"], graph["distances"], 1.0, "given")
given = {
    "scores": rng.integers(0, 6, n).astype(float),
    "raw": rng.integers(0, 6, n).astype(float),
    "values": rng.random(n),
    "lengths": rng.integers(1, 2000, n),
    "sources": rng.integers(0, 20, n),
    "targets": np.asarray(vectors[rng.choice(n, 50, replace=False)], dtype=np.float32),
    "vectors": vectors,
    "neighbors": neighbors,
}
before = peak_mb()
start = time.perf_counter()
chosen = ds2.select(**given, size=size, method=method)
seconds = time.perf_counter() - start
print(json.dumps({"s": seconds, "peak MB": peak_mb(), "before MB": before}))
"""
)


def drawn_order(method: str, n: int) -> np.ndarray:
    """Rows in the random order that settles what is equal."""
    keys = np.arange(n, dtype=np.uint64)
    return np.argsort(random_order_keys(keys, 0, stream=METHODS[method].stream))


def farthest(
    similarity: np.ndarray, base: np.ndarray, weight: float, first: int, ties: np.ndarray
) -> list[int]:
    """The rule of k-center greedy and MMR, with every value computed at every pick."""
    picked, near = [first], similarity[first].copy()
    while len(picked) < CHOSEN:
        value = np.round(base - weight * near, 9)
        value[picked] = -np.inf
        picked.append(int(ties[value[ties].argmax()]))
        near = np.maximum(near, similarity[picked[-1]])
    return picked


def deita(similarity: np.ndarray, scores: np.ndarray, ties: np.ndarray) -> list[int]:
    """One row after the other, each compared with every chosen one."""
    picked: list[int] = []
    for i in ties[np.argsort(-scores[ties], kind="stable")]:
        far = np.round(1 - similarity[i, picked], 6).min(initial=np.inf)
        if len(picked) < CHOSEN and far >= 0.1:
            picked.append(int(i))
    return picked


def facility(similarity: np.ndarray, ties: np.ndarray) -> list[int]:
    """Plain greedy: the gain of every row at every pick."""
    covered = np.zeros(len(similarity))
    picked: list[int] = []
    while len(picked) < CHOSEN:
        gain = np.round(np.maximum(similarity - covered[:, None], 0).sum(axis=0), 9)
        gain[picked] = -np.inf
        picked.append(int(ties[gain[ties].argmax()]))
        covered = np.maximum(covered, similarity[:, picked[-1]])
    return picked


def rds(similarity: np.ndarray, ties: np.ndarray) -> list[int]:
    """Algorithm 1 of the paper, a row taken once."""
    left = similarity.copy()
    picked: list[int] = []
    while len(picked) < CHOSEN:
        target = len(picked) % similarity.shape[1]
        picked.append(int(ties[left[ties, target].argmax()]))
        left[picked[-1]] = -np.inf
    return picked


def by_source(sources: np.ndarray, ties: np.ndarray) -> list[int]:
    """The quota method, seat by seat, with exact fractions."""
    first = {label: i for i, label in reversed(list(enumerate(sources[ties])))}
    waiting = {label: [int(i) for i in ties if sources[i] == label] for label in first}
    size = {label: len(rows) for label, rows in waiting.items()}
    had = dict.fromkeys(size, 0)
    picked: list[int] = []
    while len(picked) < CHOSEN:
        within = [s for s in size if had[s] * ROWS < size[s] * (len(picked) + 1)]
        best = max(within, key=lambda s: (Fraction(size[s], had[s] + 1), -first[s]))
        picked.append(waiting[best].pop(0))
        had[best] += 1
    return picked


def by_cluster(vectors: np.ndarray, scores: np.ndarray, ties: np.ndarray) -> list[int]:
    """Rounds over the clusters of `kmeans_labels`, each giving its best row that is left."""
    labels = kmeans_labels(vectors, ties, round((ROWS / 2) ** 0.5), 0)
    by_score = sorted(zip(ties, labels, strict=True), key=lambda pair: -scores[pair[0]])
    left: dict[int, list[int]] = {}
    for i, label in by_score:
        left.setdefault(label, []).append(int(i))
    place = {i: at for at, i in enumerate(ties)}
    picked: list[int] = []
    while len(picked) < CHOSEN:
        turn = [rows.pop(0) for rows in left.values() if rows]
        picked += sorted(turn, key=lambda i: (-scores[i], place[i]))
    return picked


def linked(graph: ds2.Neighbors) -> np.ndarray:
    """The graph's similarities as a full matrix."""
    similarity = np.eye(graph.n)
    rows = np.repeat(np.arange(graph.n), graph.k)
    value = np.maximum(1 - graph.distances.ravel().astype(np.float64), 0)
    similarity[rows, graph.indices.ravel()] = value
    return np.maximum(similarity, similarity.T)


def faithful() -> list[dict]:
    """Measure 1."""
    rows = alpaca_rows()[: 2 * ROWS]
    vectors = alpaca_vectors()[: 2 * ROWS].astype(np.float32)
    _, kept = np.unique(vectors, axis=0, return_index=True)
    kept = np.sort(kept)[:ROWS]
    vectors = vectors[kept]
    scores, raw = (
        np.array([rows[i][f"score_{rater}"] for i in kept], dtype=float)
        for rater in ("gpt_4o_mini", "llama_3_1_8b")
    )
    lengths = np.array([len(rows[i]["output"]) for i in kept])
    rng = np.random.default_rng(0)
    values = rng.uniform(0.2, 1.2, ROWS)
    sources = rng.choice(["a", "b", "c", "d"], ROWS, p=[0.5, 0.3, 0.15, 0.05])
    unit = vectors.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    similarity = np.round(unit @ unit.T, 6)
    wanted = alpaca_vectors()[-40:].astype(np.float32)
    to_targets = unit @ (wanted / np.linalg.norm(wanted, axis=1, keepdims=True)).T.astype(float)
    graph = ds2.find_neighbors(vectors, 10)
    on_graph = linked(graph)
    tail = ds2.long_tail_scores(graph)
    quality = (scores - scores.min()) / np.ptp(scores)
    ties = {method: drawn_order(method, ROWS) for method in METHODS}
    best = max(ties["mmr"], key=lambda i: quality[i])
    naive = {
        "k-center": farthest(
            similarity, np.zeros(ROWS), 1, int(ties["k-center"][0]), ties["k-center"]
        ),
        "mmr": farthest(similarity, 0.5 * quality, 0.5, int(best), ties["mmr"]),
        "deita": deita(similarity, raw, ties["deita"]),
        "facility-location": facility(on_graph, ties["facility-location"]),
        "rds": rds(np.round(to_targets, 6), ties["rds"]),
        "random": ties["random"],
        "random-by-source": by_source(sources, ties["random-by-source"]),
        "cluster-balanced": by_cluster(vectors, scores, ties["cluster-balanced"]),
        "ds2": sorted(range(ROWS), key=lambda i: (-scores[i], -tail[i], i)),
        "ds2-no-curation": sorted(range(ROWS), key=lambda i: (-raw[i], -tail[i], i)),
    }
    high = {
        "ds2-no-diversity": scores,
        "top-score": raw,
        "alpagasus": raw,
        "length": lengths,
        "knn-10": graph.distances.mean(axis=1),
        "perplexity": values,
        "ifd": np.where(values > 1, -1, values),
    }
    for method, value in high.items():
        naive[method] = sorted(ties[method], key=lambda i, value=value: -value[i])
    given = {
        "neighbors": graph,
        "vectors": vectors,
        "targets": wanted,
        "tail": tail,
        "raw": raw,
        "lengths": lengths,
        "values": values,
        "sources": sources,
    }
    found = []
    for method, expected in naive.items():
        chosen = ds2.select(scores, size=CHOSEN, method=method, **given).rows
        same = [a == b for a, b in zip(chosen, expected[:CHOSEN], strict=True)]
        found.append(
            {"method": method, "same rows": len(set(chosen) & set(expected[:CHOSEN])),
             "same place": sum(same), "of": CHOSEN}
        )  # fmt: skip
    table(found)
    lazy = ds2.select(size=CHOSEN, method="facility-location", neighbors=graph).rows
    whole = np.maximum(similarity, 0)
    dense = facility(whole, ties["facility-location"])
    share = whole[:, lazy].max(axis=1).sum() / whole[:, dense].max(axis=1).sum()
    print(f"facility location on the graph covers {share:.4f} of what it does on all similarities")
    return [*found, {"method": "facility-location, graph against all", "coverage": float(share)}]


def costs(quick: bool, methods: list[str]) -> list[dict]:
    """Measure 2."""
    sizes = (10_000, 30_000) if quick else (10_000, 100_000, 300_000)
    vectors = real_vectors(max(sizes), 384)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for n in sizes:
            np.save(Path(folder) / "vectors.npy", vectors[:n])
            graph = ds2.find_neighbors(vectors[:n], 10)
            np.savez(Path(folder) / "graph.npz", indices=graph.indices, distances=graph.distances)
            for size in (1_000,) if quick else (1_000, 10_000):
                for method in methods:
                    if size == n and method in ("deita", "ifd", "alpagasus"):
                        continue  # their rules leave rows out
                    figures = fresh_process(TIMED, folder, method, str(size))
                    figures.pop("process_s")
                    found.append({"rows": n, "chosen": size, "method": method, **figures})
                    print(f"  {found[-1]}", file=sys.stderr)
    table(found)
    return found


def stochastic_greedy(similarity: csc_array, count: int, eps: float = 0.1) -> np.ndarray:
    """At every pick the best of (n / count) · ln(1 / eps) rows drawn at random."""
    rng = np.random.default_rng(0)
    starts, rows, values = similarity.indptr, similarity.indices, similarity.data
    n = similarity.shape[1]
    sample = int(np.ceil(n / count * np.log(1 / eps)))
    covered, free = np.zeros(n), np.ones(n, dtype=bool)
    picked = np.empty(count, dtype=np.int64)
    for i in range(count):
        some = np.unique(rng.integers(0, n, sample))
        some = some[free[some]]
        if not len(some):
            some = np.flatnonzero(free)[:1]
        sizes = starts[some + 1] - starts[some]
        ends = np.cumsum(sizes)
        part = np.arange(ends[-1]) + np.repeat(starts[some] - (ends - sizes), sizes)
        more = np.maximum(values[part] - covered[rows[part]], 0)
        j = picked[i] = some[np.add.reduceat(more, ends - sizes).argmax()]
        free[j] = False
        mine = slice(starts[j], starts[j + 1])
        covered[rows[mine]] = np.maximum(covered[rows[mine]], values[mine])
    return picked


def stochastic(quick: bool) -> list[dict]:
    """Measure 3."""
    found = []
    for n, count in [(10_000, 1_000)] if quick else [(100_000, 10_000), (300_000, 10_000)]:
        graph = ds2.find_neighbors(real_vectors(n, 384), 10)
        value = np.maximum(1 - graph.distances.ravel().astype(np.float64), 0)
        ends = np.arange(0, n * graph.k + 1, graph.k)
        linked = csc_array((value, graph.indices.ravel(), ends), shape=(n, n))
        linked = linked.maximum(linked.T).maximum(csc_array(eye_array(n))).tocsc()
        figures, reached = {"rows": n, "chosen": count}, {}
        for name, choose in (("lazy", lambda s, c: greedy_coverage(s, c)[0]),
                             ("stochastic", stochastic_greedy)):  # fmt: skip
            start = time.perf_counter()
            picked = choose(linked, count)
            figures[f"{name} s"] = time.perf_counter() - start
            reached[name] = float(linked[:, np.sort(picked)].max(axis=1).sum())
        figures["stochastic of lazy"] = reached["stochastic"] / reached["lazy"]
        found.append(figures)
    table(found)
    return found


def main() -> None:
    names = [word for word in sys.argv[1:] if not word.startswith("--")]
    quick = "--quick" in sys.argv
    json_line(
        "methods",
        naive=faithful(),
        costs=costs(quick, names or list(METHODS)),
        stochastic=[] if names else stochastic(quick),
    )


if __name__ == "__main__":
    main()
