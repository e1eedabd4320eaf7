"""What people have goes in: several files as one table, a pipe, a database, a workbook."""

import datetime
import gzip
import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import openpyxl
import pyarrow.parquet as pq
import pytest
from support import COMMAND, batchrun, environment, kill, ran, records, starts, wait_for

TASK = "tasks.py:double"


def csv(path: Path, *rows: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(["id,text", *(f"{row},row {row}" for row in rows), ""]))


def process(folder: Path, table: str, *args: object):
    return batchrun("process", table, "--task", TASK, "--json", *args, cwd=folder)


def statuses(folder: Path) -> dict[str, int]:
    told = json.loads(batchrun("status", "--json", cwd=folder).stdout)
    return {each["input"]: each["tasks"][0]["done"] for each in told}


@pytest.mark.parametrize(
    ("table", "results"),
    [("logs", "logs.results.csv"), ("logs/*.csv", "logs/all.results.csv")],
    ids=["folder", "pattern"],
)
def test_a_file_that_comes_is_new_rows_and_one_that_goes_is_gone_rows(folder, table, results):
    csv(folder / "logs" / "1.csv", 1, 2)
    csv(folder / "logs" / "10.csv", 3, 4)
    assert ran(process(folder, table)) == 4
    assert ran(process(folder, table)) == 0
    csv(folder / "logs" / "2.csv", 5)
    assert ran(process(folder, table)) == 1
    found = (folder / results).read_text().splitlines()
    assert [line.split(",")[0] for line in found] == ["id", "1", "2", "5", "3", "4"]
    (folder / "logs" / "1.csv").unlink()
    done = process(folder, table)
    assert ran(done) == 0
    assert "2 no longer in the input" in done.stderr
    assert set(starts(folder).values()) == {1}
    assert statuses(folder) == {table: 3}
    assert "checksums agree" in batchrun("verify", table, cwd=folder).stdout
    assert json.loads(batchrun("show", table, "2", "--json", cwd=folder).stdout)["input"]["id"] == 3
    assert (
        batchrun("export", table, "-o", "-", cwd=folder).stdout.splitlines()
        == (folder / results).read_text().splitlines()
    )


def test_a_file_that_is_renamed_runs_nothing_again(folder):
    csv(folder / "logs" / "1.csv", 1, 2)
    csv(folder / "logs" / "2.csv", 3)
    assert ran(process(folder, "logs/*.csv")) == 3
    (folder / "logs" / "1.csv").rename(folder / "logs" / "9.csv")
    assert ran(process(folder, "logs/*.csv")) == 0
    assert set(starts(folder).values()) == {1}


def test_the_file_column_may_be_asked_for_later_and_stands_in_the_results(folder):
    csv(folder / "logs" / "1.csv", 1, 2)
    csv(folder / "logs" / "2.csv", 3)
    assert ran(process(folder, "logs")) == 3
    assert ran(process(folder, "logs", "--file-column")) == 0
    found = (folder / "logs.results.csv").read_text().splitlines()
    assert [line.split(",")[2] for line in found] == ["batchrun_file", "1.csv", "1.csv", "2.csv"]
    exported = batchrun("export", "logs", "-o", "-", "--format", "jsonl", cwd=folder).stdout.splitlines()
    assert [json.loads(line)["input"]["batchrun_file"] for line in exported] == ["1.csv", "1.csv", "2.csv"]


@pytest.mark.parametrize("wanted", ["parquet", "jsonl", "xlsx", "tsv"])
def test_results_of_several_files_go_out_in_each_format(folder, wanted):
    csv(folder / "logs" / "1.csv", 1)
    csv(folder / "logs" / "2.csv", 2)
    assert ran(process(folder, "logs", "--file-column", "-o", f"out.{wanted}")) == 2
    assert (folder / f"out.{wanted}").stat().st_size > 0


def test_results_that_would_be_a_part_of_the_table_are_refused(folder):
    csv(folder / "logs" / "1.csv", 1)
    done = process(folder, "logs/*.csv", "-o", "logs/out.csv")
    assert done.returncode == 2
    assert "would become part of the input" in done.stderr
    assert not starts(folder)


def test_a_pattern_without_quotes_is_told_with_the_quotes(folder):
    csv(folder / "logs" / "1.csv", 1)
    csv(folder / "logs" / "2.csv", 2)
    done = batchrun("process", "logs/1.csv", "logs/2.csv", "--task", TASK, cwd=folder)
    assert done.returncode == 2
    assert "'logs/*.csv'" in done.stderr
    assert not starts(folder)


def test_a_checkpoint_of_a_pattern_is_not_taken_for_that_of_a_renamed_table(folder):
    csv(folder / "logs" / "1.csv", 1, 2)
    csv(folder / "logs" / "2.csv", 3)
    assert ran(process(folder, "logs/*.csv")) == 3
    assert ran(process(folder, "logs/1.csv")) == 2


def test_status_of_a_pattern_before_a_run_says_so(folder):
    csv(folder / "logs" / "1.csv", 1, 2)
    done = batchrun("status", "logs/*.csv", cwd=folder)
    assert (done.returncode, "nothing has been run yet" in done.stdout) == (0, True)


def test_a_folder_with_subfolders_says_what_is_not_read(folder):
    csv(folder / "logs" / "1.csv", 1)
    (folder / "logs" / "old").mkdir()
    csv(folder / "logs" / "old" / "0.csv", 1)
    assert "1 file was not read: only CSV files in logs itself" in process(folder, "logs").stderr


def piped(folder: Path, text: bytes, *args: object):
    """`cat … | batchrun process - --name N`."""
    return subprocess.run(
        [*COMMAND, "process", "-", "--task", TASK, "--json", *map(str, args)],
        input=text,
        cwd=folder,
        env=environment(),
        capture_output=True,
        timeout=90,
    )


def ran_piped(done) -> int:
    return records(done.stdout.decode())[-1]["ran"]


ROWS = b"id,text\n1,a\n2,b\n"


JSON = b'{"id": 1, "text": "a"}\n{"id": 2, "text": "b"}\n'


@pytest.mark.parametrize("content", [ROWS, gzip.compress(ROWS), JSON], ids=["csv", "gz", "jsonl"])
def test_what_comes_through_a_pipe_is_kept_and_the_same_command_resumes(folder, content):
    assert ran_piped(piped(folder, content, "--name", "N", "--limit", "1")) == 1
    assert ran_piped(piped(folder, content, "--name", "N")) == 1
    assert ran_piped(piped(folder, content, "--name", "N")) == 0
    assert set(starts(folder).values()) == {1}
    kept = folder / "N.batchrun" / "N"
    assert kept.read_bytes() == content
    assert kept.stat().st_mode & 0o777 == 0o600
    assert statuses(folder) == {"N": 2}
    assert "2 of 2 rows" in batchrun("verify", "N", cwd=folder).stdout
    assert "done, 1 attempt" in batchrun("show", "N", "2", cwd=folder).stdout
    (results,) = folder.glob("N.results.*")
    assert batchrun("export", "N", "-o", f"again{results.suffix}", cwd=folder).returncode == 0
    assert (folder / f"again{results.suffix}").read_bytes() == results.read_bytes()


def test_other_content_through_a_pipe_is_an_edited_table(folder):
    assert ran_piped(piped(folder, ROWS, "--name", "N")) == 2
    assert ran_piped(piped(folder, b"id,text\n0,new\n2,b\n", "--name", "N")) == 1
    found = (folder / "N.results.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in found] == ["id", "0", "2"]


def test_a_table_that_was_kept_goes_on_without_the_pipe(folder):
    assert ran_piped(piped(folder, ROWS, "--name", "N", "--limit", "1")) == 1
    assert ran(process(folder, "N")) == 1
    assert set(starts(folder).values()) == {1}


def test_a_kept_table_lives_where_dir_says(folder):
    (folder / "there").mkdir()
    assert ran_piped(piped(folder, ROWS, "--name", "N", "--dir", "there")) == 2
    assert "2 done" in batchrun("status", "N", "--dir", "there", cwd=folder).stdout
    assert (folder / "there" / "N.results.csv").exists()


@pytest.mark.parametrize(
    ("args", "text", "said"),
    [
        ((), ROWS, "give it one with --name"),
        (("--name", "N"), b"", "nothing came through the pipe"),
        (("--name", "tasks.py"), ROWS, "tasks.py already exists"),
        (("--name", "N.sqlite"), ROWS, "would look like a checkpoint"),
        (("--name", "N"), b"<html>", "is an HTML page"),
    ],
)
def test_a_pipe_that_is_no_table_is_told(folder, args, text, said):
    done = piped(folder, text, *args)
    assert done.returncode == 2
    assert said in done.stderr.decode()
    assert not starts(folder)


def test_a_terminal_or_a_device_is_no_pipe(folder):
    done = batchrun("process", "-", "--task", TASK, "--name", "N", cwd=folder)
    assert (done.returncode, "nothing is piped in" in done.stderr) == (2, True)


def test_an_empty_pipe_does_not_replace_what_was_kept(folder):
    assert ran_piped(piped(folder, ROWS, "--name", "N")) == 2
    assert piped(folder, b"", "--name", "N").returncode == 2
    assert batchrun("verify", "N", cwd=folder).returncode == 0


def test_a_dry_run_of_a_pipe_leaves_nothing_behind(folder):
    before = sorted(folder.rglob("*"))
    done = piped(folder, ROWS, "--name", "N", "--dry-run")
    assert (done.returncode, b"2 new" in done.stderr) == (0, True)
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_pipe_that_is_interrupted_is_not_taken_for_the_whole_table(folder, signum):
    assert ran_piped(piped(folder, ROWS, "--name", "N")) == 2
    command = [*COMMAND, "process", "-", "--task", TASK, "--name", "N"]
    running = subprocess.Popen(command, cwd=folder, env=environment(), stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdin
    running.stdin.write(b"id,text\n1,a\n7,x\n")
    running.stdin.flush()
    wait_for(lambda: list((folder / "N.batchrun").glob(".N.*.part")))
    running.send_signal(signum)
    running.communicate()
    assert running.returncode in (130, 143, -signal.SIGKILL)
    assert (folder / "N.batchrun" / "N").read_bytes() == ROWS
    assert ran_piped(piped(folder, ROWS + b"3,c\n", "--name", "N")) == 1
    assert not list((folder / "N.batchrun").glob(".N.*.part"))


def test_a_table_is_not_replaced_while_a_run_reads_it(folder):
    command = [*COMMAND, "process", "-", "--task", "tasks.py:short", "--name", "N", "--jobs", "1"]
    going_on = subprocess.Popen(command, cwd=folder, env=environment({"SECONDS": "1"}), stdin=subprocess.PIPE)
    assert going_on.stdin
    going_on.stdin.write(b"id,text\n" + b"".join(b"%d,a\n" % row for row in range(30)))
    going_on.stdin.close()
    wait_for(lambda: starts(folder))
    assert piped(folder, ROWS, "--name", "N").returncode == 75
    assert (folder / "N.batchrun" / "N").read_text().count("\n") == 31
    kill(going_on)


def test_what_to_do_next_needs_no_pipe(folder):
    command = [*COMMAND, "process", "-", "--task", "tasks.py:always", "--name", "N", "--retries", "0"]
    done = subprocess.run(command, input=ROWS, cwd=folder, env=environment(), capture_output=True, timeout=90)
    assert b"errors N --task tasks.py:always --name N" in done.stderr


def test_a_dataframe_that_was_kept_is_a_table_on_the_command_line(folder):
    code = (
        "import batchrun, pandas as pd\n"
        "batchrun.process(pd.DataFrame({'id': [1, 2]}), task=lambda row: row['id'], name='it', quiet=True)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, env=environment())
    assert "2 done" in batchrun("status", "it.parquet", cwd=folder).stdout
    assert "done, 1 attempt" in batchrun("show", "it.parquet", "1", cwd=folder).stdout


def database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE people (id INTEGER PRIMARY KEY, text, photo BLOB)")
        db.executemany("INSERT INTO people VALUES (?, ?, x'00ff')", [(1, "a"), (2, "b"), (5, None)])
        db.commit()


def workbook(path: Path, rows: int = 3) -> None:
    book = openpyxl.Workbook()
    book.active.title = "people"
    book.active.append(["id", "text", "day"])
    for number in range(1, rows + 1):
        book.active.append([number, f"row {number}", datetime.datetime(2026, 1, number)])
    book.save(path)


@pytest.mark.parametrize("name", ["data.db", "data.xlsx"])
@pytest.mark.parametrize("wanted", ["csv", "parquet", "jsonl", "xlsx"])
def test_databases_and_workbooks_run_resume_and_go_out_in_each_format(folder, name, wanted):
    (database if name.endswith(".db") else workbook)(folder / name)
    assert ran(process(folder, name, "--limit", "2", "-o", f"out.{wanted}")) == 2
    assert ran(process(folder, name, "-o", f"out.{wanted}")) == 1
    assert ran(process(folder, name, "-o", f"out.{wanted}")) == 0
    assert set(starts(folder).values()) == {1}
    assert "3 of 3 rows" in batchrun("verify", name, cwd=folder).stdout
    assert json.loads(batchrun("show", name, "2", "--json", cwd=folder).stdout)["input"]["id"] == 2


def test_a_workbooks_results_are_a_workbook_with_dates_as_dates(folder):
    workbook(folder / "data.xlsx")
    assert ran(process(folder, "data.xlsx")) == 3
    found = list(openpyxl.load_workbook(folder / "data.results.xlsx").active.values)
    assert found[0][:4] == ("id", "text", "day", "double")
    assert found[3][:4] == (3, "row 3", datetime.datetime(2026, 1, 3), 6)


def test_times_and_bytes_are_such_in_parquet(folder):
    workbook(folder / "data.xlsx")
    database(folder / "data.db")
    assert ran(process(folder, "data.xlsx", "-o", "x.parquet")) == 3
    assert ran(process(folder, "data.db", "-o", "y.parquet")) == 3
    assert pq.read_table(folder / "x.parquet")["day"].to_pylist()[0] == datetime.datetime(2026, 1, 1)
    assert pq.read_table(folder / "y.parquet")["photo"].to_pylist() == [b"\0\xff"] * 3


@pytest.mark.parametrize(("name", "part"), [("data.db", "table"), ("data.xlsx", "sheet")])
def test_a_checkpoint_is_of_one_table_or_sheet(folder, name, part):
    (database if part == "table" else workbook)(folder / name)
    assert ran(process(folder, name)) == 3
    if part == "table":
        with closing(sqlite3.connect(folder / name)) as db:
            db.executescript("CREATE TABLE other (id INTEGER PRIMARY KEY, text); INSERT INTO other VALUES (1, 'a')")
    else:
        book = openpyxl.load_workbook(folder / name)
        sheet = book.create_sheet("other")
        sheet.append(["id", "text"])
        sheet.append([1, "a"])
        book.save(folder / name)
    assert "people" in process(folder, name).stderr
    assert ran(process(folder, name, f"--{part}", "people")) == 0
    done = process(folder, name, f"--{part}", "other")
    assert (done.returncode, "this checkpoint belongs to" in done.stderr) == (2, True)
    assert ran(process(folder, name, f"--{part}", "other", "--name", "theirs")) == 1
    assert (folder / f"data.theirs.results.{'sqlite' if part == 'table' else 'xlsx'}").exists()


def test_a_row_that_is_added_to_a_database_is_a_new_row(folder):
    database(folder / "data.db")
    assert ran(process(folder, "data.db")) == 3
    with closing(sqlite3.connect(folder / "data.db")) as db:
        db.execute("INSERT INTO people VALUES (3, 'new', NULL)")
        db.commit()
    assert ran(process(folder, "data.db")) == 1


def test_python_takes_the_table_of_a_database(folder):
    database(folder / "data.db")
    code = (
        "import batchrun\n"
        "print(batchrun.process('data.db', 'tasks.py:double', table='people', quiet=True).done)\n"
        "print(list(batchrun.results('data.db', 'tasks.py:double')['photo']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment(), capture_output=True, text=True)
    assert done.stdout.splitlines() == ["3", str([b"\0\xff"] * 3)], done.stderr
