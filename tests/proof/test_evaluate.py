"""`ds2 evaluate` without a language model: tasks, files, arguments, and what is not done again."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from evaluations import hearing
from typer.testing import CliRunner

import ds2.proof.evaluate as module
from ds2.cli.app import app
from ds2.errors import InputError, MissingDependencyError
from ds2.proof.evaluate import draw, measure_held_out
from ds2.proof.harness import Harness, model_arguments
from ds2.proof.record import open_record
from ds2.proof.scorer import Scorer
from ds2.proof.tasks import PAPER, Evaluated, EvaluationSettings, HeldOut, split_tasks
from ds2.proof.templates import load_template
from ds2.runs import Job, parse_overrides
from ds2.runs.evaluate_step import evaluate_run
from ds2.runs.recipe import EvaluateSection


class Special(str):
    """A token that no plain text makes."""

    special = True


class Tokenizer:
    """A token a character; 0 ends a text."""

    chat_template = None
    bos_token = None
    eos_token = "\0"
    added_tokens_decoder = {0: Special("\0")}  # noqa: RUF012

    def __call__(self, text, *, add_special_tokens):
        return {"input_ids": [ord(sign) for sign in text]}

    def decode(self, ids):
        return "".join(map(chr, ids))


class Characters(Scorer):
    """A model by which every token of an answer has a probability of 1/2."""

    def losses(self, texts, *, batch_tokens=4096):
        return np.array([len(answer) * np.log(2) for _, answer in texts])


@pytest.fixture
def scorers(monkeypatch):
    """Every model becomes `Characters`; returns the names of those loaded."""
    loaded = []

    def load(name, **how):
        loaded.append((name, how["adapter"]))
        return Characters(None, Tokenizer(), [0])

    monkeypatch.setattr(module, "load_scorer", load)
    monkeypatch.setattr(module, "free_memory", lambda: None)
    return loaded


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def make_run(tmp_path, tasks, **rows):
    """A run folder with two trained models, and files of rows."""
    for name, held in rows.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in held))
    run = tmp_path / "run"
    for seed in (0, 1):
        adapter = run / "proof" / "runs" / f"selection-s{seed}" / "adapter"
        adapter.mkdir(parents=True)
        (adapter / "adapter_config.json").write_text('{"r": 4}')
        (adapter.parent / "done.json").write_text("{}")
    (run / "proof" / "runs" / "random-s0").mkdir()  # not done yet
    (run / "recipe.toml").write_text(
        '[pool]\npath = "pool.jsonl"\n[train]\nmodel = "somebody/model"\n'
        f"[evaluate]\ntasks = {json.dumps(tasks)}\n"
    )
    return run


PAIRS = [
    {"instruction": f"Name {n}.", "output": "é" * n, "rejected": "no" * n} for n in range(1, 5)
]
TEXTS = [{"prompt": "Hi", "response": "Hello"}, {"prompt": "Hi", "response": "Good day"}]


def test_tasks_are_names_and_files():
    names, own = split_tasks(["mmlu", "pairs:a/held.jsonl", "texts:b.jsonl"])
    assert names == ["mmlu"]
    assert own == {"held": ("pairs", "a/held.jsonl"), "b": ("texts", "b.jsonl")}


@pytest.mark.parametrize(
    ("tasks", "says"),
    [
        ([], "no task"),
        (["pair:x.jsonl"], "'pair:x.jsonl' is no task"),
        (["texts:"], "'texts:' is no task"),
        (["texts:a/x.jsonl", "pairs:b/x.jsonl"], "Two tasks are named 'x'"),
        (["mmlu", "mmlu"], "'mmlu' is there twice"),
        (["x", "texts:x.jsonl"], "'x' is there twice"),
    ],
)
def test_what_is_no_task_is_said(tasks, says):
    with pytest.raises(InputError, match=says):
        split_tasks(tasks)


def test_the_papers_five_are_the_default():
    assert EvaluateSection().tasks == tuple(PAPER)


def test_each_engine_gets_its_arguments(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"r": 64}')
    base = Evaluated("base", "somebody/model")
    tuned = Evaluated("ds2-s0", "somebody/model", tmp_path)
    hf = EvaluationSettings()
    assert model_arguments(base, hf, "cpu") == (
        "hf", {"pretrained": "somebody/model", "dtype": "float32"},
    )  # fmt: skip
    assert model_arguments(tuned, hf, "cuda") == (
        "hf", {"pretrained": "somebody/model", "dtype": "auto", "peft": str(tmp_path)},
    )  # fmt: skip
    vllm = EvaluationSettings(engine="vllm")
    assert model_arguments(base, vllm, "cuda") == ("vllm", {"pretrained": "somebody/model"})
    assert model_arguments(tuned, vllm, "cuda")[1] == {
        "pretrained": "somebody/model", "lora_local_path": str(tmp_path), "max_lora_rank": 64,
    }  # fmt: skip
    api = EvaluationSettings(engine="api", base_url="http://127.0.0.1:8000/v1/completions")
    name, arguments = model_arguments(tuned, api, "")
    assert name == "local-completions"
    assert arguments["model"] == "ds2-s0"
    assert arguments["tokenizer"] == "somebody/model"
    assert model_arguments(base, api, "")[1]["model"] == "somebody/model"
    with pytest.raises(InputError, match=r"evaluate\.base_url"):
        model_arguments(base, EvaluationSettings(engine="api"), "")
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match="no rank"):
        model_arguments(tuned, vllm, "cuda")


def test_a_limit_draws_the_same_items_whatever_their_order():
    items = [HeldOut((("user", str(n)),), "yes") for n in range(30)]
    drawn = draw(items, 7)
    assert len(drawn) == 7
    assert drawn == [item for item in items if item in drawn]
    assert set(draw(items[::-1], 7)) == set(drawn)
    assert set(draw(items, 6)) < set(drawn)
    assert draw(items, None) == draw(items, 30) == items


def test_loss_is_per_token_with_the_stop_token_and_bits_per_byte_of_the_answer():
    scorer = Characters(None, Tokenizer(), [0])
    items = [HeldOut((("user", "Hi"),), "é?", "worse"), HeldOut((("user", "x" * 99),), "no")]
    settings = EvaluationSettings(template="tulu", max_length=60)
    lines, left = measure_held_out(scorer, "held", items, settings)
    assert left == {"too long": 1}
    loss, bits = lines
    assert (loss["metric"], bits["metric"]) == ("loss", "bits_per_byte")
    assert loss["tokens"] == 3  # é, ? and the end
    assert loss["value"] == pytest.approx(np.log(2))
    assert bits["value"] == pytest.approx(3 / 3)  # é has two bytes
    assert bits["rejected"] == pytest.approx(6 / 5)
    with pytest.raises(InputError, match="No item of 'held' can be measured: too long"):
        measure_held_out(scorer, "held", items[1:], settings)


def test_a_loss_that_is_no_number_is_no_result(monkeypatch):
    scorer = Characters(None, Tokenizer(), [0])
    monkeypatch.setattr(Characters, "losses", lambda self, texts: np.full(len(texts), np.nan))
    with pytest.raises(InputError, match="some answers of 'held' a loss that is no number"):
        measure_held_out(scorer, "held", [HeldOut((("user", "a"),), "b")], EvaluationSettings())


def test_items_of_all_models_are_kept_and_what_is_done_is_not_done_again(tmp_path, scorers):
    run = make_run(tmp_path, ["pairs:../held.jsonl", "texts:../said.jsonl"], held=PAIRS, said=TEXTS)
    found = evaluate_run(Job.of(run))
    assert found.models == ("base", "selection-s0", "selection-s1")
    assert [name for name, _ in scorers] == ["somebody/model"] * 3
    assert [(s.task, s.metric, s.n, s.higher_is_better) for s in found.scores[::3]] == [
        ("held", "loss", 4, False), ("said", "loss", 2, False),
    ]  # fmt: skip
    assert found.scores[0].difference is None
    assert found.scores[1].difference == 0
    (said,) = (found.folder / "base").glob("items-said-*.jsonl")
    lines = lines_of(said)
    assert len({line["cluster"] for line in lines}) == 1  # one prompt
    assert len({line["doc_hash"] for line in lines}) == 2
    evaluate_run(Job.of(run))
    assert len(scorers) == 3
    (tmp_path / "held.jsonl").write_text(json.dumps(PAIRS[0]) + "\n")
    (run / "proof" / "runs" / "selection-s1" / "adapter" / "adapter_config.json").write_text("{}")
    said = []
    assert evaluate_run(Job.of(run, None, hearing(said))).scores[0].n == 1
    done = [line for line in said if "loading" not in line]
    assert [line.split(",")[0] for line in done] == [
        "base: held", "selection-s0: held", "selection-s1: held", "selection-s1: said",
    ]  # fmt: skip


def test_what_lies_there_without_being_done_is_removed(tmp_path):
    about = {"model": "m", "fingerprint": "1"}
    record = open_record(tmp_path, about)
    with record.adding("a", "key a", {}) as partial:
        (partial / "items-a.jsonl").write_text("{}\n")
    with pytest.raises(FileNotFoundError), record.adding("b", "key b", {}) as partial:
        (partial / "nowhere" / "items-b.jsonl").write_text("{}\n")
    (tmp_path / "samples_c_2026.jsonl").write_text("{}\n")  # killed between rename and record
    again = open_record(tmp_path, about, {"a": "key a", "b": "key b"})
    assert list(again.tasks) == ["a"]
    assert {path.name for path in tmp_path.iterdir()} == {"done.json", "items-a.jsonl"}
    assert [path.name for path in again.files(["a"])] == ["items-a.jsonl"]
    assert list(open_record(tmp_path, about).tasks) == ["a"]


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_results_of_other_settings_and_models_are_put_aside_and_taken_back(tmp_path):
    about, other = ({"model": "m", "fingerprint": fingerprint} for fingerprint in "12")
    record = open_record(tmp_path, about)
    with record.adding("a", "key a", {}) as partial:
        (partial / "items-a-1.jsonl").write_text("{}\n")
    record = open_record(tmp_path, about, {"a": "another key"})
    assert not record.tasks
    assert names(tmp_path) == {"done.json", ".items-a-1.jsonl"}
    with record.adding("a", "another key", {}) as partial:
        (partial / "items-a-2.jsonl").write_text("{}\n")
    assert open_record(tmp_path, about).files(["a"]) == [tmp_path / "items-a-2.jsonl"]
    assert not open_record(tmp_path, other).tasks
    assert names(tmp_path) == {"done.json", ".items-a-1.jsonl", ".items-a-2.jsonl"}
    (tmp_path / ".items-a-1.jsonl").rename(tmp_path / "items-a-1.jsonl")  # killed on the way
    again = open_record(tmp_path, about, {"a": "key a"})
    assert again.files(["a"]) == [tmp_path / "items-a-1.jsonl"]
    assert names(tmp_path) == {"done.json", "items-a-1.jsonl", ".items-a-2.jsonl"}


def test_what_was_evaluated_is_found_again_by_proof_when_moved_and_with_another_limit(
    tmp_path, monkeypatch, scorers
):
    tmp_path = tmp_path / "project"
    tmp_path.mkdir()
    run = make_run(tmp_path, ["pairs:../held.jsonl"], held=PAIRS)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "own.jinja").write_text("{{ messages }}")
    recipe = (run / "recipe.toml").read_text()
    recipe = recipe.replace('"somebody/model"', '"../model"\ntemplate = "../own.jinja"')
    (run / "recipe.toml").write_text(recipe)
    monkeypatch.setattr(
        module, "load_template", lambda tokenizer, _: load_template(tokenizer, "tulu")
    )
    monkeypatch.chdir(tmp_path)
    run = Path("run")
    evaluate_run(Job.of(run))
    assert len(scorers) == 3
    adapter = run / "proof" / "runs" / "selection-s0" / "adapter"
    evaluate_run(Job.of(run), models=[f"selection-s0={adapter}"])  # as ds2 proof does
    assert len(scorers) == 3
    assert evaluate_run(Job.of(run, {"evaluate.limit": 2})).scores[0].n == 2
    assert len(scorers) == 6
    assert evaluate_run(Job.of(run)).scores[0].n == 4
    assert len(scorers) == 6
    shutil.copytree(tmp_path, tmp_path.with_name("moved"))
    shutil.rmtree(tmp_path)
    monkeypatch.chdir(tmp_path.with_name("moved"))
    evaluate_run(Job.of(run))
    assert len(scorers) == 6
    Path("own.jinja").write_text("{{ messages }}!")
    evaluate_run(Job.of(run))
    assert len(scorers) == 9


def test_rows_without_an_answer_are_left_out_and_counted(tmp_path, scorers):
    rows = [*TEXTS, {"prompt": "Hi", "response": ""}]
    found = evaluate_run(Job.of(make_run(tmp_path, ["texts:../said.jsonl"], said=rows)))
    assert found.scores[0].n == 2
    assert found.notes == ("said: 1 left out: no answer.",)


def test_an_adapter_is_not_put_on_another_model_than_its_own(tmp_path, scorers):
    run = make_run(tmp_path, ["texts:../said.jsonl"], said=TEXTS)
    place = run / "proof" / "runs" / "selection-s1"
    (place / "done.json").write_text('{"base": "another/model"}')
    said = []
    found = evaluate_run(Job.of(run, None, hearing(said)))
    assert found.models == ("base", "selection-s0")
    assert said[0].startswith("selection-s1 is left out: it was trained on another model")
    with pytest.raises(InputError, match="'selection-s1' cannot be evaluated"):
        evaluate_run(Job.of(run), models=[str(place)])


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("train.model=", "'train.model' names none"),
        ('evaluate.tasks=["texts:nowhere.jsonl"]', "nowhere.jsonl', which does not exist"),
        ("evaluate.tasks=pairs:said.jsonl", "2 of 2 rows .* field 'rejected'"),
        ("evaluate.engine=api", "an endpoint gives no likelihood"),
        ("evaluate.include=nowhere", "'evaluate.include' names .*nowhere"),
    ],
)
def test_a_wrong_setting_is_said(tmp_path, monkeypatch, scorers, setting, says):
    run = make_run(tmp_path, ["texts:../said.jsonl"], said=TEXTS)
    monkeypatch.chdir(tmp_path)  # --set's files are found from here
    with pytest.raises(InputError, match=says):
        evaluate_run(Job.of(run, parse_overrides([setting])))


def test_a_folder_without_a_model_is_said(tmp_path, scorers):
    run = make_run(tmp_path, ["texts:../said.jsonl"], said=TEXTS)
    with pytest.raises(InputError, match="holds no model"):
        evaluate_run(Job.of(run), models=[str(tmp_path)])
    whole = tmp_path / "whole"
    whole.mkdir()
    (whole / "config.json").write_text("{}")
    trained = run / "proof" / "runs" / "selection-s0"
    (trained / "config.json").write_text("{}")  # as ds2 train leaves it
    found = evaluate_run(Job.of(run), models=[f"mine={whole}", str(trained)])
    assert found.models == ("base", "mine", "selection-s0")
    assert scorers[1:] == [(str(whole), None), ("somebody/model", trained / "adapter")]
    with pytest.raises(InputError, match="Two models are named 'base'"):
        evaluate_run(Job.of(run), models=[f"base={whole}"])


def test_the_command_prints_a_table_and_how_to_compare(tmp_path, scorers):
    run = make_run(tmp_path, ["pairs:../held.jsonl"], held=PAIRS)
    result = CliRunner().invoke(app, ["evaluate", str(run)])
    assert result.exit_code == 0, result.output
    assert "held: loss, lower is better; 4 items" in result.stdout
    assert "selection-s0    0.6931   +0.0000 ± 0.0000" in result.stdout
    assert "ds2 proof --read" in result.stdout
    result = CliRunner().invoke(app, ["evaluate", str(run), "--json"])
    assert json.loads(result.stdout)["models"] == ["base", "selection-s0", "selection-s1"]


def test_without_lm_eval_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    monkeypatch.setitem(sys.modules, "lm_eval.tasks", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'lm-eval\[api,hf\]"):
        Harness.load(EvaluationSettings(), "cpu")
