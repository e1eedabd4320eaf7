"""The account of the rows that a worker holds: what was handed to it, and what has come back."""

import time
from collections.abc import Collection, Iterable, Iterator, Sequence

from orjson import loads

from batchrun.checkpoint.inflight import Holder, Running
from batchrun.engine.deal import Deal, Ticket, pop, rows_of
from batchrun.engine.events import Event, Finished, Gathered, Returned, TimedOut
from batchrun.engine.wire import Reply, SheetFrame

from .pace import Pace


class HeldRows:
    """The rows of one worker, in lane `lane`. Times are monotonic seconds.

    `sent`: rows handed out whose end is not known, each with its deal. `doubts`: those of them that were starting when
    the others were taken back, and may not start. `asked`: when a row was asked to end; `lost`: seconds of a row that
    do not count against it. `blocking`: the row that has had the interpreter for long, and until when that was seen.
    `finished`: attempts that have ended by themselves; `sheets`: those of them that came together. `heard`: when the
    worker last said something, or got rows; `looked`: when its rows were last looked at. `stuck`: a row takes long, so
    none is to wait behind it. `retiring`: threads of rows that were given up still run, so no further row is to come.
    """

    def __init__(self, lane: int, pace: Pace) -> None:
        self.sent: dict[int, Deal] = {}
        self.doubts: set[int] = set()
        self.asked: dict[int, float] = {}
        self.lost: dict[int, float] = {}
        self.blocking: tuple[Holder, float] | None = None
        self.finished = 0
        self.sheets = 0
        self.heard = self.looked = time.monotonic()
        self.stuck = False
        self.retiring = False
        self._lane = lane
        self._pace = pace

    def give(self, deals: Iterable[Deal]) -> None:
        """Rows have been handed out."""
        for deal in deals:
            self.sent.update(dict.fromkeys(deal.positions, deal))
        self.heard = time.monotonic()

    def ended(self, ends: list[tuple[Ticket, Reply]]) -> Iterator[Event]:
        """Attempts have ended by themselves, or when they were asked to."""
        self._saw(len(ends), sum(reply[2] for _, reply in ends))
        if self.doubts:  # a row that is sent again must not pass for one that was being taken back
            self.doubts -= {ticket.position for ticket, _ in ends}
        if self.asked or self.lost:
            for ticket, reply in ends:
                self.asked.pop(ticket.position, None)
                self.lost.pop(ticket.position, None)
                if reply.outcome == "cancelled":
                    yield TimedOut(self._lane, ticket, reply.seconds, reply.tokens)
            ends = [end for end in ends if end[1].outcome != "cancelled"]
        yield Finished(self._lane, ends)

    def done(self, sheet: SheetFrame) -> list[Event]:
        """Rows of a sheet are done. Some may have been pulled from the slate before."""
        numbers = sheet.numbers()
        deals = pop(self.sent, numbers)
        if rows_of(deals) == len(numbers) and not self.doubts and not self.lost:
            self._saw(len(numbers), sum(loads(sheet.micros)) / 1e6)
            return [Gathered(self._lane, deals, sheet)]
        known = {ticket.position: ticket for deal in deals for ticket in deal.tickets()}
        ends = [(known[reply.position], reply) for reply in sheet.replies() if reply.position in known]
        return list(self.ended(ends)) if ends else []

    def taken_back(self, running: Collection[Running]) -> list[Event]:
        """All rows have been called back while these ran: those that had not started return."""
        # The others were seen, but may see the recall in turn and not start: `resolved` tells what they come to.
        self.doubts = {row.position for row in running} & self.sent.keys()
        return self._returned([row for row in self.sent if row not in self.doubts])

    def resolved(self, ended: Iterable[int]) -> list[Event]:
        """Rows that were doubtful have ended: those that have not replied saw the recall, and return."""
        return self._returned([row for row in ended if row in self.sent])

    def all_back(self) -> list[Event]:
        """The worker has died: what it still had returns."""
        return self._returned(list(self.sent))

    def give_up(self, row: Running, now: float) -> Event | None:
        """The row is out of time, and its thread cannot be ended."""
        if (deal := self.sent.pop(row.position, None)) is None:
            return None
        self.retiring = True
        return TimedOut(self._lane, deal.of(row.position), self.seconds_of(row, now))

    def seconds_of(self, row: Running, now: float) -> float:
        """How long a row has run that counts against it."""
        return now - row.started - self.lost.get(row.position, 0.0)

    def lose(self, row: Running, seconds: float) -> None:
        """So many seconds of a row do not count."""
        self.lost[row.position] = self.lost.get(row.position, 0.0) + max(0.0, seconds)

    def stood_still(self, running: Iterable[Running], since: float, until: float) -> None:
        """Between these times nothing is counted against a row, nor against the worker."""
        for row in running:
            self.lose(row, until - max(since, row.started))
        self.asked = {position: asked + until - since for position, asked in self.asked.items()}
        self.heard = min(until, self.heard + until - since)

    def _returned(self, rows: Sequence[int]) -> list[Event]:
        deals = tuple(pop(self.sent, rows))
        return [Returned(self._lane, deals)] if deals else []

    def _saw(self, rows: int, seconds: float) -> None:
        """So many attempts have ended, which took so long together."""
        self._pace.saw(rows, seconds)
        self.finished += rows
        self.stuck = False
