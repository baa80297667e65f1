"""Does a selection beat random? On scores that its method did not look at.

With s_i = 1 for a selected row, π_i the chance that a random selection of the same size holds row
i, and w_i the weight of its trusted value v_i (1 where every row has one),

    chosen = Σ w s v / Σ w s,    random = Σ w π v / Σ w π,    difference = chosen − random.

The 95 % interval of the difference is paired: a row that both hold moves both. It comes from each
row's influence u_i = w_i (s_i (v_i − chosen) / Σ w s − π_i (v_i − random) / Σ w π), with the
standard error √(Σ u²·g / (g − 1)) over the g rows that have a value. Where random selections have
the selection's number of rows of every source, and every row has a value, what sources differ by
cancels out: u is then taken of the values less the mean of their source.
"""

from dataclasses import dataclass

import numpy as np

from ds2.arrays import Lengths, Mask, Rows, Values
from ds2.checks import check_int, check_rows
from ds2.errors import InputError

__all__ = ["AgainstRandom", "against_random"]

#: Fewer selected rows with a value than this carry no interval.
MIN_ROWS = 8


@dataclass(frozen=True, slots=True)
class AgainstRandom:
    """A selection's mean value against that of random selections of its size.

    Attributes:
        chosen: mean value of the selected rows that have one.
        random: what a random selection has on average.
        difference: chosen − random.
        low: lower end of its 95 % interval; NaN with fewer than 8 selected rows that have a value.
        high: upper end.
        draws: (t,) mean values of the random selections that were drawn.
        beaten: share of the draws whose mean is below the selection's.
        n: selected rows that have a value.
        n_values: rows of the pool that have one.
        mixed: whether the random selections have the selection's mix of sources.
    """

    chosen: float
    random: float
    difference: float
    low: float
    high: float
    draws: Values
    beaten: float
    n: int
    n_values: int
    mixed: bool

    @property
    def better(self) -> bool | None:
        """Whether the selection is shown to be better (True) or worse (False); None: neither."""
        if np.isnan(self.low):
            return None
        return True if self.low > 0 else False if self.high < 0 else None


def against_random(
    values: Lengths,
    rows: Rows,
    *,
    weights: Values | None = None,
    eligible: Mask | None = None,
    sources: Lengths | None = None,
    n_draws: int = 100,
    seed: int = 0,
) -> AgainstRandom:
    """Compare the mean value of selected rows with that of random selections of the same size.

    The values must not be those that the method maximised, nor made from them: take gold, or a
    rater that was held out.

    Args:
        values: (n,) NaN where unknown.
        rows: (m,) the selected rows.
        weights: (n,) inverse inclusion probabilities of gold; default equal.
        eligible: (n,) the rows that a random selection draws from; default all.
        sources: (n,) labels: the random selections have the selection's number of rows of each.
            Default: they are drawn from all rows.
        n_draws: random selections to draw, 20 or more.
        seed: the same seed gives the same draws.

    Raises:
        InputError: lengths that differ, rows outside the pool, more selected than eligible rows.
    """
    v = np.asarray(values, dtype=np.float64)
    n = len(v)
    chosen = np.unique(np.asarray(rows))
    if len(chosen) and (chosen[0] < 0 or chosen[-1] >= n):
        raise InputError(f"'rows' must be in [0, {n - 1}]. Got {chosen[0]} to {chosen[-1]}.")
    n_draws = check_int("n_draws", n_draws, low=20)
    rng = np.random.default_rng(check_int("seed", seed, low=0))
    w = np.where(np.isnan(v), 0.0, 1.0 if weights is None else np.nan_to_num(weights))
    check_rows("weights", w, n)
    s = np.zeros(n)
    s[chosen] = 1.0
    drawn_from = np.ones(n, bool) if eligible is None else np.asarray(eligible) | (s > 0)
    check_rows("eligible", drawn_from, n)
    strata = _strata(drawn_from, chosen, sources)
    pi = np.zeros(n)
    for members, size in strata:
        pi[members] = size / len(members)
    known = np.where(w > 0, v, 0.0)
    mean, usual = _mean(known, w * s), _mean(known, w * pi)
    draws = np.array([_draw(known, w, strata, rng) for _ in range(n_draws)])
    n_chosen = int(((w > 0) & (s > 0)).sum())
    apart = known.copy()
    if sources is not None and (w[drawn_from] == 1).all():
        for members, _ in strata:
            apart[members] -= apart[members].mean()
    error = _error(apart, w, s, pi) if n_chosen >= MIN_ROWS else float("nan")
    return AgainstRandom(
        chosen=mean,
        random=usual,
        difference=mean - usual,
        low=mean - usual - 1.96 * error,
        high=mean - usual + 1.96 * error,
        draws=draws,
        beaten=float((draws < mean).mean()),
        n=n_chosen,
        n_values=int((w > 0).sum()),
        mixed=sources is not None,
    )


def _strata(
    drawn_from: np.ndarray, chosen: np.ndarray, sources: np.ndarray | None
) -> list[tuple[np.ndarray, int]]:
    """Rows to draw from and how many of them, one pair a source (or one for all)."""
    if sources is None:
        return [(np.flatnonzero(drawn_from), len(chosen))]
    check_rows("sources", sources, len(drawn_from))
    labels = np.unique(np.asarray(sources).astype(str), return_inverse=True)[1].reshape(-1)
    wanted = np.bincount(labels[chosen], minlength=int(labels.max()) + 1)
    return [
        (np.flatnonzero(drawn_from & (labels == label)), int(size))
        for label, size in enumerate(wanted)
        if size
    ]


def _mean(v: np.ndarray, w: np.ndarray) -> float:
    total = float(w.sum())
    return float((w * v).sum() / total) if total > 0 else float("nan")


def _draw(
    v: np.ndarray, w: np.ndarray, strata: list[tuple[np.ndarray, int]], rng: np.random.Generator
) -> float:
    rows = np.concatenate([rng.choice(members, size, replace=False) for members, size in strata])
    return _mean(v[rows], w[rows])


def _error(v: np.ndarray, w: np.ndarray, s: np.ndarray, pi: np.ndarray) -> float:
    ws, wp = w * s, w * pi
    influence = ws * (v - _mean(v, ws)) / ws.sum() - wp * (v - _mean(v, wp)) / wp.sum()
    g = int((w > 0).sum())
    return float(np.sqrt((influence**2).sum() * g / (g - 1)))
