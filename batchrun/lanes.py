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
from .limits import allow_descriptors
from .nursery import Nursery, NurseryDied
from .output import untagged
from .wire import Hello, Reply, Ticket
from .worker import Orders

STUCK_SECONDS = 0.1
END_SECONDS = 1.0
NAP_SECONDS = 0.001
MUTE_SECONDS = 5.0
NURSERY_LIMIT = 3
BARREN_LIMIT = 10
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
        self._barren = 0
        self._suspects: set[int] = set()
        self._broken: StoppedError | None = None
        allow_descriptors(jobs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._replacing = False
        for lane in self.lanes:
            if lane.sent or not lane.ready:
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
            lane = Lane(index, self._orders, self._cells)
            self._put_up(lane)
            self.lanes.append(lane)

    def _put_up(self, lane: Lane) -> None:
        """Start a lane's worker. Raises `StoppedError` if that cannot be done."""
        while True:
            try:
                lane.start(self._born())
            except NurseryDied:
                continue
            except OSError as error:
                raise StoppedError(
                    f"a worker cannot be started: {error}", "lower --jobs, or raise the limits (see ulimit -a)"
                ) from error
            self._welcome(lane)
            return

    def _born(self) -> Nursery:
        """The nursery: a new one if there is none, or if it was killed."""
        if self._nursery is None or self._nursery.died:
            self._nurseries += 1
            if self._nurseries > NURSERY_LIMIT:
                raise StoppedError(
                    f"the process that starts workers was killed {NURSERY_LIMIT} times",
                    "see whether a row kills its parent, or the machine runs out of memory",
                )
            if self._nursery:
                self._nursery.close()
            self._nursery = Nursery()
        return self._nursery

    def describe(self, names: tuple[str, ...], types: tuple[str, ...]) -> None:
        """Tell every lane, now and later, the columns of the rows to come."""
        self._table = ("table", names, types)
        for lane in self.lanes:
            lane.tell(self._table)

    def room(self) -> int:
        """Rows that could be sent now without one of them waiting for long."""
        room = sum(lane.room() for lane in self.lanes)
        # Rows that ran when the nursery was killed run alone, so that the one that does it is found.
        return min(room, 0 if self.busy() else 1) if self._suspects else room

    def send(self, tickets: list[Ticket]) -> None:
        """Hand out at most `room()` rows: first one to each idle lane, then shares of what the lanes hold."""
        lanes = sorted((lane for lane in self.lanes if lane.room()), key=lambda lane: len(lane.sent))
        start = 0
        for nth, lane in enumerate(lanes):
            fair = -(-(len(tickets) - start) // (len(lanes) - nth))
            share = tickets[start : start + min(fair, lane.room())]
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
        if self._broken:
            error, self._broken = self._broken, None
            self._replacing = False
            raise error
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
            if lane.doubt and (running is None or running.position != lane.doubt):
                events.extend(self._resolve(lane))
            if running is None:
                if limit is not None and lane.sent and now - lane.heard > max(limit, MUTE_SECONDS):
                    lane.kill()  # something that a row has left behind keeps its worker from going on
                continue
            if now - running.started < min(STUCK_SECONDS, limit or STUCK_SECONDS):
                continue
            lane.stuck = True
            if len(lane.sent) > 1:
                events.extend(self._take_back(lane))
            # Only now, when no other row can start: if the row ends in this moment, its neighbour is not hit.
            if limit is not None and now - running.started > limit and running == lane.running():
                lane.kill(condemned=running)
        return events

    def crew(self) -> tuple[int, int]:
        """Lanes that are up, and workers replaced so far."""
        return len(self.lanes), self.restarts

    def drain(self) -> list[Event]:
        """Start nothing more: rows that have not started come back; a lane that dies stays dead."""
        self._replacing = False
        return self.take_back()

    def take_back(self) -> list[Event]:
        """Take back every row that has not started; what runs goes on."""
        return [event for lane in list(self.lanes) if lane.sent for event in self._take_back(lane)]

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
            return self._told(lane, lane.hear())
        except EOFError:
            # The row has closed a descriptor that is not its own. Its worker will fail to reply.
            self._selector.unregister(lane.outbox)
        return []

    def _told(self, lane: Lane, said: Iterator[Hello | Reply]) -> list[Event]:
        events: list[Event] = []
        lane.heard = time.monotonic()
        try:
            for message in said:
                if isinstance(message, Hello):
                    lane.ready = message.error is None
                    events.append(Ready(lane.index, message))
                elif ticket := lane.sent.pop(message[0], None):
                    lane.pace.saw(message[2])
                    lane.finished += 1
                    lane.stuck = False
                    events.append(Finished(lane.index, ticket, message))
                    if self._suspects:
                        self._suspects.discard(ticket.position)
        except ValueError:
            # The row has written to the pipe: nothing that the worker says can be trusted any more.
            lane.garbled = True
            with suppress(KeyError):
                self._selector.unregister(lane.outbox)
            kill_group(lane.pid)
        return events

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
        events = self._told(lane, lane.hear_out())
        lane.doubt = running.position if running and running.position in lane.sent else 0
        idle = [ticket for row, ticket in lane.sent.items() if running is None or row != running.position]
        for ticket in idle:
            del lane.sent[ticket.position]
        return [*events, Returned(lane.index, tuple(idle))] if idle else events

    def _resolve(self, lane: Lane) -> list[Event]:
        """The row that was starting when the others were taken back has either replied or seen the recall."""
        events = self._told(lane, lane.hear_out())
        withdrawn = lane.sent.pop(lane.doubt, None)
        lane.doubt = 0
        lane.stuck = False
        return [*events, Returned(lane.index, (withdrawn,))] if withdrawn else events

    def _on_death(self, lane: Lane) -> list[Event]:
        now = time.monotonic()
        running = lane.running()
        self._farewell(lane)
        events = self._told(lane, lane.hear_out())
        self._log(lane, at_end=True)
        was_ready = lane.ready
        cause = lane.bury()
        tail = "\n".join(untagged(line) for line in lane.tail)
        if not was_ready and not events and cause:
            events.append(Stillborn(lane.index, cause, tail))
        if cause is None and running and running.position in lane.sent:
            cause = self._suspect(running.position)
        blamed = list(_blame(lane, running, now, cause, tail))
        charged = {event.ticket.position for event in blamed if isinstance(event, (Crashed, TimedOut))}
        self._suspects -= charged
        self._count_barren(lane, cause, charged=bool(charged))
        events.extend(blamed)
        self._replace(lane)
        return events

    def _replace(self, lane: Lane) -> None:
        if self._replacing and not self._broken:
            self.restarts += 1
            try:
                self._put_up(lane)
                return
            except StoppedError as error:
                # Told at the next call: what has happened until now must not be lost over it.
                self._broken = error
        self.lanes.remove(lane)

    def _suspect(self, position: int) -> str | None:
        """The nursery was killed while this row ran: the cause, if it can be no other row."""
        if position in self._suspects:
            self._suspects.discard(position)
            self._nurseries -= 1
            return "died with the process that starts workers, which this row kills"
        self._suspects.add(position)
        return None

    def _count_barren(self, lane: Lane, cause: str | None, *, charged: bool) -> None:
        """Workers that load the task and die before a row has started could be replaced for ever."""
        if lane.finished or lane.killed or charged:
            self._barren = 0
        elif lane.ready and cause:
            self._barren += 1
            if self._barren >= BARREN_LIMIT:
                self._broken = StoppedError(
                    f"{BARREN_LIMIT} workers in a row died before they had started a row: {cause}",
                    "see whether the task's module starts threads that end the process",
                )


def _blame(lane: Lane, running: Running | None, now: float, cause: str | None, tail: str) -> Iterator[Event]:
    """Who killed the worker: the row in the cell if its reply never came. All others are victims."""
    if lane.garbled and lane.sent:
        # Rows reply in the order in which they were sent: the first without a reply wrote over it.
        writer = lane.sent.pop(next(iter(lane.sent)))
        seconds = now - running.started if running and running.position == writer.position else 0.0
        yield Crashed(lane.index, writer, seconds, "was ended: the row wrote to its worker's own pipe", tail)
    culprit = lane.sent.pop(running.position, None) if running and not lane.garbled else None
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
