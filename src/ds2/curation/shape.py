"""What each level of a rater means: a map from its levels to the truth, learned from others."""

import numpy as np

from ds2.curation.loadings import NoEvidence
from ds2.levels import split_levels

__all__ = ["certainty", "level_map"]

#: How far a level's meaning may lie from a straight line, in standard deviations of the truth.
BEND_SD = 0.3
#: A map may fall where the increasing one is this much worse (chi², 0.1 % for three levels).
FALLS_FROM = 16.0
#: How far the worth of a third of the ratings may lie from the average: its standard deviation.
WORTH_SD = 0.3

Evidence = tuple[np.ndarray, np.ndarray | None, float]


def level_map(
    values: np.ndarray,
    targets: list[Evidence],
    slope: float,
    n_scores: int,
    *,
    may_fall: bool,
) -> np.ndarray:
    """(s,) the expected truth at each level, in standard deviations of the truth.

    The mean of what others say at each level, shrunk towards a straight line, increasing unless
    the evidence against that is strong (a rater with levels in the wrong order). One other rater's
    word is no such evidence: it might as well be the one in the wrong order.

    Args:
        values: (t,) the rater's values on 0 … s − 1, none missing.
        targets: evidence of the truth: values (t,) in standard deviations, NaN where none;
            weights (t,) or None; variance of a bias that they may have.
        slope: correlation of the rater with the truth: the slope of the straight line.
        n_scores: s.
        may_fall: whether the evidence is more than one other rater's word.

    Raises:
        NoEvidence: one other rater's word has it that the map falls.
    """
    if not len(values):
        return np.zeros(n_scores)
    at = np.arange(n_scores)
    spread = values.std()
    line = slope * (at - values.mean()) / spread if spread > 0 else np.zeros(n_scores)
    precision = np.full(n_scores, 1 / BEND_SD**2)
    total = precision * line
    for target, weights, bias in targets:
        known, weight = _weighted(target, weights)
        if known.sum() < 2:
            continue
        hat, mass = _by_level(values[known], target[known], weight, n_scores)
        variance = max(
            float(np.average((target[known] - hat @ mass[1]) ** 2, weights=weight)), 0.05
        )
        gained = 1 / (variance / np.maximum(mass[0], 1e-9) + bias)
        precision = precision + gained
        total = total + gained * mass[1]
    means = total / precision
    from scipy.optimize import isotonic_regression

    rising = isotonic_regression(means, weights=precision).x
    falls = (precision * (means - rising) ** 2).sum() > FALLS_FROM
    if falls and not may_fall:
        raise NoEvidence("two raters differ on the order of levels, and nobody says who is right")
    return np.asarray(means if falls else rising)


def certainty(z: np.ndarray, third: np.ndarray, targets: list[Evidence]) -> np.ndarray:
    """(3,) how much a rating counts in each third of the rater's own spread, on average 1.

    The slope of the truth on the mapped score, third by third, shrunk towards the common slope. A
    rating that the rater itself calls less certain never counts more.

    Args:
        z: (t,) mapped scores, none missing.
        third: (t,) 0 for the least spread, to 2.
        targets: as in `level_map`; a bias that they may have does not touch a ratio of slopes.
    """
    power, both = np.zeros(3), np.zeros(3)
    left = 0.0
    for target, weights, _ in targets:
        known, weight = _weighted(target, weights)
        if known.sum() < 2:
            continue
        part, of = z[known], third[known]
        power += np.bincount(of, weight * part**2, minlength=3)
        both += np.bincount(of, weight * part * target[known], minlength=3)
        left = max(left, float(np.average(target[known] ** 2, weights=weight)))
    slope = both.sum() / max(power.sum(), 1e-12)
    if slope <= 0:
        return np.ones(3)
    prior = left / (WORTH_SD * slope) ** 2
    worth = (both + prior * slope) / (power + prior) / slope
    from scipy.optimize import isotonic_regression

    falling = isotonic_regression(worth, weights=power + prior, increasing=False).x
    return np.asarray(np.maximum(falling, 0.0))


def _weighted(target: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """(t,) where there is evidence, and its weights there, summing to the effective number."""
    known = ~np.isnan(target)
    weight = np.ones(known.sum()) if weights is None else weights[known]
    return known, weight * (weight.sum() / max(float((weight**2).sum()), 1e-300))


def _by_level(
    values: np.ndarray, target: np.ndarray, weight: np.ndarray, n_scores: int
) -> tuple[np.ndarray, np.ndarray]:
    """(t, s) each row's share in each level, and (2, s) mass and mean target of the levels."""
    hat = split_levels(values, n_scores).astype(np.float32)
    mass = hat.T @ weight
    mean = np.divide(hat.T @ (weight * target), mass, out=np.zeros(n_scores), where=mass > 0)
    return hat, np.stack([mass, mean])
