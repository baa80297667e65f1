"""Commands that select, and put selections side by side."""

from math import isnan
from shlex import quote
from typing import Annotated, Any

import typer

from ds2.cli.base import Json, Run, Set, answer, app, overridden, run_stages, say, setting

__all__ = ["compare_command", "explore_command", "select_command"]


@app.command("compare", short_help="Compare selection methods with each other and random.")
def compare_command(
    run: Run,
    settings: Set = None,
    *,
    methods: Annotated[str | None, setting("compare.methods", "--methods", "NAME,NAME")] = None,
    as_json: Json = False,
) -> None:
    """Put every selection method at one budget side by side, and against random.

    Stages that are not fresh run first, up to the selection. Then RUN/compare.html, compare.md and
    compare.json say what each method selects, which rows it alone picks, how far methods overlap,
    and whether each beats random: on gold, or on each rater held out in turn.
    """
    import json

    from ds2.cli.progress import listening
    from ds2.cli.results import plain
    from ds2.runs.compare import compare_run

    wanted = [name.strip() for name in (methods or "").split(",") if name.strip()]
    with listening() as listener:
        found = compare_run(run, methods=wanted, overrides=overridden(settings), listener=listener)
    document = {
        "run": str(run),
        "files": found.files,
        **json.loads(found.document),
    }
    lines = [f"{'rank':<10} {line}" for line in found.ranking]
    lines += [f"{question} {words}" for question, words in found.verdict]
    lines += [f"{'left out':<10} {name}: {why}" for name, why in found.left_out.items()]
    lines += [
        f"{'page':<10} {found.files[0]}",
        f"{'state':<10} {found.state.says}",
        f"{'reason':<10} {found.state.reason}",
        f"{'next':<10} {found.state.command(str(run))}",
    ]
    answer(as_json, document, map(plain, lines))


@app.command("select", short_help="Select the subset.")
def select_command(
    run: Run,
    settings: Set = None,
    *,
    curve: Annotated[
        bool,
        typer.Option(
            "--curve",
            help="Print what other sizes, and other trades of score against breadth, would bring.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Select the subset. Stages that it needs and that are not fresh run first."""
    if not curve:
        run_stages(run, "select", settings, as_json)
        return
    from ds2.cli.progress import listening
    from ds2.runs.compare import curves_of

    with listening() as listener:
        curves = curves_of(run, overrides=overridden(settings), listener=listener)
    by_size, by_dial = curves.by_size, curves.by_dial
    names = ("sizes", "score", "kept", "coverage", "random_coverage", "redundancy", "precision")
    sizes: list[dict[str, Any]] = [
        dict(zip(names, row, strict=True))
        for row in zip(*(getattr(by_size, name).tolist() for name in names), strict=True)
    ]
    points = {}
    if by_dial is not None:
        points = {f"keep {keep:g}": point for keep, point in by_dial.curve.items()}
        points |= {**by_dial.methods, "random": by_dial.random}
    dial: list[dict[str, Any]] = [
        {"selection": name, "kept": p.kept, "coverage": p.coverage, "redundancy": p.redundancy}
        for name, p in points.items()
    ]
    lines = ["  rows   score    kept  coverage  (random)  redundant  precision"]
    lines += [
        "{sizes:6,.0f} {score:7.2f} {kept:7.2f} {coverage:9.2f} {random_coverage:9.2f} "
        "{redundancy:10.2f} {precision:10.2f}".format(**row)
        for row in sizes
    ]
    lines += ["", "selection     kept  coverage  redundant"]
    lines += [
        "{selection:<10} {kept:7.2f} {coverage:9.2f} {redundancy:10.2f}".format(**row)
        for row in dial
    ]
    for row in sizes:
        row["sizes"] = int(row["sizes"])
        row["precision"] = None if isnan(row["precision"]) else row["precision"]
    answer(as_json, {"run": str(run), "by_size": sizes, "by_dial": dial}, lines)


@app.command("explore", short_help="Explore the pool in a browser on this machine.")
def explore_command(
    run: Run,
    settings: Set = None,
    *,
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=1, max=65535, help="The port to use.")
    ] = 5055,
) -> None:
    """Explore the pool in a browser, on this machine alone: map, search, filters, neighbours.

    Needs the package embedding-atlas. It works offline: it gets the run's own map and neighbours
    and listens on 127.0.0.1 alone. Ctrl-C ends it.
    """
    from ds2.cli.progress import listening
    from ds2.runs.explore import explore_run, prepare_explorer

    with listening() as listener:
        ready = prepare_explorer(run, overrides=overridden(settings), listener=listener)
    say([f"Exploring {quote(str(run))} at http://127.0.0.1:{port} (Ctrl-C ends it)"])
    explore_run(ready, port=port)
