"""`find_neighbors`: exact where that is fast, approximate with a measured recall where it pays.

A search in cells can be taken apart: `prepare_cells` does what comes first, `search_stretch` is the
search for some rows, wherever it is done, and `joined` makes one graph of all stretches.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ds2.arrays import Groups, Vectors
from ds2.checks import check_choice, check_column, check_fraction, check_int, check_vectors
from ds2.errors import InputError, warn
from ds2.neighbors.approximate import GraphIndex
from ds2.neighbors.blocks import sort_candidates
from ds2.neighbors.cells import CellIndex
from ds2.neighbors.exact import exact_candidates
from ds2.neighbors.graph import Neighbors
from ds2.neighbors.groups import first_rows, identical_groups
from ds2.neighbors.recall import RecallSample
from ds2.progress import part, steps

__all__ = ["CellSearch", "find_neighbors", "joined", "prepare_cells", "search_stretch"]

#: Up to this many distinct examples the exact search is at least as fast (benchmarks/neighbors.py).
EXACT_UP_TO = 20_000
#: Rows of a stretch: what is searched for at once, and what is lost where a worker is.
STRETCH = 16_384
#: A width that finds so much more of the true neighbours is worth it; so many that do not in
#: succession end the search for one.
GAIN, WIDER = 0.0005, 3
#: Candidates beyond k whose exact distances are computed by the exact search.
SPARE = 6


def find_neighbors(
    vectors: Vectors,
    k: int = 10,
    *,
    groups: Groups | None = None,
    method: str = "auto",
    min_recall: float = 0.99,
    device: str = "cpu",
    seed: int = 0,
) -> Neighbors:
    """Find the ``k`` nearest neighbours of every example by cosine distance.

    The same arguments give the same result, whatever the number of threads. Ties are broken by
    row number. Memory is O(n · (d + k)).

    Args:
        vectors: (n, d) floats (float16 and memory-mapped arrays stay as they are); need not be of
            unit length.
        k: neighbours per example, the example and its exact duplicates not counted.
        groups: (n,) labels; rows with equal labels are exact duplicates and share one entry.
            Default: rows whose vectors are identical.
        method: "exact"; "approximate", by a graph that two threads build; "cells", by cells of the
            pool, which every core works on; or "auto": exact up to 20,000 distinct examples, then
            approximate.
        min_recall: share of the true neighbours that an approximate search must find on a
            sample of rows. The search is widened until it does; where it does not, the exact search
            is used. "cells" then stays with the width after which no wider one finds more, and
            warns: many rows are all but equal.
        device: of "cells": "cpu", or a device of PyTorch, such as "cuda", that holds the cells and
            searches them.
        seed: seeds the samples.

    Returns:
        `Neighbors`, with the recall that was measured.

    Raises:
        InputError: vectors of the wrong shape or with NaN, infinity or zero rows; ``k`` below 1;
            fewer than k + 1 distinct examples; an unknown method; a device that is not there, or
            that the method does not use.
    """
    vectors = check_vectors("vectors", vectors)
    asked = _Asked.of(k, method, min_recall, seed, device)
    labels, entries = _entries(vectors, groups, asked.k)
    if method == "cells":
        with part(0.0, 0.4):
            search = _prepare_cells(vectors, entries, asked, np.empty)
        with part(0.4, 1.0):
            found = (search_stretch(vectors, search, *each) for each in steps(search.stretches))
            return joined(search, found, labels)
    if method == "approximate" or (method == "auto" and len(entries) > EXACT_UP_TO):
        with part(0.0, 0.47):
            reach = _wide_enough(vectors, entries, asked, GraphIndex, _graph_depths)
            index, width, depth, recall, reached = reach
        if reached:
            with part(0.47, 0.95):
                candidates = index.search(entries, depth, width)
            with part(0.95, 1.0):
                near = sort_candidates(vectors, entries, candidates, asked.k)
            return _graph(labels, [(entries, *near)], asked.k, recall, "approximate")
    with part(0.0, 0.95):
        spared = min(asked.k + SPARE, len(entries) - 1)
        candidates = exact_candidates(vectors, entries, entries, spared)
    with part(0.95, 1.0):
        near = sort_candidates(vectors, entries, candidates, asked.k)
    return _graph(labels, [(entries, *near)], asked.k, 1.0, "exact")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What was asked for, checked."""

    k: int
    min_recall: float
    seed: int
    device: str

    @classmethod
    def of(cls, k: int, method: str, min_recall: float, seed: int, device: str) -> "_Asked":
        check_choice("method", method, ("auto", "exact", "approximate", "cells"))
        if device != "cpu" and method != "cells":
            raise InputError(
                f"'device' is used by method 'cells' only. Got '{device}', '{method}'."
            )
        return cls(
            check_int("k", k, low=1),
            check_fraction("min_recall", min_recall, open_low=True),
            check_int("seed", seed, low=0),
            device,
        )


def _entries(
    vectors: np.ndarray, groups: np.ndarray | None, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """(n,) the first row of each row's group, and the rows (e,) that are first of one."""
    if groups is None:
        labels = identical_groups(vectors)
    else:
        labels = first_rows(check_column("groups", groups, len(vectors)))
    entries = np.flatnonzero(labels == np.arange(len(vectors)))
    if len(entries) < k + 1:
        raise InputError(
            f"'k' must be smaller than the number of distinct examples. Got k = {k} with "
            f"{len(entries)} distinct examples (of {len(vectors)} rows). Lower k or add examples."
        )
    return labels, entries


def _wide_enough(
    vectors: np.ndarray,
    entries: np.ndarray,
    asked: _Asked,
    index_of: Callable[..., Any],
    depths_of: Callable[[int, int], tuple[int, ...]],
) -> tuple[Any, int, int, float, bool]:
    """An index, the first width and depth that are sure to reach the recall, it, and True.

    Depth is the number of candidates whose exact distances are computed. Where none reaches the
    recall, it is the first width after which no wider one found more, its recall, and False.
    """
    with part(0.0, 0.1):
        sample = RecallSample.draw(vectors, entries, asked.k, asked.seed)
    with part(0.1, 0.98):
        index = index_of(vectors, entries, asked.seed)
    found, no_more = (0, 0, -1.0), 0
    with part(0.98, 1.0):
        for width in index.widths:
            depths = [min(one, len(entries) - 1) for one in depths_of(asked.k, width)]
            tried = index.search(sample.rows, depths[-1], width)
            for depth in depths:
                _, distances = sort_candidates(vectors, sample.rows, tried[:, :depth], asked.k)
                recall, error = sample.recall(distances)
                if recall - error >= asked.min_recall:
                    return index, width, depth, recall, True
            no_more = no_more + 1 if recall < found[2] + GAIN else 0
            if not no_more:
                found = width, depth, recall
            elif no_more == WIDER:
                break
    return index, *found, False


def _graph_depths(k: int, width: int) -> tuple[int, ...]:
    return (max(3 * k + 2, width // 2),)


def _cell_depths(k: int, _: int) -> tuple[int, ...]:
    """Rows that lie closer than the codes can tell take depth, and no width makes up for it."""
    return (3 * k + 2, 6 * k + 4, 12 * k + 8)


def _graph(
    labels: np.ndarray,
    found: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]],
    k: int,
    recall: float,
    method: str,
) -> Neighbors:
    """The graph of all rows from the first rows of groups, their neighbours and distances."""
    indices = np.empty((len(labels), k), dtype=np.int32)
    distances = np.empty((len(labels), k), dtype=np.float32)
    for rows, near, far in found:
        indices[rows], distances[rows] = near, far
    again = np.flatnonzero(labels != np.arange(len(labels)))
    indices[again], distances[again] = indices[labels[again]], distances[labels[again]]
    groups = labels if len(again) else None
    return Neighbors(indices, distances, recall=recall, method=method, groups=groups)


@dataclass(frozen=True, slots=True)
class CellSearch:
    """A search in cells that is ready: what `search_stretch` needs beside the vectors.

    Attributes:
        index: the cells.
        k: neighbours of each example.
        width: cells that are looked into for each row.
        depth: candidates whose exact distances are computed for each row.
        recall: of that width and depth, on a sample.
        short_of: the recall that was asked for, where it was not reached; otherwise 0.
    """

    index: CellIndex
    k: int
    width: int
    depth: int
    recall: float
    short_of: float = 0.0

    @property
    def stretches(self) -> list[tuple[int, int]]:
        """The places from and to which each stretch goes."""
        n = len(self.index.rows)
        return [(start, min(start + STRETCH, n)) for start in range(0, n, STRETCH)]


def prepare_cells(
    vectors: Vectors,
    k: int,
    *,
    groups: Groups,
    min_recall: float,
    seed: int,
    device: str = "cpu",
    empty: Callable[[tuple[int, int], Any], np.ndarray] = np.empty,
) -> CellSearch:
    """Do what comes before a search in cells; as `find_neighbors` with ``method="cells"``.

    ``empty`` makes the array of the codes, (n, r) float16.
    """
    vectors = check_vectors("vectors", vectors)
    asked = _Asked.of(k, "cells", min_recall, seed, device)
    return _prepare_cells(vectors, _entries(vectors, groups, asked.k)[1], asked, empty)


def _prepare_cells(
    vectors: np.ndarray, entries: np.ndarray, asked: _Asked, empty: Callable[..., np.ndarray]
) -> CellSearch:
    build = partial(CellIndex.build, empty=empty, device=asked.device)
    found = _wide_enough(vectors, entries, asked, build, _cell_depths)
    index, width, depth, recall, reached = found
    short_of = 0.0 if reached else asked.min_recall
    return CellSearch(index, asked.k, width, depth, recall, short_of)


def search_stretch(
    vectors: np.ndarray, search: CellSearch, start: int, stop: int
) -> tuple[np.ndarray, np.ndarray]:
    """(m, k) row numbers and distances of the neighbours of the rows at places start … stop."""
    index, places, width = search.index, np.arange(start, stop), search.width
    candidates = index.search_places(places, search.depth, width)
    near, far = sort_candidates(vectors, index.rows[places], candidates, search.k)
    while len(few := np.flatnonzero(near[:, -1] < 0)):  # where the cells are small
        width *= 2
        candidates = index.search_places(places[few], search.depth, min(width, index.widths[-1]))
        near[few], far[few] = sort_candidates(
            vectors, index.rows[places[few]], candidates, search.k
        )
    return near, far


def joined(
    search: CellSearch, found: Iterable[tuple[np.ndarray, np.ndarray]], groups: np.ndarray
) -> Neighbors:
    """The graph from what `search_stretch` found in each stretch, in their order."""
    if search.short_of:
        warn(
            f"The search in cells finds {search.recall:.3f} of the nearest neighbours, and not "
            f"{search.short_of:g}: many rows are so alike that wider ones find no more."
        )
    rows = search.index.rows
    stretches = zip(search.stretches, found, strict=True)
    each = ((rows[start:stop], *near) for (start, stop), near in stretches)
    return _graph(first_rows(np.asarray(groups)), each, search.k, search.recall, "cells")
