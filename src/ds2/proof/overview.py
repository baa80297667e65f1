"""Several evaluated models side by side: means by task, and the difference to the first."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ds2.proof.arms import shared_measures
from ds2.proof.samples import LOWER, Run

__all__ = ["Score", "overview"]


@dataclass(frozen=True, slots=True)
class Score:
    """One model on one task.

    Attributes:
        task: a task, or the group whose parts are put together.
        metric: what was measured.
        higher_is_better: the direction of the metric.
        model: the name.
        n: items.
        mean: over the items.
        difference: to the first model, on the same items; None for the first.
        error: standard error of the difference, as far as it comes from the items: another
            training of the same data would differ by more.
    """

    task: str
    metric: str
    higher_is_better: bool
    model: str
    n: int
    mean: float
    difference: float | None
    error: float | None


def overview(runs: Mapping[str, Run]) -> list[Score]:
    """Compare models with the first of them, on the tasks that all have.

    Raises:
        InputError: no task is in all.
    """
    pairs = list(runs.items())
    scores = []
    for task, keys in shared_measures(pairs, []).items():
        base = np.concatenate([pairs[0][1].tables[key] for key in keys])
        for name, run in pairs:
            table = np.concatenate([run.tables[key] for key in keys])
            part, metric = keys[0][0], keys[0][2]
            higher = run.better.get((part, metric), metric not in LOWER)
            mean, n = float(table["value"].mean()), len(table)
            same = name != pairs[0][0] and np.array_equal(table["key"], base["key"])
            change = table["value"] - base["value"] if same else np.zeros(0)
            error = float(change.std(ddof=1) / n**0.5) if len(change) > 1 else None
            difference = float(change.mean()) if same else None
            scores.append(Score(task, metric, higher, name, n, mean, difference, error))
    return scores
