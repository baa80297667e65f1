"""Commands around evidence: trusted scores, and where the next rating helps most."""

from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from ds2.cli.base import Json, Run, Set, answer, app, overridden, printable
from ds2.errors import InputError

if TYPE_CHECKING:
    from ds2.runs.ask import PlannedPair

__all__ = ["gold_command", "rerate_command", "score_command"]


@app.command("gold", short_help="Choose examples for trusted scores; read scores back.")
def gold_command(
    run: Run,
    settings: Set = None,
    *,
    size: Annotated[
        int | None,
        typer.Option(
            "--size",
            metavar="N",
            help="Write N examples for people to score. Default: as many as would tell, on this "
            "pool, a gain worth having from none.",
        ),
    ] = None,
    again: Annotated[
        int,
        typer.Option(
            "--again",
            metavar="N",
            min=0,
            help="Write N examples that have a trusted score, to be scored once more as a check.",
        ),
    ] = 0,
    between: Annotated[
        list[str] | None,
        typer.Option(
            "--between",
            metavar="A,B",
            help="Write examples that tell two selections apart: methods, run (the run's own), a "
            "file of ids, or the folder of another run; several times. Their scores judge in ds2 "
            "compare and teach nothing.",
        ),
    ] = None,
    add: Annotated[
        list[Path] | None,
        typer.Option("--add", metavar="FILE", help="Read a file of scores; several times."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the examples that are worth a trusted score, or read the scores back.

    Without --add the same examples are written three times: gold-sheet.html, a page to score on
    with the keyboard, gold-sheet.csv and gold-sheet.jsonl. --add takes any of them, filled in, or
    what the page downloads. A larger size later extends the plan; what has a score is not asked for
    again, but for --again N: then --add says how far the second scores go with the first. With
    --between the examples are those in which two selections differ, 200 of them or --size, and the
    width to expect of their difference is printed.
    """
    from ds2.cli.progress import listening
    from ds2.runs.ask import add_gold, write_gold_sheets
    from ds2.runs.between import plan_run_between

    if sum([size is not None or bool(between), bool(again), bool(add)]) > 1:
        raise InputError(
            "Give one of --size N (with --between or without) to write examples, --again N to "
            "write some that have a score, or --add FILE to read scores."
        )
    if not add:
        given = overridden(settings)
        with listening() as heard:
            if between:
                pairs = _pairs(between)
                sheets = plan_run_between(run, pairs, size=size, overrides=given, listener=heard)
            else:
                sheets = write_gold_sheets(
                    run, size=size, again=again, overrides=given, listener=heard
                )
        document: dict[str, object] = {
            "files": sheets.files,
            "n_examples": sheets.n_examples,
            "n_new": sheets.n_new,
            "scale": [sheets.low, sheets.high],
        }
        page = next(path for path in sheets.files if path.suffix == ".html")
        lines = [
            f"Wrote {sheets.n_new:,} examples to score"
            + (" once more:" if again else f" (of {sheets.n_examples:,} in the plan):"),
            *(f"  {path}" for path in sheets.files),
            f"Scores go from {sheets.low:g}, the worst, to {sheets.high:g}, the best.",
            f"Open {page} in a browser, score, download, then: "
            f"ds2 gold {quote(str(run))} --add FILE",
        ]
        if sheets.pairs:
            document["pairs"] = [asdict(pair) for pair in sheets.pairs]
            lines += _foretold(sheets.pairs)
    else:
        added = add_gold(run, add or [], overrides=overridden(settings))
        for sentence in added.warnings:
            typer.echo(f"warning: {sentence}", err=True)
        document = {
            "file": added.path,
            "n_scored": added.n_scored,
            "n_added": added.n_added,
            "n_judging": added.n_judging,
            "warnings": added.warnings,
        }
        lines = [
            f"{added.n_added:,} trusted scores added, {added.n_scored:,} in all. Then: "
            f"ds2 {'compare' if added.n_judging else 'run'} {quote(str(run))}",
        ]
        if added.n_judging:
            lines.append(f"{added.n_judging:,} of them judge selections and teach nothing.")
        if (twice := added.again) is not None:
            document["again"] = {"n": twice.n, "spearman": twice.value}
            lines.insert(
                0,
                f"{twice.n:,} examples were scored twice: Spearman {twice.value:.2f} (95 % "
                f"interval {twice.low:.2f} to {twice.high:.2f}) between the first and the second.",
            )
    answer(as_json, document, lines)


def _pairs(given: list[str]) -> list[tuple[str, str]]:
    pairs = [tuple(name.strip() for name in pair.split(",")) for pair in given]
    for pair in pairs:
        if len(pair) != 2 or not all(pair):
            raise InputError(f"--between takes two names, A,B. Got {','.join(pair)!r}.")
    return [(a, b) for a, b in pairs]


def _foretold(pairs: tuple["PlannedPair", ...]) -> list[str]:
    lines = []
    for pair in pairs:
        known = f", and {pair.n_known:,} have a score already" if pair.n_known else ""
        lines += [
            f"{pair.a} − {pair.b}: {pair.n:,} of the plan bear on it, of {pair.n_differ:,} examples"
            f"{known}. Width of its 95 % interval to expect, in levels:",
            *(
                f"  {n:5,} scores  ± {believed:.2f}  (± {nothing:.2f} if the curated scores said "
                "nothing)"
                for n, (believed, nothing) in pair.expected.items()
            ),
        ]
    return [*lines, "These scores judge in ds2 compare. They teach the curation nothing."]


@app.command("rerate", short_help="Choose where the next ratings help most.")
def rerate_command(
    run: Run,
    settings: Set = None,
    *,
    budget: Annotated[
        int, typer.Option("--budget", metavar="N", help="How many ratings may be spent.")
    ],
    noise: Annotated[
        float | None,
        typer.Option(
            "--noise",
            metavar="LEVELS",
            help="Standard deviation of one more rating, in levels. Default: that of the run's "
            "raters; a stronger rater has less.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Choose the examples near the cut whose next rating helps the selection most.

    Writes RUN/rerate.jsonl. A rater of the recipe with only = "rerate.jsonl" rates just these, and
    ds2 run takes its scores to the others'.
    """
    from ds2.cli.progress import listening
    from ds2.runs.ask import plan_run_rerating

    with listening() as heard:
        found = plan_run_rerating(
            run, budget=budget, noise_se=noise, overrides=overridden(settings), listener=heard
        )
    more, low, high = found.gained
    name = quote(str(run))
    lines = [
        f"Wrote {found.path}: {found.n:,} examples whose next rating helps most.",
        f"Of the {found.size:,} selected now, {found.precision:.1%} are expected to be in the "
        f"true top; after these ratings {found.precision_after:.1%}, {more:.0f} more (95 %: "
        f"{low:.0f} to {high:.0f}; one rating taken to be off by {found.noise_se:.2f} levels).",
    ]
    if found.n_first:
        lines += [
            f"{found.n_first:,} of them were never rated, {found.n_random:,} drawn at random, so "
            "that what is rated still speaks for the pool. To rate these:",
            f"  ds2 run {name} --set rate.also=rerate.jsonl",
        ]
    if found.worth and found.n > found.n_first:
        lines.append(
            'To rate those once more: a table [raters.NAME] with only = "rerate.jsonl" in the '
            f"recipe, then ds2 run {name}"
        )
    if not found.worth:
        lines.append(
            "Not worth it: chance can take away as much as these ratings bring. One more rating of "
            f"every example is expected to bring {found.gained_by_all:.0f}. What may help: a "
            f"better rater (--noise says how far off it is), or trusted scores (ds2 gold {name})."
        )
    answer(as_json, asdict(found), lines)


@app.command("score", short_help="Score another pool with what a run has learned.")
def score_command(
    pool: Annotated[
        list[str], typer.Argument(metavar="NEW", help="The pool to score: a file, or several.")
    ],
    run: Annotated[Path, typer.Option("--with", metavar="RUN", help="The run that was rated.")],
    *,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The Parquet file to write.")
    ] = Path("scores.parquet"),
    as_json: Json = False,
) -> None:
    """Predict the ratings of a pool that nobody rated, by the scorer of a run.

    Writes position, id, score and standard error of every row, part by part: memory does not grow
    with the pool. The scorer is fitted to the run's ratings once and kept in RUN/scorer.
    """
    from ds2.cli.progress import listening
    from ds2.runs.score import score_pool

    with listening() as listener:
        found = score_pool(pool, run, out=out, listener=listener)
    for sentence in found.warnings:
        typer.echo(f"warning: {printable(sentence)}", err=True)
    lines = [
        f"Wrote {found.path}: {found.n:,} rows scored, {found.n_left:,} passed over (malformed, "
        f"or without an answer). The scorer agrees with held-out ratings of "
        f"its run by {found.agreement:.2f} (Spearman).",
    ]
    answer(as_json, asdict(found), lines)
