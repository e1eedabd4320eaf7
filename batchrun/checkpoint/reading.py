"""What a checkpoint says of settled rows: the only room that selects them. Read with `docs/checkpoint-format.md`.

Rows come in blocks, and each block that is read is held against its seal first: nothing that was changed on the disk
is told as a result. One that does not fit raises `Corrupt`, which `explain` makes an error for the user.
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any, NamedTuple

import orjson

from batchrun.core.states import DONE, LEFT, STATE_NAMES

from . import seal
from .records import Failure, Settled, Stretch
from .sheets import BETWEEN, NAME_BYTES, Sheet, is_whole

ROWS_AT_ONCE = 4096
COVERED = "p.position = (SELECT max(position) FROM place WHERE position <= {at}) AND p.position + p.rows > {at}"
"""A condition: `place p` is where row `{at}` stands."""
_PLACES_AT_ONCE = 1024
_BLOCKS_AT_ONCE = 32
_OPEN_BYTES = _TAKEN_BYTES = 16 << 20
_PLACES = "SELECT position, rows, block, nth, crc FROM place WHERE position > ? ORDER BY position LIMIT ?"
_ASKED = "(SELECT value FROM json_each(?))"
_KEPT = f"""
SELECT id, rows, status, attempts, task, run, lane, at, failure, note, names, keys, CAST(seconds AS BLOB),
       CAST(bodies AS BLOB), CAST(raws AS BLOB), CAST(hows AS BLOB), crc
FROM block WHERE id IN {_ASKED}
"""
_FAILURES = f"""
SELECT id, position, attempt, at, seconds, lane, kind, message, type, http_status, traceback, raw
FROM failure WHERE id IN {_ASKED}
"""
_STANDS = "place p JOIN block b ON b.id = p.block"
_FIRST_OF_ALL = -(1 << 62)
_TEXTS, _NUMBERS = frozenset([str, type(None)]), frozenset([int, type(None)])


class Corrupt(sqlite3.DatabaseError):
    """Something is not what was written."""

    def __init__(self, first: int, rows: int, why: str) -> None:
        where = f"row {first:,}" if rows == 1 else f"rows {first:,} to {first + rows - 1:,}"
        super().__init__(f"the record of {where} is corrupt: {why}")


class Placed(NamedTuple):
    """`rows` rows of the table from `position` on are those of `block` from its `nth` on. Negative: they are gone."""

    position: int
    rows: int
    block: int
    nth: int


class Kept(NamedTuple):
    """A block as it is stored, columns as in `Sheet`. `failed`: the number of its rows' failure."""

    number: int
    rows: int
    status: int
    attempts: int
    task: int
    run: int
    lane: int | None
    at: float | None
    failed: int | None
    note: str | None
    names: bytes
    keys: bytes | None
    seconds: bytes
    bodies: bytes | None
    raws: bytes | None
    hows: bytes | None
    crc: int


@dataclass(slots=True)
class Opened:
    """A block that is whole, taken apart; columns are None where no row has anything.

    `kept`: without these columns. `fresh`: rows that were not read so far. `size`: about how much memory it takes.
    """

    kept: Kept
    failure: Failure | None
    bodies: list[bytes] | None
    hows: list[str | None] | None
    raws: list[str | None] | None
    fresh: int
    size: int

    def how(self, nth: int) -> str | None:
        """How a row's result was found."""
        if self.hows:
            return self.hows[nth]
        return "value" if self.bodies else None

    def raw(self, nth: int) -> str | None:
        """A row's reply as it came."""
        if self.raws and self.raws[nth] is not None:
            return self.raws[nth]
        return self.failure.raw if self.failure else None


class Taken(NamedTuple):
    """Some rows of the table, column by column."""

    states: list[int]
    bodies: list[bytes | None]
    hows: list[str | None]
    raws: list[str | None]
    notes: list[str | None]
    failures: list[Failure | None]


def wrong_with(kept: Kept, failure: Failure | None) -> str | None:
    """Why a block is not what was written; None if it is. `failure`: the one that it names, if there is one."""
    if kept.failed is not None and failure is None:
        return "its result or error is missing"
    try:
        crc = kept.crc ^ seal.of_common(*kept[:8], kept.note, failure)
        sheet = Sheet(*kept[10:16], crc)
        whole = is_whole(sheet) and len(kept.names) == NAME_BYTES * kept.rows
    except (TypeError, AttributeError, ValueError):  # a flipped bit can change a value's type
        whole = False
    if not whole:
        return "its checksum does not match what is stored"
    if not 0 < kept.status < len(STATE_NAMES):
        return f"row state {kept.status} is unknown"
    return None


def places(db: sqlite3.Connection, after: int = 0) -> Iterator[Placed]:
    """Where rows stand, in order, from the first one after row `after`. The table may be written to between two."""
    while found := db.execute(_PLACES, (after, _PLACES_AT_ONCE)).fetchall():
        for position, rows, block, nth, crc in found:
            if not seal.fits_place(crc, position, rows, block, nth):
                raise Corrupt(position, 1, "the checksum of its place does not match")
            if rows < 1 or position <= after:
                raise Corrupt(position, 1, "its place overlaps another one")
            yield Placed(position, rows, block, nth)
            after = position + rows - 1


def all_places(db: sqlite3.Connection) -> Iterator[Placed]:
    """The same with the rows that are gone, which come first."""
    return places(db, _FIRST_OF_ALL)


def blocks_at(db: sqlite3.Connection, numbers: Iterable[int]) -> list[tuple[Kept, Failure | None]]:
    """These blocks as they are stored, each with its rows' failure."""
    found = list(map(Kept._make, db.execute(_KEPT, (orjson.dumps(list(numbers)).decode(),))))
    failed = [kept.failed for kept in found if isinstance(kept.failed, int)]
    failures: dict[int, Failure] = {}
    if failed:
        asked = (orjson.dumps(failed).decode(),)
        failures = {number: Failure(*told) for number, *told in db.execute(_FAILURES, asked)}
    return [(kept, failures.get(kept.failed) if kept.failed is not None else None) for kept in found]


class OpenBlocks:
    """Blocks by their numbers; those of which not all rows were read lately stay open."""

    def __init__(self, db: sqlite3.Connection, *, raws: bool = False) -> None:
        self._db = db
        self._raws = raws
        self._open: OrderedDict[int, Opened] = OrderedDict()
        self._size = 0

    def open(self, wanted: Sequence[Placed]) -> dict[int, Opened]:
        """The blocks of these places. Raises `Corrupt`."""
        by_number = {place.block: place for place in wanted}
        missing = [number for number in by_number if number not in self._open]
        for start in range(0, len(missing), _BLOCKS_AT_ONCE):
            for kept, failure in blocks_at(self._db, missing[start : start + _BLOCKS_AT_ONCE]):
                place = by_number[kept.number]
                if why := wrong_with(kept, failure):
                    raise Corrupt(place.position, place.rows, why)
                self._open[kept.number] = one = _opened(kept, failure, place, raws=self._raws)
                self._size += one.size
        found = {}
        for place in wanted:
            block = self._open.get(place.block)
            if block is None or not 0 <= place.nth <= block.kept.rows - place.rows:
                raise Corrupt(place.position, place.rows, "its result or error is missing")
            found[place.block] = block
        self._close(wanted, found)
        return found

    def _close(self, wanted: Sequence[Placed], found: dict[int, Opened]) -> None:
        for place in wanted:
            found[place.block].fresh -= place.rows
        done = [number for number, block in found.items() if block.fresh <= 0]
        for number in done:
            self._size -= self._open.pop(number).size
        while self._size > _OPEN_BYTES and self._open:
            self._size -= self._open.popitem(last=False)[1].size


def _opened(kept: Kept, failure: Failure | None, place: Placed, *, raws: bool) -> Opened:
    bodies = None if kept.bodies is None else [kept.bodies[1:-1]]
    if bodies is not None and kept.rows > 1:
        bodies = bodies[0].split(BETWEEN)
    hows = None if kept.hows is None else orjson.loads(kept.hows)
    replies = None if kept.raws is None or not raws else orjson.loads(kept.raws)
    if any(column is not None and len(column) != kept.rows for column in (bodies, hows, replies)):
        raise Corrupt(place.position, place.rows, "it does not have as many results as rows")
    if not all(column is None or _TEXTS.issuperset(map(type, column)) for column in (hows, replies)):
        raise Corrupt(place.position, place.rows, "a reply is not text")
    size = 128 * kept.rows + len(kept.bodies or b"") + len(kept.raws or b"")
    kept = kept._replace(bodies=None, hows=None, raws=None)
    return Opened(kept, failure, bodies, hows, replies, kept.rows, size)


class RowReader:
    """The table's rows in order, some at a time, settled or not. `raws`: with the replies as they came."""

    def __init__(self, db: sqlite3.Connection, *, raws: bool = False) -> None:
        self._places = places(db)
        self._next = next(self._places, None)
        self._blocks = OpenBlocks(db, raws=raws)
        self._places_at_once = _BLOCKS_AT_ONCE

    @property
    def beyond(self) -> int | None:
        """The next settled row, if there is one."""
        return self._next.position if self._next else None

    def take(self, first: int, last: int) -> Taken:
        """Rows from `first` to `last`, or fewer if their results are large; `first` comes right behind the rows that
        were taken before.
        """
        taken, size = Taken([], [], [], [], [], []), 0
        while size < _TAKEN_BYTES and (here := self._until(last)):
            opened = self._blocks.open(here)
            sizes = [opened[number].size * rows // opened[number].kept.rows for _, rows, number, _ in here]
            for position, rows, number, nth in here:
                _leave(taken, position - first - len(taken.states))
                _add(taken, opened[number], nth, rows)
            size += sum(sizes)
            self._places_at_once = max(1, min(_BLOCKS_AT_ONCE, _TAKEN_BYTES * len(sizes) // (sum(sizes) + 1)))
        if size < _TAKEN_BYTES:
            _leave(taken, last + 1 - first - len(taken.states))
        return taken

    def _until(self, last: int) -> list[Placed]:
        """The next places up to row `last`, as many as are opened at once."""
        found: list[Placed] = []
        while self._next and self._next.position <= last and len(found) < self._places_at_once:
            position, rows, block, nth = self._next
            here = last + 1 - position
            if rows > here:
                found.append(Placed(position, here, block, nth))
                self._next = Placed(last + 1, rows - here, block, nth + here)
                break
            found.append(self._next)
            self._next = next(self._places, None)
        return found


def _leave(taken: Taken, rows: int) -> None:
    """Rows that are left."""
    if rows:
        taken.states.extend([LEFT] * rows)
        for column in taken[1:]:
            column.extend([None] * rows)


def _add(taken: Taken, block: Opened, nth: int, rows: int) -> None:
    end, nothing = nth + rows, [None] * rows
    taken.states.extend([block.kept.status] * rows)
    taken.bodies.extend(block.bodies[nth:end] if block.bodies else nothing)
    taken.hows.extend(block.hows[nth:end] if block.hows else ["value" if block.bodies else None] * rows)
    if block.failure:
        taken.raws.append(block.raw(nth))
    else:
        taken.raws.extend(block.raws[nth:end] if block.raws else nothing)
    taken.notes.extend([block.kept.note] * rows)
    taken.failures.extend([block.failure] * rows)


def all_bodies(db: sqlite3.Connection) -> Iterator[tuple[list[int], list[bytes]]]:
    """Numbers and results of the rows that have one, in order, some at a time."""
    reader = RowReader(db)
    while (first := reader.beyond) is not None:
        found = reader.take(first, first + ROWS_AT_ONCE - 1).bodies
        has = [body is not None for body in found]
        if any(has):
            yield list(compress(range(first, first + len(found)), has)), [body for body in found if body is not None]


def each_row(db: sqlite3.Connection) -> Iterator[Settled]:
    """Each settled row of the table, in order; the checkpoint may be written to between two. A failure's reply counts
    as the row's.
    """
    blocks = OpenBlocks(db, raws=True)
    for place in places(db):
        block = blocks.open([place])[place.block]
        seconds = _micros(block, place)
        for nth in range(place.nth, place.nth + place.rows):
            yield _row(block, nth, place.position + nth - place.nth, seconds[nth])


def row_at(db: sqlite3.Connection, position: int) -> Settled | None:
    """All that is kept of a settled row; None if it is left."""
    place = next(places(db, _before(db, position)), None)
    if place is None or not place.position <= position < place.position + place.rows:
        return None
    block = OpenBlocks(db, raws=True).open([place])[place.block]
    nth = place.nth + position - place.position
    return _row(block, nth, position, _micros(block, place)[nth])


def _micros(block: Opened, place: Placed) -> list[int | None]:
    """The microseconds of each row's last attempt. Raises `Corrupt`."""
    found: list[int | None] = orjson.loads(block.kept.seconds)
    if len(found) != block.kept.rows or not _NUMBERS.issuperset(map(type, found)):
        raise Corrupt(place.position, place.rows, "how long it took is not a number")
    return found


def _row(block: Opened, nth: int, position: int, micros: int | None) -> Settled:
    kept, here = block.kept, slice(NAME_BYTES * nth, NAME_BYTES * (nth + 1))
    return Settled(
        position, kept.names[here], kept.keys[here] if kept.keys else None, kept.status, kept.attempts, kept.task,
        None if micros is None else micros / 1e6, block.bodies[nth] if block.bodies else None, block.raw(nth),
        block.how(nth), kept.note, block.failure, kept.at, kept.lane,
    )  # fmt: skip


def _before(db: sqlite3.Connection, position: int) -> int:
    """The row before the place that a row may stand in."""
    sql = "SELECT max(position) FROM place WHERE position <= ?"
    found = db.execute(sql, (position,)).fetchone()[0]
    return position - 1 if found is None else int(found) - 1


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
            if len(known) >= _PLACES_AT_ONCE:
                known.clear()
            found = db.execute(f"SELECT {column} FROM block WHERE id = ?", (place.block,)).fetchone()
            known[place.block] = found[0] if found and isinstance(found[0], bytes) else b""
        here = known[place.block][NAME_BYTES * place.nth : NAME_BYTES * (place.nth + place.rows)]
        if len(here) != NAME_BYTES * place.rows:
            raise Corrupt(place.position, place.rows, "its names are missing")
        if place.position == first + len(joined) // NAME_BYTES and len(joined) < NAME_BYTES * ROWS_AT_ONCE:
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
            if len(alike) >= _PLACES_AT_ONCE:
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


def failed_rows(db: sqlite3.Connection) -> Iterator[tuple[int, str, str, str | None]]:
    """Position, kind, message and traceback of each row of the table that has failed, in order."""
    return db.execute(
        f"""SELECT p.position, f.kind, f.message, f.traceback FROM {_STANDS} JOIN failure f ON f.id = b.failure
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
    sql = f"""WITH asked AS {_ASKED}
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
