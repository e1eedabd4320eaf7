"""`batchrun status`: how far each task of a table is, all tables of a folder, a running job, again and again."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from support import COMMAND, batchrun, database, environment, kill, lines_of, numbered, start, wait_for

from batchrun.outcome.status import status_in_words

TASK = {
    "task": "match", "rows": 1_000, "done": 990, "failed": 7, "timed_out": 1, "crashed": 0, "skipped": 0, "left": 2,
    "running": False,
    "paused": False, "pid": None, "rate": None, "eta_seconds": None, "checkpoint": "x",
    "last_run": {"started": "2026-03-01T12:00:00+00:00", "ended": "2026-03-01T12:30:00+00:00", "exit": 1},
}  # fmt: skip


def told(**changes):
    return status_in_words({"input": "data.csv", "tasks": [{**TASK, **changes}]})


@pytest.fixture
def utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    __import__("time").tzset()


@pytest.mark.usefixtures("utc")
def test_counts_and_the_last_run_are_said():
    assert told().splitlines() == [
        "data.csv",
        "  match: 1,000 rows: 990 done, 7 failed, 1 timed out, 2 left",
        "    last run ended 2026-03-01 12:30:00 with exit code 1",
    ]


@pytest.mark.usefixtures("utc")
def test_a_run_that_goes_on_has_pid_rate_and_eta():
    text = told(running=True, pid=4711, rate=41.3, eta_seconds=250.0, left=388, done=604)
    assert "running now, pid 4711: 61.2 % settled, 41 rows/s, ETA 4 min 10 s" in text
    assert "a run is starting" in told(running=True)


@pytest.mark.usefixtures("utc")
def test_a_run_that_died_and_a_task_that_never_ran_are_said():
    assert "started 2026-03-01 12:00:00, was killed; run the same command to resume" in told(
        last_run={"started": "2026-03-01T12:00:00+00:00", "ended": None, "exit": None}
    )
    assert "never run" in told(last_run=None)
    assert "nothing has been run yet" in status_in_words({"input": "data.csv", "tasks": []})


def test_the_eta_of_a_run_with_a_limit_is_that_of_the_rows_that_it_runs(folder):
    """As the run's own display has it: not that of the whole table."""
    table = numbered(folder / "data.csv", 10_000)
    (folder / "calm.py").write_text("import time\n\ndef calm(row):\n    time.sleep(0.1)\n    return {}\n")
    run = start("process", table, "-t", "calm.py:calm", "--jobs", 2, "--limit", 200, cwd=folder)
    try:
        status = wait_for(lambda: next((task for task in recorded(table) if task["eta_seconds"]), None))
    finally:
        kill(run)
    assert status["left"] > 9_700
    assert status["eta_seconds"] * status["rate"] <= 200


def recorded(table):
    return json.loads(batchrun("status", table, "--json").stdout)["tasks"]


def test_tokens_and_cost_are_said_where_they_are_known():
    tokens = {"prompt": 12_345, "completion": 678, "cached": 9_000, "reasoning": 0}
    assert "12,345 tokens in (9,000 cached), 678 out, cost 0.0123" in told(tokens=tokens, cost=0.01234)
    assert told(tokens=tokens, cost=None).endswith("678 out")


def test_tokens_of_all_runs_are_added_up(folder):
    table = numbered(folder / "data.csv", 2)
    batchrun("process", table, "-t", "repair", "--no-output")
    assert "tokens" not in json.loads(batchrun("status", table, "--json").stdout)["tasks"][0]
    with sqlite3.connect(database(table, "repair")) as db:
        db.execute("DELETE FROM spent")
        db.execute("INSERT INTO spent VALUES (1, 100, 10, 50, NULL, 0.5), (2, 200, 20, NULL, NULL, 0.25)")
    db.close()
    (task,) = json.loads(batchrun("status", table, "--json").stdout)["tasks"]
    assert task["tokens"] == {"prompt": 300, "completion": 30, "cached": 50, "reasoning": 0}
    assert task["cost"] == 0.75


def test_without_a_table_every_one_below_is_listed(folder):
    for name in ("a", "b"):
        (folder / name).mkdir()
        numbered(folder / name / "data.csv", 2)
        options = ("-t", "tasks.py:echo", "--name", f"of-{name}", "--no-output")
        batchrun("process", f"{name}/data.csv", *options, cwd=folder)
    listed = json.loads(batchrun("status", "--json", cwd=folder).stdout)
    assert [(record["input"], record["tasks"][0]["task"]) for record in listed] == [
        ("a/data.csv", "of-a"), ("b/data.csv", "of-b"),
    ]  # fmt: skip
    shown = batchrun("status", cwd=folder).stdout
    assert "a/data.csv\n  of-a: 2 rows: 2 done\n" in shown
    assert "of-b" not in batchrun("status", "--name", "of-a", cwd=folder).stdout
    assert batchrun("status", "--name", "nobody", cwd=folder).stdout == "no table here has a checkpoint\n"


@pytest.fixture
def slow(folder):
    """A table of 40 rows, and a run of it that goes on for some seconds."""
    table = numbered(folder / "data.csv", 40)
    command = ("process", table, "-t", "tasks.py:short", "-j", 1, "--no-output")
    run = start(*command, cwd=folder, env={"SECONDS": "0.1"})
    wait_for(lambda: lines_of(folder / "started"))
    yield table
    kill(run)


def test_watching_ends_with_the_run_and_without_a_terminal_says_little(slow):
    watched = batchrun("status", slow, "--watch")
    assert watched.returncode == 0
    assert "running now, pid" in watched.stdout
    assert watched.stdout.endswith("with exit code 0\n")
    assert "\x1b" not in watched.stdout
    assert watched.stdout.count("short: 40 rows") == 2


def test_watching_where_nothing_runs_shows_it_once(folder):
    table = numbered(folder / "data.csv", 2)
    batchrun("process", table, "-t", "repair", "--no-output")
    assert batchrun("status", table, "--watch").stdout.count("repair: 2 rows: 2 done") == 1
    refused = batchrun("status", table, "--watch", "--json")
    assert (refused.returncode, bool(refused.stderr)) == (2, True)


def test_on_a_terminal_it_is_redrawn_in_place_until_ctrl_c(slow):
    ours, theirs = os.openpty()
    env = environment({"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24", "LANG": "C.UTF-8"})
    with subprocess.Popen([*COMMAND, "status", str(slow), "--watch"], stdout=theirs, stderr=theirs, env=env) as watch:
        os.close(theirs)
        seen = b""
        while seen.count(b"running now") < 2:
            seen += os.read(ours, 65536)
        watch.send_signal(signal.SIGINT)
        try:
            while came := os.read(ours, 65536):
                seen += came
        except OSError:  # Linux says so when the last writer has gone
            pass
        os.close(ours)
    assert watch.returncode == 130
    assert b"\x1b[1A" in seen, "the cursor goes up to draw over what was there"
    assert b"Traceback" not in seen
    assert seen.rindex(b"\x1b[?25h") > seen.rfind(b"\x1b[?25l")


def test_status_without_watching_never_loads_rich():
    script = "import sys, batchrun.outcome.status; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parent).returncode == 0


def test_what_cannot_be_printed_is_said_with_the_remedy(folder):
    with open("/dev/full", "w") as full:
        ran = subprocess.run(
            [*COMMAND, "status"],
            cwd=folder,
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert ran.returncode == 4
    assert ran.stderr.startswith("error: the output cannot be written: No space left on device\n  → ")
