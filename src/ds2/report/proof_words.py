"""What a proof says, in sentences and tables: its document in words that anybody understands."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from ds2.report.proof_charts import differences
from ds2.report.sheets import Column, Sheet
from ds2.report.verdict import Finding, Tone
from ds2.report.words import count, decimal, plural, share, signed, signed_interval

__all__ = [
    "cost_sheet",
    "difference_sheet",
    "needs",
    "needs_sheet",
    "planned",
    "proof_findings",
    "run_sheet",
    "unequal",
]

Values = Mapping[str, Any]
_MORE = 1.02  # what arms may differ in tokens or updates before it is said
_COSTS = {
    "rows": Column("rows", "count"),
    "answer_tokens": Column("answer tokens", "count"),
    "tokens": Column("all tokens", "count"),
    "updates": Column("updates", "count"),
    "mean_answer": Column("tokens of an answer"),
    "seconds": Column("seconds", "count"),
    "peak_bytes": Column("GB of memory"),
}
#: By verdict: of arms that ds2 trained, of models that somebody did, and how settled it is.
_ANSWERS: Mapping[str, tuple[str, str, Tone]] = {
    "better": (
        "Training on {a} gives better models than training on {b}.",
        "{a} is better than {b}.",
        "clear",
    ),
    "worse": (
        "Training on {a} gives worse models than training on {b}.",
        "{a} is worse than {b}.",
        "clear",
    ),
    "no difference that matters": (
        "Whether models are trained on {a} or on {b} makes no difference that matters.",
        "Between {a} and {b} there is no difference that matters.",
        "clear",
    ),
    "cannot tell": (
        "This cannot tell whether {a} or {b} trains better models.",
        "This cannot tell whether {a} or {b} is better.",
        "open",
    ),
    "no verdict": (
        *("No verdict on {a} against {b}: one training says nothing about another seed.",) * 2,
        "open",
    ),
}


def proof_findings(document: Values) -> list[Finding]:
    """Return what every comparison found, the first first; what is planned where none did."""
    found = document.get("comparisons")
    if not found:
        running = document.get("state") == "running"
        said = "Models are being trained; nothing is known yet." if running else "Not trained yet."
        return [Finding("Does the selection train better models?", said, (), "open")]
    return [_finding(document, one) for one in found]


def _finding(document: Values, one: Values) -> Finding:
    overall, (trained, read, tone) = one["overall"], _ANSWERS[one["verdict"]]
    answer = trained if document.get("plan") else read
    (label, _), *others = differences(one)
    where = f"On average over {len(others)} tasks" if others else f"On {label}"
    better = "" if one["higher_is_better"] else "; lower is better"
    seeds = " and ".join(str(n) for n in dict.fromkeys(overall["n_seeds"]))
    detail = [
        f"{where}: {decimal(overall['mean_a'], 4)} against {decimal(overall['mean_b'], 4)}{better}."
        f" The difference is {signed(overall['value'])}, with 95 % confidence between "
        f"{signed_interval((overall['low'], overall['high']), ' and ')}"
        f"; from {seeds} {'training' if seeds == '1' else 'trainings'} of each."
    ]
    if one["verdict"] in ("cannot tell", "no verdict"):
        detail.append(needs(one))
    warnings = unequal(document, (one["a"], one["b"]))
    settled = tone == "clear" and not warnings
    return Finding(
        f"{one['a']} against {one['b']}",
        answer.format(a=one["a"], b=one["b"]),
        (*detail, *warnings),
        "clear" if settled else "care" if tone == "clear" else tone,
    )


def needs(one: Values) -> str:
    """Say how a difference of the smallest size that matters would be found."""
    overall, size = one["overall"], f"{one['smallest']:g}"
    seeds, items = one["seeds_needed"], one["items_needed"]
    if one["verdict"] == "no verdict":
        return "Train and evaluate each arm twice at least, three times or more to see much."
    if not overall["noise"]["items"] and not overall["noise"]["runs"]:
        return "No item's value differs between the arms: this measure sees nothing here."
    if (one["detectable"] or 0.0) <= one["smallest"]:
        return f"These runs and items would find a difference of {size}, 4 times in 5."
    ways = []
    if seeds is not None and seeds > max(overall["n_seeds"]):
        ways.append(f"{seeds} runs of each arm with these items")
    if items is not None and items > overall["n_items"]:
        ways.append(f"{items:,} items with these runs")
    if not ways:
        return (
            f"Runs alone, or items alone, do not find a difference of {size}: more of both would."
        )
    return f"A difference of {size} would be found, 4 times in 5, by {' or by '.join(ways)}."


def needs_sheet(comparisons: Sequence[Values]) -> Sheet:
    """What was asked, what could be seen, and what would see it."""
    heads = ("smallest that matters", "smallest that can be seen")
    numbers = ("runs of an arm", "needed", "items", "needed")
    rows = [
        (
            f"{one['a']} against {one['b']}",
            one["smallest"],
            None if one["verdict"] == "no verdict" else one["detectable"],
            max(one["overall"]["n_seeds"]),
            one["seeds_needed"],
            one["overall"]["n_items"],
            one["items_needed"],
        )
        for one in comparisons
    ]
    columns = [Column("comparison", "text"), *(Column(head, "exact") for head in heads)]
    says = "“Seen” is: found in 80 % of such comparisons. A dash: no number of these alone."
    columns += [Column(head, "count") for head in numbers]
    return Sheet("In numbers", says, tuple(columns), tuple(rows))


def difference_sheet(document: Values, one: Values) -> Sheet:
    """The figures of a comparison's chart."""
    base = document.get("base") or {}
    columns = [Column("task", "text"), Column("items", "count")]
    columns += [Column("untrained", "exact")] if base else []
    columns += [Column(one["a"], "exact"), Column(one["b"], "exact"), Column("A − B", "signed")]
    columns += [Column("95 % interval", "signed interval")]
    columns += [Column("error: items", "exact"), Column("error: runs", "exact")]
    rows: list[Any] = []
    for label, found in differences(one):
        known = base.get(label, _mean([base.get(task) for task in one["tasks"]]))
        values = [label, found["n_items"], *([known] if base else [])]
        values += [found["mean_a"], found["mean_b"], found["value"], (found["low"], found["high"])]
        values += [None if v is None else v**0.5 for v in map(found["noise"].get, _NOISE)]
        rows.append(tuple(values))
    better = "Higher" if one["higher_is_better"] else "Lower"
    says = f"{better} is better. The errors are standard errors of A − B by where they come from."
    return Sheet(f"{one['a']} (A) against {one['b']} (B)", says, tuple(columns), tuple(rows))


_NOISE = ("items", "runs")


def cost_sheet(costs: Sequence[Values]) -> Sheet:
    """What each arm cost: means over its runs."""
    rows: list[Any] = []
    for arm in dict.fromkeys(cost["arm"] for cost in costs):
        own = [cost for cost in costs if cost["arm"] == arm]
        rows.append((arm, len(own), *_costs(own)))
    columns = (Column("arm", "text"), Column("runs", "count"), *_COSTS.values())
    return Sheet("Means over runs", "", columns, tuple(rows))


def run_sheet(costs: Sequence[Values]) -> Sheet:
    """What each run cost."""
    rows: list[Any] = [(f"{cost['arm']}, seed {cost['seed']}", *_costs([cost])) for cost in costs]
    return Sheet("By run", "", (Column("run", "text"), *_COSTS.values()), tuple(rows))


def _costs(costs: Sequence[Values]) -> list[float | None]:
    values = []
    for name, column in _COSTS.items():
        mean = _mean([cost.get(name) for cost in costs])
        if mean is not None and name == "peak_bytes":
            mean /= 1e9
        values.append(round(mean) if mean is not None and column.kind == "count" else mean)
    return values


def unequal(document: Values, arms: Sequence[str] | None = None) -> list[str]:
    """Say where arms differ by more than 2 % in answer tokens or in updates."""
    costs, said = document.get("costs") or [], []
    names = [a for a in dict.fromkeys(c["arm"] for c in costs) if arms is None or a in arms]
    for key, noun in (("answer_tokens", "answer tokens"), ("updates", "updates")):
        of = {name: _mean([c.get(key) for c in costs if c["arm"] == name]) for name in names}
        known = {name: value for name, value in of.items() if value}
        if known and max(known.values()) > _MORE * min(known.values()):
            most, least = max(known, key=known.__getitem__), min(known, key=known.__getitem__)
            more = known[most] / known[least] - 1
            said.append(
                f"The arms were not trained alike: {most} on {known[most]:,.0f} {noun}, {least} on "
                f"{known[least]:,.0f} ({share(more, 0)} more). A difference may come of that."
            )
    return said


def planned(plan: Values) -> list[tuple[str, str]]:
    """Return what was fixed beforehand, as (what, value)."""
    pool = plan.get("pool") or {}
    pairs = [" against ".join(pair) for pair in plan.get("compare") or ()]
    found = {
        "Comparisons": "; ".join(pairs),
        "Smallest difference that matters": _said(plan.get("smallest")),
        "Arms": ", ".join(plan.get("arms") or ()),
        "Trainings of each arm": _said(plan.get("seeds")),
        "Arms have in common": _said(plan.get("equal")),
        "Answer tokens of an arm": _said(plan.get("tokens_per_arm")),
        "Updates": _said(plan.get("updates")),
        "Answer tokens of an update": _said(plan.get("batch_tokens")),
        "Model": _said(plan.get("model")),
        "Template": _said(plan.get("template")),
        "Tasks": ", ".join(plan.get("tasks") or ()),
        "Pool": plural(pool["n"], "row") if "n" in pool else "",
        "SHA-256 of the pool": _said(pool.get("sha256")),
        "Rows in no arm, since they hold text of the tasks": _said(plan.get("contaminated")),
        "SHA-256 of this plan": _said(plan.get("sha256")),
    }
    return [(what, value) for what, value in found.items() if value]


def _said(value: Any) -> str:
    if value is None:
        return ""
    return count(value) if isinstance(value, int) else str(value)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None
