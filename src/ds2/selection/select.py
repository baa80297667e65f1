"""`select`: which rows to train on, in which order, and why."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from ds2.arrays import Groups, Keys, Lengths, Prior, Scores, Values, Vectors
from ds2.checks import check_choice, check_fraction, check_int, check_scores, check_vectors
from ds2.errors import InputError
from ds2.keys import check_keys, random_order_keys
from ds2.neighbors import Neighbors, find_neighbors
from ds2.selection.columns import (
    check_finite,
    check_prior,
    check_targets,
    check_threshold,
    common_length,
    source_labels,
)
from ds2.selection.eligible import (
    check_enough,
    check_size,
    duplicate_groups,
    eligible_rows,
    standing_places,
)
from ds2.selection.inputs import RATING, Inputs, Method
from ds2.selection.long_tail import long_tail_scores
from ds2.selection.result import Selection
from ds2.selection.strategies import METHODS

__all__ = ["check_size", "select"]

_Given = Mapping[str, Any]


def select(
    scores: Scores | None = None,
    tail: Values | None = None,
    *,
    size: int | float,
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
            (0, 1)).
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
        seed: seeds "random" and, independently, the order among equals of the other baselines.

    Returns:
        `Selection`.

    Raises:
        InputError: an unknown method, a missing input, a size of 0 or larger than what can be
            selected, shapes that do not fit.
    """
    name = check_choice("method", method, METHODS)
    chosen = METHODS[name]
    wanted = "neighbors" in chosen.needs or ("tail" in chosen.needs and tail is None)
    if wanted and vectors is not None and neighbors is None:
        neighbors = find_neighbors(vectors, groups=groups, seed=seed)
    if "tail" in chosen.needs and tail is None and neighbors is not None:
        tail = long_tail_scores(neighbors)
    given: _Given = {
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
    }
    _check_needs(name, {**given, "targets": targets})
    n = common_length(given)
    count = check_size(size, n)
    order_keys = check_keys(keys, n)
    shuffle = random_order_keys(
        order_keys, check_int("seed", seed, low=0), stream=list(METHODS).index(name)
    )
    looked_at = _looked_at(chosen, given, n)
    columns = _columns(chosen, {**given, "targets": targets})
    dial = check_fraction("diversity", diversity)
    limit = check_threshold(name, threshold)
    labels = duplicate_groups(groups, neighbors, vectors)
    rows, dropped = eligible_rows(
        {} if looked_at is None else chosen.excludes(looked_at, limit),
        looked_at,
        labels,
        order_keys,
    )
    check_enough(count, len(rows), n, dropped)
    rows = rows[np.lexsort((order_keys[rows], shuffle[rows]))]
    inputs = Inputs(
        rows=rows,
        count=count,
        seed=seed,
        shuffle=shuffle[rows],
        tie=order_keys[rows],
        prior=check_prior(prior),
        neighbors=neighbors,
        standing=standing_places(rows, labels, n) if "neighbors" in chosen.needs else None,
        diversity=dial,
        threshold=limit,
        **_cut(chosen, columns, looked_at, rows),
    )
    order, reason = chosen.order(inputs)
    if len(order) < count:
        raise InputError(
            f"'size' asks for {count} rows, and method '{name}' stops after {len(order)} of "
            f"{len(rows)}: the others are closer than 'threshold' to a chosen one. Ask for at most "
            f"{len(order)}, or lower 'threshold'."
        )
    order = order[:count]
    return Selection(
        rows=rows[order].astype(np.int64),
        reasons=tuple(reason(int(i)) for i in order),
        method=name,
        dropped={why: len(left_out) for why, left_out in dropped.items()},
        dropped_rows=dropped,
    )


def _check_needs(name: str, given: _Given) -> None:
    """Raise `InputError` when the method lacks an input, naming it."""
    lacking = [
        need
        for need in METHODS[name].needs
        if all(given[one] is None for one in (("raw", "scores") if need == RATING else (need,)))
    ]
    if lacking:
        wanted = " and ".join("'raw' or 'scores'" if n == RATING else f"'{n}'" for n in lacking)
        raise InputError(f"method '{name}' needs {wanted}. Pass {wanted} to select().")


def _looked_at(method: Method, given: _Given, n: int) -> np.ndarray | None:
    """The scores or values that the method goes by, checked; None for one that goes by neither."""
    checked = {
        name: check_scores(name, given[name], n_rows=n)
        for name in ("scores", "raw", "values")
        if given[name] is not None
    }
    for need in method.needs:
        if need == RATING:
            return checked.get("raw", checked.get("scores"))
        if need in ("scores", "raw", "values"):
            return checked[need]
    return None


def _columns(method: Method, given: _Given) -> dict[str, Any]:
    """The inputs that are given, checked."""
    columns: dict[str, Any] = {
        name: check_finite(name, given[name])
        for name in ("tail", "lengths")
        if given[name] is not None
    }
    if "sources" in method.needs:
        columns["sources"] = source_labels(given["sources"])
    if "vectors" in method.needs:
        columns["vectors"] = check_vectors("vectors", given["vectors"])
    if "targets" in method.needs:
        columns["targets"] = check_targets(given["targets"], columns["vectors"].shape[1])
    return columns


def _cut(
    method: Method, columns: Mapping[str, Any], looked_at: np.ndarray | None, rows: np.ndarray
) -> dict[str, Any]:
    """The columns of the eligible rows; vectors stay whole, they are read block by block."""
    whole = ("vectors", "targets")
    cut = {name: data if name in whole else data[rows] for name, data in columns.items()}
    if looked_at is not None:
        cut["values" if "values" in method.needs else "scores"] = looked_at[rows]
    return cut
