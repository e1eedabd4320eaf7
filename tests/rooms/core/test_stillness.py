"""What a process can know of the time in which it stood still."""

from hypothesis import given
from hypothesis import strategies as st

from batchrun.core.stillness import NOTICED_SECONDS, Stillness, moved
from batchrun.run.tally import Tally

SHORT = st.floats(0, 0.5)


@given(st.lists(SHORT, max_size=50), st.floats(2, 1e6))
def test_a_jump_of_the_clock_is_time_in_which_all_stood_still(turns, jump):
    for waits in (True, False):
        clock, now = Stillness(0.0), 0.0
        for turn in turns:
            now += turn
            assert clock.waited(now, 0.1) == 0
            assert clock.worked(now) == 0
        still = clock.waited(now + jump, 0.1) if waits else clock.worked(now + jump)
        assert jump - NOTICED_SECONDS < still + 0.2 <= jump + 0.2


@given(st.floats(0.5, 20), st.integers(1, 200))
def test_work_that_always_takes_long_is_soon_no_standing_still(seconds, turns):
    clock, now, still = Stillness(0.0), 0.0, 0.0
    for _ in range(turns):
        now += seconds
        still += clock.worked(now)
        for _ in range(5):  # quick turns in between do not hide it
            now += 0.001
            still += clock.worked(now)
    assert still <= 10 * seconds


def test_stops_that_come_again_and_again_are_each_seen_while_the_loop_waits():
    clock, now = Stillness(0.0), 0.0
    for _ in range(100):
        now += 30
        assert 29 < clock.waited(now, 0.1) <= 30
        clock.worked(now)


@given(st.floats(0, 1000), st.floats(0, 1000), st.floats(0, 1000), st.floats(0, 1000))
def test_a_start_moves_by_what_it_saw_of_the_time_between(start, since, length, later):
    until = since + length
    now = until + later
    passed = now - moved(start, since, until) if start < now else 0.0
    assert -1e-9 <= passed <= max(0.0, now - start) + 1e-9


def test_the_pace_of_a_run_is_that_of_the_time_without_it():
    tally = Tally(0.0)
    for second in range(10):
        tally.succeeded([0.1], 1)
        tally.rate(float(second))
    before = tally.rate(10.0)
    tally.stood_still(10.0, 3610.0)
    assert tally.rate(3610.0) == before
    assert tally.started == 3600.0
    early = Tally(5000.0)
    early.stood_still(10.0, 3610.0)
    assert early.started == 5000.0
