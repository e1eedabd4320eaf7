"""`batchrun show`: all that is known of one row, and why it will or will not run next time."""

import json
import signal

import pytest
from support import batchrun, kill, lines_of, numbered, start, wait_for, write_table

from batchrun.checkpoint.bind import open_bound
from batchrun.checkpoint.opening import opened
from batchrun.checkpoint.places import find
from batchrun.checkpoint.records import Stretch
from batchrun.core.states import CRASHED, DONE, FAILED, LEFT, SKIPPED, TIMED_OUT
from batchrun.options.sources import resolve
from batchrun.outcome.next_run import Standing, runs_next_time
from batchrun.outcome.row import inspect
from batchrun.run.plan import Policy, make_plan

TASK = """
import os, sys, time
from pathlib import Path
import batchrun

def task(row):
    n = row["id"]
    if n == 2:
        raise batchrun.Skip("an even prime")
    if n == 3:
        raise ValueError("no luck")
    if n == 4:
        print("about to abort", file=sys.stderr)
        os.abort()
    if n == 5 and batchrun.current().attempt == 1:
        return "so it is:"
    if n == 5:
        return 'so it is: {"big": 123456789012345678901234567890}'
    if n == 6:
        time.sleep(60)
    if n == 7:
        return "not at all"
    return {"double": n * 2}
"""


def show(table, row, env=None):
    """What the command prints with --json; without a process, for the sake of time."""
    settings = resolve({}, env or {}, table.parent)
    places = find(table, None, None)
    with opened(places.checkpoint, write=False) as checkpoint:
        return inspect(checkpoint, open_bound(checkpoint, table), row, places, settings)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Eight rows that ended in all ways there are."""
    folder = tmp_path_factory.mktemp("show")
    (folder / "tasks.py").write_text(TASK)
    table = numbered(folder / "data.csv", 8)
    options = ("--reply", "json", "--retries", 1, "--timeout", 1, "--no-output", "--jobs", 3)
    ran = batchrun("process", table, "-t", "tasks.py:task", *options, cwd=folder)
    assert ran.returncode == 1, ran.stderr
    return table


@pytest.mark.parametrize(
    ("row", "status", "will_run", "why"),
    [
        (1, "done", False, "it is done: it will not run again"),
        (2, "skipped", False, "the task skipped it: it will not run again"),
        (3, "failed", True, "it failed: the next run tries it again (--retry failed, the default)"),
        (4, "crashed", False, "quarantined: it killed its worker 2 times, and runs again only with --retry crashed"),
        (6, "timed_out", True, "it timed out: the next run tries it again (--retry failed, the default)"),
    ],
)
def test_each_state_has_its_outlook(table, row, status, will_run, why):
    found = show(table, row)
    assert (found["status"], found["will_run"], found["next"]) == (status, will_run, why)


def test_the_outlook_counts_what_is_configured(table):
    assert "stays so (--retry none)" in show(table, 3, env={"BATCHRUN_RETRY": "none"})["next"]
    found = show(table, 4, env={"BATCHRUN_RETRY": "all"})
    assert (found["will_run"], found["next"]) == (
        True, "it killed its worker 2 times: the next run tries it again (--retry all)",
    )  # fmt: skip


def test_every_attempt_has_its_time_and_lane(table):
    found = show(table, 5)
    assert [attempt["attempt"] for attempt in found["failed_attempts"]] == [1]
    assert found["failed_attempts"][0]["raw"] == "so it is:"
    assert found["at"] > found["failed_attempts"][0]["at"] > 1_700_000_000
    assert 1 <= found["lane"] <= 3
    told = batchrun("show", table, 5).stdout
    assert "row 5: done, 2 attempts" in told
    lines = told.partition("\nattempts\n")[2].splitlines()
    assert lines[0].strip().startswith("1  20")
    assert "lane" in lines[0]
    assert lines[0].endswith("no_json: there is no JSON in the reply: 'so it is:'")
    assert lines[1].strip().startswith("2  20")
    assert lines[1].endswith(": done")


def test_the_reply_is_shown_as_it_came_and_as_it_was_read_to_the_last_digit(table):
    found = show(table, 5)
    assert found["raw"] == 'so it is: {"big": 123456789012345678901234567890}'
    assert (found["how"], found["result"]) == ("embedded", {"big": 123456789012345678901234567890})
    told = batchrun("show", table, 5).stdout
    assert "result (embedded)\n  {\n    " in told
    assert '"big": 123456789012345678901234567890' in told


def test_a_reply_that_could_not_be_read_is_shown(table):
    assert show(table, 7)["raw"] == "not at all"
    assert "reply, as it came\n  not at all" in batchrun("show", table, 7).stdout


def test_the_last_words_of_a_worker_and_the_reason_of_a_skip_are_shown(table):
    assert "about to abort" in batchrun("show", table, 4).stdout
    assert "note: an even prime" in batchrun("show", table, 2).stdout
    assert 'tasks.py", line' in batchrun("show", table, 3).stdout


def test_what_a_row_printed_is_shown_and_nothing_of_other_rows(tmp_path):
    (tmp_path / "tasks.py").write_text(
        "def task(row):\n"
        "    print('[row 1] is what', row['id'], 'says')\n"
        "    for n in range(30):\n"
        "        print('line', n)\n"
    )
    table = numbered(tmp_path / "data.csv", 12)
    batchrun("process", table, "-t", "tasks.py:task", "--no-output", cwd=tmp_path)
    assert show(table, 1)["printed"] == [f"line {n}" for n in range(10, 30)]
    told = batchrun("show", table, 11).stdout
    assert "\nprinted\n  line 10\n" in told
    assert "[row 1]" not in told


def test_the_command_line_of_a_row_is_shown_as_it_could_be_typed(tmp_path):
    table = write_table(tmp_path / "data.csv", [[1, "two words"]])
    batchrun("process", table, "--command", "echo {text}", "--no-output")
    found = show(table, 1)
    assert (found["sent"], found["run"], found["model"], found["tokens"]) == ("echo 'two words'", 1, None, None)
    assert "\nsettled by run 1\n" in (told := batchrun("show", table, 1).stdout)
    assert "\nsent\n  echo 'two words'\n" in told


def test_the_type_of_an_error_is_said(table):
    assert "exception: ValueError: no luck" in batchrun("show", table, 3).stdout


def test_json_is_utf_8_whatever_the_terminal_has(tmp_path):
    table = write_table(tmp_path / "data.csv", [[1, "機場"]])
    batchrun("process", table, "-t", "repair", "--no-output")
    told = batchrun("show", table, 1, "--json", env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}).stdout
    assert json.loads(told)["input"]["text"] == "機場"
    assert "\\u6a5f" in batchrun("show", table, 1, env={"PYTHONIOENCODING": "ascii"}).stdout


@pytest.mark.parametrize(("row", "code"), [(0, 2), (9, 2), ("x", 2)])
def test_a_row_that_is_not_there_is_refused(table, row, code):
    done = batchrun("show", table, row)
    assert done.returncode == code
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_changed_code_is_said_before_and_after_the_next_run(folder):
    table = numbered(folder / "data.csv", 3)
    command = ("process", table, "-t", "tasks.py:failing", "--retries", 0, "--no-output")
    batchrun(*command, cwd=folder)
    assert "changed" not in show(table, 1)["next"]
    with (folder / "tasks.py").open("a") as file:
        file.write("\n# another version\n")
    told = "it is done: it will not run again; the task has changed since: --on-change redo runs it again"
    assert show(table, 1)["next"] == told
    batchrun(*command, "--retry", "none", cwd=folder)
    assert show(table, 1)["next"] == told
    assert show(table, 3)["next"].endswith("(--retry failed, the default); the task has changed since")
    redo = show(table, 1, env={"BATCHRUN_ON_CHANGE": "redo"})
    assert (redo["will_run"], "again (--on-change redo)" in redo["next"]) == (True, True)
    batchrun(*command, "--on-change", "redo", cwd=folder)
    assert show(table, 1)["next"] == "it is done: it will not run again"


def test_going_back_to_an_older_version_of_the_task_is_no_change_for_its_rows(folder):
    table = numbered(folder / "data.csv", 2)
    command = ("process", table, "-t", "tasks.py:echo", "--no-output")
    batchrun(*command, "--task-version", "1", "--rows", 1, cwd=folder)
    batchrun(*command, "--task-version", "2", "--rows", 2, cwd=folder)
    batchrun(*command, "--task-version", "1", "--limit", 0, cwd=folder)
    assert "changed" not in show(table, 1)["next"]
    assert "the task has changed since" in show(table, 2)["next"]


def test_new_content_under_the_same_key_is_said(folder):
    table = numbered(folder / "data.csv", 3)
    command = ("process", table, "-t", "tasks.py:echo", "--key", "id", "--no-output")
    batchrun(*command, cwd=folder)
    table.write_text(table.read_text().replace("text 2", "another text"))
    batchrun(*command, cwd=folder)
    assert show(table, 2)["next"].endswith("; its content has changed since: --on-change redo runs it again")
    assert "changed" not in show(table, 1)["next"]


def test_a_table_that_has_changed_since_is_refused_with_what_to_do(folder):
    table = numbered(folder / "data.csv", 3)
    batchrun("process", table, "-t", "repair", "--no-output")
    table.write_text(table.read_text() + "4,more\n")
    done = batchrun("show", table, 1)
    assert done.returncode == 2
    assert "--limit 0" in done.stderr
    batchrun("process", table, "-t", "repair", "--limit", 0, "--no-output")
    assert show(table, 4)["next"] == "it has not been settled: the next run runs it"


def test_a_row_that_is_executing_says_for_how_long_and_what_a_crash_of_the_run_means_for_it(folder):
    table = numbered(folder / "data.csv", 2)
    running = start(
        "process", table, "-t", "tasks.py:short", "-j", 1, "--no-output", cwd=folder, env={"SECONDS": "60"},
    )  # fmt: skip
    try:
        wait_for(lambda: lines_of(folder / "started"))
        assert show(table, 1)["next"].startswith("it has been running for ")
        assert show(table, 2)["next"] == "it has not been settled: the current run will run it"
    finally:
        kill(running)
    assert "it was running when the last run died" in show(table, 1)["next"]


def test_attempts_of_a_row_that_an_interrupted_run_left_are_counted(folder):
    (folder / "waits.py").write_text(
        "from pathlib import Path\n"
        "def task(row):\n"
        "    with open('tries', 'a') as file: file.write('x')\n"
        "    raise ValueError('no')\n"
    )
    table = numbered(folder / "data.csv", 1)
    running = start("process", table, "-t", "waits.py:task", "--retries", 20, "--no-output", cwd=folder)
    wait_for(lambda: (folder / "tries").exists() and len((folder / "tries").read_text()) >= 2)
    wait_for(lambda: len(show(table, 1)["failed_attempts"]) >= 2)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    found = show(table, 1)
    tried = len(found["failed_attempts"])
    assert found["status"] == "left"
    assert found["next"] == (
        f"{tried} attempts failed and it is not settled: the next run runs it, with attempt {tried + 1}"
    )


@pytest.mark.parametrize("status", [LEFT, DONE, FAILED, TIMED_OUT, CRASHED, SKIPPED])
@pytest.mark.parametrize("retry", ["failed", "crashed", "all", "none"])
@pytest.mark.parametrize("on_change", ["keep", "redo"])
@pytest.mark.parametrize("stale", [False, True])
def test_the_outlook_of_a_row_is_what_the_plan_does(status, retry, on_change, stale):
    settled = [Stretch(1, 1, status, 1)] if status != LEFT else []
    plan = make_plan(1, settled, Policy(retry, on_change == "redo"), task=2 if stale else 1)
    will_run, why = runs_next_time(Standing(status, task_changed=stale, deaths=1), retry, on_change)
    assert will_run == bool(plan.to_run), why
