"""Approximate search in cells: exact inside each, in the cells that are nearest to a row.

Spherical k-means on a sample cuts the pool into cells of some 8,000 rows; one that came out more
than twice as large is cut again. A row lies in one cell, and its neighbours are looked for in that
cell and in those whose centres are nearest to the row, ``width`` in all. No step depends on the
order of the work, so every core can take the next block of rows, and some rows can be searched for
anywhere with the same result. (cuVS's all-neighbours and DiskANN's build cut a pool likewise.)
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from ds2.neighbors.approximate import load_faiss, principal_directions
from ds2.neighbors.blocks import row_blocks, unit_block, visit_all
from ds2.neighbors.device import Visit, search_on
from ds2.neighbors.exact import BLOCK, TILE, Best, search_tile
from ds2.progress import part, steps

__all__ = ["CellIndex"]

#: Rows of a cell on average. One of more than twice as many is cut again, so many times at most.
CELL_ROWS, CUTS = 8000, 4
#: Rows for each cell that k-means learns from, and its rounds.
LEARN_FROM, ROUNDS = 64, 12

T = TypeVar("T")
#: Rows to their codes.
_Encode = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class CellIndex:
    """Cells over some rows of an array of vectors; ``search`` may be called with any width.

    Codes lie in the order of the cells, so that a cell is a stretch of them. A row's *place* is
    where its code lies. The arrays are all there is to it: opened elsewhere they search alike.

    Attributes:
        codes: (n, r) float16, by place.
        rows: (n,) row numbers, by place.
        centres: (c, r) float32 of unit length.
        ends: (c + 1,) the place at which each cell begins.
        device: what the products are made on: "cpu", or a device of PyTorch.
    """

    codes: np.ndarray
    rows: np.ndarray
    centres: np.ndarray
    ends: np.ndarray
    device: str = "cpu"

    @classmethod
    def build(
        cls,
        vectors: np.ndarray,
        entries: np.ndarray,
        seed: int,
        empty: Callable[[tuple[int, int], Any], np.ndarray] = np.empty,
        device: str = "cpu",
    ) -> "CellIndex":
        """Cut rows ``entries`` (n,) of ``vectors`` (m, d) into cells.

        ``empty`` makes the array that the codes, the largest thing of it, are written to.
        """
        directions = principal_directions(vectors, entries, seed)

        def encode(rows: np.ndarray) -> np.ndarray:
            return np.asarray(unit_block(vectors, rows) @ directions, dtype=np.float16)

        with part(0.0, 0.8):
            centres, home = _cut(encode, entries, seed)
        order = np.argsort(home, kind="stable")
        ends = np.searchsorted(home[order], np.arange(len(centres) + 1))
        rows = entries[order]
        codes = empty((len(rows), directions.shape[1]), np.float16)

        def place(some: slice) -> None:
            codes[some] = encode(rows[some])

        with part(0.8, 1.0):
            _each(place, row_blocks(len(rows)))
        return cls(codes, rows, centres, ends, device)

    @property
    def widths(self) -> tuple[int, ...]:
        """The numbers of cells that are tried in turn."""
        most = len(self.centres)
        quarters = (2**i * quarter // 4 for i in range(20) for quarter in range(4, 8))
        return (*sorted({width for width in quarters if width < most}), most)

    @property
    def largest(self) -> int:
        """Rows of the largest cell."""
        return int(np.diff(self.ends).max())

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
        places = self.places(queries)
        order = np.argsort(places)  # a block of rows of one cell looks into few others
        result[order] = self.search_places(places[order], k, width)
        return result

    def search_places(self, places: np.ndarray, k: int, width: int) -> np.ndarray:
        """The same for rows that are given by their places (q,), ascending."""
        result = np.empty((len(places), k), dtype=np.int64)
        search = self._search if self.device == "cpu" else self._on_device

        def visit(block: slice) -> None:
            found = search(places[block], k, width)
            result[block] = np.where(found < 0, -1, self.rows[found])

        if self.device == "cpu":
            _each(visit, row_blocks(len(places), BLOCK))
        else:
            for block in row_blocks(len(places)):
                visit(block)
        return result

    def places(self, queries: np.ndarray) -> np.ndarray:
        """(q,) the places of some rows."""
        place = np.empty(int(self.rows.max()) + 1, dtype=np.int64)
        place[self.rows] = np.arange(len(self.rows))
        return np.asarray(place[queries])

    def compared(self, queries: np.ndarray, width: int) -> float:
        """Rows that each of some rows is compared with, on average."""
        places = self.places(queries)
        near = self._nearest(self.codes[places].astype(np.float32), places, width)
        return float(np.diff(self.ends)[near].sum(axis=1).mean())

    def _nearest(self, codes: np.ndarray, places: np.ndarray, width: int) -> np.ndarray:
        """(q, width) the cells that are looked into; a row's own is among them."""
        likeness = codes @ self.centres.T
        home = np.searchsorted(self.ends, places, side="right") - 1
        likeness[np.arange(len(places)), home] = np.inf
        return np.asarray(np.argpartition(-likeness, width - 1, axis=1)[:, :width])

    @cached_property
    def _on_device(self) -> Visit:
        """The search on the device, on which the codes stay."""
        return search_on(self.device, self.codes, self.centres, self.ends)

    def _search(self, places: np.ndarray, k: int, width: int) -> np.ndarray:
        """(q, k) places of the candidates of a block of rows, given by their places."""
        codes = self.codes[places].astype(np.float32)
        looks = np.zeros((len(places), len(self.centres)), dtype=bool)
        np.put_along_axis(looks, self._nearest(codes, places, width), True, axis=1)
        best = Best.empty(len(places), k)
        for cell in np.argsort(-looks.sum(axis=0), kind="stable"):  # where most look, first
            asking = np.flatnonzero(looks[:, cell])
            if not len(asking):
                break
            for start in range(self.ends[cell], self.ends[cell + 1], TILE):
                end = min(start + TILE, self.ends[cell + 1])
                tile = self.codes[start:end].astype(np.float32)
                so_far = Best(best.rows[asking], best.similarities[asking])
                found = search_tile(codes[asking], places[asking], start, tile, so_far)
                best.rows[asking], best.similarities[asking] = found.rows, found.similarities
        return best.rows


def _cut(encode: _Encode, rows: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit centres (c, r) of the cells of some rows (n,), and the cell of each (n,)."""
    with part(0.0, 0.2):
        centres = _centres(encode, rows, seed)
    with part(0.2, 0.9):
        home = _nearest_centre(encode, rows, centres)
    with part(0.9, 1.0):
        for _ in steps(range(CUTS)):
            sizes = np.bincount(home, minlength=len(centres))
            large = np.flatnonzero(sizes > 2 * CELL_ROWS)
            for cell in large:
                inside = np.flatnonzero(home == cell)
                pieces = _centres(encode, rows[inside], seed)
                local = _nearest_centre(encode, rows[inside], pieces)
                home[inside] = np.where(local == 0, cell, len(centres) - 1 + local)
                centres[cell] = pieces[0]
                centres = np.concatenate([centres, pieces[1:]])
            if not len(large):
                break
    return centres, home


def _centres(encode: _Encode, rows: np.ndarray, seed: int) -> np.ndarray:
    """(c, r) unit centres of some rows, one for `CELL_ROWS` of them."""
    many = -(-len(rows) // CELL_ROWS)
    rng = np.random.default_rng(seed)
    some = np.sort(rng.choice(rows, size=min(len(rows), LEARN_FROM * many), replace=False))
    codes = np.concatenate([encode(some[at]) for at in row_blocks(len(some))])

    def learn() -> np.ndarray:
        faiss = load_faiss()
        faiss.omp_set_num_threads(1)  # this thread alone: sums must not depend on timing
        found = faiss.Kmeans(
            codes.shape[1], many, niter=ROUNDS, spherical=True, seed=seed % 2**31,
            min_points_per_centroid=1, max_points_per_centroid=LEARN_FROM,
        )  # fmt: skip
        found.train(codes.astype(np.float32))
        return np.asarray(found.centroids)

    with ThreadPoolExecutor(1) as alone:
        return alone.submit(learn).result()


def _nearest_centre(encode: _Encode, rows: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(n,) the nearest of the centres to each of some rows."""
    home = np.empty(len(rows), dtype=np.int64)

    def visit(some: slice) -> None:
        home[some] = (encode(rows[some]).astype(np.float32) @ centres.T).argmax(axis=1)

    _each(visit, row_blocks(len(rows)))
    return home


def _each(visit: Callable[[T], None], blocks: Sequence[T]) -> None:
    """Visit every block, on every core, with one thread of the matrix library each."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        visit_all(visit, blocks)
