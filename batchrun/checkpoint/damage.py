"""Damage: records that do not fit their seals, and values that no run writes."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from batchrun.core.states import STATE_NAMES
from batchrun.core.text import counted

from . import seal
from .records import Failure, Settled

_RECORDS = """
SELECT l.position, l.fingerprint, l.key, l.status, l.attempts, l.task, l.seconds, l.result, l.failure, l.crc,
       r.id, r.body, r.raw, r.how, r.note, f.id, f.position, f.attempt, f.at, f.seconds, f.lane, f.kind, f.message,
       f.type, f.http_status, f.traceback, f.raw
FROM ledger l LEFT JOIN result r ON r.id = l.result LEFT JOIN failure f ON f.id = l.failure
"""

_CHECKS = {
    "rows in no known state": "ledger WHERE status NOT IN (1, 2, 3, 4, 5)",
    "records of the wrong type": """ledger WHERE typeof(fingerprint) != 'blob' OR typeof(attempts) != 'integer'
        OR typeof(seconds) NOT IN ('real', 'null') OR typeof(at) NOT IN ('real', 'null')
        OR typeof(lane) NOT IN ('integer', 'null')""",
    "runs of the wrong type": """run WHERE typeof(started) != 'real' OR typeof(ended) NOT IN ('real', 'null')
        OR NOT json_valid(versions) OR json_type(versions) != 'object'
        OR NOT json_valid(options) OR json_type(options) != 'object'
        OR counts IS NOT NULL AND (NOT json_valid(counts) OR json_type(counts) != 'object')""",
    "tokens of the wrong type": """spent WHERE 'text' IN (typeof(prompt), typeof(completion), typeof(cached),
        typeof(reasoning), typeof(cost)) OR 'blob' IN (typeof(prompt), typeof(completion), typeof(cached),
        typeof(reasoning), typeof(cost))""",
    "failures of the wrong type": """failure WHERE typeof(at) != 'real' OR typeof(attempt) != 'integer'
        OR typeof(seconds) NOT IN ('real', 'null') OR typeof(kind) != 'text' OR typeof(message) != 'text'""",
    "results of the wrong type": """result WHERE typeof(body) NOT IN ('blob', 'null')
        OR typeof(how) NOT IN ('text', 'null') OR typeof(raw) NOT IN ('text', 'null')""",
    "results that are no JSON": "result WHERE body IS NOT NULL AND NOT json_valid(CAST(body AS TEXT))",
}


def corruption(db: sqlite3.Connection) -> str | None:
    """What is wrong with the database, in words; None if nothing is."""
    try:
        whole = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if whole != "ok":
            return str(whole)
        found = (what for what, rows in _CHECKS.items() if db.execute(f"SELECT 1 FROM {rows} LIMIT 1").fetchone())
        return next((f"it holds {what}" for what in found), None)
    except sqlite3.Error as error:
        return str(error)


def checked_records(db: sqlite3.Connection, rows: int) -> Iterator[tuple[int, str | None]]:
    """Each settled row of a table of `rows`, those no longer in it too (below 0), and what is wrong with its record."""
    with _lenient(db):
        for row in db.execute(f"{_RECORDS} ORDER BY l.position"):
            yield row[0], _wrong(row, rows)


def damaged_rows(db: sqlite3.Connection) -> list[int]:
    """The rows whose records do not fit their seals, in order; those no longer in the table are below 0."""
    return [position for position, wrong in checked_records(db, 0) if wrong]


def is_damaged(db: sqlite3.Connection, row: int) -> bool:
    """Whether this row's record does not fit its seal. A row without a record is whole."""
    with _lenient(db):
        found = db.execute(f"{_RECORDS} WHERE l.position = ?", (row,)).fetchone()
    return found is not None and _wrong(found, 0) is not None


def fits_seal(record: tuple[Any, ...], crc: object) -> bool:
    """Whether a row's record, in the order of `Settled`, is what was sealed."""
    try:
        return seal.of(Settled._make(record)) == crc
    except (TypeError, AttributeError, ValueError):  # a flipped bit can change a value's type
        return False


def _wrong(row: tuple[Any, ...], rows: int) -> str | None:
    if rows and row[0] > rows:
        return f"the table has only {counted(rows, 'row')}"
    if (row[7] is not None and row[10] is None) or (row[8] is not None and row[15] is None):
        return "its result or error is missing"
    failure = Failure(*row[16:]) if row[15] is not None else None
    if not fits_seal((*row[:7], *row[11:15], failure, None, None), row[9]):
        return "its checksum does not fit what is stored"
    if not 0 < row[3] < len(STATE_NAMES):
        return f"row state {row[3]} is unknown"
    return None


@contextmanager
def _lenient(db: sqlite3.Connection) -> Iterator[None]:
    """Texts as they are stored: what is no UTF-8 any more must not hide the rows behind it."""
    before, db.text_factory = db.text_factory, lambda text: text.decode("utf-8", "surrogateescape")
    try:
        yield
    finally:
        db.text_factory = before
