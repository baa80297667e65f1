"""Neighbour agreement above chance: does the method's assumption hold on this pool?

    lift = (agreement − chance) / (1 − chance),     chance = Σ_c q[c]²

with q the observed marginal. In the soft model lift = rho · (Σ_i p[i] Σ_a T[i,a]² − chance) /
(1 − chance) ≤ rho: it mixes how often neighbours share the true score with how noisy the rater is.
"""

from dataclasses import dataclass

import numpy as np

from ds2.measures import Interval, Z
from ds2.noise.consensus import ScoreGraph

__all__ = ["Lift", "measure_lift"]


@dataclass(frozen=True, slots=True)
class Lift(Interval):
    """Agreement of an example's score with those of its first ``k`` neighbours.

    Attributes:
        value: lift.
        low: lower end of its 95 % interval.
        high: upper end.
        k: how many neighbours were looked at.
        agreement: share of (example, neighbour) pairs with equal scores.
        chance: the share that independent scores of the same marginal would have.
        n_pairs: how many pairs were counted.
    """

    k: int = 1
    agreement: float = float("nan")
    chance: float = float("nan")
    n_pairs: int = 0


def measure_lift(graph: ScoreGraph, k: int, *, first: int = 0) -> Lift:
    """Lift over the neighbours of rank ``first`` … ``k`` − 1 (0 is the nearest).

    The interval allows for pairs that share an example (dyadic-robust variance: Aronow, Samii and
    Assenova 2015) and for the marginal being estimated from the same scores.
    """
    q = graph.observed
    chance = float((q**2).sum())
    near = graph.scores[graph.indices[:, first:k]]
    known = near >= 0
    n_pairs = int(known.sum())
    if n_pairs == 0 or chance >= 1.0:
        agreement = 1.0 if n_pairs else float("nan")
        return Lift(float("nan"), k=k, agreement=agreement, chance=chance, n_pairs=n_pairs)
    equal = near == graph.own[:, None]
    agreement = float(equal[known].mean())
    value = (agreement - chance) / (1 - chance)
    centred = np.where(known, equal - agreement, 0.0) / (n_pairs * (1 - chance))
    slope = 2 * (1 - agreement) / (1 - chance) ** 2
    marginal = slope * (q[graph.own] - chance) / len(graph.own)
    error = _standard_error(graph, centred, graph.indices[:, first:k], marginal)
    low, high = value - Z * error, value + Z * error
    return Lift(value, low, high, k=k, agreement=agreement, chance=chance, n_pairs=n_pairs)


def _standard_error(
    graph: ScoreGraph, pairs: np.ndarray, targets: np.ndarray, marginal: np.ndarray
) -> float:
    """From each example's influence, through all of its pairs and through the marginal."""
    by_row = np.bincount(targets.ravel(), weights=pairs.ravel(), minlength=len(graph.scores))
    by_row[graph.rows] += pairs.sum(axis=1) - marginal
    once = float((pairs**2).sum())  # each pair stands at both of its ends
    return float(np.sqrt(max(float((by_row**2).sum()) - once, once)))
