"""A worker's hand on a cell of the in-flight file, in which its rows start and end, one after the other.

All that a row costs before it runs is here, so that it is cheap in one place for every way of running rows.
"""

import mmap
import os
import struct
import threading
from collections.abc import Callable

from .rings import Ring

# From the start of the file, in bytes; from the start of a cell, in words of 8 bytes.
HALT_AT = 24
ROW, RECALL = 4, 5
_BEFORE_ROW = struct.Struct("=dq16s")

_barrier = threading.Lock()
_acquire, _release = _barrier.acquire, _barrier.release
_LAX = os.uname().machine != "x86_64"


def full_barrier() -> None:
    """What this thread has written so far is seen by others before what it reads next is read.

    Taking a lock does that on x86-64; a second round orders it on processors that are laxer.
    """
    _acquire()
    _release()
    if _LAX:
        _acquire()
        _release()


class Cell:
    """One cell. `at`, `lane_at`: where it begins in the `file`, and where the first one of its lane does, in bytes.

    `words`: the file as int64s. `ring`: that of the cell, if the file has rings. `gone`: true once the coordinator is.

    `has_started` is told of each row that has started: the next run is to know, even if it has ended by then.
    `no_attempt`: the one that started last, and is about to end, counts for nothing.
    """

    __slots__ = ("_at", "_file", "_gone", "_recall", "_row", "_words", "has_started", "no_attempt")

    def __init__(
        self,
        file: mmap.mmap,
        words: "memoryview[int]",
        at: int,
        lane_at: int,
        ring: Ring | None,
        gone: Callable[[], object],
    ) -> None:
        self._file = file
        self._words = words
        self._at = at
        self._row = at // 8 + ROW
        self._recall = lane_at // 8 + RECALL
        self.has_started: Callable[[int, int], object] = ring.add if ring else lambda *_: None
        self.no_attempt: Callable[[], object] = ring.take_out if ring else lambda: None
        self._gone = gone

    def begin(self, batch: int, position: int, started: float, attempt: int, fingerprint: bytes) -> bool:
        """Mark the row as started; False if it must not start.

        A row that must not start was taken back by the coordinator, or will be (see `Lanes.collect`), or the
        coordinator is dead: it is none of this worker's any more.
        """
        self.mark(position, started, attempt, fingerprint)
        # The start must be seen before the recall is read, or the coordinator could take back a row that is
        # starting (Dekker's pattern, docs/decisions/0006).
        full_barrier()
        # The nursery ends the lanes of a coordinator that has died; on a busy machine it may not get to it at once.
        if self._file[HALT_AT] or batch <= self._words[self._recall] or self._gone():
            self.clear()
            return False
        self.has_started(position, attempt)
        return True

    def mark(self, position: int, started: float, attempt: int, fingerprint: bytes) -> None:
        """The row is about to run in this cell, which is empty."""
        # The row last: a worker that is killed in between leaves the cell free, not one row with another's attempt.
        _BEFORE_ROW.pack_into(self._file, self._at, started, attempt, fingerprint)
        self._words[self._row] = position

    def halt(self) -> None:
        """The row that runs here wants no row to start, in any lane, from now on: until `InFlight.resume`."""
        # First the mark in the cell, then the byte. The coordinator takes the byte away and looks for marks after that:
        # so it never takes away the halt of a row whose reply is still on its way (docs/decisions/0019).
        self._words[self._row] = -abs(self._words[self._row])
        full_barrier()
        self._file[HALT_AT] = 1
        full_barrier()

    def clear(self) -> None:
        """The row's reply is in the pipe, or on the slate, or the row does not run after all."""
        # Only now: had the cell been freed first, a row whose worker died in between would seem not to have started,
        # and would run twice without a word. One that has replied and is still here is found in the pipe, or on the
        # slate (docs/decisions/0005). x86-64 makes what is written in this order seen in this order.
        if _LAX:
            full_barrier()
        self._words[self._row] = 0
