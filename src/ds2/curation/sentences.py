"""What a choice means, in words: warnings, and the evidence that would decide more."""

import numpy as np

from ds2.curation.auto import LEAST_GOLD, Choice
from ds2.curation.candidates import Case

__all__ = ["choice_warnings", "gold_needed", "next_evidence"]

#: A gain in agreement that is worth knowing about.
WORTH = 0.05
#: Standard errors between nothing and a gain that is found 4 times of 5 (two-sided 5 %).
POWER = 1.96 + 0.84


def choice_warnings(case: Case, choice: Choice) -> tuple[str, ...]:
    """What a reader must know before believing the choice."""
    found = []
    if case.n_raters > 1 and choice.loadings is None and not case.has_gold:
        found.append(
            "The raters do not agree with each other above chance, so they cannot judge what each "
            "other says: the mean of their scores was kept. About 100 trusted scores would tell "
            "which of them to believe."
        )
    if choice.loadings is not None:
        found += [
            f"Rater {i + 1} runs against the others (correlation with what the raters share "
            f"{load:.2f}): check its scale, or leave it out."
            for i, load in enumerate(choice.loadings)
            if load < 0
        ]
    leans = choice.name in ("soft", "fused+neighbors", "ds2")
    if case.n_raters > 1 and not _decided_by_gold(choice) and choice.loadings is not None:
        what = "raters or neighbours share" if leans else "raters share"
        found.append(
            f"A bias that {what} (length, style) looks like truth to this evidence; only trusted "
            f"scores can show it. About {gold_needed(choice)} would tell a gain of "
            f"{WORTH:g} from none."
        )
    return tuple(found)


def next_evidence(case: Case, choice: Choice) -> str:
    """One sentence: what further evidence would decide, and how much of it."""
    rival = _rival(choice)
    if rival is None:
        return (
            f"Nothing here can judge '{choice.name}': a second rater on some hundred examples, or "
            f"about {gold_needed(choice)} trusted scores, would."
        )
    names = f"'{choice.name}' and '{rival}'"
    if not _decided_by_gold(choice):
        return (
            f"The evidence is what raters say of each other; {gold_needed(choice)} trusted "
            f"scores would tell a difference of {WORTH:g} in Spearman between {names} from none "
            "(80 % power)."
        )
    n = int((case.gold_weights > 0).sum())
    return (
        f"{n} trusted scores have spoken; {gold_needed(choice)} would tell a difference of "
        f"{WORTH:g} in agreement between {names} from none (80 % power)."
    )


def gold_needed(choice: Choice) -> int:
    """Trusted scores for a gain of `WORTH` to be found 4 times of 5 (two-sided 5 %).

    From the bootstrap where there is gold; else from var(d) ≈ 2 (1 − r) / n, r the correlation of
    the two candidates (the leading term for a moderate agreement).
    """
    rival = _rival(choice)
    other = rival or next((name for name in choice.candidates if name != choice.name), None)
    gold = [a for a in choice.agreements if a.judge == "gold"]
    if gold and rival is not None and rival in gold[0].names:
        a, b = gold[0].names.index(choice.name), gold[0].names.index(rival)
        variance = float((gold[0].draws[:, a] - gold[0].draws[:, b]).var()) * gold[0].n
    elif other is not None:
        pair = [choice.candidates[name].values for name in (choice.name, other)]
        both = ~np.isnan(pair[0]) & ~np.isnan(pair[1])
        table = np.stack([values[both] for values in pair])
        apart = table.shape[1] > 2 and (table.std(axis=1) > 0).all()
        variance = 2 * (1 - float(np.corrcoef(table)[0, 1])) if apart else 1.0
    else:
        variance = 1.0
    wanted = variance * (POWER / WORTH) ** 2
    return int(max(LEAST_GOLD, 10 * np.ceil(wanted / 10)))


def _rival(choice: Choice) -> str | None:
    """The best of the candidates that were judged and not chosen."""
    others = {name: gain for name, (gain, _, _) in choice.gains.items() if name != choice.name}
    if choice.name != "raw" and choice.gains:
        others["raw"] = 0.0
    return max(others, key=lambda name: others[name], default=None)


def _decided_by_gold(choice: Choice) -> bool:
    return any(found.judge == "gold" for found in choice.agreements)
