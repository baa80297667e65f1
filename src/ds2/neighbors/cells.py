"""Approximate search in cells: exact inside each, in the cells that are nearest to a row.

Spherical k-means on a sample cuts the pool into cells of some 8,000 rows; one that came out more
than twice as large is cut again. A row lies in one cell, and its neighbours are looked for in that
cell and in those whose centres are nearest to the row, ``width`` in all. No step depends on the
order of the work, so every core can take the next block of rows, and some rows can be searched for
anywhere with the same result. (cuVS's all-neighbours and DiskANN's build cut a pool likewise.)
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from ds2.neighbors.approximate import load_faiss, principal_directions
from ds2.neighbors.blocks import unit_block, visit_all
from ds2.neighbors.exact import BLOCK, TILE, Best, search_tile
from ds2.progress import part, steps

__all__ = ["CellIndex"]

#: Rows of a cell on average. One of more than twice as many is cut again, so many times at most.
CELL_ROWS, CUTS = 8000, 4
#: Rows for each cell that k-means learns from, and its rounds.
LEARN_FROM, ROUNDS = 64, 12
#: Rows that are encoded, or find their cell, at once.
ROWS = 16_384

T = TypeVar("T")


class CellIndex:
    """Cells over the rows of ``vectors``; ``search`` may be called with any width.

    Codes lie in the order of the cells, so that a cell is a stretch of them. A row's *place* is
    where its code lies.

    Attributes:
        widths: the numbers of cells that are tried in turn.
    """

    def __init__(self, vectors: np.ndarray, seed: int) -> None:
        directions = principal_directions(vectors, seed)
        codes = np.empty((len(vectors), directions.shape[1]), dtype=np.float16)

        def encode(rows: slice) -> None:
            codes[rows] = unit_block(vectors, rows) @ directions

        with part(0.0, 0.2):
            _each(encode, _stretches(len(codes)))
        with part(0.2, 1.0):
            self._centres, home = _cut(codes, seed)
        self._rows = np.argsort(home, kind="stable")
        self._codes, self._home = codes[self._rows], home[self._rows]
        self._ends = np.searchsorted(self._home, np.arange(len(self._centres) + 1))
        self._place = np.empty(len(codes), dtype=np.int64)
        self._place[self._rows] = np.arange(len(codes))
        most = len(self._centres)
        quarters = (2**i * quarter // 4 for i in range(20) for quarter in range(4, 8))
        self.widths = (*sorted({width for width in quarters if width < most}), most)

    @property
    def largest(self) -> int:
        """Rows of the largest cell."""
        return int(np.diff(self._ends).max())

    def search(self, queries: np.ndarray, k: int, width: int) -> np.ndarray:
        """Candidates for the ``k`` most similar rows of some rows, the row itself left out.

        Args:
            queries: (q,) row numbers.
            k: candidates to return.
            width: how many cells are looked into for each row.

        Returns:
            (q, k) row numbers, best first by approximate similarity; −1 where none was found.
        """
        result = np.empty((len(queries), k), dtype=np.int64)
        places = self._place[queries]
        order = np.argsort(places)  # a block of rows of one cell looks into few others
        blocks = [order[start : start + BLOCK] for start in range(0, len(order), BLOCK)]

        def visit(block: np.ndarray) -> None:
            found = self._search(places[block], k, width)
            result[block] = np.where(found < 0, -1, self._rows[found])

        _each(visit, blocks)
        return result

    def compared(self, queries: np.ndarray, width: int) -> float:
        """Rows that each of some rows is compared with, on average."""
        places = self._place[queries]
        near = self._nearest(self._codes[places].astype(np.float32), places, width)
        return float(np.diff(self._ends)[near].sum(axis=1).mean())

    def _nearest(self, codes: np.ndarray, places: np.ndarray, width: int) -> np.ndarray:
        """(q, width) the cells that are looked into; a row's own is among them."""
        likeness = codes @ self._centres.T
        likeness[np.arange(len(places)), self._home[places]] = np.inf
        return np.asarray(np.argpartition(-likeness, width - 1, axis=1)[:, :width])

    def _search(self, places: np.ndarray, k: int, width: int) -> np.ndarray:
        """(q, k) places of the candidates of a block of rows, given by their places."""
        codes = self._codes[places].astype(np.float32)
        looks = np.zeros((len(places), len(self._centres)), dtype=bool)
        np.put_along_axis(looks, self._nearest(codes, places, width), True, axis=1)
        best = Best.empty(len(places), k)
        for cell in np.argsort(-looks.sum(axis=0), kind="stable"):  # where most look, first
            asking = np.flatnonzero(looks[:, cell])
            if not len(asking):
                break
            for start in range(self._ends[cell], self._ends[cell + 1], TILE):
                end = min(start + TILE, self._ends[cell + 1])
                tile = self._codes[start:end].astype(np.float32)
                so_far = Best(best.rows[asking], best.similarities[asking])
                found = search_tile(codes[asking], places[asking], start, tile, so_far)
                best.rows[asking], best.similarities[asking] = found.rows, found.similarities
        return best.rows


def _cut(codes: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit centres (c, d) of the cells, and the cell of each row (n,)."""
    everyone = np.arange(len(codes))
    centres = _centres(codes, everyone, seed)
    home = np.empty(len(codes), dtype=np.int64)
    _settle(codes, everyone, centres, home)
    for _ in steps(range(CUTS)):
        sizes = np.bincount(home, minlength=len(centres))
        large = np.flatnonzero(sizes > 2 * CELL_ROWS)
        for cell in large:
            rows = np.flatnonzero(home == cell)
            parts = _centres(codes, rows, seed)
            local = np.empty(len(rows), dtype=np.int64)
            _settle(codes, rows, parts, local)
            home[rows] = np.where(local == 0, cell, len(centres) - 1 + local)
            centres[cell] = parts[0]
            centres = np.concatenate([centres, parts[1:]])
        if not len(large):
            break
    return centres, home


def _centres(codes: np.ndarray, rows: np.ndarray, seed: int) -> np.ndarray:
    """(c, d) unit centres of some rows, one for `CELL_ROWS` of them."""
    many = -(-len(rows) // CELL_ROWS)
    rng = np.random.default_rng(seed)
    some = np.sort(rng.choice(rows, size=min(len(rows), LEARN_FROM * many), replace=False))

    def learn() -> np.ndarray:
        faiss = load_faiss()
        faiss.omp_set_num_threads(1)  # this thread alone: sums must not depend on timing
        found = faiss.Kmeans(
            codes.shape[1], many, niter=ROUNDS, spherical=True, seed=seed,
            min_points_per_centroid=1, max_points_per_centroid=LEARN_FROM,
        )  # fmt: skip
        found.train(codes[some].astype(np.float32))
        return np.asarray(found.centroids)

    with ThreadPoolExecutor(1) as alone:
        return alone.submit(learn).result()


def _settle(codes: np.ndarray, rows: np.ndarray, centres: np.ndarray, home: np.ndarray) -> None:
    """Write the nearest centre of each of some rows into ``home``."""

    def visit(some: slice) -> None:
        home[some] = (codes[rows[some]].astype(np.float32) @ centres.T).argmax(axis=1)

    _each(visit, _stretches(len(rows)))


def _stretches(n: int) -> list[slice]:
    return [slice(start, min(start + ROWS, n)) for start in range(0, n, ROWS)]


def _each(visit: Callable[[T], None], blocks: Sequence[T]) -> None:
    """Visit every block, on every core, with one thread of the matrix library each."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        visit_all(visit, blocks)
