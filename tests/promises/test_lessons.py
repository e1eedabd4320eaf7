"""Where tools of this kind have failed in the field. Each test is named after what is promised here instead."""

import ctypes
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from support import (
    ROOT,
    batchrun,
    count_settled,
    database,
    environment,
    lines_of,
    numbered,
    records,
    settled,
    start,
    wait_for,
)

DONE, TIMED_OUT = 1, 3
THREADS = """
import threading

stop = threading.Event()
threads = [threading.Thread(target=stop.wait) for _ in range(4)]
for thread in threads:
    thread.start()
"""
# Of a warning about fork that is to be an error Python itself says nothing at all.
STRICT = "error,always:This process:DeprecationWarning"
SCRIPT = f"""{THREADS}
import batchrun

def task(row):
    import os, signal
    if row["id"] == 5 and batchrun.current().attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return {{"double": row["id"] * 2}}

try:
    print(batchrun.process("data.csv", task=task, jobs=4, quiet=True).done)
finally:
    stop.set()
"""
TASK = f"""{THREADS}
stop.set()

def task(row):
    import batchrun, os, signal
    if row["id"] == 5 and batchrun.current().attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return {{"double": row["id"] * 2}}
"""


def run_script(folder, name, **more):
    """Run a script of a user's, for whom every warning is an error (or shown, see `STRICT`)."""
    env = environment({"PYTHONWARNINGS": STRICT, **more})
    return subprocess.run(
        [sys.executable, name],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=90,
        stdin=subprocess.DEVNULL,
    )


def warns_of_fork():
    """Whether this Python, told as `run_script` tells it, says something of a fork amid threads."""
    fork = f"{THREADS}\nimport os\ntry:\n    os.fork() or os._exit(0)\nfinally:\n    stop.set()\n"
    env = environment({"PYTHONWARNINGS": STRICT})
    ran = subprocess.run([sys.executable, "-c", fork], env=env, capture_output=True, text=True, timeout=30)
    return "use of fork() may lead to deadlocks" in ran.stderr


class Nobody:
    """Nobody asks for results."""

    def __init__(self, table):
        pass

    def close(self):
        pass


class StandsStill:
    """A program that began to read all results and does not go on: its transaction stays open."""

    def __init__(self, table):
        self.db = sqlite3.connect(f"file:{database(table, 'stuck')}?mode=ro", uri=True, isolation_level=None)
        self.db.execute("BEGIN")
        self.rows = self.db.execute("SELECT * FROM row")
        self.rows.fetchone()

    def close(self):
        self.db.close()


class Impatient:
    """Programs that ask for all results again and again, and leave in the middle."""

    def __init__(self, table):
        ask = 'while :; do "$0" -m batchrun export "$1" -o - | head -c 10; done'
        self.shell = subprocess.Popen(
            ["sh", "-c", ask, sys.executable, table], env=environment(), start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def close(self):
        os.killpg(self.shell.pid, 9)
        self.shell.wait()


@pytest.mark.parametrize("consumer", [Nobody, StandsStill, Impatient])
def test_a_timeout_fires_however_results_are_consumed(folder, consumer):
    table = numbered(folder / "data.csv", 40)
    run = start(
        *("process", table, "--task", "tasks.py:stuck", "--jobs", 2, "--timeout", 1.5, "--retries", 0, "--no-output"),
        cwd=folder,
    )
    wait_for(lambda: "13" in [line.split()[0] for line in lines_of(folder / "started")])
    wait_for(lambda: count_settled(table, "stuck"))
    reading = consumer(table)
    try:
        run.communicate(timeout=60)
    finally:
        reading.close()
    assert run.returncode == 1
    found = settled(table, "stuck")
    assert {row: status for row, (status, _) in found.items() if status != DONE} == {13: TIMED_OUT}
    assert len(found) == 40


def test_a_timeout_fires_in_a_run_of_a_thread_whose_results_are_read_at_the_end(folder):
    numbered(folder / "data.csv", 40)
    (folder / "script.py").write_text(
        "import batchrun\nfrom concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(1) as pool:\n"
        "    run = pool.submit(\n"
        "        batchrun.process, 'data.csv', 'tasks.py:stuck', jobs=2, timeout=1, retries=0, quiet=True\n"
        "    )\n"
        "print(run.result().done, run.result().timed_out, len(batchrun.results('data.csv')))\n"
    )
    ran = run_script(folder, "script.py")
    assert (ran.stdout, ran.stderr) == ("39 1 40\n", "")


@pytest.fixture
def parser(tmp_path):
    """A C library with one buffer for all its callers."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("a C compiler makes the parser")
    library = tmp_path / "parser.so"
    source = ROOT / "tests/data/shared_buffer.c"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, source], check=True)
    return library


def parsed_by(library):
    parse = ctypes.CDLL(str(library)).parse
    parse.argtypes, parse.restype = [ctypes.c_char_p], ctypes.c_char_p
    return parse


def test_a_thread_unsafe_parser_is_safe_by_default_at_jobs_8(folder, parser):
    parse, texts = parsed_by(parser), [b"text %d" % n for n in range(1, 201)]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(parse, texts)) != texts, "this parser is safe in threads: the test shows nothing"
    (folder / "tasks.py").write_text(
        f"import ctypes\nparse = ctypes.CDLL({str(parser)!r}).parse\n"
        "parse.argtypes, parse.restype = [ctypes.c_char_p], ctypes.c_char_p\n\n"
        "def task(row):\n    return {'text': parse(row['text'].encode()).decode()}\n"
    )
    table = numbered(folder / "data.csv", 200)
    assert batchrun("process", table, "--task", "tasks.py:task", "--jobs", 8, cwd=folder).returncode == 0
    assert settled(table, "task") == {n: (DONE, {"text": f"text {n}"}) for n in range(1, 201)}


def test_nobody_is_warned_about_fork_in_a_script_that_runs_threads(folder):
    """Python 3.12 and later warn; a worker is replaced on the way, so that it is started while threads run."""
    assert warns_of_fork() == (sys.version_info >= (3, 12))
    numbered(folder / "data.csv", 20)
    (folder / "script.py").write_text(SCRIPT)
    ran = run_script(folder, "script.py")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "20\n", "")


def test_nobody_is_warned_about_fork_on_the_command_line(folder):
    table = numbered(folder / "data.csv", 20)
    (folder / "tasks.py").write_text(TASK)
    ran = batchrun(
        *("process", table, "--task", "tasks.py:task", "--jobs", 4, "--quiet"), cwd=folder,
        env={"PYTHONWARNINGS": STRICT},
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
    assert len(settled(table, "task")) == 20
    log = folder / "data.csv.batchrun/task.log"
    assert not log.exists() or "Warning" not in log.read_text()


@pytest.fixture
def delta(folder):
    """A Delta table of three rows."""
    pytest.importorskip("deltalake")
    write = "import deltalake, pyarrow, sys\ndeltalake.write_deltalake(sys.argv[1], pyarrow.table({'n': [1, 2, 3]}))\n"
    # In a process of its own: deltalake's threads are not for the one that runs the tests.
    subprocess.run([sys.executable, "-c", write, folder / "delta"], check=True, timeout=60)
    return folder / "delta"


DELTA = """
def task(row):
    from deltalake import DeltaTable
    table = DeltaTable(PLACE).to_pyarrow_table()
    return {"sum": sum(table["n"].to_pylist()) + row["id"]}
"""


def test_a_task_that_opens_a_delta_table_in_each_row_works_at_jobs_4(folder, delta):
    table = numbered(folder / "data.csv", 24)
    (folder / "tasks.py").write_text(f"PLACE = {str(delta)!r}\n{DELTA}")
    ran = batchrun(
        *("process", table, "--task", "tasks.py:task", "--jobs", 4, "--timeout", 30, "--retries", 0), cwd=folder
    )
    assert ran.returncode == 0, ran.stderr
    assert settled(table, "task") == {n: (DONE, {"sum": 6 + n}) for n in range(1, 25)}


def test_a_task_that_opens_a_delta_table_works_where_the_caller_has_started_tokio_and_runs_threads(folder, delta):
    table = numbered(folder / "data.csv", 24)
    (folder / "script.py").write_text(
        f"{THREADS}\nimport os\nimport batchrun\nfrom deltalake import DeltaTable\nPLACE = {str(delta)!r}\n{DELTA}\n"
        "assert task({'id': 1}) == {'sum': 7}\n"
        "try:\n"
        "    done = batchrun.process('data.csv', task=task, jobs=4, timeout=30, retries=0, quiet=True).done\n"
        "    print(done, flush=True)\n"
        "    assert task({'id': 2}) == {'sum': 8}\n"
        "finally:\n    stop.set()\n"
        "os._exit(0)  # now and then to_pyarrow_table() has Python abort when it shuts down\n"
    )
    ran = run_script(folder, "script.py", PYTHONWARNINGS="error::DeprecationWarning:__main__")
    assert (ran.returncode, ran.stdout) == (0, "24\n"), ran.stderr
    assert "fork" not in ran.stderr
    assert settled(table, "task") == {n: (DONE, {"sum": 6 + n}) for n in range(1, 25)}


STREAM = """
import time
from pathlib import Path

def task(row):
    if row["id"] == 1:
        while not Path("go").exists():
            time.sleep(0.01)
    return {"id": row["id"], "padding": "x" * 100_000}
"""


def test_fifty_jobs_stream_their_results_as_they_come_with_memory_flat(folder):
    """The first row ends last: in order, everything would wait for it. 300 MB of results pass in the meantime."""
    rows = 3000
    table = numbered(folder / "data.csv", rows)
    (folder / "tasks.py").write_text(STREAM)
    run = start(
        *("process", table, "--task", "tasks.py:task", "--jobs", 50, "--no-output", "--json", "--quiet"), cwd=folder
    )
    coordinator, early, most = psutil.Process(run.pid), 0, 0

    def all_but_one():
        nonlocal early, most
        memory, count = coordinator.memory_info().rss, count_settled(table, "task")
        early = early or (count >= rows // 10 and memory)
        most = max(most, memory)
        return count == rows - 1

    wait_for(all_but_one, 90)
    (folder / "go").touch()
    stdout, stderr = run.communicate(timeout=60)
    assert run.returncode == 0, stderr
    assert records(stdout)[1]["done"] == rows
    assert early
    assert most < early + (60 << 20), f"{early >> 20} MB after a tenth of the rows, {most >> 20} MB at most"
    assert json.loads(batchrun("show", table, 1, "--json").stdout)["result"]["id"] == 1
