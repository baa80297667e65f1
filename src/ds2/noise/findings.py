"""What a user should know about an estimate, in plain sentences."""

from collections.abc import Collection

import numpy as np

from ds2.neighbors import Neighbors
from ds2.noise.estimate import MIN_COUNT, TransitionEstimate

__all__ = ["LOW_LIFT", "MIN_COUNT", "describe"]

#: Below this lift (lower end of the interval) the assumption is in doubt.
LOW_LIFT = 0.1
#: Neighbours closer than this are near-duplicates; a larger share than the next is worth saying.
NEAR_DISTANCE = 0.02
NEAR_SHARE = 0.1
MISSING_SHARE = 0.2
#: Pairs of scores that a sentence names.
MOST_PAIRS = 4


def describe(
    estimate: TransitionEstimate, neighbors: Neighbors, aside: Collection[int] = ()
) -> tuple[str, ...]:
    """One sentence for each thing that limits the estimate; empty where nothing does.

    Args:
        estimate: what was found.
        neighbors: the graph.
        aside: raters of whom all is said: they run against the others, or are another once more.
    """
    found = (
        _lift(estimate),
        _wide(estimate),
        _evidence(estimate),
        _few(estimate),
        _dominance(estimate, aside),
        _fit(estimate),
        _convergence(estimate),
        _near_duplicates(estimate, neighbors),
        _missing(estimate),
    )
    return tuple(sentence for sentence in found if sentence)


def _lift(estimate: TransitionEstimate) -> str:
    lift = estimate.lift
    if np.isnan(lift.value):
        return "All scores are equal, so neighbours tell nothing about the rater's errors."
    if lift.low >= LOW_LIFT or estimate.rho_source != "assumed":
        return ""
    width = _range_words(estimate)
    return (
        f"Neighbours agree little more than by chance (lift {lift.value:.2f}, "
        f"95 % interval {lift.low:.2f} to {lift.high:.2f}): either the rater is very noisy, or "
        "neighbours do not share a true score. The scores alone cannot tell which, so read the "
        f"matrix at rho = {estimate.rho:g} as its noisiest end{width}. A second rater or "
        "trusted scores would settle it."
    )


def _range_words(estimate: TransitionEstimate) -> str:
    width = estimate.range_width
    if np.isnan(width):
        return ""
    if not estimate.range_informative:
        return f" (its range over plausible rho, {width:.2f} wide, is not informative)"
    return f" (its cells range over {width:.2f} on average)"


def _wide(estimate: TransitionEstimate) -> str:
    known = estimate.rho_source != "assumed" or estimate.lift.low < LOW_LIFT
    if known or np.isnan(estimate.range_width) or estimate.range_informative:
        return ""
    return (
        f"The cells of the matrix range over {estimate.range_width:.2f} on average over every "
        "plausible rho, which is not informative. A second rater or trusted scores would narrow "
        "it."
    )


def _evidence(estimate: TransitionEstimate) -> str:
    if estimate.rho_source == "repeats":
        return (
            "Repeats show only how a rater scatters around its own opinion: what it gets wrong "
            "every time counts as true in this matrix."
        )
    if estimate.rho_source != "assumed" and estimate.rho < LOW_LIFT:
        return (
            f"Neighbours hardly share a true score (rho {estimate.rho:.2f}), so they should not "
            "correct anyone's scores."
        )
    return ""


def _few(estimate: TransitionEstimate) -> str:
    scores = np.flatnonzero(estimate.effective_counts < MIN_COUNT)
    if not len(scores):
        return ""
    names = ", ".join(str(score) for score in scores)
    return (
        f"Not enough data for true score {names}: fewer than {MIN_COUNT} examples, so those rows "
        "of the matrix have no intervals and should not be read."
    )


def _dominance(estimate: TransitionEstimate, aside: Collection[int]) -> str:
    enough = estimate.effective_counts >= MIN_COUNT
    likeliest = estimate.matrix.argmax(axis=-1)
    off = enough & (likeliest != np.arange(likeliest.shape[-1]))
    if off.ndim > 1:
        off[list(aside)] = False
    wrong = np.argwhere(off)
    if not len(wrong):
        return ""
    pairs = ", ".join(
        f"{at[-1]} (as {likeliest[tuple(at)]}" + (f", rater {at[0] + 1})" if len(at) > 1 else ")")
        for at in wrong[:MOST_PAIRS]
    )
    if len(wrong) > MOST_PAIRS:
        pairs += f" and {len(wrong) - MOST_PAIRS} more"
    found = f"Some true scores are most often observed as another score: {pairs}."
    if estimate.rho_source == "gold":
        return f"{found} Trusted scores name the rows, so that is the rater's doing."
    return f"{found} Which row belongs to which score is then not certain."


def _fit(estimate: TransitionEstimate) -> str:
    if not estimate.fit > estimate.fit_expected:  # NaN: not known, nothing to say
        return ""
    return (
        f"The model does not fit the counts well (misfit {estimate.fit:.3f}, "
        f"{estimate.fit_expected:.3f} is exceeded once in 20): neighbours do not share the true "
        f"score as often as rho = {estimate.rho:g} says."
    )


def _convergence(estimate: TransitionEstimate) -> str:
    if estimate.converged:
        return ""
    return f"EM had not converged after {estimate.iterations} steps; read the matrix with care."


def _near_duplicates(estimate: TransitionEstimate, neighbors: Neighbors) -> str:
    share = float((neighbors.distances[:, 0] < NEAR_DISTANCE).mean())
    if share < NEAR_SHARE or not estimate.lift.low >= LOW_LIFT:
        return ""  # where lift is low they are not scored alike
    return (
        f"{share:.0%} of the examples have a near-duplicate (distance below {NEAR_DISTANCE}), "
        "which a rater scores alike; the rater looks less noisy than it is."
    )


def _missing(estimate: TransitionEstimate) -> str:
    total = estimate.n_examples + estimate.n_missing
    share = estimate.n_missing / total
    if share < MISSING_SHARE:
        return ""
    return f"{share:.0%} of the examples have no score; the estimate speaks of the others only."
