"""What a checkpoint remembers of its table and its task: what can be true, and what cannot."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import batchrun, database, numbered

from batchrun.checkpoint.fact_shapes import nonsense_in

DATA = Path(__file__).parents[2] / "data"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda more: st.lists(more, max_size=3) | st.dictionaries(st.text(max_size=3), more, max_size=3),
)
WHOLE = {
    "id": "0123456789abcdef0123456789abcdef",
    "rows": 3,
    "columns": ["a"],
    "types": ["int"],
    "doubts": [["a", [2], ["x"], "int"]],
    "reading": {"columns": [], "key": [], "dtype": {}, "encoding": None, "sep": ";", "bad_rows": "stop"},
    "task": {"spec": "repair", "version": "1", "sources": [["/a.py", "0"]], "is_async": None},
    "owner": {"kind": "prompt"},
    "suspects": {"00" * 16: [1, 0]},
    "died": None,
}


def told(facts):
    return nonsense_in((name, json.dumps(value)) for name, value in facts.items())


@pytest.mark.parametrize("file", ["checkpoint-v1.db", "checkpoint-v2.db", "checkpoint-v3.db"])
def test_facts_of_earlier_versions_can_be_true(tmp_path, file):
    shutil.copy(DATA / file, tmp_path / "copy.db")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as db:
        assert nonsense_in(db.execute("SELECT key, value FROM meta").fetchall()) is None


def test_facts_of_this_version_can_be_true(folder):
    table = numbered(folder / "data.csv", 3)
    batchrun("process", table, "-t", "tasks.py:double", "--key", "id", "--missing", "?", cwd=folder)
    with closing(sqlite3.connect(database(table, "double"))) as db:
        assert nonsense_in(db.execute("SELECT key, value FROM meta").fetchall()) is None


def test_facts_of_several_files_can_be_true(folder):
    (folder / "parts").mkdir()
    for part in "ab":
        (folder / "parts" / f"{part}.csv").write_text("id,number,text\n" + "1,2,x\n" * 50 + "1,?,x\n")
    done = batchrun("process", "parts", "-t", "tasks.py:double", "--file-column", cwd=folder)
    assert done.returncode == 0, done.stderr
    with closing(sqlite3.connect(database(folder / "parts", "double"))) as db:
        facts = dict(db.execute("SELECT key, value FROM meta").fetchall())
    assert isinstance(json.loads(facts["doubts"])[0][1][0], str)
    assert nonsense_in(facts.items()) is None


@pytest.mark.parametrize("name", sorted(WHOLE))
@given(value=VALUES)
def test_any_value_can_be_looked_at_and_a_number_is_never_taken_for_a_list(name, value):
    assert told(WHOLE) is None
    found = told({**WHOLE, name: value})
    if name != "rows" and isinstance(value, (bool, int, float)):
        assert found == f"what it remembers as {name!r} makes no sense"


@pytest.mark.parametrize("rows", [-1, 1e300, True, "3", None, 1 << 60])
def test_rows_are_a_number_that_a_table_can_have(rows):
    assert told({**WHOLE, "rows": rows})


@pytest.mark.parametrize("path", ["a\0b", "\ud800"])
def test_a_path_is_one_that_a_file_can_have(path):
    assert told({**WHOLE, "task": {"spec": "a.py:f", "version": "1", "sources": [[path, "0"]]}})
    assert told({**WHOLE, "input": path})


def test_a_row_that_is_suspected_is_named_by_a_fingerprint():
    assert told({**WHOLE, "suspects": {"zz" * 16: [3, 3]}})


def test_each_column_has_one_type():
    assert told({**WHOLE, "types": []}) == "it does not have one type for each column"


@pytest.mark.parametrize("text", ["", "[" * 100_000, "{", None, "9" * 5000, b"\xff"])
def test_what_is_no_json_is_told_as_such(text):
    assert nonsense_in([("rows", text)]) == "what it remembers as 'rows' is not JSON"
