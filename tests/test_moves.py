"""A project that is moved, copied or renamed goes on where it was."""

import shutil
import subprocess
from pathlib import Path

import pytest
from support import batchrun, kill, lines_of, numbered, records, start, wait_for

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


def ran(done) -> int:
    assert done.returncode == 0, done.stderr
    return records(done.stdout)[1]["ran"]


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
