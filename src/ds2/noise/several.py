"""Several raters: each from its neighbours, and all of them jointly."""

from dataclasses import replace

import numpy as np

from ds2.errors import InputError
from ds2.levels import split_levels
from ds2.neighbors import Neighbors
from ds2.noise.consensus import ScoreGraph
from ds2.noise.counted import pick_neighbors
from ds2.noise.estimate import TransitionEstimate
from ds2.noise.findings import MIN_COUNT
from ds2.noise.hull import RHO_FLOOR
from ds2.noise.information import ordinal_shares
from ds2.noise.joint import JointFit, fit_joint
from ds2.noise.levels import find_swapped_levels
from ds2.noise.lift import Lift, measure_lift
from ds2.noise.pairs import PairTable
from ds2.noise.single import Wanted, dominant, estimate_single
from ds2.noise.trusted import Guesses, explain, gold_counts, ordinal_guesses

__all__ = ["estimate_pair", "estimate_several", "for_each_column"]

#: Examples per row that the ordinal prior of a joint fit is worth, unless one is given.
JOINT_PRIOR = 4.0
#: Deviations of the joint fit that are drawn for the intervals with gold.
N_ERRORS = 400


def estimate_several(
    values: np.ndarray,
    neighbors: Neighbors,
    wanted: Wanted,
    *,
    gold: np.ndarray | None,
    gold_weights: np.ndarray,
    rho: float | None,
    names: tuple[str, ...],
) -> TransitionEstimate:
    """Estimate r raters of whom no two are one: ``values`` (n, r), NaN where missing."""
    r = values.shape[1]
    joint = _fit(values, np.arange(r), neighbors, wanted, gold)
    used = float(np.clip(joint.rho if rho is None else rho, RHO_FLOOR, 1.0))
    plain = replace(wanted, n_bootstrap=0)
    raters = tuple(_alone(column, neighbors, plain, used) for column in values.T)
    estimate = _assemble(joint, raters, values, neighbors, used)
    if gold is not None:
        estimate = _corrected(estimate, values, gold, gold_weights, wanted.seed)
    cases = find_swapped_levels(values, wanted.n_scores, gold=gold, names=names)
    return replace(estimate, warnings=tuple(dict.fromkeys(case.sentence for case in cases)))


def for_each_column(
    estimate: TransitionEstimate, values: np.ndarray, distinct: np.ndarray, first: np.ndarray
) -> TransitionEstimate:
    """The estimate of distinct raters for all columns: one that repeats another has its errors.

    A rater of one score says it whatever is true.

    Args:
        estimate: of the distinct columns, in their order.
        values: (n, r) all columns.
        distinct: (d,) which columns those are.
        first: (r,) the column that each of them is.
    """
    s = len(estimate.prior)
    place = [int(np.flatnonzero(distinct == f)[0]) if f in distinct else 0 for f in first]
    maps = [_map_of(values[:, distinct[p]], values[:, m], s) for m, p in enumerate(place)]
    each = estimate.matrix.reshape(len(distinct), s, s)

    def spread(cells: np.ndarray | None) -> np.ndarray | None:
        if cells is None:
            return None
        shaped = cells.reshape(2, len(distinct), s, s)
        parts = [np.clip(shaped[:, p] @ M, 0, 1) for p, M in zip(place, maps, strict=True)]
        return np.stack(parts, axis=1)

    alone = (estimate,) if len(distinct) == 1 else estimate.raters
    matrix = np.array([each[p] @ M for p, M in zip(place, maps, strict=True)])
    raters = [
        None if one is None else replace(one, n_missing=int(np.isnan(column).sum()))
        for one, column in zip((alone[p] for p in place), values.T, strict=True)
    ]
    return replace(
        estimate,
        matrix=matrix,
        range=spread(estimate.range),
        intervals=spread(estimate.intervals),
        raters=tuple(raters),
        diagonal_dominant=dominant(matrix, estimate.effective_counts),
    )


def _map_of(one: np.ndarray, other: np.ndarray, s: int) -> np.ndarray:
    """(s, s) Share of each level of the other at each level of the one; itself where unknown."""
    if one is other or np.array_equal(one, other, equal_nan=True):
        return np.eye(s)
    both = ~np.isnan(one) & ~np.isnan(other)
    code = one[both].astype(np.int64) * s + other[both].astype(np.int64)
    counts = np.bincount(code, minlength=s * s).reshape(s, s) + 1e-6 * np.eye(s)
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def estimate_pair(
    alone: TransitionEstimate,
    values: np.ndarray,
    repeats: np.ndarray,
    neighbors: Neighbors,
    wanted: Wanted,
) -> TransitionEstimate:
    """One rater with many repeats: two looks through one matrix, and the neighbours."""
    columns = np.column_stack([values, repeats])
    joint = _fit(columns, np.zeros(2, dtype=int), neighbors, wanted, None)
    effective = alone.n_examples * joint.prior
    thin = effective < MIN_COUNT
    intervals = joint.intervals[:, 0].copy()
    intervals[:, thin] = np.nan
    return replace(
        alone,
        matrix=joint.matrix[0],
        prior=joint.prior,
        rho=joint.rho,
        rho_source="repeats",
        rho_interval=joint.rho_interval,
        rho_range=joint.rho_interval,
        range=_filled(intervals),
        intervals=intervals,
        prior_intervals=joint.prior_intervals,
        effective_counts=effective,
        diagonal_dominant=dominant(joint.matrix[0], effective),
        fit=float("nan"),
        fit_expected=float("nan"),
        log_likelihood=joint.log_likelihood,
        iterations=joint.iterations,
        converged=joint.converged,
    )


def _fit(
    columns: np.ndarray,
    of_column: np.ndarray,
    neighbors: Neighbors,
    wanted: Wanted,
    gold: np.ndarray | None,
) -> JointFit:
    """The joint fit; neighbours are counted as far as the rater who gains most by them does."""
    s = wanted.n_scores
    graphs = [ScoreGraph.build(column, neighbors, s) for column in columns.T]
    lifts = [np.nan_to_num(measure_lift(graph, 1).value, nan=-1.0) for graph in graphs]
    table = PairTable.build(
        columns,
        gold,
        neighbors,
        s,
        of_column=of_column,
        n_neighbors=pick_neighbors(graphs[int(np.argmax(lifts))], wanted.n_neighbors),
        rng=np.random.default_rng(wanted.seed),
    )
    if not table.total:
        raise InputError(
            "'scores' has no rated example with a rated neighbour, so nothing can be counted. "
            "Rate more examples."
        )
    strength = wanted.ordinal_prior or JOINT_PRIOR
    pseudo = np.tile(strength * ordinal_shares(s), (int(of_column.max()) + 1, 1, 1))
    return fit_joint(table, s, pseudo=pseudo, n_starts=min(wanted.n_starts, 4))


def _alone(
    column: np.ndarray, neighbors: Neighbors, wanted: Wanted, rho: float
) -> TransitionEstimate | None:
    try:
        found = estimate_single(column, neighbors, wanted, rho=rho, ranged=False).estimate
    except InputError:  # too few rated neighbours of its own
        return None
    return replace(found, rho_source="raters")


def _assemble(
    joint: JointFit,
    raters: tuple[TransitionEstimate | None, ...],
    values: np.ndarray,
    neighbors: Neighbors,
    rho: float,
) -> TransitionEstimate:
    rated = (~np.isnan(values)).any(axis=1)
    s = len(joint.prior)
    n_examples = int((rated & neighbors.entries()).sum())
    effective = n_examples * joint.prior
    intervals = joint.intervals.copy()
    intervals[:, :, effective < MIN_COUNT] = np.nan
    lifts = _most_lift(raters)
    present = values[~np.isnan(values)].astype(int)
    return TransitionEstimate(
        matrix=joint.matrix,
        prior=joint.prior,
        observed=np.bincount(present, minlength=s) / len(present),
        rho=rho,
        range=_filled(intervals),
        rho_range=joint.rho_interval,
        intervals=intervals,
        prior_intervals=joint.prior_intervals,
        lift=lifts[0],
        lifts=lifts,
        n_neighbors=max((one.n_neighbors for one in raters if one), default=1),
        effective_counts=effective,
        diagonal_dominant=dominant(joint.matrix, effective),
        fit=float("nan"),
        fit_expected=float("nan"),
        log_likelihood=joint.log_likelihood,
        iterations=joint.iterations,
        converged=joint.converged,
        n_examples=n_examples,
        n_missing=int((~rated).sum()),
        n_bootstrap=0,
        warnings=(),
        rho_source="raters",
        rho_interval=joint.rho_interval,
        raters=raters,
    )


def _most_lift(raters: tuple[TransitionEstimate | None, ...]) -> tuple[Lift, ...]:
    """The lifts of the rater whose neighbours agree most."""
    known = [one for one in raters if one is not None]
    if not known:
        return (Lift(float("nan")),)
    return max(known, key=lambda one: float(np.nan_to_num(one.lift.value, nan=-1.0))).lifts


def _filled(intervals: np.ndarray) -> np.ndarray:
    """Intervals with 0 to 1 where there are none."""
    low, high = intervals
    return np.array([np.nan_to_num(low, nan=0.0), np.nan_to_num(high, nan=1.0)])


def _corrected(
    estimate: TransitionEstimate,
    values: np.ndarray,
    gold: np.ndarray,
    weights: np.ndarray,
    seed: int,
) -> TransitionEstimate:
    """Each rater's matrix as gold leaves it, the joint fit being the guess."""
    rows = np.flatnonzero(~np.isnan(gold) & (weights > 0))
    s = len(estimate.prior)
    shares = split_levels(gold[rows], s)
    rng = np.random.default_rng(seed)
    matrices, bounds = [], []
    for m, T in enumerate(estimate.matrix):
        D = gold_counts(shares, values[rows, m], weights[rows])
        low, high = estimate.range[:, m] if estimate.range is not None else np.array([T, T])
        width = (np.minimum(high, 1) - np.maximum(low, 0)) / 3.92
        errors = rng.standard_normal((N_ERRORS, s, s)) * np.minimum(width, 0.25)
        guess = Guesses(T[None], np.zeros(1), errors - errors.mean(axis=2, keepdims=True))
        found = explain(D, [guess, ordinal_guesses(s)], rng)
        matrices.append(found.matrix)
        bounds.append(found.intervals)
    matrix, intervals = np.array(matrices), np.stack(bounds, axis=1)
    return replace(
        estimate,
        matrix=matrix,
        intervals=intervals,
        range=intervals,
        rho_source="gold",
        n_gold=len(rows),
        diagonal_dominant=dominant(matrix, estimate.effective_counts),
    )
