"""`batchrun import`: what people's own scripts have left is taken over, for the right rows, and nothing runs again."""

import json
import os
import sqlite3
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support import batchrun, settled, write_table

from batchrun.errors import BatchrunError, UsageError
from batchrun.outcome.leftovers.find import leftovers
from batchrun.outcome.leftovers.left import Leftovers
from batchrun.table.detect import open_table
from batchrun.table.options import ReadOptions

KEYS = ["k1", "a/b", "007", "K1", "Zürich"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_table(tmp_path / "data.csv", [(key, f"text {n}") for n, key in enumerate(KEYS, 1)])
    (tmp_path / "tasks.py").write_text("def f(row):\n    return {'ran': row['id']}\n")
    return tmp_path


def take(home: Path, source: str, *args: object, code: int = 0, table: str = "data.csv") -> str:
    """Import, and run the rest; what import said."""
    done = batchrun("import", table, source, "--task", "tasks.py:f", *args, cwd=home)
    assert done.returncode == code, done.stderr
    return done.stderr


def results(home: Path, *args: object) -> list[Any]:
    """The results of all rows once the rest has run."""
    done = batchrun("process", "data.csv", "--task", "tasks.py:f", *args, cwd=home)
    assert done.returncode == 0, done.stderr
    return [result for _, (_, result) in sorted(settled(home / "data.csv", "f").items())]


def files(home: Path, **found: Any) -> None:
    (home / "old").mkdir(exist_ok=True)
    for name, value in found.items():
        text = value if isinstance(value, str) else json.dumps(value)
        (home / "old" / f"{name.removeprefix('_')}.json").write_text(text)


RAN = [{"ran": key} for key in KEYS]


# --- a folder


def test_files_called_by_the_rows_number_are_its_result_and_the_others_run(home: Path) -> None:
    files(home, _2={"n": 2}, _05=[5], notes={"x": 1}, _3='{"half')
    said = take(home, "old")
    assert "imported 2 results from old" in said
    assert "no row for 1: notes.json" in said
    assert "no result in 1 (not JSON, null, or another row's): 3.json" in said
    assert "run the remaining 3: python -m batchrun process data.csv --task tasks.py:f\n" in said
    assert results(home) == [RAN[0], {"n": 2}, RAN[2], RAN[3], [5]]
    assert batchrun("verify", "data.csv", cwd=home).returncode == 0
    shown = batchrun("show", "data.csv", 2, cwd=home).stdout
    assert "0 attempts" in shown
    assert "imported from old" in shown


def found(home: Path, source: str, *key: str, first: int | None = None) -> Leftovers:
    return leftovers(home / source, key, open_table(home / "data.csv", ReadOptions()), len(KEYS), first)


@pytest.mark.parametrize(
    ("names", "said", "first"), [("01234", None, 0), ("02", None, 0), ("15", None, 1), ("34", 0, 0), ("34", 1, 1)]
)
def test_numbers_begin_with_0_or_1(home: Path, names: str, said: int | None, first: int) -> None:
    files(home, **{f"_{name}": {} for name in names})
    assert dict(found(home, "old", first=said).places) == {str(int(name) + 1 - first): name for name in names}


@pytest.mark.parametrize(("names", "why"), [("05", "there is a 0.json and a 5"), ("34", "neither a 0.json nor a 5")])
def test_which_row_is_the_first_is_not_guessed(home: Path, names: str, why: str) -> None:
    files(home, **{f"_{name}": {} for name in names})
    with pytest.raises(UsageError, match=why) as caught:
        found(home, "old")
    assert "--first-row 0 or --first-row 1" in caught.value.hint


def test_files_called_by_a_key_belong_to_the_row_with_the_very_key(home: Path) -> None:
    files(home, k1={"n": 1}, **{"a%2Fb": {"n": 2}, "7": {"n": 3}, "Zürich": {"n": 5}})
    said = take(home, "old", "--key", "id")
    assert "imported 3 results" in said
    assert "no row for 1: 7.json" in said
    assert results(home, "--key", "id") == [{"n": 1}, {"n": 2}, RAN[2], RAN[3], {"n": 5}]


def test_rows_keep_what_was_imported_by_a_key_that_the_run_does_not_name(home: Path) -> None:
    files(home, k1={"n": 1})
    take(home, "old", "--key", "id")
    assert results(home) == [{"n": 1}, *RAN[1:]]


def test_a_name_that_only_looks_like_a_key_is_not_taken_for_it(home: Path) -> None:
    files(home, a_b={"n": 2})  # of the key "a_b" perhaps, which has gone
    assert "imported 0 results" in take(home, "old", "--key", "id")


def test_what_is_no_file_or_no_json_is_not_waited_for(home: Path) -> None:
    files(home, _2="", _3="null", _4="NaN")
    os.mkfifo(home / "old/1.json")
    (home / "old/5.json").mkdir()
    assert "no result in 5 (" in take(home, "old")
    assert settled(home / "data.csv", "f") == {}


# --- JSON Lines, and tables


def test_lines_with_the_key_are_results_the_last_of_a_row_counts(home: Path) -> None:
    lines = [{"id": "k1", "n": 0}, {"id": "k1", "n": 1}, {"id": "007", "result": [7]}, {"id": "gone", "n": 9}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (home / "out.jsonl").write_text(f'{text}{{"id": "K1", "n": \n')
    said = take(home, "out.jsonl", "--key", "id")
    assert "imported 2 results" in said
    assert "no row for 1: line 4" in said
    assert "1 line about a row that had a later one" in said
    assert "1 line without a result" in said
    assert results(home, "--key", "id") == [{"n": 1}, RAN[1], [7], RAN[3], RAN[4]]


def csv_of(path: Path, frame: pd.DataFrame) -> None:
    frame.to_csv(path, index=False)


def parquet_of(path: Path, frame: pd.DataFrame) -> None:
    frame.to_parquet(path)


def sqlite_of(path: Path, frame: pd.DataFrame) -> None:
    db = sqlite3.connect(path)
    frame.to_sql("t", db, index=False)
    db.close()


@pytest.mark.parametrize(("name", "write"), [("r.csv", csv_of), ("r.parquet", parquet_of), ("r.db", sqlite_of)])
def test_a_tables_further_columns_are_results(home: Path, name: str, write: Callable[..., None]) -> None:
    write(
        home / name,
        pd.DataFrame(
            {"id": ["K1", "007", "x"], "text": "as in the table", "score": [1.5, None, 2.0], "why": ["a", None, "b"],
             "list": ["[1, 2]", None, "[]"]}
        ),
    )  # fmt: skip
    said = take(home, name, "--key", "id")
    assert "imported 1 result" in said
    assert "no row for 1: id x" in said
    assert "1 line without a result" in said
    assert settled(home / "data.csv", "f")[4][1] == {"score": 1.5, "why": "a", "list": [1, 2]}


@pytest.mark.parametrize(
    ("format_", "key"),
    [
        ("csv", ()),
        ("jsonl", ("--key", "id")),
        ("json-files", ()),
        ("json-files", ("--key", "id")),
        ("sqlite", ()),
        ("json", ()),
        ("json", ("--key", "id")),
    ],
)
def test_what_batchrun_has_written_itself_comes_back_as_it_was(home: Path, format_: str, key: tuple[str, ...]) -> None:
    (home / "tasks.py").write_text(
        "def f(row):\n    assert row['id'] != 'K1'\n    return {'text': row['id'], 'n': [1, {'a': None}]}\n"
    )
    command = ("process", "data.csv", "--task", "tasks.py:f", "--retries", 0, *key)
    options = ("-o", "kept", "--format", format_, "--results-only")
    assert batchrun(*command, *options, cwd=home).returncode == 1
    before = {row: result for row, (status, result) in settled(home / "data.csv", "f").items() if status == 1}
    assert len(before) == 4
    assert "imported 4 results" in take(home, "kept", *key, "--fresh")
    assert {row: result for row, (_, result) in settled(home / "data.csv", "f").items()} == before


def test_an_array_of_objects_is_taken_by_its_key(home: Path) -> None:
    values = [{"id": "007", "n": 1}, "no object", {"id": "k1", "result": [2]}, {"id": "007", "n": 3}, {"id": "new"}]
    (home / "old.json").write_text(json.dumps(values, indent=1))
    said = take(home, "old.json", "--key", "id")
    assert "imported 2 results" in said
    assert "no row for 1: item 5" in said
    assert "1 line without a result" in said
    assert "1 line about a row that had a later one" in said
    assert results(home, "--key", "id") == [[2], RAN[1], {"n": 3}, RAN[3], RAN[4]]
    (home / "old.json").write_text("[{}]")
    assert "old.json, item 1, has no 'id'" in take(home, "old.json", "--key", "id", code=2)


def test_results_in_a_table_take_little_more_memory_than_they_are_long(home: Path) -> None:
    rows = 2_000
    write_table(home / "old.csv", ((n, n * n) for n in range(rows)), header=("id", "n"))
    tracemalloc.start()
    try:
        left = found(home, "old.csv", "id")
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(left.places) == rows
    assert used < rows * 500


# --- what is there already


def test_rows_that_are_done_keep_their_results_and_failed_ones_get_one(home: Path) -> None:
    (home / "tasks.py").write_text("def f(row):\n    assert row['id'] != '007'\n    return {'ran': row['id']}\n")
    batchrun("process", "data.csv", "--task", "tasks.py:f", "--rows", "1,3", "--retries", 0, cwd=home)
    files(home, **{f"_{n}": {"n": n} for n in (1, 2, 3, 4, 5)})
    said = take(home, "old")
    assert "imported 4 results" in said
    assert "1 row had a result already, and kept it" in said
    assert results(home) == [RAN[0], *({"n": n} for n in (2, 3, 4, 5))]
    assert "imported 0 results" in take(home, "old")


def test_a_dry_run_says_what_would_come_and_changes_nothing(home: Path) -> None:
    files(home, _5={"n": 1}, x={})
    said = take(home, "old", "--dry-run")
    assert "would import 1 result from old" in said
    assert "no row for 1: x.json" in said
    assert not (home / "data.csv.batchrun").exists()


@pytest.mark.parametrize(
    ("source", "key", "said"),
    [
        ("nothing", (), "does not exist"),
        ("empty", (), "holds no .json files"),
        ("keyed", (), "say with --key"),
        ("out.csv", (), "name with --key"),
        ("out.csv", ("text",), "has no column 'text'"),
        ("out.jsonl", (), "name with --key"),
        ("out.jsonl", ("text",), "line 1, has no 'text'"),
        ("data.csv", ("id",), "has no columns but those of data.csv"),
    ],
)
def test_what_cannot_be_taken_over_is_said(home: Path, source: str, key: tuple[str, ...], said: str) -> None:
    (home / "empty").mkdir()
    (home / "keyed").mkdir()
    (home / "keyed/a.json").write_text("1")
    (home / "out.csv").write_text("id,n\nk1,1\n")
    (home / "out.jsonl").write_text('{"id": "k1", "n": 1}\n')
    with pytest.raises(BatchrunError) as caught:
        found(home, source, *key)
    assert said in f"{caught.value} {caught.value.hint}"
    with pytest.raises(UsageError, match="one file"):
        found(home, "out.csv", "id", first=1)


def test_the_table_may_be_the_configured_one(home: Path) -> None:
    (home / "batchrun.toml").write_text('input = "data.csv"\ntask = "tasks.py:f"\n')
    files(home, _1={"n": 1}, _5={"n": 5})
    done = batchrun("import", "old", cwd=home)
    assert done.returncode == 0, done.stderr
    assert "imported 2 results from old" in done.stderr
    assert "run the remaining 3: python -m batchrun process\n" in done.stderr
    assert batchrun("import", cwd=home).returncode == 2
