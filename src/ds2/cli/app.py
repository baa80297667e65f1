"""The commands. Each parses its words, calls one function of `ds2.runs` and prints the result."""

import json
import sys
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ds2._version import __version__
from ds2.cli.text import printable
from ds2.errors import Ds2Error

__all__ = ["app", "main"]

#: Every stage and what its command says of itself.
STAGE_HELP = {
    "pool": "Read the pool.",
    "rate": "Import the scores.",
    "embed": "Turn every conversation into a vector.",
    "neighbors": "Find each example's nearest neighbours.",
    "noise": "Estimate how noisy the scores are: the transition matrix.",
    "curate": "Correct the scores.",
    "select": "Select the subset and write selected.jsonl.",
    "report": "Write report.html, report.md and report.json.",
}

Run = Annotated[Path, typer.Argument(metavar="RUN", help="The run folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a setting of the recipe for this command alone, for example "
        "select.size=5000. May be given several times.",
    ),
]


class _Commands(TyperGroup):
    """The one place where an error becomes a sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Ds2Error as error:
            typer.echo(f"error: {printable(str(error))}", err=True)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            typer.echo(
                "stopped: finished stages are kept. Give the same command again to go on.", err=True
            )
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Select the instruction data that trains best, and say how far to trust the selection. "
    "Exit code 0: done; 1: the run needs you; 2: wrong input.",
)


def main() -> None:
    """Run the command line; the entry point of ``ds2``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(
            stream, TextIOWrapper
        ):  # a terminal that lacks a character is no reason to stop
            stream.reconfigure(errors="backslashreplace")
    app()


def _version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"ds2 {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Hold the options that come before a command."""


@app.command("init")
def init_command(
    run: Run,
    *,
    pool: Annotated[
        str,
        typer.Option(
            "--pool",
            metavar="FILE",
            help="The pool: a .jsonl, .json, .parquet or .csv file, a saved DatasetDict folder, "
            "or hf:org/name.",
        ),
    ],
    scores: Annotated[
        list[str] | None,
        typer.Option(
            "--scores",
            metavar="COLUMN|FILE",
            help="The pool's column that holds the scores, or a file of scores joined on id. "
            "May be given once for each rater's column.",
        ),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            "--scale",
            metavar="SCALE",
            help="What the scores mean: 1-10 (the default, binned as in the paper), 0-5, levels:6.",
        ),
    ] = None,
    raters: Annotated[
        list[str] | None,
        typer.Option(
            "--rater",
            metavar="MODEL",
            help="A model that rates: its name at an OpenAI-compatible endpoint, local (a small "
            "model on this machine) or a .gguf file. May be given several times.",
        ),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(
            "--base-url", metavar="URL", help="The endpoint, when it is not api.openai.com."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a run folder: RUN/recipe.toml, every setting spelled out."""
    from ds2.runs.init import init_run

    path = init_run(
        run, pool=pool, scores=scores or (), scale=scale, raters=raters or (), base_url=base_url
    )
    if as_json:
        _print_json({"run": str(run), "recipe": str(path)})
    else:
        typer.echo(printable(f"Wrote {path}. Look at it, then: ds2 run {quote(str(run))}"))


@app.command("run")
def run_command(run: Run, settings: Set = None, as_json: Json = False) -> None:
    """Run all stages; those that are fresh are skipped.

    A stage is fresh while its inputs, its settings and its artefacts are what they were.
    """
    _run(run, "report", settings, as_json)


def _stage_command(stage: str) -> Callable[..., None]:
    def command(run: Run, settings: Set = None, as_json: Json = False) -> None:
        _run(run, stage, settings, as_json)

    return command


for _name, _help in STAGE_HELP.items():
    app.command(
        _name,
        short_help=_help,
        help=f"{_help} Stages that it needs and that are not fresh run first.",
    )(_stage_command(_name))


@app.command("status")
def status_command(run: Run, settings: Set = None, as_json: Json = False) -> None:
    """Say which stages are fresh, stale (why), missing, failed."""
    from ds2.cli.results import status_document, status_lines
    from ds2.runs.loop import status
    from ds2.runs.recipe_file import parse_overrides

    found = status(run, overrides=parse_overrides(settings or []))
    if as_json:
        _print_json(status_document(found))
    else:
        typer.echo("\n".join(printable(line) for line in status_lines(found)))


@app.command("doctor")
def doctor_command(as_json: Json = False) -> None:
    """Say what this machine can run."""
    from ds2.cli.doctor import doctor_lines, examine

    found = examine()
    if as_json:
        _print_json(found)
    else:
        typer.echo("\n".join(printable(line) for line in doctor_lines(found)))
    if found["missing"]:
        raise typer.Exit(1)


def _run(folder: Path, until: str, settings: list[str] | None, as_json: bool) -> None:
    from ds2.cli.progress import listening
    from ds2.cli.results import run_document, run_lines
    from ds2.runs.loop import run
    from ds2.runs.recipe_file import parse_overrides

    overrides = parse_overrides(settings or [])
    with listening() as listener:
        result = run(folder, until=until, overrides=overrides, listener=listener)
    if as_json:
        _print_json(run_document(result))
    else:
        typer.echo("\n".join(printable(line) for line in run_lines(result)))


def _print_json(document: object) -> None:
    typer.echo(json.dumps(document, indent=2, ensure_ascii=True, allow_nan=False))
