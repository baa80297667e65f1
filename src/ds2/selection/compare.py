"""`compare_selections`: what several selections of one pool hold, side by side."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ds2.arrays import Keys, Lengths, Rows, Vectors
from ds2.checks import check_int, check_rows, check_vectors
from ds2.errors import InputError
from ds2.keys import check_keys, random_order_keys
from ds2.neighbors import Neighbors
from ds2.neighbors.blocks import unit_block
from ds2.selection.long_tail import long_tail_scores

__all__ = ["ComparedSelection", "Comparison", "compare_selections"]

#: Coverage and redundancy are measured on a random sample of this many rows.
SAMPLE = 5_000
BLOCK = 512


@dataclass(frozen=True, slots=True)
class ComparedSelection:
    """One selection.

    Attributes:
        name: what the caller calls it.
        n: its rows.
        means: mean of each given value over its rows that have one; NaN where none has.
        tail: mean long-tail score; NaN without a graph.
        coverage: share of the pool's rows that lie within ``Comparison.radius`` of a selected row;
            NaN without vectors.
        redundancy: share of its rows that lie within the radius of another selected row.
        nearest: mean distance from a selected row to the nearest other one.
        length: mean length; NaN without lengths.
        total_length: sum of the lengths.
        sources: share of its rows by source; empty without sources.
    """

    name: str
    n: int
    means: Mapping[str, float]
    tail: float
    coverage: float
    redundancy: float
    nearest: float
    length: float
    total_length: float
    sources: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Several selections of one pool.

    Attributes:
        selections: in the order given.
        overlap: (s, s) rows in common over the size of the smaller one.
        chance: (s, s) what two random selections of these sizes would share.
        radius: the median distance of a row of the pool to its k-th neighbour: what "near" means
            for coverage and redundancy; NaN without vectors and graph.
        n_sampled: rows on which coverage was measured.
        n: rows of the pool.
    """

    selections: tuple[ComparedSelection, ...]
    overlap: Float[np.ndarray, "m m"]
    chance: Float[np.ndarray, "m m"]
    radius: float
    n_sampled: int
    n: int


def compare_selections(
    selections: Mapping[str, Rows],
    n: int,
    *,
    values: Mapping[str, Lengths] | None = None,
    vectors: Vectors | None = None,
    neighbors: Neighbors | None = None,
    lengths: Lengths | None = None,
    sources: Lengths | None = None,
    keys: Keys | None = None,
    seed: int = 0,
) -> Comparison:
    """Measure what selections hold: scores, diversity, coverage, redundancy, lengths, sources.

    Coverage takes blocked products of a sample of the pool with the selected rows: its time does
    not grow with the pool, and memory grows with n alone.

    Args:
        selections: name → (m,) rows of the pool.
        n: rows of the pool.
        values: name → (n,) numbers whose means are shown, NaN where unknown.
        vectors: (n, d) embeddings, for coverage and redundancy.
        neighbors: the graph, for long-tail scores and the radius.
        lengths: (n,) in any unit.
        sources: (n,) labels.
        keys: (n,) content keys that decide the sample. Default: the row number.
        seed: seeds the sample.

    Raises:
        InputError: rows outside the pool, an empty selection, lengths that differ.
    """
    n = check_int("n", n, low=1)
    chosen = {name: _rows(name, rows, n) for name, rows in selections.items()}
    order = np.argsort(random_order_keys(check_keys(keys, n), check_int("seed", seed, low=0)))
    tail = None if neighbors is None else long_tail_scores(neighbors)
    places = _Places.build(vectors, neighbors, order)
    extent = None if lengths is None else np.asarray(lengths, dtype=np.float64)
    labels = None if sources is None else np.asarray(sources).astype(str)
    columns = {name: np.asarray(v, dtype=np.float64) for name, v in (values or {}).items()}
    named = (*columns.items(), ("lengths", extent), ("sources", labels), ("neighbors", tail))
    for name, column in named:
        if column is not None:
            check_rows(name, column, n)
    parts = []
    for name, rows in chosen.items():
        coverage, redundancy, nearest = places.measure(rows)
        parts.append(
            ComparedSelection(
                name=name,
                n=len(rows),
                means={key: _mean(column[rows]) for key, column in columns.items()},
                tail=float("nan") if tail is None else float(tail[rows].mean()),
                coverage=coverage,
                redundancy=redundancy,
                nearest=nearest,
                length=float("nan") if extent is None else float(extent[rows].mean()),
                total_length=float("nan") if extent is None else float(extent[rows].sum()),
                sources={} if labels is None else _shares(labels[rows]),
            )
        )
    overlap, chance = _overlaps(list(chosen.values()), n)
    return Comparison(tuple(parts), overlap, chance, places.radius, len(places.sample), n)


@dataclass(frozen=True, slots=True)
class _Places:
    """Where rows lie: the vectors, the sample that is looked at, and what near means."""

    vectors: np.ndarray | None
    order: np.ndarray
    radius: float

    @classmethod
    def build(
        cls, vectors: np.ndarray | None, neighbors: Neighbors | None, order: np.ndarray
    ) -> "_Places":
        if vectors is None or neighbors is None:
            return cls(None, order, float("nan"))
        checked = check_vectors("vectors", vectors)
        check_rows("vectors", checked, len(order))
        return cls(checked, order, float(np.median(neighbors.distances[:, -1])))

    @property
    def sample(self) -> np.ndarray:
        return self.order[:SAMPLE] if self.vectors is not None else self.order[:0]

    def measure(self, rows: np.ndarray) -> tuple[float, float, float]:
        """Coverage, redundancy and mean distance to the nearest other selected row."""
        if self.vectors is None:
            return float("nan"), float("nan"), float("nan")
        held = unit_block(self.vectors, rows)
        covered = self._nearest(self.sample, held) <= self.radius
        place = np.full(len(self.order), -1)
        place[rows] = np.arange(len(rows))
        some = self.order[place[self.order] >= 0][:SAMPLE]
        if len(rows) == 1:
            return float(covered.mean()), 0.0, float("nan")
        apart = self._nearest(some, held, place[some])
        return float(covered.mean()), float((apart <= self.radius).mean()), float(apart.mean())

    def _nearest(
        self, queries: np.ndarray, held: np.ndarray, but: np.ndarray | None = None
    ) -> np.ndarray:
        """(q,) Distance of each query row to the nearest held vector, not counting ``but``."""
        assert self.vectors is not None
        nearest = np.empty(len(queries))
        for start in range(0, len(queries), BLOCK):
            part = slice(start, start + BLOCK)
            similarity = unit_block(self.vectors, queries[part]) @ held.T
            if but is not None:
                similarity[np.arange(len(similarity)), but[part]] = -np.inf
            nearest[part] = 1.0 - similarity.max(axis=1)
        return np.clip(nearest, 0.0, 2.0)


def _rows(name: str, rows: np.ndarray, n: int) -> np.ndarray:
    found = np.unique(np.asarray(rows))
    if len(found) == 0:
        raise InputError(f"The selection '{name}' is empty. Leave it out.")
    if found[0] < 0 or found[-1] >= n:
        raise InputError(
            f"The selection '{name}' has row {found[0] if found[0] < 0 else found[-1]}, and the "
            f"pool has {n}."
        )
    return found


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _shares(labels: np.ndarray) -> dict[str, float]:
    names, counts = np.unique(labels, return_counts=True)
    largest = np.lexsort((names, -counts))
    return {str(names[i]): float(counts[i] / len(labels)) for i in largest}


def _overlaps(chosen: list[np.ndarray], n: int) -> tuple[np.ndarray, np.ndarray]:
    s = len(chosen)
    overlap, chance = np.eye(s), np.eye(s)
    for i in range(s):
        for j in range(i):
            small, large = sorted((len(chosen[i]), len(chosen[j])))
            common = len(np.intersect1d(chosen[i], chosen[j], assume_unique=True))
            overlap[i, j] = overlap[j, i] = common / small
            chance[i, j] = chance[j, i] = large / n
    return overlap, chance
