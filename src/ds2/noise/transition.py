"""`estimate_transition`: raters' errors, from what neighbours, other raters and gold say."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Shaped

from ds2.arrays import Scores, Values
from ds2.checks import (
    check_fraction,
    check_gold,
    check_int,
    check_like,
    check_positive,
    check_table,
)
from ds2.errors import warn
from ds2.levels import nearest_level
from ds2.neighbors import Neighbors
from ds2.noise.estimate import TransitionEstimate, describe
from ds2.noise.panel import hear
from ds2.noise.several import estimate_several, for_each_column
from ds2.noise.single import Wanted, estimate_one

__all__ = ["estimate_transition"]

#: Fewer gold rows than this are not used.
MIN_GOLD = 10


def estimate_transition(
    scores: Shaped[np.ndarray, "n *r"],
    neighbors: Neighbors,
    *,
    n_scores: int,
    rho: float | str = "auto",
    n_neighbors: int | str = "auto",
    ordinal_prior: int | float | str = "auto",
    n_bootstrap: int = 200,
    n_starts: int = 9,
    gold: Scores | None = None,
    gold_weights: Values | None = None,
    repeats: Shaped[np.ndarray, "n *r"] | None = None,
    names: Sequence[str] | None = None,
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
            likelier error than a far one; 0 is none. A few tens steady small pools. "auto" is 0
            for one rater and 4 for several.
        n_bootstrap: rounds behind the 95 % intervals of one rater; 0 for none. Intervals of
            several raters come from the information of the likelihood and from what the ordinal
            prior decides.
        n_starts: EM starts, all with most mass on the diagonal; the best likelihood is kept.
        gold: (n,) trusted scores on the level scale (fractions allowed), NaN where unknown; used
            from 10 rows on.
        gold_weights: (n,) inverse inclusion probabilities of the gold rows; default equal.
        repeats: (n,) or (n, r) second, fresh scores of the same raters, NaN where there are none;
            fractions count as the nearest level. Used for one rater, from 30 rows on. (Of several
            raters, the others say more.)
        names: (r,) what sentences call the raters. Default: "rater 1" and so on.
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
        ordinal_prior=(
            None
            if ordinal_prior == "auto"
            else check_positive("ordinal_prior", ordinal_prior, zero=True)
        ),
        n_bootstrap=check_int("n_bootstrap", n_bootstrap, low=0),
        n_starts=check_int("n_starts", n_starts, low=1),
        seed=check_int("seed", seed, low=0),
    )
    n = neighbors.n
    values = check_table("scores", scores, n_rows=n, n_scores=wanted.n_scores)
    given = None if rho == "auto" else check_fraction("rho", rho, open_low=True)
    trusted, weights = check_gold(gold, n, wanted.n_scores, gold_weights)
    again = nearest_level(check_like("repeats", repeats, values, wanted.n_scores))
    heard = hear(values, trusted, weights, names=names)
    panel, trusted, weights = heard.panel, heard.gold, heard.weights
    if int((weights > 0).sum()) < MIN_GOLD:
        trusted, weights = check_gold(None, n, None)
    first = np.array(panel.speaks)
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
            names=tuple(heard.names[m] for m in distinct),
        )
    else:
        estimate = estimate_one(
            values[:, distinct[0]],
            neighbors,
            wanted,
            rho=given,
            gold=trusted,
            weights=weights,
            repeats=again[:, distinct[0]],
        )
    if len(distinct) < len(first):
        estimate = for_each_column(estimate, values, distinct, first)
    believed = () if panel.opposed else panel.heard
    aside = set(range(values.shape[1])) - set(believed) if values.shape[1] > 1 else ()
    sentences = (
        *heard.sentences,
        *estimate.warnings,
        *describe(estimate, neighbors, heard.names, aside),
    )
    for sentence in sentences:
        warn(sentence)
    return replace(estimate, warnings=sentences)
