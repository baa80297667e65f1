"""What 50, 100 or 200 trusted scores say of a pool: is it unbiased, and do the intervals hold?

A pool whose truth is known in every row is asked for gold many times over (`plan_gold`, another
seed each time); from the gold rows and their weights alone `agreement` estimates how well the
curated scores agree with the truth, and `agreement_difference` how much better they do than another
candidate. Against the figure of the whole pool: the mean error (bias) in units of its own standard
error, the root mean square error, and how often the 95 % interval holds it. "Equal" is the bias
when the weights are left out; "random" the root mean square error of as many rows drawn at random.

    simulated       20,000 rows, five ordered levels, two raters; and the same with one rater
    simulated real  real-valued curated scores
    Alpaca          52,002 rows, GPT-4o-mini in the place of the gold, the mean of the other two
                    raters as the curated scores

    python benchmarks/gold.py [--quick]
"""

import sys

import numpy as np
from _common import alpaca_rows, json_line, table

from ds2.curation.gold import plan_gold
from ds2.noise import agreement, agreement_difference

SIZES = (50, 100, 200)
RATERS = ("score_gpt_4o_mini", "score_llama_3_1_8b", "score_mistral_7b_v0_3")


def simulated(seed: int, n: int = 20_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(truth, scores of two raters): the second is the better one."""
    rng = np.random.default_rng(seed)
    quality = rng.normal(size=n)
    truth = np.clip(np.rint(2.2 + 1.1 * quality), 0, 5)
    noise = rng.normal(size=(n, 2)) * (1.2, 0.8)
    return truth, *np.clip(np.rint(2.5 + quality[:, None] + noise), 0, 5).T


def pools() -> dict[str, tuple[np.ndarray, ...]]:
    """By name: truth, curated scores, another candidate, disagreement."""
    truth, weak, strong = simulated(0)
    both = (weak + strong) / 2
    scores = np.array([[float(row[name]) for name in RATERS] for row in alpaca_rows()])
    gold, llama, mistral = scores.T
    return {
        "simulated, one rater": (truth, strong, weak, None),
        "simulated, two raters": (truth, np.floor(both), weak, np.abs(weak - strong)),
        "simulated, real-valued": (truth, both + 1e-3 * strong, weak, np.abs(weak - strong)),
        "Alpaca": (gold, (llama + mistral) / 2, llama, np.abs(llama - mistral)),
    }


def study(name: str, pool: tuple, size: int, measure: str, n_rounds: int) -> dict:
    truth, curated, other, disagreement = pool
    n = len(truth)
    target = agreement(curated, truth, measure=measure).value
    gap = agreement_difference(curated, other, truth, measure=measure).value
    errors, equal, random, held, widths, gap_errors, gap_held = ([] for _ in range(7))
    for seed in range(n_rounds):
        plan = plan_gold(curated, size=size, disagreement=disagreement, seed=seed)
        gold, weights = np.full(n, np.nan), np.full(n, np.nan)
        gold[plan.rows], weights[plan.rows] = truth[plan.rows], plan.weights
        rows = plan.rows
        found = agreement(curated[rows], gold[rows], weights[rows], measure=measure)
        errors.append(found.value - target)
        held.append(found.low <= target <= found.high)
        widths.append(found.high - found.low)
        equal.append(agreement(curated[rows], gold[rows], measure=measure).value - target)
        paired = agreement_difference(
            curated[rows], other[rows], gold[rows], weights[rows], measure=measure
        )
        gap_errors.append(paired.value - gap)
        gap_held.append(paired.low <= gap <= paired.high)
        drawn = np.random.default_rng(seed).choice(n, size, replace=False)
        random.append(agreement(curated[drawn], truth[drawn], measure=measure).value - target)
    return {
        "pool": name,
        "gold": size,
        "measure": measure,
        "pool's value": target,
        "bias": float(np.mean(errors)),
        "z of bias": float(np.mean(errors) / np.std(errors) * np.sqrt(n_rounds)),
        "bias, equal": float(np.mean(equal)),
        "RMSE": _rms(errors),
        "RMSE, random": _rms(random),
        "coverage": float(np.mean(held)),
        "width": float(np.mean(widths)),
        "difference": gap,
        "its bias": float(np.mean(gap_errors)),
        "its coverage": float(np.mean(gap_held)),
    }


def share_of_levels(name: str, pool: tuple, size: int, n_rounds: int) -> dict:
    """The mean true score: linear in the weights, so it must be unbiased exactly."""
    truth, curated, _, disagreement = pool
    errors = []
    for seed in range(n_rounds):
        plan = plan_gold(curated, size=size, disagreement=disagreement, seed=seed)
        estimate = np.average(truth[plan.rows], weights=plan.weights)
        errors.append(estimate - truth.mean())
    z = float(np.mean(errors) / np.std(errors) * np.sqrt(n_rounds))
    return {"pool": name, "gold": size, "mean true score": truth.mean(),
            "bias": float(np.mean(errors)), "z of bias": z, "RMSE": _rms(errors)}  # fmt: skip


def _rms(errors: list[float]) -> float:
    return float(np.sqrt(np.mean(np.square(errors))))


def main() -> None:
    n_rounds = 60 if "--quick" in sys.argv else 200
    cases = pools()
    means = [
        share_of_levels(name, pool, size, n_rounds)
        for name, pool in cases.items()
        for size in SIZES
    ]
    table(means)
    rows = [
        study(name, pool, size, measure, n_rounds)
        for name, pool in cases.items()
        for size in SIZES
        for measure in ("spearman", "kappa", "accuracy")
    ]
    table(rows)
    json_line("gold", means=means, agreement=rows)


if __name__ == "__main__":
    main()
