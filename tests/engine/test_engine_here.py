"""This machine as an engine: order, laziness, errors of workers, a worker that is killed."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from ds2.engine import Here, opened_engine
from ds2.engine.ray import rooms
from ds2.errors import InputError, MissingDependencyError, RunError


def times(factor):
    return lambda item: (factor * item, os.getpid())


def failing():
    def work(item):
        if item == 3:
            raise InputError("row 3 is empty")
        return item

    return work


def refusing():
    raise MissingDependencyError("numpy", "Counting")


def dying():
    return lambda _: os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_items(workers):
    found = list(Here(workers).map(partial(times, 3), iter(range(20)), what="part"))
    assert [value for value, _ in found] == [3 * i for i in range(20)]
    assert (os.getpid() in {pid for _, pid in found}) == (workers == 1)


def test_items_are_taken_as_they_are_needed():
    taken = []

    def items():
        for i in range(100):
            taken.append(i)
            yield i

    found = Here(2).map(partial(times, 1), items(), what="part")
    next(found)
    assert len(taken) < 15
    found.close()
    assert len(taken) < 15


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_worker_raises_is_raised_here(workers):
    found = Here(workers).map(failing, range(6), what="part")
    assert [next(found) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(InputError, match="row 3 is empty"):
        next(found)


def broken():
    return lambda item: 1 // item


def test_what_nobody_foresaw_names_the_work():
    with pytest.raises(RunError, match=r"work on a part failed in a process: ZeroDivisionError"):
        list(Here(2).map(broken, [1, 0], what="part"))


def test_a_map_that_is_closed_leaves_others_at_work():
    one, other = (Here(2).map(sleeping, [0.1] * 9, what="part") for _ in range(2))
    next(one), next(other)
    other.close()
    assert len(list(one)) == 8


@pytest.mark.parametrize("workers", [1, 2])
def test_what_the_maker_raises_keeps_its_sentence(workers):
    with pytest.raises(InputError, match="Counting needs the package 'numpy'"):
        list(Here(workers).map(refusing, range(3), what="part"))


def test_a_worker_that_is_killed_is_one_sentence():
    with pytest.raises(RunError, match=r"worked on a part was ended from outside.*engine\.workers"):
        list(Here(2).map(dying, range(3), what="part"))


#: What users write: no guard around what starts processes.
SCRIPT = """
import sys
from ds2.engine import Here
from test_engine_here import sleeping
print("begun", flush=True)
for pid in Here(2).map(sleeping, [0, 0, *sys.argv[1:]], what="part"):
    print(pid, flush=True)
"""


def sleeping():
    def work(seconds):
        time.sleep(float(seconds))
        return os.getpid()

    return work


@pytest.fixture
def script(tmp_path):
    file = tmp_path / "script.py"
    file.write_text(SCRIPT)
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])

    def start(*seconds):
        return subprocess.Popen(
            [sys.executable, file, *map(str, seconds)],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    return start


def test_a_script_without_a_guard_is_not_run_again(script):
    out, _ = script().communicate(timeout=60)
    assert out.splitlines()[0] == "begun"
    assert len(out.splitlines()) == 3, out


def started(process):
    """The process ids of workers, once both are at work for long."""
    assert process.stdout.readline() == "begun\n"
    return {int(process.stdout.readline()) for _ in range(2)}


def gone(pid):
    for _ in range(200):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc what became of a process")
def test_ctrl_c_ends_workers_in_the_middle_of_their_work_and_they_say_nothing(script):
    process = script(600, 600)
    workers = started(process)
    begun = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert time.monotonic() - begun < 30
    assert out.count("Traceback") == out.count("KeyboardInterrupt") == 1  # the script's own
    assert all(map(gone, workers))


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc what became of a process")
def test_workers_end_with_the_process_that_started_them(script):
    process = script(600, 600)
    workers = started(process)
    process.kill()
    process.communicate(timeout=60)
    assert all(map(gone, workers))


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc what became of a process")
def test_work_is_ended_that_nobody_waits_for():
    with opened_engine("here", workers=2, address="local", gpus=0, memory_gb=0) as engine:
        found = engine.map(sleeping, [0, 0, 600, 600], what="part")
        workers = {next(found), next(found)}  # and the rest is not asked for
    assert all(map(gone, workers))


def test_a_node_has_room_for_workers_that_it_could_hold_alone():
    node = {"cpus": 8, "gpus": 2, "memory_bytes": 16 * 2**30}
    needs = [(0, 0), (1, 0), (0.5, 0), (0, 6), (0, 17), (1, 16)]
    assert [rooms(node, *each) for each in needs] == [8, 2, 4, 2, 0, 1]


def test_the_engine_of_this_machine_by_name():
    with opened_engine("here", workers=3, address="local", gpus=0, memory_gb=0) as engine:
        assert (engine.workers, engine.apart) == (3, True)
