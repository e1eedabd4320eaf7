"""`batchrun sample`, and the results that a short run prints: whether they are any good can be seen."""

import json
import random

import pytest
from support import batchrun, database, numbered

from batchrun.checkpoint.opening import opened
from batchrun.checkpoint.row_reader import row_at, rows_at

TASK = """
import batchrun

def task(row):
    n = row["id"]
    if n % 10 == 3:
        raise KeyError("nmae")
    if n % 10 == 4:
        return "{'double': %d,}" % (2 * n)
    if n % 10 == 5:
        return "\\x1b[31mno JSON"
    if n % 10 == 6:
        raise batchrun.Skip("odd")
    return {"double": n * 2, "id": str(n)}
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    (folder / "tasks.py").write_text(TASK)
    table = numbered(folder / "data.csv", 100)
    ran = batchrun("process", table, "-t", "tasks.py:task", "--retries", 0, cwd=folder)
    assert ran.returncode == 1, ran.stderr
    assert "double" not in ran.stderr
    return table


def sampled(table, *options):
    ran = batchrun("sample", table, *options, "--json")
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_rows_are_spread_over_the_table_and_stand_beside_their_results(table):
    found = sampled(table, "-n", 4)
    assert [row["row"] for row in found] == [1, 27, 51, 77]
    assert found[1] == {
        "row": 27,
        "status": "done",
        "input": {"id": 27, "text": "text 27"},
        "result": {"double": 54, "id": "27"},
        "how": "value",
        "error": None,
    }


@pytest.mark.parametrize(("option", "last"), [("--failed", 3), ("--repaired", 4), ("--text", 5)])
def test_only_rows_of_one_kind(table, option, last):
    assert [row["row"] for row in sampled(table, option)] == list(range(last, 100, 10))


def test_all_there_is_where_fewer_are_asked_for(table):
    assert len(sampled(table, "-n", 1000)) == 80


def test_it_is_a_table_that_steers_no_terminal_and_shows_what_failed(table):
    done, failed = batchrun("sample", table, "--text", "-n", 1), batchrun("sample", table, "--failed", "-n", 1)
    assert done.stdout.splitlines()[-1] == "5    5   text 5  [31mno JSON  text"
    assert failed.stdout.splitlines()[-1] == "3    3   text 3  KeyError: 'nmae'"


@pytest.mark.parametrize("width", [50, 80, 120])
def test_it_fits_the_terminal(table, width):
    ran = batchrun("sample", table, env={"COLUMNS": str(width)})
    assert max(map(len, ran.stdout.splitlines())) <= width


def test_some_rows_are_read_together_as_one_by_one(table):
    rng = random.Random(0)
    with opened(database(table, "task"), write=False) as checkpoint:
        for most in (1, 3, 40, 105):
            rows = sorted(rng.sample(range(1, 106), most))
            one_by_one = [found for row in rows if (found := row_at(checkpoint.db, row))]
            assert list(rows_at(checkpoint.db, rows)) == one_by_one


def test_two_kinds_at_once_are_refused(table):
    ran = batchrun("sample", table, "--failed", "--text")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "--failed and --text are different rows" in ran.stderr


def test_no_such_row_is_said(tmp_path):
    table = numbered(tmp_path / "data.csv", 6)
    (tmp_path / "tasks.py").write_text("def task(row):\n    return row['id']\n")
    ran = batchrun("process", table, "-t", "tasks.py:task", "--rows", "5,6", cwd=tmp_path)
    assert ran.stderr.splitlines()[1:5] == ["row  result", "---  ------", "5    5", "6    6"]
    assert batchrun("sample", table, "--repaired").stdout == "no reply was repaired\n"


def test_a_short_run_that_is_quiet_or_for_programs_says_nothing_more_on_stdout(tmp_path):
    table = numbered(tmp_path / "data.csv", 6)
    (tmp_path / "tasks.py").write_text("def task(row):\n    return row['id']\n")
    quiet = batchrun("process", table, "-t", "tasks.py:task", "--limit", 1, "--quiet", cwd=tmp_path)
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    told = batchrun("process", table, "-t", "tasks.py:task", "--limit", 1, "--json", cwd=tmp_path)
    assert [json.loads(line)["event"] for line in told.stdout.splitlines()] == ["start", "done"]
