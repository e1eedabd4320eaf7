"""Rows that are not handed out: those still in the table, those that came back, those that rest."""

import heapq
from collections import deque
from collections.abc import Iterable, Iterator

from batchrun.engine.deal import Deal, Ticket, rows_of, take

MOST_RESTING = 10_000
"""Rows that rest before no new ones are read. More are resting only where a service is down, or nearly; and each holds
its cells, and makes the wait of all others longer."""


class Backlog:
    """Owns every waiting row. `source` yields the rows left, in the table's order, as they are needed.

    `missing` counts rows that the table turned out not to have any more.
    Holds in memory only rows that came back or rest. Times are monotonic seconds.
    """

    def __init__(self, source: Iterator[Deal], rows: int) -> None:
        self._source = source
        self._unread = rows
        self._read: deque[Deal] = deque()
        self._returned: deque[Deal] = deque()
        self._resting: list[tuple[float, int, Deal]] = []
        self._alone: deque[Deal] = deque()
        self.paused_until = 0.0
        self.missing = 0

    def __len__(self) -> int:
        return self._unread + rows_of(self._returned) + len(self._resting) + len(self._alone)

    @property
    def resting(self) -> int:
        """Rows whose backoff has not ended."""
        return len(self._resting)

    @property
    def is_full(self) -> bool:
        """Whether new rows wait until some of those that rest have run."""
        return self._unread > 0 and len(self._resting) >= MOST_RESTING

    def take(self, most: int, now: float) -> list[Deal]:
        """At most `most` rows to hand out now: those that came back first, then rested ones, then new ones."""
        if now < self.paused_until:
            return []
        # Oldest first: a row that was taken back, or has rested, would otherwise wait for the whole table.
        taken = take(self._returned, most)
        left = most - rows_of(taken)
        while self._resting and self._resting[0][0] <= now and left:
            taken.append(heapq.heappop(self._resting)[2])
            left -= 1
        return taken + self._new(max(0, min(left, MOST_RESTING - len(self._resting))))

    def _new(self, most: int) -> list[Deal]:
        """At most `most` rows that were never handed out."""
        taken: list[Deal] = []
        while most and self._unread:
            if not self._read:
                if (deal := next(self._source, None)) is None:
                    self.missing, self._unread = self._unread, 0
                    break
                self._read.append(deal)
            some = take(self._read, most)
            most -= rows_of(some)
            self._unread -= rows_of(some)
            taken += some
        return taken

    def give_back(self, deals: Iterable[Deal]) -> None:
        """Rows that were handed out and never started, or are not charged: first in line, in their order."""
        self._returned.extendleft(reversed([*deals]))

    def set_aside(self, row: Deal) -> None:
        """Keep a row until nothing else is left: it must run alone."""
        self._alone.append(row)

    def take_alone(self, now: float) -> list[Deal]:
        """The next row that must run alone, once nothing else waits, nor all for the end of a pause."""
        if now < self.paused_until or not self._alone or len(self) > len(self._alone):
            return []
        return [self._alone.popleft()]

    def rest(self, ticket: Ticket, until: float) -> None:
        """Keep a row back until its backoff ends."""
        heapq.heappush(self._resting, (until, ticket.position, ticket.alone()))

    def pause(self, until: float) -> None:
        """Hand out nothing before `until`."""
        self.paused_until = max(self.paused_until, until)

    def next_due(self, now: float, at_most: float) -> float:
        """Seconds until `take` could return something that it would not return now; `at_most` if nothing waits."""
        due = self.paused_until if now < self.paused_until else None
        if self._resting and not self._returned and (self.is_full or not self._unread):
            first = self._resting[0][0]
            due = first if due is None else max(due, first)
        # One that is due already lacks something else than time.
        return at_most if due is None or due <= now else due - now
