"""A small run that a proof can be planned for, with a tokenizer that needs no transformers."""

import json
import random

import numpy as np
from small_pool import TOPICS, WORDS, write_rows
from tokenizers_made import Made

from ds2.proof.arms import overview
from ds2.proof.samples import read_run
from ds2.runs import run
from ds2.runs.evaluate_step import Evaluation

RECIPE = """\
[pool]
path = "pool.jsonl"
[scores]
column = ["a", "b"]
scale = "0-5"
[noise]
n_bootstrap = 0
[select]
size = 30
[train]
model = "tiny"
epochs = 2
batch = 4
max_length = 400
[evaluate]
tasks = ["texts:held.jsonl"]
[proof]
arms = ["selection", "random"]
seeds = 2
compare = [["selection", "random"]]
"""
SHARED = "this very sentence of the evaluation stands in the pool as well and must not be learned"


def make_run(folder, n=240):
    """Write pool, held-out texts and recipe, and bring the run up to its selection."""
    rng = random.Random(0)
    rows = []
    for i in range(n):
        words = " ".join(rng.choices(WORDS, k=rng.choice((3, 6, 12, 25, 40))))
        rows.append(
            {
                "id": f"r{i}",
                "instruction": f"{TOPICS[i % 8]} {' '.join(rng.sample(WORDS, 3))} {i}",
                "output": f"{TOPICS[i % 8]} {words}",
                "a": rng.choice((0, 1, 2, 3, 4, 5)),
                "b": rng.choice((0, 1, 2, 3, 4, 5)),
            }
        )
    rows[5] |= {"output": f"{rows[5]['output']} {SHARED}", "a": 5, "b": 5}
    rows[6] |= {"output": "says <|im_end|> inside", "a": 5, "b": 5}  # cannot be trained on
    rows[9] |= {"instruction": rows[4]["instruction"], "output": rows[4]["output"]}
    folder.mkdir()
    write_rows(folder / "pool.jsonl", rows)
    held = [f"a held out answer number {i} that is long enough to look for" for i in range(5)]
    write_rows(
        folder / "held.jsonl",
        [
            {"instruction": f"What is {i}?", "output": text}
            for i, text in enumerate([*held, SHARED])
        ],
    )
    write_rows(folder / "mine.jsonl", [rows[5], *rows[60:200]])
    (folder / "recipe.toml").write_text(RECIPE)
    run(folder, until="select")
    return folder


def without_transformers(monkeypatch):
    for module in ("proof_arms", "train_data"):
        where = "ds2.runs" if module == "proof_arms" else "ds2.proof"
        monkeypatch.setattr(f"{where}.{module}.load_tokenizer", lambda _: Made())


def pretend(monkeypatch, losses, items=60):
    """Train and evaluate nothing: an arm's held-out loss is ``losses[arm]``; returns what was done.

    ``losses[arm]`` may be a number, or one for each task.
    """
    done = {"trained": [], "evaluated": []}

    def train(turns, training, place, *, told, say):
        digest = f"{training.seed} {training.max_steps} {hash(tuple(map(tuple, turns)))}"
        path = place / "done.json"
        held = json.loads(path.read_text()) if path.exists() else {}
        if held.get("digest") != digest:
            done["trained"].append(place.name)
            held = {"digest": digest, "answer_tokens": 9, "tokens": 9, "update": 2, "seconds": 1.0,
                    "peak_bytes": 1, "first_loss": 2.0, "loss": 1.5, "rows": 9}  # fmt: skip
            (place / "log.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.5}\n')
            path.write_text(json.dumps(held))
        return type("Trained", (), {"fresh": place.name not in done["trained"], "figures": held})

    def evaluate_run(job, *, models):
        place = job.folder / "proof" / "evaluations"
        names = ["base", *(model.partition("=")[0] for model in models)]
        runs = {}
        for name in names:
            done["evaluated"].append(name)
            arm, _, seed = name.rpartition("-s")
            given = losses.get(arm, 2.0)
            tasks = given if isinstance(given, dict) else {"held": given}
            (place / name).mkdir(parents=True, exist_ok=True)
            files = []
            for t, (task, loss) in enumerate(tasks.items()):
                rng = np.random.default_rng([t, int(seed) if arm else 9, len(arm)])
                ease = np.random.default_rng(t).normal(0, 0.3, items)
                files.append(place / name / f"items-{task}.jsonl")
                write_rows(
                    files[-1],
                    [
                        {"task": task, "filter": "none", "doc_hash": f"d{i}", "prompt_hash": "p",
                         "target_hash": "t", "metric": "loss", "value": float(x),
                         "higher_is_better": False}
                        for i, x in enumerate(loss + ease + rng.normal(0, 0.01, items))
                    ],
                )  # fmt: skip
            runs[name] = read_run(name, files)
        return Evaluation(place, tuple(names), tuple(overview(runs, [])), ())

    monkeypatch.setattr("ds2.runs.train_step.train", train)
    monkeypatch.setattr("ds2.runs.proof_loop.evaluate_run", evaluate_run)
    return done
