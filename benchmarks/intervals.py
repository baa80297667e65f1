"""Do the 95 % intervals hold the truth in 95 % of pools, and are they no wider than they must be?

Simulated pools with a known T, clusterability 1. For every cell with a true value of 0.02 or more:
how often its interval holds the planted value, and its mean width over the width that the
estimates themselves scatter by (Monte Carlo). The same for the prior and for lift.

    python benchmarks/intervals.py [--quick] [--pools 200]
"""

import sys
import warnings

import numpy as np
from _common import json_line, table, total_variation

import ds2


def study(n: int, cluster_size: int, n_pools: int) -> dict[str, float]:
    held, widths, estimates, prior_held, prior_widths, priors, lift_held = ([] for _ in range(7))
    for seed in range(n_pools):
        pool = ds2.simulate(n, cluster_size=cluster_size, seed=seed)
        neighbors = ds2.find_neighbors(pool.vectors)
        found = ds2.estimate_transition(pool.scores, neighbors, n_scores=6, seed=seed)
        low, high = found.intervals
        held.append(
            np.where(np.isnan(low), np.nan, (low <= pool.transition) & (pool.transition <= high))
        )
        widths.append(high - low)
        estimates.append(found.matrix)
        low, high = found.prior_intervals
        prior_held.append((low <= pool.prior) & (pool.prior <= high))
        prior_widths.append(high - low)
        priors.append(found.prior)
        agreement = (pool.prior[:, None] * pool.transition**2).sum()
        chance = ((pool.prior @ pool.transition) ** 2).sum()
        lift = (agreement - chance) / (1 - chance)
        lift_held.append(found.lifts[1].low <= lift <= found.lifts[1].high)
    seen = pool.transition >= 0.02
    coverage = np.nanmean(held, axis=0)[seen]
    spread = np.diff(np.quantile(estimates, (0.025, 0.975), axis=0), axis=0)[0][seen]
    prior_spread = np.diff(np.quantile(priors, (0.025, 0.975), axis=0), axis=0)[0]
    return {
        "rows": n,
        "cluster": cluster_size,
        "pools": n_pools,
        "coverage of T": float(coverage.mean()),
        "worst cell": float(coverage.min()),
        "width / Monte Carlo": float(np.nanmean(widths, axis=0)[seen].mean() / spread.mean()),
        "coverage of p": float(np.mean(prior_held)),
        "p width / MC": float(np.mean(prior_widths, axis=0).mean() / prior_spread.mean()),
        "coverage of lift": float(np.mean(lift_held)),
        "TV of T": float(np.mean([total_variation(m, pool.transition) for m in estimates])),
    }


def main() -> None:
    warnings.simplefilter("ignore", ds2.Ds2Warning)
    if "--pools" in sys.argv:
        n_pools = int(sys.argv[sys.argv.index("--pools") + 1])
    else:
        n_pools = 40 if "--quick" in sys.argv else 200
    settings = [(2_000, 20)] if "--quick" in sys.argv else [(2_000, 20), (5_000, 12), (5_000, 50)]
    rows = [study(n, size, n_pools) for n, size in settings]
    table(rows)
    json_line("intervals", studies=rows)


if __name__ == "__main__":
    main()
