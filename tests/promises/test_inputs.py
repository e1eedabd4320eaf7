"""What people have goes in: several files as one table."""

import json
from pathlib import Path

import pytest
from support import batchrun, ran, starts

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
    assert "1 file was not read, for only CSV files in logs itself" in process(folder, "logs").stderr
