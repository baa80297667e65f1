"""A proof from beginning to end: train every arm, evaluate, compare. What is done is kept.

RUN/proof/plan.json                what was fixed, written before the first training
RUN/proof/arms/ARM-sS.json         ids of its rows, in their order
RUN/proof/runs/ARM-sS/             the training: adapter/, log.jsonl, done.json
RUN/proof/evaluations/ARM-sS/      items; the untrained model's are in base/
RUN/proof/planted.json             which measures tell good answers from planted bad ones
RUN/proof/result.json, proof.html, proof.md
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ds2.errors import InputError
from ds2.proof.arms import Arms, read_arms
from ds2.proof.compare import ArmComparison, compare_arms
from ds2.proof.templates import Turns
from ds2.proof.train import loss_curve
from ds2.proof.words import comparison_document
from ds2.runs.evaluate_step import BASE, EVALUATIONS, Evaluation, evaluate_run
from ds2.runs.folder import locked, write_json, write_text
from ds2.runs.job import Job
from ds2.runs.proof_arms import Arm
from ds2.runs.proof_page import write_proof_pages
from ds2.runs.proof_plan import (
    Plan,
    check_proof,
    cost_of,
    freeze,
    make_plan,
    plan_begun,
    within_budget,
)
from ds2.runs.train_step import PLACE as RUNS
from ds2.runs.train_step import train_into

__all__ = ["Proof", "compare_plan", "prove", "prove_planted"]

RESULT, PLANTED = "proof/result.json", "proof/planted.json"
CLEAN, CORRUPT = "planted-clean", "planted-corrupt"


@dataclass(frozen=True, slots=True)
class Proof:
    """What a proof found."""

    arms: Arms  #: the values that were compared
    found: tuple[ArmComparison, ...]  #: a comparison for each pair of the plan
    document: Mapping[str, Any]  #: everything, as result.json holds it
    files: tuple[Path, ...]  #: what was written


def prove(job: Job) -> Proof:
    """Fix the plan, train and evaluate what is not done yet, and compare.

    Raises:
        InputError: the plan is another than the one that was fixed, or something it names is wrong.
        MissingDependencyError: a package of the extras ``train`` or ``evaluate`` is not installed.
        RunBusyError: another process works on this proof.
    """
    check_proof(job)  # a fault is better said before models are loaded
    # the untrained model first: its items are what no arm may hold
    base = _evaluate(job, []).scores
    lower = sorted({score.task for score in base if not score.higher_is_better})
    if lower and any(score.higher_is_better for score in base):
        raise InputError(
            f"For {', '.join(lower)} lower is better, for the other tasks higher: their mean says "
            "nothing. Choose tasks of one kind ('evaluate.tasks')."
        )
    plan = _affordable(job)
    job.listener.said(plan.answer())
    folder, place = job.folder, job.folder / "proof"
    with locked(place):
        freeze(folder, plan)
        (place / "arms").mkdir(exist_ok=True)
        for arm in plan.arms:
            held = {"arm": arm.arm, "seed": arm.seed, "answer_tokens": arm.answer_tokens}
            held["ids"] = [arm.pool[int(row)].id for row in arm.rows]
            write_text(place / "arms" / f"{arm.name}.json", json.dumps(held) + "\n")
        for arm in plan.arms:
            _train(job, plan, arm, arm.turns)
    evaluation = _evaluate(job, [arm.name for arm in plan.arms])
    struck, planted, control = _struck(folder, plan.document)
    tasks = sorted({score.task for score in evaluation.scores} - set(struck))
    pages = tuple(place / f"proof{suffix}" for suffix in (".html", ".md"))
    if not tasks:
        for path in (folder / RESULT, *pages):  # by measures that are struck out now
            path.unlink(missing_ok=True)
        raise InputError(
            "No measure is left: none of them tells clean answers from planted bad ones at this "
            "size. Evaluate on other tasks, or train on more tokens."
        )
    place_of = {arm.name: str(folder / EVALUATIONS / arm.name) for arm in plan.arms}
    arms, found = compare_plan(plan.document, place_of, tasks)
    curves = {arm.name: loss_curve(folder / RUNS / arm.name) for arm in plan.arms}
    document = {
        "title": "Proof",
        "state": "done",
        "plan": dict(plan.document),
        **comparison_document(arms, found),
        "base": {s.task: s.mean for s in evaluation.scores if s.model == BASE and s.task in tasks},
        "means": _means(plan, evaluation),
        "planted": planted,
        "struck": sorted(struck),
        "costs": [_cost(folder, arm) for arm in plan.arms],
        "losses": {
            name: {"steps": list(steps), "loss": list(loss)}
            for name, (steps, loss) in curves.items()
        },
    }
    document["notes"] = [*dict.fromkeys([*document["notes"], *evaluation.notes, *control])]
    write_json(folder / RESULT, document)
    with locked(folder):
        write_proof_pages(folder)
    return Proof(arms, found, document, (folder / RESULT, *pages))


def compare_plan(
    plan: Mapping[str, Any], places: Mapping[str, str], tasks: Sequence[str] = ()
) -> tuple[Arms, tuple[ArmComparison, ...]]:
    """Compare what a plan fixed, as far as it is there.

    Args:
        plan: as plan.json holds it.
        places: training → folder of its evaluation.
        tasks: these alone; default all.

    Raises:
        InputError: no pair of arms is there.
    """
    pairs = [(str(a), str(b)) for a, b in plan["compare"]]  # all of which count in Holm's
    there = {name.rpartition("-s")[0] for name in places}
    pairs = [pair for pair in pairs if there.issuperset(pair)]
    if not pairs:
        raise InputError(
            "No comparison of the plan can be made: there are only results of "
            f"{', '.join(sorted(there))}."
        )
    paths = [f"{name.rpartition('-s')[0]}={place}" for name, place in places.items()]
    arms = read_arms(paths, tasks=tasks)
    found = compare_arms(
        arms.values,
        pairs=pairs,
        clusters=arms.clusters,
        higher_is_better=arms.higher_is_better,
        smallest=plan["smallest"],
        planned=len(plan["compare"]),
    )
    return arms, found


def prove_planted(job: Job) -> Mapping[str, Any]:
    """Find out which measures tell clean rows from the same rows with planted bad answers.

    In a share of a random arm's rows the last answers are passed on to the next of these rows, so
    the answers are the same and the lengths are the same, and they answer nothing.

    Returns:
        What planted.json holds: for each task the difference, clean less corrupt, and whether the
        measure passed: it must be shown better on clean rows.
    """
    check_proof(job)
    if job.recipe.proof.seeds < 2:
        raise InputError(
            "One run of each says nothing about another: set proof.seeds to 2 or more."
        )
    _evaluate(job, [])
    arms = ["selection", "random"]
    plan = make_plan(job.but({"proof.arms": arms, "proof.compare": [arms]}))
    folder, share, names = job.folder, job.recipe.proof.planted_share, []
    with locked(folder / "proof"):
        for arm in plan.arms:
            if arm.arm != "random":
                continue
            for name, part in ((CLEAN, 0.0), (CORRUPT, share)):
                planted = replace(arm, arm=name)
                _train(job, plan, planted, swapped(arm.turns, part, arm.seed))
                names.append(planted.name)
    evaluation = _evaluate(job, names)
    read, (found,) = compare_plan(
        {"compare": [[CLEAN, CORRUPT]], "smallest": plan.document["smallest"]},
        {name: str(folder / EVALUATIONS / name) for name in names},
        sorted({score.task for score in evaluation.scores}),
    )
    tasks = {
        name: {
            **{"value": one.value, "low": one.low, "high": one.high},
            "passed": bool(one.low > 0 if read.higher_is_better else one.high < 0),
        }
        for name, one in found.tasks.items()
    }
    document = {
        "share": share,
        "seeds": plan.document["seeds"],
        "of": _measured_like(plan.document),
        "higher_is_better": read.higher_is_better,
        "tasks": tasks,
    }
    write_json(folder / PLANTED, document)
    return document


def swapped(rows: Sequence[Turns], share: float, seed: int) -> list[Turns]:
    """Conversations of which a share have another one's last answer.

    Args:
        rows: (role, content) turns of each.
        share: of the rows whose answers are passed round, in [0, 1].
        seed: which.
    """
    places = [max((i for i, (role, _) in enumerate(t) if role == "assistant"), default=-1)
              for t in rows]  # fmt: skip
    order = np.random.default_rng([seed, 1]).permutation(
        [i for i, at in enumerate(places) if at >= 0]
    )
    chosen = order[: max(2, round(share * len(order))) if share else 0].tolist()
    changed = list(rows)
    for here, there in zip(chosen, [*chosen[1:], *chosen[:1]], strict=True):
        answer = rows[there][places[there]]
        changed[here] = (*rows[here][: places[here]], answer, *rows[here][places[here] + 1 :])
    return changed


def _affordable(job: Job) -> Plan:
    """The plan with as many seeds as the budget allows; those of the plan that was fixed before."""
    plan = make_plan(job)
    budget, planned = job.recipe.proof.budget_hours, job.recipe.proof.seeds
    if not budget:
        return plan
    begun = plan_begun(job.folder)
    if begun:
        seeds = min(planned, int(begun["seeds"]))
    else:
        cost = cost_of(job.folder, plan)
        seeds = within_budget(plan.document, cost, budget)
        if seeds < min(2, planned):
            each = (cost.hours + (cost.evaluation_hours or 0.0)) / planned
            raise InputError(
                f"One run of each arm takes about {each:.2g} hours, proof.budget_hours allows "
                f"{budget:g}, and less than two runs of each give no verdict. Train on fewer "
                "tokens (proof.tokens), a smaller model or fewer arms."
            )
        if seeds < planned:
            job.listener.said(f"{seeds} of {planned} runs an arm fit into the budget.")
    return plan if seeds == planned else make_plan(job.but({"proof.seeds": seeds}))


def _train(job: Job, plan: Plan, arm: Arm, turns: Sequence[Turns]) -> None:
    train_into(job, arm.name, turns, plan.training_for(arm), f"{arm.name}: {len(turns):,} rows")


def _evaluate(job: Job, names: Sequence[str]) -> Evaluation:
    models = [f"{name}={job.folder / RUNS / name / 'adapter'}" for name in names]
    return evaluate_run(job, models=models)


def _cost(folder: Path, arm: Arm) -> dict[str, Any]:
    figures = json.loads((folder / RUNS / arm.name / "done.json").read_text(encoding="ascii"))
    keys = ("answer_tokens", "tokens", "seconds", "peak_bytes")
    return {
        **{"arm": arm.arm, "seed": arm.seed, "rows": len(arm.rows), "updates": figures["update"]},
        "mean_answer": arm.answer_tokens / len(arm.rows),
        **{key: figures[key] for key in keys},
    }


def _means(plan: Plan, evaluation: Evaluation) -> dict[str, dict[str, float]]:
    """Arm → task → the mean over its runs; also of arms that are in no comparison."""
    found: dict[str, dict[str, list[float]]] = {}
    arm_of = {arm.name: arm.arm for arm in plan.arms}
    for score in evaluation.scores:
        if score.model in arm_of:
            tasks = found.setdefault(arm_of[score.model], {})
            tasks.setdefault(score.task, []).append(score.mean)
    return {arm: {t: float(np.mean(v)) for t, v in tasks.items()} for arm, tasks in found.items()}


def _measured_like(plan: Mapping[str, Any]) -> dict[str, Any]:
    """What the control must have in common with the proof that it speaks for."""
    keys = ("model", "template", "tasks", "files", "evaluate", "settings", "equal", "updates",
            "tokens_per_arm")  # fmt: skip
    return {key: plan[key] for key in keys}


def _struck(
    folder: Path, plan: Mapping[str, Any]
) -> tuple[set[str], dict[str, Any] | None, list[str]]:
    """Tasks that the planted control strikes out; the control, where there is one; what to say."""
    path = folder / PLANTED
    held = json.loads(path.read_text(encoding="ascii")) if path.exists() else {}
    if held.get("of") != _measured_like(plan):
        said = "Whether these measures see bad answers at this size was not tried: ds2 proof RUN "
        return set(), None, [f"{said}--planted does."]
    struck = {name for name, task in held["tasks"].items() if not task["passed"]}
    names = ", ".join(sorted(struck))
    said = f"Struck out, since clean answers are not shown to be better by it: {names}."
    return struck, held, [said] * bool(struck)
