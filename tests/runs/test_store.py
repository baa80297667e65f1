"""What files hold, one writer at a time, and a manifest that is believed or refused."""

import multiprocessing
import os
from pathlib import Path

import pytest

from ds2.errors import InputError, RunBusyError
from ds2.runs import folder as run_folder
from ds2.runs import lock_holder, locked, read_manifest
from ds2.runs.folder import Manifest, hash_file, hash_input, write_json


def test_json_is_ascii_and_refuses_nan(tmp_path):
    write_json(tmp_path / "a.json", {"b": "\u00e9"})
    assert (tmp_path / "a.json").read_bytes() == b'{\n  "b": "\\u00e9"\n}\n'
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
    monkeypatch.setattr(run_folder, "hash_file", lambda path: pytest.fail("read again"))
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
    assert hash_input(folder, first).sha256 != first.sha256
    (folder / "train" / "c").write_bytes(b"2")
    pattern, second = Path(f"{folder}/train/*"), hash_input(folder)
    both = hash_input(pattern)
    (folder / "train" / "b").rename(folder / "train" / "d")  # each file keeps its size and time
    assert hash_input(folder, second).sha256 != second.sha256
    assert hash_input(pattern, both).sha256 != both.sha256


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


def test_a_disk_that_refuses_the_lock_is_one_sentence(tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(InputError, match=r"The disk is full: .*\.lock"), locked(tmp_path):
        pass
    with pytest.raises(InputError, match="does not exist"), locked(tmp_path / "nowhere"):
        pass


def test_no_manifest_is_an_empty_one(tmp_path):
    assert read_manifest(tmp_path) == Manifest()


def test_a_manifest_of_a_newer_ds2_is_refused(tmp_path):
    (tmp_path / "manifest.json").write_text('{"schema_version": 2, "things": {}}')
    with pytest.raises(InputError, match=r"newer ds2.*Upgrade with: "):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"schema_version": 1, "stages": {"pool": {}}, "failures": {}}']
)
def test_a_damaged_manifest_is_one_sentence(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=r"is damaged\. Delete it and run again"):
        read_manifest(tmp_path)
