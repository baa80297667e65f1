"""What the weights of soft scores are learned from: mapped scores, and how they go together."""

from dataclasses import dataclass

import numpy as np

from ds2.curation.loadings import SHARED_BIAS_SD, correlations, one_factor
from ds2.curation.means import MEANS, NeighborMeans
from ds2.curation.shape import Evidence, certainty, level_map

__all__ = ["GoldRows", "Witnesses", "mapped", "nonnegative", "pulled", "shrunk"]

#: Raters' correlations are shrunk towards the factor model's as if it had seen this many rows.
FACTOR_ROWS = 100.0


@dataclass(frozen=True, slots=True)
class Witnesses:
    """Evidence that a rater itself did not give.

    Attributes:
        extra: (n, x) values of raters that are evidence only (held-out raters, repeats).
        gold: (n,) trusted scores, NaN where unknown.
        weights: (n,) their weights, 0 where unknown.
    """

    extra: np.ndarray
    gold: np.ndarray
    weights: np.ndarray

    @property
    def n_gold(self) -> int:
        """How many gold rows there are."""
        return int((self.weights > 0).sum())


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
    loads = one_factor(matrix, pairs, gold.correlation(raw) if gold.n else None, gold.n)
    known = ~np.isnan(raw)
    spoken = np.where(known, raw, 0.0)
    total, mass = spoken @ loads, known @ loads**2
    result = np.full(values.shape, np.nan)
    for i in range(values.shape[1]):
        rows = np.flatnonzero(train & known[:, i])
        others = mass[rows] - loads[i] ** 2
        said = total[rows] - spoken[rows, i] * loads[i]
        target = np.divide(said, others, out=np.full(len(rows), np.nan), where=others > 1e-9)
        evidence: list[Evidence] = [(target, None, SHARED_BIAS_SD**2 if gold.n else 0.0)]
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
            third = _thirds(spread[:, i], rows)
            stated = third[rows] >= 0
            said_there = [(t[stated], None if w is None else w[stated], b) for t, w, b in evidence]
            centred = result[:, i] - result[rows, i].mean()
            worth = certainty(centred[rows][stated], third[rows][stated], said_there)
            result[:, i] = centred * np.where(third >= 0, worth[third], 1.0)
    z = _standardised(result, train)
    matrix, pairs = correlations(z, train)
    return (
        z,
        one_factor(matrix, pairs, gold.correlation(z) if gold.n else None, gold.n),
        matrix,
        pairs,
    )


def _thirds(spread: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(n,) the third of a rater's spread that a row is in, by the rows given; −1 where unknown."""
    ends = np.nanquantile(spread[rows], [1 / 3, 2 / 3])
    return np.where(np.isnan(spread), -1, np.searchsorted(ends, spread, side="right"))


def pulled(
    z: np.ndarray,
    blend: np.ndarray,
    loads: np.ndarray,
    *,
    means: NeighborMeans,
    gold: GoldRows,
    train: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, float]:
    """(n, q) the neighbours' features, (q,) their covariance with the truth, and rows behind it."""
    near = means(z[:, : len(blend)])
    near = near - near[train].mean(axis=0)
    spread = near[train].std(axis=0)
    near = np.divide(near, spread, out=np.zeros_like(near), where=spread > 1e-6)
    known = ~np.isnan(z)
    filled = np.where(known, z, 0.0)[train]
    truth, rows = np.zeros(len(MEANS)), 0.0
    for i in np.flatnonzero(blend > 0):
        others = np.delete(np.arange(z.shape[1]), i)
        both = known[train][:, others] & known[train, i][:, None]
        seen = both.sum(axis=0) * loads[others] ** 2
        total = near[train, i].T @ np.where(both, filled[:, others], 0.0) @ loads[others]
        said = total / seen.sum() if seen.sum() > 0 else np.zeros(len(MEANS))
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
