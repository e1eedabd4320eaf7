"""Workers for which no row is left end while the last rows run."""

import pytest
from support import NOTE, alive, descendants, lines_of, numbered, settled, start, starts, wait_for

from batchrun.core.states import DONE

TASKS = (
    NOTE
    + """
import atexit, os, signal, time

def say_goodbye():
    with open("goodbyes", "a") as file:
        print(os.getpid(), file=file)

atexit.register(say_goodbye)

def last(row):
    note(row)
    while row["id"] == 1 and not Path("go").exists():
        time.sleep(0.01)
    return row["id"]

def crashing(row):
    before = Path("started").read_text().splitlines() if Path("started").exists() else []
    note(row)
    while row["id"] == 1 and not Path("go").exists():
        time.sleep(0.01)
    if row["id"] == 1 and not any(line.startswith("1 ") for line in before):
        os.kill(os.getpid(), signal.SIGKILL)
    return row["id"]

async def waiting(row):
    import asyncio
    note(row)
    while row["id"] == 1 and not Path("go").exists():
        await asyncio.sleep(0.01)
    return row["id"]
"""
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tasks.py").write_text(TASKS)
    return tmp_path


@pytest.mark.parametrize(
    ("task", "more", "left"), [("last", (), 3), ("last", ("--threads", 2), 1), ("waiting", (), None)], ids=str
)
def test_workers_without_rows_end_in_order_while_the_last_row_runs(folder, task, more, left):
    table = numbered(folder / "data.csv", 20)
    run = start("process", table, "--task", f"tasks.py:{task}", "--jobs", 4, *more, cwd=folder)
    goodbyes = folder / "goodbyes"
    wait_for(lambda: goodbyes.exists() and (left is None or len(lines_of(goodbyes)) == left))
    assert run.poll() is None
    workers = descendants(run.pid)
    (folder / "go").touch()
    _, errors = run.communicate(timeout=30)
    assert run.returncode == 0, errors
    assert not alive(workers)
    assert settled(table, task) == {n: (DONE, n) for n in range(1, 21)}
    assert set(starts(folder).values()) == {1}


def test_a_last_row_that_kills_its_worker_is_tried_again_when_all_others_have_left(folder):
    table = numbered(folder / "data.csv", 20)
    run = start("process", table, "--task", "tasks.py:crashing", "--jobs", 4, cwd=folder)
    wait_for(lambda: (folder / "goodbyes").exists() and len(lines_of(folder / "goodbyes")) == 3)
    (folder / "go").touch()
    _, errors = run.communicate(timeout=30)
    assert run.returncode == 0, errors
    assert settled(table, "crashing") == {n: (DONE, n) for n in range(1, 21)}
    assert starts(folder) == {1: 2} | dict.fromkeys(range(2, 21), 1)
