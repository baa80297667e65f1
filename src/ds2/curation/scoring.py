"""Rows that no rater saw: scored with all the others, on one scale, where a scorer can.

Predictions are shrunk and ratings are not, so that a mixture of both would fill the top with rated
rows. Where any row is scored, every row gets its expected score given all that is known of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ds2.curation.auto import reference_shares
from ds2.curation.candidates import CANDIDATES, Candidate, Case, scored_alone
from ds2.curation.moments import NoEvidence
from ds2.curation.result import Curation
from ds2.curation.scorer import Errors, Skill, fit_scorer
from ds2.errors import InputError
from ds2.levels import to_levels
from ds2.noise.panel import mean_z

__all__ = ["SCORED_FROM", "UNRATED", "Scoring", "score_rest", "to_be_scored"]

#: What may become of rows without a rating, and the share of them from which "auto" scores them.
UNRATED = ("auto", "score", "leave")
SCORED_FROM = 0.1


@dataclass(frozen=True, slots=True)
class Scoring:
    """What became of the rows without a rating.

    Attributes:
        rows: (n,) those without one.
        candidate: every row's expected score; None where they were left without.
        skill: what the scorer is worth; None where none was asked for, or could be fitted.
        says: what a user should know.
    """

    rows: np.ndarray
    candidate: Candidate | None = None
    skill: Skill | None = None
    says: tuple[str, ...] = ()

    def told(self, result: Curation) -> Curation:
        """The result with the rows that were scored, and the standard errors of theirs."""
        if self.candidate is None or self.candidate.unseen is None:
            left = np.where(self.rows, np.nan, result.scores)  # a scorer says more than was asked
            return replace(result, scores=left, skill=self.skill)
        values, unseen = self.candidate.values, self.candidate.unseen
        order = np.argsort(values, kind="stable")
        alone = np.interp(unseen, values[order], result.scores[order])
        raw = np.full(len(values), np.nan) if result.raw is None else result.raw
        rated = ~np.isnan(raw)
        errors = Errors.of(alone[rated], raw[rated])(result.scores)
        own = errors if result.se is None or np.array_equal(unseen, values) else result.se
        return replace(
            result, scored=self.rows, se=np.where(self.rows, errors, own), skill=self.skill
        )


def to_be_scored(rows: np.ndarray, unrated: str) -> bool:
    """Whether rows without a rating, marked in (n,), are to be scored by one of `UNRATED`."""
    some = bool(rows.any())
    return some and (unrated == "score" or (unrated == "auto" and bool(rows.mean() >= SCORED_FROM)))


def score_rest(
    case: Case,
    rows: np.ndarray,
    unrated: str,
    method: str,
    *,
    covariates: Mapping[str, np.ndarray | Sequence[object]],
    keys: np.ndarray,
) -> Scoring:
    """Score every row where a part of the pool has no rating, or say why not.

    Args:
        case: what is known.
        rows: (n,) those without a rating.
        unrated: one of `UNRATED`.
        method: what was asked for.
        covariates: what the skill may be nothing but.
        keys: (n,) of the content.
    """
    asked = method in ("auto", "scorer") and to_be_scored(rows, unrated)
    if not asked or case.inputs is None:
        return Scoring(rows)
    left = f"{int(rows.sum()):,} rows without a rating were left without a score:"
    rating = to_levels(mean_z(case.values[:, case.everyone.mean]), reference_shares(case))
    try:
        skill = fit_scorer(
            rating,
            case.inputs.vectors,
            case.inputs,
            neighbors=case.neighbors,
            covariates=covariates,
            keys=keys,
            seed=case.seed,
        ).skill
    except InputError as reason:
        return Scoring(rows, says=(f"{left} {reason}",))
    if not skill.explains:
        return Scoring(rows, skill=skill, says=(f"{left} {skill.says()[0]}",))
    try:
        found = CANDIDATES["scorer"](case, case.everyone, True)
    except NoEvidence:  # nobody says what of a rating is the rater's own
        found = scored_alone(case)
    return Scoring(rows, found, skill, skill.says())
