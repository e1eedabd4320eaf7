"""Blocks of settled rows as they are stored, and the places of the table that they stand in.

Each block that is read is held against its seal first: nothing that was changed on the disk is told as a result. What
does not fit raises `Corrupt`, which `explain` makes an error for the user. Read with `docs/checkpoint-format.md`.
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from batchrun.core.states import STATE_NAMES

from . import seal
from .records import Failure
from .sheets import BETWEEN, NAME_BYTES, Sheet, is_whole

BLOCKS_AT_ONCE = 32
PLACES_AT_ONCE = 1024
ASKED = "(SELECT value FROM json_each(?))"
"""A condition's values, given as a JSON array."""
_OPEN_BYTES = 8 << 20
_PLACES = "SELECT position, rows, block, nth, crc FROM place WHERE position > ? ORDER BY position LIMIT ?"
_KEPT = f"""
SELECT id, rows, status, attempts, task, run, lane, at, failure, note, names, keys, CAST(seconds AS BLOB),
       CAST(bodies AS BLOB), CAST(raws AS BLOB), CAST(hows AS BLOB), crc
FROM block WHERE id IN {ASKED}
"""
_FAILURES = f"""
SELECT id, position, attempt, at, seconds, lane, kind, message, type, http_status, traceback, raw
FROM failure WHERE id IN {ASKED}
"""
_FIRST_OF_ALL = -(1 << 62)
_TEXTS = frozenset([str, type(None)])


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
    while found := db.execute(_PLACES, (after, PLACES_AT_ONCE)).fetchall():
        all_fit = seal.fits_places(found)
        for position, rows, block, nth, crc in found:
            if not all_fit and not seal.fits_place(crc, position, rows, block, nth):
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
        for start in range(0, len(missing), BLOCKS_AT_ONCE):
            for kept, failure in blocks_at(self._db, missing[start : start + BLOCKS_AT_ONCE]):
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
