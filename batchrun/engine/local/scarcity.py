"""Where memory is to stay free (`--min-free-memory`): when no further row or worker starts, and which workers end."""

import math
from collections.abc import Collection

from batchrun.core.free_memory import memory_here
from batchrun.core.processes import memory_of
from batchrun.core.text import memory

from .lane import Lane

LOOK_SECONDS = 0.1


class Scarcity:
    """`floor`: bytes that are to stay free; None: that does not matter.

    `most`: workers that may have rows now. `why`: in words, why that is none; empty if it is not.
    """

    def __init__(self, floor: int | None) -> None:
        self.most = math.inf
        self.why = ""
        self._floor = floor
        self._looked = -math.inf
        self._usual = 0

    def look(self, lanes: Collection[Lane], now: float) -> list[Lane]:
        """Look at the memory at `now` (monotonic seconds); returns the lanes whose workers are to end for it."""
        if self._floor is None or now - self._looked < LOOK_SECONDS or (there := memory_here()) is None:
            return []
        self._looked = now
        spare = there.free - self._floor
        self.why = ""
        self.most = self._affordable(spare, [lane for lane in lanes if lane.rows.sent]) if self._usual else math.inf
        if spare >= 0:
            return []
        self.most = 0
        self.why = f"{memory(there.free)} of memory is free, less than --min-free-memory {memory(self._floor)}"
        if any(lane.worker.killed for lane in lanes):
            return []  # what it has is about to be free
        self._usual = max([self._usual, *(memory_of(lane.worker.pid) for lane in lanes)])
        return to_end(lanes)

    def _affordable(self, spare: int, busy: Collection[Lane]) -> int:
        """How many workers may have rows where so many bytes more than the floor are free."""
        # Where one had to end once, the next would have to end as well, and lose what it has done. So there is to be
        # room for one as large as the largest, and for what those that run may still take. Where nothing runs, a row
        # is always tried.
        growing = sum(max(0, self._usual - memory_of(lane.worker.pid)) for lane in busy)
        return len(busy) + max(not busy, (spare - growing) // self._usual)


def to_end(lanes: Collection[Lane]) -> list[Lane]:
    """The workers that are to end: those that have no row, else the youngest. One stays."""
    idle = [lane for lane in lanes if not lane.rows.sent]
    if len(idle) < len(lanes):
        return idle or sorted(lanes, key=lambda lane: lane.worker.started)[1:][-1:]
    # The oldest stays, unless it holds what rows have left behind.
    first, *others = sorted(lanes, key=lambda lane: lane.worker.started)
    return others or [lane for lane in [first] if lane.rows.finished]
