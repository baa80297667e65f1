"""What a proof will cost: hours, memory and disk, before anything is started."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ds2.proof.memory import estimate_memory
from ds2.proof.record import DONE
from ds2.proof.train import forecast_training
from ds2.proof.train_data import prepare
from ds2.proof.train_loop import shape_without_weights
from ds2.runs.evaluate_step import BASE, EVALUATIONS
from ds2.runs.proof_arms import Arm
from ds2.runs.proof_plan import Plan

__all__ = ["Cost", "cost_of", "within_budget"]

#: Bytes of a LoRA parameter on disk.
_SAVED = 4
#: Multiplications and additions of a token and parameter, forward, back, and forward once more
#: where activations are made again.
_WORK = 6
#: What a GPU's runtime holds itself.
_RUNTIME = 3 * 2**29


@dataclass(frozen=True, slots=True)
class Cost:
    """What is expected.

    Attributes:
        trainings: in all.
        tokens: of one training of the arm that was measured, without padding.
        hours_by_arm: of one training of each arm.
        hours: of all of them.
        evaluation_hours: of all evaluations; None where the untrained model was not evaluated yet.
        memory_bytes: of a training.
        disk_bytes: of all adapters.
        how: what the hours rest on.
    """

    trainings: int
    tokens: int
    hours_by_arm: Mapping[str, float]
    hours: float
    evaluation_hours: float | None
    memory_bytes: int
    disk_bytes: int
    how: str


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
    n = len(plan.arms)
    hours = [seconds * _tokens(plan, one) / tokens / 3600 for one in plan.arms]
    return Cost(
        trainings=n,
        tokens=tokens,
        hours_by_arm={one.arm: h for one, h in zip(plan.arms, hours, strict=True) if one.seed == 0},
        hours=sum(hours),
        evaluation_hours=_evaluation(folder, n),
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


def _evaluation(folder: Path, trainings: int) -> float | None:
    path = folder / EVALUATIONS / BASE / DONE
    if not path.exists():
        return None
    tasks = json.loads(path.read_text(encoding="ascii"))["tasks"].values()
    return float(sum(task["seconds"] for task in tasks)) * trainings / 3600
