"""A limit on the time of calls, which leaves out the time in which the process stood still.

An event loop that was stopped together with everything else finds all its limits passed when it goes on.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from batchrun.core.stillness import Stillness

BEAT_SECONDS = 0.25


class Deadlines:
    """The limits of the calls that are under way in one event loop."""

    def __init__(self) -> None:
        self._open: set[asyncio.Timeout] = set()
        self._beats = False

    @asynccontextmanager
    async def within(self, seconds: float) -> AsyncIterator[None]:
        """Raise `TimeoutError` when the block takes longer."""
        async with asyncio.timeout(seconds) as limit:
            self._open.add(limit)
            if not self._beats:
                self._beat(Stillness(asyncio.get_running_loop().time()))
            try:
                yield
            finally:
                self._open.discard(limit)

    def _beat(self, clock: Stillness) -> None:
        """Look at the clock again and again. A beat is due before the limits that the same stop has passed."""
        loop = asyncio.get_running_loop()
        if still := clock.waited(loop.time(), 0.0):  # in favour of the call: how much of the beat had passed is unknown
            for limit in self._open:
                with suppress(RuntimeError):  # it has passed before
                    limit.reschedule((limit.when() or loop.time()) + still)
        self._beats = bool(self._open)
        if self._beats:
            loop.call_later(BEAT_SECONDS, self._beat, clock)
