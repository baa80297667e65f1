"""What an audit of ratings says, as frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

__all__ = ["Histogram", "PairAgreement", "RaterAudit", "RatingAudit", "Retest"]


@dataclass(frozen=True, slots=True)
class Histogram:
    """How often each rating, or range of ratings, occurs.

    Attributes:
        name: the criterion, or "rating" for what is scored.
        n: how many examples have a number.
        edges: ends of the bars, one more than there are counts; whole ratings lie mid-bar.
        counts: per bar.
        mean: of the numbers; NaN where there are none.
        sd: their standard deviation.
        length_correlation: Spearman with the examples' lengths; NaN where unknown.
    """

    name: str
    n: int
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    mean: float
    sd: float
    length_correlation: float


@dataclass(frozen=True, slots=True)
class Retest:
    """How a rater agrees with itself on examples that it rated twice.

    Attributes:
        n: examples with two ratings.
        exact: share with the same score twice.
        spearman: rank correlation of the two ratings.
        kappa: quadratic kappa of the two scores.
        noise: standard deviation of one rating around the rater's own mean, on the scale:
            √(mean (a − b)² / 2).
    """

    n: int
    exact: float
    spearman: float
    kappa: float
    noise: float


@dataclass(frozen=True, slots=True, eq=False)
class RaterAudit:
    """One rater.

    Attributes:
        rater: who rated.
        n: examples of the pool.
        n_rated: those with a rating.
        unrated: how many have none, by problem.
        scores: how often each score 0 … K − 1 occurs.
        ratings: the histogram of what is scored.
        criteria: one histogram a criterion, in the order of ``correlation``.
        correlation: Spearman between criteria, (c, c); NaN where undefined.
        at_low: share of the ratings at the scale's lower end.
        at_high: share at its upper end.
        mean_spread: the mean standard deviation that the rater states; None where it states none.
        retest: None where nothing was rated twice.
        usage: what the rating took, as the rater's `Ratings` say.
    """

    rater: str
    n: int
    n_rated: int
    unrated: Mapping[str, int]
    scores: tuple[int, ...]
    ratings: Histogram
    criteria: tuple[Histogram, ...]
    correlation: np.ndarray
    at_low: float
    at_high: float
    mean_spread: float | None
    retest: Retest | None
    usage: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """Two raters, over the examples that both rated.

    Attributes:
        raters: their names.
        n: examples that both rated.
        exact: share of equal scores.
        exact_by_chance: what two independent raters with these histograms would share.
        kappa: quadratic kappa of the scores.
        spearman: rank correlation of the ratings.
        top_size: M, how many of the n are called the top.
        top_overlap: share of the two top Ms in common; ties are drawn by lot.
        top_by_chance: M / n.
    """

    raters: tuple[str, str]
    n: int
    exact: float
    exact_by_chance: float
    kappa: float
    spearman: float
    top_size: int
    top_overlap: float
    top_by_chance: float


@dataclass(frozen=True, slots=True)
class RatingAudit:
    """All raters of a pool.

    Attributes:
        raters: one audit a rater, in the panel's order.
        pairs: one a pair of raters, in order.
        warnings: what the user should know, in sentences.
    """

    raters: tuple[RaterAudit, ...]
    pairs: tuple[PairAgreement, ...]
    warnings: tuple[str, ...]
