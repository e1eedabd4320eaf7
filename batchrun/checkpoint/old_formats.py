"""Formats 1 and 2, in which each settled row was a line of `ledger` beside one of `result`.

They are read as they are: each line is held against its seal, and goes into a block. A run writes the blocks into the
file, in the one transaction that takes the old tables away: a kill at any moment leaves the file as it was. Readers,
who must not write, make the same of it in tables of their own, which stand before the file's.
"""

import sqlite3
from collections.abc import Iterator
from itertools import islice
from typing import Any
from zlib import crc32

from batchrun.core.states import DONE, STATE_NAMES

from .format import BLOCKS, COMMON, FORMAT, SPENT, VIEW
from .gathering import blocks_of
from .placing import put
from .records import Failure, Settled
from .sheets import NAME_BYTES, Block, sealed

_AT_ONCE = 2048
_KNUTH = 2654435761
_LINES = """
SELECT l.position, l.fingerprint, l.key, l.status, l.attempts, l.task, l.seconds, l.run, {at}, {lane}, l.crc,
       l.result, r.id, CAST(r.body AS BLOB), r.raw, r.how, r.note, typeof(r.body),
       l.failure, f.id, f.position, f.attempt, f.at, f.seconds, f.lane, f.kind, f.message, f.type, f.http_status,
       f.traceback, f.raw
FROM main.ledger l LEFT JOIN main.result r ON r.id = l.result LEFT JOIN main.failure f ON f.id = l.failure
ORDER BY l.position
"""
_LEDGER = """
CREATE TABLE ledger(
  position INTEGER PRIMARY KEY, fingerprint BLOB NOT NULL, key BLOB, status INTEGER NOT NULL,
  attempts INTEGER NOT NULL, task INTEGER NOT NULL, run INTEGER NOT NULL, seconds REAL, result INTEGER,
  failure INTEGER, crc INTEGER NOT NULL{more}
);
CREATE TABLE result(id INTEGER PRIMARY KEY, body BLOB, raw TEXT, how TEXT, note TEXT);
"""
_CELLS = """
CREATE TABLE sheet_order(nth INTEGER PRIMARY KEY, sheet BLOB NOT NULL);
CREATE TABLE sheet(
  id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, columns TEXT NOT NULL, fingerprints BLOB NOT NULL,
  cells BLOB NOT NULL
);
"""
SCHEMAS = {
    1: COMMON + _LEDGER.format(more=""),
    2: COMMON + _LEDGER.format(more=", at REAL, lane INTEGER") + SPENT.format(temp="") + _CELLS,
}
"""What files of these formats hold, or may hold."""


def convert(db: sqlite3.Connection, version: int) -> None:
    """Make a file of format `version` one of the present format, durably, all or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        _make(db, version, "")
        for table in ("ledger", "result"):
            db.execute(f"DROP TABLE {table}")
        _rename(db)
        db.execute(VIEW)
        db.execute(f"PRAGMA user_version={FORMAT}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def disguise(db: sqlite3.Connection, version: int) -> None:
    """Let a reader see a file of format `version` as one of the present format; the file stays as it is."""
    db.execute("BEGIN")
    _make(db, version, "TEMP")
    db.execute("COMMIT")


def numbers_reached(db: sqlite3.Connection) -> tuple[int, int] | None:
    """The highest numbers that results and failures have in a file of an old format; None if it is not one."""
    if db.execute("PRAGMA main.user_version").fetchone()[0] == FORMAT:
        return None
    results, failures = db.execute("SELECT (SELECT max(id) FROM main.result), (SELECT max(id) FROM failure)").fetchone()
    return results or 0, failures or 0


def _make(db: sqlite3.Connection, version: int, temp: str) -> None:
    tables = BLOCKS if version > 1 else BLOCKS + SPENT
    for table in tables.format(temp=temp).split(";"):
        db.execute(table)
    # Numbers go on where those of results ended: the witness (see there) knows them.
    above = db.execute("SELECT max(id) FROM main.result").fetchone()[0] or 0
    lines = _lines(db, version)
    while some := list(islice(lines, _AT_ONCE)):
        spoilt = [line for line in some if not _is_whole(line)]
        put(db, 0, [(_remains(line), None) for line in spoilt], above=above, spoilt=True)
        by_run: dict[int, list[tuple[Any, ...]]] = {}
        for line in some:
            if line not in spoilt:
                by_run.setdefault(line[7], []).append(line)
        for run, whole in by_run.items():
            failures = {line[0]: line[18] for line in whole}
            blocks = blocks_of(map(_settled, whole))
            put(db, run, [(block, failures[block.positions[0]]) for block in blocks], above=above)


def _rename(db: sqlite3.Connection) -> None:
    """Give the table of cells, which late files of format 2 have, the name that it has now."""
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'sheet'").fetchone():
        db.execute("ALTER TABLE sheet RENAME TO kept_cells")
        db.execute("ALTER TABLE sheet_order RENAME TO kept_order")
        db.execute("ALTER TABLE kept_order RENAME COLUMN sheet TO name")


def _lines(db: sqlite3.Connection, version: int) -> Iterator[tuple[Any, ...]]:
    at, lane = ("l.at", "l.lane") if version > 1 else ("NULL", "NULL")
    before, db.text_factory = db.text_factory, lambda text: text.decode("utf-8", "surrogateescape")
    try:
        yield from db.execute(_LINES.format(at=at, lane=lane))
    finally:
        db.text_factory = before


def _settled(line: tuple[Any, ...]) -> Settled:
    position, fingerprint, key, status, attempts, task, seconds, _, at, lane, _, _, _, body, raw, how, note, *_ = line
    failure = Failure(*line[20:]) if line[19] is not None else None
    return Settled(
        position, fingerprint, key, status, attempts, task, seconds, body, raw, how, note, failure, at, lane
    )  # fmt: skip


def _is_whole(line: tuple[Any, ...]) -> bool:
    """Whether a line is what was written, and a block can hold it."""
    _, fingerprint, key, status, attempts, task, seconds, run, at, lane, crc, result, found, *_ = line
    if (result is not None and found is None) or (line[18] is not None and line[19] is None):
        return False
    whole = all(isinstance(number, int) for number in (attempts, task, run, lane or 0)) and all(
        isinstance(number, int | float) for number in (seconds or 0, at or 0)
    )
    sizes = {len(name) for name in (fingerprint, key) if isinstance(name, bytes)}
    try:
        return (
            whole and sizes == {NAME_BYTES} and 0 < status < len(STATE_NAMES) and line[17] in ("blob", "null")
            and seal_of_line(_settled(line)) == crc
        )  # fmt: skip
    except (TypeError, AttributeError, ValueError):  # a flipped bit can change a value's type
        return False


def _remains(line: tuple[Any, ...]) -> Block:
    """What a damaged line says of its row, as far as a block can hold it."""
    position, fingerprint, _, status, attempts, task = line[:6]
    names = fingerprint if isinstance(fingerprint, bytes) and len(fingerprint) == NAME_BYTES else bytes(NAME_BYTES)
    known = status if isinstance(status, int) and 0 < status < len(STATE_NAMES) else DONE
    made, version = (number if isinstance(number, int) else 0 for number in (attempts, task))
    return Block([position], sealed(names, None, b"[null]", b"[null]"), known, made, version)


def seal_of_line(row: Settled) -> int:
    """The seal of a line of the ledger."""
    position, fingerprint, key, status, attempts, _, _, body, raw, how, note, failure, _, _ = row
    crc = crc32(b"%d %d %b%b" % (status, attempts, fingerprint, key or b""))
    if body is not None:
        crc = crc32(body, crc)
    if how is not None:
        crc = crc32(how.encode(), crc)
    if raw is not None or note is not None:
        crc = crc32(f"{raw}\0{note}".encode(), crc)
    if failure is not None:
        told = (
            failure.kind, failure.message, failure.type, failure.http_status, failure.traceback, failure.raw
        )  # fmt: skip
        crc = crc32(repr(told).encode(), crc)
    return crc ^ (position * _KNUTH & 0xFFFFFFFF)
