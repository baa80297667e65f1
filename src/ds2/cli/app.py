"""The commands. Each parses its words, calls one function of `ds2.runs` and prints the result."""

from collections.abc import Callable
from shlex import quote

import typer

from ds2.cli import evidence, proving, rating, selecting  # noqa: F401
from ds2.cli.base import (
    Json,
    Run,
    Set,
    answer,
    app,
    main,
    option,
    overridden,
    run_stages,
    setting,
)
from ds2.errors import InputError
from ds2.runs.stages import STAGES

__all__ = ["app", "main"]


@app.command("init")
def init_command(
    run: Run,
    *,
    pool: list[str] = option(
        "--pool FILE",
        "The pool: a .jsonl, .json, .parquet, .csv or .tsv file, a folder of files, a "
        "pattern in quotes ('data/*.jsonl'), a saved DatasetDict folder, or hf:org/name. May "
        "be given several times.",
        default=...,
    ),
    columns: list[str] | None = setting(
        "pool.columns", "--map PART=COLUMN,…", " Here: prompt=frage,id=nr."
    ),
    roles: list[str] | None = setting("pool.roles", "--role NAME=ROLE", " Here: agent=assistant."),
    split: str | None = setting("pool.split", "--split NAME"),
    scores: list[str] | None = option(
        "--scores COLUMN|FILE",
        "The pool's column that holds the scores, or a file of scores joined on id. "
        "May be given once for each rater's column.",
    ),
    scale: str | None = setting("scores.scale", "--scale SCALE"),
    raters: list[str] | None = option(
        "--rater MODEL",
        "A model that rates: its name at an OpenAI-compatible endpoint, local (a small "
        "model on this machine) or a .gguf file. May be given several times.",
    ),
    base_url: str | None = setting("raters.*.base_url", "--base-url URL"),
    method: str | None = setting("select.method", "--method NAME"),
    paper: bool = option(
        "--paper",
        "Start from the settings of the DS² paper, to reproduce it: its rubric and scale, "
        "its embedder where sentence-transformers is installed, its curation, 10,000 examples, "
        "its baselines in compare. What else is given here wins.",
    ),
    settings: list[str] | None = option(
        "--set KEY=VALUE", "Another setting of the recipe. May be given several times."
    ),
    as_json: Json = False,
) -> None:
    """Make a run folder: RUN/recipe.toml, every setting spelled out."""
    from ds2.cli.progress import Lines
    from ds2.runs.init import init_run

    given = {
        "pool.columns": _pairs("--map", "prompt=frage,response=antwort", columns),
        "pool.roles": _pairs("--role", "agent=assistant", roles),
        "pool.split": split,
        "scores.scale": scale,
        "select.method": method,
    }
    path = init_run(
        run,
        pool=pool,
        scores=scores or (),
        raters=raters or (),
        base_url=base_url,
        paper=paper,
        settings={k: v for k, v in given.items() if v} | overridden(settings),
        listener=Lines(),
    )
    lines = [f"Wrote {path}. Look at it, then: ds2 run {quote(str(run))}"]
    if paper:
        size = "It selects 10,000 examples, as the paper did: set select.size for a smaller pool."
        lines.insert(0, size)
    answer(as_json, {"run": str(run), "recipe": str(path)}, lines)


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


for _stage in STAGES:
    if _stage.name in ("rate", "select"):  # have options of their own
        continue
    app.command(
        _stage.name,
        short_help=_stage.help,
        help=f"{_stage.help} Stages that it needs and that are not fresh run first.",
    )(_stage_command(_stage.name))


@app.command("status")
def status_command(run: Run, settings: Set = None, as_json: Json = False) -> None:
    """Say which stages are fresh, stale (why), partial, missing, failed."""
    from ds2.cli.results import status_document, status_lines
    from ds2.runs.loop import status

    found = status(run, overrides=overridden(settings))
    answer(as_json, status_document(found), status_lines(found))


@app.command("doctor")
def doctor_command(
    *,
    clear_cache: bool = option(
        "--clear-cache",
        "First empty the cache of vectors and neighbours of all runs.",
    ),
    as_json: Json = False,
) -> None:
    """Say what this machine can run, and what the cache holds."""
    from ds2.cli.doctor import doctor_lines, examine
    from ds2.runs.cache import find_cache

    if clear_cache and (cache := find_cache()) is not None:
        cache.clear()
    found = examine()
    answer(as_json, found, doctor_lines(found))
    if found["missing"]:
        raise typer.Exit(1)
