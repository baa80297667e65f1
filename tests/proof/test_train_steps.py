"""The loop over the updates with a stand-in for the model: what is logged, and where it stops."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from ds2.errors import Ds2Error
from ds2.proof.checkpoints import Progress, newest_checkpoint, save_checkpoint
from ds2.proof.train_loop import Loop, _open_log
from ds2.proof.train_plan import Training

torch = pytest.importorskip("torch")


def loop_of(loss_of, n=6):
    """A loop of one row an update, whose loss is that of one weight."""
    loop = Loop.__new__(Loop)
    weight = torch.nn.Parameter(torch.ones(1))
    loop.training = Training(model="m", learning_rate=0.1, warmup=0.0, checkpoint_minutes=1e-9)
    loop.place = SimpleNamespace(is_main_process=True, process_index=0, num_processes=1)
    loop.device, loop.dtype = torch.device("cpu"), torch.float32
    loop.memory = SimpleNamespace(total=0)
    loop.rows = SimpleNamespace(lengths=np.full(n, 3), n_learned=np.full(n, 2))
    loop.updates = [np.array([i]) for i in range(n)]
    loop.batches = [[rows] for rows in loop.updates]
    loop.trained, loop.optimizer = [("w", weight)], torch.optim.AdamW([weight], weight_decay=0.0)
    loop.forecast = lambda: None
    loop._loss = lambda batch: loss_of(weight, int(batch[0]))
    return loop


def losses_of(folder):
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("bad", ["loss", "gradient"])
def test_a_loss_that_is_no_number_stops_the_training_before_it_is_kept(tmp_path, bad, monkeypatch):
    monkeypatch.setattr("ds2.proof.train_loop._torch", lambda: torch)  # accelerate is not needed

    def loss(weight, row):
        if row < 3:
            return 2 * (weight**2).sum()
        return (weight * torch.nan).sum() if bad == "loss" else ((weight * 0) ** 0.5).sum()

    for _ in range(2):  # the second goes on from the last checkpoint, to the same end
        with pytest.raises(Ds2Error, match=r"stopped at update 4 of 6.*learning_rate' \(now 0\.1"):
            loop_of(loss).run(tmp_path, lambda *_: None)
        assert len(losses_of(tmp_path)) == 3
        assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-3"]


def test_a_damaged_checkpoint_is_in_nobodys_way(tmp_path):
    loop = loop_of(lambda weight, _: (weight**2).sum())
    loop._loss([0]).backward()
    loop.optimizer.step()
    for state in (b"damaged", b""):
        save_checkpoint(tmp_path, Progress(update=4), loop.trained, loop.optimizer)
        assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-4"]
        if state:
            (tmp_path / "checkpoint-4" / "state.safetensors").write_bytes(state)
            found = newest_checkpoint(tmp_path, loop.trained, loop.optimizer, loop.device)
            assert found == Progress()
    assert newest_checkpoint(tmp_path, loop.trained, loop.optimizer, loop.device).update == 4


def test_a_log_is_cut_whole(tmp_path, monkeypatch):
    path = tmp_path / "log.jsonl"
    path.write_text("1\n2\n3\n4")
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        _open_log(path, 2)
    assert path.read_text() == "1\n2\n3\n4"
    monkeypatch.undo()
    with _open_log(path, 2) as log:
        log.write("5\n")
    assert path.read_text() == "1\n2\n5\n"
