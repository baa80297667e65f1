"""How well candidates agree with what none of them has seen, with paired intervals.

Each measure holds a judge (gold, or a rater that was left out) and each candidate's values for the
judge's rows, learned without the judge's word on those rows. Whole neighbourhoods are drawn anew
for the intervals; agreement is a function of sums, so a round of the bootstrap is one product. Few
neighbourhoods spread less than the truth (two can hardly contradict each other), so the draws are
widened by Student's factor.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ds2.curation.levels import rank_shares

__all__ = ["Judgement", "Measure", "judge"]

ROUNDS = 1000
#: Rows of a judge below which nothing is measured.
LEAST_ROWS = 20


@dataclass(frozen=True, slots=True)
class Measure:
    """A judge and the candidates before it.

    Attributes:
        judge: "gold", or "rater" and its number.
        truth: (n,) what the judge says, NaN where nothing.
        weights: (n,) weights of its rows.
        reliability: correlation of the judge with the truth (1 for gold): an agreement is that
            much smaller than with the truth.
        candidates: name → (n,) values.
    """

    judge: str
    truth: np.ndarray
    weights: np.ndarray
    reliability: float
    candidates: Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Judgement:
    """How far each candidate agrees with one judge.

    Attributes:
        judge: as in `Measure`.
        figure: "Spearman", "accuracy" or "quadratic kappa".
        reliability: as in `Measure`.
        names: the candidates.
        values: (c,) agreement of each.
        draws: (rounds, c) bootstrap, wider where there are few blocks.
        n: rows.
    """

    judge: str
    figure: str
    reliability: float
    names: tuple[str, ...]
    values: np.ndarray
    draws: np.ndarray
    n: int

    def value(self, name: str) -> tuple[float, float, float]:
        """Judgement of a candidate with its 95 % interval."""
        at = self.names.index(name)
        return float(self.values[at]), *_ends(np.clip(self.draws[:, at], -1, 1))

    def difference(self, name: str, other: str) -> tuple[float, float, float]:
        """How much more one agrees than the other, with its paired 95 % interval."""
        a, b = self.names.index(name), self.names.index(other)
        return float(self.values[a] - self.values[b]), *_ends(self.draws[:, a] - self.draws[:, b])


def _ends(draws: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def judge(
    measure: Measure, blocks: np.ndarray, objective: str, rng: np.random.Generator
) -> list[Judgement]:
    """Judgement of every candidate with the judge; empty where it has too few rows.

    Args:
        measure: the judge and the candidates.
        blocks: (n,) rows of one block are drawn together.
        objective: "rank" for Spearman; "level" for accuracy and quadratic kappa.
        rng: for the bootstrap.
    """
    names = tuple(measure.candidates)
    table = np.stack([measure.candidates[name] for name in names], axis=1)
    known = ~np.isnan(measure.truth) & ~np.isnan(table).any(axis=1) & (measure.weights > 0)
    rows = np.flatnonzero(known)
    _, block = np.unique(blocks[rows], return_inverse=True)
    n_blocks = int(block.max(initial=-1)) + 1
    if len(rows) < LEAST_ROWS or n_blocks < 2 or np.ptp(measure.truth[rows]) == 0:
        return []
    weight = measure.weights[rows] / measure.weights[rows].mean()
    if objective == "rank":
        y = rank_shares(measure.truth[rows], weight) - 0.5
        x = np.stack([rank_shares(column, weight) - 0.5 for column in table[rows].T], axis=1)
    else:
        y, x = measure.truth[rows], table[rows]
    sums = _sums(x, y, weight, block.reshape(-1))
    taken = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=ROUNDS)
    drawn = (taken.astype(np.float64) @ sums.reshape(len(sums), -1)).reshape(
        ROUNDS, *sums.shape[1:]
    )
    figures = {"Spearman": _correlation} if objective == "rank" else LEVEL_FIGURES
    found = []
    for figure, of in figures.items():
        values = of(sums.sum(axis=0))
        draws = values + _widening(n_blocks) * (of(drawn) - values)
        found.append(
            Judgement(measure.judge, figure, measure.reliability, names, values, draws, len(rows))
        )
    return found


def _widening(n_blocks: int) -> float:
    """How much wider than the bootstrap's an interval from so few blocks must be (Student)."""
    from scipy.stats import t

    return float(t.ppf(0.975, n_blocks - 1) / 1.96 * np.sqrt(n_blocks / (n_blocks - 1)))


def _sums(x: np.ndarray, y: np.ndarray, weight: np.ndarray, block: np.ndarray) -> np.ndarray:
    """(b, c, 7) sums over each block of 1, x, y, x², y², xy and [x = y]."""
    parts = []
    for column in x.T:
        terms = (np.ones(len(y)), column, y, column**2, y**2, column * y, column == np.round(y))
        parts.append(np.stack([np.bincount(block, weight * term) for term in terms], axis=1))
    return np.stack(parts, axis=1)


def _moments(sums: np.ndarray) -> tuple[np.ndarray, ...]:
    total = np.maximum(sums[..., 0], 1e-12)
    mean_x, mean_y = sums[..., 1] / total, sums[..., 2] / total
    return (
        mean_x,
        mean_y,
        sums[..., 3] / total - mean_x**2,
        sums[..., 4] / total - mean_y**2,
        sums[..., 5] / total - mean_x * mean_y,
    )


def _correlation(sums: np.ndarray) -> np.ndarray:
    _, _, var_x, var_y, both = _moments(sums)
    scale = np.sqrt(np.maximum(var_x * var_y, 0))
    return np.asarray(np.divide(both, scale, out=np.zeros_like(scale), where=scale > 1e-12))


def _kappa(sums: np.ndarray) -> np.ndarray:
    """1 − E(x − y)² / what it would be if x and y were independent."""
    mean_x, mean_y, var_x, var_y, both = _moments(sums)
    apart = (mean_x - mean_y) ** 2
    chance = var_x + var_y + apart
    off = var_x + var_y - 2 * both + apart
    return np.asarray(1 - np.divide(off, chance, out=np.ones_like(off), where=chance > 1e-12))


def _accuracy(sums: np.ndarray) -> np.ndarray:
    return np.asarray(sums[..., 6] / np.maximum(sums[..., 0], 1e-12))


#: The leading one first.
LEVEL_FIGURES = {"accuracy": _accuracy, "quadratic kappa": _kappa}
