"""What a proof trains on, evaluates and compares: decided and written before the first training."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ds2.errors import InputError
from ds2.pool import Pool, find_contaminated
from ds2.proof.outlook import smallest_effects, worth_it
from ds2.proof.tasks import PAPER, split_tasks
from ds2.proof.train_plan import Training
from ds2.runs.evaluate_step import BASE, EVALUATIONS
from ds2.runs.evaluate_step import located as located_tasks
from ds2.runs.job import Job
from ds2.runs.listener import Listener
from ds2.runs.loop import run
from ds2.runs.proof_arms import FULL, FULL_EPOCHS, WHOLE, Arm, Counter, draw_arms
from ds2.runs.recipe import Recipe
from ds2.runs.recipe_file import HUB, load_recipe, resolve_path
from ds2.runs.store import write_json
from ds2.runs.train_step import located, training_of

__all__ = ["PLAN", "Plan", "freeze", "make_plan"]

PLAN = "proof/plan.json"
#: Settings of [train] that do not change what comes out.
_HOW = ("processes", "checkpoint_minutes", "device_tokens", "model", "template")


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Everything that is fixed beforehand.

    Attributes:
        document: the same as JSON values, as plan.json holds it.
        arms: every training's rows, seed by seed.
        training: the settings of all trainings, but for seed and updates.
        updates: of each training, but for the arm full-epochs; 0 where each makes as many as its
            rows give.
        effects: runs an arm → smallest difference that would be found; empty where the number of
            items is not known yet.
        answer: whether that is enough, in a sentence.
    """

    document: Mapping[str, Any]
    arms: tuple[Arm, ...]
    training: Training
    updates: int
    effects: Mapping[int, float | None]
    answer: str

    def training_for(self, arm: Arm) -> Training:
        """Return the settings of one training."""
        updates = 0 if arm.arm == FULL_EPOCHS else self.updates
        if arm.arm == FULL and not updates:
            updates = self._updates_by_rows()
        return replace(self.training, seed=arm.seed, max_steps=updates)

    @property
    def measured(self) -> Arm:
        """The arm whose size the others follow."""
        return next(arm for arm in self.arms if arm.arm not in WHOLE)

    def _updates_by_rows(self) -> int:
        """Updates that the rows of the measured arm give."""
        training, first = self.training, self.measured
        if training.batch_tokens:
            return max(1, round(training.epochs * first.answer_tokens / training.batch_tokens))
        return training.epochs * -(-len(first.rows) // training.batch)


def make_plan(
    folder: Path,
    *,
    overrides: Mapping[str, object] | None = None,
    listener: Listener | None = None,
) -> tuple[Plan, Job]:
    """Bring the run up to date and draw every arm; nothing is written but the run's stages.

    Raises:
        InputError: no model, no such arm, no such comparison, or nothing to train on.
        MissingDependencyError: transformers is not installed.
    """
    listener = listener or Listener()
    recipe = load_recipe(folder, located_tasks(located(overrides or {})))
    _check(recipe)
    training = training_of(folder, recipe, None)
    counter = Counter(training)
    run(folder, until="select", overrides=overrides, listener=listener)
    job = Job(folder, recipe, listener.progress, listener.said)
    pool = Pool.load(folder / "pool.arrow")
    blocked = _contaminated(job, pool)
    if blocked.any():
        listener.said(
            f"{int(blocked.sum()):,} rows share words with what is evaluated on: no arm takes them."
        )
    wanted = recipe.proof
    arms = tuple(draw_arms(job, counter, wanted.arms, wanted.seeds, blocked))
    updates, training = _updates(training, arms, counter, pool, wanted.equal)
    items, kind = _items(folder, recipe)
    effects = smallest_effects(items, kind) if items else {}
    if items and wanted.seeds not in effects:
        effects = dict(sorted((effects | smallest_effects(items, kind, [wanted.seeds])).items()))
    answer = (
        worth_it(effects, wanted.seeds, wanted.smallest) if effects
        else "How many items there are is not known before they are loaded: evaluate the untrained "
        "model first (ds2 evaluate)."
    )  # fmt: skip
    if kind == "loss" and items:
        answer += " (In nats a token.)"
    document = {
        "model": recipe.train.model,
        "template": counter.template,
        "tasks": list(recipe.evaluate.tasks),
        "evaluate": recipe.evaluate.model_dump(mode="json", exclude={"tasks", "batch"}),
        "seeds": wanted.seeds,
        "equal": wanted.equal,
        "arms": list(dict.fromkeys(arm.arm for arm in arms)),
        "compare": [list(pair) for pair in wanted.compare],
        "smallest": wanted.smallest,
        "updates": updates,
        "batch_tokens": training.batch_tokens,
        "tokens_per_arm": next(arm.answer_tokens for arm in arms if arm.arm not in WHOLE),
        "contaminated": int(blocked.sum()),
        "pool": {"n": len(pool), "sha256": _sha(pool.keys.tobytes())},
        "settings": {
            f"train.{key}": value
            for key, value in asdict(training).items()
            if key not in (*_HOW, "seed", "max_steps")
        },
        "data": {arm.name: _sha(arm.pool.keys[arm.rows].tobytes()) for arm in arms},
    }
    document["sha256"] = _sha(json.dumps(document, sort_keys=True).encode())
    return Plan(document, arms, training, updates, effects, answer), job


def freeze(folder: Path, plan: Plan) -> None:
    """Write plan.json, unless another is there that a training has been made for.

    Raises:
        InputError: another plan was fixed before, and models have been trained for it.
    """
    path = folder / PLAN
    if path.exists():
        held = json.loads(path.read_text(encoding="ascii"))
        if held.get("sha256") == plan.document["sha256"]:
            return
        differ = sorted(
            key for key in plan.document
            if key != "sha256" and held.get(key) != plan.document[key]
        )  # fmt: skip
        if any(
            (path.parent / "runs" / name / "done.json").exists() for name in held.get("data", ())
        ):
            raise InputError(
                f"'{path}' was fixed before models were trained for it, and this is another proof: "
                f"{', '.join(differ)} differ. Undo the change, or delete the file and begin "
                "another; trainings whose data and settings are the same are kept."
            )
    write_json(path, plan.document)


def _check(recipe: Recipe) -> None:
    wanted = recipe.proof
    names = [name.partition("=")[0] for name in wanted.arms]
    if len(set(names)) < len(names) or len(names) < 2:
        raise InputError(
            "A proof needs two arms or more, each once: 'proof.arms' names "
            f"{', '.join(names) or 'none'}."
        )
    if set(names) <= set(WHOLE):
        raise InputError(
            "'proof.arms' names the whole pool alone. Add an arm that is a part of it, such as "
            "selection: full makes as many updates as that one."
        )
    for pair in wanted.compare:
        for name in pair:
            if name not in names:
                raise InputError(
                    f"'proof.compare' names '{name}', which is none of 'proof.arms' "
                    f"({', '.join(names)}). Add the arm, or leave the comparison out."
                )
    if not wanted.compare or any(a == b for a, b in wanted.compare):
        raise InputError("'proof.compare' needs a pair of two different arms.")
    split_tasks(recipe.evaluate.tasks)


def _updates(
    training: Training, arms: Sequence[Arm], counter: Counter, pool: Pool, equal: str
) -> tuple[int, Training]:
    """How many updates each training makes, and its settings for that."""
    if equal == "rows":
        return training.max_steps, training
    tokens = training.batch_tokens or max(1, round(training.batch * counter.mean(pool)))
    training = replace(training, batch_tokens=tokens)
    first = next(arm for arm in arms if arm.arm not in WHOLE)
    updates = training.max_steps or max(1, round(training.epochs * first.answer_tokens / tokens))
    return updates, training


def _contaminated(job: Job, pool: Pool) -> np.ndarray:
    """(n,) whether a row shares a long run of words with an item of the evaluation."""
    _, own = split_tasks(job.recipe.evaluate.tasks)
    texts = [resolve_path(job.folder, file) for _, file in own.values() if not file.startswith(HUB)]
    samples = sorted((job.folder / EVALUATIONS / BASE).glob("samples_*.jsonl"))
    blocked = np.zeros(len(pool), dtype=bool)
    for files, fields in ((texts, None), (samples, ["doc"])):
        for file in files:
            try:
                found = find_contaminated(pool, [file], fields=fields)
            except InputError as error:
                job.say(f"Not checked for contamination: {error}")
                continue
            for rows in found.by_reason().values():
                blocked[rows] = True
    return blocked


def _items(folder: Path, recipe: Recipe) -> tuple[list[int], str]:
    """Items of each task, where known, and what kind of figure it gives."""
    names, own = split_tasks(recipe.evaluate.tasks)
    counts: list[int] = []
    for name in names:
        if name in PAPER:
            counts.append(PAPER[name].items)
            continue
        files = (folder / EVALUATIONS / BASE).glob(f"samples_{name}_*.jsonl")
        counts.append(max((_lines(path) for path in files), default=0))
    for _, file in own.values():
        counts.append(0 if file.startswith(HUB) else _lines(resolve_path(folder, file)))
    if recipe.evaluate.limit is not None:
        counts = [min(n, recipe.evaluate.limit) for n in counts]
    known = counts if all(n >= 2 for n in counts) else []
    return known, "loss" if own and not names else "accuracy"


def _lines(path: Path) -> int:
    if path.suffix != ".jsonl" or not path.is_file():
        return 0
    with path.open("rb") as file:
        return sum(1 for line in file if line.strip())


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
