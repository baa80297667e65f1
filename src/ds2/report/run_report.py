"""The report of a run: what every stage left, as one page."""

import itertools
import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ds2._version import __version__
from ds2.noise import LOW_LIFT
from ds2.pool import Pool
from ds2.report import charts
from ds2.report.breadth import against_random_rows, breadth_state, breadth_verdict
from ds2.report.leanings import LENGTH, in_words, of_selection
from ds2.report.model import (
    Case,
    Cases,
    Fact,
    Facts,
    Figure,
    Page,
    Part,
    Table,
    by_level,
    facts,
    sections,
    table,
)
from ds2.report.plane import plane_table, size_table
from ds2.report.raters import rater_tables
from ds2.report.results import Chosen, Results, mean, moves, to_levels
from ds2.report.tables import against_pool, goes_with, rows_table, scored_parts
from ds2.report.verdict import RAW, intervals_from, run_state, standing, verdict
from ds2.report.words import NOT_ENOUGH, decimal, either_share, excerpt, plural
from ds2.selection import rule_of

__all__ = ["pick", "run_report", "training_tables"]

Named = tuple[str, str, str, Iterable[Part]]
MOST_VALUE, MOST_ID, MOST_REASON = 200, 80, 200


def run_report(found: Chosen) -> Page:
    """Return the report of a run, from what its stages left."""
    about = found.embedding
    said = {
        "pool": found.pool.warnings,
        "embedding": () if about is None else about.warnings,
    }
    if isinstance(found, Results):
        rated = f"{found.n_rated:,} rated by {', '.join(found.ratings.raters)}, "
        findings, state = verdict(found), run_state(found)
        of_scores, more = _about_scores(found)
        said = {"pool": said.pop("pool"), "ratings": more.pop("ratings"), **said, **more}
    else:
        rated, findings, state = "not rated, ", breadth_verdict(found), breadth_state(found)
        of_scores = ()
    first = "Score, breadth and size" if of_scores else "Breadth and size"
    said["selection"] = in_words(
        of_selection(np.asarray(found.pool.lengths), found.selection.rows),
        control=_controlled(found),
        curated=rule_of(found.selection.method).uses == "curated",
    )
    words = (_SCORE_WORDS if of_scores else {}) | _WORDS
    made_by = {"ds2": __version__, "python": platform.python_version(), "numpy": np.__version__}
    settings = [
        Facts("settings", "Settings that are not the default", tuple(_flat(found.settings))),
        facts("versions", "Versions", made_by),
    ]
    return Page(
        title=found.title,
        lead=f"{plural(len(found.pool), 'example')}, {rated}"
        f"{len(found.selection.rows):,} selected.",
        findings=findings,
        notes=joined(said),
        sections=sections(
            ("frontier", first, "Frontier" if of_scores else "Breadth", _curves(found)),
            *of_scores,
            ("selection", "What was selected", "Selection", _selection(found)),
            ("examples", "Examples", "Rows", [rows_table(found)]),
            ("training", "Training", "Training", training_tables(found.losses)),
            ("pool", "The pool and what was read from it", "Pool", _pool(found)),
            ("settings", "Settings and versions", "Settings", settings),
            ("words", "Words", "Words", [facts("", "", words)]),
        ),
        state=state,
        main="plane" if of_scores else "sizes",
        pictures=(
            *(("sizes", "scores", "matrix") if of_scores else ()),
            *("by source", "by length", "agreement of raters"),
        ),
        run=found.run,
    )


def _about_scores(found: Results) -> tuple[tuple[Named, ...], dict[str, tuple[str, ...]]]:
    """The sections that a run without scores does not have, and what those stages said."""
    raters, rater_notes = rater_tables(found)
    step = found.bias_rows.step
    some = "" if step == 1 else f" Measured on one example in {step}."
    bias = goes_with(
        *("bias", "What else the scores go with", found.bias, ("raw", "curated")),
        says="Spearman's correlation for numbers, the correlation ratio eta for labels (0 is none, "
        "1 is all). A bias that raters or neighbours share is in both; only trusted scores can "
        f"tell it from quality.{some}",
    )
    parts = (
        ("scores", "Scores, raw and curated", "Scores", [_scores(found), bias]),
        ("noise", "The transition matrix", "Noise", _noise(found)),
        ("agreement", "Do neighbours agree?", "Agreement", [_lift(found)]),
        ("raters", "Raters", "Raters", raters),
        ("truth", "Against the known scores", "Known scores", _truth(found)),
        ("scored", "Rated and scored", "Scored", scored_parts(found)),
        ("changes", "What curation changed", "Changes", _changes(found)),
    )
    return parts, {
        "ratings": (*found.ratings.warnings, *rater_notes),
        "noise": found.noise.warnings,
        "curation": (
            *found.curation.warnings,
            *in_words(
                [one for one in found.leanings if one.of == LENGTH],
                control=_controlled(found),
                gold=found.noise.n_gold > 0,
            ),
        ),
    }


def _controlled(found: Chosen) -> tuple[str, ...]:
    """What the recipe has taken out of the curated scores."""
    control = found.settings.get("curate.control")
    return tuple(control) if isinstance(control, (list, tuple)) else ()


def joined(said: Mapping[str, Sequence[str]]) -> tuple[tuple[str, str], ...]:
    """What stages said, each once, with what one of them said together."""
    seen: set[str] = set()
    notes = []
    for stage, sentences in said.items():
        fresh = [each for each in dict.fromkeys(sentences) if each not in seen]
        seen.update(fresh)
        notes += [(stage, " ".join(fresh))] if fresh else []
    return tuple(notes)


def _curves(found: Chosen) -> Iterator[Part]:
    if found.curves is None:
        return
    dial = found.curves.by_dial
    if dial is not None:
        yield plane_table(dial, dial.methods, found.selection.method)
    if not found.scores:
        yield against_random_rows(found, found.curves)
    yield size_table(found.curves, len(found.selection.rows))


def _noise(found: Results) -> Iterator[Part]:
    noise, rho = found.first, f"ρ = {decimal(found.first.rho)}"
    if standing(found) in ("unknown", "absent", "weak"):
        yield (
            "Lift is low here, so this matrix mixes the rater's noise with neighbours that do not "
            "share a true score. Read the range below it, not one cell."
        )
    unknown = np.full((2, *noise.matrix.shape), np.nan)
    ends = unknown if noise.intervals is None else noise.intervals
    cells = np.stack([found.matrix(), *map(found.matrix, ends)], axis=-1)
    of_first = f" of {found.ratings.raters[0]}" if len(found.ratings.raters) > 1 else ""
    yield table(
        "matrix",
        f"P(observed score given true score){of_first}, at {rho}",
        f"true score, {by_level('observed {}', found.n_scores)}",
        [(f"true {level}", *row.tolist()) for level, row in enumerate(cells)],
        says="Each row is a true score, each column the score that was observed instead, with 95 % "
        "intervals. The outlined diagonal is how often a true score is seen as itself.",
        heat=True,
    )
    if noise.range is None:
        yield f"No range over ρ was computed: the matrix takes {rho} as given."
    else:
        yield _range(found, noise.range, rho)
    of_what = "not computed" if noise.intervals is None else f"from {intervals_from(found)}"
    yield facts(
        "noise",
        "How the matrix was found",
        {
            "Different examples with a score": int(noise.n_examples),
            "Examples without one": int(noise.n_missing),
            "Share of wrong scores at ρ: share": noise.error_rate,
            "ρ": noise.rho,
            "ρ rests on": noise.rho_source,
            "Neighbours counted": int(noise.n_neighbors),
            "Misfit (total variation from the counted triples of scores): fine": noise.fit,
            "exceeded once in 20 if the model holds: fine": noise.fit_expected,
            "Iterations": int(noise.iterations),
            "Converged": _yes(noise.converged),
            "Every score most often itself": _yes(noise.diagonal_dominant),
            "Intervals": of_what,
        },
    )


def _range(found: Results, span: np.ndarray, rho: str) -> Table:
    noise, alone = found.first, found.first.matrix_source == "neighbors"
    least, most = found.error_ends or (noise.error_rate, noise.error_rate)
    low, high = map(decimal, noise.rho_range)
    ends = np.sort(np.stack([found.matrix(end).diagonal() for end in span]), axis=0)
    plausible = (
        f"The scores alone do not fix it: anything from {low}, the least that the neighbours' "
        f"agreement allows, to {high} is plausible."
        if alone
        else f"Anything from {low} to {high} fits the evidence."
        if low != high
        else f"Here it is {low}."
    )
    return table(
        "range",
        "How far the matrix depends on its assumption",
        f"true score, examples it rests on, seen as itself at {rho}, over plausible ρ",
        [
            (str(level), round(float(n)), found.matrix()[level, level], tuple(ends[:, level]))
            for level, n in enumerate(noise.effective_counts)
        ],
        says="ρ says how much more often than by chance neighbours share a true score: 0 is "
        f"chance, 1 is always. {plausible} Over that range, chance included, "
        f"{either_share(least, most)} of the scores are wrong."
        + (" A second rater or trusted (gold) scores narrow it." if alone else ""),
    )


def _yes(holds: object) -> str:
    return "yes" if holds else "no"


def _lift(found: Results) -> Table:
    lifts = found.first.lifts
    spans = [charts.Span(f"k = {one.k}", *_finite(one.value, one.low, one.high)) for one in lifts]
    lowest = min([0.0, *(span.low for span in spans if span.low is not None)])
    low = max(np.floor(lowest * 4) / 4, -1.0)
    chart = charts.interval_chart(
        "Lift: neighbours' agreement above chance",
        spans,
        (low, 1.0),
        zone=(low, LOW_LIFT),
        words=("by chance", "always"),
    )
    return table(
        "lift",
        "How often an example's score equals its neighbours'",
        "nearest, agree: share, by chance: share, lift, pairs",
        [(f"k = {one.k}", one.agreement, one.chance, one, one.n_pairs) for one in lifts],
        says="Lift is agreement above chance: 0 is chance, 1 is always, with a 95 % interval. A "
        "noisy rater lowers it, and so do neighbours that do not share a true score: even where "
        "they always share it, a rater who is wrong half of the time can bring it down to 0.16.",
        figure=Figure(chart, (("zone", f"below {LOW_LIFT:g}, where the gate stands"),)),
    )


def _finite(*values: float) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def _truth(found: Results) -> Iterator[Part]:
    truth = found.against_truth
    if truth is None or found.truth is None:
        return
    yield facts(
        "truth",
        "",
        {
            "Rated examples with a known score": truth.n_known,
            "Right scores, raw: share": truth.right_raw,
            "Right scores, curated: share": truth.right_curated,
            "Wrong scores": truth.n_wrong,
            "of them flagged: share": truth.recall,
            "Flagged scores": truth.n_flagged,
            "of them wrong: share": truth.precision,
            "Distance of the matrices (mean): fine": mean(truth.distance),
            "Cells with an interval": int(truth.counted.sum()),
            "of them with the planted value inside": int(truth.covered.sum()),
            "Mean true score of the pool": mean(found.truth),
            "Mean true score of the selection": mean(found.truth[found.selection.rows]),
        },
    )
    source = "counted from the known scores" if found.planted is None else "given"
    yield table(
        "planted",
        "Planted and recovered probability of each observed score",
        f"true score, examples, matrix, {by_level('observed {}', found.n_scores)}, distance: fine",
        [
            (str(level), int(truth.counts[level]), kind, *rows[level], truth.distance[level])
            for level in range(found.n_scores)
            for kind, rows in (("planted", truth.planted), ("recovered", found.matrix()))
        ],
        says=f"The planted matrix is {source}. The distance of two rows is their total variation, "
        "0 to 1. Nothing above used the known scores.",
    )


def _scores(found: Results) -> Table:
    noise = found.first
    scale, n = found.ratings.scale, found.n_scores
    words = rating_words(float(scale.low), float(scale.high), [float(cut) for cut in scale.cuts])
    levels = [to_levels(scores, n) for scores in (found.raw, found.curation.scores)]
    totals = [np.bincount(each[each >= 0], minlength=n) for each in levels]
    bounds = noise.prior_intervals if noise.prior_intervals is not None else np.full((2, n), np.nan)
    priors = np.column_stack([noise.prior, *bounds]).tolist()
    bars = [
        charts.Bar(str(level), [t[level] / (t.sum() or 1) for t in totals], _finite(*priors[level]))
        for level in range(n)
    ]
    said = [f"The prior is an estimate of the true scores' shares at ρ = {decimal(noise.rho)}."]
    several = len(found.ratings.raters) > 1
    if several or found.curation.method not in ("raw", "ds2"):
        said.append(
            f"{'Raw and curated' if several else 'Curated'} scores are put on the levels by rank: "
            "so a level has the share that the raters, or trusted scores, give it."
        )
    if several or found.real_valued:
        said.append("Scores between two levels are counted at the nearest.")
    chart = charts.bar_chart("Shares of each score", bars, ("pool", "picked"), "score")
    return table(
        "scores",
        "Examples with each score",
        "score, ratings, raw, curated, prior: share",
        [
            (str(level), words[level], int(totals[0][level]), int(totals[1][level]), priors[level])
            for level in range(n)
        ],
        says=" ".join(said),
        figure=Figure(chart, (("pool", "raw"), ("picked", "curated"), ("prior", "prior"))),
    )


def rating_words(low: float, high: float, cuts: Sequence[float]) -> list[str]:
    """Say which ratings each score stands for: ("1 to 4", "5", …)."""
    if low % 1 == 0 and high % 1 == 0 and all(cut % 1 == 0.5 for cut in cuts):
        starts = [low, *(cut + 0.5 for cut in cuts)]
        ends = [*(cut - 0.5 for cut in cuts), high]
        pairs = zip(starts, ends, strict=True)
        return [f"{start:g}" if start == end else f"{start:g} to {end:g}" for start, end in pairs]
    if not cuts:
        return [f"{low:g} to {high:g}"]
    inner = [f"above {a:g}, up to {b:g}" for a, b in itertools.pairwise(cuts)]
    return [f"up to {cuts[0]:g}", *inner, f"above {cuts[-1]:g}"]


_GATES = {
    "passed": "the gate passed",
    "fired": "the gate fired: lift is too low to trust a correction",
    "off": "the gate was off",
}


def _changes(found: Results) -> Iterator[Part]:
    curation, n = found.curation, found.n_scores
    gate = _GATES.get(curation.gate)
    goes_by = (
        "which goes by evidence" if gate is None or curation.method not in ("ds2", "raw") else gate
    )
    yield f"Method {curation.method}, {goes_by}."
    moved = moves(to_levels(found.raw, n), to_levels(curation.scores, n), n)
    if moved.trace() == moved.sum():
        yield "No score was changed."
    else:
        yield table(
            "moves",
            "How many examples went from the raw score (row) to the curated score (column)",
            f"raw score, {by_level('to {}', found.n_scores)}",
            [(str(level), *row) for level, row in enumerate(moved)],
        )
    if curation.evidence:
        yield table(
            "evidence",
            "Evidence",
            "candidate, measure, value: fine, above raw: fine, rows, chosen",
            [
                (
                    *(row.candidate, row.measure, row),
                    None if row.candidate == "raw" or row.measure == "lift" else row.difference,
                    *(row.n or None, _yes(row.chosen)),
                )
                for row in curation.evidence
            ],
            says="How well each candidate did, how much better than the raw scores, and which was "
            f"chosen. {curation.next_evidence}",
        )
    cases = tuple(_corrections(found))
    if cases:
        yield Cases(
            "changes",
            "The most confident changes",
            cases,
            says="One of each group of duplicates, with the nearest neighbours. Confidence is the "
            "strength of the neighbours' vote, from 0 to 1; it is not a calibrated probability.",
            shown=5,
        )


def _corrections(found: Results, n_near: int = 5) -> Iterator[Case]:
    """The changed scores, the most confident first, then the largest changes."""
    raw, curated, confidence = found.raw, found.curation.scores, found.curation.confidence
    changed = np.flatnonzero(np.isfinite(raw) & np.isfinite(curated) & (curated != raw))
    sure = np.zeros(len(changed)) if confidence is None else np.nan_to_num(confidence[changed])
    rows = changed[np.lexsort((changed, -np.abs(curated - raw)[changed], -sure))]
    neighbors = found.neighbors
    if neighbors.groups is not None:
        _, first = np.unique(neighbors.groups[rows], return_index=True)
        rows = rows[np.sort(first)]
    of_entries = neighbors.entry_scores(raw)
    for row in rows[: found.n_examples].tolist():
        known = {"score: score": raw[row], "curated: score": curated[row]}
        if confidence is not None:
            known["confidence"] = confidence[row]
        if found.truth is not None and np.isfinite(found.truth[row]):
            known["true score: score"] = found.truth[row]
        places = zip(neighbors.indices[row, :n_near], neighbors.distances[row], strict=False)
        near = [
            (int(other), {"score: score": of_entries[other], "distance: fine": distance})
            for other, distance in places
        ]
        cases = tuple(_case(found.pool, other, about, 300) for other, about in near)
        yield _case(found.pool, row, known, 700, cases)


def _case(
    pool: Pool, row: int, known: Mapping[str, object], limit: int, near: tuple[Case, ...] = ()
) -> Case:
    """An example with its text, its row and source, and what else is known of it."""
    example = pool[row]
    source = {} if example.source is None else {"source": _cut(example.source, MOST_ID)}
    about = facts("", "", {**known, "row": row, **source}).rows
    return Case(_cut(example.id, MOST_ID), about, excerpt(example.text(), limit), near)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def pick(pool: Pool, row: int, rank: int, reason: str) -> Case:
    """Show one selected row."""
    return _case(pool, row, {"rank": rank, "reason": _cut(reason, MOST_REASON)}, 240)


def _selection(found: Chosen) -> Iterator[Part]:
    selection, pool, rows = found.selection, found.pool, found.selection.rows
    if isinstance(found, Results):
        levels = to_levels(found.curation.scores, found.n_scores)
        labels = ["unrated", *map(str, range(found.n_scores))]
        there = sorted(labels[level + 1] for level in np.unique(levels))
        yield against_pool("by score", "By curated score", labels, levels + 1, rows, order=there)
    sources, of_each = pool.coded_sources()
    if set(sources) <= {None}:
        yield "No example names a source."
    else:
        named = ["(no source)" if source is None else source for source in sources]
        yield against_pool("by source", "By source", named, of_each, rows)
    lengths = np.asarray(pool.lengths)
    inner = np.unique(np.quantile(lengths, (0.2, 0.4, 0.6, 0.8), method="lower"))
    fifths, codes = np.unique(np.searchsorted(inner, lengths, side="left"), return_inverse=True)
    ends = [(of.min(), of.max()) for of in (lengths[codes == c] for c in range(len(fifths)))]
    words = [f"{a:,}" if a == b else f"{a:,} to {b:,}" for a, b in ends]
    title = "By characters of the answer, in fifths of the pool"
    yield against_pool("by length", title, words, codes, rows, order=words)
    yield _tail(found.tail, rows)
    lines = [line for line in Counter(selection.dropped).most_common() if line[1]]
    if lines:
        yield table("not eligible", "Not eligible", "reason, examples", lines)
    first = enumerate(zip(rows[:10].tolist(), selection.reasons, strict=False), start=1)
    cases = tuple(pick(pool, row, rank, reason) for rank, (row, reason) in first)
    if cases:
        yield Cases("picks", "The first picks", cases)


def _tail(tail: np.ndarray, rows: np.ndarray, n_bins: int = 24) -> Table:
    parts = [part[np.isfinite(part)] for part in (tail, tail[rows])]
    ends = (parts[0].min(), parts[0].max()) if parts[0].size else (0.0, 1.0)
    lines = []
    for kind, part in zip(("area", "outline"), parts, strict=True):
        counts, edges = np.histogram(part, bins=n_bins, range=ends)
        shares = np.repeat(counts / max(part.size, 1), 2).tolist()
        steps = list(zip(np.repeat(edges, 2)[1:-1].tolist(), shares, strict=True))
        lines.append((kind, steps if part.size else []))
    chart = charts.line_chart(
        "Long-tail score of the pool and of the selection",
        lines,
        "long-tail score",
        ends=(0.0, max((y for _, points in lines for _, y in points), default=1.0)),
        y_kind="share",
        x_digits=3,
    )
    quantiles = (0.0, 0.25, 0.5, 0.75, 1.0)
    return table(
        "long tail",
        "Long-tail score",
        "examples, lowest: fine, quarter: fine, median: fine, three quarters: fine, highest: fine",
        [
            (name, *(np.quantile(part, quantiles) if part.size else [None] * 5))
            for name, part in zip(("pool", "selected"), parts, strict=True)
        ],
        says="How far an example lies from its neighbours: higher is rarer.",
        figure=Figure(chart, (("pool", "pool"), ("line", "selected"))),
    )


def training_tables(
    losses: Mapping[str, Mapping[str, Sequence[Any]]], arms: Mapping[str, str] | None = None
) -> tuple[Table, ...]:
    """The training loss of every run, in means over stretches of updates; a table for each arm.

    Args:
        losses: run → its "steps" and their "loss"; what is no number is left out.
        arms: run → its arm; by default the run's name without its seed.
    """
    curves = {run: stretches(one["steps"], one["loss"]) for run, one in losses.items()}
    curves = {run: curve for run, curve in curves.items() if curve}
    values = [loss for curve in curves.values() for _, loss in curve]
    by_arm: dict[str, list[str]] = {}
    for run in curves:
        by_arm.setdefault((arms or {}).get(run, run.rpartition("-s")[0] or run), []).append(run)
    return tuple(
        table(
            f"loss of {arm}",
            f"Training loss of {arm}",
            "run, updates, at first: fine, at last: fine",
            [
                (run, int(losses[run]["steps"][-1]), curves[run][0][1], curves[run][-1][1])
                for run in runs
            ],
            says="On its own rows: a lower one is no better model.",
            figure=Figure(
                charts.line_chart(
                    f"Training loss of {arm}",
                    [("loss", curves[run]) for run in runs],
                    "updates",
                    ends=(min(values), max(values)),
                )
            ),
        )
        for arm, runs in by_arm.items()
    )


def stretches(
    steps: Sequence[float], losses: Sequence[float | None], most: int = 80
) -> list[tuple[float, float]]:
    """Return (update, mean loss) over at most ``most`` stretches of updates."""
    pairs = zip(steps, losses, strict=False)
    known = [(at, loss) for at, loss in pairs if loss is not None and np.isfinite(loss)]
    size = -(-len(known) // most) or 1
    parts = [np.mean(known[i : i + size], axis=0) for i in range(0, len(known), size)]
    return [(float(at), float(loss)) for at, loss in parts]


def _pool(found: Chosen) -> Iterator[Part]:
    pool, neighbors = found.pool, found.neighbors
    lengths, about = np.asarray(pool.lengths), found.embedding
    rated: dict[str, object] = {}
    problems: Mapping[str, int] = {}
    if isinstance(found, Results):
        first = found.ratings.parts[0]
        rated = {
            "Rated by": ", ".join(found.ratings.raters),
            "Scale": f"{first.scale.low:g} to {first.scale.high:g}",
            "Rated": found.n_rated,
            "Unrated": len(pool) - found.n_rated,
        }
        problems = first.problems if len(found.ratings.raters) == 1 else {}
    known: dict[str, object] = {
        "Read from": pool.origin,
        "Format": pool.format,
        "Examples": len(pool),
        "Sources": len(set(pool.coded_sources()[0]) - {None}),
        "Rows set aside": pool.n_rejected,
        "Characters of an answer, median": int(np.median(lengths)),
        "Characters of an answer, most": int(lengths.max()),
        **rated,
        "Neighbours of each example": neighbors.k,
        "Search": neighbors.method,
        "Recall of the search: fine": neighbors.recall,
        "Distance to the nearest, median: fine": np.median(neighbors.distances[:, 0]),
    }
    if about is not None:
        unknown = ", ".join(f"{name} {part:.1%}" for name, part in about.unknown_languages)
        known |= {
            "Embedder": about.embedder,
            "Dimensions": about.dimension,
            "Different texts": about.n_unique,
            "Texts cut at its limit: share": about.truncated_share,
            "Texts in a language it does not know: share": about.unknown_language_share,
            "Languages it does not know": unknown or "none named",
        }
    yield facts("pool", "", known)
    reasons = [line for line in Counter(problems).most_common() if line[1]]
    if reasons:
        says = "A missing rating is never counted as a low one."
        yield table("unrated", "Unrated, by reason", "reason, examples", reasons, says=says)
    yield from _duplicates(found)


def _duplicates(found: Chosen, n_shown: int = 5) -> Iterator[Part]:
    groups = found.neighbors.groups
    if groups is None:
        return
    labels, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    raw = found.scores.get("raw", np.full(len(groups), np.nan))
    rated = np.isfinite(raw)
    n_rated = np.bincount(codes[rated], minlength=len(labels))
    lowest, highest = np.full(len(labels), np.inf), np.full(len(labels), -np.inf)
    np.minimum.at(lowest, codes[rated], raw[rated])
    np.maximum.at(highest, codes[rated], raw[rated])
    first = np.full(len(labels), len(groups))
    np.minimum.at(first, codes, np.arange(len(groups)))
    repeated = np.flatnonzero(sizes > 1)
    largest = repeated[np.lexsort((labels[repeated], -sizes[repeated]))][:n_shown]
    spread = {
        "Groups with two ratings or more": int((n_rated > 1).sum()),
        "of them with different scores": int((lowest < highest).sum()),
    }
    yield facts(
        "duplicates",
        "Exact duplicates",
        {
            "Groups": len(repeated),
            "Examples that repeat another": int(sizes.sum() - len(labels)),
            **(spread if found.scores else {}),
        },
    )
    ends = {"lowest score: score": lowest, "highest: score": highest} if found.scores else {}
    cases = tuple(
        _case(
            found.pool,
            int(first[group]),
            {"times": int(sizes[group]), **{name: end[group] for name, end in ends.items()}},
            200,
        )
        for group in largest
    )
    if cases:
        says = "Different scores of one text are the rater's own noise, seen without an assumption."
        says = says if found.scores else ""
        yield Cases("duplicates", "Largest groups of duplicates", cases, says=says)


def _flat(values: Mapping[str, object], prefix: str = "") -> Iterator[Fact]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield Fact(f"{prefix}{name}", _cut(str(value), MOST_VALUE))


_SCORE_WORDS = {
    "rating, score": "What the rater said, and the level from 0 that it is binned to.",
    "true score": "What an ideal rater would have said. It is never seen, except where known "
    "scores are given.",
    "transition matrix": "How often each true score is observed as each score.",
    "prior": "How common each true score is.",
    "ρ": "How much more often than by chance neighbours share a true score.",
    "lift": "How much more often than by chance neighbours' scores agree: (agreement − chance) / "
    "(1 − chance).",
    "misrated": "Flagged, because the score disagrees with the neighbours more than the matrix "
    "lets one expect.",
    "raw score": f"The score before curation: what the rater said; of several raters {RAW}.",
    "curated score": "The score after curation, by the method that is named under Changes.",
    "confidence": "How strongly the neighbours voted for the new score, from 0 to 1. Not a "
    "calibrated probability.",
}
_WORDS = {
    "long-tail score": "tanh(mean distance to the neighbours / 2): how far an example lies from "
    "the others.",
    NOT_ENOUGH: "Too few examples to print a figure.",
}
