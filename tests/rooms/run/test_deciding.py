"""What decides, in pure functions: when to try again, when to stop, how many rows a lane holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.core.limits import MaxFailures
from batchrun.engine.local.pace import MOST_ABSENCE, STEADY_ROWS, WORTH_SECONDS, Absence, Pace
from batchrun.run.retry import MAX_BACKOFF, MAX_REFUSED_SECONDS, after_failure, after_refusal, backoff, pause_for_all
from batchrun.run.stopping import too_many
from batchrun.run.tally import Tally
from batchrun.task.failure import retry_after_of

DICE = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 100), DICE)
def test_backoff_doubles_its_cap_from_half_a_second_to_a_minute(attempt, dice):
    assert 0 <= backoff(attempt, dice) <= min(MAX_BACKOFF, 0.5 * 2 ** (attempt - 1))


@given(st.integers(1, 9), st.integers(1, 9), st.none() | st.floats(0, 100), DICE)
def test_a_row_is_tried_again_until_its_attempts_are_used_up_and_never_before_it_was_asked_to_wait(
    attempt, allowed, wait, dice
):
    again = after_failure(("exception", "", "ValueError", None), attempt, allowed, wait, dice)
    assert (again is None) == (attempt >= allowed)
    assert again is None or again >= (wait or 0)


@pytest.mark.parametrize("wait", [1e6, float("inf")])
def test_no_failure_makes_its_row_wait_for_longer_than_a_busy_server_may(wait):
    again = after_failure(("exception", "", "ServerError", 500), 1, 3, wait, 0.5)
    assert again == MAX_REFUSED_SECONDS


@pytest.mark.parametrize(
    "error",
    [
        ("bad_request", "", "Error", 400),
        ("auth", "", "Error", 401),
        ("bad_request", "", "Error", 404),
        ("exception", "", "NameError", None),
        ("exception", "", "ModuleNotFoundError", None),
        ("truncated", "", "ReplyError", None),
        ("unencodable", "", "Unencodable", None),
    ],
)
def test_what_will_not_get_better_is_not_tried_again(error):
    assert after_failure(error, 1, 10, None, 0.5) is None


@given(st.floats(0, 599), st.integers(1, 50), st.none() | st.floats(0, 300), DICE)
def test_a_refusal_keeps_the_wait_it_was_given_and_ends_after_ten_minutes(since, refusals, wait, dice):
    again = after_refusal(since, refusals, wait, dice)
    assert again >= (wait or 0)
    assert after_refusal(MAX_REFUSED_SECONDS, refusals, wait, dice) is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, 100),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_the_wait_of_a_response_is_read_as_seconds_milliseconds_or_a_date(headers, seconds):
    error = type("Busy", (Exception,), {"response": type("Response", (), {"headers": headers})})()
    assert retry_after_of(error, now=0.0) == seconds


def counts(rows, failed, first_rows=None, first_failed=None):
    tally = Tally(0.0)
    tally.rows, tally.rows_failed = rows, failed
    tally.first_rows = rows if first_rows is None else first_rows
    tally.first_failed = failed if first_failed is None else first_failed
    return tally


def test_the_breaker_trips_when_the_first_25_rows_have_all_failed_and_there_are_more():
    assert too_many(None, counts(25, 25), 100)
    assert not too_many(None, counts(24, 24), 100)
    assert not too_many(None, counts(25, 24), 100)
    assert not too_many(None, counts(25, 25), 25)
    assert not too_many(None, counts(30, 30, first_rows=0, first_failed=0), 100)


def test_max_failures_counts_rows_or_a_share_of_the_rows_to_run():
    assert too_many(MaxFailures(3), counts(10, 3), 100)
    assert not too_many(MaxFailures(3), counts(10, 2), 100)
    assert too_many(MaxFailures(5, percent=True), counts(50, 6), 100)
    assert not too_many(MaxFailures(5, percent=True), counts(50, 5), 100)
    assert not too_many(MaxFailures(100), counts(25, 25), 1000)


@given(st.lists(st.floats(0, 10), max_size=200))
def test_a_lane_holds_at_least_a_row_and_never_much_more_than_40_ms_of_work(seconds):
    pace = Pace()
    for value in seconds:
        pace.saw(1, value)
    assert 1 <= pace.hold() <= max(1, 2 * len(seconds))
    assert pace.hold() <= 2 or (pace.hold() * pace.seconds <= WORTH_SECONDS)


def test_where_rows_go_on_for_a_while_and_are_not_slow_the_next_one_waits_in_the_lane():
    pace, slow = Pace(), Pace()
    pace.saw(STEADY_ROWS - 1, (STEADY_ROWS - 1) * 0.05)
    assert pace.hold() == 1
    pace.saw(1, 0.05)
    assert pace.hold() == 2
    slow.saw(100, 100 * 0.1)
    assert slow.hold() == 1


def test_a_lane_holds_more_while_the_coordinator_is_often_away_and_no_more_than_that_takes():
    pace, absence, now = Pace(), Absence(), 0.0
    pace.saw(100, 100 * 0.05)
    assert pace.hold(absence.seconds) == 2
    for _ in range(3):  # it looks for a moment, and waits for the disk
        absence.begins(now)
        absence.ends(now + 0.4)
        now += 0.5
    assert 6 <= pace.hold(absence.seconds) <= 9
    for _ in range(100):
        absence.begins(now)
        absence.ends(now)
    assert pace.hold(absence.seconds) == 2


def test_a_coordinator_that_was_stopped_for_hours_is_no_slow_disk():
    absence = Absence()
    absence.begins(0.0)
    absence.ends(10_000.0)
    assert absence.seconds == MOST_ABSENCE


@given(st.lists(st.floats(0.001, 10), min_size=1, max_size=50), st.floats(0.001, 10))
def test_rows_that_end_together_weigh_as_much_as_one_after_the_other(before, seconds):
    together, alone = Pace(), Pace()
    for value in before:
        together.saw(1, value)
        alone.saw(1, value)
    together.saw(5, 5 * seconds)
    for _ in range(5):
        alone.saw(1, seconds)
    assert together.seconds == pytest.approx(alone.seconds)


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_a_service_that_serves_nobody_is_asked_now_and_then(refusals, dice):
    pause = pause_for_all(refusals, dice)
    assert 0.3 < pause <= 10
    assert refusals < 5 or pause >= 6
