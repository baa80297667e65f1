"""What known true scores show: the planted matrix against the recovered one, and who was right."""

import numpy as np

from ds2.arrays import Transition
from ds2.noise import TransitionEstimate
from ds2.report.matrix import known_cells
from ds2.report.numbers import LevelTruth, TruthNumbers
from ds2.report.tables import mean, moves, number, to_levels

__all__ = ["truth_numbers"]

#: Cells below this planted value are left out of the coverage: their intervals touch zero.
_LEAST_CELL = 0.02


def truth_numbers(
    truth: np.ndarray,
    raw: np.ndarray,
    curated: np.ndarray,
    noise: TransitionEstimate,
    *,
    misrated: np.ndarray | None,
    rows: np.ndarray,
    planted: Transition | None = None,
) -> TruthNumbers:
    """Compare with the known true scores.

    Args:
        truth: (n,) true scores, NaN where unknown.
        raw: (n,) observed scores, NaN where unrated.
        curated: (n,) curated scores; a real one counts for the nearest score.
        noise: the estimate.
        misrated: (n,) True where flagged; None when nothing was flagged by design.
        rows: (m,) the selected rows.
        planted: the matrix that the observed scores were drawn through; without it, the one
            counted from ``truth`` and ``raw``.
    """
    n_scores = len(noise.prior)
    true, seen, after = (to_levels(scores, n_scores) for scores in (truth, raw, curated))
    known = (true >= 0) & (seen >= 0)
    counts = np.array(moves(true, seen, n_scores), dtype=np.float64)
    totals = counts.sum(axis=1)
    drawn = planted is not None
    if planted is None:
        planted = counts / np.where(totals > 0, totals, np.nan)[:, None]
    recovered = np.where(known_cells(noise), noise.matrix, np.nan)
    levels = tuple(
        _level(level, int(totals[level]), planted[level], recovered[level])
        for level in range(n_scores)
    )
    distances = np.array([np.nan if row.distance is None else row.distance for row in levels])
    n_covered, n_cells = _coverage(planted, noise)
    n_known = int(known.sum())
    wrong = known & (seen != true)
    flagged = None if misrated is None else known & misrated
    hit = 0 if flagged is None else int((wrong & flagged).sum())
    return TruthNumbers(
        n_known=n_known,
        drawn=drawn,
        levels=levels,
        distance=mean(distances),
        accuracy_raw=float((seen == true)[known].mean()) if n_known else None,
        accuracy_curated=float((after == true)[known].mean()) if n_known else None,
        n_wrong=int(wrong.sum()),
        n_flagged=None if flagged is None else int(flagged.sum()),
        precision=_ratio(hit, flagged),
        recall=None if flagged is None else _ratio(hit, wrong),
        n_covered=n_covered,
        n_cells=n_cells,
        pool_score=mean(truth),
        selected_score=mean(truth[rows]),
    )


def _ratio(part: int, whole: np.ndarray | None) -> float | None:
    total = 0 if whole is None else int(whole.sum())
    return part / total if total else None


def _level(score: int, n: int, planted: np.ndarray, recovered: np.ndarray) -> LevelTruth:
    return LevelTruth(
        score=score,
        n=n,
        planted=tuple(number(value) for value in planted),
        recovered=tuple(number(value) for value in recovered),
        distance=number(0.5 * np.abs(planted - recovered).sum()),
    )


def _coverage(planted: np.ndarray, noise: TransitionEstimate) -> tuple[int, int]:
    if noise.intervals is None:
        return 0, 0
    low, high = noise.intervals
    counted = np.isfinite(low) & np.isfinite(high) & (planted >= _LEAST_CELL)
    inside = counted & (low <= planted) & (planted <= high)
    return int(inside.sum()), int(counted.sum())
