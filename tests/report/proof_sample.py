"""The document of a proof: comparisons of invented models, and what stands beside them."""

from typing import Any

import numpy as np

from ds2.proof import Arms, compare_arms
from ds2.proof.words import comparison_document

TASKS = ("mmlu", "truthfulqa_mc2", "gsm8k_cot", "bbh_cot_fewshot", "tydiqa_goldp")
ARMS = ("selection", "random", "random-same-length")


def compared(
    gain: float = 0.05,
    *,
    seeds: int = 3,
    tasks: tuple[str, ...] = TASKS,
    arms: tuple[str, ...] = ARMS,
    run_sd: float = 0.01,
    higher: bool = True,
) -> dict[str, Any]:
    """The first arm against each other one; it gives ``gain`` more right answers."""
    rng = np.random.default_rng(0)
    values: dict[str, dict[str, np.ndarray]] = {arm: {} for arm in arms}
    for task in tasks:
        ease = rng.uniform(0.2, 0.8, 600)
        for place, arm in enumerate(arms):
            shift = run_sd * rng.standard_normal((seeds, 1)) + (0 if place else gain)
            values[arm][task] = (rng.random((seeds, 600)) < ease + shift).astype(float)
    names = {arm: tuple(f"{arm}-s{seed}" for seed in range(seeds)) for arm in arms}
    read = Arms(
        values=values,
        clusters={task: np.arange(600) for task in tasks},
        seeds=names,
        measures=dict.fromkeys(tasks, "acc (none)"),
        higher_is_better=higher,
        n_missing={},
        notes=("A selection by score is the same for every seed: this is about this pool.",),
    )
    pairs = [(arms[0], other) for other in arms[1:]]
    found = compare_arms(values, pairs=pairs, higher_is_better=higher)
    return comparison_document(read, found)


def proof(gain: float = 0.05, **options: Any) -> dict[str, Any]:
    """All of a proof."""
    document = compared(gain, **options)
    seeds = document["seeds"]
    tasks = list(document["comparisons"][0]["tasks"])
    rng = np.random.default_rng(1)
    runs = [(arm, seed, name) for arm in seeds for seed, name in enumerate(seeds[arm])]
    costs = [
        {
            "arm": arm,
            "seed": seed,
            "rows": 1700 - 20 * seed,
            "answer_tokens": 8000 + seed,
            "tokens": 20_000,
            "updates": 120,
            "mean_answer": 80.2,
            "seconds": 260.0 + seed,
            "peak_bytes": 2.1e9,
        }
        for arm, seed, _ in runs
    ]
    steps = np.arange(1, 121)
    losses = {
        name: {
            "steps": steps.tolist(),
            "loss": (1.3 + 0.8 * np.exp(-steps / 30) + rng.normal(0, 0.06, 120)).tolist(),
        }
        for _, _, name in runs
    }
    return {
        "title": "Proof",
        "state": "done",
        "plan": {
            "model": "HuggingFaceTB/SmolLM2-135M",
            "template": "tulu",
            "tasks": tasks,
            "seeds": 3,
            "equal": "tokens",
            "arms": list(seeds),
            "compare": [[one["a"], one["b"]] for one in document["comparisons"]],
            "smallest": 0.01,
            "tokens_per_arm": 8000,
            "updates": 120,
            "batch_tokens": 330,
            "pool": {"n": 300_932, "sha256": "ab" * 32},
            "settings": {"train.lora_rank": 64, "train.learning_rate": 1e-4},
            "sha256": "cd" * 32,
            "contaminated": 12,
        },
        "base": dict.fromkeys(tasks, 0.48),
        "planted": {
            "share": 0.5,
            "seeds": 3,
            "tasks": {t: {"value": 0.02, "low": 0.01, "high": 0.03, "passed": True} for t in tasks},
        },
        "struck": ["arc_easy"],
        "costs": costs,
        "losses": losses,
        **document,
    }
