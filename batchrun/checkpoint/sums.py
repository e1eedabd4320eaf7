"""What settled rows and failed attempts come to, over runs and over time: the figures of the report, made by SQLite.

Only rows that are in the table now count, and of each its last settling; of failed attempts all that were kept. The
rows of a block have ended at one time (see `sheets`). Whoever asks reads within one snapshot.
"""

import sqlite3
from collections.abc import Iterator
from typing import Any

from .reading import COVERED
from .stored_blocks import Corrupt, blocks_at, places, wrong_with

_AT_ONCE = 64
_STANDS = "place p JOIN block b ON b.id = p.block"
_EACH = f"{_STANDS} JOIN json_each(b.seconds) e"
_HERE = "p.position > 0 AND e.key >= p.nth AND e.key < p.nth + p.rows"
# The last attempt of a row is in its block; those before it, and those of rows that are left, are failures.
_ATTEMPTS = f"""
(SELECT b.at AS at, coalesce(e.value, 0) / 1e6 AS seconds FROM {_EACH} WHERE {_HERE} AND b.at IS NOT NULL
 UNION ALL
 SELECT f.at, coalesce(f.seconds, 0) FROM failure f
   LEFT JOIN place p ON {COVERED.format(at="f.position")} LEFT JOIN block b ON b.id = p.block
 WHERE f.position > 0 AND (b.id IS NULL OR f.attempt < b.attempts))
"""
_STEPS = "CAST(({moment} - :origin) / :width AS INTEGER)"


def check_all(db: sqlite3.Connection) -> None:
    """Raise `Corrupt` unless each block that the table's rows are in is what was written: SQLite looks at no seal."""
    found = {place.block: place for place in places(db)}
    numbers = list(found)
    for start in range(0, len(numbers), _AT_ONCE):
        some = numbers[start : start + _AT_ONCE]
        known = {kept.number: wrong_with(kept, failure) for kept, failure in blocks_at(db, some)}
        for number in some:
            if why := known.get(number, "its result or error is missing"):
                raise Corrupt(found[number].position, found[number].rows, why)


def all_runs(db: sqlite3.Connection) -> list[tuple[Any, ...]]:
    """Of each run: number, started, ended, exit, versions, options, counts; cost and tokens of four kinds."""
    return db.execute(
        """SELECT r.id, r.started, r.ended, r.exit, r.versions, r.options, r.counts,
                  s.cost, s.prompt, s.completion, s.cached, s.reasoning
           FROM run r LEFT JOIN spent s ON s.run = r.id ORDER BY r.id"""
    ).fetchall()


def settled_by_run(db: sqlite3.Connection) -> dict[int, tuple[int, float | None]]:
    """Of each run: how many rows it has settled, and when the last of them ended."""
    sql = f"SELECT b.run, sum(p.rows), max(b.at) FROM {_STANDS} WHERE p.position > 0 GROUP BY 1"
    return {run: (rows, last) for run, rows, last in db.execute(sql)}


def failed_by_run(db: sqlite3.Connection) -> dict[int, tuple[int, float | None]]:
    """Of each run: how many of its attempts have failed, and when the last of them ended."""
    sql = "SELECT run, count(*), max(at) FROM failure WHERE position > 0 GROUP BY run"
    return {run: (attempts, last) for run, attempts, last in db.execute(sql)}


def attempts(db: sqlite3.Connection) -> tuple[int, int]:
    """Attempts made at settled rows, and rows of which nobody knows when they ended."""
    sql = f"""SELECT coalesce(sum(b.attempts * p.rows), 0), coalesce(sum(CASE WHEN b.at IS NULL THEN p.rows END), 0)
              FROM {_STANDS} WHERE p.position > 0"""
    found: tuple[int, int] = db.execute(sql).fetchone()
    return found


def moments(db: sqlite3.Connection, moment: str, origin: float, width: float) -> Iterator[tuple[int, int, float]]:
    """Steps of `width` from `origin`, attempts whose `moment` (`begin`, `end`) is in them, the sum of their moments."""
    when = {"begin": "(at - seconds)", "end": "(at)"}[moment]
    sql = f"SELECT {_STEPS.format(moment=when)}, count(*), sum({when} - :origin) FROM {_ATTEMPTS} GROUP BY 1"
    return db.execute(sql, {"origin": origin, "width": width})


def settled_over_time(db: sqlite3.Connection, origin: float, width: float) -> Iterator[tuple[int, int, int]]:
    """Steps, a state, how many rows have come to it there."""
    sql = f"""SELECT {_STEPS.format(moment="b.at")}, b.status, sum(p.rows) FROM {_STANDS}
              WHERE p.position > 0 AND b.at IS NOT NULL GROUP BY 1, 2"""
    return db.execute(sql, {"origin": origin, "width": width})


def failed_over_time(db: sqlite3.Connection, origin: float, width: float) -> Iterator[tuple[int, str, int]]:
    """Steps, a kind of failure, how many attempts have ended in it there."""
    sql = f"SELECT {_STEPS.format(moment='at')}, kind, count(*) FROM failure WHERE position > 0 GROUP BY 1, 2"
    return db.execute(sql, {"origin": origin, "width": width})


def seconds_taken(db: sqlite3.Connection) -> tuple[int, float, float, Iterator[float]]:
    """Rows whose seconds are known, the shortest and the longest; and all of them in order."""
    took = f"FROM {_EACH} WHERE {_HERE} AND e.value IS NOT NULL"
    sql = f"SELECT count(*), coalesce(min(e.value), 0) / 1e6, coalesce(max(e.value), 0) / 1e6 {took}"
    rows, shortest, longest = db.execute(sql).fetchone()
    return rows, shortest, longest, (row[0] for row in db.execute(f"SELECT e.value / 1e6 {took} ORDER BY e.value"))


def slowest(db: sqlite3.Connection, rows: int) -> Iterator[tuple[Any, ...]]:
    """Number, seconds, state, attempts, end and lane of so many rows."""
    number = "p.position - p.nth + e.key"
    return db.execute(
        f"""SELECT {number}, e.value / 1e6, b.status, b.attempts, b.at, b.lane FROM {_EACH}
            WHERE {_HERE} AND e.value IS NOT NULL ORDER BY e.value DESC, {number} LIMIT ?""",
        (rows,),
    )
