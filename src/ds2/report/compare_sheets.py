"""The tables of a comparison, the same ones for HTML and Markdown."""

from ds2.report.compare_numbers import CompareNumbers, Judged, JudgeNumbers
from ds2.report.compare_words import beats_random
from ds2.report.numbers import Estimate
from ds2.report.sheets import Column, Sheet, Value
from ds2.report.words import decimal, interval, plural

__all__ = [
    "beats_sheet",
    "cost_sheet",
    "judge_sheets",
    "overlap_sheet",
    "score_sheet",
    "source_sheet",
    "spread_sheet",
]

_MOST_SOURCES = 8


def score_sheet(n: CompareNumbers) -> Sheet:
    """Mean raw, curated and gold scores."""
    has_gold = any(method.n_gold for method in n.methods)
    gold = (Column("gold"), Column("rows with gold", "count")) if has_gold else ()
    rows: list[tuple[Value, ...]] = []
    for method in n.methods:
        trusted: tuple[Value, ...] = (method.gold, method.n_gold) if has_gold else ()
        goes_by = f"{method.reads} scores" if method.reads else "no score"
        optimistic = "optimistic" if method.reads else ""
        rows.append((method.name, method.raw, method.curated, optimistic, *trusted, goes_by))
    return Sheet(
        "Mean scores",
        "A method that goes by scores maximises them, so its own means of raw and curated scores "
        "are optimistic (the winner's curse): read them as a description, and the tables against "
        "random as the evidence."
        + (" The mean of gold counts every scored row once." if has_gold else ""),
        (
            Column("method", "text"),
            Column("raw"),
            Column("curated"),
            Column("these two are", "text"),
            *gold,
            Column("goes by", "text"),
        ),
        tuple(rows),
    )


def spread_sheet(n: CompareNumbers) -> Sheet:
    """Long-tail, coverage, redundancy."""
    return Sheet(
        "Diversity",
        f"Near means within {decimal(n.radius, 3)}, the median distance of a row to its last "
        "neighbour. Coverage is the share of the pool with a selected row near it (measured on "
        f"{n.n_sampled:,} rows), redundancy the share of selected rows with another one near.",
        (
            Column("method", "text"),
            Column("long-tail score", "fine"),
            Column("coverage", "share"),
            Column("redundancy", "share"),
            Column("distance to the nearest selected", "fine"),
        ),
        tuple((m.name, m.tail, m.coverage, m.redundancy, m.nearest) for m in n.methods),
    )


def cost_sheet(n: CompareNumbers) -> Sheet:
    """Length, tokens, stability, seconds."""
    several = n.n_raters > 1 and any(m.kept_rater is not None for m in n.methods)
    unit = "characters" if n.tokenizer == "characters" else "tokens"
    rater = (Column("kept without one rater", "share"),) if several else ()
    return Sheet(
        "Length, stability, time",
        "Kept is the share of the rows that are selected again: under another seed (a dash where "
        "that would cost as much again as the selection)"
        + (", and on average when one of the raters is left out." if several else "."),
        (
            Column("method", "text"),
            Column("characters of a completion", "count"),
            Column(f"{unit} in all", "count"),
            Column("kept under another seed", "share"),
            *rater,
            Column("seconds"),
        ),
        tuple(
            (
                m.name,
                None if m.length is None else round(m.length),
                m.tokens,
                m.kept_seed,
                *((m.kept_rater,) if several else ()),
                m.seconds_s,
            )
            for m in n.methods
        ),
    )


def source_sheet(n: CompareNumbers) -> Sheet | None:
    """The mix of sources; None where there is one at most."""
    total: dict[str, float] = {}
    for method in n.methods:
        for part in method.sources:
            total[part.label] = total.get(part.label, 0.0) + part.share
    if len(total) < 2:
        return None
    largest = sorted(total, key=lambda label: (-total[label], label))[:_MOST_SOURCES]
    rows: list[tuple[Value, ...]] = []
    for method in n.methods:
        shares = {part.label: part.share for part in method.sources}
        rows.append((method.name, *(shares.get(label, 0.0) for label in largest)))
    more = len(total) - len(largest)
    return Sheet(
        "Sources",
        "Share of the selected rows by source."
        + (f" {more:,} smaller sources are left out." if more > 0 else ""),
        (Column("method", "text"), *(Column(label or "no source", "share") for label in largest)),
        tuple(rows),
    )


def beats_sheet(n: CompareNumbers) -> Sheet:
    """Whether each method beats random: the answers, and the difference by every judge."""
    found = {(judge.name, one.method): one for judge in n.judges for one in judge.methods}
    mixed = any(judged.mixed is not None for judged in found.values())
    rows: list[tuple[Value, ...]] = []
    for each in beats_random(n):
        is_random = each.answer == "is random"
        same: list[Value] = [each.same_length] if n.judges else []
        same += [each.same_mix] if mixed else []
        by = (_difference(found.get((judge.name, each.method))) for judge in n.judges)
        rows.append((each.method, each.answer, *((None,) * len(same) if is_random else same), *by))
    return Sheet(
        "Does it beat random?",
        "Yes: every judge shows it to be better. No: every judge shows it to be worse. The second "
        "answer is that against random selections with the same lengths, which a liking for long "
        "answers cannot explain. Differences are in levels of the scale, with 95 % intervals."
        if n.judges
        else "",
        (
            Column("method", "text"),
            Column("answer", "text"),
            *((Column("at the same lengths", "text"),) if n.judges else ()),
            *((Column("with the same sources", "text"),) if mixed else ()),
            *(Column(_judged_on(judge), "text") for judge in n.judges),
        ),
        tuple(rows),
    )


def _difference(judged: Judged | None) -> str | None:
    if judged is None:
        return None
    difference = judged.difference
    if difference.value is None or difference.low is None:
        return f"{plural(judged.n, 'row')}: too few"
    sign = "+" if difference.value > 0 else ""
    return f"{sign}{decimal(difference.value)} ({interval(difference.low, difference.high)})"


def _judged_on(judge: JudgeNumbers) -> str:
    return f"{judge.name}{', held out' if judge.kind == 'rater' else ''}"


def judge_sheets(n: CompareNumbers) -> tuple[Sheet, ...]:
    """The figures of each judge."""
    return tuple(_judge(judge, n) for judge in n.judges)


def _judge(judge: JudgeNumbers, n: CompareNumbers) -> Sheet:
    mixed = any(judged.mixed is not None for judged in judge.methods)
    more = [Column("with the same mix of sources", "interval")] if mixed else []
    rows: list[tuple[Value, ...]] = []
    for judged in judge.methods:
        same = [_ends(judged.mixed)] if mixed else []
        rows.append(
            (
                judged.method,
                judged.chosen,
                judged.random,
                judged.difference.value,
                _ends(judged.difference),
                *same,
                _ends(judged.same_length),
                judged.beaten,
                judged.n,
            )
        )
    without = f" Not possible without it: {', '.join(judge.left_out)}." if judge.left_out else ""
    return Sheet(
        f"Judged on {_judged_on(judge)}",
        f"{judge.n_values:,} rows have its score, from 0 to {n.n_scores - 1}. "
        f"{n.n_draws:,} random selections were drawn.{without}",
        (
            Column("method", "text"),
            Column("selected"),
            Column("random"),
            Column("difference"),
            Column("95 % interval", "interval"),
            *more,
            Column("with the same lengths", "interval"),
            Column("random ones below", "share"),
            Column("rows judged", "count"),
        ),
        tuple(rows),
    )


def overlap_sheet(n: CompareNumbers) -> Sheet:
    """Rows in common of every two methods."""
    return Sheet(
        "Overlap",
        f"Share of rows that two selections have in common; by chance {n.chance:.1%}.",
        (Column("method", "text"), *(Column(method.name, "share") for method in n.methods)),
        tuple((method.name, *row) for method, row in zip(n.methods, n.overlap, strict=True)),
    )


def _ends(estimate: Estimate | None) -> tuple[float | None, float | None]:
    return (None, None) if estimate is None else (estimate.low, estimate.high)
