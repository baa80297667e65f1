"""How well candidates agree with what none of them has seen, in pairs.

A judge is gold, or a rater that was left out; what it judges was learned without its word on the
rows that it judges. Every figure keeps what each neighbourhood contributes to it (`ds2.measures`),
so differences and sums over judges have the interval that they should have.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ds2.levels import rank_shares
from ds2.measures import Interval, Measured, measure, residuals

__all__ = ["FIGURES", "Judge", "Judgement", "judge"]

#: By objective: the figures, the leading one first. One must be shown to rise, and none may fall.
FIGURES: dict[str, tuple[str, str]] = {"rank": ("spearman", "top"), "level": ("accuracy", "kappa")}
NAMES = {
    "spearman": "Spearman",
    "top": "mean of the top 5 %",
    "given": "Spearman given the covariates",
    "accuracy": "accuracy",
    "kappa": "quadratic kappa",
}
#: Rows of a judge below which nothing is measured.
LEAST_ROWS = 20


@dataclass(frozen=True, slots=True)
class Judge:
    """A judge and the candidates before it.

    Attributes:
        name: "gold", or a rater and its number.
        truth: (n,) what the judge says, NaN where nothing.
        weights: (n,) weights of its rows.
        reliability: correlation of the judge with the truth (1 for gold): an agreement is that
            much smaller than with the truth.
        candidates: name → (n,) values.
    """

    name: str
    truth: np.ndarray
    weights: np.ndarray
    reliability: float
    candidates: Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Judgement:
    """How far each candidate agrees with one judge by one figure.

    Attributes:
        judge: its name.
        figure: a measure of `ds2.measures`, or "given": the rank correlation without covariates.
        reliability: as in `Judge`.
        found: candidate → its figure, with the parts of each block.
        n: rows.
    """

    judge: str
    figure: str
    reliability: float
    found: Mapping[str, Measured]
    n: int

    @property
    def measure(self) -> str:
        """The judge and the figure, in words."""
        return f"{self.judge}: {NAMES[self.figure]}"

    def gain(self, name: str, other: str = "raw") -> Measured:
        """How much more one candidate agrees than another."""
        return self.found[name] - self.found[other]


def judge(one: Judge, blocks: np.ndarray, objective: str, fixed: np.ndarray) -> list[Judgement]:
    """Judge every candidate; empty where the judge has too few rows.

    Args:
        one: the judge and the candidates.
        blocks: (n,) rows of one block count as one.
        objective: "rank" or "level".
        fixed: (n, c) covariates; where there are any, ranks are judged without them as well.
    """
    table = np.stack(list(one.candidates.values()), axis=1)
    rows = ~np.isnan(one.truth) & ~np.isnan(table).any(axis=1) & (one.weights > 0)
    if rows.sum() < LEAST_ROWS or np.ptp(one.truth[rows]) == 0 or np.ptp(blocks[rows]) == 0:
        return []
    truth, block = one.truth[rows], blocks[rows]
    weights = one.weights[rows]
    figures: tuple[str, ...] = FIGURES[objective]
    if objective == "rank" and fixed.shape[1]:
        figures = (*figures, "given")
    n_blocks = int(blocks.max()) + 1
    found = []
    for figure in figures:
        inside = fixed[rows] if figure == "given" else None
        each = {
            name: _measured(figure, values[rows], truth, weights, inside).by_block(block, n_blocks)
            for name, values in one.candidates.items()
        }
        if all(np.isfinite(part.value) for part in each.values()):
            found.append(Judgement(one.name, figure, one.reliability, each, int(rows.sum())))
    return found


def _measured(
    figure: str,
    values: np.ndarray,
    truth: np.ndarray,
    weights: np.ndarray,
    fixed: np.ndarray | None,
) -> Measured:
    if fixed is None:
        return measure(figure, values, truth, weights)
    x, y = (residuals(rank_shares(side, weights), fixed) for side in (values, truth))
    return measure("pearson", x, y, weights)


def table_row(found: Judgement, name: str) -> tuple[Interval, Interval]:
    """An agreement and its gain over raw, with 95 % intervals."""
    none = Interval(float("nan"))
    return found.found[name].interval(), none if name == "raw" else found.gain(name).interval()
