"""Trusted scores decide: one rater says the same of two pools, 100 gold scores tell them apart.

    python examples/gold_decides.py [GOLD SCORES]

In the first pool a noisy rater meets neighbours that share the true score; in the second a good
rater meets neighbours that often do not. The rater's scores look alike in both, and correcting by
neighbours, the paper's way, helps in one and harms in the other. So `auto` keeps the raw scores
until there is gold. `plan_gold` chooses what a person should score; here the truth is the person.
"""

import sys
import warnings

import numpy as np

import ds2

N_SCORES = 6
AWAY = np.abs(np.subtract.outer(np.arange(N_SCORES), np.arange(N_SCORES)))
NEAR = 0.5**AWAY * (AWAY > 0)
NEAR /= NEAR.sum(axis=1, keepdims=True)


def study(right: float, share: float, n_gold: int) -> None:
    matrix = right * np.eye(N_SCORES) + (1 - right) * NEAR
    pool = ds2.simulate(3000, transition=matrix, clusterability=share, seed=4)
    neighbors = ds2.find_neighbors(pool.vectors)
    noise = ds2.estimate_transition(pool.scores, neighbors, n_scores=N_SCORES)
    blind = ds2.curate(pool.scores, neighbors, noise)
    paper = ds2.curate(pool.scores, neighbors, noise, method="ds2")
    print(f"rater right {right:.0%} of the time, rho {share:g}: lift", end=" ")
    print(f"{noise.lift.value:.2f}; the paper's way would give Spearman {worth(paper, pool)}")
    print(f"  without gold: {shown(noise, pool)}; auto takes {blind.method}, {worth(blind, pool)}")

    plan = ds2.plan_gold(blind.scores, size=n_gold)
    gold, weights = np.full((2, len(pool.scores)), np.nan)
    gold[plan.rows] = pool.true_scores[plan.rows]  # a person's work
    weights[plan.rows] = plan.weights
    told = {"gold": gold, "gold_weights": weights}
    noise = ds2.estimate_transition(pool.scores, neighbors, n_scores=N_SCORES, rho="auto", **told)
    sure = ds2.curate(pool.scores, neighbors, noise, **told)
    taken = f"auto takes {sure.method}, {worth(sure, pool)}"
    print(f"  with {n_gold} gold: {shown(noise, pool)}; {taken}")


def shown(noise: ds2.TransitionEstimate, pool: ds2.SimulatedPool) -> str:
    off = 0.5 * np.abs(noise.matrix - pool.transition).sum(axis=1).mean()
    return f"wrong scores {noise.error_rate:.2f} at rho {noise.rho:.2f}, T off by {off:.2f}"


def worth(curation: ds2.Curation, pool: ds2.SimulatedPool) -> str:
    found = ds2.agreement(curation.scores, pool.true_scores).value
    return f"{ds2.agreement(pool.scores, pool.true_scores).value:.2f} -> {found:.2f}"


if __name__ == "__main__":
    warnings.simplefilter("ignore", ds2.Ds2Warning)  # low lift: on purpose
    for right, share in [(0.6, 1.0), (0.85, 0.4)]:
        study(right, share, int(sys.argv[1]) if len(sys.argv) > 1 else 100)
