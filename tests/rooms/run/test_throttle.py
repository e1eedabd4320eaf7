"""What limits rows in flight, on a server that exists only in these tests' arithmetic: time is a number here."""

import heapq

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.run.bucket import Bucket
from batchrun.run.throttle import FIRST, Throttle


def run_against(throttle, *, rows, takes, seconds, refusal=0.01):
    """Calls, refusals, most in flight and seconds needed, on a server that takes so many at once."""
    now, left, busy, calls, refused, most = 0.0, rows, 0, 0, 0, 0
    ends: list[tuple[float, int, bool, float]] = []
    while left:
        while len(ends) < min(throttle.allowed(now), left + len(ends)) and left > len(ends):
            calls += 1
            taken = busy < takes
            busy += taken
            most = max(most, len(ends) + 1)
            # Rows never take the same time twice: otherwise they would all come in step.
            spread = 1 + 0.1 * (calls % 7 - 3) / 3
            heapq.heappush(ends, (now + (seconds * spread if taken else refusal), calls, taken, now))
        later = now + 0.005
        while ends and ends[0][0] <= later:
            at, _, taken, started = heapq.heappop(ends)
            if taken:
                busy -= 1
                left -= 1
                throttle.succeeded()
            else:
                refused += 1
                throttle.refused(started, at)
        now = later
    return calls, refused, most, now


@pytest.mark.parametrize("careful", [True, False])
@pytest.mark.parametrize(("seconds", "refusal"), [(0.1, 0.002), (0.5, 0.01), (1.0, 0.1)])
def test_a_server_that_takes_twenty_refuses_less_than_a_tenth_of_the_calls(careful, seconds, refusal):
    throttle = Throttle(200, careful=careful)
    calls, refused, _, took = run_against(throttle, rows=1500, takes=20, seconds=seconds, refusal=refusal)
    assert refused < 0.1 * calls
    assert took < 1.5 * 1500 * seconds / 20  # and it is kept busy


def test_rows_that_nobody_refuses_are_soon_all_in_flight():
    calls, refused, most, took = run_against(Throttle(500, careful=False), rows=10_000, takes=10_000, seconds=0.5)
    assert (calls, refused, most) == (10_000, 0, 500)
    assert took < 1.08 * 10


def test_calls_that_cost_money_double_with_each_round_trip():
    throttle = Throttle(1000, careful=True)
    assert throttle.allowed(0.0) == throttle.allowed(60.0) == FIRST
    for _ in range(FIRST):
        throttle.succeeded()
    assert throttle.allowed(60.0) == 2 * FIRST


def test_a_burst_of_refusals_cuts_once():
    throttle = Throttle(100, careful=True)
    for _ in range(30):
        throttle.succeeded()
    for number in range(20):
        throttle.refused(started=1.0 + number / 100, now=2.0 + number / 100)
    assert throttle.allowed(3.0) == 30  # three quarters of 40
    throttle.refused(started=2.5, now=3.0)
    assert throttle.allowed(3.0) == 22


@given(st.integers(1, 500), st.booleans(), st.lists(st.tuples(st.booleans(), st.floats(0, 2)), max_size=200))
def test_at_least_one_and_at_most_jobs_rows_may_be_in_flight(ceiling, careful, story):
    throttle, now = Throttle(ceiling, careful=careful), 0.0
    for taken, pause in story:
        now += pause
        if taken:
            throttle.succeeded()
        else:
            throttle.refused(now, now)
        assert 1 <= throttle.allowed(now) <= ceiling


@given(st.floats(1, 6000), st.lists(st.floats(0, 5), min_size=1, max_size=100))
def test_a_bucket_gives_no_burst(per_minute, pauses):
    bucket, now, given_out = Bucket(per_minute, 0.0), 0.0, 0
    for pause in pauses:
        now += pause
        while bucket.level(now) >= 1:
            bucket.take(1, now)
            given_out += 1
    assert given_out <= 1 + now * per_minute / 60 + 1e-6


@pytest.mark.parametrize("per_minute", [0.01, 1, 6000])
def test_the_first_one_may_go_at_once(per_minute):
    assert Bucket(per_minute, 0.0).due(1, 0.0) == 0


def test_a_bucket_says_when_the_next_one_may_go():
    bucket = Bucket(600, 0.0)
    bucket.take(1, 0.0)
    assert bucket.due(1, 0.0) == pytest.approx(0.1)
    assert bucket.level(0.1) == pytest.approx(1.0)
    bucket.take(1, 0.1)
    assert bucket.due(1, 0.15) == pytest.approx(0.05)


def test_one_refusal_for_other_reasons_does_not_hold_a_run_down_for_ever():
    throttle = Throttle(200, careful=True)
    throttle.refused(0.0, 1.0)
    calls = 0
    while not throttle.open:
        throttle.succeeded()
        calls += 1
    assert calls < 5000


@pytest.mark.parametrize("careful", [True, False])
def test_with_a_warmup_rows_in_flight_grow_by_so_many_a_second_whatever_else_would_allow(careful):
    throttle = Throttle(50, careful=careful, warmup=5)
    for _ in range(100):
        throttle.succeeded()
    assert [throttle.allowed(100 + second) for second in (0, 0.1, 0.2, 1, 4, 9.7)] == [1, 1, 2, 6, 21, 49]
    assert throttle.ramping
    assert not throttle.open
    assert throttle.allowed(200) == 50
    assert throttle.open
    assert not throttle.ramping


def test_what_a_server_refuses_counts_during_a_warmup_too():
    throttle = Throttle(100, careful=True, warmup=1000)
    assert throttle.allowed(0) == 1
    assert throttle.allowed(1) == FIRST
    throttle.refused(0.5, 1)
    assert throttle.allowed(2) == 7
