"""Whole files or none, and sentences for a disk that does not play along."""

import errno
import os
from pathlib import Path

import pytest

from ds2.atomic import explain_write_errors, storage_error, sweep, writing
from ds2.errors import InputError


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def write(path: Path, text: str) -> None:
    with writing(path) as temporary:
        temporary.write_text(text)


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path):
    write(tmp_path / "a.json", "old")
    write(tmp_path / "a.json", "new")
    assert (tmp_path / "a.json").read_text() == "new"
    assert names(tmp_path) == {"a.json"}


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


def test_the_file_is_synced_before_it_gets_its_name_and_its_folder_after(tmp_path, monkeypatch):
    happened: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda d: (happened.append("fsync"), fsync(d)))
    monkeypatch.setattr(
        Path, "replace", lambda self, to: (happened.append("rename"), replace(self, to))
    )
    write(tmp_path / "a.json", "text")
    assert happened == ["fsync", "rename", "fsync"]


def test_two_writers_of_one_file_do_not_share_a_temporary_name(tmp_path):
    path = tmp_path / "a.json"
    with writing(path) as first, writing(path) as second:
        assert first != second
        first.write_text("1")
        second.write_text("2")
    assert path.read_text() == "1"
    assert names(tmp_path) == {"a.json"}


@pytest.mark.parametrize("name", ["x" * 255, "\U0001f600" * 63])
def test_the_longest_names_can_be_written(tmp_path, name):
    write(tmp_path / name, "text")
    assert names(tmp_path) == {name}


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "The disk is full: "),
        (errno.EDQUOT, "The disk is full: "),
        (errno.EROFS, "read-only for you"),
        (errno.EACCES, "read-only for you"),
        (errno.EPERM, "read-only for you"),
        (errno.EIO, "could not be written: Input/output error."),
    ],
)
def test_a_disk_that_fails_is_one_sentence(tmp_path, monkeypatch, number, says):
    path = tmp_path / "a.json"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(InputError, match=says) as caught:
        write(path, "new")
    assert repr(str(path)) in str(caught.value)
    assert path.read_text() == "old"
    assert names(tmp_path) == {"a.json"}


def test_a_place_that_cannot_be_is_said_before_the_block_runs(tmp_path):
    for path, says in (
        (tmp_path, "it is a folder. Name a file"),
        (tmp_path / "no" / "a.json", r"the folder '.*no' does not exist"),
        (tmp_path / ("x" * 256), "File name too long"),
    ):
        with pytest.raises(InputError, match=says), writing(path):
            pytest.fail("the block ran")
    assert names(tmp_path) == set()


def test_a_path_is_shown_and_never_obeyed():
    error = storage_error(OSError(errno.EIO, "Input/output error"), Path("a\x1b[2J\nb"))
    assert str(error).isprintable()


def test_errors_of_other_kinds_pass():
    with pytest.raises(KeyError), explain_write_errors(Path("a")):
        raise KeyError


def test_only_leftovers_are_swept(tmp_path):
    for name in (".noise.json.0a1b2c3d.tmp", ".pool.arrow.ffffffff.tmp"):
        (tmp_path / name).write_text("half")
    kept = {"embeddings.npy.partial", "noise.json", ".mine.tmp", "notes.0a1b2c3d.tmp", ".lock"}
    for name in kept:
        (tmp_path / name).write_text("whole")
    sweep(tmp_path)
    assert names(tmp_path) == kept


def test_what_a_killed_writer_leaves_is_swept(tmp_path):
    context = writing(tmp_path / "pool.arrow")
    context.__enter__().write_text("half")
    assert len(names(tmp_path)) == 1
    sweep(tmp_path)
    assert names(tmp_path) == set()


def test_a_folder_that_cannot_be_swept_is_no_fault(tmp_path):
    sweep(tmp_path / "nowhere")
