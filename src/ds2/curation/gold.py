"""Which examples are worth a trusted score: a stratified sample with known probabilities.

Each stratum h (a level of the curated score, split by disagreement) is a simple random sample
without replacement of n_h of its N_h examples, so that every example has the known inclusion
probability π = n_h / N_h > 0, and estimates with weights 1/π are unbiased (Horvitz and Thompson
1952). Within a stratum rows are taken in the order of permanent random numbers, which come from the
content keys (Ohlsson 1995); seats are dealt to strata by a divisor method, in which no stratum
loses a seat when there are more of them (Balinski and Young 1982). So any prefix of a plan is the
plan of that size, and a larger plan extends a smaller one.
"""

import heapq
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ds2.arrays import Groups, Keys, Rows, Scores, Values
from ds2.checks import check_fraction, check_int, check_rows, check_scores
from ds2.errors import InputError
from ds2.keys import check_keys, random_order_keys

__all__ = [
    "GoldPlan",
    "deal_seats",
    "draw_rows",
    "first_of",
    "known_labels",
    "plan_gold",
]

#: Real-valued scores are cut at these shares of the pool: both ends get strata of their own.
CUTS = (0.1, 0.3, 0.7, 0.9)
#: More different scores than this are real-valued.
MOST_LEVELS = 10
#: The part of a level above this share is the part where raters disagree.
DISAGREE = 2 / 3


@dataclass(frozen=True, slots=True)
class GoldPlan:
    """Which examples to score, in which order, and how likely each was to be asked for.

    Attributes:
        rows: (m,) row numbers; any prefix is the plan of that size.
        strata: (m,) stratum of each; the codes are shuffled, so that they tell whoever scores
            nothing about the raters' scores.
        probabilities: (m,) inclusion probability π of each, exact.
        weights: (m,) 1 / π: how many examples of the pool each stands for.
        stratum: (n,) stratum of every example; −1 where it could not be asked for (no score, or
            the duplicate of another). Give it to `plan_gold` to extend this plan later.
        names: what each stratum holds, by code. Not for the eyes of whoever scores.
        sizes: how many examples each stratum holds, by code.
    """

    rows: Rows
    strata: np.ndarray
    probabilities: np.ndarray
    weights: np.ndarray
    stratum: np.ndarray
    names: tuple[str, ...]
    sizes: np.ndarray


def plan_gold(
    scores: Scores,
    *,
    size: int,
    disagreement: Values | None = None,
    strata: Groups | None = None,
    random_share: float = 0.5,
    groups: Groups | None = None,
    keys: Keys | None = None,
    seed: int = 0,
) -> GoldPlan:
    """Choose examples for trusted scores, so that estimates from them stay unbiased.

    A share ``random_share`` of the plan is spread over the strata as the pool is, the rest evenly,
    so that rare scores and rows that raters disagree on are asked for more often, and no weight is
    above n / (``random_share`` · size) by more than rounding.

    Args:
        scores: (n,) curated scores, NaN where unrated. Up to ten different whole numbers are one
            level each; anything else is cut at 10, 30, 70 and 90 % of the examples.
        size: how many examples to score.
        disagreement: (n,) how far raters, or candidates, are apart; NaN is none. The third of each
            level with the most is a stratum of its own.
        strata: (n,) codes from 0, −1 for rows to leave alone, in place of those made from
            ``scores`` and ``disagreement``: for a plan that extends an earlier one although scores
            have changed since (GoldPlan.stratum), or for strata of your own.
        random_share: see above; above 0.
        groups: (n,) labels; of rows with equal labels one is asked for. Default: equal ``keys``.
        keys: (n,) whole numbers that identify the content (Pool.keys). Default: the row number.
        seed: the same seed gives the same plan, and extends it.

    Returns:
        `GoldPlan`.

    Raises:
        InputError: fewer rows than strata are asked for, or more than there are; shapes that do
            not fit.
    """
    values = check_scores("scores", scores)
    n = len(values)
    share = check_fraction("random_share", random_share, open_low=True)
    seed = check_int("seed", seed, low=0)
    order_keys = check_keys(keys, n)
    spread = np.zeros(n)
    if disagreement is not None:
        check_rows("disagreement", disagreement, n)
        spread = np.nan_to_num(np.asarray(disagreement, dtype=np.float64), nan=0.0)
    labels = known_labels(groups, keys, n)
    asked = ~np.isnan(values)
    if labels is not None:
        best = np.lexsort((order_keys, -spread, -values))
        asked &= first_of(labels, best) == np.arange(n)
    if strata is None:
        stratum, names = _strata(values, spread, asked, seed)
    else:
        stratum, names = _given(strata, n, asked)
    sizes = np.bincount(stratum[stratum >= 0], minlength=len(names))
    size = check_int("size", size, low=1)
    least, most = int((sizes > 0).sum()), int(sizes.sum())
    if size < least:
        raise InputError(
            f"'size' must be at least {least}, one example for each stratum, or estimates leave "
            f"part of the pool out. Got {size}."
        )
    if size > most:
        raise InputError(f"'size' asks for {size} examples, and {most} can be scored.")
    present = sizes > 0
    claims = share * sizes / sizes.sum() + (1 - share) * present / present.sum()
    rows, seats, probabilities = draw_rows(
        stratum,
        sizes,
        claims,
        size,
        keys=order_keys,
        shuffle=random_order_keys(order_keys, seed, 101),
    )
    return GoldPlan(
        rows=rows,
        strata=seats,
        probabilities=probabilities,
        weights=1 / probabilities,
        stratum=stratum,
        names=names,
        sizes=sizes,
    )


def known_labels(groups: np.ndarray | None, keys: np.ndarray | None, n: int) -> np.ndarray | None:
    """(n,) Labels that exact duplicates share; None where every row is its own."""
    if groups is not None:
        check_rows("groups", groups, n)
        return np.asarray(groups)
    return None if keys is None else np.asarray(keys)


def first_of(labels: np.ndarray, order: np.ndarray) -> np.ndarray:
    """(n,) The row that stands for each: the first in ``order`` (n,) of those with its label."""
    _, place, inverse = np.unique(labels[order], return_index=True, return_inverse=True)
    first = np.empty(len(order), dtype=np.int64)
    first[order] = order[place[inverse.reshape(-1)]]
    return first


def _strata(
    values: np.ndarray, spread: np.ndarray, asked: np.ndarray, seed: int
) -> tuple[np.ndarray, tuple[str, ...]]:
    """(n,) Codes of the strata, −1 where not ``asked``, and what each holds."""
    rows = np.flatnonzero(asked)
    level, words = _levels(values[rows])
    far = np.zeros(len(rows), dtype=np.int64)
    for one in np.unique(level):
        inside = level == one
        far[inside] = spread[rows[inside]] > np.quantile(spread[rows[inside]], DISAGREE)
    present, code = np.unique(2 * level + far, return_inverse=True)
    shuffled = np.random.default_rng([seed, 101]).permutation(len(present))
    names = [""] * len(present)
    for number, place in zip(present, shuffled, strict=True):
        split = far[level == number // 2].any()
        part = (", most disagreement" if number % 2 else ", the rest") if split else ""
        names[place] = words[number // 2] + part
    stratum = np.full(len(values), -1, dtype=np.int64)
    stratum[rows] = shuffled[code.reshape(-1)]
    return stratum, tuple(names)


def _levels(values: np.ndarray) -> tuple[np.ndarray, list[str]]:
    different, level = np.unique(values, return_inverse=True)
    whole = bool((different == np.floor(different)).all())
    if whole and len(different) <= MOST_LEVELS:
        return level.reshape(-1), [f"score {value:g}" for value in different]
    ends = np.unique(np.quantile(values, CUTS, method="lower"))
    edges = ["the lowest", *(f"{end:.4g}" for end in ends), "the highest"]
    words = [f"scores from {low} to {high}" for low, high in pairwise(edges)]
    return np.searchsorted(ends, values, side="left"), words


def _given(strata: np.ndarray, n: int, asked: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    check_rows("strata", strata, n)
    if not np.issubdtype(np.asarray(strata).dtype, np.integer):
        raise InputError(
            "'strata' must hold whole numbers, codes from 0 and -1 for rows to leave alone. "
            f"Got {np.asarray(strata).dtype}."
        )
    stratum = np.where(asked, strata, -1).astype(np.int64)
    if stratum.max(initial=-1) < 0:
        raise InputError("'strata' leaves no rated example to ask for. Use codes from 0.")
    return stratum, tuple(f"stratum {code}" for code in range(int(stratum.max()) + 1))


def draw_rows(
    stratum: np.ndarray,
    sizes: np.ndarray,
    claims: np.ndarray,
    size: int,
    *,
    keys: np.ndarray,
    shuffle: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw from strata: the rows, the stratum of each, and its inclusion probability.

    Args:
        stratum: (n,) codes, −1 for rows that are not drawn.
        sizes: (h,) rows of each stratum.
        claims: (h,) see `deal_seats`.
        size: how many rows.
        keys: (n,) content keys.
        shuffle: (n,) random order keys; a stratum's rows are taken in their order.
    """
    ranked = np.lexsort((keys, shuffle, stratum))[int((stratum < 0).sum()) :]
    starts = np.cumsum(sizes) - sizes
    seats, ranks = deal_seats(sizes, claims, size)
    probabilities = np.bincount(seats, minlength=len(sizes)) / np.maximum(sizes, 1)
    return ranked[starts[seats] + ranks].astype(np.int64), seats, probabilities[seats]


def deal_seats(sizes: np.ndarray, claims: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Deal ``size`` seats to strata: (stratum, rank within it) of each, in order.

    Two to each stratum first (one tells nothing about its spread), then by Webster's divisors, in
    proportion to the ``claims`` (h,) of the strata as far as their ``sizes`` (h,) allow.
    """

    def turn(code: int, rank: int) -> tuple[int, float, int, int]:
        return min(rank, 2), -claims[code] / (rank + 0.5), code, rank

    queue = [turn(int(code), 0) for code in np.flatnonzero(sizes)]
    heapq.heapify(queue)
    seats = np.empty((2, size), dtype=np.int64)
    for place in range(size):
        *_, code, rank = heapq.heappop(queue)
        seats[:, place] = code, rank
        if rank + 1 < sizes[code]:
            heapq.heappush(queue, turn(code, rank + 1))
    return seats[0], seats[1]
