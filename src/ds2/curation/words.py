"""What a choice means, in words: warnings, what raters share, the evidence that would decide."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from ds2.curation.auto import Choice
from ds2.curation.bias import association, is_number
from ds2.curation.candidates import Case
from ds2.errors import Caution
from ds2.levels import level_shares
from ds2.measures import Measured, Z, effective_rows, measure, spearman, thinned, weighted_sum
from ds2.noise.panel import LEAST_GOLD

__all__ = ["choice_warnings", "gold_needed", "next_evidence", "shared_bias"]

#: A gain or a loss in agreement that is worth knowing about.
WORTH = 0.1
#: Standard errors between nothing and a gain that is found 4 times of 5 (two-sided 5 %).
POWER = Z + 0.84
#: Scores that go with a covariate at least so, and surely so, are said to.
GOES_WITH, SURELY = 0.1, 0.05
#: Trusted scores that go with it so much, as a share of what scores do, show that quality does.
AS_MUCH = 0.7
#: Errors that are shared at least so, surely, are said to be.
SHARED = 0.05
#: Gold's own noise: the share of its variance that is the truth, beside what its levels hide.
GOLD_RELIABILITY = 0.85


def choice_warnings(case: Case, choice: Choice) -> tuple[Caution, ...]:
    """What a reader must know before believing the choice."""
    found = []
    silent = len(case.panel.heard) > 1 and not case.panel.agrees and not case.panel.opposed
    if silent and not case.has_gold:
        said = Caution(
            "raters-disagree",
            "The raters do not agree with each other above chance, so they cannot judge what each "
            "other says: the mean of their scores was kept. Trusted scores would tell which of "
            "them to believe.",
        )
        found.append(said)
    found += [
        Caution(
            "unstable-method",
            f"Method '{name}' would gain, by what the raters say of each other, but the fit to all "
            "of them is not what the fits without one of them were: it was not used.",
            method=name,
        )
        for name in choice.unstable
    ]
    return tuple(found)


def shared_bias(
    case: Case, covariates: Mapping[str, np.ndarray | Sequence[object]], *, trusted: bool
) -> tuple[Caution, ...]:
    """Name what scores go with beside quality, as far as it can be seen.

    A covariate is named where at least two raters go with it (or the only one does), unless gold
    shows that quality does. Errors are named as shared where raters agree more than their
    agreement with gold allows. Gold that is not ``trusted``, since it is not seen to go with the
    ratings, shows nothing.
    """
    raters = list(case.panel.heard) or list(range(case.n_raters))
    return (
        *(
            sentence
            for name, covariate in covariates.items()
            if (sentence := _goes_with(case, raters, name, covariate, trusted=trusted))
        ),
        *(_shared_errors(case, raters) if trusted else ()),
    )


def _goes_with(
    case: Case,
    raters: list[int],
    name: str,
    covariate: np.ndarray | Sequence[object],
    *,
    trusted: bool,
) -> Caution | None:
    some = thinned(len(case.values))
    found = [association(case.values[some, m], covariate[some], case.blocks[some]) for m in raters]
    seen = [one for one in found if one is not None]
    signs = []
    for one in seen:
        ends = one.interval(competing=4)
        if abs(one.value) >= GOES_WITH and (ends.low > SURELY or ends.high < -SURELY):
            signs.append(np.sign(one.value))
    if not seen or max(signs.count(1), signs.count(-1)) < min(2, len(raters)):
        return None
    figure = "Spearman" if is_number(covariate) else "correlation ratio"
    values = " and ".join(f"{one.value:.2f}" for one in seen[:3])
    more = ", …" if len(seen) > 3 else ""
    said = f"The scores go with {name} ({figure} {values}{more})"
    figures: dict[str, Any] = {"covariate": name, "raters": [one.value for one in seen]}
    away = f'control = ["{name}"] takes it out.'
    gold = association(case.gold, covariate, None, case.gold_weights) if trusted else None
    if gold is None:
        says = f"{said}. That can be quality, or a bias: only trusted scores can tell, and {away}"
        return Caution("goes-with", says, **figures)
    figures["gold"] = gold.value
    sign = float(np.sign(np.mean([one.value for one in seen])))
    mean, ends = float(np.mean([abs(one.value) for one in seen])), (gold * sign).interval()
    if ends.high < mean:
        says = f"{said}, more than trusted scores do ({gold.value:.2f}): that is bias, and {away}"
        return Caution("bias", says, **figures)
    if ends.low > 0 and gold.value * sign >= AS_MUCH * mean:
        return None
    return Caution(
        "goes-with",
        f"{said}. That can be quality, or a bias: the trusted scores ({gold.value:.2f}) are too "
        f"few to tell, and {away}",
        **figures,
    )


def _shared_errors(case: Case, raters: list[int]) -> tuple[Caution, ...]:
    """Raters that agree with each other by more than their agreement with gold explains.

    R[i, j] = λ_i λ_j + shared, and λ_i is rater i's correlation with gold over that of gold with
    the truth, which is less than 1 since gold has few levels and noise of its own.
    """
    rows = np.flatnonzero(case.gold_weights > 0)
    if len(raters) < 2:
        return ()
    weights = case.gold_weights[rows]
    gold = case.gold[rows]
    held = GOLD_RELIABILITY * _kept_by_levels(level_shares(gold, case.n_scores, weights))
    loads = {m: measure("pearson", case.values[rows, m], gold, weights) for m in raters}
    excess: list[Measured] = []
    for a, b in combinations(raters, 2):
        # by all rows: what raters say of each other needs no gold
        together = measure("pearson", case.values[:, a], case.values[:, b])
        one, other = loads[a], loads[b]
        if any(np.isnan(part.value) for part in (together, one, other)):
            continue
        parts = -(one.parts * other.value + other.parts * one.value) / held
        value = together.value - one.value * other.value / held
        excess.append(Measured(value, parts, effective_rows(weights)))
    if not excess:
        return ()
    mean = weighted_sum(excess, [1 / len(excess)] * len(excess))
    ends = mean.interval()
    if not ends.low > SHARED:
        return ()
    said = Caution(
        "shared-errors",
        "The raters share errors that the trusted scores do not: they agree with each other by "
        f"{mean.value:.2f} more (95 % interval {ends.low:.2f} to {ends.high:.2f}) than their "
        "agreement with the trusted scores explains.",
        more=mean.value,
        low=ends.low,
        high=ends.high,
    )
    return (said,)


def _kept_by_levels(shares: np.ndarray) -> float:
    """Share of a normal truth's variance that levels with these shares keep."""
    from scipy.special import ndtri

    present = shares[shares > 0]
    ends = ndtri(np.clip(np.concatenate([[0.0], np.cumsum(present)]), 0, 1))
    density = np.exp(-(ends**2) / 2) / np.sqrt(2 * np.pi)
    means = (density[:-1] - density[1:]) / present
    return float(np.clip(present @ means**2, 0.3, 1.0))


def next_evidence(case: Case, choice: Choice) -> str:
    """One sentence: what further evidence would decide, and how much of it."""
    n = f"{gold_needed(case, choice):,}"
    rival = _rival(choice)
    if case.n_raters == 1 and not case.has_gold:
        return (
            "One rater alone cannot show whether a correction of its scores helps, so they were "
            f"kept. About {n} trusted scores of this pool would show a gain or a loss of {WORTH:g} "
            "in Spearman, and so may a second rater on some hundred examples."
        )
    if rival is None:
        return (
            f"Nothing here can judge '{choice.name}': a further rater on some hundred examples, or "
            f"about {n} trusted scores, would."
        )
    names = f"'{choice.name}' and '{rival}'"
    if not any(found.judge == "gold" for found in choice.judgements):
        return (
            f"The evidence is what raters say of each other, and a bias that all of them have "
            f"looks like truth to it; {n} trusted scores would tell a difference of {WORTH:g} in "
            f"Spearman between {names} from none (80 % power)."
        )
    known = int((case.gold_weights > 0).sum())
    if known >= gold_needed(case, choice):
        return (
            f"{known} trusted scores have spoken; they tell a difference of {WORTH:g} in agreement "
            f"between {names} from none (80 % power)."
        )
    return (
        f"{known} trusted scores have spoken; {n} would tell a difference of {WORTH:g} in "
        f"agreement between {names} from none (80 % power)."
    )


def gold_needed(case: Case, choice: Choice) -> int:
    """Trusted scores for a gain of `WORTH` to be found 4 times of 5 (two-sided 5 %).

    From gold's own interval where there is gold; else from var(d) ≈ 2 (1 − r) / n, r the rank
    correlation of the two candidates (the leading term for a moderate agreement).
    """
    rival = _rival(choice)
    other = rival or next((name for name in choice.candidates if name != choice.name), None)
    gold = [one for one in choice.judgements if one.judge == "gold"]
    if gold and rival is not None and {rival, choice.name} <= set(gold[0].found):
        variance = gold[0].gain(choice.name, rival).error ** 2 * gold[0].n
    elif other is not None:
        pair = choice.candidates[choice.name].values, choice.candidates[other].values
        alike = spearman(*pair)
        variance = 1.0 if np.isnan(alike) else 2 * (1 - alike)
    else:
        variance = 0.5
    wanted = max(LEAST_GOLD, 10 * np.ceil(variance * (POWER / WORTH) ** 2 / 10))
    return int(min(wanted, (~np.isnan(case.scores)).any(axis=1).sum()))


def _rival(choice: Choice) -> str | None:
    """The best of the candidates that were judged and not chosen."""
    others = {name: gain.value for name, gain in choice.gains.items() if name != choice.name}
    if choice.name != "raw" and choice.gains:
        others["raw"] = 0.0
    return max(others, key=lambda name: others[name], default=None)
