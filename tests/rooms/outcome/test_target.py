"""No task's results replace another's: the first task of a table has the plain name, others their own."""

import json
import shutil
from pathlib import Path

import pytest
from support import batchrun, kill, numbered, records, start, wait_for

from batchrun.checkpoint.bind import open_bound
from batchrun.checkpoint.opening import opened
from batchrun.checkpoint.places import places_of
from batchrun.errors import UsageError
from batchrun.outcome.results_file import export_to

TASKS = "".join(f"def {name}(row):\n    return {{'by': '{name}'}}\n\n\n" for name in ("f", "g", "h"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    numbered(tmp_path / "data.csv", 3)
    (tmp_path / "tasks.py").write_text(TASKS)
    return tmp_path


def results_of(home: Path, task: str, *args: object, table: str = "data.csv") -> str:
    """The name of the results file that a run leaves."""
    done = batchrun("process", table, "--task", f"tasks.py:{task}", "--json", *args, cwd=home)
    assert done.returncode == 0, done.stderr
    return Path(records(done.stdout)[1]["output"]).name


def test_a_further_task_has_its_name_in_its_results_file(home):
    assert results_of(home, "f") == "data.results.csv"
    assert results_of(home, "g") == "data.g.results.csv"
    assert results_of(home, "h", "--name", "third") == "data.third.results.csv"
    assert results_of(home, "f", "--fresh") == "data.results.csv"
    assert results_of(home, "g") == "data.g.results.csv"
    for name, by in (("data", "f"), ("data.g", "g"), ("data.third", "h")):
        assert (home / f"{name}.results.csv").read_text().splitlines()[1] == f"1,text 1,{by},done,value,"


def test_the_first_task_is_the_first_also_if_its_results_went_elsewhere(home):
    assert results_of(home, "f", "--output", "out.csv") == "out.csv"
    assert results_of(home, "g") == "data.g.results.csv"
    assert results_of(home, "f") == "data.results.csv"


def test_it_stays_the_first_when_the_project_is_copied_and_when_its_checkpoint_is_deleted(home):
    assert results_of(home, "f") == "data.results.csv"
    copy = home.with_name(f"{home.name}-copy")
    shutil.copytree(home, copy)
    assert results_of(copy, "g") == "data.g.results.csv"
    assert results_of(copy, "f") == "data.results.csv"
    for path in (home / "data.csv.batchrun").glob("f.*"):
        path.unlink()
    assert results_of(home, "g") == "data.g.results.csv"


def test_a_task_that_never_ran_is_not_the_first(home):
    misspelt = batchrun("process", "data.csv", "--task", "tasks.py:ff", cwd=home)
    assert misspelt.returncode == 2
    assert batchrun("process", "data.csv", "--task", "tasks.py:g", "--dry-run", cwd=home).returncode == 0
    assert results_of(home, "f") == "data.results.csv"


@pytest.mark.parametrize("register", ["as it was", "missing", "damaged"])
def test_of_tasks_of_an_earlier_version_the_one_whose_results_are_there_has_the_name(home, register):
    results_of(home, "f")
    results_of(home, "g", "--output", "data.results.csv", "--overwrite")
    path = home / "data.csv.batchrun/outputs.json"
    if register == "as it was":
        path.write_text(json.dumps({"files": as_it_was(home, json.loads(path.read_text())["files"])}))
        assert results_of(home, "f") == "data.f.results.csv"
        assert results_of(home, "g") == "data.results.csv"
    else:
        path.unlink() if register == "missing" else path.write_text("{")
        assert results_of(home, "g") == "data.g.results.csv", "the task that ran first is the first"
        assert results_of(home, "f", "--overwrite") == "data.results.csv"


def as_it_was(home: Path, files: dict) -> dict:
    return {
        str((home / "data.csv.batchrun" / place).resolve()): [one[:3] for one in every]
        for place, every in files.items()
    }


@pytest.mark.parametrize(
    ("table", "write", "results"),
    [
        ("data.tsv", "id\ttext\n1\tone\n", "data.results.tsv"),
        ("data.csv.gz", "id,text\n1,one\n", "data.results.csv"),
        ("data.tsv.xz", "id\ttext\n1\tone\n", "data.results.tsv"),
        ("data.txt", "id,text\n1,one\n", "data.txt.results.csv"),
        ("data.jsonl", '{"id": 1}\n', "data.results.jsonl"),
        ("data.ndjson.bz2", '{"id": 1}\n', "data.results.jsonl"),
        ("data.json", '{"id": 1}\n{"id": 2}\n', "data.results.jsonl"),
        ("data.parquet", None, "data.results.parquet"),
        ("data.pq", None, "data.results.parquet"),
        ("parquet.csv", None, "parquet.results.parquet"),
    ],
)
def test_a_results_file_is_of_its_tables_format_but_not_compressed(home, table, write, results):
    import bz2
    import gzip
    import lzma

    import pyarrow as pa
    import pyarrow.parquet as pq

    path = home / table
    if write is None:
        pq.write_table(pa.table({"id": [1, 2]}), path)
    else:
        pack = {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}.get(path.suffix, bytes)
        path.write_bytes(pack(write.encode()))
    assert results_of(home, "f", table=table) == results
    assert results_of(home, "g", table=table) == results.replace(".results", ".g.results")
    assert (home / results).stat().st_size


def test_two_tables_whose_results_would_be_one_file_are_told_before_a_row_runs(home):
    import gzip

    assert results_of(home, "f") == "data.results.csv"
    (home / "data.csv.gz").write_bytes(gzip.compress((home / "data.csv").read_bytes()))
    refused = batchrun("process", "data.csv.gz", "--task", "tasks.py:f", cwd=home)
    assert refused.returncode == 2
    assert "did not write it for this table" in refused.stderr
    assert not (home / "data.csv.gz.batchrun").exists()
    assert results_of(home, "f", "--output", "gz.csv", table="data.csv.gz") == "gz.csv"


def test_a_file_with_another_tasks_results_is_refused_before_a_row_runs(home):
    assert results_of(home, "f", "--output", "out.csv") == "out.csv"
    kept = (home / "out.csv").read_bytes()
    refused = batchrun("process", "data.csv", "--task", "tasks.py:g", "--output", "out.csv", cwd=home)
    assert refused.returncode == 2
    assert "out.csv holds the results of the task 'f', and those of 'g' would replace them" in refused.stderr
    assert (home / "out.csv").read_bytes() == kept
    assert not (home / "data.csv.batchrun/g.sqlite").exists()
    assert results_of(home, "g", "--output", "other.csv") == "other.csv"
    exported = batchrun("export", "data.csv", "--task", "g", "-o", "out.csv", cwd=home)
    assert (exported.returncode, (home / "out.csv").read_bytes()) == (2, kept)
    assert results_of(home, "g", "--output", "out.csv", "--overwrite") == "out.csv"
    assert batchrun("process", "data.csv", "--task", "tasks.py:f", "--output", "out.csv", cwd=home).returncode == 2


def test_a_task_replaces_its_own_results_wherever_they_are_also_when_it_starts_over(home):
    assert results_of(home, "f", "--output", "out.csv") == "out.csv"
    assert results_of(home, "f", "--output", "out.csv", "--limit", "2", "--redo") == "out.csv"
    assert results_of(home, "f", "--output", "out.csv", "--fresh") == "out.csv"
    moved = home.with_name(f"{home.name}-moved")
    home.rename(moved)
    assert results_of(moved, "f", "--output", "out.csv", "--limit", "1", "--redo") == "out.csv"
    assert batchrun("process", "data.csv", "--task", "tasks.py:g", "-o", "out.csv", cwd=moved).returncode == 2


SLOW = """
import time
from pathlib import Path

def f(row):
    return work(row, "f")

def g(row):
    return work(row, "g")

def work(row, name):
    Path(f"ran-{name}-{row['id']}").touch()
    while not Path("go").exists():
        time.sleep(0.01)
    return {"by": name}
"""


@pytest.mark.parametrize("named", ["out.csv", "data.results.csv"])
def test_of_two_tasks_that_begin_together_with_one_output_only_one_runs(home, named):
    (home / "tasks.py").write_text(SLOW)
    runs = {
        task: start("process", "data.csv", "--task", f"tasks.py:{task}", "--output", named, cwd=home) for task in "fg"
    }
    try:
        wait_for(lambda: any(run.poll() is not None for run in runs.values()))
        loser = next(task for task, run in runs.items() if run.poll() is not None)
        (winner,) = set(runs) - {loser}
        assert runs[loser].returncode == 2
        said = runs[loser].communicate()[1]
        assert f"the task {winner!r}, which is running, will write its results to" in said
        (home / "go").touch()
        err = runs[winner].communicate(timeout=30)[1]
    finally:
        for run in runs.values():
            kill(run)
    assert runs[winner].returncode == 0, err
    assert not list(home.glob(f"ran-{loser}-*")), "no row of the other ran"
    assert (home / named).read_text().splitlines()[1] == f"1,text 1,{winner},done,value,"
    again = batchrun("process", "data.csv", "--task", f"tasks.py:{loser}", "-o", "other.csv", cwd=home)
    assert again.returncode == 0, again.stderr


def test_a_run_that_died_keeps_no_place_for_its_results(home):
    (home / "tasks.py").write_text(SLOW)
    run = start("process", "data.csv", "--task", "tasks.py:f", "--output", "out.csv", cwd=home)
    try:
        wait_for(lambda: list(home.glob("ran-f-*")))
    finally:
        kill(run)
    (home / "go").touch()
    assert results_of(home, "g", "--output", "out.csv") == "out.csv"


def test_results_of_another_task_that_appear_while_a_file_is_written_are_not_replaced(home):
    for task in "fg":
        batchrun("process", "data.csv", "-t", f"tasks.py:{task}", "--no-output", cwd=home)
    places = places_of(home / "data.csv", None, "f")

    def meanwhile() -> bool:
        theirs = batchrun("export", "data.csv", "--task", "g", "-o", "out.csv", cwd=home)
        assert theirs.returncode in (0, 2), theirs.stderr
        return False

    with opened(places.checkpoint, write=False) as checkpoint:
        bound = open_bound(checkpoint, places.input)
        with pytest.raises(UsageError, match="of the task 'g'"):
            export_to(places, bound, checkpoint, home / "out.csv", None, stop=meanwhile)
    assert ",g,done," in (home / "out.csv").read_text()
