"""The candidates of curation: one function each, from the same case to values for every row."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ds2.curation.means import NeighborMeans
from ds2.curation.moments import NoEvidence, Witnesses
from ds2.curation.posterior import Posterior, fused_posterior
from ds2.curation.soft import soft_scores
from ds2.neighbors import Neighbors
from ds2.noise.panel import Panel, mean_z

__all__ = ["CANDIDATES", "Candidate", "Case", "Team"]


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
    """

    values: np.ndarray
    se: np.ndarray | None = None
    posterior: Posterior | None = None


def _raw(case: Case, team: Team, final: bool) -> Candidate:  # noqa: ARG001
    return Candidate(mean_z(case.values[:, team.mean]))


def _ds2(case: Case, team: Team, final: bool) -> Candidate:  # noqa: ARG001
    return Candidate(mean_z(case.voted[:, team.mean]))


def _soft(case: Case, team: Team, final: bool) -> Candidate:  # noqa: ARG001
    extra = np.empty((len(case.values), 0))
    if team.witness is not None:
        extra = case.values[:, [team.witness]]
    elif case.n_raters == 1 and not case.has_gold and not np.isnan(case.repeats).all():
        extra = case.repeats
    found = soft_scores(
        case.values[:, team.heard],
        Witnesses(extra, case.gold, case.gold_weights),
        case.means,
        case.folds,
        case.n_scores,
        spread=case.spread[:, team.heard],
    )
    return Candidate(np.round(found.values, 9), found.se)


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
}
