"""Shares of nested work are told in order, and no result depends on who listens."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2.progress import counter, part, steps, told


def test_parts_and_steps_nest():
    heard = []
    with told(heard.append):
        with part(0.0, 0.2):
            assert list(steps("ab")) == ["a", "b"]
        with part(0.2, 1.0):
            for item in steps([1, 2], costs=[1, 3]):
                list(steps(range(item)))
    assert [round(share, 3) for share in dict.fromkeys(heard)] == [0, 0.1, 0.2, 0.4, 0.7, 1]


def test_nobody_needs_to_listen():
    with part(0.1, 0.2):
        assert list(steps(iter([1, 2]))) == [1, 2]
    counter(3)(1)


@given(st.lists(st.integers()), st.integers(0, 9))
def test_no_item_is_lost_however_many_were_announced(items, total):
    heard = []
    with told(heard.append):
        assert list(steps(iter(items), total)) == items
    assert all(0 <= share <= 1 for share in heard)
    assert heard[-1] == 1.0


def test_threads_count_together():
    heard = []
    with told(heard.append), part(0.5, 1.0):
        count = counter(40)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(count, [4] * 10))
    assert sorted(heard) == heard
    assert heard[-1] == 1.0


def fails():
    with part(0.0, 0.5):
        for _ in steps([1]):
            raise ValueError("in a step")


def test_what_is_around_comes_back_whatever_happens():
    heard = []
    with told(heard.append):
        for _ in steps([1, 2]):
            break
        with pytest.raises(ValueError, match="in a step"):
            fails()
        with part(0.5, 1.0):
            pass
    assert heard[-1] == 1.0
