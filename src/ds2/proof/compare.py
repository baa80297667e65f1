"""`compare_arms`: is one arm better than another, and how sure is that?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ds2.checks import check_choice, check_positive
from ds2.errors import InputError
from ds2.proof.items import Difference, ItemValues, measure
from ds2.proof.power import LEVEL, detectable, items_needed, p_value, seeds_needed

__all__ = ["ArmComparison", "compare_arms"]


@dataclass(frozen=True, slots=True)
class ArmComparison:
    """Two arms: the mean over tasks, which decides, and every task.

    Attributes:
        a, b: names; differences are a − b.
        overall: the unweighted mean over tasks.
        tasks: task → difference; shown, not judged.
        verdict: "better", "worse", "no difference that matters", "cannot tell", of ``a``; or "no
            verdict" where an arm has one run.
        p: the level at which the interval would reach 0; NaN where an arm has one run.
        p_holm: ``p`` after Holm's correction for the comparisons made together.
        n_comparisons: as many as those are.
        detectable: the smallest true difference that is found in 80 % of such comparisons.
        smallest: the smallest difference that matters.
        seeds_needed: runs of each arm that would find ``smallest`` with these items in 80 % of
            cases; None where 100 would not.
        items_needed: items that would find it with these runs; None where no number would.
    """

    a: str
    b: str
    overall: Difference
    tasks: Mapping[str, Difference]
    verdict: str
    p: float
    p_holm: float
    n_comparisons: int
    detectable: float
    smallest: float
    higher_is_better: bool
    paired: bool
    seeds_needed: int | None
    items_needed: int | None


def compare_arms(
    values: Mapping[str, Mapping[str, np.ndarray]],
    *,
    pairs: Sequence[tuple[str, str]] | None = None,
    clusters: Mapping[str, np.ndarray] | None = None,
    paired: bool = False,
    higher_is_better: bool = True,
    smallest: float = 0.01,
    planned: int = 0,
) -> tuple[ArmComparison, ...]:
    """Compare arms in pairs, item by item, with the noise of items and of runs.

    The difference is the unweighted mean over tasks. Its interval covers another draw of items and
    other runs (`ds2.proof.items.measure`, `ds2.proof.power`). The verdict on it:

        no difference that matters    low > −smallest and high < smallest
        better, worse                 else, where p < 0.05 after Holm over all pairs
        cannot tell                   else, and where no value differs at all
        no verdict                    an arm has one run: nothing is known about another

    Args:
        values: arm → task → (runs, n) values, items of a task in one order for all arms.
        pairs: the comparisons, fixed before anything is known. Default: each arm against the last.
        clusters: task → (n,) labels of items that share a passage. Default: each its own.
        paired: run s of one arm and run s of the other share more than chance: the pool's part,
            say. Helps where more than half of what runs vary by is shared, and costs otherwise.
        higher_is_better: False for losses.
        smallest: the smallest difference that matters, in the unit of the values.
        planned: comparisons that were fixed beforehand, where not all of them can be made yet.

    Raises:
        InputError: arrays that do not fit, values that are not finite, fewer than two items.
    """
    check_positive("smallest", smallest)
    names = list(values)
    if len(names) < 2:
        raise InputError(f"'values' must hold two arms or more. Got {len(names)}.")
    chosen = [(name, names[-1]) for name in names[:-1]] if pairs is None else list(pairs)
    found = []
    for a, b in chosen:
        first, second = (values[check_choice("pairs", name, names)] for name in (a, b))
        if set(first) != set(second) or not first:
            raise InputError(f"'{a}' and '{b}' must have the same tasks, one or more.")
        tasks = {task: _checked(a, b, task, values, clusters) for task in first}
        seeds = {(len(task.a), len(task.b)) for task in tasks.values()}
        if len(seeds) > 1 or (paired and len(set(seeds.pop())) > 1):
            raise InputError(
                f"'{a}' and '{b}' must have the same runs in every task"
                f"{', and as many of one as of the other (paired)' if paired else ''}."
            )
        found.append((a, b, tasks, measure(list(tasks.values()), paired=paired)))
    levels = [p_value(overall.value, overall.noise) for *_, overall in found]
    n_comparisons = max(planned, len(found))
    return tuple(
        ArmComparison(
            a=a,
            b=b,
            overall=overall,
            tasks={name: measure([task], paired=paired) for name, task in tasks.items()},
            verdict=_judge(overall, p_holm, higher_is_better, smallest),
            p=p,
            p_holm=p_holm,
            n_comparisons=n_comparisons,
            detectable=detectable(overall.noise),
            smallest=smallest,
            higher_is_better=higher_is_better,
            paired=paired,
            seeds_needed=seeds_needed(overall.noise, smallest),
            items_needed=items_needed(overall.noise, overall.n_items, smallest),
        )
        for (a, b, tasks, overall), p, p_holm in zip(
            found, levels, _holm(levels, n_comparisons), strict=True
        )
    )


def _checked(
    a: str,
    b: str,
    task: str,
    values: Mapping[str, Mapping[str, np.ndarray]],
    clusters: Mapping[str, np.ndarray] | None,
) -> ItemValues:
    pair = [np.asarray(values[arm][task], dtype=np.float64) for arm in (a, b)]
    n = pair[0].shape[-1] if pair[0].ndim == 2 else 0
    for arm, x in zip((a, b), pair, strict=True):
        if x.ndim != 2 or x.shape != (len(x), n) or len(x) < 1 or n < 2:
            raise InputError(
                f"'{arm}', task '{task}': the values must have shape (runs, items), with the same "
                f"two items or more in both arms. Got {x.shape}."
            )
        if not np.isfinite(x).all():
            raise InputError(f"'{arm}', task '{task}' holds NaN or infinity. Leave that item out.")
    labels = np.arange(n) if clusters is None or task not in clusters else clusters[task]
    if len(labels) != n:
        raise InputError(f"'clusters' of task '{task}' must have {n} labels. Got {len(labels)}.")
    groups = np.unique(labels, return_inverse=True)[1]
    if groups.max() == 0:
        raise InputError(
            f"Task '{task}': all items are in one cluster, so nothing is known about another. "
            "Cluster by what few items share, or not at all."
        )
    return ItemValues(pair[0], pair[1], groups)


def _holm(p: Sequence[float], n: int) -> list[float]:
    """Holm's adjusted p values (1979) of n or fewer; NaN stays NaN and is not counted."""
    values = np.array(p)
    order = [i for i in np.argsort(values) if not np.isnan(values[i])]
    adjusted, nans = values.copy(), len(values) - len(order)
    largest = 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, values[i] * (n - nans - rank)))
        adjusted[i] = largest
    return [float(x) for x in adjusted]


def _judge(overall: Difference, p_holm: float, higher_is_better: bool, smallest: float) -> str:
    if min(overall.n_seeds) < 2:
        return "no verdict"
    if overall.noise.variance == 0 and overall.value == 0:
        return "cannot tell"
    if -smallest < overall.low and overall.high < smallest:
        return "no difference that matters"
    if p_holm < 1 - LEVEL:
        return "better" if (overall.value > 0) == higher_is_better else "worse"
    return "cannot tell"
