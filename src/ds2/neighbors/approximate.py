"""Approximate search: HNSW graphs over reduced bfloat16 codes, exact distances at the end.

HNSW (Malkov and Yashunin, arXiv 1603.09320) from faiss. The pool is dealt out to a fixed number
of shards, each built by one thread: building one graph with several threads would make the result
depend on their timing. Every query searches every shard, which costs little more than one graph,
since each shard need only give its share of the neighbours.

Vectors of many dimensions are first turned to their principal directions and cut where these hold
0.9 of the squared length: most of a search is moving vectors from memory, and the candidates'
distances are computed on the whole vectors anyway.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ds2.neighbors.blocks import unit_block
from ds2.progress import counter, steps

__all__ = ["GraphIndex", "load_faiss", "principal_directions"]

#: Links of a node (twice as many on the ground level) and width of the search that finds them, in a
#: pool up to `LARGE` and above: a large pool needs a better graph to be searched as narrowly.
LINKS, BUILD_WIDTH = 24, 64
LARGE_LINKS, LARGE_BUILD_WIDTH = 32, 200
LARGE = 100_000
#: Search widths that are tried in turn until the recall is reached.
SEARCH_WIDTHS = (32, 48, 64, 96, 128, 192, 256, 384, 512)
SHARDS = 2
#: Rows searched for at once (a fourth of them takes a tenth longer), and added to a graph at once.
BLOCK, ADDED = 8192, 1024
#: Share of the squared length that the codes keep.
ENERGY = 0.9
#: Rows that the principal directions are taken from.
DIRECTION_SAMPLE = 10_000


def load_faiss() -> Any:
    """faiss, loaded when used; its type stubs do not know every class."""
    import faiss

    return faiss


def principal_directions(vectors: np.ndarray, entries: np.ndarray, seed: int) -> np.ndarray:
    """(d, r) orthonormal directions that keep `ENERGY` of the squared length of unit rows."""
    n = len(entries)
    some = np.random.default_rng(seed).choice(n, size=min(n, DIRECTION_SAMPLE), replace=False)
    sample = unit_block(vectors, entries[np.sort(some)])
    energy, directions = np.linalg.eigh(sample.T @ sample)
    kept = np.cumsum(energy[::-1]) / energy.sum()
    width = min(len(energy), 16 * int(-(-(np.searchsorted(kept, ENERGY) + 1) // 16)))
    return np.ascontiguousarray(directions[:, ::-1][:, :width])


class GraphIndex:
    """HNSW graphs over some rows of an array of vectors; ``search`` may be called with any width.

    Attributes:
        widths: the search widths that are tried in turn.
    """

    widths = SEARCH_WIDTHS

    def __init__(self, vectors: np.ndarray, entries: np.ndarray, seed: int) -> None:
        self._vectors = vectors
        self._directions = principal_directions(vectors, entries, seed)
        self._shards = [entries[s::SHARDS] for s in range(SHARDS)]
        self._large = len(entries) > LARGE
        self._added = counter(len(entries))
        with ThreadPoolExecutor(SHARDS) as pool:
            self._graphs: list[Any] = list(pool.map(self._build, self._shards))

    def _codes(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(unit_block(self._vectors, rows) @ self._directions)

    def _build(self, rows: np.ndarray) -> Any:
        faiss = load_faiss()
        faiss.omp_set_num_threads(1)  # this thread alone: the build must not depend on timing
        large = self._large
        graph = faiss.IndexHNSWSQ(
            self._directions.shape[1],
            faiss.ScalarQuantizer.QT_bf16,
            LARGE_LINKS if large else LINKS,
            faiss.METRIC_INNER_PRODUCT,
        )
        graph.hnsw.efConstruction = LARGE_BUILD_WIDTH if large else BUILD_WIDTH
        graph.train(self._codes(rows[:1]))
        for start in range(0, len(rows), ADDED):
            part = rows[start : start + ADDED]
            graph.add(self._codes(part))
            self._added(len(part))
        return graph

    def search(self, queries: np.ndarray, k: int, width: int) -> np.ndarray:
        """Candidates for the ``k`` most similar rows of some rows, the row itself left out.

        Args:
            queries: (q,) row numbers.
            k: candidates to return.
            width: how widely each graph is searched (HNSW's efSearch).

        Returns:
            (q, k) row numbers, best first by approximate similarity; −1 where none was found.
        """
        faiss = load_faiss()
        result = np.full((len(queries), k), -1, dtype=np.int64)
        for start in steps(range(0, len(queries), BLOCK)):
            block = queries[start : start + BLOCK]
            vectors = self._codes(block)
            found, similarity = [], []
            for graph, rows in zip(self._graphs, self._shards, strict=True):
                wanted = min(k + 1, len(rows))
                near, index = graph.search(
                    vectors, wanted, params=faiss.SearchParametersHNSW(efSearch=width)
                )
                index = np.where(index < 0, -1, rows[index])
                near[(index < 0) | (index == block[:, None])] = -np.inf
                index[index == block[:, None]] = -1
                found.append(index)
                similarity.append(near)
            candidates = np.concatenate(found, axis=1)
            order = np.argsort(-np.concatenate(similarity, axis=1), axis=1, kind="stable")[:, :k]
            result[start : start + len(block)] = np.take_along_axis(candidates, order, axis=1)
        return result
