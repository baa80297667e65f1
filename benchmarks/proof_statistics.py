"""Does the interval between two arms hold? False positives, coverage, power, and other intervals.

Simulated arms: items (some in clusters of five), runs that shift every item, and runs that change
single items; normal values, and right or wrong answers of a probit model. "ratio" is the standard
deviation of one run over the standard error that the items give. The difference is 0, but for
coverage and power. Per cent; 5 is right for false positives, 95 for coverage, 80 for power.

    python benchmarks/proof_statistics.py [--quick]
"""

import sys
from dataclasses import dataclass

import numpy as np
from _common import json_line, table
from scipy.special import ndtr, stdtrit

from ds2.proof import detectable_effect
from ds2.proof.items import ItemValues, measure

REPEATS, BOOTSTRAPS = (400, 150) if "--quick" in sys.argv else (4_000, 400)
RATIOS = (0.5, 1, 2, 4)
RESAMPLES = 400


@dataclass(frozen=True)
class World:
    """How values come about; ``own`` and ``flips``: what an arm, and a run, change item by item."""

    kind: str = "normal"
    n: int = 1_000
    seeds: tuple[int, int] = (3, 3)
    cluster: int = 1
    own: float = 0.7
    flips: float = 0.7
    second: float = 1.0  # the run sd of arm B over that of arm A

    def draw(self, rng, run_sd, effect=0.0):
        """Values of both arms, (runs, n) each."""
        common = self._items(rng)
        arms = []
        for seeds, scale, shift in zip(self.seeds, (1, self.second), (effect, 0), strict=True):
            x = common + self.own * self._items(rng) + shift
            x = x + scale * run_sd * rng.standard_normal((seeds, 1), dtype="f4")
            x += self.flips * rng.standard_normal((seeds, self.n), dtype="f4")
            arms.append(x if self.kind == "normal" else (x > 0).astype("f4"))
        return arms

    def _items(self, rng):
        own = rng.standard_normal(self.n, dtype="f4")
        if self.cluster == 1:
            return own
        shared = rng.standard_normal(self.n // self.cluster, dtype="f4")
        return np.sqrt(0.5, dtype="f4") * (own + np.repeat(shared, self.cluster))

    def true_difference(self, run_sd, effect):
        """What ``effect`` is in the unit of the values."""
        if self.kind == "normal":
            return effect
        return float(ndtr(effect / np.sqrt(1 + self.own**2 + self.flips**2 + run_sd**2)) - 0.5)

    def run_sd(self, ratio):
        """The run sd at which a run's noise is ``ratio`` times that of the items."""
        rng = np.random.default_rng(99)
        one = World(self.kind, self.n, (1, 1), self.cluster, self.own, self.flips)
        pairs = (one.draw(rng, 0.0) for _ in range(400))
        se = np.std([a.mean() - b.mean() for a, b in pairs])
        slope = 1.0 if self.kind == "normal" else self.true_difference(0.0, 1e-3) / 1e-3
        return float(ratio * se / slope / np.sqrt(1 + self.second**2))

    @property
    def clusters(self):
        """(n,) labels."""
        return np.repeat(np.arange(self.n // self.cluster), self.cluster)

    @property
    def name(self):
        """The world in words."""
        clusters = f", clusters of {self.cluster}" if self.cluster > 1 else ""
        return f"{self.kind}, {self.n:,} items{clusters}"


def ours(world, a, b, paired=False):
    found = measure([ItemValues(a, b, world.clusters)], paired=paired)
    return found.low, found.high


def satterthwaite(world, a, b):
    """The same variance, read with one t quantile."""
    found = measure([ItemValues(a, b, world.clusters)])
    noise = found.noise
    free = noise.variance**2 / (noise.items**2 / noise.df_items + noise.runs**2 / noise.df_runs)
    half = stdtrit(free, 0.975) * noise.se
    return found.value - half, found.value + half


def t_over_seeds(_, a, b):
    """Runs alone: all of them saw the same items."""
    x, y = a.mean(axis=1), b.mean(axis=1)
    se = np.sqrt(x.var(ddof=1) / len(x) + y.var(ddof=1) / len(y))
    half = stdtrit(len(x) + len(y) - 2, 0.975) * se
    return x.mean() - y.mean() - half, x.mean() - y.mean() + half


def items_only(world, a, b):
    """Bootstrap over clusters of items, runs as they are."""
    return np.quantile(_weights(world) @ (a.mean(axis=0) - b.mean(axis=0)), [0.025, 0.975])


def crossed(world, a, b):
    """Plain percentile bootstrap over clusters of items and over runs."""
    rng = np.random.default_rng(5)
    means = []
    for x in (a, b):
        drawn = rng.multinomial(len(x), np.full(len(x), 1 / len(x)), RESAMPLES) / len(x)
        means.append(((_weights(world) @ x.T) * drawn).sum(axis=1))
    return np.quantile(means[0] - means[1], [0.025, 0.975])


def _weights(world, kept={}):  # noqa: B006 (the draws are the same for all)
    if world.name not in kept:
        groups = world.n // world.cluster
        drawn = np.random.default_rng(4).multinomial(groups, np.full(groups, 1 / groups), RESAMPLES)
        kept[world.name] = (np.repeat(drawn, world.cluster, axis=1) / world.n).astype("f4")
    return kept[world.name]


def rates(world, ratio, interval, repeats, effect=0.0, **how):
    """Per cent of intervals that leave out 0, that hold the truth, that lie right of 0."""
    rng, run_sd = np.random.default_rng(1), world.run_sd(ratio)
    truth = world.true_difference(run_sd, effect)
    ends = np.array(
        [interval(world, *world.draw(rng, run_sd, effect), **how) for _ in range(repeats)]
    )
    low, high = ends.T
    return tuple(
        float(100 * x.mean())
        for x in ((low > 0) | (high < 0), (low <= truth) & (truth <= high), low > 0)
    )


def main():
    print(f"False positives of ours, {REPEATS:,} repeats")
    worlds = [
        World(kind, seeds=(s, s), cluster=c)
        for kind in ("normal", "bernoulli") for c in (1, 5) for s in (3, 4, 6, 10)
    ]  # fmt: skip
    worlds += [World(kind, n=n) for kind in ("normal", "bernoulli") for n in (200, 2_000)]
    worlds += [
        World("bernoulli", own=0.2, flips=1.0),
        World("bernoulli", own=1.0, flips=0.2),
        World("bernoulli", seeds=(3, 5)),
        World("bernoulli", second=2.0),
    ]
    notes = {-4: ", runs change items most", -3: ", runs hardly change items", -1: ", run sd 1 : 2"}
    notes = {len(worlds) + i: text for i, text in notes.items()}
    grid = []
    for i, world in enumerate(worlds):
        rows = [False] if world.seeds[0] != world.seeds[1] else [False, True]
        for paired in rows:
            row = {
                "arms": world.name + notes.get(i, ""),
                "runs": f"{world.seeds[0]}, {world.seeds[1]}",
            }
            row["paired"] = "yes" if paired else "no"
            for ratio in RATIOS:
                row[f"ratio {ratio}"] = rates(world, ratio, ours, REPEATS, paired=paired)[0]
            grid.append(row)
    table(grid)
    cells = [row[f"ratio {ratio}"] for row in grid for ratio in RATIOS]
    print(f"{len(cells)} cells: {min(cells):.1f} to {max(cells):.1f}, mean {np.mean(cells):.2f}\n")

    print("False positives of other intervals, bernoulli, 1,000 items")
    rivals = []
    for interval in (ours, satterthwaite, crossed, items_only, t_over_seeds):
        repeats = BOOTSTRAPS if interval in (crossed, items_only) else REPEATS
        for seeds in (3, 6, 10):
            world = World("bernoulli", seeds=(seeds, seeds))
            row = {
                "interval": interval.__name__.replace("_", " "),
                "runs": seeds,
                "repeats": repeats,
            }
            row |= {f"ratio {r}": rates(world, r, interval, repeats)[0] for r in RATIOS}
            rivals.append(row)
    table(rivals)

    print(
        "\nCoverage of a true difference of 3 standard errors of the items, and power at the effect"
    )
    print("that detectable_effect gives before (80 % promised)")
    more = [
        coverage_and_power(World(kind, seeds=(seeds, seeds)), ratio)
        for kind in ("normal", "bernoulli")
        for seeds in (3, 6, 10)
        for ratio in (0.5, 2)
    ]
    table(more)
    json_line(
        "proof_statistics",
        repeats=REPEATS,
        false_positives=[min(cells), float(np.mean(cells)), max(cells)],
        rivals=rivals,
        coverage=[min(r["coverage"] for r in more), max(r["coverage"] for r in more)],
        power=[min(r["power"] for r in more), max(r["power"] for r in more)],
    )


def coverage_and_power(world, ratio):
    rng, run_sd = np.random.default_rng(2), world.run_sd(ratio)
    slope = world.true_difference(run_sd, 1e-3) / 1e-3
    seeds = world.seeds[0]
    pairs = [world.draw(rng, 0.0) for _ in range(20)]
    item_sd = np.mean([np.std(a.mean(axis=0) - b.mean(axis=0)) for a, b in pairs])
    effect = detectable_effect(
        n_items=world.n, n_seeds=seeds, item_sd=item_sd, run_sd=run_sd * slope
    )
    shift = 3 * item_sd / np.sqrt(world.n) / slope
    return {
        "arms": world.name,
        "runs": seeds,
        "ratio": ratio,
        "coverage": rates(world, ratio, ours, REPEATS, shift)[1],
        "detectable": effect,
        "power": rates(world, ratio, ours, REPEATS, effect / slope)[2],
    }


if __name__ == "__main__":
    main()
