"""What a checkpoint's file may hold: what batchrun makes, in each format, and nothing else."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from batchrun.checkpoint.opening import opened
from batchrun.checkpoint.own_tables import stranger_in
from batchrun.errors import CheckpointError

DATA = Path(__file__).parents[2] / "data"
FORMATS = (1, 2, 3)
MADE = {
    "view 'meta'": "DROP TABLE meta; CREATE VIEW meta AS SELECT 1 AS key, 2 AS value",
    "view 'failure'": "DROP TABLE failure; CREATE VIEW failure AS SELECT 1 AS id, 2 AS position",
    "trigger 'late'": "CREATE TRIGGER late AFTER INSERT ON run BEGIN DELETE FROM failure; END",
    "table 'twin'": "DROP TABLE twin; CREATE TABLE twin(position INTEGER PRIMARY KEY, occurrence INTEGER DEFAULT (1))",
    "index 'more'": "CREATE INDEX more ON failure(kind)",
    "table 'more'": "CREATE TABLE more(a)",
}
OF_OTHER_FORMATS = {
    1: ("spent", "CREATE TABLE spent(run INTEGER PRIMARY KEY, prompt INTEGER, completion INTEGER)"),
    2: ("row", "CREATE VIEW row AS SELECT 1 AS number"),
    3: ("ledger", "CREATE TABLE ledger(position INTEGER PRIMARY KEY)"),
}


def copied(folder, version, *statements):
    """A file of this format, changed."""
    path = folder / "task.sqlite"
    shutil.copy(DATA / f"checkpoint-v{version}.db", path)
    with closing(sqlite3.connect(path)) as db:
        for statement in statements:
            db.executescript(statement)
        assert db.execute("PRAGMA user_version").fetchone() == (version,)
    return path


@pytest.mark.parametrize("write", [False, True], ids=["read", "written"])
@pytest.mark.parametrize("version", FORMATS)
def test_files_of_each_format_hold_what_batchrun_makes(tmp_path, version, write):
    path = copied(tmp_path, version, "ANALYZE", "VACUUM")
    with opened(path, write=write) as checkpoint:
        assert checkpoint.counts()["done"] > 0
    with closing(sqlite3.connect(path)) as db:
        now = 3 if write else version
        assert (db.execute("PRAGMA user_version").fetchone()[0], stranger_in(db, now)) == (now, None)


@pytest.mark.parametrize("write", [False, True], ids=["read", "written"])
@pytest.mark.parametrize("found", MADE)
@pytest.mark.parametrize("version", FORMATS)
def test_whatever_else_is_in_a_file_of_any_format_is_named(tmp_path, version, found, write):
    path = copied(tmp_path, version, MADE[found])
    with pytest.raises(CheckpointError, match=f"contains the {found}, which batchrun did not create"):
        opened(path, write=write)


@pytest.mark.parametrize("version", FORMATS)
def test_what_belongs_to_another_format_is_as_strange(tmp_path, version):
    name, statement = OF_OTHER_FORMATS[version]
    path = copied(tmp_path, version, statement)
    with pytest.raises(CheckpointError, match=f"'{name}', which batchrun did not create"):
        opened(path, write=False)


@pytest.mark.parametrize("write", [False, True], ids=["read", "written"])
def test_a_schema_that_is_no_text_any_more_is_damage(tmp_path, write):
    path = copied(tmp_path, 3)
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE twin(position", b"CREATE TABLE twin(p\xffsition"))
    with pytest.raises(CheckpointError, match="damaged"):
        opened(path, write=write)
