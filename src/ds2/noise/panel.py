"""What several raters are to each other, and whether trusted scores go with them: looked at first.

Two columns are one rater twice where one is the other after a non-decreasing map f of its levels:

    kappa = (P(b = f(a)) − chance) / (1 − chance) ≥ 0.95,       chance: of independent columns

and a mirror image where that holds of the reversed levels: they cancel out, neither is heard. Of
the others, the signs of the leading eigenvector of their rank correlations split raters who run
against each other; a minority is named. Evidence begins where those that are left agree above
chance.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ds2.checks import check_gold
from ds2.errors import Caution, InputError
from ds2.measures import Interval, Measured, measure, weighted_sum
from ds2.noise.factor import error_correlations, one_factor

__all__ = ["LEAST_GOLD", "Heard", "Panel", "hear", "look_at", "mean_z"]

#: From this kappa on two columns are one rater.
SAME = 0.95
#: Two raters need so many common rows before anything is said of them.
LEAST_COMMON = 20
#: Fewer trusted scores than this judge nothing.
LEAST_GOLD = 20
#: Trusted scores whose agreement with the ratings is surely below this do not go with them.
UNRELATED = 0.25
#: A panel stops where the mean of the z-scores spreads less than this share of the 1/√r that raters
#: who have nothing in common spread: only opposites do.
CANCELLED = 0.15
#: So many common rows show that equal columns, and nearly equal ones, are one rater.
EQUAL_ROWS, SAME_ROWS = 50, 100
#: Error correlation from which a pair is named.
ALIKE = 0.3


@dataclass(frozen=True, slots=True)
class Panel:
    """What raters are to each other.

    Attributes:
        constant: raters who gave one score only, or none: they tell nothing.
        same: groups of raters whose columns are equal, or equal after a monotone map.
        speaks: (r,) the rater that each is heard through: of its group the one with most ratings.
        contrary: raters who run against the others.
        heard: the others, one of each group and no mirror images: those whose word counts.
        opposed: whether raters run against each other and no majority says who is right.
        agrees: whether those that are heard agree above chance, on average or two of them.
        sentences: what of this a user should know.
    """

    constant: tuple[int, ...]
    same: tuple[tuple[int, ...], ...]
    speaks: tuple[int, ...]
    contrary: tuple[int, ...]
    heard: tuple[int, ...]
    opposed: bool
    agrees: bool
    sentences: tuple[Caution, ...]

    def group_of(self, rater: int) -> tuple[int, ...]:
        """The raters that are this one, itself among them."""
        return next((group for group in self.same if rater in group), (rater,))


@dataclass(frozen=True, slots=True)
class Heard:
    """Raters and trusted scores, once it is known who is to be believed.

    Attributes:
        panel: what the raters are to each other.
        agrees: whether trusted scores are seen to go with them.
        contradiction: one sentence where they do not go with them at all, or go against them: then
            nothing is concluded from them. None otherwise.
        gold: (n,) trusted scores; all NaN where they contradict the ratings.
        weights: (n,) theirs, 0 where there is none.
        names: (r,) what sentences call the raters.
    """

    panel: Panel
    agrees: bool
    contradiction: Caution | None
    gold: np.ndarray
    weights: np.ndarray
    names: tuple[str, ...]

    @property
    def sentences(self) -> tuple[Caution, ...]:
        """What a user should know."""
        return (*self.panel.sentences, *((self.contradiction,) if self.contradiction else ()))


def called(names: Sequence[str] | None, n: int) -> tuple[str, ...]:
    """What each of ``n`` raters is called in a sentence: by default "rater 1" and so on.

    Raises:
        InputError: ``names`` are not as many.
    """
    found = tuple(f"rater {m + 1}" for m in range(n)) if names is None else tuple(names)
    if len(found) != n:
        raise InputError(f"'names' must have one for each of the {n} raters. Got {len(found)}.")
    return found


def hear(
    scores: np.ndarray,
    gold: np.ndarray,
    weights: np.ndarray,
    blocks: np.ndarray | None = None,
    names: Sequence[str] | None = None,
) -> Heard:
    """Look at the raters, and at trusted scores, before anything is concluded from either.

    Args:
        scores: (n, r) whole numbers, NaN where missing.
        gold: (n,) trusted scores, NaN where unknown.
        weights: (n,) inverse inclusion probabilities, 0 where unknown.
        blocks: (n,) rows that do not tell more than one (neighbourhoods), for the intervals.
        names: (r,) what sentences call the raters.

    Raises:
        InputError: raters that cancel each other out.
    """
    names = called(names, scores.shape[1])
    _check_mean(scores, names)
    panel = look_at(scores, blocks, gold=gold, weights=weights, names=names)
    agrees, contradiction = _check_trust(scores, gold, weights, panel, names)
    if contradiction or (panel.opposed and not agrees):
        gold, weights = check_gold(None, len(gold), None)
    return Heard(panel, agrees, contradiction, gold, weights, names)


def mean_z(values: np.ndarray) -> np.ndarray:
    """(n,) mean over raters (n, r) of z-scores over the ratings present; NaN where none is.

    A rater of one score has no z-score: it counts for nothing where another has rated.
    """
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    filled = np.where(known, values, 0.0)
    centre = filled.sum(axis=0) / np.maximum(count, 1)
    away = np.where(known, values - centre, 0.0)
    spread = np.sqrt((away**2).sum(axis=0) / np.maximum(count, 1))
    z = np.divide(away, spread, out=np.zeros_like(away), where=spread > 0)
    raters = (known & (spread > 0)).sum(axis=1)
    nothing = np.where(known.any(axis=1), 0.0, np.nan)
    mean = np.divide(z.sum(axis=1), raters, out=nothing, where=raters > 0)
    return np.asarray(np.round(mean, 9) + 0.0)  # equal in theory is equal here


def _check_mean(scores: np.ndarray, names: Sequence[str]) -> None:
    """Stop where raters cancel out: their mean is the same (nearly) everywhere, they are not."""
    told = [m for m, column in enumerate(scores.T) if _largest_share(column) < 1]
    several = (~np.isnan(scores)).sum(axis=1) >= 2
    if len(told) < 2 or several.mean() < 0.5:
        return
    mean = mean_z(scores)[several]
    if mean.std() >= CANCELLED / np.sqrt(len(told)):
        return
    who = " and ".join(names[m] for m in told)
    raise InputError(
        f"The mean of the raters is the same for nearly every example: {who} cancel each other "
        "out, as the mirror image of a column does. Turn the scale of one of them round, or leave "
        "one out."
    )


def look_at(
    scores: np.ndarray,
    blocks: np.ndarray | None = None,
    *,
    gold: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    names: Sequence[str] | None = None,
) -> Panel:
    """Find columns that are one rater, raters who run against the others, and the agreement.

    Args:
        scores: (n, r) whole numbers 0 … s − 1, NaN where missing.
        blocks: (n,) rows that do not tell more than one (neighbourhoods), for the intervals.
        gold: (n,) trusted scores: nobody is left out who goes with them.
        weights: (n,) of the gold rows.
        names: (r,) what sentences call the raters.
    """
    names = called(names, scores.shape[1])
    told = [m for m, column in enumerate(scores.T) if _largest_share(column) < 1]
    same, mirrored = _groups(scores, told)
    rated = (~np.isnan(scores)).sum(axis=0)
    cancelled = {m for pair in mirrored for m in pair}
    fullest = {m: max(group, key=lambda one: int(rated[one])) for group in same for m in group}
    speaks = tuple(fullest.get(m, m) for m in range(scores.shape[1]))
    distinct = [m for m in told if m not in cancelled and speaks[m] == m]
    pairs = _correlations(scores, distinct, blocks)
    contrary, opposed = _against(pairs, distinct)
    if gold is not None and any(_goes_with(scores[:, m], gold, weights, 3) for m in contrary):
        contrary, opposed = (), True
    heard = tuple(m for m in distinct if m not in contrary)
    everyone = {m for n in contrary for m in next((g for g in same if n in g), (n,))}
    constant = tuple(m for m in range(scores.shape[1]) if m not in told)
    inside = _inside(pairs, heard)
    some = any(one.interval(competing=len(inside)).low > 0 for one in inside)
    return Panel(
        constant=constant,
        same=same,
        speaks=speaks,
        contrary=tuple(sorted(everyone)),
        heard=heard,
        opposed=opposed,
        agrees=not opposed and (some or _mean(inside).low > 0),
        sentences=(
            *_columns_words(constant if scores.shape[1] > 1 else (), same, mirrored, names),
            *_against_words(contrary, opposed, pairs, heard, names),
            *_alike_words(pairs, heard, scores, names),
        ),
    )


def _check_trust(
    scores: np.ndarray,
    gold: np.ndarray,
    weights: np.ndarray,
    panel: Panel,
    names: Sequence[str],
) -> tuple[bool, Caution | None]:
    """Whether trusted scores are seen to go with the ratings, and a sentence where they do not."""
    heard = list(panel.heard or range(scores.shape[1]))
    mean = mean_z(scores[:, heard])
    n = int((~np.isnan(gold) & ~np.isnan(mean) & (weights > 0)).sum())
    if n < LEAST_GOLD:
        return False, None
    found = measure("spearman", mean, gold, weights).interval()
    if np.isnan(found.value):
        return False, None
    friends, foes = (
        [m for m in heard if _goes_with(scores[:, m], sign * gold, weights, len(heard) + 1)]
        for sign in (1, -1)
    )
    if panel.opposed:  # gold goes with some of them: with most?
        each = [measure("spearman", scores[:, m], gold, weights) for m in heard]
        found = _mean([one for one in each if not np.isnan(one.value)])
        if found.low > 0 or len(friends) > len(foes):
            return True, None
        return False, _against_gold(found, friends if foes else [], foes, n, names)
    if found.low > 0 or friends:
        return True, None
    return False, _against_gold(found, [], [], n, names)


def _against_gold(
    found: Interval, friends: list[int], foes: list[int], n: int, names: Sequence[str]
) -> Caution | None:
    """What to say of gold that is not shown to go with the ratings; None: it is too little."""
    nothing = "so nothing was concluded from them"
    figure = (
        f"(Spearman {found.value:.2f}, 95 % interval {found.low:.2f} to {found.high:.2f}, "
        f"{n:,} examples)"
    )
    check = (
        "Have 20 of them scored a second time: where the second scores go with the first, the "
        "ratings are at fault, otherwise whoever scored."
    )
    figures = {"spearman": found.value, "low": found.low, "high": found.high, "n": n}
    if friends:
        return Caution(
            "gold-against-raters",
            f"The trusted scores go with {_listed(friends, names)} and against "
            f"{_listed(foes, names)}, {nothing}: one that is upside down makes them look so, and "
            f"so do trusted scores that are. Turn that scale round. {check}",
            **figures,
        )
    if found.high < 0:
        return Caution(
            "gold-against-ratings",
            f"The trusted scores run against the ratings {figure}, {nothing}. One of the two "
            f"scales is probably upside down, or another column was read. {check}",
            **figures,
        )
    if found.high < UNRELATED:
        return Caution(
            "gold-unrelated",
            f"The trusted scores do not go with the ratings at all {figure}, {nothing}: the wrong "
            f"column, a careless scorer, or ratings that carry nothing. {check}",
            **figures,
        )
    return None


def _goes_with(
    column: np.ndarray, gold: np.ndarray, weights: np.ndarray | None, competing: int
) -> bool:
    found = measure("spearman", column, gold, weights)
    return bool(found.n_effective >= LEAST_GOLD / 2 and found.interval(competing=competing).low > 0)


def _largest_share(column: np.ndarray) -> float:
    """Share of the commonest value among those that are present; 1 where there is none."""
    present = column[~np.isnan(column)]
    if not len(present):
        return 1.0
    return float(np.unique(present, return_counts=True)[1].max() / len(present))


def _groups(
    scores: np.ndarray, told: list[int]
) -> tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, int], ...]]:
    """Raters that are one, and pairs that are mirror images."""
    first = {m: m for m in told}
    mirrored = []
    for a, b in combinations(told, 2):
        counts = _table(scores[:, a], scores[:, b])
        if _one_rater(counts):
            old, new = first[b], first[a]
            first = {m: new if f == old else f for m, f in first.items()}
        elif _one_rater(counts[:, ::-1]):
            mirrored.append((a, b))
    groups = [tuple(m for m in told if first[m] == f) for f in sorted(set(first.values()))]
    return tuple(group for group in groups if len(group) > 1), tuple(mirrored)


def _one_rater(counts: np.ndarray) -> bool:
    kappa = max(_mapped(counts), _mapped(counts.T))
    return bool(kappa >= SAME and counts.sum() >= (EQUAL_ROWS if kappa > 1 - 1e-9 else SAME_ROWS))


def _table(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Counts of the levels of two raters, in the order of the levels."""
    both = ~np.isnan(a) & ~np.isnan(b)
    rows, at = np.unique(a[both], return_inverse=True)
    columns, to = np.unique(b[both], return_inverse=True)
    size = len(rows) * len(columns)
    return np.bincount(at * len(columns) + to, minlength=size).reshape(len(rows), len(columns))


def _mapped(counts: np.ndarray) -> float:
    """Kappa of the second rater and the best non-decreasing map of the first's levels."""
    if min(counts.shape, default=0) < 2:
        return 0.0
    shares = counts / counts.sum()
    chance = _best_map(np.outer(shares.sum(axis=1), shares.sum(axis=0)))
    return (_best_map(shares) - chance) / max(1 - chance, 1e-12)


def _best_map(shares: np.ndarray) -> float:
    reached = np.zeros(shares.shape[1])
    for row in shares:
        reached = np.maximum.accumulate(reached) + row
    return float(reached.max())


def _correlations(
    scores: np.ndarray, raters: Sequence[int], blocks: np.ndarray | None
) -> dict[tuple[int, int], Measured]:
    found = {}
    for a, b in combinations(raters, 2):
        one = measure("spearman", scores[:, a], scores[:, b])
        if one.n_effective >= LEAST_COMMON and not np.isnan(one.value):
            found[a, b] = one if blocks is None else one.by_block(blocks)
    return found


def _against(
    pairs: dict[tuple[int, int], Measured], raters: list[int]
) -> tuple[tuple[int, ...], bool]:
    """The minority that runs against the others, and whether there is none though some do."""
    negative = any(one.interval(competing=len(pairs)).high < 0 for one in pairs.values())
    if not negative:
        return (), False
    raters = [m for m in raters if any(m in pair for pair in pairs)]
    R = _square({pair: one.value for pair, one in pairs.items()}, raters, 0.0)
    leading = np.linalg.eigh(R)[1][:, -1]
    leading = leading * (1.0 if leading.sum() >= 0 else -1.0)
    sides = [m for m, side in zip(raters, leading, strict=True) if side < 0]
    other = [m for m in raters if m not in sides]
    few, many = sorted((sides, other), key=len)
    sure = _mean(_inside(pairs, many))
    if len(few) == len(many) or not sure.low > 0:
        return (), True
    named = []
    for m in few:
        away = _mean([one for pair, one in pairs.items() if m in pair and set(pair) & set(many)])
        if not away.high < 0:
            continue
        if sure.value * len(many) < abs(away.value) * len(few):
            return (), True  # the few are so sure, and the many so little, that either may be right
        named.append(m)
    return tuple(named), False


def _mean(found: list[Measured]) -> Interval:
    """The mean of some figures; NaN where there is none."""
    if not found:
        return Interval(float("nan"))
    return weighted_sum(found, [1 / len(found)] * len(found)).interval()


def _inside(pairs: dict[tuple[int, int], Measured], raters: Sequence[int]) -> list[Measured]:
    return [one for pair, one in pairs.items() if set(pair) <= set(raters)]


def _square(
    found: Mapping[tuple[int, int], float], raters: Sequence[int], missing: float
) -> np.ndarray:
    """(r, r) what is known of the pairs among some raters, 1 on the diagonal."""
    table = np.full((len(raters),) * 2, missing)
    np.fill_diagonal(table, 1.0)
    for (a, b), value in found.items():
        if {a, b} <= set(raters):
            at, to = raters.index(a), raters.index(b)
            table[at, to] = table[to, at] = value
    return table


def _columns_words(
    constant: tuple[int, ...],
    same: tuple[tuple[int, ...], ...],
    mirrored: tuple[tuple[int, int], ...],
    names: Sequence[str],
) -> Iterator[Caution]:
    for m in constant:
        who = _starting([m], names)
        yield Caution(
            "constant-rater",
            f"{who} gave one score to everything: it tells nothing, and was not heard.",
            rater=names[m],
        )
    for group in same:
        yield Caution(
            "same-rater",
            f"{_starting(group, names)} gave the same scores, or scores that are equal after a map "
            "of their levels: they count as one rater. Was a column named twice?",
            raters=[names[m] for m in group],
        )
    for pair in mirrored:
        yield Caution(
            "mirrored-raters",
            f"{_starting(pair, names)} are mirror images: they cancel each other out, and neither "
            "was heard. Turn the scale of one of them round, or leave it out.",
            raters=[names[m] for m in pair],
        )


def _against_words(
    contrary: tuple[int, ...],
    opposed: bool,
    pairs: dict[tuple[int, int], Measured],
    heard: tuple[int, ...],
    names: Sequence[str],
) -> Iterator[Caution]:
    for m in contrary:
        against = [one.value for pair, one in pairs.items() if m in pair and set(pair) & set(heard)]
        yield Caution(
            "contrary-rater",
            f"{_starting([m], names)} runs against the others (correlation "
            f"{np.mean(against):.2f}) and was left out. If its scale is upside down, turn it "
            "round.",
            rater=names[m],
            correlation=float(np.mean(against)),
        )
    if opposed:
        worst = min(pairs, key=lambda pair: pairs[pair].value)
        yield Caution(
            "opposed-raters",
            f"{_starting(worst, names)} run against each other (correlation "
            f"{pairs[worst].value:.2f}), and no majority says who is right: only trusted scores "
            "can tell. Turn a scale that is upside down round, or leave one out.",
            raters=[names[m] for m in worst],
            correlation=pairs[worst].value,
        )


def _alike_words(
    pairs: dict[tuple[int, int], Measured],
    heard: tuple[int, ...],
    scores: np.ndarray,
    names: Sequence[str],
) -> Iterator[Caution]:
    """Pairs whose errors go together, by the one-factor model; it takes four raters to see."""
    if len(heard) < 4:
        return
    R = _square({pair: one.value for pair, one in pairs.items()}, heard, np.nan)
    common = {(a, b): float((~np.isnan(scores[:, a] + scores[:, b])).sum()) for a, b in pairs}
    factor = one_factor(R, _square(common, heard, 0.0))
    errors = error_correlations(R, factor.loadings)
    for a, b in factor.freed:
        if errors[a, b] > ALIKE:
            yield Caution(
                "raters-alike",
                f"{_starting((heard[a], heard[b]), names)} agree with each other more than their "
                "agreement with the others allows: they share errors, and count as less than two.",
                raters=[names[heard[a]], names[heard[b]]],
                correlation=float(errors[a, b]),
            )


def _listed(raters: Sequence[int], names: Sequence[str]) -> str:
    *some, last = (names[m] for m in raters)
    return " and ".join(part for part in (", ".join(some), last) if part)


def _starting(raters: Sequence[int], names: Sequence[str]) -> str:
    """The same at the start of a sentence."""
    text = _listed(raters, names)
    return text[0].upper() + text[1:]
