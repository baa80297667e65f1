"""What all commands share: the group, its errors, common options, how a result is printed."""

import json
import sys
from collections.abc import Iterable
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ds2._version import __version__
from ds2.cli.text import printable
from ds2.errors import Ds2Error

__all__ = ["Json", "Run", "Set", "app", "main", "print_json", "run_stages", "say"]

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


#: The commands that a run goes through, as help lists them.
_ORDER = (
    "init", "run", "status",
    "pool", "rate", "embed", "neighbors", "noise", "curate", "select", "report",
)  # fmt: skip


class _Commands(TyperGroup):
    """The one place where an error becomes a sentence and an exit code."""

    def list_commands(self, ctx: Any) -> list[str]:
        """In the order of a run; what stands beside it comes last."""
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))

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


def run_stages(
    folder: Path, until: str, settings: list[str] | None, as_json: bool, **how: Any
) -> None:
    """Run the stages up to one and print what came of it; ``how`` goes to `ds2.runs.loop.run`."""
    from ds2.cli.progress import listening
    from ds2.cli.results import run_document, run_lines
    from ds2.runs.loop import run
    from ds2.runs.recipe_file import parse_overrides

    overrides = parse_overrides(settings or [])
    with listening() as listener:
        result = run(folder, until=until, overrides=overrides, listener=listener, **how)
    if as_json:
        print_json(run_document(result))
    else:
        say(run_lines(result))
    rate = result.summary.get("rate", {})
    if how.get("resume") and rate.get("stopped"):
        names = ", ".join(f"'{name}'" for name in rate["stopped"])  # type: ignore[attr-defined]
        left = f"{rate['unanswered']:,} requests have no reply: see the warnings for what stopped "
        typer.echo(
            printable(
                f"error: {left}{names}. When that is put right, "
                "give the same command again: they alone are sent."
            ),
            err=True,
        )
        raise typer.Exit(1)


def print_json(document: object) -> None:
    """Print one JSON document."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=True, allow_nan=False))


def say(lines: Iterable[str]) -> None:
    """Print lines to stdout, with nothing in them that a terminal would obey."""
    typer.echo("\n".join(printable(line) for line in lines))
