"""Gold that decides between two selections: do intervals hold, how wide are they, is it worth it?

(1) Simulated pools and selections A and B: unequal sizes, skewed scores, curated scores that say
nothing or run the wrong way, a small pool, the pool's mean as B. Coverage of the 95 % interval, its
half-width, and the half-width that was foretold before anything was scored, beside the estimator
without curated scores (Horvitz and Thompson).

(2) Alpaca-52k, 1,700 rows, each rater in turn the truth that a person is asked for: `ds2` on the
scores curated from the two others against random (its mean), the longest and `frontier`. Beside it
200 scores by the plan of `plan_gold`, which looks at the pool as a whole: 1.96 standard deviations
of the difference, over those plans that hold rows of both.

    python benchmarks/gold_between.py [--quick]
"""

import sys
import warnings

import numpy as np
from _common import alpaca, json_line, table

import ds2

SIZES = (50, 100, 200, 400)
#: Trusted scores, curated scores, the rows of A and of B.
Case = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
RATERS = {
    "GPT-4o-mini": "score_gpt_4o_mini",
    "Llama-3.1-8B": "score_llama_3_1_8b",
    "Mistral-7B-v0.3": "score_mistral_7b_v0_3",
}


def situations(n: int) -> dict[str, Case]:
    """By name."""
    rng = np.random.default_rng(0)
    quality = rng.normal(size=n)
    place = np.argsort(np.argsort(quality)) / n
    level = np.clip(np.rint(2.2 + 1.1 * quality), 0, 5)
    rare = np.searchsorted([0.85, 0.93, 0.97, 0.99], place).astype(float)
    good = 2.2 + 0.8 * quality + 0.8 * rng.normal(size=n)
    other = 2.2 + 0.5 * quality + rng.normal(size=n)
    noise = rng.normal(size=n)
    some, few, many = n // 20, n // 40, n // 5

    def top(scores: np.ndarray, size: int) -> np.ndarray:
        return np.argsort(-scores)[:size]

    drawn = rng.choice(n, some, replace=False)
    return {
        "real-valued scores": (level, good, top(good, some), top(other, some)),
        "whole scores": (level, np.clip(np.rint(good), 0, 5), top(good, some), top(other, some)),
        "85 % at the lowest": (rare, good, top(good, some), top(other, some)),
        "A smaller than B": (level, good, top(good, few), top(other, many)),
        "B the pool's mean": (level, good, top(good, some), np.arange(n)),
        "curated says nothing": (level, noise, top(other, some), drawn),
        "curated reversed": (level, -good, top(other, some), drawn),
        "1,000 rows": (level[:1000], good[:1000], top(good[:1000], 320), top(other[:1000], 340)),
    }


def study(case: Case, size: int, rounds: int) -> dict:
    """Coverage and half-widths over plans of one size, in levels."""
    truth, curated, a, b = case
    target = truth[a].mean() - truth[b].mean()
    found = []
    for seed in range(rounds):
        plan = ds2.plan_gold_between(curated, [(a, b)], size=size, seed=seed)
        gold = np.full(len(truth), np.nan)
        gold[plan.rows] = truth[plan.rows]
        (led,) = ds2.gold_between(plan, gold)
        found.append([
            led.value - target, led.low <= target <= led.high, (led.high - led.low) / 2,
            led.plain.value - target, led.plain.low <= target <= led.plain.high,
            (led.plain.high - led.plain.low) / 2, led.trust,
        ])  # fmt: skip
    each = np.array(found, dtype=float)
    return {
        "scores": size,
        "difference": target,
        "z of bias": each[:, 0].mean() / each[:, 0].std() * rounds**0.5,
        "coverage": each[:, 1].mean(),
        "half-width": each[:, 2].mean(),
        "1.96 sd": 1.96 * each[:, 0].std(),
        "coverage, plain": each[:, 4].mean(),
        "half-width, plain": each[:, 5].mean(),
        "trust": each[:, 6].mean(),
        "foretold": plan.expected(size, (truth - curated).std())[0],
        "if nothing": plan.expected(size, truth.std())[0],
    }


def half_width_of_today(case: Case, disagreement: np.ndarray, rounds: int) -> dict:
    """The same from 200 scores of `plan_gold`: 1.96 standard deviations of the estimate."""
    truth, curated, a, b = case
    target = truth[a].mean() - truth[b].mean()
    errors, hits = [], []
    member = np.zeros((2, len(truth)), dtype=bool)
    member[0, a] = member[1, b] = True
    for seed in range(rounds):
        plan = ds2.plan_gold(curated, size=200, disagreement=disagreement, seed=seed)
        inside = member[:, plan.rows]
        hits.append(inside.sum(axis=1).min())
        if inside.any(axis=1).all():
            means = [np.average(truth[plan.rows][i], weights=plan.weights[i]) for i in inside]
            errors.append(means[0] - means[1] - target)
    return {
        "200 by plan_gold": 1.96 * float(np.std(errors)),
        "of these in the rarer": np.mean(hits),
    }


def on_alpaca(quick: bool, sizes: tuple[int, ...], rounds: int) -> list[dict]:
    data, vectors = alpaca(8000 if quick else None)
    n = len(data)
    size = round(1700 * n / 52_002)
    scores = {name: np.array([r[column] for r in data], float) for name, column in RATERS.items()}
    pool = ds2.read_pool(
        [{key: row[key] for key in ("instruction", "input", "output")} for row in data],
        no_answer="keep",
    )
    graph = ds2.find_neighbors(vectors, 10, groups=np.arange(n))
    rows = []
    for held, truth in scores.items():
        given = np.stack([one for name, one in scores.items() if name != held], axis=1)
        noise = ds2.estimate_transition(given, graph, n_scores=6, n_bootstrap=0)
        curation = ds2.curate(given, graph, noise, method="auto")
        wanted = {"size": size, "neighbors": graph, "groups": np.arange(n)}
        mine = ds2.select(curation.scores, **wanted).rows
        others = {
            "random": np.arange(n),
            "length": ds2.select(method="length", lengths=pool.lengths, **wanted).rows,
            "frontier": ds2.select(
                curation.scores, vectors=vectors, method="frontier", **wanted
            ).rows,
        }
        apart = np.abs(given[:, 0] - given[:, 1])
        for name, other in others.items():
            head = {"truth": held, "ds2 against": name}
            pair = (truth, curation.scores, mine, other)
            usual = half_width_of_today(pair, apart, rounds)
            rows += [{**head, **study(pair, count, rounds), **usual} for count in sizes]
            print(f"  {held}, {name}: done", file=sys.stderr)
    return rows


def main() -> None:
    warnings.simplefilter("ignore", ds2.Ds2Warning)
    quick = "--quick" in sys.argv
    rounds = 100 if quick else 500
    simulated = []
    sizes = (50, 200) if quick else SIZES  # a small pool's selections differ in few rows
    for name, case in situations(8000).items():
        simulated += [{"situation": name, **study(case, size, rounds)} for size in sizes]
    table(simulated)
    sys.stdout.flush()
    real = on_alpaca(quick, sizes, rounds // 5)
    table(real)
    json_line("gold_between", simulated=simulated, alpaca=real)


if __name__ == "__main__":
    main()
