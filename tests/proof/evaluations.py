"""Invented evaluations, as lm-eval 0.4 writes them; no text of a real task."""

import hashlib
import json

import numpy as np

from ds2.runs import Listener


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


def row(i, value, *, metric="acc", kind="none", prompt="Q: {}", passage=None, **more):
    """One line of a samples file; fields of ``more`` replace those of lm-eval."""
    doc = {"question": f"What is {i}?", "answer": str(i)}
    if passage is not None:
        doc["passage"] = passage
    asked = prompt.format(doc["question"])
    return {
        "doc_id": i,
        "doc": doc,
        "target": str(i),
        "arguments": {"gen_args_0": {"arg_0": asked, "arg_1": f" {i}"}},
        "resps": [[["-1.0", "True"]]],
        "filtered_resps": [["-1.0", "True"]],
        "filter": kind,
        "metrics": [metric],
        "doc_hash": sha(json.dumps(doc, indent=2, ensure_ascii=False)),
        "prompt_hash": sha(asked),
        "target_hash": sha(str(i)),
        metric: value,
        **more,
    }


def write(folder, task, rows, time="2026-11-29T10-00-00.123456"):
    """Write a samples file and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"samples_{task}_{time}.jsonl"
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows))
    return path


def write_results(folder, **document):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "results_2026-11-29T10-00-00.123456.json"
    path.write_text(json.dumps(document))
    return path


def write_arm(folder, name, *, seeds=3, n=120, gain=0.0, tasks=("alpha", "beta"), seed=0, **how):
    """Write ``folder/name-s0/model/samples_….jsonl`` and so on: right and wrong answers."""
    for s in range(seeds):
        for t, task in enumerate(tasks):
            rng = np.random.default_rng([seed, s, t, len(name), ord(name[0])])
            ease = np.random.default_rng([seed, t]).random(n)
            right = rng.random(n) < np.clip(0.2 + 0.6 * ease + gain, 0, 1)
            rows = [row(i, float(x), **how) for i, x in enumerate(right)]
            write(folder / f"{name}-s{s}" / "model", task, rows)
    return folder


def hearing(said):
    """A listener that keeps what is said."""
    listener = Listener()
    listener.said = said.append
    return listener
