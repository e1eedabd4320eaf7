"""An SQLite database with one table, `results`: columns as in Parquet, arrays and objects as JSON text.

Values of a column that have no common type stand each as it is.
"""

import errno
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import IO, Any

from batchrun.errors import UsageError
from batchrun.outcome.export.columns import ResultColumns
from batchrun.outcome.export.json_value import text_of, valid_text
from batchrun.outcome.export.value_kinds import BOOL, FLOAT, INT, KIND_OF_TYPE, LONG, TEXT, Kind
from batchrun.outcome.export.view import Results
from batchrun.table.convert import converter

TABLE = "results"
_MOST_COLUMNS = 2000
_MOST = 1 << 63
_TYPES = {INT: " INTEGER", LONG: " INTEGER", FLOAT: " REAL", BOOL: " BOOLEAN", TEXT: " TEXT"}
_ERRORS = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_IOERR: errno.EIO}
_AS_THEY_ARE = {bool, float, bytes, type(None)}


def write(results: Results, sink: IO[bytes]) -> int:
    """Write a database; returns the number of rows. `sink` must be an empty file with a path.

    Raises `UsageError` for more columns than SQLite takes.
    """
    columns = results.columns(kinds=True)
    names = [*results.table.columns, *columns.names, *columns.told]
    if len(names) > _MOST_COLUMNS:
        raise UsageError(f"{len(names):,} columns; SQLite holds {_MOST_COLUMNS:,}", "write .csv, .parquet or .jsonl")
    own: list[Kind] = [KIND_OF_TYPE.get(each, "") for each in results.types]
    kinds = [*own, *columns.kinds, *[TEXT] * len(columns.told)]
    told = ", ".join(f"{_quoted(name)}{_type_of(kind)}" for name, kind in zip(_apart(names), kinds, strict=True))
    try:
        # Nobody else sees the file yet: if this is cut short, it is thrown away.
        with closing(sqlite3.connect(os.fsencode(sink.name), isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode=OFF")
            db.execute("PRAGMA synchronous=OFF")
            db.execute("BEGIN")
            db.execute(f"CREATE TABLE {TABLE} ({told})")
            rows = _fill(db, f"INSERT INTO {TABLE} VALUES ({', '.join('?' * len(names))})", results, columns)
            db.execute("COMMIT")
    except sqlite3.OperationalError as error:
        number = _ERRORS.get(error.sqlite_errorcode & 0xFF, errno.EIO)
        raise OSError(number, os.strerror(number)) from error
    return rows


def _fill(db: sqlite3.Connection, insert: str, results: Results, columns: ResultColumns) -> int:
    rows = 0
    for page in _pages(results, columns):
        db.executemany(insert, zip(*map(_plain, page), strict=True))
        rows += len(page[-1])
    return rows


def _pages(results: Results, columns: ResultColumns) -> Iterator[list[Sequence[Any]]]:
    """All cells of some rows, column by column."""
    names = results.table.columns
    typed = converter(names, results.types, results.table.missing)
    for chunk, page in results.pages():
        cells = typed(chunk)
        own = ([row[name] for row in cells] for name in names)
        yield [*own, *results.cells(page, columns), *results.told(page)]


def _plain(column: Sequence[Any]) -> Sequence[Any]:
    return column if set(map(type, column)) <= _AS_THEY_ARE else list(map(_fitted, column))


def _fitted(value: Any) -> Any:
    if type(value) is int:
        return value if -_MOST <= value < _MOST else str(value)
    return value if type(value) in _AS_THEY_ARE else valid_text(value if type(value) is str else text_of(value))


def _type_of(kind: Kind) -> str:
    return _TYPES.get(kind, "") if isinstance(kind, str) else " TEXT"


def _apart(names: Sequence[str]) -> list[str]:
    """Names that SQLite tells apart, which it does not by case: of two such, the second gets a number."""
    found: dict[str, str] = {}
    for name in map(_valid, names):
        numbered = (f"{name}_{n}" for n in range(2, len(names) + 2))
        free = next(each for each in (name, *numbered) if each.lower() not in found)
        found[free.lower()] = free
    return list(found.values())


def _valid(name: str) -> str:
    return valid_text(name).replace("\0", "\ufffd")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
