"""What a selection keeps and what it covers, drawn against each other and against its size.

With μ the mean score of the rated rows and top(m) the mean of the m highest scores, a selection S
of m rows keeps (mean score of S − μ) / (top(m) − μ): 0 is random, 1 is all that there is. Coverage
and redundancy are those of `compare_selections`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from ds2.arrays import Groups, Keys, Rows, Scores, Values, Vectors
from ds2.checks import check_fraction, check_int, check_rows, check_scores
from ds2.errors import InputError
from ds2.keys import check_keys, random_order_keys
from ds2.neighbors import Neighbors
from ds2.progress import part
from ds2.selection.compare import ComparedSelection, compare_selections
from ds2.selection.constraints import Constraints, given_rows
from ds2.selection.frontier import frontier_orders
from ds2.selection.inputs import Order
from ds2.selection.select import prepare, take

__all__ = [
    "Curves",
    "FrontierCurve",
    "FrontierPoint",
    "SizeCurve",
    "frontier_curve",
    "share_kept",
    "size_curve",
]

#: Random selections that are drawn, for their mean.
DRAWS = 3
#: Positions of the dial of "frontier" that are drawn.
KEEPS = (1.0, 0.99, 0.97, 0.95, 0.9, 0.8, 0.7, 0.5)


@dataclass(frozen=True, slots=True)
class FrontierPoint:
    """One selection: what it keeps and what it covers.

    Attributes:
        kept: share of the attainable score above random's.
        coverage: share of the pool that is near one of its rows.
        redundancy: share of its rows that are near another of them.
    """

    kept: float
    coverage: float
    redundancy: float


@dataclass(frozen=True, slots=True)
class FrontierCurve:
    """Score against coverage at one size.

    Attributes:
        size: rows of every selection (under a budget in tokens, of the random ones).
        curve: by the dial ``keep`` of "frontier", from 1 down.
        methods: the selections that were given, by name.
        random: the mean of random selections, which meet no constraints.
    """

    size: int
    curve: Mapping[float, FrontierPoint]
    methods: Mapping[str, FrontierPoint]
    random: FrontierPoint


@dataclass(frozen=True, slots=True)
class SizeCurve:
    """What changes with the size of a selection.

    Attributes:
        sizes: (z,) rows, ascending.
        score: (z,) mean score.
        kept: (z,) share of the score above random's that the highest scores of that size have.
        coverage: (z,) share of the pool that is near a selected row; NaN without vectors.
        redundancy: (z,) share of the rows that are near another selected one; likewise.
        random_coverage: (z,) the coverage of a random selection of that size.
        random_redundancy: (z,) its redundancy.
        precision: (z,) expected share of the rows that belong to the best so many of the pool; NaN
            without standard errors.
    """

    sizes: np.ndarray
    score: Values
    kept: Values
    coverage: Values
    redundancy: Values
    random_coverage: Values
    random_redundancy: Values
    precision: Values


@dataclass(frozen=True, slots=True)
class Curves:
    """Both curves around one selection.

    Attributes:
        by_size: what another size would bring.
        by_dial: score against coverage at its size; None where that was not drawn.
    """

    by_size: SizeCurve
    by_dial: FrontierCurve | None = None


def frontier_curve(
    scores: Scores,
    *,
    size: int | float | None,
    vectors: Vectors,
    neighbors: Neighbors,
    selections: Mapping[str, Rows] | None = None,
    keeps: tuple[float, ...] = KEEPS,
    groups: Groups | None = None,
    keys: Keys | None = None,
    constraints: Constraints | None = None,
    seed: int = 0,
) -> FrontierCurve:
    """Draw the frontier of a pool, with the point of each selection that is given.

    Every point of it is what `select` gives with the method "frontier" and the same constraints.

    Args:
        scores: (n,) curated scores, NaN where unrated.
        size: rows, or a share of the pool; under a budget in tokens the most rows, or None.
        vectors: (n, d) embeddings.
        neighbors: the graph.
        selections: name → rows, to be shown beside the curve. The random selections have as many
            rows as the first.
        keeps: positions of the dial.
        groups: (n,) labels of duplicates. Default: those of ``neighbors``.
        keys: (n,) content keys. Default: the row number.
        constraints: what every selection of the curve must meet.
        seed: seeds the random order and the random selections.

    Raises:
        InputError: as `select` says.
    """
    values = check_scores("scores", scores)
    given = {"scores": values, "vectors": vectors, "neighbors": neighbors}
    ready = prepare(
        "frontier",
        {**given, "groups": groups, "keys": keys},
        size=size,
        seed=seed,
        constraints=constraints,
    )
    wanted = tuple(check_fraction("keeps", keep) for keep in keeps)

    @cache
    def orders(count: int) -> dict[float, Order]:
        with part(0.0, 0.8):
            return frontier_orders(replace(ready.inputs, count=count), wanted)

    def rows_at(keep: float) -> np.ndarray:
        return take("frontier", ready, lambda inputs: orders(inputs.count)[keep])[0].rows

    named = {f"keep {keep}": rows_at(keep) for keep in wanted}
    named |= {f"given {name}": rows for name, rows in (selections or {}).items()}
    count = len(next(iter((selections or {}).values()), ()))
    count = count or ready.inputs.size + len(given_rows(ready.constraints.must_have))
    drawn = _random(values, count, keys, seed)
    with part(0.9, 1.0):
        compared = _compared({**named, **drawn}, values, vectors, neighbors, keys=keys, seed=seed)
    points = {
        name: FrontierPoint(
            share_kept(values, one.n, one.means["score"]), one.coverage, one.redundancy
        )
        for name, one in compared.items()
    }
    usual = [points[name] for name in drawn]
    return FrontierCurve(
        size=count,
        curve={keep: points[f"keep {keep}"] for keep in wanted},
        methods={name: points[f"given {name}"] for name in selections or {}},
        random=FrontierPoint(
            kept=0.0,
            coverage=float(np.mean([one.coverage for one in usual])),
            redundancy=float(np.mean([one.redundancy for one in usual])),
        ),
    )


def size_curve(
    selections: Mapping[int, Rows],
    scores: Scores | None,
    *,
    se: Values | None = None,
    vectors: Vectors | None = None,
    neighbors: Neighbors | None = None,
    keys: Keys | None = None,
    seed: int = 0,
) -> SizeCurve:
    """Say what selections of several sizes hold: whether the size is right.

    Of a method whose smaller selections are starts of larger ones, one selection gives them all:
    ``{m: rows[:m] for m in (500, 1000, 2000)}``.

    A row belongs to the best m with the probability that its true score, normal around ``scores``
    with standard deviation ``se``, is above the t for which Σ P(true score > t) = m.

    Args:
        selections: size → its rows.
        scores: (n,) curated scores, NaN where unrated; None where there are none.
        se: (n,) their standard errors (Curation.se).
        vectors: (n, d) embeddings, for coverage and redundancy.
        neighbors: the graph, likewise.
        keys: (n,) content keys. Default: the row number.
        seed: seeds the random selections.

    Raises:
        InputError: no selection, rows outside the pool, lengths that differ, neither scores nor
            vectors.
    """
    if scores is not None:
        values = check_scores("scores", scores)
    elif vectors is not None:
        values = np.full(len(vectors), np.nan)
    else:
        raise InputError("size_curve() was given no rows: pass 'scores' or 'vectors'.")
    if not selections:
        raise InputError("'selections' holds none. Give rows by size, such as {500: rows[:500]}.")
    sizes = sorted(check_int("size", size, low=1) for size in selections)
    if se is not None:
        check_rows("se", se, len(values))
    named = {str(size): np.asarray(selections[size]) for size in sizes}
    drawn = {
        f"random {size} {name}": rows
        for size in sizes
        for name, rows in _random(values, min(size, len(values)), keys, seed).items()
    }
    by_name = _compared({**named, **drawn}, values, vectors, neighbors, keys=keys, seed=seed)
    chosen = [by_name[name] for name in named]
    score = np.array([one.means["score"] for one in chosen])
    usual = np.array([[(one.coverage, one.redundancy) for d in range(DRAWS)
                       for one in [by_name[f"random {size} draw {d}"]]]
                      for size in sizes]).mean(axis=1)  # fmt: skip
    precision = [np.nan if se is None else _precision(values, se, rows) for rows in named.values()]
    return SizeCurve(
        sizes=np.array(sizes),
        score=score,
        kept=np.array([share_kept(values, *pair) for pair in zip(sizes, score, strict=True)]),
        coverage=np.array([one.coverage for one in chosen]),
        redundancy=np.array([one.redundancy for one in chosen]),
        random_coverage=usual[:, 0],
        random_redundancy=usual[:, 1],
        precision=np.array(precision),
    )


def _compared(
    selections: Mapping[str, np.ndarray],
    scores: np.ndarray,
    vectors: np.ndarray | None,
    neighbors: Neighbors | None,
    *,
    keys: np.ndarray | None,
    seed: int,
) -> dict[str, ComparedSelection]:
    """What selections hold, by name, with the mean score as "score"."""
    found = compare_selections(
        selections,
        len(scores),
        values={"score": scores},
        vectors=vectors,
        neighbors=neighbors,
        keys=keys,
        seed=seed,
    )
    return {one.name: one for one in found.selections}


def share_kept(scores: np.ndarray, size: int, mean: float) -> float:
    """What ``size`` rows of a mean score keep of what is attainable; see the module."""
    rated = np.sort(scores[~np.isnan(scores)])
    if not len(rated):
        return float("nan")
    usual, best = float(rated.mean()), float(rated[-size:].mean())
    return (mean - usual) / (best - usual) if best > usual else 1.0


def _random(
    scores: np.ndarray, size: int, keys: np.ndarray | None, seed: int
) -> dict[str, np.ndarray]:
    """Random selections of rated rows, or of all where none is, drawn by key."""
    known = ~np.isnan(scores)
    rated = np.flatnonzero(known | ~known.any())
    own = check_keys(keys, len(scores))[rated]
    orders = [np.argsort(random_order_keys(own, seed, stream=1000 + d)) for d in range(DRAWS)]
    return {f"draw {d}": rated[order[:size]] for d, order in enumerate(orders)}


def _precision(scores: np.ndarray, se: np.ndarray, rows: np.ndarray) -> float:
    from scipy.special import ndtr

    rated = ~np.isnan(scores)
    spread = np.maximum(np.nan_to_num(np.asarray(se, dtype=np.float64)), 1e-9)

    def above(cut: float, some: np.ndarray) -> np.ndarray:
        return np.asarray(ndtr((scores[some] - cut) / spread[some]))

    low = float(np.min(scores[rated] - 9 * spread[rated]))
    high = float(np.max(scores[rated] + 9 * spread[rated]))
    for _ in range(60):
        cut = (low + high) / 2
        low, high = (cut, high) if above(cut, rated).sum() > len(rows) else (low, cut)
    return float(above(low, rows[rated[rows]]).sum() / len(rows))
