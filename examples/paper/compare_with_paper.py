"""The paper's figures beside yours: the mean of five tasks, in points.

    python examples/paper/compare_with_paper.py RUN

reads RUN/proof/result.json, which `ds2 proof RUN` writes.
"""

import json
import sys
from pathlib import Path
from statistics import mean

#: Llama-3.1-8B, 10,000 of 300,932 rows (arXiv 2410.10877); several figures: three raters.
PAPER = {
    "vanilla": "46.6",
    "random": "57.4",
    "full-epochs": "57.7",
    "less": "58.0",
    "no-curation": "59.2 to 60.7",
    "selection": "60.2, 61.4, 61.1",
}
SAYS = {"vanilla": "untrained", "selection": "DS²", "full-epochs": "all rows, 5 epochs"}
TASKS = {"mmlu", "truthfulqa_mc2", "gsm8k_cot", "bbh_cot_fewshot", "tydiqa_goldp"}

document = json.loads(Path(sys.argv[1], "proof", "result.json").read_text(encoding="utf-8"))
struck = set(document["struck"])
yours = {
    arm: 100 * mean(value for task, value in tasks.items() if task not in struck)
    for arm, tasks in {"vanilla": document["base"], **document["means"]}.items()
}
runs = {arm: len(seeds) for arm, seeds in document["seeds"].items()}
print(f"{'':32} {'paper':>16} {'yours':>6}  runs")
for arm in [*PAPER, *(arm for arm in yours if arm not in PAPER)]:
    name = f"{arm} ({SAYS[arm]})" if arm in SAYS else arm
    figure = f"{yours[arm]:.1f}" if arm in yours else "-"
    print(f"{name:32} {PAPER.get(arm, '-'):>16} {figure:>6}  {runs.get(arm, '')}".rstrip())

print("\nThe differences that were judged, yours, with 95 % intervals:")
for one in document["comparisons"]:
    value, low, high = (100 * one["overall"][key] for key in ("value", "low", "high"))
    print(f"{one['a']} - {one['b']}: {value:+.1f} [{low:+.1f}, {high:+.1f}], {one['verdict']}")

model = document["plan"]["model"]
if "Llama-3.1-8B" not in model:
    print(f"\nThe paper's figures here are Llama-3.1-8B's; yours are {model}'s.")
measured = set(document["base"]) - struck
if measured != TASKS:
    print(f"\nYours is the mean of {', '.join(sorted(measured))}; the paper's of its five.")
else:
    print("\nTruthfulQA is another metric than the paper's, and three tasks have all items:")
    print("compare differences between arms, not the figures of an arm.")
