"""Damage: records that do not fit their seals, and values that no run writes."""

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from batchrun.core.text import counted
from batchrun.errors import CheckpointError

from . import seal
from .explain import damaged_records, explained, heed_interrupt
from .records import Failure
from .sheets import NAME_BYTES
from .stored_blocks import Kept, blocks_at, wrong_with

_BLOCKS_AT_ONCE = 64
_MOST_ROWS = 1 << 17
"""Of a place whose block is not there: what a flipped bit makes of a number must not be counted through."""

_CHECKS = {
    "rows in an unknown state": "block WHERE status NOT IN (1, 2, 3, 4, 5)",
    "records of the wrong type": """block WHERE typeof(names) != 'blob' OR typeof(attempts) != 'integer'
        OR typeof(at) NOT IN ('real', 'null') OR typeof(lane) NOT IN ('integer', 'null')
        OR typeof(seconds) != 'text' OR NOT json_valid(seconds) OR hows IS NOT NULL AND NOT json_valid(hows)
        OR raws IS NOT NULL AND NOT json_valid(raws)""",
    "runs of the wrong type": """run WHERE typeof(started) != 'real' OR typeof(ended) NOT IN ('real', 'null')
        OR NOT json_valid(versions) OR json_type(versions) != 'object'
        OR NOT json_valid(options) OR json_type(options) != 'object'
        OR counts IS NOT NULL AND (NOT json_valid(counts) OR json_type(counts) != 'object')
        OR typeof(exit) NOT IN ('integer', 'null') OR typeof(pid) != 'integer'""",
    "tokens of the wrong type": """spent WHERE 'text' IN (typeof(prompt), typeof(completion), typeof(cached),
        typeof(reasoning), typeof(cost)) OR 'blob' IN (typeof(prompt), typeof(completion), typeof(cached),
        typeof(reasoning), typeof(cost))""",
    "failures of the wrong type": """failure WHERE typeof(at) != 'real' OR typeof(attempt) != 'integer'
        OR typeof(seconds) NOT IN ('real', 'null') OR typeof(kind) != 'text' OR typeof(message) != 'text'
        OR typeof(lane) NOT IN ('integer', 'null') OR typeof(type) NOT IN ('text', 'null')
        OR typeof(http_status) NOT IN ('integer', 'null') OR typeof(traceback) NOT IN ('text', 'null')
        OR typeof(raw) NOT IN ('text', 'null')""",
    "results that are not JSON": "block WHERE bodies IS NOT NULL AND NOT json_valid(bodies)",
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
        heed_interrupt(error)
        return str(error)


class Checked(NamedTuple):
    """Settled rows that follow each other, `first` to `last`, and what is wrong with their records, if anything."""

    first: int
    last: int
    wrong: str | None


def checked_records(db: sqlite3.Connection, rows: int) -> Iterator[Checked]:
    """All settled rows of a table of `rows` (0: any number), those no longer in it too (below 0)."""
    with _lenient(db):
        end = -sys.maxsize
        found = iter(db.execute("SELECT position, rows, block, nth, crc FROM place ORDER BY position").fetchall())
        while some := list(islice(found, _BLOCKS_AT_ONCE)):
            known = {kept.number: (kept, failure) for kept, failure in blocks_at(db, {place[2] for place in some})}
            for position, count, number, nth, crc in some:
                block = known.get(number)
                length = count if isinstance(count, int) and 0 < count <= _most_rows(block) else 1
                wrong = _misplaced(position, count, number, nth, crc, end, rows) or _wrong(block, nth, count)
                yield Checked(position, position + length - 1, wrong)
                end = max(end, position + length - 1)


def _most_rows(found: tuple[Kept, Failure | None] | None) -> int:
    """How many rows can stand in a block: as many as it names."""
    names = found[0].names if found else None
    return len(names) // NAME_BYTES if isinstance(names, bytes) else _MOST_ROWS


def _misplaced(
    position: int, count: Any, number: Any, nth: Any, crc: Any, end: int, rows: int
) -> str | None:  # fmt: skip
    if not seal.fits_place(crc, position, count, number, nth):
        return "the checksum of its place does not match"
    if rows and position + count - 1 > rows:
        return f"the table has only {counted(rows, 'row')}"
    return "its place overlaps another one" if position <= end else None


def _wrong(found: tuple[Kept, Failure | None] | None, nth: int, count: int) -> str | None:
    if found is None or not 0 <= nth <= found[0].rows - count:
        return "its result or error is missing"
    return wrong_with(*found)


def damaged_rows(db: sqlite3.Connection) -> list[int]:
    """The rows whose records do not fit their seals, in order; those no longer in the table are below 0."""
    return [row for first, last, wrong in checked_records(db, 0) if wrong for row in range(first, last + 1)]


@contextmanager
def naming_damage(path: Path, db: sqlite3.Connection) -> Iterator[None]:
    """As `explained`; where records are damaged their rows are named."""
    try:
        with explained(path):
            yield
    except CheckpointError as error:
        with suppress(sqlite3.Error):
            if rows := [row for row in damaged_rows(db) if row > 0]:
                raise damaged_records(path, rows) from error
        raise


@contextmanager
def _lenient(db: sqlite3.Connection) -> Iterator[None]:
    """Texts as they are stored: what is no UTF-8 any more must not hide the rows behind it."""
    before, db.text_factory = db.text_factory, lambda text: text.decode("utf-8", "surrogateescape")
    try:
        yield
    finally:
        db.text_factory = before
