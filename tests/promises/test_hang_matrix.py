"""Rows that never end, in every way there is: only they are timed out, with all that they have started."""

import itertools
import re
import signal
import subprocess
import textwrap
import time
from pathlib import Path

import psutil
import pytest
from support import (
    IMPATIENT,
    ROOT,
    alive,
    batchrun,
    descendants,
    environment,
    lines_of,
    numbered,
    settled,
    start,
    starts,
    wait_for,
)
from test_crash_matrix import CRASHED, DONE, TIMED_OUT, assert_alone, error_of, process, tasks

import batchrun as batchrun_package
from batchrun.engine.local.still_loading import most_seconds, users_stack

WAYS_TO_HANG = {
    "endless loop": "def poison(row):\n    while True: pass",
    "endless loop in C": "def poison(row): sum(itertools.repeat(0))",
    "endless arithmetic": "def poison(row): return hash(3 ** 10**9)",
    "catastrophic pattern": "import re\ndef poison(row): return re.match('(a+)+$', 'a' * 60 + 'b')",
    "server that never answers": (
        """
        def poison(row):
            server = socket.create_server(("127.0.0.1", 0))
            socket.create_connection(server.getsockname()).recv(1)
        """
    ),
    "ignored signals": (
        "def poison(row):\n"
        "    for signum in (signal.SIGTERM, signal.SIGINT): signal.signal(signum, signal.SIG_IGN)\n"
        "    time.sleep(1000)"
    ),
    "swallowed exceptions": (
        "def poison(row):\n    while True:\n        try: time.sleep(1000)\n        except BaseException: pass"
    ),
    "deadlock": "def poison(row):\n    lock = threading.Lock()\n    lock.acquire()\n    lock.acquire()",
    "stopped": "def poison(row): os.kill(os.getpid(), signal.SIGSTOP)",
    "result that never ends": (
        "class Odd(dict):\n    def items(self):\n        while True: pass\ndef poison(row): return Odd(a=1)"
    ),
    "child": "def poison(row): subprocess.run(['sleep', '1000'])",
    "child with every descriptor": "def poison(row): os.system('sleep 1000')",
    "child in its own session": "def poison(row): subprocess.run(['sleep', '1000'], start_new_session=True)",
    "grandchild": "def poison(row): subprocess.run(['sh', '-c', 'sleep 1000; true'], process_group=0)",
}


@pytest.mark.parametrize("way", WAYS_TO_HANG)
def test_a_row_that_hangs_is_timed_out_alone_with_all_that_it_started(folder, way):
    tasks(folder, WAYS_TO_HANG[way], 3)
    table = numbered(folder / "data.csv", 60)
    began = time.monotonic()
    run = start(
        *("process", table, "--task", "tasks.py:task", "--jobs", 2, "--retries", 0, "--timeout", 1, "--no-output"),
        cwd=folder,
    )
    family = set()
    while run.poll() is None:
        family.update(descendants(run.pid))
        time.sleep(0.1)
    took = time.monotonic() - began
    _, stderr = run.communicate()
    assert run.returncode == 1, stderr
    assert_alone(folder, table, 60, 3, TIMED_OUT)
    assert error_of(table, 3).startswith("timeout")
    assert took < 15
    wait_for(lambda: not alive(family), 2)


def test_a_row_that_ends_at_its_limit_takes_no_neighbour_with_it(folder):
    body = """
    def task(row):
        note(row)
        if row["id"] % 10 == 0:
            time.sleep(0.2)
        return {"double": row["id"] * 2}
    """
    tasks(folder, body, 0)
    rows = 200
    table, _ = process(folder, "--timeout", "0.2", "--max-failures", 1000, rows=rows, jobs=4)
    found = settled(table, "task")
    assert sorted(found) == list(range(1, rows + 1))
    assert all(row[0] == DONE for n, row in found.items() if n % 10)
    assert all(row[0] in (DONE, TIMED_OUT) for row in found.values())
    assert starts(folder) == dict.fromkeys(range(1, rows + 1), 1)


def test_a_worker_that_is_held_up_between_rows_is_replaced(folder):
    body = """
    def poison(row):
        def stop():
            time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGSTOP)
        threading.Thread(target=stop).start()
        return {"double": row["id"] * 2}
    """
    tasks(folder, body, 6)
    table, ran = process(folder, "--timeout", 1, rows=6, jobs=1, timeout=30)
    assert ran.returncode == 0, ran.stderr
    assert len(settled(table, "task")) == 6


@pytest.mark.parametrize("known", [False, True], ids=["first run", "known version"])
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_module_that_hangs_does_not_keep_a_signal_waiting(folder, signum, known):
    tasks(folder, "open(STARTED, 'a').write('0 import\\n')\ntime.sleep(1000)\n")
    numbered(folder / "data.csv", 8)
    version = ("--task-version", "1") if known else ()
    run = start("process", "data.csv", "--task", "tasks.py:task", "--jobs", 2, *version, cwd=folder)
    wait_for(lambda: lines_of(folder / "started"))
    family = descendants(run.pid)
    sent = time.monotonic()
    run.send_signal(signum)
    _, stderr = run.communicate(timeout=10)
    assert time.monotonic() - sent < 2
    assert run.returncode == 128 + signum
    assert "Traceback" not in stderr
    wait_for(lambda: not alive(family), 2)


def test_a_user_can_ask_which_rows_run_and_for_how_long_however_they_hang(folder):
    ways = [textwrap.dedent(way) for way in WAYS_TO_HANG.values()]
    tasks(
        folder,
        f"""
        WAYS = {ways!r}
        def task(row):
            note(row)
            if row["id"] > len(WAYS):
                return {{}}
            names = dict(globals())
            exec(WAYS[row["id"] - 1], names)
            return names["poison"](row)
        """,
    )
    numbered(folder / "data.csv", len(ways) + 6)
    run = start("process", "data.csv", "--task", "tasks.py:task", "--jobs", len(ways) + 1, cwd=folder)
    wait_for(lambda: len(lines_of(folder / "started")) == len(ways) + 6)
    family = descendants(run.pid)
    time.sleep(1.1)
    run.send_signal(signal.SIGUSR1)
    told = said(run, f"running now: {len(ways)} rows", more=len(ways))
    assert sorted(map(int, re.findall(r"row (\d+) for \d", told))) == list(range(1, len(ways) + 1))
    assert " ms " not in told
    run.send_signal(signal.SIGTERM)
    said(run, "stopping")
    run.send_signal(signal.SIGTERM)
    _, stderr = run.communicate(timeout=20)
    assert run.returncode == 143, stderr
    wait_for(lambda: not alive(family), 5)


STUCK_IMPORTS = {
    "sleep": "time.sleep(1000)",
    "loop in C": "sum(itertools.repeat(0))",
    "child": "subprocess.run(['sleep', '1000'])",
    "stopped": "os.kill(os.getpid(), signal.SIGSTOP)",
}
ONCE_ASKED = """
HANG = Path(__file__).with_name("hang")
if HANG.exists():
    STARTED.open("a").write("0 import\\n")
    time.sleep(1000)
"""


# The command, with less patience: loading may take twice as long as a row, at least half a second.
def impatient(folder, *options):
    """Run the job with a timeout until it ends, with little patience; returns its exit code and what it said."""
    command = ("process", "data.csv", "--task", "tasks.py:task", "--timeout", "1", "--retries", "0", *options)
    run = subprocess.Popen(
        [*IMPATIENT, *command],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    family = set()
    while run.poll() is None:
        family.update(descendants(run.pid))
        time.sleep(0.05)
    _, stderr = run.communicate()
    wait_for(lambda: not alive(family), 5)
    return run.returncode, stderr


def said(run, text, more=0):
    """Read stderr until a line with the text; returns it, and so many `more` lines."""
    for line in run.stderr:
        if text in line:
            return line + "".join(itertools.islice(run.stderr, more))
    raise AssertionError(f"{text!r} was never said")


@pytest.mark.parametrize("way", STUCK_IMPORTS)
def test_where_rows_have_a_timeout_a_module_that_hangs_ends_the_run_and_is_named_with_its_place(folder, way):
    tasks(folder, STUCK_IMPORTS[way])
    numbered(folder / "data.csv", 8)
    code, stderr = impatient(folder, "--jobs", "2")
    assert code == 2, stderr
    assert "loading tasks.py took longer than 2 s" in stderr
    assert "raise --timeout" in stderr
    assert "Traceback" not in stderr
    line = len((folder / "tasks.py").read_text().splitlines())
    if way == "stopped":  # and can say nothing
        assert "File " not in stderr
    else:
        assert f'tasks.py", line {line}, in <module>' in stderr


def test_a_worker_that_hangs_while_it_loads_the_task_again_ends_the_run_which_keeps_what_is_done(folder):
    tasks(folder, ONCE_ASKED + "def poison(row):\n    HANG.touch()\n    kill_self()\n", 4)
    table = numbered(folder / "data.csv", 8)
    code, stderr = impatient(folder, "--jobs", "1")
    assert code == 2, stderr
    assert "loading tasks.py took longer than" in stderr
    assert 'tasks.py", line' in stderr
    found = settled(table, "task")
    assert {n: row[0] for n, row in found.items()} == {1: DONE, 2: DONE, 3: DONE, 4: CRASHED}


def test_a_worker_that_hangs_while_it_loads_the_task_is_replaced_while_others_work(folder):
    body = """
    import batchrun
    STARTED.open("a").write("0 import\\n")
    if len(STARTED.read_text().splitlines()) == 2:
        time.sleep(1000)
    def poison(row):
        if len(STARTED.read_text().splitlines()) < 3:
            raise batchrun.RetryLater(0.1)
        return {"double": row["id"] * 2}
    def task(row):
        return poison(row)
    """
    tasks(folder, body)
    table = numbered(folder / "data.csv", 8)
    code, stderr = impatient(folder, "--jobs", "2")
    assert code == 0, stderr
    assert len(settled(table, "task")) == 8
    assert len(lines_of(folder / "started")) == 3


@pytest.mark.parametrize("known", [False, True], ids=["first run", "known task"])
def test_a_user_can_ask_where_a_module_hangs_and_for_how_long(folder, known):
    tasks(folder, ONCE_ASKED, poison=0)
    numbered(folder / "data.csv", 8)
    command = ("process", "data.csv", "--task", "tasks.py:task", "--jobs", 2)
    if known:
        assert batchrun(*command, "--limit", 2, cwd=folder).returncode == 0
    (folder / "hang").touch()
    run = start(*command, cwd=folder)
    wait_for(lambda: "0 import" in lines_of(folder / "started"))
    time.sleep(1.1)
    run.send_signal(signal.SIGUSR1)
    told = said(run, "running now: nothing, loading tasks.py for ", more=1)
    assert re.search(r"for \d+ s; it is here:\n  File .*tasks\.py\", line \d+, in <module>", told), told
    run.send_signal(signal.SIGTERM)
    run.communicate(timeout=20)
    assert run.returncode == 143


def test_loading_may_take_ten_times_the_longest_of_what_is_to_be_expected():
    assert most_seconds(2, longest=0.3) == 30
    assert most_seconds(30, longest=0.3) == 300
    assert most_seconds(2, longest=100) == 1000


def test_of_a_deep_stack_both_ends_are_told_and_nothing_that_is_not_the_users():
    loading = Path(batchrun_package.__file__).parent / "task" / "load.py"
    calls = [f'  File "deep.py", line {n} in call' for n in range(50)]
    around = ['  File "<frozen importlib._bootstrap>", line 1 in load', '  File "tasks.py", line 3 in <module>']
    ours = [f'  File "{loading}", line 7 in load', '  File "<string>", line 1 in <module>']
    old = ["Stack (most recent call first):", '  File "old.py", line 1 in before']
    stack = users_stack([*old, "printed", "Stack (most recent call first):", *calls, *around, *ours])
    assert stack[:2] == ('  File "tasks.py", line 3, in <module>', '  File "deep.py", line 49, in call')
    assert stack[2] == "  ... 39 more ..."
    assert stack[-1] == '  File "deep.py", line 0, in call'
    assert len(stack) == 13


@pytest.mark.parametrize(
    ("test", "ways"),
    [
        (test_a_row_that_hangs_is_timed_out_alone_with_all_that_it_started, WAYS_TO_HANG),
        (test_a_user_can_ask_which_rows_run_and_for_how_long_however_they_hang, WAYS_TO_HANG),
        (test_where_rows_have_a_timeout_a_module_that_hangs_ends_the_run_and_is_named_with_its_place, STUCK_IMPORTS),
    ],
)
def test_the_page_of_promises_counts_these_ways(test, ways):
    page = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    (promise,) = (line for line in page.splitlines() if f"`{test.__name__}`" in line)
    assert f"| {len(ways)} ways" in promise


def test_asking_everyone_hurts_no_row(folder):
    tasks(folder, "", 0, seconds=0.5)
    table = numbered(folder / "data.csv", 4)
    run = start("process", table, "--task", "tasks.py:task", "--jobs", 2, cwd=folder)
    wait_for(lambda: len(lines_of(folder / "started")) >= 2)
    for process_ in [psutil.Process(run.pid), *descendants(run.pid)]:
        if "resource_tracker" not in " ".join(process_.cmdline()):
            process_.send_signal(signal.SIGUSR1)
    run.communicate(timeout=20)
    assert run.returncode == 0
    assert starts(folder) == dict.fromkeys(range(1, 5), 1)
    assert batchrun("verify", table).returncode == 0
