"""The command that hands a selection over."""

from pathlib import Path
from typing import Annotated

import typer

from ds2.cli.base import Json, Run, Set, answer, app, overridden
from ds2.errors import InputError

__all__ = ["export_command"]


@app.command("export", short_help="Write the selection for a training tool, or publish it.")
def export_command(
    run: Run,
    settings: Set = None,
    *,
    tool: Annotated[
        str | None,
        typer.Option(
            "--tool",
            metavar="TOOL",
            help="Write for trl, axolotl, llama-factory, unsloth or parquet.",
        ),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option("--layout", metavar="LAYOUT", help="Another of the tool's layouts."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="Where to write. Default: RUN/TOOL."),
    ] = None,
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="The name of the data.")
    ] = "selected",
    plain: Annotated[
        bool, typer.Option("--plain", help="Leave out scores and reasons: conversations alone.")
    ] = False,
    lossy: Annotated[
        bool,
        typer.Option("--lossy", help="Leave out what the layout cannot hold, and say how much."),
    ] = False,
    control: Annotated[
        bool,
        typer.Option(
            "--control",
            help="Write random examples as well, as many and with answers as long, into FOLDER-"
            "control: what the selection should beat when both are trained on.",
        ),
    ] = False,
    push: Annotated[
        str | None,
        typer.Option(
            "--push",
            metavar="ORG/NAME",
            help="Publish on the hub instead, with a card. The token is read from HF_TOKEN.",
        ),
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="With --push: everybody may see it.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="With --push: a new version of what is there.")
    ] = False,
    licence: Annotated[
        str | None,
        typer.Option("--licence", metavar="ID", help="With --push: the licence of the whole."),
    ] = None,
    source_licence: Annotated[
        list[str] | None,
        typer.Option(
            "--source-licence",
            metavar="SOURCE=ID",
            help="With --push: the licence of one source. May be given several times.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Hand the selection over to a training tool, or publish it on the hub."""
    from ds2.cli.progress import listening
    from ds2.runs.export import export, publish

    if (tool is None) == (push is None):
        raise InputError("Give --tool TOOL to write files, or --push ORG/NAME to publish.")
    if push is not None:
        pairs = [item.partition("=") for item in source_licence or []]
        if any(not (source and sign and held) for source, sign, held in pairs):
            raise InputError("--source-licence takes SOURCE=ID, for example flan=apache-2.0.")
        with listening() as heard:
            address = publish(
                run,
                push,
                private=not public,
                replace=replace,
                licence=licence,
                licences={source: held for source, _, held in pairs},
                plain=plain,
                lossy=lossy,
                overrides=overridden(settings),
                listener=heard,
            )
        document: dict[str, object] = {"address": address}
        lines = [f"Published {address}"]
    else:
        with listening() as heard:
            made = export(
                run,
                tool=tool or "",
                layout=layout,
                out=out,
                name=name,
                plain=plain,
                lossy=lossy,
                control=control,
                overrides=overridden(settings),
                listener=heard,
            )
        for sentence in made.warnings:
            typer.echo(f"warning: {sentence}", err=True)
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
