"""`read_arms`: find the runs of every arm, and join them item by item; `overview`: side by side."""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from glob import glob
from itertools import combinations
from os import PathLike
from pathlib import Path

import numpy as np

from ds2.errors import InputError
from ds2.proof.record import PARTIAL
from ds2.proof.samples import LOWER, METRICS, Run, read_run

__all__ = ["Arms", "Score", "overview", "read_arms"]

#: Filters of a task that has several: the first of these, else the first by name.
FILTERS = ("flexible-extract", "none")
#: Passages are taken as clusters unasked only where there are this many.
FEW_CLUSTERS = 20
#: Two runs of an arm that agree on so many items are one run twice.
MANY_ITEMS = 100
#: Files of a folder that are read.
SAMPLES = ("samples_*.jsonl", "items*.jsonl")
_SEED = re.compile(r"(?P<arm>.+?)[-_.](?:s|seed|run)[-_]?\d+")
_BARE_SEED = re.compile(r"(?:s|seed|run)?[-_]?\d+")


@dataclass(frozen=True, slots=True)
class Arms:
    """Several arms on the same items.

    Attributes:
        values: arm → task → (runs, n), as `ds2.compare_arms` takes it.
        clusters: task → (n,) labels of items that share a passage.
        seeds: arm → names of its runs.
        measures: task → metric and filter.
        higher_is_better: whether it is so for all tasks, or for none.
        n_missing: task → items that some run lacks; they are left out of all.
        notes: what was decided, and what was left out and why.
    """

    values: Mapping[str, Mapping[str, np.ndarray]]
    clusters: Mapping[str, np.ndarray]
    seeds: Mapping[str, tuple[str, ...]]
    measures: Mapping[str, str]
    higher_is_better: bool
    n_missing: Mapping[str, int]
    notes: tuple[str, ...]


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


def read_arms(
    paths: Sequence[str | PathLike[str]],
    *,
    metrics: Sequence[str] = (),
    filters: Sequence[str] = (),
    tasks: Sequence[str] = (),
    cluster: str | None = None,
    paired: bool = False,
    listener: Callable[[str], None] | None = None,
) -> Arms:
    """Read the evaluations of several arms: what lm-eval writes with ``--log_samples``.

    Items are joined on task, filter and hash of the document. Equal items must have had equal
    prompts and targets in all runs. An item that one run lacks is left out of all, and counted.

    Args:
        paths: folders, samples files or patterns, ``NAME=PATH`` to name the arm. A folder is one
            run, or has one sub-folder for each. ``ds2-s0`` and ``ds2-s1`` are two runs of ``ds2``.
        metrics: the metric of each task is the first of these that it has. Default: acc_norm, acc,
            exact_match, f1, em, loss, else the first that lm-eval lists.
        filters: likewise. Default: flexible-extract, none, else the first by name.
        tasks: read these alone, tasks or groups of lm-eval.
        cluster: the field of a document that items share, such as a passage. Default: passage,
            context or article, where there are 20 or more of them.
        paired: demand that all arms have runs of the same numbers, and order them by these.
        listener: told which run is being read.

    Raises:
        InputError: nothing to read, lines that cannot be read, prompts or targets that differ, no
            task or item in common.
    """
    found = _find_arms([str(path) for path in paths], paired=paired)
    arms: dict[str, list[Run]] = {}
    for arm, runs in found.items():
        for label, files in runs.items():
            if listener:
                listener(f"{arm}, {label}: {len(files)} files")
            arms.setdefault(arm, []).append(
                read_run(label, files, metrics=metrics, cluster=cluster)
            )
    return _join(arms, metrics, filters, tasks, cluster)


def overview(runs: Mapping[str, Run], notes: list[str]) -> list[Score]:
    """Compare models with the first of them, on the tasks that all have.

    Args:
        runs: what each model got.
        notes: gets what was decided, and what was left out and why.

    Raises:
        InputError: no task is in all.
    """
    pairs = list(runs.items())
    scores = []
    for task, keys in _shared_measures(pairs, notes).items():
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


def _join(
    arms: Mapping[str, Sequence[Run]],
    metrics: Sequence[str],
    filters: Sequence[str],
    tasks: Sequence[str],
    cluster: str | None,
) -> Arms:
    runs = [(arm, run) for arm, all_runs in arms.items() for run in all_runs]
    notes: list[str] = []
    groups = _shared_measures(runs, notes, metrics=metrics, filters=filters, tasks=tasks)
    keys = [key for members in groups.values() for key in members]
    values: dict[str, dict[str, np.ndarray]] = {arm: {} for arm in arms}
    clusters: dict[str, np.ndarray] = {}
    missing: dict[str, int] = {}
    for name, members in groups.items():
        joined = [_common(key, runs) for key in members]
        missing[name] = sum(n_missing for _, n_missing in joined)
        rows = np.hstack([np.stack(tables) for tables, _ in joined])
        clusters[name] = _clusters(rows[0], name, cluster, notes)
        for arm in arms:
            mine = [i for i, (owner, _) in enumerate(runs) if owner == arm]
            values[arm][name] = rows["value"][mine]
    _refuse_copies(values, {arm: [run.label for run in rs] for arm, rs in arms.items()})
    return Arms(
        values=values,
        clusters=clusters,
        seeds={arm: tuple(run.label for run in all_runs) for arm, all_runs in arms.items()},
        measures={
            name: ", ".join(dict.fromkeys(f"{metric} ({kind})" for _, kind, metric in members))
            for name, members in groups.items()
        },
        higher_is_better=_direction(keys, runs),
        n_missing={name: n for name, n in missing.items() if n},
        notes=tuple(notes),
    )


def _shared_measures(
    runs: Sequence[tuple[str, Run]],
    notes: list[str],
    *,
    metrics: Sequence[str] = (),
    filters: Sequence[str] = (),
    tasks: Sequence[str] = (),
) -> dict[str, list[tuple[str, str, str]]]:
    """Task or group → (task, filter, metric) of its parts, of those that every run has.

    Args:
        runs: (arm, run).
        notes: gets what was decided.
        metrics: as in `read_arms`.
        filters: as in `read_arms`.
        tasks: as in `read_arms`.
    """
    keys = _choose(runs, metrics, filters, tasks, notes)
    return _grouped(keys, _groups(runs), notes)


def _choose(
    runs: Sequence[tuple[str, Run]],
    metrics: Sequence[str],
    filters: Sequence[str],
    tasks: Sequence[str],
    notes: list[str],
) -> list[tuple[str, str, str]]:
    """One (task, filter, metric) for each task that every run has."""
    shared = set.intersection(*(set(run.tables) for _, run in runs))
    everywhere = {task for _, run in runs for task, *_ in run.tables}
    groups = _groups(runs)
    for name in tasks:
        if name not in everywhere and name not in groups.values():
            raise InputError(f"No arm has the task '{name}'. There are: {_few(everywhere)}.")
    if tasks:
        wanted = {t for t in everywhere if t in tasks or groups.get(t) in tasks}
        shared = {key for key in shared if key[0] in wanted}
        everywhere = wanted
    chosen = []
    for task in sorted({task for task, *_ in shared}):
        options = [(f, m) for t, f, m in shared if t == task]
        best = min(
            options,
            key=lambda o: (_rank(o[0], (*filters, *FILTERS)), _rank(o[1], (*metrics, *METRICS)), o),
        )
        chosen.append((task, *best))
    left = sorted(everywhere - {task for task, *_ in shared})
    for name, given, place in (("metric", metrics, 2), ("filter", filters, 1)):
        unused = [x for x in given if x not in {key[place] for key in chosen}]
        if unused and chosen:
            raise InputError(f"No task that all arms have has the {name} '{unused[0]}' to go by.")
    if not chosen:
        raise InputError(
            f"No task is in every run of every arm; in some: {_few(left) or 'none'}. Each "
            "sub-folder of an arm counts as a run: put the tasks of one run into one folder."
        )
    if left:
        notes.append(f"Left out, since some run lacks them: {_few(left)}.")
    for task, kind, metric in chosen:
        tables = [
            (run.lines.get((task, kind), 0), run.tables[task, kind, metric]) for _, run in runs
        ]
        if (lack := max(n - len(table) for n, table in tables)) > 0:
            notes.append(f"{task}: {lack:,} items whose {metric} is no number are left out.")
    if unread := sorted({task for _, run in runs for task in run.unread}):
        notes.append(f"Left out, since no metric is a number for each item: {_few(unread)}.")
    return chosen


def _groups(runs: Sequence[tuple[str, Run]]) -> dict[str, str]:
    return {task: group for _, run in runs for task, group in run.groups.items()}


def _rank(name: str, order: Sequence[str]) -> int:
    return order.index(name) if name in order else len(order)


def _few(names: set[str] | Sequence[str]) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - 5} more" if len(listed) > 5 else ""
    return ", ".join(listed[:5]) + more


def _grouped(
    keys: Sequence[tuple[str, str, str]], groups: Mapping[str, str], notes: list[str]
) -> dict[str, list[tuple[str, str, str]]]:
    """The parts of a group are one task, as lm-eval counts them, where their metric is one."""
    members: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for key in keys:
        members[groups.get(key[0], key[0])].append(key)
    for name, parts in list(members.items()):
        if len({metric for *_, metric in parts}) > 1:
            del members[name]
            members.update({key[0]: [key] for key in parts})
        elif len(parts) > 1:
            notes.append(f"{name}: {len(parts)} parts, every item counts the same.")
    return dict(sorted(members.items()))


def _common(
    key: tuple[str, str, str], runs: Sequence[tuple[str, Run]]
) -> tuple[list[np.ndarray], int]:
    """The rows of one task that all runs have, and how many some run lacks."""
    tables = [run.tables[key] for _, run in runs]
    common = reduce(np.intersect1d, [table["key"] for table in tables])
    n_all = len(reduce(np.union1d, [table["key"] for table in tables]))
    if not len(common):
        raise InputError(
            f"Task '{key[0]}': no document is in all runs. Evaluate the same version of the "
            f"task, on the same items, in all.{_explain(key[0], runs)}"
        )
    tables = [table[np.searchsorted(table["key"], common)] for table in tables]
    for name in ("prompt", "target"):
        for (arm, run), table in zip(runs[1:], tables[1:], strict=True):
            differ = np.flatnonzero(table[name] != tables[0][name])
            if len(differ):
                here = f"'{arm}' ({run.place(table[differ[0]])})"
                there = f"'{runs[0][0]}' ({runs[0][1].place(tables[0][differ[0]])})"
                raise InputError(
                    f"Task '{key[0]}': {len(differ):,} of {len(common):,} items had another {name} "
                    f"in {here} than in {there}, so a difference may come from the template, the "
                    "examples shown or the version of the task. Evaluate both in the same way."
                    f"{_explain(key[0], [runs[0], (arm, run)])}"
                )
    return tables, n_all - len(common)


def _explain(task: str, runs: Sequence[tuple[str, Run]]) -> str:
    """What the results files say that differs."""
    settings = [run.settings.get(task, {}) for _, run in runs]
    names = sorted({name for setting in settings for name in setting})
    differ = [n for n in names if len({str(s.get(n)) for s in settings}) > 1]
    said = "; ".join(f"{n}: {' and '.join(str(s.get(n)) for s in settings)}" for n in differ)
    return f" The results files differ in {said}." if said else ""


def _clusters(rows: np.ndarray, task: str, field: str | None, notes: list[str]) -> np.ndarray:
    """Clusters of the items of a task; copies of one document always share one."""
    n_clusters, n_docs = (len(np.unique(rows[name])) for name in ("cluster", "doc"))
    use = n_clusters < n_docs
    if use and field is None and n_clusters < FEW_CLUSTERS:
        notes.append(f"{task}: {n_clusters} passages are too few to go by; items count one by one.")
        use = False
    elif use:
        what = f"'{field}'" if field else "the passage that they share"
        notes.append(f"{task}: {len(rows):,} items in {n_clusters:,} clusters by {what}.")
    elif field is not None:
        notes.append(f"{task}: no two items share a '{field}'; items count one by one.")
    return np.unique(rows["cluster" if use else "doc"], return_inverse=True)[1]


def _direction(keys: Sequence[tuple[str, str, str]], runs: Sequence[tuple[str, Run]]) -> bool:
    known = {pair: better for _, run in runs for pair, better in run.better.items()}
    # lm-eval logs the log-likelihood of an item under the name of perplexity
    says = {
        (task, metric): metric == "perplexity" or known.get((task, metric), metric not in LOWER)
        for task, _, metric in keys
    }
    if len(set(says.values())) > 1:
        lower = sorted(
            f"{task} ({metric})" for (task, metric), better in says.items() if not better
        )
        raise InputError(
            f"For {_few(lower)} lower is better, for the other tasks higher: their mean says "
            "nothing. Choose tasks (--task) or metrics (--metric)."
        )
    return next(iter(says.values()))


def _refuse_copies(
    values: Mapping[str, Mapping[str, np.ndarray]], labels: Mapping[str, Sequence[str]]
) -> None:
    for arm, tasks in values.items():
        everything = np.hstack(list(tasks.values()))
        for i, j in combinations(range(len(everything)), 2):
            if everything.shape[1] >= MANY_ITEMS and (everything[i] == everything[j]).all():
                raise InputError(
                    f"'{arm}': the runs {labels[arm][i]} and {labels[arm][j]} agree on all "
                    f"{everything.shape[1]:,} items. One model was evaluated twice: that is one "
                    "run. Leave one out, or evaluate the other model."
                )


def _find_arms(specs: Sequence[str], *, paired: bool = False) -> dict[str, dict[str, list[Path]]]:
    """Return arm → run → files, from paths and patterns, each with ``NAME=`` before it or not.

    ``ds2-s0`` and ``ds2-s1`` are runs of the arm ``ds2``, and so are paths that are given one name.
    Runs come in the order of their numbers, which must be the same in all arms where ``paired``.

    Raises:
        InputError: a path is not there or holds no samples, or what it is can be read in two ways.
    """
    arms: dict[str, dict[str, list[Path]]] = defaultdict(dict)
    for spec in specs:
        given, pattern = _split(spec)
        matches = [pattern] if Path(pattern).exists() else sorted(glob(pattern))  # noqa: PTH207
        if not matches:
            raise InputError(
                f"{pattern} is not there. Give a folder that lm-eval wrote, or a file."
            )
        for path in map(Path, matches):
            name, seed = _name(path)
            name = given or name
            runs = _runs(path, seed)
            if (arms[name] and not seed and not given) or runs.keys() & arms[name].keys():
                raise InputError(
                    f"Two paths make the arm '{name}', with runs of one name or none. Name the "
                    f"arms (NAME={path}), and the folders of their runs by number."
                )
            arms[name].update(runs)
    if len(arms) < 2:
        raise InputError(
            f"There is one arm, '{next(iter(arms), '')}'. Give two or more, each a folder or "
            "NAME=PATH; the last is the baseline."
        )
    ordered = {arm: dict(sorted(runs.items(), key=_place)) for arm, runs in arms.items()}
    numbers = {arm: [_place(run)[0] for run in runs.items()] for arm, runs in ordered.items()}
    first = next(iter(numbers))
    for arm, found in numbers.items():
        if paired and (found != numbers[first] or len(set(found)) < len(found)):
            raise InputError(
                f"Runs are paired by the number that their names end in. '{first}' has "
                f"{', '.join(ordered[first])}; '{arm}' has {', '.join(ordered[arm])}. Rename the "
                "folders, or compare unpaired."
            )
    return ordered


def _place(run: tuple[str, list[Path]]) -> tuple[int, str]:
    number = re.search(r"(\d+)\D*$", run[0])
    return (int(number[1]) if number else -1, run[0])


def _split(spec: str) -> tuple[str, str]:
    name, equals, path = spec.partition("=")
    return (name, path) if equals and "/" not in name and not Path(spec).exists() else ("", spec)


def _name(path: Path) -> tuple[str, str]:
    """Name of the arm, and of the run where the path is one of several."""
    name = path.resolve().name if path.is_dir() else path.stem
    if seed := _SEED.fullmatch(name):
        return seed["arm"], name
    return (path.resolve().parent.name, name) if _BARE_SEED.fullmatch(name) else (name, "")


def _runs(path: Path, seed: str) -> dict[str, list[Path]]:
    """Runs of a path: itself, or one for each sub-folder that holds samples."""
    if path.is_file():
        return {seed or path.name: [path]}
    found = {file for pattern in SAMPLES for file in path.rglob(pattern)}
    files = sorted(file for file in found if file.parent.name != PARTIAL)
    if not files:
        raise InputError(
            f"{path} holds no file {' or '.join(SAMPLES)}. Evaluate with lm-eval's --log_samples "
            "and --output_path."
        )
    depth = len(path.parts)  # down to where files are, or folders part
    while len({file.parts[depth] for file in files}) == 1 and len(files[0].parts) > depth + 1:
        depth += 1
    folders = {file.parts[depth] if len(file.parts) > depth + 1 else "" for file in files}
    if folders == {""} or (seed and "" not in folders):
        return {seed or path.name: files}
    if "" in folders:
        raise InputError(
            f"{path} holds samples files, and so do folders in it, so it is not clear what one run "
            "is. Give each run a folder of its own."
        )
    named = {match["arm"] for match in map(_SEED.fullmatch, folders) if match}
    if len(named) > 1:
        raise InputError(
            f"{path} holds runs of several arms ({', '.join(sorted(named))}). Give each run a path "
            "of its own; those of one name are put together."
        )
    return {name: [file for file in files if file.parts[depth] == name] for name in sorted(folders)}
