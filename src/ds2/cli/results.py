"""What a run made and what its state is: as lines for a person, as a document for a program."""

from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ds2.runs.compare import Compared
    from ds2.runs.loop import RunOutcome

__all__ = [
    "plain",
    "run_document",
    "run_lines",
    "stage_phrase",
    "state_lines",
    "status_document",
    "status_lines",
]

_PRODUCTS = {"select": ("selected", "selected.jsonl"), "report": ("report", "report.html")}


def run_lines(result: "RunOutcome") -> list[str]:
    """Return the verdict and where the products are; before there is a report, the last numbers."""
    last = result.stages[-1].stage
    if last != "report":
        lines = [f"{last:<10} {stage_phrase(last, result.summary[last])}"]
    else:
        said: Mapping[str, Any] = result.summary[last]
        lines = [plain(finding) for finding in said["verdict"]]
        lines += [plain(f"{'warning':<10} {note}") for note in said["notes"]]
    if result.warnings and last != "report":
        lines.append(f"{'warnings':<10} {len(result.warnings)}, kept in manifest.json")
    for stage, (label, file) in _PRODUCTS.items():
        if stage in result.summary:
            lines.append(f"{label:<10} {_product(result, stage, file)}")
    if last == "report":
        left = result.summary.get("rate", {}).get("unanswered")
        if left:
            lines.append(f"{'partial':<10} {left:,} requests have no reply; they are sent again")
        lines += state_lines(result, result.folder, again=bool(left))
    return lines


def _product(result: "RunOutcome", stage: str, usual: str) -> Path:
    """Where the product of a stage is; a selection in parts is a folder."""
    return result.folder / str(result.summary[stage].get("file", usual))


def state_lines(found: "RunOutcome | Compared", run: Path, *, again: bool = False) -> list[str]:
    """Return what to do, why, and the command to give next: ``again`` where it is the same."""
    state = found.state
    following = f"ds2 run {quote(str(run))}" if again else state.command(str(run))
    named = {"state": state.says, "reason": state.reason, "next": following}
    return [plain(f"{label:<10} {words}") for label, words in named.items()]


def plain(text: object) -> str:
    """Return a page's words with spaces that a terminal breaks at."""
    return str(text).replace("\u00a0", " ")


def run_document(result: "RunOutcome") -> dict[str, Any]:
    """Return the same as JSON values."""
    return {
        "run": result.folder,
        "stages": [
            {"stage": one.stage, "state": one.state, "seconds": one.seconds}
            for one in result.stages
        ],
        "summary": {name: dict(numbers) for name, numbers in result.summary.items()},
        "warnings": result.warnings,
        "files": {
            label: _product(result, stage, file)
            for stage, (label, file) in _PRODUCTS.items()
            if stage in result.summary
        },
    }


def status_lines(found: "RunOutcome") -> list[str]:
    """Return one line for each stage."""
    lines = []
    for verdict in found.stages:
        says = list(verdict.reasons)
        if verdict.state in ("fresh", "partial"):
            says.insert(0, stage_phrase(verdict.stage, found.summary[verdict.stage]))
        lines.append(f"{verdict.stage:<10} {verdict.state:<8} {'; '.join(says)}")
    if found.pid is not None:
        lines.append(f"{'busy':<10} process {found.pid} is working on this run")
    elif any(verdict.state not in ("fresh", "skipped") for verdict in found.stages):
        lines.append(f"{'next':<10} ds2 run {quote(str(found.folder))}")
    return lines


def status_document(found: "RunOutcome") -> dict[str, Any]:
    """Return the same as JSON values."""
    return {
        "run": found.folder,
        "pid": found.pid,
        "stages": [
            {
                "stage": verdict.stage,
                "state": verdict.state,
                "reasons": verdict.reasons,
                "seconds": verdict.seconds,
                "summary": dict(found.summary.get(verdict.stage, {})),
            }
            for verdict in found.stages
        ],
    }


def stage_phrase(stage: str, numbers: Mapping[str, Any]) -> str:
    """Return the few numbers of a stage as a phrase; of one that is skipped, why."""
    return str(numbers["why"]) if "why" in numbers else _PHRASES[stage](numbers)


def _pool(n: Mapping[str, Any]) -> str:
    rejected = f", {n['n_rejected']:,} rows set aside in rejects.jsonl" if n["n_rejected"] else ""
    examples = "1 example" if n["n_examples"] == 1 else f"{n['n_examples']:,} examples"
    return f"{examples}, format {n['format']}{rejected}"


def _rate(n: Mapping[str, Any]) -> str:
    parts = [f"{n['n_rated']:,} of {n['n_examples']:,} rated", f"scores 0 to {n['n_scores'] - 1}"]
    parts += [f"{count:,} {problem}" for problem, count in n["problems"].items()]
    for rater, one in n.get("raters", {}).items():
        missing = ", ".join(f"{count:,} {problem}" for problem, count in one["problems"].items())
        parts.append(f"{rater} {one['n_rated']:,}{f' ({missing})' if missing else ''}")
    return ", ".join(parts)


def _embed(n: Mapping[str, Any]) -> str:
    way = "from the cache" if n.get("from_cache") else "reused"
    reused = f", {n['n_reused']:,} vectors {way}" if n["n_reused"] else ""
    return f"{n['name']}, {n['dimension']} dimensions{reused}"


def _neighbors(n: Mapping[str, Any]) -> str:
    repeats = f", {n['n_duplicates']:,} exact duplicates" if n["n_duplicates"] else ""
    cached = ", from the cache" if n.get("from_cache") else ""
    return f"{n['k']} each, {n['method']}, recall {n['recall']:.3f}{repeats}{cached}"


def _noise(n: Mapping[str, Any]) -> str:
    lift = f"lift {_number(n['lift'])} [{_number(n['lift_low'])}, {_number(n['lift_high'])}]"
    return f"share of wrong scores {_number(n['error_rate'])} at rho = {n['rho']:.2g}; {lift}"


def _curate(n: Mapping[str, Any]) -> str:
    if n["method"] not in ("ds2", "raw"):  # evidence takes the place of the gate
        return f"a real number for every score by method {n['method']}"
    gate = {"fired": "; the gate fired", "off": "; the gate is off"}.get(n["gate"], "")
    return f"{n['n_changed']:,} scores changed by method {n['method']}{gate}"


def _select(n: Mapping[str, Any]) -> str:
    dropped = ", ".join(f"{count:,} {why}" for why, count in n["dropped"].items())
    left_out = f"; left out: {dropped}" if dropped else ""
    return f"{n['n_selected']:,} examples by method {n['method']}{left_out}"


def _report(_: Mapping[str, Any]) -> str:
    return "report.html, report.md, report.json"


def _train(n: Mapping[str, Any]) -> str:
    return f"{n['update']:,} updates, {n['answer_tokens']:,} answer tokens, loss {n['loss']:.3f}"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"


_PHRASES = {
    "pool": _pool,
    "rate": _rate,
    "embed": _embed,
    "neighbors": _neighbors,
    "noise": _noise,
    "curate": _curate,
    "select": _select,
    "report": _report,
    "train": _train,
}
