"""Levels of real scores: what long-tail scores may choose from, and what that costs in quality.

Simulated: predictions that explain a part of the variance of a true quality, put on the levels of a
rater of a given shape as `curate` does; long-tail scores that fall a little with quality. By each
rule and over all shapes, sizes and predictions: the true mean of what "ds2" selects above the
pool's as a share of what the highest scores have, and the share of the selected rows whose score is
below the pool's median.

    python benchmarks/levels.py
"""

import numpy as np
from _common import json_line, table

from ds2.levels import nearest_level, to_levels
from ds2.selection.methods import cut_levels, halves

N = 20_000
#: By shape: the shares of the rater's levels, and a prior that an estimate may come to.
SHAPES = {
    "usual": ([0.06, 0.15, 0.29, 0.29, 0.197, 0.013], [0.02, 0.1, 0.2, 0.55, 0.1, 0.03]),
    "six in ten on top": ([0.01, 0.02, 0.07, 0.1, 0.2, 0.6], [0.2, 0.1, 0.05, 0.05, 0.05, 0.55]),
    "five equal": ([0.2] * 5, [0.05, 0.1, 0.15, 0.15, 0.55]),
    "two": ([0.3, 0.7], [0.4, 0.6]),
}  # fmt: skip


def quarters(n: int) -> np.ndarray:
    """(s,) shares of levels, lowest first: of the best quarter the best quarter, and so on."""
    shares = 0.75 * 0.25 ** np.arange(n.bit_length())
    shares[-1] /= 0.75
    return shares


def main() -> None:
    rng = np.random.default_rng(0)
    found: dict[str, list[tuple[float, float]]] = {}
    for explained in (0.2, 0.6):
        for shares, prior in SHAPES.values():
            quality = rng.standard_normal(N)
            noise = rng.standard_normal(N) * (explained * (1 - explained)) ** 0.5
            scores = to_levels(explained * quality + noise, np.array(shares))
            tail = rng.standard_normal(N) - 0.3 * quality
            rules = {
                "estimated prior": cut_levels(scores, np.array(prior)),
                "six equal": cut_levels(scores, np.full(6, 1 / 6)),
                "nearest level": nearest_level(scores),
                "nearest tenth": nearest_level(10 * scores),
                "halves": cut_levels(scores, halves(N)),
                "quarters": cut_levels(scores, quarters(N)),
            }
            for size in (100, 400, 2000, 6000):
                highest = quality[np.argsort(-scores)[:size]].mean() - quality.mean()
                for name, level in rules.items():
                    rows = np.lexsort((-scores, -tail, -level))[:size]
                    kept = (quality[rows].mean() - quality.mean()) / highest
                    low = (scores[rows] < np.median(scores)).mean()
                    found.setdefault(name, []).append((float(kept), float(low)))
    rows = [
        {
            "levels": name,
            "kept, least": min(kept for kept, _ in each),
            "mean": float(np.mean([kept for kept, _ in each])),
            "most": max(kept for kept, _ in each),
            "below the median, most": max(low for _, low in each),
        }
        for name, each in found.items()
    ]
    table(rows)
    json_line("levels", rules=rows)


if __name__ == "__main__":
    main()
