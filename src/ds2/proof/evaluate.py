"""Evaluate models on tasks, one after the other, each task's items kept.

    FOLDER/MODEL/samples_TASK_TIME.jsonl, results_TIME.json    of lm-eval's tasks, as it writes them
    FOLDER/MODEL/items-NAME-KEY.jsonl                          of held-out answers
    FOLDER/MODEL/done.json                                     what is there, and what it is of

A task counts as done when ``done.json`` says so, which is written after its files. A dot before a
file's name puts it aside: it is of other settings or another model. Of trusted
answers that no model was trained on the log-loss is measured:

    loss             −1/T Σ_t log P(a_t | prompt, a_<t)     nats, over the answer's T tokens
    bits per byte    −Σ_t log₂ P(a_t | prompt, a_<t) / bytes of the answer in UTF-8

The tokens are those that training learns: the answer's and the stop token behind it, so that the
sum is the probability of this answer and no longer one. Bits per byte can be compared between
models with other tokenizers, loss per token cannot.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from ds2.atomic import writing
from ds2.errors import InputError
from ds2.proof.encode import Template, load_template, prompt_ids
from ds2.proof.harness import Harness
from ds2.proof.record import Record, open_record
from ds2.proof.scorer import Scorer, fastest_device, free_memory, load_scorer
from ds2.proof.tasks import PAPER, Evaluated, EvaluationSettings, HeldOut

__all__ = ["draw", "evaluate", "measure_held_out"]

Ids = tuple[list[int], list[int]]


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

    def about(self) -> dict[str, object]:
        """What is noted of every task."""
        return {"limit": self.settings.limit, "versions": _versions()}

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
            more = self.about()
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
            more = self.about()
            with record.adding(name, self.keys[name], more) as partial:
                lines, more["left_out"] = measure_held_out(scorer, name, items, self.settings)
                text = "".join(json.dumps(line) + "\n" for line in lines)
                made = _sha([self.keys[name], model.fingerprint])[:8]
                with writing(partial / f"items-{name}-{made}.jsonl") as temporary:
                    temporary.write_text(text, encoding="ascii")
        del scorer
        free_memory()


def _key(task: str, settings: EvaluationSettings, source: str) -> str:
    """Change with whatever decides the items of an lm-eval task, or what they are asked with."""
    shots = (settings.shots or {}).get(task)
    return _sha([task, shots, settings.limit, settings.chat, settings.engine, source])


def _own_key(name: str, settings: EvaluationSettings, items: Sequence[HeldOut]) -> str:
    file = Path(settings.template)  # counts by what it says, wherever it lies
    template = _text_hash(file.read_text("utf-8")) if file.is_file() else settings.template
    return _sha([name, template, settings.max_length, _fingerprint(items)])


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


def measure_held_out(
    scorer: Scorer, task: str, items: Sequence[HeldOut], settings: EvaluationSettings
) -> tuple[list[dict[str, Any]], Mapping[str, int]]:
    """Return two lines for each item, one of each metric, and how many were left out and why.

    A line is as `ds2.read_arms` takes it. It has the number of tokens as well and, where the item
    has an answer known to be worse, the same figure of that as ``rejected``. Items with one prompt
    are one cluster.

    Raises:
        InputError: no item can be measured, or a loss is no number.
    """
    template = load_template(scorer.tokenizer, settings.template)
    rows: list[tuple[HeldOut, Ids, Ids | None]] = []
    left: Counter[str] = Counter()
    for item in items:
        ids = _ids(item, item.answer, scorer, template, settings)
        if isinstance(ids, str):
            left[ids] += 1
            continue
        worse = item.rejected and _ids(item, item.rejected, scorer, template, settings)
        rows.append((item, ids, None if not worse or isinstance(worse, str) else worse))
    if not rows:
        why = max(left, key=lambda reason: left[reason], default="there is none")
        raise InputError(
            f"No item of '{task}' can be measured: {why}. Give conversations that end with an "
            "answer, or another 'train.template' or 'train.max_length'."
        )
    worse_ids = [worse for *_, worse in rows if worse is not None]
    measured = scorer.losses([ids for _, ids, _ in rows] + worse_ids)
    if not np.isfinite(measured).all():
        raise InputError(
            f"The model gives some answers of '{task}' a loss that is no number: its weights are "
            "damaged, or its training went astray. Train it again, or evaluate the others alone."
        )
    losses = iter(measured)
    better = [next(losses) for _ in rows]
    lines: list[dict[str, Any]] = []
    for row, ((item, ids, worse), loss) in enumerate(zip(rows, better, strict=True)):
        figures = _figures(loss, ids, item.answer)
        rejected = worse and _figures(next(losses), worse, item.rejected or "")
        for metric, value in figures.items():
            lines.append(
                {
                    **_about(task, row, item, template),
                    "metric": metric,
                    "value": value,
                    "higher_is_better": False,
                    "tokens": len(ids[1]),
                    **({"rejected": rejected[metric]} if rejected else {}),
                }
            )
    return lines, dict(left)


def draw(items: Sequence[HeldOut], limit: int | None) -> list[HeldOut]:
    """The items whose hash is smallest, in their order: the same for every model."""
    if limit is None or len(items) <= limit:
        return list(items)
    order = np.argsort(np.array([_doc(item) for item in items]), kind="stable")
    return [items[row] for row in np.sort(order[:limit])]


def _fingerprint(items: Sequence[HeldOut]) -> str:
    """Change when an item does."""
    every = [[_doc(item), item.rejected] for item in items]
    return hashlib.sha256(json.dumps(every).encode()).hexdigest()


def _ids(
    item: HeldOut,
    answer: str,
    scorer: Scorer,
    template: Template,
    settings: EvaluationSettings,
) -> Ids | str:
    turns = (*item.turns, ("assistant", answer))
    found = prompt_ids(turns, template, scorer.tokenizer, max_length=settings.max_length)
    return found if isinstance(found, str) else (found[0].tolist(), found[1].tolist())


def _figures(loss: float, ids: Ids, answer: str) -> dict[str, float]:
    n_bytes = len(answer.encode("utf-8", "surrogatepass"))
    per_byte = float(loss) / math.log(2) / n_bytes
    return {"loss": float(loss) / len(ids[1]), "bits_per_byte": per_byte}


def _about(task: str, row: int, item: HeldOut, template: Template) -> dict[str, Any]:
    prompt = template.render(item.turns, prompt=True)
    return {
        "task": task,
        "filter": "none",
        "doc_id": row,
        "doc_hash": _doc(item),
        "prompt_hash": _text_hash(prompt),
        "target_hash": _text_hash(item.answer),
        "cluster": _text_hash(json.dumps(item.turns)),
    }


def _doc(item: HeldOut) -> str:
    return _text_hash(json.dumps([item.turns, item.answer]))


def _text_hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
