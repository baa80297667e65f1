"""The candidates of curation: one function each, from the same case to values for every row.

The posterior of the true score ("fused"), from the raters together, with or without neighbours:

    P(true = i | row) ∝ q[i] Π_m T_m[i, a_m],        q = (1 − rho) p + rho · m

T and p as `ds2.fit_raters` finds them; as a score, a class counts what raters say in it
(`ds2.noise.order`), so the posterior's value is Σ_i P(i) v[i]. m is the mean of the neighbours'
posteriors, and rho how far it can be trusted: the value that predicts each rater's scores best from
the other raters'. rho = 0 is the posterior of the raters alone.

Soft scores, real-valued: the raters together, pulled towards what neighbours say.

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

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from ds2.curation.learners import Inputs
from ds2.curation.moments import (
    GoldRows,
    NeighborMeans,
    NoEvidence,
    Witnesses,
    mapped,
    nonnegative,
    pulled,
    shrunk,
)
from ds2.curation.scorer import LEAST, cross_fit
from ds2.neighbors import Neighbors, row_blocks
from ds2.noise.em import TINY
from ds2.noise.model import Patterns, looks, shares
from ds2.noise.order import class_values
from ds2.noise.panel import Panel, mean_z
from ds2.noise.several import solve_raters

__all__ = [
    "CANDIDATES",
    "Candidate",
    "Case",
    "Posterior",
    "Team",
    "Witnesses",
    "fused_posterior",
    "predictions",
    "scored_alone",
    "scores_unseen",
    "soft_scores",
]

#: Prior standard deviation of a neighbour weight, and residual variance, behind the ridge.
WEIGHT_SD, RESIDUAL = 0.3, 0.7
#: The rho that are tried.
GRID = np.array([0.0, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97])
#: Which means of `NeighborMeans` may stand for the neighbours: all of them, or one step further.
REACH = (1, 2)


@dataclass(frozen=True, slots=True)
class Posterior:
    """P(true score) of each row.

    Attributes:
        shares: (n, s) NaN in rows without any rating.
        values: (s,) what raters say in each class, in standard deviations.
        rho: how far neighbours were trusted.
    """

    shares: np.ndarray
    values: np.ndarray
    rho: float

    @property
    def expected(self) -> np.ndarray:
        """(n,) posterior means of the classes' values."""
        return np.asarray(self.shares @ self.values)

    @property
    def se(self) -> np.ndarray:
        """(n,) posterior standard deviations, in levels."""
        levels = np.arange(self.shares.shape[1])
        mean = self.shares @ levels
        return np.asarray(np.sqrt(np.maximum(self.shares @ levels**2 - mean**2, 0)))

    @property
    def mode(self) -> np.ndarray:
        """(n,) most probable scores; NaN in rows without any rating."""
        known = ~np.isnan(self.shares[:, 0])
        best = np.where(known[:, None], self.shares, 0.0).argmax(axis=1).astype(np.float64)
        return np.where(known, best, np.nan)


def fused_posterior(
    scores: np.ndarray,
    n_scores: int,
    means: NeighborMeans,
    *,
    gold: np.ndarray | None = None,
    learns: np.ndarray | None = None,
    seed: int = 0,
) -> tuple[Posterior, Posterior]:
    """The posteriors of two raters or more: without the neighbours, and with them.

    Args:
        scores: (n, m) whole numbers 0 … s − 1, NaN where missing; two columns or more.
        n_scores: s.
        means: the neighbours.
        gold: (n,) trusted scores that enter T as known rows, or None.
        learns: (n,) marks of the rows that T, p and rho are learned from; None: all.
        seed: of the fit's starts.
    """
    some = slice(None) if learns is None else np.flatnonzero(learns)
    T, p = solve_raters(
        scores[some], n_scores, gold=None if gold is None else gold[some], seed=seed
    )
    patterns = Patterns.build(scores, None, n_scores)
    of_row, values = patterns.of_row, class_values(T, p)
    likely = looks(patterns.one_hot(n_scores), T)[0]
    own = np.where(patterns.rated[:, None], shares(likely, p), np.nan)
    alone = Posterior(own[of_row], values, 0.0)
    rho, reach = _trust(patterns, T, p, means, learns)
    if rho == 0:
        return alone, alone
    near = means(own.astype(np.float32)[of_row])[:, :, reach]
    found = np.empty_like(alone.shares)
    for rows in row_blocks(len(of_row)):
        prior = (1 - rho) * p + rho * _normal(near[rows], p)
        found[rows] = shares(likely[of_row[rows]], prior)
    found[np.isnan(alone.shares)] = np.nan
    return alone, Posterior(found, values, rho)


def _normal(near: np.ndarray, p: np.ndarray) -> np.ndarray:
    """(n, s) shares that neighbours' posteriors (n, s) are on average; p where none is rated."""
    total = near.sum(axis=1, keepdims=True, dtype=np.float64)
    return np.where(total > 0, near / np.maximum(total, TINY), p)


def _trust(
    patterns: Patterns,
    T: np.ndarray,
    p: np.ndarray,
    means: NeighborMeans,
    learns: np.ndarray | None,
) -> tuple[float, int]:
    """The rho and the reach under which each rater's scores are likeliest, given the others'."""
    gain, s = np.zeros((len(GRID), len(REACH))), len(p)
    hot = patterns.one_hot(s)
    for m in range(len(T)):
        others = hot.copy()
        others[:, m * s : (m + 1) * s] = 0.0
        likely, heard = looks(others, T)[0], np.asarray(others.any(axis=1))
        theirs = np.where(heard[:, None], shares(likely, p), np.nan).astype(np.float32)
        near = means(theirs[patterns.of_row])
        own = likely * (hot[:, m * s : (m + 1) * s] @ T[m].T)
        judged = (heard & (patterns.scores[:, m] >= 0))[patterns.of_row]
        rows = np.flatnonzero(judged if learns is None else judged & learns)
        for block in row_blocks(len(rows)):
            each = [likelihood[patterns.of_row[rows[block]]] for likelihood in (own, likely)]
            for place, reach in enumerate(REACH):
                by_near = _normal(near[rows[block], :, reach], p)
                alone, nearby = ([(one * q).sum(axis=1) for one in each] for q in (p, by_near))
                for step, rho in enumerate(GRID):
                    predicted, total = (
                        np.maximum((1 - rho) * one + rho * other, TINY)
                        for one, other in zip(alone, nearby, strict=True)
                    )
                    gain[step, place] += np.log(predicted / total).sum()
    best = divmod(int(gain.argmax()), len(REACH))
    return float(GRID[best[0]]), REACH[best[1]]


@dataclass(frozen=True, slots=True)
class Candidate:
    """Values of a candidate.

    Attributes:
        values: (n,) higher is better, on any scale; NaN without any rating in use.
        se: (n,) in standard deviations of the truth, or None.
        posterior: the posterior it comes from, or None.
        unseen: (n,) the values as they would be without the row's own ratings, or None.
    """

    values: np.ndarray
    se: np.ndarray | None = None
    posterior: Posterior | None = None
    unseen: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that a candidate may look at.

    Attributes:
        scores: (n, r) whole numbers, NaN where missing.
        values: (n, r) the same, expected values in their place where there are any.
        spread: (n, r) how uncertain a rater calls its own rating, NaN where it does not.
        repeats: (n, r) second scores of the same rater, NaN where none.
        gold: (n,) trusted scores, NaN where unknown.
        gold_weights: (n,) 0 where there is no gold.
        n_scores: s.
        neighbors: the graph.
        means: prepares its means, the first time that they are asked for.
        folds: (n,) for cross-fitting; whole neighbourhoods.
        blocks: (n,) for intervals; whole neighbourhoods.
        panel: what the raters are to each other.
        names: (r,) what sentences call them.
        voted: (n, r) scores after method "ds2" on each rater.
        fixed: makes (n, c) columns of covariates, without which a gain must be seen as well; c may
            be 0.
        seed: for the fits' starts.
        inputs: what a scorer learns from, or None.
        order: (n,) the smallest are learned from first.
        learns: (n,) marks of the rows that anything is learned from; None: all of them.
        fitted: posteriors that two candidates share, once they are there.
    """

    scores: np.ndarray
    values: np.ndarray
    spread: np.ndarray
    repeats: np.ndarray
    gold: np.ndarray
    gold_weights: np.ndarray
    n_scores: int
    neighbors: Neighbors
    means: Callable[[], NeighborMeans]
    folds: np.ndarray
    blocks: np.ndarray
    panel: Panel
    names: tuple[str, ...]
    voted: np.ndarray
    fixed: Callable[[], np.ndarray]
    seed: int
    inputs: Inputs | None = None
    order: np.ndarray | None = None
    learns: np.ndarray | None = None
    fitted: dict[tuple[int, ...], tuple[Posterior, Posterior]] = field(default_factory=dict)

    @property
    def n_raters(self) -> int:
        """How many raters there are."""
        return int(self.scores.shape[1])

    @property
    def has_gold(self) -> bool:
        """Whether any row has gold."""
        return bool((self.gold_weights > 0).any())

    @property
    def everyone(self) -> "Team":
        """All raters but those who run against the others."""
        rest = np.setdiff1d(np.arange(self.n_raters), self.panel.contrary)
        heard = np.array(self.panel.heard, dtype=int)
        return Team(rest, heard if len(heard) else rest)

    def without(self, judge: int) -> "Team":
        """The same without one rater, and without those who are the same rater."""
        whole = self.everyone
        rest = np.setdiff1d(whole.mean, self.panel.group_of(judge))
        heard = whole.heard[whole.heard != judge]
        return Team(rest, heard, judge if len(heard) == 1 else None)


@dataclass(frozen=True, slots=True)
class Team:
    """The raters that a candidate is made from.

    Attributes:
        mean: (a,) those whose mean is "raw".
        heard: (b,) those that weights are learned for: one of each that are the same.
        witness: where one is heard and another judges: who tells what its levels mean, on the folds
            that it does not judge. None otherwise.
    """

    mean: np.ndarray
    heard: np.ndarray
    witness: int | None = None


def scored_alone(case: Case) -> Candidate:
    """What a scorer and the neighbours say of the mean of the ratings, where nothing judges it."""
    team = case.everyone
    rating = mean_z(case.values[:, team.mean])
    predicted = predictions(case, team.mean).mean(axis=1)
    return scores_unseen(rating, case.means(), case.folds, predicted, learns=case.learns)


def predictions(case: Case, raters: np.ndarray) -> np.ndarray:
    """(n, a) the z-scores of raters' ratings as a scorer predicts them, each fitted once."""
    if case.inputs is None:
        raise NoEvidence("there are no vectors to learn from (vectors=ds2.embed(pool))")
    return np.stack([_predicted(case, case.inputs, int(m)) for m in raters], axis=1)


def _predicted(case: Case, inputs: Inputs, rater: int) -> np.ndarray:
    """(n,) of one rater, learned once: where another is left out, this one is not new."""
    column = mean_z(case.values[:, [rater]])
    known = ~np.isnan(column)
    if known.sum() < LEAST or np.ptp(column[known]) == 0:
        raise NoEvidence(f"a scorer learns from {LEAST} ratings or more that are not all equal")
    if np.ptp(case.folds[known]) == 0:
        raise NoEvidence("all rated rows are in one neighbourhood")
    assert case.order is not None, "comes with the inputs"
    some = np.empty(0) if case.learns is None else case.learns
    decides = (column, case.folds, case.order, np.array(case.seed), some)
    key = b"".join(hashlib.sha256(one.tobytes()).digest() for one in decides)
    if key not in inputs.memo:
        found = cross_fit(
            column, inputs, case.folds, case.order, learns=case.learns, seed=case.seed
        )
        inputs.memo[key] = found.values
    return inputs.memo[key]


def _soft(case: Case, team: Team, predicted: np.ndarray | None) -> Candidate:
    extra = np.empty((len(case.values), 0))
    if team.witness is not None:
        extra = case.values[:, [team.witness]]
    elif case.n_raters == 1 and not case.has_gold and not np.isnan(case.repeats).all():
        extra = case.repeats
    return soft_scores(
        case.values[:, team.heard],
        Witnesses(extra, case.gold, case.gold_weights),
        case.means(),
        case.folds,
        case.n_scores,
        spread=case.spread[:, team.heard],
        predicted=predicted,
        learns=case.learns,
    )


def _fused(case: Case, team: Team, final: bool, *, near: bool) -> Candidate:
    posterior = _posteriors(case, team, final)[near]
    return Candidate(np.round(posterior.expected, 9), posterior=posterior)


def _posteriors(case: Case, team: Team, final: bool) -> tuple[Posterior, Posterior]:
    """Both, fitted once. Gold rows enter only at the end: before that they judge."""
    if len(team.heard) < 2:
        raise NoEvidence("there is one rater, or one twice")
    taught = final and case.has_gold
    key = (*team.heard.tolist(), taught)
    if key not in case.fitted:
        case.fitted[key] = fused_posterior(
            case.scores[:, team.heard],
            case.n_scores,
            case.means(),
            gold=case.gold if taught else None,
            learns=case.learns,
            seed=case.seed,
        )
    return case.fitted[key]


def soft_scores(
    values: np.ndarray,
    witnesses: Witnesses,
    means: NeighborMeans,
    folds: np.ndarray,
    n_scores: int,
    *,
    spread: np.ndarray | None = None,
    predicted: np.ndarray | None = None,
    learns: np.ndarray | None = None,
) -> Candidate:
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
        learns: (n,) marks of the rows to learn from; None: all.

    Raises:
        NoEvidence: where no rater has a witness, or raters do not agree.
    """
    stated = np.full(values.shape, np.nan) if spread is None else spread
    result = np.full(len(values), np.nan)
    se, unseen = result.copy(), result.copy()
    for fold in range(folds.max() + 1):
        held = folds == fold
        train = ~held if learns is None else learns & ~held
        part = _Fit.learn(
            values, stated, witnesses, means, predicted, train=train, n_scores=n_scores
        )
        result[held], se[held], unseen[held] = part.predict(held, unrated=predicted is not None)
    return Candidate(np.round(result, 9), se, unseen=np.round(unseen, 9))


def scores_unseen(
    rating: np.ndarray,
    means: NeighborMeans,
    folds: np.ndarray,
    predicted: np.ndarray,
    *,
    learns: np.ndarray | None = None,
) -> Candidate:
    """Predict the rating of every row from the neighbours' and a scorer's word, never its own.

    For a pool of which a part was rated and nothing tells the rater's errors from its judgement:
    then the ratings themselves are the target, and rated rows are treated as the others.

    Args:
        rating: (n,) z-scores of the ratings, NaN where there is none.
        means: the neighbours.
        folds: (n,) whole neighbourhoods share a fold.
        predicted: (n,) the rating as a scorer predicts it that has not seen it.
        learns: (n,) marks of the rows to learn from; None: all.
    """
    known = ~np.isnan(rating) if learns is None else learns & ~np.isnan(rating)
    near = np.column_stack([means(rating[:, None])[:, 0], predicted])
    result = np.full(len(rating), np.nan)
    se = result.copy()
    for fold in range(folds.max() + 1):
        held = folds == fold
        train = ~held & known
        centre, spread = near[train].mean(axis=0), near[train].std(axis=0)
        unit = np.divide(near - centre, spread, out=np.zeros_like(near), where=spread > 1e-6)
        G = unit[train].T @ unit[train] / train.sum()
        c = unit[train].T @ (rating[train] - rating[train].mean()) / train.sum()
        ridge = RESIDUAL / (train.sum() * WEIGHT_SD**2) + 1e-3
        g = nonnegative(G + ridge * np.diag(G.diagonal()), c)
        result[held] = unit[held] @ g
        se[held] = np.sqrt(max(1 - (2 * c @ g - g @ G @ g), 0.02))
    values = np.round(result, 9)
    return Candidate(values, se, unseen=values)


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
        # the neighbours' part is shrunk by how sure it is that it adds anything
        _, _, alone, full = draft.solve(np.arange(u))
        chi = rows * max(full - alone, 0.0) / max(1 - full, 0.02)
        return replace(draft, kept=max(0.0, 1 - len(truth) / chi) if chi > 0 else 0.0)

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


#: Name → the candidate of a team; the last argument: whether all that is known may enter. Simplest
#: first.
CANDIDATES: dict[str, Callable[[Case, Team, bool], Candidate]] = {
    "raw": lambda case, team, _: Candidate(mean_z(case.values[:, team.mean])),
    "ds2": lambda case, team, _: Candidate(mean_z(case.voted[:, team.mean])),
    "fused": lambda case, team, final: _fused(case, team, final, near=False),
    "fused+neighbors": lambda case, team, final: _fused(case, team, final, near=True),
    "soft": lambda case, team, _: _soft(case, team, None),
    "scorer": lambda case, team, _: _soft(case, team, predictions(case, team.heard)),
}
