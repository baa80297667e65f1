"""What the ratings look like before anything is done to them: their spread, gaps and agreement."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, combinations

import numpy as np

from ds2.checks import check_int, check_rows
from ds2.errors import InputError
from ds2.measures import measure, spearman
from ds2.pool.wording import shown
from ds2.rating.ratings import Ratings

__all__ = [
    "Histogram",
    "PairAgreement",
    "RaterAudit",
    "RatingAudit",
    "Retest",
    "audit_ratings",
    "exact_agreement",
    "top_overlap",
]


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
        raters: one audit a rater, in order.
        pairs: one a pair of raters, in order.
        warnings: what the user should know, in sentences.
    """

    raters: tuple[RaterAudit, ...]
    pairs: tuple[PairAgreement, ...]
    warnings: tuple[str, ...]


def exact_agreement(one: np.ndarray, two: np.ndarray) -> tuple[float, float]:
    """Return the share of equal scores, and the share that chance gives: Σ_c P₁(c)·P₂(c)."""
    one, two = _both(one, two)
    if len(one) == 0:
        return float("nan"), float("nan")
    levels = np.union1d(one, two)
    shares = [np.array([(side == level).mean() for level in levels]) for side in (one, two)]
    return float((one == two).mean()), float(shares[0] @ shares[1])


def top_overlap(one: np.ndarray, two: np.ndarray, size: int) -> tuple[float, float]:
    """Return the share that the two sides' ``size`` highest have in common, and chance's share.

    Where equal values stand at the cut, every choice among them is as likely, independently on
    both sides, and the mean over the choices is returned. Chance is size / n.
    """
    one, two = _both(one, two)
    shared = float(_membership(one, size) @ _membership(two, size))
    return shared / size, size / len(one)


def _membership(values: np.ndarray, size: int) -> np.ndarray:
    """Return the probability of each row to be among the ``size`` highest, ties drawn by lot."""
    cut = np.partition(values, len(values) - size)[len(values) - size]
    above, at = values > cut, values == cut
    share = (size - above.sum()) / at.sum()
    return np.asarray(above + share * at)


def _both(one: np.ndarray, two: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    present = ~(np.isnan(one) | np.isnan(two))
    return one[present], two[present]


_LEAST_BARS, _MOST_BARS = 4, 21


def audit_ratings(
    ratings: Ratings, *, lengths: object = None, top: int | None = None
) -> RatingAudit:
    """Measure the ratings of one or several raters.

    Args:
        ratings: of one rater or several.
        lengths: a length per example, in whatever unit (`Pool.lengths`).
        top: M for the overlap of the highest rated, at most as many as two raters have in common;
            by default a tenth of those.

    Raises:
        InputError: ``lengths`` or ``top`` do not fit the ratings.
    """
    n = len(ratings)
    if top is not None:
        check_int("top", top, low=1, high=max(n, 1))
    sizes = np.full(n, np.nan) if lengths is None else np.asarray(lengths, dtype=np.float64)
    if sizes.ndim != 1:
        raise InputError(f"'lengths' must have one number per example. Got shape {sizes.shape}.")
    check_rows("lengths", sizes, n)
    raters = tuple(_audit(one, sizes) for one in ratings.parts)
    pairs = tuple(_compare(one, two, top) for one, two in combinations(ratings.parts, 2))
    said = [_warn(one) for one in raters] + [_warn_pair(pair) for pair in pairs]
    return RatingAudit(raters, pairs, tuple(chain.from_iterable(said)))


def _audit(one: Ratings, lengths: np.ndarray) -> RaterAudit:
    rated = one.values[~np.isnan(one.values)]
    scores = one.scores()
    counts = np.bincount(scores[~np.isnan(scores)].astype(int), minlength=one.scale.n_scores)
    columns = list(one.criteria.values())
    known = np.empty(0) if one.spread is None else one.spread[~np.isnan(one.spread)]
    alike = np.array([[spearman(a, b) for b in columns] for a in columns])
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
        correlation=alike.reshape(len(columns), len(columns)),
        at_low=float((rated == one.scale.low).mean()) if len(rated) else float("nan"),
        at_high=float((rated == one.scale.high).mean()) if len(rated) else float("nan"),
        mean_spread=float(known.mean()) if len(known) else None,
        retest=_retest(one),
        usage=dict(one.usage),
    )


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
    second = np.full(len(one), np.nan) if one.repeats is None else one.repeats
    twice = ~(np.isnan(one.values) | np.isnan(second))
    if not twice.any():
        return None
    first, second = one.values[twice], second[twice]
    scores = one.scale.to_scores(first), one.scale.to_scores(second)
    return Retest(
        int(twice.sum()),
        exact_agreement(*scores)[0],
        spearman(first, second),
        measure("kappa", *scores).value,
        float(np.sqrt(np.mean((first - second) ** 2) / 2)),
    )


def _compare(one: Ratings, two: Ratings, top: int | None) -> PairAgreement:
    n = int((~(np.isnan(one.values) | np.isnan(two.values))).sum())
    size = min(top if top is not None else max(1, n // 10), n)
    scores = one.scores(), two.scores()
    nothing = float("nan"), float("nan")
    return PairAgreement(
        (one.rater, two.rater),
        n,
        *exact_agreement(*scores),
        measure("kappa", *scores).value,
        spearman(one.values, two.values),
        size,
        *(top_overlap(one.values, two.values, size) if n else nothing),
    )


#: Shares and counts from which something is said.
_CROWDED, _UNRATED, _FEW, _ALIKE = 0.5, 0.05, 30, 0.95


def _warn(one: RaterAudit) -> list[str]:
    name = shown(one.rater)
    if one.n_rated == 0:
        return [f"{name} rated no example."]
    said = []
    if one.n_rated < (1 - _UNRATED) * one.n:
        why = ", ".join(f"{count:,} {problem}" for problem, count in one.unrated.items())
        said.append(f"{name} left {one.n - one.n_rated:,} of {one.n:,} examples unrated: {why}.")
    if one.ratings.sd == 0 and one.n_rated > 1:
        said.append(f"{name} gave every example the same rating, {one.ratings.mean:g}.")
    elif max(one.scores) == one.n_rated and one.n_rated > 1:
        said.append(f"All ratings of {name} fall into one score.")
    else:
        ends = (("lowest", "floor", one.at_low), ("highest", "ceiling", one.at_high))
        for end, effect, share in ends:
            if share > _CROWDED:
                said.append(
                    f"{name} gave {share:.0%} of the examples the {end} rating there is: a "
                    f"{effect} effect, which hides differences among them."
                )
    return said + _warn_criteria(one)


def _warn_criteria(one: RaterAudit) -> list[str]:
    said = [
        f"{shown(one.rater)} gave every example the same {shown(part.name)}, {part.mean:g}."
        for part in one.criteria
        if part.n > 1 and part.sd == 0 and one.ratings.sd > 0
    ]
    alike = [
        f"{shown(one.criteria[a].name)} and {shown(one.criteria[b].name)}"
        for a, b in combinations(range(len(one.criteria)), 2)
        if one.correlation[a, b] > _ALIKE and one.n_rated >= _FEW
    ]
    if alike:
        said.append(
            f"{shown(one.rater)} hardly tells some criteria apart (correlation above {_ALIKE}): "
            f"{'; '.join(alike)}."
        )
    return said


def _warn_pair(pair: PairAgreement) -> list[str]:
    names = f"{shown(pair.raters[0])} and {shown(pair.raters[1])}"
    if pair.n < _FEW:
        return [f"{names} both rated only {pair.n:,} examples, too few to compare them."]
    if pair.spearman < 0:
        return [
            f"{names} order the examples in opposite ways (Spearman {pair.spearman:.2f}). Check "
            "that both scales run the same way."
        ]
    return []
