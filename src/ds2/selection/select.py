"""`select`: which rows to train on, in which order, and why."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any

import numpy as np
from jaxtyping import Float

from ds2.arguments import remedy
from ds2.arrays import Groups, Keys, Lengths, Prior, Rows, Scores, Values, Vectors
from ds2.checks import (
    check_choice,
    check_column,
    check_finite_column,
    check_fraction,
    check_int,
    check_scores,
    check_vectors,
)
from ds2.errors import InputError
from ds2.keys import check_keys, random_order_keys
from ds2.labels import each, encode
from ds2.neighbors import Neighbors, find_neighbors, identical_groups
from ds2.selection.constraints import Constraints, check_constraints, eligible_rows, given_rows
from ds2.selection.inputs import RATING, Inputs, Method, Order
from ds2.selection.meet import Chosen, choose, clash
from ds2.selection.methods import METHODS, halves, long_tail_scores
from ds2.shown import Shown

__all__ = ["Selection", "check_prior", "check_size", "prepare", "select", "take"]

#: How many times the rows wanted a greedy method orders, one after the other, until all that is
#: chosen stands in its order.
LENGTHS = (2, 8, 32)
#: Rows that a method may compare with each other.
MOST_COMPARED = 10_000_000
COMPLETES = "completes the selection under the constraints"


@dataclass(frozen=True, slots=True, repr=False)
class Selection(Shown):
    """Which rows, in which order, and why.

    Attributes:
        rows: (m,) row numbers in pick order. Without constraints any prefix is the selection of
            that size, but for the method "frontier".
        reasons: one sentence for each row.
        method: how they were chosen.
        dropped: how many rows could not be chosen, by the reason ("unrated", "duplicate").
        dropped_rows: which those are, their row numbers, ascending, by the reason.
    """

    rows: Rows
    reasons: tuple[str, ...]
    method: str
    dropped: Mapping[str, int]
    dropped_rows: Mapping[str, np.ndarray] = field(default_factory=dict)


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
    keep: float = 0.9,
    constraints: Constraints | None = None,
    seed: int = 0,
) -> Selection:
    """Select rows of the pool, best first.

    The order is total, so the first rows of a selection are the selection of that smaller size
    (but for "frontier", which weighs score against breadth for the size that is asked for).
    With ``keys``, permuting the pool permutes the result. At most one of a group of exact
    duplicates is selected: the one with the highest score. A row without a score is not selected
    by a method that looks at scores.

    Methods, with what they need (their source and cost: ``from ds2.selection import METHODS``):

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
    - "frontier" (scores, vectors, neighbors): the highest scores with which the selection is as
      broad as a random one and no more redundant; ``keep`` of the attainable score is kept first.

    Args:
        scores: (n,) curated or raw scores, NaN where unrated. For "ds2" real-valued scores are cut
            into levels first, so that diversity has a say: the best half of the rows, of those the
            best half, and so on. So m rows are always among the 2m with the highest scores.
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
        prior: (s,) shares of other levels for real-valued scores, lowest level first. Long-tail
            scores alone order the rows of one, so a large top level selects low scores.
        raw: (n,) the rater's own scores, NaN where unrated, when ``scores`` are curated ones.
        values: (n,) perplexities or difficulties, NaN where there is none: such rows are not
            selected.
        sources: (n,) labels of any kind.
        targets: (t, d) embeddings of examples that the selection should be like.
        diversity: the dial of "mmr" in [0, 1]: 0 looks at the score alone, 1 at distance alone.
        threshold: for "deita" a cosine distance in [0, 2] (default 0.1), for "alpagasus" the
            lowest score (default: none).
        keep: the dial of "frontier" in [0, 1]: at least this share of the attainable score above
            random's is kept, however narrow the selection then is.
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
    ready = prepare(
        method,
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
        constraints=constraints or Constraints(),
        seed=seed,
        prior=prior,
        diversity=diversity,
        threshold=threshold,
        keep=keep,
    )
    chosen, reasons = take(method, ready)
    dropped = {**ready.dropped, **chosen.dropped}
    return Selection(
        rows=chosen.rows.astype(np.int64),
        reasons=reasons,
        method=method,
        dropped={why: len(left_out) for why, left_out in dropped.items()},
        dropped_rows=dropped,
    )


@dataclass(frozen=True, slots=True)
class Ready:
    """What a method chooses from, and what the rows must meet (checked) in a pool of n.

    ``size`` is None where only a budget in tokens says so; ``dropped`` are the rows that cannot be
    chosen, by the reason.
    """

    inputs: Inputs
    constraints: Constraints
    size: int | None
    n: int
    dropped: Mapping[str, np.ndarray]


def prepare(
    method: str,
    columns: Mapping[str, Any],
    *,
    size: object,
    seed: object,
    constraints: Constraints | None = None,
    prior: Prior | None = None,
    diversity: object = 0.5,
    threshold: object = None,
    keep: object = 0.9,
) -> Ready:
    """Check what `select` was given, ``columns`` by the names of its arguments, and cut the pool.

    Raises:
        InputError: as `select` says.
    """
    name = check_choice("method", method, METHODS)
    rule, number = METHODS[name], check_int("seed", seed, low=0)
    given = dict(columns)
    neighbors, vectors, groups = (given.get(of) for of in ("neighbors", "vectors", "groups"))
    wants_tail = "tail" in rule.needs and given.get("tail") is None
    if neighbors is None and vectors is not None and (wants_tail or "neighbors" in rule.needs):
        neighbors = given["neighbors"] = find_neighbors(vectors, groups=groups, seed=number)
    if wants_tail and neighbors is not None:
        given["tail"] = long_tail_scores(neighbors)
    _check_needs(name, given)
    n = _common_length(given)
    limits = check_constraints(constraints or Constraints(), n)
    if size is None and limits.max_tokens is None:
        raise InputError(
            "'size' must be a number of rows or a share in (0, 1). Got None, which needs a budget: "
            "'max_tokens'."
        )
    count = None if size is None else check_size(size, n)
    order_keys = check_keys(given.get("keys"), n)
    shuffle = random_order_keys(order_keys, number, stream=rule.stream)
    scored = {
        column: check_scores(column, given[column], n_rows=n)
        for column in ("scores", "raw", "values")
        if given.get(column) is not None
    }
    figure = _figure(rule, scored)
    read = _columns(rule, given)
    limit = _check_threshold(name, threshold)
    settings: dict[str, Any] = {
        "diversity": check_fraction("diversity", diversity),
        "keep": check_fraction("keep", keep),
        "prior": check_prior(prior, n),
    }
    labels = None if groups is None else check_column("groups", groups, n)
    if groups is None and neighbors is not None:
        labels = neighbors.groups
    elif groups is None and vectors is not None:
        labels = identical_groups(np.asarray(vectors))
    by_score = figure is not None and "values" not in rule.needs
    rows, dropped = eligible_rows(
        limits,
        order_keys,
        excluded={} if figure is None else rule.excludes(figure, limit),
        scores=figure if by_score else scored.get("scores"),
        lowest=scored.get("scores", figure if by_score else None),
        groups=labels,
        vectors=vectors,
        neighbors=neighbors,
    )
    if rule.cost != "sort" and len(rows) > MOST_COMPARED:
        raise InputError(
            f"method '{name}' compares rows with each other, which takes too long above "
            f"{MOST_COMPARED:,} of them, and {len(rows):,} can be chosen. Leave fewer, the best "
            "ones by 'min_score', or take 'ds2'."
        )
    said = clash(rows, count, limits, n)
    if said is not None:
        listed = ", ".join(f"{len(out):,} {reason}" for reason, out in dropped.items())
        raise InputError(said + (f" Of {n:,} rows these are out: {listed}." if dropped else ""))
    rows = rows[~np.isin(rows, given_rows(limits.must_have))]
    rows = rows[np.lexsort((order_keys[rows], shuffle[rows]))]
    if figure is not None:
        read["scores" if by_score else "values"] = figure
    whole = ("vectors", "targets", "neighbors")
    inputs = Inputs(
        rows=rows,
        count=count or len(rows),
        size=_aim(limits, count, rows),
        seed=number,
        shuffle=shuffle[rows],
        tie=order_keys[rows],
        threshold=limit,
        neighbors=neighbors,
        standing=_standing(rows, labels, n) if "neighbors" in rule.needs else None,
        **settings,
        **{column: data if column in whole else data[rows] for column, data in read.items()},
    )
    return Ready(inputs, limits, count, n, dropped)


def check_size(size: object, n: int) -> int:
    """The number of rows that ``size`` means in a pool of ``n``: rows, or a share in (0, 1)."""
    if isinstance(size, bool) or not isinstance(size, (int, float, np.integer, np.floating)):
        raise InputError(f"'size' must be a number of rows or a share in (0, 1). Got {size!r}.")
    if 0 < size < 1:
        return max(1, round(float(size) * n))
    if size < 1 or not isinstance(size, (int, np.integer)):
        raise InputError(
            f"'size' must be a whole number of rows from 1, or a share in (0, 1). Got {size}."
        )
    if size > n:
        raise InputError(f"'size' asks for {int(size)} rows, and the pool has {n}.")
    return int(size)


def check_prior(prior: np.ndarray | None, n: int) -> np.ndarray:
    """(s,) shares of the levels of ``n`` rows: those given, or `halves`."""
    if prior is None:
        return halves(n)
    array = np.asarray(prior, dtype=np.float64)
    if array.ndim != 1 or (array < 0).any() or not np.isclose(array.sum(), 1):
        raise InputError("'prior' must be shares of the levels, 0 or more, that sum to 1.")
    return array


def _check_needs(name: str, given: Mapping[str, Any]) -> None:
    """Raise `InputError` when the method lacks an input, naming it."""
    needs = [("raw", "scores") if need == RATING else (need,) for need in METHODS[name].needs]
    lacking = [one_of for one_of in needs if all(given.get(one) is None for one in one_of)]
    if lacking:
        wanted = " and ".join(" or ".join(f"'{one}'" for one in one_of) for one_of in lacking)
        calls = remedy(*(f"select.{one_of[-1]}" for one_of in lacking))
        raise InputError(f"method '{name}' needs {wanted}.{calls}")


def _common_length(given: Mapping[str, Any]) -> int:
    """The number of rows that all inputs have, or `InputError`."""
    sizes = {}
    for name, value in given.items():
        if name == "targets" or value is None:
            continue
        shape = (value.n,) if isinstance(value, Neighbors) else np.shape(value)
        if not shape:
            raise InputError(
                f"'{name}' must be an array with one row per example. Got {type(value).__name__}."
            )
        if name == "vectors" and len(shape) != 2:
            raise InputError(
                f"'vectors' must be a table of shape (rows, dimensions). Got shape {shape}."
                f"{remedy(name)}"
            )
        sizes[name] = int(shape[0])
    if not sizes:
        raise InputError("select() was given no rows: pass 'scores', 'keys' or 'neighbors'.")
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"'{name}' has {size}" for name, size in sizes.items())
        raise InputError(f"All inputs must have one row per example. Got: {listed}.")
    return next(iter(sizes.values()))


def _figure(rule: Method, given: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """(n,) The scores or values that a method goes by; None where it looks at none."""
    for need in rule.needs:
        if need == RATING:
            return given.get("raw", given.get("scores"))
        if need in ("scores", "raw", "values"):
            return given[need]
    return None


def _check_threshold(method: str, threshold: object) -> float | None:
    """The threshold of a method that has one: a distance for "deita", a score for "alpagasus"."""
    if threshold is None or method not in ("deita", "alpagasus"):
        return None
    if isinstance(threshold, bool) or not isinstance(threshold, Real):
        raise InputError(f"'threshold' must be a number. Got {threshold!r}.")
    number = float(threshold)
    if method == "deita" and not 0.0 <= number <= 2.0:
        raise InputError(
            f"'threshold' of method 'deita' is a cosine distance in [0, 2]. Got {threshold}."
        )
    if not np.isfinite(number):
        raise InputError(f"'threshold' must be a finite number. Got {threshold}.")
    return number


def _columns(rule: Method, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a method reads beside scores and graph, checked."""
    found: dict[str, Any] = {}
    for name in ("tail", "lengths", "sources"):
        if given.get(name) is None or (name == "sources" and name not in rule.needs):
            continue
        if name == "sources":  # numbers in the order of their first row; None is a source too
            found[name] = encode(each(check_column(name, given[name])))[0]
        else:
            found[name] = check_finite_column(name, given[name])
    if "vectors" in rule.needs:
        found["vectors"] = check_vectors("vectors", given["vectors"])
    if "targets" in rule.needs:
        found["targets"] = targets = check_vectors("targets", given["targets"])
        dimensions = found["vectors"].shape[1]
        if not len(targets) or targets.shape[1] != dimensions:
            raise InputError(
                f"'targets' must have one row per example of what is wanted and {dimensions} "
                f"dimensions, as 'vectors' has. Got shape {targets.shape}. Embed both alike."
            )
    return found


def _standing(rows: np.ndarray, groups: np.ndarray | None, n: int) -> np.ndarray:
    """(n,) The place in ``rows`` of the eligible row that each row of the pool is or duplicates.

    −1 where there is none.
    """
    labels = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    of_group = np.full(n, -1, dtype=np.int64)
    of_group[labels.reshape(-1)[rows]] = np.arange(len(rows))
    return of_group[labels.reshape(-1)]


def _aim(constraints: Constraints, count: int | None, rows: np.ndarray) -> int:
    """How many rows beside those that must be chosen there will be, or about so many."""
    wanted = count or len(rows)
    if constraints.max_tokens is not None and constraints.tokens is not None and len(rows):
        usual = max(1.0, float(np.mean(constraints.tokens[rows])))
        wanted = math.ceil(min(wanted, constraints.max_tokens / usual))
    return max(wanted - len(given_rows(constraints.must_have)), 0)


def take(
    name: str, ready: Ready, order: Callable[[Inputs], Order] | None = None
) -> tuple[Chosen, tuple[str, ...]]:
    """Order the eligible rows by the method and choose from them what the constraints allow.

    ``order`` takes the place of the method's own.

    What is wanted is ordered, or all rows, where a longer order costs no more. Under quotas or a
    budget a greedy method, where it does, orders twice that, and more where it is not enough; then
    rows that it did not come to complete the selection, best score first, unless its own rule ends
    the order.

    Raises:
        InputError: the method's own rule leaves too few rows.
    """
    method, inputs, constraints = METHODS[name], ready.inputs, ready.constraints
    reason: Callable[[int], str] = str
    lengths = _lengths(method, inputs, constraints, ready.size)
    for length in lengths:
        places = np.empty(0, dtype=np.int64)
        if length:
            places, reason = (order or method.order)(replace(inputs, count=length))
        line = places
        if not method.ends and len(places) < len(inputs.rows):
            rest = np.delete(np.arange(len(inputs.rows)), places)
            if inputs.scores is not None:
                rest = rest[np.argsort(-inputs.scores[rest], kind="stable")]
            line = np.concatenate([places, rest])
        chosen = choose(inputs.rows[line], ready.size, constraints, ready.n)
        place_of = np.full(ready.n, -1)
        place_of[inputs.rows[places]] = places
        if chosen is not None and (
            length == lengths[-1]
            or len(places) < length
            or all(place_of[row] >= 0 or row in chosen.notes for row in chosen.rows.tolist())
        ):
            sentences = []
            for row in chosen.rows.tolist():
                place = int(place_of[row])
                parts = [reason(place)] if place >= 0 else []
                parts += [chosen.notes[row]] if row in chosen.notes else []
                sentences.append("; ".join(parts) or COMPLETES)
            return chosen, tuple(sentences)
    come_to = np.union1d(inputs.rows[places], given_rows(constraints.must_have))
    raise InputError(
        f"Method '{name}' stops after {len(places)} of {len(inputs.rows)} rows: the others are "
        "closer than 'threshold' to a chosen one. "
        f"{clash(come_to, ready.size, constraints, ready.n)} Or lower 'threshold'."
    )


def _lengths(
    method: Method, inputs: Inputs, constraints: Constraints, size: int | None
) -> list[int]:
    """How many rows the method is asked to order, one attempt after the other."""
    all_rows = len(inputs.rows)
    if not constraints.quotas and constraints.max_tokens is None:
        return [min(inputs.size, all_rows)]
    if method.cost != "greedy" or not all_rows:
        return [all_rows]
    wanted = [times * inputs.size for times in (LENGTHS[:1] if size is None else LENGTHS)]
    if method.ends:
        wanted.append(all_rows)
    return sorted({min(length, all_rows) for length in wanted})
