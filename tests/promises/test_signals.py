"""Ctrl-C, SIGTERM and a closed terminal, at every stage of a run; and the lock, whatever becomes of its holder."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support import (
    COMMAND,
    alive,
    batchrun,
    count_settled,
    descendants,
    environment,
    kill,
    lines_of,
    numbered,
    records,
    settled,
    start,
    wait_for,
    write_table,
)  # fmt: skip

SLOW_IMPORT = "import time\nopen('importing', 'w').close()\ntime.sleep(60)\n\ndef f(row):\n    return row\n"


class Terminal:
    """The command in a terminal of its own, as its foreground process group."""

    def __init__(self, *args, cwd, env=None):
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.chdir(cwd)
            os.execvpe(COMMAND[0], [*COMMAND, *map(str, args)], environment({"TERM": "xterm", **(env or {})}))
        self.seen = ""

    def read(self):
        """What has been shown so far."""
        while self._fd is not None and select.select([self._fd], [], [], 0)[0]:
            try:
                self.seen += os.read(self._fd, 65536).decode("utf-8", "replace")
            except OSError:
                break
        return self.seen

    def type(self, keys):
        os.write(self._fd, keys)

    def hang_up(self):
        """Close the window: the kernel sends SIGHUP, and nobody reads any more."""
        os.close(self._fd)
        self._fd = None

    def wait(self, seconds=20):
        """The exit code (negative: the signal that killed it)."""

        def ended():
            self.read()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            return (os.waitstatus_to_exitcode(status),) if pid else None

        return wait_for(ended, seconds)[0]


def slow(folder, rows=50, seconds="0.8"):
    table = numbered(folder / "data.csv", rows)
    return table, ("process", table, "--task", "tasks.py:short", "--jobs", 3), {"SECONDS": seconds}


def test_ctrl_c_in_a_terminal_lets_rows_finish_and_shows_what_is_waited_for(folder):
    table, command, env = slow(folder, seconds="1.5")
    terminal = Terminal(*command, cwd=folder, env=env)
    wait_for(lambda: terminal.read() and len(lines_of(folder / "started")) == 3)
    terminal.type(b"\x03")
    assert terminal.wait() == 130
    assert len(settled(table, "short")) == 3 == len(lines_of(folder / "started"))
    shown = terminal.seen
    assert "Ctrl-C again to end them now" in shown
    assert re.search(r"[1-3] rows? in flight \(longest: row \d+, [^)]+\)", shown)
    assert "resume: " in shown
    assert "Traceback" not in shown


def test_a_drain_counts_down_where_rows_have_a_timeout_and_ends_with_it(folder):
    _, command, env = slow(folder, seconds="60")
    terminal = Terminal(*command, "--timeout", 3, cwd=folder, env=env)
    wait_for(lambda: terminal.read() and len(lines_of(folder / "started")) == 3)
    terminal.type(b"\x03")
    assert terminal.wait() == 130
    counted = [int(seconds) for seconds in re.findall(r"at most (\d+) s more", terminal.seen)]
    assert len(set(counted)) >= 2
    assert counted == sorted(counted, reverse=True)
    assert max(counted) <= 3
    assert len(lines_of(folder / "started")) == 3


def test_a_drain_counts_how_long_it_has_waited_where_rows_may_run_for_ever(folder):
    _, command, env = slow(folder, seconds="60")
    terminal = Terminal(*command, cwd=folder, env=env)
    wait_for(lambda: terminal.read() and len(lines_of(folder / "started")) == 3)
    terminal.type(b"\x03")
    wait_for(lambda: len(set(re.findall(r"waited (\d+) s so far", terminal.read()))) >= 2)
    terminal.type(b"\x03")
    assert terminal.wait(10) == 130


def test_ctrl_c_twice_in_a_terminal_ends_at_once(folder):
    table, command, env = slow(folder, seconds="60")
    terminal = Terminal(*command, cwd=folder, env=env)
    wait_for(lambda: terminal.read() and len(lines_of(folder / "started")) == 3)
    workers = descendants(terminal.pid)
    terminal.type(b"\x03")
    wait_for(lambda: "Ctrl-C again" in terminal.read())
    terminal.type(b"\x03")
    assert terminal.wait(10) == 130
    wait_for(lambda: not alive(workers), 5)
    assert settled(table, "short") == {}


@pytest.mark.parametrize("progress", ["auto", "none"])
def test_sigterm_without_a_terminal_says_what_is_waited_for_and_how_to_end_it_now(folder, progress):
    _, command, env = slow(folder, seconds="60")
    run = start(*command, "--progress", progress, cwd=folder, env=env)
    wait_for(lambda: len(lines_of(folder / "started")) == 3)
    run.send_signal(signal.SIGTERM)
    said = next(line for line in run.stderr if line.startswith("stopping: "))
    assert re.search(r"3 rows in flight \(longest: row [1-3], \d+ s\), however long they take", said)
    assert "a second signal to end them now" in said
    run.send_signal(signal.SIGTERM)
    run.communicate(timeout=10)
    assert run.returncode == 143


def test_a_terminal_that_is_held_holds_up_neither_rows_nor_their_timeout(folder):
    table = numbered(folder / "data.csv", 100)
    command = ("process", table, "--task", "tasks.py:stuck", "--jobs", 2, "--timeout", 1.5, "--retries", 0)
    terminal = Terminal(*command, cwd=folder)
    wait_for(lambda: terminal.read() and len(lines_of(folder / "started")) >= 13)
    terminal.type(b"\x13")  # Ctrl-S: whoever writes waits
    wait_for(lambda: count_settled(table, "stuck") == 100)
    terminal.type(b"\x11")  # Ctrl-Q: go on
    assert terminal.wait() == 1
    assert "99" in terminal.seen


def test_an_output_that_nobody_reads_holds_up_no_row_and_is_whole_when_it_is_read(folder):
    (folder / "wordy.py").write_text(
        "import time\n\ndef f(row):\n    time.sleep(0.3)\n    raise ValueError('x' * 150)\n"
    )
    table = numbered(folder / "data.csv", 8)
    run = start(
        *("process", table, "--task", "wordy.py:f", "--retries", 0, "--progress", "live", "--jobs", 2, "--json"),
        cwd=folder, pipesize=4096,
    )  # fmt: skip
    wait_for(lambda: count_settled(table, "f") == 8)
    stdout, stderr = run.communicate(timeout=20)
    assert run.returncode == 1
    assert [record["event"] for record in records(stdout)] == ["start", "done"]
    assert "again: " in stderr


def test_a_closed_terminal_lets_rows_finish_like_sigterm(folder):
    table, command, env = slow(folder, seconds="1")
    terminal = Terminal(*command, cwd=folder, env=env)
    wait_for(lambda: terminal.read() and len(lines_of(folder / "started")) == 3)
    terminal.hang_up()
    assert terminal.wait() == 128 + signal.SIGHUP
    assert len(settled(table, "short")) == 3


def test_a_run_under_nohup_does_not_heed_a_hangup(folder):
    table, command, env = slow(folder, rows=6, seconds="0.5")
    ignoring = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *COMMAND, *map(str, command)]
    run = subprocess.Popen(ignoring, cwd=folder, env=environment(env), stderr=subprocess.PIPE, text=True)
    wait_for(lambda: len(lines_of(folder / "started")) == 3)
    run.send_signal(signal.SIGHUP)
    run.communicate(timeout=30)
    assert run.returncode == 0
    assert len(settled(table, "short")) == 6


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_stuck_import_can_be_interrupted(folder, signum):
    table = numbered(folder / "data.csv", 5)
    (folder / "stuck_import.py").write_text(SLOW_IMPORT)
    run = start("process", table, "--task", "stuck_import.py:f", cwd=folder)
    wait_for((folder / "importing").exists)
    workers = descendants(run.pid)
    run.send_signal(signum)
    _, stderr = run.communicate(timeout=10)
    assert run.returncode == 128 + signum
    assert "Traceback" not in stderr
    wait_for(lambda: not alive(workers), 5)


def test_the_reading_of_a_big_table_can_be_interrupted_and_changes_nothing(folder):
    table = write_table(folder / "data.csv", ((n, "x" * 50) for n in range(400_000)))
    run = start("process", table, "--task", "tasks.py:echo", cwd=folder)
    # The checkpoint is there a moment before the table is read.
    wait_for(lambda: list(folder.glob("data.csv.batchrun/echo.inflight")))
    run.send_signal(signal.SIGTERM)
    _, stderr = run.communicate(timeout=10)
    assert run.returncode == 143, stderr
    assert "nothing was changed" in stderr or "before any row ran" in stderr
    assert sum(record["rows"] for record in json.loads(batchrun("status", table, "--json").stdout)["tasks"]) == 0


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_row_that_rests_until_its_pause_ends_is_not_waited_for(folder, signum):
    run = resting(folder)
    run.send_signal(signum)
    stdout, _ = run.communicate(timeout=20)  # the pause takes five minutes
    assert run.returncode == 128 + signum
    assert records(stdout)[1]["left"] == 1


def loading(folder):
    """A run whose task is being imported."""
    (folder / "busy.py").write_text(SLOW_IMPORT)
    numbered(folder / "data.csv", 5)
    run = start("process", "data.csv", "--task", "busy.py:f", "--json", cwd=folder)
    wait_for((folder / "importing").exists)
    return run


def resting(folder):
    """A run whose only row rests, because the service has asked for it."""
    (folder / "busy.py").write_text(
        "import batchrun\n\ndef f(row):\n    open('tried', 'w').close()\n    raise batchrun.RetryLater(300)\n"
    )
    numbered(folder / "data.csv", 1)
    run = start("process", "data.csv", "--task", "busy.py:f", "--json", cwd=folder)
    wait_for((folder / "tried").exists)
    return run


def committing(folder):
    """A run that commits all the time."""
    (folder / "busy.py").write_text("def f(row):\n    return row\n")
    table = numbered(folder / "data.csv", 40_000)
    run = start("process", table, "--task", "busy.py:f", "--jobs", 2, "--no-output", cwd=folder)
    log = folder / "data.csv.batchrun/f.sqlite-wal"
    wait_for(lambda: log.exists() and log.stat().st_size > 500_000)
    return run


def exporting(folder):
    """A run that writes its results file."""
    (folder / "busy.py").write_text("def f(row):\n    return row\n")
    table = write_table(folder / "data.csv", ((n, "x" * 50) for n in range(25_000)))
    command = ("process", table, "--task", "busy.py:f", "--jobs", 2)
    assert batchrun(*command, "--no-output", cwd=folder).returncode == 0
    run = start(*command, "--json", cwd=folder)
    wait_for(lambda: list(folder.glob(".data.results*.part")))
    return run


@pytest.mark.parametrize("moment", [loading, resting, committing, exporting])
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_comes_twice_ends_any_moment_in_order(folder, moment, signum):
    run = moment(folder)
    family = descendants(run.pid)
    run.send_signal(signum)
    time.sleep(0.02)
    run.send_signal(signum)
    _, stderr = run.communicate(timeout=20)
    # The second one may come when the run has ended in order, and the process is about to leave.
    assert run.returncode in (128 + signum, -signum), stderr
    assert "Traceback" not in stderr
    wait_for(lambda: not alive(family), 5)
    assert not list(folder.glob(".data.results*.part"))
    assert batchrun("verify", "data.csv", cwd=folder).returncode in (0, 1, 2)
    if moment in (committing, exporting):
        again = batchrun("process", "data.csv", "--task", "busy.py:f", "--jobs", 2, "--no-output", cwd=folder)
        assert again.returncode == 0, again.stderr
        assert batchrun("verify", "data.csv", cwd=folder).returncode == 0


@pytest.mark.parametrize("module", ["batchrun.errors", "batchrun.checkpoint.checkpoint", "batchrun.engine.local.lanes"])
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_program_is_loaded_ends_it_without_a_traceback(folder, signum, module):
    numbered(folder / "data.csv", 5)
    command = [*COMMAND, "process", "data.csv", "--task", "tasks.py:double"]
    command[1:1] = ["-X", "importtime"]  # tells on stderr what has been loaded
    run = subprocess.Popen(command, cwd=folder, env=environment(), stderr=subprocess.PIPE, text=True)
    loaded = next(line for line in run.stderr if line.split("|")[-1].strip() == module)
    run.send_signal(signum)
    _, stderr = run.communicate(timeout=20)
    assert loaded
    assert run.returncode in (-signum, 128 + signum), stderr
    assert "Traceback" not in stderr
    assert not (folder / "started").exists()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_results_are_written_leaves_the_old_file_and_every_row(folder, signum):
    table = write_table(folder / "data.csv", ((n, "x" * 50) for n in range(25_000)))
    command = ("process", table, "--task", "tasks.py:echo", "--jobs", 2)
    assert batchrun(*command, "--limit", 3, cwd=folder).returncode == 0
    results = folder / "data.results.csv"
    old = results.read_bytes()
    assert batchrun(*command, "--no-output", cwd=folder).returncode == 0
    run = start(*command, cwd=folder)
    wait_for(lambda: list(folder.glob(".data.results*.part")))
    run.send_signal(signum)
    _, stderr = run.communicate(timeout=20)
    assert run.returncode == 128 + signum, stderr
    assert "Traceback" not in stderr
    assert results.read_bytes() == old
    assert not list(folder.glob(".data.results*.part"))
    assert batchrun(*command, cwd=folder).returncode == 0
    assert len(results.read_text().splitlines()) == 25_001


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_signals_during_commits_lose_nothing_that_has_ended(folder, signum):
    table = numbered(folder / "data.csv", 20_000)
    run = start("process", table, "--task", "tasks.py:double", "--jobs", 2, "--no-output", cwd=folder)
    wait_for(lambda: len(lines_of(folder / "started")) > 3000)
    run.send_signal(signum)
    run.communicate(timeout=20)
    assert run.returncode in (0, 128 + signum)
    found = settled(table, "double")
    assert len(found) == len(lines_of(folder / "started"))
    assert all(result["double"] == 2 * row for row, (_, result) in found.items())


def catches(pid, signum):
    """Whether a process has a handler for a signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("SigCgt:")[2].split()[0], 16) >> (signum - 1) & 1


def test_waiting_for_another_run_can_be_interrupted(folder):
    _, command, env = slow(folder, seconds="60")
    first = start(*command, cwd=folder, env=env)
    wait_for(lambda: len(lines_of(folder / "started")) == 3)
    second = start(*command, "--if-running", "wait", cwd=folder)
    wait_for(lambda: catches(second.pid, signal.SIGTERM))
    second.send_signal(signal.SIGTERM)
    _, stderr = second.communicate(timeout=20)
    kill(first)
    assert second.returncode == 143, stderr


def test_the_lock_is_free_when_its_holder_is_dead_though_what_a_row_started_lives_on(folder):
    (folder / "daemon.py").write_text(
        "import subprocess, time\n\ndef f(row):\n"
        "    child = subprocess.Popen(['sleep', '30'], start_new_session=True)\n"
        "    open('child', 'w').write(str(child.pid))\n    time.sleep(60)\n"
    )
    table = numbered(folder / "data.csv", 1)
    run = start("process", table, "--task", "daemon.py:f", cwd=folder)
    child = int(wait_for(lambda: lines_of(folder / "child"))[0])
    try:
        kill(run)
        os.kill(child, 0)
        lock = os.open(folder / "data.csv.batchrun/f.lock", os.O_RDWR)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(lock)
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_lock_file_that_was_deleted_or_left_behind_means_nothing(folder):
    table = numbered(folder / "data.csv", 3)
    (folder / "data.csv.batchrun").mkdir()
    lock = folder / "data.csv.batchrun/double.lock"
    lock.write_text("12345")
    command = ("process", table, "--task", "tasks.py:double")
    assert batchrun(*command, cwd=folder).returncode == 0
    lock.unlink()
    assert batchrun(*command, cwd=folder).returncode == 0


def test_asking_for_the_status_all_the_time_never_keeps_a_run_from_starting(folder):
    table = numbered(folder / "data.csv", 3)
    command = ("process", table, "--task", "tasks.py:double", "--no-output")
    assert batchrun(*command, cwd=folder).returncode == 0
    asking = "from batchrun.checkpoint.lock import *; import sys\nwhile True: is_held(Path(sys.argv[1]))"
    lock = folder / "data.csv.batchrun/double.lock"
    nosy = subprocess.Popen([COMMAND[0], "-c", asking, lock])
    try:
        assert [batchrun(*command, cwd=folder).returncode for _ in range(5)] == [0] * 5
    finally:
        nosy.kill()
        nosy.wait()


READ = """

def short(row):
    note(row)
    if row["id"] == 3:
        raise ValueError("no luck with 3")
    while row["id"] == 400 and not STARTED.with_name("go").exists():
        time.sleep(0.01)
    time.sleep(0.005)
    return {"double": row["id"] * 2}
"""


def test_readers_beside_a_run_see_it_whole_and_do_not_hold_it_up(folder):
    table, command, env = slow(folder, rows=400, seconds="0.01")
    (folder / "tasks.py").write_text((folder / "tasks.py").read_text() + READ)
    run = start(*command, "--json", "--retries", 0, cwd=folder, env=env)
    wait_for(lambda: {1, 3} <= settled(table, "short").keys() if count_settled(table, "short") else False)
    ways = {
        "status": ("--json",),
        "errors": ("--json",),
        "show": (1, "--json"),
        "report": ("-o", "-"),
        "export": ("-o", "-"),
        "verify": (),
    }
    read = {name: batchrun(name, table, *options, cwd=folder) for name, options in ways.items()}
    going_on = run.poll() is None
    (folder / "go").touch()
    stdout, stderr = run.communicate(timeout=60)
    assert going_on, stderr
    assert read.pop("verify").returncode in (0, 1)
    assert {name: ran.returncode for name, ran in read.items()} == dict.fromkeys(read, 0), read
    assert '"running": true' in read["status"].stdout
    assert json.loads(read["errors"].stdout)[0]["rows"] == [3]
    assert json.loads(read["show"].stdout)["result"] == {"double": 2}
    assert "no luck with 3" in read["report"].stdout
    assert len(read["export"].stdout.splitlines()) == 401
    assert run.returncode == 1, stderr
    assert records(stdout)[1]["ran"] == 400


@pytest.mark.parametrize("how", ["fail", "skip"])
def test_whoever_meets_a_held_lock_is_told_which_process_holds_it(folder, how):
    table = numbered(folder / "data.csv", 20)
    command = ("process", table, "--task", "tasks.py:short", "--jobs", 1, "--no-output")
    run = start(*command, cwd=folder, env={"SECONDS": "0.2"})
    wait_for(lambda: lines_of(folder / "started"))
    met = batchrun(*command, "--if-running", how, cwd=folder)
    assert met.returncode == (75 if how == "fail" else 0)
    assert f"another run (process {run.pid}) " in met.stderr
    kill(run)
