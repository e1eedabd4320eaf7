"""A table and its ledger as one: each row with what has become of it, in input order, as a stream.

snapshot   one state of the checkpoint for all that is read within
bodies     the results of settled rows and no more
pages      what the ledger says beside a table's chunks, rows that are left included, column by column
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from batchrun.checkpoint.damage import damaged_rows, fits_seal
from batchrun.checkpoint.explain import damaged_records, explained
from batchrun.checkpoint.records import Failure
from batchrun.core.states import LEFT, STATE_NAMES
from batchrun.core.text import counted
from batchrun.errors import CheckpointError, InputError
from batchrun.table.interface import CHUNK_ROWS

_SETTLED = """
SELECT l.position, l.fingerprint, l.key, l.status, l.attempts, NULL, NULL, r.body, r.raw, r.how, r.note, l.failure,
       NULL, NULL, l.crc
FROM ledger l LEFT JOIN result r ON r.id = l.result
WHERE l.position > 0 ORDER BY l.position
"""
_FAILURES = """
SELECT id, position, attempt, at, seconds, lane, kind, message, type, http_status, traceback, raw
FROM failure WHERE id IN ({})
"""
_ERROR_KEYS = ("kind", "message", "type", "http_status", "traceback")
_AT_ONCE = 500
_NOTHING = (None,) * 11
_BODIES = """
SELECT l.position, CAST(r.body AS BLOB) FROM ledger l JOIN result r ON r.id = l.result
WHERE l.position > 0 AND r.body IS NOT NULL ORDER BY l.position
"""


class Outcome(NamedTuple):
    """What has become of a row (`row` counts from 1).

    `status`: one of `STATE_NAMES`. `body`: its result as JSON. `raw`: the reply as it came, if asked for.
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


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What has become of some rows, column by column, as in `Outcome`; goes row by row when it is iterated over."""

    rows: Sequence[int]
    statuses: Sequence[str]
    bodies: Sequence[bytes | None]
    hows: Sequence[str | None]
    raws: Sequence[str | None]
    errors: Sequence[dict[str, Any] | None]
    notes: Sequence[str | None]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Outcome]:
        columns = (self.rows, self.statuses, self.bodies, self.hows, self.raws, self.errors, self.notes)
        return map(_OUTCOME, zip(*columns, strict=True))


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


def _outcomes(db: sqlite3.Connection, found: list[tuple[Any, ...]], *, raw: bool) -> Outcomes:
    """What `_SETTLED` has found, with what it says of failures."""
    if not found:
        return Outcomes((), (), (), (), (), (), ())
    rows, _, _, states, _, _, _, bodies, raws, hows, notes, failures, *_ = zip(*found, strict=True)
    nothing = (None,) * len(rows)
    errors: Sequence[dict[str, Any] | None] = nothing
    last: Sequence[Failure | None] = nothing
    if any(failures):
        told = _told(db, [failure for failure in failures if failure])
        last = [told.get(failure) for failure in failures]
        errors = [None if failure is None else {key: getattr(failure, key) for key in _ERROR_KEYS} for failure in last]
        raws = tuple(
            failure.raw if reply is None and failure is not None else reply
            for reply, failure in zip(raws, last, strict=True)
        )
    _check(found, last)
    names = [STATE_NAMES[state] for state in states]
    return Outcomes(rows, names, bodies, hows, raws if raw else nothing, errors, notes)


def _check(found: list[tuple[Any, ...]], errors: Sequence[Failure | None]) -> None:
    """Hold each record against its seal: nothing that was changed on the disk leaves the checkpoint as a result."""
    for row, failure in zip(found, errors, strict=True):
        if row[3] != LEFT and not fits_seal((*row[:11], failure, None, None) if row[11] else row[:14], row[14]):
            raise sqlite3.DatabaseError(f"the record of row {row[0]:,} is corrupt")


@contextmanager
def _naming_damage(db: sqlite3.Connection) -> Iterator[None]:
    """As `explained`; where records are damaged their rows are named."""
    path = checkpoint_path(db)
    try:
        with explained(path):
            yield
    except CheckpointError as error:
        with suppress(sqlite3.Error):
            if rows := [row for row in damaged_rows(db) if row > 0]:
                raise damaged_records(path, rows) from error
        raise


def _told(db: sqlite3.Connection, failures: list[int]) -> dict[int, Failure]:
    """These failures, as far as their seals know them."""
    told = {}
    for start in range(0, len(failures), _AT_ONCE):
        some = failures[start : start + _AT_ONCE]
        for number, *failure in db.execute(_FAILURES.format(",".join("?" * len(some))), some):
            told[number] = Failure(*failure)
    return told


def bodies(db: sqlite3.Connection) -> Iterator[list[tuple[int, bytes]]]:
    """Row and result of each row that has one, in order, some at a time. Raises `CheckpointError`."""
    with explained(checkpoint_path(db)):
        cursor = db.execute(_BODIES)
        while found := cursor.fetchmany(CHUNK_ROWS):
            yield found


def pages(
    chunks: Iterable[AnyChunk], db: sqlite3.Connection, *, raw: bool = False
) -> Iterator[tuple[AnyChunk, Outcomes]]:
    """Each chunk of the table beside the outcomes of its rows.

    Raises `InputError` if the ledger knows of rows beyond the table's last one, and `CheckpointError` for a record that
    is not what was written.
    """
    with _naming_damage(db):
        cursor = db.execute(_SETTLED)
        ahead: list[tuple[Any, ...]] = []
        end = 0
        for chunk in chunks:
            first, end = end + 1, end + len(chunk)
            found = ahead + cursor.fetchmany(max(0, len(chunk) - len(ahead)))
            ahead = []
            # Positions rise: as many as there are rows, up to the last row, are all rows.
            if len(found) != len(chunk) or (found and found[-1][0] != end):
                here = [row for row in found if row[0] <= end]
                ahead = found[len(here) :]
                found = _filled(here, first, end)
            yield chunk, _outcomes(db, found, raw=raw)
        beyond = ahead[0] if ahead else cursor.fetchone()
    if beyond is not None:
        raise InputError(
            f"{checkpoint_path(db)} knows of row {beyond[0]:,}, but the table has only {counted(end, 'row')}",
            "the table has changed since the last run: run 'batchrun process' again, it finds the rows anew",
        )


def checkpoint_path(db: sqlite3.Connection) -> Path:
    """The file that a connection has open."""
    # As bytes: a file's name need not be UTF-8.
    (name,) = db.execute("SELECT CAST(file AS BLOB) FROM pragma_database_list WHERE name = 'main'").fetchone()
    return Path(os.fsdecode(name))


def _filled(here: list[tuple[Any, ...]], first: int, end: int) -> list[tuple[Any, ...]]:
    """`here`, with the rows between that are left."""
    settled = {row[0]: row for row in here}
    return [settled.get(row) or (row, None, None, LEFT, *_NOTHING) for row in range(first, end + 1)]
