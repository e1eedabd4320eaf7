"""Writes blocks, and where their rows stand: `place` says of rows that follow each other in the table which block they
are in. Blocks are only added; what runs again gets a new block, and its place is cut. All inside a transaction.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain, groupby
from operator import itemgetter
from typing import Any

from . import seal
from .gathering import stretches_of
from .sheets import MOST_BYTES, NAME_BYTES, Block, of_names

_AT_ONCE = 50
_TEXT = "CAST(? AS TEXT)"
_BLOCK = f"(?,?,?,?,?,?,?,?,?,?,?,?,{_TEXT},{_TEXT},{_TEXT},{_TEXT},?)"
_HERE = """
SELECT position, rows, block, nth, crc FROM place
WHERE position BETWEEN coalesce((SELECT max(position) FROM place WHERE position <= :first), :first) AND :last
  AND (position >= :first OR position + rows > :first)
"""


def put(
    db: sqlite3.Connection,
    run: int,
    blocks: Iterable[tuple[Block, int | None]],
    *,
    above: int = 0,
    spoilt: bool = False,
) -> None:
    """Add blocks, and give their rows these places. With each comes the number of its failure, if it has one.

    `above`: their own numbers are higher. `spoilt`: what they hold is damaged, and must not look whole.
    """
    first_number = max(next_number(db, "block"), above + 1)
    rows: list[tuple[Any, ...]] = []
    places: list[tuple[int, int, int, int]] = []
    gathered = 0
    for number, (block, failed) in enumerate(blocks, first_number):
        rows.append(_row(number, run, block, failed, spoilt=spoilt))
        places += [(first, count, number, nth) for first, count, nth in stretches_of(block.positions)]
        gathered += len(block.sheet.bodies or b"") + len(block.sheet.raws or b"")
        if gathered > MOST_BYTES:
            _insert(db, "INSERT INTO block VALUES", _BLOCK, rows)
            rows, gathered = [], 0
    _insert(db, "INSERT INTO block VALUES", _BLOCK, rows)
    stand(db, places)


def _row(number: int, run: int, block: Block, failed: int | None, *, spoilt: bool) -> tuple[Any, ...]:
    positions, sheet, status, attempts, task, lane, at, note, failure = block
    names, keys, seconds, bodies, raws, hows, crc = sheet
    rows = len(positions)
    crc ^= seal.of_common(number, rows, status, attempts, task, run, lane, at, note, failure) ^ spoilt
    return (
        number, rows, status, attempts, task, run, lane, at, failed, note, names, keys, seconds, bodies, raws, hows,
        crc,
    )  # fmt: skip


def stand(db: sqlite3.Connection, places: Sequence[tuple[int, int, int, int]]) -> None:
    """Let rows stand there: position of the first, rows, block, and which of the block's rows is the first."""
    last = db.execute("SELECT max(position + rows) FROM place WHERE position = (SELECT max(position) FROM place)")
    end = last.fetchone()[0] or 0
    for first, rows, _, _ in places:
        if first < end:
            cut(db, first, first + rows - 1)
    sealed = [(*place, seal.of_place(*place)) for place in places]
    _insert(db, "INSERT INTO place VALUES", "(?,?,?,?,?)", sealed)


def cut(db: sqlite3.Connection, first: int, last: int) -> None:
    """Take the rows `first` to `last` out of their places: they have no record any more."""
    remains: list[tuple[int, int, int, int]] = []
    for position, rows, block, nth, crc in db.execute(_HERE, {"first": first, "last": last}).fetchall():
        db.execute("DELETE FROM place WHERE position = ?", (position,))
        if not seal.fits_place(crc, position, rows, block, nth):  # nothing of it can be believed
            continue
        if position < first:
            remains.append((position, first - position, block, nth))
        if position + rows - 1 > last:
            skipped = last + 1 - position
            remains.append((last + 1, rows - skipped, block, nth + skipped))
    if remains:
        _insert(db, "INSERT INTO place VALUES", "(?,?,?,?,?)", [(*one, seal.of_place(*one)) for one in remains])


def rename(db: sqlite3.Connection, rows: Iterable[tuple[int, int, bytes, bytes]]) -> None:
    """Name rows anew, which is all that ever changes in a block: number, index, fingerprint and name of each, in order.

    A seal that did not fit does not fit afterwards either.
    """
    for number, renamed in groupby(rows, itemgetter(0)):
        before = db.execute("SELECT names, keys FROM block WHERE id = ?", (number,)).fetchone()
        told, called = bytearray(before[0]), bytearray(before[1] or before[0])
        for _, nth, fingerprint, name in renamed:
            here = slice(NAME_BYTES * nth, NAME_BYTES * (nth + 1))
            told[here], called[here] = fingerprint, name
        now = (bytes(told), None if called == told else bytes(called))
        change = of_names(*before) ^ of_names(*now)
        sql = "UPDATE block SET names = ?, keys = ?, crc = (crc | ?) - (crc & ?) WHERE id = ?"
        db.execute(sql, (*now, change, change, number))


def next_number(db: sqlite3.Connection, table: str) -> int:
    """The number of the next line of a table: one more than the highest."""
    return (db.execute(f"SELECT max(id) FROM {table}").fetchone()[0] or 0) + 1


def _insert(db: sqlite3.Connection, into: str, marks: str, rows: list[tuple[Any, ...]]) -> None:
    """Insert rows, fifty with one statement: a quarter less time than one by one."""
    whole = len(rows) - len(rows) % _AT_ONCE
    many = f"{into} {','.join([marks] * _AT_ONCE)}"
    for start in range(0, whole, _AT_ONCE):
        db.execute(many, [*chain.from_iterable(rows[start : start + _AT_ONCE])])
    db.executemany(f"{into} {marks}", rows[whole:])
