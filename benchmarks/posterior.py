"""How "fused+neighbors" leans on neighbours: by prediction, as it does, or by the model's J.

Situations of `harm_search` with two raters or more. The model of `ds2.noise.model` is fitted with
links to neighbours, which gives T, p and J; a row's posterior is then P(i) ∝ p[i] L[i] · M[i]^w, M
the geometric mean over k neighbours of Σ_j J[i, j] / p[i] · L'[j].
Spearman with the truth, less that of "fused+neighbors" as it is.

    python benchmarks/posterior.py [--situations 60] [--seed 180000] [--most 3000]
"""

import argparse
import sys
import warnings

import numpy as np
from _common import json_line, table
from harm_search import draw, spearman

import ds2
from ds2.curation.candidates import fused_posterior
from ds2.curation.moments import NeighborMeans
from ds2.noise.model import Patterns, looks
from ds2.noise.order import class_values
from ds2.noise.panel import look_at
from ds2.noise.several import _fit
from ds2.noise.single import Wanted

WAYS = {
    "k = 2, w = 1": (2, 1),
    "k = 2, w = 2": (2, 2),
    "k = 10, w = 1": (10, 1),
    "k = 10, w = 4": (10, 4),
}


def posteriors(scores: np.ndarray, s: int, neighbors: ds2.Neighbors) -> dict[str, np.ndarray]:
    """Way → (n,) expected truth."""
    means = NeighborMeans.build(neighbors)
    alone, now = fused_posterior(scores, s, means, seed=0)
    found = _fit(scores, neighbors, Wanted(s, "auto", None, 0, 2, 0), look_at(scores))
    T, p, J = found.matrix, found.prior, found.model.split(found.state)[1]
    value, rated = class_values(T, p), ~np.isnan(scores).all(axis=1)
    patterns = Patterns.build(scores, None, s)
    likely = looks(patterns.one_hot(s), T)[0][patterns.of_row]
    told = np.log(np.maximum(likely @ (J / np.maximum(p[:, None], 1e-12)).T, 1e-300))
    result = {"now": now.expected, "without neighbours": alone.expected}
    for name, (k, w) in WAYS.items():
        logs = np.log(np.maximum(likely * p, 1e-300)) + w * told[neighbors.indices[:, :k]].mean(
            axis=1
        )
        mass = np.exp(logs - logs.max(axis=1, keepdims=True))
        result[name] = np.where(rated, mass / mass.sum(axis=1, keepdims=True) @ value, np.nan)
    return result


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--situations", type=int, default=60)
    parser.add_argument("--seed", type=int, default=180_000)
    parser.add_argument("--most", type=int, default=3000)
    asked = parser.parse_args()
    warnings.simplefilter("ignore", ds2.Ds2Warning)
    rows: list[dict[str, float]] = []
    for seed in range(asked.seed, asked.seed + asked.situations):
        pool = draw(seed, asked.most)
        heard = list(look_at(pool.scores).heard)
        if len(heard) < 2:
            continue
        try:
            found = posteriors(
                pool.scores[:, heard], pool.n_scores, ds2.find_neighbors(pool.vectors)
            )
        except ds2.InputError:  # nothing to count
            continue
        known = ~np.isnan(found["now"])
        truth = pool.z[known]
        rows.append({name: spearman(values[known], truth) for name, values in found.items()})
        print(seed, rows[-1], file=sys.stderr, flush=True)
    shown = [
        {
            "way": name,
            "mean": float(np.nanmean([row[name] - row["now"] for row in rows])),
            "worst": float(np.nanmin([row[name] - row["now"] for row in rows])),
            "best": float(np.nanmax([row[name] - row["now"] for row in rows])),
        }
        for name in rows[0]
        if name != "now"
    ]
    print(f"{len(rows)} situations, less what it is now:")
    table(shown)
    json_line("posterior", situations=len(rows), ways=shown)


if __name__ == "__main__":
    main()
