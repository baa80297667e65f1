"""The result of curation."""

from dataclasses import dataclass

from ds2.arrays import Mask, Scores, Values

__all__ = ["Curation", "Evidence"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One figure that a choice of method rests on.

    Attributes:
        candidate: the method it speaks of.
        measure: what was measured.
        value: the figure.
        low: lower end of its 95 % interval.
        high: upper end.
        chosen: whether the candidate was applied.
    """

    candidate: str
    measure: str
    value: float
    low: float
    high: float
    chosen: bool


@dataclass(frozen=True, slots=True)
class Curation:
    """Curated scores, and what was changed.

    Attributes:
        scores: (n,) curated scores; NaN where unrated.
        observed: (n,) the scores as given.
        method: what was applied: "ds2", or "none" (also where the gate refused).
        misrated: (n,) flagged as wrong; None when nothing was looked at.
        confidence: (n,) in [0, 1]: share of the best other score times the flag rate. Not a
            calibrated probability. NaN where unrated; None when nothing was looked at.
        suggestion: (n,) the best other score; NaN where unrated or never visited; None likewise.
        gate: "passed", "fired" or "off".
        evidence: what the gate went by.
        warnings: plain sentences.
    """

    scores: Scores
    observed: Scores
    method: str
    misrated: Mask | None
    confidence: Values | None
    suggestion: Values | None
    gate: str
    evidence: tuple[Evidence, ...]
    warnings: tuple[str, ...]

    @property
    def n_changed(self) -> int:
        """How many scores differ from the observed ones."""
        return int((self.scores != self.observed)[self.observed == self.observed].sum())
