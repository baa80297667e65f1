"""A cluster of a head without processors and two nodes with one each: bytes, and losses."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ds2.cli.app import app
from ds2.engine import opened_engine
from ds2.errors import InputError, RunError
from ds2.pool import read_parts
from ds2.runs import Job, init_run, run
from ds2.runs.score import score_pool

ray = pytest.importorskip("ray")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]
MADE = ("embeddings.npy", "embeddings.keys.npy", "neighbors.npz")


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patched.setenv("PYTHONPATH", str(Path(__file__).parent))  # of the work below, on a node
        found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        for _ in range(2):
            found.add_node(num_cpus=1)
        found.wait_for_nodes()
        yield found
        ray.shutdown()
        found.shutdown()


@pytest.fixture
def engine(cluster):
    with opened_engine("ray", workers=0, address=cluster.address, gpus=0, memory_gb=0) as engine:
        yield engine


def slowly(place):
    """Work that leaves a file for each item that it begins."""

    def work(item):
        (place / f"{item}-{time.time_ns()}").touch()
        time.sleep(0.3)
        return 3 * item

    return work


def dying_once(place, at):
    def work(item):
        begun = place / str(item)
        if item == at and not begun.exists():
            begun.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    return work


def dying():
    return lambda _: os.kill(os.getpid(), signal.SIGKILL)


def failing():
    def work(item):
        if item == 3:
            raise InputError("row 3 is empty")
        return 1 // (item - 5)

    return work


def test_more_items_than_processors_come_in_their_order(engine, tmp_path):
    found = list(engine.map(partial(slowly, tmp_path), range(9), what="part"))
    assert found == [3 * i for i in range(9)]
    assert len(list(tmp_path.iterdir())) == 9  # each was begun once


def test_a_worker_that_is_killed_costs_what_it_was_at(engine, tmp_path):
    found = list(engine.map(partial(dying_once, tmp_path, 4), range(9), what="part"))
    assert found == list(range(9))


def test_a_node_that_is_lost_costs_what_it_was_at(cluster, engine, tmp_path):
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    found = engine.map(partial(slowly, tmp_path), range(16), what="part")
    some = [next(found) for _ in range(4)]
    cluster.remove_node(node, allow_graceful=False)
    assert [*some, *found] == [3 * i for i in range(16)]
    assert 16 <= len(list(tmp_path.iterdir())) <= 18


def test_a_part_that_always_fails_stops_with_its_sentence(engine):
    found = engine.map(failing, range(9), what="part")
    assert [next(found) for _ in range(3)] == [-1, -1, -1]
    with pytest.raises(InputError, match="row 3 is empty"):
        next(found)
    with pytest.raises(RunError, match=r"work on a part failed on a node: ZeroDivisionError"):
        list(engine.map(failing, [5], what="part"))


def test_a_part_that_always_kills_its_worker_stops(engine):
    with pytest.raises(RunError, match=r"a part was begun 4 times.*worker or node was lost"):
        list(engine.map(dying, [0], what="part"))


@pytest.mark.parametrize(
    ("gpus", "memory_gb", "words"),
    [(1, 0, "1 GPUs"), (0, 4000, "4000 GiB of memory"), (1, 2, "1 GPUs and 2 GiB of memory")],
)
def test_a_cluster_without_room_is_one_sentence(cluster, monkeypatch, gpus, memory_gb, words):
    monkeypatch.setattr("ds2.engine.ray.LOOK_S", 1.0)
    asked = {"gpus": gpus, "memory_gb": memory_gb}
    with (
        opened_engine("ray", workers=1, address=cluster.address, **asked) as engine,
        pytest.raises(RunError, match=f"no processor with {words} left to work on"),
    ):
        list(engine.map(dying, [0], what="part"))


def test_no_cluster_at_an_address_is_one_sentence():
    code = (
        "from ds2.engine import opened_engine\n"
        "with opened_engine('ray', workers=0, address='127.0.0.1:1', gpus=0, memory_gb=0): ..."
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert "There is no Ray cluster at 'engine.address' = '127.0.0.1:1'" in done.stderr


@pytest.fixture
def in_small_pieces(monkeypatch):
    monkeypatch.setattr("ds2.embedding.compute.INDEX_RANGE", 150)
    monkeypatch.setattr("ds2.embedding.compute.SLICE_ROWS", 150)
    monkeypatch.setattr("ds2.neighbors.find.STRETCH", 150)
    monkeypatch.setattr("ds2.neighbors.cells.CELL_ROWS", 60)


def made(folder, rows, **engine):
    settings = {"neighbors.method": "cells", "scores.column": "score", "scores.scale": "levels:6"}
    settings |= {f"engine.{name}": value for name, value in engine.items()}
    init_run(folder, pool=str(rows), settings=settings)
    run(folder, until="neighbors")
    return [(folder / name).read_bytes() for name in MADE]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    place = tmp_path_factory.mktemp("pool")
    make = ["examples/demo/make_pool.py", str(place), "--size", "600"]
    subprocess.run([sys.executable, *make], check=True, stdout=subprocess.DEVNULL)
    return place / "pool.jsonl"


def test_a_run_on_the_cluster_has_the_bytes_of_one_here(
    cluster, engine, in_small_pieces, tmp_path, rows
):
    here = made(tmp_path / "here", rows)
    there = made(tmp_path / "there", rows, name="ray", address=cluster.address)
    assert there == here
    for name in ("here", "there"):
        job = Job.of(tmp_path / name, {"curate.method": "raw"})
        score_pool(str(rows), job, out=tmp_path / f"{name}.parquet")
    assert (tmp_path / "here.parquet").read_bytes() == (tmp_path / "there.parquet").read_bytes()
    assert sum(map(len, read_parts(rows))) == 600


def test_a_driver_that_is_killed_goes_on_with_what_it_kept(cluster, tmp_path, rows):
    folder, whole = tmp_path / "run", tmp_path / "whole"
    code = (
        "import sys; from pathlib import Path\n"
        "import ds2.neighbors.find as find, ds2.neighbors.cells as cells\n"
        "find.STRETCH, cells.CELL_ROWS = 40, 60\n"
        "from ds2.runs import run\n"
        "run(Path(sys.argv[1]), until='neighbors')"
    )
    settings = {"engine.name": "ray", "engine.address": cluster.address}
    for one in (folder, whole):
        init_run(one, pool=str(rows), settings={"neighbors.method": "cells", **settings})
    words = [sys.executable, "-W", "ignore", "-c", code]
    driver = subprocess.Popen([*words, str(folder)])
    until = time.monotonic() + 240  # a busy machine starts Ray's workers slowly
    while not list(folder.glob("neighbors.partial/part-*.npz")):
        assert driver.poll() is None, "it was over before it could be killed"
        assert time.monotonic() < until
        time.sleep(0.01)
    driver.kill()
    driver.wait()
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("neighbors.partial/part-*.npz")}
    assert 0 < len(kept) < 15
    seen = subprocess.Popen([*words, str(folder)])
    gone = False
    while seen.poll() is None:
        now = {path: path.stat().st_mtime_ns for path in kept if path.exists()}
        gone = gone or len(now) < len(kept)  # the search is over and what it kept removed
        assert gone or now == kept
        time.sleep(0.02)
    subprocess.run([*words, str(whole)], check=True)
    assert (folder / MADE[-1]).read_bytes() == (whole / MADE[-1]).read_bytes()


def test_doctor_says_what_the_cluster_has(cluster):
    found = CliRunner().invoke(app, ["doctor", "--cluster", cluster.address])
    assert found.exit_code == 0
    assert found.output.count("1 CPU") == 2
