"""The page of a proof, made of the JSON values of ``proof/result.json``.

Parts that are missing are left out. NaN is null.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import sqrt
from statistics import fmean
from typing import Any

from ds2.measures import Z
from ds2.report import charts
from ds2.report.model import (
    Fact,
    Facts,
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
from ds2.report.run_report import training_tables
from ds2.report.words import decimal, plural, share, signed

__all__ = ["proof_report"]

Values = Mapping[str, Any]
_MORE = 1.02  # what arms may differ in tokens or updates before it is said
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
#: What a document may lack.
_NOTHING: Values = {
    **{"title": "Proof", "state": "done", "planted": None},
    **{part: {} for part in ("plan", "seeds", "losses", "base")},
    **dict.fromkeys(("comparisons", "costs", "struck", "notes"), ()),
}
#: What is said of a proof by its state: in the lead, and where nothing was compared yet.
_STATES = {
    "planned": (" So far this is a plan.", "Not trained yet."),
    "running": (
        " Not finished: what is here may change.",
        "Models are being trained; nothing is known yet.",
    ),
    "done": ("", "Not trained yet."),
}
_WORDS = {
    "arm, run": "A way to choose the rows; one model trained on such rows, with a seed of its own.",
    "item": "A question of a task. Every model answers the same ones, and differences are taken "
    "item by item.",
    "95 % interval": "What the difference may be on other items and with other trainings. Where "
    "each arm has one run, on other items alone.",
    "items alone": "What the interval would be if other trainings gave the same models. They do "
    "not: an interval that stops here finds differences that another seed does not have.",
    "no difference that matters": "The whole interval lies within the smallest difference that "
    "matters, either way.",
    "untrained": "The base model, before any of the trainings.",
}


def proof_report(document: Values, *, links: Sequence[tuple[str, str]] = ()) -> Page:
    """Return the page of a proof.

    Args:
        document: a comparison, or all of a proof: title, state, plan, comparisons, base, planted,
            struck, costs, losses, notes.
        links: (address, words) of other pages.
    """
    document = {**_NOTHING, **{k: part for k, part in document.items() if part is not None}}
    lead, _ = _STATES[document["state"]]
    trained = "trained on different rows, " if document["plan"] else ""
    arms = {run: arm for arm, runs in document["seeds"].items() for run in runs}
    losses, differences = training_tables(document["losses"], arms), _differences(document)
    return Page(
        title=document["title"],
        lead=f"Models {trained}evaluated on the same items and compared one by one.{lead}",
        findings=tuple(_findings(document)),
        notes=tuple(("note", note) for note in document["notes"]),
        sections=sections(
            ("differences", "How large the differences are", "Differences", differences),
            ("needed", "What would be needed to tell", "What would tell", _needed(document)),
            ("costs", "What each arm cost", "Costs", _costs(document)),
            ("losses", "Training loss", "Training loss", losses),
            ("control", "Do the measures see bad answers?", "Control", _control(document)),
            ("plan", "What was fixed beforehand", "Fixed beforehand", _plan(document)),
            ("words", "Words", "Words", [facts("", "", _WORDS)]),
        ),
        links=tuple(links),
    )


def _pair(one: Values) -> str:
    return f"{one['a']} against {one['b']}"


def _of_tasks(one: Values) -> list[tuple[str, Values]]:
    """What a comparison shows, by name: the mean, where there are tasks, and each task."""
    tasks = list(one["tasks"].items())
    return [(f"mean of {len(tasks)} tasks", one["overall"]), *tasks] if len(tasks) > 1 else tasks


def _findings(document: Values) -> Iterator[Finding]:
    """What every comparison found; what is planned where none did."""
    if not document["comparisons"]:
        _, said = _STATES[document["state"]]
        yield Finding("Does the selection train better models?", said, (), "open")
    for one in document["comparisons"]:
        trained, read, tone = _ANSWERS[one["verdict"]]
        overall, warnings = one["overall"], _unequal(document, (one["a"], one["b"]))
        (label, _), *others = _of_tasks(one)
        seeds = " and ".join(str(n) for n in dict.fromkeys(overall["n_seeds"]))
        detail = [
            f"{f'On average over {len(others)} tasks' if others else f'On {label}'}: "
            f"{decimal(overall['mean_a'], 4)} against {decimal(overall['mean_b'], 4)}"
            f"{'' if one['higher_is_better'] else '; lower is better'}. "
            f"The difference is {signed(overall['value'])}, with 95 % confidence between "
            f"{signed(overall['low'])} and {signed(overall['high'])}; from {seeds} "
            f"{'training' if seeds == '1' else 'trainings'} of each."
        ]
        if one["verdict"] in ("cannot tell", "no verdict"):
            detail.append(_needs(one))
        yield Finding(
            _pair(one),
            (trained if document["plan"] else read).format(a=one["a"], b=one["b"]),
            (*detail, *warnings),
            "care" if tone == "clear" and warnings else tone,
            tuple((one.get("says") or {}).items()),
        )


def _needs(one: Values) -> str:
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


def _differences(document: Values) -> tuple[Table, ...]:
    """The figures of every comparison and their charts, on an axis that all share."""
    comparisons = document["comparisons"]
    parts = [found for one in comparisons for _, found in _of_tasks(one)]
    ends = [part[end] for part in parts for end in ("low", "high") if part[end] is not None]
    ends += [sign * one["smallest"] for one in comparisons for sign in (-1.5, 1.5)]
    low, high = min(ends, default=0.0), max(ends, default=0.0)
    axis = low - 0.04 * (high - low), high + 0.04 * (high - low)
    return tuple(_difference(document, i, one, axis) for i, one in enumerate(comparisons, 1))


def _difference(document: Values, place: int, one: Values, ends: tuple[float, float]) -> Table:
    base, rows = document["base"], _of_tasks(one)
    noise = [
        [
            None if part is None else sqrt(part)
            for part in map(found["noise"].get, ("items", "runs"))
        ]
        for _, found in rows
    ]
    spans = [
        charts.Span(label, found["value"], found["low"], found["high"], Z * (part[0] or 0.0))
        for (label, found), part in zip(rows, noise, strict=True)
    ]
    worse, better = (one["b"], one["a"]) if one["higher_is_better"] else (one["a"], one["b"])
    chart = charts.interval_chart(
        f"Differences of {one['a']} from {one['b']}",
        spans,
        ends,
        zone=(-one["smallest"], one["smallest"]),
        words=(f"{worse} better", f"{better} better"),
        kind="signed",
        leads=len(rows) > 1,
    )
    mean = _mean([base.get(task) for task in one["tasks"]])
    untrained = {label: [base.get(label, mean)] for label, _ in rows} if base else {}
    alone = " Where an arm has one run, the bar is about other items alone."
    return table(
        f"differences {place}",
        f"{one['a']} (A) against {one['b']} (B)",
        f"task, items{', untrained: exact' if base else ''}, A: exact, B: exact, A − B: signed, "
        "error of items: exact, error of runs: exact",
        [
            (
                *(label, found["n_items"], *untrained.get(label, ())),
                *(found["mean_a"], found["mean_b"], (found["value"], found["low"], found["high"])),
                *part,
            )
            for (label, found), part in zip(rows, noise, strict=True)
        ],
        says=f"{'Higher' if one['higher_is_better'] else 'Lower'} is better. The mean over tasks "
        "decides; a task alone is shown, not judged. Where a bar crosses the line at 0, it may be "
        "chance. The errors are standard errors of A − B by where they come from."
        + (alone if one["verdict"] == "no verdict" else ""),
        figure=Figure(
            chart,
            (
                ("band", "95 % interval: other items and other trainings"),
                ("items", "the part of it that comes from the items alone"),
                ("zone", "too small to matter"),
            ),
        ),
    )


def _needed(document: Values) -> tuple[Part, ...]:
    comparisons = document["comparisons"]
    if not comparisons:
        return ()
    return (
        Facts("needed", "", tuple(Fact(_pair(one), _needs(one)) for one in comparisons)),
        table(
            "needed",
            "In numbers",
            "comparison, smallest that matters: exact, smallest that can be seen: exact, "
            "runs of an arm, runs needed, items, items needed",
            [
                (
                    *(_pair(one), one["smallest"]),
                    None if one["verdict"] == "no verdict" else one["detectable"],
                    *(max(one["overall"]["n_seeds"]), one["seeds_needed"]),
                    *(one["overall"]["n_items"], one["items_needed"]),
                )
                for one in comparisons
            ],
            says="“Seen” is: found in 80 % of such comparisons. A dash: no number of these alone.",
        ),
    )


_COSTS = {
    "rows": "rows",
    "answer_tokens": "answer tokens",
    "tokens": "all tokens",
    "updates": "updates",
    "mean_answer": "tokens of an answer",
    "seconds": "seconds",
    "peak_bytes": "GB of memory",
}


def _costs(document: Values) -> Iterator[Part]:
    costs = document["costs"]
    if not costs:
        return
    alike = "The arms were trained alike: their answer tokens and updates differ by 2 % at most."
    yield from _unequal(document) or [alike]
    heads = ", ".join(_COSTS.values())
    arms = {arm: [c for c in costs if c["arm"] == arm] for arm in (c["arm"] for c in costs)}
    means = [(arm, len(own), *_figures(own)) for arm, own in arms.items()]
    yield table("costs", "Means over runs", f"arm, runs, {heads}", means)
    runs = [(f"{one['arm']}, seed {one['seed']}", *_figures([one])) for one in costs]
    yield table("costs by run", "Each run", f"run, {heads}", runs, folded=True)


def _figures(costs: Sequence[Values]) -> Iterator[float | None]:
    for name in _COSTS:
        mean = _mean([cost.get(name) for cost in costs])
        if mean is None or name == "mean_answer":
            yield mean
        else:
            yield mean / 1e9 if name == "peak_bytes" else round(mean)


def _unequal(document: Values, arms: Sequence[str] | None = None) -> list[str]:
    """Say where arms differ by more than 2 % in answer tokens or in updates."""
    costs, said = document["costs"], []
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


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None


def _control(document: Values) -> Iterator[Part]:
    planted, struck = document["planted"], document["struck"]
    if planted:
        yield (
            "To find out, models were trained on random rows, and as many on the same rows with "
            f"{share(planted['share'], 0)} of the answers exchanged among them, so that these "
            f"answer another row's prompt: {plural(planted['seeds'], 'run')} of each. A task on "
            "which the clean rows are not shown to be better cannot judge the others."
        )
        yield table(
            "control",
            "Figures of the control",
            "task, clean − exchanged: signed, sees bad answers",
            [
                (task, (one["value"], one["low"], one["high"]), "yes" if one["passed"] else "no")
                for task, one in planted["tasks"].items()
            ],
        )
    else:
        yield (
            "Not tried: no model like these was trained on answers that are known to be bad. So "
            "nothing here shows that these tasks would see them."
        )
    if struck:
        yield f"Left out, since clean rows are not shown to be better: {', '.join(struck)}."


#: What a plan fixed, by its key.
_FIXED = {
    "Smallest difference that matters: exact": "smallest",
    "Arms": "arms",
    "Trainings of each arm": "seeds",
    "Arms have in common": "equal",
    "Answer tokens of an arm": "tokens_per_arm",
    "Updates": "updates",
    "Answer tokens of an update": "batch_tokens",
    "Model": "model",
    "Template": "template",
    "Tasks": "tasks",
}


def _plan(document: Values) -> Iterator[Part]:
    plan = document["plan"]
    pool = plan.get("pool") or {}
    found: dict[str, Any] = {
        "Comparisons": "; ".join(" against ".join(pair) for pair in plan.get("compare") or ())
    }
    for what, key in _FIXED.items():
        value = plan.get(key)
        found[what] = ", ".join(value) if isinstance(value, (list, tuple)) else value
    found |= {
        "Rows of the pool": pool.get("n"),
        "SHA-256 of the pool": pool.get("sha256"),
        "Rows in no arm, since they hold text of the tasks": plan.get("contaminated"),
        "SHA-256 of this plan": plan.get("sha256"),
    }
    known = {what: value for what, value in found.items() if value not in (None, "")}
    if known:
        yield facts("plan", "", known)
        settings = [Fact(key, str(value)) for key, value in (plan.get("settings") or {}).items()]
        if settings:
            yield Facts("settings", plural(len(settings), "setting"), tuple(settings))
    else:
        yield (
            "No plan came with these evaluations. Which arms, tasks and pairs to compare must be "
            "chosen before results are seen; nothing here shows that they were."
        )
