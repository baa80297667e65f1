"""This machine as an engine: order, laziness, errors of workers, a worker that is killed."""

import os
import signal
from functools import partial

import pytest

from ds2.engine import Here, opened_engine
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


@pytest.mark.parametrize("workers", [1, 2])
def test_what_the_maker_raises_keeps_its_sentence(workers):
    with pytest.raises(InputError, match="Counting needs the package 'numpy'"):
        list(Here(workers).map(refusing, range(3), what="part"))


def test_a_worker_that_is_killed_is_one_sentence():
    with pytest.raises(RunError, match=r"worked on a part was ended from outside.*engine\.workers"):
        list(Here(2).map(dying, range(3), what="part"))


def test_the_engine_of_this_machine_by_name():
    with opened_engine("here", workers=3, address="local", gpus=0, memory_gb=0) as engine:
        assert (engine.workers, engine.apart) == (3, True)
