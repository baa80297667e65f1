"""`select`: which rows to train on, in which order, and why."""

import numpy as np
from jaxtyping import Float

from ds2.arrays import Groups, Keys, Lengths, Prior, Scores, Values, Vectors
from ds2.checks import check_choice
from ds2.neighbors import Neighbors
from ds2.selection.constrained import take_constrained
from ds2.selection.constraints import Constraints
from ds2.selection.eligible import check_size
from ds2.selection.request import read_request
from ds2.selection.result import Selection
from ds2.selection.strategies import METHODS

__all__ = ["check_size", "select"]


def select(
    scores: Scores | None = None,
    tail: Values | None = None,
    *,
    size: int | float | None,
    method: str = "ds2",
    neighbors: Neighbors | None = None,
    vectors: Vectors | None = None,
    lengths: Lengths | None = None,
    groups: Groups | None = None,
    keys: Keys | None = None,
    prior: Prior | None = None,
    raw: Scores | None = None,
    values: Scores | None = None,
    sources: Lengths | None = None,
    targets: Float[np.ndarray, "t d"] | None = None,
    diversity: float = 0.5,
    threshold: float | None = None,
    constraints: Constraints | None = None,
    seed: int = 0,
) -> Selection:
    """Select rows of the pool, best first.

    The order is total, so the first rows of a selection are the selection of that smaller size.
    With ``keys``, permuting the pool permutes the result. At most one of a group of exact
    duplicates is selected: the one with the highest score. A row without a score is not selected
    by a method that looks at scores.

    Methods, with what they need (``METHODS`` has the source and the cost of each):

    - "ds2" (scores, tail): highest score first, then highest long-tail score. "ds2-no-curation"
      (raw, tail) does so with the rater's own scores, "ds2-no-diversity" (scores) without the
      long-tail score.
    - "top-score" (raw, or else scores): highest score first.
    - "random"; "random-by-source" (sources): at random, each source with its share of the rows.
    - "length" (lengths): longest completion first.
    - "perplexity", "ifd" (values): largest value first; of "ifd" no value above 1.
    - "knn-10" (neighbors): largest mean distance to the neighbours first.
    - "alpagasus" (raw or scores): the best score classes, the one at the cut at random; no score
      below ``threshold``.
    - "deita" (raw or scores; vectors): highest score first, skipping what is closer than
      ``threshold`` to a row chosen before.
    - "k-center" (vectors): the row farthest from the chosen ones, again and again.
    - "facility-location" (neighbors): rows that together are most similar to all rows.
    - "mmr" (scores, vectors): score against distance to the chosen rows, by ``diversity``.
    - "rds" (vectors, targets): each target in turn takes the row most similar to it.
    - "cluster-balanced" (scores, vectors): each cluster in turn gives its best-scored row.

    Args:
        scores: (n,) curated or raw scores, NaN where unrated. Real-valued scores are cut into
            levels first, whose shares follow ``prior``, so that diversity has a say.
        tail: (n,) long-tail scores. Default for a method that needs them: those of ``neighbors``.
        size: how many rows (a whole number from 1), or which share of the pool (a float in
            (0, 1)). Under a budget in tokens the most rows, or None for no limit.
        method: see above. One that lacks an input names it.
        neighbors: the graph, for the methods above and, by default, for ``tail`` and ``groups``.
        vectors: (n, d) embeddings; memory-mapped and float16 arrays stay as they are. Searched for
            a method that needs the graph and was not given it.
        lengths: (n,) completion lengths, in any unit.
        groups: (n,) labels; equal labels are duplicates. Default: those of ``neighbors``, or rows
            with identical ``vectors``.
        keys: (n,) whole numbers that identify the content (Pool.keys). Default: the row number.
        prior: (s,) shares of the levels for real-valued scores (TransitionEstimate.prior).
            Default: six equal shares.
        raw: (n,) the rater's own scores, NaN where unrated, when ``scores`` are curated ones.
        values: (n,) perplexities or difficulties, NaN where there is none: such rows are not
            selected.
        sources: (n,) labels of any kind.
        targets: (t, d) embeddings of examples that the selection should be like.
        diversity: the dial of "mmr" in [0, 1]: 0 looks at the score alone, 1 at distance alone.
        threshold: for "deita" a cosine distance in [0, 2] (default 0.1), for "alpagasus" the
            lowest score (default: none).
        constraints: what the chosen rows must meet together: a budget in tokens, quotas, rows that
            must or must not be chosen, near-duplicates, a lowest score. Rows are ruled out first;
            the method orders the others, and they are chosen in its order as far as every
            constraint can still be met. Rows that must be chosen come first.
        seed: seeds "random" and, independently, the order among equals of the other baselines.

    Returns:
        `Selection`.

    Raises:
        InputError: an unknown method, a missing input, a size of 0 or larger than what can be
            selected, shapes that do not fit, constraints that clash.
    """
    name = check_choice("method", method, METHODS)
    request = read_request(
        METHODS[name],
        {
            "vectors": vectors,
            "scores": scores,
            "tail": tail,
            "lengths": lengths,
            "neighbors": neighbors,
            "raw": raw,
            "values": values,
            "sources": sources,
            "groups": groups,
            "keys": keys,
            "targets": targets,
        },
        size=size,
        diversity=diversity,
        threshold=threshold,
        prior=prior,
        seed=seed,
        stream=list(METHODS).index(name),
        constraints=constraints,
        name=name,
    )
    limits = constraints or Constraints()
    rows, dropped = request.eligible(limits)
    taken, reasons, passed = take_constrained(
        name, METHODS[name], request.inputs(rows), limits, size=request.count, n=request.n
    )
    dropped = {**dropped, **passed}
    return Selection(
        rows=taken.astype(np.int64),
        reasons=reasons,
        method=name,
        dropped={why: len(left_out) for why, left_out in dropped.items()},
        dropped_rows=dropped,
    )
