"""Settled rows one by one, or column by column: read from their blocks, in the order of the table."""

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import compress
from typing import NamedTuple

import orjson

from batchrun.core.states import LEFT

from .records import Failure, Settled
from .sheets import NAME_BYTES
from .stored_blocks import BLOCKS_AT_ONCE, Corrupt, OpenBlocks, Opened, Placed, places

ROWS_AT_ONCE = 4096
_TAKEN_BYTES = 16 << 20
_NUMBERS = frozenset([int, type(None)])


class Taken(NamedTuple):
    """Some rows of the table, column by column."""

    states: list[int]
    bodies: list[bytes | None]
    hows: list[str | None]
    raws: list[str | None]
    notes: list[str | None]
    failures: list[Failure | None]


class RowReader:
    """The table's rows in order, some at a time, settled or not. `raws`: with the replies as they came."""

    def __init__(self, db: sqlite3.Connection, *, raws: bool = False) -> None:
        self._places = places(db)
        self._next = next(self._places, None)
        self._blocks = OpenBlocks(db, raws=raws)
        self._places_at_once = BLOCKS_AT_ONCE

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
            self._places_at_once = max(1, min(BLOCKS_AT_ONCE, _TAKEN_BYTES * len(sizes) // (sum(sizes) + 1)))
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


def rows_at(db: sqlite3.Connection, positions: Sequence[int]) -> Iterator[Settled]:
    """The same of these rows, rising and not far from each other, as far as they are settled."""
    blocks, found = OpenBlocks(db, raws=True), places(db, _before(db, positions[0]))
    place, opened = next(found, None), False
    for position in positions:
        while place and place.position + place.rows <= position:
            place, opened = next(found, None), False
        if place is None:
            return
        if place.position <= position:
            if not opened:
                block, opened = blocks.open([place])[place.block], True
                seconds = _micros(block, place)
            nth = place.nth + position - place.position
            yield _row(block, nth, position, seconds[nth])


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
