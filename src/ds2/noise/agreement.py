"""How well values agree with trusted scores: `ds2.measures` at the public door."""

from dataclasses import dataclass

import numpy as np

from ds2.arrays import Values
from ds2.checks import check_choice, check_rows, check_weights
from ds2.measures import MEASURES, Interval, measure

__all__ = ["Agreement", "agreement", "agreement_difference"]

#: Fewer gold rows than this carry no interval.
MIN_GOLD = 8


@dataclass(frozen=True, slots=True)
class Agreement(Interval):
    """An agreement, or the difference of two, with its 95 % interval.

    Attributes:
        value: the estimate; NaN where it is not defined (equal values, no gold row).
        low: lower end of the interval; NaN with fewer than 8 gold rows.
        high: upper end.
        measure: see `agreement`.
        n: gold rows that have a value.
        n_effective: how many rows of equal weight would say as much.
        n_missing: gold rows without a value; they are left out.
    """

    measure: str = ""
    n: int = 0
    n_effective: float = 0.0
    n_missing: int = 0


def agreement(
    values: Values, gold: Values, weights: Values | None = None, *, measure: str = "spearman"
) -> Agreement:
    """Agreement of ``values`` with gold, for the pool that the gold rows were drawn from.

    Args:
        values: (n,) real numbers, NaN where there is none.
        gold: (n,) trusted scores on the level scale, fractions allowed; NaN where unknown.
        weights: (n,) inverse inclusion probabilities; rows with NaN or 0 are left out. Default:
            equal.
        measure: "spearman", "pearson", "accuracy", "kappa" (quadratic weights) or "top" (mean of
            gold, in its standard deviations, among the 5 % with the highest values).

    Returns:
        `Agreement`.

    Raises:
        InputError: lengths that differ, an unknown measure, weights that are negative or infinite.
    """
    return _agreement([values], gold, weights, measure)


def agreement_difference(
    values: Values,
    baseline: Values,
    gold: Values,
    weights: Values | None = None,
    *,
    measure: str = "spearman",
) -> Agreement:
    """How much better ``values`` agree with gold than ``baseline``: value, paired 95 % interval.

    Arguments as in `agreement`; only gold rows with both values count.
    """
    return _agreement([values, baseline], gold, weights, measure)


def _agreement(columns: list[Values], gold: Values, weights: Values | None, name: str) -> Agreement:
    check_choice("measure", name, MEASURES)
    y = np.asarray(gold, dtype=np.float64)
    arrays = [np.asarray(column, dtype=np.float64) for column in columns]
    for array in arrays:
        check_rows("values", array, len(y))
    w = np.ones(len(y)) if weights is None else check_weights("weights", weights, len(y))
    known = ~np.isnan(y) & (w > 0)
    present = known & ~np.any([np.isnan(array) for array in arrays], axis=0)
    w = np.where(present, w, 0.0)
    each = [measure(name, array, y, w) for array in arrays]
    found = each[0] if len(each) == 1 else each[0] - each[1]
    n = int(present.sum())
    ends = found.interval() if n >= MIN_GOLD else Interval(found.value)
    return Agreement(
        ends.value, ends.low, ends.high, name, n, found.n_effective, int(known.sum()) - n
    )
