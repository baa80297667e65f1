"""What a class means, which no likelihood knows: what raters say in it, and so its place.

EM may spend a class on anything, so neither a class's number nor the heaviest diagonal says what it
is. Its value is what raters give in it:

    v[i] = mean over raters m of (E_m[score | class i] − E_m[score]) / sd_m[score]

and classes are ordered by it. A level that hardly anybody uses has no class of its own.
"""

import numpy as np

from ds2.levels import nearest_level

__all__ = ["class_values", "in_order", "used_levels"]

#: A level that raters give to a smaller share of their ratings on average has no class.
UNUSED = 0.005


def used_levels(scores: np.ndarray, n_scores: int, gold: np.ndarray | None = None) -> np.ndarray:
    """(s,) whether a level has a class; two levels at least have one.

    Args:
        scores: (n, r) levels, NaN (or −1) where missing.
        n_scores: s.
        gold: (n,) trusted scores, NaN where unknown: what they use has a class.
    """
    shares = np.zeros(n_scores)
    for column in scores.T:
        present = column[column >= 0].astype(np.int64)
        if len(present):
            shares += np.bincount(present, minlength=n_scores) / len(present) / scores.shape[1]
    used = shares >= UNUSED
    if gold is not None:
        used[np.unique(nearest_level(gold[~np.isnan(gold)]).astype(np.int64))] = True
    if used.sum() < 2:
        used[np.argsort(-shares, kind="stable")[:2]] = True
    return np.asarray(used)


def class_values(matrices: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """(s,) what raters say in each class, in standard deviations of each rater's scores.

    Args:
        matrices: (r, s, s) rows true, columns observed.
        prior: (s,) shares of the classes.
    """
    levels = np.arange(matrices.shape[2])
    said = matrices @ levels  # (r, s) E_m[score | class]
    mean = said @ prior
    spread = np.sqrt(np.maximum((matrices @ levels**2) @ prior - mean**2, 0.0))
    away = said - mean[:, None]
    told = np.divide(away, spread[:, None], out=np.zeros_like(away), where=spread[:, None] > 1e-9)
    return np.asarray(told.mean(axis=0))


def in_order(
    matrices: np.ndarray, prior: np.ndarray, used: np.ndarray | None = None
) -> np.ndarray | None:
    """The order of the classes: by value for several raters, else by the heaviest diagonal.

    Args:
        matrices: (r, s, s).
        prior: (s,).
        used: (s,) levels that have a class; the others keep their place.

    Returns:
        (s,) for each level its class; None where they are in order already.
    """
    places = np.arange(len(prior))
    if len(matrices) > 1:
        alive = places if used is None else np.flatnonzero(used)
        order = places.copy()
        values = class_values(matrices, prior)[alive]
        order[alive] = alive[np.argsort(values, kind="stable")]
    else:
        from scipy.optimize import linear_sum_assignment

        classes, levels = linear_sum_assignment(-prior[:, None] * matrices.sum(axis=0))
        order = classes[np.argsort(levels)]
    return None if (order == places).all() else np.asarray(order)
