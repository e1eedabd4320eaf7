"""Many rows at once in one worker: `async def` on an event loop, plain functions in threads."""

import json
import os
import re
import subprocess
import time

import pytest
from support import (
    COMMAND,
    alive,
    batchrun,
    descendants,
    environment,
    kill,
    lines_of,
    numbered,
    records,
    settled,
    start,
    starts,
    wait_for,
)  # fmt: skip

from batchrun.core.descriptors import A_LANE, BESIDES

ASYNC = '''
import asyncio, ctypes, os, sys, time
from pathlib import Path
import batchrun
from tasks import note

async def wait(row):
    note(row)
    await asyncio.sleep(float(os.environ.get("SECONDS", "0.3")))
    return {"double": row["id"] * 2}

async def mixed(row):
    """Prints, and knows its own row, while hundreds of others run."""
    for word in "one", "two":
        print(word, "of", row["id"], end="\\\\n" if word == "one" else "")
        await asyncio.sleep(0.01 * (row["id"] % 5))
        assert batchrun.current().row == row["id"]
    return {"fingerprint": batchrun.current().fingerprint}

async def poison(row):
    note(row)
    await asyncio.sleep(0.3)
    if row["id"] == 77:
        ctypes.string_at(0)
    await asyncio.sleep(0.3)
    return {"double": row["id"] * 2}

async def inner(row):
    """The poison is in a task that the row has started."""
    async def deadly():
        await asyncio.sleep(0.1)
        os.kill(os.getpid(), 11)
    note(row)
    await asyncio.gather(*[deadly()] * (row["id"] == 7), asyncio.sleep(0.4))
    return {"double": row["id"] * 2}

async def endless(row):
    note(row)
    await asyncio.sleep(1000 if row["id"] == 13 else 0.1)
    return {"double": row["id"] * 2}

async def stubborn(row):
    note(row)
    while row["id"] == 13:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            pass
    await asyncio.sleep(0.1)
    return {"double": row["id"] * 2}

async def blocking(row):
    """Row 13 blocks the loop for ever. Its neighbours need 0.7 s of the second that they have."""
    note(row)
    await asyncio.sleep(0.2)
    if row["id"] == 13:
        time.sleep(1000)
    await asyncio.sleep(0.5)
    return {"double": row["id"] * 2}

async def pausing(row):
    """Row 13 blocks the loop for a while, within its own limit: the others overrun theirs through no fault."""
    await asyncio.sleep(0.1)
    if row["id"] == 13:
        time.sleep(2)
    else:
        await asyncio.sleep(1.5)
    return {"double": row["id"] * 2}

async def leaving(row):
    async def leave():
        raise SystemExit(3)
    if row["id"] == 3:
        await asyncio.gather(leave())
    if row["id"] == 5:
        raise KeyboardInterrupt
    if row["id"] == 7:
        raise asyncio.CancelledError
    await asyncio.sleep(0.05)
    return {"double": row["id"] * 2}

async def deserting(row):
    async def leave():
        raise SystemExit(3)
    await asyncio.sleep(0.001 * (row["id"] % 3))
    if row["id"] % 2:
        await asyncio.gather(leave())

async def files(row):
    import resource
    return {"limit": resource.getrlimit(resource.RLIMIT_NOFILE)[0]}

async def forking(row):
    if row["id"] == 3 and os.fork() == 0:
        return "from the child"
    await asyncio.sleep(0.05)
    return {"double": row["id"] * 2}

def thread(row):
    note(row)
    time.sleep(1000 if row["id"] == 13 and "STUCK" in os.environ else 0.05)
    if row["id"] == 13 and "DEADLY" in os.environ:
        ctypes.string_at(0)
    assert batchrun.current().row == row["id"]
    print("row", row["id"])
    return {"double": row["id"] * 2}
'''
STATES = {"done": 1, "failed": 2, "timed_out": 3, "crashed": 4}


@pytest.fixture
def folder(folder):
    (folder / "waiting.py").write_text(ASYNC.replace("\\\\n", "\\n"))
    return folder


def process(folder, task, *options, rows=100, **named):
    table = numbered(folder / "data.csv", rows)
    ran = batchrun(
        "process", table, "--task", f"waiting.py:{task}", "--retries", 0, "--json", *options, cwd=folder, **named
    )
    return ran, table, settled(table, task)


def others_done(found, rows, but):
    assert {row: (1, {"double": 2 * row}) for row in range(1, rows + 1) if row not in but}.items() <= found.items()


def test_hundreds_of_async_rows_are_in_flight_in_as_few_workers_as_there_are_cpus(folder):
    ran, _, found = process(folder, "wait", "--jobs", 300, rows=600)
    assert ran.returncode == 0, ran.stderr
    others_done(found, 600, ())
    workers = {line.split()[2] for line in lines_of(folder / "started")}
    assert len(workers) <= (os.cpu_count() or 1)
    times = sorted(float(line.split()[1]) for line in lines_of(folder / "started"))
    together = max(sum(1 for other in times if at - 0.3 <= other <= at) for at in times[::10])
    assert 200 < together <= 300


def test_each_async_row_knows_itself_and_what_it_printed_is_tagged_with_it(folder):
    ran, table, found = process(folder, "mixed", "--jobs", 50)
    assert ran.returncode == 0, ran.stderr
    assert len({value["fingerprint"] for _, value in found.values()}) == 100
    log = (table.parent / "data.csv.batchrun" / "mixed.log").read_text()
    printed = re.findall(r"\[row (\d+)\] (one|two) of (\d+)", log)
    assert sorted(printed) == sorted((str(n), word, str(n)) for n in range(1, 101) for word in ("one", "two"))


def test_the_async_row_that_kills_its_worker_is_found_among_hundreds_that_wait(folder):
    ran, _, found = process(folder, "poison", "--jobs", 200, rows=200)
    assert records(ran.stdout)[1]["crashed"] == 1
    assert found[77][0] == STATES["crashed"]
    others_done(found, 200, {77})
    assert starts(folder)[77] == 1
    assert max(starts(folder).values()) <= 2  # victims, at most once


def test_what_a_task_started_by_a_row_does_is_the_rows(folder):
    _, _, found = process(folder, "inner", "--jobs", 20, rows=20)
    assert found[7][0] == STATES["crashed"]
    others_done(found, 20, {7})
    assert starts(folder)[7] == 1


def test_an_async_row_over_its_limit_is_cancelled_and_hurts_nobody(folder):
    ran, _, found = process(folder, "endless", "--jobs", 50, "--timeout", 1)
    assert records(ran.stdout)[1]["timed_out"] == 1
    assert found[13][0] == STATES["timed_out"]
    others_done(found, 100, {13})
    assert set(starts(folder).values()) == {1}


@pytest.mark.parametrize("task", ["stubborn", "blocking"])
def test_an_async_row_that_cannot_be_cancelled_loses_its_worker_and_is_charged_alone(folder, task):
    ran, _, found = process(folder, task, "--jobs", 40, "--timeout", 1, rows=80)
    assert records(ran.stdout)[1]["timed_out"] == 1
    assert found[13][0] == STATES["timed_out"]
    others_done(found, 80, {13})
    assert starts(folder)[13] == 1


def test_time_behind_a_row_that_blocks_the_loop_is_not_counted(folder):
    ran, _, found = process(folder, "pausing", "--jobs", 40, "--timeout", 3, rows=40)
    assert records(ran.stdout)[1]["timed_out"] == 0, found
    others_done(found, 40, ())


def test_async_rows_that_try_to_leave_fail_alone(folder):
    ran, _, found = process(folder, "leaving", "--jobs", 20, rows=40)
    assert records(ran.stdout)[1]["failed"] == 3
    assert {row for row, (state, _) in found.items() if state == STATES["failed"]} == {3, 5, 7}
    others_done(found, 40, {3, 5, 7})


def test_the_worker_hears_on_when_every_other_row_ends_its_event_loop(folder):
    ran, _, _ = process(folder, "deserting", "--jobs", 20, rows=2000)
    assert (records(ran.stdout)[1]["done"], records(ran.stdout)[1]["failed"]) == (1000, 1000)


def test_a_child_that_an_async_row_forks_does_not_speak_for_it(folder):
    _, _, found = process(folder, "forking", "--jobs", 20, rows=40)
    others_done(found, 40, ())


def test_threads_run_several_rows_in_one_process(folder):
    ran, table, found = process(folder, "thread", "--jobs", 20, "--threads", 10, rows=60)
    assert ran.returncode == 0, ran.stderr
    others_done(found, 60, ())
    assert len({line.split()[2] for line in lines_of(folder / "started")}) == 2
    log = (table.parent / "data.csv.batchrun" / "thread.log").read_text()
    assert len(re.findall(r"\[row (\d+)\] row \1$", log, re.MULTILINE)) == 60


def test_a_thread_over_its_limit_is_given_up_and_its_neighbours_finish(folder):
    ran, _, found = process(
        folder, "thread", "--jobs", 20, "--threads", 10, "--timeout", 1, rows=100, env={"STUCK": "1"}
    )
    assert records(ran.stdout)[1]["timed_out"] == 1
    others_done(found, 100, {13})
    assert set(starts(folder).values()) == {1}


def test_the_thread_that_kills_its_process_is_found_and_no_suspect_is_charged(folder):
    ran, _, found = process(folder, "thread", "--jobs", 16, "--threads", 8, rows=60, env={"DEADLY": "1"})
    done = records(ran.stdout)[1]
    assert (done["crashed"], done["done"]) == (1, 59)
    others_done(found, 60, {13})


def test_rows_that_share_a_worker_may_have_open_files_of_their_own_in_the_first_run_and_in_the_next(folder):
    command = ("process", numbered(folder / "data.csv", 20), "--task", "waiting.py:files", "--jobs", 100, "--limit", 10)
    few_at_first = ["sh", "-c", 'ulimit -Sn 256; exec "$@"', "sh", *COMMAND, *map(str, command)]
    for _ in range(2):
        subprocess.run(few_at_first, cwd=folder, env=environment(), check=True, capture_output=True, timeout=90)
    limits = {result["limit"] for _, result in settled(folder / "data.csv", "files").values()}
    assert limits
    assert all(limit >= 100 * A_LANE + BESIDES for limit in limits)


def with_256_open_files(folder, task, *options):
    """500 rows at once where the system allows so many files, and no more."""
    command = ("process", numbered(folder / "data.csv", 600), "--task", f"waiting.py:{task}", "--jobs", 500, *options)
    limited = ["sh", "-c", 'ulimit -n 256; exec "$@"', "sh", *COMMAND, *map(str, command)]
    return subprocess.run(limited, cwd=folder, env=environment(), capture_output=True, text=True, timeout=90)


@pytest.mark.parametrize(("task", "options"), [("wait", ()), ("thread", ("--threads", 100))])
def test_rows_that_share_a_few_workers_need_no_open_files_of_their_own(folder, task, options):
    ran = with_256_open_files(folder, task, *options)
    assert ran.returncode == 0, ran.stderr
    others_done(settled(folder / "data.csv", task), 600, ())


def test_more_workers_than_the_system_has_open_files_for_are_refused_and_that_was_no_run(folder):
    ran = with_256_open_files(folder, "thread")
    assert ran.returncode == 2
    assert "500 workers need 4,100 open files, and the system allows 256" in ran.stderr
    assert "lower --jobs: 19 workers at most" in ran.stderr
    assert not lines_of(folder / "started")
    assert "died" not in batchrun("status", "data.csv", cwd=folder).stdout


def test_a_dead_coordinator_takes_its_async_rows_along_and_the_next_run_names_them(folder):
    table = numbered(folder / "data.csv", 400)
    command = ("process", table, "--task", "waiting.py:wait", "--jobs", 100, "--progress", "plain")
    run = start(*command, cwd=folder, env={"SECONDS": "0.2"})
    wait_for(lambda: len(lines_of(folder / "started")) > 150)
    workers = descendants(run.pid)
    kill(run)
    wait_for(lambda: not alive(workers), 10)
    started = len(lines_of(folder / "started"))
    before = set(settled(table, "wait"))
    again = batchrun(*command, cwd=folder, env={"SECONDS": "0.01"})
    assert re.search(r"the last run died while rows .* were running", again.stderr), again.stderr
    others_done(settled(table, "wait"), 400, ())
    assert before
    ran_twice = {row for row, count in starts(folder).items() if count > 1}
    assert not ran_twice & before
    assert len(lines_of(folder / "started")) == started + 400 - len(before)


def test_ctrl_c_lets_async_rows_finish(folder):
    table = numbered(folder / "data.csv", 400)
    run = start("process", table, "--task", "waiting.py:wait", "--jobs", 50, "--json", cwd=folder)
    wait_for(lambda: len(lines_of(folder / "started")) > 60)
    run.terminate()
    stdout, _ = run.communicate(timeout=60)
    assert run.returncode == 143
    done = json.loads(stdout.splitlines()[-1])
    assert done["done"] == len(starts(folder))
    assert set(starts(folder).values()) == {1}


def test_tokens_are_counted_for_every_attempt_and_outlive_a_crash(folder):
    (folder / "counting.py").write_text(
        "import batchrun, time\n"
        "def ask(row):\n"
        "    batchrun.count_tokens(prompt=10, completion=2, cached=5)\n"
        "    time.sleep(0.01)\n"
        "    if row['id'] == 3 and batchrun.current().attempt == 1:\n"
        "        raise ValueError('once')\n"
        "    return {'a': 1}\n"
    )
    table = numbered(folder / "data.csv", 200)
    command = ("process", table, "-t", "counting.py:ask", "-j", 2, "--price-in", 1, "--price-out", 100, "--json")
    run = start(*command, cwd=folder)
    wait_for(lambda: json.loads(batchrun("status", table, "--json").stdout)["tasks"])
    wait_for(lambda: len(settled(table, "ask")) > 20)
    kill(run)
    kept = json.loads(batchrun("status", table, "--json").stdout)["tasks"][0]
    assert kept["tokens"]["prompt"] >= 10 * kept["done"]
    done = records(batchrun(*command, cwd=folder).stdout)[1]
    assert done["tokens"]["prompt"] == 10 * done["ran"]
    total = json.loads(batchrun("status", table, "--json").stdout)["tasks"][0]
    assert total["tokens"]["cached"] == 5 * total["tokens"]["completion"] / 2
    assert total["cost"] == pytest.approx((total["tokens"]["prompt"] + 100 * total["tokens"]["completion"]) / 1e6)


def test_a_run_stops_before_it_has_cost_more_than_it_may(folder):
    (folder / "counting.py").write_text(
        "import batchrun\nasync def ask(row):\n    batchrun.count_tokens(prompt=1000)\n    return {'a': 1}\n"
    )
    table = numbered(folder / "data.csv", 100)
    command = ("process", table, "-t", "counting.py:ask", "-j", 20, "--price-in", 1, "--json", "--max-cost")
    ran = batchrun(*command, 0.0205, cwd=folder)
    done = records(ran.stdout)[1]
    assert (ran.returncode, done["done"], done["left"]) == (3, 20, 80)
    assert done["cost"] == pytest.approx(0.02)
    assert "--max-cost" in ran.stderr


@pytest.mark.parametrize(("asked", "code", "done"), [("row['id'] % 5 == 4", 0, 60), ("False", 3, 21)])
def test_rows_of_a_function_that_make_no_call_cost_nothing_but_some_row_has_to(folder, asked, code, done):
    (folder / "caching.py").write_text(
        f"import batchrun\ndef ask(row):\n    if {asked}: batchrun.count_tokens(prompt=10)\n    return {{'a': 1}}\n"
    )
    table = numbered(folder / "data.csv", 60)
    command = ("process", table, "-t", "caching.py:ask", "-j", 4, "--price-in", 1, "--json", "--max-cost", 5)
    ran = batchrun(*command, cwd=folder)
    assert (ran.returncode, records(ran.stdout)[1]["done"]) == (code, done), ran.stderr
    assert code == 0 or "the replies report no tokens" in ran.stderr


def test_rows_by_the_minute_come_evenly(folder):
    started = time.monotonic()
    ran, _, _ = process(folder, "wait", "--jobs", 50, "--rpm", 1200, rows=30, env={"SECONDS": "0"})
    assert ran.returncode == 0, ran.stderr
    assert time.monotonic() - started > 29 / 20
