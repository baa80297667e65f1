"""Near-duplicates: rows whose cosine similarity reaches a threshold.

`find_near_duplicates` keeps the best of them; `find_near` finds rows near to given vectors, such as
those of an evaluation set. Both work on blocks of products: memory is O(n), time O(n · kept · d).

A neighbour graph saves most of the products. A row whose k-th neighbour is farther away than the
threshold has all its near-duplicates in its own list, so the graph sees each of its pairs. A pair
can be missing from both lists only where *both* rows have k neighbours within the threshold. These
*crowded* rows, and only these, are compared with each other by products. With an exact graph the
result is that of all products; an approximate one misses pairs to the extent that its recall says.
"""

from dataclasses import dataclass

import numpy as np

from ds2.arrays import Rows, Vectors
from ds2.checks import check_fraction, check_index, check_vectors
from ds2.errors import InputError
from ds2.neighbors import Neighbors, row_blocks
from ds2.neighbors.blocks import DECIMALS, unit_block

__all__ = ["Near", "NearDuplicates", "find_near", "find_near_duplicates"]

BLOCK = 1024
TILE = 8192
#: Distances are rounded; half a unit of the last decimal is no difference.
ROOM = 0.5 * 10.0**-DECIMALS


@dataclass(frozen=True, slots=True)
class Near:
    """The rows that are near enough to one of some given vectors.

    Attributes:
        rows: (m,) row numbers, ascending.
        targets: (m,) the number of the vector that is nearest to each.
        similarities: (m,) cosine similarity to it.
    """

    rows: Rows
    targets: Rows
    similarities: np.ndarray


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """The rows that are too similar to a better one.

    Attributes:
        rows: (m,) row numbers, in the order that was given.
        of: (m,) for each the row that is kept and that it is similar to.
    """

    rows: Rows
    of: Rows


def find_near(vectors: Vectors, targets: np.ndarray, *, similarity: float) -> Near:
    """Find the rows whose cosine similarity to a given vector is ``similarity`` or more.

    Args:
        vectors: (n, d) embeddings of any length above 0.
        targets: (t, d) the given vectors, from the same embedder.
        similarity: in (0, 1]; 1 − distance.

    Returns:
        `Near`.

    Raises:
        InputError: vectors that cannot be compared.
    """
    least = 1.0 - _distance(similarity) - ROOM
    vectors, targets = check_vectors("vectors", vectors), check_vectors("targets", targets)
    if vectors.shape[1] != targets.shape[1]:
        raise InputError(
            f"'vectors' have {vectors.shape[1]} dimensions and 'targets' {targets.shape[1]}. "
            "Embed both with the same embedder."
        )
    best = np.full(len(vectors), -np.inf, dtype=np.float32)
    which = np.zeros(len(vectors), dtype=np.int64)
    for first in range(0, len(targets), TILE):
        tile = unit_block(targets, slice(first, first + TILE))
        for start in range(0, len(vectors), BLOCK):
            products = unit_block(vectors, slice(start, start + BLOCK)) @ tile.T
            nearest = products.argmax(axis=1)
            top = products[np.arange(len(products)), nearest]
            part = slice(start, start + len(products))
            better = top > best[part]
            which[part] = np.where(better, first + nearest, which[part])
            best[part] = np.maximum(best[part], top)
    rows = np.flatnonzero(best >= least)
    return Near(rows, which[rows], best[rows].astype(np.float64))


def find_near_duplicates(
    order: Rows,
    *,
    similarity: float,
    vectors: Vectors | None = None,
    neighbors: Neighbors | None = None,
    keep: np.ndarray | None = None,
) -> NearDuplicates:
    """Go down an order and drop each row that is too similar to one that is kept.

    Args:
        order: (e,) row numbers, best first; rows that are not in it play no part.
        similarity: the cosine similarity, in (0, 1], from which a row is a near-duplicate.
        vectors: (n, d) embeddings of any length above 0. Needed without a graph, and for crowded
            rows (see above).
        neighbors: the graph of the pool. Exact duplicates in it are near-duplicates.
        keep: rows that are kept in any case. They come before all others.

    Returns:
        `NearDuplicates`.

    Raises:
        InputError: vectors are needed and were not given, or rows that are not in the pool.
    """
    distance = _distance(similarity)
    n = neighbors.n if neighbors is not None else None if vectors is None else len(vectors)
    first = check_index("keep", [] if keep is None else keep, n)
    line = check_index("order", order, n)
    line, n_kept = np.concatenate([first, line[~np.isin(line, first)]]), len(first)
    copy_of = np.arange(len(line))
    late = early = np.empty(0, np.int64)
    crowded = np.ones(len(line), dtype=bool)
    if neighbors is not None:
        if neighbors.groups is not None:  # for each place the first that holds the same text
            group = neighbors.groups[line]
            _, at, inverse = np.unique(group, return_index=True, return_inverse=True)
            copy_of = at[inverse.reshape(-1)]
        late, early, crowded = _graph_pairs(line, copy_of, neighbors, distance)
    if vectors is None and crowded.sum() > 1:
        if neighbors is None:
            raise InputError("Near-duplicates need 'vectors' or 'neighbors'. Pass one of them.")
        raise InputError(
            f"{int(crowded.sum())} rows have {neighbors.k} neighbours within the threshold, so the "
            "graph may not hold all their near-duplicates. Pass 'vectors' as well, or a graph with "
            "more neighbours."
        )
    least = 1.0 - distance - ROOM
    of = _thin(line, n_kept, late, early, crowded=crowded, vectors=vectors, least=least)
    copies = np.flatnonzero(copy_of != np.arange(len(line)))
    of[copies] = np.where(of[copy_of[copies]] < 0, copy_of[copies], of[copy_of[copies]])
    of[:n_kept] = -1
    dropped = np.flatnonzero(of >= 0)
    return NearDuplicates(line[dropped], line[of[dropped]])


def _distance(similarity: float) -> float:
    value = check_fraction("similarity", similarity, open_low=True)
    return round(1.0 - value, DECIMALS)


def _graph_pairs(
    line: np.ndarray, copy_of: np.ndarray, neighbors: Neighbors, distance: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The near pairs of the graph (later and earlier place), and which places are crowded.

    Lists name the first row of a duplicate group, which stands for the group here as well.
    """
    label = np.arange(neighbors.n) if neighbors.groups is None else neighbors.groups
    place = np.full(neighbors.n, -1, dtype=np.int64)
    place[label[line]] = copy_of
    crowded = np.empty(len(line), dtype=bool)
    pairs = [(np.empty(0, np.int64),) * 2]
    for block in row_blocks(len(line)):
        near = neighbors.distances[line[block]] <= distance + ROOM
        crowded[block] = near.all(axis=1)
        own, column = np.nonzero(near)
        own += block.start
        other = place[neighbors.indices[line[own], column]]
        pairs.append((copy_of[own[other >= 0]], other[other >= 0]))
    own, other = (np.concatenate(side) for side in zip(*pairs, strict=True))
    late, early = np.maximum(own, other), np.minimum(own, other)
    order = np.lexsort((early, late))
    return late[order], early[order], crowded & (copy_of == np.arange(len(line)))


def _thin(
    line: np.ndarray,
    n_kept: int,
    late: np.ndarray,
    early: np.ndarray,
    *,
    crowded: np.ndarray,
    vectors: np.ndarray | None,
    least: float,
) -> np.ndarray:
    """(e,) For each place the first kept place it repeats, −1 where it is kept itself."""
    n = len(line)
    of = np.full(n, -1, dtype=np.int64)
    places = np.flatnonzero(crowded) if vectors is not None else np.empty(0, np.int64)
    kept = np.empty(0, np.int64)
    done = 0
    for start in range(0, max(len(places), 1), BLOCK):
        mine = places[start : start + BLOCK]
        end = int(places[start + BLOCK]) if start + BLOCK < len(places) else n
        known = slice(*np.searchsorted(late, [done, end]))
        more_late, more_early = np.empty(0, np.int64), np.empty(0, np.int64)
        if vectors is not None and len(mine):
            more_late, more_early = _product_pairs(mine, kept, line, vectors, least)
        _settle(
            of,
            n_kept,
            np.concatenate([late[known], more_late]),
            np.concatenate([early[known], more_early]),
        )
        kept = np.concatenate([kept, mine[of[mine] < 0]])
        done = end
    return of


def _product_pairs(
    mine: np.ndarray, kept: np.ndarray, line: np.ndarray, vectors: np.ndarray, least: float
) -> tuple[np.ndarray, np.ndarray]:
    """The first kept place that each of some places repeats, and their pairs with each other."""
    unit = unit_block(vectors, line[mine])
    hit = np.full(len(mine), -1, dtype=np.int64)
    for start in range(0, len(kept), TILE):
        free = np.flatnonzero(hit < 0)
        if len(free) == 0:
            break
        part = kept[start : start + TILE]
        near = unit[free] @ unit_block(vectors, line[part]).T >= least
        found = near.any(axis=1)
        hit[free[found]] = part[near[found].argmax(axis=1)]
    repeats = np.flatnonzero(hit >= 0)
    late, early = np.nonzero(np.tril(unit @ unit.T >= least, -1))
    return (
        np.concatenate([mine[repeats], mine[late]]),
        np.concatenate([hit[repeats], mine[early]]),
    )


def _settle(of: np.ndarray, n_kept: int, late: np.ndarray, early: np.ndarray) -> None:
    """Go through pairs by their later place: it is dropped if an earlier one of its is kept."""
    order = np.lexsort((early, late))
    late, early = late[order], early[order]
    places, starts = np.unique(late, return_index=True)
    stops = np.searchsorted(late, places, side="right")
    for place, start, stop in zip(places.tolist(), starts.tolist(), stops.tolist(), strict=True):
        if place >= n_kept:
            before = early[start:stop]
            standing = before[of[before] < 0]
            if len(standing):
                of[place] = standing[0]
