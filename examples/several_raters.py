"""Several raters: how reliable is each, and what does auto make of them all?

    python examples/several_raters.py [CLUSTERABILITY]

Three simulated raters score one pool. How far neighbours share the true score (0 to 1) is the
argument. Nothing sees a true score before the last table: what each way to combine them is worth.
"""

import sys
import warnings

import numpy as np

import ds2

N_SCORES = 6
RIGHT = {"good": 0.70, "middling": 0.50, "careless": 0.25}


def rate(true: np.ndarray, right: float, rng: np.random.Generator) -> np.ndarray:
    """Scores of a rater who is right this often, else near the truth; one in ten is missing."""
    away = np.abs(np.subtract.outer(np.arange(N_SCORES), np.arange(N_SCORES)))
    near = 0.6**away * (away > 0)
    matrix = right * np.eye(N_SCORES) + (1 - right) * near / near.sum(axis=1, keepdims=True)
    drawn = rng.random(len(true))
    scores = (drawn[:, None] >= matrix.cumsum(axis=1)[true.astype(int), :-1]).sum(axis=1)
    return np.where(rng.random(len(true)) < 0.1, np.nan, scores)


def main() -> None:
    warnings.simplefilter("ignore", ds2.Ds2Warning)  # they are printed below
    share = float(sys.argv[1]) if len(sys.argv) > 1 else 0.5
    pool = ds2.simulate(3000, clusterability=share, seed=1)
    rng = np.random.default_rng(2)
    scores = np.stack([rate(pool.true_scores, right, rng) for right in RIGHT.values()], axis=1)
    neighbors = ds2.find_neighbors(pool.vectors)
    found = ds2.measure_reliability(scores)
    print("reliability (correlation with the truth), from what the raters say of each other:")
    for name, value, low, high, adds in zip(
        RIGHT, found.values, found.low, found.high, found.contribution, strict=True
    ):
        print(f"  {name:9} {value:.2f} [{low:.2f}, {high:.2f}]  adds {adds:.2f} to the others")
    noise = ds2.estimate_transition(scores, neighbors, n_scores=N_SCORES)
    curation = ds2.curate(scores, neighbors, noise)
    print(f"auto took: {curation.method}")
    for row in curation.evidence:
        if row.chosen and row.candidate != "raw":
            gain = row.difference
            print(f"  {row.measure} {row.value:.2f}, above raw", end=" ")
            print(f"{gain.value:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}]")
    for sentence in (*curation.warnings, curation.next_evidence):
        print(f"note: {sentence}")
    print("Spearman with the true scores, which only a simulation knows:")
    for method in ("raw", "ds2", "soft", "fused", "fused+neighbors", "auto"):
        curated = ds2.curate(scores, neighbors, noise, method=method)
        print(f"  {method:16} {ds2.agreement(curated.scores, pool.true_scores).value:.3f}")


if __name__ == "__main__":
    main()
