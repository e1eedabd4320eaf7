"""Once a row has said that nothing may start for now (`RetryLater`, `Abort`), nothing starts, in any lane."""

import os
import random
import signal
import time
from collections import Counter

import psutil
import pytest
from support import batchrun, lines_of, numbered, records, settled, start, wait_for

from batchrun.checkpoint.inflight import InFlight

TASKS = """
import asyncio, os, random, signal, time
from pathlib import Path
import batchrun
from tasks import note

ASIDE = 300

def once(name):
    try:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL))
        return True
    except FileExistsError:
        return False

def refuse():
    while not Path("coordinator").exists():
        time.sleep(0.001)
    os.kill(int(Path("coordinator").read_text()), signal.SIGSTOP)
    while "SAYS_NOTHING" in os.environ:
        time.sleep(1)
    raise batchrun.RetryLater(0.5)

def held(row):
    note(row)
    if row["id"] == ASIDE and once("refused"):
        refuse()
    while row["id"] > ASIDE and not Path("gate").exists():
        time.sleep(0.005)
    time.sleep(0.001)

async def held_async(row):
    note(row)
    if row["id"] == ASIDE and once("refused"):
        refuse()
    while row["id"] > ASIDE and not Path("gate").exists():
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.001)

def aborting(row):
    note(row)
    if row["id"] == 30:
        raise batchrun.Abort("enough")

def put_off(row):
    dice = random.Random(f"{row['id']} {os.environ['SEED']}")
    if dice.random() < 0.1 and once(f"refused-{row['id']}"):
        raise batchrun.RetryLater(dice.choice([0, 0.001, 0.02]))
    if dice.random() < 0.5:
        time.sleep(dice.random() * 0.002)
    note(row)

async def put_off_async(row):
    put_off(row)
    await asyncio.sleep(0.001)
"""

WAYS = {
    "one by one": ("", 4, ()),
    "threads": ("", 8, ("--threads", 4)),
    "async": ("_async", 20, ()),
}


@pytest.fixture
def halting(folder):
    (folder / "halting.py").write_text(TASKS)
    return folder


def started(folder):
    """Row and monotonic time of each start."""
    return [(int(row), float(at)) for row, at, _ in map(str.split, lines_of(folder / "started"))]


def start_telling(*args, cwd, **options):
    """Start a run whose rows know the coordinator's pid."""
    run = start(*args, cwd=cwd, **options)
    (cwd / "new").write_text(str(run.pid))
    (cwd / "new").rename(cwd / "coordinator")
    return run


def nothing_runs(path, cells):
    with InFlight(path) as file:
        return not any(file.running(cell) for cell in range(cells))


@pytest.mark.parametrize("way", WAYS)
def test_no_row_starts_after_a_refusal_that_the_coordinator_has_still_to_hear(halting, way):
    kind, jobs, options = WAYS[way]
    table = numbered(halting / "data.csv", 1000)
    path = halting / "data.csv.batchrun" / f"held{kind}.inflight"
    run = start_telling(
        "process", table, "--task", f"halting.py:held{kind}", "--jobs", jobs, *options, "--no-output", cwd=halting
    )
    wait_for(lambda: (halting / "refused").exists())
    with InFlight(path) as file:
        wait_for(lambda: file.halted)
    opened = time.monotonic()
    (halting / "gate").touch()
    wait_for(lambda: nothing_runs(path, jobs))
    late = [row for row, at in started(halting) if at > opened]
    # Each slot may have been about to begin one.
    assert len(late) < jobs
    run.send_signal(signal.SIGCONT)
    _, stderr = run.communicate(timeout=60)
    assert run.returncode == 0, stderr
    assert Counter(row for row, _ in started(halting)) == Counter([*range(1, 1001), 300])


def test_nothing_starts_after_abort(halting):
    table = numbered(halting / "data.csv", 500)
    ran = batchrun("process", table, "--task", "halting.py:aborting", "--jobs", 1, "--no-output", cwd=halting)
    assert ran.returncode == 3, ran.stderr
    assert [row for row, _ in started(halting)] == list(range(1, 31))


def test_a_worker_that_dies_before_it_has_said_why_halts_nobody_for_ever_and_loses_no_row(halting):
    """The death falls between two lines of the worker's: the test halts in its place, and then kills it."""
    table = numbered(halting / "data.csv", 1000)
    path = halting / "data.csv.batchrun" / "held.inflight"
    run = start_telling(
        "process", table, "--task", "halting.py:held", "--jobs", 4, "--no-output", "--json", cwd=halting,
        env={"SAYS_NOTHING": "1"},
    )  # fmt: skip
    wait_for(lambda: psutil.Process(run.pid).status() == psutil.STATUS_STOPPED)
    worker = next(int(pid) for row, _, pid in map(str.split, lines_of(halting / "started")) if row == "300")
    with InFlight(path) as file:
        cell = next(cell for cell in range(4) if (found := file.running(cell)) and found.position == 300)
        file.cell(cell, cell).halt()
        (halting / "gate").touch()
        wait_for(lambda: not any(file.running(other) for other in {0, 1, 2, 3} - {cell}))
        begun = len(lines_of(halting / "started"))
        run.send_signal(signal.SIGCONT)
        time.sleep(0.3)
        assert (len(lines_of(halting / "started")), file.halted) == (begun, True)
    os.kill(worker, signal.SIGKILL)
    stdout, stderr = run.communicate(timeout=60)
    assert run.returncode == 0, stderr
    assert records(stdout)[1]["done"] == 1000
    assert Counter(row for row, _ in started(halting)) == Counter([*range(1, 1001), 300])


@pytest.mark.parametrize("way", WAYS)
def test_rows_that_are_put_off_at_random_are_each_done_once(halting, way):
    kind, jobs, options = WAYS[way]
    seed = str(random.randrange(10**6))
    print(f"seed {seed}")
    table = numbered(halting / "data.csv", 400)
    ran = batchrun(
        "process", table, "--task", f"halting.py:put_off{kind}", "--jobs", jobs, *options, "--no-output",
        cwd=halting, env={"SEED": seed},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert len(settled(table, f"put_off{kind}")) == 400
    assert Counter(row for row, _ in started(halting)) == Counter(range(1, 401))
    assert list(halting.glob("refused-*"))
