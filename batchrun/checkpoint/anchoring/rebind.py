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

from batchrun.checkpoint import reading
from batchrun.checkpoint.checkpoint import Checkpoint
from batchrun.checkpoint.placing import rename
from batchrun.checkpoint.stored_blocks import places

from .align import Segment, split, split_at
from .anchor import Departed, Moved, forget_unsettled, mark_changed, move
from .naming import BY_PLACE, Change
from .partition import Partition
from .spool import Spool


def rebind(checkpoint: Checkpoint, spool: Spool, was: Sequence[Spool], change: Change, folder: Path) -> Moved:
    """Bind the ledger to the spooled rows, inside the caller's transaction.

    `was`: the same rows under names that they may have had. Raises `InputError` if a key repeats.
    """
    db = checkpoint.db
    by_place = change.by == BY_PLACE
    others = set(reading.changed_rows(db)) if by_place else None
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
    kept = sum(rows for _, rows in reading.rows_by_state(db))
    return replace(moved, change=change, kept=kept)


class _Lines:
    """The lines of the ledger, and which of them and of the table's rows have found each other."""

    def __init__(self, db: sqlite3.Connection, rows: int) -> None:
        self._db = db
        self._lowest = reading.first_position(db)
        self._found = bytearray(reading.last_position(db) - self._lowest + 1)
        self._rows = bytearray(rows + 1)

    def left(self, *, contents: bool = False) -> Iterator[tuple[bytes, int]]:
        """Name and position of each record that has not been found, those of the table first.

        `contents`: the fingerprint that it was settled with in place of its name.
        """
        for gone in (False, True):
            for first, joined in reading.joined_names(self._db, gone=gone, contents=contents):
                for position, name in enumerate(split(joined), first):
                    if not self._found[position - self._lowest]:
                        yield name, position

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
        return Departed(self._db).segments(position for _, position in self.left())


def _found(spool: Spool, was: Sequence[Spool], lines: _Lines, folder: Path, *, by_place: bool) -> Iterator[Segment]:
    if by_place:
        yield from lines.stay()
    if not spool.keyed:
        yield from _same(spool, lines, folder, contents=True)
    for names in (*was, spool):
        yield from _same(names, lines, folder)


def _same(spool: Spool, lines: _Lines, folder: Path, *, contents: bool = False) -> Iterator[Segment]:
    """Join lines and rows of the same name, bucket by bucket."""
    if next(lines.left(), None) is None:
        return
    with Partition(folder) as then, Partition(folder) as now:
        then.add(lines.left(contents=contents))
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
    """Let each record bear the name that its row has now.

    `others`: rows with other content, if known by their place.
    """
    named = zip(*map(_contents, was), _contents(spool), spool.identities(), strict=True)
    at = 0
    db.execute("CREATE TEMP TABLE renamed(block, nth, name, key, PRIMARY KEY (block, nth)) WITHOUT ROWID")
    for place in places(db):
        block = reading.names_of(db, place.block)
        renamed = []
        for nth in range(place.nth, place.nth + place.rows):
            position = place.position + nth - place.nth
            fingerprint, key = (split_at(joined, nth) for joined in block)
            *before, content, name = next(islice(named, position - at - 1, None))
            at = position
            as_it_was = fingerprint in before if others is None else position not in others
            told = content if as_it_was and change.same else fingerprint
            new = (told, name if spool.keyed or told != name else told)
            if new != (fingerprint, key):
                renamed.append((place.block, nth, *new))
        db.executemany("INSERT INTO renamed VALUES (?, ?, ?, ?)", renamed)
    rename(db, db.execute("SELECT * FROM renamed ORDER BY block, nth"))
    db.execute("DROP TABLE renamed")


def _contents(spool: Spool) -> Iterator[bytes]:
    return spool.contents() if spool.keyed else spool.identities()
