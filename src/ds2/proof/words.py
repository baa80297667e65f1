"""A comparison in words: lines for a person, values for a program."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ds2.proof.arms import Arms
from ds2.proof.compare import ArmComparison
from ds2.proof.items import Difference

__all__ = ["comparison_document", "comparison_lines"]

_HEAD = ("task", "n", "A", "B", "A − B", "95 % interval")


def comparison_lines(arms: Arms, found: Sequence[ArmComparison]) -> list[str]:
    """Return a table, the noise and the verdict for each comparison."""
    lines = []
    for one in found:
        rows = _rows(one)
        widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
        lines.append(_title(arms, one))
        for row in rows:
            cells = zip(row[1:], widths[1:], strict=True)
            lines.append("  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in cells)]))
        lines += [f"{label:<10} {text}" for label, text in _findings(one)]
        lines.append("")
    return [*lines, *(f"{'note':<10} {note}" for note in notes(arms))]


def comparison_document(arms: Arms, found: Sequence[ArmComparison]) -> dict[str, Any]:
    """Return the same as JSON values; what is not known is null."""
    return {
        "seeds": {name: list(seeds) for name, seeds in arms.seeds.items()},
        "measures": dict(arms.measures),
        "n_missing": dict(arms.n_missing),
        "comparisons": [{**_plain(asdict(one)), "says": dict(_findings(one))} for one in found],
        "notes": notes(arms),
    }


def notes(arms: Arms) -> list[str]:
    """Return what was decided and left out, one sentence each."""
    measures: dict[str, list[str]] = {}
    for task, measure in arms.measures.items():
        measures.setdefault(measure, []).append(task)
    said = [f"{measure}: {', '.join(tasks)}." for measure, tasks in measures.items()]
    lacks = [
        f"{task}: {n:,} items that some run lacks are left out of all runs."
        for task, n in arms.n_missing.items()
    ]
    return [*said, *lacks, *arms.notes]


def _title(arms: Arms, one: ArmComparison) -> str:
    runs = [f"{name} ({_count(len(arms.seeds[name]), 'run')})" for name in (one.a, one.b)]
    better = "higher" if one.higher_is_better else "lower"
    return (
        f"A = {runs[0]}, B = {runs[1]}; {better} is better{'; paired runs' if one.paired else ''}"
    )


def _rows(one: ArmComparison) -> list[tuple[str, ...]]:
    rows = [_row(name, found) for name, found in one.tasks.items()]
    if len(rows) > 1:
        rows.append(_row(f"mean of {len(rows)} tasks", one.overall))
    return [_HEAD, *rows]


def _row(name: str, found: Difference) -> tuple[str, ...]:
    return (
        name,
        f"{found.n_items:,}",
        f"{found.mean_a:.4f}",
        f"{found.mean_b:.4f}",
        _signed(found.value),
        _interval(found),
    )


def _findings(one: ArmComparison) -> list[tuple[str, str]]:
    """(label, sentence) pairs: what the noise is made of, what could be seen, the verdict."""
    found, noise = one.overall, one.overall.noise
    items = f"items {noise.items**0.5:.4f}"
    if found.n_clusters < found.n_items:
        items += f" ({found.n_clusters:,} clusters)"
    if math.isnan(noise.runs):
        said = f"{items}; runs unknown: an arm has one"
    else:
        said = f"{items}, runs {noise.runs**0.5:.4f} ({noise.df_runs:.1f} degrees of freedom)"
    lines = [("noise", f"standard errors: {said}")]
    if not math.isnan(noise.runs):
        lines.append(("detectable", f"{one.detectable:.4f} or more, in 80 % of such comparisons"))
    if one.n_comparisons > 1 and not math.isnan(one.p_holm):
        lines.append(
            ("p", f"{one.p:.2g}; {one.p_holm:.2g} after Holm, {one.n_comparisons} comparisons")
        )
    return [*lines, ("verdict", _verdict(one))]


def _verdict(one: ArmComparison) -> str:
    found, pair = one.overall, f"{one.a} against {one.b}"
    span = f"{_signed(found.value)} {_interval(found)}"
    if one.verdict == "no verdict":
        return (
            f"none for {pair}: {_single(one)} one run. {span} is about these very models on other "
            "items, and says nothing about models of another seed. Train and evaluate more runs of "
            "each: two at least, three or more to see much."
        )
    if one.verdict == "no difference that matters":
        return f"{pair}: no difference that matters. {span} is within ±{one.smallest:g}."
    if one.verdict in ("better", "worse"):
        return f"{one.a} is {one.verdict} than {one.b}: {span}."
    if found.noise.variance == 0:
        return f"{pair}: cannot tell. No item's value differs, so this measure sees nothing here."
    why = "allows for 0" if found.low <= 0 <= found.high else "leaves out 0, but not after Holm"
    return f"{pair}: cannot tell. {span} {why}. {_more(one)}"


def _single(one: ArmComparison) -> str:
    names = [n for n, s in zip((one.a, one.b), one.overall.n_seeds, strict=True) if s < 2]
    return f"{' and '.join(names)} {'has' if len(names) == 1 else 'have'}"


def _more(one: ArmComparison) -> str:
    """What would tell: runs, items or both."""
    smallest, seeds = f"{one.smallest:g}", one.seeds_needed
    ways = []
    if seeds is not None and seeds > max(one.overall.n_seeds):
        ways.append(f"{seeds} runs of each with these items")
    if one.items_needed is not None and one.items_needed > one.overall.n_items:
        ways.append(f"{one.items_needed:,} items with these runs")
    if ways:
        return f"A difference of {smallest} would be found by {' or '.join(ways)}."
    if seeds is None and one.items_needed is None:
        return f"Neither runs nor items alone would find a difference of {smallest}: more of both."
    return "More runs or items narrow the interval."


def _interval(found: Difference) -> str:
    return f"[{_signed(found.low)}, {_signed(found.high)}]"


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "−")


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(x) for key, x in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(x) for x in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
