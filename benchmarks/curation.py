"""Curation of two raters, judged by a third that nothing has seen; time and memory at 300,000 rows.

Alpaca-52k with the scores of three raters and the embeddings given: each rater in turn is the
truth, the other two are the input. Spearman with it, the same given log length (partial), and its
mean over the best 1,700 rows. Length alone is printed beside. Then, with --scale, the cost of auto
after the neighbours on a simulated pool of 300,000 rows and 3 raters.

    python benchmarks/curation.py [--quick] [--scale]
"""

import sys
import warnings

import numpy as np
from _common import PEAK, alpaca, fresh_process, json_line, table
from scipy.stats import rankdata

import ds2

RATERS = {
    "GPT-4o-mini": "score_gpt_4o_mini",
    "Llama-3.1-8B": "score_llama_3_1_8b",
    "Mistral-7B-v0.3": "score_mistral_7b_v0_3",
}
METHODS = ("raw", "ds2", "fused", "fused+neighbors", "soft", "auto")
TOP = 1700
COST = (
    PEAK
    + """
import json, sys, time, warnings
import numpy as np, ds2
warnings.simplefilter("ignore", ds2.Ds2Warning)
n = int(sys.argv[1])
pool = ds2.simulate(n, clusterability=0.5, seed=0)
rng = np.random.default_rng(0)
truth = pool.true_scores
scores = np.clip(np.round(truth[:, None] + rng.normal(0, (0.8, 1.2, 1.6), (n, 3))), 0, 5)
scores[rng.random((n, 3)) < 0.1] = np.nan
neighbors = ds2.find_neighbors(pool.vectors, 10)
noise = tuple(
    ds2.estimate_transition(s, neighbors, n_scores=6, rho=1.0, n_bootstrap=0, n_starts=1)
    for s in scores.T
)
before = peak_mb()
start = time.perf_counter()
found = ds2.curate(scores, neighbors, noise, method="auto")
print(json.dumps({"auto s": time.perf_counter() - start, "took": found.method,
                  "peak MB": peak_mb(), "before MB": before}))
"""
)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


def partial(a: np.ndarray, b: np.ndarray, given: np.ndarray) -> float:
    """Spearman of a and b, given a third."""
    ab, ag, bg = correlation(a, b), correlation(a, given), correlation(b, given)
    return (ab - ag * bg) / np.sqrt((1 - ag**2) * (1 - bg**2))


def judged(values: np.ndarray, truth: np.ndarray, length: np.ndarray, top: int) -> dict:
    best = np.argsort(-values, kind="stable")[:top]
    given = float("nan") if values is length else partial(values, truth, length)
    return {
        "Spearman": correlation(values, truth),
        "given length": given,
        f"mean of top {top}": float(truth[best].mean()),
    }


def rotation(held: int, scores: np.ndarray, length: np.ndarray, graph: ds2.Neighbors) -> list[dict]:
    """Every method on the two other raters."""
    use = [i for i in range(3) if i != held]
    truth, given = scores[:, held], scores[:, use]
    top = round(TOP * len(truth) / 52_002)
    name = list(RATERS)[held]
    noise = ds2.estimate_transition(given, graph, n_scores=6, n_bootstrap=0)
    rows = [
        {"held out": name, "method": "random", "took": "", "Spearman": 0.0, "given length": 0.0,
         f"mean of top {top}": float(truth.mean())},
        {"held out": name, "method": "length", "took": "", **judged(length, truth, length, top)},
    ]  # fmt: skip
    for method in METHODS:
        found = ds2.curate(given, graph, noise, method=method)
        figures = judged(found.scores, truth, length, top)
        rows.append({"held out": name, "method": method, "took": found.method, **figures})
    return rows


def main() -> None:
    warnings.simplefilter("ignore", ds2.Ds2Warning)
    quick = "--quick" in sys.argv
    data, vectors = alpaca(8000 if quick else None)
    scores = np.array([[row[column] for column in RATERS.values()] for row in data], dtype=float)
    length = np.log1p([len(row["output"]) for row in data])
    graph = ds2.find_neighbors(vectors, 10)
    rows = [row for held in range(3) for row in rotation(held, scores, length, graph)]
    table(rows)
    cost = []
    if "--scale" in sys.argv:
        cost = [
            {"rows": n, **fresh_process(COST, str(n))}
            for n in ((30_000, 60_000) if quick else (100_000, 200_000, 300_000))
        ]
        table(cost)
    json_line("curation", rotations=rows, cost=cost)


if __name__ == "__main__":
    main()
