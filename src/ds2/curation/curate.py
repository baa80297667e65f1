"""`curate`: put better scores in the place of wrong ones, or leave them alone."""

import warnings

import numpy as np

from ds2.arrays import Keys, Scores
from ds2.checks import check_choice, check_fraction, check_int, check_scores
from ds2.curation.ds2 import error_shares, flag_by_vote
from ds2.curation.gate import gate_fires, gate_sentence
from ds2.curation.result import Curation, Evidence
from ds2.errors import Ds2Warning, InputError
from ds2.keys import check_keys
from ds2.neighbors import Neighbors
from ds2.noise import LOW_LIFT, TransitionEstimate

__all__ = ["curate"]


def curate(
    scores: Scores,
    neighbors: Neighbors,
    noise: TransitionEstimate,
    *,
    method: str = "ds2",
    n_draws: int = 51,
    draw_share: float = 0.8,
    min_confidence: float = 0.5,
    gate: str = "warn",
    min_lift: float = LOW_LIFT,
    paper_floor: bool = False,
    keys: Keys | None = None,
    seed: int = 0,
) -> Curation:
    """Correct scores by what nearest neighbours say.

    ``method="ds2"`` is the curation of the DS² paper (arXiv 2410.10877), on the graph: a score is
    flagged in as many cases as the transition matrix says are wrong, where the neighbours agree
    least, over balanced draws; it is replaced where the confidence reaches ``min_confidence``.
    ``method="none"`` returns the scores as they are.

    Args:
        scores: (n,) whole numbers 0 … s − 1, NaN where unrated.
        neighbors: the pool's neighbour graph.
        noise: the estimate for these scores.
        method: "ds2" or "none".
        n_draws: draws of the pool.
        draw_share: share of the distinct examples in each draw.
        min_confidence: replace a misrated score from this confidence on (the authors of DS² used
            0.3 to 0.5).
        gate: what to do where the lower end of lift's interval is below ``min_lift``: "warn"
            (correct, and say so), "refuse" (keep the raw scores, and say so) or "off".
        min_lift: see ``gate``.
        paper_floor: flag 5 % of a score that the matrix calls right, as the published code does.
        keys: (n,) whole numbers that identify the content (Pool.keys), so that the order of the
            rows does not matter. Default: the row number.
        seed: the same seed gives the same curation.

    Returns:
        `Curation`.

    Raises:
        InputError: shapes or settings that do not fit.

    Warns:
        Ds2Warning: where the gate fires.
    """
    method = check_choice("method", method, ("ds2", "none"))
    gate = check_choice("gate", gate, ("warn", "refuse", "off"))
    n_draws = check_int("n_draws", n_draws, low=1)
    draw_share = check_fraction("draw_share", draw_share, open_low=True)
    min_confidence = check_fraction("min_confidence", min_confidence)
    min_lift = check_fraction("min_lift", min_lift)
    seed = check_int("seed", seed, low=0)
    values = check_scores("scores", scores, n_rows=neighbors.n, n_scores=len(noise.prior))
    order = check_keys(keys, neighbors.n)
    if noise.n_missing != int(np.isnan(values).sum()):
        raise InputError(
            "'noise' was estimated from other scores: it counts "
            f"{noise.n_missing} missing, these have {int(np.isnan(values).sum())}."
        )
    if method == "none":
        gate = "off"
    fired = gate != "off" and gate_fires(noise, min_lift)
    applied = "none" if method == "none" or (fired and gate == "refuse") else "ds2"
    found: tuple[str, ...] = ()
    if fired:
        found = (gate_sentence(noise, min_lift, refused=applied == "none"),)
        warnings.warn(found[0], Ds2Warning, stacklevel=2)
    curated, misrated, confidence, suggestion = values.copy(), None, None, None
    if applied == "ds2":
        flags = flag_by_vote(
            values,
            neighbors,
            error_shares(noise, paper_floor=paper_floor),
            n_draws=n_draws,
            draw_share=draw_share,
            keys=order,
            seed=seed,
        )
        misrated, confidence, suggestion = (
            flags.flag_rate > 0.5,
            flags.confidence,
            flags.suggestion,
        )
        replaced = misrated & (confidence >= min_confidence)
        curated[replaced] = suggestion[replaced]
    lift = noise.lift
    return Curation(
        scores=curated,
        observed=values,
        method=applied,
        misrated=misrated,
        confidence=confidence,
        suggestion=suggestion,
        gate="off" if gate == "off" else "fired" if fired else "passed",
        evidence=(
            Evidence("ds2", "lift", lift.value, lift.low, lift.high, chosen=applied == "ds2"),
        ),
        warnings=found,
    )
