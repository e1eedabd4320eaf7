"""Bind a checkpoint to the table as it is now: which settled row stands at which position.

The pass over a changed table leaves each row's identity in a spool. Rows that stand where they stood keep
their place; all others are looked up by identity, and the ledger's lines follow them in one transaction.
Rows that are gone get negative positions: their results serve again when they come back.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from operator import itemgetter
from pathlib import Path

from batchrun.checkpoint import seal
from batchrun.checkpoint.checkpoint import Checkpoint

from .align import MOST_ASIDE, WIDTH, Aligned, Segment, align, gaps
from .naming import Change
from .partition import Partition
from .spool import Spool

_CHUNK = 4096
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
    """Bind the ledger to the spooled rows, inside the caller's transaction. Raises `InputError` if a key repeats.

    `renamed`: lines may bear another name than that of their content though there is no key (see `rebind`).
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
    db.execute("DELETE FROM failure WHERE position NOT IN (SELECT position FROM ledger)")


def mark_changed(db: sqlite3.Connection, spool: Spool) -> None:
    """Note the settled rows whose content is not what it was then."""
    if spool.keyed:
        db.executemany("INSERT INTO changed VALUES (?)", _other_content(db, spool))
    else:
        db.execute("INSERT INTO changed SELECT position FROM ledger WHERE position > 0 AND key IS NOT NULL")


def _told_apart(db: sqlite3.Connection, spool: Spool) -> Aligned | None:
    """Tell twins apart, and align the ledger with the table if that leads anywhere.

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
    gone = db.execute(
        "SELECT coalesce(key, fingerprint), position FROM ledger WHERE position < 0 LIMIT ?", (MOST_ASIDE + 1,)
    ).fetchall()
    names = dict(gone)
    if len(gone) > MOST_ASIDE or len(names) < len(gone):  # two lines of one row: only the general way keeps both
        return None
    return align(_stretches(db), spool.names, spool.rows, names)


def _stands(db: sqlite3.Connection, spool: Spool, aligned: Aligned | None) -> bool:
    """Whether every settled row still stands where it stood (the table is the same, or was appended to)."""
    if aligned is not None:
        return all(segment.old == segment.new for segment in aligned.segments) and all(
            position < 0 for position in aligned.aside.values()
        )
    if db.execute("SELECT 1 FROM ledger WHERE position < 0 LIMIT 1").fetchone():
        return False
    return all(spool.names(first, len(block) // WIDTH) == block for first, block in _stretches(db))


def _stretches(db: sqlite3.Connection) -> Iterator[tuple[int, bytes]]:
    """First position and joined identities of settled rows that follow each other."""
    here = "FROM ledger WHERE position BETWEEN ? AND ?"
    first, last = db.execute("SELECT min(position), max(position) FROM ledger WHERE position > 0").fetchone()
    for start in range(first or 1, (last or 0) + 1, _CHUNK):
        block = (start, min(start + _CHUNK - 1, last))
        (rows,) = db.execute(f"SELECT count(*) {here}", block).fetchone()
        if rows == block[1] - start + 1:
            names = db.execute(f"SELECT coalesce(key, fingerprint) {here} ORDER BY position", block)
            yield start, b"".join(map(itemgetter(0), names.fetchall()))
        elif rows:
            yield from db.execute(
                f"SELECT position, coalesce(key, fingerprint) {here} ORDER BY position", block
            ).fetchall()


def _other_content(db: sqlite3.Connection, spool: Spool) -> Iterator[tuple[int]]:
    """Positions of settled rows whose key is the same and whose content is not."""
    contents = spool.contents()
    at = 0
    for position, fingerprint in db.execute(
        "SELECT position, fingerprint FROM ledger WHERE position > 0 ORDER BY position"
    ):
        if next(islice(contents, position - at - 1, None)) != fingerprint:
            yield (position,)
        at = position


def _move(db: sqlite3.Connection, spool: Spool, aligned: Aligned | None, folder: Path) -> Moved:
    return move(db, _with_lost(db, aligned) if aligned else _joined(db, spool, folder))


def move(db: sqlite3.Connection, moves: Iterable[Segment]) -> Moved:
    """Move the ledger's lines to where their rows stand now; every line is in one of the segments."""
    db.execute("CREATE TEMP TABLE move(new INTEGER PRIMARY KEY, old INTEGER NOT NULL, length INTEGER NOT NULL)")
    db.executemany("INSERT INTO move(old, length, new) VALUES (?, ?, ?)", moves)
    try:
        stands = db.execute("SELECT 1 FROM move WHERE old != new LIMIT 1").fetchone() is None
        return Moved(0, 0, 0) if stands else _apply(db)
    finally:
        db.execute("DROP TABLE move")


def _with_lost(db: sqlite3.Connection, aligned: Aligned) -> Iterator[Segment]:
    """The segments, and for each row that is nowhere a negative position: its own, or a fresh one."""
    yield from aligned.segments
    lowest = lowest_position(db)
    for old in aligned.aside.values():
        new = old if old < 0 else (lowest := lowest - 1)
        yield Segment(old, 1, new)


def lowest_position(db: sqlite3.Connection) -> int:
    """The lowest position of a line, at most 0."""
    return db.execute("SELECT min(0, min(position)) FROM ledger").fetchone()[0] or 0


def _joined(db: sqlite3.Connection, spool: Spool, folder: Path) -> Iterator[Segment]:
    """The general way: deal old and new rows into buckets by their identity, and join bucket by bucket."""
    with Partition(folder) as then, Partition(folder) as now:
        now.add(zip(spool.identities(), count(1), strict=False))
        then.add(db.execute("SELECT coalesce(key, fingerprint), position FROM ledger ORDER BY position"))
        lowest = lowest_position(db)
        for new_bucket, old_bucket in zip(now.buckets(), then.buckets(), strict=True):
            place = dict(new_bucket)
            for identity, old in old_bucket:
                new = place.pop(identity, None)  # once: a table changed under a run may have left two lines of one row
                if new is None:
                    new = old if old < 0 else (lowest := lowest - 1)
                yield Segment(old, 1, new)


def _apply(db: sqlite3.Connection) -> Moved:
    """Write the ledger anew, in the table's order; results and errors stay where they are."""
    now = "l.position - m.old + m.new"
    (ledger,) = db.execute("SELECT sql FROM sqlite_master WHERE name = 'ledger'").fetchone()
    names = [column[1] for column in db.execute("PRAGMA table_info(ledger)")]
    rest = ", ".join(name for name in names if name not in ("position", "crc"))
    # A new table in the new order: updated one by one, lines would run into positions that others still have.
    db.execute(f"CREATE TABLE moved{ledger[ledger.index('(') :]}")
    db.execute(
        f"INSERT INTO moved(position, {rest}, crc) "
        f"SELECT {now}, {rest}, {seal.sql_moved('l.crc', 'l.position', now)} FROM move m CROSS JOIN ledger l "
        "ON l.position BETWEEN m.old AND m.old + m.length - 1 ORDER BY m.new"
    )
    _move_failures(db)
    db.execute("DROP TABLE ledger")
    db.execute("ALTER TABLE moved RENAME TO ledger")
    tests = ("new != old AND new > 0 AND old > 0", "new < 0 AND old > 0", "new > 0 AND old < 0")
    rows = "SELECT coalesce(sum(length), 0) FROM move WHERE "
    return Moved(*(db.execute(rows + test).fetchone()[0] for test in tests))


def _move_failures(db: sqlite3.Connection) -> None:
    """Failed attempts follow their row, by way of positions that no row has."""
    if db.execute("SELECT 1 FROM failure LIMIT 1").fetchone() is None:
        return
    db.execute("CREATE INDEX temp.move_old ON move(old, new)")
    shift = "SELECT m.new - m.old FROM move m WHERE m.old <= l.position ORDER BY m.old DESC LIMIT 1"
    db.execute(f"UPDATE failure AS l SET position = position + ({shift}) + {_FAR}")
    db.execute(f"UPDATE failure SET position = position - {_FAR}")
