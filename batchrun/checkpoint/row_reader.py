"""Settled rows one by one, or column by column: read from their blocks, in the order of the table."""

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import compress
from typing import Any, NamedTuple

import orjson

from batchrun.core.states import LEFT

from .records import Failure, Settled
from .sheets import NAME_BYTES
from .stored_blocks import BLOCKS_AT_ONCE, Corrupt, OpenBlocks, Opened, Placed, places

ROWS_AT_ONCE = 4096
_TAKEN_BYTES = 16 << 20
_AHEAD_ROWS = 16384
"""So many rows are looked for at once, where each stands somewhere else."""
_LONG_RUN = 64
"""Where so many rows and more follow each other, a block is opened about once in any case."""
_NUMBERS = frozenset([int, type(None)])


class Taken(NamedTuple):
    """Some rows of the table, column by column."""

    states: list[int]
    bodies: list[bytes | None]
    hows: list[str | None]
    raws: list[str | None]
    notes: list[str | None]
    failures: list[Failure | None]


class _Run(NamedTuple):
    """Rows that follow each other in the table, from `position` on: those of `block` that `nths` names, up or down."""

    position: int
    block: int
    nths: range

    @property
    def lowest(self) -> int:
        return min(self.nths[0], self.nths[-1])


class _Part(NamedTuple):
    """What is told of the rows of a run, or of some of them: `nths` of the columns, of which those are None where no
    row has anything. `row_bytes`: about how much memory each takes.
    """

    position: int
    nths: range
    row_bytes: int
    status: int
    note: str | None
    failure: Failure | None
    bodies: list[bytes] | None
    hows: list[str | None] | None
    raws: list[str | None] | None

    def some(self, begin: int, end: int) -> "_Part":
        """The rows from the `begin`-th to before the `end`-th."""
        return self._replace(position=self.position + begin, nths=self.nths[begin:end])


class RowReader:
    """The table's rows in order, some at a time, settled or not. `raws`: with the replies as they came."""

    def __init__(self, db: sqlite3.Connection, *, raws: bool = False) -> None:
        self._parts = _parts(db, OpenBlocks(db, raws=raws))
        self._next = next(self._parts, None)

    @property
    def beyond(self) -> int | None:
        """The next settled row, if there is one."""
        return self._next.position if self._next else None

    def take(self, first: int, last: int) -> Taken:
        """Rows from `first` to `last`, or fewer if their results are large; `first` comes right behind the rows that
        were taken before.
        """
        taken, size = Taken([], [], [], [], [], []), 0
        while size < _TAKEN_BYTES and (part := self._next) and part.position <= last:
            if (here := last + 1 - part.position) < len(part.nths):
                part, self._next = part.some(0, here), part.some(here, len(part.nths))
            else:
                self._next = next(self._parts, None)
            _leave(taken, part.position - first - len(taken.states))
            _add(taken, part)
            size += len(part.nths) * part.row_bytes
        if size < _TAKEN_BYTES:
            _leave(taken, last + 1 - first - len(taken.states))
        return taken


def _parts(db: sqlite3.Connection, blocks: OpenBlocks) -> Iterator[_Part]:
    """All settled rows of the table, in order. Where its rows were moved about, many are looked for at once, so that a
    block need not be opened for each of them.
    """
    runs, at_once = _runs(db), BLOCKS_AT_ONCE
    while some := list(_first(runs, at_once)):
        found: dict[int, _Part] = {}
        by_block = sorted(some, key=lambda run: run.block)
        for start in range(0, len(some), BLOCKS_AT_ONCE):
            here = by_block[start : start + BLOCKS_AT_ONCE]
            opened = blocks.open([Placed(run.position, len(run.nths), run.block, run.lowest) for run in here])
            found |= {run.position: _part(run, opened[run.block]) for run in here}
        rows = sum(len(part.nths) for part in found.values())
        size = sum(len(part.nths) * part.row_bytes for part in found.values())
        most = _AHEAD_ROWS if rows < _LONG_RUN * len(some) else ROWS_AT_ONCE
        at_once = max(1, min(most, 2 * at_once, _TAKEN_BYTES * rows // (size + 1)))
        for run in some:
            yield found.pop(run.position)


def _first(runs: Iterator[_Run], rows: int) -> Iterator[_Run]:
    """Of the runs that are left the first ones, until they have so many rows."""
    for run in runs:
        yield run
        rows -= len(run.nths)
        if rows <= 0:
            return


def _runs(db: sqlite3.Connection) -> Iterator[_Run]:
    """Where rows stand; where they stand the other way round, not each by itself."""
    first, block, nths = 0, 0, range(0)
    for position, rows, number, nth in places(db):
        follows = rows == 1 and number == block and position == first + len(nths) and nth == nths[-1] - 1
        if follows and (nths.step < 0 or len(nths) == 1):
            nths = range(nths[0], nth - 1, -1)
            continue
        if nths:
            yield _Run(first, block, nths)
        first, block, nths = position, number, range(nth, nth + rows)
    if nths:
        yield _Run(first, block, nths)


def _part(run: _Run, block: Opened) -> _Part:
    kept, failure, nths = block.kept, block.failure, run.nths
    bodies, hows, raws = block.bodies, block.hows, [block.raw(0)] if failure else block.raws
    if 2 * len(nths) < kept.rows:  # else some parts would hold on to as many blocks
        bodies, hows, raws = _some(bodies, nths), _some(hows, nths), _some(raws, nths)
        nths = range(len(nths))
    row_bytes = block.size // kept.rows
    return _Part(run.position, nths, row_bytes, kept.status, kept.note, failure, bodies, hows, raws)


def _some(column: list[Any] | None, nths: range) -> list[Any] | None:
    if column is None or nths.step > 0:
        return column and column[nths.start : nths.stop]
    return column[nths[-1] : nths[0] + 1][::-1]


def _leave(taken: Taken, rows: int) -> None:
    """Rows that are left."""
    if rows:
        taken.states.extend([LEFT] * rows)
        for column in taken[1:]:
            column.extend([None] * rows)


def _add(taken: Taken, part: _Part) -> None:
    rows, nothing = len(part.nths), [None] * len(part.nths)
    taken.states.extend([part.status] * rows)
    taken.bodies.extend(_some(part.bodies, part.nths) or nothing)
    taken.hows.extend(_some(part.hows, part.nths) or ["value" if part.bodies else None] * rows)
    taken.raws.extend(_some(part.raws, part.nths) or nothing)
    taken.notes.extend([part.note] * rows)
    taken.failures.extend([part.failure] * rows)


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
