import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2.rating import Failure
from ds2.rating.limits import FOR_ALL, IN_A_ROW, LATEST, START, TOO_MANY, Breaker, Gate, Pace


def filled(gate: Gate) -> Gate:
    gate.in_flight = int(gate.limit)
    return gate


def test_the_gate_doubles_then_is_bounded():
    gate = Gate(256)
    assert gate.limit == START
    for _ in range(START):
        filled(gate).replied(0.2)
    assert gate.limit == 2 * START
    for _ in range(1000):
        filled(gate).replied(0.2)
    assert gate.limit == 256


def test_the_gate_does_not_grow_where_nobody_waits():
    gate = Gate(256)
    for _ in range(100):
        gate.in_flight = 3
        gate.replied(0.2)
    assert gate.limit == START


def test_growth_stops_while_replies_are_slow():
    gate = Gate(1000)
    for _ in range(40):
        filled(gate).replied(0.1)
    for _ in range(60):
        filled(gate).replied(2.0)
    before = gate.limit
    for _ in range(50):
        filled(gate).replied(2.0)
    assert gate.limit == before


def test_refusals_halve_once_a_round_and_the_wait_is_kept():
    gate = Gate(64)
    gate.limit = 64.0
    for _ in range(30):
        gate.refused(now_s=10.0, started_s=9.0, retry_after_s=7.0)
    assert gate.limit == 32.0, "what was in flight halves once"
    assert gate.closed_until_s == 17.0
    assert gate.opens_in_s(12.0) == 5.0
    gate.refused(now_s=18.0, started_s=17.5, retry_after_s=None)
    assert gate.limit == 16.0
    for second in range(40):
        gate.refused(now_s=20.0 + second, started_s=19.5 + second, retry_after_s=None)
    assert gate.limit == 1.0, "one request is always allowed"


def test_a_rare_refusal_costs_nothing():
    gate = Gate(256)
    gate.limit = 256.0
    for number in range(5000):
        if number % 25 == 0:
            gate.refused(float(number), float(number), 1.0)
        else:
            filled(gate).replied(0.2)
    assert gate.limit == 256.0
    assert gate.closed_until_s == -math.inf


def test_growth_after_halving_is_additive():
    gate = Gate(64)
    gate.limit = 64.0
    for _ in range(int(LATEST * TOO_MANY) + 2):
        gate.refused(1.0, 0.5, None)
    low = gate.limit
    for _ in range(int(low)):
        filled(gate).replied(0.1)
    assert low + 0.5 < gate.limit <= low + 1.0


@given(st.lists(st.sampled_from(["reply", "refuse"]), max_size=300), st.integers(1, 300))
def test_the_limit_stays_in_its_bounds(events, most):
    gate = Gate(most)
    for number, event in enumerate(events):
        if event == "reply":
            filled(gate).replied(0.1)
        else:
            gate.refused(number + 1.0, float(number), None)
        assert 1.0 <= gate.limit <= most


def test_requests_keep_their_pace():
    pace, now, starts = Pace(600.0, None, guess=0.0), 0.0, []
    for _ in range(50):
        now += pace.opens_in_s(now)
        pace.start(now)
        starts.append(now)
    assert starts[-1] == pytest.approx(4.9)
    assert max(b - a for a, b in itertools.pairwise(starts)) == pytest.approx(0.1)


def test_tokens_keep_their_pace_once_they_are_known():
    pace, now, tokens = Pace(None, 60_000.0, guess=100.0), 0.0, 0
    while now < 120.0:
        now += pace.opens_in_s(now)
        guess = pace.start(now)
        tokens += 500
        pace.settle(guess, 500.0)
    assert tokens / now == pytest.approx(1000.0, rel=0.02)


def test_no_limit_never_waits():
    pace = Pace(None, None, guess=1000.0)
    for _ in range(10):
        assert pace.opens_in_s(0.0) == 0.0
        pace.settle(pace.start(0.0), 1e9)


def failure(**how) -> Failure:
    return Failure("bad request", "The endpoint said no.", **how)


def test_the_breaker_opens_soon_for_what_concerns_all():
    breaker = Breaker("m")
    for _ in range(FOR_ALL - 1):
        breaker.failed(failure(fatal=True), for_good=True)
    breaker.replied()
    for _ in range(FOR_ALL):
        assert breaker.sentence is None, "one alone may be a firewall's"
        breaker.failed(failure(fatal=True), for_good=True)
    assert breaker.sentence.startswith("The endpoint said no.")
    assert "what was rated is kept" in breaker.sentence


def test_the_breaker_counts_failures_in_a_row():
    breaker = Breaker("m")
    for _ in range(IN_A_ROW - 1):
        breaker.failed(failure(), for_good=True)
    breaker.replied()
    for _ in range(IN_A_ROW - 1):
        breaker.failed(failure(), for_good=True)
        breaker.failed(failure(retryable=True), for_good=False)
    assert breaker.sentence is None
    breaker.failed(failure(), for_good=True)
    assert f"{IN_A_ROW} examples in a row" in breaker.sentence


def test_the_breaker_does_not_wait_for_tomorrow():
    breaker = Breaker("m")
    for _ in range(FOR_ALL):
        assert breaker.sentence is None
        breaker.failed(failure(retryable=True, retry_after_s=7200.0), for_good=True)
    assert "2.0 hours" in breaker.sentence
