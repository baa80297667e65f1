"""The candidates of curation: one function each, from the same case to values for every row."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ds2.curation.learners import Inputs
from ds2.curation.means import NeighborMeans
from ds2.curation.moments import NoEvidence, Witnesses
from ds2.curation.posterior import Posterior, fused_posterior
from ds2.curation.scorer import LEAST, cross_fit
from ds2.curation.soft import SoftScores, scores_unseen, soft_scores
from ds2.neighbors import Neighbors
from ds2.noise.panel import Panel, mean_z

__all__ = ["CANDIDATES", "Candidate", "Case", "Team", "predictions", "scored_alone"]


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
        means: its means.
        folds: (n,) for cross-fitting; whole neighbourhoods.
        blocks: (n,) for intervals; whole neighbourhoods.
        panel: what the raters are to each other.
        voted: (n, r) scores after method "ds2" on each rater.
        fixed: (n, c) covariates as columns, without which a gain must be seen as well; c may be 0.
        seed: for the fits' starts.
        inputs: what a scorer learns from, or None.
        order: (n,) the smallest are learned from first.
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
    means: NeighborMeans
    folds: np.ndarray
    blocks: np.ndarray
    panel: Panel
    voted: np.ndarray
    fixed: np.ndarray
    seed: int
    inputs: Inputs | None = None
    order: np.ndarray | None = None
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


def _raw(case: Case, team: Team, final: bool) -> Candidate:  # noqa: ARG001
    return Candidate(mean_z(case.values[:, team.mean]))


def _ds2(case: Case, team: Team, final: bool) -> Candidate:  # noqa: ARG001
    return Candidate(mean_z(case.voted[:, team.mean]))


def _soft(case: Case, team: Team, final: bool) -> Candidate:  # noqa: ARG001
    return _candidate(_soft_scores(case, team, None))


def _scorer(case: Case, team: Team, final: bool) -> Candidate:  # noqa: ARG001
    return _candidate(_soft_scores(case, team, predictions(case, team.heard)))


def scored_alone(case: Case) -> Candidate:
    """What a scorer and the neighbours say of the mean of the ratings, where nothing judges it."""
    team = case.everyone
    rating = mean_z(case.values[:, team.mean])
    predicted = predictions(case, team.mean).mean(axis=1)
    return _candidate(scores_unseen(rating, case.means, case.folds, predicted))


def _candidate(found: SoftScores) -> Candidate:
    return Candidate(np.round(found.values, 9), found.se, unseen=np.round(found.unseen, 9))


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
    assert case.order is not None, "comes with the inputs"
    decides = (column, case.folds, case.order, np.array(case.seed))
    key = b"".join(hashlib.sha256(one.tobytes()).digest() for one in decides)
    if key not in inputs.memo:
        found = cross_fit(column, inputs, case.folds, case.order, seed=case.seed)
        inputs.memo[key] = found.values
    return inputs.memo[key]


def _soft_scores(case: Case, team: Team, predicted: np.ndarray | None) -> SoftScores:
    extra = np.empty((len(case.values), 0))
    if team.witness is not None:
        extra = case.values[:, [team.witness]]
    elif case.n_raters == 1 and not case.has_gold and not np.isnan(case.repeats).all():
        extra = case.repeats
    return soft_scores(
        case.values[:, team.heard],
        Witnesses(extra, case.gold, case.gold_weights),
        case.means,
        case.folds,
        case.n_scores,
        spread=case.spread[:, team.heard],
        predicted=predicted,
    )


def _fused(case: Case, team: Team, final: bool) -> Candidate:
    alone, _ = _posteriors(case, team, final)
    return Candidate(np.round(alone.expected, 9), posterior=alone)


def _fused_neighbors(case: Case, team: Team, final: bool) -> Candidate:
    _, together = _posteriors(case, team, final)
    return Candidate(np.round(together.expected, 9), posterior=together)


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
            case.means,
            gold=case.gold if taught else None,
            seed=case.seed,
        )
    return case.fitted[key]


#: Name → the candidate of a team; with ``final`` everything known may enter. Simplest first.
CANDIDATES: dict[str, Callable[[Case, Team, bool], Candidate]] = {
    "raw": _raw,
    "ds2": _ds2,
    "fused": _fused,
    "fused+neighbors": _fused_neighbors,
    "soft": _soft,
    "scorer": _scorer,
}
