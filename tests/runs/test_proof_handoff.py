"""`--write DIR` and `--read DIR`: what goes to a cluster, and what comes back."""

import json
import subprocess
import sys

import numpy as np
import pytest
from evaluations import row, write
from proof_run import make_run, without_transformers
from tokenizers_made import Made
from typer.testing import CliRunner

from ds2.cli.app import app
from ds2.errors import InputError
from ds2.proof.encode import encode
from ds2.proof.templates import load_template
from ds2.runs import Job
from ds2.runs.proof_handoff import read_plan, write_proof
from ds2.runs.proof_plan import make_plan

ARMS = {"proof.arms": ["selection", "random", "length"],
        "proof.compare": [["selection", "random"], ["selection", "length"]],
        "evaluate.tasks": ["gsm8k_cot", "quiz"], "evaluate.limit": 50}  # fmt: skip


def invoke(*words):
    return CliRunner().invoke(app, ["proof", *map(str, words)])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("handoff") / "run")


@pytest.fixture
def written(run, tmp_path, monkeypatch):
    without_transformers(monkeypatch)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "quiz.yaml").write_text("task: quiz\n")
    include = {"evaluate.include": [str(tmp_path / "own")]}
    write_proof(Job.of(run, ARMS | include), tmp_path / "out")
    return tmp_path / "out"


def answer(out, arms=("selection", "random", "length"), seeds=(0, 1)):
    """Results as evaluate.sh leaves them."""
    for arm in arms:
        for seed in seeds:
            rng = np.random.default_rng([seed, len(arm)])
            chance = 0.8 if arm == "selection" else 0.4
            rows = [row(i, float(x)) for i, x in enumerate(rng.random(400) < chance)]
            write(out / "results" / f"{arm}-s{seed}" / "tiny", "quiz", rows)


def test_data_are_what_ds2_would_learn(run, written):
    from datasets import load_from_disk

    plan = json.loads((written / "plan.json").read_text())
    arms = make_plan(Job.of(run, ARMS))
    tokenizer = Made()
    template = load_template(tokenizer)
    for arm in arms.arms:
        data = load_from_disk(str(written / "data" / arm.name))["train"]
        assert len(data) == plan["runs"][arm.name]["rows"] == len(arm.rows)
        for row_, turns in zip(data, arm.turns, strict=True):
            encoded = encode(turns, template, tokenizer, max_length=400)
            assert row_["input_ids"] == encoded.ids.tolist()
            assert [x != -100 for x in row_["labels"]] == encoded.learned.tolist()
            assert all(x in (-100, i) for x, i in zip(row_["labels"], row_["input_ids"]))  # noqa: B905
    runs = plan["runs"].values()
    assert {each["updates"] for each in runs} == {arms.updates}
    each = [r["batch"] * r["answer_tokens"] / r["rows"] for r in runs]
    assert max(each) / min(each) < 1.35  # about four rows, which are whole ones


def test_scripts_can_be_run(written):
    compile((written / "train.py").read_text(), "train.py", "exec")
    (written / "bin").mkdir()
    said = written / "bin" / "said"
    tool = written / "bin" / "lm_eval"
    tool.write_text(
        f'#!/bin/sh\necho "$@" >> "{said}"\n'
        'while [ "$1" != --output_path ]; do shift; done\nmkdir -p "$2/tiny"\n'
        'touch "$2/tiny/samples_$$.jsonl"\n[ ! -e "$KILLED" ]\n'
    )
    tool.chmod(0o755)
    (written / "bin" / "python").symlink_to(sys.executable)
    path = f"{written / 'bin'}:/usr/bin:/bin"

    def evaluate(name, killed="", **more):
        environment = {"PATH": path, "KILLED": str(killed), **more}
        command = ["bash", str(written / "evaluate.sh"), name]
        return subprocess.run(command, check=False, env=environment).returncode

    assert evaluate("base", killed=tool)  # of which nothing is a result
    assert not (written / "results").exists()
    said.unlink()
    for name in ("base", "random-s1", "base"):  # what is finished is not done again
        assert evaluate(name) == 0
    assert len(list((written / "results" / "base").glob("*/tiny/samples_*.jsonl"))) == 2
    lines = said.read_text().splitlines()
    assert len(lines) == 4
    assert evaluate("length-s0", MODEL="/there/tiny") == 0
    assert "pretrained=/there/tiny,peft=" in said.read_text().splitlines()[-1]
    assert "--model_args pretrained=tiny --tasks gsm8k_cot --batch_size" in lines[0]
    assert lines[3].count("--tasks quiz") == 1
    assert f"peft={written}/adapters/random-s1" in lines[3]
    assert "--output_path partial/random-s1 --limit 50" in lines[3]
    assert f"--include_path {written}/tasks" in lines[3]
    assert (written / "tasks" / "own" / "quiz.yaml").exists()
    assert (written / "names.txt").read_text().split()[0] == "base"
    for tool in ("axolotl", "llamafactory"):
        text = (written / tool / "selection-s0.yaml").read_text()
        values = dict(line.split(": ", 1) for line in text.splitlines())
        size = values.get("micro_batch_size") or values["per_device_train_batch_size"]
        plan = json.loads((written / "plan.json").read_text())
        batch = int(size) * int(values["gradient_accumulation_steps"])
        assert batch == plan["runs"]["selection-s0"]["batch"]


def test_results_come_back_and_are_compared_as_fixed(run, written, tmp_path):
    answer(written)
    for words in ((written,), (run, written)):
        done = invoke("--read", *words, "--out", tmp_path / "page.html")
        assert done.exit_code == 0, done.output
        assert "verdict    selection is better than random" in done.stdout
        assert "verdict    selection is better than length" in done.stdout
        assert "after Holm, 2 comparisons" in done.stdout
    sha = json.loads((written / "plan.json").read_text())["sha256"]
    assert sha in (tmp_path / "page.html").read_text()
    other = invoke("--read", written, "--against", "length")
    assert other.exit_code == 2
    assert "What is compared was fixed in plan.json" in other.stderr


def test_what_is_missing_is_named_and_the_rest_compared(written):
    answer(written, arms=("selection", "random"))
    done = invoke("--read", written)
    assert done.exit_code == 1
    assert "no results yet of length-s0, length-s1: the rest was compared" in done.stderr
    assert "selection is better than random" in done.stdout
    assert "length" not in done.stdout
    assert "after Holm, 2 comparisons" in done.stdout  # that are planned


def test_too_little_for_a_comparison(written):
    with pytest.raises(InputError, match=r"Train .* and evaluate"):
        read_plan(written)
    answer(written, arms=("random", "length"))
    done = invoke("--read", written)
    assert done.exit_code == 2
    assert "No comparison of the plan can be made" in done.stderr


def test_what_was_changed_is_refused(written):
    answer(written)
    sbatch = written / "sbatch.sh"
    sbatch.write_text(sbatch.read_text().replace("gpu:1", "gpu:a100:1"))  # every cluster's own
    assert invoke("--read", written).exit_code == 0
    plan = written / "plan.json"
    held = plan.read_text()
    plan.write_text(held.replace('"smallest": 0.01', '"smallest": 0.5'))
    done = invoke("--read", written)
    assert done.exit_code == 2
    assert "plan.json' is not what was written there" in done.stderr
    plan.write_text(held)
    (written / "SHA256SUMS").unlink()
    assert "Bring the folder back whole" in invoke("--read", written).stderr


def test_a_folder_with_something_else_in_it_is_left_alone(run, written, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="holds another proof"):
        write_proof(Job.of(run), written)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").touch()
    with pytest.raises(InputError, match="holds other files"):
        write_proof(Job.of(run), tmp_path / "full")
    n, notes = write_proof(Job.of(run, {"train.lora_layers": "last:2"}), tmp_path / "few")
    assert n == 5
    assert "Answer tokens of an update differ by " in " ".join(notes)  # batches of four rows
    assert not (tmp_path / "few" / "axolotl").exists()
    assert "held-out answers are evaluated where the run is" in " ".join(notes)


@pytest.mark.parametrize("at", ["data", "end"])
def test_a_writing_that_was_killed_is_done_by_the_same_command(run, tmp_path, monkeypatch, at):
    without_transformers(monkeypatch)
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        if at == "data":
            patch.setattr("ds2.runs.proof_handoff._run", lambda *_: 1 / 0)
        else:
            patch.setattr("ds2.runs.proof_handoff._sums", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write_proof(Job.of(run, ARMS), out)
    (out / ".names.txt.0123abcd.tmp").touch()
    assert (out / "data" / "selection-s0").is_dir()
    with pytest.raises(InputError, match="where --write was stopped, give that command again"):
        read_plan(out)
    with pytest.raises(InputError, match="holds another proof"):
        write_proof(Job.of(run), out)
    for _ in range(2):  # and again where it is whole
        write_proof(Job.of(run, ARMS), out)
        answer(out)
        assert len(read_plan(out)[1]) == 6
    assert not list(out.glob(".*"))
