"""`ds2 train`: fine-tune a model on the selection."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ds2.cli.base import Json, Run, Set, answer, app, overridden
from ds2.errors import InputError

if TYPE_CHECKING:
    from ds2.runs.train_step import Outlook, Shown

__all__ = ["train_command"]

GIB = 2**30


@app.command("train", short_help="Fine-tune a model on the selection.")
def train_command(
    run: Run,
    settings: Set = None,
    *,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            metavar="SEED",
            min=0,
            help="Of the LoRA matrices, the order and the dropout. Default: the recipe's.",
        ),
    ] = None,
    show: Annotated[
        bool,
        typer.Option(
            "--show-loss", help="Show three rows with what is learned of them; train nothing."
        ),
    ] = False,
    dry: Annotated[
        bool,
        typer.Option(
            "--dry",
            help="Take one step at the longest batch and say what memory and time the training "
            "takes; train nothing.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Fine-tune the recipe's model on the selection: LoRA, loss on the answers alone.

    Stages that are not fresh run first, up to the selection. The adapter is written to
    RUN/proof/runs/selection-sSEED/adapter. The same command goes on where a training was killed.
    Needs the packages of the extra train.
    """
    from ds2.cli.progress import listening
    from ds2.runs.train_step import forecast_run, show_loss, train_run

    if show and dry:
        raise InputError("--show-loss and --dry are two things to look at: give one of them.")
    with listening() as listener:
        if show:
            shown = show_loss(run, overrides=overridden(settings), listener=listener)
            document, lines = asdict(shown), list(_shown_lines(shown))
        elif dry:
            outlook = forecast_run(run, overrides=overridden(settings), listener=listener)
            document, lines = asdict(outlook), list(_outlook_lines(outlook))
        else:
            done = train_run(run, seed=seed, overrides=overridden(settings), listener=listener)
            document = {"folder": done.folder, "fresh": done.fresh, **done.figures}
            figures = done.figures
            lines = [
                f"{'trained' if not done.fresh else 'fresh':<10} {figures['update']:,} updates, "
                f"{figures['answer_tokens']:,} answer tokens, {figures['seconds']:,.0f} s",
                f"{'loss':<10} {figures['loss']:.3f} nats a token over the last tenth of the "
                f"updates, {figures['first_loss']:.3f} over the first",
                *_left_out(figures["left_out"]),
                f"{'adapter':<10} {done.folder / 'adapter'}",
            ]
    answer(as_json, document, lines)


def _shown_lines(shown: "Shown") -> Iterator[str]:
    yield f"{'template':<10} {shown.template}; an answer ends with {shown.stop}"
    yield f"{'learned':<10} what stands between ⟦ and ⟧"
    yield from _left_out(shown.left_out)
    for name, pieces in shown.rows:
        text = "".join(f"⟦{text}⟧" if learned else text for text, learned in pieces)
        yield ""
        yield f"{'row':<10} {name}"
        yield from text.split("\n")


def _outlook_lines(outlook: "Outlook") -> Iterator[str]:
    figures, memory = outlook.figures, outlook.memory
    yield f"{'rows':<10} {outlook.rows:,}"
    yield from _left_out(outlook.left_out)
    yield (
        f"{'updates':<10} {figures['updates']:,}: {figures['tokens']:,} tokens, "
        f"{figures['answer_tokens']:,} of them learned"
    )
    free = f", {figures['available'] / GIB:.1f} GiB free before" if figures["available"] else ""
    yield (
        f"{'memory':<10} {memory.total / GIB:.1f} GiB expected (model {memory.weights / GIB:.1f}, "
        f"activations {(memory.activations + memory.head) / GIB:.1f}), "
        f"{figures['peak'] / GIB:.1f} measured{free}"
    )
    yield f"{'speed':<10} {figures['tokens_per_s']:,.0f} tokens a second at the longest batch"
    yield f"{'time':<10} about {_duration(figures['seconds'])}"


def _left_out(reasons: Mapping[str, int]) -> Iterator[str]:
    for reason, n in reasons.items():
        yield f"{'left out':<10} {n:,}: {reason}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
