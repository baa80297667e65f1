"""Levels have an order: a class is what raters say in it, not its number."""

import numpy as np
import pytest
from auto_sample import agreement, curated, unlike

SHARES = (
    (0.0005, 0.0675, 0.433, 0.204, 0.295),
    (0.0009, 0.0244, 0.206, 0.709, 0.0597),
    (0.0018, 0.0325, 0.2568, 0.2725, 0.4364),
    (0.0006, 0.0135, 0.9043, 0.0562, 0.0254),
)
SIGMAS, SURE = (0.9, 0.7, 0.6, 1.6), (0.99, 0.83, 1.0, 0.53)


def judged(n, seed, *, sigmas=SIGMAS, shares=SHARES, sure=SURE, ends=(1,)):
    """Truth, and levels of raters who agree on 6 % of the rows: at the top, bottom, both."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal(n)
    side = np.where(rng.random(n) < 0.06, rng.choice(ends, n), 0) if ends else np.zeros(n, int)
    columns = []
    for sigma, share, chance in zip(sigmas, shares, sure, strict=True):
        said = z + sigma * rng.standard_normal(n)
        cuts = np.quantile(said, np.cumsum(share)[:-1] / np.sum(share))
        level = np.searchsorted(cuts, said, side="right")
        agreed = (side != 0) & (rng.random(n) < chance)
        used = np.flatnonzero(np.array(share) > 0.002)
        columns.append(np.where(agreed, np.where(side > 0, used[-1], used[0]), level))
    return np.where(side != 0, 4.0 * side, z), np.stack(columns, axis=1).astype(float)


@pytest.mark.parametrize("seed", [0, 2])  # in seed 2 the score fell from 0.89 to 0.34
def test_the_rows_that_all_raters_put_on_top_are_not_called_the_lowest(seed):
    z, scores = judged(20_000, seed)
    found = curated(scores, unlike(20_000), 5, method="fused")
    assert agreement(found.scores, z) > agreement(found.raw, z) - 0.01
    ours, plain = (z[np.argsort(-one, kind="stable")[:1000]] for one in (found.scores, found.raw))
    assert ours.mean() > plain.mean()


def like(r, ends, unused, skewed, seed):
    """Another pool of the kind: r raters, idle levels, some who put 90 % of all into one level."""
    rng = np.random.default_rng([seed, r, unused])
    s = int(rng.integers(max(4, unused + 3), 8))
    base, idle = rng.dirichlet(np.full(s, 6.0)), rng.choice(s, unused, replace=False)
    shares = []
    for m in range(r):
        own = 0.5 * base + 0.5 * rng.dirichlet(np.full(s, 3.0))
        if m < skewed:
            own = 0.1 * own + 0.9 * np.eye(s)[rng.choice(np.setdiff1d(np.arange(s), idle))]
        own[idle] = rng.choice([0.0, 0.0005])
        shares.append(own / own.sum())
    sigmas = np.exp(rng.uniform(np.log(0.5), np.log(1.8), r))
    n = int(rng.choice([800, 1500, 3000]))
    sure = rng.uniform(0.5, 1, r)
    return s, judged(n, seed, sigmas=sigmas, shares=shares, sure=sure, ends=ends)


TOP, BOTTOM, BOTH, NONE = (1,), (-1,), (-1, 1), ()


@pytest.mark.parametrize(
    ("r", "unused", "skewed", "ends"),
    [
        (3, 1, 0, NONE),
        (3, 0, 1, BOTTOM),
        (4, 2, 1, TOP),
        (4, 2, 1, BOTH),
        (5, 3, 0, TOP),
        (5, 3, 0, BOTTOM),
        (9, 1, 2, BOTH),
    ],
)
def test_order_is_kept_in_pools_of_that_kind(r, unused, skewed, ends):
    s, (z, scores) = like(r, ends, unused, skewed, seed=0)
    neighbors = unlike(len(z))
    fused = curated(scores, neighbors, s, method="fused")
    raw = agreement(fused.raw, z)
    assert agreement(fused.scores, z) > raw - 0.02
    assert agreement(curated(scores, neighbors, s).scores, z) > raw - 0.02
