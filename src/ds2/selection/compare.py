"""What several selections of one pool hold, side by side, and whether one beats random.

`against_random` judges by scores that the method did not look at. With s_i = 1 for a selected row,
π_i the chance that a random selection of the same size holds row i, and w_i the weight of its
trusted value v_i (1 where every row has one),

    chosen = Σ w s v / Σ w s,    random = Σ w π v / Σ w π,    difference = chosen − random.

The 95 % interval of the difference is paired: a row that both hold moves both. With the leverage
a_i = w_i s_i / Σ w s − w_i π_i / Σ w π of a row, the difference is Σ a v and its error σ √Σ a². Of
σ² the rows judged say Σ u² / c, from their influences

    u_i = w_i (s_i (v_i − chosen) / Σ w s − π_i (v_i − random) / Σ w π),

c being what Σ u² is on average where σ² = 1. That has about ν = (Σ a²)² / Σ a⁴ − 1 degrees of
freedom (Satterthwaite 1946), too few where few rows are judged, and values that happen to be equal
have no variance at all. The rows that random draws from have the right one, σ₀², and the right
skewness γ₀ if the selection is no better, so

    σ² = λ σ₀² + (1 − λ) Σ u² / c,        λ = ν₀ / (ν₀ + ν),        ν₀ = `LIKE_ROWS`,

with the quantile z of Student's distribution with ν₀ + ν degrees of freedom, and no more than σ₀²
has. Where values lie askew, a mean goes with its own error, and the difference in errors is below
δ − z and above δ + z equally often (Cornish and Fisher 1938; Johnson 1978),

    δ = κ / 6 · (z² − 1 − 3 (1 − λ) z²),        κ = γ₀ Σ a³ / (Σ a²)^(3/2).

So the interval reaches z + δ errors down and z − δ up, |δ| at most `MOST_MOVED`: with these two
constants errors are 2.5 % on either side, or nearly (benchmarks/better_than_random.py). Where
random selections have the selection's number of rows of every source, and every row has a value,
what sources differ by cancels out: u is then taken of the values less the mean of their source.

`against_selection` holds one selection against another in the same way, with the other's s in the
place of π; σ₀² and γ₀ are then those of the rows of both, around the mean of their own selection.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ds2.arrays import Keys, Lengths, Mask, Rows, Values, Vectors
from ds2.checks import (
    check_column,
    check_finite_column,
    check_index,
    check_int,
    check_mask,
    check_rows,
    check_vectors,
    check_weights,
)
from ds2.errors import InputError
from ds2.keys import check_keys, random_order_keys
from ds2.labels import each, encode
from ds2.measures import TINY, Interval, effective_rows, student
from ds2.neighbors import Neighbors
from ds2.neighbors.blocks import unit_block
from ds2.progress import counter
from ds2.selection.methods import long_tail_scores

__all__ = [
    "AgainstRandom",
    "ComparedSelection",
    "Comparison",
    "against_random",
    "against_selection",
    "compare_selections",
]

#: Coverage and redundancy are measured on a random sample of this many rows.
SAMPLE = 5_000
BLOCK = 512
#: Fewer selected rows with a value than this carry no interval.
MIN_ROWS = 8
NOT_KNOWN = (float("nan"), float("nan"))
#: What the rows that random draws from say of the variance counts as so many judged rows.
LIKE_ROWS = 20.0
#: For skewness an interval is moved by so many standard errors at most: more of it is not known.
MOST_MOVED = 0.5


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
    radius, n_sampled = float("nan"), 0
    if vectors is not None and neighbors is not None:
        vectors = check_vectors("vectors", vectors)
        check_rows("vectors", vectors, n)
        radius, n_sampled = float(np.median(neighbors.distances[:, -1])), min(SAMPLE, n)
    extent = None if lengths is None else check_column("lengths", lengths, n, numbers=True)
    labels = None if sources is None else check_column("sources", sources, n)
    columns = {
        name: check_column(name, column, n, numbers=True) for name, column in (values or {}).items()
    }
    if tail is not None:
        check_rows("neighbors", tail, n)
    parts = []
    done = counter(sum(map(len, chosen.values())))
    for name, rows in chosen.items():
        coverage = redundancy = nearest = float("nan")
        if vectors is not None and n_sampled:
            coverage, redundancy, nearest = _breadth(vectors, order, radius, rows)
        done(len(rows))
        parts.append(
            ComparedSelection(
                name=name,
                n=len(rows),
                means={key: _known_mean(column[rows]) for key, column in columns.items()},
                tail=float("nan") if tail is None else float(tail[rows].mean()),
                coverage=coverage,
                redundancy=redundancy,
                nearest=nearest,
                length=float("nan") if extent is None else float(extent[rows].mean()),
                sources={} if labels is None else _shares(labels[rows].astype(str)),
            )
        )
    overlap, chance = _overlaps(list(chosen.values()), n)
    return Comparison(tuple(parts), overlap, chance, radius, n_sampled, n)


def _breadth(
    vectors: np.ndarray, order: np.ndarray, radius: float, rows: np.ndarray
) -> tuple[float, float, float]:
    """Coverage, redundancy and mean distance to the nearest other of some ``rows``.

    Samples are the first of the random ``order`` (n,) of the pool.
    """
    held = unit_block(vectors, rows)
    covered = _nearest(vectors, order[:SAMPLE], held) <= radius
    place = np.full(len(order), -1)
    place[rows] = np.arange(len(rows))
    some = order[place[order] >= 0][:SAMPLE]
    if len(rows) == 1:
        return float(covered.mean()), 0.0, float("nan")
    apart = _nearest(vectors, some, held, place[some])
    return float(covered.mean()), float((apart <= radius).mean()), float(apart.mean())


def _nearest(
    vectors: np.ndarray, queries: np.ndarray, held: np.ndarray, but: np.ndarray | None = None
) -> np.ndarray:
    """(q,) Distance of each query row to the nearest held vector, not counting ``but``."""
    nearest = np.empty(len(queries))
    for start in range(0, len(queries), BLOCK):
        part = slice(start, start + BLOCK)
        similarity = unit_block(vectors, queries[part]) @ held.T
        if but is not None:
            similarity[np.arange(len(similarity)), but[part]] = -np.inf
        nearest[part] = 1.0 - similarity.max(axis=1)
    return np.clip(nearest, 0.0, 2.0)


def _rows(name: str, rows: np.ndarray, n: int) -> np.ndarray:
    found = np.unique(check_index(f"selections[{name!r}]", rows, n))
    if len(found) == 0:
        raise InputError(f"The selection '{name}' is empty. Leave it out.")
    return found


def _known_mean(values: np.ndarray) -> float:
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


@dataclass(frozen=True, slots=True)
class AgainstRandom:
    """A selection's mean value against that of random selections of its size.

    Attributes:
        chosen: mean value of the selected rows that have one.
        random: what a random selection has on average.
        difference: chosen − random.
        low: lower end of its 95 % interval; NaN with fewer than 8 selected rows that have a value.
        high: upper end.
        draws: (t,) mean values of the random selections that were drawn.
        beaten: share of the draws whose mean is below the selection's.
        n: selected rows that have a value.
        n_values: rows of the pool that have one.
        mixed: whether the random selections have the selection's mix of sources.
    """

    chosen: float
    random: float
    difference: float
    low: float
    high: float
    draws: Values
    beaten: float
    n: int
    n_values: int
    mixed: bool

    @property
    def better(self) -> bool | None:
        """Whether the selection is shown to be better (True) or worse (False); None: neither."""
        if np.isnan(self.low):
            return None
        return True if self.low > 0 else False if self.high < 0 else None


def against_random(
    values: Lengths,
    rows: Rows,
    *,
    weights: Values | None = None,
    eligible: Mask | None = None,
    sources: Lengths | None = None,
    n_draws: int = 100,
    seed: int = 0,
) -> AgainstRandom:
    """Compare the mean value of selected rows with that of random selections of the same size.

    The values must not be those that the method maximised, nor made from them: take gold, or a
    rater that was held out.

    Args:
        values: (n,) NaN where unknown.
        rows: (m,) the selected rows.
        weights: (n,) inverse inclusion probabilities of gold; default equal.
        eligible: (n,) the rows that a random selection draws from; default all.
        sources: (n,) labels: the random selections have the selection's number of rows of each.
            Default: they are drawn from all rows.
        n_draws: random selections to draw, 20 or more.
        seed: the same seed gives the same draws.

    Raises:
        InputError: lengths that differ, rows outside the pool, more selected than eligible rows.
    """
    known, w = _weighed(values, weights)
    n = len(known)
    chosen = np.unique(check_index("rows", rows, n))
    n_draws = check_int("n_draws", n_draws, low=20)
    rng = np.random.default_rng(check_int("seed", seed, low=0))
    s = np.zeros(n)
    s[chosen] = 1.0
    drawn_from = np.ones(n, bool) if eligible is None else check_mask("eligible", eligible, n)
    drawn_from = drawn_from | (s > 0)
    strata = _strata(drawn_from, chosen, sources)
    pi = np.zeros(n)
    for members, size in strata:
        pi[members] = size / len(members)
    mean, usual = _mean(known, w * s), _mean(known, w * pi)
    draws = np.empty(n_draws)
    for draw in range(n_draws):
        some = [rng.choice(members, size, replace=False) for members, size in strata]
        at = np.concatenate(some)
        draws[draw] = _mean(known[at], w[at])
    n_chosen = int(((w > 0) & (s > 0)).sum())
    apart = known.copy()
    if sources is not None and (w[drawn_from] == 1).all():
        for members, _ in strata:
            few = np.sqrt(len(members) / max(len(members) - 1, 1))  # what their own mean takes away
            apart[members] = few * (apart[members] - apart[members].mean())
    below, above = _reach(apart, w * s, w * pi, w * pi) if n_chosen >= MIN_ROWS else NOT_KNOWN
    return AgainstRandom(
        chosen=mean,
        random=usual,
        difference=mean - usual,
        low=mean - usual - below,
        high=mean - usual + above,
        draws=draws,
        beaten=float((draws < mean).mean()),
        n=n_chosen,
        n_values=int((w > 0).sum()),
        mixed=sources is not None,
    )


def against_selection(
    values: Lengths,
    rows: Rows,
    others: Rows,
    *,
    weights: Values | None = None,
    n_compared: int = 1,
) -> Interval:
    """The mean value of some rows less that of others, with a paired 95 % interval.

    Args:
        values: (n,) NaN where unknown; neither selection may have maximised them.
        rows: (m,) one selection.
        others: (k,) the other.
        weights: (n,) inverse inclusion probabilities of gold; default equal.
        n_compared: how many such intervals are to hold together (Bonferroni).

    Returns:
        the difference; without ends where either has fewer than 8 rows with a value.

    Raises:
        InputError: lengths that differ, rows outside the pool.
    """
    known, w = _weighed(values, weights)
    held = np.zeros((2, len(known)))
    for one, name, chosen in zip(held, ("rows", "others"), (rows, others), strict=True):
        one[check_index(name, chosen, len(known))] = 1.0
    n_compared = check_int("n_compared", n_compared, low=1)
    found = _mean(known, w * held[0]) - _mean(known, w * held[1])
    if ((w > 0) & (held > 0)).sum(axis=1).min() < MIN_ROWS:
        return Interval(found)
    ws, wp = w * held
    below, above = _reach(known, ws, wp, np.maximum(ws, wp), n_compared)
    return Interval(found, found - below, found + above)


def _weighed(values: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """(n,) Values, 0 where unknown, and their weights, 0 there."""
    v = check_finite_column("values", values, missing=True)
    given = 1.0 if weights is None else check_weights("weights", weights, len(v))
    w = np.where(np.isnan(v), 0.0, given)
    return np.where(w > 0, v, 0.0), w


def _strata(
    drawn_from: np.ndarray, chosen: np.ndarray, sources: np.ndarray | None
) -> list[tuple[np.ndarray, int]]:
    """Rows to draw from and how many of them, one pair a source (or one for all)."""
    if sources is None:
        return [(np.flatnonzero(drawn_from), len(chosen))]
    labels = check_column("sources", sources, len(drawn_from))
    codes, names = encode(str(one) for one in each(labels))
    labels = np.argsort(np.argsort(np.array(names)))[codes]
    wanted = np.bincount(labels[chosen], minlength=int(labels.max()) + 1)
    return [
        (np.flatnonzero(drawn_from & (labels == label)), int(size))
        for label, size in enumerate(wanted)
        if size
    ]


def _mean(v: np.ndarray, w: np.ndarray) -> float:
    total = float(w.sum())
    return float((w * v).sum() / total) if total > 0 else float("nan")


def _reach(
    v: np.ndarray, ws: np.ndarray, wp: np.ndarray, like: np.ndarray, n_compared: int = 1
) -> tuple[float, float]:
    """How far the 95 % interval of one mean of v less another, weights ws and wp, reaches down, up.

    ``like`` are the weights of the rows whose variance, around the mean of their side, is right if
    nothing differs.
    """
    b, c, shares = ws / ws.sum(), wp / wp.sum(), like / like.sum()
    a = b - c
    lean = float(a @ a)
    if lean == 0:  # the same rows
        return 0.0, 0.0
    u = b * (v - b @ v) - c * (v - c @ v)
    usual = lean + (b @ b) ** 2 + (c @ c) ** 2 + 2 * (a @ (c * c - b * b) - (b @ c) ** 2)
    freedom = max(lean**2 / float((a**4).sum()) - 1, 0.0)
    own = float(u @ u) / max(float(usual), TINY * lean)
    off = v - (ws * (b @ v) + wp * (c @ v)) / np.maximum(ws + wp, TINY)
    spread, rows = float(shares @ off**2), effective_rows(like)
    trust = LIKE_ROWS / (LIKE_ROWS + freedom)
    variance = trust * spread * rows / max(rows - 2, 1.0) + (1 - trust) * own
    z = student(min(LIKE_ROWS + freedom + 2, rows), n_compared)
    skew = float(shares @ off**3) / max(spread, TINY) ** 1.5 * float((a**3).sum()) / lean**1.5
    moved = float(np.clip(skew / 6 * (z**2 - 1 - 3 * (1 - trust) * z**2), -MOST_MOVED, MOST_MOVED))
    error = float(np.sqrt(lean * variance)) + TINY * float(np.abs(v).max())  # what rounding leaves
    return (z + moved) * error, (z - moved) * error
