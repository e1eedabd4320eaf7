"""Other users of the machine: what they put where a run looks is not heeded, not written through, and not waited for.

Attacks are made by another user, so these tests need root, which is then the user who is attacked.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from support import batchrun, numbered

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
        assert f"{shared / name} do not count" in refused.stderr
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
        assert ("may be changed by others" in ran.stderr) != counts
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
