"""The walks of CONTRIBUTING.md: what they name is entered, in their order."""

import re
import subprocess
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest
from llm_server import Endpoint
from rating_fakes import CANARY, make_pool
from typer.testing import CliRunner

from ds2.cli.app import app
from ds2.rating import ChatRater, rate
from ds2.runs.stages import STAGES
from ds2.runs.steps import STEPS

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "ds2"
#: Wrappers that do nothing but call.
WRAPPERS = {"unheard", "guarded"}


def walk(title):
    """The text of a walk, and the (file, function) pairs of each of its tables."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    text = text.partition(f"## {title}\n")[2].partition("\n## ")[0]
    tables = re.findall(r"(?:^\|.*\n)+", text, re.M)
    step = r"\| `([\w/]+\.py)` \| `([\w.]+)` \|"
    return text, [re.findall(step, table) for table in tables]


class Calls:
    """What of ds2 is called: how often, in which order first, and how deep below a stage's own."""

    def __init__(self):
        self.times, self.below, self.order, self.start = Counter(), {}, [], {}
        self.stages = {STEPS[stage.name].__code__ for stage in STAGES}

    def __call__(self, frame, event, argument):
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(f"{SOURCE}/"):
            return
        if code.co_name.startswith("<"):  # part of the function around it
            return
        if self.start.setdefault(code, frame.f_lasti) != frame.f_lasti:  # a coroutine goes on
            return
        key = (Path(code.co_filename).relative_to(SOURCE).as_posix(), code.co_qualname)
        self.times[key] += 1
        self.order.append(key)
        if key in self.below:
            return
        depth = 0
        while frame is not None and frame.f_code not in self.stages:
            own = frame.f_code.co_filename.startswith(f"{SOURCE}/")
            depth += own and frame.f_code.co_name not in WRAPPERS
            frame = frame.f_back
        self.below[key] = None if frame is None else depth


@contextmanager
def listening():
    calls = Calls()
    threading.setprofile(calls)
    sys.setprofile(calls)
    try:
        yield calls
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def test_a_row_comes_by_what_the_walk_names(tmp_path, monkeypatch):
    _, (steps, arithmetic) = walk("Follow a row")
    make = [sys.executable, str(ROOT / "examples/demo/make_pool.py"), str(tmp_path)]
    subprocess.run([*make, "--size", "200"], check=True, capture_output=True)
    run, pool = str(tmp_path / "run"), str(tmp_path / "pool.jsonl")
    first = ["init", run, "--pool", pool, "--scores", "score", "--scale", "levels:6"]
    assert CliRunner().invoke(app, first).exit_code == 0
    with listening() as calls:
        done = CliRunner().invoke(app, ["run", run, "--set", "noise.n_bootstrap=2"])
    assert done.exit_code == 0, done.output
    assert len({file for file, _ in steps}) <= 15
    called = list(calls.below)
    places = [
        called.index(("runs/steps.py", "_pool") if name == "STEPS" else (file, name))
        for file, name in steps
    ]
    assert places == sorted(places)
    inside = steps[steps.index(("runs/steps.py", "STEPS")) + 1 :]
    assert {step: calls.below[step] for step in inside if not 0 <= calls.below[step] <= 2} == {}
    assert [step for step in arithmetic if step not in calls.times] == []


def test_a_request_comes_by_what_the_walk_names_and_by_nothing_else(tmp_path, monkeypatch):
    text, (steps,) = walk("Follow a request")
    monkeypatch.setenv("TEST_KEY", CANARY)
    n = 30
    with Endpoint() as endpoint:
        pool = make_pool(tmp_path, n)
        rater = ChatRater("m", base_url=endpoint.url, api_key_env="TEST_KEY")
        with listening() as calls:
            rate(pool, rater, store=tmp_path / "s.sqlite")
    files = {file for file, _ in steps}
    assert len(files) <= 6
    # before, a probe that finds out what the endpoint takes has come by most of them
    of_loop = list(dict.fromkeys(calls.order[calls.order.index(("rating/loop.py", "Loop.run")) :]))
    places = [of_loop.index(step) for step in steps]
    assert places == sorted(places)
    helpers = set(re.findall(r"`([\w/]+\.py)`", text.rpartition("|\n")[2]))
    of_each = {file for (file, _), times in calls.times.items() if times >= n}
    assert of_each - files == helpers


@pytest.mark.parametrize("title", ["Follow a row", "Follow a request"])
def test_a_walk_has_tables_of_files_that_are_there(title):
    _, tables = walk(title)
    for file, name in (step for table in tables for step in table):
        source = (SOURCE / file).read_text("utf-8")
        assert re.search(rf"\b{name.rpartition('.')[2]}\b", source), f"{file} holds no {name}"
    assert all(len(table) >= 5 for table in tables)
