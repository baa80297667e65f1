"""What the weights of soft scores are learned from.

**Loadings**: how strongly each rater's values follow what raters share, by one factor,

    correlation of raters i and j = l[i] · l[j]

With two raters only the product is known: they are taken as equally reliable. With three or more
each has its own loading. Gold rows give each rater's loading directly, and then the sign as well.

**Levels**: what each level of a rater means, a map from its levels to the truth that others teach.

**Moments**: mapped scores, and how they go together.

**Neighbours' means**: at two neighbours, at all of them, and one step further. Being near is
mutual, so an edge counts both ways: an example that is listed by another is its neighbour too. That
widens the reach where it is short and dampens examples that are near to everything.
"""

from dataclasses import dataclass

import numpy as np

from ds2.levels import split_levels
from ds2.measures import Z
from ds2.neighbors import Neighbors, row_blocks
from ds2.noise import factor

__all__ = [
    "MEANS",
    "GoldRows",
    "NeighborMeans",
    "NoEvidence",
    "Witnesses",
    "certainty",
    "correlations",
    "level_map",
    "mapped",
    "nonnegative",
    "pulled",
    "shared_loadings",
    "shrunk",
]

#: Standard deviation that two raters' loadings may differ by, unseen.
EQUAL_SD = 0.15
#: Standard deviation of what raters may share that is not quality, once gold can tell.
SHARED_BIAS_SD = 0.1
LARGEST_LOADING = 0.99
#: How far a level's meaning may lie from a straight line, in standard deviations of the truth.
BEND_SD = 0.3
#: A map may fall where the increasing one is this much worse (chi², 0.1 % for three levels).
FALLS_FROM = 16.0
#: How far the worth of a third of the ratings may lie from the average: its standard deviation.
WORTH_SD = 0.3
#: Raters' correlations are shrunk towards the factor model's as if it had seen this many rows.
FACTOR_ROWS = 100.0

#: The means of each value, in the order of the last axis.
MEANS = ("the two nearest", "all neighbours", "neighbours of neighbours")

#: What speaks of the truth: (t,) values, their weights, and the variance of a bias they may have.
Target = tuple[np.ndarray, np.ndarray | None, float]


class NoEvidence(Exception):  # noqa: N818 (no fault of the caller: a finding, turned into a sentence)
    """The ratings hold nothing that weights could be learned from; the message says why."""


@dataclass(frozen=True, slots=True)
class NeighborMeans:
    """Similarity-weighted means over a graph; exact duplicates are one entry.

    An edge counts both ways without being held both ways: sums over the lists that name an entry
    are taken as those lists are read.

    Attributes:
        near: (e, 2) the two nearest entries of each, and the weights 1 − distance.
        all: (e, k) the same of all neighbours.
        mutual: (e, k) marks of the neighbours that have the entry in their own list.
        rows: (e,) row numbers of the entries.
        entry: (n,) the entry of each row, as a place in ``rows``.
    """

    near: "_Lists"
    all: "_Lists"
    mutual: np.ndarray
    rows: np.ndarray
    entry: np.ndarray

    @classmethod
    def build(cls, neighbors: Neighbors) -> "NeighborMeans":
        """Prepare the sums over a graph, in memory linear in n · k."""
        rows = np.flatnonzero(neighbors.entries())
        entry, columns, distances = rows, neighbors.indices, neighbors.distances
        if neighbors.groups is not None:
            place = np.zeros(neighbors.n, dtype=np.int32)
            place[rows] = np.arange(len(rows), dtype=np.int32)
            entry, columns, distances = (
                place[neighbors.groups],
                place[columns[rows]],
                distances[rows],
            )
        weights = np.clip(1 - distances, 0, None).astype(np.float32, copy=False)
        mutual = np.empty(columns.shape, dtype=bool)
        for some in row_blocks(len(rows)):
            own = np.arange(some.start, some.stop)[:, None, None]
            mutual[some] = (columns[columns[some]] == own).any(axis=2)
        near = _Lists(*(np.ascontiguousarray(of[:, :2]) for of in (columns, weights)))
        return cls(near, _Lists(columns, weights), mutual, rows, entry)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Means of each column over the neighbours that have a value; 0 where none has.

        A row's own value is in none of them.

        Args:
            values: (n, c) floats, NaN where missing. Centre them first: 0 says "nothing known".

        Returns:
            (n, c, 3) float32, in the order of `MEANS`.
        """
        own, weight = self._at_entries(values)
        found = np.empty((*own.shape, len(MEANS)), dtype=np.float32)
        found[..., 0], _ = self.near.mean(own, weight)
        found[..., 1], mass = self.all.mean(own, weight)
        twice, reached = self.all.mean(found[..., 1], (mass > 0).astype(np.float32))
        # of the ways of two steps some come back: their share of the mean is the row's own value
        inverse = np.divide(1, mass, out=np.zeros_like(mass), where=mass > 0)
        back = self.all.squared().sums(inverse, self.mutual)
        share = np.divide(back * weight, reached, out=np.zeros_like(back), where=reached > 0)
        away = 1 - np.minimum(share, 1)
        found[..., 2] = np.divide(
            twice - share * own, away, out=np.zeros_like(twice), where=away > 1e-3
        )
        return found if len(self.rows) == len(values) else found[self.entry]

    def _at_entries(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(e, c) mean value of each entry's rows, 0 where none has one, and a 1 where one has."""
        known = ~np.isnan(values)
        filled = np.where(known, values, 0.0)
        if len(self.rows) == len(values):
            return filled.astype(np.float32), known.astype(np.float32)
        total, count = (
            np.stack(
                [np.bincount(self.entry, column, minlength=len(self.rows)) for column in table.T],
                axis=1,
            )
            for table in (filled, known)
        )
        mean = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
        return mean.astype(np.float32), (count > 0).astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Lists:
    """A weighted graph, as the lists of its entries: (e, k) names and (e, k) float32 weights."""

    columns: np.ndarray
    weights: np.ndarray

    def sums(self, values: np.ndarray, mutual: np.ndarray | None = None) -> np.ndarray:
        """(e, c) Weighted sums of (e, c) values over both the named and the naming.

        Args:
            values: float32.
            mutual: (e, k) marks of those that are both, for weights that are squares: the square
                of w + w is four w², two of which are the sum's already.
        """
        from scipy.sparse import csr_array

        n, k = self.columns.shape
        small = n * k < 2**31  # numbers of half the size do
        starts = np.arange(n + 1, dtype=np.int32 if small else np.int64) * k
        named, shape = self.columns.ravel(), (n, n)
        naming = csr_array((self.weights.ravel(), named, starts), shape=shape).T
        weights = self.weights if mutual is None else self.weights * (1 + 2 * mutual.view(np.int8))
        found = csr_array((weights.ravel(), named, starts), shape=shape) @ values
        found += naming @ values
        return np.asarray(found)

    def mean(self, values: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(e, c) Weighted means of the values whose weight is 1, and the weights they rest on."""
        total = self.sums(values * weight)
        mass = np.broadcast_to(self.sums(weight[:, :1] if weight.all() else weight), total.shape)
        return np.divide(total, mass, out=np.zeros_like(total), where=mass > 0), mass

    def squared(self) -> "_Lists":
        return _Lists(self.columns, self.weights**2)


def correlations(z: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(m, m) correlations over the rows where both are present, and how many those are.

    A pair with too few common rows, or a constant, counts as uncorrelated.

    Args:
        z: (n, m) z-scores, NaN where missing.
        rows: (n,) marks of the rows to use.
    """
    part = z[rows]
    matrix, pairs = factor.correlations(part, np.ones(len(part)))
    return np.nan_to_num(matrix), pairs


def shared_loadings(
    matrix: np.ndarray, pairs: np.ndarray, with_gold: np.ndarray | None, n_gold: float
) -> np.ndarray:
    """(m,) loadings, oriented so that most raters' are positive, or by gold.

    Args:
        matrix: (m, m) correlations.
        pairs: (m, m) rows behind each.
        with_gold: (m,) correlation with gold, or None.
        n_gold: how many gold rows those rest on (effective number).

    Raises:
        NoEvidence: raters that do not agree above chance, without gold.
    """
    m = len(matrix)
    off = np.where(np.eye(m, dtype=bool), 0.0, pairs)
    if m == 1:
        if with_gold is None:
            raise NoEvidence("there is one rater, without gold, repeats or a second rater")
        return np.asarray(np.clip(with_gold, -LARGEST_LOADING, LARGEST_LOADING))
    found, variance = _from_raters(matrix, off)
    signal = np.outer(found, found)
    agreement = (signal * matrix * off).sum() / np.sqrt(max(2 * (signal**2 * off).sum(), 1e-300))
    agree = agreement > Z and not (m == 2 and matrix[0, 1] <= 0)
    if with_gold is None:
        if not agree:
            raise NoEvidence("the raters do not agree with each other above chance")
        return found
    if (found * with_gold).sum() < 0:
        found = -found
    variance = variance + (SHARED_BIAS_SD**2 if agree else 1.0)
    gold_variance = np.maximum((1 - with_gold**2) ** 2, 0.01) / max(n_gold, 1)
    weight = gold_variance / (gold_variance + variance)
    mixed = weight * found + (1 - weight) * with_gold
    return np.asarray(np.clip(mixed, -LARGEST_LOADING, LARGEST_LOADING))


def _from_raters(matrix: np.ndarray, off: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(m,) loadings by least squares, shrunk towards each other, and their variances."""
    m = len(matrix)
    if m == 2:
        return np.full(2, np.sqrt(max(matrix[0, 1], 1e-4))), np.full(2, EQUAL_SD**2)
    found, _ = factor.least_squares_loadings(matrix, off)
    loads = np.clip(np.nan_to_num(found), -LARGEST_LOADING, LARGEST_LOADING)
    variance = 1 / np.maximum(off @ loads**2, 1.0)
    spread = max(0.0, loads.var() - variance.mean())
    kept = spread / (spread + variance)
    return loads.mean() + kept * (loads - loads.mean()), variance


def level_map(
    values: np.ndarray,
    targets: list[Target],
    slope: float,
    n_scores: int,
    *,
    may_fall: bool,
) -> np.ndarray:
    """(s,) the expected truth at each level, in standard deviations of the truth.

    The mean of what others say at each level, shrunk towards a straight line, increasing unless
    the evidence against that is strong (a rater with levels in the wrong order). One other rater's
    word is no such evidence: it might as well be the one in the wrong order.

    Args:
        values: (t,) the rater's values on 0 … s − 1, none missing.
        targets: evidence of the truth: values (t,) in standard deviations, NaN where none;
            weights (t,) or None; variance of a bias that they may have.
        slope: correlation of the rater with the truth: the slope of the straight line.
        n_scores: s.
        may_fall: whether the evidence is more than one other rater's word.

    Raises:
        NoEvidence: one other rater's word has it that the map falls.
    """
    if not len(values):
        return np.zeros(n_scores)
    at = np.arange(n_scores)
    spread = values.std()
    line = slope * (at - values.mean()) / spread if spread > 0 else np.zeros(n_scores)
    precision = np.full(n_scores, 1 / BEND_SD**2)
    total = precision * line
    for target, weights, bias in targets:
        known, weight = _weighted(target, weights)
        if known.sum() < 2:
            continue
        hat, mass = _by_level(values[known], target[known], weight, n_scores)
        variance = max(
            float(np.average((target[known] - hat @ mass[1]) ** 2, weights=weight)), 0.05
        )
        gained = 1 / (variance / np.maximum(mass[0], 1e-9) + bias)
        precision = precision + gained
        total = total + gained * mass[1]
    means = total / precision
    from scipy.optimize import isotonic_regression

    rising = isotonic_regression(means, weights=precision).x
    falls = (precision * (means - rising) ** 2).sum() > FALLS_FROM
    if falls and not may_fall:
        raise NoEvidence("two raters differ on the order of levels, and nobody says who is right")
    return np.asarray(means if falls else rising)


def certainty(z: np.ndarray, third: np.ndarray, targets: list[Target]) -> np.ndarray:
    """(3,) how much a rating counts in each third of the rater's own spread, on average 1.

    The slope of the truth on the mapped score, third by third, shrunk towards the common slope. A
    rating that the rater itself calls less certain never counts more.

    Args:
        z: (t,) mapped scores, none missing.
        third: (t,) 0 for the least spread, to 2.
        targets: as in `level_map`; a bias that they may have does not touch a ratio of slopes.
    """
    power, both = np.zeros(3), np.zeros(3)
    left = 0.0
    for target, weights, _ in targets:
        known, weight = _weighted(target, weights)
        if known.sum() < 2:
            continue
        part, of = z[known], third[known]
        power += np.bincount(of, weight * part**2, minlength=3)
        both += np.bincount(of, weight * part * target[known], minlength=3)
        left = max(left, float(np.average(target[known] ** 2, weights=weight)))
    slope = both.sum() / max(power.sum(), 1e-12)
    if slope <= 0:
        return np.ones(3)
    prior = left / (WORTH_SD * slope) ** 2
    worth = (both + prior * slope) / (power + prior) / slope
    from scipy.optimize import isotonic_regression

    falling = isotonic_regression(worth, weights=power + prior, increasing=False).x
    return np.asarray(np.maximum(falling, 0.0))


def _weighted(target: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """(t,) where there is evidence, and its weights there, summing to the effective number."""
    known = ~np.isnan(target)
    weight = np.ones(known.sum()) if weights is None else weights[known]
    return known, weight * (weight.sum() / max(float((weight**2).sum()), 1e-300))


def _by_level(
    values: np.ndarray, target: np.ndarray, weight: np.ndarray, n_scores: int
) -> tuple[np.ndarray, np.ndarray]:
    """(t, s) each row's share in each level, and (2, s) mass and mean target of the levels."""
    hat = split_levels(values, n_scores).astype(np.float32)
    mass = hat.T @ weight
    mean = np.divide(hat.T @ (weight * target), mass, out=np.zeros(n_scores), where=mass > 0)
    return hat, np.stack([mass, mean])


@dataclass(frozen=True, slots=True)
class Witnesses:
    """Target that a rater itself did not give.

    Attributes:
        extra: (n, x) values of raters that are evidence only (held-out raters, repeats).
        gold: (n,) trusted scores, NaN where unknown.
        weights: (n,) their weights, 0 where unknown.
    """

    extra: np.ndarray
    gold: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True, slots=True)
class GoldRows:
    """The gold of the training rows, in standard deviations; ``rows`` is empty without gold."""

    rows: np.ndarray
    z: np.ndarray
    weights: np.ndarray
    n: float

    @classmethod
    def of(cls, witnesses: Witnesses, train: np.ndarray) -> "GoldRows":
        """Take the gold rows in ``train``; none where they are under 10 or all alike."""
        rows = np.flatnonzero(train & (witnesses.weights > 0))
        weights = witnesses.weights[rows]
        if len(rows) < 10:
            return cls(rows[:0], np.empty(0), np.empty(0), 0.0)
        weights = weights / weights.sum()
        away = witnesses.gold[rows] - weights @ witnesses.gold[rows]
        spread = np.sqrt(weights @ away**2)
        if not spread > 0:
            return cls(rows[:0], np.empty(0), np.empty(0), 0.0)
        return cls(rows, away / spread, weights, float(1 / (weights**2).sum()))

    def correlation(self, features: np.ndarray) -> np.ndarray:
        """(f,) weighted correlations with features (n, f), 0 where missing or constant."""
        part = features[self.rows]
        known = ~np.isnan(part)
        weight = self.weights[:, None] * known
        weight = weight / np.maximum(weight.sum(axis=0), 1e-12)
        away = np.where(known, part, 0.0)
        away = np.where(known, away - (weight * away).sum(axis=0), 0.0)
        gold = self.z[:, None] - (weight * self.z[:, None]).sum(axis=0)
        scale = np.sqrt((weight * away**2).sum(axis=0) * (weight * gold**2).sum(axis=0))
        total = (weight * away * gold).sum(axis=0)
        return np.asarray(np.divide(total, scale, out=np.zeros_like(scale), where=scale > 1e-12))


def mapped(
    values: np.ndarray,
    spread: np.ndarray,
    gold: GoldRows,
    train: np.ndarray,
    n_scores: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(n, m) mapped z-scores, their loadings, correlations and the pairs behind those.

    Where a rater states its own ``spread`` (n, m), ratings count by how much those of their third
    of it are borne out.
    """
    raw = _standardised(values, train)
    matrix, pairs = correlations(raw, train)
    loads = shared_loadings(matrix, pairs, gold.correlation(raw) if gold.n else None, gold.n)
    known = ~np.isnan(raw)
    spoken = np.where(known, raw, 0.0)
    total, mass = spoken @ loads, known @ loads**2
    result = np.full(values.shape, np.nan)
    for i in range(values.shape[1]):
        rows = np.flatnonzero(train & known[:, i])
        others = mass[rows] - loads[i] ** 2
        said = total[rows] - spoken[rows, i] * loads[i]
        target = np.divide(said, others, out=np.full(len(rows), np.nan), where=others > 1e-9)
        evidence: list[Target] = [(target, None, SHARED_BIAS_SD**2 if gold.n else 0.0)]
        if gold.n:
            trusted = np.full(len(values), np.nan)
            trusted[gold.rows] = gold.z
            weights = np.zeros(len(values))
            weights[gold.rows] = gold.weights
            evidence.append((trusted[rows], weights[rows], 0.0))
        shape = level_map(
            values[rows, i], evidence, float(loads[i]), n_scores,
            may_fall=bool(gold.n) or values.shape[1] > 2,
        )  # fmt: skip
        here = known[:, i]
        result[here, i] = np.interp(values[here, i], np.arange(n_scores), shape)
        if not np.isnan(spread[rows, i]).all():
            ends = np.nanquantile(spread[rows, i], [1 / 3, 2 / 3])
            place = np.searchsorted(ends, spread[:, i], side="right")
            third = np.where(np.isnan(spread[:, i]), -1, place)
            stated = third[rows] >= 0
            said_there = [(t[stated], None if w is None else w[stated], b) for t, w, b in evidence]
            centred = result[:, i] - result[rows, i].mean()
            worth = certainty(centred[rows][stated], third[rows][stated], said_there)
            result[:, i] = centred * np.where(third >= 0, worth[third], 1.0)
    z = _standardised(result, train)
    matrix, pairs = correlations(z, train)
    return (
        z,
        shared_loadings(matrix, pairs, gold.correlation(z) if gold.n else None, gold.n),
        matrix,
        pairs,
    )


def pulled(
    z: np.ndarray,
    blend: np.ndarray,
    loads: np.ndarray,
    *,
    means: NeighborMeans,
    gold: GoldRows,
    train: np.ndarray,
    predicted: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, float]:
    """(n, q) the neighbours' features, (q,) their covariance with the truth, and rows behind it.

    What a scorer predicts of each rater's rating, ``predicted`` (n, u), is one more feature.
    """
    near = means(z[:, : len(blend)])
    if predicted is not None:
        near = np.concatenate([near, predicted[:, :, None].astype(np.float32)], axis=2)
    heard = train & ~np.isnan(z).all(axis=1)
    near = near - near[heard].mean(axis=0)
    spread = near[heard].std(axis=0)
    near = np.divide(near, spread, out=np.zeros_like(near), where=spread > 1e-6)
    known = ~np.isnan(z)
    filled = np.where(known, z, 0.0)[train]
    n_features = near.shape[2]
    truth, rows = np.zeros(n_features), 0.0
    for i in np.flatnonzero(blend > 0):
        others = np.delete(np.arange(z.shape[1]), i)
        both = known[train][:, others] & known[train, i][:, None]
        seen = both.sum(axis=0) * loads[others] ** 2
        total = near[train, i].T @ np.where(both, filled[:, others], 0.0) @ loads[others]
        said = total / seen.sum() if seen.sum() > 0 else np.zeros(n_features)
        here = float(seen.sum())
        if gold.n:
            trust = 1 / (1 / max(here, 1e-9) + SHARED_BIAS_SD**2)
            share = gold.n / (gold.n + trust)
            said = share * gold.correlation(near[:, i]) + (1 - share) * said
        truth += blend[i] * said
        rows += blend[i] * (here + gold.n)
    return (near * blend[:, None]).sum(axis=1), truth, rows


def _standardised(values: np.ndarray, train: np.ndarray) -> np.ndarray:
    """(n, m) with mean 0 and variance 1 over the training rows; 0 for a constant column."""
    part = values[train]
    known = ~np.isnan(part)
    count = np.maximum(known.sum(axis=0), 1)
    centre = np.where(known, part, 0.0).sum(axis=0) / count
    away = values - centre
    spread = np.sqrt(np.where(known, away[train] ** 2, 0.0).sum(axis=0) / count)
    return np.asarray(away / np.where(spread > 1e-9, spread, np.inf))


def shrunk(matrix: np.ndarray, pairs: np.ndarray, loads: np.ndarray) -> np.ndarray:
    """Correlations shrunk towards the factor model's, with eigenvalues of at least 0.01."""
    share = FACTOR_ROWS / (FACTOR_ROWS + pairs)
    model = np.outer(loads, loads)
    mixed = (1 - share) * matrix + share * model
    np.fill_diagonal(mixed, 1.0)
    values, vectors = np.linalg.eigh(mixed)
    return np.asarray((vectors * np.maximum(values, 0.01)) @ vectors.T)


def nonnegative(G: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Minimise ½ b'Gb − c'b over b ≥ 0."""
    from scipy.optimize import nnls

    scale = np.sqrt(np.maximum(G.diagonal(), 1e-12))
    unit = G / np.outer(scale, scale) + 1e-9 * np.eye(len(G))
    values, vectors = np.linalg.eigh(unit)
    root = (vectors * np.sqrt(np.maximum(values, 1e-9))).T
    aim = (vectors / np.sqrt(np.maximum(values, 1e-9))).T @ (c / scale)
    return np.asarray(nnls(root, aim)[0] / scale)
