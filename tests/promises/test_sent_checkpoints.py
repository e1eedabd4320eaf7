"""The contents of a checkpoint that somebody has sent are data: whatever stands in it, nothing of it runs, no file that
it names is read or waited for, and every command ends, at the latest with Ctrl-C.
"""

import json
import os
import platform
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from zlib import crc32

import pytest
from support import COMMAND, batchrun, database, environment, numbered, wait_for

COMMANDS = (
    ("status", "data.csv"),
    ("errors", "data.csv"),
    ("show", "data.csv", "3"),
    ("export", "data.csv", "-o", "-"),
    ("verify", "data.csv"),
    ("report", "data.csv", "-o", "-"),
    ("process", "data.csv", "-t", "tasks.py:failing", "--no-output"),
)


@pytest.fixture
def sent(folder):
    """A table with a checkpoint, of which a row has failed; returns the folder."""
    numbered(folder / "data.csv", 5)
    assert batchrun("process", "data.csv", "-t", "tasks.py:failing", "--retries", 0, cwd=folder).returncode == 1
    return folder


def alter(folder, *statements):
    """Change the checkpoint, and seal what it says of the table again."""
    with closing(sqlite3.connect(database(folder / "data.csv", "failing"))) as db:
        for statement in statements:
            db.execute(*statement) if isinstance(statement, tuple) else db.executescript(statement)
        if db.execute("SELECT type FROM sqlite_master WHERE name = 'meta'").fetchone() == ("table",):
            facts = db.execute("SELECT key, value FROM meta WHERE key != 'seal' ORDER BY key")
            seal = crc32("".join(f"{key}\0{value}\0" for key, value in facts).encode())
            db.execute("UPDATE meta SET value = ? WHERE key = 'seal'", (str(seal),))
        db.commit()


def ends(folder):
    """How each command ends, in time."""
    return {command[0]: batchrun(*command, cwd=folder, timeout=30) for command in COMMANDS}


ENDLESS = "AS WITH RECURSIVE n(key) AS (VALUES('a') UNION ALL SELECT key FROM n) SELECT key, key AS value FROM n"
PROGRAMS = {
    "view 'meta'": f"DROP TABLE meta; CREATE VIEW meta {ENDLESS}",
    "view 'changed'": f"DROP TABLE changed; CREATE VIEW changed(position) {ENDLESS.replace(', key AS value', '')}",
    "view 'row'": f"DROP VIEW row; CREATE VIEW row(number) {ENDLESS.replace(', key AS value', '')}",
    "view 'block'": f"DROP TABLE block; CREATE VIEW block(id) {ENDLESS.replace(', key AS value', '')}",
    "trigger 'late'": "CREATE TRIGGER late AFTER INSERT ON run BEGIN DELETE FROM failure; END",
    "table 'more'": "CREATE VIRTUAL TABLE more USING fts5(x)",
    "table 'twin'": "DROP TABLE twin; CREATE TABLE twin(position INTEGER, occurrence AS (zeroblob(1000000000)))",
    "index 'heavy'": "CREATE INDEX heavy ON failure(printf('%.9000000c', 'x'))",
}


@pytest.mark.parametrize("found", PROGRAMS)
def test_whatever_would_run_in_a_checkpoint_is_refused(sent, found):
    alter(sent, PROGRAMS[found])
    for command, ran in ends(sent).items():
        assert ran.returncode == 4, (command, ran.stderr)
        assert found.partition(" ")[2] in ran.stderr, (command, ran.stderr)


def test_what_sqlite_itself_adds_is_not_refused(sent):
    alter(sent, "ANALYZE", "VACUUM")
    assert {ran.returncode for ran in ends(sent).values()} <= {0, 1}


@pytest.mark.parametrize("kind", ["device", "pipe", "folder", "huge"])
def test_no_file_that_a_checkpoint_names_is_waited_for_or_read_without_end(sent, kind):
    path = sent / "named"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "huge":
        os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 1 << 40)
    name_source(sent, "/dev/zero" if kind == "device" else str(path))
    for command, ran in ends(sent).items():
        assert ran.returncode in (0, 1), (command, ran.stderr)


def name_source(folder, path):
    """Let the checkpoint say that its task is made of one more file."""
    with closing(sqlite3.connect(database(folder / "data.csv", "failing"))) as db:
        task = json.loads(db.execute("SELECT value FROM meta WHERE key = 'task'").fetchone()[0])
        versions = platform.python_version()
    sources = [[path, "0" * 32], *task["sources"]]
    unshared = {"why": "x", "preload": "imports", "python": versions, "sources": sources}
    facts = {"task": {**task, "sources": sources}, "unshared": unshared}
    alter(folder, *(("REPLACE INTO meta VALUES (?, ?)", (name, json.dumps(fact))) for name, fact in facts.items()))


HEARD = """
import sys, batchrun.__main__
sys.addaudithook(lambda event, told: event == "open" and "planted" in str(told[0]) and print("OPENED", told[0]))
batchrun.__main__.main()
"""


def test_a_file_that_a_checkpoint_names_is_opened_only_if_the_user_has_named_it_too(sent, tmp_path_factory):
    planted = tmp_path_factory.mktemp("elsewhere") / "planted.py"
    planted.write_text("")
    for named, opened in ((planted, False), (sent / "planted.py", True)):
        named.write_text("")
        name_source(sent, str(named))
        said = {
            command[0]: subprocess.run(
                [COMMAND[0], "-c", HEARD, *command],
                cwd=sent, env=environment(), capture_output=True, text=True, timeout=60,
            ).stdout
            for command in COMMANDS
        }  # fmt: skip
        heard = {command for command, out in said.items() if "OPENED" in out}
        assert heard == ({"show", "process"} if opened else set())


@pytest.mark.parametrize("value", [1e300, 9e15, float("inf")])
def test_a_time_that_no_clock_shows_is_damage(sent, value):
    for column in ("run.started", "failure.at"):
        table, name = column.split(".")
        alter(sent, (f"UPDATE {table} SET {name} = ?", (value,)))
    for command, ran in ends(sent).items():
        assert ran.returncode in (0, 1, 4), (command, ran.stderr)
        if command in ("status", "show"):
            assert (ran.returncode, "no clock shows" in ran.stderr) == (4, True), (command, ran.stderr)


@pytest.mark.parametrize("fact", ["rows", "columns", "task"])
def test_a_fact_that_makes_no_sense_is_damage(sent, fact):
    for value in ("1e300", "[" * 5000):
        alter(sent, ("UPDATE meta SET value = ? WHERE key = ?", (value, fact)))
        for command, ran in ends(sent).items():
            assert ran.returncode == 4, (value, command, ran.stderr)
            assert f"damaged: what it remembers as {fact!r}" in ran.stderr + ran.stdout, (command, ran.stderr)


READS = "with opened(Path(sys.argv[1]), write=False) as checkpoint:"
BINDS = (
    "with opened(Path(sys.argv[1]), write=True) as checkpoint, listening() as signals, "
    "checkpoint.transaction(), signals.at_once('nothing was changed'):"
)


@pytest.mark.parametrize(("opens", "ends"), [(READS, "KeyboardInterrupt"), (BINDS, "Interrupted: nothing was changed")])
def test_ctrl_c_ends_what_reads_a_checkpoint_while_sqlite_works(tmp_path, opens, ends):
    from batchrun.checkpoint.opening import opened

    with opened(tmp_path / "a.sqlite", write=True):
        pass
    script = (
        "import sys; from pathlib import Path; from batchrun.checkpoint.opening import opened\n"
        f"from batchrun.core.signals import listening\n{opens}\n"
        "    print('ready', flush=True)\n"
        "    checkpoint.db.execute('WITH RECURSIVE n(x) AS (VALUES(1) UNION ALL SELECT x + 1 FROM n) "
        "SELECT max(x) FROM n').fetchall()\n"
    )
    reader = subprocess.Popen(
        [COMMAND[0], "-c", script, str(tmp_path / "a.sqlite")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        assert reader.stdout.readline() == "ready\n"
        wait_for(lambda: Path(f"/proc/{reader.pid}/stat").read_text().split()[2] == "R")
        reader.send_signal(signal.SIGINT)
        _, err = reader.communicate(timeout=5)
    finally:
        reader.kill()
    assert err.rstrip().endswith(ends), err
