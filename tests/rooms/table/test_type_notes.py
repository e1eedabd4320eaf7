"""What is said of columns' types before anything runs, and what becomes of types when a table or an option changes."""

import json
import re
import shlex
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from support import batchrun, database

from batchrun import process
from batchrun.table.doubts import Doubt, sentences

TASK = """
def kinds(row):
    with open("calls", "a") as file:
        file.write(row["id"] if isinstance(row["id"], str) else f"{row['id']}\\n")
    return {name: repr(value) for name, value in row.items()}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tasks.py").write_text(TASK)
    return tmp_path


def run(folder: Path, *options: str, env: dict[str, str] | None = None) -> str:
    done = batchrun("process", "data.csv", "--task", "tasks.py:kinds", "-o", "out.jsonl", *options, cwd=folder, env=env)
    assert done.returncode == 0, done.stderr
    return done.stderr


def seen(folder: Path, column: str) -> list[str]:
    rows = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    return [row["result"][column] for row in rows]


def calls(folder: Path) -> int:
    return len((folder / "calls").read_text().split())


def options_in(note: str) -> list[str]:
    found = re.search(r"\. (--.+?) reads them", note)
    assert found, note
    return shlex.split(found[1])


@pytest.mark.parametrize("word", ["?", "n.a.", "-99.x", "not known", "it's", "x;$HOME", "--", "=5"])
def test_the_option_that_a_note_names_makes_numbers_of_the_column(folder: Path, word: str) -> None:
    quoted = word.replace('"', '""')
    (folder / "data.csv").write_text(f'id,"my score"\n1,1.5\n2,"{quoted}"\n3,2.5\n')
    said = run(folder)
    assert f"column 'my score' is text: only {word!r} (line 3) keeps it from being numeric" in said
    assert seen(folder, "my score") == ["'1.5'", repr(word), "'2.5'"]
    said = run(folder, "--fresh", *options_in(said))
    assert "is text" not in said
    assert seen(folder, "my score") == ["1.5", "None", "2.5"]


def test_a_note_names_an_option_that_works_for_a_column_with_a_comma_in_its_name(folder: Path) -> None:
    (folder / "data.csv").write_text('id,"x, y"\n1,1\n2,?\n3,2\n')
    run(folder, "--fresh", *options_in(run(folder)))
    assert seen(folder, "x, y") == ["1", "None", "2"]


def test_a_note_is_said_again_as_long_as_there_is_something_to_run(folder: Path) -> None:
    (folder / "data.csv").write_text("id,score\n1,1.5\n2,?\n3,2.5\n")
    assert "line 3" in run(folder, "--dry-run")
    assert "line 3" in run(folder, "--limit", "1")
    assert "line 3" in run(folder)
    assert "note" not in run(folder)
    assert calls(folder) == 3


def test_digits_that_a_float_does_not_keep_are_noted_and_kept_as_text(folder: Path) -> None:
    (folder / "data.csv").write_text("id,x\n1,0.5\n2,0.1234567890123456789\n")
    said = run(folder)
    assert "column 'x' has more digits than a float keeps: '0.1234567890123456789' (line 3)" in said
    assert "becomes 0.12345678901234568. --dtype x=str keeps them, as text" in said
    assert seen(folder, "x") == ["0.5", "0.12345678901234568"]
    assert "more digits" not in run(folder, "--fresh", "--dtype", "x=str")
    assert seen(folder, "x") == ["'0.5'", "'0.1234567890123456789'"]


def test_only_columns_that_the_task_is_given_are_noted(folder: Path) -> None:
    (folder / "data.csv").write_text("id,score\n1,1.5\n2,?\n3,2.5\n")
    assert "note" not in run(folder, "--columns", "id")


def test_columns_with_the_same_words_share_a_sentence() -> None:
    doubts = [Doubt(f"c{n}", (3,), ("?",), "float") for n in range(7)] + [Doubt("d", (4, 9), ("x", "+1"), "int")]
    one, many = sentences(doubts)
    assert many.startswith("columns 'c0', 'c1', 'c2', 'c3', 'c4' and 2 more are text: only '?' (line 3) keeps it")
    assert one.endswith("--dtype d=int --missing x reads them, with 'x' as missing")


def test_a_cell_that_does_not_fit_says_how_to_take_it_as_missing(folder: Path) -> None:
    (folder / "data.csv").write_text("id,age\n1,30\n2,?\n")
    done = batchrun("process", "data.csv", "--task", "tasks.py:kinds", "--dtype", "age=int", cwd=folder)
    assert done.returncode == 2
    assert "line 3: '?' in column 'age' is not a valid int" in done.stderr
    assert "--missing '?'" in done.stderr


@pytest.mark.parametrize("how", ["command line", "environment", "file", "python"])
def test_words_for_missing_can_be_said_everywhere_and_are_remembered(folder: Path, how: str, monkeypatch: Any) -> None:
    monkeypatch.chdir(folder)
    (folder / "data.csv").write_text("id,age,n\n1,30,5\n2,?,5\n")
    if how == "command line":
        run(folder, "--missing", "?", "--missing", "5")
    elif how == "environment":
        run(folder, env={"BATCHRUN_MISSING": "?"})
    elif how == "file":
        (folder / "batchrun.toml").write_text('missing = ["?", "5"]\n')
        run(folder)
        (folder / "batchrun.toml").unlink()
    else:
        process("data.csv", "tasks.py:kinds", missing=["?", "5"], output="out.jsonl", quiet=True)
    assert seen(folder, "age") == ["30", "None"]
    done = batchrun("export", "data.csv", "--format", "jsonl", "-o", "-", cwd=folder)
    assert [json.loads(line)["input"]["age"] for line in done.stdout.splitlines()] == [30, None]
    shown = json.loads(batchrun("show", "data.csv", "2", "--json", cwd=folder).stdout)
    assert shown["input"]["age"] is None
    batchrun("export", "data.csv", "-o", "out.parquet", cwd=folder)
    assert pq.read_table(folder / "out.parquet")["age"].to_pylist() == [30, None]


def test_words_for_missing_are_no_part_of_a_rows_content(folder: Path) -> None:
    (folder / "data.csv").write_text("id,age\n1,30\n2,?\n3,40\n")
    run(folder, "--limit", "1")
    said = run(folder, "--missing", "?")
    assert "1 done, 2 new" in said
    assert "column 'age' is int in the table as it is now, and was text" in said
    assert seen(folder, "age") == ["'30'", "None", "40"]
    assert calls(folder) == 3


def test_missing_is_for_tables_of_text(folder: Path) -> None:
    (folder / "data.jsonl").write_text('{"a": 1}\n')
    done = batchrun("process", "data.jsonl", "--task", "tasks.py:kinds", "--missing", "?", cwd=folder)
    assert done.returncode == 2
    assert "--missing is for CSV files" in done.stderr


def test_a_table_that_grows_until_a_type_changes_says_so_and_keeps_its_results(folder: Path) -> None:
    (folder / "data.csv").write_text("id,zip\n1,12345\n2,54321\n")
    run(folder)
    with open(folder / "data.csv", "a") as file:
        file.write("3,01234\n")
    said = run(folder)
    assert "2 done, 1 new" in said
    assert "column 'zip' is text in the table as it is now, and was int for rows that ran before" in said
    assert seen(folder, "zip") == ["12345", "54321", "'01234'"]
    assert "note" not in run(folder)
    assert calls(folder) == 3


def test_columns_that_changed_alike_share_a_note(folder: Path) -> None:
    (folder / "data.csv").write_text("id,a,b,c\n1,1,2,3\n")
    run(folder)
    (folder / "data.csv").write_text("id,a,b,c\n1,1,2,3\n2,0.5,0.5,x\n")
    said = run(folder)
    assert "columns 'a', 'b' are float in the table as it is now, and were int for rows that ran before" in said
    assert "column 'c' is text in the table as it is now, and was int for rows that ran before" in said


def test_types_of_other_rules_are_settled_anew_and_nothing_runs_twice(folder: Path) -> None:
    (folder / "data.csv").write_text("id,p\n1,1e-05\n2,0.25\n3,0.30000000000000004\n")
    run(folder, "--limit", "1")
    with closing(sqlite3.connect(database(folder / "data.csv", "kinds"))) as db, db:  # as an earlier version left it
        facts = dict(db.execute("SELECT key, value FROM meta"))
        reading = json.loads(facts["reading"])
        del reading["missing"], reading["rules"]
        facts |= {"reading": json.dumps(reading), "types": '["int", "text"]'}
        del facts["doubts"], facts["seal"]
        db.execute("DELETE FROM meta")
        facts["seal"] = str(_seal(facts))
        db.executemany("INSERT INTO meta VALUES (?, ?)", facts.items())
    exported = batchrun("export", "data.csv", "-o", "-", cwd=folder)
    assert exported.returncode == 0, exported.stderr
    said = run(folder)
    assert "1 done, 2 new" in said
    assert "column 'p' is float in the table as it is now, and was text for rows that ran before" in said
    assert "--dtype p=str" in said
    assert seen(folder, "p") == ["1e-05", "0.25", "0.30000000000000004"]
    assert calls(folder) == 3


def _seal(facts: dict[str, str]) -> int:
    return zlib.crc32("".join(f"{key}\0{facts[key]}\0" for key in sorted(facts)).encode())
