"""The coordinator's account of one lane host: what was handed to it and what it has said."""

import time
from collections.abc import Iterator, Sequence

from batchrun.checkpoint.inflight import Running
from batchrun.engine.deal import Deal, rows_of, whole_calls
from batchrun.engine.local.pace import Pace
from batchrun.engine.wire import Frames

from .messages import HostMessage, HostStatus, understood, unpacked_messages
from .shares import hold


class HostAccount:
    """`key`: its lease. `name`: its worker, for people. `threads`: of that worker. `a_call`: so many rows are called
    together. `quota`: rows at once.
    """

    def __init__(self, key: str, name: str, threads: int, a_call: int = 1) -> None:
        self.key = key
        self.name = name
        self.threads = threads
        self.a_call = a_call
        self.quota = 0
        self.ready = False
        self.reserved = False
        self.sent: dict[int, Deal] = {}
        self.finished = 0
        self.failures = 0
        self.lanes = 0
        self.restarts = 0
        self.largest = 0
        self.scarce = ""
        self.running: list[tuple[int, Running]] = []
        self.last_words = ""
        self._pace = Pace()
        self._frames = Frames(unpacked_messages)
        self._row_bytes = 0.0

    def room(self) -> int:
        """Rows that it could be sent now."""
        if not self.ready or self.reserved:
            return 0
        room = hold(self.quota, self._pace, self._row_bytes, self.a_call) - len(self.sent)
        return max(0, whole_calls(room, self.a_call))

    def give(self, deals: Sequence[Deal], size: int) -> None:
        """These rows are handed to it, in a message of `size` bytes."""
        for deal in deals:
            self.sent.update(dict.fromkeys(deal.positions, deal))
        self._row_bytes = max(size / rows_of(deals), 0.8 * self._row_bytes)

    def hear(self, data: bytes) -> Iterator[HostMessage]:
        """What these bytes say. Raises `ValueError` for bytes that no host of ours wrote."""
        for said in self._frames.feed(data):
            yield from understood(said, self.sent)

    def saw(self, rows: int, seconds: float) -> None:
        """So many rows took so long, together."""
        self.finished += rows
        self._pace.saw(rows, seconds)

    def stalled(self) -> None:
        """Rows have come back unstarted: it holds too many."""
        self._pace = Pace()  # and learns anew how many it should

    def tells(self, status: HostStatus) -> None:
        """How it is."""
        now = time.monotonic()
        self.lanes, self.restarts = status.lanes, status.restarts
        self.largest, self.scarce = status.largest, status.scarce
        self.running = [
            (lane, Running(now - age, ticket.attempt, ticket.fingerprint, row))
            for lane, age, row in status.running
            if row in self.sent and (ticket := self.sent[row].of(row))
        ]
