"""The difference between two arms and its noise: items and runs, told apart.

x[s, i] is the value of item i under run s of an arm. Items differ from each other; a run shifts
every item, and changes some items and not others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ds2.proof.power import Noise, critical_value

__all__ = ["Difference", "ItemValues", "measure"]


@dataclass(frozen=True, slots=True)
class ItemValues:
    """One task under two arms.

    Attributes:
        a: (runs of A, n) values, items in one order.
        b: (runs of B, n) values, the same items in the same order.
        clusters: (n,) labels 0 … g − 1; items of one label share a passage.
    """

    a: np.ndarray
    b: np.ndarray
    clusters: np.ndarray


@dataclass(frozen=True, slots=True)
class Difference:
    """A − B on one task, or on the mean of several.

    Attributes:
        value: the difference of the means.
        low, high: its 95 % interval; of items alone where an arm has one run.
        mean_a, mean_b: over items and runs.
        noise: the variance of ``value`` by source.
        n_items, n_clusters: items, and clusters of items that share a passage.
        n_seeds: runs of A and of B.
    """

    value: float
    low: float
    high: float
    mean_a: float
    mean_b: float
    noise: Noise
    n_items: int
    n_clusters: int
    n_seeds: tuple[int, int]


def measure(tasks: Sequence[ItemValues], *, paired: bool = False) -> Difference:
    """Measure the unweighted mean over tasks of A − B, and where its noise comes from.

        value = mean_t mean_i mean_s x_A − the same of B
        V_I   = Σ_c (Σ_{i in c} (d_i − d̄))² / n²,   d_i = mean_s x_A − mean_s x_B,   c: clusters
        V_R   = v_A + v_B,   v = var_s(mean of run s over items and tasks) / S
        V_E   = what is in both: the part of runs that is not the same for all items
        var   = max(V_I − V_E, 0) + V_R

    This is the variance clustered two ways (Cameron, Gelbach and Miller 2011), by passage and by
    run; each part is scaled by G/(G − 1) or S/(S − 1). Runs go through all tasks, so V_R is taken
    from the mean over tasks. Its degrees of freedom are

        f = (v_A + v_B)² / (v_A² / (S_A + 1) + v_B² / (S_B + 1)) − 2    (Welch 1947)

    kept between those of the smaller arm and of both; S − 1 where runs are paired.

    Args:
        tasks: the same runs in each.
        paired: run s of A and run s of B share data or draw: their differences are taken first.
    """
    pair = [[task.a for task in tasks], [task.b for task in tasks]]
    means = [float(np.mean([x.mean() for x in xs])) for xs in pair]
    sides = [[t.a - t.b for t in tasks]] if paired else pair
    clusters = [task.clusters for task in tasks]
    parts = np.array([_items(t.a.mean(axis=0) - t.b.mean(axis=0), t.clusters) for t in tasks])
    shared = sum(_interaction(x, c) for xs in sides for x, c in zip(xs, clusters, strict=True))
    free = np.array([c.max() for c in clusters])
    runs, df_runs = _runs([np.mean([x.mean(axis=1) for x in xs], axis=0) for xs in sides])
    shared = 0.0 if np.isnan(runs) else shared / len(tasks) ** 2
    noise = Noise(
        items=max(float(parts.sum()) / len(tasks) ** 2 - shared, 0.0),
        runs=runs,
        interaction=shared,
        df_items=float(parts.sum() ** 2 / (parts**2 / free).sum() if parts.any() else free.sum()),
        df_runs=df_runs,
        seeds=float(np.mean([len(xs[0]) for xs in pair])),
    )
    value = means[0] - means[1]
    half = critical_value(noise) * noise.se
    return Difference(
        value=value,
        low=value - half,
        high=value + half,
        mean_a=means[0],
        mean_b=means[1],
        noise=noise,
        n_items=sum(len(c) for c in clusters),
        n_clusters=int(free.sum()) + len(tasks),
        n_seeds=(len(pair[0][0]), len(pair[1][0])),
    )


def _runs(means: list[np.ndarray]) -> tuple[float, float]:
    """V_R and f, from each side's means by run; NaN with one run."""
    seeds = np.array([len(mean) for mean in means])
    if seeds.min() < 2:
        return float("nan"), float("nan")
    v = np.array([mean.var(ddof=1) / len(mean) for mean in means])
    low, high = float(seeds.min() - 1), float(seeds.sum() - len(means))
    if len(means) == 1 or not v.any():
        return float(v.sum()), high
    f = v.sum() ** 2 / (v**2 / (seeds + 1)).sum() - 2
    return float(v.sum()), float(np.clip(f, low, high))


def _items(d: np.ndarray, clusters: np.ndarray) -> float:
    """V_I of one task."""
    sums = np.bincount(clusters, weights=d - d.mean())
    return float(len(sums) / (len(sums) - 1) * (sums**2).sum() / len(d) ** 2)


def _interaction(x: np.ndarray, clusters: np.ndarray) -> float:
    """V_E of one task and side: what is left of (S, n) values without item and run means."""
    seeds, n = x.shape
    if seeds < 2:
        return 0.0
    left = x - x.mean(axis=0)
    left -= left.mean(axis=1, keepdims=True)
    sums = np.array([np.bincount(clusters, weights=row) for row in left])
    g = sums.shape[1]
    return float(g / (g - 1) * (sums**2).sum() / ((seeds - 1) * seeds * n**2))
