"""The log and the failed attempts of a row take no more room than is said, whatever a task prints and raises."""

import pytest
from support import batchrun, database, numbered

from batchrun.checkpoint.checkpoint import KEPT_TRACEBACKS
from batchrun.checkpoint.damage import checked_records
from batchrun.checkpoint.log import Log, older
from batchrun.checkpoint.opening import opened
from batchrun.checkpoint.reading import failures_of
from batchrun.checkpoint.records import Failure, Settled
from batchrun.core.states import DONE, FAILED

MOST = 10_000


def test_a_log_of_full_size_is_kept_as_the_older_one_and_a_new_one_begins(tmp_path):
    path = tmp_path / "task.log"
    with Log(path, most=MOST) as log:
        for n in range(2000):
            log.say(f"line {n:,} of many")
    sizes = [file.stat().st_size for file in (older(path), path)]
    assert MOST <= sizes[0] < MOST + 100
    assert sizes[1] < MOST
    assert {file.name for file in tmp_path.iterdir()} == {"task.log", "task.log.1"}
    lines = (older(path).read_text() + path.read_text()).splitlines()
    assert [line.split("line ")[1] for line in lines] == [f"{n:,} of many" for n in range(2000 - len(lines), 2000)]


def test_a_log_goes_on_where_an_earlier_run_ended(tmp_path):
    path = tmp_path / "task.log"
    for _ in range(2):
        with Log(path, most=MOST) as log:
            log.say("x" * 6000)
    assert not path.exists()
    assert older(path).read_text().count("x" * 6000) == 2
    assert older(path).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("task", ["double", "misspelt"])
def test_fresh_begins_a_new_log_and_keeps_the_old_one_with_the_old_checkpoint(folder, task):
    table = numbered(folder / "data.csv", 2)
    batchrun("process", table, "-t", "tasks.py:double", cwd=folder)
    log = database(table, "double").with_suffix(".log")
    log.write_text("as it was\n")
    ran = batchrun("process", table, "-t", f"tasks.py:{task}", "--name", "double", "--fresh", cwd=folder)
    aside = [file.read_text() for file in log.parent.glob("double.*.old.log")]
    if task == "double":
        assert (ran.returncode, aside, "as it was" in log.read_text()) == (0, ["as it was\n"], False)
    else:
        assert (ran.returncode, aside, log.read_text()) == (2, [], "as it was\n")


def failure(attempt):
    return Failure(1, attempt, 1e9, 0.1, 0, "exception", f"no {attempt}", "ValueError", None, f"trace {attempt}", None)


def test_of_a_rows_many_failed_attempts_the_latest_keep_their_tracebacks(tmp_path):
    with opened(tmp_path / "task.sqlite", write=True) as checkpoint:
        task = checkpoint.task_id("1", "tasks.py:f")
        for attempt in range(1, 31):
            checkpoint.write(1, [], [failure(attempt)])
        found = failures_of(checkpoint.db, 1)
        assert [one.message for one in found] == [f"no {n}" for n in range(1, 31)], "all are known"
        assert [one.attempt for one in found if one.traceback] == [*range(31 - KEPT_TRACEBACKS, 31)]
        checkpoint.write(1, [Settled(1, bytes(16), None, FAILED, 31, task, 0.1, failure=failure(31))], [])
        for attempt in range(32, 45):
            checkpoint.write(2, [], [failure(attempt)])
            assert [wrong for *_, wrong in checked_records(checkpoint.db, 1)] == [None]
        kept = [one.attempt for one in failures_of(checkpoint.db, 1) if one.traceback]
        assert kept == [31, *range(45 - KEPT_TRACEBACKS, 45)], "the one that it stands with is sealed with it"
        checkpoint.write(2, [Settled(1, bytes(16), None, DONE, 45, task, 0.1, b"1")], [failure(45)])
        assert [one.attempt for one in failures_of(checkpoint.db, 1) if one.traceback] == [*range(41, 46)]
