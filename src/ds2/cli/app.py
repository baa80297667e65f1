"""The commands. Each parses its words, calls one function of `ds2.runs` and prints the result."""

from collections.abc import Callable
from shlex import quote
from typing import Annotated

import typer

from ds2.cli import comparing, evaluating, evidence, exporting, proving, rating, training  # noqa: F401
from ds2.cli.base import Json, Run, Set, app, main, print_json, run_stages, say
from ds2.cli.rating import RATE_HELP
from ds2.errors import InputError

__all__ = ["app", "main"]

#: Every stage and what its command says of itself.
STAGE_HELP = {
    "pool": "Read the pool.",
    "rate": RATE_HELP,
    "embed": "Turn every conversation into a vector.",
    "neighbors": "Find each example's nearest neighbours.",
    "noise": "Estimate how noisy the scores are: the transition matrix.",
    "curate": "Correct the scores.",
    "select": "Select the subset and write selected.jsonl.",
    "report": "Write report.html, report.md and report.json.",
}


@app.command("init")
def init_command(
    run: Run,
    *,
    pool: Annotated[
        list[str],
        typer.Option(
            "--pool",
            metavar="FILE",
            help="The pool: a .jsonl, .json, .parquet, .csv or .tsv file, a folder of files, a "
            "pattern in quotes ('data/*.jsonl'), a saved DatasetDict folder, or hf:org/name. May "
            "be given several times.",
        ),
    ],
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="PART=COLUMN,…",
            help="Columns with names of their own: prompt=frage,response=antwort. Parts: messages, "
            "prompt, input, response, system, history, chosen, rejected, label, tools, images, "
            "videos, audios, id, source.",
        ),
    ] = None,
    roles: Annotated[
        list[str] | None,
        typer.Option(
            "--role",
            metavar="NAME=ROLE",
            help="A role with a name of its own, as system, user, assistant or tool.",
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", metavar="NAME", help="The split to read. Default: train."),
    ] = None,
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
            help="What the scores mean: 1-10 (the default, binned as in the paper), 0-5, levels:6, "
            "or any range: 0-1, -1-1, 0-100.",
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
    paper: Annotated[
        bool,
        typer.Option(
            "--paper",
            help="Start from the settings of the DS² paper, to reproduce it: its rubric and scale, "
            "its embedder where sentence-transformers is installed, its curation, 10,000 examples, "
            "its baselines in compare. What else is given here wins.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a run folder: RUN/recipe.toml, every setting spelled out."""
    from ds2.cli.progress import Lines
    from ds2.runs.init import init_run

    path = init_run(
        run,
        pool=pool,
        columns=_pairs("--map", "prompt=frage,response=antwort", columns),
        roles=_pairs("--role", "agent=assistant", roles),
        split=split,
        scores=scores or (),
        scale=scale,
        raters=raters or (),
        base_url=base_url,
        paper=paper,
        listener=Lines(),
    )
    if as_json:
        print_json({"run": str(run), "recipe": str(path)})
        return
    if paper:
        say(["It selects 10,000 examples, as the paper did: set select.size for a smaller pool."])
    say([f"Wrote {path}. Look at it, then: ds2 run {quote(str(run))}"])


def _pairs(option: str, example: str, given: list[str] | None) -> dict[str, str]:
    """Read NAME=VALUE,NAME=VALUE."""
    found: dict[str, str] = {}
    for item in (part for each in given or [] for part in each.split(",") if part.strip()):
        name, sign, value = (part.strip() for part in item.partition("="))
        if not (name and sign and value):
            raise InputError(
                f"{option} takes NAME=VALUE, for example {option} {example}. Got {item!r}."
            )
        found[name] = value
    return found


@app.command("run")
def run_command(run: Run, settings: Set = None, as_json: Json = False) -> None:
    """Run all stages; those that are fresh are skipped.

    A stage is fresh while its inputs, its settings and its artefacts are what they were. Requests
    that got no reply for reasons that can pass (a timeout, a refused key, a spent quota) are sent
    again. Exit code 1 where a rater was stopped before it had answered for all.
    """
    run_stages(run, "report", settings, as_json, resume=True)


def _stage_command(stage: str) -> Callable[..., None]:
    def command(run: Run, settings: Set = None, as_json: Json = False) -> None:
        run_stages(run, stage, settings, as_json)

    return command


for _name, _help in STAGE_HELP.items():
    if _name == "rate":  # has options of its own
        continue
    app.command(
        _name,
        short_help=_help,
        help=f"{_help} Stages that it needs and that are not fresh run first.",
    )(_stage_command(_name))


@app.command("status")
def status_command(run: Run, settings: Set = None, as_json: Json = False) -> None:
    """Say which stages are fresh, stale (why), partial, missing, failed."""
    from ds2.cli.results import status_document, status_lines
    from ds2.runs.loop import status
    from ds2.runs.recipe_file import parse_overrides

    found = status(run, overrides=parse_overrides(settings or []))
    if as_json:
        print_json(status_document(found))
    else:
        say(status_lines(found))


@app.command("doctor")
def doctor_command(as_json: Json = False) -> None:
    """Say what this machine can run."""
    from ds2.cli.doctor import doctor_lines, examine

    found = examine()
    if as_json:
        print_json(found)
    else:
        say(doctor_lines(found))
    if found["missing"]:
        raise typer.Exit(1)
