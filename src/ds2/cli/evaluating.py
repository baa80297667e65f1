"""`ds2 evaluate`: what the trained models of a run get right, item by item."""

from dataclasses import asdict
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from ds2.cli.base import Json, Run, Set, answer, app, overridden, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds2.runs.evaluate_step import Evaluation

__all__ = ["evaluate_command"]


@app.command("evaluate", short_help="Evaluate trained models, and the untrained one beside them.")
def evaluate_command(
    run: Run,
    settings: Set = None,
    *,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="DIR",
            help="Evaluate this model or LoRA adapter; NAME=DIR names it. May be given several "
            "times. Default: every model that ds2 train made of this run.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Evaluate the untrained model and every trained one on the recipe's tasks.

    Tasks are those of lm-eval, tasks of your own in its YAML, and held-out answers by log-loss:
    pairs:FILE and texts:FILE. Every item's result is kept in RUN/proof/evaluations, where ds2
    proof --read takes it. What is finished is not done again. Needs the packages
    of the extra evaluate.
    """
    from ds2.runs.evaluate_step import evaluate_run

    found = evaluate_run(
        run,
        models=models,
        overrides=overridden(settings),
        listener=lambda line: typer.echo(f"evaluate   {printable(line)}", err=True),
    )
    document = {
        "run": str(run),
        "folder": found.folder,
        "models": found.models,
        "scores": [asdict(score) for score in found.scores],
        "notes": found.notes,
    }
    answer(as_json, document, _lines(found))


def _lines(found: "Evaluation") -> "Iterator[str]":
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
