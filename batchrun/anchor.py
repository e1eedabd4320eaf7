"""Bind a checkpoint to the table as it is now: which settled row stands at which position.

The first pass over a changed table writes each row's identity to a spool. Rows that stand where they stood
keep their place; all others are looked up by identity, and the ledger's lines follow them in one
transaction. Rows that are gone get negative positions: their results serve again when they come back.
"""

import sqlite3
import struct
import tempfile
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Self

import xxhash

from . import seal
from .align import MOST_ASIDE, WIDTH, Aligned, Segment, align
from .checkpoint import Checkpoint
from .errors import InputError
from .partition import Partition

_CHUNK = 4096
_MOST_SEGMENTS = 20_000
_FAR = 1 << 60
_NAME = struct.Struct("16s")


class Spool:
    """The identities of the table's rows, in order, on disk. Use as a context manager.

    Without `--key` a row's identity is its fingerprint; rows with the same content differ by their occurrence.
    """

    def __init__(self, folder: Path) -> None:
        self._stack = ExitStack()
        self._file: IO[bytes] = self._stack.enter_context(_scratch(folder))
        self._contents: IO[bytes] = self._stack.enter_context(_scratch(folder))
        self._partition = self._stack.enter_context(Partition(folder))
        self.rows = 0
        self.keyed = False
        self.twins: dict[int, int] = {}
        self._twins_in_order: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, fingerprints: list[bytes], keys: list[bytes] | None) -> None:
        """Take in the next rows."""
        identities = fingerprints if keys is None else keys
        self.keyed = keys is not None
        if self.keyed:
            self._contents.write(b"".join(fingerprints))
        self._file.write(b"".join(identities))
        self._partition.add(identities, self.rows + 1)
        self.rows += len(identities)

    def finish(self) -> None:
        """After the last row: tell twins apart. Raises `InputError` for two rows with one key."""
        for position, occurrence, first in self._partition.twins():
            if self.keyed:
                raise InputError(
                    f"rows {first:,} and {position:,} have the same key",
                    "name rows by more columns (--key a,b), or leave --key out to name them by content",
                )
            self.twins[position] = occurrence
        self._twins_in_order = sorted(self.twins)

    def identities(self) -> Iterator[bytes]:
        """Each row's identity, in the table's order."""
        if not self.twins:
            return _sixteens(self._file)
        numbered = enumerate(_sixteens(self._file), start=1)
        return (occurrence_of(name, self.twins.get(position, 0)) for position, name in numbered)

    def names(self, first: int, count: int) -> bytes:
        """The joined identities of at most `count` rows from position `first`."""
        self._file.seek(WIDTH * (first - 1))
        names = self._file.read(WIDTH * count)
        twins = self._twins_in_order
        for position in twins[bisect_left(twins, first) : bisect_left(twins, first + count)]:
            at = WIDTH * (position - first)
            name = occurrence_of(names[at : at + WIDTH], self.twins[position])
            names = names[:at] + name + names[at + WIDTH :]
        return names

    def contents(self) -> Iterator[bytes]:
        """Each row's fingerprint, in the table's order, where rows are named by a key."""
        return _sixteens(self._contents)


def _scratch(folder: Path) -> IO[bytes]:
    return tempfile.TemporaryFile(dir=folder)


def _sixteens(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    while block := file.read(16 * _CHUNK):
        for (name,) in _NAME.iter_unpack(block):
            yield name


def occurrence_of(fingerprint: bytes, occurrence: int) -> bytes:
    """The fingerprint of a row that is the same as `occurrence` rows before it."""
    if not occurrence:
        return fingerprint
    return xxhash.xxh3_128_digest(fingerprint + b"#%d" % occurrence)


@dataclass(frozen=True, slots=True)
class Moved:
    """What binding found: rows that moved, rows that are gone, rows that came back."""

    moved: int
    gone: int
    back: int


def anchor(checkpoint: Checkpoint, spool: Spool, folder: Path) -> Moved:
    """Bind the ledger to the spooled rows, inside the caller's transaction."""
    db = checkpoint.db
    db.execute("DELETE FROM twin")
    db.executemany("INSERT INTO twin VALUES (?, ?)", sorted(spool.twins.items()))
    # Attempts at a row that was never settled are known by its position only, which says nothing any more.
    db.execute("DELETE FROM failure WHERE position NOT IN (SELECT position FROM ledger)")
    moved = Moved(0, 0, 0) if _stands(db, spool) else _move(db, spool, folder)
    db.execute("DELETE FROM changed")
    if spool.keyed:
        db.executemany("INSERT INTO changed VALUES (?)", _other_content(db, spool))
    return moved


def _other_content(db: sqlite3.Connection, spool: Spool) -> Iterator[tuple[int]]:
    """Positions of settled rows whose key is the same and whose content is not."""
    contents = spool.contents()
    at = 0
    settled = db.execute("SELECT position, fingerprint FROM ledger WHERE position > 0 ORDER BY position").fetchall()
    for position, fingerprint in settled:
        if next(islice(contents, position - at - 1, None)) != fingerprint:
            yield (position,)
        at = position


def _stands(db: sqlite3.Connection, spool: Spool) -> bool:
    """Whether every settled row still stands where it stood (the table is the same, or was appended to)."""
    for first, block in _stretches(db):
        if spool.names(first, len(block) // WIDTH) != block:
            return False
    return db.execute("SELECT 1 FROM ledger WHERE position < 0 LIMIT 1").fetchone() is None


def _stretches(db: sqlite3.Connection) -> Iterator[tuple[int, bytes]]:
    """First position and joined identities of settled rows that follow each other."""
    cursor = db.execute("SELECT position, coalesce(key, fingerprint) FROM ledger WHERE position > 0 ORDER BY position")
    while rows := cursor.fetchmany(_CHUNK):
        if rows[-1][0] - rows[0][0] + 1 == len(rows):
            yield rows[0][0], b"".join([name for _, name in rows])
        else:
            yield from rows


def _segments(db: sqlite3.Connection, spool: Spool) -> Aligned | None:
    """The quick way, for a table of which only some places were edited; None where it does not lead."""
    gone = db.execute(
        "SELECT coalesce(key, fingerprint), position FROM ledger WHERE position < 0 LIMIT ?", (MOST_ASIDE + 1,)
    ).fetchall()
    if len(gone) > MOST_ASIDE:
        return None
    aligned = align(_stretches(db), spool.names, spool.rows, dict(gone))
    return aligned if aligned and len(aligned.segments) <= _MOST_SEGMENTS else None


def _move(db: sqlite3.Connection, spool: Spool, folder: Path) -> Moved:
    """Move the ledger's lines to where their rows stand now."""
    db.execute("CREATE TEMP TABLE move(old INTEGER, length INTEGER, new INTEGER, PRIMARY KEY (old))")
    try:
        if aligned := _segments(db, spool):
            db.executemany("INSERT INTO move VALUES (?, ?, ?)", _with_lost(db, aligned))
        else:
            _join(db, spool, folder)
        return _apply(db)
    finally:
        db.execute("DROP TABLE move")


def _with_lost(db: sqlite3.Connection, aligned: Aligned) -> Iterator[Segment]:
    """The segments, and for each row that is nowhere a negative position: its own, or a fresh one."""
    yield from aligned.segments
    lowest = _lowest(db)
    for old in aligned.aside.values():
        new = old if old < 0 else (lowest := lowest - 1)
        yield Segment(old, 1, new)


def _lowest(db: sqlite3.Connection) -> int:
    return db.execute("SELECT min(0, min(position)) FROM ledger").fetchone()[0] or 0


def _join(db: sqlite3.Connection, spool: Spool, folder: Path) -> None:
    """The general way: deal old and new rows into buckets by their identity, and join bucket by bucket."""
    with Partition(folder) as then, Partition(folder) as now:
        names = spool.identities()
        first = 1
        while chunk := list(islice(names, _CHUNK)):
            now.add(chunk, first)
            first += len(chunk)
        cursor = db.execute("SELECT coalesce(key, fingerprint), position FROM ledger ORDER BY position")
        while pairs := cursor.fetchmany(_CHUNK):
            then.add_pairs(pairs)
        lowest = _lowest(db)
        for new_bucket, old_bucket in zip(now.buckets(), then.buckets(), strict=True):
            place = dict(new_bucket)
            moves = []
            for identity, old in old_bucket:
                new = place.get(identity)
                if new is None:
                    new = old if old < 0 else (lowest := lowest - 1)
                moves.append((old, 1, new))
            db.executemany("INSERT INTO move VALUES (?, ?, ?)", moves)


_REST = "fingerprint, key, status, attempts, task, run, seconds, result, failure"
_HERE = "l.position BETWEEN m.old AND m.old + m.length - 1"


def _apply(db: sqlite3.Connection) -> Moved:
    """Write the ledger anew, in the table's order; results and errors stay where they are."""
    now = "l.position - m.old + m.new"
    seal_now = seal.sql_moved("l.crc", "l.position", now)
    (ledger,) = db.execute("SELECT sql FROM sqlite_master WHERE name = 'ledger'").fetchone()
    db.execute(f"CREATE TABLE moved{ledger[ledger.index('(') :]}")
    db.execute(
        f"INSERT INTO moved SELECT {now}, {_REST}, {seal_now} FROM move m CROSS JOIN ledger l ON {_HERE} ORDER BY m.new"
    )
    # Failed attempts follow their row, by way of positions that no row has.
    db.execute(
        f"UPDATE failure AS l SET position = (SELECT {now} FROM move m WHERE {_HERE}) + {_FAR} "
        "WHERE EXISTS (SELECT 1 FROM failure)"
    )
    db.execute(f"UPDATE failure SET position = position - {_FAR}")
    db.execute("DROP TABLE ledger")
    db.execute("ALTER TABLE moved RENAME TO ledger")
    tests = ("new != old AND new > 0 AND old > 0", "new < 0 AND old > 0", "new > 0 AND old < 0")
    count = "SELECT coalesce(sum(length), 0) FROM move WHERE "
    return Moved(*(db.execute(count + test).fetchone()[0] for test in tests))
