"""Commands that train, evaluate and compare models."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ds2.cli.base import Json, Run, Set, answer, app, option, overridden, setting, tell, working
from ds2.errors import InputError

if TYPE_CHECKING:
    from ds2.proof.arms import Arms
    from ds2.proof.compare import ArmComparison
    from ds2.runs.evaluate_step import Evaluation
    from ds2.runs.job import Job
    from ds2.runs.proof_plan import Cost, Plan
    from ds2.runs.train_step import Outlook, Shown

__all__ = ["evaluate_command", "proof_command", "train_command"]

Several = list[str] | None
GIB = 2**30


@app.command("train", short_help="Fine-tune a model on the selection.")
def train_command(
    run: Run,
    settings: Set = None,
    *,
    seed: int | None = option(
        "--seed SEED",
        "Of the LoRA matrices, the order and the dropout. Default: the recipe's.",
        min=0,
    ),
    show: bool = option(
        "--show-loss", "Show three rows with what is learned of them; train nothing."
    ),
    dry: bool = option(
        "--dry",
        "Take one step at the longest batch and say what memory and time the training "
        "takes; train nothing.",
    ),
    as_json: Json = False,
) -> None:
    """Fine-tune the recipe's model on the selection: LoRA, loss on the answers alone.

    Stages that are not fresh run first, up to the selection. The adapter is written to
    RUN/proof/runs/selection-sSEED/adapter. The same command goes on where a training was killed.
    Needs the packages of the extra train.
    """
    from ds2.runs.train_step import forecast_run, show_loss, train_run

    if show and dry:
        raise InputError("--show-loss and --dry are two things to look at: give one of them.")
    with working(run, settings) as job:
        if show:
            shown = show_loss(job)
            document, lines = asdict(shown), list(_shown_lines(shown))
        elif dry:
            outlook = forecast_run(job)
            figures = asdict(outlook.forecast)
            document = {"rows": outlook.rows, "left_out": outlook.left_out, "figures": figures}
            document["memory"], lines = figures["memory"], list(_outlook_lines(outlook))
        else:
            done = train_run(job, seed=seed)
            figures = dict(done.figures)
            document = {"folder": done.folder, "fresh": done.fresh, **figures}
            lines = [
                f"{'trained' if not done.fresh else 'fresh':<10} {figures['update']:,} updates, "
                f"{figures['answer_tokens']:,} answer tokens, {figures['seconds']:,.0f} s",
                f"{'loss':<10} {figures['loss']:.3f} nats a token over the last tenth of the "
                f"updates, {figures['first_loss']:.3f} over the first",
                *_left_out(figures["left_out"]),
                f"{'adapter':<10} {done.folder / 'adapter'}",
            ]
    answer(as_json, document, lines)


def _shown_lines(shown: "Shown") -> Iterator[str]:
    yield f"{'template':<10} {shown.template}; an answer ends with {shown.stop}"
    yield f"{'learned':<10} what stands between ⟦ and ⟧"
    yield from _left_out(shown.left_out)
    for name, pieces in shown.rows:
        text = "".join(f"⟦{text}⟧" if learned else text for text, learned in pieces)
        yield ""
        yield f"{'row':<10} {name}"
        yield from text.split("\n")


def _outlook_lines(outlook: "Outlook") -> Iterator[str]:
    of, memory = outlook.forecast, outlook.forecast.memory
    yield f"{'rows':<10} {outlook.rows:,}"
    yield from _left_out(outlook.left_out)
    yield (
        f"{'updates':<10} {of.updates:,}: {of.tokens:,} tokens, {of.answer_tokens:,} of them "
        "learned"
    )
    free = f", {of.available / GIB:.1f} GiB free before" if of.available else ""
    yield (
        f"{'memory':<10} {memory.total / GIB:.1f} GiB expected (model {memory.weights / GIB:.1f}, "
        f"activations {(memory.activations + memory.head) / GIB:.1f}), "
        f"{of.peak / GIB:.1f} measured{free}"
    )
    yield f"{'speed':<10} {of.tokens_per_s:,.0f} tokens a second at the longest batch"
    yield f"{'time':<10} about {_duration(of.seconds)}"


def _left_out(reasons: Mapping[str, int]) -> Iterator[str]:
    for reason, n in reasons.items():
        yield f"{'left out':<10} {n:,}: {reason}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


@app.command("evaluate", short_help="Evaluate trained models, and the untrained one beside them.")
def evaluate_command(
    run: Run,
    settings: Set = None,
    *,
    models: list[str] | None = option(
        "--model DIR",
        "Evaluate this model or LoRA adapter; NAME=DIR names it. May be given several "
        "times. Default: every model that ds2 train made of this run.",
    ),
    as_json: Json = False,
) -> None:
    """Evaluate the untrained model and every trained one on the recipe's tasks.

    Tasks are those of lm-eval, tasks of your own in its YAML, and held-out answers by log-loss:
    pairs:FILE and texts:FILE. Every item's result is kept in RUN/proof/evaluations, where ds2
    proof --read takes it. What is finished is not done again. Needs the packages
    of the extra evaluate.
    """
    from ds2.cli.progress import Lines
    from ds2.runs.evaluate_step import evaluate_run
    from ds2.runs.job import Job

    found = evaluate_run(Job.of(run, overridden(settings), Lines("evaluate")), models=models)
    document = {
        "run": str(run),
        "folder": found.folder,
        "models": found.models,
        "scores": [asdict(score) for score in found.scores],
        "notes": found.notes,
    }
    answer(as_json, document, _evaluation_lines(found))


def _evaluation_lines(found: "Evaluation") -> "Iterator[str]":
    width = max(len(name) for name in found.models)
    task = ""
    for score in found.scores:
        if score.task != task:
            better = "higher" if score.higher_is_better else "lower"
            yield f"{score.task}: {score.metric}, {better} is better; {score.n:,} items"
            task = score.task
        line = f"  {score.model:<{width}}  {score.mean:8.4f}"
        if score.difference is not None:
            line += f"  {score.difference:+8.4f}"
            line += f" ± {score.error:.4f}" if score.error is not None else ""
        yield line
    if len(found.models) > 1:
        yield "(± is one standard error from the items alone: another training differs by more)"
    yield from (f"note       {note}" for note in found.notes)
    yield f"items      {found.folder}"
    if len(found.models) > 1:
        arms = " ".join(quote(str(found.folder / name)) for name in reversed(found.models))
        yield f"compare    ds2 proof --read {arms}"


@app.command("proof", short_help="Train on the selection and on what it should beat, and compare.")
def proof_command(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|PATH...",
            help="A run folder. With --read: evaluations of two arms or more: a folder with one "
            "run's samples files or with a folder for each run, a file, a pattern in quotes; "
            "NAME=PATH names the arm. Or the folder of --write, with results in it.",
        ),
    ],
    settings: Set = None,
    *,
    plan: bool = option(
        "--plan",
        "Say what will be trained, what it costs and what it could show; start nothing.",
    ),
    teraflops: float | None = option(
        "--teraflops X",
        "With --plan: count hours for a machine that sustains so many 10^12 operations a "
        "second, in place of a real step here; the model's config.json and tokenizer suffice.",
        min=0.001,
    ),
    planted: bool = option(
        "--planted",
        "Train on random rows and on the same with a share of the answers swapped "
        "(proof.planted_share): a measure that does not see it is struck out.",
    ),
    write: Path | None = option(
        "--write DIR", "Write data, scripts and configurations for a cluster; train nothing here."
    ),
    read: bool = option("--read", "Compare evaluations that are there."),
    against: str | None = option("--against NAME", "The baseline. Default: the last arm."),
    metrics: Several = option(
        "--metric NAME",
        "Compare this metric where a task has it; several times. Default: acc_norm, acc, "
        "exact_match, f1, em, loss, else the first that is a number.",
    ),
    filters: Several = option(
        "--filter NAME",
        "Likewise for lm-eval's filters. Default: flexible-extract, none, else the first.",
    ),
    tasks: Several = option("--task NAME", "Compare this task or group alone; several."),
    smallest: float | None = setting("proof.smallest", "--smallest X"),
    cluster: str | None = option(
        "--cluster FIELD",
        "The field of a document that several items share. Default: passage, context or "
        "article, where 20 or more are there.",
    ),
    paired: bool = option("--paired", "Runs of one number share data or draw: compare in pairs."),
    out: Path | None = option("--out FILE", "Write it too: .html, .md or .json."),
    as_json: Json = False,
) -> None:
    """Say whether models trained on one selection are better than those trained on another.

    ds2 proof RUN evaluates the untrained model, fixes the plan in RUN/proof/plan.json, trains every
    arm of [proof] for every seed, evaluates and compares; the same command goes on where it was
    stopped. Needs the extras train and evaluate.

    --read takes what lm-eval writes with --log_samples, or lines of ds2's own, and needs neither.
    Items are joined by their hash, with equal prompts and targets; the interval covers other items
    and other runs. Each arm is compared with the baseline, by the mean over tasks, after Holm. Exit
    code 1 where some run lacks items that others have: the rest is compared.
    """
    given = {
        "metrics": metrics,
        "filters": filters,
        "tasks": tasks,
        "cluster": cluster,
        "paired": paired,
        "smallest": smallest,
        "against": against,
    }
    choices = {name: value for name, value in given.items() if value or isinstance(value, float)}
    ways = [plan, planted, write is not None, read]
    if sum(ways) > 1:
        raise InputError("--plan, --planted, --write and --read are four things to do: give one.")
    if teraflops is not None and not plan:
        raise InputError("--teraflops goes with --plan.")
    _check_reading(read, choices, out)
    if read:
        missing = _read(paths, choices, out, as_json)
        if missing:
            tell(f"error: {missing}")
            raise typer.Exit(1)
        return
    if len(paths) != 1:
        raise InputError(
            "ds2 proof takes one run folder. To compare evaluations: ds2 proof --read A B"
        )
    run = Path(paths[0])
    with working(run, settings) as job:
        if plan:
            document, lines = _planned(job, teraflops)
        elif planted:
            document, lines = _planted(job)
        elif write is not None:
            document, lines = _written(job, write)
        else:
            document, lines = _proved(job)
    answer(as_json, document, lines)


def _check_reading(read: bool, choices: Mapping[str, Any], out: Path | None) -> None:
    if not read and (out is not None or choices):
        raise InputError(
            "--against, --metric, --filter, --task, --smallest, --cluster, --paired and --out go "
            "with --read. What a run's proof compares is in its recipe: --set proof.smallest=0.02"
        )
    if out is not None and out.suffix not in (".html", ".json", ".md"):
        raise InputError(f"--out writes .html, .md or .json. Got {str(out)!r}.")


def _read(paths: list[str], choices: Mapping[str, Any], out: Path | None, as_json: bool) -> str:
    """Compare evaluations and print what came of it; what is missing, in a sentence."""
    from ds2.proof.words import comparison_document, comparison_lines
    from ds2.runs.folder import write_text
    from ds2.runs.proof_page import proof_text

    lack = ""
    plan: dict[str, Any] = {}
    written = Path(paths[-1])
    if (written / "plan.json").is_file() and len(paths) <= 2:
        from ds2.runs.proof_handoff import read_plan
        from ds2.runs.proof_loop import compare_plan

        if set(choices) - {"tasks"}:
            raise InputError(
                "What is compared was fixed in plan.json: --task and --out alone go with it."
            )
        if len(paths) == 2 and not (Path(paths[0]) / "recipe.toml").is_file():
            raise InputError(f"'{paths[0]}' is no run folder. Give: ds2 proof --read {written}")
        plan, there, missing = read_plan(written)
        arms, found = compare_plan(plan, there, choices.get("tasks", ()))
        if missing:
            lack = f"no results yet of {', '.join(missing)}: the rest was compared."
    else:
        arms, found = _compared(paths, choices)
    document = comparison_document(arms, found)
    if plan:
        document["plan"] = {key: value for key, value in plan.items() if key != "runs"}
    if out is not None:
        write_text(out, proof_text(document, out.suffix))
    answer(as_json, document, comparison_lines(arms, found))
    if arms.n_missing:
        lack = (
            f"{sum(arms.n_missing.values()):,} items are not in every run and were left "
            "out. Evaluate them where they lack, or choose tasks (--task)."
        )
    return lack


def _compared(
    paths: list[str], choices: Mapping[str, Any]
) -> "tuple[Arms, tuple[ArmComparison, ...]]":
    from ds2.checks import check_choice
    from ds2.proof import compare_arms, read_arms

    compared = {name: choices[name] for name in ("paired", "smallest") if name in choices}
    read = {k: v for k, v in choices.items() if k not in ("smallest", "against")}
    arms = read_arms(
        paths,
        listener=lambda line: tell(f"reading    {line}"),
        **read,
    )
    base = check_choice("--against", choices.get("against", list(arms.values)[-1]), arms.values)
    return arms, compare_arms(
        arms.values,
        pairs=[(name, base) for name in arms.values if name != base],
        clusters=arms.clusters,
        higher_is_better=arms.higher_is_better,
        **compared,
    )


Told = tuple[Mapping[str, Any], list[str]]


def _planned(job: "Job", teraflops: float | None) -> Told:
    from ds2.runs.proof_plan import cost_of, make_plan, within_budget

    plan = make_plan(job)
    cost = cost_of(job.folder, plan, teraflops)
    budget = job.recipe.proof.budget_hours
    affordable = within_budget(plan.document, cost, budget)
    document = {
        "plan": dict(plan.document),
        "cost": asdict(cost),
        "effects": {str(n): effect for n, effect in plan.effects.items()},
        "answer": plan.answer(affordable),
        "seeds_within_budget": affordable,
    }
    return document, list(_plan_lines(plan, cost, affordable, budget))


def _plan_lines(plan: "Plan", cost: "Cost", affordable: int, budget: float) -> Iterator[str]:
    from ds2.runs.proof_arms import WHOLE  # whose tokens are counted on some rows

    document = plan.document
    yield f"{'model':<10} {document['model']}, template {document['template']}"
    yield f"{'arms':<10} {', '.join(document['arms'])}; {document['seeds']} runs of each"
    for arm in plan.arms:
        if arm.seed == 0:
            yield (
                f"  {arm.arm:<20} {len(arm.rows):,} rows, {'about ' * (arm.arm in WHOLE)}"
                f"{arm.answer_tokens:,} answer tokens, "
                f"{arm.answer_tokens / len(arm.rows):,.0f} a row; "
                f"{_hours(cost.hours_by_arm[arm.arm])}"
            )
    if document["contaminated"]:
        yield f"{'left out':<10} {document['contaminated']:,} rows that share words with the tasks"
    size = plan.training.batch_tokens
    each = f"{size:,} answer tokens" if size else f"{plan.training.batch:,} rows"
    updates = f"{plan.updates:,} updates of {each}"
    of = f"{plan.measured.arm}: {cost.tokens:,} tokens"
    yield f"{'trainings':<10} {cost.trainings}; {of} in {updates}"
    yield f"{'time':<10} {_hours(cost.hours)} in all ({cost.how})"
    if cost.evaluation_hours is None:
        yield f"{'':<10} evaluation is not in it: not measured before the untrained model's"
    else:
        yield f"{'':<10} and {_hours(cost.evaluation_hours)} of evaluation"
    yield f"{'memory':<10} {cost.memory_bytes / GIB:.1f} GiB"
    yield f"{'disk':<10} {cost.disk_bytes / GIB:.2f} GiB of adapters"
    if plan.effects:
        said = ", ".join(
            f"{n}: {'no verdict' if effect is None else f'{effect:.2g}'}"
            for n, effect in plan.effects.items()
        )
        yield f"{'detectable':<10} by runs of each arm, assumed noise: {said}"
    pairs = ", ".join(f"{a} against {b}" for a, b in document["compare"])
    yield f"{'judged':<10} {pairs}; a difference of {document['smallest']:g} matters"
    if affordable < document["seeds"]:
        yield (
            f"{'budget':<10} {budget:g} hours pay for {affordable} of {document['seeds']} runs of "
            "each arm"
        )
    yield f"{'answer':<10} {plan.answer(affordable)}"


def _hours(hours: float) -> str:
    if hours >= 1:
        return f"{hours:,.1f} h"
    return f"{60 * hours:,.0f} min" if hours >= 1 / 60 else f"{3600 * hours:,.0f} s"


def _planted(job: "Job") -> Told:
    from ds2.runs.proof_loop import prove_planted

    found = prove_planted(job)
    lines = [f"clean rows less the same with {found['share']:.0%} of the answers swapped"]
    for name, task in found["tasks"].items():
        span = f"{task['value']:+.4f} [{task['low']:+.4f}, {task['high']:+.4f}]"
        verdict = "sees it" if task["passed"] else "does not see it: struck out"
        lines.append(f"  {name:<24} {span}  {verdict}")
    return found, lines


def _written(job: "Job", folder: Path) -> Told:
    from ds2.runs.proof_handoff import write_proof

    found, notes = write_proof(job, folder)
    lines = [
        f"{'written':<10} {folder}",
        *(f"{'note':<10} {note}" for note in notes),
        f"{'train':<10} python train.py NAME, then bash evaluate.sh NAME, for each of names.txt",
        f"{'or':<10} sbatch --array=1-{found} sbatch.sh",
        f"{'compare':<10} ds2 proof --read {folder}",
    ]
    return {"folder": str(folder), "notes": list(notes)}, lines


def _proved(job: "Job") -> Told:
    from ds2.proof.words import comparison_lines
    from ds2.runs.proof_loop import prove

    proof = prove(job)
    lines = comparison_lines(proof.arms, proof.found)
    said = [f"{'note':<10} {note}" for note in proof.document["notes"]]
    lines += [line for line in said if line not in lines]
    lines += [f"{'written':<10} {path}" for path in proof.files]
    return proof.document, lines
