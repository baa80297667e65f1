"""Of a large pool a part teaches: which rows those are, and the pool that they are by themselves.

Weights, matrices and what neighbours are worth are learned on whole neighbourhoods and applied to
every row. Which candidate is to be trusted is judged on the part alone, as if there were no other
rows: a neighbour that is not in it tells nothing.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np

from ds2.curation.candidates import Case
from ds2.curation.moments import NeighborMeans
from ds2.errors import Caution
from ds2.neighbors import Neighbors, some_of

__all__ = ["learned_words", "learning_rows", "part_of"]

#: Distance of a neighbour that tells nothing: its weight is 0.
NOTHING = 2.0


def learning_rows(
    labels: np.ndarray,
    keys: np.ndarray,
    rated: np.ndarray,
    trusted: np.ndarray,
    *,
    most: int,
    seed: int,
) -> np.ndarray | None:
    """(n,) marks of the rows to learn from; None: all, since at most so many are rated.

    Args:
        labels: (n,) the neighbourhood of each row.
        keys: (n,) uint64, which decide.
        rated: (n,) rows with a rating.
        trusted: (n,) rows with gold, or a second rating: their neighbourhoods come first.
        most: rated rows that are learned from.
        seed: the same seed, the same rows.
    """
    if rated.sum() <= most:
        return None
    found = some_of(labels, keys, rated * (np.int8(1) + trusted), most, seed)
    return found if found.any() else None


def learned_words(case: Case) -> tuple[Caution, ...]:
    """On how many rows was learned what all have; empty where all teach."""
    if case.learns is None:
        return ()
    rated = ~np.isnan(case.scores).all(axis=1)
    some, n = int((rated & case.learns).sum()), int(rated.sum())
    said = Caution(
        "learned-on-part",
        f"Learned on {some:,} of {n:,} rated rows, in whole neighbourhoods, and applied to all "
        "('fit_rows').",
        rows=some,
        of=n,
    )
    return (said,)


def part_of(case: Case) -> Case:
    """The rows to learn from as a pool of their own, and a last row that nobody rated.

    That row stands for the neighbours that are not among them.
    """
    assert case.learns is not None, "a part teaches"
    rows = np.flatnonzero(case.learns)
    n, m = len(case.learns), len(rows)

    def take(table: np.ndarray, last: float) -> np.ndarray:
        end = np.full((1, *table.shape[1:]), last, dtype=table.dtype)
        return np.concatenate([table[rows], end])

    graph = case.neighbors
    place = np.full(n, m, dtype=np.int32)
    place[rows] = np.arange(m)
    indices = place[graph.indices[rows]]
    distances = np.where(indices == m, np.float32(NOTHING), graph.distances[rows])
    order = np.argsort(distances, axis=1, kind="stable")
    nobody = np.zeros((1, graph.k), dtype=np.int32), np.full((1, graph.k), NOTHING)
    neighbors = Neighbors(
        indices=np.concatenate([np.take_along_axis(indices, order, axis=1), nobody[0]]),
        distances=np.concatenate(
            [np.take_along_axis(distances, order, axis=1), nobody[1].astype(distances.dtype)]
        ),
        recall=graph.recall,
        method=graph.method,
        groups=None if graph.groups is None else np.append(place[graph.groups[rows]], m),
    )
    means: Callable[[], NeighborMeans] = cache(lambda: NeighborMeans.build(neighbors))
    none = float("nan")
    return replace(
        case,
        scores=take(case.scores, none),
        values=take(case.values, none),
        spread=take(case.spread, none),
        repeats=take(case.repeats, none),
        gold=take(case.gold, none),
        gold_weights=take(case.gold_weights, 0),
        neighbors=neighbors,
        means=means,
        folds=take(case.folds, 0),
        blocks=take(case.blocks, 0),
        voted=take(case.voted, none),
        fixed=lambda: take(case.fixed(), 0),
        inputs=None if case.inputs is None else case.inputs.take(np.append(rows, rows[0])),
        order=None if case.order is None else take(case.order, np.iinfo(np.uint64).max),
        learns=None,
        fitted={},
    )
