"""The line to paste that installs what is missing is one for this environment."""

import copy
import json
import pickle
import re
import tomllib
from importlib.metadata import PathDistribution
from pathlib import Path
from shlex import split

import pytest

from ds2 import errors

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("extra", ["map", "train", "evaluate"])
def test_an_extra_is_spelled_out(extra):
    line = split(errors.installing("nothing", extra=extra))
    assert line[:2] == ["pip", "install"]
    assert {name.lower() for name in line[2:]} == set(PROJECT["optional-dependencies"][extra])


def test_without_pip_it_is_uv_and_an_unknown_extra_is_the_package(monkeypatch):
    monkeypatch.setattr(errors, "find_spec", lambda _: None)
    missing = errors.MissingDependencyError("a-package", "The work", "no-such-extra")
    assert str(missing).endswith("'a-package'. Install it with: uv pip install a-package")


@pytest.mark.parametrize(
    ("came", "line"),
    [
        (None, "pip install --upgrade ds2-select"),
        (
            {"url": "file:///home/a b", "dir_info": {"editable": True}},
            "git -C '/home/a b' pull && pip install -e '/home/a b'",
        ),
        ({"url": "file:///ds2", "dir_info": {}}, "git -C /ds2 pull && pip install /ds2"),
        (
            {"url": "https://example.org/ds2", "vcs_info": {"vcs": "git"}},
            "pip install --upgrade git+https://example.org/ds2",
        ),
    ],
)
def test_a_newer_ds2_comes_from_where_this_one_came(came, line, tmp_path, monkeypatch):
    if came is not None:
        (tmp_path / "direct_url.json").write_text(json.dumps(came))
    monkeypatch.setattr(errors, "_metadata", lambda: PathDistribution(tmp_path))
    assert errors.upgrading() == line


def test_a_caution_is_its_sentence_and_survives_copies_and_processes():
    one = errors.Caution("low-lift", "Mind this.", lift=0.1)
    assert one == "Mind this."
    for other in (copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert (other, other.code, other.figures) == ("Mind this.", "low-lift", {"lift": 0.1})


def test_the_page_of_the_run_folder_knows_every_code_and_no_other():
    root = Path(__file__).parents[1]
    made = set()
    for file in (root / "src" / "ds2").rglob("*.py"):
        for call in re.findall(r"\bCaution\(\s*(\"[^,]*),", file.read_text()):
            made |= set(re.findall(r'"([a-z-]+)"', call))
    page = (root / "docs" / "run-folder.md").read_text().split("## Warnings by code")[1]
    table = page.split("## ")[0].split("| --- | --- |")[1]
    told = {
        code
        for row in table.splitlines()
        for code in re.findall("`([a-z-]+)`", row[: row.find("|", 1)])
    }
    assert made == told
