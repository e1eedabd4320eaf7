"""The coordinator is killed: every row that had started and is not in the checkpoint is named by the next run."""

import re
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import (
    batchrun,
    count_settled,
    kill,
    kill_amid,
    lines_of,
    numbered,
    settled,
    start,
    starts,
    wait_for,
)

from batchrun.checkpoint import inflight, rings
from batchrun.checkpoint.deaths import LostRows, lost_rows
from batchrun.checkpoint.inflight import InFlight, Running
from batchrun.core.text import numbers
from batchrun.options import parsing

TASKS = """
import asyncio, os, time
from tasks import note

SECONDS = float(os.environ.get("SECONDS", "0.005"))

def quick(row):
    note(row)
    time.sleep(SECONDS)
    return row["id"]

async def waiting(row):
    note(row)
    await asyncio.sleep(SECONDS)
    return row["id"]

def together(rows):
    return list(map(quick, rows))
"""


WAYS = {
    "one by one": ("again.py:quick", "--jobs", 4),
    "one lane": ("again.py:quick", "--jobs", 1),
    "threads": ("again.py:quick", "--jobs", 8, "--threads", 4),
    "async": ("again.py:waiting", "--jobs", 50),
    "batches": ("again.py:together", "--jobs", 2, "--batch", 16),
    "batches in threads": ("again.py:together", "--jobs", 4, "--threads", 2, "--batch", 16),
}


def named(stderr):
    """The rows that a run says run again."""
    notes = [line for line in stderr.splitlines() if "again, which does not count as an attempt" in line]
    lists = [re.search(r"rows? (\d[\d, -]*\d|\d)", note)[1] for note in notes]
    return set().union(*(parsing.rows(found.replace(" ", "")) for found in lists))


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_every_row_that_starts_twice_because_of_a_crash_was_named(folder, way, frozen):
    (folder / "again.py").write_text(TASKS)
    table = numbered(folder / "data.csv", 600)
    command = ("process", table, "--task", *WAYS[way], "--no-output")
    kill_amid(command, folder, 200, frozen=frozen)
    kept = set(settled(table, WAYS[way][0].partition(":")[2]))
    again = batchrun(*command, cwd=folder)
    assert again.returncode == 0, again.stderr
    twice = {row for row, count in starts(folder).items() if count > 1}
    assert twice <= named(again.stderr)
    assert not named(again.stderr) & kept
    assert "perhaps" not in again.stderr
    assert twice or not frozen
    assert not named(batchrun(*command, cwd=folder).stderr)


def test_rows_ended_by_a_second_signal_are_named_too(folder):
    table = numbered(folder / "data.csv", 9)
    command = ("process", table, "--task", "tasks.py:short", "--jobs", 3, "--no-output")
    run = start(*command, cwd=folder, env={"SECONDS": "60"})
    wait_for(lambda: len(lines_of(folder / "started")) == 3)
    run.send_signal(signal.SIGINT)
    wait_for(lambda: "stopping" in run.stderr.readline())
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=30)
    again = batchrun(*command, cwd=folder)
    assert "rows 1-3 had started in the last run and are not in the checkpoint; they run again" in again.stderr


def test_a_row_that_failed_before_the_crash_is_known_and_one_that_was_refused_was_no_attempt(folder):
    (folder / "again.py").write_text(
        "import time\nimport batchrun\nfrom tasks import note\n\ndef hard(row):\n    note(row)\n"
        "    if batchrun.current().attempt == 1 and row['id'] == 1:\n        raise ValueError('no')\n"
        "    if row['id'] == 2 and row['id'] not in seen:\n        seen.add(2)\n        raise batchrun.RetryLater(0)\n"
        "    if row['id'] == 4:\n        time.sleep(60)\n    return row\n\nseen = set()\n"
    )
    table = numbered(folder / "data.csv", 4)
    command = ("process", table, "--task", "again.py:hard", "--jobs", 1, "--rows")
    run = start(*command, "1-4", cwd=folder)
    wait_for(lambda: "4" in {line.split()[0] for line in lines_of(folder / "started")})
    wait_for(lambda: count_settled(table, "hard") >= 1)
    kill(run)
    again = batchrun(*command, "1-3", cwd=folder)
    assert "while row 4 was running" in again.stderr
    assert "had started" not in again.stderr


def test_where_the_memory_of_starts_was_too_short_the_note_says_perhaps_others():
    full, short = [(row, 1) for row in range(10, 15)], [(row, 1) for row in range(1, 4)]
    ran = Running(1.0, 1, b"f" * 16, 14)
    remains = inflight.Remains([ran], [(full, True), (short, False)])
    assert lost_rows(remains, {10: 1, 11: 1, 2: 1}) == LostRows(frozenset({14}), frozenset({1, 3, 12, 13}))
    assert lost_rows(remains, {2: 1}).more
    assert lost_rows(remains, dict.fromkeys(range(20), 1)) == LostRows()


@given(st.lists(st.one_of(st.tuples(st.integers(1, 2**40), st.integers(1, 9)), st.none()), max_size=150))
def test_a_ring_remembers_the_rows_that_started_last(story):
    """A story: rows that start, and None for one that is taken out again. A new worker goes on at every step."""
    room, size = rings.LEAST, rings.LEAST + 1
    told = []
    words = memoryview(bytearray(3 * rings.size_of(room))).cast("q")
    for step in story:
        rings.Ring(words, size, room).add(*(step or (99, 1)))
        if step:
            told.append(step)
        else:
            rings.Ring(words, size, room).take_out()
    found, full = rings.starts_in(bytes(words[size : 2 * size]))
    assert not any(words[:size])
    assert not any(words[2 * size :])
    assert found == told[len(told) - len(found) :]
    assert len(found) == len(told) or (full and len(found) >= room - 2)


@pytest.mark.parametrize(
    ("rows", "text"), [({5}, "5"), ({1, 2}, "1, 2"), ({9, 3, 4, 5, 7}, "3-5, 7, 9"), ({1234}, "1234")]
)
def test_rows_are_named_as_the_option_rows_takes_them(rows, text):
    assert numbers(rows) == text
    assert parsing.rows(text.replace(" ", "")) == rows


@pytest.mark.parametrize("jobs", [1, 4, 50, 500, 5000])
def test_the_in_flight_file_stays_small(tmp_path, jobs):
    with InFlight(tmp_path / "inflight", jobs):
        assert (tmp_path / "inflight").stat().st_size < 2 << 20
