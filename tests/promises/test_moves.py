"""A project that is moved, copied or renamed goes on where it was."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support import batchrun, kill, lines_of, numbered, ran, start, wait_for

WAYS = {
    "mv": lambda old, new: old.rename(new),
    "cp -a": lambda old, new: subprocess.run(["cp", "-a", old, new], check=True),
    "cp -r": lambda old, new: subprocess.run(["cp", "-r", old, new], check=True),
    "tar": lambda old, new: subprocess.run(
        f"mkdir '{new}' && tar -C '{old}' -cf - . | tar -C '{new}' -xf -", shell=True, check=True
    ),
}


@pytest.fixture
def project(folder: Path) -> Path:
    """A folder with table and task, ten of twenty rows done, the results beside it."""
    home = folder / "project"
    home.mkdir()
    (folder / "tasks.py").rename(home / "tasks.py")
    numbered(home / "data.csv", 20)
    assert process(home, "--limit", "10").returncode == 0
    return home


def process(home: Path, *args: object, table: str = "data.csv", task: str = "tasks.py:double"):
    return batchrun("process", table, "--task", task, "--json", *args, cwd=home)


@pytest.mark.parametrize("way", WAYS)
def test_a_project_goes_on_where_it_was(project, way):
    moved = project.with_name("elsewhere")
    WAYS[way](project, moved)
    assert ran(process(moved)) == 10
    assert len((moved / "data.results.csv").read_text().splitlines()) == 21
    assert ran(process(moved)) == 0
    assert "checksums agree" in batchrun("verify", "data.csv", cwd=moved).stdout
    if project.exists():
        assert ran(process(project)) == 10, "each of two copies has its own rows"


@pytest.mark.parametrize("way", WAYS)
def test_a_project_with_a_key_goes_on_when_its_table_is_edited_after_the_move(project, way):
    assert ran(process(project, "--key", "id", "--name", "keyed")) == 20
    moved = project.with_name("elsewhere")
    WAYS[way](project, moved)
    numbered(moved / "data.csv", 22)
    assert ran(process(moved, "--key", "id", "--name", "keyed")) == 2


@pytest.mark.parametrize("way", WAYS)
def test_the_task_of_a_copy_is_the_one_in_the_copy(project, way):
    moved = project.with_name("elsewhere")
    WAYS[way](project, moved)
    text = (moved / "tasks.py").read_text()
    (moved / "tasks.py").write_text(text.replace('row["id"] * 2', 'row["id"] * 3'))
    done = process(moved)
    assert ran(done) == 10
    assert "10 rows were settled under another version" in done.stderr
    assert ran(process(moved, "--on-change", "redo")) == 10


def test_a_project_that_is_copied_after_a_crash_names_the_rows_in_flight(project):
    run = start("process", "data.csv", "--task", "tasks.py:short", cwd=project, env={"SECONDS": "30"})
    wait_for(lambda: len(lines_of(project / "started")) > 11)
    kill(run)
    moved = project.with_name("elsewhere")
    WAYS["cp -r"](project, moved)
    done = process(moved, task="tasks.py:short")
    assert ran(done) == 20
    assert "the last run died while row" in done.stderr


def test_a_checkpoint_on_another_disk_is_moved_with_the_project(project):
    assert ran(process(project, "--dir", "ck", "--output", "out/../far.csv")) == 20
    shutil.copytree(project, project.with_name("elsewhere"))
    moved = project.with_name("elsewhere")
    assert ran(process(moved, "--dir", "ck", "--output", "far.csv")) == 0


def test_a_symbolic_link_to_a_project_is_the_project(project):
    link = project.with_name("link")
    link.symlink_to(project, target_is_directory=True)
    assert ran(process(link)) == 10
    assert ran(process(project)) == 0
    assert len(lines_of(project / "started")) == 20


def test_a_results_file_that_was_edited_by_hand_is_refused_in_true_words(project):
    results = project / "data.results.csv"
    results.write_text(results.read_text().replace("text 1", "checked"))
    refused = process(project)
    assert refused.returncode == 2
    assert "has been changed since it was written" in refused.stderr
    assert "did not write" not in refused.stderr
    assert "checked" in results.read_text()
    assert ran(process(project, "--overwrite")) == 10


def test_a_table_that_was_renamed_alone_is_missed_and_the_remedy_works(project):
    (project / "data.csv").rename(project / "new name.csv")
    refused = process(project, table="new name.csv")
    assert refused.returncode == 2
    assert "was it renamed?" in refused.stderr
    assert "--fresh starts over" in refused.stderr
    command = re.search(r"'(mv .*)', then", refused.stderr)[1]
    assert process(project, "--dry-run", table="new name.csv").returncode == 2
    subprocess.run(command, shell=True, check=True, cwd=project)
    assert ran(process(project, table="new name.csv")) == 10
    assert (project / "new name.results.csv").exists()


@pytest.mark.parametrize("asked", [(), ("--name", "third")])
def test_the_remedy_goes_on_with_the_checkpoint_that_is_the_tasks_whatever_its_name(project, asked):
    assert ran(process(project, "--name", "second", task="tasks.py:short")) == 20
    (project / "data.csv").rename(project / "new.csv")
    refused = process(project, *asked, table="new.csv", task="tasks.py:short")
    command, more = re.search(r"'(mv .*)', then the same command with (--name \w+)", refused.stderr).groups()
    subprocess.run(command, shell=True, check=True, cwd=project)
    assert ran(process(project, *asked, *more.split(), table="new.csv", task="tasks.py:short")) == 0


def test_a_task_that_is_new_to_a_renamed_table_is_not_said_to_go_on(project):
    (project / "data.csv").rename(project / "new.csv")
    refused = process(project, table="new.csv", task="tasks.py:short")
    command = re.search(r"'(mv .*)', then the same command again: this task starts beside double", refused.stderr)[1]
    subprocess.run(command, shell=True, check=True, cwd=project)
    assert ran(process(project, table="new.csv", task="tasks.py:short")) == 20
    assert ran(process(project, table="new.csv")) == 10


@pytest.mark.parametrize("edit", ["grown", "sorted", "shortened"])
def test_it_is_missed_too_when_it_was_edited(project, edit):
    header, *lines = (project / "data.csv").read_text().splitlines()
    lines = {"grown": [*lines, "21,new"], "sorted": lines[::-1], "shortened": lines[:10]}[edit]
    (project / "data.csv").unlink()
    (project / "new.csv").write_text("\n".join([header, *lines, ""]))
    assert "was it renamed?" in process(project, table="new.csv").stderr


def test_another_table_is_not_taken_for_one_that_was_renamed(project):
    (project / "data.csv").rename(project / "week1.csv")
    (project / "data.csv.batchrun").rename(project / "week1.csv.batchrun")
    shutil.copy(project / "week1.csv", project / "copy.csv")
    assert ran(process(project, table="copy.csv")) == 20, "its own table is there"
    (project / "week1.csv").unlink()
    (project / "week2.csv").write_text("id,text\n1,text 1\n101,new\n102,new\n")
    assert ran(process(project, table="week2.csv")) == 3, "most rows are others"


def test_a_renamed_table_may_start_over(project):
    (project / "data.csv").rename(project / "new.csv")
    assert ran(process(project, "--fresh", table="new.csv")) == 20
    assert ran(process(project, table="new.csv")) == 0
    assert (project / "data.csv.batchrun/double.sqlite").exists()


def test_a_renamed_table_is_missed_where_checkpoints_live_elsewhere(project):
    places = [project / "a", project / "b"]
    for place in places:
        place.mkdir()
        numbered(place / "data.csv", 4)
    assert ran(process(project, "--dir", "ck", table="a/data.csv")) == 4
    numbered(places[1] / "other.csv", 4)
    assert ran(process(project, "--dir", "ck", table="b/other.csv")) == 4, "the table of the first is still there"
    (project / "a/data.csv").rename(project / "a/new.csv")
    refused = process(project, "--dir", "ck", table="a/new.csv")
    assert "mv ck/data.csv.batchrun ck/new.csv.batchrun" in refused.stderr


def test_a_table_named_by_a_key_is_missed_by_its_keys(project):
    numbered(project / "keyed.csv", 6)
    assert ran(process(project, "--key", "id", table="keyed.csv")) == 6
    text = (project / "keyed.csv").read_text()
    (project / "keyed.csv").unlink()
    (project / "new.csv").write_text(text.replace("text", "other"))
    assert "mv keyed.csv.batchrun new.csv.batchrun" in process(project, "--key", "id", table="new.csv").stderr


def test_the_remedy_works_where_a_folder_of_the_new_name_is_there_already(project):
    (project / "data.csv").rename(project / "new.csv")
    (project / "new.csv.batchrun").mkdir()
    refused = process(project, table="new.csv")
    subprocess.run(re.search(r"'(mv .*)', then", refused.stderr)[1], shell=True, check=True, cwd=project)
    assert ran(process(project, table="new.csv")) == 10


def test_status_before_any_run_has_no_tasks(tmp_path):
    numbered(tmp_path / "data.csv", 3)
    told = batchrun("status", "data.csv", "--json", cwd=tmp_path)
    assert (told.returncode, json.loads(told.stdout)) == (0, {"input": "data.csv", "tasks": []})
    (tmp_path / "data.csv.batchrun").mkdir()
    assert json.loads(batchrun("status", "data.csv", "--json", cwd=tmp_path).stdout)["tasks"] == []
    words = batchrun("status", "data.csv", cwd=tmp_path)
    assert (words.returncode, "nothing has been run yet" in words.stdout) == (0, True)


@pytest.mark.parametrize("files", [["double.sqlite"], ["double.sqlite", "double.sqlite-wal", "double.lock"]])
def test_a_checkpoint_of_no_bytes_is_a_fresh_one(folder, files):
    numbered(folder / "data.csv", 3)
    place = folder / "data.csv.batchrun"
    place.mkdir()
    for name in files:
        (place / name).touch()
    told = batchrun("status", "data.csv", "--json", cwd=folder)
    assert told.returncode == 0, told.stderr
    for command in (("verify",), ("errors",), ("export", "-o", "-"), ("show",), ("report", "-o", "-")):
        number = ("1",) if command == ("show",) else ()
        asked = batchrun(command[0], "data.csv", *number, *command[1:], cwd=folder)
        assert asked.returncode in (0, 2), asked.stderr
        assert "damaged" not in asked.stderr
    assert ran(process(folder)) == 3
