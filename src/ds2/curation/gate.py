"""The gate: may neighbours correct a score on this pool?"""

from ds2.noise import TransitionEstimate

__all__ = ["gate_fires", "gate_sentence", "untested_sentence"]


def gate_fires(noise: TransitionEstimate, min_lift: float) -> bool:
    """Whether the lower end of lift's interval is below ``min_lift``, or lift is undefined."""
    return not noise.lift.low >= min_lift


def gate_sentence(noise: TransitionEstimate, min_lift: float, *, refused: bool) -> str:
    """What the gate found and what would settle it."""
    lift = noise.lift
    if lift.low != lift.low:
        found = "Neighbour agreement cannot be measured (all scores are equal)."
    else:
        found = (
            f"Neighbour agreement is low: lift {lift.value:.2f} (95 % interval {lift.low:.2f} to "
            f"{lift.high:.2f}) against the gate's {min_lift:g}. That means a very noisy rater, or "
            "neighbours that do not share a true score; in the second case replacing scores by "
            "the neighbours' vote makes them worse."
        )
    done = (
        "The raw scores were kept."
        if refused
        else "The correction was made all the same (gate = 'warn')."
    )
    return f"{found} {done} A second rater, or about 100 trusted scores, would settle which it is."


def untested_sentence(n_changed: int) -> str:
    """What is said where method "auto" corrects scores by "ds2" with nothing to test it by."""
    return (
        f"Nothing here can test the correction of {n_changed:,} scores: neighbours agree, but one "
        "rater's scores cannot show that they share quality, and where they do not, their vote "
        "makes scores worse. A second rater on some hundred examples, or about 100 trusted scores, "
        "would show it; method 'raw' keeps the scores as they are."
    )
