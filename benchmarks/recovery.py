"""Is a known transition matrix recovered, and are the wrong scores found?

1. Digits of scikit-learn (1,797 × 64, 10 classes) with about 40 % class-dependent noise, 5 seeds:
   total variation of T, precision and recall of the flagged errors. The truth is the matrix that
   the drawn scores have (with 180 rows a class, the drawn and the planted matrix differ by 0.06
   themselves); the distance to the planted one is printed beside it.
2. Simulated pools, K = 6: error of T at 2k, 20k and 200k rows, and its log–log slope.
3. A perfect rater on a clusterable pool: how much is changed (nothing should be).
4. Confidence at 1k, 100k and 1M rows: its distribution must not depend on the pool's size.

    python benchmarks/recovery.py [--quick]
"""

import sys
import warnings

import numpy as np
from _common import json_line, table, total_variation
from scipy.stats import ks_2samp
from sklearn.datasets import load_digits

import ds2


def class_noise(n_classes: int, rng: np.random.Generator) -> np.ndarray:
    """A matrix with 30–50 % errors per class, shared among the others by a flat Dirichlet."""
    T = np.zeros((n_classes, n_classes))
    for i in range(n_classes):
        error = rng.uniform(0.3, 0.5)
        T[i] = np.insert(error * rng.dirichlet(np.ones(n_classes - 1)), i, 1 - error)
    return T


def digits(seeds: range) -> dict[str, float]:
    vectors, labels = load_digits(return_X_y=True)
    neighbors = ds2.find_neighbors(vectors.astype(np.float32))
    rows = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        T = class_noise(10, rng)
        scores = np.array([rng.choice(10, p=T[label]) for label in labels], dtype=float)
        drawn = np.zeros((10, 10))
        np.add.at(drawn, (labels, scores.astype(int)), 1)
        drawn /= drawn.sum(axis=1, keepdims=True)
        noise = ds2.estimate_transition(scores, neighbors, n_scores=10, seed=seed, n_bootstrap=0)
        found = ds2.curate(scores, neighbors, noise, method="ds2", seed=seed)
        wrong = scores != labels
        hits = (found.misrated & wrong).sum()
        rows.append(
            {
                "seed": seed,
                "noise": float(wrong.mean()),
                "neighbours": noise.n_neighbors,
                "TV of T": total_variation(noise.matrix, drawn),
                "TV to planted": total_variation(noise.matrix, T),
                "planted, labels known": total_variation(drawn, T),
                "precision": hits / found.misrated.sum(),
                "recall": hits / wrong.sum(),
                "right before": float((scores == labels).mean()),
                "right after": float((found.scores == labels).mean()),
            }
        )
    print("\nDigits, 1,797 rows, 10 classes")
    table(rows)
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0] if key != "seed"}


def simulated(sizes: tuple[int, ...], seeds: range) -> list[dict]:
    rows = []
    for rho in (1.0, 0.8, 0.5):
        for n in sizes:
            errors = []
            for seed in seeds:
                pool = ds2.simulate(n, clusterability=rho, seed=seed)
                neighbors = ds2.find_neighbors(pool.vectors)
                noise = ds2.estimate_transition(
                    pool.scores, neighbors, n_scores=6, n_bootstrap=0, seed=seed
                )
                errors.append(total_variation(noise.matrix, pool.transition))
            rows.append({"clusterability": rho, "rows": n, "TV of T": float(np.mean(errors))})
    print("\nSimulated ordinal pools, K = 6 (below clusterability 1 the error has a floor)")
    table(rows)
    return rows


def perfect(n: int) -> dict[str, float]:
    pool = ds2.simulate(n, seed=7)
    neighbors = ds2.find_neighbors(pool.vectors)
    noise = ds2.estimate_transition(pool.true_scores, neighbors, n_scores=6, n_bootstrap=0)
    found = ds2.curate(pool.true_scores, neighbors, noise, method="ds2")
    row = {
        "rows": n,
        "changed": found.n_changed / n,
        "misrated": float(found.misrated.mean()),
        "error rate": noise.error_rate,
    }
    print("\nA perfect rater on a clusterable pool")
    table([row])
    return row


def confidence(sizes: tuple[int, ...]) -> list[dict]:
    rows, first = [], None
    for n in sizes:
        pool = ds2.simulate(n, dim=16, seed=11)
        neighbors = ds2.find_neighbors(pool.vectors)
        noise = ds2.estimate_transition(pool.scores, neighbors, n_scores=6, n_bootstrap=0)
        found = ds2.curate(pool.scores, neighbors, noise, method="ds2")
        first = found.confidence if first is None else first
        low, middle, high = np.quantile(found.confidence, [0.5, 0.75, 0.9])
        rows.append(
            {
                "rows": n,
                "median": low,
                "75 %": middle,
                "90 %": high,
                "largest": float(found.confidence.max()),
                "changed": found.n_changed / n,
                "KS to the smallest": float(ks_2samp(first, found.confidence).statistic),
            }
        )
        print(f"  confidence at {n:,} rows done", file=sys.stderr)
    print("\nConfidence by size of the pool")
    table(rows)
    return rows


def main() -> None:
    warnings.simplefilter("ignore", ds2.Ds2Warning)
    quick = "--quick" in sys.argv
    on_digits = digits(range(5))
    sizes = (2_000, 20_000) if quick else (2_000, 20_000, 200_000)
    recovered = simulated(sizes, range(2))
    clean = [row["TV of T"] for row in recovered if row["clusterability"] == 1.0]
    slopes = np.diff(np.log(clean)) / np.diff(np.log(sizes))
    print(f"log–log slope between sizes at clusterability 1: {np.round(slopes, 2)}")
    json_line(
        "recovery",
        digits=on_digits,
        simulated=recovered,
        slope=float(slopes[-1]),
        perfect=perfect(2_000 if quick else 20_000),
        confidence=confidence((1_000, 20_000) if quick else (1_000, 100_000, 1_000_000)),
    )


if __name__ == "__main__":
    main()
