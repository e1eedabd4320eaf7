"""A table and its ledger as one: each row with what has become of it, in input order, as a stream.

snapshot   one state of the checkpoint for all that is read within
outcomes   what the ledger says, settled rows only; bodies: their results and no more
pages      the same beside a table's chunks, rows that are left included
joined     row by row
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice, repeat
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from batchrun.checkpoint import LEFT, STATUS_NAMES, explained
from batchrun.display.words import counted
from batchrun.errors import InputError
from batchrun.table.table import CHUNK_ROWS, Cells, Table

_SETTLED = """
SELECT l.position, l.status, r.body, r.how, {raw}, r.note, f.id,
  f.kind, f.message, f.type, f.http_status, f.traceback
FROM ledger l LEFT JOIN result r ON r.id = l.result LEFT JOIN failure f ON f.id = l.failure
WHERE l.position > 0 ORDER BY l.position
"""
_ERROR_KEYS = ("kind", "message", "type", "http_status", "traceback")
_BODIES = """
SELECT l.position, r.body FROM ledger l JOIN result r ON r.id = l.result
WHERE l.position > 0 AND r.body IS NOT NULL ORDER BY l.position
"""


class Outcome(NamedTuple):
    """What has become of a row (`row` counts from 1).

    `status`: one of `STATUS_NAMES`. `body`: its result as JSON. `raw`: the reply as it came, if asked for.
    `error`: `kind`, `message`, `type`, `http_status` and `traceback` of the last failed attempt. `note`: why
    it was skipped, or what its result lost.
    """

    row: int
    status: str
    body: bytes | None = None
    how: str | None = None
    raw: str | None = None
    error: dict[str, Any] | None = None
    note: str | None = None


_OUTCOME = partial(tuple.__new__, Outcome)
"""As `Outcome._make`, without a Python call for each row."""


class Joined(NamedTuple):
    """A row of the table, its raw cells in the order of the table's columns, and its `Outcome`."""

    row: int
    cells: Cells
    status: str
    body: bytes | None
    how: str | None
    raw: str | None
    error: dict[str, Any] | None
    note: str | None


class Chunk(Protocol):
    """Some rows, in whatever shape: only their number matters here."""

    def __len__(self) -> int: ...


AnyChunk = TypeVar("AnyChunk", bound=Chunk)


@contextmanager
def snapshot(db: sqlite3.Connection) -> Iterator[None]:
    """Within the block the checkpoint stands still for this connection, though another writes to it."""
    if db.in_transaction:
        yield
        return
    with explained(checkpoint_path(db)):
        db.execute("BEGIN")
    try:
        yield
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def outcomes(db: sqlite3.Connection, *, raw: bool = False) -> Iterator[Outcome]:
    """The settled rows of the table, in order. Raises `CheckpointError` if they cannot be read."""
    with explained(checkpoint_path(db)):
        sql = _SETTLED.format(raw="coalesce(r.raw, f.raw)" if raw else "NULL")
        cursor = db.execute(sql)
        while found := cursor.fetchmany(CHUNK_ROWS):
            rows, states, bodies, hows, replies, notes, failures, *told = zip(*found, strict=True)
            errors: Iterable[dict[str, Any] | None] = repeat(None)
            if any(failures):
                errors = [
                    dict(zip(_ERROR_KEYS, row, strict=True)) if row[0] else None for row in zip(*told, strict=True)
                ]
            names = map(STATUS_NAMES.__getitem__, states)
            yield from map(_OUTCOME, zip(rows, names, bodies, hows, replies, errors, notes, strict=False))


def _error(told: tuple[Any, ...]) -> dict[str, Any] | None:
    return None if told[0] is None else dict(zip(_ERROR_KEYS, told, strict=True))


def bodies(db: sqlite3.Connection) -> Iterator[list[tuple[int, bytes]]]:
    """Row and result of each row that has one, in order, some at a time. Raises `CheckpointError`."""
    with explained(checkpoint_path(db)):
        cursor = db.execute(_BODIES)
        while found := cursor.fetchmany(CHUNK_ROWS):
            yield found


def pages(
    chunks: Iterable[AnyChunk], db: sqlite3.Connection, *, raw: bool = False
) -> Iterator[tuple[AnyChunk, list[Outcome]]]:
    """Each chunk of the table beside the outcomes of its rows.

    Raises `InputError` if the ledger knows of rows beyond the table's last one.
    """
    found = outcomes(db, raw=raw)
    ahead: list[Outcome] = []
    end = 0
    for chunk in chunks:
        first, end = end + 1, end + len(chunk)
        page = ahead + list(islice(found, max(0, len(chunk) - len(ahead))))
        ahead = []
        # Positions rise: as many as there are rows, up to the last row, are all rows.
        if len(page) != len(chunk) or page[-1].row != end:
            here = [outcome for outcome in page if outcome.row <= end]
            ahead = page[len(here) :]
            page = _filled(here, first, end)
        yield chunk, page
    _check_over(db, end, ahead, found)


def joined(table: Table, db: sqlite3.Connection, *, raw: bool = False) -> Iterator[Joined]:
    """Each row of the table with its outcome. Raises what `pages` raises."""
    for chunk, page in pages(table.chunks(), db, raw=raw):
        for cells, outcome in zip(chunk, page, strict=True):
            yield Joined(outcome[0], cells, *outcome[1:])


def checkpoint_path(db: sqlite3.Connection) -> Path:
    """The file that a connection has open."""
    return Path(db.execute("PRAGMA database_list").fetchone()[2])


def _filled(here: list[Outcome], first: int, end: int) -> list[Outcome]:
    """`here`, with the rows between that are left."""
    settled = {outcome.row: outcome for outcome in here}
    return [settled.get(row) or Outcome(row, STATUS_NAMES[LEFT]) for row in range(first, end + 1)]


def _check_over(db: sqlite3.Connection, rows: int, ahead: list[Outcome], found: Iterator[Outcome]) -> None:
    beyond = ahead[0] if ahead else next(found, None)
    if beyond is not None:
        raise InputError(
            f"{checkpoint_path(db)} knows of row {beyond.row:,}, but the table has only {counted(rows, 'row')}",
            "the table has changed since the last run: run 'batchrun process' again, it finds the rows anew",
        )
