"""A run ends with the code that it began with, whatever becomes of the task's files meanwhile."""

import pytest
from support import batchrun, lines_of, numbered, settled

from batchrun.errors import ChangedError
from batchrun.run.rules import Rules
from batchrun.task.kept_code import content_digest, contents_as_begun

TASK = """
import os
from pathlib import Path
import helper
from parts import piece

VERSION = "old"

def task(row):
    if row["id"] == 3:
        here = Path(__file__).parent
        for name in ("work.py", "helper.py", "parts/piece.py", "parts/__init__.py"):
            path = here / name
            text = path.read_text()
            EDIT
    if row["id"] in (4, 7):
        os._exit(1)
    if row["id"] == 9:
        raise ValueError("look at this line")
    return {"code": VERSION + helper.VERSION + piece.VERSION}
"""
EDITS = {
    "edited": 'path.write_text(text.replace("old", "newer").replace("# line", ""))',
    "broken": 'path.write_text("this is no Python (")',
    "deleted": "path.unlink()",
    "replaced": 'other = path.with_suffix(".tmp"); other.write_text(text.replace("old", "newer")); other.replace(path)',
}


def lay_out(folder, edit, rows=12):
    (folder / "work.py").write_text(TASK.replace("EDIT", edit))
    (folder / "helper.py").write_text('VERSION = "old"\n')
    (folder / "parts").mkdir()
    (folder / "parts" / "__init__.py").write_text("# of old\n")
    (folder / "parts" / "piece.py").write_text('VERSION = "old"\n')
    return numbered(folder / "data.csv", rows)


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("args", [(), ("--task-version", "1")])
def test_workers_that_start_later_run_the_code_that_the_run_began_with(folder, edit, args):
    table = lay_out(folder, EDITS[edit])
    command = ("process", table, "--task", "work.py:task", "--no-output", "--retries", 0, "--jobs", 1, *args)
    ran = batchrun(*command, cwd=folder)
    assert ran.returncode == 1, ran.stderr
    kept = settled(table, "task")
    assert {position: value["code"] for position, (_, value) in kept.items() if value} == dict.fromkeys(
        set(range(1, 13)) - {4, 7, 9}, "oldoldold"
    )
    assert "changed during the run; this run continues with the old version" in ran.stderr
    assert 'raise ValueError("look at this line")' in batchrun("show", table, 9).stdout


def test_the_next_run_takes_the_edit_in_as_another_version(folder):
    table = lay_out(folder, EDITS["edited"])
    command = ("process", table, "--task", "work.py:task", "--no-output", "--retries", 0, "--jobs", 1)
    batchrun(*command, cwd=folder)
    again = batchrun(*command, "--on-change", "redo", "--retry", "all", cwd=folder)
    kept = settled(table, "task")
    assert kept[1][1] == {"code": "newernewernewer"}
    assert "this run continues with the old version" not in again.stderr


def test_what_was_edited_before_the_first_row_is_said_and_nothing_runs(tmp_path):
    path = tmp_path / "work.py"
    path.write_text("old")
    sources = ((str(path), content_digest(b"old")), (str(tmp_path / "in.zip/x.py"), ""))
    assert contents_as_begun(sources) == {str(path): b"old"}
    path.write_text("new")
    with pytest.raises(ChangedError, match=r"work\.py was changed"):
        contents_as_begun(sources)


def test_only_files_that_the_run_knows_with_other_content_are_edited_ones():
    rules = Rules(None, None, 1, 1, sources=(("a.py", "1"), ("b.py", "2")))
    assert rules.edited([("a.py", "1"), ("b.py", "2"), ("made_by_the_task.py", "3")]) == []
    assert rules.edited([("a.py", "1"), ("b.py", "9")]) == ["b.py"]


EDITED_WHERE_NOBODY_KEEPS_IT = """
import os, sys
from pathlib import Path

def task(row):
    with open(STARTED, "a") as file:
        file.write("old\\n")
    if row["id"] == 3:
        Path(__file__).write_text(Path(__file__).read_text().replace("old", "newer") + "#" * (5 << 20))
        os._exit(1)
    return 1
"""


def test_a_worker_with_other_code_gets_no_row_and_the_run_ends_with_the_way_on(folder):
    started = folder / "started"
    text = EDITED_WHERE_NOBODY_KEEPS_IT.replace("STARTED", repr(str(started)))
    (folder / "work.py").write_text(text + "#" * (5 << 20))  # more than is kept
    table = numbered(folder / "data.csv", 10)
    command = ("process", table, "--task", "work.py:task", "--no-output", "--retries", 0, "--jobs", 1)
    ran = batchrun(*command, cwd=folder)
    assert ran.returncode == 2
    assert f"{folder / 'work.py'}: changed since the run began" in ran.stderr
    assert "the same command resumes" in ran.stderr
    assert lines_of(started) == ["old"] * 3
    again = batchrun(*command, cwd=folder)
    assert again.returncode == 1  # row 3 has crashed
    assert lines_of(started) == ["old"] * 3 + ["newer"] * 7
