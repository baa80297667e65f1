"""How noisy is my rater? The transition matrix with its intervals, and what it rests on.

    python examples/rater_noise.py [POOL COLUMN [SCALE]]

POOL is any file that ds2 reads, COLUMN holds the ratings, SCALE is as in a recipe ("1-10",
"levels:6"). Without arguments a simulated pool is used.
"""

import sys

import numpy as np

import ds2


def load(arguments: list[str]) -> tuple[np.ndarray, np.ndarray, int]:
    if not arguments:
        pool = ds2.simulate(2000, clusterability=0.8, seed=2)
        return pool.vectors, pool.scores, 6
    path, column, *scale = arguments
    examples = ds2.read_pool(path)
    ratings = ds2.import_ratings(examples, column=column, scale=scale[0] if scale else None)
    return ds2.embed(examples), ratings.scores(), ratings.scale.n_scores


def main() -> None:
    vectors, scores, n_scores = load(sys.argv[1:])
    noise = ds2.estimate_transition(scores, ds2.find_neighbors(vectors), n_scores=n_scores)
    low, high = noise.intervals
    print(f"P(observed | true) at rho = {noise.rho:g}, with 95 % intervals")
    print("true ", *(f"{j:>14}" for j in range(n_scores)))
    for i, row in enumerate(noise.matrix):
        cells = (
            f"{value:.2f} [{low[i, j]:.2f}–{high[i, j]:.2f}]"
            if np.isfinite(low[i, j])
            else f"{value:.2f} [no data]  "
            for j, value in enumerate(row)
        )
        print(f"{i:4} ", *cells)
    lift, (least, most) = noise.lift, noise.rho_range
    print(f"lift {lift.value:.2f} [{lift.low:.2f}, {lift.high:.2f}]; 0 is chance, 1 is always")
    print(f"share of wrong scores at rho = {noise.rho:g}: {noise.error_rate:.2f}")
    if noise.range is not None:
        bottom, top = (np.diagonal(bound) for bound in noise.range)
        print(f"diagonal for rho from {least:.2f} to {most:.2f}:")
        print("     ", *(f"{a:.2f}–{b:.2f}" for a, b in zip(bottom, top, strict=True)))
    for sentence in noise.warnings:
        print(f"note: {sentence}")


if __name__ == "__main__":
    main()
