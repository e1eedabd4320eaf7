"""Other users of the machine: what they put where a run looks is not heeded, not written through, and not waited for.

Attacks are made by another user, so these tests need root, which is then the user who is attacked.
"""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from support import batchrun, numbered, start, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")


@pytest.fixture
def shared():
    """A folder like /tmp, with a folder of ours in it that has a table."""
    folder = Path(tempfile.mkdtemp(prefix="batchrun-test-", dir="/tmp"))
    folder.chmod(0o1777)
    (folder / "mine").mkdir(0o755)
    numbered(folder / "mine" / "data.csv", 3)
    yield folder
    shutil.rmtree(folder)


def as_nobody(script, folder):
    """Another user of the machine runs this in a folder."""
    subprocess.run(
        ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "/bin/sh", "-ec", script],
        cwd=folder,
        check=True,
        timeout=30,
    )


PLANTED = 'printf \'command = "/bin/sh -c id>%s/hacked"\\n\' "$PWD"'


@pytest.mark.parametrize("name", ["batchrun.toml", "pyproject.toml"])
def test_options_that_another_user_has_planted_do_not_count(shared, name):
    head = "printf '[tool.batchrun]\\n'; " if name == "pyproject.toml" else ""
    as_nobody(f"({head}{PLANTED}) > {name}", shared)
    for command in (("process", "data.csv", "-t", "repair"), ("status",), ("export", "data.csv", "-o", "-")):
        refused = batchrun(*command, cwd=shared / "mine")
        assert refused.returncode == 2
        assert f"{shared / name} are not trusted" in refused.stderr
        assert "belongs to nobody" in refused.stderr
        assert "--config" in refused.stderr
    assert not (shared / "hacked").exists()
    (shared / "mine" / "batchrun.toml").touch()  # as the message says
    assert batchrun("process", "data.csv", "-t", "repair", cwd=shared / "mine").returncode == 0


def test_options_in_a_folder_that_others_may_write_to_do_not_count(shared):
    for mode, counts in ((0o777, False), (0o775, True), (0o1777, True)):  # the group is root's own
        folder = shared / f"open{mode:o}"
        folder.mkdir()
        numbered(folder / "data.csv", 3)
        (folder / "batchrun.toml").write_text('task = "repair"\nlimit = 1\n')
        folder.chmod(mode)
        ran = batchrun("process", "data.csv", cwd=folder)
        assert (ran.returncode == 0) == counts, ran.stderr
        assert ("can be changed by other users" in ran.stderr) != counts
    os.chown(folder, -1, 65534)
    folder.chmod(0o775)
    assert batchrun("process", "data.csv", cwd=folder).returncode == 2


def test_options_behind_another_users_link_do_not_count(shared):
    (shared / "mine" / "other.toml").write_text('task = "repair"\n')
    as_nobody("ln -s mine/other.toml batchrun.toml", shared)
    refused = batchrun("process", "data.csv", cwd=shared / "mine")
    assert refused.returncode == 2
    assert "batchrun.toml belongs to nobody" in refused.stderr


def test_a_file_that_the_user_names_counts_whoever_has_written_it(shared):
    as_nobody("echo 'limit = 1' > team.toml", shared)
    for command, env in ((("--config", "../team.toml"), {}), ((), {"BATCHRUN_CONFIG": "../team.toml"})):
        ran = batchrun("process", "data.csv", "-t", "repair", "--dry-run", *command, cwd=shared / "mine", env=env)
        assert ran.returncode == 0, ran.stderr
        assert "options of" in ran.stderr
        assert "team.toml: " in ran.stderr


@pytest.fixture
def used(shared):
    """The table with a checkpoint of ours beside it; returns its folder."""
    assert batchrun("process", "data.csv", "-t", "repair", cwd=shared / "mine").returncode == 0
    return shared / "mine"


READERS = ("status", "errors", "show", "export", "verify", "report", "ctl")


def each_command(folder, table="data.csv"):
    """Every command that opens a checkpoint, run on it: what has become of each. None may wait for anything."""
    ends = {"show": ["1"], "export": ["-o", "-"], "report": ["-o", "-"]}
    for command in (*READERS, "process"):
        more = ["-t", "repair"] if command == "process" else ends.get(command, [])
        yield command, batchrun(command, table, *more, cwd=folder, timeout=20)


def refused_by_each_command(folder, *words, table="data.csv"):
    for command, ran in each_command(folder, table):
        assert ran.returncode == 4, (command, ran.stdout, ran.stderr)
        assert all(word in ran.stderr for word in words), (command, ran.stderr)


def test_a_folder_that_another_user_has_made_is_refused(shared):
    numbered(shared / "data.csv", 3)
    as_nobody("mkdir -m 777 data.csv.batchrun; touch data.csv.batchrun/repair.sqlite", shared)
    refused_by_each_command(shared, "data.csv.batchrun", "belongs to nobody", "--dir")
    assert [path.name for path in (shared / "data.csv.batchrun").iterdir()] == ["repair.sqlite"]


def test_a_link_of_another_user_is_not_followed_to_a_folder_of_ours(shared):
    numbered(shared / "data.csv", 3)
    (shared / "mine" / "elsewhere").mkdir(0o700)
    (shared / "mine" / "elsewhere" / "repair.sqlite").touch()
    as_nobody("ln -s mine/elsewhere data.csv.batchrun", shared)
    refused_by_each_command(shared, "belongs to nobody")
    assert [path.name for path in (shared / "mine" / "elsewhere").iterdir()] == ["repair.sqlite"]


def test_our_own_link_to_a_folder_of_ours_is_followed(shared):
    (shared / "mine" / "elsewhere").mkdir(0o700)
    (shared / "mine" / "data.csv.batchrun").symlink_to("elsewhere")
    assert batchrun("process", "data.csv", "-t", "repair", cwd=shared / "mine").returncode == 0
    assert (shared / "mine" / "elsewhere" / "repair.sqlite").exists()


@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_a_folder_that_others_may_write_to_is_refused(used, mode):
    place = used / "data.csv.batchrun"
    place.chmod(mode)
    refused_by_each_command(used, "data.csv.batchrun can be changed by other users", f"chmod 700 {place}")
    place.chmod(0o700)  # as the message says
    assert all(ran.returncode in (0, 2) for _, ran in each_command(used))


def test_a_folder_that_others_may_look_into_is_closed_by_the_next_run(used):
    place = used / "data.csv.batchrun"
    place.chmod(0o755)
    assert batchrun("status", "data.csv", cwd=used).returncode == 0
    assert batchrun("process", "data.csv", "-t", "repair", cwd=used).returncode == 0
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


ENDINGS = (".sqlite", ".sqlite-wal", ".lock", ".log", ".inflight", ".roll", ".sock")


@pytest.mark.parametrize("ending", [*ENDINGS, "outputs.json"])
def test_a_link_in_the_folder_is_never_followed(used, ending):
    victim = used / "dotfile"
    victim.write_text("mine\n")
    place = used / "data.csv.batchrun" / (ending if ending == "outputs.json" else f"repair{ending}")
    place.unlink(missing_ok=True)
    place.symlink_to(victim)
    (used / "data.csv").write_text("id,text\n4,four\n")
    refused_by_each_command(used, place.name, "is a link")
    assert (victim.read_text(), victim.stat().st_mode & 0o777) == ("mine\n", 0o644)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_pipe_in_the_folder_holds_nobody_up(used, ending):
    place = used / "data.csv.batchrun" / f"repair{ending}"
    place.unlink(missing_ok=True)
    os.mkfifo(place)
    refused_by_each_command(used, place.name, "is not a regular file")


def test_a_file_of_another_user_in_the_folder_is_refused(used):
    os.chown(used / "data.csv.batchrun" / "repair.log", 65534, -1)
    refused_by_each_command(used, "repair.log belongs to nobody")


def test_status_of_all_tables_passes_over_folders_of_other_users(shared, used):
    as_nobody("mkdir -p theirs/other.csv.batchrun; touch theirs/other.csv.batchrun/task.sqlite", shared)
    told = batchrun("status", cwd=shared)
    assert (told.returncode, "3 done" in told.stdout, "other.csv" in told.stdout) == (0, True, False), told.stderr


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_results_and_reports_go_through_nothing_that_the_user_has_not_named(shared, used, kind):
    victim = used / "dotfile"
    victim.write_text("mine\n")
    for command, name in (
        (("process", "data.csv", "-t", "repair"), "results.csv"),
        (("report", "data.csv"), "report.html"),
    ):
        target = used / f"data.{name}"
        target.unlink(missing_ok=True)
        target.symlink_to(victim) if kind == "link" else os.mkfifo(target)
        for more in ((), ("--overwrite",)):
            refused = batchrun(*command, *more, cwd=used, timeout=20)
            assert refused.returncode == 2, refused.stderr
            assert f"{target} is {'a link' if kind == 'link' else 'not a regular file'}" in refused.stderr
            assert "--output" in refused.stderr
        assert victim.read_text() == "mine\n"
    if kind == "link":
        named = batchrun("export", "data.csv", "-o", "data.results.csv", "--overwrite", cwd=used)
        assert named.returncode == 0, named.stderr
        assert victim.read_text() != "mine\n"


def test_results_do_not_go_through_a_link_of_another_user_though_its_name_was_given(shared, used):
    victim = used / "dotfile"
    victim.write_text("mine\n")
    as_nobody("ln -s mine/dotfile out.csv; ln -s mine/dotfile out.html", shared)
    for command, name in (("export", "out.csv"), ("report", "out.html"), ("process", "out.csv")):
        more = ("-t", "repair") if command == "process" else ()
        refused = batchrun(command, "data.csv", *more, "-o", shared / name, "--overwrite", cwd=used)
        assert refused.returncode == 2, (command, refused.stderr)
        assert f"{name} is a link, and belongs to nobody" in refused.stderr
    assert victim.read_text() == "mine\n"


WAITS = """
import os, time
def task(row):
    while not os.path.exists("go"):
        time.sleep(0.01)
    return row
"""


@pytest.mark.parametrize("appears", ["file", "link"])
def test_what_has_appeared_at_the_target_meanwhile_is_not_replaced(shared, appears):
    folder = shared / "mine"
    (folder / "waits.py").write_text(WAITS)
    victim = folder / "dotfile"
    victim.write_text("mine\n")
    target = shared / "out.csv" if appears == "link" else folder / "data.results.csv"
    more = ("-o", target) if appears == "link" else ()
    run = start("process", "data.csv", "-t", "waits.py:task", *more, cwd=folder)
    wait_for(lambda: list(folder.glob("*.batchrun/*.sock")))
    if appears == "file":
        target.write_text("hours of work\n")
    else:
        as_nobody("ln -s mine/dotfile out.csv", shared)
    (folder / "go").touch()
    _, err = run.communicate(timeout=60)
    assert run.returncode == 2, err
    assert str(target) in err
    assert victim.read_text() == "mine\n"
    if appears == "file":
        assert target.read_text() == "hours of work\n"
    again = batchrun("process", "data.csv", "-t", "waits.py:task", "-o", "other.csv", cwd=folder)
    assert (again.returncode, "3 of 3 done" in again.stderr) == (0, True), "what the message says works"


def test_copies_of_dataframes_are_private(shared):
    folder = shared / "mine"
    (folder / "frame.parquet.batchrun").mkdir(0o755)
    (folder / "notebook.py").write_text(
        "import batchrun, os, pandas\n"
        "os.umask(0)\n"
        "frame = pandas.DataFrame({'a': [1, 2]})\n"
        "batchrun.process(frame, 'repair', name='frame', progress='none')\n"
        "batchrun.process(frame, 'repair', name='other', progress='none')\n"
    )
    subprocess.run([sys.executable, "notebook.py"], cwd=folder, check=True, timeout=60)
    for name in ("frame", "other"):
        place = folder / f"{name}.parquet.batchrun"
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in place.iterdir()} == {0o600}
