"""A table of an SQLite database is read as any other, without locking others out."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tables import rows_of, scanned

from batchrun.errors import InputError
from batchrun.table.changes import digest_of
from batchrun.table.detect import open_table
from batchrun.table.options import ReadOptions


@contextmanager
def database(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as db:
        yield db
        db.commit()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "data.db"
    with database(found) as db:
        db.execute("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, score REAL, born DATE, photo BLOB)")
        db.execute("INSERT INTO people VALUES (7, 'Ann', 2.5, '1999-01-31', x'00ff'), (3, NULL, 2, 'x', NULL)")
    return found


def test_cells_are_as_sqlite_has_them_in_the_order_of_the_rowid(path: Path) -> None:
    assert rows_of(path) == [(3, None, 2.0, "x", None), (7, "Ann", 2.5, "1999-01-31", b"\0\xff")]
    found = scanned(path)
    assert (found.rows, found.types) == (2, ("native",) * 5)


def test_several_tables_are_named_and_one_of_them_is_chosen(path: Path) -> None:
    with database(path) as db:
        db.execute('CREATE TABLE "odd ""name" (a)')
        db.execute('INSERT INTO "odd ""name" VALUES (1)')
        db.execute("CREATE VIEW seen AS SELECT * FROM people")
    with pytest.raises(InputError, match='2 tables: people, odd "name') as caught:
        scanned(path)
    assert "--table people" in str(caught.value.hint)
    assert rows_of(path, table='odd "name') == [(1,)]
    with pytest.raises(InputError, match="no such table") as caught:
        scanned(path, table="peple")
    assert "people" in str(caught.value.hint)
    with pytest.raises(InputError, match="that is a view"):
        scanned(path, table="seen")


@pytest.mark.parametrize(
    ("made", "rows"),
    [
        ("CREATE TABLE t (rowid TEXT, n INT); INSERT INTO t VALUES ('b', 1), ('a', 2)", [("b", 1), ("a", 2)]),
        (
            "CREATE TABLE t (k TEXT, n INT, PRIMARY KEY (n, k)) WITHOUT ROWID; "
            "INSERT INTO t VALUES ('b', 2), ('c', 1), ('a', 2)",
            [("c", 1), ("a", 2), ("b", 2)],
        ),
        ("CREATE TABLE t (n INT, twice INT AS (2 * n)); INSERT INTO t VALUES (1), (1)", [(1, 2), (1, 2)]),
        ("CREATE TABLE t (n INTEGER PRIMARY KEY); INSERT INTO t VALUES (-5), (0), (9223372036854775807)",
         [(-5,), (0,), (2**63 - 1,)]),
        ("CREATE TABLE t (a)", []),
    ],
)  # fmt: skip
def test_every_row_is_read_once_whatever_orders_them(tmp_path: Path, made: str, rows: list[tuple[object, ...]]) -> None:
    with database(tmp_path / "x.db") as db:
        db.executescript(made)
    table = open_table(tmp_path / "x.db", ReadOptions())
    for pieces in (1, 2, 1000):
        table.chunk_rows = pieces  # type: ignore[attr-defined]
        assert [row for chunk in table.chunks() for row in chunk] == rows


def test_long_rows_come_a_few_at_a_time(tmp_path: Path) -> None:
    with database(tmp_path / "x.db") as db:
        db.execute("CREATE TABLE t (text)")
        db.executemany("INSERT INTO t VALUES (?)", [("x" * 100_000,)] * 300)
    chunks = [len(chunk) for chunk in open_table(tmp_path / "x.db", ReadOptions()).chunks()]
    assert (sum(chunks), max(chunks)) == (300, 100)


def test_what_is_only_in_the_log_is_read_and_counts_for_the_digest(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("CREATE TABLE t (n)")
        writer.execute("INSERT INTO t VALUES (1)")
        writer.commit()
        before = digest_of(path)
        assert rows_of(path) == [(1,)]
        writer.execute("INSERT INTO t VALUES (2)")
        writer.commit()
        assert digest_of(path) != before
        assert rows_of(path) == [(1,), (2,)]
        assert scanned(path).rows == 2


def test_reading_leaves_no_files_beside_a_database_and_needs_none(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with database(path) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE t (n)")
    assert [file.name for file in tmp_path.iterdir()] == ["x.db"]
    assert rows_of(path) == []
    assert [file.name for file in tmp_path.iterdir()] == ["x.db"]


def test_others_may_write_while_a_pass_goes_on(path: Path) -> None:
    table = open_table(path, ReadOptions())
    table.chunk_rows = 1  # type: ignore[attr-defined]
    chunks = table.chunks()
    next(chunks)
    with closing(sqlite3.connect(path, timeout=0)) as writer:
        writer.execute("INSERT INTO people (id) VALUES (99)")
        writer.commit()
    assert len(list(chunks)) == 2


@pytest.mark.parametrize("keep", [20, 100, 5000])
def test_a_database_that_is_damaged_is_told(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"data\.db cannot be read"):
        scanned(path)


def test_text_that_is_none_is_told(path: Path) -> None:
    with database(path) as db:
        db.execute("UPDATE people SET name = CAST(x'ff' AS TEXT) WHERE id = 7")
    with pytest.raises(InputError, match="Could not decode to UTF-8"):
        scanned(path)


def test_an_option_for_other_files_is_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--no-header is for CSV files"):
        scanned(path, no_header=True)
    (tmp_path / "x.csv").write_text("a\n1\n")
    with pytest.raises(InputError, match="--table is for SQLite databases"):
        scanned(tmp_path / "x.csv", table="a")


def test_an_empty_database_has_no_table(tmp_path: Path) -> None:
    with database(tmp_path / "x.db") as db:
        db.execute("PRAGMA user_version = 1")
    with pytest.raises(InputError, match="without tables"):
        scanned(tmp_path / "x.db")
