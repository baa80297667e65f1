"""Perplexity and IFD of a tiny random model, made here from a configuration: no hub, no weights."""

import json
import math

import numpy as np
import pytest

import ds2
from ds2.errors import InputError
from ds2.proof import likelihood, measure_likelihoods
from ds2.proof.likelihood import tokens_of
from ds2.proof.scorer import load_scorer

pytestmark = pytest.mark.slow

TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}"
    "{% endif %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def library(name):
    """Import it only when a test runs: it takes seconds."""
    return pytest.importorskip(name, reason="the extra 'likelihood' is not installed")


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    """A GPT-2 of two layers over bytes, with random weights."""
    torch, transformers = library("torch"), library("transformers")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("model")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: i for i, letter in enumerate(["<s>", *alphabet])}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="<s>"
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=len(vocabulary), n_positions=256, n_embd=32, n_layer=2, n_head=2,
        bos_token_id=0, eos_token_id=0, initializer_range=0.6,
    )  # fmt: skip
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def write(tmp_path, *conversations):
    path = tmp_path / "pool.jsonl"
    lines = [
        json.dumps({"messages": [{"role": r, "content": c} for r, c in turns]})
        for turns in conversations
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return ds2.read_pool(path)


def naive_loss(folder, before, answer):
    """One token after the other, each from a forward pass of its own."""
    torch, transformers = library("torch"), library("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    ids = [0, *tokenizer(before, add_special_tokens=False)["input_ids"]]
    total = 0.0
    for token in (tokens := tokenizer(answer, add_special_tokens=False)["input_ids"]):
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([ids])).logits[0, -1].double()
        total -= float(torch.log_softmax(logits, -1)[token])
        ids.append(token)
    return total / len(tokens)


POOL = (
    [("user", "Name a colour."), ("assistant", "Blue.")],
    [("system", "Be kind."), ("user", "Hi"), ("assistant", "Hello there, who are you?")],
    [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "é and ü")],
)


@pytest.mark.parametrize("batch_tokens", [1, 60, 4096])
def test_both_numbers_are_those_of_the_definition(model_folder, tmp_path, batch_tokens):
    pool = write(tmp_path, *POOL)
    found = measure_likelihoods(pool, str(model_folder), batch_tokens=batch_tokens, device="cpu")
    for row, turns in enumerate(POOL):
        before = "".join(f"{role}: {content}\n" for role, content in turns[:-1]) + "assistant: "
        with_prompt = naive_loss(model_folder, before, turns[-1][1])
        alone = naive_loss(model_folder, "", turns[-1][1])
        assert found.perplexity[row] == pytest.approx(math.exp(with_prompt), rel=1e-4)
        assert found.difficulty[row] == pytest.approx(math.exp(with_prompt - alone), rel=1e-4)
    assert found.problems == {}
    chosen = ds2.select(values=found.perplexity, size=1, method="perplexity")
    assert chosen.rows[0] == found.perplexity.argmax()


def test_what_has_no_answer_or_prompt_is_missing_with_a_reason(model_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(likelihood, "WINDOW", 2)
    pool = write(
        tmp_path,
        [("assistant", "Nobody asked.")],
        POOL[0],
        [("user", "Hi"), ("assistant", "Bye")],
    )
    calls = []
    found = measure_likelihoods(
        pool, str(model_folder), device="cpu", progress=lambda *done: calls.append(done)
    )
    assert np.isnan(found.perplexity).tolist() == [True, False, False]
    assert np.isnan(found.difficulty).tolist() == [True, False, False]
    assert {why: rows.tolist() for why, rows in found.problems.items()} == {"no prompt": [0]}
    assert calls == [(2, 3), (3, 3)]


def test_long_examples_lose_the_middle_of_the_prompt_and_the_end_of_the_answer(
    model_folder, tmp_path
):
    pool = write(tmp_path, [("user", "x" * 300 + "?"), ("assistant", "y" * 300)])
    found = measure_likelihoods(pool, str(model_folder), max_tokens=100, device="cpu")
    scorer = load_scorer(str(model_folder), device="cpu")
    prompt, answer = tokens_of(scorer, pool[0], 100)
    assert (len(prompt), len(answer)) == (50, 50)
    assert scorer.tokenizer.decode(prompt).endswith("?\nassistant: ")
    assert np.isfinite(found.difficulty).all()
    short, whole = tokens_of(scorer, write(tmp_path, POOL[0])[0], 100)
    assert scorer.tokenizer.decode(short[1:]) == "user: Name a colour.\nassistant: "
    assert scorer.tokenizer.decode(whole) == "Blue."


def test_the_chat_template_is_used_and_what_it_refuses_is_missing(model_folder, tmp_path):
    transformers = library("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(model_folder)
    tokenizer.chat_template = TEMPLATE
    folder = tmp_path / "chat"
    tokenizer.save_pretrained(folder)
    transformers.AutoModelForCausalLM.from_pretrained(model_folder).save_pretrained(folder)
    pool = write(tmp_path, *POOL)
    found = measure_likelihoods(pool, str(folder), device="cpu")
    assert found.problems["template"].tolist() == [1]
    scorer = load_scorer(str(folder), device="cpu")
    prompt, _ = tokens_of(scorer, pool[0], 100)
    assert scorer.tokenizer.decode(prompt) == "[user]Name a colour.[assistant]"
    assert np.isnan(found.perplexity).tolist() == [False, True, False]


def test_a_model_that_is_not_there_is_named(tmp_path, monkeypatch):
    library("torch"), library("transformers")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    pool = write(tmp_path, POOL[0])
    with pytest.raises(InputError, match=r"The language model .*nowhere' could not be loaded"):
        measure_likelihoods(pool, str(tmp_path / "nowhere"))
