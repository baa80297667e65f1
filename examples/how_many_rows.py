"""How many rows do I need? Simulated pools of growing size, with a known transition matrix.

    python examples/how_many_rows.py [ROWS ...] [--pools N]

For each size and clusterability (rho): how far the estimated matrix is from the true one (mean
total variation of its rows, 0 is perfect), how wide the 95 % intervals of its diagonal are (half
of the width), and which share of the scores is right before and after curation.
"""

import argparse
import warnings

import numpy as np

import ds2

N_SCORES = 6


def study(n: int, rho: float, seed: int) -> tuple[float, ...]:
    pool = ds2.simulate(n, n_scores=N_SCORES, clusterability=rho, seed=seed)
    neighbors = ds2.find_neighbors(pool.vectors)
    noise = ds2.estimate_transition(pool.scores, neighbors, n_scores=N_SCORES, seed=seed)
    curation = ds2.curate(pool.scores, neighbors, noise, method="ds2", seed=seed)
    low, high = (np.diagonal(bound) for bound in noise.intervals)
    return (
        0.5 * np.abs(noise.matrix - pool.transition).sum(axis=1).mean(),
        np.nanmean(high - low) / 2,
        noise.lift.value,
        (pool.scores == pool.true_scores).mean(),
        (curation.scores == pool.true_scores).mean(),
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", type=int, nargs="*", default=[300, 1000, 3000, 10_000])
    parser.add_argument("--pools", type=int, default=3, help="pools that are averaged")
    options = parser.parse_args()
    warnings.simplefilter("ignore", ds2.Ds2Warning)  # small pools and low lift: on purpose
    print("  rho    rows  distance  interval  lift  right before  after")
    for rho in (1.0, 0.7, 0.4):
        for n in options.rows:
            found = np.mean([study(n, rho, seed) for seed in range(options.pools)], axis=0)
            distance, width, lift, before, after = found
            print(f"{rho:5.1f} {n:7}  {distance:8.2f}  {f'± {width:.2f}':>8}  {lift:4.2f}", end="")
            print(f"  {before:12.2f}  {after:5.2f}")


if __name__ == "__main__":
    main()
