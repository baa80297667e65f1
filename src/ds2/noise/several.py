"""Several raters: each from its neighbours, and all of them jointly.

`fit_raters` is every rater's errors from the raters alone (Dawid and Skene 1979): the model
(`ds2.noise.model`) without neighbours. Gold rows are rows whose true score is known. Starts with
most mass on the diagonal and an ordinal prior (a near level is a likelier error than a far one)
lead to classes that are in order.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from ds2.arrays import Prior, Scores
from ds2.checks import check_gold, check_int, check_positive, check_table
from ds2.errors import InputError
from ds2.levels import split_levels
from ds2.neighbors import Neighbors
from ds2.noise.estimate import MIN_COUNT, TransitionEstimate, dominant
from ds2.noise.intervals import RHO_FLOOR
from ds2.noise.model import Links, Model, Patterns, Solved
from ds2.noise.order import class_values, ordered_raters, swapped_levels, used_levels
from ds2.noise.panel import Panel, look_at
from ds2.noise.single import Guesses, Wanted, estimate_single, explain, gold_counts, ordinal_guesses
from ds2.noise.triples import Lift, ScoreGraph, measure_lift, pick_neighbors
from ds2.progress import part, steps

__all__ = ["RaterFit", "estimate_several", "fit_raters", "for_each_column", "solve_raters"]

#: Examples per row of T that the ordinal prior is worth, and EM starts, unless given.
PRIOR_STRENGTH, N_STARTS = 4.0, 4
#: Most levels of a joint fit, distinct pairs, and numbers in the table of their slopes (which is
#: pairs × free numbers of T and J).
MOST_LEVELS, MOST_PAIRS, MOST_SLOPES = 20, 250_000, 50_000_000
#: Deviations of the joint fit that are drawn for the intervals with gold.
N_ERRORS = 400
#: A posterior that is read as a score needs no cell more exactly than this.
ROUGH = 1e-4


def estimate_several(
    values: np.ndarray,
    neighbors: Neighbors,
    wanted: Wanted,
    *,
    gold: np.ndarray,
    gold_weights: np.ndarray,
    rho: float | None,
    names: tuple[str, ...],
) -> TransitionEstimate:
    """Estimate r raters of whom no two are one: ``values`` (n, r), NaN where missing."""
    panel = look_at(values)
    with part(0.0, 0.6):
        joint = _fit(values, neighbors, wanted, panel)
    others = joint.elsewhere()
    found, ends = joint.rho(others)
    used = float(np.clip(found, RHO_FLOOR, 1.0)) if rho is None else rho
    ends = (min(ends[0], used), max(ends[1], used))
    source = "raters" if rho is None else "assumed"
    plain = replace(wanted, n_bootstrap=0)
    raters: list[TransitionEstimate | None] = []
    with part(0.6, 1.0):
        for column in steps(values.T):
            try:
                one = estimate_single(column, neighbors, plain, rho=used, ranged=False).estimate
                raters.append(replace(one, rho_source=source, matrix_source="raters"))
            except InputError:  # too few rated neighbours of its own
                raters.append(None)
    rated = (~np.isnan(values)).any(axis=1)
    n_examples = int((rated & neighbors.entries()).sum())
    effective = n_examples * joint.prior
    cov = joint.model.covariance(joint.state)
    intervals = joint.intervals(cov, others)
    intervals[:, :, effective < MIN_COUNT] = np.nan
    known = [one for one in raters if one is not None]
    lifts: tuple[Lift, ...] = (Lift(float("nan")),)
    if known:  # of the rater whose neighbours agree most
        lifts = max(known, key=lambda one: np.nan_to_num(one.lift.value, nan=-1.0)).lifts
    present = values[~np.isnan(values)].astype(int)
    estimate = TransitionEstimate(
        matrix=joint.matrix,
        prior=joint.prior,
        observed=np.bincount(present, minlength=wanted.n_scores) / len(present),
        rho=used,
        range=np.where(np.isnan(intervals), np.array([0.0, 1.0])[:, None, None, None], intervals),
        rho_range=ends,
        intervals=intervals,
        prior_intervals=joint.prior_intervals(cov, others),
        lift=lifts[0],
        lifts=lifts,
        n_neighbors=max((one.n_neighbors for one in known), default=1),
        effective_counts=effective,
        diagonal_dominant=dominant(joint.matrix, effective),
        fit=float("nan"),
        fit_expected=float("nan"),
        log_likelihood=joint.model.data_likelihood(joint.state) / joint.model.total,
        iterations=joint.iterations,
        converged=joint.converged,
        n_examples=n_examples,
        n_missing=int((~rated).sum()),
        n_bootstrap=0,
        warnings=(),
        rho_source=source,
        rho_interval=ends if rho is None else (0.0, 1.0),
        matrix_source="raters",
        raters=tuple(raters),
    )
    if (gold_weights > 0).any():
        estimate = _corrected(estimate, values, gold, gold_weights, wanted.seed)
    cases = swapped_levels(values, wanted.n_scores, panel, gold, names=names)
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
        first: (r,) the column that each of them is heard through.
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
    """(s, s) Share of each level of the other at each level of the one; itself where unknown.

    A rater who gave one score only says it at every level.
    """
    if one is other or np.array_equal(one, other, equal_nan=True):
        return np.eye(s)
    given = np.unique(other[~np.isnan(other)]).astype(np.int64)
    if len(given) == 1:
        return np.asarray(np.eye(s)[np.repeat(given, s)])
    both = ~np.isnan(one) & ~np.isnan(other)
    code = one[both].astype(np.int64) * s + other[both].astype(np.int64)
    counts = np.bincount(code, minlength=s * s).reshape(s, s) + 1e-6 * np.eye(s)
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def _fit(values: np.ndarray, neighbors: Neighbors, wanted: Wanted, panel: Panel) -> Solved:
    """The joint fit; neighbours are counted as far as the rater who gains most by them does."""
    s, r = wanted.n_scores, values.shape[1]
    if s > MOST_LEVELS:
        raise InputError(
            f"Several raters are estimated together on at most {MOST_LEVELS} levels. These scores "
            f"have {s}: put them on fewer (a scale of levels:10, say)."
        )
    with part(0.0, 0.2):
        graphs = [ScoreGraph.build(column, neighbors, s) for column in steps(values.T)]
    lifts = [np.nan_to_num(measure_lift(graph, 1).value, nan=-1.0) for graph in graphs]
    shared = np.column_stack([neighbors.entry_scores(column) for column in values.T])
    patterns = Patterns.build(shared, None, s)
    n_neighbors = pick_neighbors(graphs[int(np.argmax(lifts))], wanted.n_neighbors)
    links = Links.build(
        patterns,
        neighbors,
        n_neighbors,
        np.random.default_rng(wanted.seed),
        most=min(MOST_PAIRS, MOST_SLOPES // ((r + 1) * s * s)),
    )
    if not links.counts.any():
        raise InputError(
            "'scores' has no rated example with a rated neighbour, so nothing can be counted. "
            "Rate more examples."
        )
    strength = PRIOR_STRENGTH if wanted.ordinal_prior is None else wanted.ordinal_prior
    model = Model.build(
        patterns,
        links,
        strength=strength,
        used=used_levels(shared, s),
        ordered=ordered_raters(values, s, panel),
    )
    with part(0.4, 1.0):
        return Solved.find(model, min(wanted.n_starts, N_STARTS))


def _corrected(
    estimate: TransitionEstimate,
    values: np.ndarray,
    gold: np.ndarray,
    weights: np.ndarray,
    seed: int,
) -> TransitionEstimate:
    """Each rater's matrix as gold leaves it, the joint fit being the guess."""
    rows = np.flatnonzero(weights > 0)
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
        rho_source="gold" if estimate.rho_source == "raters" else "assumed",
        matrix_source="gold",
        n_gold=len(rows),
        diagonal_dominant=dominant(matrix, estimate.effective_counts),
    )


@dataclass(frozen=True, slots=True)
class RaterFit:
    """What the raters say of each other.

    Attributes:
        matrix: (r, s, s) one transition matrix per rater.
        prior: (s,) p[i] = P(true = i).
        posterior: (n, s) P(true = i given the row's ratings); NaN in rows without any.
        intervals: (2, r, s, s) 95 % intervals: what sampling does, and what the ordinal prior does.
        log_likelihood: of all rows, in nats.
        converged: whether EM stood still.
        iterations: EM steps.
        reordered: whether the rows had to be put into another order at the end.
        values: (s,) what raters say in each class, in standard deviations of each rater's scores.
        identified: whether the ratings determine the matrices: three raters, or gold.
        note: a sentence where they do not, otherwise empty.
    """

    matrix: Float[np.ndarray, "r s s"]
    prior: Prior
    posterior: Float[np.ndarray, "n s"]
    intervals: Float[np.ndarray, "2 r s s"]
    log_likelihood: float
    converged: bool
    iterations: int
    reordered: bool
    values: Prior
    identified: bool
    note: str

    def expected(self) -> np.ndarray:
        """(n,) Posterior mean of the true score; NaN in rows without a rating."""
        return np.asarray(self.posterior @ np.arange(len(self.prior)))

    def spread(self) -> np.ndarray:
        """(n,) Posterior standard deviation of the true score."""
        levels = np.arange(len(self.prior))
        mean = self.expected()
        return np.asarray(np.sqrt(np.maximum(self.posterior @ levels**2 - mean**2, 0.0)))


def fit_raters(
    scores: Float[np.ndarray, "n r"],
    n_scores: int,
    *,
    prior_strength: float = PRIOR_STRENGTH,
    gold: Scores | None = None,
    n_starts: int = N_STARTS,
    seed: int = 0,
) -> RaterFit:
    """Fit one transition matrix per rater from what the raters say of the same rows.

    Args:
        scores: (n, r) whole numbers 0 … n_scores − 1, NaN where missing.
        n_scores: how many levels there are.
        prior_strength: how many examples per row of each T the ordinal prior is worth.
        gold: (n,) trusted scores on the level scale, NaN where unknown. They enter as known rows;
            the likelihood needs no weights as long as the rows were chosen by their scores.
        n_starts: EM starts, all with most mass on the diagonal.
        seed: the same seed gives the same fit.

    Returns:
        `RaterFit`.

    Raises:
        InputError: scores that are no whole numbers in range, a rater without any score, gold of
            another length.
    """
    n_scores = check_int("n_scores", n_scores, low=2, high=100)
    values = check_table("scores", scores, n_scores=n_scores)
    trusted, _ = check_gold(gold, len(values), n_scores)
    strength = check_positive("prior_strength", prior_strength, zero=True)
    solved = Solved.find(
        _model(values, trusted, n_scores, strength),
        check_int("n_starts", n_starts, low=1),
        seed=check_int("seed", seed, low=0),
    )
    model, patterns = solved.model, solved.model.patterns
    posterior = model.posterior(solved.state)[patterns.of_row]
    posterior[~patterns.rated[patterns.of_row]] = np.nan
    r, note = values.shape[1], ""
    if r < 3 and np.isnan(trusted).all():
        who = "One rater alone does" if r == 1 else "Two raters alone do"
        note = (
            f"{who} not determine how noisy each is: the matrices lean on the ordinal prior"
            + (" and on equal reliabilities" if r == 2 else "")
            + ". Neighbours, a further rater or gold would settle it."
        )
    return RaterFit(
        matrix=solved.matrix,
        prior=solved.prior,
        posterior=posterior,
        intervals=solved.intervals(model.covariance(solved.state), solved.elsewhere()),
        log_likelihood=model.data_likelihood(solved.state),
        converged=solved.converged,
        iterations=solved.iterations,
        reordered=solved.reordered,
        values=class_values(solved.matrix, solved.prior),
        identified=not note,
        note=note,
    )


def solve_raters(
    scores: np.ndarray, n_scores: int, *, gold: np.ndarray | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """(r, s, s) and (s,): T and p of `fit_raters` as exactly as a posterior needs them."""
    trusted = np.full(len(scores), np.nan) if gold is None else gold
    solved = Solved.find(
        _model(scores, trusted, n_scores, PRIOR_STRENGTH), 2, seed=seed, tolerance=ROUGH
    )
    return solved.matrix, solved.prior


def _model(values: np.ndarray, gold: np.ndarray, n_scores: int, strength: float) -> Model:
    return Model.build(
        Patterns.build(values, gold, n_scores),
        None,
        strength=strength,
        used=used_levels(values, n_scores, gold),
        ordered=ordered_raters(values, n_scores, look_at(values)),
    )
