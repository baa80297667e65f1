"""What a proof trains on, evaluates and compares, fixed before the first training; its cost."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from ds2.errors import InputError
from ds2.pool import Pool, find_contaminated
from ds2.proof.memory import estimate_memory
from ds2.proof.power import SEEDS, smallest_effects, worth_it
from ds2.proof.record import DONE
from ds2.proof.tasks import PAPER, split_tasks
from ds2.proof.train import HOW, forecast_training
from ds2.proof.train_data import prepare
from ds2.proof.train_loop import shape_without_weights
from ds2.proof.train_plan import Training
from ds2.runs.evaluate_step import BASE, EVALUATIONS
from ds2.runs.folder import hash_input, write_json
from ds2.runs.job import Job
from ds2.runs.loop import bring_up
from ds2.runs.proof_arms import FULL_EPOCHS, WHOLE, Arm, Counter, draw_arms, split_arms
from ds2.runs.recipe_file import HUB, check_exists
from ds2.runs.train_step import training_of

__all__ = [
    "PLAN",
    "Cost",
    "Plan",
    "check_proof",
    "cost_of",
    "freeze",
    "make_plan",
    "plan_begun",
    "within_budget",
]

PLAN = "proof/plan.json"


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Everything that is fixed beforehand."""

    document: Mapping[str, Any]  #: the same as JSON values, as plan.json holds it
    arms: tuple[Arm, ...]  #: every training's rows, seed by seed
    training: Training  #: the settings of all trainings, but for seed and updates
    updates: int  #: of each training, but for the arm full-epochs
    #: runs an arm → smallest difference that would be found; empty where the number of items is not
    #: known yet
    effects: Mapping[int, float | None]
    kind: str  #: of figure: "accuracy" or "loss"

    def answer(self, seeds: int | None = None) -> str:
        """Say whether so many runs of each arm, or as many as are planned, can answer."""
        if not self.effects:
            return (
                "How many items there are is not known before they are loaded: evaluate the "
                "untrained model first (ds2 evaluate)."
            )
        runs = self.document["seeds"] if seeds is None else seeds
        said = worth_it(self.effects, runs, self.document["smallest"])
        return f"{said} (In nats a token.)" if self.kind == "loss" and runs > 1 else said

    def training_for(self, arm: Arm) -> Training:
        """Return the settings of one training."""
        updates = 0 if arm.arm == FULL_EPOCHS else self.updates
        return replace(self.training, seed=arm.seed, max_steps=updates)

    @property
    def measured(self) -> Arm:
        """The arm whose size the others follow."""
        return next(arm for arm in self.arms if arm.arm not in WHOLE)


def make_plan(job: Job) -> Plan:
    """Bring the run up to date and draw every arm; nothing is written but the run's stages.

    Raises:
        InputError: no model, no such arm, no such comparison, or nothing to train on.
        MissingDependencyError: transformers is not installed.
    """
    check_proof(job)
    recipe, wanted = job.recipe, job.recipe.proof
    training = training_of(job)
    counter = Counter(training)
    bring_up(job, "select")
    pool = job.pool
    contaminated = _checker(job)
    limit, arms = draw_arms(job, counter, contaminated)
    updates, training = _updates(training, arms, limit, counter.mean(pool), wanted.equal)
    items, kind = _items(job)
    counts = sorted({*SEEDS, *range(1, wanted.seeds + 1)})
    effects = smallest_effects(items, kind, counts) if items else {}
    document = {
        "model": recipe.train.model,
        "template": counter.template,
        "tasks": list(recipe.evaluate.tasks),
        "files": dict(_files(job)),
        "evaluate": recipe.evaluate.model_dump(mode="json", exclude={"tasks", "batch"}),
        "seeds": wanted.seeds,
        "equal": wanted.equal,
        "arms": list(split_arms(wanted.arms)),
        "compare": [list(pair) for pair in wanted.compare],
        "smallest": wanted.smallest,
        "updates": updates,
        "batch_tokens": training.batch_tokens,
        "tokens_per_arm": limit,
        "contaminated": int(contaminated(pool).sum()),
        "pool": {"n": len(pool), "sha256": _sha(pool.keys.tobytes())},
        "settings": {
            f"train.{key}": value
            for key, value in asdict(training).items()
            if key not in (*HOW, "seed", "max_steps")
        },
        "data": {arm.name: _sha(arm.pool.keys[arm.rows].tobytes()) for arm in arms},
    }
    document["sha256"] = _sha(json.dumps(document, sort_keys=True).encode())
    return Plan(document, arms, training, updates, effects, kind)


def freeze(folder: Path, plan: Plan) -> None:
    """Write plan.json, unless another is there that a training has been made for.

    Raises:
        InputError: another plan was fixed before, and models have been trained for it.
    """
    path = folder / PLAN
    held = plan_begun(folder)
    if held is not None and held["sha256"] != plan.document["sha256"]:
        differ = sorted(
            key for key in {*plan.document, *held} - {"sha256"}
            if held.get(key) != plan.document.get(key)
        )  # fmt: skip
        raise InputError(
            f"'{path}' was fixed before models were trained for it, and this is another proof: "
            f"{', '.join(differ)} differ. Undo the change, or delete the file and begin "
            "another; trainings whose data and settings are the same are kept."
        )
    if held is None:
        write_json(path, plan.document)


def plan_begun(folder: Path) -> dict[str, Any] | None:
    """Return plan.json where a training has been made for it."""
    path = folder / PLAN
    if not path.exists():
        return None
    held = dict(json.loads(path.read_text(encoding="ascii")))
    done = (path.parent / "runs" / name / "done.json" for name in held["data"])
    return held if any(each.exists() for each in done) else None


def check_proof(job: Job) -> None:
    """Check what the recipe asks of a proof; nothing is run.

    Raises:
        InputError: no such arm or comparison, or a file that is not there.
    """
    wanted = job.recipe.proof
    arms = split_arms(wanted.arms)
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
    split_tasks(job.recipe.evaluate.tasks)
    for name, file in arms.items():
        if file and not file.startswith(HUB):
            check_exists(f"the arm '{name}'", job.path(file))


def _updates(
    training: Training, arms: Sequence[Arm], limit: int, mean: float, equal: str
) -> tuple[int, Training]:
    """How many updates each training makes, and its settings for that."""
    if equal == "rows" and not training.batch_tokens:
        rows = next(len(arm.rows) for arm in arms if arm.arm not in WHOLE)
        return training.max_steps or training.epochs * -(-rows // training.batch), training
    tokens = training.batch_tokens or max(1, round(training.batch * mean))
    updates = training.max_steps or max(1, round(training.epochs * limit / tokens))
    return updates, replace(training, batch_tokens=tokens)


def _checker(job: Job) -> Callable[[Pool], np.ndarray]:
    """Return what finds a pool's rows that share a long run of words with an item."""
    names, own = split_tasks(job.recipe.evaluate.tasks)
    items = _samples(job, names)
    for name in [name for name in names if name not in items]:
        job.listener.said(
            f"Not checked for contamination: {name}, whose items are not here before the untrained "
            "model is evaluated."
        )
    for name, (_, file) in own.items():
        if file.startswith(HUB):
            job.listener.said(f"Not checked for contamination: {name}, which is no file here.")
    texts = [job.path(file) for _, file in own.values() if not file.startswith(HUB)]
    docs = [path for paths in items.values() for path in paths]
    known: dict[str, np.ndarray] = {}

    def check(pool: Pool) -> np.ndarray:
        key = _sha(pool.keys.tobytes())
        if key in known:
            return known[key]
        blocked = known[key] = np.zeros(len(pool), dtype=bool)
        for path, fields in [*product(texts, [None]), *product(docs, [["doc"]])]:
            try:
                found = find_contaminated(pool, [path], fields=fields)
            except InputError as error:
                job.listener.said(f"Not checked for contamination: {error}")
                continue
            for rows in found.by_reason().values():
                blocked[rows] = True
        if blocked.any():
            job.listener.said(
                f"{int(blocked.sum()):,} of {len(pool):,} rows share words with what is evaluated "
                "on: no arm takes them."
            )
        return blocked

    return check


def _finished(folder: Path, limit: int | None) -> dict[str, Any]:
    """What has been evaluated of the untrained model with this limit, by task."""
    path = folder / EVALUATIONS / BASE / DONE
    tasks = json.loads(path.read_text(encoding="ascii"))["tasks"] if path.exists() else {}
    return {name: task for name, task in tasks.items() if task.get("limit", limit) == limit}


def _samples(job: Job, names: Sequence[str]) -> dict[str, list[Path]]:
    """Task of lm-eval → files of the untrained model's items, where it was evaluated."""
    done, place = _finished(job.folder, job.recipe.evaluate.limit), job.folder / EVALUATIONS / BASE
    return {
        name: [place / file for file in done[name]["files"] if file.endswith(".jsonl")]
        for name in names
        if name in done
    }


def _files(job: Job) -> Iterator[tuple[str, str]]:
    """Files that decide what is measured, and their hashes."""
    wanted = job.recipe.evaluate
    own = [file for _, file in split_tasks(wanted.tasks)[1].values()]
    for file in [*own, *wanted.include]:
        path = job.path(file)
        if not file.startswith(HUB) and path.exists():
            yield file, hash_input(path).sha256


def _items(job: Job) -> tuple[list[int], str]:
    """Items of each task, where known, and what kind of figure it gives."""
    names, own = split_tasks(job.recipe.evaluate.tasks)
    limit = job.recipe.evaluate.limit
    files = _samples(job, names)
    known = {name: PAPER[name].items if name in PAPER else 0 for name in names}
    for name, (_, file) in own.items():
        path, known[name] = job.path(file), 0
        if not file.startswith(HUB) and path.suffix == ".jsonl" and path.is_file():
            known[name] = sum(1 for line in path.read_bytes().splitlines() if line.strip())
    counts = {name: min(n, limit or n) for name, n in known.items()}
    for name, paths in files.items():  # which have a line for each document and each filter
        lines = (path.read_bytes().splitlines() for path in paths)
        counts[name] = sum(len({json.loads(line)["doc_id"] for line in part}) for part in lines)
    kind = "loss" if own and not names else "accuracy"
    return list(counts.values()) if all(n >= 2 for n in counts.values()) else [], kind


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


#: Bytes of a LoRA parameter on disk.
_SAVED = 4
#: Multiplications and additions of a token and parameter, forward, back, and forward once more
#: where activations are made again.
_WORK = 6
#: What a GPU's runtime holds itself.
_RUNTIME = 3 * 2**29


@dataclass(frozen=True, slots=True)
class Cost:
    """What is expected."""

    trainings: int  #: in all
    tokens: int  #: of one training of the arm that was measured, without padding
    hours_by_arm: Mapping[str, float]  #: of one training of each arm
    hours: float  #: of all of them
    #: of all evaluations; None where the untrained model was not evaluated yet
    evaluation_hours: float | None
    memory_bytes: int  #: of a training
    disk_bytes: int  #: of all adapters
    how: str  #: what the hours rest on


def cost_of(folder: Path, plan: Plan, teraflops: float | None = None) -> Cost:
    """Measure one real step of one arm, or count operations; others go by their tokens.

    Args:
        folder: the run folder.
        plan: what will be trained.
        teraflops: sustained 10¹² operations a second of the machine that will train; then no step
            is made, and the model's config.json and tokenizer are all that must be there.

    Raises:
        MissingDependencyError: a package of the extra ``train`` is not installed.
        InputError: the model cannot be loaded, or memory does not suffice.
    """
    arm = plan.measured
    training = plan.training_for(arm)
    prepared = prepare(arm.turns, training)
    tokens = _tokens(plan, arm)
    if teraflops is None:
        found = forecast_training(prepared, training)
        seconds, memory, lora = found.seconds, found.peak, found.memory.adapter // 16
        how = f"one real step here: {found.tokens_per_s:,.0f} tokens a second"
    else:
        shape = shape_without_weights(training.model, training)
        longest = max(len(row) for row in prepared.encoded)
        at_once = max(longest, training.device_tokens)
        held = estimate_memory(
            shape,
            tokens=at_once,
            learned=max(row.n_learned for row in prepared.encoded) * (at_once // longest),
            width=2,
            base=_RUNTIME,
            dropout=training.lora_dropout > 0,
            gpu=True,
            recompute=True,
        )
        seconds = _WORK * shape.parameters * tokens / (teraflops * 1e12)
        memory, lora = held.total, shape.lora_parameters
        how = (
            f"{shape.parameters / 1e9:.2f} billion parameters, {_WORK} operations a token and "
            f"parameter, {teraflops:g} TFLOP/s; activations made again"
        )
    n, evaluation = len(plan.arms), None
    done = _finished(folder, plan.document["evaluate"]["limit"])
    names, own = split_tasks(plan.document["tasks"])
    if done.keys() >= {*names, *own}:
        seconds_each = sum(float(done[name]["seconds"]) for name in (*names, *own))
        evaluation = seconds_each * n / 3600
    hours = [seconds * _tokens(plan, one) / tokens / 3600 for one in plan.arms]
    return Cost(
        trainings=n,
        tokens=tokens,
        hours_by_arm={one.arm: h for one, h in zip(plan.arms, hours, strict=True) if one.seed == 0},
        hours=sum(hours),
        evaluation_hours=evaluation,
        memory_bytes=memory,
        disk_bytes=lora * _SAVED * n,
        how=how,
    )


def within_budget(plan: Mapping[str, Any], cost: Cost, hours: float) -> int:
    """As many seeds, up to the plan's, as the hours pay for; 0 hours are no limit."""
    seeds = int(plan["seeds"])
    each = (cost.hours + (cost.evaluation_hours or 0.0)) / seeds
    return seeds if hours <= 0 else min(seeds, int(hours / each))


def _tokens(plan: Plan, arm: Arm) -> int:
    """Tokens of one training, without padding, by how often its updates go through the rows."""
    training = plan.training_for(arm)
    passes: float = training.epochs
    if training.max_steps:
        of_pass = arm.answer_tokens if training.batch_tokens else len(arm.rows)
        passes = training.max_steps * (training.batch_tokens or training.batch) / max(of_pass, 1)
    return max(1, round(arm.tokens * passes))
