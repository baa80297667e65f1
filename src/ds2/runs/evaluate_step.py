"""Evaluate the untrained model and every trained one of a run on the recipe's tasks."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ds2.errors import InputError
from ds2.pool import read_pool
from ds2.proof.arms import Score, overview
from ds2.proof.evaluate import evaluate
from ds2.proof.models import fingerprint
from ds2.proof.samples import read_run
from ds2.proof.tasks import (
    PAPER,
    PAPER_SHOTS,
    Evaluated,
    EvaluationSettings,
    HeldOut,
    split_tasks,
)
from ds2.runs.folder import hash_input, locked
from ds2.runs.job import Job, unheard
from ds2.runs.recipe_file import HUB, at_home, check_exists
from ds2.runs.train_step import PLACE, model_of, template_of

__all__ = ["BASE", "EVALUATIONS", "Evaluation", "evaluate_run"]

#: The name of the untrained model.
BASE = "base"
EVALUATIONS = "proof/evaluations"
_OTHER = "it was trained on another model than 'train.model' names"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came of it."""

    folder: Path  #: one sub-folder for each model
    models: tuple[str, ...]  #: their names, the untrained one first
    scores: tuple[Score, ...]  #: every model on every task
    notes: tuple[str, ...]  #: what was left out, and what differs from the paper


def evaluate_run(job: Job, *, models: Sequence[str] | None = None) -> Evaluation:
    """Evaluate what is not evaluated yet; what is finished is kept.

    Args:
        job: the run; its listener is told what begins.
        models: folders of models or adapters, each with ``NAME=`` before it or not; none of them,
            the untrained model alone. Default: every trained model of the run.

    Raises:
        InputError: there is no model, or a task or its data is not there.
        RunBusyError: another process evaluates models of this run.
    """
    wanted = job.recipe.evaluate
    tasks, named = split_tasks(wanted.tasks)
    include = tuple(check_exists("'evaluate.include'", job.path(path)) for path in wanted.include)
    own = {name: _held_out(job, *task) for name, task in named.items()}
    settings = EvaluationSettings(
        include=include,
        shots={**PAPER_SHOTS, **wanted.shots},
        limit=wanted.limit,
        chat=wanted.template == "chat",
        template=template_of(job),
        max_length=job.recipe.train.max_length,
        engine=wanted.engine,
        base_url=wanted.base_url,
        batch=wanted.batch,
    )
    chosen = _models(job, models)
    place = job.folder / EVALUATIONS
    place.mkdir(parents=True, exist_ok=True)
    with locked(place):
        records = evaluate(
            chosen,
            tasks,
            own,
            settings,
            place,
            sources={task: _source(task, include) for task in tasks},
            listener=job.listener.said,
        )
    everything = [*tasks, *own]
    runs = {
        model.name: read_run(model.name, record.files(everything))
        for model, record in zip(chosen, records, strict=True)
    }
    notes: list[str] = []
    scores = overview(runs, notes)
    for task in everything:
        if task in PAPER:
            notes.append(f"{task} ({PAPER[task].benchmark} in the paper): {PAPER[task].differs}.")
        left_out = records[0].tasks[task].get("left_out", {})
        notes += [f"{task}: {n:,} left out: {reason}." for reason, n in left_out.items()]
    return Evaluation(place, tuple(runs), tuple(scores), tuple(notes))


def _held_out(job: Job, kind: str, file: str) -> list[HeldOut]:
    """The last answer of every row, and for ``pairs`` the field ``rejected`` beside it."""
    path = file if file.startswith(HUB) else check_exists(f"'{kind}:'", job.path(file))
    # rows without an answer are left out by name, where they would be measured
    pool = unheard(read_pool, path, on_bad_row="stop", max_bad_share=0.0, no_answer="keep")
    items = []
    for example in pool:
        turns, worse = example.turns, example.extra.get("rejected")
        last = max((i for i, (role, _) in enumerate(turns) if role == "assistant"), default=0)
        known = kind == "pairs" and isinstance(worse, str) and worse.strip()
        items.append(HeldOut(turns[:last], turns[last][1], str(worse) if known else None))
    lacking = sum(item.rejected is None for item in items)
    if kind == "pairs" and lacking:
        raise InputError(
            f"{lacking:,} of {len(items):,} rows of '{file}' have no text in the field 'rejected', "
            "an answer known to be worse. Add it, or read the file as texts:."
        )
    return items


def _source(task: str, include: Sequence[Path]) -> str:
    """Fingerprint of the folders whose YAML names a task; "" where none does."""
    found = [
        hash_input(folder).sha256
        for folder in include
        if any(task in path.read_text("utf-8", "replace") for path in folder.rglob("*.yaml"))
    ]
    return hashlib.sha256("".join(found).encode()).hexdigest() if found else ""


def _models(job: Job, given: Sequence[str] | None) -> list[Evaluated]:
    """The untrained model, and those given or every trained one of the run."""
    base = model_of(job)
    untrained = fingerprint(base)
    models = [Evaluated(BASE, base, None, untrained)]
    if given is not None:
        places = [_split(spec) for spec in given]
    else:
        places = []
        for path in sorted((job.folder / PLACE).resolve().glob("*/done.json")):
            if _trained_on(path.parent / "adapter", untrained) == untrained:
                places.append((path.parent.name, path.parent / "adapter"))
            else:
                job.listener.said(f"{path.parent.name} is left out: {_OTHER}.")
    for name, path in places:
        if any(name == model.name for model in models):
            raise InputError(f"Two models are named '{name}'. Give one as NAME={path}.")
        if (path / "adapter_config.json").is_file():
            if _trained_on(path, untrained) != untrained:
                raise InputError(f"'{name}' cannot be evaluated: {_OTHER}. Set it to that one.")
            print_of = f"{untrained} {fingerprint(path)}"
            models.append(Evaluated(name, base, path, print_of))
        elif (path / "config.json").is_file():
            models.append(Evaluated(name, str(path), None, fingerprint(path)))
        else:
            raise InputError(
                f"{path} holds no model: neither adapter_config.json nor config.json is there. "
                "Give the folder of a model or of a LoRA adapter, as ds2 train writes it."
            )
    return models


def _trained_on(adapter: Path, base: str) -> str:
    """Fingerprint of the model that ds2 trained an adapter on; ``base`` where nobody says."""
    with suppress(OSError, ValueError, AttributeError):
        base = json.loads((adapter.parent / "done.json").read_bytes()).get("base", base)
    return base


def _split(spec: str) -> tuple[str, Path]:
    name, equals, path = spec.partition("=")
    if not equals or "/" in name:
        name, path = "", spec
    place = at_home(path).resolve()
    adapter = place / "adapter"
    if (adapter / "adapter_config.json").is_file():  # the folder of a training of ds2
        return name or place.name, adapter
    return name or (place.parent.name if place.name == "adapter" else place.name), place
