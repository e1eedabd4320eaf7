"""Bind a checkpoint to the table as it is now: which settled row stands at which position.

The pass over a changed table leaves each row's identity in a spool. Rows that stand where they stood keep
their place; all others are looked up by identity, and the places of the checkpoint follow them in one transaction.
Rows that are gone get negative positions: their results serve again when they come back.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from batchrun.checkpoint import reading, seal
from batchrun.checkpoint.checkpoint import Checkpoint
from batchrun.checkpoint.reading import COVERED

from .align import MOST_ASIDE, WIDTH, Aligned, Segment, align, gaps, split
from .naming import Change
from .partition import Partition
from .spool import Spool

_MOST_NEW = 100_000
_FAR = 1 << 60


@dataclass(frozen=True, slots=True)
class Moved:
    """What binding found: rows that moved, rows that are gone, rows that came back.

    `change`: how they were named anew, if they were; then `kept` counts those that keep their results, and `unclear`
    those of which nobody can say which of several rows they are.
    """

    moved: int
    gone: int
    back: int
    change: Change | None = None
    kept: int = 0
    unclear: int = 0


def anchor(checkpoint: Checkpoint, spool: Spool, folder: Path, *, renamed: bool = False) -> Moved:
    """Bind the records to the spooled rows, inside the caller's transaction. Raises `InputError` if a key repeats.

    `renamed`: records may bear another name than that of their content though there is no key (see `rebind`).
    """
    db = checkpoint.db
    forget_unsettled(db)
    aligned = _told_apart(db, spool)
    db.execute("DELETE FROM twin")
    db.executemany("INSERT INTO twin VALUES (?, ?)", spool.twins())
    moved = Moved(0, 0, 0) if _stands(db, spool, aligned) else _move(db, spool, aligned, folder)
    # What this says is true of the table as it was read just now, so it is made anew each time.
    db.execute("DELETE FROM changed")
    if spool.keyed or renamed:
        mark_changed(db, spool)
    return moved


def forget_unsettled(db: sqlite3.Connection) -> None:
    """Attempts at a row that was never settled are known by its position only, which may say nothing any more."""
    if db.execute("SELECT 1 FROM failure LIMIT 1").fetchone():
        settled = f"SELECT 1 FROM place p WHERE {COVERED.format(at='failure.position')}"
        db.execute(f"DELETE FROM failure WHERE NOT EXISTS ({settled})")


def mark_changed(db: sqlite3.Connection, spool: Spool) -> None:
    """Note the settled rows whose content is not what it was then."""
    if spool.keyed:
        db.executemany("INSERT INTO changed VALUES (?)", _other_content(db, spool))
    else:
        db.executemany("INSERT INTO changed VALUES (?)", _named_otherwise(db))


def _told_apart(db: sqlite3.Connection, spool: Spool) -> Aligned | None:
    """Tell twins apart, and align the records with the table if that leads anywhere.

    Where no two rows were the same before, and all but a few are still there, only the new ones can be twins.
    """
    aligned = None if db.execute("SELECT 1 FROM twin LIMIT 1").fetchone() else _align(db, spool)
    if aligned is None or _may_be_twins(aligned, spool):
        spool.tell_apart()
        if spool.has_twins or aligned is None:
            aligned = _align(db, spool)
    return aligned


def _may_be_twins(aligned: Aligned, spool: Spool) -> bool:
    new = list(gaps(aligned.segments, spool.rows))
    return sum(last - first + 1 for first, last in new) > _MOST_NEW or spool.any_repeated(new)


def _align(db: sqlite3.Connection, spool: Spool) -> Aligned | None:
    """The quick way, for a table of which only some places were edited; None where it does not lead."""
    gone: list[tuple[bytes, int]] = []
    for first, joined in reading.joined_names(db, gone=True):
        gone += zip(split(joined), count(first), strict=False)
        if len(gone) > MOST_ASIDE:
            return None
    names = dict(gone)
    if len(names) < len(gone):  # two records of one row: only the general way keeps both
        return None
    return align(reading.joined_names(db), spool.names, spool.rows, names)


def _stands(db: sqlite3.Connection, spool: Spool, aligned: Aligned | None) -> bool:
    """Whether every settled row still stands where it stood (the table is the same, or was appended to)."""
    if aligned is not None:
        return all(segment.old == segment.new for segment in aligned.segments) and all(
            position < 0 for position in aligned.aside.values()
        )
    if reading.gone_rows(db):
        return False
    return all(spool.names(first, len(block) // WIDTH) == block for first, block in reading.joined_names(db))


def _other_content(db: sqlite3.Connection, spool: Spool) -> Iterator[tuple[int]]:
    """Positions of settled rows whose key is the same and whose content is not."""
    for first, then in reading.joined_names(db, contents=True):
        now = spool.contents_at(first, len(then) // WIDTH)
        if now != then:
            yield from _that_differ(first, then, now)


def _named_otherwise(db: sqlite3.Connection) -> Iterator[tuple[int]]:
    """Positions of settled rows whose name is not that of the content they had then."""
    contents = reading.joined_names(db, contents=True)
    for (first, name), (_, content) in zip(reading.joined_names(db), contents, strict=True):
        if name != content:
            yield from _that_differ(first, name, content)


def _that_differ(first: int, one: bytes, other: bytes) -> Iterator[tuple[int]]:
    for position, mine, theirs in zip(count(first), split(one), split(other), strict=False):
        if mine != theirs:
            yield (position,)


def _move(db: sqlite3.Connection, spool: Spool, aligned: Aligned | None, folder: Path) -> Moved:
    return move(db, _with_lost(db, aligned) if aligned else _joined(db, spool, folder))


def move(db: sqlite3.Connection, moves: Iterable[Segment]) -> Moved:
    """Move records to where their rows stand now; every record is in one of the segments."""
    db.execute("CREATE TEMP TABLE move(new INTEGER PRIMARY KEY, old INTEGER NOT NULL, length INTEGER NOT NULL)")
    db.executemany("INSERT INTO move(old, length, new) VALUES (?, ?, ?)", moves)
    stands = db.execute("SELECT 1 FROM move WHERE old != new LIMIT 1").fetchone() is None
    moved = Moved(0, 0, 0) if stands else _apply(db)
    db.execute("DROP TABLE move")  # after an error it goes with the transaction
    return moved


def _with_lost(db: sqlite3.Connection, aligned: Aligned) -> Iterator[Segment]:
    """The segments, and for each row that is nowhere a negative position: its own, or a fresh one."""
    yield from aligned.segments
    yield from Departed(db).segments(aligned.aside.values())


class Departed:
    """Gives rows that are no longer in the table negative positions: their own, or fresh ones."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._lowest = db.execute("SELECT min(0, min(position)) FROM place").fetchone()[0] or 0

    def segments(self, rows: Iterable[int]) -> Iterator[Segment]:
        """Rows that followed each other go on doing so: they have one place."""
        fresh: list[int] = []
        for old in rows:
            if old < 0:
                yield Segment(old, 1, old)
            elif fresh and old != fresh[-1] + 1:
                yield self._away(fresh)
                fresh = [old]
            else:
                fresh.append(old)
        if fresh:
            yield self._away(fresh)

    def _away(self, rows: list[int]) -> Segment:
        self._lowest -= len(rows)
        return Segment(rows[0], len(rows), self._lowest)


def _joined(db: sqlite3.Connection, spool: Spool, folder: Path) -> Iterator[Segment]:
    """The general way: deal old and new rows into buckets by their identity, and join bucket by bucket."""
    with Partition(folder) as then, Partition(folder) as now:
        now.add(zip(spool.identities(), count(1), strict=False))
        for gone in (True, False):
            for first, joined in reading.joined_names(db, gone=gone):
                then.add(zip(split(joined), count(first), strict=False))
        lost = Departed(db)
        for new_bucket, old_bucket in zip(now.buckets(), then.buckets(), strict=True):
            place = dict(new_bucket)
            nowhere = []
            for identity, old in old_bucket:
                new = place.pop(
                    identity, None
                )  # once: a table changed under a run may have left two records of one row
                if new is None:
                    nowhere.append(old)
                else:
                    yield Segment(old, 1, new)
            yield from lost.segments(nowhere)


def _apply(db: sqlite3.Connection) -> Moved:
    """Write the places anew, in the table's order; blocks and errors stay where they are."""
    # In a table of their own first: moved one by one, places would run into positions that others still have.
    db.execute("CREATE TEMP TABLE moved(position INTEGER PRIMARY KEY, rows, block, nth)")
    begin, end = "max(p.position, m.old)", "min(p.position + p.rows, m.old + m.length)"
    db.execute(
        f"""INSERT INTO moved
            SELECT m.new - m.old + {begin}, {end} - {begin}, p.block, p.nth + {begin} - p.position
            FROM move m CROSS JOIN place p
              ON p.position BETWEEN coalesce((SELECT max(position) FROM place WHERE position <= m.old), m.old)
                AND m.old + m.length - 1
            WHERE p.position + p.rows > m.old"""
    )
    _move_failures(db)
    db.execute("DELETE FROM place")
    sealed = (
        (*place, seal.of_place(*place)) for place in _together(db.execute("SELECT * FROM moved ORDER BY position"))
    )
    db.executemany("INSERT INTO place VALUES (?, ?, ?, ?, ?)", sealed)
    db.execute("DROP TABLE moved")
    tests = ("new != old AND new > 0 AND old > 0", "new < 0 AND old > 0", "new > 0 AND old < 0")
    rows = "SELECT coalesce(sum(length), 0) FROM move WHERE "
    return Moved(*(db.execute(rows + test).fetchone()[0] for test in tests))


def _together(places: Iterable[tuple[int, int, int, int]]) -> Iterator[tuple[int, int, int, int]]:
    """Places in order; rows that follow each other in the table and in a block have one."""
    last: tuple[int, int, int, int] | None = None
    for position, rows, block, nth in places:
        if last and (last[0] + last[1], last[2], last[3] + last[1]) == (position, block, nth):
            last = (last[0], last[1] + rows, *last[2:])
            continue
        if last:
            yield last
        last = (position, rows, block, nth)
    if last:
        yield last


def _move_failures(db: sqlite3.Connection) -> None:
    """Failed attempts follow their row, by way of positions that no row has."""
    if db.execute("SELECT 1 FROM failure LIMIT 1").fetchone() is None:
        return
    db.execute("CREATE INDEX temp.move_old ON move(old, new)")
    shift = "SELECT m.new - m.old FROM move m WHERE m.old <= l.position ORDER BY m.old DESC LIMIT 1"
    db.execute(f"UPDATE failure AS l SET position = position + ({shift}) + {_FAR}")
    db.execute(f"UPDATE failure SET position = position - {_FAR}")
