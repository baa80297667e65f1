"""The proof as one HTML file: no script, no network, nothing outside the file.

It is made of the JSON values of ``proof/result.json``; parts that are missing are left out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ds2.report import proof_words
from ds2.report.markdown import page_markdown
from ds2.report.page import render_page
from ds2.report.sheets import Column, Sheet

__all__ = ["proof_markdown", "render_proof"]


def render_proof(document: Mapping[str, Any], *, links: Sequence[tuple[str, str]] = ()) -> str:
    """Return the page as the text of one self-contained HTML file.

    Args:
        document: a comparison, or all of a proof: title, state, plan, comparisons, base, planted,
            struck, costs, losses, notes. NaN is null.
        links: (address, words) of other pages.
    """
    from ds2.report.proof_charts import forest_chart, reach

    plan, costs = document.get("plan") or {}, document.get("costs") or []
    comparisons = document.get("comparisons") or []
    ends = reach(comparisons) if comparisons else (-1.0, 1.0)
    return render_page(
        "proof_page.html.j2",
        styles=("style.css", "proof_page.css"),
        title=document.get("title") or "Proof",
        state=document.get("state") or "done",
        links=links,
        findings=proof_words.proof_findings(document),
        comparisons=comparisons,
        charts=[forest_chart(f"forest-{i}", one, ends) for i, one in enumerate(comparisons)],
        sheets=[proof_words.difference_sheet(document, one) for one in comparisons],
        needed=[(f"{one['a']} against {one['b']}", proof_words.needs(one)) for one in comparisons],
        needs=proof_words.needs_sheet(comparisons),
        costs=proof_words.cost_sheet(costs) if costs else None,
        runs=proof_words.run_sheet(costs),
        unequal=proof_words.unequal(document),
        losses=_losses(document),
        control=_control(document.get("planted")),
        planted=document.get("planted") or {},
        struck=document.get("struck") or [],
        plan=plan,
        planned=proof_words.planned(plan),
        notes=document.get("notes") or [],
    )


def proof_markdown(document: Mapping[str, Any]) -> str:
    """Return what the page says as Markdown."""
    return page_markdown(render_proof(document))


def _losses(document: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """(arm, chart) for each arm with training losses, all on the same axes."""
    from ds2.report.proof_charts import loss_chart, stretches

    curves = {name: run for name, run in (document.get("losses") or {}).items() if stretches(run)}
    if not curves:
        return []
    values = [loss for run in curves.values() for _, loss in stretches(run)]
    room = 0.05 * (max(values) - min(values)) or 0.05
    last = max(max(run["steps"]) for run in curves.values())
    ends = (last, min(values) - room, max(values) + room)
    arms = {run: arm for arm, runs in (document.get("seeds") or {}).items() for run in runs}
    by_arm: dict[str, list[Any]] = {}
    for name, run in curves.items():
        by_arm.setdefault(arms.get(name, name), []).append(run)
    return [
        (arm, loss_chart(f"loss-{i}", arm, runs, ends))
        for i, (arm, runs) in enumerate(by_arm.items())
    ]


def _control(planted: Mapping[str, Any] | None) -> Sheet | None:
    if not planted:
        return None
    columns = (
        Column("task", "text"),
        Column("good − bad", "signed"),
        Column("95 % interval", "signed interval"),
        Column("sees bad answers", "text"),
    )
    rows = tuple(
        (task, one["value"], (one["low"], one["high"]), "yes" if one["passed"] else "no")
        for task, one in planted["tasks"].items()
    )
    return Sheet("Figures of the control", "", columns, rows)
