"""Exact search by blocked matrix products.

The pool is cut into tiles. A block of queries is multiplied with one tile at a time; the maxima of
small groups of similarities tell which groups can hold a neighbour at all, so that only a few of
the products are looked at one by one. Memory is one product block, whatever the pool's size.
"""

from collections.abc import Iterator

import numpy as np

from ds2.neighbors.blocks import unit_block, visit_all
from ds2.progress import steps

__all__ = ["Best", "exact_candidates", "search_tile"]

TILE = 8192
BLOCK = 1024
GROUP = 32


def exact_candidates(
    vectors: np.ndarray, entries: np.ndarray, queries: np.ndarray, k: int
) -> np.ndarray:
    """The ``k`` most similar entries for some of them, best first, never the row itself.

    Args:
        vectors: (m, d) floats of any length above 0; made unit rows block by block.
        entries: (n,) the row numbers that are searched, ascending.
        queries: (q,) row numbers among them.
        k: neighbours to return; at most n − 1.

    Returns:
        (q, k) row numbers.
    """
    blocks = [queries[start : start + BLOCK] for start in range(0, len(queries), BLOCK)]
    places = [np.searchsorted(entries, block) for block in blocks]
    result = np.empty((len(queries), k), dtype=np.int64)
    best = [Best.empty(len(block), k) for block in blocks]
    for start, tile in steps(_tiles(vectors, entries), -(-len(entries) // TILE)):

        def visit(i: int, start: int = start, tile: np.ndarray = tile) -> None:
            unit = unit_block(vectors, blocks[i])
            best[i] = search_tile(unit, places[i], start, tile, best[i])

        visit_all(visit, range(len(blocks)))
    for i, found in enumerate(best):
        result[i * BLOCK : i * BLOCK + len(found.rows)] = entries[found.rows]
    return result


def _tiles(vectors: np.ndarray, entries: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, len(entries), TILE):
        yield start, unit_block(vectors, entries[start : start + TILE])


class Best:
    """The k best rows so far for each query of a block, best first."""

    __slots__ = ("rows", "similarities")

    def __init__(self, rows: np.ndarray, similarities: np.ndarray) -> None:
        self.rows = rows
        self.similarities = similarities

    @classmethod
    def empty(cls, n: int, k: int) -> "Best":
        """None yet: row −1, at −inf."""
        return cls(np.full((n, k), -1, np.int64), np.full((n, k), -np.inf, np.float32))


def search_tile(
    unit: np.ndarray, places: np.ndarray, start: int, tile: np.ndarray, best: Best
) -> Best:
    """The best so far and in the tile from ``start``, for unit rows (q, d) at ``places``."""
    products = unit @ tile.T
    inside = np.flatnonzero((places >= start) & (places < start + len(tile)))
    products[inside, places[inside] - start] = -np.inf
    query, column = _above(products, best.similarities[:, -1], best.rows.shape[1])
    return _merge(best, query, start + column, products[query, column])


def _above(products: np.ndarray, threshold: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of every product that can be among its row's k best.

    Groups are strided (columns g, g + width, …), so that their maxima are taken over long rows.
    The k-th largest maximum is a bound that k products of the row reach.
    """
    n, columns = products.shape
    width = columns // GROUP
    if width < k:
        query, column = np.nonzero(products >= threshold[:, None])
        return _finite(products, query, column)
    grouped = products[:, : width * GROUP].reshape(n, GROUP, width)
    maxima = grouped.max(axis=1)
    if np.isneginf(threshold).any():
        threshold = np.maximum(threshold, np.partition(maxima, -k, axis=1)[:, -k])
    query, group = np.nonzero(maxima >= threshold[:, None])
    near, member = np.nonzero(grouped[query, :, group] >= threshold[query, None])
    rest_query, rest_column = np.nonzero(products[:, width * GROUP :] >= threshold[:, None])
    return _finite(
        products,
        np.concatenate([query[near], rest_query]),
        np.concatenate([group[near] + member * width, rest_column + width * GROUP]),
    )


def _finite(
    products: np.ndarray, query: np.ndarray, column: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    kept = products[query, column] > -np.inf
    return query[kept], column[kept]


def _merge(best: Best, query: np.ndarray, row: np.ndarray, similarity: np.ndarray) -> Best:
    n, k = best.rows.shape
    queries = np.concatenate([np.repeat(np.arange(n), k), query])
    rows = np.concatenate([best.rows.ravel(), row])
    similarities = np.concatenate([best.similarities.ravel(), similarity])
    order = np.lexsort((rows, -similarities, queries))
    starts = np.searchsorted(queries[order], np.arange(n))
    top = order[starts[:, None] + np.arange(k)]
    return Best(rows[top], similarities[top])
