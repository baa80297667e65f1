"""Commands around evidence: trusted scores, and where the next rating helps most."""

from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from ds2.cli.base import Json, Run, Set, answer, app, option, overridden, tell, working
from ds2.errors import InputError

if TYPE_CHECKING:
    from ds2.runs.ask import PlannedPair

__all__ = ["gold_command", "rerate_command", "score_command"]


@app.command("gold", short_help="Choose examples for trusted scores; read scores back.")
def gold_command(
    run: Run,
    settings: Set = None,
    *,
    size: int | None = option(
        "--size N",
        "Write N examples for people to score. Default: as many as would tell, on this "
        "pool, a gain worth having from none.",
    ),
    again: int = option(
        "--again N",
        "Write N examples that have a trusted score, to be scored once more as a check.",
        min=0,
        default=0,
    ),
    between: list[str] | None = option(
        "--between A,B",
        "Write examples that tell two selections apart: methods, run (the run's own), a "
        "file of ids, or the folder of another run; several times. Their scores judge in ds2 "
        "compare and teach nothing.",
    ),
    add: list[Path] | None = option("--add FILE", "Read a file of scores; several times."),
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
    from ds2.runs.ask import add_gold, write_gold_sheets
    from ds2.runs.between import plan_run_between
    from ds2.runs.job import Job

    if sum([size is not None or bool(between), bool(again), bool(add)]) > 1:
        raise InputError(
            "Give one of --size N (with --between or without) to write examples, --again N to "
            "write some that have a score, or --add FILE to read scores."
        )
    if not add:
        with working(run, settings) as job:
            if between:
                sheets = plan_run_between(job, _pairs(between), size=size)
            else:
                sheets = write_gold_sheets(job, size=size, again=again)
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
        added = add_gold(Job.of(run, overridden(settings)), add)
        tell(*added.warnings, label="warning: ")
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
    budget: int = option("--budget N", "How many ratings may be spent.", default=...),
    noise: float | None = option(
        "--noise LEVELS",
        "Standard deviation of one more rating, in levels. Default: that of the run's "
        "raters; a stronger rater has less.",
    ),
    as_json: Json = False,
) -> None:
    """Choose the examples near the cut whose next rating helps the selection most.

    Writes RUN/rerate.jsonl. A rater of the recipe with only = "rerate.jsonl" rates just these, and
    ds2 run takes its scores to the others'.
    """
    from ds2.runs.rerate import plan_run_rerating

    with working(run, settings) as job:
        found = plan_run_rerating(job, budget=budget, noise_se=noise)
    more, low, high = found.gained
    name = quote(str(run))
    lines = [
        f"Wrote {found.path}: {found.n:,} examples whose next rating helps most.",
        f"Of the {found.size:,} examples that are likeliest to be in the true top, "
        f"{found.precision:.1%} are expected to be in it; after these ratings "
        f"{found.precision_after:.1%}, {more:.0f} more (95 %: {low:.0f} to {high:.0f}; "
        f"one rating taken to be off by {found.noise_se:.2f} levels).",
    ]
    if found.n_first:
        lines += [
            f"{found.n_first:,} of them were never rated, {found.n_random:,} drawn at random, so "
            "that what is rated still speaks for the pool. To rate these:",
            f"  ds2 run {name} --set rate.also={quote(str(found.path))}",
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
    run: Path = option("--with RUN", "The run that was rated.", default=...),
    *,
    out: Path = option("--out FILE", "The Parquet file to write.", default=Path("scores.parquet")),
    as_json: Json = False,
) -> None:
    """Predict the ratings of a pool that nobody rated, by the scorer of a run.

    Writes position, id, score and standard error of every row, part by part: memory does not grow
    with the pool. The scorer is fitted to the run's ratings once and kept in RUN/scorer.
    """
    from ds2.runs.score import score_pool

    with working(run, None) as job:
        found = score_pool(pool, job, out=out)
    tell(*found.warnings, label="warning: ")
    lines = [
        f"Wrote {found.path}: {found.n:,} rows scored, {found.n_left:,} passed over (malformed, "
        f"or without an answer). The scorer agrees with held-out ratings of "
        f"its run by {found.agreement:.2f} (Spearman).",
    ]
    answer(as_json, asdict(found), lines)
