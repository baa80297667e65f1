"""How far can neighbours be trusted: is rho found from evidence, and T held by its range without?

Simulated pools, K = 6, clusterability 0.3 to 1.

1. 100 gold rows: error of T (mean total variation) over the error with rho known (no gold); at
   most 1.5 is the goal. The same with 1,000 repeats, and with a second rater.
2. No evidence: how often the range holds the true cells (goal: 90 %), its mean width, and how often
   it calls itself informative (at most 0.3 wide).

    python benchmarks/rho.py [--quick]
"""

import sys
import warnings

import numpy as np
from _common import json_line, table, total_variation

import ds2
from ds2.noise.simulation import draw_scores

SECOND = 0.55 * np.eye(6) + 0.45 * (ds2.simulate(1).transition - 0.6 * np.eye(6)) / 0.4


def some(values: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """The values of ``size`` random rows, NaN elsewhere."""
    result = np.full(len(values), np.nan)
    rows = rng.choice(len(values), size, replace=False)
    result[rows] = values[rows]
    return result


def again(pool: ds2.SimulatedPool, T: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Scores of a rater with matrix T for the same rows."""
    return draw_scores(T, pool.true_scores.astype(int), rng).astype(float)


def held(bounds: np.ndarray, T: np.ndarray) -> float:
    seen = T >= 0.02
    return float(((bounds[0] <= T) & (bounds[1] >= T))[seen].mean())


def evidence(n: int, seeds: range) -> list[dict]:
    rows = []
    for rho in (0.3, 0.5, 0.7, 0.9, 1.0):
        found: dict[str, list[float]] = {}
        for seed in seeds:
            pool = ds2.simulate(n, clusterability=rho, seed=seed)
            rng = np.random.default_rng(seed)
            neighbors = ds2.find_neighbors(pool.vectors)
            scores, T = pool.scores, pool.transition
            settings = {"n_scores": 6, "n_bootstrap": 60, "seed": seed}

            def fit(scores=scores, neighbors=neighbors, settings=settings, **evidence):
                return ds2.estimate_transition(scores, neighbors, **settings, **evidence)

            gold = fit(gold=some(pool.true_scores, 100, rng))
            repeats = fit(repeats=some(again(pool, T, rng), min(1000, n // 2), rng))
            two = fit(scores=np.column_stack([scores, again(pool, SECOND, rng)]))
            row = {
                "rho = 1": total_variation(fit().matrix, T),
                "known": total_variation(fit(rho=rho).matrix, T),
                "100 gold": total_variation(gold.matrix, T),
                "gold's rho": gold.rho,
                "gold holds T": held(gold.intervals, T),
                "gold holds p": held(gold.prior_intervals, pool.prior),
                "repeats": total_variation(repeats.matrix, T),
                "they hold p": held(repeats.prior_intervals, pool.prior),
                "their rho": repeats.rho,
                "2 raters": total_variation(two.matrix[0], T),
                "raters' rho": two.rho,
            }
            for key, value in row.items():
                found.setdefault(key, []).append(value)
        means = {key: float(np.mean(values)) for key, values in found.items()}
        ratio = means["100 gold"] / means["known"]
        rows.append({"clusterability": rho, **means, "gold / known": ratio})
        print(f"  clusterability {rho} done", file=sys.stderr)
    return rows


def by_number(n: int, seeds: range) -> list[dict]:
    """Error of T and coverage by the number of repeats: no number at which anything jumps."""
    rows = []
    for rho in (0.5, 0.9):
        for count in (60, 300, 450, 600, n):
            errors, holds, found_rho = [], [], []
            for seed in seeds:
                pool = ds2.simulate(n, clusterability=rho, seed=seed)
                rng = np.random.default_rng(seed)
                T = pool.transition
                found = ds2.estimate_transition(
                    pool.scores,
                    ds2.find_neighbors(pool.vectors),
                    n_scores=6,
                    n_bootstrap=60,
                    repeats=some(again(pool, T, rng), count, rng),
                    seed=seed,
                )
                errors.append(total_variation(found.matrix, T))
                holds.append(held(found.intervals, T))
                found_rho.append(found.rho)
            means = (float(np.mean(values)) for values in (errors, holds, found_rho))
            row = dict(zip(("TV of T", "holds T", "rho"), means, strict=True))
            rows.append({"clusterability": rho, "repeats": count, **row})
    return rows


def ranges(n: int, seeds: range) -> list[dict]:
    rows = []
    for rho in (0.3, 0.4, 0.5, 0.7, 1.0):
        holds, widths, informative, landed = [], [], [], []
        for seed in seeds:
            pool = ds2.simulate(n, clusterability=rho, seed=seed)
            neighbors = ds2.find_neighbors(pool.vectors)
            found = ds2.estimate_transition(pool.scores, neighbors, n_scores=6, seed=seed)
            inside = (found.range[0] <= pool.transition) & (pool.transition <= found.range[1])
            holds.append(inside.mean())
            widths.append(found.range_width)
            informative.append(found.range_informative)
            landed.append(held(found.intervals, pool.transition))
        rows.append(
            {
                "clusterability": rho,
                "range holds T": float(np.mean(holds)),
                "worst pool": float(np.min(holds)),
                "mean width": float(np.mean(widths)),
                "informative": float(np.mean(informative)),
                "interval at rho = 1 holds T": float(np.mean(landed)),
            }
        )
    return rows


def main() -> None:
    warnings.simplefilter("ignore", ds2.Ds2Warning)
    quick = "--quick" in sys.argv
    n, seeds = (2_000, range(3)) if quick else (5_000, range(12))
    print(f"\nError of T with evidence of rho, {n:,} rows, {len(seeds)} pools each")
    with_evidence = evidence(n, seeds)
    table(with_evidence)
    print("\nThe same by the number of repeats, with 95 % intervals")
    numbers = by_number(n, seeds)
    table(numbers)
    print("\nThe range without evidence (8 values of rho from the least that lift allows to 1)")
    without = ranges(n, seeds)
    table(without)
    json_line(
        "rho",
        rows=n,
        pools=len(seeds),
        evidence=with_evidence,
        by_number=numbers,
        ranges=without,
        worst_ratio=max(row["gold / known"] for row in with_evidence),
        worst_held=min(row["range holds T"] for row in without),
    )


if __name__ == "__main__":
    main()
