"""A run that was stopped as a whole and goes on: by a signal, in a paused container, on a suspended machine."""

import time

import psutil
import pytest
from support import alive, descendants, lines_of, numbered, settled, start, wait_for
from test_crash_matrix import DONE, TIMED_OUT, error_of, tasks

LIMIT = 2.0
STOPPED = LIMIT + 0.5

ROWS = {
    "plain": (
        """
        def task(row):
            note(row)
            for _ in range(10): time.sleep(0.05)
            return {}
        """,
        (),
    ),
    "async": (
        """
        import asyncio
        async def task(row):
            note(row)
            for _ in range(10): await asyncio.sleep(0.05)
            return {}
        """,
        (),
    ),
    "threads": (
        """
        def task(row):
            note(row)
            for _ in range(10): time.sleep(0.05)
            return {}
        """,
        ("--threads", 2),
    ),
}


def family_of(run):
    return [psutil.Process(run.pid), *descendants(run.pid)]


def stopped_for(seconds, family):
    for process in family:
        process.suspend()
    wait_for(lambda: all(process.status() == psutil.STATUS_STOPPED for process in family), 5)
    time.sleep(seconds)  # the clock goes on: that is what is tested
    for process in family:
        process.resume()


def running(folder, body, *options, rows=8):
    tasks(folder, body)
    numbered(folder / "data.csv", rows)
    run = start(
        *("process", "data.csv", "--task", "tasks.py:task", "--jobs", 2, "--timeout", LIMIT, "--retries", 0),
        *(*options, "--no-output"),
        cwd=folder,
    )
    wait_for(lambda: lines_of(folder / "started"))
    return run


@pytest.mark.parametrize("kind", ROWS)
def test_time_in_which_all_stood_still_is_charged_to_no_row(folder, kind):
    body, options = ROWS[kind]
    run = running(folder, body, *options)
    for _ in range(2 if kind == "plain" else 1):  # a second time, too; that is the same for all kinds
        stopped_for(STOPPED, family_of(run))
        time.sleep(0.2)
    _, stderr = run.communicate(timeout=60)
    assert run.returncode == 0, stderr
    assert {row[0] for row in settled(folder / "data.csv", "task").values()} == {DONE}


STUCK = """
def task(row):
    note(row)
    if row["id"] == 1: time.sleep(1000)
    return {}
"""


def test_a_stuck_row_is_timed_out_all_the_same_when_all_go_on(folder):
    run = running(folder, STUCK)
    family = family_of(run)
    stopped_for(STOPPED, family)
    went_on = time.monotonic()
    _, stderr = run.communicate(timeout=60)
    assert run.returncode == 1, stderr
    assert time.monotonic() - went_on < 2 * LIMIT + 3
    found = settled(folder / "data.csv", "task")
    assert [row for row, (status, _) in found.items() if status == TIMED_OUT] == [1]
    assert "ended after 2" in error_of(folder / "data.csv", 1)
    wait_for(lambda: not alive(family), 2)


def test_a_row_whose_worker_alone_is_stopped_is_timed_out(folder):
    run = running(folder, STUCK.replace("time.sleep(1000)", "os.kill(os.getpid(), signal.SIGSTOP)"))
    run.communicate(timeout=60)
    assert run.returncode == 1
    assert settled(folder / "data.csv", "task")[1][0] == TIMED_OUT


def test_rows_go_on_where_only_the_coordinator_is_stopped(folder):
    run = running(folder, ROWS["threads"][0])
    stopped_for(STOPPED, [psutil.Process(run.pid)])
    _, stderr = run.communicate(timeout=60)
    assert run.returncode == 0, stderr
