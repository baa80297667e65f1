"""Trusted scores that decide between two selections A and B of one pool.

With w_i = 1[i ∈ A] / |A| − 1[i ∈ B] / |B| and y_i the score that a trusted person would give,

    d = mean of A − mean of B = Σ_i w_i y_i,

so a row that both hold alike (w = 0) need not be scored. The others are put into strata of like w,
cut further by the curated score f. From each stratum h a simple random sample of n_h of its N_h
rows is drawn without replacement, so the inclusion probabilities are exact: π_i = n_h / N_h, and
π_ij = n_h (n_h − 1) / (N_h (N_h − 1)) for two rows of one stratum, π_i π_j for rows of two. Then

    d̂ = λ Σ_i w_i f_i + Σ_{i ∈ gold} w_i (y_i − λ f_i) / π_i
    v̂ = Σ_h N_h² (1 − n_h / N_h) s_h² / n_h,     s_h² the variance of w (y − λ f) in the sample of h

λ = 0 is the estimator of Horvitz and Thompson (1952), whose variance is v̂ by the joint
probabilities (Sen 1953; Yates and Grundy 1953). With λ it is the difference estimator of Cassel,
Särndal and Wretman (1976), known as prediction-powered inference (Angelopoulos et al. 2023); λ is
that of least variance on the other folds (Zrnic and Candès 2024), so a score never helps to choose
the λ by which it is counted.

All of this holds for whatever f, A and B are, as long as they were made without these scores.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from ds2.arrays import Groups, Keys, Rows, Scores, Values
from ds2.checks import check_gold, check_index, check_int, check_positive, check_scores
from ds2.curation.gold import deal_seats, draw_rows, first_of, known_labels
from ds2.errors import InputError
from ds2.keys import check_keys, random_order_keys
from ds2.measures import Interval, Z, student

__all__ = ["GoldDifference", "PlanBetween", "gold_between", "plan_gold_between"]

#: The rows in which two selections differ are cut into about so many strata.
N_STRATA = 8
N_FOLDS = 10
#: Scores of a plan that nobody gave a size.
USUAL = 200
#: A stratum's variance counts so many rows of the variance of all strata together.
BORROWED = 2.0
#: So many rows of all are taken to be one level off, though none was seen: rare scores are missed.
UNSEEN = 2.0
#: Fewer degrees of freedom carry no interval.
LEAST_FREEDOM = 8
#: Two weights are one where they differ by less than this part of the largest.
SAME = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class PlanBetween:
    """Which examples to score so that selections can be told apart, in which order.

    Attributes:
        rows: (m,) row numbers; any prefix with two of every stratum is the plan of that size.
        strata: (m,) stratum of each; the codes are shuffled, so that they tell nothing.
        probabilities: (m,) inclusion probability π of each, exact.
        stratum: (n,) stratum of every example, −1 where nothing need be known of it.
        sizes: (h,) how many examples each stratum holds.
        contrasts: (n, q) the weights w of each of q pairs of selections; those of exact duplicates
            stand at the one of them that may be asked for.
        predictions: (n,) the curated scores f, their mean where there was none.
        known: (n,) scores that were there before: these rows count with certainty (π = 1) and are
            not drawn. NaN elsewhere.
    """

    rows: Rows
    strata: np.ndarray
    probabilities: np.ndarray
    stratum: np.ndarray
    sizes: np.ndarray
    contrasts: Float[np.ndarray, "n q"]
    predictions: Values
    known: Values

    def expected(self, size: int, se: float) -> tuple[float, ...]:
        """Half-width of the 95 % interval to expect from ``size`` scores, by pair, in levels.

        Args:
            size: scores, two a stratum or more.
            se: how far a trusted score is from the curated one (standard deviation, in levels).
                The spread of trusted scores in the pool is the width to expect of a curated score
                that says nothing.

        Raises:
            InputError: more than there are, or fewer than two a stratum.
        """
        error = check_positive("se", se, zero=True)
        count, claims = self._claims(size)
        counts = np.bincount(deal_seats(self.sizes, claims, count)[0], minlength=len(self.sizes))
        found = []
        for w in self.contrasts.T:
            inside = [w[self.stratum == code] for code in range(len(self.sizes))]
            spread = np.array([error**2 * float((part**2).mean()) for part in inside])
            found.append(_half(spread, self.sizes, counts))
        return tuple(found)

    def bears_on(self) -> tuple[int, ...]:
        """By pair, how many of the planned rows bear on it."""
        return tuple(int((w[self.rows] != 0).sum()) for w in self.contrasts.T)

    def _claims(self, size: int) -> tuple[int, np.ndarray]:
        """The size, checked, and what part of the scores each stratum should have."""
        least, most = int(np.minimum(self.sizes, 2).sum()), int(self.sizes.sum())
        count = check_int("size", size, low=1)
        if not least <= count <= most:
            raise InputError(
                f"'size' must be in [{least}, {most}]: two examples of each stratum at least, and "
                f"at most those in which the selections differ. Got {count}."
            )
        return count, _claims(self.contrasts, self.stratum)


@dataclass(frozen=True, slots=True)
class GoldDifference(Interval):
    """mean of A − mean of B on trusted scores, in levels, with its 95 % interval.

    Attributes:
        value: the estimate; NaN where a stratum has no score.
        low: lower end; NaN too where there are too few scores.
        high: upper end.
        plain: the same without the curated scores (Horvitz and Thompson, λ = 0).
        trust: λ, how far the curated score stands in for a trusted one; mean over the folds.
        n: scores that bear on it, without those known before.
        n_planned: rows of the plan that do.
    """

    plain: Interval = field(default_factory=lambda: Interval(float("nan")))
    trust: float = 0.0
    n: int = 0
    n_planned: int = 0


def plan_gold_between(
    scores: Scores,
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    size: int | None = None,
    gold: Values | None = None,
    groups: Groups | None = None,
    keys: Keys | None = None,
    seed: int = 0,
) -> PlanBetween:
    """Choose examples for trusted scores that tell two selections, or several pairs, apart.

    Rows are drawn by permanent random numbers (Ohlsson 1995): the same call with a larger size
    extends the plan, and plans of other pairs share as many rows with it as their strata allow.

    Args:
        scores: (n,) curated scores, NaN where there is none. They cut strata and are f: nothing of
            them may come from the scores that the plan asks for.
        pairs: the rows of A and those of B, for each pair. For a random selection as B give all
            the rows that it is drawn from: its mean is theirs.
        size: how many examples to score; two a stratum or more. Default: 200, or all there are.
        gold: (n,) trusted scores that are there already, NaN elsewhere. They may have taught the
            curation: they count with certainty.
        groups: (n,) labels; of rows with equal labels one is asked for. Default: equal ``keys``.
        keys: (n,) whole numbers that identify the content (Pool.keys). Default: the row number.
        seed: the same seed gives the same plan, and extends it.

    Raises:
        InputError: selections that are empty, alike, or outside the pool; a size that does not
            fit; shapes that do not fit.
    """
    values = check_scores("scores", scores)
    n = len(values)
    order_keys = check_keys(keys, n)
    seed = check_int("seed", seed, low=0)
    known, _ = check_gold(gold, n, None)
    predictions = np.where(np.isnan(values), np.nanmean(values), values)
    labels, first = known_labels(groups, keys, n), np.arange(n)
    if labels is not None:  # one with a score already stands for the others
        first = first_of(labels, np.lexsort((order_keys, np.isnan(known))))
    contrasts = np.zeros((n, len(pairs)))
    for q, (a, b) in enumerate(_checked(pairs, n)):
        w = np.zeros(n)
        w[a] += 1 / len(a)
        w[b] -= 1 / len(b)
        together = np.bincount(first, w, n)
        contrasts[:, q] = np.where(np.abs(together) > SAME * np.abs(w).max(), together, 0.0)
        if not contrasts[:, q].any():
            raise InputError(
                "The two selections differ in exact copies alone: there is nothing to decide."
            )
    needed = (contrasts != 0).any(axis=1)
    known = np.where(needed, known, np.nan)
    stratum = _strata(contrasts, predictions, needed & np.isnan(known), seed)
    plan = PlanBetween(
        rows=np.empty(0, np.int64),
        strata=np.empty(0, np.int64),
        probabilities=np.empty(0),
        stratum=stratum,
        sizes=np.bincount(stratum[stratum >= 0]),
        contrasts=contrasts,
        predictions=predictions,
        known=known,
    )
    usual = min(USUAL, int(plan.sizes.sum()))
    count, claims = plan._claims(usual if size is None else size)
    shuffle = random_order_keys(order_keys, seed, stream=107)
    rows, strata, probabilities = draw_rows(
        stratum, plan.sizes, claims, count, keys=order_keys, shuffle=shuffle
    )
    return replace(plan, rows=rows, strata=strata, probabilities=probabilities)


def gold_between(plan: PlanBetween, gold: Values) -> tuple[GoldDifference, ...]:
    """Estimate mean of A − mean of B, for every pair of a plan, from the scores that came back.

    A plan that was scored in part is still right, as long as what was left out was not left out
    for its quality.

    Args:
        plan: the plan, as it was made before anything was scored.
        gold: (n,) trusted scores, NaN where there is none; of rows that were not planned they are
            not used.

    Raises:
        InputError: lengths that differ, scores that are infinite or below 0.
    """
    given, _ = check_gold(gold, len(plan.stratum), None)
    scored = ~np.isnan(given[plan.rows])
    rows, strata = plan.rows[scored], plan.strata[scored]
    sure = np.flatnonzero(~np.isnan(plan.known))
    inside = plan.stratum >= 0
    found = []
    for w, n_planned in zip(plan.contrasts.T, plan.bears_on(), strict=True):
        touched = np.bincount(plan.stratum[inside], np.abs(w[inside])) > 0
        led = w * plan.predictions
        means = np.bincount(plan.stratum[inside], led[inside]) / plan.sizes
        sample = _Sample(
            z=w[rows] * given[rows],
            g=led[rows] - means[strata],
            w=w[rows],
            strata=strata,
            sizes=np.where(touched, plan.sizes, 0),
            counts=np.bincount(strata, minlength=len(plan.sizes)) * touched,
        )
        certain = float(w[sure] @ plan.known[sure])
        found.append(_difference(sample, certain, int((w[rows] != 0).sum()), n_planned))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Sample:
    """What was scored, for one pair.

    Attributes:
        z: (m,) w y.
        g: (m,) w f less its mean over the stratum.
        w: (m,) the weights.
        strata: (m,) codes.
        sizes: (h,) rows of each stratum, 0 where none of them bears on the pair.
        counts: (h,) scored rows of each.
    """

    z: np.ndarray
    g: np.ndarray
    w: np.ndarray
    strata: np.ndarray
    sizes: np.ndarray
    counts: np.ndarray

    def total(self, e: np.ndarray) -> float:
        """Σ_h N_h / n_h Σ e."""
        return float(self.sizes @ (self._sums(e) / np.maximum(self.counts, 1)))

    def spread(self, e: np.ndarray) -> np.ndarray:
        """(h,) Variance of e in each stratum, leaning on what all strata say of y − λ f."""
        few = np.maximum(self.counts, 1)
        inside = self._sums((e - (self._sums(e) / few)[self.strata]) ** 2)
        scale = self._sums(self.w**2) / few
        freedom = np.maximum(self.counts - 1, 0)
        own = inside[scale > 0] / scale[scale > 0]
        pooled = scale * own.sum() / max(freedom[scale > 0].sum(), 1)
        rare = scale * UNSEEN / max(self.counts.sum(), 1)
        return np.asarray((inside + BORROWED * pooled) / (freedom + BORROWED) + rare)

    def best(self, rows: np.ndarray) -> float:
        """λ of least variance, from the rows marked, shrunk by how sure it is that it is not 0."""
        part = self.strata[rows]
        counts = np.bincount(part, minlength=len(self.sizes))
        few = np.maximum(counts, 1)
        apart = [
            one - (np.bincount(part, one, len(self.sizes)) / few)[part]
            for one in (self.z[rows], self.g[rows])
        ]
        lean = (self.sizes**2 / (few * np.maximum(counts - 1, 1)))[part]
        own = float(lean @ apart[1] ** 2)
        if own <= 0:
            return 0.0
        found = float(lean @ (apart[0] * apart[1])) / own
        error = float(np.sum((lean * apart[1] * (apart[0] - found * apart[1])) ** 2)) / own**2
        return found * max(0.0, 1 - error / found**2) if found else 0.0

    def _sums(self, e: np.ndarray) -> np.ndarray:
        return np.bincount(self.strata, e, len(self.sizes))


def _difference(sample: _Sample, certain: float, n: int, n_planned: int) -> GoldDifference:
    if (sample.counts[sample.sizes > 0] == 0).any():
        return GoldDifference(float("nan"), n=n, n_planned=n_planned)
    # within a stratum neighbours in the plan's order are of different folds
    place = np.argsort(np.argsort(sample.strata, kind="stable"), kind="stable")
    folds = place % N_FOLDS
    trust = np.array([sample.best(folds != fold) for fold in range(N_FOLDS)])

    def interval(e: np.ndarray, more: float = 0.0) -> Interval:
        value = certain + sample.total(e)
        half = _half(sample.spread(e), sample.sizes, sample.counts, more)
        return Interval(value, value - half, value + half)

    # λ Σ w f of the rows that could be drawn: what is subtracted at each of them adds up to it,
    # but for how far the folds' λ are apart, which no share of the rows that is scored takes away
    apart = (trust[folds] - trust.mean()) * sample.g
    lean = (sample.sizes / np.maximum(sample.counts, 1))[sample.strata]
    more = float(((lean * apart) ** 2).sum())
    led = interval(sample.z - trust[folds] * sample.g, more)
    return GoldDifference(
        led.value,
        led.low,
        led.high,
        plain=interval(sample.z),
        trust=float(trust.mean()),
        n=n,
        n_planned=n_planned,
    )


def _half(spread: np.ndarray, sizes: np.ndarray, counts: np.ndarray, more: float = 0.0) -> float:
    """Half-width of the 95 % interval from the variances of strata, and ``more``; NaN: too few."""
    parts = spread * sizes**2 * (1 - counts / np.maximum(sizes, 1)) / np.maximum(counts, 1)
    open_ = parts > 0
    if not open_.any():
        return Z * float(np.sqrt(more))
    freedom = float(np.maximum(counts - 1, 0)[open_].sum())
    if freedom < LEAST_FREEDOM:
        return float("nan")
    own = np.maximum(counts[open_] - 1 + BORROWED, 1.0)
    satterthwaite = float(parts.sum() ** 2 / (parts[open_] ** 2 / own).sum())
    return student(min(freedom, satterthwaite) + 2) * float(np.sqrt(parts.sum() + more))


def _checked(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], n: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    if not len(pairs):
        raise InputError("'pairs' is empty. Give the rows of two selections.")
    for pair in pairs:
        a, b = (np.unique(check_index("pairs", rows, n)) for rows in pair)
        if not (len(a) and len(b)):
            raise InputError("'pairs' must hold the rows of two selections. Got none for one.")
        if np.array_equal(a, b):
            raise InputError("The two selections hold the same rows: there is nothing to decide.")
        yield a, b


def _strata(
    contrasts: np.ndarray, predictions: np.ndarray, asked: np.ndarray, seed: int
) -> np.ndarray:
    """(n,) Codes: rows of like weights, cut by predictions as finely as they bear on the pairs."""
    rows = np.flatnonzero(asked)
    if not len(rows):
        raise InputError("Every example in which the selections differ has a score already.")
    like = np.round(contrasts[rows] / np.abs(contrasts).max(axis=0), 6)
    _, pattern = np.unique(like, axis=0, return_inverse=True)
    pattern = pattern.reshape(-1)
    claims = _claims(contrasts[rows], pattern)
    rare = (claims < 0.5 / N_STRATA)[pattern]
    pattern = np.where(rare, len(claims), pattern)
    stratum = np.full(len(asked), -1, dtype=np.int64)
    last = 0
    for one in np.unique(pattern):
        inside = rows[pattern == one]
        share = claims[one] if one < len(claims) else 0.0
        cuts = np.arange(1, max(round(share * N_STRATA), 1)) / max(round(share * N_STRATA), 1)
        ends = np.unique(np.quantile(predictions[inside], cuts, method="lower"))
        _, code = np.unique(np.searchsorted(ends, predictions[inside]), return_inverse=True)
        stratum[inside] = last + code.reshape(-1)
        last = int(stratum.max()) + 1
    shuffled = np.random.default_rng([seed, 107]).permutation(last)
    stratum[rows] = shuffled[stratum[rows]]
    return stratum


def _claims(contrasts: np.ndarray, stratum: np.ndarray) -> np.ndarray:
    """(h,) What part of the scores each stratum should have: Neyman's, spreads taken as equal."""
    inside = stratum >= 0
    sums = np.stack([np.bincount(stratum[inside], np.abs(w[inside])) for w in contrasts.T])
    open_ = sums.any(axis=1)  # a pair whose rows all have a score asks for none
    return np.asarray((sums[open_] / sums[open_].sum(axis=1, keepdims=True)).mean(axis=0))
