"""Workers and coordinators that die, for real. The oracle is always an undisturbed run's."""

import random
import resource
import signal
import subprocess
import time

import psutil
import pytest
from support import (
    NOTE,
    alive,
    batchrun,
    descendants,
    kill,
    known,
    lines_of,
    numbered,
    records,
    settled,
    start,
    starts,
    wait_for,
    write_table,
)

BIG = (
    NOTE
    + """
def big(row):
    note(row)
    if row["id"] != 7:
        return row["id"]
    while not Path("go").exists():
        time.sleep(0.01)
    return str(row["id"]) * (40 << 20)
"""
)


HELD = (
    NOTE
    + """
def held(row):
    note(row)
    while not Path("go").exists():
        time.sleep(0.01)
"""
)


def undisturbed(rows):
    return {n: (1, {"double": 2 * n}) for n in range(1, rows + 1)}


def test_a_row_that_kills_its_worker_is_charged_alone_with_its_cause(folder):
    table = numbered(folder / "data.csv", 40)
    ran = batchrun("process", table, "--task", "tasks.py:segfault", "--jobs", 4, "--retries", 0, "--json", cwd=folder)
    assert ran.returncode == 1, ran.stderr
    done = records(ran.stdout)[1]
    assert (done["done"], done["crashed"], done["ran"]) == (39, 1, 40)
    assert starts(folder) == dict.fromkeys(range(1, 41), 1)
    exported = batchrun("export", table, "-o", "-", "--format", "jsonl", cwd=folder).stdout.splitlines()
    assert "killed by signal 11" in exported[12]
    assert "about to read address 0" in exported[12]


def test_a_poison_row_stays_quarantined_until_it_is_asked_for(folder):
    table = numbered(folder / "data.csv", 20)
    command = ("process", table, "--task", "tasks.py:segfault", "--jobs", 2, "--retries", 1, "--json")
    batchrun(*command, cwd=folder)
    assert starts(folder)[13] == 2
    again = records(batchrun(*command, cwd=folder).stdout)
    assert (again[0]["to_run"], again[1]["exit"]) == (0, 1)
    asked = records(batchrun(*command, "--retry", "crashed", cwd=folder).stdout)
    assert asked[0]["to_run"] == 1
    assert starts(folder)[13] == 4


def test_a_row_in_an_endless_loop_is_timed_out_alone(folder):
    table = numbered(folder / "data.csv", 40)
    ran = batchrun(
        "process", table, "--task", "tasks.py:stuck", "--jobs", 4, "--timeout", 1, "--retries", 0, "--json",
        cwd=folder,
    )  # fmt: skip
    done = records(ran.stdout)[1]
    assert (done["done"], done["timed_out"]) == (39, 1)
    assert starts(folder) == dict.fromkeys(range(1, 41), 1)


def test_kill_minus_9_at_random_moments_loses_repeats_and_misattributes_nothing(folder, tmp_path):
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    dice = random.Random(seed)
    rows = 400
    table = numbered(folder / "data.csv", rows)
    command = ("process", table, "--task", "tasks.py:short", "--jobs", 4, "--no-output")
    acknowledged = {}
    deaths = []
    for _ in range(8):
        run = start(*command, cwd=folder)
        before = len(lines_of(folder / "started"))
        wait_for(lambda run=run, before=before: len(lines_of(folder / "started")) > before or run.poll() is not None)
        time.sleep(dice.random() * 0.5)
        workers = descendants(run.pid)
        kill(run)
        deaths.append(time.monotonic())
        wait_for(lambda workers=workers: not alive(workers), 5)
        assert time.monotonic() - deaths[-1] < 2
        now = settled(table, "short")
        assert {row: now[row] for row in acknowledged} == acknowledged
        acknowledged = now
    last = batchrun(*command, cwd=folder)
    assert last.returncode == 0, last.stderr
    assert settled(table, "short") == undisturbed(rows)
    assert batchrun("verify", table).returncode == 0
    counts = starts(folder)
    # At each death run again: the rows in flight (--jobs), and what had ended and was not yet acknowledged.
    assert sum(counts.values()) - rows <= (4 + 10) * len(deaths)


def test_the_next_run_says_which_rows_were_in_flight(folder):
    table = numbered(folder / "data.csv", 10)
    command = ("process", table, "--task", "tasks.py:short", "--jobs", 2)
    run = start(*command, cwd=folder, env={"SECONDS": "60"})
    wait_for(lambda: len(lines_of(folder / "started")) == 2)
    kill(run)
    again = batchrun(*command, cwd=folder)
    assert "the last run died while rows 1, 2 were running" in again.stderr


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_lets_rows_in_flight_finish(folder, signum):
    table = numbered(folder / "data.csv", 50)
    run = start("process", table, "--task", "tasks.py:short", "--jobs", 3, cwd=folder, env={"SECONDS": "0.5"})
    wait_for(lambda: len(lines_of(folder / "started")) == 3)
    run.send_signal(signum)
    _, stderr = run.communicate(timeout=30)
    assert run.returncode == 128 + signum
    assert len(settled(table, "short")) == 3 == len(lines_of(folder / "started"))
    assert "Traceback" not in stderr


def test_the_second_signal_ends_at_once_and_commits_what_has_come(folder):
    table = numbered(folder / "data.csv", 50)
    run = start("process", table, "--task", "tasks.py:short", "--jobs", 3, cwd=folder, env={"SECONDS": "60"})
    wait_for(lambda: len(lines_of(folder / "started")) == 3)
    workers = descendants(run.pid)
    run.send_signal(signal.SIGINT)
    time.sleep(0.3)
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=10)
    assert run.returncode == 130
    wait_for(lambda: not alive(workers), 5)


def test_a_signal_to_the_whole_group_does_not_hurt_rows_in_flight(folder):
    table = numbered(folder / "data.csv", 50)
    run = start("process", table, "--task", "tasks.py:short", "--jobs", 3, cwd=folder, env={"SECONDS": "1"})
    wait_for(lambda: len(lines_of(folder / "started")) == 3)
    for process in [psutil.Process(run.pid), *descendants(run.pid)]:
        process.send_signal(signal.SIGINT)
    run.communicate(timeout=30)
    assert run.returncode == 130
    assert len(settled(table, "short")) == 3


def test_a_second_run_is_refused_skipped_or_waits(folder):
    (folder / "held.py").write_text(HELD)
    table = numbered(folder / "data.csv", 4)
    command = ("process", table, "--task", "held.py:held", "--jobs", 4)
    run = start(*command, cwd=folder)
    wait_for(lambda: len(starts(folder)) == 4)
    assert batchrun(*command, cwd=folder).returncode == 75
    skipped = batchrun(*command, "--if-running", "skip", cwd=folder)
    assert (skipped.returncode, len(skipped.stderr.splitlines())) == (0, 1)
    waiting = start(*command, "--if-running", "wait", cwd=folder)
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(2)
    (folder / "go").touch()
    run.communicate(timeout=60)
    waiting.communicate(timeout=60)
    assert (run.returncode, waiting.returncode) == (0, 0)
    assert sum(starts(folder).values()) == 4


def test_a_run_that_is_refused_memory_says_so_and_the_same_command_goes_on(folder):
    (folder / "big.py").write_text(BIG)
    table = numbered(folder / "data.csv", 12)
    command = ("process", table, "--task", "big.py:big", "--jobs", 1)
    run = start(*command, cwd=folder)
    wait_for(lambda: len(known(table, "big")) == 6)
    size = psutil.Process(run.pid).memory_info().vms
    resource.prlimit(run.pid, resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))
    (folder / "go").touch()
    _, told = run.communicate(timeout=60)
    assert run.returncode == 3, told
    assert "out of memory" in told
    assert "bug in batchrun" not in told
    kept = known(table, "big").keys()
    assert kept >= set(range(1, 7))
    before = starts(folder)
    again = batchrun(*command, cwd=folder)
    assert again.returncode == 0, again.stderr
    assert all(starts(folder)[row] == before[row] for row in kept)
    assert len(settled(table, "big")) == 12


def test_a_table_that_needs_more_memory_than_there_is_is_told_without_a_traceback(folder):
    table = write_table(folder / "data.csv", [(1, "x" * (60 << 20))])
    limit = (150 << 20, resource.RLIM_INFINITY)
    run = start(
        "process", table, "--task", "tasks.py:short", cwd=folder,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, limit),
    )  # fmt: skip
    _, told = run.communicate(timeout=60)
    assert run.returncode == 3, told
    assert told.startswith("error: out of memory")
    assert "raise the limit" in told
