"""Who is running where: a memory-mapped file with one cell per slot.

A worker writes its row into its cell when the row starts and clears it when the reply is in the pipe. The
coordinator reads cells to know since when a row has been running and, after a death, which row was to blame.
The file outlives both: the next run reads in it which rows were in flight when the coordinator died.

A cell is 64 bytes: monotonic start time in seconds (double), attempt (int64), the row's fingerprint (16
bytes), row (int64, 0 = none; written last, so that a row is never seen with another's start). Three more
fields are a lane's, and kept in its first cell: `recall` (int64; rows of batches up to this number that have
not started must not start any more), and of a lane with an event loop the row that has the interpreter right
now: since when (double), row (int64, 0 = none, negative if the process has other threads, too). `recall` is the
coordinator's, the others are the worker's.
"""

import errno
import mmap
import os
import struct
import threading
from pathlib import Path
from typing import NamedTuple, Self

MAGIC = b"batchrun inflight 1\n"
HEADER_SIZE = 64
CELL_SIZE = 64
_CELL = struct.Struct("<dq16sq")
_RECALL = struct.Struct("<q")
_ROW_AT = _CELL.size - _RECALL.size
_RECALL_AT = _CELL.size
_HOLDER = struct.Struct("<dq")
_HOLDER_AT = _RECALL_AT + _RECALL.size

_fence = threading.Lock()


def full_barrier() -> None:
    """What this thread has written so far is seen by others before what it reads next is read.

    Taking a lock does that on x86-64; a second round orders it on processors that are laxer.
    """
    with _fence:
        pass
    with _fence:
        pass


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


class InFlight:
    """The mapped file, made anew with so many `cells`, or (None) that of the coordinator. A context manager."""

    def __init__(self, path: Path, cells: int | None = None) -> None:
        self.path = path
        if cells is not None:
            # A new file, not the old one emptied: a worker that has still to die may have that one mapped.
            path.unlink(missing_ok=True)
        flags = os.O_RDWR | (0 if cells is None else os.O_CREAT | os.O_EXCL)
        fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
        try:
            if cells is not None:
                _fill(fd, path, HEADER_SIZE + cells * CELL_SIZE)
            self._map = mmap.mmap(fd, 0)
        finally:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._map.close()

    def grow(self, cells: int) -> None:
        """Have at least so many cells. Workers that run already keep those they know."""
        size = HEADER_SIZE + cells * CELL_SIZE
        more = size - len(self._map)
        if more > 0:
            with self.path.open("ab") as file:
                file.write(bytes(more))
            self._map.resize(size)

    def start(self, cell: int, position: int, started: float, attempt: int, fingerprint: bytes) -> None:
        """The row is about to run in this cell."""
        _CELL.pack_into(self._map, HEADER_SIZE + cell * CELL_SIZE, started, attempt, fingerprint, position)

    def clear(self, cell: int) -> None:
        """The row's reply has been written."""
        _RECALL.pack_into(self._map, HEADER_SIZE + cell * CELL_SIZE + _ROW_AT, 0)

    def running(self, cell: int) -> Running | None:
        """What runs in this cell now, if anything."""
        found = Running(*_CELL.unpack_from(self._map, HEADER_SIZE + cell * CELL_SIZE))
        return found if found.position else None

    def recall(self, cell: int, batch: int) -> None:
        """Rows of batches up to `batch` that have not started in this cell must not start any more."""
        _RECALL.pack_into(self._map, HEADER_SIZE + cell * CELL_SIZE + _RECALL_AT, batch)

    def recalled(self, cell: int) -> int:
        """The highest batch that was recalled from this cell (0 = none)."""
        return int(_RECALL.unpack_from(self._map, HEADER_SIZE + cell * CELL_SIZE + _RECALL_AT)[0])

    def hold(self, cell: int, position: int, since: float, *, threads: bool) -> None:
        """The row's coroutine is about to get the interpreter; `cell` is the first of its lane."""
        told = -position if threads else position
        _HOLDER.pack_into(self._map, HEADER_SIZE + cell * CELL_SIZE + _HOLDER_AT, since, told)

    def let_go(self, cell: int) -> None:
        """The event loop has the interpreter again."""
        _RECALL.pack_into(self._map, HEADER_SIZE + cell * CELL_SIZE + _HOLDER_AT + 8, 0)

    def holder(self, cell: int) -> Holder | None:
        """The row that has the interpreter in the lane whose first cell this is, if one has."""
        since, position = _HOLDER.unpack_from(self._map, HEADER_SIZE + cell * CELL_SIZE + _HOLDER_AT)
        return Holder(since, abs(position), position < 0) if position else None

    def held_at(self, cell: int) -> float:
        """When a row last got the interpreter in the lane whose first cell this is (monotonic seconds)."""
        return float(_HOLDER.unpack_from(self._map, HEADER_SIZE + cell * CELL_SIZE + _HOLDER_AT)[0])


def _fill(fd: int, path: Path, size: int) -> None:
    """Real blocks, not a hole: a full disk must be an error here, not a SIGBUS at a row's start."""
    if os.write(fd, MAGIC.ljust(size, b"\0")) < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def left_behind(path: Path) -> list[Running]:
    """The rows that were in flight when the last run died (empty after a run that ended by itself).

    A file that is missing, empty or not ours says nothing.
    """
    try:
        data = path.read_bytes()
    except OSError:
        return []
    if not data.startswith(MAGIC):
        return []
    whole = (len(data) - HEADER_SIZE) // CELL_SIZE * CELL_SIZE
    cells = range(HEADER_SIZE, HEADER_SIZE + whole, CELL_SIZE)
    found = [Running(*_CELL.unpack_from(data, offset)) for offset in cells]
    return sorted((running for running in found if running.position), key=lambda running: running.position)
