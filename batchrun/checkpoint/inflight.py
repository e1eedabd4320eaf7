"""Who is running where: a memory-mapped file with one cell per slot.

A worker writes its row into its cell when the row starts and clears it when the reply is in the pipe. The
coordinator reads cells to know since when a row has been running and, after a death, which row was to blame.
The file outlives both: the next run reads in it which rows were in flight when the coordinator died, and which had
started not long before (see `rings`).

A cell is 64 bytes: monotonic start time in seconds (double), attempt (int64), the row's fingerprint (16 bytes), row
(int64, 0 = none; written last, so that a row is never seen with another's start; negative once it has let no other
start). Three more fields are a lane's, and kept in its first cell: `recall` (int64; rows of batches up to this number
that have not started must not start any more), and of a lane with an event loop the row that has the interpreter right
now: since when (double), row (int64, 0 = none, negative if the process has other threads, too). `recall` is the
coordinator's, the others are the worker's, who writes them through `cell`. Behind each cell lies its ring.

One byte in the header is everybody's: while it is set (`halted`) no row starts, see docs/decisions/0019. Behind it is
the coordinator's sign of life (see `life_sign`).

What the other side may be reading is written as whole words, through a memoryview: `struct` writes zeros first, then
byte after byte, and who looks in between misses a row that runs, or takes a recall for undone.
"""

import errno
import mmap
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

from batchrun.core.ownership import open_own, read_own

from .cell import HALT_AT, RECALL, ROW, Cell, full_barrier
from .life_sign import SIZE, LifeSign, sign_gone
from .rings import Ring, Start, room_for, size_of, starts_in

MAGIC = b"batchrun inflight 3\n"
_SIGN_AT = 64
HEADER_SIZE = _SIGN_AT + SIZE
_HEADERS = {MAGIC: HEADER_SIZE, b"batchrun inflight 2\n": 64}
"""What runs of this version and of earlier ones may have left."""
CELL_SIZE = 64
_ROOM = struct.Struct("=q")
_ROOM_AT = 32
_CELL = struct.Struct("=dq16sq")
_HOLDER = struct.Struct("=dq")
_HOLDER_AT = 48
# In words of 8 bytes, from the start of a cell.
_SINCE, _HOLDS = 6, 7


class Running(NamedTuple):
    """A row that has started: monotonic seconds when it did, attempt, fingerprint, number."""

    started: float
    attempt: int
    fingerprint: bytes
    position: int


class Holder(NamedTuple):
    """The row whose coroutine has the interpreter, and since when (monotonic seconds).

    `threads`: the process has other threads, too: what happens may be the doing of any row.
    """

    since: float
    position: int
    threads: bool = False


class Remains(NamedTuple):
    """What the file of a run that died tells.

    `running`: the rows in flight, in the table's order. `started`: for each cell, the rows that started last, oldest
    first, and whether there may have been others before them.
    """

    running: list[Running]
    started: list[tuple[list[Start], bool]]

    def rows(self) -> set[int]:
        """The numbers of all of them."""
        return {row.position for row in self.running} | {start[0] for ring, _ in self.started for start in ring}


class InFlight:
    """The mapped file, made anew by the coordinator with so many `cells`, or (None) a worker's look at it. A context
    manager.

    `rings`: whether it is to remember which rows have started (see `rings`).
    """

    def __init__(self, path: Path, cells: int | None = None, *, rings: bool = True) -> None:
        self.path = path
        if cells is not None:
            # A new file, not the old one emptied: a worker that has still to die may have that one mapped.
            path.unlink(missing_ok=True)
        flags = os.O_RDWR | (0 if cells is None else os.O_CREAT | os.O_EXCL)
        fd = open_own(path, flags)
        self._sign: LifeSign | None = None
        try:
            if cells is not None:
                _make(fd, path, cells, room_for(cells) if rings else 0)
                self._sign = LifeSign(fd, _SIGN_AT)
            self._map = mmap.mmap(fd, 0)
        finally:
            os.close(fd)
        self._words, self._times = _views(self._map)
        self._room = int(_ROOM.unpack_from(self._map, _ROOM_AT)[0])
        self._stride = CELL_SIZE + size_of(self._room)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._sign:
            self._sign.end()
        self._words.release()
        self._times.release()
        self._map.close()

    def grow(self, cells: int) -> None:
        """Have at least so many cells. Workers that run already keep those they know."""
        # The file before the map, and real bytes: a map beyond what the disk can hold kills whoever writes to it.
        size = HEADER_SIZE + cells * self._stride
        more = size - len(self._map)
        if more > 0:
            with os.fdopen(open_own(self.path, os.O_WRONLY | os.O_APPEND), "ab") as file:
                file.write(bytes(more))
            self._words.release()
            self._times.release()
            try:
                self._map.resize(size)
            finally:
                self._words, self._times = _views(self._map)

    def cell(self, number: int, lane: int, gone: Callable[[], object] = bool) -> Cell:
        """A hand on a cell of the lane whose first cell is `lane`. `gone`: true once the coordinator is, for where this
        file does not tell.
        """
        at, lane_at = HEADER_SIZE + number * self._stride, HEADER_SIZE + lane * self._stride
        ring = Ring(self._words, (at + CELL_SIZE) // 8, self._room) if self._room else None
        return Cell(self._map, self._words, at, lane_at, ring, sign_gone(self._map, _SIGN_AT) or gone)

    def clear(self, cell: int) -> None:
        """Nothing runs in this cell any more."""
        self._words[self._word(cell, ROW)] = 0

    def running(self, cell: int) -> Running | None:
        """What runs in this cell now, if anything."""
        return _running(self._map, HEADER_SIZE + cell * self._stride)

    @property
    def halted(self) -> bool:
        """Whether no row may start, in any lane."""
        return self._map[HALT_AT] != 0

    def halt(self) -> None:
        """Let no row start, in any lane, from now on: until `resume`."""
        self._map[HALT_AT] = 1
        full_barrier()

    def resume(self) -> None:
        """Rows may start again."""
        self._map[HALT_AT] = 0
        full_barrier()

    def halting(self, cell: int) -> bool:
        """Whether the row in this cell has let no other start, and its reply is not in the pipe yet."""
        return self._words[self._word(cell, ROW)] < 0

    def recall(self, cell: int, batch: int) -> None:
        """Rows of batches up to `batch` that have not started in this cell must not start any more."""
        self._words[self._word(cell, RECALL)] = batch

    def hold(self, cell: int, position: int, since: float, *, threads: bool) -> None:
        """The row's coroutine is about to get the interpreter; `cell` is the first of its lane."""
        self._times[self._word(cell, _SINCE)] = since
        self._words[self._word(cell, _HOLDS)] = -position if threads else position

    def let_go(self, cell: int) -> None:
        """The event loop has the interpreter again."""
        # The time stays: `held_at` tells by it whether the loop still turns.
        self._words[self._word(cell, _HOLDS)] = 0

    def holder(self, cell: int) -> Holder | None:
        """The row that has the interpreter in the lane whose first cell this is, if one has."""
        since, position = _at_one_moment(_HOLDER, self._map, HEADER_SIZE + cell * self._stride + _HOLDER_AT)
        return Holder(since, abs(position), position < 0) if position else None

    def held_at(self, cell: int) -> float:
        """When a row last got the interpreter in the lane whose first cell this is (monotonic seconds)."""
        return self._times[self._word(cell, _SINCE)]

    def _word(self, cell: int, field: int) -> int:
        """Where the field of the cell is, in words."""
        return (HEADER_SIZE + cell * self._stride) // 8 + field


def _views(file: mmap.mmap) -> tuple["memoryview[int]", "memoryview[float]"]:
    """The file as whole numbers and as times: what is written through these is seen entirely, or not at all."""
    return memoryview(file).cast("q"), memoryview(file).cast("d")


def _make(fd: int, path: Path, cells: int, room: int) -> None:
    """Real blocks, not a hole: a full disk must be an error here, not a SIGBUS at a row's start."""
    header = MAGIC.ljust(_ROOM_AT, b"\0") + _ROOM.pack(room)
    size = HEADER_SIZE + cells * (CELL_SIZE + size_of(room))
    if os.write(fd, header.ljust(size, b"\0")) < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def forget(path: Path) -> None:
    """Put an empty file in place of one that has nothing more to tell."""
    with suppress(OSError):  # if it stays, all that it tells is in the checkpoint
        path.unlink()  # not truncated: a worker that has still to die may have it mapped
        path.touch(0o600)


def left_behind(path: Path) -> Remains:
    """What the last run has left, if it died. A file that is missing, empty or not ours says nothing."""
    try:
        data = read_own(path)
    except OSError:
        data = b""
    header = next((size for magic, size in _HEADERS.items() if data.startswith(magic)), 0)
    if not header or len(data) < header:
        return Remains([], [])
    cells = list(_cells(data, header))
    found = [running for cell in cells if (running := _running(cell, 0))]
    return Remains(sorted(found, key=lambda running: running.position), [starts_in(cell[CELL_SIZE:]) for cell in cells])


def _cells(data: bytes, header: int) -> Iterator[bytes]:
    """Each cell, with its ring behind it."""
    room = max(0, int(_ROOM.unpack_from(data, _ROOM_AT)[0]))
    stride = CELL_SIZE + size_of(room)
    for at in range(header, len(data) - stride + 1, stride):
        yield data[at : at + stride]


def _running(cells: mmap.mmap | bytes, at: int) -> Running | None:
    """What is in the cell at this place."""
    started, attempt, fingerprint, position = _at_one_moment(_CELL, cells, at)
    return Running(started, attempt, fingerprint, abs(position)) if position else None


def _at_one_moment(form: struct.Struct, cells: mmap.mmap | bytes, at: int) -> tuple[Any, ...]:
    """The fields at this place, which end with a row, as they all were at one moment.

    Nobody waits here for the worker that writes them: a row read after it has replaced the one before would come with
    the other's start, and be ended for the time that was not its own. So they are read until they stay the same.
    """
    end = at + form.size
    seen = cells[at:end]
    while (again := cells[at:end]) != seen:
        seen = again
    return form.unpack(seen)
