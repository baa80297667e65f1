"""`ds2 proof`: compare models that were trained on different selections."""

from pathlib import Path
from typing import Annotated

import typer

from ds2.cli.base import Json, app, print_json, say
from ds2.cli.text import printable
from ds2.errors import InputError

__all__ = ["proof_command"]

Several = list[str] | None


@app.command("proof", short_help="Compare trained models, item by item.")
def proof_command(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Evaluations of two arms or more: a folder with one run's samples files or with a "
            "folder for each run, a file, a pattern in quotes; NAME=PATH names the arm.",
        ),
    ],
    *,
    read: Annotated[
        bool, typer.Option("--read", help="Read evaluations that are there. Needed.")
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
            "exact_match, f1, em, else the first that is a number.",
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
    smallest: Annotated[
        float,
        typer.Option(
            "--smallest", metavar="X", help="The smallest difference of means that would matter."
        ),
    ] = 0.01,
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

    --read takes what lm-eval writes with --log_samples, or lines of ds2's own. Items are joined by
    their hash, with equal prompts and targets; the interval covers other items and other runs.
    Each arm is compared with the baseline, by the mean over tasks, after Holm. Exit code 1 where
    some run lacks items that others have: the rest is compared.
    """
    from ds2.atomic import writing
    from ds2.checks import check_choice
    from ds2.proof import compare_arms, read_arms
    from ds2.proof.words import comparison_document, comparison_lines
    from ds2.runs.proof_page import proof_text

    if not read:
        raise InputError("Give --read and the evaluations: ds2 proof --read results/A results/B")
    if out is not None and out.suffix not in (".html", ".json", ".md"):
        raise InputError(f"--out writes .html, .md or .json. Got {str(out)!r}.")
    arms = read_arms(
        paths,
        metrics=metrics or (),
        filters=filters or (),
        tasks=tasks or (),
        cluster=cluster,
        paired=paired,
        listener=lambda line: typer.echo(f"reading    {printable(line)}", err=True),
    )
    base = check_choice("--against", against or list(arms.values)[-1], arms.values)
    found = compare_arms(
        arms.values,
        pairs=[(name, base) for name in arms.values if name != base],
        clusters=arms.clusters,
        paired=paired,
        higher_is_better=arms.higher_is_better,
        smallest=smallest,
    )
    document = comparison_document(arms, found)
    if out is not None:
        with writing(out) as temporary:
            temporary.write_text(proof_text(document, out.suffix), encoding="utf-8")
    if as_json:
        print_json(document)
    else:
        say(comparison_lines(arms, found))
    if arms.n_missing:
        typer.echo(
            f"error: {sum(arms.n_missing.values()):,} items are not in every run and were left "
            "out. Evaluate them where they lack, or choose tasks (--task).",
            err=True,
        )
        raise typer.Exit(1)
