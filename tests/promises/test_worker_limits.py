"""Workers within limits: a leak ends with its worker, and a row that takes too much is charged alone."""

import signal
import subprocess
import sys
from collections import Counter

import pytest
from support import NOTE, batchrun, environment, lines_of, numbered, reading, records, settled, wait_for

from batchrun.core.free_memory import memory_here
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

def gated(row):
    note(row)
    while not Path("go").exists():
        time.sleep(0.01)
    return row["id"]

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


MEASURED = """
import sys
from pathlib import Path
from batchrun.core.free_memory import Memory
from batchrun.engine.local import scarcity
scarcity.memory_here = lambda: Memory(64 << 30, int(Path("free").read_text()) << 20)
from batchrun.__main__ import main
main()
"""
"""The command on a machine of which the file `free` says how many megabytes are free."""


def start_measured(folder, free, *options):
    """Start a run of six rows that wait for a file `go`, four at once, with 1,000 megabytes to stay free."""
    say_free(folder, free)
    table = numbered(folder / "data.csv", 6)
    command = ("process", table, "--task", "tasks.py:gated", "-j", "4", "--min-free-memory", "1000M", *options)
    return subprocess.Popen(
        [sys.executable, "-c", MEASURED, *map(str, command)],
        cwd=folder, env=environment({"NOTES": str(folder / "notes")}), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def say_free(folder, megabytes):
    (folder / "new").write_text(str(megabytes))
    (folder / "new").rename(folder / "free")


def test_where_memory_is_scarce_the_youngest_workers_end_uncharged_and_the_oldest_goes_on(folder):
    process = start_measured(folder, 5000)
    wait_for(lambda: len(lines_of(folder / "notes")) == 4)
    say_free(folder, 900)
    wait_for(lambda: log_of(folder).count("this worker is ended") == 3)
    assert "900 MB of memory is free, less than --min-free-memory 1,000 MB" in log_of(folder)
    say_free(folder, 1001)  # not enough for one as large as those that had to end
    (folder / "go").touch()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert settled(folder / "data.csv", "gated") == {row: (DONE, row) for row in range(1, 7)}
    rows = Counter(line.split()[0] for line in lines_of(folder / "notes"))
    assert sorted(rows.values()) == [1, 1, 1, 2, 2, 2]
    with reading(folder / "data.csv", "gated") as db:
        assert db.execute("SELECT max(attempts) FROM ledger").fetchone() == (1,)
    assert "workers were replaced 3 times" in log_of(folder)


@pytest.mark.parametrize("in_the_end", ["memory", "Ctrl-C"])
def test_a_run_that_memory_keeps_from_starting_any_row_says_so_and_waits(folder, in_the_end):
    (folder / "go").touch()
    with start_measured(folder, 10, "--progress", "plain") as process:
        said = [process.stderr.readline() for _ in range(2)]
        assert said[1].startswith("waiting, at most 30 s: no row can start: 10 MB of memory is free, less than --min-f")
        assert not lines_of(folder / "notes")
        if in_the_end == "memory":
            say_free(folder, 5000)
        else:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == (0 if in_the_end == "memory" else 130)
    assert len(settled(folder / "data.csv", "gated")) == (6 if in_the_end == "memory" else 0)


def test_more_memory_than_there_is_can_never_be_free(folder):
    ran = run(folder, "plain", 5, "--min-free-memory", f"{(memory_here().total >> 20) + 1}M")
    assert ran.returncode == 2
    assert "can never be free" in ran.stderr
    assert not list(folder.glob("*.batchrun"))


def test_a_limit_below_what_the_task_itself_takes_is_refused_before_a_row_runs(folder):
    ran = run(folder, "plain", 5, "--worker-memory", "5M")
    assert ran.returncode == 2, ran.stderr
    assert "more than --worker-memory 5 MB" in ran.stderr
    assert "raise --worker-memory" in ran.stderr
    assert not lines_of(folder / "notes")
