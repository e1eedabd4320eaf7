"""What a checkpoint says of its rows as a whole: how many, where, in which states, under which names.

The rows themselves are read by `row_reader`, their blocks by `stored_blocks`; nothing else selects them.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from batchrun.core.states import DONE, LEFT

from .records import Failure, Stretch
from .sheets import NAME_BYTES
from .stored_blocks import ASKED, PLACES_AT_ONCE, Corrupt, all_places, places

COVERED = "p.position = (SELECT max(position) FROM place WHERE position <= {at}) AND p.position + p.rows > {at}"
"""A condition: `place p` is where row `{at}` stands."""
_NAMES_AT_ONCE = 4096 * NAME_BYTES
_STANDS = "place p JOIN block b ON b.id = p.block"


def joined_names(db: sqlite3.Connection, *, gone: bool = False, contents: bool = False) -> Iterator[tuple[int, bytes]]:
    """First row and joined names of rows that follow each other, in order; with `gone`, of those that are gone.

    `contents`: their fingerprints, even where a key names them.
    """
    known: dict[int, bytes] = {}
    column = "names" if contents else "coalesce(keys, names)"
    first, joined = 0, b""
    for place in all_places(db) if gone else places(db):
        if gone and place.position > 0:
            break
        if place.block not in known:
            if len(known) >= PLACES_AT_ONCE:
                known.clear()
            found = db.execute(f"SELECT {column} FROM block WHERE id = ?", (place.block,)).fetchone()
            known[place.block] = found[0] if found and isinstance(found[0], bytes) else b""
        here = known[place.block][NAME_BYTES * place.nth : NAME_BYTES * (place.nth + place.rows)]
        if len(here) != NAME_BYTES * place.rows:
            raise Corrupt(place.position, place.rows, "its names are missing")
        if place.position == first + len(joined) // NAME_BYTES and len(joined) < _NAMES_AT_ONCE:
            joined += here
        else:
            if joined:
                yield first, joined
            first, joined = place.position, here
    if joined:
        yield first, joined


def names_of(db: sqlite3.Connection, block: int) -> tuple[bytes, bytes]:
    """The joined fingerprints of a block's rows, and what names them."""
    sql = "SELECT names, coalesce(keys, names) FROM block WHERE id = ?"
    found: tuple[bytes, bytes] = db.execute(sql, (block,)).fetchone() or (b"", b"")
    return found


def any_keys(db: sqlite3.Connection) -> bool:
    """Whether any row, in the table or gone, is named by something else than its content."""
    sql = f"SELECT 1 FROM {_STANDS} WHERE b.keys IS NOT NULL LIMIT 1"
    return db.execute(sql).fetchone() is not None


def stretches(db: sqlite3.Connection) -> Iterator[Stretch]:
    """The table's settled rows in order, neighbours that are alike taken together."""
    alike: dict[int, tuple[int, int]] = {}
    last: Stretch | None = None
    for position, rows, block, _ in places(db):
        if block not in alike:
            found = db.execute("SELECT status, task FROM block WHERE id = ?", (block,)).fetchone()
            if found is None:
                raise Corrupt(position, rows, "its result or error is missing")
            if len(alike) >= PLACES_AT_ONCE:
                alike.clear()
            alike[block] = found
        status, task = alike[block]
        if last and (last.last + 1, last.status, last.task) == (position, status, task):
            last = last._replace(last=position + rows - 1)
            continue
        if last:
            yield last
        last = Stretch(position, position + rows - 1, status, task)
    if last:
        yield last


def rows_by_state(db: sqlite3.Connection) -> list[tuple[int, int]]:
    """States, and how many rows of the table have each."""
    sql = f"SELECT b.status, sum(p.rows) FROM {_STANDS} WHERE p.position > 0 GROUP BY 1"
    return db.execute(sql).fetchall()


def gone_rows(db: sqlite3.Connection) -> int:
    """How many rows with a record are no longer in the table."""
    return int(db.execute("SELECT coalesce(sum(rows), 0) FROM place WHERE position < 0").fetchone()[0])


def any_settled(db: sqlite3.Connection, *, here: bool = False) -> bool:
    """Whether anything is settled; `here`: in the table as it is."""
    where = "WHERE position > 0" if here else ""
    return db.execute(f"SELECT 1 FROM place {where} LIMIT 1").fetchone() is not None


def last_position(db: sqlite3.Connection) -> int:
    """The last settled row of the table, or 0."""
    found = db.execute("SELECT position + rows - 1 FROM place ORDER BY position DESC LIMIT 1").fetchone()
    return max(found[0], 0) if found else 0


def first_position(db: sqlite3.Connection) -> int:
    """The position of the first row that is gone, or 0."""
    return db.execute("SELECT min(0, min(position)) FROM place").fetchone()[0] or 0


def changed_rows(db: sqlite3.Connection) -> list[int]:
    """The rows that were settled under other content than they have now."""
    return [row for (row,) in db.execute("SELECT position FROM changed ORDER BY position")]


def replies(db: sqlite3.Connection) -> dict[str, int]:
    """How many rows of the table are done, by how their results were found; the most common first."""
    found: dict[str, int] = {}
    plain = f"FROM {_STANDS} WHERE p.position > 0 AND b.status = {DONE} AND b.bodies IS NOT NULL"
    (values,) = db.execute(f"SELECT sum(p.rows) {plain} AND b.hows IS NULL").fetchone()
    if values:
        found["value"] = values
    for nth, rows, hows in db.execute(f"SELECT p.nth, p.rows, b.hows {plain} AND b.hows IS NOT NULL"):
        for how in orjson.loads(hows)[nth : nth + rows]:
            if how:
                found[how] = found.get(how, 0) + 1
    return dict(sorted(found.items(), key=lambda one: (-one[1], one[0])))


def rows_like(db: sqlite3.Connection, states: Sequence[int], how: str | None) -> Iterator[Sequence[int]]:
    """Rows of the table in these states, in order; with `how`, only those whose results were found that way."""
    asked = f"p.position > 0 AND b.status IN ({', '.join(map(str, states))})"
    hows = "b.hows" if how else "NULL"
    for position, rows, nth, found in db.execute(
        f"SELECT p.position, p.rows, p.nth, {hows} FROM {_STANDS} WHERE {asked} ORDER BY p.position"
    ):
        here = range(position, position + rows)
        if how is None:
            yield here
        elif found is not None:
            yield [row for row, one in zip(here, orjson.loads(found)[nth : nth + rows], strict=True) if one == how]


def failed_rows(db: sqlite3.Connection) -> Iterator[tuple[int, str, str, str | None, str | None]]:
    """Position, kind, message, traceback and type of each row of the table that has failed, in order."""
    return db.execute(
        f"""SELECT p.position, f.kind, f.message, f.traceback, f.type FROM {_STANDS} JOIN failure f ON f.id = b.failure
            WHERE p.position > 0 ORDER BY p.position"""
    )


def attempts_under_way(db: sqlite3.Connection) -> dict[int, int]:
    """Attempts already made at rows that an earlier run left before it settled them."""
    settled = f"SELECT b.attempts FROM {_STANDS} WHERE {COVERED.format(at='f.position')}"
    sql = f"""SELECT f.position, max(f.attempt) FROM failure f WHERE f.position > 0 GROUP BY f.position
              HAVING max(f.attempt) > coalesce(({settled}), 0)"""
    return dict(db.execute(sql).fetchall())


def attempts_made(db: sqlite3.Connection, asked: Sequence[int]) -> dict[int, int]:
    """Of these rows, those with attempts that are written down, whether they have settled the row or not."""
    if not asked:
        return {}
    sql = f"""WITH asked AS {ASKED}
              SELECT position, max(attempt) FROM (
                SELECT a.value AS position, b.attempts AS attempt FROM asked a
                  JOIN place p ON {COVERED.format(at="a.value")} JOIN block b ON b.id = p.block
                UNION ALL SELECT position, attempt FROM failure WHERE position IN asked)
              GROUP BY position"""
    return dict(db.execute(sql, (orjson.dumps(list(asked)).decode(),)).fetchall())


def attempts_and_status(db: sqlite3.Connection, position: int) -> tuple[int, int]:
    """Attempts made at a settled row, and its state."""
    sql = f"SELECT b.attempts, b.status FROM {_STANDS} WHERE {COVERED.format(at=':row')}"
    return db.execute(sql, {"row": position}).fetchone() or (0, LEFT)


def run_of(db: sqlite3.Connection, position: int) -> tuple[Any, ...] | None:
    """Of the run that settled a row: its number, options and counts (both as JSON), cost, and tokens of four kinds."""
    sql = f"""SELECT r.id, r.options, r.counts, s.cost, s.prompt, s.completion, s.cached, s.reasoning
              FROM {_STANDS} JOIN run r ON r.id = b.run LEFT JOIN spent s ON s.run = r.id
              WHERE {COVERED.format(at=":row")}"""
    found: tuple[Any, ...] | None = db.execute(sql, {"row": position}).fetchone()
    return found


def first_run(db: sqlite3.Connection) -> float | None:
    """When the first run began, in seconds since 1970."""
    found: float | None = db.execute("SELECT min(started) FROM run").fetchone()[0]
    return found


def spent_in_all(db: sqlite3.Connection) -> tuple[Any, ...]:
    """Sums over all runs: prompt, completion, cached and reasoning tokens, cost; None where nothing is known."""
    kinds = ("prompt", "completion", "cached", "reasoning", "cost")
    found: tuple[Any, ...] = db.execute(f"SELECT {', '.join(f'sum({kind})' for kind in kinds)} FROM spent").fetchone()
    return found


def failures_of(db: sqlite3.Connection, position: int) -> list[Failure]:
    """The failed attempts at a row, in order."""
    columns = "position, attempt, at, seconds, lane, kind, message, type, http_status, traceback, raw"
    found = db.execute(f"SELECT {columns} FROM failure WHERE position = ? ORDER BY id", (position,))
    return [Failure(*told) for told in found]


def task_version(db: sqlite3.Connection, task: int) -> str:
    """The text of a version of the task."""
    found = db.execute("SELECT version FROM task WHERE id = ?", (task,)).fetchone()
    return str(found[0]) if found else ""


def newest(db: sqlite3.Connection) -> tuple[int, int]:
    """The highest numbers that a block and a failure have."""
    blocks, failures = db.execute("SELECT (SELECT max(id) FROM block), (SELECT max(id) FROM failure)").fetchone()
    return blocks or 0, failures or 0
