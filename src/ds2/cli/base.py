"""What all commands share: the group, its errors, common options, how a result is printed."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import TextIOWrapper
from os import fspath
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from ds2._version import __version__
from ds2.errors import Ds2Error

if TYPE_CHECKING:
    from ds2.runs.job import Job

__all__ = [
    "Json",
    "Run",
    "Set",
    "answer",
    "app",
    "main",
    "option",
    "overridden",
    "printable",
    "run_stages",
    "say",
    "setting",
    "tell",
    "working",
]


def option(usage: str, says: str, *, default: Any = None, **how: Any) -> Any:
    """Return an option: "--out FILE" is its name and what it takes, "--json" takes nothing."""
    name, _, takes = usage.partition(" ")
    if not takes:
        default = False
    return typer.Option(default, name, metavar=takes or None, help=says, **how)


def setting(key: str, usage: str, more: str = "") -> Any:
    """Return the option for a key of the recipe, whose words and default are the recipe's."""
    from ds2.runs.recipe_file import field_of

    field = field_of(key)
    assert field is not None, key
    said = str(field.description)
    default = f" Default: {field.default}." if isinstance(field.default, (str, int, float)) else ""
    return option(usage, f"{said[0].upper()}{said[1:]}.{more}{default}")


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


def overridden(settings: list[str] | None) -> dict[str, object]:
    """Return what --set overrides, by dotted key."""
    from ds2.runs.recipe_file import parse_overrides

    return parse_overrides(settings or [])


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
            tell(f"error: {error}")
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            tell("stopped: finished stages are kept. The same command goes on behind them.")
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
        if isinstance(stream, TextIOWrapper):
            # a terminal that lacks a character is no reason to stop
            stream.reconfigure(errors="backslashreplace")
    app()


def _version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"ds2 {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def _options(
    version: bool = option("--version", "Print the version.", callback=_version, is_eager=True),
) -> None:
    """Hold the options that come before a command."""


@contextmanager
def working(run: Path, settings: list[str] | None, **how: Any) -> Iterator["Job"]:
    """Yield a run with what --set overrides; what happens to it is said on stderr."""
    from ds2.cli.progress import listening
    from ds2.runs.job import Job

    with listening() as listener:
        yield Job.of(run, overridden(settings), listener, **how)


def run_stages(
    folder: Path,
    until: str,
    settings: list[str] | None,
    as_json: bool,
    *,
    resume: bool = False,
    **how: Any,
) -> None:
    """Run the stages up to one and print what came of it; ``how`` goes to `ds2.runs.job.Job`."""
    from ds2.cli.results import run_document, run_lines
    from ds2.runs.loop import bring_up

    with working(folder, settings, **how) as job:
        result = bring_up(job, until, resume=resume)
    if settings:
        tell(
            f"{', '.join(settings)}: for this command alone. To keep it for the next ones, write "
            f"it into {folder / 'recipe.toml'}."
        )
    answer(as_json, run_document(result), run_lines(result))
    rate: Mapping[str, Any] = result.summary.get("rate", {})
    if resume and rate.get("stopped"):
        names = ", ".join(f"'{name}'" for name in rate["stopped"])
        tell(
            f"error: {rate['unanswered']:,} requests have no reply: see the warnings for what "
            f"stopped {names}. When that is put right, give the same command again: they alone are "
            "sent."
        )
        raise typer.Exit(1)


def tell(*sentences: str, label: str = "") -> None:
    """Print sentences to stderr."""
    for sentence in sentences:
        typer.echo(printable(f"{label}{sentence}"), err=True)


def answer(as_json: bool, document: object, lines: Iterable[str]) -> None:
    """Print what a command found: one JSON document for a program, or lines for a person."""
    if as_json:
        text = json.dumps(document, indent=2, ensure_ascii=True, allow_nan=False, default=fspath)
        typer.echo(text)
    else:
        say(lines)


def say(lines: Iterable[str]) -> None:
    """Print lines to stdout, with nothing in them that a terminal would obey."""
    typer.echo("\n".join(printable(line) for line in lines))


def printable(text: str) -> str:
    """Return ``text`` with everything that a terminal would not print as itself escaped.

    Text from files is data: it may not move the cursor, colour the line or start a new one.
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )
