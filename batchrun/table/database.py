"""A table of an SQLite database, by pieces in the order of its rowid; the only door to SQLite for tables that are read.

The database is opened for reading alone and never locked for longer than a piece takes: others may use it meanwhile.
What changes it is noticed as it is of any file.
"""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from batchrun.core.suggest import listing, suggest
from batchrun.errors import InputError

from .files import head_of
from .interface import CHUNK_BYTES, CHUNK_ROWS, Cells

SQLITE_MAGIC = b"SQLite format 3\0"
_LOG_BYTE = 18  # of the file's header: 2 where changes go to a log of their own
_ROWID_NAMES = ("rowid", "_rowid_", "oid")
_AT_ONCE = 100


class DatabaseTable:
    """A table of an SQLite database. Cells are as SQLite has them: int, float, text, bytes or None.

    `name`: which one; None for the only one.
    """

    kind = "sqlite"
    missing: tuple[str, ...] = ()
    bad_rows = 0

    def __init__(self, path: Path, name: str | None) -> None:
        self.path = path
        self.chunk_rows = CHUNK_ROWS
        with _opened(path) as db:
            self.name = _named(path, db, name)
            cursor = db.execute(f"SELECT * FROM {_quoted(self.name)} LIMIT 0")
            self.columns = tuple(each[0] for each in cursor.description)
            self._order = self._order_in(db)

    def chunks(self, _columns: Collection[str] | None = None) -> Iterator[list[Cells]]:
        """See `Table`."""
        last: tuple[Any, ...] = ()
        with _opened(self.path) as db:
            while found := self._after(db, last):
                before, last = last, found[-1][-len(self._order) :]
                if before and len(last) == 1 and last <= before:  # it would go round for ever
                    raise _damaged(self.path, "its rows are out of order")
                yield [row[: -len(self._order)] for row in found]

    def _after(self, db: sqlite3.Connection, last: Sequence[Any]) -> list[Cells]:
        """The next rows, with what orders them behind their cells. Nothing is left open that would lock others out."""
        by = ", ".join(self._order)
        where = f"WHERE ({by}) > ({', '.join('?' * len(last))})" if last else ""
        text = f"SELECT *, {by} FROM {_quoted(self.name)} {where} ORDER BY {by} LIMIT {self.chunk_rows}"
        found: list[Cells] = []
        size = 0
        with closing(db.execute(text, last)) as cursor:
            while size < CHUNK_BYTES and (rows := cursor.fetchmany(_AT_ONCE)):
                found += rows
                size += sum(len(cell) for row in rows for cell in row if isinstance(cell, (str, bytes)))
        return found

    def _order_in(self, db: sqlite3.Connection) -> list[str]:
        """What the table's rows are ordered by: its rowid, or the primary key of a table that has none."""
        for name in _ROWID_NAMES:
            if name not in map(str.lower, self.columns):
                try:
                    db.execute(f"SELECT {name} FROM {_quoted(self.name)} LIMIT 0")
                except sqlite3.OperationalError:
                    break
                return [name]
        told = db.execute("SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk", (self.name,))
        return [_quoted(name) for (name,) in told]


def _named(path: Path, db: sqlite3.Connection, name: str | None) -> str:
    """The table that is meant."""
    kinds: dict[str, str] = dict(
        db.execute(
            "SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite@_%' "
            "ESCAPE '@' ORDER BY rowid"
        ).fetchall()
    )
    tables = [each for each, kind in kinds.items() if kind == "table"]
    if name is None and len(tables) == 1:
        return tables[0]
    if not tables:
        raise InputError(f"{path} is an SQLite database without tables", "Give another file.")
    if name is None:
        raise InputError(
            f"{path} is an SQLite database of {len(tables)} tables: {listing(tables)}",
            f"Choose one with --table, such as --table {tables[0]}.",
        )
    if kinds.get(name) == "view":
        raise InputError(
            f"--table {name}: that is a view, and its rows have no order of their own",
            f"Make a table of it: sqlite3 {path} 'CREATE TABLE {name}_rows AS SELECT * FROM {name}'",
        )
    if name not in kinds:
        raise InputError(f"--table {name}: {path} has no such table", suggest(name, tables, "Its tables are"))
    return name


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The database, for reading alone. Whatever SQLite has to complain of within is an `InputError`."""
    # Beside a database with a log, SQLite would leave two files of its own, and could not read where it may not write.
    # If the log is empty, nothing is lost by reading the file as it is.
    log = Path(f"{path}-wal")
    filled = log.exists() and log.stat().st_size > 0
    has_log = head_of(path, _LOG_BYTE + 1)[_LOG_BYTE:] == b"\2"
    how = "mode=ro&immutable=1" if has_log and not filled else "mode=ro"
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?{how}", uri=True)) as db:
            (pages,), (size,) = (db.execute(f"PRAGMA {what}").fetchone() for what in ("page_count", "page_size"))
            if not filled and path.stat().st_size < pages * size:
                raise _damaged(path, "the file is shorter than its header says")
            yield db
    except sqlite3.Error as error:
        if "locked" in str(error) or "busy" in str(error):
            raise InputError(
                f"{path} cannot be read: {error}",
                "Wait until the program that is writing to it has finished, or give a copy of it.",
            ) from error
        raise _damaged(path, error) from error


def _damaged(path: Path, why: object) -> InputError:
    return InputError(
        f"{path} cannot be read: {why}", "If it is cut off or damaged, copy it again; text in it must be UTF-8."
    )
