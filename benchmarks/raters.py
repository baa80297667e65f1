"""Several raters: do the intervals hold, and is a rater with levels out of order named?

1. Simulated raters of two kinds, 10 % of the ratings missing: coverage of the 95 % intervals of T
   per rater (from the raters alone, and jointly with neighbours), of rho, and of the reliabilities.
2. Agreement with gold (Spearman, Pearson, accuracy, quadratic kappa) from 50, 100 and 200 gold
   rows, drawn at random and stratified with weights; and of the paired difference of two raters.
3. The published scores: which raters are named for levels out of order.
4. Cost: 300,000 rows × 3 raters.

    python benchmarks/raters.py [--quick]
"""

import sys
import time
import warnings

import numpy as np
from _common import alpaca_rows, data_file, json_line, table, total_variation
from scipy.special import ndtr

import ds2
from ds2.noise import (
    agreement,
    agreement_difference,
    find_swapped_levels,
    fit_raters,
    measure_reliability,
)
from ds2.noise.simulation import draw_scores

NEAR = (ds2.simulate(1).transition - 0.6 * np.eye(6)) / 0.4
MEASURES = ("spearman", "pearson", "accuracy", "kappa")
NAMES = ("GPT-4o-mini", "Llama-3.1-8B", "Mistral-7B")


def raters(
    n: int, r: int, rho: float, seed: int, *, rounding: bool = False
) -> tuple[ds2.SimulatedPool, np.ndarray, np.ndarray]:
    """A pool, its (n, r) scores with a tenth missing, and the raters' matrices.

    Raters are right at one rate at every level, or round the truth plus a normal error.
    """
    rng = np.random.default_rng(seed)
    pool = ds2.simulate(n, clusterability=rho, seed=seed)
    T = np.array([right * np.eye(6) + (1 - right) * NEAR for right in np.linspace(0.45, 0.7, r)])
    if rounding:
        edges = np.array([-np.inf, *(np.arange(5) + 0.5), np.inf])
        away = (edges - np.arange(6)[:, None]) / np.linspace(0.8, 1.5, r)[:, None, None]
        T = np.diff(ndtr(away), axis=2)
    true = pool.true_scores.astype(int)
    scores = np.stack([draw_scores(m, true, rng) for m in T], axis=1).astype(float)
    scores[rng.random(scores.shape) < 0.1] = np.nan
    return pool, scores, T


def matrices(n: int, seeds: range) -> list[dict]:
    rows = []
    for r, rho, rounding in (
        *((3, 0.0, False), (5, 0.0, False), (2, 0.5, False), (3, 0.5, False)),
        *((3, 0.0, True), (2, 0.5, True), (3, 0.5, True)),
    ):
        joint = rho > 0
        held, errors, rho_held, rho_errors, widths, estimates = [], [], [], [], [], []
        for seed in seeds:
            pool, scores, T = raters(n, r, rho, seed, rounding=rounding)
            if joint:
                neighbors = ds2.find_neighbors(pool.vectors)
                fit = ds2.estimate_transition(scores, neighbors, n_scores=6, seed=seed)
                rho_errors.append(fit.rho - rho)
                rho_held.append(fit.rho_interval[0] <= rho <= fit.rho_interval[1])
            else:
                fit = fit_raters(scores, 6)
            seen = T >= 0.02
            held.append(((fit.intervals[0] <= T) & (fit.intervals[1] >= T))[seen])
            widths.append((fit.intervals[1] - fit.intervals[0])[seen].mean())
            estimates.append(fit.matrix[seen])
            errors.append(
                np.mean([total_variation(a, b) for a, b in zip(fit.matrix, T, strict=True)])
            )
        spread = np.diff(np.quantile(estimates, (0.025, 0.975), axis=0), axis=0).mean()
        rows.append(
            {
                "from": "raters + neighbours" if joint else "raters",
                "raters": f"{r}, rounding" if rounding else r,
                "rows": n,
                "coverage of T": float(np.mean(held)),
                "worst cell": float(np.mean(held, axis=0).min()),
                "width / Monte Carlo": float(np.mean(widths) / spread),
                "TV of T": float(np.mean(errors)),
                "coverage of rho": float(np.mean(rho_held)) if joint else float("nan"),
                "error of rho": float(np.mean(rho_errors)) if joint else float("nan"),
            }
        )
    return rows


def factor_raters(n: int, r: int, bias: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A truth (n,) and scores (n, r) that follow it more or less; two of them share errors."""
    rng = np.random.default_rng(seed)
    truth, common = rng.standard_normal((2, n))
    loads = np.linspace(0.4, 0.7, r)
    mixed = np.sqrt(np.where(np.arange(r) < 2, bias, 0.0))
    errors = mixed * common[:, None] + np.sqrt(1 - mixed**2) * rng.standard_normal((n, r))
    values = loads * truth[:, None] + np.sqrt(1 - loads**2) * errors
    return truth, np.clip(np.round(values * 1.2 + 2.5), 0, 5)


def reliabilities(n: int, seeds: range) -> list[dict]:
    """Against what a million rows would give: the raters', not the drawn pool's."""
    rows = []
    for r, bias, n_gold in ((3, 0.0, 0), (5, 0.0, 0), (5, 0.6, 0), (3, 0.6, 100)):
        truth, scores = factor_raters(1_000_000, r, bias, 10**6)
        exact = np.array([np.corrcoef(column, truth)[0, 1] for column in scores.T])
        residual = (np.corrcoef(scores.T) - np.outer(exact, exact)) / np.sqrt(
            np.outer(1 - exact**2, 1 - exact**2)
        )
        shared = residual[~np.eye(r, dtype=bool)].mean()
        held, effective = [], []
        for seed in seeds:
            truth, scores = factor_raters(n, r, bias, seed)
            gold = np.full(n, np.nan)
            chosen = np.random.default_rng([seed, 1]).choice(n, n_gold, replace=False)
            gold[chosen] = truth[chosen] + 10  # any positive scale
            found = measure_reliability(scores, gold=gold if n_gold else None, seed=seed)
            held.append((found.low <= exact) & (exact <= found.high))
            effective.append(found.effective)
        rows.append(
            {
                "raters": r,
                "shared by two": bias,
                "gold": n_gold,
                "rows": n,
                "coverage of reliability": float(np.mean(held)),
                "effective number": float(np.mean(effective)),
                "true one": r / (1 + (r - 1) * max(shared, 0)),
            }
        )
    return rows


def agreements(n_draws: int) -> list[dict]:
    rng = np.random.default_rng(0)
    levels, n = (lambda v: np.clip(np.round(v * 1.2 + 2.5), 0, 5)), 20_000
    rows = []
    for rel in (0.2, 0.5, 0.8):
        truth = rng.standard_normal(n)
        values, other = (
            levels(a * truth + np.sqrt(1 - a * a) * rng.standard_normal(n))
            for a in (rel, 0.7 * rel)
        )
        gold = levels(truth)
        exact = {m: agreement(values, gold, measure=m).value for m in MEASURES}
        gap = exact["spearman"] - agreement(other, gold).value
        for stratified in (False, True):
            chance = np.where(np.abs(values - 2.5) > 1.4, 4.0, 1.0) if stratified else np.ones(n)
            chance /= chance.sum()
            for size in (50, 100, 200):
                held: dict[str, list[bool]] = {m: [] for m in (*MEASURES, "difference")}
                for _ in range(n_draws):
                    at = rng.choice(n, size, replace=False, p=chance)
                    for m in MEASURES:
                        found = agreement(values[at], gold[at], 1 / chance[at], measure=m)
                        held[m].append(found.low <= exact[m] <= found.high)
                    found = agreement_difference(values[at], other[at], gold[at], 1 / chance[at])
                    held["difference"].append(found.low <= gap <= found.high)
                rows.append(
                    {
                        "agreement": rel,
                        "gold": size,
                        "drawn": "stratified" if stratified else "at random",
                        **{m: float(np.mean(hits)) for m, hits in held.items()},
                    }
                )
    return rows


def published() -> list[dict]:
    columns = ("score_gpt_4o_mini", "score_llama_3_1_8b", "score_mistral_7b_v0_3")
    alpaca = np.array([[row[c] for c in columns] for row in alpaca_rows()], dtype=float)
    with np.load(data_file("ds2_scores.npz")) as whole:
        pool = np.stack([whole[c.removeprefix("score_")] for c in columns], axis=1).astype(float)
    rows = []
    for name, scores in (("Alpaca", alpaca), ("whole pool", pool)):
        start = time.perf_counter()
        found = find_swapped_levels(scores, 6, names=NAMES)
        seconds = time.perf_counter() - start
        rows += [
            {
                "scores": name,
                "named": NAMES[case.rater],
                "levels": f"{case.lower} above {case.higher}",
                "gap in SD": case.gap,
                "z": case.z,
                "judges": len(case.judges),
                "seconds": seconds,
            }
            for case in found
        ]
    return rows


def cost(n: int) -> dict[str, float]:
    pool, scores, _ = raters(n, 3, 0.5, 0)
    rng = np.random.default_rng(0)
    near = ds2.find_neighbors(pool.vectors[: min(n, 20_000)])
    copies = -(-n // near.n)  # one graph, repeated: the estimate does not care for distances
    indices = np.concatenate([near.indices + i * near.n for i in range(copies)])[:n]
    distances = np.tile(near.distances, (copies, 1))[:n]
    graph = ds2.Neighbors(np.minimum(indices, n - 1), distances, 1.0, "exact")
    gold = np.full(n, np.nan)
    gold[rng.choice(n, 100, replace=False)] = 3.0
    row: dict[str, float] = {"rows": n}
    for name, run in {
        "joint s": lambda: ds2.estimate_transition(scores, graph, n_scores=6),
        "raters alone s": lambda: fit_raters(scores, 6),
        "reliability s": lambda: measure_reliability(scores),
        "swapped levels s": lambda: find_swapped_levels(scores, 6),
    }.items():
        start = time.perf_counter()
        run()
        row[name] = time.perf_counter() - start
    return row


def main() -> None:
    warnings.simplefilter("ignore", ds2.Ds2Warning)
    quick = "--quick" in sys.argv
    n, seeds = 3_000, range(12) if quick else range(100)
    figures = {}
    for name, title, measure in (
        ("matrices", "Intervals of T per rater", lambda: matrices(n, seeds)),
        ("reliability", "Intervals of reliability", lambda: reliabilities(n, seeds)),
        ("agreement", "Intervals of agreement", lambda: agreements(40 if quick else 500)),
        ("published", "Levels out of order", published),
        ("cost", "Cost", lambda: [cost(30_000 if quick else 300_000)]),
    ):
        figures[name] = measure()
        print(f"\n{title}")
        table(figures[name])
    json_line("raters", **figures)


if __name__ == "__main__":
    main()
