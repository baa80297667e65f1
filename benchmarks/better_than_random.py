"""How often "better than random" is wrong, and how often it is seen, by the number of rows judged.

Nothing is better where selections are random: then 2.5 % of the intervals should lie above 0 and
2.5 % below. Values have six shapes; every row has one (a rater judges), or one row in eight (gold),
and random is any rows or those of the same lengths. "width" is that of the interval, where 1 is
1.96 standard errors of known size on either side. Then the values of the selection are higher, by a
step on the scale: how often is that seen ("better"), and how often is it in the interval ("holds")?
Pairs are the differences of 13 random selections from one, of which they share a quarter: "any" is
how often one of the 13 is wrong (5 % at most).

    python benchmarks/better_than_random.py [--quick]
"""

import sys
from collections.abc import Callable

import numpy as np
from _common import json_line, table

from ds2.selection import against_random, against_selection

N, METHODS = 1_500, 13
QUICK = "--quick" in sys.argv
REPEATS = 200 if QUICK else 2_000
JUDGED = (20,) if QUICK else (10, 20, 40, 100, 200)


def levels(*shares: float) -> Callable[[np.random.Generator, int], np.ndarray]:
    return lambda rng, n: rng.choice(6, n, p=np.array(shares) / sum(shares)).astype(float)


SHAPES = {
    "level": levels(1, 1, 1, 1, 1, 1),
    "high": levels(0.02, 0.05, 0.1, 0.2, 0.6, 0.03),
    "low": levels(0.3, 0.3, 0.2, 0.1, 0.07, 0.03),
    "normal": lambda rng, n: rng.normal(size=n),
    "lognormal": lambda rng, n: np.exp(1.5 * rng.normal(size=n)),
    "0/1, 5 %": lambda rng, n: 1.0 * (rng.random(n) < 0.05),
}


def verdicts(shape: str, judged: int, kind: str, step: float = 0.0) -> dict:
    """What the intervals say, over many pools."""
    found = []
    for seed in range(REPEATS):
        rng = np.random.default_rng([seed, judged])
        values = SHAPES[shape](rng, N)
        size = min(8 * judged, N // 2) if kind == "gold" else judged
        rows = rng.choice(N, size, replace=False)
        values[rows] += np.where(values[rows] < 5, step, 0.0)
        if kind == "gold":
            values[rng.random(N) > judged / size] = np.nan
        lengths = rng.integers(0, 20, N) if kind == "same lengths" else None
        one = against_random(values, rows, sources=lengths, n_draws=20, seed=seed)
        known = 1.96 * np.nanstd(values) * np.sqrt(1 / one.n - 1 / one.n_values)
        if known > 0 and one.low == one.low:
            found.append([one.difference, one.low, one.high, (one.high - one.low) / 2 / known])
    difference, low, high, width = np.array(found).T
    truth = difference.mean() if step else 0.0
    return {
        "values": shape, "random": kind, "judged": judged, "difference": truth,
        "better %": 100 * (low > 0).mean(), "worse %": 100 * (high < 0).mean(),
        "holds %": 100 * ((low <= truth) & (truth <= high)).mean(), "width": width.mean(),
    }  # fmt: skip


def pairs(shape: str, judged: int) -> dict:
    """How often one of 13 random selections is wrongly told from one, and how often each is."""
    wrong = np.zeros((REPEATS // 5, METHODS))
    for seed, row in enumerate(wrong):
        rng = np.random.default_rng([seed, judged])
        values = SHAPES[shape](rng, N)
        own = rng.choice(N, judged, replace=False)
        rest = np.setdiff1d(np.arange(N), own)
        for place in range(METHODS):
            new = rng.choice(rest, judged - judged // 4, replace=False)
            other = np.concatenate([own[: judged // 4], new])
            found = against_selection(values, other, own, n_compared=METHODS)
            row[place] = found.low > 0 or found.high < 0
    any_ = 100 * wrong.any(axis=1).mean()
    return {"values": shape, "judged": judged, "any %": any_, "each %": 100 * wrong.mean()}


def main() -> None:
    kinds = ("any", "gold", "same lengths")
    null = [verdicts(s, m, kind) for kind in kinds for s in SHAPES for m in JUDGED]
    table(null)
    steps = [verdicts(s, 20, "any", step) for s in list(SHAPES)[:4] for step in (0.5, 1.0)]
    table(steps)
    paired = [pairs(shape, m) for shape in SHAPES for m in JUDGED]
    table(paired)
    json_line("better_than_random", null=null, steps=steps, pairs=paired)


if __name__ == "__main__":
    main()
