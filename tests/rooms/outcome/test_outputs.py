"""Which files batchrun may replace: those that it wrote, as it left them, whenever it was killed."""

import json
import os
import shutil
import stat
import threading
from pathlib import Path
from typing import IO

import pytest

from batchrun.checkpoint.atomic import replacing
from batchrun.outcome.export.outputs import has_written, is_current, may_replace, remember


class Killed(BaseException):
    """Stands for kill -9 at a certain moment."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data.csv.batchrun").mkdir()
    return tmp_path / "data.csv.batchrun"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "out.csv"


def write(folder: Path, target: Path, text: str, marker: str = "", killed: bool = False) -> None:
    def before_rename(file: IO[bytes]) -> None:
        remember(folder, target, file, marker)
        if killed:
            raise Killed

    with replacing(target, before_rename) as file:
        file.write(text.encode())


def test_a_free_name_may_be_taken(folder: Path, target: Path) -> None:
    assert may_replace(folder, target)
    assert not is_current(folder, target, "")


def test_a_file_of_somebody_else_is_not_replaced(folder: Path, target: Path) -> None:
    target.write_text("mine")
    assert not may_replace(folder, target)


def test_what_was_written_may_be_replaced_until_somebody_changes_it(folder: Path, target: Path) -> None:
    write(folder, target, "ours")
    assert may_replace(folder, target)
    target.write_text("mine")
    assert not may_replace(folder, target)


def test_a_change_that_keeps_the_size_is_seen_too(folder: Path, target: Path) -> None:
    write(folder, target, "ours")
    found = target.stat()
    target.write_text("mine")
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns + 1))
    assert not may_replace(folder, target)


def test_a_folder_and_a_dangling_link_are_not_ours(folder: Path, target: Path) -> None:
    target.symlink_to(target.with_name("nothing"))
    assert not may_replace(folder, target)
    target.unlink()
    target.mkdir()
    assert not may_replace(folder, target)


def test_a_kill_between_recording_and_renaming_leaves_the_old_file_ours(folder: Path, target: Path) -> None:
    write(folder, target, "first", "1")
    for marker in ("2", "3", "4"):  # however often it happens
        with pytest.raises(Killed):
            write(folder, target, f"never seen {marker}", marker, killed=True)
        assert may_replace(folder, target)
        assert is_current(folder, target, "1")
        assert not is_current(folder, target, marker)
    write(folder, target, "fifth", "5")
    assert is_current(folder, target, "5")


def test_a_kill_before_the_first_renaming_leaves_the_name_free(folder: Path, target: Path) -> None:
    with pytest.raises(Killed):
        write(folder, target, "never seen", "1", killed=True)
    assert may_replace(folder, target)
    assert not is_current(folder, target, "1")
    target.write_text("mine")
    assert not may_replace(folder, target)


def test_a_file_is_current_only_for_the_state_that_it_shows(folder: Path, target: Path) -> None:
    write(folder, target, "ours", "run 7")
    assert is_current(folder, target, "run 7")
    assert not is_current(folder, target, "run 8")
    target.unlink()
    assert not is_current(folder, target, "run 7")


def test_each_path_has_its_own_record_however_it_is_written(
    folder: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = target.with_name("other.csv")
    write(folder, target, "ours", "a")
    write(folder, other, "ours too", "b")
    monkeypatch.chdir(target.parent)
    assert is_current(folder, Path("out.csv"), "a")
    assert is_current(folder, Path("./data.csv.batchrun/../other.csv"), "b")


def test_the_register_is_private(folder: Path, target: Path) -> None:
    write(folder, target, "ours")
    assert stat.S_IMODE((folder / "outputs.json").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"files"', "[]", "null", '{"files": 3}', '{"files": {"x": 3}}', '{"files": {"x": [[1]]}}', "\udcff",
     '{"files": {"x": [["a", "b", "c"]]}}', "[" * 100_000],
)  # fmt: skip
def test_a_damaged_register_means_that_nothing_is_ours(folder: Path, target: Path, text: str) -> None:
    write(folder, target, "ours", "1")
    (folder / "outputs.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert not may_replace(folder, target)
    assert not is_current(folder, target, "1")
    write(folder, target, "new", "2")
    assert is_current(folder, target, "2")


def test_every_way_to_cut_the_register_off_is_survived(folder: Path, target: Path) -> None:
    write(folder, target, "ours", "1")
    whole = (folder / "outputs.json").read_bytes()
    for length in range(len(whole)):
        (folder / "outputs.json").write_bytes(whole[:length])
        assert not may_replace(folder, target)


def test_exports_that_end_at_the_same_time_are_all_remembered(folder: Path, tmp_path: Path) -> None:
    targets = [tmp_path / f"{number}.csv" for number in range(20)]
    threads = [threading.Thread(target=write, args=(folder, target, "ours")) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(may_replace(folder, target) for target in targets)
    assert len(json.loads((folder / "outputs.json").read_bytes())["files"]) == 20


def test_a_missing_checkpoint_folder_means_that_nothing_is_ours(tmp_path: Path, target: Path) -> None:
    target.write_text("mine")
    assert not may_replace(tmp_path / "missing", target)


def test_a_project_that_was_moved_or_copied_still_knows_its_files(folder: Path, target: Path, tmp_path: Path) -> None:
    write(folder, target, "ours", "1")
    project = tmp_path.with_name(f"{tmp_path.name}-elsewhere")
    for copy in (shutil.copy2, shutil.copy):  # `cp -a` and `cp -r`: with and without times
        shutil.copytree(tmp_path, project, copy_function=copy)
        assert is_current(project / folder.name, project / target.name, "1")
        (project / target.name).write_text("mine")
        assert not may_replace(project / folder.name, project / target.name)
        assert has_written(project / folder.name, project / target.name)
        shutil.rmtree(project)
    tmp_path.rename(project)
    assert is_current(project / folder.name, project / target.name, "1")
    write(project / folder.name, project / target.name, "more", "2")
    assert is_current(project / folder.name, project / target.name, "2")


def test_a_file_that_stays_where_it_is_is_known_when_the_project_moves(tmp_path: Path) -> None:
    folder, target = tmp_path / "a/b/project/ck", tmp_path / "other disk/out.csv"
    folder.mkdir(parents=True)
    target.parent.mkdir()
    write(folder, target, "ours", "1")
    moved = (tmp_path / "a/b/project").rename(tmp_path / "moved")
    assert is_current(moved / "ck", target, "1")
    write(moved / "ck", target, "again", "2")
    assert is_current(moved / "ck", target, "2")


def test_a_copy_of_a_results_file_under_another_name_is_not_ours(folder: Path, target: Path) -> None:
    write(folder, target, "ours", "1")
    kept = target.with_name("kept.csv")
    shutil.copy2(target, kept)
    assert not may_replace(folder, kept)
    assert not has_written(folder, kept)


def test_a_file_that_was_renamed_is_ours_until_another_has_its_old_name(folder: Path, target: Path) -> None:
    write(folder, target, "ours", "1")
    renamed = target.rename(target.with_name("renamed.csv"))
    assert is_current(folder, renamed, "1")
    assert not has_written(folder, renamed)
    renamed.write_text("mine")
    assert not may_replace(folder, renamed)
    renamed.write_text("ours")
    write(folder, target, "more", "2")
    assert not may_replace(folder, renamed)


def test_a_register_of_an_earlier_version_is_known_where_it_was_and_where_it_was_moved(
    folder: Path, target: Path, tmp_path: Path
) -> None:
    target.write_text("ours")
    found = target.stat()
    old = {"files": {str(target): [[found.st_size, found.st_mtime_ns, "1"]]}}
    (folder / "outputs.json").write_text(json.dumps(old))
    assert is_current(folder, target, "1")
    project = tmp_path.rename(tmp_path.with_name(f"{tmp_path.name}-elsewhere"))
    folder, target = project / folder.name, project / target.name
    assert is_current(folder, target, "1")
    write(folder, target, "new", "2")
    assert is_current(folder, target, "2")
    target.write_text("mine")
    assert not may_replace(folder, target)
