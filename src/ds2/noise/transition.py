"""`estimate_transition`: raters' errors, from what neighbours, other raters and gold say."""

import warnings
from dataclasses import replace

import numpy as np
from jaxtyping import Shaped

from ds2.arrays import Scores, Values
from ds2.checks import check_fraction, check_int, check_positive, check_scores, check_weights
from ds2.errors import Ds2Warning, InputError
from ds2.neighbors import Neighbors
from ds2.noise.estimate import TransitionEstimate
from ds2.noise.evidenced import with_gold, with_repeats
from ds2.noise.findings import describe
from ds2.noise.panel import check_mean, check_trust, look_at
from ds2.noise.raters import check_gold, check_raters
from ds2.noise.several import estimate_pair, estimate_several, for_each_column
from ds2.noise.single import Wanted, estimate_single

__all__ = ["estimate_transition"]

#: Fewer gold rows, or repeats, than this choose no rho.
MIN_GOLD = 10
MIN_REPEATS = 30
#: From this many repeats on, they are a second look through the same matrix.
MANY_REPEATS = 500


def estimate_transition(
    scores: Shaped[np.ndarray, "n *r"],
    neighbors: Neighbors,
    *,
    n_scores: int,
    rho: float | str = "auto",
    n_neighbors: int | str = "auto",
    ordinal_prior: float = 0.0,
    n_bootstrap: int = 200,
    n_starts: int = 9,
    gold: Scores | None = None,
    gold_weights: Values | None = None,
    repeats: Shaped[np.ndarray, "n *r"] | None = None,
    seed: int = 0,
) -> TransitionEstimate:
    """Estimate the score transition matrix T and the prior p.

    One rater: the scores of an example and of pairs of its neighbours are counted (exact
    duplicates once), and T and p are the maximum likelihood given those counts (Zhu, Song and
    Liu, ICML 2021, arXiv 2102.05291; solved by EM). The assumption is that neighbours share the
    true score with excess probability ``rho``. The counts hardly tell rho: without evidence the
    matrix at ``rho`` = 1 is the rater's noise *and* whatever neighbours do not share, so read
    ``range`` and ``lift`` with it. Gold rows, or repeats, choose rho; gold corrects T as well.

    Several raters: what they say of the same example and of its neighbour, counted in pairs,
    determines every rater's T and rho together, as long as their errors are independent given
    the truth. Gold corrects each T. Columns that are one rater twice count as one.

    Trusted scores that do not go with the ratings, or go against them, are not used; a warning says
    so (`ds2.noise.panel`).

    Args:
        scores: (n,) or (n, r) whole numbers 0 … n_scores − 1, NaN where unrated.
        neighbors: the pool's neighbour graph.
        n_scores: how many levels the score has.
        rho: excess probability that a neighbour shares the true score, in (0, 1], or "auto": what
            the evidence says, 1 (the paper's) where there is none.
        n_neighbors: count pairs among this many nearest neighbours (2: the paper), or "auto": as
            many as keep at least 0.9 of the lift of the first two.
        ordinal_prior: strength, in examples per score, of a prior that a near level is a
            likelier error than a far one. A few tens steady small pools. 0: none for one rater,
            4 for several.
        n_bootstrap: rounds behind the 95 % intervals of one rater; 0 for none. Intervals of
            several raters come from the information of the likelihood.
        n_starts: EM starts, all with most mass on the diagonal; the best likelihood is kept.
        gold: (n,) trusted scores on the level scale (fractions allowed), NaN where unknown; used
            from 10 rows on.
        gold_weights: (n,) inverse inclusion probabilities of the gold rows; default equal.
        repeats: (n,) or (n, r) second, fresh scores of the same raters, NaN where there are none;
            used for one rater without gold, from 30 rows on.
        seed: the same seed gives the same estimate.

    Returns:
        `TransitionEstimate`.

    Raises:
        InputError: scores that are no whole numbers in range, all missing, or of another length
            than the graph; raters that cancel each other out; gold off the scale; settings out of
            range.

    Warns:
        Ds2Warning: once for each finding in the result's ``warnings``.
    """
    wanted = Wanted(
        n_scores=check_int("n_scores", n_scores, low=2, high=100),
        n_neighbors=n_neighbors,
        ordinal_prior=check_positive("ordinal_prior", ordinal_prior, zero=True),
        n_bootstrap=check_int("n_bootstrap", n_bootstrap, low=0),
        n_starts=check_int("n_starts", n_starts, low=1),
        seed=check_int("seed", seed, low=0),
    )
    values = _check_table("scores", scores, neighbors, wanted.n_scores)
    given = None if rho == "auto" else check_fraction("rho", rho, open_low=True)
    trusted, weights = _check_gold(gold, gold_weights, neighbors, wanted.n_scores)
    again = None
    if repeats is not None:
        again = _check_table("repeats", repeats, neighbors, wanted.n_scores)
        if again.shape != values.shape:
            raise InputError(
                f"'repeats' must have the shape of 'scores', {values.shape}. Got {again.shape}."
            )
    check_mean(values)
    panel = look_at(values, gold=trusted, weights=weights)
    said = list(panel.sentences)
    if trusted is not None:
        trust = check_trust(values, trusted, weights, panel)
        if trust.contradicts:
            said.append(trust.sentence)
        if trust.contradicts or (panel.opposed and trust.state != "agrees"):
            trusted = None
    first = np.array([panel.group_of(m)[0] for m in range(values.shape[1])])
    distinct = np.setdiff1d(first, panel.constant)
    if not len(distinct):
        distinct = first[:1]
    if len(distinct) > 1:
        estimate = estimate_several(
            values[:, distinct],
            neighbors,
            wanted,
            gold=trusted,
            gold_weights=weights,
            rho=given,
            names=tuple(f"rater {m + 1}" for m in distinct),
        )
    else:
        second = None if again is None else again[:, distinct[0]]
        evidence = (trusted, weights, second)
        estimate = _one(values[:, distinct[0]], neighbors, wanted, given, evidence)
    if len(distinct) < len(first):
        estimate = for_each_column(estimate, values, distinct, first)
    heard = () if panel.opposed else panel.heard
    aside = set(range(values.shape[1])) - set(heard) if values.shape[1] > 1 else ()
    sentences = (*said, *estimate.warnings, *describe(estimate, neighbors, aside))
    for sentence in sentences:
        warnings.warn(sentence, Ds2Warning, stacklevel=2)
    return replace(estimate, warnings=sentences)


def _one(
    values: np.ndarray,
    neighbors: Neighbors,
    wanted: Wanted,
    rho: float | None,
    evidence: tuple[np.ndarray | None, np.ndarray, np.ndarray | None],
) -> TransitionEstimate:
    """One rater, with the best evidence of rho (gold, its weights, repeats) that there is."""
    trusted, weights, repeats = evidence
    n_repeats = 0 if repeats is None else int((~np.isnan(repeats) & ~np.isnan(values)).sum())
    repeated = rho is None and n_repeats >= MIN_REPEATS
    ranged = trusted is None and not repeated
    single = estimate_single(
        values, neighbors, wanted, rho=1.0 if rho is None else rho, ranged=ranged
    )
    if trusted is not None:
        return with_gold(single, values, neighbors, trusted, weights, rho=rho, seed=wanted.seed)
    if repeated and repeats is not None:
        if n_repeats >= MANY_REPEATS:
            return estimate_pair(single.estimate, values, repeats, neighbors, wanted)
        return with_repeats(single, values, repeats, seed=wanted.seed)
    return single.estimate


def _check_table(name: str, scores: object, neighbors: Neighbors, n_scores: int) -> np.ndarray:
    """(n, r) scores, every column checked."""
    if np.ndim(scores) == 2:  # type: ignore[arg-type]
        if name == "scores":
            return check_raters(scores, n_scores, n_rows=neighbors.n)
        table = np.asarray(scores, dtype=np.float64)
        if np.isnan(table).all():
            return table
        present = [m for m in range(table.shape[1]) if not np.isnan(table[:, m]).all()]
        check_raters(table[:, present], n_scores, n_rows=neighbors.n)
        return table
    return check_scores(name, scores, n_rows=neighbors.n, n_scores=n_scores)[:, None]


def _check_gold(
    gold: object, weights: object, neighbors: Neighbors, n_scores: int
) -> tuple[np.ndarray | None, np.ndarray]:
    """Gold with enough rows to be used, or None; and a weight for every row."""
    trusted = check_gold(gold, neighbors.n, n_scores)
    if weights is None or trusted is None:
        w = np.ones(neighbors.n)
    else:
        w = check_weights("gold_weights", weights, neighbors.n)
    if trusted is None or int((~np.isnan(trusted) & (w > 0)).sum()) < MIN_GOLD:
        return None, w
    return trusted, w
