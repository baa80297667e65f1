"""Every method at one budget, side by side, and against random: what `ds2 compare` does."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ds2.checks import check_choice
from ds2.errors import InputError
from ds2.keys import random_order_keys
from ds2.progress import part, steps, told
from ds2.report import (
    LEAST_GOLD,
    Decided,
    Entry,
    Judge,
    Layout,
    MethodsCompared,
    Page,
    State,
    compare_report,
    lay_out,
    page_html,
    page_json,
    page_markdown,
    pick,
    written,
)
from ds2.runs.ask import OWN, found_between
from ds2.runs.contest import (
    Contest,
    costs_of,
    judge_all,
    judges_of,
    open_contest,
    share_of,
)
from ds2.runs.folder import write_text
from ds2.runs.frozen import load
from ds2.runs.job import Job, telling
from ds2.runs.loop import opened
from ds2.runs.proof_page import with_proof_link
from ds2.runs.recipe import Recipe
from ds2.runs.select import Materials
from ds2.runs.unrated import methods_without_scores
from ds2.selection import (
    METHODS,
    VARIANT,
    Comparison,
    Curves,
    Selection,
    compare_selections,
    rule_of,
    share_kept,
)

__all__ = ["Compared", "compare_run", "curves_of", "lay_out_run"]

FILES = ("compare.html", "compare.md", "compare.json")
#: Examples that only one method picked, shown for each.
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison found, and where it was written."""

    files: tuple[Path, ...]  #: the page, the Markdown, the JSON
    verdict: tuple[tuple[str, str], ...]  #: questions and their answers
    #: the methods, best first, a line each; at most five, the run's own among them
    ranking: tuple[str, ...]
    state: State  #: which method to take, why, and the command that takes it
    left_out: Mapping[str, str]  #: by method, why it took no part
    document: str  #: the numbers as one JSON document


class _Selected(NamedTuple):
    """One method's selection, how long it took, and what of it another seed selects as well."""

    selection: Selection
    seconds_s: float
    kept_seed: float | None


def compare_run(job: Job, *, methods: Sequence[str] = ()) -> Compared:
    """Bring the run up to date, select with every method, compare, and write three files.

    By default the methods are those of ``compare.methods``, or all.

    Raises:
        InputError: an unknown method, or no method can select so many rows.
        RunBusyError: another process works on this folder.
    """
    folder, recipe = job.folder, job.recipe
    named = tuple(dict.fromkeys(methods or recipe.compare.methods))
    for name in named:
        check_choice("compare.methods", name, METHODS)
    with opened(job, "select"):
        job.listener.started("compare", "compare methods")
        wanted = named or (tuple(METHODS) if recipe.rated else methods_without_scores())
        contest = open_contest(job, wanted)
        if contest.variant is not None and not named:
            wanted = (*wanted, contest.variant)
        with told(telling(job.listener)):
            share = 1 / (1 + judges_of(contest))
            with part(0.0, 0.75 * share):
                selected, left_out = _enter_all(contest, wanted, named)
            rows = {name: one.selection.rows for name, one in selected.items()}
            with part(0.75 * share, 1 - 0.25 * share):
                judges, kept = judge_all(contest, rows, contest.eligible())
            with part(1 - 0.25 * share, 1.0):
                results = _results(contest, selected, judges, kept, left_out)
        page = compare_report(results)
        document = page_json(page)
        texts = (with_proof_link(page_html(page), folder), page_markdown(page), document)
        for name, text in zip(FILES, texts, strict=True):
            write_text(folder / name, text)
    assert page.state is not None, "every comparison has one"
    return Compared(
        files=tuple(folder / name for name in FILES),
        verdict=tuple((each.question, each.answer) for each in page.findings),
        ranking=_ranking(page),
        state=page.state,
        left_out=left_out,
        document=document,
    )


def curves_of(job: Job) -> Curves:
    """Bring the run up to date, and return what another size or trade would bring."""
    with opened(job, "select"):
        return load(Curves, job.folder)


def _ranking(page: Page) -> tuple[str, ...]:
    """The first five methods of the ranking in a line each; the run's own is one of them."""
    if "ranking" not in page.tables:
        return ()
    part = page.tables["ranking"]
    own = next(place for place, row in enumerate(part.rows) if row[1] == "this run")
    shown = range(min(5, len(part.rows)))
    places = [*shown] if own in shown else [*shown[:-1], own]
    heads = [column.head for column in part.columns]
    lines = []
    for row in (part.rows[place] for place in places):
        said = [
            written(value, column.kind) for value, column in zip(row, part.columns, strict=True)
        ]
        more = [f"{head} {each}" for head, each in zip(heads[2:], said[2:], strict=True)]
        lines.append(", ".join([f"{said[0]} ({said[1]})", *more]))
    return tuple(lines)


def _enter_all(
    contest: Contest, wanted: Sequence[str], named: Sequence[str]
) -> tuple[dict[str, _Selected], dict[str, str]]:
    """What every method selects, and why others take no part."""
    selected: dict[str, _Selected] = {}
    left_out: dict[str, str] = {}
    for name in steps(wanted, costs=costs_of(wanted)):
        start = time.perf_counter()
        lacks = contest.lacking(name, named)
        try:
            selection = None if lacks else contest.select(name)
        except InputError as error:
            selection, lacks = None, str(error)
        seconds = round(time.perf_counter() - start, 3)
        own = selected.get(contest.job.recipe.select.method)
        if selection is None:
            left_out[name] = str(lacks)
        elif own and VARIANT in name and np.array_equal(selection.rows, own.selection.rows):
            left_out[name] = "It selects the same examples."
        else:
            kept = None
            if rule_of(name).cost == "sort":  # once more under another seed where that is cheap
                again = contest.select(name, seed=contest.job.recipe.seed + 1).rows
                kept = share_of(selection.rows, again)
            selected[name] = _Selected(selection, seconds, kept)
    if not selected:
        raise InputError("No method can be compared. {}: {}".format(*next(iter(left_out.items()))))
    return selected, left_out


def _results(
    contest: Contest,
    selected: Mapping[str, _Selected],
    judges: tuple[Judge, ...],
    kept: Mapping[str, float],
    left_out: Mapping[str, str],
) -> MethodsCompared:
    recipe, gold, made_of = contest.job.recipe, contest.gold, contest.materials
    curated, panel = made_of.curated, contest.ratings
    rows = {name: one.selection.rows for name, one in selected.items()}
    known = {"raw": made_of.observed, "curated": made_of.scores}
    values = {name: scores for name, scores in known.items() if scores is not None}
    if gold is not None:
        values["gold"] = gold.levels()
    found = compare_selections(
        rows,
        contest.n,
        values=values,
        lengths=made_of.pool.lengths.astype(np.float64),
        sources=made_of.sources,
        **made_of.near,
    )
    times = np.bincount(np.concatenate(list(rows.values())), minlength=contest.n)
    order, layout = lay_out_run(made_of, recipe)
    return MethodsCompared(
        title=f"{recipe.report.title}: methods compared",
        pool=made_of.pool,
        own=recipe.select.method,
        curation=None if curated is None else curated.method,
        n_scores=0 if panel is None else panel.n_scores,
        tokenizer=recipe.select.tokenizer,
        n_draws=recipe.compare.n_draws,
        found=found,
        entries={
            name: _entry(contest, one, times, kept.get(name)) for name, one in selected.items()
        },
        judges=judges,
        left_out=left_out,
        notes=_notes(contest, found),
        between=_between(contest, rows),
        layout=layout,
        order=order,
        dial=load(Curves, contest.job.folder).by_dial,
        gold_needed=max(0 if curated is None else curated.gold_needed, LEAST_GOLD),
        run=contest.job.folder.resolve().name,
    )


def _entry(contest: Contest, one: _Selected, times: np.ndarray, kept_rater: float | None) -> Entry:
    rows, reasons = one.selection.rows, one.selection.reasons
    alone = np.flatnonzero(times[rows] == 1)
    gold = np.array([]) if contest.gold is None else contest.gold.values[rows]
    pool, scores = contest.materials.pool, contest.materials.scores
    kept = np.nan
    if scores is not None:
        kept = share_kept(scores, len(rows), float(np.nanmean(scores[rows])))
    return Entry(
        rows=rows,
        n_gold=int((~np.isnan(gold)).sum()),
        tokens=int(contest.tokens[rows].sum()),
        seconds_s=one.seconds_s,
        kept_seed=one.kept_seed,
        kept_rater=kept_rater,
        n_only=len(alone),
        only=tuple(
            pick(pool, int(rows[at]), at + 1, reasons[at]) for at in alone[:_SHOWN].tolist()
        ),
        kept=kept,
    )


def _between(contest: Contest, rows: Mapping[str, np.ndarray]) -> tuple[Decided, ...]:
    """What gold drawn between two selections found, and whether they are still the same."""
    if contest.ratings is None:
        return ()
    now = {**rows, OWN: load(Selection, contest.job.folder).rows}
    found = found_between(contest.job.folder, contest.materials.pool, contest.ratings.scale)
    return tuple(
        Decided(
            a.words,
            b.words,
            difference,
            changed=any(
                one.chosen and one.name in now and set(one.rows) != set(now[one.name])
                for one in (a, b)
            ),
        )
        for (a, b), difference in found
    )


def _notes(contest: Contest, found: Comparison) -> tuple[str, ...]:
    notes = []
    if contest.ratings is None:
        notes.append("Methods that go by scores take no part: the run has none.")
    if contest.constraints is not None:
        notes.append(
            "Every method meets the constraints of the recipe. The random selections that it is "
            "held against are drawn from the same rows, without quotas and budgets in tokens."
        )
    if len({part.n for part in found.selections}) > 1:
        sizes = sorted(part.n for part in found.selections)
        notes.append(f"Under the budget the methods select {sizes[0]:,} to {sizes[-1]:,} rows.")
    return tuple(notes)


def lay_out_run(materials: Materials, recipe: Recipe) -> tuple[np.ndarray, Layout]:
    """The rows in the random order that decides which are shown, and the map of all."""
    order = np.argsort(random_order_keys(materials.pool.keys, recipe.seed), kind="stable")
    seed, method = recipe.seed, recipe.compare.map
    layout = lay_out(materials.vectors, materials.neighbors, order, method=method, seed=seed)
    return order, layout
