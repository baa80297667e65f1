"""Real-valued scores: the raters together, pulled towards what neighbours say.

Per rater a map of levels z = phi(s), then

    y ≈ b · Σ_i w[i] z[i]  +  Σ_q g[q] · P[q],        P[q] = Σ_i v[i] · (neighbours' mean of z[i])

y the truth in standard deviations, q the three means of `NeighborMeans`. Nothing of this needs y:
whatever rater i says, and its neighbours' ratings by i, goes with another rater j only through y,

    Cov(f_i, z_j) = l[j] · Cov(f_i, y)        for features f_i of rater i and j ≠ i,

l the loadings of `one_factor`; gold gives Cov(f, y) itself. That is regressing rater j on rater i
and its neighbours, solved for all raters at once, so the pull is right for as many raters as there
are: the more raters, the less of it. The assumption is that raters' errors are independent given
the truth; a bias that raters share counts as truth, and only gold can tell.

Weights are not negative. Those of the neighbours are shrunk by a ridge and by a positive-part
James–Stein factor: where neighbours carry nothing, the raters alone remain.
"""

from dataclasses import dataclass, replace

import numpy as np

from ds2.curation.loadings import SHARED_BIAS_SD, correlations, one_factor
from ds2.curation.means import MEANS, NeighborMeans
from ds2.curation.shape import level_map

__all__ = ["SoftScores", "Witnesses", "soft_scores"]

#: Prior standard deviation of a neighbour weight, and residual variance, behind the ridge.
WEIGHT_SD, RESIDUAL = 0.3, 0.7
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
class SoftScores:
    """Cross-fitted predictions of the truth.

    Attributes:
        values: (n,) in standard deviations of the truth; NaN without any rating.
        se: (n,) standard error, likewise.
        neighbor_share: how much of the prediction's variance the neighbours add, mean over folds.
        loadings: (u,) mean over folds.
    """

    values: np.ndarray
    se: np.ndarray
    neighbor_share: float
    loadings: np.ndarray


def soft_scores(
    values: np.ndarray,
    witnesses: Witnesses,
    means: NeighborMeans,
    folds: np.ndarray,
    n_scores: int,
) -> SoftScores:
    """Predict the truth of every row from weights learned on the other folds.

    Args:
        values: (n, u) the raters to combine, on 0 … s − 1, NaN where missing.
        witnesses: what else is known.
        means: the neighbours.
        folds: (n,) whole neighbourhoods share a fold.
        n_scores: s.

    Raises:
        NoEvidence: where no rater has a witness, or raters do not agree.
    """
    result = np.full(len(values), np.nan)
    se = np.full(len(values), np.nan)
    shares, loads = [], []
    for fold in range(folds.max() + 1):
        held = folds == fold
        part = _Fit.learn(values, witnesses, means, ~held, n_scores)
        result[held], se[held] = part.predict(held)
        shares.append(part.neighbor_share)
        loads.append(part.loadings)
    return SoftScores(result, se, float(np.mean(shares)), np.mean(loads, axis=0))


@dataclass(frozen=True, slots=True)
class _Fit:
    """Moments of one fold's training rows, and the features of all rows."""

    z: np.ndarray
    pull: np.ndarray
    loadings: np.ndarray
    matrix: np.ndarray
    with_pull: np.ndarray
    pull_matrix: np.ndarray
    pull_truth: np.ndarray
    ridge: float
    kept: float
    neighbor_share: float

    @classmethod
    def learn(
        cls,
        values: np.ndarray,
        witnesses: Witnesses,
        means: NeighborMeans,
        train: np.ndarray,
        n_scores: int,
    ) -> "_Fit":
        u = values.shape[1]
        everyone = np.concatenate([values, witnesses.extra], axis=1)
        gold = _Gold.of(witnesses, train)
        z, loads, matrix, pairs = _mapped(everyone, gold, train, n_scores)
        own = _shrunk(matrix, pairs, loads)[:u, :u]
        weights = _nonnegative(own, loads[:u])
        blend = weights / weights.sum() if weights.sum() > 0 else np.full(u, 1 / u)
        pull, truth, rows = _pull(z, blend, loads, means=means, gold=gold, train=train)
        part = pull[train]
        known = ~np.isnan(z[train, :u])
        filled = np.where(known, z[train, :u], 0.0)
        with_pull = (filled.T @ part) / np.maximum(known.sum(axis=0), 1)[:, None]
        draft = cls(
            z=z[:, :u],
            pull=pull,
            loadings=loads[:u],
            matrix=own,
            with_pull=with_pull,
            pull_matrix=(part.T @ part) / max(len(part), 1),
            pull_truth=truth,
            ridge=RESIDUAL / (max(rows, 1.0) * WEIGHT_SD**2) + 1e-3,
            kept=1.0,
            neighbor_share=0.0,
        )
        return draft.shrunk(rows)

    def shrunk(self, rows: float) -> "_Fit":
        """The same with the neighbours' part shrunk by how sure it is that it adds anything."""
        everyone = np.arange(len(self.loadings))
        _, _, alone, full = self.solve(everyone)
        gain = max(full - alone, 0.0)
        chi = rows * gain / max(1 - full, 0.02)
        kept = max(0.0, 1 - len(MEANS) / chi) if chi > 0 else 0.0
        return replace(self, kept=kept, neighbor_share=kept * gain)

    def solve(self, present: np.ndarray) -> tuple[np.ndarray, np.ndarray, float, float]:
        """For rows rated by ``present``: raters' weights, neighbours', R² without and with them."""
        inner = np.ix_(present, present)
        w = _nonnegative(self.matrix[inner], self.loadings[present])
        q = len(self.pull_truth)
        G = np.zeros((1 + q, 1 + q))
        G[0, 0] = w @ self.matrix[inner] @ w
        G[0, 1:] = G[1:, 0] = w @ self.with_pull[present]
        G[1:, 1:] = self.pull_matrix
        c = np.concatenate([[w @ self.loadings[present]], self.pull_truth])
        alone = c[0] / G[0, 0] if G[0, 0] > 1e-12 else 0.0
        ridged = G + self.ridge * np.diag(np.concatenate([[0.0], G.diagonal()[1:]]))
        full = _nonnegative(ridged, c)
        beta = self.kept * full
        beta[0] += (1 - self.kept) * alone
        return (
            beta[0] * w,
            beta[1:],
            float(np.clip(2 * c[0] * alone - alone**2 * G[0, 0], 0, 1)),
            float(np.clip(2 * c @ beta - beta @ G @ beta, 0, 1)),
        )

    def predict(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values and standard errors of the rows marked, one set of weights for each pattern."""
        z, pull = self.z[rows], self.pull[rows]
        known = ~np.isnan(z)
        values, se = np.full(len(z), np.nan), np.full(len(z), np.nan)
        patterns, which = np.unique(known, axis=0, return_inverse=True)
        for place, pattern in enumerate(patterns):
            present = np.flatnonzero(pattern)
            if len(present) == 0:
                continue
            at = which.reshape(-1) == place
            w, g, _, explained = self.solve(present)
            values[at] = z[at][:, present] @ w + pull[at] @ g
            se[at] = np.sqrt(max(1 - explained, 0.02))
        return values, se


@dataclass(frozen=True, slots=True)
class _Gold:
    """The gold of the training rows, in standard deviations; ``rows`` is empty without gold."""

    rows: np.ndarray
    z: np.ndarray
    weights: np.ndarray
    n: float

    @classmethod
    def of(cls, witnesses: Witnesses, train: np.ndarray) -> "_Gold":
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


def _mapped(
    values: np.ndarray, gold: _Gold, train: np.ndarray, n_scores: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(n, m) mapped z-scores, their loadings, correlations and the pairs behind those."""
    raw = _standardised(values, train)
    matrix, pairs = correlations(raw, train)
    loads = one_factor(matrix, pairs, gold.correlation(raw) if gold.n else None, gold.n)
    known = ~np.isnan(raw)
    spoken = np.where(known, raw, 0.0)
    total, mass = spoken @ loads, known @ loads**2
    mapped = np.full(values.shape, np.nan)
    for i in range(values.shape[1]):
        rows = np.flatnonzero(train & known[:, i])
        others = mass[rows] - loads[i] ** 2
        said = total[rows] - spoken[rows, i] * loads[i]
        target = np.divide(said, others, out=np.full(len(rows), np.nan), where=others > 1e-9)
        evidence: list[tuple[np.ndarray, np.ndarray | None, float]] = [
            (target, None, SHARED_BIAS_SD**2 if gold.n else 0.0)
        ]
        if gold.n:
            trusted = np.full(len(values), np.nan)
            trusted[gold.rows] = gold.z
            weights = np.zeros(len(values))
            weights[gold.rows] = gold.weights
            evidence.append((trusted[rows], weights[rows], 0.0))
        shape = level_map(values[rows, i], evidence, float(loads[i]), n_scores)
        here = known[:, i]
        mapped[here, i] = np.interp(values[here, i], np.arange(n_scores), shape)
    z = _standardised(mapped, train)
    matrix, pairs = correlations(z, train)
    return (
        z,
        one_factor(matrix, pairs, gold.correlation(z) if gold.n else None, gold.n),
        matrix,
        pairs,
    )


def _pull(
    z: np.ndarray,
    blend: np.ndarray,
    loads: np.ndarray,
    *,
    means: NeighborMeans,
    gold: _Gold,
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


def _shrunk(matrix: np.ndarray, pairs: np.ndarray, loads: np.ndarray) -> np.ndarray:
    """Correlations shrunk towards the factor model's, with eigenvalues of at least 0.01."""
    share = FACTOR_ROWS / (FACTOR_ROWS + pairs)
    model = np.outer(loads, loads)
    mixed = (1 - share) * matrix + share * model
    np.fill_diagonal(mixed, 1.0)
    values, vectors = np.linalg.eigh(mixed)
    return np.asarray((vectors * np.maximum(values, 0.01)) @ vectors.T)


def _nonnegative(G: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Minimise ½ b'Gb − c'b over b ≥ 0."""
    from scipy.optimize import nnls

    scale = np.sqrt(np.maximum(G.diagonal(), 1e-12))
    unit = G / np.outer(scale, scale) + 1e-9 * np.eye(len(G))
    values, vectors = np.linalg.eigh(unit)
    root = (vectors * np.sqrt(np.maximum(values, 1e-9))).T
    aim = (vectors / np.sqrt(np.maximum(values, 1e-9))).T @ (c / scale)
    return np.asarray(nnls(root, aim)[0] / scale)
