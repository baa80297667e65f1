"""What a class means, which no likelihood knows: what raters say in it, and so its place.

EM may spend a class on anything, so neither a class's number nor the heaviest diagonal says what it
is. Its value is what raters give in it:

    v[i] = mean over raters m of (E_m[score | class i] − E_m[score]) / sd_m[score]

and classes are ordered by it. A level that hardly anybody uses has no class of its own.

For a rater whose scores rise with the truth, the mean of what the others say of the same rows rises
with the rater's level. Where a lower level's rows are scored clearly *higher* by the others than a
higher level's, the two are out of order: swapped in a file, or filled with rows that were never
rated (`find_swapped_levels`).
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float

from ds2.arrays import Scores
from ds2.checks import check_gold, check_int, check_table
from ds2.errors import Caution
from ds2.levels import nearest_level
from ds2.noise.panel import Panel, called, look_at

__all__ = [
    "SwappedLevels",
    "class_values",
    "find_swapped_levels",
    "in_order",
    "in_stochastic_order",
    "ordered_raters",
    "swapped_levels",
    "used_levels",
]

#: A level that raters give to a smaller share of their ratings on average has no class.
UNUSED = 0.005
#: The chance that an honest rater is named at all.
FALSE_ALARM = 0.001
#: Each judge counts as saying so from this many standard errors.
SAYS_SO = 1.64
#: A level with fewer common rows is not judged.
MIN_ROWS = 10


def used_levels(scores: np.ndarray, n_scores: int, gold: np.ndarray | None = None) -> np.ndarray:
    """(s,) whether a level has a class; two levels at least have one.

    Args:
        scores: (n, r) levels, NaN (or −1) where missing.
        n_scores: s.
        gold: (n,) trusted scores, NaN where unknown: what they use has a class.
    """
    shares = np.zeros(n_scores)
    for column in scores.T:
        present = column[column >= 0].astype(np.int64)
        if len(present):
            shares += np.bincount(present, minlength=n_scores) / len(present) / scores.shape[1]
    used = shares >= UNUSED
    if gold is not None:
        used[np.unique(nearest_level(gold[~np.isnan(gold)]).astype(np.int64))] = True
    if used.sum() < 2:
        used[np.argsort(-shares, kind="stable")[:2]] = True
    return np.asarray(used)


def class_values(matrices: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """(s,) what raters say in each class, in standard deviations of each rater's scores.

    Args:
        matrices: (r, s, s) rows true, columns observed.
        prior: (s,) shares of the classes.
    """
    levels = np.arange(matrices.shape[2])
    said = matrices @ levels  # (r, s) E_m[score | class]
    mean = said @ prior
    spread = np.sqrt(np.maximum((matrices @ levels**2) @ prior - mean**2, 0.0))
    away = said - mean[:, None]
    told = np.divide(away, spread[:, None], out=np.zeros_like(away), where=spread[:, None] > 1e-9)
    return np.asarray(told.mean(axis=0))


def in_stochastic_order(counts: np.ndarray) -> np.ndarray:
    """(c, s) rows nearest to the shares of ``counts`` (c, s), each saying no less than the last.

    P(score ≤ a | class) must not rise from class to class. Each of these columns is replaced by its
    isotonic regression, weighted by the classes' counts: least squares, since more than two rows
    have no maximum of the likelihood in closed form. The regression keeps the order of columns, so
    what comes out are distributions; rows that are in order stay as they are.
    """
    from scipy.optimize import isotonic_regression

    weights = np.maximum(counts.sum(axis=1), 1e-12)
    below = counts.cumsum(axis=1)[:, :-1] / weights[:, None]
    if (np.diff(below, axis=0) > 0).any():
        below = np.column_stack(
            [isotonic_regression(b, weights=weights, increasing=False).x for b in below.T]
        )
    return np.diff(below, axis=1, prepend=0.0, append=1.0)


def in_order(
    matrices: np.ndarray, prior: np.ndarray, used: np.ndarray | None = None
) -> np.ndarray | None:
    """The order of the classes: by value for several raters, else by the heaviest diagonal.

    Args:
        matrices: (r, s, s).
        prior: (s,).
        used: (s,) levels that have a class; the others keep their place.

    Returns:
        (s,) for each level its class; None where they are in order already.
    """
    places = np.arange(len(prior))
    if len(matrices) > 1:
        alive = places if used is None else np.flatnonzero(used)
        order = places.copy()
        values = class_values(matrices, prior)[alive]
        order[alive] = alive[np.argsort(values, kind="stable")]
    else:
        from scipy.optimize import linear_sum_assignment

        classes, levels = linear_sum_assignment(-prior[:, None] * matrices.sum(axis=0))
        order = classes[np.argsort(levels)]
    return None if (order == places).all() else np.asarray(order)


@dataclass(frozen=True, slots=True)
class SwappedLevels:
    """Two levels of a rater that are out of order.

    Attributes:
        rater: the column of the scores.
        lower: the lower level.
        higher: the higher level, whose rows the others score lower.
        gap: how much lower, in standard deviations of the others' mean.
        z: the same in standard errors.
        judges: the raters (and −1 for gold) that say so.
        certain: whether more than half of at least two judges say so; with one judge it may as
            well be the judge whose levels are out of order.
        sentence: the finding in words, this pair and the rater's others together.
    """

    rater: int
    lower: int
    higher: int
    gap: float
    z: float
    judges: tuple[int, ...]
    certain: bool
    sentence: Caution


#: The fields of `SwappedLevels` but for the sentence, which is of all cases of a rater.
_Case = tuple[int, int, int, float, float, tuple[int, ...], bool]


def find_swapped_levels(
    scores: Float[np.ndarray, "n r"],
    n_scores: int,
    *,
    gold: Scores | None = None,
    names: tuple[str, ...] | None = None,
    false_alarm: float = FALSE_ALARM,
) -> tuple[SwappedLevels, ...]:
    """Find raters with levels out of order, from what the other raters say.

    Args:
        scores: (n, r) whole numbers 0 … n_scores − 1, NaN where missing.
        n_scores: how many levels there are.
        gold: (n,) trusted scores, NaN where unknown: one more judge.
        names: (r,) what to call the raters in the sentences; default "rater 1" and so on.
        false_alarm: probability that a rater without such levels is named.

    Returns:
        One `SwappedLevels` per pair of levels, the clearest first; empty where all is in order.

    Raises:
        InputError: scores that are no whole numbers in range, a rater without any score.
    """
    n_scores = check_int("n_scores", n_scores, low=2, high=100)
    values = check_table("scores", scores, n_scores=n_scores)
    trusted, _ = check_gold(gold, len(values), n_scores)
    who = called(names, values.shape[1])
    return swapped_levels(
        values, n_scores, look_at(values), trusted, names=who, false_alarm=false_alarm
    )


def swapped_levels(
    values: np.ndarray,
    n_scores: int,
    panel: Panel,
    trusted: np.ndarray,
    *,
    names: tuple[str, ...],
    false_alarm: float = FALSE_ALARM,
) -> tuple[SwappedLevels, ...]:
    """`find_swapped_levels` of raters that were looked at; ``trusted`` (n,) may be all NaN."""
    from scipy.special import ndtri

    table = values if np.isnan(trusted).all() else np.column_stack([values, trusted])
    scaled = (table - np.nanmean(table, axis=0)) / np.maximum(np.nanstd(table, axis=0), 1e-12)
    r = values.shape[1]
    aside = {*panel.constant, *panel.contrary, *(m for m in range(r) if panel.speaks[m] != m)}
    bar = -float(ndtri(false_alarm / (n_scores * (n_scores - 1) / 2)))
    found: list[_Case] = []
    for m in range(r):
        judges = [j for j in range(table.shape[1]) if j not in {*panel.group_of(m), *aside}]
        if m in aside or panel.opposed or not judges:
            continue
        means, errors = _by_level(values[:, m], scaled[:, judges], n_scores)
        for low, high in combinations(range(n_scores), 2):
            gaps = means[low] - means[high]
            zs = gaps / np.maximum(np.sqrt(errors[low] ** 2 + errors[high] ** 2), 1e-12)
            said = [j for j, z in zip(judges, zs[1:], strict=True) if z >= SAYS_SO]
            certain = len(judges) >= 2 and 2 * len(said) > len(judges)
            if not zs[0] >= bar or (len(judges) >= 2 and not certain):
                continue
            who = tuple(j if j < r else -1 for j in said)
            found.append((m, low, high, float(gaps[0]), float(zs[0]), who, certain))
    found.sort(key=lambda case: -case[4])
    said_of = {m: _words(names[m], [case for case in found if case[0] == m]) for m, *_ in found}
    return tuple(SwappedLevels(*case, sentence=said_of[case[0]]) for case in found)


def ordered_raters(values: np.ndarray, n_scores: int, panel: Panel) -> np.ndarray:
    """(r,) who agrees with the others, and has no levels that are seen to be out of order."""
    n, r = values.shape
    ordered = np.zeros(r, dtype=bool)
    if panel.agrees:
        ordered[list(panel.heard)] = True
        cases = swapped_levels(values, n_scores, panel, np.full(n, np.nan), names=("",) * r)
        ordered[[case.rater for case in cases]] = False
    return ordered


def _by_level(own: np.ndarray, judges: np.ndarray, n_scores: int) -> tuple[np.ndarray, np.ndarray]:
    """(s, 1 + j) Means of the judges' mean and of each judge, by level, and their errors."""
    with np.errstate(invalid="ignore"):
        known = (~np.isnan(judges)).sum(axis=1)
        mean = np.where(known > 0, np.nansum(judges, axis=1) / np.maximum(known, 1), np.nan)
    columns = np.column_stack([mean, judges])
    means, errors = (np.full((n_scores, columns.shape[1]), np.nan) for _ in range(2))
    for level in range(n_scores):
        rows = columns[own == level]
        for c, column in enumerate(rows.T):
            present = column[~np.isnan(column)]
            if len(present) >= MIN_ROWS:
                means[level, c] = present.mean()
                errors[level, c] = present.std(ddof=1) / np.sqrt(len(present))
    return means, errors


def _words(name: str, cases: list[_Case]) -> Caution:
    """One sentence for all pairs of levels of one rater, the clearest first."""
    _, lower, higher, gap, *_, certain = cases[0]
    pairs_of_levels = [list(case[1:3]) for case in cases]
    pairs = [f"{low} and {high}" for low, high in pairs_of_levels]
    more = f", and so are {', '.join(pairs[1:])}" if len(pairs) > 1 else ""
    text = (
        f"Levels {pairs[0]} of {name} are out of order: the others score the rows of level "
        f"{lower} higher than those of level {higher} (by {gap:.2f} standard "
        f"deviations){more}."
    )
    then = "It may as well be the other rater's levels; a third rater or gold would tell."
    if certain:
        then = f"Look whether the levels were swapped, or unrated rows stand as {lower}."
    return Caution("swapped-levels", f"{text} {then}", rater=name, levels=pairs_of_levels)
