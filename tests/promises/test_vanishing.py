"""The checkpoint's folder is deleted, renamed or replaced under a run: nothing more is started, nothing is lost."""

import re
import shlex
import subprocess

import pytest
from support import batchrun, kill, lines_of, numbered, records, start, starts, wait_for


def vanish(how, place):
    if how in ("deleted", "emptied"):
        subprocess.run(["rm", "-rf", *([place] if how == "deleted" else place.iterdir())], check=True)
    else:
        place.rename(place.with_name("elsewhere"))
        if how == "replaced":
            place.mkdir(0o700)


@pytest.mark.parametrize("how", ["deleted", "emptied", "renamed", "replaced"])
def test_a_folder_that_vanishes_ends_the_run_and_what_was_settled_is_where_the_message_says(folder, how):
    table = numbered(folder / "data.csv", 2000)
    place = folder / "data.csv.batchrun"
    command = ("process", table, "-t", "tasks.py:short", "-j", 2)
    run = start(*command, cwd=folder, env={"SECONDS": "0.05"})
    try:
        wait_for(lambda: len(lines_of(folder / "started")) > 10)
        vanish(how, place)
        begun = len(lines_of(folder / "started"))
        _, err = run.communicate(timeout=20)
    finally:
        kill(run)
    assert run.returncode == 4, err
    assert len(lines_of(folder / "started")) < begun + 500, "it was noticed within seconds"
    assert not (folder / "data.results.csv").exists()
    assert "resume: " not in err
    typed = re.search("then run '(mv .*)' and the same", err)[1]
    subprocess.run(["rm", "-rf", place], check=True)
    subprocess.run(shlex.split(typed), check=True)
    assert place.stat().st_mode & 0o777 == 0o700
    before = len(lines_of(folder / "started"))
    again = batchrun(*command, "--limit", 1, "--json", cwd=folder)
    assert again.returncode == 0, again.stderr
    assert records(again.stdout)[0]["done"] == before
    assert len(lines_of(folder / "started")) == before + 1
    assert set(starts(folder).values()) == {1}, "no row ran twice"


def test_a_folder_that_vanishes_after_the_last_row_is_missed_too(folder):
    table = numbered(folder / "data.csv", 2)
    run = start("process", table, "-t", "tasks.py:short", "-j", 2, cwd=folder, env={"SECONDS": "1"})
    try:
        wait_for(lambda: len(lines_of(folder / "started")) == 2)
        vanish("deleted", folder / "data.csv.batchrun")
        _, err = run.communicate(timeout=20)
    finally:
        kill(run)
    assert (run.returncode, "saved-1" in err) == (4, True), err
