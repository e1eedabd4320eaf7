"""A checkpoint belongs to one task: another is never given its results."""

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import batchrun, database, numbered, ran, settled

from batchrun.checkpoint.owner import BUILT_IN, COMMAND, FUNCTION, PROMPT, TYPED, Owner, file_of, is_same

ONE = "def f(row):\n    return {'by': 'one'}\n"
TWO = "def f(row):\n    return {'by': 'two'}\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    numbered(tmp_path / "data.csv", 4)
    (tmp_path / "one.py").write_text(ONE)
    (tmp_path / "two.py").write_text(TWO)
    return tmp_path


def process(home: Path, *args: object, task: str | None = "one.py:f", cwd: Path | None = None):
    named = ("--task", task) if task else ()
    return batchrun("process", home / "data.csv", *named, "--json", *args, cwd=cwd or home)


def makers(home: Path, name: str = "f") -> list[str]:
    return [body["by"] for _, body in settled(home / "data.csv", name).values()]


def assert_refused(done) -> str:
    """The name of the checkpoint that the remedy gives."""
    assert done.returncode == 2, done.stderr
    assert "belongs to another task" in done.stderr
    return done.stderr.split("--name ")[1].split()[0]


def test_a_function_of_the_same_name_from_another_file_is_refused_and_the_remedy_works(home):
    assert ran(process(home)) == 4
    name = assert_refused(process(home, task="two.py:f"))
    assert makers(home) == ["one"] * 4
    assert ran(process(home, "--name", name, task="two.py:f")) == 4
    assert makers(home, name) == ["two"] * 4
    assert ran(process(home)) == 0
    assert_refused(process(home, "--name", name))


def test_it_is_refused_with_dry_run_and_with_a_version_said_by_hand_too_but_not_with_fresh(home):
    assert ran(process(home, "--task-version", "1")) == 4
    assert_refused(process(home, "--dry-run", task="two.py:f"))
    assert_refused(process(home, "--task-version", "1", task="two.py:f"))
    assert ran(process(home, "--fresh", task="two.py:f")) == 4
    assert makers(home) == ["two"] * 4


def test_the_same_path_in_another_working_folder_is_another_file(home):
    assert ran(process(home)) == 4
    other = home / "other"
    other.mkdir()
    (other / "one.py").write_text(TWO)
    assert_refused(process(home, cwd=other))


def test_a_copy_of_the_source_is_the_same_task_in_the_same_version(home):
    assert ran(process(home)) == 4
    below = home / "below"
    below.mkdir()
    for place in (home / "renamed.py", below / "one.py", below / "other.py"):
        place.write_text(ONE)
        done = process(home, "--on-change", "redo", task=f"{place}:f")
        assert ran(done) == 0, place
    (home / "renamed.py").write_bytes(ONE.replace("\n", "\r\n").encode())
    assert ran(process(home, "--on-change", "redo", task="renamed.py:f")) == 0, "as git writes it for Windows"


def test_a_renamed_file_is_the_tasks_from_then_on(home):
    assert ran(process(home)) == 4
    (home / "one.py").rename(home / "new.py")
    assert ran(process(home, "--limit", "0", task="new.py:f")) == 0
    (home / "new.py").write_text(ONE + "# an edit\n")
    done = process(home, task="new.py:f")
    assert ran(done) == 0
    assert "another version of the task" in done.stderr


def test_an_edit_is_another_version_and_the_remedy_for_a_file_moved_and_edited_works(home):
    assert ran(process(home)) == 4
    (home / "one.py").write_text(ONE.replace("one", "edited"))
    assert "another version of the task" in process(home).stderr
    assert ran(process(home, "--on-change", "redo")) == 4
    shutil.copy(home / "one.py", home / "new.py")
    (home / "new.py").write_text(ONE.replace("one", "edited again"))
    done = process(home, task="new.py:f")
    assert_refused(done)
    assert "--limit 0" in done.stderr


def test_modules_beside_the_file_make_its_version_but_not_the_task(home):
    (home / "helper.py").write_text("BY = 'helper'\n")
    (home / "one.py").write_text("import helper\n\ndef f(row):\n    return {'by': helper.BY}\n")
    assert ran(process(home)) == 4
    (home / "helper.py").write_text("BY = 'another helper'\n")
    done = process(home)
    assert ran(done) == 0
    assert "another version of the task" in done.stderr
    assert ran(process(home, "--on-change", "redo")) == 4
    assert makers(home) == ["another helper"] * 4


def test_a_module_is_the_file_that_it_is_found_in(home):
    package = home / "pack"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "work.py").write_text(ONE)
    assert ran(process(home, task="pack.work:f")) == 4
    assert ran(process(home, task="pack/work.py:f")) == 0
    assert_refused(process(home, task="two:f"))
    assert ran(process(home, task="pack.work:f")) == 0
    elsewhere = home / "elsewhere/pack"
    elsewhere.mkdir(parents=True)
    (elsewhere / "work.py").write_text(TWO)
    assert_refused(process(home, task="pack.work:f", cwd=elsewhere.parent))


def test_another_function_of_the_same_file_is_another_task(home):
    (home / "one.py").write_text(ONE + TWO.replace("f(", "g("))
    assert ran(process(home, "--name", "mine")) == 4
    assert_refused(process(home, "--name", "mine", task="one.py:g"))


def test_a_function_that_got_another_name_is_another_version(home):
    assert ran(process(home)) == 4
    (home / "one.py").write_text(ONE.replace("def f(", "def better("))
    done = process(home, "--name", "f", task="one.py:better")
    assert ran(done) == 0
    assert "another version of the task" in done.stderr
    (home / "one.py").write_text(ONE.replace("def f(", "def better(") + TWO)
    assert_refused(process(home, "--name", "f", task="one.py:f"))


def test_functions_built_ins_prompts_and_commands_are_not_each_others_versions(home):
    (home / "one.py").write_text(ONE.replace("f(", "command(") + TWO.replace("f(", "prompt("))
    assert ran(process(home, task="one.py:command")) == 4
    assert_refused(process(home, "--command", "echo {id}", task=None))
    assert ran(process(home, task="one.py:prompt")) == 4
    prompt = ("--prompt", "Is {text} right?", "--model", "any", "--base-url", "http://127.0.0.1:9")
    assert_refused(process(home, *prompt, "--on-change", "keep", task=None))
    assert ran(process(home, "--command", "echo {id}", "--name", "echo", task=None)) == 4
    changed = process(home, "--command", "echo {text}", "--name", "echo", task=None)
    assert (changed.returncode, "belongs" in changed.stderr) == (2, False)
    assert "another command" in changed.stderr


def test_a_misspelt_file_is_named_as_missing(home):
    assert ran(process(home)) == 4
    done = process(home, task="tow.py:f")
    assert done.returncode == 2
    assert "there is no file tow.py" in done.stderr


def test_a_checkpoint_in_which_nothing_was_settled_may_be_taken_over(home):
    assert ran(process(home, "--limit", "0")) == 0
    assert ran(process(home, task="two.py:f")) == 4
    assert_refused(process(home))


@pytest.mark.parametrize("spec", ["one.py:f", "one:f"])
def test_a_checkpoint_of_an_earlier_version_knows_its_task_by_its_files(home, spec):
    assert ran(process(home, task=spec)) == 4
    with closing(sqlite3.connect(database(home / "data.csv", "f"), isolation_level=None)) as db:
        forget_owner(db)
    moved = home.rename(home.with_name(f"{home.name}-moved"))
    assert_refused(process(moved, task="two.py:f"))
    (moved / "one.py").write_text(ONE + "# an edit\n")
    assert ran(process(moved, task=spec)) == 0
    assert_refused(process(moved, task="two.py:f"))


def forget_owner(db: sqlite3.Connection) -> None:
    """As if an earlier version had written the facts."""
    from zlib import crc32

    db.execute("DELETE FROM meta WHERE key IN ('owner', 'place')")
    (task,) = db.execute("SELECT value FROM meta WHERE key = 'task'").fetchone()
    kept = {name: value for name, value in json.loads(task).items() if name != "loaded"}
    db.execute("UPDATE meta SET value = ? WHERE key = 'task'", (json.dumps(kept),))
    facts = db.execute("SELECT key, value FROM meta WHERE key != 'seal' ORDER BY key").fetchall()
    seal = crc32("".join(f"{key}\0{value}\0" for key, value in facts).encode())
    db.execute("UPDATE meta SET value = ? WHERE key = 'seal'", (str(seal),))


SCRIPT = """
import batchrun
from batchrun.errors import BatchrunError

{function}

try:
    done = batchrun.process("data.csv", task={name}, quiet=True, jobs=1)
    print(done.ran, done.done)
except BatchrunError as error:
    print(error.exit_code, "belongs" in str(error))
"""


def script(home: Path, file: str, function: str, name: str = "f") -> list[str]:
    (home / file).write_text(SCRIPT.format(function=function, name=name))
    return python(home, file)


def python(home: Path, *args: str) -> list[str]:
    done = subprocess.run([sys.executable, *args], cwd=home, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_functions_given_by_value_are_told_apart_by_their_files(home):
    assert script(home, "first.py", ONE) == ["4", "4"]
    assert script(home, "first.py", ONE.replace("one", "edited")) == ["0", "4"]
    assert script(home, "second.py", TWO) == ["2", "True"]
    assert script(home, "third.py", "from two import f") == ["2", "True"]
    assert_refused(process(home))


def test_a_function_given_by_value_and_by_its_file_is_one_task(home):
    assert ran(process(home)) == 4
    assert script(home, "main.py", "from one import f") == ["0", "4"]
    assert script(home, "main.py", "from two import f") == ["2", "True"]


def test_a_function_that_was_typed_is_another_version_when_it_is_typed_anew(home):
    typed = SCRIPT.format(function=ONE, name="f")
    assert python(home, "-c", typed) == ["4", "4"]
    edited = typed.replace("'one'", "'edited'")
    assert python(home, "-c", edited) == ["0", "4"]
    assert python(home, "-c", edited.replace("quiet=True", "quiet=True, on_change='redo'")) == ["4", "4"]
    assert makers(home) == ["edited"] * 4
    assert_refused(process(home))


OWNERS = st.builds(
    Owner,
    st.sampled_from([FUNCTION, BUILT_IN, PROMPT, COMMAND]),
    *(st.sampled_from(words) for words in (["f", "g"], ["/a.py", "/b.py", TYPED], ["", "../a.py"], ["", "1", "2"])),
)


@given(OWNERS, OWNERS)
def test_what_is_the_same_task_is_decided_the_same_from_both_sides(one, other):
    assert is_same(one, one)
    assert is_same(one, other) == is_same(other, one)
    if is_same(one, other):
        assert (one.kind, one.name) == (other.kind, other.name)
        common = {(one.path, "path"), (one.place, "place"), (one.digest, "digest")} & {
            (other.path, "path"), (other.place, "place"), (other.digest, "digest")
        }  # fmt: skip
        assert one.kind != FUNCTION or common


def test_a_modules_file_is_found_without_importing_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outer/inner").mkdir(parents=True)
    for name in ("top.py", "outer/inner/__init__.py", "outer/inner/deep.py"):
        (tmp_path / name).write_text("raise SystemExit('imported')")
    assert file_of("top:f") == str(tmp_path / "top.py")
    assert file_of("outer.inner:f") == str(tmp_path / "outer/inner/__init__.py")
    assert file_of("outer.inner.deep:f") == str(tmp_path / "outer/inner/deep.py")
    assert file_of("json.decoder:f") == json.decoder.__file__
    assert file_of("top.deeper:f") is None
    assert file_of("nowhere:f") is None
    assert file_of("outer:f") is None
