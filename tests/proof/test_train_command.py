"""`ds2 train`: what it prints, where it writes, and what it says when something is not there."""

import json
import sys
from importlib.util import find_spec

import pytest
from test_train_loop import model  # noqa: F401 (a fixture)
from typer.testing import CliRunner

from ds2.cli.app import app

MISSING = [n for n in ("torch", "transformers", "peft", "accelerate") if find_spec(n) is None]


def invoke(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train")
    pool = folder / "pool.jsonl"
    rows = [
        {
            "instruction": f"question {i}",
            "output": "the answer " * (1 + i % 4) + str(i),
            "score": i % 6,
        }
        for i in range(60)
    ]
    rows[7]["output"] = "a <|im_end|> inside"
    pool.write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = invoke("init", folder / "run", "--pool", pool, "--scores", "score", "--scale", "0-5")
    assert made.exit_code == 0, made.output
    return folder / "run"


def test_a_model_is_needed_before_anything_runs(run):
    done = invoke("train", run)
    assert done.exit_code == 2
    assert "'train.model' names none. Set it" in done.stderr
    assert not (run / "pool.arrow").exists()
    both = invoke("train", run, "--show-loss", "--dry")
    assert both.exit_code == 2
    assert "give one of them" in both.stderr


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_package_that_is_missing_is_named_with_the_line_to_paste(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    done = invoke("train", run, "--set", "train.model=m", "--set", "select.size=9")
    assert done.exit_code == 2
    assert "'transformers'. Install it with: pip install 'accelerate>=" in done.stderr


def test_settings_of_training_leave_the_stages_of_a_run_alone(run):
    chosen = ("--set", "select.size=9", "--set", "noise.n_bootstrap=0")
    assert invoke("run", run, *chosen).exit_code == 0
    after = invoke("status", run, *chosen, "--set", "train.lora_rank=8", "--json")
    assert {stage["state"] for stage in json.loads(after.stdout)["stages"]} == {"fresh"}


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
@pytest.mark.filterwarnings("ignore")
def test_train_on_a_selection(run, model, monkeypatch):  # noqa: F811
    monkeypatch.setattr("ds2.cli.progress.EVERY_S", 0.0)
    chosen = [
        word
        for setting in (
            "select.size=50", "noise.n_bootstrap=0", f"train.model={model}", "train.epochs=1",
            "train.batch=16", "train.lora_rank=4",
        )
        for word in ("--set", setting)
    ]  # fmt: skip
    shown = invoke("train", run, *chosen, "--show-loss")
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.count("\nrow ") == 3
    assert shown.stdout.count("<|im_end|>⟧") == 3
    assert "<|im_start|>assistant\n⟦the answer" in shown.stdout
    dry = json.loads(invoke("train", run, *chosen, "--dry", "--json").stdout)
    assert dry["figures"]["updates"] == -(-dry["rows"] // 16)
    assert not (run / "proof").exists()

    done = invoke("train", run, *chosen, "--seed", 5)
    assert done.exit_code == 0, done.output
    assert "tokens/s" in done.stderr
    place = run / "proof" / "runs" / "selection-s5"
    assert str(place / "adapter") in done.stdout
    again = json.loads(invoke("train", run, *chosen, "--seed", 5, "--json").stdout)
    assert again["fresh"]
    assert again["update"] == dry["figures"]["updates"]
    assert again["answer_tokens"] == dry["figures"]["answer_tokens"]
