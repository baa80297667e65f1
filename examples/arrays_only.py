"""Scores and embeddings are all you have: no texts, no pool, no files of ds2.

    python examples/arrays_only.py [VECTORS.npy SCORES.npy]

VECTORS is (n, d) floats, SCORES is (n,) whole numbers from 0 with NaN where unrated. Without
arguments a simulated pool stands in for them.
"""

import sys

import numpy as np

import ds2


def load(arguments: list[str]) -> tuple[np.ndarray, np.ndarray]:
    if arguments:
        vectors, scores = (np.load(path, allow_pickle=False) for path in arguments)
        return vectors, scores.astype(np.float64)
    pool = ds2.simulate(2000, seed=1)
    scores = pool.scores.copy()
    scores[::50] = np.nan  # the rater did not answer
    return pool.vectors, scores


def main() -> None:
    vectors, scores = load(sys.argv[1:])
    n_scores = int(np.nanmax(scores)) + 1
    neighbors = ds2.find_neighbors(vectors, k=10)
    noise = ds2.estimate_transition(scores, neighbors, n_scores=n_scores)
    curation = ds2.curate(scores, neighbors, noise)
    tail = ds2.long_tail_scores(neighbors)
    chosen = ds2.select(curation.scores, tail, size=0.1, neighbors=neighbors)
    print(f"lift {noise.lift.value:.2f} [{noise.lift.low:.2f}, {noise.lift.high:.2f}]")
    print(f"share of wrong scores at rho = 1: {noise.error_rate:.2f}")
    print(f"auto took: {curation.method}; scores changed: {curation.n_changed}")
    print(f"  {curation.next_evidence}")
    print(f"selected: {len(chosen.rows)} rows, left out: {dict(chosen.dropped)}")
    for row, reason in zip(chosen.rows[:3], chosen.reasons, strict=False):
        print(f"  row {row}: {reason}")


if __name__ == "__main__":
    main()
