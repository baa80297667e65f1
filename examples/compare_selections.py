"""How much do two selections have in common? Overlap of four ways to choose the same number.

    python examples/compare_selections.py

One rater and 100 trusted scores, by which `auto` corrects the others. The pool is simulated, so the
mean true score of what was selected is known as well. With real data the rows of a run are in the
column `row` of RUN/selection.parquet.
"""

import numpy as np

import ds2

SIZE = 300


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Share of the first selection that is in the second; both have one size."""
    return len(np.intersect1d(a, b)) / len(a)


def main() -> None:
    pool = ds2.simulate(3000, clusterability=0.7, seed=4)
    neighbors = ds2.find_neighbors(pool.vectors)
    gold = np.where(np.arange(3000) % 30 == 0, pool.true_scores, np.nan)  # a person's work
    noise = ds2.estimate_transition(
        pool.scores, neighbors, n_scores=6, n_bootstrap=0, rho="auto", gold=gold
    )
    curation = ds2.curate(pool.scores, neighbors, noise, gold=gold)
    curated = curation.scores
    selections = {
        "ds2": ds2.select(curated, size=SIZE, neighbors=neighbors),
        "uncurated": ds2.select(pool.scores, size=SIZE, neighbors=neighbors),
        "top-score": ds2.select(curated, size=SIZE, method="top-score", neighbors=neighbors),
        # A seed of its own: "top-score" orders equal scores by the same random numbers.
        "random": ds2.select(curated, size=SIZE, method="random", seed=1),
    }
    print(" " * 10, *(f"{name:>10}" for name in selections), "mean true score")
    for name, one in selections.items():
        shares = [overlap(one.rows, other.rows) for other in selections.values()]
        quality = pool.true_scores[one.rows].mean()
        print(f"{name:10}", *(f"{share:10.2f}" for share in shares), f"{quality:15.2f}")
    print(f"By chance two selections share {SIZE / len(pool.scores):.2f}.", end=" ")
    print(f"The curated scores are by method {curation.method}.")


if __name__ == "__main__":
    main()
