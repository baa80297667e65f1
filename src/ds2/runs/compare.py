"""Every method at one budget, side by side, and against random: what `ds2 compare` does."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ds2.atomic import writing
from ds2.checks import check_choice
from ds2.errors import InputError
from ds2.report import (
    CompareNumbers,
    LeftOut,
    MethodNumbers,
    Pick,
    Share,
    beats_random,
    choose_points,
    compare_findings,
    comparison_json,
    comparison_markdown,
    pick_of,
    render_comparison,
)
from ds2.runs.compare_inputs import Contest, open_contest, recipe_words
from ds2.runs.compare_judges import Verdicts, judge_all, n_judges, number
from ds2.runs.compare_map import lay_out_run
from ds2.runs.job import Job
from ds2.runs.listener import Listener
from ds2.runs.loop import run
from ds2.runs.proof_page import with_proof_link
from ds2.runs.recipe_file import load_recipe
from ds2.runs.store import locked
from ds2.runs.tables import observed_of
from ds2.selection import (
    METHODS,
    ComparedSelection,
    Comparison,
    Selection,
    compare_selections,
    looks_at_scores,
)

__all__ = ["Compared", "compare_run"]

FILES = ("compare.html", "compare.md", "compare.json")
#: Examples that only one method picked, shown for each.
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison found, and where it was written.

    Attributes:
        files: the page, the Markdown, the JSON.
        verdict: questions and their answers, the first with the figures behind it.
        beats_random: by method "yes", "no", "not shown", "not known" or "is random".
        left_out: by method, why it took no part.
        document: the numbers as one JSON document.
    """

    files: tuple[Path, ...]
    verdict: tuple[tuple[str, str], ...]
    beats_random: Mapping[str, str]
    left_out: Mapping[str, str]
    document: str


@dataclass(frozen=True, slots=True)
class _Entry:
    """One method's selection."""

    selection: Selection
    seconds_s: float
    kept_seed: float | None


def compare_run(
    folder: Path,
    *,
    methods: Sequence[str] = (),
    overrides: Mapping[str, object] | None = None,
    listener: Listener | None = None,
) -> Compared:
    """Bring the run up to date, select with every method, compare, and write three files.

    Args:
        folder: the run folder.
        methods: the methods to compare; by default those of ``compare.methods``, or all.
        overrides: settings by dotted key that win over the recipe, for this call alone.
        listener: is told what happens.

    Raises:
        InputError: an unknown method, or no method can select so many rows.
        RunBusyError: another process works on this folder.
    """
    listener = listener or Listener()
    recipe = load_recipe(folder, overrides)
    named = tuple(dict.fromkeys(methods or recipe.compare.methods))
    for name in named:
        check_choice("compare.methods", name, METHODS)
    run(folder, until="select", overrides=overrides, listener=listener)
    listener.started("compare", "compare methods")
    with locked(folder):
        wanted = named or tuple(METHODS)
        contest = open_contest(Job(folder, recipe, listener.progress, listener.said), wanted)
        steps = len(wanted) + n_judges(contest) + 1
        done = 0

        def advance() -> None:
            nonlocal done
            done += 1
            listener.progress(done, steps)

        entries, left_out = {}, []
        for name in wanted:
            found = _enter(contest, name, named)
            if isinstance(found, LeftOut):
                left_out.append(found)
            else:
                entries[name] = found
            advance()
        if not entries:
            raise InputError(f"No method can be compared. {left_out[0].method}: {left_out[0].why}")
        rows = {name: entry.selection.rows for name, entry in entries.items()}
        verdicts = judge_all(contest, rows, _drawn_from(contest), advance)
        numbers = _numbers(contest, entries, verdicts, left_out)
        document = comparison_json(numbers)
        _write(folder, numbers, document, contest, rows)
    return Compared(
        files=tuple(folder / name for name in FILES),
        verdict=_verdict(numbers),
        beats_random={each.method: each.answer for each in beats_random(numbers)},
        left_out={each.method: each.why for each in left_out},
        document=document,
    )


def _enter(contest: Contest, name: str, named: Sequence[str]) -> _Entry | LeftOut:
    """Let one method select, once more under another seed where that is cheap."""
    lacks = contest.lacking(name, named)
    if lacks is not None:
        return LeftOut(name, lacks)
    start = time.perf_counter()
    try:
        selection = contest.select(name)
    except InputError as error:
        return LeftOut(name, recipe_words(error))
    seconds = time.perf_counter() - start
    kept = None
    if METHODS[name].cost == "sort":
        again = contest.select(name, seed=contest.job.recipe.seed + 1).rows
        common = np.intersect1d(again, selection.rows, assume_unique=True)
        kept = len(common) / len(selection.rows)
    return _Entry(selection, round(seconds, 3), kept)


def _numbers(
    contest: Contest,
    entries: Mapping[str, _Entry],
    verdicts: Verdicts,
    left_out: Sequence[LeftOut],
) -> CompareNumbers:
    recipe, gold, made_of = contest.job.recipe, contest.gold, contest.materials
    curation = made_of.curation
    values = {"raw": observed_of(curation), "curated": curation.scores}
    if gold is not None:
        values["gold"] = gold.levels()
    found = compare_selections(
        {name: entry.selection.rows for name, entry in entries.items()},
        contest.n,
        values=values,
        vectors=made_of.vectors,
        neighbors=made_of.neighbors,
        lengths=made_of.pool.lengths.astype(np.float64),
        sources=contest.sources,
        keys=made_of.pool.keys,
        seed=recipe.seed,
    )
    times = np.zeros(contest.n, dtype=np.int64)
    for entry in entries.values():
        times[entry.selection.rows] += 1
    return CompareNumbers(
        title=f"{recipe.report.title}: methods compared",
        n=contest.n,
        size=max(part.n for part in found.selections),
        own=recipe.select.method,
        curation=curation.method,
        n_raters=len(contest.panel),
        n_scores=contest.panel.n_scores,
        methods=tuple(
            _method(contest, part, entries[part.name], times, verdicts) for part in found.selections
        ),
        overlap=tuple(tuple(float(value) for value in row) for row in found.overlap),
        chance=max(part.n for part in found.selections) / contest.n,
        radius=number(found.radius),
        n_sampled=found.n_sampled,
        n_draws=recipe.compare.n_draws,
        tokenizer=recipe.select.tokenizer,
        judges=verdicts.judges,
        left_out=tuple(left_out),
        notes=_notes(contest, found),
    )


def _method(
    contest: Contest,
    part: ComparedSelection,
    entry: _Entry,
    times: np.ndarray,
    verdicts: Verdicts,
) -> MethodNumbers:
    method, rows = METHODS[part.name], entry.selection.rows
    alone = np.flatnonzero(times[rows] == 1)
    gold = np.array([]) if contest.gold is None else contest.gold.values[rows]
    reads = ""
    if looks_at_scores(part.name):
        reads = "curated" if "scores" in method.needs else "raw"
    return MethodNumbers(
        name=part.name,
        source=method.source,
        reads=reads,
        is_random=part.name in ("random", "random-by-source"),
        n=part.n,
        raw=number(part.means["raw"]),
        curated=number(part.means["curated"]),
        gold=number(part.means.get("gold", float("nan"))),
        n_gold=int((~np.isnan(gold)).sum()),
        tail=number(part.tail),
        coverage=number(part.coverage),
        redundancy=number(part.redundancy),
        nearest=number(part.nearest),
        length=number(part.length),
        tokens=int(contest.tokens[rows].sum()),
        seconds_s=entry.seconds_s,
        kept_seed=entry.kept_seed,
        kept_rater=verdicts.kept.get(part.name),
        sources=tuple(Share(label, share) for label, share in part.sources.items()),
        n_only=len(alone),
        only=tuple(_pick(contest, entry.selection, int(at)) for at in alone[:_SHOWN]),
    )


def _pick(contest: Contest, selection: Selection, at: int) -> Pick:
    return pick_of(contest.materials.pool, int(selection.rows[at]), at + 1, selection.reasons[at])


def _notes(contest: Contest, found: Comparison) -> tuple[str, ...]:
    notes = []
    if contest.constraints is not None:
        notes.append(
            "Every method meets the constraints of the recipe. The random selections that it is "
            "held against are drawn from the same rows, without quotas and budgets in tokens."
        )
    if len({part.n for part in found.selections}) > 1:
        sizes = sorted(part.n for part in found.selections)
        notes.append(f"Under the budget the methods select {sizes[0]:,} to {sizes[-1]:,} rows.")
    return tuple(notes)


def _drawn_from(contest: Contest) -> np.ndarray:
    """(n,) The rows that can be selected without looking at scores."""
    eligible = np.ones(contest.n, dtype=bool)
    for left_out in contest.select("random").dropped_rows.values():
        eligible[left_out] = False
    return eligible


def _write(
    folder: Path,
    numbers: CompareNumbers,
    document: str,
    contest: Contest,
    rows: Mapping[str, np.ndarray],
) -> None:
    recipe = contest.job.recipe
    order, layout = lay_out_run(contest.materials, recipe)
    page = render_comparison(numbers, choose_points(contest.materials.pool, layout, rows, order))
    page = with_proof_link(page, folder)
    for name, text in zip(FILES, (page, comparison_markdown(numbers), document), strict=True):
        with writing(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _verdict(numbers: CompareNumbers) -> tuple[tuple[str, str], ...]:
    own, *others = compare_findings(numbers)
    first = (own.question, " ".join([own.answer, *own.detail]))
    return (first, *((each.question, each.answer) for each in others))
