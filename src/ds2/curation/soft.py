"""Real-valued scores: the raters together, pulled towards what neighbours say.

Per rater a map of levels z = phi(s), times what a rating of its own spread is worth, then

    y ≈ b · Σ_i w[i] z[i]  +  Σ_q g[q] · P[q],        P[q] = Σ_i v[i] · (neighbours' mean of z[i])

y the truth in standard deviations, q the three means of `NeighborMeans`. Nothing of this needs y:
whatever rater i says, and its neighbours' ratings by i, goes with another rater j only through y,

    Cov(f_i, z_j) = l[j] · Cov(f_i, y)        for features f_i of rater i and j ≠ i,

l the shared loadings; gold gives Cov(f, y) itself. That is regressing rater j on rater i and its
neighbours, solved for all raters at once, so the pull is right for as many raters as there are: the
more raters, the less of it. The assumption is that raters' errors are independent given
the truth; a bias that raters share counts as truth, and only gold can tell.

Weights are not negative. Those of the neighbours are shrunk by a ridge and by a positive-part
James–Stein factor: where neighbours carry nothing, the raters alone remain.
"""

from dataclasses import dataclass, replace

import numpy as np

from ds2.curation.means import NeighborMeans
from ds2.curation.moments import GoldRows, Witnesses, mapped, nonnegative, pulled, shrunk

__all__ = ["SoftScores", "Witnesses", "scores_unseen", "soft_scores"]

#: Prior standard deviation of a neighbour weight, and residual variance, behind the ridge.
WEIGHT_SD, RESIDUAL = 0.3, 0.7


@dataclass(frozen=True, slots=True)
class SoftScores:
    """Cross-fitted predictions of the truth.

    Attributes:
        values: (n,) in standard deviations of the truth; NaN without any rating, unless a scorer
            predicts one.
        se: (n,) standard error, likewise.
        unseen: (n,) what would be said of a row if its own ratings were not there.
    """

    values: np.ndarray
    se: np.ndarray
    unseen: np.ndarray


def soft_scores(
    values: np.ndarray,
    witnesses: Witnesses,
    means: NeighborMeans,
    folds: np.ndarray,
    n_scores: int,
    *,
    spread: np.ndarray | None = None,
    predicted: np.ndarray | None = None,
) -> SoftScores:
    """Predict the truth of every row from weights learned on the other folds.

    What a scorer predicts enters as the neighbours' means do: one more thing that goes with the
    truth and is not the row's own rating.

    Args:
        values: (n, u) the raters to combine, on 0 … s − 1, NaN where missing.
        witnesses: what else is known.
        means: the neighbours.
        folds: (n,) whole neighbourhoods share a fold.
        n_scores: s.
        spread: (n, u) how uncertain the raters call their ratings, NaN where they do not.
        predicted: (n, u) each rater's rating as a scorer predicts it, that has not seen it; rows
            without any rating are scored too then.

    Raises:
        NoEvidence: where no rater has a witness, or raters do not agree.
    """
    stated = np.full(values.shape, np.nan) if spread is None else spread
    result = np.full(len(values), np.nan)
    se, unseen = result.copy(), result.copy()
    for fold in range(folds.max() + 1):
        held = folds == fold
        part = _Fit.learn(
            values, stated, witnesses, means, predicted, train=~held, n_scores=n_scores
        )
        result[held], se[held], unseen[held] = part.predict(held, unrated=predicted is not None)
    return SoftScores(result, se, unseen)


def scores_unseen(
    rating: np.ndarray, means: NeighborMeans, folds: np.ndarray, predicted: np.ndarray
) -> SoftScores:
    """Predict the rating of every row from the neighbours' and a scorer's word, never its own.

    For a pool of which a part was rated and nothing tells the rater's errors from its judgement:
    then the ratings themselves are the target, and rated rows are treated as the others.

    Args:
        rating: (n,) z-scores of the ratings, NaN where there is none.
        means: the neighbours.
        folds: (n,) whole neighbourhoods share a fold.
        predicted: (n,) the rating as a scorer predicts it that has not seen it.
    """
    near = np.column_stack([means(rating[:, None])[:, 0], predicted])
    result = np.full(len(rating), np.nan)
    se = result.copy()
    for fold in range(folds.max() + 1):
        held = folds == fold
        train = ~held & ~np.isnan(rating)
        centre, spread = near[train].mean(axis=0), near[train].std(axis=0)
        unit = np.divide(near - centre, spread, out=np.zeros_like(near), where=spread > 1e-6)
        G = unit[train].T @ unit[train] / train.sum()
        c = unit[train].T @ (rating[train] - rating[train].mean()) / train.sum()
        ridge = RESIDUAL / (train.sum() * WEIGHT_SD**2) + 1e-3
        g = nonnegative(G + ridge * np.diag(G.diagonal()), c)
        result[held] = unit[held] @ g
        se[held] = np.sqrt(max(1 - (2 * c @ g - g @ G @ g), 0.02))
    return SoftScores(result, se, result)


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

    @classmethod
    def learn(
        cls,
        values: np.ndarray,
        spread: np.ndarray,
        witnesses: Witnesses,
        means: NeighborMeans,
        predicted: np.ndarray | None,
        *,
        train: np.ndarray,
        n_scores: int,
    ) -> "_Fit":
        u = values.shape[1]
        everyone = np.concatenate([values, witnesses.extra], axis=1)
        stated = np.concatenate([spread, np.full(witnesses.extra.shape, np.nan)], axis=1)
        gold = GoldRows.of(witnesses, train)
        z, loads, matrix, pairs = mapped(everyone, stated, gold, train, n_scores)
        own = shrunk(matrix, pairs, loads)[:u, :u]
        weights = nonnegative(own, loads[:u])
        blend = weights / weights.sum() if weights.sum() > 0 else np.full(u, 1 / u)
        pull, truth, rows = pulled(
            z, blend, loads, means=means, gold=gold, train=train, predicted=predicted
        )
        heard = train & ~np.isnan(z[:, :u]).all(axis=1)
        part = pull[heard]
        known = ~np.isnan(z[heard, :u])
        filled = np.where(known, z[heard, :u], 0.0)
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
        )
        return draft.doubted(rows)

    def doubted(self, rows: float) -> "_Fit":
        """The same with the neighbours' part shrunk by how sure it is that it adds anything."""
        everyone = np.arange(len(self.loadings))
        _, _, alone, full = self.solve(everyone)
        gain = max(full - alone, 0.0)
        chi = rows * gain / max(1 - full, 0.02)
        kept = max(0.0, 1 - len(self.pull_truth) / chi) if chi > 0 else 0.0
        return replace(self, kept=kept)

    def solve(self, present: np.ndarray) -> tuple[np.ndarray, np.ndarray, float, float]:
        """For rows rated by ``present``: raters' weights, neighbours', R² without and with them."""
        inner = np.ix_(present, present)
        w = nonnegative(self.matrix[inner], self.loadings[present]) if len(present) else np.empty(0)
        kept = self.kept if len(present) else 1.0  # then there is nothing else
        q = len(self.pull_truth)
        G = np.zeros((1 + q, 1 + q))
        G[0, 0] = w @ self.matrix[inner] @ w
        G[0, 1:] = G[1:, 0] = w @ self.with_pull[present]
        G[1:, 1:] = self.pull_matrix
        c = np.concatenate([[w @ self.loadings[present]], self.pull_truth])
        alone = c[0] / G[0, 0] if G[0, 0] > 1e-12 else 0.0
        ridged = G + self.ridge * np.diag(np.concatenate([[0.0], G.diagonal()[1:]]))
        full = nonnegative(ridged, c)
        beta = kept * full
        beta[0] += (1 - kept) * alone
        return (
            beta[0] * w,
            beta[1:],
            float(np.clip(2 * c[0] * alone - alone**2 * G[0, 0], 0, 1)),
            float(np.clip(2 * c @ beta - beta @ G @ beta, 0, 1)),
        )

    def predict(
        self, rows: np.ndarray, *, unrated: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Values and standard errors of the rows marked, one set of weights for each pattern.

        And the values without their own ratings, which rows without any get where ``unrated``.
        """
        z, pull = self.z[rows], self.pull[rows]
        known = ~np.isnan(z)
        values, se = np.full(len(z), np.nan), np.full(len(z), np.nan)
        unseen = pull @ self.solve(np.empty(0, dtype=np.int64))[1]
        patterns, which = np.unique(known, axis=0, return_inverse=True)
        for place, pattern in enumerate(patterns):
            present = np.flatnonzero(pattern)
            if len(present) == 0 and not unrated:
                continue
            at = which.reshape(-1) == place
            w, g, _, explained = self.solve(present)
            values[at] = z[at][:, present] @ w + pull[at] @ g
            se[at] = np.sqrt(max(1 - explained, 0.02))
        return values, se, unseen
