"""Commands around raters: rate, batch, rubric."""

from pathlib import Path

import typer

from ds2.cli.base import Json, Run, Set, answer, app, option, overridden, run_stages
from ds2.errors import InputError
from ds2.runs.stages import owner_of

__all__ = ["rate_command"]


@app.command("rate", short_help=owner_of("ratings.parquet").help)
def rate_command(
    run: Run,
    settings: Set = None,
    *,
    reparse: bool = option("--reparse", "Read the stored replies anew. Nothing is asked or paid."),
    retry: bool = option(
        "--retry", "Ask again also about examples that the endpoint refused before."
    ),
    wait: bool = option("--wait", "Wait until batches are back."),
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
    write: Path | None = option("--write FILE", "Write the missing requests: FILE-1.jsonl, …"),
    collect: list[Path] | None = option("--collect FILE", "Read a file of results; several times."),
    rater: str | None = option("--rater NAME", "Which of the raters, where several are batches."),
    as_json: Json = False,
) -> None:
    """Write batch requests for somebody else to run, or read the results.

    ds2 rate sends, waits for and collects batches by itself; this is for an endpoint that this
    machine cannot reach.
    """
    from ds2.runs.job import Job
    from ds2.runs.rate import collect_batches, write_batches

    if (write is None) == (not collect):
        raise InputError("Give --write FILE or --collect FILE, one of the two.")
    job = Job.of(run, overridden(settings))
    if write is not None:
        files = write_batches(job, write, rater=rater)
        document: dict[str, object] = {"files": files}
        lines = [f"wrote {file}" for file in files]
    else:
        found = collect_batches(job, collect or [], rater=rater)
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
    example: str | None = option("--example ID", "The example's id. Default: the first one."),
    form: str | None = option(
        "--form FORM",
        "The reply form: structured, json, text or expected. Default: that of the "
        "recipe's first rater.",
    ),
    as_json: Json = False,
) -> None:
    """Print the exact prompt for an example, as a model of the recipe would get it."""
    from ds2.runs.job import Job
    from ds2.runs.rate import prompt_of

    found = prompt_of(Job.of(run, overridden(settings)), example=example, form=form)
    lines = [
        line
        for message in found
        for line in (f"--- {message['role']} ---", *message["content"].split("\n"))
    ]
    answer(as_json, {"messages": [dict(message) for message in found]}, lines)
