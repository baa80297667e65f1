"""One scale for all kinds of rows: what raters give a kind too much or too little is taken out.

Of each label (a source, a type of content) the offset that evidence shows is taken off the curated
scores. Trusted scores g show it: g ≈ a[label] + b · curated, one b for all, so the offset is a / b
(a plain difference of means would fall short by what curated scores are noisy). Three raters or
more show it by how far the mean of their z-scores in the label lies from the median of theirs, so
that a minority that is off is corrected. An offset is shrunk as far as it is not sure (empirical
Bayes, with the variance between labels by moments), and the mean over all rows stays. Where a kind
is rated so low that it lies at the floor of the scale, an offset of means falls short of its best
rows.
"""

from collections.abc import Sequence

import numpy as np

from ds2.curation.bias import label_codes
from ds2.errors import InputError
from ds2.noise.panel import LEAST_GOLD, mean_z

__all__ = ["calibrated"]

LEAST_RATERS = 3
#: Trusted scores rise by at least so much a level of the curated ones.
LEAST_SLOPE = 0.3


def calibrated(
    values: np.ndarray,
    labels: np.ndarray | Sequence[object],
    ratings: np.ndarray,
    gold: np.ndarray,
    gold_weights: np.ndarray,
) -> np.ndarray:
    """Take off each label's offset.

    Args:
        values: (n,) curated scores in levels, NaN where there is none.
        labels: (n,) one each, None where missing: those rows stay.
        ratings: (n, r) of raters, NaN where missing.
        gold: (n,) trusted scores, NaN where unknown.
        gold_weights: (n,) theirs, 0 where unknown.

    Returns:
        (n,) values of the same mean, not clipped to the scale.

    Raises:
        InputError: neither 20 trusted scores nor three raters.
    """
    codes = label_codes("calibrate", labels, len(values))
    known = ~np.isnan(values) & (codes >= 0)
    if (gold_weights > 0).sum() >= LEAST_GOLD:
        rows = np.flatnonzero(known & (gold_weights > 0))
        means, errors = _by_gold(values[rows], gold[rows], codes[rows], gold_weights[rows])
    elif ratings.shape[1] >= LEAST_RATERS:
        z = np.column_stack([mean_z(ratings[:, [m]]) for m in range(ratings.shape[1])])
        each = [
            _by_label(z[rows, m], codes[rows], np.ones(len(rows)), codes.max() + 1)
            for m in range(z.shape[1])
            if len(rows := np.flatnonzero(known & ~np.isnan(z[:, m])))
        ]
        of, sure = (np.stack(part) for part in zip(*each, strict=True))
        unit = float(np.nanstd(values)) / max(float(np.nanstd(mean_z(ratings))), 1e-12)
        means = (np.median(of, axis=0) - of.mean(axis=0)) * unit
        errors = np.sqrt((sure**2).mean(axis=0) / len(of)) * unit
    else:
        raise InputError(
            f"To calibrate by label takes {LEAST_GOLD} trusted scores or {LEAST_RATERS} raters: "
            "one rater, or two who differ, do not say who gives a kind of row too little."
        )
    offsets = np.zeros(codes.max() + 1)
    offsets[: len(means)] = _shrunk(means, errors)
    moved = np.where(known, offsets[codes], 0.0)
    return np.asarray(values + moved - moved[known].mean() * known)


def _by_gold(
    values: np.ndarray, gold: np.ndarray, codes: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(l,) a / b of each label, and its standard error."""
    v, g = (one - _by_label(one, codes, weights)[0][codes] for one in (values, gold))
    power = float(weights @ v**2)
    slope = max(float(weights @ (v * g)) / power, LEAST_SLOPE) if power > 1e-12 else 1.0
    return _by_label(gold / slope - values, codes, weights)


def _by_label(
    values: np.ndarray, codes: np.ndarray, weights: np.ndarray, n_labels: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """(l,) the mean of each label, and its standard error; endless where it has none or one."""
    n = max(n_labels, int(codes.max()) + 1)
    mass = np.bincount(codes, weights, n)
    mean = np.bincount(codes, weights * values, n) / np.maximum(mass, 1e-300)
    rows = mass**2 / np.maximum(np.bincount(codes, weights**2, n), 1e-300)
    left = values - mean[codes]
    spread = float(np.average(left**2, weights=weights)) * len(values)
    spread /= max(len(values) - int((mass > 0).sum()), 1)
    error = np.sqrt(spread / np.maximum(rows, 1e-9))
    return mean, np.where(mass > 0, error, np.inf)


def _shrunk(means: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """(l,) offsets, each drawn to their mean as far as its error explains that it differs."""
    seen = np.isfinite(errors)
    if seen.sum() < 2:
        return np.zeros(len(means))
    weight = np.where(seen, 1 / np.maximum(errors, 1e-9) ** 2, 0.0)
    centre = float(np.average(means, weights=weight))
    # DerSimonian and Laird (1986)
    excess = float(weight @ (means - centre) ** 2) - (seen.sum() - 1)
    between = max(excess / (weight.sum() - (weight**2).sum() / weight.sum()), 0.0)
    kept = np.divide(between, between + errors**2, out=np.zeros(len(means)), where=seen)
    return np.asarray(kept * (means - centre))
