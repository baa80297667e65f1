"""Commands that select, put selections side by side, and hand one over."""

from math import isnan
from pathlib import Path
from shlex import quote
from typing import Any

from ds2.cli.base import (
    Json,
    Run,
    Set,
    answer,
    app,
    option,
    run_stages,
    say,
    setting,
    tell,
    working,
)
from ds2.errors import InputError

__all__ = ["compare_command", "explore_command", "export_command", "select_command"]


@app.command("compare", short_help="Compare selection methods with each other and random.")
def compare_command(
    run: Run,
    settings: Set = None,
    *,
    methods: str | None = setting("compare.methods", "--methods NAME,NAME"),
    as_json: Json = False,
) -> None:
    """Put every selection method at one budget side by side, and against random.

    Stages that are not fresh run first, up to the selection. Then RUN/compare.html, compare.md and
    compare.json say what each method selects, which rows it alone picks, how far methods overlap,
    and whether each beats random: on gold, or on each rater held out in turn.
    """
    import json

    from ds2.cli.results import plain, state_lines
    from ds2.runs.compare import compare_run

    wanted = [name.strip() for name in (methods or "").split(",") if name.strip()]
    with working(run, settings) as job:
        found = compare_run(job, methods=wanted)
    document = {"run": str(run), "files": found.files, **json.loads(found.document)}
    lines = [f"{'rank':<10} {line}" for line in found.ranking]
    lines += [f"{question} {words}" for question, words in found.verdict]
    lines += [f"{'left out':<10} {name}: {why}" for name, why in found.left_out.items()]
    lines += [f"{'page':<10} {found.files[0]}", *state_lines(found, run)]
    answer(as_json, document, map(plain, lines))


@app.command("select", short_help="Select the subset.")
def select_command(
    run: Run,
    settings: Set = None,
    *,
    curve: bool = option(
        "--curve",
        "Print what other sizes, and other trades of score against breadth, would bring.",
    ),
    as_json: Json = False,
) -> None:
    """Select the subset. Stages that it needs and that are not fresh run first."""
    if not curve:
        run_stages(run, "select", settings, as_json)
        return
    from ds2.runs.compare import curves_of

    with working(run, settings) as job:
        curves = curves_of(job)
    by_size, by_dial = curves.by_size, curves.by_dial
    names = ("sizes", "score", "kept", "coverage", "random_coverage", "redundancy", "precision")
    sizes: list[dict[str, Any]] = [
        dict(zip(names, row, strict=True))
        for row in zip(*(getattr(by_size, name).tolist() for name in names), strict=True)
    ]
    points = []
    if by_dial is not None:
        points += [(f"keep {keep:g}", point) for keep, point in by_dial.curve.items()]
        points += [("random rows", by_dial.random)]
        points += [(f"{name} (this run)", point) for name, point in by_dial.methods.items()]
    dial: list[dict[str, Any]] = [
        {"selection": name, "kept": p.kept, "coverage": p.coverage, "redundancy": p.redundancy}
        for name, p in points
    ]
    lines = ["  rows   score    kept  coverage  (random)  redundant  precision"]
    lines += [
        "{sizes:6,.0f} {score:7.2f} {kept:7.2f} {coverage:9.2f} {random_coverage:9.2f} "
        "{redundancy:10.2f} {precision:10.2f}".format(**row)
        for row in sizes
    ]
    wide = max(17, *(len(row["selection"]) for row in dial))
    lines += ["", f"{'selection':<{wide}}    kept  coverage  redundant"]
    lines += [
        "{selection:<{wide}} {kept:7.2f} {coverage:9.2f} {redundancy:10.2f}".format(
            wide=wide, **row
        )
        for row in dial
    ]
    for row in sizes:
        row["sizes"] = int(row["sizes"])
    known = [
        [{name: _known(value) for name, value in row.items()} for row in rows]
        for rows in (sizes, dial)
    ]
    answer(as_json, {"run": str(run), "by_size": known[0], "by_dial": known[1]}, lines)


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and isnan(value) else value


@app.command("explore", short_help="Explore the pool in a browser on this machine.")
def explore_command(
    run: Run,
    settings: Set = None,
    *,
    port: int = option("--port PORT", "The port to use.", min=1, max=65535, default=5055),
) -> None:
    """Explore the pool in a browser, on this machine alone: map, search, filters, neighbours.

    Needs the package embedding-atlas. It works offline: it gets the run's own map and neighbours
    and listens on 127.0.0.1 alone. Ctrl-C ends it.
    """
    from ds2.runs.explore import explore_run, prepare_explorer

    with working(run, settings) as job:
        ready = prepare_explorer(job)
    say([f"Exploring {quote(str(run))} at http://127.0.0.1:{port} (Ctrl-C ends it)"])
    explore_run(ready, port=port)


@app.command("export", short_help="Write the selection for a training tool, or publish it.")
def export_command(
    run: Run,
    settings: Set = None,
    *,
    tool: str | None = option(
        "--tool TOOL", "Write for trl, axolotl, llama-factory, unsloth or parquet."
    ),
    layout: str | None = option("--layout LAYOUT", "Another of the tool's layouts."),
    out: Path | None = option("--out FOLDER", "Where to write. Default: RUN/TOOL."),
    name: str = option("--name NAME", "The name of the data.", default="selected"),
    plain: bool = option("--plain", "Leave out scores and reasons: conversations alone."),
    lossy: bool = option("--lossy", "Leave out what the layout cannot hold, and say how much."),
    control: bool = option(
        "--control",
        "Write random examples as well, as many and with answers as long, into FOLDER-"
        "control: what the selection should beat when both are trained on.",
    ),
    push: str | None = option(
        "--push ORG/NAME",
        "Publish on the hub instead, with a card. The token is read from HF_TOKEN.",
    ),
    public: bool = option("--public", "With --push: everybody may see it."),
    replace: bool = option("--replace", "With --push: a new version of what is there."),
    licence: str | None = option("--licence ID", "With --push: the licence of the whole."),
    source_licence: list[str] | None = option(
        "--source-licence SOURCE=ID",
        "With --push: the licence of one source. May be given several times.",
    ),
    as_json: Json = False,
) -> None:
    """Hand the selection over to a training tool, or publish it on the hub."""
    from ds2.runs.export import export, publish

    if (tool is None) == (push is None):
        raise InputError("Give --tool TOOL to write files, or --push ORG/NAME to publish.")
    if push is not None:
        pairs = [item.partition("=") for item in source_licence or []]
        if any(not (source and sign and held) for source, sign, held in pairs):
            raise InputError("--source-licence takes SOURCE=ID, for example flan=apache-2.0.")
        with working(run, settings) as job:
            address = publish(
                job,
                push,
                private=not public,
                replace=replace,
                licence=licence,
                licences={source: held for source, _, held in pairs},
                plain=plain,
                lossy=lossy,
            )
        document: dict[str, object] = {"address": address}
        lines = [f"Published {address}"]
    else:
        with working(run, settings) as job:
            made = export(
                job,
                tool=tool or "",
                layout=layout,
                out=out,
                name=name,
                plain=plain,
                lossy=lossy,
                control=control,
            )
        tell(*made.warnings, label="warning: ")
        document = {
            "files": made.files,
            "n_examples": made.n,
            "usage": made.usage,
            "command": made.command,
            "warnings": made.warnings,
        }
        lines = [f"wrote {made.files[0]} ({made.n:,} examples)"]
        lines += [*(f"wrote {path}" for path in made.files[1:]), *made.usage.split("\n")]
        lines += [f"train: {made.command}"] if made.command else []
    answer(as_json, document, lines)
