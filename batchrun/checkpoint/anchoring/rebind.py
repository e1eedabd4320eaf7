"""Bind a checkpoint to a table whose rows are named otherwise than before: columns have come or gone, or `--key` or
`--columns` is another one.

Rows are found in this order: where they stood, if the table is the same; by the content that they were settled
with, if that is back; by the name that they had; by the name that they have now. Each row takes one line of the
ledger and each line one row. Then every line that was found bears the name that its row has now.

A line keeps in `fingerprint` what its row was when it was settled. Where that is no longer all there is to the row,
`key` holds the row's name, as with `--key`.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

from batchrun.checkpoint import seal
from batchrun.checkpoint.checkpoint import Checkpoint
from batchrun.checkpoint.records import Failure, Settled

from .align import Segment
from .anchor import Moved, forget_unsettled, lowest_position, mark_changed, move
from .naming import BY_PLACE, Change
from .partition import Partition
from .spool import Spool

_CHUNK = 4096
_NAME, _CONTENT = "coalesce(key, fingerprint)", "fingerprint"
_SEALED = """
SELECT l.position, l.fingerprint, l.key, l.status, l.attempts, l.task, l.seconds, r.body, r.raw, r.how, r.note, l.crc,
       f.id, f.position, f.attempt, f.at, f.seconds, f.lane, f.kind, f.message, f.type, f.http_status, f.traceback,
       f.raw
FROM ledger l LEFT JOIN result r ON r.id = l.result LEFT JOIN failure f ON f.id = l.failure
WHERE l.position BETWEEN ? AND ? ORDER BY l.position
"""


def rebind(checkpoint: Checkpoint, spool: Spool, was: Sequence[Spool], change: Change, folder: Path) -> Moved:
    """Bind the ledger to the spooled rows, inside the caller's transaction.

    `was`: the same rows under names that they may have had. Raises `InputError` if a key repeats.
    """
    db = checkpoint.db
    by_place = change.by == BY_PLACE
    others = {position for (position,) in db.execute("SELECT position FROM changed")} if by_place else None
    if not by_place:
        forget_unsettled(db)
    # Before anything is joined: of rows that are alike, the first takes the first one's line, the second the second's.
    for names in (*was, spool):
        names.tell_apart()
    lines = _Lines(db, spool.rows)
    moved = move(db, chain(_found(spool, was, lines, folder, by_place=by_place), lines.lost()))
    _rename(db, spool, was, change, others)
    db.execute("DELETE FROM twin")
    db.executemany("INSERT INTO twin VALUES (?, ?)", spool.twins())
    db.execute("DELETE FROM changed")
    mark_changed(db, spool)
    kept = db.execute("SELECT count(*) FROM ledger WHERE position > 0").fetchone()[0]
    return replace(moved, change=change, kept=kept)


class _Lines:
    """The lines of the ledger, and which of them and of the table's rows have found each other."""

    def __init__(self, db: sqlite3.Connection, rows: int) -> None:
        self._db = db
        self._lowest = lowest_position(db)
        last = db.execute("SELECT max(0, max(position)) FROM ledger").fetchone()[0] or 0
        self._found = bytearray(last - self._lowest + 1)
        self._rows = bytearray(rows + 1)

    def left(self, what: str = "NULL") -> Iterator[tuple[bytes, int]]:
        """An expression's value and the position of each line that has not been found, those of the table first."""
        for where in ("position > 0", "position < 0"):
            for value, position in self._db.execute(f"SELECT {what}, position FROM ledger WHERE {where}"):
                if not self._found[position - self._lowest]:
                    yield value, position

    def free(self, names: Iterator[bytes]) -> Iterator[tuple[bytes, int]]:
        """Names and positions of the rows that have no line."""
        return ((name, place) for name, place in zip(names, count(1), strict=False) if not self._rows[place])

    def join(self, old: int, new: int) -> Segment:
        """Give a row its line."""
        self._found[old - self._lowest] = self._rows[new] = 1
        return Segment(old, 1, new)

    def stay(self) -> Iterator[Segment]:
        """Each line of the table stays where it is."""
        for _, position in self.left():
            if position > 0:
                yield self.join(position, position)

    def lost(self) -> Iterator[Segment]:
        """Lines that no row has claimed: they wait at negative positions."""
        lowest = self._lowest
        for _, old in self.left():
            yield Segment(old, 1, old if old < 0 else (lowest := lowest - 1))


def _found(spool: Spool, was: Sequence[Spool], lines: _Lines, folder: Path, *, by_place: bool) -> Iterator[Segment]:
    if by_place:
        yield from lines.stay()
    if not spool.keyed:
        yield from _same(_CONTENT, spool, lines, folder)
    for names in (*was, spool):
        yield from _same(_NAME, names, lines, folder)


def _same(what: str, spool: Spool, lines: _Lines, folder: Path) -> Iterator[Segment]:
    """Join lines and rows of the same name, bucket by bucket."""
    if next(lines.left(), None) is None:
        return
    with Partition(folder) as then, Partition(folder) as now:
        then.add(lines.left(what))
        now.add(lines.free(spool.identities()))
        for old_bucket, new_bucket in zip(then.buckets(), now.buckets(), strict=True):
            place = dict(new_bucket)
            for name, old in old_bucket:
                new = place.pop(name, None)
                if new is not None:
                    yield lines.join(old, new)


def _rename(
    db: sqlite3.Connection, spool: Spool, was: Sequence[Spool], change: Change, others: set[int] | None
) -> None:
    """Let each line bear the name that its row has now. `others`: rows with other content, if known by their place."""
    named = zip(*map(_contents, was), _contents(spool), spool.identities(), strict=True)
    at = 0
    (last,) = db.execute("SELECT max(position) FROM ledger").fetchone()
    for first in range(1, (last or 0) + 1, _CHUNK):
        renamed = []
        for line in _lines_between(db, first, first + _CHUNK - 1):
            position, fingerprint, key = line[:3]
            *before, content, name = next(islice(named, position - at - 1, None))
            at = position
            as_it_was = fingerprint in before if others is None else position not in others
            told = content if as_it_was and change.same else fingerprint
            new = (told, name if spool.keyed or told != name else None)
            # The seal covers the names, so it is made anew in the same statement; one that did not fit must not fit
            # afterwards, or damage would be sealed in.
            if new != (fingerprint, key):
                renamed.append((*new, _resealed(line, *new), position))
        db.executemany("UPDATE ledger SET fingerprint = ?, key = ?, crc = ? WHERE position = ?", renamed)


def _contents(spool: Spool) -> Iterator[bytes]:
    return spool.contents() if spool.keyed else spool.identities()


def _lines_between(db: sqlite3.Connection, first: int, last: int) -> list[tuple[Any, ...]]:
    before, db.text_factory = db.text_factory, _lenient
    try:
        return db.execute(_SEALED, (first, last)).fetchall()
    finally:
        db.text_factory = before


def _lenient(text: bytes) -> str:
    """Text that was damaged is left to those who look for damage."""
    return text.decode("utf-8", "surrogateescape")


def _resealed(line: tuple[Any, ...], fingerprint: bytes, key: bytes | None) -> int:
    """The seal of a renamed line. One that did not fit does not fit afterwards either."""
    crc: int = line[11]
    failure = Failure(*line[13:]) if line[12] is not None else None
    row = Settled._make((*line[:11], failure, None, None))
    try:
        return crc ^ seal.of(row) ^ seal.of(row._replace(fingerprint=fingerprint, key=key))
    except (TypeError, AttributeError, ValueError):  # damage can change a value's type
        return crc
