"""Ways to die × moments to die. One row does it, and the oracle says that no other row notices."""

import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from support import (
    NOTE,
    alive,
    batchrun,
    batchrun_ignoring_sigchld,
    database,
    descendants,
    environment,
    kill,
    lines_of,
    numbered,
    settled,
    start,
    starts,
    wait_for,
    write_table,
)

HEAD = (
    NOTE
    + """
import atexit, ctypes, itertools, os, random, resource, signal, socket, subprocess, sys, threading, time
from pathlib import Path

def kill_self():
    os.kill(os.getpid(), signal.SIGKILL)


def task(row):
    note(row)
    if row["id"] == POISON:
        return poison(row)
    if SECONDS:
        time.sleep(SECONDS)
    return {"double": row["id"] * 2}

"""
)
DONE, FAILED, TIMED_OUT, CRASHED = 1, 2, 3, 4


def tasks(folder, body, poison=1, seconds=0.0):
    """Write the task module; `body` defines `poison(row)`, or dies by itself."""
    head = f"{HEAD}\nPOISON, SECONDS = {poison}, {seconds}\n"
    (folder / "tasks.py").write_text(head + textwrap.dedent(body))


def workers_of(folder):
    """How many workers have started rows."""
    return len({line.split()[2] for line in lines_of(folder / "started")})


def process(folder, *options, rows=8, jobs=2, **run):
    """Run the job to its end."""
    table = numbered(folder / "data.csv", rows)
    command = ("process", table, "--task", "tasks.py:task", "--jobs", jobs, "--retries", 0, "--json", "--no-output")
    return table, batchrun(*command, *options, cwd=folder, **run)


def assert_alone(folder, table, rows, poison, status):
    """The oracle: every other row is done, and every row has started once; returns the poison row's result."""
    found = settled(table, "task")
    assert sorted(found) == list(range(1, rows + 1))
    culprit = found.pop(poison)
    assert found == {n: (DONE, {"double": 2 * n}) for n in range(1, rows + 1) if n != poison}
    assert culprit[0] == status
    assert starts(folder) == dict.fromkeys(range(1, rows + 1), 1)
    return culprit[1]


def error_of(table, row):
    """Everything that is known of the row's failure, as text."""
    with sqlite3.connect(f"file:{database(table, 'task')}?mode=ro", uri=True) as db:
        told = db.execute("SELECT kind, message, type, traceback FROM failure WHERE position = ?", (row,)).fetchall()
    db.close()
    assert len(told) == 1
    return "\n".join(str(text) for text in told[0])


DEATHS = {
    "kills itself": ("kill_self()", "killed by signal 9"),
    "segfaults": ("ctypes.string_at(0)", "killed by signal 11: segmentation fault"),
    "aborts": ("os.abort()", "killed by signal 6"),
    "exits with 0": ("os._exit(0)", "exited with code 0"),
    "exits with 7": ("os._exit(7)", "exited with code 7"),
    "kills its group": ("os.killpg(0, signal.SIGKILL)", "killed by signal 9"),
    "kills its worker from a thread": (
        "threading.Thread(target=kill_self).start()\ntime.sleep(60)",
        "killed by signal 9",
    ),
}
CLOSES_EVERY_DESCRIPTOR = "os.closerange(0, 70000)"
EXCEPTIONS = {
    "runs out of memory under a limit that stays": (
        """
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), resource.RLIM_INFINITY))
        bytes(8 << 30)
        """,
        "MemoryError",
    ),
    "calls sys.exit": ("sys.exit(3)", "SystemExit"),
    "raises KeyboardInterrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "raises GeneratorExit": ("raise GeneratorExit", "GeneratorExit"),
    "raises what cannot be pickled": (
        "class Odd(Exception):\n    def __reduce__(self): raise TypeError\nraise Odd()",
        "Odd",
    ),
    "raises half a character": ("raise ValueError('half \\ud83d')", "half"),
}
LIBERTIES = {
    "closes low descriptors": "os.closerange(3, 256)",
    "closes its standard streams and prints": "print('half', end='')\nos.closerange(0, 3)\nprint('a line')",
    "forks and the child stays": "if os.fork() == 0: time.sleep(1000)",
    "forks and the child exits": "if os.fork() == 0: os._exit(1)",
    "prints 10 MB": "print('y' * 10_000_000)",
    "leaves a child behind": "subprocess.Popen(['sleep', '1000'])",
    "leaves a child with every descriptor": "os.system('sleep 1000 &')",
    "leaves a thread running": "threading.Thread(target=lambda: time.sleep(1000)).start()",
    "ignores signals": "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
}
# What the row does with its `act`, rows of the table, number of the row.
IN_A_ROW = {
    "in the first row": ("def poison(row): act()", 8, 1),
    "amid a backlog": ("def poison(row): act()", 400, 300),
}
WHILE_ITS_REPLY_IS_WRITTEN = (
    """
    def poison(row):
        write = os.write
        def half(fd, data):
            if len(data) < 10_000_000:
                return write(fd, data)
            os.write = write
            written = write(fd, data[:1_500_000])
            act()
            return written
        os.write = half
        return {"big": "x" * 20_000_000}
    """,
    8,
    3,
)
AT_SHUTDOWN = ("def poison(row): atexit.register(act)", 8, 3)
ROWS_THAT_RETURN = {**IN_A_ROW, "while its reply is written": WHILE_ITS_REPLY_IS_WRITTEN, "at shutdown": AT_SHUTDOWN}


def run_cell(folder, act, moment):
    """A run in which one row does `act` at its moment, and nothing is left of it; returns the table and what ran."""
    body, rows, poison = moment
    tasks(folder, f"def act():\n{textwrap.indent(textwrap.dedent(act), '    ')}\n{textwrap.dedent(body)}", poison)
    table, ran = process(folder, rows=rows)
    assert ran.returncode not in (0, 1) or "Traceback" not in ran.stderr
    wait_for(lambda: not left_in(folder), 10)
    return table, ran


def left_in(folder):
    """Processes that work in the folder, as do all that a run there starts."""
    return [process for process in psutil.process_iter(["cwd"]) if process.info["cwd"] == str(folder)]


@pytest.mark.parametrize("moment", [*IN_A_ROW, "while its reply is written"])
@pytest.mark.parametrize("way", DEATHS)
def test_a_row_that_ends_its_worker_is_charged_alone(folder, way, moment):
    act, cause = DEATHS[way]
    table, ran = run_cell(folder, act, ROWS_THAT_RETURN[moment])
    assert ran.returncode == 1, ran.stderr
    _, rows, poison = ROWS_THAT_RETURN[moment]
    assert_alone(folder, table, rows, poison, CRASHED)
    assert cause in error_of(table, poison)


def test_a_row_that_closes_every_descriptor_while_its_reply_is_written_is_charged_alone(folder):
    table, ran = run_cell(folder, CLOSES_EVERY_DESCRIPTOR, WHILE_ITS_REPLY_IS_WRITTEN)
    assert ran.returncode == 1, ran.stderr
    assert_alone(folder, table, 8, 3, CRASHED)
    assert "exited with code 1" in error_of(table, 3)


@pytest.mark.parametrize("moment", IN_A_ROW)
def test_a_row_that_closes_every_descriptor_and_returns_is_done_and_its_worker_is_replaced(folder, moment):
    table, ran = run_cell(folder, CLOSES_EVERY_DESCRIPTOR, IN_A_ROW[moment])
    assert ran.returncode == 0, ran.stderr
    _, rows, poison = IN_A_ROW[moment]
    assert_alone(folder, table, rows, poison, DONE)


@pytest.mark.parametrize("moment", IN_A_ROW)
@pytest.mark.parametrize("way", EXCEPTIONS)
def test_a_row_that_raises_whatever_fails_alone_and_its_worker_lives(folder, way, moment):
    act, cause = EXCEPTIONS[way]
    table, ran = run_cell(folder, act, IN_A_ROW[moment])
    assert ran.returncode == 1, ran.stderr
    _, rows, poison = IN_A_ROW[moment]
    assert_alone(folder, table, rows, poison, FAILED)
    assert cause in error_of(table, poison)
    assert workers_of(folder) <= 2, "a worker was replaced"


@pytest.mark.parametrize("way", EXCEPTIONS)
def test_what_is_raised_while_a_reply_is_written_ends_the_worker_and_its_row_is_charged_alone(folder, way):
    """As a library's signal handler or finalizer would: half a reply is in the pipe, and no other may follow."""
    act, cause = EXCEPTIONS[way]
    table, ran = run_cell(folder, act, WHILE_ITS_REPLY_IS_WRITTEN)
    assert ran.returncode == 1, ran.stderr
    assert_alone(folder, table, 8, 3, CRASHED)
    assert "exited with code 1" in error_of(table, 3)
    assert cause in error_of(table, 3)


@pytest.mark.parametrize("moment", ROWS_THAT_RETURN)
@pytest.mark.parametrize("way", LIBERTIES)
def test_a_row_that_takes_liberties_and_returns_is_done_and_the_run_ends_clean(folder, way, moment):
    table, ran = run_cell(folder, LIBERTIES[way], ROWS_THAT_RETURN[moment])
    assert ran.returncode == 0, ran.stderr
    _, rows, poison = ROWS_THAT_RETURN[moment]
    assert_alone(folder, table, rows, poison, DONE)


@pytest.mark.parametrize("way", {**DEATHS, **EXCEPTIONS})
def test_a_worker_that_dies_or_raises_at_shutdown_costs_no_row(folder, way):
    act, _ = {**DEATHS, **EXCEPTIONS}[way]
    table, ran = run_cell(folder, act, AT_SHUTDOWN)
    assert ran.returncode == 0, ran.stderr
    assert_alone(folder, table, 8, 3, DONE)


TERMINATED, INTERRUPTED = -signal.SIGTERM, 1
# How, and how the child ends.
WAYS_TO_END_A_CHILD = {
    "terminates it": ("until_it_is_up(); child.terminate()", TERMINATED),
    "interrupts it": ("until_it_is_up(); os.kill(child.pid, signal.SIGINT)", INTERRUPTED),
    "terminates it at once": ("child.terminate()", TERMINATED),
}
UP = """
import multiprocessing
FORK = multiprocessing.get_context("fork")

def stay():
    Path("up").touch()
    time.sleep(1000)

def until_it_is_up():
    while not Path("up").exists():
        time.sleep(0.005)
"""


@pytest.mark.parametrize("way", WAYS_TO_END_A_CHILD)
def test_a_child_that_a_row_forks_heeds_signals_though_its_worker_does_not(folder, way):
    act, code = WAYS_TO_END_A_CHILD[way]
    body = f"""
    def poison(row):
        child = FORK.Process(target=stay)
        child.start()
        {act}
        child.join()
        return child.exitcode
    """
    tasks(folder, UP + textwrap.dedent(body), 3)
    table, ran = process(folder, "--timeout", 30)
    assert ran.returncode == 0, ran.stderr
    assert assert_alone(folder, table, 8, 3, DONE) == code


def test_a_row_may_leave_a_pool_whose_processes_still_work(folder):
    body = """
    def poison(row):
        with FORK.Pool(1) as pool:
            pool.apply_async(stay)
            until_it_is_up()
        return {"left": True}
    """
    tasks(folder, UP + textwrap.dedent(body), 3)
    table, ran = process(folder, "--timeout", 30)
    assert ran.returncode == 0, ran.stderr
    assert assert_alone(folder, table, 8, 3, DONE) == {"left": True}
    wait_for(lambda: not left_in(folder), 10)


def test_a_row_that_ends_its_worker_is_charged_alone_where_the_ends_of_children_are_ignored(folder):
    tasks(folder, "def poison(row): ctypes.string_at(0)", 3)
    table = numbered(folder / "data.csv", 8)
    command = ("process", table, "--task", "tasks.py:task", "--jobs", 2, "--retries", 0, "--no-output", "--quiet")
    ran = batchrun_ignoring_sigchld(*command, cwd=folder)
    assert ran.returncode == 1, ran.stderr
    assert "Traceback" not in ran.stderr
    assert_alone(folder, table, 8, 3, CRASHED)
    assert "killed by signal 11" in error_of(table, 3)


AT_IMPORT = ("print('last words', flush=True)\nact()", 8, 0)


@pytest.mark.parametrize("way", DEATHS)
def test_a_module_that_kills_its_worker_three_times_ends_the_run(folder, way):
    act, cause = DEATHS[way]
    table, ran = run_cell(folder, act, AT_IMPORT)
    assert ran.returncode == 2, ran.stderr
    assert cause in ran.stderr
    assert "last words" in ran.stderr
    assert not starts(folder)
    assert not database(table, "task").exists() or not settled(table, "task")


@pytest.mark.parametrize("way", EXCEPTIONS)
def test_a_module_that_cannot_be_imported_ends_the_run_with_the_reason(folder, way):
    act, cause = EXCEPTIONS[way]
    _, ran = run_cell(folder, act, AT_IMPORT)
    assert ran.returncode == 2
    assert "cannot be imported" in ran.stderr
    assert cause in ran.stderr
    assert not starts(folder)


@pytest.mark.parametrize("way", [*LIBERTIES, "forks and the child returns", "forks and the child raises"])
def test_a_module_that_takes_liberties_is_imported_and_every_row_is_done(folder, way):
    forks = {
        "forks and the child returns": "os.fork()",
        "forks and the child raises": "if os.fork() == 0: raise ValueError",
    }
    table, ran = run_cell(folder, {**LIBERTIES, **forks}[way], AT_IMPORT)
    assert ran.returncode == 0, ran.stderr
    assert settled(table, "task") == {n: (DONE, {"double": 2 * n}) for n in range(1, 9)}
    assert starts(folder) == dict.fromkeys(range(1, 9), 1)


def test_a_module_that_leaves_the_working_directory_is_run_with_a_relative_dir_too(folder):
    tasks(folder, "os.chdir('/')", 0)
    _, ran = process(folder, "--dir", "kept")
    assert ran.returncode == 0, ran.stderr
    assert starts(folder) == dict.fromkeys(range(1, 9), 1)
    assert [path.name for path in (folder / "kept").rglob("*.sqlite")] == ["task.sqlite"]


KILLS_ITS_PARENT = "os.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(60)"


@pytest.mark.parametrize("moment", [*IN_A_ROW, "while its reply is written"])
def test_a_row_that_kills_its_parent_and_all_workers_with_it_is_found(folder, moment):
    """Rows that ran then are suspects, and start again, one at a time."""
    table, ran = run_cell(folder, KILLS_ITS_PARENT, ROWS_THAT_RETURN[moment])
    assert ran.returncode == 1, ran.stderr
    _, rows, poison = ROWS_THAT_RETURN[moment]
    found = settled(table, "task")
    assert {n: row for n, row in found.items() if row[0] != DONE} == {poison: (CRASHED, None)}
    assert len(found) == rows
    assert sum(starts(folder).values()) <= rows + 2
    assert "this row kills" in error_of(table, poison)


def test_a_worker_that_kills_its_parent_at_shutdown_costs_no_row(folder):
    table, ran = run_cell(folder, KILLS_ITS_PARENT, AT_SHUTDOWN)
    assert ran.returncode == 0, ran.stderr
    assert_alone(folder, table, 8, 3, DONE)


def test_a_module_that_kills_its_parent_three_times_ends_the_run(folder):
    _, ran = run_cell(folder, KILLS_ITS_PARENT, AT_IMPORT)
    assert ran.returncode == 3, ran.stderr
    assert "the process that starts workers was killed 3 times" in ran.stderr
    assert not starts(folder)


WAYS_TO_DIE_OF_A_RESULT = {
    "when it is encoded": ("class Odd(dict):\n    def items(self): kill_self()\ndef poison(row): return Odd(a=1)"),
    "when there is no memory to encode it": (
        """
        def poison(row):
            result = {"text": "x" * 50_000_000}
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + (16 << 20), resource.RLIM_INFINITY))
            return result
        """
    ),
}


@pytest.mark.parametrize("way", WAYS_TO_DIE_OF_A_RESULT)
def test_a_row_whose_result_ends_its_worker_does_not_come_back(folder, way):
    tasks(folder, WAYS_TO_DIE_OF_A_RESULT[way], 3)
    table, ran = process(folder)
    assert ran.returncode == 1, ran.stderr
    # Without memory it is up to the encoder whether it raises or crashes.
    assert settled(table, "task")[3][0] in (CRASHED, FAILED)
    assert_alone(folder, table, 8, 3, settled(table, "task")[3][0])
    assert re.search("killed by signal|MemoryError", error_of(table, 3))


WAYS_TO_FAIL = {
    "raises what has no text": (
        "class Odd(Exception):\n    def __str__(self): raise RuntimeError\ndef poison(row): raise Odd()",
        "whose message raised RuntimeError",
    ),
    "raises what has half a name": (
        "class Odd(Exception): pass\nOdd.__qualname__ = 'Odd\\ud83d'\ndef poison(row): raise Odd('odd')",
        "odd",
    ),
    "raises what has attributes that raise": (
        """
        class Odd(Exception):
            @property
            def response(self): raise RuntimeError("not set")
        def poison(row): raise Odd("odd")
        """,
        "odd",
    ),
    "raises an enumerated status": (
        """
        import http
        class Odd(Exception): status_code = http.HTTPStatus.NOT_FOUND
        def poison(row): raise Odd("odd")
        """,
        "odd",
    ),
    "recurses for ever": ("def poison(row): return poison(row)", "RecursionError"),
    "returns what cannot be encoded": (
        "def poison(row): return {'items': [1, {'price': threading.Lock()}]}",
        "result.items[1].price",
    ),
    "returns itself for ever": ("def poison(row):\n    loop = []\n    loop.append(loop)\n    return loop", "result"),
}


@pytest.mark.parametrize("way", WAYS_TO_FAIL)
def test_a_row_with_an_odd_exception_or_result_fails_alone_and_its_worker_lives(folder, way):
    body, cause = WAYS_TO_FAIL[way]
    tasks(folder, body, 3)
    table, ran = process(folder)
    assert ran.returncode == 1, ran.stderr
    assert_alone(folder, table, 8, 3, FAILED)
    assert cause in error_of(table, 3)
    assert workers_of(folder) <= 2, "a worker was replaced"


WAYS_TO_MISBEHAVE = {
    "forks and the child returns": "def poison(row):\n    os.fork()\n    return 'null'",
    "forks and the child raises": "def poison(row):\n    if os.fork() == 0: raise ValueError\n    return 'null'",
    "forks and the child calls sys.exit": "def poison(row):\n    if os.fork() == 0: sys.exit(1)\n    return 'null'",
    "prints 10 MB bit by bit without an end": (
        "def poison(row):\n    for _ in range(100_000): print('y' * 100, end='')\n    return 'null'"
    ),
    "prints binary garbage": (
        "def poison(row):\n    os.write(1, bytes(range(256)).replace(b'\\n', b'') * 4000)\n    return 'null'"
    ),
    "writes to the stream beneath": (
        "def poison(row):\n"
        "    sys.stdout.reconfigure(encoding='utf-8')\n"
        "    sys.stdout.buffer.write(b'\\xff bytes\\n')\n"
        "    return 'null'"
    ),
    "writes garbage to low descriptors": (
        """
        def poison(row):
            for fd in range(3, 256):
                try:
                    os.write(fd, b"garbage!")
                except OSError:
                    pass
            return 'null'
        """
    ),
    "returns text of a class of its own": "class Text(str): pass\ndef poison(row): return Text('null')",
    "hangs at exit": "def poison(row):\n    atexit.register(time.sleep, 1000)\n    return 'null'",
}


@pytest.mark.parametrize("way", WAYS_TO_MISBEHAVE)
def test_a_row_that_misbehaves_and_returns_is_done_and_the_run_ends_clean(folder, way):
    tasks(folder, WAYS_TO_MISBEHAVE[way], 3)
    began = time.monotonic()
    table, ran = process(folder)
    assert time.monotonic() - began < 20
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr
    assert assert_alone(folder, table, 8, 3, DONE) == "null"
    wait_for(lambda: not left_in(folder), 10)


def test_a_result_of_200_megabytes_is_kept(folder):
    tasks(folder, "def poison(row): return {'text': 'x' * 200_000_000}", 300)
    table, ran = process(folder, rows=400, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert len(assert_alone(folder, table, 400, 300, DONE)["text"]) == 200_000_000


def test_what_a_row_writes_into_its_workers_pipe_is_passed_over_and_no_reply_is_lost(folder):
    body = """
    def poison(row):
        for fd in range(3, 1100):
            try:
                os.write(fd, bytes([4, 0, 0, 0]) + b"junk")
            except OSError:
                pass
    """
    tasks(folder, body, 100)
    table, ran = process(folder, rows=200)
    assert ran.returncode == 0, ran.stderr
    assert {row[0] for row in settled(table, "task").values()} == {DONE}
    assert starts(folder) == dict.fromkeys(range(1, 201), 1)


def test_workers_that_die_before_any_row_starts_end_the_run(folder):
    tasks(folder, "")
    numbered(folder / "data.csv", 8)
    process(folder, "--limit", 1)
    # From now on each worker says hello and dies before it takes a row.
    (folder / "tasks.py").write_text(
        (folder / "tasks.py").read_text()
        + "\nimport batchrun.engine.worker.serve as serve\n"
        + "serve.read_frames = lambda inbox: (os.read(inbox, 1), kill_self())\n"
    )
    _, ran = process(folder, "--on-change", "keep")
    assert ran.returncode == 3, ran.stderr
    assert "before they had started a row" in ran.stderr


def ownerless():
    """Names of semaphores and of shared memory that no process has mapped."""
    mapped = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):
            mapped.update(re.findall("/dev/shm/(.+)", maps.read_text()))
    return {path.name for path in Path("/dev/shm").iterdir()} - mapped


def test_200_replacements_leak_neither_descriptors_nor_processes_nor_semaphores(folder):
    tasks(folder, "", poison=0)
    (folder / "tasks.py").write_text(HEAD + "def task(row):\n    note(row)\n    os._exit(7)\n")
    table = numbered(folder / "data.csv", 200)
    before = ownerless()
    run = start(
        *("process", table, "--task", "tasks.py:task", "--jobs", 4, "--retries", 0, "--max-failures", 1000),
        *("--no-output", "--quiet"),
        cwd=folder,
    )
    coordinator = psutil.Process(run.pid)
    descriptors, processes = [], []

    def look():
        with_all = descendants(run.pid)
        descriptors.append(len(os.listdir(f"/proc/{run.pid}/fd")))
        processes.append(len(with_all))
        return len(lines_of(folder / "started"))

    wait_for(lambda: look() >= 20)
    early = max(descriptors)
    wait_for(lambda: look() >= 190)
    assert coordinator.is_running()
    run.communicate(timeout=20)
    assert run.returncode == 1
    assert starts(folder) == dict.fromkeys(range(1, 201), 1)
    assert max(descriptors) <= early + 5
    # Lanes and the nursery; a worker that has died and one in its place may be seen together.
    assert max(processes) <= 4 * 2 + 1
    wait_for(lambda: not left_in(folder), 10)
    # Other programs on the machine may be between making theirs and mapping it.
    wait_for(lambda: not ownerless() - before, 10)


@pytest.mark.parametrize(
    "body",
    [
        "def poison(row): time.sleep(1000)",
        "def poison(row): sum(itertools.repeat(0))",
        "def poison(row): subprocess.run(['sleep', '1000'])",
        "def poison(row): subprocess.run(['sleep', '1000'], start_new_session=True)",
        "def poison(row): os.system('sleep 1000')",
    ],
    ids=["sleeps", "C loop", "has a child", "has a child in its own session", "has a child with every descriptor"],
)
def test_nothing_outlives_a_coordinator_that_was_killed(folder, body):
    tasks(folder, body, 2, seconds=0.02)
    table = numbered(folder / "data.csv", 5000)
    run = start("process", table, "--task", "tasks.py:task", "--jobs", 3, cwd=folder)
    wait_for(lambda: len(lines_of(folder / "started")) > 10)
    if "sleep'" in body or "system" in body:
        wait_for(lambda: any(process.name() == "sleep" for process in descendants(run.pid)))
    family = descendants(run.pid)
    kill(run)
    died = time.monotonic()
    wait_for(lambda: not alive(family), 1)
    assert time.monotonic() - died < 1
    started = lines_of(folder / "started")
    time.sleep(0.2)
    assert lines_of(folder / "started") == started


TOLD_TWICE = """
import os, signal, sys, time

if "-c" in sys.orig_argv:
    import batchrun.engine.worker.lifeline as lifeline

    def and_a_signal(pid):
        group(pid)
        time.sleep(0.1)  # until the worker is gone, and its children are somebody else's
        os.kill(os.getpid(), signal.SIGTERM)

    group, lifeline.kill_group = lifeline.kill_group, and_a_signal
"""


def with_customization(folder, code):
    """An environment in which each Python process runs this code first."""
    (folder / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))}


def test_nothing_outlives_a_coordinator_whose_death_is_told_twice(folder):
    # By the end of the socket, and by a signal, which may come while what the workers have started is being ended.
    tasks(folder, "def poison(row): subprocess.run(['sleep', '1000'], start_new_session=True)", 2, seconds=0.02)
    table = numbered(folder / "data.csv", 5000)
    command = ("process", table, "--task", "tasks.py:task", "--jobs", 3)
    run = start(*command, cwd=folder, env=with_customization(folder, TOLD_TWICE))
    wait_for(lambda: any(process.name() == "sleep" for process in descendants(run.pid)))
    family = descendants(run.pid)
    kill(run)
    wait_for(lambda: not alive(family), 10)


LATE = """
import os, sys, time

if "-c" in sys.orig_argv:
    import batchrun.engine.worker.lifeline as lifeline

    # The time that a busy machine may take to end the workers, made long.
    at_once = lifeline.kill_trees
    lifeline.kill_trees = lambda pids: (time.sleep(0.5), at_once(pids))
"""


def test_no_row_starts_after_the_coordinators_death_however_late_its_workers_are_ended(folder):
    body = """
    import batchrun.checkpoint.cell as cell

    # A worker that loses the processor between two rows, as on a busy machine.
    cell.full_barrier = lambda: time.sleep(0.02)

    def task(row):
        with STARTED.open("a") as file:
            file.write(f"{time.monotonic()}\\n")
    """
    tasks(folder, body)
    table = numbered(folder / "data.csv", 20_000)
    command = ("process", table, "--task", "tasks.py:task", "--jobs", 8, "--no-output")
    run = start(*command, cwd=folder, env=with_customization(folder, LATE))
    wait_for(lambda: len(lines_of(folder / "started")) > 50)
    run.send_signal(signal.SIGKILL)
    run.wait()
    died = time.monotonic()
    run.communicate()
    wait_for(lambda: not left_in(folder), 10)
    late = [line for line in lines_of(folder / "started") if float(line) > died]
    # One that had begun may have written it down after the death.
    assert len(late) <= 1, f"{len(late)} rows started late"


def test_a_run_in_a_thread_of_a_script_works_too(folder, monkeypatch):
    import batchrun as library

    monkeypatch.chdir(folder)
    numbered(folder / "data.csv", 20)
    found = []

    def work():
        found.append(library.process("data.csv", task="tasks.py:double", jobs=2, quiet=True).done)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert found == [20]


def test_a_resource_that_is_unsafe_in_threads_is_safe_in_lanes(folder):
    body = """
    INSIDE = []

    def task(row):
        note(row)
        INSIDE.append(row["id"])
        time.sleep(0.002)
        assert INSIDE == [row["id"]] and threading.active_count() == 1
        INSIDE.clear()
        return {"double": row["id"] * 2}
    """
    tasks(folder, body, 0)
    table, ran = process(folder, rows=200, jobs=8)
    assert ran.returncode == 0, ran.stderr
    assert settled(table, "task") == {n: (DONE, {"double": 2 * n}) for n in range(1, 201)}


def most_memory(run):
    """The most memory that a command holds while it runs, in bytes."""
    coordinator, most = psutil.Process(run.pid), 0
    while run.poll() is None:
        with suppress(psutil.NoSuchProcess):
            most = max(most, coordinator.memory_info().rss)
        time.sleep(0.01)
    return most


def test_big_replies_neither_deadlock_nor_fill_memory(folder):
    tasks(folder, "def poison(row): pass\ndef task(row):\n    note(row)\n    return {'text': 'x' * 5_000_000}\n", 0)
    numbered(folder / "data.csv", 40)
    run = start("process", "data.csv", "--task", "tasks.py:task", "--jobs", 4, "--no-output", "--quiet", cwd=folder)
    most = most_memory(run)
    _, stderr = run.communicate(timeout=60)
    assert run.returncode == 0, stderr
    assert starts(folder) == dict.fromkeys(range(1, 41), 1)
    assert most < 250 << 20, f"{most >> 20} MB"


def test_big_cells_do_not_deadlock_and_few_of_them_are_handed_out_at_once(folder):
    tasks(folder, "def task(row):\n    note(row)\n    return {'text': row['text']}\n", 0)
    rows = [(n, chr(97 + n) * 5_000_000) for n in range(1, 11)]
    write_table(folder / "data.csv", rows)
    run = start("process", "data.csv", "--task", "tasks.py:task", "--jobs", 4, "--no-output", "--quiet", cwd=folder)
    most = most_memory(run)
    _, stderr = run.communicate(timeout=60)
    assert run.returncode == 0, stderr
    assert starts(folder) == dict.fromkeys(range(1, 11), 1)
    assert {n: result["text"] for n, (_, result) in settled(folder / "data.csv", "task").items()} == dict(rows)
    assert most < 400 << 20, f"{most >> 20} MB"


def test_rows_behind_a_slow_one_are_taken_back_and_start_once(folder):
    body = """
    def task(row):
        note(row)
        if row["id"] == 2001:
            until = time.monotonic() + 30
            while len(STARTED.read_text().splitlines()) < 4001 and time.monotonic() < until:
                time.sleep(0.01)
            assert time.monotonic() < until, "rows wait behind this one"
        return {"double": row["id"] * 2}
    """
    tasks(folder, body, 0)
    table, ran = process(folder, rows=4001, jobs=2)
    assert ran.returncode == 0, ran.stderr
    assert settled(table, "task") == {n: (DONE, {"double": 2 * n}) for n in range(1, 4002)}
    assert starts(folder) == dict.fromkeys(range(1, 4002), 1)


def test_taking_rows_back_is_exact_for_any_times(folder):
    seed = int(os.environ.get("SEED") or random.randrange(10**6))
    print(f"seed {seed}")
    body = f"""
    def task(row):
        note(row)
        dice = random.Random({seed} * 100_003 + row["id"])
        if dice.random() < 0.01:
            time.sleep(dice.choice((0.09, 0.1, 0.101, 0.11, 0.15)))
        return {{"double": row["id"] * 2}}
    """
    tasks(folder, body, 0)
    table, ran = process(folder, rows=4000, jobs=6)
    assert ran.returncode == 0, ran.stderr
    assert settled(table, "task") == {n: (DONE, {"double": 2 * n}) for n in range(1, 4001)}
    assert starts(folder) == dict.fromkeys(range(1, 4001), 1)


def test_draining_amid_quick_rows_ends_at_once_and_counts_every_row_once(folder):
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    dice = random.Random(seed)
    tasks(folder, "", 0)
    table = numbered(folder / "data.csv", 30_000)
    for _ in range(3):
        before = len(lines_of(folder / "started"))
        run = start("process", table, "--task", "tasks.py:task", "--jobs", 4, "--no-output", "--quiet", cwd=folder)
        enough = before + dice.randrange(200, 2000)
        wait_for(lambda run=run, enough=enough: len(lines_of(folder / "started")) >= enough or run.poll() is not None)
        run.terminate()
        run.communicate(timeout=10)
        assert run.returncode == 143
        found = settled(table, "task")
        counts = starts(folder)
        assert set(found) == set(counts)
        assert set(counts.values()) == {1}


def test_descriptors_beyond_1023_are_no_trouble(folder):
    tasks(folder, "", 0)
    table = numbered(folder / "data.csv", 40)
    crowd = (
        "import os, resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (1200, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))\n"
        "for fd in range(3, 1100): os.dup2(0, fd)\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'batchrun', *sys.argv[1:]])\n"
    )
    command = ("process", table, "--task", "tasks.py:task", "--jobs", 20, "--no-output", "--quiet")
    ran = subprocess.run(
        [sys.executable, "-c", crowd, *map(str, command)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(),
        stdin=subprocess.DEVNULL,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert starts(folder) == dict.fromkeys(range(1, 41), 1)


def test_a_row_caught_between_its_start_and_the_look_at_the_recall_is_not_lost(folder):
    body = """
    import batchrun.checkpoint.cell as cell

    # The window in which a start and a recall can cross, made wide.
    cell.full_barrier = lambda: time.sleep(0.002)
    """
    tasks(folder, body, 0)
    table = numbered(folder / "data.csv", 3000)
    for _ in range(3):
        before = len(lines_of(folder / "started"))
        run = start("process", table, "--task", "tasks.py:task", "--jobs", 4, "--no-output", "--quiet", cwd=folder)
        wait_for(lambda before=before: len(lines_of(folder / "started")) >= before + 100)
        run.terminate()
        run.communicate(timeout=10)
        assert run.returncode == 143
        found = settled(table, "task")
        assert set(found) == set(starts(folder))
        assert set(starts(folder).values()) == {1}
