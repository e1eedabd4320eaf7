"""A folder with a JSON file for each row: what the files are called, and that nothing else is ever in it or lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import batchrun, write_table

from batchrun.checkpoint.atomic import replacing_folder
from batchrun.outcome.export.file_names import folded, shared_names, stem_of, told_apart
from batchrun.outcome.export.outputs import is_current, may_replace, remember

KEYS = st.text(max_size=150) | st.sampled_from(
    ["", ".", "..", "../x", "/etc/passwd", "a/b", "a\\b", "A", "a", "NUL", "com1.txt", "-rf", "~", "é", "e\u0301", "ß"]
)


# --- names


@given(KEYS)
def test_no_key_makes_a_name_that_leads_away_or_that_a_system_refuses(key: str) -> None:
    name = f"{stem_of(key)}.json"
    assert os.path.basename(name) == name
    assert not name.startswith((".", "-"))
    assert len(name.encode()) <= 130
    assert not set(name) & set('\\/:*?"<>|~\0\n\x1b\u202e ')
    assert name.partition(".")[0].lower() not in ("con", "prn", "aux", "nul", "com1", "lpt9")


@given(st.lists(KEYS, max_size=30))
def test_no_two_rows_have_a_name_that_some_system_takes_for_the_same(keys: list[str]) -> None:
    stems = list(map(stem_of, keys))
    names = list(told_apart(stems, range(1, len(keys) + 1), shared_names([stems[:7], stems[7:]])))
    assert len({unicodedata.normalize("NFD", name).casefold() for name in names}) == len(keys)
    assert all(
        name == stem
        for name, stem in zip(names, stems, strict=True)
        if list(map(folded, stems)).count(folded(stem)) == 1
    )


@pytest.mark.parametrize("key", ["LHR", "a.b-c_d", "17", "Zürich", "北京", "हिन्दी", "x@y.org"])
def test_plain_keys_are_their_own_names(key: str) -> None:
    assert stem_of(key) == key


# --- the folder


def write(
    folder: Path, target: Path, files: dict[str, str], marker: str = "", error: type[BaseException] | None = None
):
    def before_rename(written: Path) -> None:
        remember(folder, target, written, marker)
        if error:
            raise error

    with replacing_folder(target, before_rename) as part:
        for name, text in files.items():
            (part / name).write_text(text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data.csv.batchrun").mkdir()
    return tmp_path / "data.csv.batchrun"


def held(target: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in target.iterdir()}


def test_a_folder_takes_the_place_of_the_old_one_as_a_whole(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    write(folder, target, {"1.json": "a", "2.json": "b"}, "1")
    target.chmod(0o750)
    with pytest.raises(KeyboardInterrupt):
        write(folder, target, {"1.json": "c"}, "2", KeyboardInterrupt)
    assert held(target) == {"1.json": "a", "2.json": "b"}
    assert is_current(folder, target, "1")
    write(folder, target, {"1.json": "c"}, "3")
    assert held(target) == {"1.json": "c"}
    assert is_current(folder, target, "3")
    assert target.stat().st_mode & 0o777 == 0o750
    assert sorted(os.listdir(tmp_path)) == ["data.csv.batchrun", "out"]


def test_without_the_systems_help_one_name_is_free_for_a_moment(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("exchange", "sync_file_system"):
        monkeypatch.setattr(f"batchrun.checkpoint.atomic.{name}", lambda *_: False)
    test_a_folder_takes_the_place_of_the_old_one_as_a_whole(folder, tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda out: (out / "mine.txt").write_text("mine"),
        lambda out: (out / "1.json").unlink(),
        lambda out: (out / "1.json").write_text("b"),
        lambda out: (out / "1.json").rename(out / "3.json"),
        lambda out: (out / "sub").mkdir(),
        lambda out: (out / "link").symlink_to("1.json"),
    ],
)
def test_a_folder_is_ours_until_somebody_changes_anything_in_it(folder: Path, tmp_path: Path, change) -> None:
    target = tmp_path / "out"
    write(folder, target, {"1.json": "a", "2.json": "b"})
    assert may_replace(folder, target)
    change(target)
    assert not may_replace(folder, target)


def test_a_copy_of_the_project_knows_its_folder_by_its_content(folder: Path, tmp_path: Path) -> None:
    write(folder, tmp_path / "out", {"1.json": "a", "2.json": "b"}, "1")
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy / folder.name)
    shutil.copytree(tmp_path / "out", copy / "out", copy_function=shutil.copy)
    assert is_current(copy / folder.name, copy / "out", "1")
    (copy / "out/1.json").write_text("b")
    assert not may_replace(copy / folder.name, copy / "out")


def test_what_a_killed_writer_left_is_removed_but_no_folder_within(folder: Path, tmp_path: Path) -> None:
    for name, inside in (("aaaaaaaa", "1.json"), ("bbbbbbbb", "deeper/1.json")):
        file = tmp_path / f".out.{name}.part" / inside
        file.parent.mkdir(parents=True)
        file.write_text("x")
    write(folder, tmp_path / "out", {"1.json": "a"})
    assert not (tmp_path / ".out.aaaaaaaa.part").exists()
    assert (tmp_path / ".out.bbbbbbbb.part/deeper/1.json").exists()


# --- the whole command

PROCESS = ("process", "data.csv", "--task", "tasks.py:f", "--format", "json-files")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_table(tmp_path / "data.csv", [("LHR", 1), ("../x", 2), ("lhr", 3), ("JFK", 4)])
    (tmp_path / "tasks.py").write_text(
        "def f(row):\n    assert row['text'] != 4\n    return {'twice': 2 * row['text']}\n"
    )
    return tmp_path


def ran(home: Path, *args: object):
    return batchrun(*PROCESS, "--retries", 0, *args, cwd=home)


def test_rows_are_files_called_by_their_number(home: Path) -> None:
    done = ran(home)
    assert (done.returncode, "results  data.results" in done.stderr) == (1, True), done.stderr
    assert sorted(os.listdir(home / "data.results")) == ["1.json", "2.json", "3.json", "4.json"]
    lines = batchrun("export", "data.csv", "-o", "-", "--format", "jsonl", cwd=home).stdout.splitlines()
    assert [(home / f"data.results/{n}.json").read_text().strip() for n in (1, 2, 3, 4)] == lines


def test_rows_with_a_key_are_files_called_by_it(home: Path) -> None:
    ran(home, "--key", "id", "--output", "out/")
    found = {name: json.loads(text)["row"] for name, text in held(home / "out").items()}
    assert found == {"LHR~1.json": 1, "_.._x.json": 2, "lhr~3.json": 3, "JFK.json": 4}


def test_nothing_is_written_again_if_nothing_changed_and_all_if_something_did(home: Path) -> None:
    ran(home, "-o", "out", "--limit", 1)
    before = (home / "out").stat().st_ino
    ran(home, "-o", "out", "--limit", 0)
    assert (home / "out").stat().st_ino == before
    assert ran(home, "-o", "out").returncode == 1
    assert (home / "out").stat().st_ino != before
    assert json.loads((home / "out/3.json").read_text())["result"] == {"twice": 6}


def test_an_empty_folder_is_filled_and_one_of_somebody_else_is_refused_before_a_row_runs(home: Path) -> None:
    (home / "empty").mkdir()
    assert ran(home, "-o", "empty", "--limit", 0).returncode == 0
    assert len(os.listdir(home / "empty")) == 4
    (home / "full").mkdir()
    (home / "full/mine.txt").write_text("mine")
    for more in ((), ("--overwrite",)):
        done = ran(home, "-o", "full", *more)
        assert done.returncode == 2
        assert "batchrun did not write it" in done.stderr
        assert "--overwrite" not in done.stderr
    assert held(home / "full") == {"mine.txt": "mine"}
    (home / "empty/mine.txt").write_text("mine")
    done = ran(home, "-o", "empty")
    assert (done.returncode, "has been changed since it was written" in done.stderr) == (2, True)


@pytest.mark.parametrize("kind", ["file", "fifo", "link to a file", "link to nothing"])
def test_a_folder_does_not_go_where_something_else_is(home: Path, kind: str) -> None:
    target = home / "out"
    if kind == "fifo":
        os.mkfifo(target)
    elif kind == "file":
        target.write_text("mine")
    else:
        target.symlink_to(home / ("tasks.py" if kind == "link to a file" else "nothing"))
    for command in (
        (*PROCESS, "-o", "out", "--overwrite"),
        ("export", "data.csv", "-o", "out", "--format", "json-files"),
    ):
        if command[0] == "export":
            ran(home, "--no-output")
        done = batchrun(*command, cwd=home)
        assert (done.returncode, "is not a folder" in done.stderr) == (2, True), done.stderr
    assert os.path.lexists(target)
    assert not target.is_dir()


def test_a_folder_that_appeared_meanwhile_stays(home: Path) -> None:
    (home / "tasks.py").write_text(
        "import pathlib\ndef f(row):\n    out = pathlib.Path(__file__).with_name('out')\n    out.mkdir(exist_ok=True)\n"
        "    (out / 'mine').write_text('mine')\n    return 1\n"
    )
    done = ran(home, "-o", "out")
    assert (done.returncode, "did not write it" in done.stderr) == (2, True)
    assert held(home / "out") == {"mine": "mine"}
    assert json.loads(batchrun("status", "data.csv", "--json", cwd=home).stdout)["tasks"][0]["done"] == 4


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("export", "data.csv", "-o", "-", "--format", "json-files"), "a folder of files"),
        (("export", "data.csv", "-o", "x", "--format", "json-files", "--explode"), "one file per row"),
        ((*PROCESS, "--explode"), "one file per row"),
        (("export", "data.csv", "-o", "data.csv.batchrun"), "no results format"),
        (("export", "data.csv", "-o", ".", "--format", "csv"), "json-files"),
    ],
)
def test_what_a_folder_cannot_be_is_said(home: Path, args: tuple[str, ...], said: str) -> None:
    ran(home, "--no-output")
    done = batchrun(*args, cwd=home)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_a_writer_that_is_killed_leaves_the_old_folder_and_the_next_one_cleans_up(home: Path) -> None:
    ran(home, "-o", "out", "--limit", 1)
    code = """
import os, pathlib, signal
from batchrun.checkpoint.atomic import replacing_folder
with replacing_folder(pathlib.Path("out")) as part:
    (part / "1.json").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=home, timeout=60).returncode == -signal.SIGKILL
    assert len(list(home.glob(".out.*.part"))) == 1
    assert len(os.listdir(home / "out")) == 4
    assert ran(home, "-o", "out").returncode == 1
    assert not list(home.glob(".out.*.part"))
    assert json.loads((home / "out/3.json").read_text())["result"] == {"twice": 6}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the name is free for a moment")
def test_there_is_never_a_moment_without_a_folder(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    write(folder, target, {"1.json": "a"})
    kept = os.open(target, os.O_RDONLY)
    with replacing_folder(target) as part:
        (part / "1.json").write_text("b")
    assert held(target) == {"1.json": "b"}
    assert os.listdir(kept) == []  # the very folder that had the name, emptied once it had it no more
    os.close(kept)
