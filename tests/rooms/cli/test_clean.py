"""`batchrun clean`: what checkpoints there are, and removing the ones that are named, and nothing else."""

import json
import shutil

import pytest
from support import batchrun, database, numbered

from batchrun.checkpoint.cleaning import all_names_in, checkpoints_of, remove
from batchrun.checkpoint.lock import held
from batchrun.errors import CheckpointError, LockedError, UsageError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A table with a task's checkpoint, one that was moved aside, and another task's."""
    folder = tmp_path_factory.mktemp("clean")
    (folder / "tasks.py").write_text("def task(row):\n    print('hello')\n    return 1 / (row['id'] - 2)\n")
    table = numbered(folder / "data.csv", 5)
    for options in (["task"], ["task", "--fresh"], ["other"]):
        name, *more = options
        batchrun("process", table, "-t", "tasks.py:task", "--name", name, *more, "--retries", 0, "-j", 1, cwd=folder)
    return table


@pytest.fixture
def table(made, tmp_path):
    """A copy of it."""
    shutil.copytree(made.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / made.name


def names(table):
    return all_names_in(table.parent / f"{table.name}.batchrun")


def test_it_lists_what_each_checkpoint_holds(table):
    (told,) = json.loads(batchrun("clean", "--json", cwd=table.parent).stdout)
    assert told["input"] == "data.csv"
    assert [one["name"] for one in told["checkpoints"]] == names(table)
    for one in told["checkpoints"]:
        assert (one["done"], one["failed"], one["left"], one["in_use"], one["trouble"]) == (4, 1, 0, False, "")
        assert one["bytes"] > 4096
    assert "4 done, 1 failed" in batchrun("clean", table).stdout


def test_to_list_them_leaves_no_files_beside_what_was_moved_aside(table):
    before = {path.name for path in table.parent.rglob("*.old*")}
    checkpoints_of(table, None)
    assert {path.name for path in table.parent.rglob("*.old*")} == before


def test_it_removes_what_is_named_and_nothing_else(table):
    aside = next(name for name in names(table) if name.endswith(".old"))
    ran = batchrun("clean", table, aside, "--yes")
    assert (ran.returncode, ran.stdout) == (0, "")
    assert "removed" in ran.stderr
    assert "4 done, 1 failed" in ran.stderr
    assert names(table) == ["other", "task"]
    batchrun("clean", table, "other", "--yes")
    folder = table.parent / "data.csv.batchrun"
    kept = {"task.sqlite", "task.lock", "task.log", "task.roll", "task.inflight", "outputs.json"}
    assert {path.name for path in folder.iterdir()} - {"task.sqlite-wal", "task.sqlite-shm"} == kept
    assert (table.parent / "data.results.csv").exists()
    again = batchrun("process", table, "-t", "tasks.py:task", "--name", "other", "--retries", 0, cwd=table.parent)
    assert "0 done, 5 new" in again.stderr


def test_nothing_is_removed_where_nobody_can_be_asked(table):
    ran = batchrun("clean", table, "task")
    assert ran.returncode == 2
    assert "--yes" in ran.stderr
    assert "task" in names(table)


@pytest.mark.parametrize("name", ["missing", "../data", "task.sqlite", "outputs.json"])
def test_a_name_that_is_none_of_them_is_refused(table, name):
    with pytest.raises(UsageError, match="has no checkpoint"):
        remove(table, None, name)


def test_a_file_that_is_no_checkpoint_stays(table):
    stranger = database(table, "mine")
    stranger.write_bytes(b"my own")
    with pytest.raises(CheckpointError, match="not a batchrun checkpoint"):
        remove(table, None, "mine")
    assert stranger.read_bytes() == b"my own"
    (told,) = [one for one in checkpoints_of(table, None) if one["name"] == "mine"]
    assert told["done"] is None
    assert told["trouble"]


def test_one_that_is_damaged_can_be_removed(table):
    path = database(table, "task")
    data = bytearray(path.read_bytes())
    data[100:] = b"\xff" * (len(data) - 100)
    path.write_bytes(data)
    remove(table, None, "task")
    assert "task" not in names(table)


def test_none_is_removed_while_its_task_runs(table):
    before = names(table)
    aside = next(name for name in before if name.endswith(".old"))
    with held(database(table, "task").with_suffix(".lock"), "fail"):
        assert next(one for one in checkpoints_of(table, None) if one["name"] == "task")["in_use"]
        for name in ("task", aside):
            with pytest.raises(LockedError):
                remove(table, None, name)
    assert names(table) == before
