"""Bind a checkpoint to the table as it is now: which settled row stands at which position.

The first pass over a changed table writes each row's identity to a spool. Rows that stand where they stood
keep their place; all others are looked up by identity, and the ledger's lines follow them in one
transaction. Rows that are gone get negative positions: their results serve again when they come back.
"""

import sqlite3
import struct
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Self

import xxhash

from . import seal
from .checkpoint import Checkpoint
from .errors import InputError
from .partition import Partition

_CHUNK = 4096
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

    def identities(self) -> Iterator[bytes]:
        """Each row's identity, in the table's order."""
        if not self.twins:
            return _sixteens(self._file)
        numbered = enumerate(_sixteens(self._file), start=1)
        return (occurrence_of(name, self.twins.get(position, 0)) for position, name in numbered)

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


def _move(db: sqlite3.Connection, spool: Spool, folder: Path) -> Moved:
    db.execute("CREATE TEMP TABLE move(old INTEGER PRIMARY KEY, new INTEGER NOT NULL)")
    try:
        with Partition(folder) as now:
            _deal(now, spool)
            _find(db, now, folder)
        return _apply(db)
    finally:
        db.execute("DROP TABLE move")


def _old(db: sqlite3.Connection) -> sqlite3.Cursor:
    """Identity and position of all settled rows."""
    return db.execute("SELECT coalesce(key, fingerprint), position FROM ledger ORDER BY position")


def _stands(db: sqlite3.Connection, spool: Spool) -> bool:
    """Whether every settled row still stands where it stood (the table is the same, or was appended to)."""
    identities = spool.identities()
    at = 0
    for identity, position in _old(db):
        if position < 0:
            continue
        found = next(islice(identities, position - at - 1, None), None)
        if found != identity:
            return False
        at = position
    gone = db.execute("SELECT 1 FROM ledger WHERE position < 0 LIMIT 1").fetchone()
    return gone is None


def _deal(now: Partition, spool: Spool) -> None:
    identities = spool.identities()
    first = 1
    while chunk := list(islice(identities, _CHUNK)):
        now.add(chunk, first)
        first += len(chunk)


def _find(db: sqlite3.Connection, now: Partition, folder: Path) -> None:
    """Fill `move`: for every known row its new position; a fresh negative one for those that are gone."""
    with Partition(folder) as then:
        cursor = _old(db)
        while chunk := cursor.fetchmany(_CHUNK):
            then.add_pairs(chunk)
        lowest = db.execute("SELECT min(0, min(position)) FROM ledger").fetchone()[0] or 0
        for new_bucket, old_bucket in zip(now.buckets(), then.buckets(), strict=True):
            place = dict(new_bucket)
            moves = []
            for identity, old in old_bucket:
                new = place.get(identity)
                if new is None:
                    new = old if old < 0 else (lowest := lowest - 1)
                moves.append((old, new))
            db.executemany("INSERT INTO move VALUES (?, ?)", moves)


def _apply(db: sqlite3.Connection) -> Moved:
    db.create_function("reseal", 3, _reseal, deterministic=True)
    db.execute("CREATE TEMP TABLE kept AS SELECT * FROM ledger LIMIT 0")
    columns = "fingerprint, key, status, attempts, task, run, seconds, result, failure"
    db.execute(
        f"INSERT INTO kept SELECT new, {columns}, reseal(crc, old, new) FROM ledger JOIN move ON old = position "
        "ORDER BY new"
    )
    db.execute("DELETE FROM ledger")
    db.execute("INSERT INTO ledger SELECT * FROM kept")
    db.execute("DROP TABLE kept")
    # Failed attempts follow their row, by way of positions that no row has.
    db.execute("UPDATE failure SET position = (SELECT new FROM move WHERE old = position) + (1 << 60)")
    db.execute("UPDATE failure SET position = position - (1 << 60)")
    count = "SELECT count(*) FROM move WHERE "
    tests = ("new != old AND new > 0 AND old > 0", "new < 0 AND old > 0", "new > 0 AND old < 0")
    return Moved(*(db.execute(count + test).fetchone()[0] for test in tests))


def _reseal(crc: int, old: int, new: int) -> int:
    return crc ^ seal.of_position(old) ^ seal.of_position(new)
