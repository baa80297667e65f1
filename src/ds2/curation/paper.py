"""Method "ds2" behind its gate: on one rater as in the paper, or on each of several."""

import numpy as np

from ds2.curation.candidates import Voting, flags_of, replaced
from ds2.curation.gate import gate_fires, gate_sentence, untested_sentence
from ds2.curation.result import Curation, Evidence
from ds2.neighbors import Neighbors
from ds2.noise import TransitionEstimate

__all__ = ["curate_one", "vote_each"]


def curate_one(
    values: np.ndarray,
    observed: np.ndarray,
    neighbors: Neighbors,
    noise: TransitionEstimate,
    voting: Voting,
    *,
    method: str,
    gate: str,
    min_lift: float,
    keys: np.ndarray,
    seed: int,
) -> Curation:
    """Methods "ds2" and "none", and "auto" where there is one rater and no gold."""
    if method == "none":
        gate = "off"
    elif method == "auto" and gate == "warn":
        gate = "refuse"
    fired = gate != "off" and gate_fires(noise, min_lift)
    applied = "ds2"
    if method == "none" or (fired and gate == "refuse"):
        applied = "raw" if method == "auto" else "none"
    found = (gate_sentence(noise, min_lift, refused=applied != "ds2"),) if fired else ()
    curated, misrated, confidence, suggestion = values.copy(), None, None, None
    if applied == "ds2":
        flags = flags_of(values, noise, neighbors, voting, keys=keys, seed=seed)
        misrated, confidence = flags.flag_rate > 0.5, flags.confidence
        suggestion = flags.suggestion
        curated = replaced(values, flags, voting.min_confidence)
        n_changed = int((~np.isnan(values) & (curated != values)).sum())
        if method == "auto" and gate == "refuse" and not fired and n_changed:
            found = (untested_sentence(n_changed),)
    lift = noise.lift
    return Curation(
        scores=curated,
        observed=observed,
        method=applied,
        misrated=misrated,
        confidence=confidence,
        suggestion=suggestion,
        gate="off" if gate == "off" else "fired" if fired else "passed",
        evidence=(
            Evidence("ds2", "lift", lift.value, lift.low, lift.high, chosen=applied == "ds2"),
        ),
        warnings=found,
        raw=values.copy(),
        next_evidence=(
            "One rater cannot tell its own noise from neighbours that differ: a second rater on "
            "some hundred examples, or about 100 trusted scores, would show whether the correction "
            "helps."
        ),
    )


def vote_each(
    scores: np.ndarray,
    neighbors: Neighbors,
    noise: tuple[TransitionEstimate | None, ...],
    voting: Voting,
    *,
    method: str,
    gate: str,
    min_lift: float,
    keys: np.ndarray,
    seed: int,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """(n, r) scores after method "ds2" on each rater, and what its gate says.

    Nothing is voted on where the method has no use for it, or a rater has too few scores. With
    "auto" the evidence decides in the gate's place.
    """
    voted = scores.copy()
    found: list[str] = []
    if method not in ("auto", "ds2"):
        return voted, ()
    for i, one in enumerate(noise):
        if one is None:
            continue
        fired = method == "ds2" and gate != "off" and gate_fires(one, min_lift)
        if fired:
            sentence = gate_sentence(one, min_lift, refused=gate == "refuse")
            found.append(sentence if len(noise) == 1 else f"Rater {i + 1}: {sentence}")
        if not (fired and gate == "refuse"):
            flags = flags_of(scores[:, i], one, neighbors, voting, keys=keys, seed=seed)
            voted[:, i] = replaced(scores[:, i], flags, voting.min_confidence)
    return voted, tuple(found)
