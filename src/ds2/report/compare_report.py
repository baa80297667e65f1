"""The page of a comparison: does a selection beat random, and what does each method select?

Who beats random, and who is the best, is worked out in `ds2.report.ranking`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from ds2.report import charts
from ds2.report.breadth import breadth_findings, methods_by_breadth, methods_state
from ds2.report.model import (
    Cases,
    Column,
    Figure,
    Finding,
    Page,
    Part,
    Table,
    Tone,
    facts,
    sections,
    table,
)
from ds2.report.plane import plane_table
from ds2.report.ranking import (
    Answer,
    Beats,
    Decided,
    Judge,
    MethodsCompared,
    Rank,
    beats_random,
    compare_state,
    rank_methods,
    ranking_table,
    sure,
    which_is_better,
)
from ds2.report.words import decimal, interval, plural, share, short
from ds2.selection import AgainstRandom, FrontierPoint, rule_of

__all__ = ["compare_report"]

#: Points that the map draws, and characters of the text that each has.
MOST_POINTS, TEXT_LENGTH = 4_000, 160
MOST_SOURCES = 8


def compare_report(n: MethodsCompared) -> Page:
    """Return the page of a comparison."""
    if n.curation is None:
        first, findings, state = methods_by_breadth(n), breadth_findings(n), methods_state(n)
        on_scores: tuple[tuple[str, str, str, Iterable[Part]], ...] = ()
    else:
        beats, ranks = beats_random(n), rank_methods(n)
        first, state = tuple(_first(n, ranks, beats)), compare_state(n, ranks, beats)
        findings = (
            *(_own(n, beats), *map(_decided, n.between), which_is_better(n, ranks)),
            *(_WOULD_CHANGE, _all(beats), _judged_on(n, beats)),
        )
        judges = (_judge(judge, n) for judge in n.judges)
        on_scores = (
            ("random", "Against random", "Against random", (_beats(n, beats), *judges)),
            ("between", "Gold between two selections", "Gold", _between(n)),
        )
    methods: list[Part] = [facts("", "", {name: rule_of(name).source for name in n.entries})]
    alone = (
        Cases(
            f"only {name}",
            f"{name}: {one.n_only:,} of {plural(len(one.rows), 'row')} by it alone",
            one.only,
            shown=1,
        )
        for name, one in n.entries.items()
    )
    if n.left_out:
        methods.append(table("left out", "Left out", "method, why", n.left_out.items()))
    return Page(
        title=n.title,
        lead=f"{plural(len(n.entries), 'method')} select {plural(n.size, 'row')} each of "
        f"{plural(n.found.n, 'example')}. The run itself uses {n.own}, and "
        + (f"curates by {n.curation}." if n.curation else "nobody rated."),
        findings=(*findings, _most_alike(n)),
        notes=tuple(("note", note) for note in n.notes),
        sections=sections(
            ("ranking", "Which method?", "Ranking", first),
            *on_scores,
            ("map", "Map of the pool", "Map", [_map(n)]),
            ("tables", "What each method selects", "Tables", _tables(n)),
            ("overlap", "Overlap", "Overlap", [_overlap(n)]),
            ("picks", "Who picks what", "Who picks what", alone),
            ("methods", "Methods", "Methods", methods),
        ),
        state=state,
        main="ranking" if n.curation is None else "plane",
        run=n.run,
    )


def _first(
    n: MethodsCompared, ranks: tuple[Rank, ...], beats: Mapping[str, Beats]
) -> Iterator[Table]:
    if len(ranks) > 1:
        yield ranking_table(n, ranks, beats)
    if n.dial is not None:
        points = {
            part.name: FrontierPoint(n.entries[part.name].kept, part.coverage, part.redundancy)
            for part in n.found.selections
        }
        yield plane_table(n.dial, points, n.own)


_WOULD_CHANGE = Finding(
    "What would change this?",
    "Trusted scores of rows in which the selections differ; in the end, models trained on them.",
    (
        "Scores are a stand-in: models fine-tuned on this selection and on random ones are the "
        "final judge (ds2 proof RUN --plan).",
    ),
    "plain",
)
#: By the answer for the run's own method: what is said of it, and how settled that is.
_OWN: Mapping[Answer | None, tuple[str, Tone]] = {
    None: ("Its method, {own}, is not part of this comparison.", "open"),
    "is random": ("It is random: the method is {own}.", "plain"),
    "yes": ("Yes, {own} does.", "care"),
    "no": ("No: {own} is shown to be worse than random.", "open"),
    "not shown": ("That is not shown for {own}.", "open"),
    "not known": ("Nothing here can say.", "open"),
}


def _own(n: MethodsCompared, beats: Mapping[str, Beats]) -> Finding:
    own = beats.get(n.own)
    answer, tone = _OWN[own.answer if own else None]
    detail = () if tone == "plain" else ([own.says] if own else [])
    question = "Does the run's selection beat random?"
    return Finding(question, answer.format(own=n.own), tuple(detail), tone)


_ALL: Mapping[Answer, str] = {
    "yes": "Beat random",
    "no": "Worse than random",
    "not shown": "Neither is shown",
    "not known": "Not known",
}


def _all(beats: Mapping[str, Beats]) -> Finding:
    named = {
        says: [name for name, each in beats.items() if each.answer == answer]
        for answer, says in _ALL.items()
    }
    parts = [f"{says}: {', '.join(names)}." for says, names in named.items() if names]
    first, *others = parts or ["There is no other method than random."]
    return Finding("Which methods beat random?", first, tuple(others), "plain")


_LENGTH = (
    "The method length, which looks at nothing but the number of characters, beats random as well: "
    "a judge that likes long answers would say so whatever they are worth. Read what is left "
    "against random selections of the same lengths."
)
_SHARED = (
    "What raters share, such as a liking for long answers, looks like quality to all of them; only "
    "gold can show it."
)
_KEPT = (
    "The scores of a judge were kept from noise, curation and selection, which were made anew "
    "without them: of a rater all, of gold a third at a time. The interval is paired: rows that "
    "both selections hold cancel out."
)
_NO_JUDGE = (
    "A rater cannot judge what was chosen by its own scores. Trusted scores settle it (ds2 gold "
    "RUN --between run,random), or a second rater (a second --scores "
    "column, or [raters.NAME] in the recipe)."
)


def _judged_on(n: MethodsCompared, beats: Mapping[str, Beats]) -> Finding:
    question = "What is that judged on?"
    gold = [judge for judge in n.judges if judge.kind == "gold"]
    raters = [judge.name for judge in n.judges if judge.kind == "rater"]
    if not n.judges:
        answer = "There is nothing independent to judge by: one rater, and no gold."
        return Finding(question, answer, (_NO_JUDGE,), "open")
    few = [one.plain.n for judge in gold for one in judge.methods.values() if not sure(one.plain)]
    length = beats.get("length")
    detail = [
        _KEPT,
        f"Random: {n.n_draws:,} selections of {n.size:,} rows that leave out exact "
        "duplicates, too.",
    ]
    if few:
        detail.append(
            f"{plural(len(few), 'method')} selected too few rows that have gold ({min(few)} to "
            f"{max(few)}; 8 are the least)."
        )
    detail += [_SHARED] if raters else []
    detail += [_LENGTH] if length and length.answer == "yes" else []
    detail += [judge.note for judge in n.judges if judge.note]
    answers = [f"{judge.n_values:,} trusted scores" for judge in gold]
    answers += [f"each rater in turn, held out ({', '.join(raters)})"] if raters else []
    return Finding(question, f"On {' and '.join(answers)}.", tuple(detail), "plain")


def _most_alike(n: MethodsCompared) -> Finding:
    question, names = "Do the methods select the same rows?", list(n.entries)
    pairs = sorted(
        (-float(n.found.overlap[i][j]), names[i], names[j])
        for i in range(len(names))
        for j in range(i)
    )
    if not pairs:
        return Finding(question, "There is one method.", (), "plain")
    (most, a, b), (least, c, d) = pairs[0], pairs[-1]
    return Finding(
        question,
        f"Half of the pairs share less than {share(-pairs[len(pairs) // 2][0])} of their rows; "
        f"chance is {share(n.chance)}.",
        (
            f"Most alike are {b} and {a} ({share(-most)} in common), least alike {d} and {c} "
            f"({share(-least)}).",
        ),
        "plain",
    )


def _difference(found: AgainstRandom | None) -> tuple[float, float, float] | None:
    return None if found is None else (found.difference, found.low, found.high)


def _is_mixed(judges: Sequence[Judge]) -> bool:
    return any(one.mixed is not None for judge in judges for one in judge.methods.values())


def _beats(n: MethodsCompared, beats: Mapping[str, Beats]) -> Table:
    """Whether each method beats random: the answers, and the difference by every judge."""
    shown = ["same_length"] * bool(n.judges) + ["same_mix"] * _is_mixed(n.judges)
    named = {"same_length": "at the same lengths", "same_mix": "with the same sources"}
    rows = []
    for name, each in beats.items():
        same = [None if each.answer == "is random" else getattr(each, answer) for answer in shown]
        judged = [judge.methods.get(name) for judge in n.judges]
        found = [None if one is None else _difference(one.plain) for one in judged]
        rows.append((name, each.answer, *same, *found))
    return table(
        "beats random",
        "Does it beat random?",
        (
            *map(Column, ("method", "answer", *map(named.__getitem__, shown))),
            *(Column(judge.words, "level") for judge in n.judges),
        ),
        rows,
        says="Yes: every judge shows it to be better. No: every judge shows it to be worse. The "
        "second answer is that against random selections with the same lengths, which a liking for "
        "long answers cannot explain. Differences are in levels of the scale, with 95 % intervals."
        if n.judges
        else "",
    )


def _decided(one: Decided) -> Finding:
    found = one.found
    tone: Tone = "care"
    if np.isnan(found.low):
        answer, tone = "Too few of the planned examples have a score to say.", "open"
    elif found.low > 0 or found.high < 0:
        better = one.a if found.low > 0 else one.b
        answer = f"{better[:1].upper()}{better[1:]}, by {decimal(abs(found.value))} levels."
    else:
        answer, tone = f"Not shown: {decimal(found.value)} levels.", "open"
    detail = [
        f"95 % interval {interval(found.low, found.high)}, from {found.n:,} of "
        f"{found.n_planned:,} trusted scores that judge and taught nothing."
    ]
    if one.changed:
        detail.append(_CHANGED)
    return Finding(f"Which has the higher mean: {one.a}, or {one.b}?", answer, tuple(detail), tone)


_CHANGED = (
    "This is of the selections as they were when the gold was planned; one of them selects other "
    "rows now. The same ds2 gold RUN --between plans for those, and scores that fit are used again."
)


def _between(n: MethodsCompared) -> Iterator[Table]:
    if n.between:
        yield table(
            "between",
            "Mean of A − mean of B",
            "A, B, difference: level, without curated scores: level, trust: decimal, scores, "
            "planned, as planned",
            [
                (
                    *(one.a, one.b),
                    *(one.found, one.found.plain, one.found.trust),
                    *(one.found.n, one.found.n_planned),
                    "changed since" if one.changed else "yes",
                )
                for one in n.between
            ],
            says="From trusted scores drawn where the two differ (ds2 gold RUN --between A,B), in "
            "levels of the scale, with 95 % intervals. The first figure leans on the curated "
            "scores as far as the trusted ones bear them out (trust), the second does not "
            "(Horvitz and Thompson).",
        )


def _judge(judge: Judge, n: MethodsCompared) -> Table:
    mixed = _is_mixed([judge])
    without = f" Not possible without it: {', '.join(judge.left_out)}." if judge.left_out else ""
    sources = ", with the same sources: level" if mixed else ""
    return table(
        f"judged on {judge.name}",
        f"Judged on {judge.words}",
        f"method, selected, random, difference: level{sources}, with the same lengths: level, "
        "random ones below: share, rows judged",
        [
            (
                *(method, one.plain.chosen, one.plain.random, _difference(one.plain)),
                *([_difference(one.mixed)] if mixed else []),
                _difference(one.same_length),
                None if np.isnan(one.plain.chosen) else one.plain.beaten,
                one.plain.n,
            )
            for method, one in judge.methods.items()
        ],
        says=f"{judge.n_values:,} rows have its score, from 0 to {n.n_scores - 1}. "
        f"{n.n_draws:,} random selections were drawn.{without}",
        folded=len(n.judges) > 1,
    )


def _map(n: MethodsCompared) -> Table:
    """The map: what the run's method selects, what others alone do, and a part of the rest."""
    own = n.own if n.own in n.entries else next(iter(n.entries))
    kinds = np.full(n.found.n, 2)
    for entry in n.entries.values():
        kinds[entry.rows] = 1
    kinds[n.entries[own].rows] = 0
    lists = [n.entries[own].rows[: MOST_POINTS // 2].tolist()]
    lists += [n.order[kinds[n.order] == kind][: MOST_POINTS // 4].tolist() for kind in (1, 2)]
    shown = [row for rows in lists for row in rows]
    low, high = np.quantile(n.layout.places.astype(np.float64), (0.001, 0.999), axis=0)
    places = np.clip((n.layout.places - low) / np.maximum(high - low, 1e-12), 0.0, 1.0)
    names = ("picked", "other", "rest")
    texts = dict(zip(shown, n.pool.take(shown).texts(), strict=True))
    points = [
        (names[kinds[row]], *places[row].tolist(), short(texts[row], TEXT_LENGTH))
        for row in reversed(shown)
    ]
    carry = (
        "Laid out by UMAP from the neighbours of the run: what lies together belongs together, "
        "distances between groups mean little."
        if n.layout.explained is None
        else "The axes are the two directions of largest variance (PCA), which carry "
        f"{share(n.layout.explained)} of it: points that lie together here may still be far apart."
    )
    kinds_of = (f"selected by {own}", "selected by other methods alone", "not selected")
    legend = (("picked", kinds_of[0]), ("other", kinds_of[1]), ("rest", kinds_of[2]))
    return table(
        "map",
        "Points of the map",
        "examples, in the pool, drawn",
        [
            (says, int((kinds == kind).sum()), len(rows))
            for kind, (says, rows) in enumerate(zip(kinds_of, lists, strict=True))
        ],
        says="Each point is an example; examples with like texts lie close together, and a point "
        f"shows its text where one points at it. {carry} To search, filter and follow neighbours: "
        "ds2 explore.",
        figure=Figure(charts.point_chart("Map of the pool", points), legend),
    )


def _tables(n: MethodsCompared) -> Iterator[Table]:
    """What each method selects: scores, diversity, length and cost, sources."""
    parts = [(part, n.entries[part.name]) for part in n.found.selections]
    golden = any(entry.n_gold for _, entry in parts)
    several = any(entry.kept_rater is not None for _, entry in parts)
    uses = {part.name: rule_of(part.name).uses for part, _ in parts}
    if n.curation is not None:
        yield table(
            "mean scores",
            "Mean scores",
            f"method, raw, curated{', gold, rows with gold' if golden else ''}, goes by",
            [
                (
                    *(part.name, part.means["raw"], part.means["curated"]),
                    *([part.means.get("gold"), entry.n_gold] if golden else []),
                    f"{uses[part.name]} scores" if uses[part.name] else "no score",
                )
                for part, entry in parts
            ],
            says="A method that goes by scores maximises them, so its own means of raw and curated "
            "scores are optimistic (the winner's curse): read them as a description, and the "
            "tables against random as the evidence."
            + (" The mean of gold counts every scored row once." if golden else ""),
        )
    yield table(
        "diversity",
        "Diversity",
        "method, long-tail score: fine, coverage: share, redundancy: share, "
        "distance to the nearest selected: fine",
        [(m.name, m.tail, m.coverage, m.redundancy, m.nearest) for m, _ in parts],
        says=f"Near means within {decimal(n.found.radius, 3)}, the median distance of a row to its "
        "last neighbour. Coverage is the share of the pool with a selected row near it (measured "
        f"on {n.found.n_sampled:,} rows), redundancy the share of selected rows with another one "
        "near.",
    )
    unit = "characters" if n.tokenizer == "characters" else "tokens"
    yield table(
        "costs",
        "Rows, length, stability, time",
        f"method, rows, by it alone, characters of a completion, {unit} in all, "
        f"kept under another seed: share{', kept without one rater: share' * several}, seconds",
        [
            (
                *(part.name, part.n, entry.n_only),
                None if np.isnan(part.length) else round(part.length),
                *(entry.tokens, entry.kept_seed),
                *([entry.kept_rater] if several else []),
                entry.seconds_s,
            )
            for part, entry in parts
        ],
        says="Kept is the share of the rows that are selected again: under another seed (a dash "
        "where that would cost as much again as the selection)"
        + (", and on average when one of the raters is left out." if several else "."),
    )
    total: Counter[str] = Counter()
    for part, _ in parts:
        total.update(part.sources)
    shown = [label for label, _ in total.most_common(MOST_SOURCES)]
    left = len(total) - len(shown)
    if len(total) > 1:
        yield table(
            "sources",
            "Sources",
            ", ".join(["source", *(f"{name}: share" for name in n.entries)]),
            [
                (label or "no source", *(part.sources.get(label, 0.0) for part, _ in parts))
                for label in shown
            ],
            says="Share of the rows that each method selects, by source."
            + (f" {left:,} smaller sources are left out." if left > 0 else ""),
        )


def _overlap(n: MethodsCompared) -> Table:
    return table(
        "overlap",
        "Rows in common",
        ", ".join(["method", *(f"{name}: share" for name in n.entries)]),
        [(name, *row) for name, row in zip(n.entries, n.found.overlap.tolist(), strict=True)],
        says=f"The share of rows that two selections share; by chance {share(n.chance)}.",
        heat=True,
    )
