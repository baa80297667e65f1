"""Commands around raters: rate, batch, rubric."""

from pathlib import Path
from typing import Annotated

import typer

from ds2.cli.base import Json, Run, Set, answer, app, overridden, run_stages
from ds2.errors import InputError
from ds2.runs.stages import owner_of

__all__ = ["rate_command"]


@app.command("rate", short_help=owner_of("ratings.parquet").help)
def rate_command(
    run: Run,
    settings: Set = None,
    *,
    reparse: Annotated[
        bool,
        typer.Option("--reparse", help="Read the stored replies anew. Nothing is asked or paid."),
    ] = False,
    retry: Annotated[
        bool,
        typer.Option(
            "--retry", help="Ask again also about examples that the endpoint refused before."
        ),
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until batches are back.")] = False,
    as_json: Json = False,
) -> None:
    """Rate the examples with the models of the recipe, and import the scores that it names.

    Every reply is kept in RUN/ratings.sqlite and never asked for twice; what got none for reasons
    that can pass is asked again. Exit code 1 where a rater was stopped before it had answered for
    all. Stages that it needs and that are not fresh run first.
    """
    if reparse and (retry or wait):
        raise InputError("--reparse asks nobody: it goes with neither --retry nor --wait.")
    ask = "nothing" if reparse else "failed" if retry else "new"
    run_stages(run, "rate", settings, as_json, ask=ask, wait=wait, resume=True)


@app.command("batch", short_help="Write batch requests for others; read the results.")
def batch_command(
    run: Run,
    settings: Set = None,
    *,
    write: Annotated[
        Path | None,
        typer.Option("--write", metavar="FILE", help="Write the missing requests: FILE-1.jsonl, …"),
    ] = None,
    collect: Annotated[
        list[Path] | None,
        typer.Option("--collect", metavar="FILE", help="Read a file of results; several times."),
    ] = None,
    rater: Annotated[
        str | None,
        typer.Option(
            "--rater", metavar="NAME", help="Which of the raters, where several are batches."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write batch requests for somebody else to run, or read the results.

    ds2 rate sends, waits for and collects batches by itself; this is for an endpoint that this
    machine cannot reach.
    """
    from ds2.runs.rate import collect_batches, write_batches

    if (write is None) == (not collect):
        raise InputError("Give --write FILE or --collect FILE, one of the two.")
    if write is not None:
        files = write_batches(run, write, rater=rater, overrides=overridden(settings))
        document: dict[str, object] = {"files": files}
        lines = [f"wrote {file}" for file in files]
    else:
        found = collect_batches(run, collect or [], rater=rater, overrides=overridden(settings))
        n_rated = int((found.codes == 0).sum())
        document = {"n_rated": n_rated, "n_examples": len(found)}
        lines = [f"{n_rated:,} of {len(found):,} examples have a rating now"]
    answer(as_json, document, lines)


rubric_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look at the rubric.")
app.add_typer(rubric_app, name="rubric")


@rubric_app.command("show")
def rubric_show_command(
    run: Run,
    settings: Set = None,
    *,
    example: Annotated[
        str | None,
        typer.Option("--example", metavar="ID", help="The example's id. Default: the first one."),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--form",
            help="The reply form: structured, json, text or expected. Default: that of the "
            "recipe's first rater.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the exact prompt for an example, as a model of the recipe would get it."""
    from ds2.runs.rate import prompt_of

    found = prompt_of(run, example=example, form=form, overrides=overridden(settings))
    lines = [
        line
        for message in found
        for line in (f"--- {message['role']} ---", *message["content"].split("\n"))
    ]
    answer(as_json, {"messages": [dict(message) for message in found]}, lines)
