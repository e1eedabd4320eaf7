"""Whose files are: who else could have written them, and what is opened."""

import os
import stat
from pathlib import Path

import pytest

from batchrun.core.ownership import NotOurs, may_be_changed, open_own, read_own, stranger_to


def made(kind, path):
    """Something that is no regular file."""
    if kind == "link":
        path.symlink_to(path.with_name("elsewhere"))
        path.with_name("elsewhere").write_text("x")
    elif kind == "dangling link":
        path.symlink_to(path.with_name("nowhere"))
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_RDWR | os.O_CREAT, os.O_WRONLY | os.O_APPEND | os.O_CREAT])
@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "device", "folder"])
def test_only_a_regular_file_is_opened_and_nothing_is_waited_for(tmp_path, kind, flags):
    made(kind, tmp_path / "file")
    with pytest.raises(NotOurs):
        open_own(tmp_path / "file", flags)
    assert not (tmp_path / "nowhere").exists()


def test_a_device_itself_is_not_opened():
    with pytest.raises(NotOurs):
        read_own(Path("/dev/zero"))


def test_a_new_file_is_private_and_one_that_is_missing_is_missing(tmp_path):
    os.close(open_own(tmp_path / "file", os.O_RDWR | os.O_CREAT))
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
    assert read_own(tmp_path / "file") == b""
    with pytest.raises(FileNotFoundError):
        open_own(tmp_path / "missing", os.O_RDONLY)


@pytest.mark.parametrize(
    ("mode", "changed"),
    [(0o755, False), (0o700, False), (0o757, True), (0o702, True), (0o1777, True)],
)
def test_who_may_write_is_seen_by_the_mode(tmp_path, mode, changed):
    tmp_path.chmod(mode)
    assert may_be_changed(tmp_path.stat()) is changed


def test_each_folder_and_each_link_on_the_way_counts(tmp_path):
    for folder in ("a/b", "c/d"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "a/b/file").write_text("x")
    (tmp_path / "c/d/link").symlink_to("../../a/b")
    path = tmp_path / "c/d/link/../b/file"
    assert stranger_to(path) is None
    for folder in ("a", "a/b", "c", "c/d"):
        (tmp_path / folder).chmod(0o777)
        assert stranger_to(path) == f"{tmp_path / folder} can be changed by other users"
        (tmp_path / folder).chmod(0o1777)
        assert stranger_to(path) is None
        (tmp_path / folder).chmod(0o755)
