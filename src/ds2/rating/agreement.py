"""What the ratings look like before anything is done to them: their spread, gaps and agreement."""

from itertools import combinations

import numpy as np

from ds2.checks import check_int, check_rows
from ds2.errors import InputError
from ds2.rating.association import exact_agreement, quadratic_kappa, spearman, top_overlap
from ds2.rating.audit import Histogram, PairAgreement, RaterAudit, RatingAudit, Retest
from ds2.rating.audit_words import audit_warnings
from ds2.rating.panel import Panel
from ds2.rating.ratings import Ratings

__all__ = ["audit_ratings"]

_LEAST_BARS, _MOST_BARS = 4, 21


def audit_ratings(
    ratings: Panel | Ratings, *, lengths: object = None, top: int | None = None
) -> RatingAudit:
    """Measure the ratings of one or several raters.

    Args:
        ratings: one rater's, or a panel of several.
        lengths: a length per example, in whatever unit (`Pool.lengths`).
        top: M for the overlap of the highest rated, at most as many as two raters have in common;
            by default a tenth of those.

    Raises:
        InputError: ``lengths`` or ``top`` do not fit the ratings.
    """
    panel = ratings if isinstance(ratings, Panel) else Panel((ratings,))
    n = len(panel.ratings[0])
    if top is not None:
        check_int("top", top, low=1, high=max(n, 1))
    sizes = np.full(n, np.nan) if lengths is None else np.asarray(lengths, dtype=np.float64)
    if sizes.ndim != 1:
        raise InputError(f"'lengths' must have one number per example. Got shape {sizes.shape}.")
    check_rows("lengths", sizes, n)
    raters = tuple(_audit(one, sizes) for one in panel)
    pairs = tuple(_compare(one, two, top) for one, two in combinations(panel.ratings, 2))
    return RatingAudit(raters, pairs, audit_warnings(raters, pairs))


def _audit(one: Ratings, lengths: np.ndarray) -> RaterAudit:
    rated = one.values[~np.isnan(one.values)]
    scores = one.scores()
    counts = np.bincount(scores[~np.isnan(scores)].astype(int), minlength=one.scale.n_scores)
    columns = list(one.criteria.values())
    return RaterAudit(
        rater=one.rater,
        n=len(one),
        n_rated=len(rated),
        unrated=dict(one.problems),
        scores=tuple(counts.tolist()),
        ratings=_histogram("rating", one.values, one, lengths),
        criteria=tuple(
            _histogram(name, values, one, lengths) for name, values in one.criteria.items()
        ),
        correlation=np.array([[spearman(a, b) for b in columns] for a in columns]).reshape(
            len(columns), len(columns)
        ),
        at_low=float((rated == one.scale.low).mean()) if len(rated) else float("nan"),
        at_high=float((rated == one.scale.high).mean()) if len(rated) else float("nan"),
        mean_spread=_mean_spread(one),
        retest=_retest(one),
        usage=dict(one.usage),
    )


def _mean_spread(one: Ratings) -> float | None:
    known = one.spread is not None and ~np.isnan(one.spread)
    return float(one.spread[known].mean()) if one.spread is not None and np.any(known) else None


def _histogram(name: str, values: np.ndarray, one: Ratings, lengths: np.ndarray) -> Histogram:
    found = values[~np.isnan(values)]
    low, high = one.scale.low, one.scale.high
    if len(found):
        low, high = min(low, float(found.min())), max(high, float(found.max()))
    whole = low.is_integer() and high.is_integer() and high - low < _MOST_BARS
    whole &= bool(high - low >= _LEAST_BARS or (found == np.floor(found)).all())
    edges = np.arange(low, high + 2) - 0.5 if whole else np.linspace(low, high, 11)
    counts, _ = np.histogram(found, edges)
    return Histogram(
        name,
        len(found),
        tuple(edges.tolist()),
        tuple(counts.tolist()),
        float(found.mean()) if len(found) else float("nan"),
        float(found.std()) if len(found) else float("nan"),
        spearman(values, lengths),
    )


def _retest(one: Ratings) -> Retest | None:
    if one.repeats is None:
        return None
    twice = ~(np.isnan(one.values) | np.isnan(one.repeats))
    if not twice.any():
        return None
    first, second = one.values[twice], one.repeats[twice]
    scores = one.scale.to_scores(first), one.scale.to_scores(second)
    return Retest(
        int(twice.sum()),
        exact_agreement(*scores)[0],
        spearman(first, second),
        quadratic_kappa(*scores),
        float(np.sqrt(np.mean((first - second) ** 2) / 2)),
    )


def _compare(one: Ratings, two: Ratings, top: int | None) -> PairAgreement:
    both = ~(np.isnan(one.values) | np.isnan(two.values))
    n = int(both.sum())
    size = min(top if top is not None else max(1, n // 10), n)
    scores = one.scores(), two.scores()
    exact, chance = exact_agreement(*scores)
    overlap, by_chance = (
        top_overlap(one.values, two.values, size) if n else (float("nan"), float("nan"))
    )
    return PairAgreement(
        (one.rater, two.rater),
        n,
        exact,
        chance,
        quadratic_kappa(*scores),
        spearman(one.values, two.values),
        size,
        overlap,
        by_chance,
    )
