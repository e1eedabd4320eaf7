"""The local engine: all lanes, watched by one thread through one selector.

The seam to the run is small: `room`, `send`, `collect`, `expire`, `busy`, and the lanes' lifetime as a
`with` block. What a lane lost is told as events; who is to blame is decided here, from the cells.
"""

import selectors
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from .errors import StoppedError
from .events import Crashed, Event, Finished, Ready, Returned, Stillborn, TimedOut
from .inflight import InFlight, Running
from .lane import Lane, wait_gone
from .lifeline import kill_group
from .nursery import Nursery
from .output import untagged
from .wire import Hello, Ticket
from .worker import Orders

STUCK_SECONDS = 0.1
END_SECONDS = 1.0
NAP_SECONDS = 0.001
NURSERY_LIMIT = 3
Printed = Callable[[int, list[str]], None]


class Lanes:
    """Up to `jobs` lanes on this machine. Use as a context manager: on leaving, every worker is gone."""

    def __init__(self, jobs: int, orders: Orders, inflight: Path, printed: Printed) -> None:
        self.jobs = jobs
        self.lanes: list[Lane] = []
        self._orders = orders
        self._printed = printed
        self._table: tuple[Any, ...] | None = None
        self._selector = selectors.DefaultSelector()
        self._cells = InFlight(inflight, jobs, create=True)
        self.restarts = 0
        self._replacing = True
        self._nursery: Nursery | None = None
        self._nurseries = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._replacing = False
        for lane in self.lanes:
            if lane.sent:
                lane.kill()
            lane.close_inbox()
        wait_gone(self.lanes, END_SECONDS)
        for lane in self.lanes:
            self._log(lane, at_end=True)
            lane.bury()
        self.lanes.clear()
        if self._nursery:
            self._nursery.close()
        self._selector.close()
        self._cells.__exit__()

    def start(self, lanes: int) -> None:
        """Have so many lanes (never more than `jobs`); those that run already count."""
        for index in range(len(self.lanes), min(lanes, self.jobs)):
            lane = Lane(index, self._orders, self._cells, self._born())
            self.lanes.append(lane)
            self._welcome(lane)

    def _born(self) -> Nursery:
        """The nursery: a new one if there is none, or if it was killed."""
        if self._nursery is None or self._nursery.died:
            self._nurseries += 1
            if self._nurseries > NURSERY_LIMIT:
                raise StoppedError(
                    f"the process that starts workers was killed {NURSERY_LIMIT} times",
                    "see whether a row kills its parent, or the machine runs out of memory",
                )
            self._nursery = Nursery()
        return self._nursery

    def describe(self, names: tuple[str, ...], types: tuple[str, ...]) -> None:
        """Tell every lane, now and later, the columns of the rows to come."""
        self._table = ("table", names, types)
        for lane in self.lanes:
            lane.tell(self._table)

    def room(self) -> int:
        """Rows that could be sent now without one of them waiting for long."""
        return sum(max(0, lane.pace.hold() - len(lane.sent)) for lane in self.lanes if lane.ready)

    def send(self, tickets: list[Ticket]) -> None:
        """Hand out at most `room()` rows: first one to each idle lane, then shares of what the lanes hold."""
        lanes = sorted((lane for lane in self.lanes if lane.ready), key=lambda lane: len(lane.sent))
        start = 0
        for nth, lane in enumerate(lanes):
            fair = -(-(len(tickets) - start) // (len(lanes) - nth))
            share = tickets[start : start + min(fair, lane.pace.hold() - len(lane.sent))]
            if share:
                lane.give(share)
                self._watch_inbox(lane)
                start += len(share)
        if start < len(tickets):
            lanes[0].give(tickets[start:])
            self._watch_inbox(lanes[0])

    def busy(self) -> int:
        """Rows handed out and not settled."""
        return sum(len(lane.sent) for lane in self.lanes)

    def running(self) -> list[tuple[int, Running]]:
        """Lane and row of everything that is executing now."""
        found = [(lane.index, lane.running()) for lane in self.lanes]
        return [(index, running) for index, running in found if running]

    def collect(self, wait: float) -> list[Event]:
        """What has happened, after at most `wait` seconds. Empty if nothing did."""
        events: list[Event] = []
        ready = [key.data for key, _ in self._selector.select(wait)]
        # Deaths last: what a worker said before it died comes first.
        for lane, handle in sorted(ready, key=lambda data: data[1] == self._on_death):
            events.extend(handle(lane))
        if len(events) > len(self.lanes):
            # At full speed a wake-up per row would cost more than the rows: let some gather.
            time.sleep(NAP_SECONDS)
        return events

    def expire(self, now: float, limit: float | None) -> list[Event]:
        """Kill what has run longer than `limit` seconds; free rows that wait behind a slow one."""
        events: list[Event] = []
        for lane in self.lanes:
            running = lane.running()
            if running is None or now - running.started < min(STUCK_SECONDS, limit or STUCK_SECONDS):
                continue
            if limit is not None and now - running.started > limit and running == lane.running():
                lane.kill(condemned=running)
            elif len(lane.sent) > 1:
                events.extend(self._take_back(lane))
        return events

    def crew(self) -> tuple[int, int]:
        """Lanes that are up, and workers replaced so far."""
        return len(self.lanes), self.restarts

    def drain(self) -> list[Event]:
        """Start nothing more: rows that have not started come back; a lane that dies stays dead."""
        self._replacing = False
        return [event for lane in self.lanes if lane.sent for event in self._take_back(lane)]

    def kill(self) -> None:
        """End everything in flight now; what comes back are `Returned` rows."""
        self._replacing = False
        for lane in self.lanes:
            lane.kill()

    def _welcome(self, lane: Lane) -> None:
        register = self._selector.register
        register(lane.outbox, selectors.EVENT_READ, (lane, self._on_replies))
        register(lane.output, selectors.EVENT_READ, (lane, self._on_output))
        register(lane.death, selectors.EVENT_READ, (lane, self._on_death))
        if self._table:
            lane.tell(self._table)

    def _farewell(self, lane: Lane) -> None:
        for fd in (lane.outbox, lane.output, lane.death, lane.inbox):
            with suppress(KeyError, ValueError):
                self._selector.unregister(fd)

    def _watch_inbox(self, lane: Lane) -> None:
        if not lane.push():
            with suppress(KeyError):  # watched already
                self._selector.register(lane.inbox, selectors.EVENT_WRITE, (lane, self._on_inbox))

    def _on_inbox(self, lane: Lane) -> list[Event]:
        if lane.push():
            with suppress(KeyError, ValueError):
                self._selector.unregister(lane.inbox)
        return []

    def _on_replies(self, lane: Lane) -> list[Event]:
        try:
            return list(self._told(lane, lane.hear()))
        except EOFError:
            # The row has closed a descriptor that is not its own. Its worker will fail to reply.
            self._selector.unregister(lane.outbox)
        except ValueError:
            # The row has written to it: nothing that the worker says can be trusted any more.
            self._selector.unregister(lane.outbox)
            kill_group(lane.pid)
        return []

    def _told(self, lane: Lane, said: Any) -> Iterator[Event]:
        for message in said:
            if isinstance(message, Hello):
                lane.ready = message.error is None
                yield Ready(lane.index, message)
            elif ticket := lane.sent.pop(message[0], None):
                lane.pace.saw(message[2])
                yield Finished(lane.index, ticket, message)

    def _on_output(self, lane: Lane) -> list[Event]:
        try:
            self._log(lane)
        except EOFError:
            self._selector.unregister(lane.output)
        return []

    def _log(self, lane: Lane, *, at_end: bool = False) -> None:
        lines = lane.printed(at_end=at_end)
        if lines:
            self._printed(lane.index, lines)

    def _take_back(self, lane: Lane) -> list[Event]:
        lane.take_back()
        running = lane.running()
        # Whatever had finished before that row started is in the pipe by now.
        events = list(self._told(lane, lane.hear_out()))
        idle = [ticket for row, ticket in lane.sent.items() if running is None or row != running.position]
        for ticket in idle:
            del lane.sent[ticket.position]
        return [*events, Returned(lane.index, tuple(idle))] if idle else events

    def _on_death(self, lane: Lane) -> list[Event]:
        now = time.monotonic()
        running = lane.running()
        self._farewell(lane)
        events = list(self._last_words(lane))
        self._log(lane, at_end=True)
        was_ready = lane.ready
        cause = lane.bury()
        tail = "\n".join(untagged(line) for line in lane.tail)
        if not was_ready and not events and cause:
            events.append(Stillborn(lane.index, cause, tail))
        events.extend(_blame(lane, running, now, cause, tail))
        if self._replacing:
            self.restarts += 1
            lane.start(self._born())
            self._welcome(lane)
        else:
            self.lanes.remove(lane)
        return events

    def _last_words(self, lane: Lane) -> Iterator[Event]:
        with suppress(ValueError):
            yield from self._told(lane, lane.hear_out())


def _blame(lane: Lane, running: Running | None, now: float, cause: str | None, tail: str) -> Iterator[Event]:
    """Who killed the worker: the row in the cell if its reply never came. All others are victims."""
    culprit = lane.sent.pop(running.position, None) if running else None
    condemned = lane.condemned
    if culprit and running:
        seconds = now - running.started
        if condemned and condemned.position == culprit.position:
            yield TimedOut(lane.index, culprit, seconds)
        elif lane.killed or cause is None:
            yield Returned(lane.index, (culprit,))
        else:
            yield Crashed(lane.index, culprit, seconds, cause, tail)
    if lane.sent:
        yield Returned(lane.index, tuple(lane.sent.values()))
