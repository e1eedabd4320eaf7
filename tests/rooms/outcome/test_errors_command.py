"""`batchrun errors`: what failed, how often, where, what to do; and the failed rows as a table to be fixed."""

import csv
import io
import json
import re
import shlex
import subprocess

import pyarrow.parquet
import pytest
from support import COMMAND, ROOT, batchrun, environment, numbered, write_table

from batchrun.outcome.failures import failed_in_all, failures_in_words, groups

TASK = """
import os, sys
import batchrun

def task(row):
    n = row["id"]
    if n % 5 == 0:
        raise ConnectionError(f"cannot reach https://api.example.org/rows/{n}")
    if n % 7 == 0:
        return "no JSON in here"
    if n == 11:
        sys.stderr.write("about to abort\\n")
        os.abort()
    if n == 12:
        raise batchrun.Skip("a dozen")
    if n == 13:
        raise ValueError("\\x1b[2Jred \\u6a5f\\u5834")
    return {"double": n * 2}
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A run of 20 rows in which eight have failed, in four ways."""
    folder = tmp_path_factory.mktemp("errors")
    (folder / "tasks.py").write_text(TASK)
    table = numbered(folder / "data.csv", 20)
    ran = batchrun(
        "process", table, "-t", "tasks.py:task", "--reply", "json", "--retries", 0, "--no-output", cwd=folder
    )
    assert ran.returncode == 1, ran.stderr
    return table


def test_failures_that_are_alike_are_one_group_the_most_common_first(table):
    found = json.loads(batchrun("errors", table, "--json").stdout)
    assert [(group["kind"], group["count"], group["rows"]) for group in found] == [
        ("connection", 4, [5, 10, 15, 20]), ("no_json", 2, [7, 14]), ("crash", 1, [11]), ("exception", 1, [13]),
    ]  # fmt: skip
    assert found[0]["message"] == "cannot reach URL"
    assert found[0]["sample"] == "cannot reach https://api.example.org/rows/5"
    assert sum(group["share"] for group in found) == pytest.approx(1)
    assert all(group["next"] for group in found)


def test_people_read_count_share_rows_an_example_and_what_to_do(table):
    told = batchrun("errors", table).stdout
    assert told.startswith("8 rows failed, in 4 ways\n")
    assert "4 × connection (50.0 %): cannot reach URL\n  such as  cannot reach https://api.example.org/rows/5" in told
    assert "  rows     5, 10, 15, 20\n" in told
    assert "  row      11\n" in told
    assert told.count("  next     ") == 4
    assert "Traceback" not in told


def test_full_adds_the_traceback_or_the_last_words_of_each_group(table):
    told = batchrun("errors", table, "--full").stdout
    assert 'tasks.py", line' in told
    assert "about to abort" in told


def test_a_message_cannot_steer_the_terminal_and_is_spelt_where_characters_are_missing(table):
    told = batchrun("errors", table).stdout
    assert "\x1b" not in told
    assert "機場" in told
    bare = batchrun("errors", table, env={"PYTHONIOENCODING": "ascii"})
    assert bare.returncode == 0
    assert "4 x connection" in bare.stdout
    assert "\\u6a5f\\u5834" in bare.stdout


def test_the_commands_that_it_advises_work(table):
    told = batchrun("errors", table).stdout
    advised = re.findall(r"^(?:one|all) of them.*?: (?:python -m )?batchrun (.*)$", told, re.M)
    assert len(advised) == 2
    for command in advised:
        done = batchrun(*shlex.split(command), cwd=table.parent)
        assert done.returncode == 0, done.stderr
    assert (table.parent / "failed.csv").exists()


def test_the_failed_rows_are_a_table_with_their_cells_as_they_were(table):
    rows = list(csv.DictReader(io.StringIO(batchrun("errors", table, "-o", "-").stdout)))
    assert list(rows[0]) == ["id", "text", "batchrun_row", "batchrun_kind", "batchrun_status", "batchrun_error"]
    assert [row["id"] for row in rows] == [row["batchrun_row"] for row in rows] == [
        "5", "7", "10", "11", "13", "14", "15", "20",
    ]  # fmt: skip
    assert (rows[1]["text"], rows[1]["batchrun_kind"], rows[1]["batchrun_status"]) == ("text 7", "no_json", "failed")
    assert rows[3]["batchrun_status"] == "crashed"


@pytest.mark.parametrize("name", ["failed.tsv", "failed.jsonl", "failed.parquet", "failed.xlsx"])
def test_the_name_of_the_file_says_its_format(table, tmp_path, name):
    done = batchrun("errors", table, "-o", tmp_path / name)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "8 failed rows" in done.stderr
    assert (tmp_path / name).stat().st_size


def test_json_lines_tell_all_of_a_failed_row(table, tmp_path):
    batchrun("errors", table, "-o", tmp_path / "failed.jsonl")
    first = json.loads((tmp_path / "failed.jsonl").read_text().splitlines()[0])
    assert (first["row"], first["status"], first["result"]) == (5, "failed", None)
    assert (first["input"], first["error"]["kind"]) == ({"id": 5, "text": "text 5"}, "connection")


def test_a_parquet_table_gives_parquet_with_its_own_types(tmp_path):
    (tmp_path / "tasks.py").write_text("def task(row):\n    if row['id'] > 1: raise ValueError('no')\n")
    source = pyarrow.table({"id": [1, 2, 3], "at": pyarrow.array([1, 2, 3], pyarrow.timestamp("ns"))})
    pyarrow.parquet.write_table(source, tmp_path / "data.parquet")
    batchrun("process", "data.parquet", "-t", "tasks.py:task", "--retries", 0, "--no-output", cwd=tmp_path)
    batchrun("errors", "data.parquet", "-o", "failed.parquet", cwd=tmp_path)
    found = pyarrow.parquet.read_table(tmp_path / "failed.parquet")
    assert found.column("at").type == pyarrow.timestamp("ns")
    assert found.column("id").to_pylist() == found.column("batchrun_row").to_pylist() == [2, 3]


@pytest.mark.parametrize("name", ["failed.csv", "failed.parquet", "failed.jsonl"])
def test_where_nothing_failed_the_file_has_no_rows(tmp_path, name):
    table = numbered(tmp_path / "data.csv", 3)
    batchrun("process", table, "-t", "repair", "--no-output")
    assert batchrun("errors", table).stdout == "no row has failed\n"
    assert batchrun("errors", table, "--json").stdout == "[]\n"
    assert "0 failed rows" in batchrun("errors", table, "-o", tmp_path / name).stderr
    if name.endswith("csv"):
        assert (tmp_path / name).read_text() == "id,text,batchrun_row,batchrun_kind,batchrun_status,batchrun_error\n"


def test_a_file_of_somebody_elses_is_not_replaced(table, tmp_path):
    (tmp_path / "mine.csv").write_text("mine")
    refused = batchrun("errors", table, "-o", tmp_path / "mine.csv")
    assert refused.returncode == 2
    assert (tmp_path / "mine.csv").read_text() == "mine"
    assert batchrun("errors", table, "-o", tmp_path / "mine.csv", "--overwrite").returncode == 0
    assert batchrun("errors", table, "-o", tmp_path / "mine.csv").returncode == 0


def test_a_column_that_has_one_of_its_names_already_stays_as_it_is(tmp_path):
    (tmp_path / "tasks.py").write_text("def task(row):\n    raise ValueError('no')\n")
    table = write_table(tmp_path / "data.csv", [[1, "x"]], header=["batchrun_row", "batchrun_error"])
    batchrun("process", table, "-t", "tasks.py:task", "--retries", 0, "--no-output", cwd=tmp_path)
    header, row = batchrun("errors", table, "-o", "-").stdout.splitlines()
    assert header.startswith("batchrun_row,batchrun_error,result_batchrun_row,batchrun_kind,batchrun_status,")
    assert row.startswith("1,x,1,exception,failed,no")


def test_fixed_rows_run_anew_and_only_they(table, tmp_path):
    (tmp_path / "tasks.py").write_text(TASK)
    fixed = tmp_path / "data.csv"
    fixed.write_text(table.read_text())
    command = ("process", fixed, "-t", "tasks.py:task", "--reply", "json", "--retries", 0, "--no-output", "--json")
    batchrun(*command, cwd=tmp_path)
    fixed.write_text(fixed.read_text().replace("\n13,", "\n1300001,"))
    record = json.loads(batchrun(*command, "--retry", "none", cwd=tmp_path).stdout.splitlines()[-1])
    assert (record["ran"], record["failed"]) == (1, 6)


def test_whoever_has_read_enough_ends_it_quietly(table):
    line = f"{shlex.join(COMMAND)} errors {shlex.quote(str(table))} -o - | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_any_number_of_failures_that_are_alike_are_one_group():
    found = groups((n, "exception", f"row {n} is bad", None, None) for n in range(1, 100_001))
    (group,) = found
    assert (group.message, group.count, group.rows) == ("row N is bad", 100_000, list(range(1, 11)))
    assert failed_in_all(found) == 100_000
    assert "rows     1, 2, 3, 4, 5, 6, 7, 8, 9, 10, …" in failures_in_words(
        found, ["batchrun"], ["data.csv"], full=False
    )


def in_words(failed):
    return failures_in_words(groups(failed), ["batchrun"], ["data.csv"], full=False)


def letters(number):
    return "".join("abcdefghij"[int(digit)] for digit in str(number))


def test_of_many_groups_the_first_twenty_are_printed_and_the_others_counted():
    told = in_words((n, "exception", f"no luck, {letters(n)}", None, None) for n in range(1, 120_001))
    assert told.count("\n  next  ") == 20
    assert "\n\n… and 119,980 rows in 119,980 more ways: batchrun errors data.csv --json\n\n" in told
    assert "more way" not in in_words((n, "exception", f"no luck, {letters(n)}", None, None) for n in range(1, 21))


def test_failures_that_differ_only_in_a_quote_are_one_group_though_all_of_them_differ():
    found = groups(
        (n, "exception", f"cannot read 'the {letters(n)}'s {'x' * (n % 7)}'", None, None) for n in range(1, 120_001)
    )
    assert [(group.count, group.message) for group in found] == [(120_000, "cannot read '…'")]


@pytest.mark.parametrize("quoted", ["/data" + "/long" * 500, "'" + "y" * 3000 + "'"])
def test_a_reason_is_never_cut_off_wherever_it_stands(quoted):
    told = in_words([(1, "exception", f"first: {quoted}: no such file or directory", None, None)])
    assert "first: " in told
    assert ": no such file or directory\n" in told
    assert max(map(len, told.splitlines())) < 400
