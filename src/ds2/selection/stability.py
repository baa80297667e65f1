"""How sure it is that a row belongs to a selection: the selection made again on changed inputs.

In each draw, what the selection rests on is changed as much as it might have been different:

    raters      Bayesian bootstrap of the raters (Rubin 1981): weights g ~ Exp(1), one for each
                rater and the same for all rows, so that what a rater does to many rows at once
                is seen; stretched by √((r + 1) / (r − 1)), because r raters vary too little
    scores      with standard errors in place of raters: s + se · N(0, 1), row by row
    neighbours  Bayesian bootstrap of each row's k neighbours in its long-tail score
    rows        Bayesian bootstrap of the pool: a row counts g ~ Exp(1) times, and the cut falls
                where ``size`` rows have been counted, so the cut moves as it would in another
                pool of the same kind

A row's probability is the share of the draws in which it is selected. Weights that are never 0 keep
every row in every draw. The random numbers come from the keys, so permuting rows permutes the
result.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

from ds2.arrays import Groups, Keys, Prior, Scores, Values
from ds2.checks import check_choice, check_column, check_int, check_scores, check_table
from ds2.errors import InputError
from ds2.keys import check_keys, random_order_keys
from ds2.neighbors import Neighbors
from ds2.progress import steps
from ds2.selection.constraints import Constraints, eligible_rows
from ds2.selection.methods import METHODS, cut_levels, long_tail_scores
from ds2.selection.select import check_prior, check_size

__all__ = ["Stability", "selection_stability"]

#: Random streams of one draw: one each for rows, scores and raters, then one for each neighbour.
_STREAMS = 4096
_ROWS, _SCORES, _RATERS, _NEAR = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class Stability:
    """How often each row is selected when the selection is made again.

    Attributes:
        probability: (n,) share of the draws; NaN for rows that cannot be selected (no score, or a
            duplicate of a better one). From d draws it is known to about ±1 / √d at worst.
        kept: mean share of the selection that a draw selects as well.
        n_draws: how many draws.
        over: what was changed in them: "raters", "scores", "neighbours", "rows".
    """

    probability: Values
    kept: float
    n_draws: int
    over: tuple[str, ...]


def selection_stability(
    scores: Scores,
    tail: Values | None = None,
    *,
    size: int | float,
    method: str = "ds2",
    raters: Shaped[np.ndarray, "n r"] | None = None,
    se: Values | None = None,
    neighbors: Neighbors | None = None,
    resample_rows: bool = True,
    groups: Groups | None = None,
    keys: Keys | None = None,
    prior: Prior | None = None,
    n_draws: int = 50,
    seed: int = 0,
) -> Stability:
    """Probability of each row to be in the selection, over raters, neighbours and rows.

    Args:
        scores: (n,) curated scores, NaN where unrated. Whole numbers stay whole in every draw.
        tail: (n,) long-tail scores. Default for "ds2": those of ``neighbors``.
        size: as for `select`.
        method: "ds2" or "top-score"; the selection of `select` with the same arguments.
        raters: (n, r) what each rater alone says, on one scale; ``scores`` move as the mean of a
            row's raters moves. A row with one rater does not move: that rater's noise is not in
            the table.
        se: (n,) standard errors of ``scores``, in place of ``raters`` (Curation.se).
        neighbors: the graph, to resample neighbours.
        resample_rows: whether the pool is resampled as well.
        groups: (n,) labels of duplicates. Default: those of ``neighbors``.
        keys: (n,) whole numbers that identify the content (Pool.keys). Default: the row number.
        prior: (s,) shares of the levels for real-valued scores, as for `select`.
        n_draws: how many draws.
        seed: the same seed gives the same draws.

    Returns:
        `Stability`.

    Raises:
        InputError: nothing to resample, both ``raters`` and ``se``, a missing ``tail``, shapes
            that do not fit.
    """
    values = check_scores("scores", scores)
    n = len(values)
    name = check_choice("method", method, ("ds2", "top-score"))
    count, seed = check_size(size, n), check_int("seed", seed, low=0)
    n_draws = check_int("n_draws", n_draws, low=1)
    if raters is not None and se is not None:
        raise InputError("'raters' and 'se' speak of the same noise. Pass one of them.")
    if name == "ds2" and tail is None:
        if neighbors is None:
            raise InputError("method 'ds2' needs 'tail' or 'neighbors'. Pass one of them.")
        tail = long_tail_scores(neighbors)
    if raters is not None:
        raters = check_table("raters", raters, n_rows=n, whole=False)
    tail, se = (
        None if array is None else check_column(label, array, n, numbers=True)
        for label, array in (("tail", tail), ("se", se))
    )
    if neighbors is not None and neighbors.n != n:
        raise InputError(f"'neighbors' must have {n} rows, one per example. Got {neighbors.n}.")
    given = {
        "raters": raters is not None,
        "scores": se is not None,
        "neighbours": neighbors is not None and name == "ds2",
        "rows": resample_rows,
    }
    over = tuple(part for part, there in given.items() if there)
    if not over:
        raise InputError("Nothing to resample: pass 'raters', 'se', 'neighbors' or rows.")
    order_keys = check_keys(keys, n)
    labels = neighbors.groups if groups is None and neighbors is not None else groups
    rows, _ = eligible_rows(
        Constraints(),
        order_keys,
        excluded={"unrated": np.isnan(values)},
        scores=values,
        groups=None if labels is None else check_column("groups", labels, n),
    )
    if count > len(rows):
        raise InputError(f"'size' asks for {count} rows, and {len(rows)} can be selected.")
    shares = check_prior(prior, n)
    shuffle = random_order_keys(order_keys, seed, stream=METHODS[name].stream)

    def inside(scores: np.ndarray, tail: np.ndarray | None, weights: np.ndarray) -> np.ndarray:
        """(n,) Whether a row is among the first that together count ``count``."""
        own = scores[rows]
        if tail is None or name == "top-score":
            order = [own, ~shuffle[rows]]
        elif (own == np.floor(own)).all():
            order = [own, tail[rows]]
        else:
            order = [cut_levels(own, shares), tail[rows], own]
        result = np.zeros(n, dtype=bool)
        result[rows[_first([*order, ~order_keys[rows]], weights[rows], count)]] = True
        return result

    drawing = _Drawing(
        values, raters, se, neighbors if given["neighbours"] else None, order_keys, seed
    )
    chosen = inside(values, tail, np.ones(n))
    times, kept = np.zeros(n), 0.0
    for draw in steps(range(n_draws)):
        drawn, drawn_tail = drawing.draw(draw, tail)
        weights = drawing.exponential(draw, _ROWS) if resample_rows else np.ones(n)
        again = inside(drawn, drawn_tail, weights)
        times += again
        kept += float(again[chosen].mean())
    probability = np.full(n, np.nan)
    probability[rows] = times[rows] / n_draws
    return Stability(probability, kept / n_draws, n_draws, over)


@dataclass(frozen=True, slots=True)
class _Drawing:
    """What the draws are made of; arguments as in `selection_stability`."""

    scores: np.ndarray
    raters: np.ndarray | None
    se: np.ndarray | None
    neighbors: Neighbors | None
    keys: np.ndarray
    seed: int

    def draw(self, number: int, tail: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        """(n,) Scores and long-tail scores as they might have been."""
        drawn = self.scores
        if self.raters is not None:
            rng = np.random.default_rng([self.seed, number, _RATERS])
            weights = np.asarray(rng.standard_exponential(self.raters.shape[1]))
            drawn = drawn + _shift(self.raters, weights)
        if self.se is not None:
            from scipy.special import ndtri

            errors = np.nan_to_num(np.asarray(self.se, dtype=np.float64))
            drawn = drawn + errors * ndtri(self._uniform(number, _SCORES))
        if self.neighbors is not None:  # each neighbour counts g ~ Exp(1) times
            far, total = np.zeros(self.neighbors.n), np.zeros(self.neighbors.n)
            for rank in range(self.neighbors.k):
                g = self.exponential(number, _NEAR + rank)
                far += g * self.neighbors.distances[:, rank]
                total += g
            tail = np.tanh(far / total / 2)
        present = self.scores[~np.isnan(self.scores)]
        if drawn is not self.scores and (present == np.floor(present)).all():
            drawn = np.clip(np.rint(drawn), present.min(), present.max())
        return drawn, tail

    def exponential(self, number: int, stream: int) -> np.ndarray:
        """(n,) Draws of Exp(1), fixed by key."""
        return np.asarray(-np.log(self._uniform(number, stream)))

    def _uniform(self, number: int, stream: int) -> np.ndarray:
        bits = random_order_keys(self.keys, self.seed, stream=_STREAMS * (number + 1) + stream)
        return np.asarray(((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53)


def _shift(raters: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(n,) How far each row's mean moves when raters count ``weights`` times."""
    table = np.asarray(raters, dtype=np.float64)
    present = ~np.isnan(table)
    r = present.sum(axis=1)
    filled = np.where(present, table, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = (filled @ weights) / (present @ weights) - filled.sum(axis=1) / r
        return np.asarray(np.where(r > 1, shift * np.sqrt((r + 1) / (r - 1)), 0.0))


def _first(order: Sequence[np.ndarray], weights: np.ndarray, size: int | float) -> np.ndarray:
    """Places of the rows before which less than ``size`` has been counted."""
    key = order[0]
    sequence = np.argsort(key)[::-1]
    before = np.cumsum(weights[sequence]) - weights[sequence]
    n_before = int(np.searchsorted(before, size, side="left"))
    if n_before == 0 or len(order) == 1:
        return sequence[:n_before]
    edge = key[sequence[n_before - 1]]
    clear = np.flatnonzero(key > edge)
    tied = np.flatnonzero(key == edge)
    rest = size - float(weights[clear].sum())
    deeper = _first([one[tied] for one in order[1:]], weights[tied], rest)
    return np.concatenate([clear, tied[deeper]])
