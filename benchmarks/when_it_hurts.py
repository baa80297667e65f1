"""When curation by neighbours helps and when it hurts, as a picture and a table.

Simulated pools, six scores, raters who are right 60 % and 85 % of the time, clusterability 0 to 1:
the share of right scores as rated, after the paper's curation, and by the raw scores or the paper's
as 100 gold scores decide. The picture goes to docs/figures/when-it-hurts.svg.

    python benchmarks/when_it_hurts.py [--quick]
"""

import sys
import warnings
from pathlib import Path

import numpy as np
from _common import json_line, table
from _curves import curve_picture

import ds2

FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "when-it-hurts.svg"
AWAY = np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
NEAR = 0.5**AWAY * (AWAY > 0)
NEAR /= NEAR.sum(axis=1, keepdims=True)
RHOS = np.linspace(0.0, 1.0, 6)


def right(scores: np.ndarray, truth: np.ndarray) -> float:
    return float((scores == truth).mean())


def measured(rater: float, rho: float, n: int, seed: int) -> dict[str, float]:
    """Share of right scores, and of pools where the gate fires or gold chooses a correction."""
    T = rater * np.eye(6) + (1 - rater) * NEAR
    pool = ds2.simulate(n, transition=T, clusterability=rho, seed=seed)
    neighbors = ds2.find_neighbors(pool.vectors)
    noise = ds2.estimate_transition(pool.scores, neighbors, n_scores=6, n_bootstrap=0, n_starts=3)
    truth = pool.true_scores
    gold = np.full(n, np.nan)
    chosen = np.random.default_rng(seed).choice(n, 100, replace=False)
    gold[chosen] = truth[chosen]
    voted = ds2.curate(pool.scores, neighbors, noise, method="ds2", seed=seed)
    decided = ds2.curate(pool.scores, neighbors, noise, gold=gold, objective="level", seed=seed)
    return {
        "as rated": right(pool.scores, truth),
        "corrected by neighbours": right(voted.scores, truth),
        "as 100 gold scores decide": right(decided.scores, truth),
        "lift": noise.lift.value,
        "gate fired": float(voted.gate == "fired"),
    }


def main() -> None:
    warnings.simplefilter("ignore", ds2.Ds2Warning)
    quick = "--quick" in sys.argv
    n, seeds = (1500, range(2)) if quick else (3000, range(4))
    panels, rows = [], []
    for rater in (0.6, 0.85):
        runs = [[measured(rater, rho, n, seed) for rho in RHOS] for seed in seeds]
        names = list(runs[0][0])
        found = {name: [[one[name] for one in run] for run in runs] for name in names}
        panels.append((f"A rater who is right {rater:.0%} of the time",
                       {name: found[name] for name in names[:3]}))  # fmt: skip
        for place, rho in enumerate(RHOS):
            means = {name: float(np.mean(found[name], axis=0)[place]) for name in names}
            rows.append({"rater right": rater, "rho": float(rho), **means})
    table(rows)
    if not quick:
        picture = curve_picture(
            panels,
            x=RHOS,
            x_title="rho: how far neighbours share the true score",
            y_title="share of right scores",
            x_tick=".1f",
        )
        FIGURE.write_text(picture, encoding="utf-8")
        print(f"wrote {FIGURE.name}")
    json_line("when_it_hurts", rows=n, pools=len(seeds), figures=rows)


if __name__ == "__main__":
    main()
