"""Which rows an update has, what a device takes at once, and the learning rate."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ds2.proof.memory import Shape, estimate_memory
from ds2.proof.models import fingerprint
from ds2.proof.train import _digest
from ds2.proof.train_plan import Training, learning_rate, micro_batches, plan_updates

SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=60)


def settings_of(**given):
    return Training(model="m", **given)


@given(SIZES, st.integers(1, 70), st.integers(1, 3), st.integers(0, 5))
def test_by_rows_every_epoch_has_every_row_once(sizes, batch, epochs, seed):
    updates = plan_updates(sizes, settings_of(batch=batch, epochs=epochs, seed=seed))
    assert all(1 <= len(rows) <= batch for rows in updates)
    assert len(updates) == epochs * -(-len(sizes) // batch)
    rows = np.concatenate(updates).reshape(epochs, len(sizes))
    assert (np.sort(rows, axis=1) == np.arange(len(sizes))).all()


@example([1, 1, 9, 40], 40, 2, 0)
@given(SIZES, st.integers(40, 200), st.integers(1, 3), st.integers(0, 5))
def test_by_tokens_the_number_of_updates_follows_from_the_tokens(sizes, wanted, epochs, seed):
    training = settings_of(batch_tokens=wanted, epochs=epochs, seed=seed)
    updates = plan_updates(sizes, training)
    total = epochs * sum(sizes)
    assert len(updates) == max(1, round(total / wanted))
    rows = np.concatenate(updates).reshape(epochs, len(sizes))
    assert (np.sort(rows, axis=1) == np.arange(len(sizes))).all()
    share = total / len(updates)
    for update in updates:
        assert abs(sum(sizes[row] for row in update) - share) <= 40


def test_arms_of_equal_tokens_have_equal_updates_however_long_their_answers_are():
    short, long = [5] * 400, [50] * 40
    training = settings_of(batch_tokens=100, epochs=2)
    assert len(plan_updates(short, training)) == len(plan_updates(long, training)) == 40


@given(SIZES, st.integers(1, 9), st.sampled_from([0, 50]))
def test_a_number_of_updates_wins_over_epochs(sizes, steps, tokens):
    training = settings_of(max_steps=steps, batch=7, batch_tokens=tokens, epochs=1)
    assert len(plan_updates(sizes, training)) == steps


def test_answers_longer_than_an_update_make_as_many_updates_too():
    updates = plan_updates([500, 700, 900], settings_of(max_steps=20, batch_tokens=100))
    assert len(updates) == 20
    assert all(len(rows) for rows in updates)


def test_the_seed_gives_the_order():
    one, same, other = (
        np.concatenate(plan_updates([3] * 50, settings_of(seed=seed, epochs=1))).tolist()
        for seed in (1, 1, 2)
    )
    assert one == same != other


@given(SIZES, st.integers(1, 120), st.integers(1, 4))
def test_micro_batches_share_an_update_out(lengths, room, processes):
    rows, lengths = np.arange(len(lengths)), np.array(lengths)
    batches = micro_batches(rows, lengths, room)
    assert sorted(np.concatenate(batches).tolist()) == rows.tolist()
    for batch in batches:
        assert len(batch) == 1 or len(batch) * lengths[batch].max() <= room
    shares = [
        batch.tolist()
        for start in range(processes)
        for batch in micro_batches(rows, lengths, room, start=start, of=processes)
    ]
    assert sorted(shares) == sorted(batch.tolist() for batch in batches)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_the_learning_rate_rises_and_falls(schedule):
    training = settings_of(schedule=schedule, warmup=0.1, learning_rate=2.0)
    rates = [learning_rate(i, 50, training) for i in range(50)]
    assert rates[:5] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0])
    assert max(rates) == 2.0
    assert np.all(np.diff(rates[5:]) <= 0)
    assert rates[-1] == (2.0 if schedule == "constant" else pytest.approx(0, abs=0.05))
    assert rates[-1] > 0
    assert learning_rate(0, 1, settings_of()) == 1e-4


def test_memory_of_the_papers_setting_is_what_it_is_known_to_be():
    llama = Shape(
        parameters=8_030_000_000, lora_parameters=167_800_000, rank=64, layers=32, trained=32,
        hidden=4096, intermediate=14336, key_value=1024, vocabulary=128256,
    )  # fmt: skip
    found = estimate_memory(
        llama, tokens=4096, learned=2000, width=2, base=0, dropout=True, gpu=True, recompute=True
    )
    assert found.weights == 16_060_000_000
    assert found.adapter == pytest.approx(2.7e9, rel=0.01)
    assert 22e9 < found.total < 28e9
    kept = estimate_memory(
        llama, tokens=4096, learned=2000, width=2, base=0, dropout=True, gpu=True, recompute=False
    )
    assert kept.activations > 10 * found.activations


@example([30, 30, 40], 60, 1, 1, 0)  # 100 tokens are one update or two
@given(SIZES, st.integers(40, 200), st.integers(1, 3), st.integers(1, 9), st.integers(0, 5))
def test_trainings_of_as_many_updates_learn_as_many_tokens(sizes, wanted, epochs, steps, seed):
    training = settings_of(batch_tokens=wanted, epochs=epochs, max_steps=steps, seed=seed)
    updates = plan_updates(sizes, training)
    assert len(updates) == steps
    learned = sum(sizes[row] for update in updates for row in update)
    assert abs(learned - steps * wanted) <= max(sizes) / 2


@pytest.mark.parametrize("large", [1 << 30, 10_000])
def test_a_model_is_what_it_holds_wherever_it_lies(tmp_path, monkeypatch, large):
    monkeypatch.setattr("ds2.proof.models._LARGE", large)
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    weights = bytearray(np.random.default_rng(0).bytes(20_000))
    (model / "model.safetensors").write_bytes(weights)
    (model / "gone.json").symlink_to("nowhere")
    shutil.copytree(model, tmp_path / "copy", symlinks=True)
    (tmp_path / "copy" / "README.md").write_text("moved")
    assert fingerprint(model) == fingerprint(str(tmp_path / "copy"))
    weights[9_000] ^= 1
    (model / "model.safetensors").write_bytes(weights)
    assert fingerprint(model) != fingerprint(tmp_path / "copy")
    assert fingerprint("somebody/model") == "somebody/model"


def test_a_training_is_told_by_what_it_learns_from_and_not_by_where_that_lies():
    rows = SimpleNamespace(digest=lambda: "rows")
    prepared = SimpleNamespace(template=SimpleNamespace(source="{{ messages }}"))

    def digest(base="1", **given):
        return _digest(rows, prepared, Training(**given), base)

    here = digest(model="/here/model", template="/here/own.jinja", processes=2)
    assert here == digest(model="/there/model", template="/there/own.jinja")
    assert here != digest(model="/here/model", base="2")
    assert here != digest(model="/here/model", seed=1)
