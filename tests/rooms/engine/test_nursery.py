"""The nursery: the process that every lane's worker is forked from."""

import os
import signal
import subprocess
import sys

import pytest
from support import batchrun, environment, numbered, settled

from batchrun.engine.local.nursery import Nursery, NurseryDied, say
from batchrun.engine.worker_setup import WorkerSetup

CRIPPLED = "import sys; sys.executable = '/nowhere/python'; from batchrun.__main__ import main; main()"


def run_where_no_process_starts(table):
    command = [sys.executable, "-c", CRIPPLED, "process", table, "--task", "tasks.py:double"]
    return subprocess.run(
        command, cwd=table.parent, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )


def test_a_finished_job_starts_no_process(folder):
    table = numbered(folder / "data.csv", 5)
    batchrun("process", table, "--task", "tasks.py:double", cwd=folder)
    assert run_where_no_process_starts(table).returncode == 0


def test_that_no_process_can_be_started_ends_the_run_with_the_rows_left(folder):
    ran = run_where_no_process_starts(numbered(folder / "data.csv", 5))
    assert ran.returncode == 3, ran.stderr
    assert "/nowhere/python does not start" in ran.stderr


def test_a_coordinator_that_dies_amid_a_question_leaves_nothing_behind_and_no_traceback(tmp_path, capfd):
    nursery = Nursery()
    setup = WorkerSetup("repair", str(tmp_path / "inflight"), strict=False, accept_truncated=False)
    pipes = [end for _ in range(4) for end in os.pipe()]
    try:
        os.kill(nursery._pid, signal.SIGSTOP)
        say(nursery._socket, ("start", setup), [pipes[0], pipes[3], pipes[5], pipes[7]])
        nursery._socket.close()
        os.kill(nursery._pid, signal.SIGCONT)
        ended = os.waitid(os.P_PID, nursery._pid, os.WEXITED | os.WNOWAIT)
        assert (ended.si_code, ended.si_status) == (os.CLD_EXITED, 0)
    finally:
        nursery.close()
        for end in pipes:
            os.close(end)
    assert capfd.readouterr().err == ""


def test_a_nursery_that_has_not_answered_is_asked_nothing_more(tmp_path):
    """Each further question would be waited for as long, and a late answer would be taken for that of another."""
    nursery = Nursery()
    setup = WorkerSetup("repair", str(tmp_path / "inflight"), strict=False, accept_truncated=False)
    pipes = [end for _ in range(4) for end in os.pipe()]
    try:
        worker = nursery.start(setup, [pipes[0], pipes[3], pipes[5], pipes[7]])
        os.kill(nursery._pid, signal.SIGSTOP)
        os.kill(worker, signal.SIGKILL)
        patience = nursery._socket.gettimeout()
        nursery._socket.settimeout(0.01)
        with pytest.raises(NurseryDied):
            nursery.reap(worker)
        nursery._socket.settimeout(patience)
        os.kill(nursery._pid, signal.SIGCONT)
        with pytest.raises(NurseryDied):
            nursery.reap(worker)
    finally:
        nursery.close()
        for end in pipes:
            os.close(end)


LARGE = """
import sys
import batchrun

WORDS = {n: f"word {n}" for n in range(int(sys.argv[1]))}

def look_up(row):
    return {"word": WORDS[row["id"]], "arguments": sum(map(len, sys.argv[2:]))}

batchrun.process("data.csv", task=look_up, name="look_up", progress="none")
"""


@pytest.mark.parametrize(("entries", "arguments"), [(100_000, 0), (10, 20)], ids=["a large task", "many arguments"])
def test_a_task_and_arguments_of_any_size_reach_the_workers(folder, entries, arguments):
    table = numbered(folder / "data.csv", 3)
    (folder / "script.py").write_text(LARGE)
    command = [sys.executable, "script.py", str(entries), *["x" * 60_000] * arguments]
    ran = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    told = 60_000 * arguments
    assert settled(table, "look_up") == {n: (1, {"word": f"word {n}", "arguments": told}) for n in range(1, 4)}
