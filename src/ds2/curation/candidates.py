"""The candidates of curation: one function each, from the same case to values for every row."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ds2.curation.ds2 import Flags, error_shares, flag_by_vote
from ds2.curation.fused import Posterior, fused_posterior
from ds2.curation.levels import mean_z
from ds2.curation.loadings import NoEvidence
from ds2.curation.means import NeighborMeans
from ds2.curation.moments import Witnesses
from ds2.curation.soft import SoftScores, soft_scores
from ds2.neighbors import Neighbors
from ds2.noise import TransitionEstimate

__all__ = ["CANDIDATES", "Candidate", "Case", "Voting", "flags_of", "replaced"]


@dataclass(frozen=True, slots=True)
class Voting:
    """Settings of method "ds2"; see `ds2.curate`."""

    n_draws: int
    draw_share: float
    min_confidence: float
    paper_floor: bool


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
        voted: (n, r) scores after method "ds2" on each rater.
        seed: for the fits' starts.
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
    voted: np.ndarray
    seed: int

    @property
    def n_raters(self) -> int:
        """How many raters there are."""
        return int(self.scores.shape[1])

    @property
    def has_gold(self) -> bool:
        """Whether any row has gold."""
        return bool((self.gold_weights > 0).any())


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


def flags_of(
    scores: np.ndarray,
    noise: TransitionEstimate,
    neighbors: Neighbors,
    voting: Voting,
    *,
    keys: np.ndarray,
    seed: int,
) -> Flags:
    """Method "ds2" on one rater (n,)."""
    return flag_by_vote(
        scores,
        neighbors,
        error_shares(noise, paper_floor=voting.paper_floor),
        n_draws=voting.n_draws,
        draw_share=voting.draw_share,
        keys=keys,
        seed=seed,
    )


def replaced(scores: np.ndarray, flags: Flags, min_confidence: float) -> np.ndarray:
    """(n,) scores with those misrated with enough confidence replaced."""
    result = scores.copy()
    wrong = (flags.flag_rate > 0.5) & (flags.confidence >= min_confidence)
    result[wrong] = flags.suggestion[wrong]
    return result


def _raw(case: Case, use: np.ndarray, held: int | None, final: bool) -> Candidate:  # noqa: ARG001
    return Candidate(mean_z(case.values[:, use]))


def _ds2(case: Case, use: np.ndarray, held: int | None, final: bool) -> Candidate:  # noqa: ARG001
    return Candidate(mean_z(case.voted[:, use]))


def _soft(case: Case, use: np.ndarray, held: int | None, final: bool) -> Candidate:  # noqa: ARG001
    """The rater left out is a witness too, on the other folds, where there is no other rater."""
    extra = np.empty((len(case.values), 0))
    if held is not None and len(use) == 1:
        extra = case.values[:, [held]]
    elif case.n_raters == 1 and not case.has_gold and not np.isnan(case.repeats).all():
        extra = case.repeats
    try:
        found = _soft_with(case, use, extra)
    except NoEvidence:
        if held is None:
            raise
        found = _soft_with(case, use, case.values[:, [held]])
    return Candidate(found.values, found.se)


def _soft_with(case: Case, use: np.ndarray, extra: np.ndarray) -> SoftScores:
    witnesses = Witnesses(extra, case.gold, case.gold_weights)
    return soft_scores(
        case.values[:, use], witnesses, case.means, case.folds, case.n_scores,
        spread=case.spread[:, use],
    )  # fmt: skip


def _fused(case: Case, use: np.ndarray, held: int | None, final: bool) -> Candidate:
    return _posterior(case, use, held, final, None)


def _fused_neighbors(case: Case, use: np.ndarray, held: int | None, final: bool) -> Candidate:
    return _posterior(case, use, held, final, case.means)


def _posterior(
    case: Case, use: np.ndarray, held: int | None, final: bool, means: NeighborMeans | None
) -> Candidate:
    """Gold rows enter only at the end: before that they judge."""
    gold = case.gold if final and case.has_gold else None
    if held is None or len(use) > 1:
        found = fused_posterior(
            case.scores[:, use], case.n_scores, use=np.arange(len(use)), means=means, gold=gold,
            seed=case.seed,
        )  # fmt: skip
        return Candidate(found.expected, posterior=found)
    both = np.append(use, held)
    told = ~np.isnan(case.scores[:, both])
    if any(not told[case.folds != fold].any(axis=0).all() for fold in range(case.folds.max() + 1)):
        raise NoEvidence("a rater's ratings are all in one neighbourhood")
    shares = np.full((len(case.scores), case.n_scores), np.nan)
    for fold in range(case.folds.max() + 1):
        apart = case.folds == fold
        found = fused_posterior(
            case.scores[:, both], case.n_scores, use=np.array([0]), means=means, train=~apart,
            seed=case.seed,
        )  # fmt: skip
        shares[apart] = found.shares[apart]
    whole = Posterior(shares, float("nan"))
    return Candidate(whole.expected, posterior=whole)


#: Name → the candidate from the raters ``use``, rater ``held`` being left out to judge; with
#: ``final`` everything known may enter. Simplest first.
CANDIDATES: dict[str, Callable[[Case, np.ndarray, int | None, bool], Candidate]] = {
    "raw": _raw,
    "ds2": _ds2,
    "fused": _fused,
    "fused+neighbors": _fused_neighbors,
    "soft": _soft,
}
