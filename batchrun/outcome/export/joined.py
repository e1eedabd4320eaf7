"""A table and its ledger as one: each row with what has become of it, in input order, as a stream.

snapshot   one state of the checkpoint for all that is read within
bodies     the results of settled rows and no more
pages      what the ledger says beside a table's chunks, remaining rows included, column by column
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from batchrun.checkpoint.damage import naming_damage
from batchrun.checkpoint.explain import explained
from batchrun.checkpoint.row_reader import RowReader, Taken, all_bodies
from batchrun.core.states import STATE_NAMES
from batchrun.core.text import counted
from batchrun.errors import InputError

_ERROR_KEYS = ("kind", "message", "type", "http_status", "traceback")


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


def _outcomes(first: int, taken: Taken, *, raw: bool) -> Outcomes:
    """Rows from `first` on, with what their failures say."""
    rows = range(first, first + len(taken.states))
    nothing = (None,) * len(rows)
    errors: Sequence[dict[str, Any] | None] = nothing
    if any(taken.failures):
        errors = [
            {key: getattr(failure, key) for key in _ERROR_KEYS} if failure else None for failure in taken.failures
        ]
    names = [STATE_NAMES[state] for state in taken.states]
    return Outcomes(rows, names, taken.bodies, taken.hows, taken.raws if raw else nothing, errors, taken.notes)


def bodies(db: sqlite3.Connection) -> Iterator[tuple[Sequence[int], Sequence[bytes]]]:
    """Rows that have a result, and their results, in order, some at a time. Raises `CheckpointError`."""
    with naming_damage(checkpoint_path(db), db):
        yield from all_bodies(db)


def pages(
    chunks: Iterable[AnyChunk], db: sqlite3.Connection, *, raw: bool = False
) -> Iterator[tuple[AnyChunk, Outcomes]]:
    """Each chunk of the table beside the outcomes of its rows; in parts, where results are large.

    Raises `InputError` if the checkpoint has rows beyond the table's last one, and `CheckpointError` for a record that
    is not what was written.
    """
    with naming_damage(checkpoint_path(db), db):
        reader, end = RowReader(db, raws=raw), 0
        for chunk in chunks:
            rest, last = chunk, end + len(chunk)
            while end < last:
                taken = reader.take(end + 1, last)
                part, rest = _cut(rest, len(taken.states))
                yield part, _outcomes(end + 1, taken, raw=raw)
                end += len(taken.states)
        beyond = reader.beyond
    if beyond is not None:
        raise InputError(
            f"{checkpoint_path(db)} has row {beyond:,}, but the table has only {counted(end, 'row')}",
            "the table has changed since the last run: run 'batchrun process' again to match the rows",
        )


def _cut(chunk: AnyChunk, rows: int) -> tuple[AnyChunk, AnyChunk]:
    """The first rows of a chunk, and the others."""
    if rows == len(chunk):
        return chunk, chunk
    if isinstance(chunk, list):
        return chunk[:rows], chunk[rows:]  # type: ignore[return-value]
    return chunk.slice(0, rows), chunk.slice(rows)  # type: ignore[attr-defined]  # a record batch


def checkpoint_path(db: sqlite3.Connection) -> Path:
    """The file that a connection has open."""
    # As bytes: a file's name need not be UTF-8.
    (name,) = db.execute("SELECT CAST(file AS BLOB) FROM pragma_database_list WHERE name = 'main'").fetchone()
    return Path(os.fsdecode(name))
