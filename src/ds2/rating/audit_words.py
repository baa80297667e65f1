"""What is wrong with ratings, in sentences."""

from collections.abc import Sequence
from itertools import combinations

from ds2.pool.wording import shown
from ds2.rating.audit import PairAgreement, RaterAudit

__all__ = ["audit_warnings"]

#: Shares and counts from which something is said.
_CROWDED, _UNRATED, _FEW, _ALIKE = 0.5, 0.05, 30, 0.95


def audit_warnings(raters: Sequence[RaterAudit], pairs: Sequence[PairAgreement]) -> tuple[str, ...]:
    """Return what the user should know about single raters, then about pairs."""
    said = [sentence for one in raters for sentence in _warn(one)]
    return (*said, *(sentence for pair in pairs for sentence in _warn_pair(pair)))


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
