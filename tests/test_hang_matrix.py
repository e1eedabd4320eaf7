"""Rows that never end, in every way there is: only they are timed out, with all that they have started."""

import signal
import time

import psutil
import pytest
from support import alive, batchrun, descendants, lines_of, numbered, settled, start, wait_for
from test_crash_matrix import DONE, TIMED_OUT, assert_alone, error_of, process, starts, tasks

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
    assert took < 5
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


def test_a_user_can_ask_which_rows_run_and_for_how_long(folder):
    tasks(folder, "def poison(row): sum(itertools.repeat(0))", 3)
    numbered(folder / "data.csv", 8)
    run = start("process", "data.csv", "--task", "tasks.py:task", "--jobs", 2, cwd=folder)
    wait_for(lambda: len(lines_of(folder / "started")) == 8)
    time.sleep(1.1)
    run.send_signal(signal.SIGUSR1)
    time.sleep(0.3)
    run.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    run.send_signal(signal.SIGTERM)
    _, stderr = run.communicate(timeout=10)
    assert run.returncode == 143
    assert any("row 3" in line and "1" in line.split("row 3")[1] for line in stderr.splitlines()), stderr


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
