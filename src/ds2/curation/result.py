"""The result of curation."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Shaped

from ds2.arrays import Mask, Scores, Values
from ds2.curation.scorer import Skill
from ds2.errors import Caution
from ds2.measures import Interval
from ds2.shown import Shown

__all__ = ["Curation", "Evidence"]


@dataclass(frozen=True, slots=True)
class Evidence(Interval):
    """One figure that a choice of method rests on.

    Attributes:
        value: the figure.
        low: lower end of its 95 % interval.
        high: upper end.
        candidate: the method it speaks of.
        measure: what was measured: "lift", or the judge and the figure ("gold: Spearman",
            "rater 2 held out: Spearman").
        chosen: whether the candidate was applied.
        difference: how much more than raw; NaN for raw itself and for lift.
        n: rows it rests on.
        judge: "gold", or "rater" for one who was held out; empty for lift.
    """

    candidate: str = ""
    measure: str = ""
    chosen: bool = False
    difference: Interval = field(default_factory=lambda: Interval(float("nan")))
    n: int = 0
    judge: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Curation(Shown):
    """Curated scores, and what was changed.

    Attributes:
        scores: (n,) curated scores on the scale 0 … s − 1; NaN where no rater gave one and it was
            not scored. Real numbers for all but "raw" and "ds2" of one rater.
        observed: (n,) or (n, r) the scores as given.
        method: what was applied: "raw", "ds2", "soft", "fused", "fused+neighbors" or
            "scorer".
        misrated: (n,) flagged as wrong; None when nothing was looked at, or with several raters.
        confidence: (n,) in [0, 1]: share of the best other score times the flag rate. Not a
            calibrated probability. NaN where unrated; None likewise.
        suggestion: (n,) the best other score; NaN where unrated or never visited; None likewise.
        gate: what that of method "ds2" said: "passed", "fired" or "off"; "unused" by the others.
        evidence: what the choice went by.
        warnings: sentences, each with a code that a program can go by.
        se: (n,) standard error of a score, in levels; of a row that was scored, that of the rating
            it would have got. None for methods that have none.
        posterior: (n, s) P(true score); None likewise.
        scored: (n,) rows that no rater saw and whose score is predicted; None where there are none.
        skill: what the scorer is worth that scored rows, or would not; None where none was asked.
        raw: (n,) what the ratings say without curation: the score of one rater (its expected score
            where there are any), or the mean of several raters' z-scores on the level scale.
        next_evidence: one sentence: what further evidence would decide, and how much of it.
        contradiction: one sentence where trusted scores do not go with the ratings, or go against
            them, so that nothing was concluded from them; else empty.
        gold_needed: trusted scores that would tell a gain worth having from none on this pool; 0
            where nothing was to be chosen.
    """

    scores: Scores
    observed: Shaped[np.ndarray, "n ..."]
    method: str
    misrated: Mask | None
    confidence: Values | None
    suggestion: Values | None
    gate: str
    evidence: tuple[Evidence, ...]
    warnings: tuple[Caution, ...]
    se: Values | None = None
    posterior: Float[np.ndarray, "n s"] | None = None
    scored: Mask | None = None
    skill: Skill | None = None
    raw: Values | None = None
    next_evidence: str = ""
    contradiction: str = ""
    gold_needed: int = 0

    seen = (
        *("method", "n_changed", "scores", "se", "scored", "skill", "posterior", "gate"),
        *("evidence", "next_evidence", "warnings"),
    )

    @property
    def n_changed(self) -> int:
        """How many scores differ from the raw ones."""
        before = self._before
        return int((self.scores != before)[~np.isnan(before)].sum())

    def doubtful(self, n_scores: int) -> Mask:
        """(n,) Rows that what is known puts in another half of the scale than their ratings do.

        That is where more than half of the posterior lies there; of a method without a posterior,
        where the curated score does. The middle of an odd number of scores is in neither half, and
        under "raw" nothing is doubted.

        Args:
            n_scores: s, the scores of the scale.
        """
        middle = (n_scores - 1) / 2
        low, high = self._before < middle, self._before > middle
        if self.posterior is not None:
            levels = np.arange(n_scores)
            below = self.posterior[:, levels < middle].sum(axis=1) > 0.5
            above = self.posterior[:, levels > middle].sum(axis=1) > 0.5
        else:
            below, above = self.scores < middle, self.scores > middle
        return np.asarray((low & above) | (high & below))

    @property
    def _before(self) -> Scores:
        return self.observed if self.raw is None else self.raw
