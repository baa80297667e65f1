"""Evaluate models on tasks, one after the other, each task's items kept.

    FOLDER/MODEL/samples_TASK_TIME.jsonl, results_TIME.json    of lm-eval's tasks, as it writes them
    FOLDER/MODEL/items-NAME.jsonl                              of held-out answers
    FOLDER/MODEL/done.json                                     what is there, and what it is of

A task counts as done when ``done.json`` says so, which is written after its files.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ds2.atomic import writing
from ds2.errors import InputError
from ds2.proof.harness import Harness
from ds2.proof.heldout import draw, fingerprint, measure_held_out
from ds2.proof.record import Record, open_record
from ds2.proof.scorer import fastest_device, free_memory, load_scorer
from ds2.proof.tasks import PAPER, Evaluated, EvaluationSettings, HeldOut

__all__ = ["evaluate"]


def evaluate(
    models: Sequence[Evaluated],
    tasks: Sequence[str],
    own: Mapping[str, Sequence[HeldOut]],
    settings: EvaluationSettings,
    folder: Path,
    *,
    sources: Mapping[str, str] | None = None,
    listener: Callable[[str], None] = lambda _: None,
) -> list[Record]:
    """Evaluate every model on every task that is not done yet.

    Args:
        models: each gets ``folder/NAME``.
        tasks: names of lm-eval's tasks, groups or tags.
        own: name → held-out answers.
        settings: how; a task is done again where a setting that concerns it has changed.
        folder: where evaluations lie.
        sources: lm-eval task of your own → fingerprint of the files that it comes from.
        listener: told what begins.

    Returns:
        What is there of each model.

    Raises:
        MissingDependencyError: a package of the extra ``evaluate`` is not installed.
        InputError: a model, a task or its data cannot be loaded.
    """
    if own and settings.engine == "api":
        raise InputError(
            "Held-out answers (pairs:, texts:) need the model itself: an endpoint gives no "
            'likelihood of a text. Set evaluate.engine to "hf" for them, or leave them out.'
        )
    drawn = {name: draw(items, settings.limit) for name, items in own.items()}
    keys = {task: _key(task, settings, (sources or {}).get(task, "")) for task in tasks}
    keys |= {name: _own_key(name, settings, items) for name, items in drawn.items()}
    work = _Work(list(tasks), drawn, settings, keys, listener)
    records = []
    for model in models:
        about = {
            "model": model.model,
            "adapter": str(model.adapter) if model.adapter else None,
            "fingerprint": model.fingerprint,
        }
        record = open_record(folder / model.name, about, keys)
        work.harness_tasks(model, record)
        work.held_out(model, record)
        records.append(record)
    return records


@dataclass(slots=True)
class _Work:
    """What is to be done, and lm-eval once it was needed."""

    tasks: list[str]
    own: Mapping[str, Sequence[HeldOut]]
    settings: EvaluationSettings
    keys: Mapping[str, str]
    listener: Callable[[str], None]
    harness: Harness | None = field(default=None)

    def harness_tasks(self, model: Evaluated, record: Record) -> None:
        missing = [task for task in self.tasks if task not in record.tasks]
        if not missing:
            return
        if self.harness is None:
            engine = self.settings.engine
            device = "" if engine == "api" else self.settings.device or fastest_device("evaluate")
            self.listener("loading lm-eval and its tasks")
            self.harness = Harness.load(self.settings, device)
        self.harness.load_tasks(missing)
        self.listener(f"{model.name}: loading {model.model}")
        lm = self.harness.model(model)
        for task in missing:
            self.listener(f"{model.name}: {task}")
            more: dict[str, object] = {"versions": _versions()}
            if task in PAPER:
                more["differs_from_the_paper"] = PAPER[task].differs
            with record.adding(task, self.keys[task], more) as partial:
                self.harness.evaluate(lm, model, task, partial)
        del lm
        free_memory()

    def held_out(self, model: Evaluated, record: Record) -> None:
        missing = [name for name in self.own if name not in record.tasks]
        if not missing:
            return
        self.listener(f"{model.name}: loading {model.model}")
        scorer = load_scorer(
            model.model,
            adapter=model.adapter,
            device=self.settings.device,
            purpose="evaluating on held-out answers",
            extra="evaluate",
        )
        for name in missing:
            items = self.own[name]
            self.listener(f"{model.name}: {name}, {len(items):,} held-out answers")
            more: dict[str, object] = {"versions": _versions()}
            with record.adding(name, self.keys[name], more) as partial:
                lines, more["left_out"] = measure_held_out(scorer, name, items, self.settings)
                text = "".join(json.dumps(line) + "\n" for line in lines)
                with writing(partial / f"items-{name}.jsonl") as temporary:
                    temporary.write_text(text, encoding="ascii")
        del scorer
        free_memory()


def _key(task: str, settings: EvaluationSettings, source: str) -> str:
    """Change with whatever decides the items of an lm-eval task, or what they are asked with."""
    shots = (settings.shots or {}).get(task)
    return _sha([task, shots, settings.limit, settings.chat, settings.engine, source])


def _own_key(name: str, settings: EvaluationSettings, items: Sequence[HeldOut]) -> str:
    return _sha([name, settings.template, settings.max_length, fingerprint(items)])


def _sha(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _versions() -> dict[str, str]:
    found = {}
    for package in ("lm-eval", "transformers", "torch", "peft", "vllm"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
