"""Stages that are shared out: the same bytes as alone, and what was done is not done again."""

import errno
import os
import shutil

import pytest
from small_pool import make_rows, write_rows

from ds2.errors import InputError
from ds2.runs import Listener, init_run, run

pytestmark = pytest.mark.filterwarnings("ignore::ds2.errors.Ds2Warning")
MADE = ("embeddings.npy", "embeddings.keys.npy", "neighbors.npz")


@pytest.fixture(autouse=True)
def in_small_pieces(monkeypatch):
    monkeypatch.setenv("DS2_CACHE", "off")
    monkeypatch.setattr("ds2.embedding.compute.INDEX_RANGE", 64)
    monkeypatch.setattr("ds2.embedding.compute.SLICE_ROWS", 50)
    monkeypatch.setattr("ds2.neighbors.find.STRETCH", 40)
    monkeypatch.setattr("ds2.neighbors.cells.CELL_ROWS", 40)


def made(folder, listener=None, **engine):
    """Bring a run on the small pool to its neighbours; return what it wrote."""
    if not folder.exists():
        pool = write_rows(folder.with_suffix(".jsonl"), make_rows(200))
        init_run(folder, pool=str(pool), settings={"neighbors.method": "cells"})
    settings = {f"engine.{name}": value for name, value in engine.items()}
    outcome = run(folder, until="neighbors", listener=listener, overrides=settings)
    return [(folder / name).read_bytes() for name in MADE], outcome


def test_shared_out_work_gives_the_same_bytes(tmp_path):
    alone, _ = made(tmp_path / "alone", workers=1)
    shared, outcome = made(tmp_path / "shared", workers=2)
    assert shared == alone
    assert outcome.summary["embed"]["n_embedded"] == 199  # one is a duplicate
    assert outcome.summary["neighbors"]["method"] == "cells"
    assert not (tmp_path / "shared" / "neighbors.partial").exists()


@pytest.mark.slow
def test_a_run_may_search_on_a_device_of_pytorch(tmp_path):
    pytest.importorskip("torch")
    here, _ = made(tmp_path / "here")
    settings = {"neighbors.device": "cpu:0"}  # a device like any other: it goes the way of a GPU
    run(tmp_path / "here", until="neighbors", overrides=settings)
    assert [(tmp_path / "here" / name).read_bytes() for name in MADE] == here


class Stopping(Listener):
    """Stops a stage when it is half done."""

    def __init__(self, stage):
        self.stage, self.now = stage, ""

    def started(self, stage, title):
        self.now = stage

    def _stop(self, share):
        if self.now == self.stage and share > 0.6:
            raise KeyboardInterrupt

    def progress(self, done, total, note=""):
        self._stop(done / max(total, 1))

    def reached(self, share):
        self._stop(share)


def stopped(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stopped_search_goes_on_with_what_was_found(tmp_path, monkeypatch, workers):
    whole, _ = made(tmp_path / "whole", workers=1)
    monkeypatch.setattr("ds2.runs.job.EVERY_S", 0.0)
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        made(folder, Stopping("neighbors"), workers=workers)
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("neighbors.partial/*")}
    done = [path for path in kept if path.name.startswith("part")]
    assert 0 < len(done) < 5
    with monkeypatch.context() as patched:  # killed once the graph is there, and not vouched for
        patched.setattr("ds2.runs.loop.Manifest.write", stopped)
        with pytest.raises(KeyboardInterrupt):
            made(folder, workers=workers)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(list(folder.glob("neighbors.partial/part-*.npz"))) == 5
    monkeypatch.setattr("ds2.runs.apart.search_stretch", None)  # nothing is left to search
    again, _ = made(folder, workers=1)
    assert again == whole
    assert not (folder / "neighbors.partial").exists()


def test_a_search_that_goes_on_warns_as_one_in_one_piece_does(tmp_path, monkeypatch):
    monkeypatch.setattr("ds2.runs.job.EVERY_S", 0.0)
    monkeypatch.setattr("ds2.neighbors.find.RecallSample.recall", lambda *_: (0.5, 0.0))
    _, whole = made(tmp_path / "whole", workers=1)
    assert any("finds 0.500 of the nearest" in says for says in whole.warnings)
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path / "run", Stopping("neighbors"), workers=1)
    _, again = made(tmp_path / "run", workers=1)
    assert again.warnings == whole.warnings


DAMAGE = {
    "cut off": lambda kept: (kept / "part-00000.npz").write_bytes(b"PK\3\4 and no more"),
    "empty": lambda kept: (kept / "part-00001.npz").write_bytes(b""),
    "of other rows": lambda kept: shutil.copy(kept / "part-00000.npz", kept / "part-00004.npz"),
    "without facts": lambda kept: (kept / "search.json").unlink(),
    "without codes": lambda kept: (kept / "codes.npy").unlink(),
    "with empty rows": lambda kept: (kept / "rows.npy").write_bytes(b""),
    "with cut codes": lambda kept: os.truncate(kept / "codes.npy", 1000),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_damaged_of_a_stopped_search_is_searched_again(tmp_path, monkeypatch, damage):
    monkeypatch.setattr("ds2.runs.job.EVERY_S", 0.0)
    whole, _ = made(tmp_path / "whole", workers=1)
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        made(folder, Stopping("neighbors"), workers=1)
    DAMAGE[damage](folder / "neighbors.partial")
    again, _ = made(folder, workers=1)
    assert again == whole


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="not of this system")
def test_a_disk_that_has_no_room_for_the_codes_is_one_sentence(tmp_path, monkeypatch):
    def full(_file, start, length):
        assert start == 0
        assert length >= 199 * 16 * 2
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("os.posix_fallocate", full)
        with pytest.raises(InputError, match=r"The disk is full: '.*codes\.npy' could not"):
            made(tmp_path / "run", workers=1)
    assert made(tmp_path / "run", workers=1)[0] == made(tmp_path / "whole", workers=1)[0]


def test_what_was_found_with_other_settings_is_not_taken_over(tmp_path, monkeypatch):
    monkeypatch.setattr("ds2.runs.job.EVERY_S", 0.0)
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        made(folder, Stopping("neighbors"), workers=1)
    run(folder, until="neighbors", overrides={"seed": 1, "engine.workers": 1})
    other = tmp_path / "other"
    pool = write_rows(tmp_path / "other.jsonl", make_rows(200))
    init_run(other, pool=str(pool), settings={"neighbors.method": "cells", "seed": 1})
    run(other, until="neighbors")
    assert (folder / MADE[-1]).read_bytes() == (other / MADE[-1]).read_bytes()


def test_an_embedding_that_was_stopped_goes_on(tmp_path):
    whole, _ = made(tmp_path / "whole", workers=1)
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        made(folder, Stopping("embed"), workers=2)
    again, outcome = made(folder, workers=2)
    assert again == whole
    assert 0 < outcome.summary["embed"]["n_embedded"] < 100
    assert outcome.summary["embed"]["n_reused"] >= 100


def test_an_engine_that_is_not_known_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"engine\.name"):
        made(tmp_path / "run", name="spark")
