"""Whole files or none, one writer, and sentences for a disk that does not play along."""

import errno
import json
import multiprocessing
import os
from pathlib import Path

import pytest

from ds2.errors import InputError, RunBusyError
from ds2.runs import store
from ds2.runs.manifest import Manifest, read_manifest
from ds2.runs.store import (
    hash_file,
    hash_input,
    lock_holder,
    locked,
    sweep,
    write_json,
    writing,
)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")

    def write_half() -> None:
        with writing(path) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert path.read_text() == "old"
    assert names(tmp_path) == {"a.json"}


def test_the_file_is_synced_before_it_gets_its_name(tmp_path, monkeypatch):
    happened = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda d: (happened.append("fsync"), fsync(d)))
    monkeypatch.setattr(
        Path, "replace", lambda self, to: (happened.append("rename"), replace(self, to))
    )
    write_json(tmp_path / "a.json", {"b": 1})
    assert happened == ["fsync", "rename", "fsync"]
    assert json.loads((tmp_path / "a.json").read_text()) == {"b": 1}


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "The disk is full"),
        (errno.EDQUOT, "The disk is full"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "read-only"),
        (errno.EIO, "could not be written"),
    ],
)
def test_a_disk_that_fails_is_one_sentence(tmp_path, monkeypatch, number, says):
    (tmp_path / "a.json").write_text("old")

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(InputError, match=says) as caught:
        write_json(tmp_path / "a.json", {})
    assert "a.json" in str(caught.value)
    assert (tmp_path / "a.json").read_text() == "old"
    assert names(tmp_path) == {"a.json"}


def test_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"x": float("nan")})


def test_hashes_follow_content(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b").write_bytes(b"abc")
    assert hash_file(tmp_path / "a").sha256 == hash_file(tmp_path / "b").sha256
    (tmp_path / "b").write_bytes(b"abd")
    assert hash_file(tmp_path / "a").sha256 != hash_file(tmp_path / "b").sha256


def test_an_untouched_input_is_not_read_again(tmp_path, monkeypatch):
    path = tmp_path / "pool.jsonl"
    path.write_bytes(b"abc")
    first = hash_input(path)
    monkeypatch.setattr(store, "hash_file", lambda path: pytest.fail("read again"))
    assert hash_input(path, first) is first
    os.utime(path, ns=(1, 1))
    with pytest.raises(pytest.fail.Exception, match="read again"):
        hash_input(path, first)


def test_a_folder_is_hashed_by_names_and_contents(tmp_path):
    folder = tmp_path / "set"
    (folder / "train").mkdir(parents=True)
    (folder / "train" / "a").write_bytes(b"1")
    first = hash_input(folder)
    assert hash_input(folder, first) is first
    (folder / "train" / "a").rename(folder / "train" / "b")
    assert hash_input(folder).sha256 != first.sha256


def test_a_second_writer_is_told_who_works_here(tmp_path):
    with (
        locked(tmp_path),
        pytest.raises(RunBusyError, match=rf"pid {os.getpid()}"),
        locked(tmp_path),
    ):
        pass
    with locked(tmp_path):  # it is free again
        assert lock_holder(tmp_path) == os.getpid()
    assert lock_holder(tmp_path) is None


def _hold(folder: Path, ready: "multiprocessing.synchronize.Event") -> None:
    with locked(folder):
        ready.set()
        multiprocessing.Event().wait()


def test_the_lock_dies_with_its_process(tmp_path):
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=_hold, args=(tmp_path, ready))
    process.start()
    try:
        assert ready.wait(10)
        assert lock_holder(tmp_path) == process.pid
        with pytest.raises(RunBusyError, match=f"pid {process.pid}"), locked(tmp_path):
            pass
    finally:
        process.kill()
        process.join()
    assert lock_holder(tmp_path) is None
    with locked(tmp_path):
        pass


def test_leftovers_are_swept(tmp_path):
    (tmp_path / ".noise.json.tmp").write_text("half")
    (tmp_path / ".pool.arrow.x1y2.tmp").write_text("half")
    (tmp_path / ".tmp.embeddings.npy").write_text("half")
    (tmp_path / "embeddings.npy.partial").write_text("finished batches")
    (tmp_path / "noise.json").write_text("whole")
    sweep(tmp_path)
    assert names(tmp_path) == {"noise.json", "embeddings.npy.partial"}


def test_no_manifest_is_an_empty_one(tmp_path):
    assert read_manifest(tmp_path) == Manifest()


def test_a_manifest_of_a_newer_ds2_is_refused(tmp_path):
    (tmp_path / "manifest.json").write_text('{"schema_version": 2, "things": {}}')
    with pytest.raises(InputError, match=r"newer ds2.*pip install --upgrade ds2-select"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"schema_version": 1, "stages": {"pool": {}}, "failures": {}}']
)
def test_a_damaged_manifest_is_one_sentence(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=r"is damaged\. Delete it and run again"):
        read_manifest(tmp_path)
