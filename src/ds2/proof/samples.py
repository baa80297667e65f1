"""One run's values by item: lm-eval's samples files, or ours.

lm-eval writes one line for each document and filter (``samples_TASK_TIME.jsonl``, with
``--log_samples``). Ours has one for each value, and further fields are left alone:

    {"task": "pairs", "filter": "none", "doc_hash": "…", "prompt_hash": "…", "target_hash": "…",
     "metric": "loss", "value": 1.93, "higher_is_better": false, "cluster": "…"}

Of a line only hashes and values are kept, so memory does not grow with texts.
"""

import hashlib
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ds2.errors import InputError

__all__ = ["LOWER", "METRICS", "Run", "read_run"]

#: The metric of a task: the first of these that it has, else the first that is a number.
METRICS = ("acc_norm", "acc", "exact_match", "f1", "em", "loss")
#: Metrics that are better when lower, where no results file says so.
LOWER = {"loss", "nll", "bits_per_byte", "byte_perplexity", "word_perplexity", "brier_score", "ter"}
#: Fields of a document that hold a passage which several items may share.
PASSAGES = ("passage", "passage_id", "context", "context_id", "article")

_COLUMNS = [
    ("doc", "u8"), ("doc_id", "i8"), ("value", "f8"), ("prompt", "u8"), ("target", "u8"),
    ("cluster", "u8"), ("file", "i4"), ("line", "i8"), ("key", "u8"),
]  # fmt: skip
_NAME = re.compile(r"(?:samples_)?(?P<task>.+?)(?:_\d{4}-\d\d-\d\dT[\d.-]+)?\.jsonl")


@dataclass(frozen=True, slots=True)
class Run:
    """What one run got on every item.

    Attributes:
        label: its name among the runs of its arm.
        files: what was read, in the order that ``file`` counts.
        tables: (task, filter, metric) → one row an item, in the order of ``key``, the hash of its
            document. A document that a task holds twice has two keys.
        groups: task → the group that lm-eval counts it to.
        better: (task, metric) → whether higher is better, where that is known.
        settings: task → version, number of shots: what may explain other prompts.
        unread: tasks without a metric that is a number for each item.
        lines: (task, filter) → lines of lm-eval's; a table may have fewer.
    """

    label: str
    files: tuple[Path, ...]
    tables: Mapping[tuple[str, str, str], np.ndarray]
    groups: Mapping[str, str]
    better: Mapping[tuple[str, str], bool]
    settings: Mapping[str, Mapping[str, object]]
    unread: tuple[str, ...]
    lines: Mapping[tuple[str, str], int]

    def place(self, row: np.void) -> str:
        """Where a row of a table was read."""
        return f"{self.files[row['file']]} line {row['line']}"


@dataclass(slots=True)
class _Found:
    """What has been read so far."""

    metrics: Sequence[str]
    cluster: str | None
    rows: dict[tuple[str, str, str], list[tuple[Any, ...]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    better: dict[tuple[str, str], bool] = field(default_factory=dict)
    unread: dict[str, None] = field(default_factory=dict)
    lines: Counter[tuple[str, str]] = field(default_factory=Counter)


def read_run(
    label: str, files: Sequence[Path], *, metrics: Sequence[str] = (), cluster: str | None = None
) -> Run:
    """Read the files of one run.

    Args:
        label: its name.
        files: samples files; lm-eval's ``results_*.json`` beside them are read as well.
        metrics: take the first of these that a task has, before `METRICS`.
        cluster: the field of a document that items share. Default: the first of `PASSAGES`.

    Raises:
        InputError: a line that cannot be read or lacks something, an item that is there twice.
    """
    found = _Found([*metrics, *METRICS], cluster)
    for number, path in enumerate(files):
        name = _NAME.fullmatch(path.name)
        task = name["task"] if name else path.stem
        for line, row in _lines(path):
            try:
                _take(found, row, task, (number, line))
            except InputError as error:
                raise InputError(f"{path} line {line} {error}") from None
    groups, better, settings = _results({path.parent for path in files})
    tables = {key: _table(rows, files) for key, rows in found.rows.items()}
    read = {task for task, *_ in tables}
    unread = tuple(task for task in found.unread if task not in read)
    better |= found.better
    return Run(label, tuple(files), tables, groups, better, settings, unread, found.lines)


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except ValueError:
                    raise InputError(_unreadable(path, number, line)) from None
                if not isinstance(row, dict):
                    raise InputError(
                        f"{path} line {number} is no JSON object. One object a line is read; turn "
                        f"an array into lines with: jq -c '.[]'"
                    )
                yield number, row
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error


def _unreadable(path: Path, number: int, line: bytes) -> str:
    if not line.endswith(b"\n"):
        return (
            f"{path} line {number}, the last one, is cut off: the evaluation ended while it wrote. "
            "Evaluate that task again, or delete the line: its item then counts as missing."
        )
    return f"{path} line {number} is no JSON. Evaluate that task again, or repair the line."


def _take(found: _Found, row: dict[str, Any], task: str, place: tuple[int, int]) -> None:
    """Add what a line holds: one value, or none where no metric is a number."""
    if "metric" in row and "value" in row:
        task, metric, value = str(row.get("task", task)), str(row["metric"]), row["value"]
        cluster = row.get("cluster")
        if isinstance(row.get("higher_is_better"), bool):
            found.better[task, metric] = row["higher_is_better"]
    else:
        metric, value = _primary(row, found.metrics)
        found.lines[task, str(row.get("filter", "none"))] += 1
        cluster = _passage(row.get("doc"), found.cluster)
    if not metric:
        found.unread[task] = None
        return
    number = _number(value)
    if number is None or not math.isfinite(number):
        raise InputError(
            f"has {metric} = {value!r}, which is no finite number. Evaluate that item again, or "
            "delete the line: the item then counts as missing."
        )
    hashes = list(_hashes(row))
    group = hashes[0] if cluster in (None, "") else _short(str(cluster))
    doc_id = row.get("doc_id")
    found.rows[task, str(row.get("filter", "none")), metric].append(
        (hashes[0], doc_id if isinstance(doc_id, int) else 0, number, *hashes[1:], group, *place, 0)
    )


def _primary(row: dict[str, Any], wanted: Sequence[str]) -> tuple[str, object]:
    """The metric that speaks for the item: ("", None) where none is a number."""
    listed = row.get("metrics")
    names = [str(name) for name in listed] if isinstance(listed, list) else list(wanted)
    there = [name for name in names if _number(row.get(name)) is not None]
    best = [name for name in wanted if name in there] or there
    if not there and not isinstance(listed, list):
        raise InputError(
            "has neither 'metrics', as lm-eval writes it, nor 'metric' and 'value'. Give samples "
            "files that lm-eval wrote with --log_samples."
        )
    return (best[0], row[best[0]]) if best else ("", None)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (bool, int, float)) else None


def _passage(doc: object, cluster: str | None) -> object:
    if not isinstance(doc, dict):
        return None
    fields = PASSAGES if cluster is None else (cluster,)
    shared = (doc.get(name) for name in fields)
    return next((x for x in shared if isinstance(x, (str, int)) and x != ""), None)


def _hashes(row: dict[str, Any]) -> Iterator[int]:
    """Short hashes of document, prompt and target."""
    for name in ("doc_hash", "prompt_hash", "target_hash"):
        if not isinstance(row.get(name), str):
            raise InputError(
                f"has no {name}, so nothing tells whether both arms saw the same: an older lm-eval "
                "wrote it. Evaluate again with a current one and --log_samples."
            )
        yield _short(row[name])


def _short(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _table(rows: list[tuple[Any, ...]], files: Sequence[Path]) -> np.ndarray:
    """Rows in the order of their key, which tells copies of one document apart."""
    table = np.array(rows, dtype=_COLUMNS)
    table = table[np.lexsort((table["doc_id"], table["doc"]))]
    starts = np.flatnonzero(np.r_[True, table["doc"][1:] != table["doc"][:-1]])
    copy = np.arange(len(table)) - np.repeat(starts, np.diff(np.r_[starts, len(table)]))
    twice = np.flatnonzero((copy[1:] > 0) & (table["doc_id"][1:] == table["doc_id"][:-1]))
    if len(twice):
        first, second = table[twice[0]], table[twice[0] + 1]
        raise InputError(
            f"{files[second['file']]} line {second['line']} holds an item that is in "
            f"{files[first['file']]} line {first['line']} as well ({len(twice):,} such). Both "
            "count to one run: keep one evaluation of a task, or give each run its own folder."
        )
    table["key"] = table["doc"] + copy.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return table[np.argsort(table["key"])]


def _results(folders: Iterable[Path]) -> tuple[dict[str, str], dict[tuple[str, str], bool], Any]:
    """What lm-eval's results files say: groups, directions, settings of each task."""
    parents: dict[str, str] = {}
    pooled: set[str] = set()  # groups that lm-eval gives one figure
    better: dict[tuple[str, str], bool] = {}
    settings: dict[str, dict[str, object]] = defaultdict(dict)
    for path in sorted(path for folder in folders for path in folder.glob("results_*.json")):
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            pooled |= set(document.get("groups", {}))
            for group, tasks in document.get("group_subtasks", {}).items():
                parents.update(dict.fromkeys(tasks, group))
            for task, metrics in document.get("higher_is_better", {}).items():
                known = {k: v for k, v in metrics.items() if isinstance(v, bool)}
                better.update({(task, name): value for name, value in known.items()})
            for name in ("versions", "n-shot"):
                for task, value in document.get(name, {}).items():
                    settings[task][name] = value
        except (ValueError, AttributeError, TypeError, OSError):
            raise InputError(
                f"{path} is not what lm-eval writes. Put the whole file there, or move it away."
            ) from None
    groups = {task: _group(task, parents, pooled) for task in parents}
    return groups, better, dict(settings)


def _group(task: str, parents: Mapping[str, str], pooled: set[str]) -> str:
    """The widest group with one figure that a task is in; else the task."""
    best, seen = task, {task}
    while task in parents and parents[task] not in seen:
        task = parents[task]
        seen.add(task)
        best = task if task in pooled else best
    return best
