"""`ds2 proof`: compare models that were trained on different selections."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ds2.cli.base import Json, Set, answer, app, overridden, printable, setting
from ds2.errors import InputError

if TYPE_CHECKING:
    from ds2.proof.arms import Arms
    from ds2.proof.compare import ArmComparison
    from ds2.runs.proof_plan import Cost, Plan

__all__ = ["proof_command"]

Several = list[str] | None
GIB = 2**30


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
    plan: Annotated[
        bool,
        typer.Option(
            "--plan",
            help="Say what will be trained, what it costs and what it could show; start nothing.",
        ),
    ] = False,
    teraflops: Annotated[
        float | None,
        typer.Option(
            "--teraflops",
            metavar="X",
            min=0.001,
            help="With --plan: count hours for a machine that sustains so many 10^12 operations a "
            "second, in place of a real step here; the model's config.json and tokenizer suffice.",
        ),
    ] = None,
    planted: Annotated[
        bool,
        typer.Option(
            "--planted",
            help="Train on random rows and on the same with a share of the answers swapped "
            "(proof.planted_share): a measure that does not see it is struck out.",
        ),
    ] = False,
    write: Annotated[
        Path | None,
        typer.Option(
            "--write",
            metavar="DIR",
            help="Write data, scripts and configurations for a cluster; train nothing here.",
        ),
    ] = None,
    read: Annotated[
        bool, typer.Option("--read", help="Compare evaluations that are there.")
    ] = False,
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="NAME", help="The baseline. Default: the last arm."),
    ] = None,
    metrics: Annotated[
        Several,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="Compare this metric where a task has it; several times. Default: acc_norm, acc, "
            "exact_match, f1, em, loss, else the first that is a number.",
        ),
    ] = None,
    filters: Annotated[
        Several,
        typer.Option(
            "--filter",
            metavar="NAME",
            help="Likewise for lm-eval's filters. Default: flexible-extract, none, else the first.",
        ),
    ] = None,
    tasks: Annotated[
        Several,
        typer.Option("--task", metavar="NAME", help="Compare this task or group alone; several."),
    ] = None,
    smallest: Annotated[float | None, setting("proof.smallest", "--smallest", "X")] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster",
            metavar="FIELD",
            help="The field of a document that several items share. Default: passage, context or "
            "article, where 20 or more are there.",
        ),
    ] = None,
    paired: Annotated[
        bool,
        typer.Option("--paired", help="Runs of one number share data or draw: compare in pairs."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write it too: .html, .md or .json."),
    ] = None,
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
    choices = {name: value for name, value in given.items() if value}
    ways = [plan, planted, write is not None, read]
    if sum(ways) > 1:
        raise InputError("--plan, --planted, --write and --read are four things to do: give one.")
    if teraflops is not None and not plan:
        raise InputError("--teraflops goes with --plan.")
    _check_reading(read, choices, out)
    if read:
        missing = _read(paths, choices, out, as_json)
        if missing:
            typer.echo(f"error: {missing}", err=True)
            raise typer.Exit(1)
        return
    if len(paths) != 1:
        raise InputError(
            "ds2 proof takes one run folder. To compare evaluations: ds2 proof --read A B"
        )
    run = Path(paths[0])
    if plan:
        document, lines = _planned(run, settings, teraflops)
    elif planted:
        document, lines = _planted(run, settings)
    elif write is not None:
        document, lines = _written(run, settings, write)
    else:
        document, lines = _proved(run, settings)
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
        listener=lambda line: typer.echo(f"reading    {printable(line)}", err=True),
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


def _planned(run: Path, settings: Several, teraflops: float | None) -> Told:
    from ds2.cli.progress import listening
    from ds2.runs.proof_plan import cost_of, make_plan, within_budget

    with listening() as listener:
        plan, job = make_plan(run, overrides=overridden(settings), listener=listener)
        cost = cost_of(run, plan, teraflops)
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
    document = plan.document
    yield f"{'model':<10} {document['model']}, template {document['template']}"
    yield f"{'arms':<10} {', '.join(document['arms'])}; {document['seeds']} runs of each"
    for arm in plan.arms:
        if arm.seed == 0:
            yield (
                f"  {arm.arm:<20} {len(arm.rows):,} rows, {arm.answer_tokens:,} answer tokens, "
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


def _planted(run: Path, settings: Several) -> Told:
    from ds2.cli.progress import listening
    from ds2.runs.proof_loop import prove_planted

    with listening() as listener:
        found = prove_planted(run, overrides=overridden(settings), listener=listener)
    lines = [f"clean rows less the same with {found['share']:.0%} of the answers swapped"]
    for name, task in found["tasks"].items():
        span = f"{task['value']:+.4f} [{task['low']:+.4f}, {task['high']:+.4f}]"
        verdict = "sees it" if task["passed"] else "does not see it: struck out"
        lines.append(f"  {name:<24} {span}  {verdict}")
    return found, lines


def _written(run: Path, settings: Several, out: Path) -> Told:
    from ds2.cli.progress import listening
    from ds2.runs.proof_handoff import write_proof

    with listening() as listener:
        folder, found, notes = write_proof(
            run, out, overrides=overridden(settings), listener=listener
        )
    lines = [
        f"{'written':<10} {folder}",
        *(f"{'note':<10} {note}" for note in notes),
        f"{'train':<10} python train.py NAME, then bash evaluate.sh NAME, for each of names.txt",
        f"{'or':<10} sbatch --array=1-{found} sbatch.sh",
        f"{'compare':<10} ds2 proof --read {folder}",
    ]
    return {"folder": str(folder), "notes": list(notes)}, lines


def _proved(run: Path, settings: Several) -> Told:
    from ds2.cli.progress import listening
    from ds2.proof.words import comparison_lines
    from ds2.runs.proof_loop import prove

    with listening() as listener:
        proof = prove(run, overrides=overridden(settings), listener=listener)
    lines = comparison_lines(proof.arms, proof.found)
    said = [f"{'note':<10} {note}" for note in proof.document["notes"]]
    lines += [line for line in said if line not in lines]
    lines += [f"{'written':<10} {path}" for path in proof.files]
    return proof.document, lines
