"""Pools with a known truth and several raters, for the tests of curation."""

import functools
import warnings
from dataclasses import replace

import numpy as np
from scipy.stats import spearmanr

import ds2


def seen(truth, sds, seed=0):
    """(n, r) whole scores of raters who see the truth with errors of these sizes."""
    noise = np.random.default_rng(seed).standard_normal((len(truth), len(sds))) * sds
    return np.clip(np.round(truth[:, None] + noise), 0, 5)


def prepared(n=1500, rho=0.5, sds=(1.5, 1.5), seed=0):
    """A pool with clusters of quality, the raters' scores, the graph."""
    pool = ds2.simulate(n, clusterability=rho, seed=seed)
    return pool, seen(pool.true_scores, sds, seed), ds2.find_neighbors(pool.vectors)


def unlike(n, seed=0):
    """A graph whose neighbours share nothing."""
    return ds2.find_neighbors(np.random.default_rng(seed).standard_normal((n, 6)))


def true_estimates(scores, neighbors, n_scores=6):
    """One estimate for each rater."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds2.Ds2Warning)
        return tuple(
            ds2.estimate_transition(
                column, neighbors, n_scores=n_scores, rho=1.0, n_bootstrap=0, n_starts=1
            )
            for column in scores.T
        )


@functools.cache
def template(n_scores):
    """An estimate of some rater, for what does not rest on its figures."""
    rng = np.random.default_rng(0)
    scores = rng.integers(0, n_scores, (300, 1)).astype(float)
    return true_estimates(scores, ds2.find_neighbors(rng.standard_normal((300, 4))), n_scores)[0]


def estimates(scores, n_scores=6):
    """One for each rater, made up but for the number of missing scores."""
    return tuple(replace(template(n_scores), n_missing=int(np.isnan(s).sum())) for s in scores.T)


def quiet(*data, **settings):
    """`ds2.curate` without warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds2.Ds2Warning)
        return ds2.curate(*data, **settings)


def curated(scores, neighbors, n_scores=6, **settings):
    """The same where the matrices do not matter; scores of one rater (n,) or several (n, r)."""
    each = estimates(scores.reshape(len(scores), -1), n_scores)
    return quiet(scores, neighbors, each if scores.ndim > 1 else each[0], **settings)


def agreement(a, b):
    """Spearman where both are known."""
    known = ~np.isnan(a) & ~np.isnan(b)
    return spearmanr(a[known], b[known]).statistic


def some(values, size, seed=0):
    """The values of so many random rows, NaN elsewhere."""
    result = np.full(len(values), np.nan)
    rows = np.random.default_rng(seed).choice(len(values), size, replace=False)
    result[rows] = values[rows]
    return result
