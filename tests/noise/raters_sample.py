"""Raters with known matrices, for the tests of several raters."""

import math
import warnings

import numpy as np

import ds2
from ds2.noise.simulation import draw_scores

NEAR = (ds2.simulate(1).transition - 0.6 * np.eye(6)) / 0.4


def rater(right):
    """A matrix: right this often, else a near level."""
    return right * np.eye(6) + (1 - right) * NEAR


def scored(true, matrices, seed=0, missing=0.1):
    """(n, r) scores of the raters with those matrices."""
    rng = np.random.default_rng(seed)
    true = np.asarray(true).astype(int)
    scores = np.stack([draw_scores(T, true, rng) for T in matrices], axis=1).astype(float)
    scores[rng.random(scores.shape) < missing] = np.nan
    return scores


def rounding(sd, n_scores=6):
    """The matrix of a rater who says the level nearest to truth + N(0, sd)."""
    edges = np.array([-np.inf, *(np.arange(n_scores - 1) + 0.5), np.inf])
    share = np.vectorize(math.erf)((edges - np.arange(n_scores)[:, None]) / sd / math.sqrt(2))
    return np.diff(share, axis=1) / 2


def distance(a, b):
    """Mean total variation between the rows of matrices."""
    return 0.5 * np.abs(a - b).sum(axis=-1).mean()


def some(values, size, seed=0):
    """The values of ``size`` random rows, NaN elsewhere."""
    result = np.full(len(values), np.nan)
    rows = np.random.default_rng(seed).choice(len(values), size, replace=False)
    result[rows] = values[rows]
    return result


def estimate(scores, neighbors, n_scores=6, **settings):
    """`ds2.estimate_transition` without warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds2.Ds2Warning)
        return ds2.estimate_transition(scores, neighbors, n_scores=n_scores, **settings)
