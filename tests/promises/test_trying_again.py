"""Try three rows, fix the task, try the same three: only what was asked for runs again, all else keeps its results."""

import json

import pytest
from support import batchrun, lines_of, numbered, records

TASK = """
from tasks import note


def answer(row):
    note(row)
    return {"version": VERSION, "id": row["id"]}
"""


def write(folder, version):
    (folder / "own.py").write_text(TASK.replace("VERSION", str(version)))


def versions(folder):
    """Row -> the version of the task that its result comes from; None where there is none."""
    done = batchrun("export", "data.csv", "-o", "-", "--format", "jsonl", cwd=folder)
    return [(json.loads(line)["result"] or {}).get("version") for line in done.stdout.splitlines()]


def process(folder, *more):
    return batchrun("process", "data.csv", "--task", "own.py:answer", "--no-output", "--json", *more, cwd=folder)


def test_the_same_rows_are_tried_again_after_a_fix_and_then_all_others(folder):
    numbered(folder / "data.csv", 6)
    write(folder, 1)
    assert process(folder, "--limit", 3).returncode == 0
    write(folder, 2)
    again = process(folder, "--limit", 3, "--redo")
    assert records(again.stdout)[1]["ran"] == 3
    assert "0 done, 3 new, 3 to run again; limited to 3" in again.stderr
    assert versions(folder) == [2, 2, 2, None, None, None]
    assert records(process(folder).stdout)[1]["ran"] == 3
    assert versions(folder) == [2] * 6


def test_redo_of_some_rows_leaves_the_results_of_all_others(folder):
    numbered(folder / "data.csv", 6)
    write(folder, 1)
    assert process(folder).returncode == 0
    write(folder, 2)
    assert records(process(folder, "--rows", "2,5-6", "--redo").stdout)[1]["ran"] == 3
    assert versions(folder) == [1, 2, 1, 1, 2, 2]


def test_a_changed_command_is_tried_on_the_same_rows_though_others_hold_results_of_the_old_one(folder):
    numbered(folder / "data.csv", 4)
    command = ("process", "data.csv", "--no-output", "--json", "--command")
    assert batchrun(*command, "echo {id}", cwd=folder).returncode == 0
    other = batchrun(*command, "echo -n {id}", "--limit", 2, "--redo", cwd=folder)
    assert other.returncode == 0, other.stderr
    assert records(other.stdout)[1]["ran"] == 2
    assert "2 rows were settled under another version of the task" in other.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--redo"], "add --limit N (the table's first N) or --rows"),
        (["--fresh", "--redo", "--rows", 1], "--fresh runs all rows\n  → leave one of them out"),
        (["--reparse", "--redo", "--rows", 1], "--reparse runs no row\n  → leave one of them out"),
        (["--fresh", "--limit", 3], "--limit with --redo"),
        (["--fresh", "--rows", "2-3"], "--rows with --redo"),
    ],
)
def test_what_would_run_more_or_lose_more_than_was_meant_is_refused(folder, options, said):
    numbered(folder / "data.csv", 4)
    write(folder, 1)
    assert process(folder).returncode == 0
    refused = process(folder, *options)
    assert refused.returncode == 2
    assert said in refused.stderr
    assert len(lines_of(folder / "started")) == 4
    assert versions(folder) == [1] * 4


def test_fresh_says_what_it_sets_aside_and_where(folder):
    numbered(folder / "data.csv", 4)
    write(folder, 1)
    assert process(folder).returncode == 0
    fresh = process(folder, "--fresh")
    said = next(line for line in fresh.stderr.splitlines() if "starting over" in line)
    assert "(4 done) is kept as " in said
    (aside,) = (folder / "data.csv.batchrun").glob("answer.*.old")
    assert said.endswith(str(aside))
    assert "starting over" not in process(folder).stderr
