"""What happens to a tired user: tables that change under a run, outputs that are inputs, closed streams, odd names."""

import csv
import json
import os
import subprocess
import sys

import pytest
from support import COMMAND, batchrun, environment, lines_of, numbered, records, settled, start, wait_for


def shell(script, *words, cwd):
    """Run a line of shell that starts the command as "$@"."""
    line = ["bash", "-c", script, "bash", *COMMAND, *map(str, words)]
    return subprocess.run(line, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=90)


@pytest.mark.parametrize("by", ["renaming", "rewriting"])
def test_results_are_not_joined_to_a_table_that_was_reordered_during_the_run(folder, by):
    table = numbered(folder / "data.csv", 30)
    command = ("process", table, "--task", "tasks.py:short", "--jobs", 2, "--json")
    run = start(*command, cwd=folder, env={"SECONDS": "0.1"})
    wait_for(lambda: lines_of(folder / "started"))
    header, *rows = table.read_text().splitlines(keepends=True)
    other = folder / "other.csv"
    other.write_text("".join([header, *reversed(rows)]))
    if by == "renaming":
        other.rename(table)
    else:
        table.write_bytes(other.read_bytes())
    out, err = run.communicate(timeout=90)
    assert run.returncode == 2, err
    assert "data.csv changed while it was being read" in err
    assert "Run the same command again" in err
    assert records(out)[1]["exit"] == 2
    assert not (folder / "data.results.csv").exists()
    again = batchrun(*command, cwd=folder)
    assert (again.returncode, records(again.stdout)[1]["ran"]) == (0, 0)
    with (folder / "data.results.csv").open() as file:
        assert [int(row["double"]) for row in csv.DictReader(file)] == [2 * n for n in range(30, 0, -1)]


def test_a_table_that_is_replaced_before_its_first_row_runs_is_not_run(folder):
    (folder / "late.py").write_text(
        "import time\nfrom pathlib import Path\nfrom tasks import note\n\n"
        "while not Path('go').exists():\n    time.sleep(0.01)\n\ndef late(row):\n    note(row)\n    return row\n"
    )
    table = numbered(folder / "data.csv", 10)
    command = ("process", table, "--task", "late.py:late", "--jobs", 1, "--no-output", "--json")
    (folder / "go").touch()
    assert batchrun(*command, "--rows", "1-5", cwd=folder).returncode == 0
    (folder / "go").unlink()
    run = start(*command, cwd=folder)
    assert json.loads(run.stdout.readline())["event"] == "start"  # the table is known by now
    other = folder / "other.csv"
    header, *rows = table.read_text().splitlines(keepends=True)
    other.write_text("".join([header, "99,new\n", *rows]))
    other.rename(table)
    (folder / "go").touch()
    _, err = run.communicate(timeout=90)
    assert run.returncode == 2, err
    assert "data.csv changed while it was being read" in err
    assert len(lines_of(folder / "started")) == 5
    again = batchrun(*command, cwd=folder)
    assert (again.returncode, records(again.stdout)[1]["ran"]) == (0, 6)


def parts_of(folder):
    """A table that is a folder with one Parquet file."""
    pandas = pytest.importorskip("pandas")
    (folder / "parts").mkdir()
    pandas.DataFrame({"id": [1, 2], "text": ["a", "b"]}).to_parquet(folder / "parts" / "1.parquet")
    return folder / "parts"


def test_files_that_are_no_part_of_a_folders_table_may_come_during_a_run(folder):
    table = parts_of(folder)
    (folder / "dotted.py").write_text(
        "from pathlib import Path\n\ndef dotted(row):\n    Path('parts/.DS_Store').write_text(str(row['id']))\n"
        "    return row\n"
    )
    ran = batchrun("process", table, "--task", "dotted.py:dotted", cwd=folder)
    assert ran.returncode == 0, ran.stderr
    assert (table / ".DS_Store").exists()


def test_checkpoints_may_live_within_a_folder_that_is_the_table(folder):
    command = ("process", parts_of(folder), "--task", "tasks.py:double", "--dir", "parts", "--json")
    for ran in (2, 0):
        run = batchrun(*command, cwd=folder)
        assert run.returncode == 0, run.stderr
        assert records(run.stdout)[1]["ran"] == ran


def test_the_input_is_never_written_over(folder):
    table = numbered(folder / "data.csv", 3)
    before = table.read_bytes()
    (folder / "link.csv").symlink_to(table)
    os.link(table, folder / "twin.csv")
    assert batchrun("process", table, "--task", "tasks.py:double", "--no-output", cwd=folder).returncode == 0
    for target in (table, "link.csv", "twin.csv"):
        for command in (("process", "--task", "tasks.py:double"), ("export",), ("errors",)):
            ran = batchrun(command[0], table, *command[1:], "-o", target, "--overwrite", cwd=folder)
            assert (ran.returncode, table.read_bytes()) == (2, before), command
            assert "is the input itself" in ran.stderr
    assert os.path.samefile(table, folder / "twin.csv")


def test_results_do_not_become_a_part_of_a_folder_that_is_the_table(folder):
    pandas = pytest.importorskip("pandas")
    (folder / "parts").mkdir()
    pandas.DataFrame({"id": [1], "text": ["a"]}).to_parquet(folder / "parts" / "1.parquet")
    ran = batchrun("process", "parts", "--task", "tasks.py:double", "-o", "parts/2.parquet", cwd=folder)
    assert ran.returncode == 2
    assert "would become part of the input" in ran.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_reason_not_to_work(folder, closed):
    table = numbered(folder / "data.csv", 5)
    ran = shell(f'"$@" {closed}', "process", table, "--task", "tasks.py:double", "--json", cwd=folder)
    assert (ran.returncode, len(lines_of(folder / "started"))) == (0, 5)
    assert "Traceback" not in ran.stderr
    with (folder / "data.results.csv").open() as file:
        assert [row["double"] for row in csv.DictReader(file)] == ["2", "4", "6", "8", "10"]
    shown = shell(f'"$@" {closed}', "status", table, "--json", cwd=folder)
    assert (shown.returncode, "bug" in shown.stderr) == (0, False)


def test_a_folder_whose_name_is_no_utf_8_is_a_folder_like_any_other(folder):
    odd = folder / os.fsdecode(b"dir\xff")
    odd.mkdir()
    table = numbered(odd / "data.csv", 3)
    assert batchrun("process", table, "--task", "tasks.py:double", cwd=folder).returncode == 0
    assert len((odd / "data.results.csv").read_text().splitlines()) == 4


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_records_that_nobody_can_keep_are_no_success(folder, unbuffered):
    table = numbered(folder / "data.csv", 3)
    script = f'PYTHONUNBUFFERED={unbuffered} "$@" > /dev/full'
    ran = shell(script, "process", table, "--task", "tasks.py:double", "--json", cwd=folder)
    assert ran.returncode == 4
    assert "the output cannot be written" in ran.stderr
    assert "Exception ignored" not in ran.stderr
    assert json.loads(batchrun("status", table, "--json", cwd=folder).stdout)["tasks"][0]["done"] == 3


def test_a_working_directory_that_is_gone_is_said(folder):
    table = numbered(folder / "data.csv", 3)
    (folder / "gone").mkdir()
    for command in (("process", table, "--task", "repair"), ("status", table)):
        (folder / "gone").mkdir(exist_ok=True)
        ran = shell('cd gone && rmdir ../gone && "$@"', *command, cwd=folder)
        assert ran.returncode == 2, ran.stderr
        assert "working directory" in ran.stderr


def test_results_go_into_a_pipe_without_a_word_about_who_wrote_it(folder):
    table = numbered(folder / "data.csv", 3)
    assert batchrun("process", table, "--task", "tasks.py:double", cwd=folder).returncode == 0
    ran = shell('"$@" -o /dev/stdout | cat', "export", table, "--format", "jsonl", cwd=folder)
    assert [json.loads(line)["row"] for line in ran.stdout.splitlines()] == [1, 2, 3], ran.stderr


def test_ctrl_c_while_modules_are_loaded_ends_the_program_and_afterwards_it_is_as_before():
    code = "import os, signal; from batchrun.core.interrupts import exit_on_interrupt; "
    within = "\nwith exit_on_interrupt(): os.kill(os.getpid(), signal.SIGINT)\nprint('never')"
    after = "\nwith exit_on_interrupt(): pass\nassert signal.getsignal(signal.SIGINT) is signal.default_int_handler"
    ran = subprocess.run([sys.executable, "-c", code + within], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "")
    assert subprocess.run([sys.executable, "-c", code + after]).returncode == 0


@pytest.mark.parametrize("more", [(), ("--overwrite",)])
def test_a_folder_where_the_results_should_go_is_refused_before_a_row_runs(folder, more):
    table = numbered(folder / "data.csv", 3)
    (folder / "data.results.csv").mkdir()
    ran = batchrun("process", table, "--task", "tasks.py:double", *more, cwd=folder)
    assert ran.returncode == 2
    assert "data.results.csv is a folder" in ran.stderr
    assert "name a file with --output" in ran.stderr
    assert lines_of(folder / "started") == []


NOTHING = """
def forgotten(row):
    {"double": 2 * row["id"]}

def mostly(row):
    return 2 * row["id"] if row["id"] == 3 else None

def nan(row):
    return float("nan")

def late(row):
    return None if row["id"] < 1000 else row["id"]
"""


def test_a_function_that_returns_nothing_at_all_is_asked_about_and_runs_again_once_it_does(folder):
    numbered(folder / "data.csv", 5)
    (folder / "nothing.py").write_text(NOTHING)
    command = ("process", "data.csv", "--task", "nothing.py:forgotten")
    done = batchrun(*command, cwd=folder)
    assert done.returncode == 0
    assert "note     every result is null: does the function return its result?" in done.stderr
    assert "every result" not in batchrun(*command, cwd=folder).stderr, "nothing has run"
    (folder / "nothing.py").write_text(NOTHING.replace("    {", "    return {"))
    again = batchrun(*command, "--on-change", "redo", cwd=folder)
    assert "every result is null" not in again.stderr
    assert settled(folder / "data.csv", "forgotten")[5] == (1, {"double": 10})


@pytest.mark.parametrize("task", ["mostly", "nan"])
def test_a_result_or_a_note_among_them_says_that_the_function_returns(folder, task):
    numbered(folder / "data.csv", 5)
    (folder / "nothing.py").write_text(NOTHING)
    done = batchrun("process", "data.csv", "--task", f"nothing.py:{task}", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "every result is null" not in done.stderr


def test_a_result_counts_however_late_it_comes_and_however_many_rows_travel_together(folder):
    numbered(folder / "data.csv", 2000)
    (folder / "nothing.py").write_text(NOTHING)
    done = batchrun("process", "data.csv", "--task", "nothing.py:late", "--jobs", "1", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "every result is null" not in done.stderr


def test_a_program_may_be_silent_and_two_rows_prove_nothing(folder):
    numbered(folder / "data.csv", 5)
    (folder / "nothing.py").write_text(NOTHING)
    assert "every result" not in batchrun("process", "data.csv", "--command", "true {id}", cwd=folder).stderr
    two = batchrun("process", "data.csv", "--task", "nothing.py:forgotten", "--limit", 2, cwd=folder)
    assert "every result" not in two.stderr
