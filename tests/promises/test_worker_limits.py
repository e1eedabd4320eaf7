"""Workers within limits: a leak ends with its worker, and a row that takes too much is charged alone."""

from collections import Counter

import pytest
from support import NOTE, batchrun, lines_of, numbered, records, settled

from batchrun.core.states import CRASHED, DONE

TASKS = (
    NOTE
    + """
import asyncio, time
import batchrun
from batchrun.core.processes import memory_of

held = []

def plain(row):
    note(row)
    return row["id"]

def slow(row):
    note(row)
    time.sleep(0.01)
    return row["id"]

async def later(row):
    note(row)
    await asyncio.sleep(0.01)
    return row["id"]

def leaking(row):
    note(row)
    held.append(b"x" * (5 << 20))
    return memory_of("self")

def greedy(row):
    note(row)
    if row["id"] == 13:
        held.append(b"x" * (400 << 20))
        time.sleep(30)
    return row["id"]
"""
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tasks.py").write_text(TASKS)
    return tmp_path


def run(folder, task, rows, *options):
    table = numbered(folder / "data.csv", rows)
    command = ("process", table, "--task", f"tasks.py:{task}", "--json", "--no-output", *options)
    return batchrun(*command, cwd=folder, env={"NOTES": str(folder / "notes")})


def workers(folder):
    """How many rows each worker has started."""
    return Counter(line.split()[2] for line in lines_of(folder / "notes"))


def log_of(folder):
    (log,) = folder.glob("*.batchrun/*.log")
    return log.read_text()


@pytest.mark.parametrize(
    ("task", "options"),
    [("plain", ()), ("slow", ()), ("slow", ("--threads", "4", "-j", "8")), ("later", ("-j", "8"))],
    ids=["plain", "slow", "threads", "async"],
)
def test_a_worker_is_replaced_after_its_rows_and_none_runs_twice(folder, task, options):
    ran = run(folder, task, 120, "--worker-rows", "20", *(options or ("-j", "2")))
    assert ran.returncode == 0, ran.stderr
    assert sorted(body for _, body in settled(folder / "data.csv", task).values()) == list(range(1, 121))
    found = workers(folder)
    beside = 4 if "--threads" in options else 8 if task == "later" else 1  # rows that run when the last one ends
    assert sum(found.values()) == 120
    assert max(found.values()) < 20 + beside
    assert log_of(folder).count("this worker is replaced: it has run 20 rows (--worker-rows)") >= 3


def test_workers_of_a_task_that_leaks_stay_small(folder):
    ran = run(folder, "leaking", 120, "-j", "2", "--worker-memory", "150M")
    assert ran.returncode == 0, ran.stderr
    grown = [body for status, body in settled(folder / "data.csv", "leaking").values() if status == DONE]
    assert len(grown) == 120
    assert max(grown) < 200 << 20
    assert "(--worker-memory 150 MB)" in log_of(folder)


def test_a_row_that_takes_far_too_much_is_charged_alone_with_the_figure(folder):
    ran = run(folder, "greedy", 30, "-j", "2", "--worker-memory", "150M", "--retries", "0")
    assert ran.returncode == 1, ran.stderr
    done = records(ran.stdout)[-1]
    assert (done["done"], done["crashed"]) == (29, 1)
    assert settled(folder / "data.csv", "greedy")[13][0] == CRASHED
    assert set(Counter(line.split()[0] for line in lines_of(folder / "notes")).values()) == {1}
    told = batchrun("errors", folder / "data.csv").stdout
    assert "more than twice --worker-memory 150 MB" in told
    assert "worker was ended: it used" in told


def test_a_limit_below_what_the_task_itself_takes_is_refused_before_a_row_runs(folder):
    ran = run(folder, "plain", 5, "--worker-memory", "5M")
    assert ran.returncode == 2, ran.stderr
    assert "more than --worker-memory 5 MB" in ran.stderr
    assert "raise --worker-memory" in ran.stderr
    assert not lines_of(folder / "notes")
