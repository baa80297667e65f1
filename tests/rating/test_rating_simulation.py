"""Whole histories of runs under a simulated clock, network and disk: see simulation.py."""

import pytest
from simulation import simulate


@pytest.mark.parametrize("first", range(0, 300, 50))
def test_nothing_is_lost_or_paid_twice_and_the_cap_is_kept(first, tmp_path):
    for seed in range(first, first + 50):
        simulate(seed, tmp_path)  # a failure names its seed


def test_a_seed_always_gives_the_same_history(tmp_path):
    assert simulate(7, tmp_path) == simulate(7, tmp_path)
