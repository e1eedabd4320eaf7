"""One lane: a place in the pool. It stays while its worker process is replaced.

The lane owns the process, its pipes, and the account of what was handed to it. What is to be done about rows
that run too long is decided in `overdue`, who killed a worker in `blame`.
"""

import os
import select
import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator

from orjson import loads

from batchrun.checkpoint.inflight import Holder, InFlight, Running, full_barrier
from batchrun.core.processes import exit_in_words, kill_group, kill_trees
from batchrun.engine.events import Event, Finished, Gathered, Ready, Returned, Stillborn, TimedOut
from batchrun.engine.seam import Rows
from batchrun.engine.wire import Hello, Reply, SheetFrame, Ticket, pack
from batchrun.engine.worker_setup import WorkerSetup

from .nursery import Nursery, NurseryDied
from .pace import MAX_HELD, Pace
from .pipes import Pipes

_HELD_BYTES = 4 << 20
_TAIL_LINE = 2000
TAIL_LINES = 40


class Lane:
    """A worker process and the account of its rows. `index` is its number from 0.

    `first`, `slots`: its cells in the in-flight file, and how many rows it runs at once. `setup`: those of its next
    worker. `started`: when its worker was (monotonic seconds); `born_of`: the nursery or template that it was forked
    from; `loaded_in`: the most seconds in which one of its workers loaded the task; `overdue`: what is to be told when
    it has died, if it is ended for loading too long.
    """

    def __init__(self, index: int, setup: WorkerSetup, cells: InFlight) -> None:
        self.index = index
        self.first = index
        self.slots = 1
        self.pace = Pace()
        self.loaded_in = 0.0
        self.setup = setup
        self._cells = cells
        self._row_bytes = 0.0

    def start(self, nursery: Nursery, channel: int | None = None) -> None:
        """Start a worker (at first, and in place of one that died). Raises `NurseryDied`, `OSError`.

        `channel`: through which it is asked for further workers, if it can be their template.
        """
        self.born_of = nursery
        self.ready = False
        self.is_async = False
        self.stuck = False
        self.retiring = False
        self.garbled = False
        self.killed = False
        self.hung = False
        self.condemned: Running | None = None
        self.overdue: Stillborn | None = None
        self.finished = 0
        self.batch = 0
        self._sheets = 0
        self.started = self.heard = self.looked = time.monotonic()
        self.sent: dict[int, Ticket] = {}
        self.doubts: set[int] = set()
        self.asked: dict[int, float] = {}
        self.lost: dict[int, float] = {}
        self.spell: tuple[Holder, float] | None = None
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        for cell in range(self.first, self.first + self.slots):
            self._cells.clear(cell)
        self._cells.recall(self.first, 0)
        self._cells.let_go(self.first)
        self.pipes = Pipes()
        try:
            offered = () if channel is None else (channel,)
            self.pid = nursery.start(self.setup, (*self.pipes.theirs, *offered))
            # A pidfd, not a pipe's end of file: a child that the worker forked would keep a pipe open.
            self.death = os.pidfd_open(self.pid)
        except ProcessLookupError:
            self.pipes.close()
            raise NurseryDied from None
        except BaseException:
            self.pipes.close()
            raise
        self.pipes.given_away()

    def running(self) -> list[Running]:
        """What runs in this lane now."""
        cells = range(self.first, self.first + self.slots)
        return [running for cell in cells if (running := self._cells.running(cell))]

    def halting(self) -> bool:
        """Whether a row that has let no other start has still to say why."""
        return any(self._cells.halting(cell) for cell in range(self.first, self.first + self.slots))

    def holder(self) -> Holder | None:
        """The row that has the interpreter, in a lane with an event loop."""
        return self._cells.holder(self.first)

    def describe(self, rows: Rows) -> None:
        """Tell the worker the columns of the rows to come, and how many to run at once."""
        self.pipes.put(pack(("table", rows.names, rows.types, rows.missing, self.first, self.slots)))

    def give(self, tickets: list[Ticket]) -> None:
        """Hand rows to the worker."""
        self.batch += 1
        self.sent.update((ticket[0], ticket) for ticket in tickets)
        self.heard = time.monotonic()
        frame = pack(("rows", self.batch, [ticket.for_worker() for ticket in tickets]))
        # The longest of late, slowly forgotten: one long row among short ones must not fill the memory a second time.
        self._row_bytes = max(len(frame) / len(tickets), 0.8 * self._row_bytes)
        self.pipes.put(frame)

    def room(self, *, alone: bool = False) -> int:
        """Rows that could be sent now without one of them waiting for long, or taking much memory.

        `alone`: a row must have the worker for itself.
        """
        if not self.ready or self.retiring or self.pipes.full:
            return 0
        if alone:
            return 0 if self.sent else 1
        most = self.slots
        if not self.stuck:
            by_bytes = int(_HELD_BYTES / (self._row_bytes + 1))
            most = max(most, min(self.pace.hold() * self.slots, by_bytes, MAX_HELD))
        return max(0, most - len(self.sent))

    def hear(self) -> list[Event]:
        """What the worker has said since the last call. Raises `EOFError` when it has closed the pipe."""
        return self._told(self.pipes.hear())

    def hear_out(self) -> list[Event]:
        """All that is in the pipe now."""
        return self._told(self.pipes.hear_out())

    def pull(self) -> list[Event]:
        """All that the worker has said, and the rows that are done on its slate, of which it has still to speak."""
        events: list[Event] = []
        while self.slots == 1:
            sent = self.pipes.slate.sheets
            events += self.hear_out()
            if self._sheets < sent:  # what it wrote was lost among what a row has written
                return events
            sheet = self.pipes.slate.sheet()
            if sheet is None or sheet.number < self._sheets:  # heard, and about to be wiped
                return events
            if sheet.number == self._sheets:
                return [*events, *self._done(sheet)]
        return self.hear_out()

    def printed(self, *, at_end: bool = False) -> list[str]:
        """Whole lines that the worker printed since the last call; also kept as the lane's tail.

        Raises `EOFError` when the worker has closed the pipe.
        """
        lines = self.pipes.printed(at_end=at_end)
        self.tail.extend(line[:_TAIL_LINE] for line in lines)
        return lines

    def take_back(self) -> list[Event]:
        """Take back every row that has not started: it must not start any more (see `serve.Service.begin`)."""
        # First the recall, then the look at the cells; a worker does the two the other way round. So a row is seen
        # here, or it sees the recall: it cannot both start and be given back (docs/decisions/0006).
        self._cells.recall(self.first, self.batch)
        full_barrier()
        running = {running.position for running in self.running()}
        # Whatever had finished before those rows started is in the pipe by now, or on the slate.
        events = self.pull()
        # These were seen, but may see the recall in turn and not start: `resolve` waits for what they come to.
        self.doubts = running & self.sent.keys()
        idle = tuple(ticket for row, ticket in self.sent.items() if row not in running)
        for ticket in idle:
            del self.sent[ticket.position]
        return [*events, Returned(self.index, idle)] if idle else events

    def resolve(self, running: Iterable[Running]) -> list[Event]:
        """A row that was starting when the others were taken back has by now replied, or seen the recall."""
        ended = self.doubts - {row.position for row in running}
        if not ended:
            return []
        self.doubts -= ended
        self.stuck = False
        events = self.pull()
        withdrawn = tuple(self.sent.pop(row) for row in ended if row in self.sent)
        return [*events, Returned(self.index, withdrawn)] if withdrawn else events

    def cancel(self, row: Running, now: float) -> None:
        """Ask the worker's event loop to cancel a row."""
        self.asked[row.position] = now
        self.pipes.put(pack(("cancel", row.position)))

    def stood_still(self, since: float, until: float) -> None:
        """Between these times (monotonic seconds) nothing is counted against a row, nor against the worker."""
        gap = until - since
        for row in self.running():
            self.lost[row.position] = self.lost.get(row.position, 0.0) + max(0.0, until - max(since, row.started))
        self.asked = {position: asked + gap for position, asked in self.asked.items()}
        self.heard = min(until, self.heard + gap)
        self.started = min(until, self.started + gap)

    def held_at(self) -> float:
        """When a row last got the interpreter, in a lane with an event loop (monotonic seconds)."""
        return self._cells.held_at(self.first)

    def kill(self, condemned: Running | None = None, *, hung: bool = False) -> None:
        """Kill the worker and all that it started, for the sake of the row `condemned`, or of the run's end.

        `hung`: one of its rows keeps all others from going on, and it is not known which.
        """
        self.condemned = condemned
        self.hung = hung
        kill_all([self])

    def leave(self) -> None:
        """The worker, which has had no row, has become the template of others: the lane is to get a new one."""
        self.loaded_in = time.monotonic() - self.started
        self.pipes.close()
        os.close(self.death)

    def bury(self) -> str | None:
        """After the worker's death: end what it started, free its descriptors; returns its exit in words.

        None if the nursery has died, and the worker for no fault of its own with it.
        """
        kill_group(self.pid)
        self.pipes.close()
        os.close(self.death)
        for cell in range(self.first, self.first + self.slots):
            self._cells.clear(cell)
        try:
            return exit_in_words(self.born_of.reap(self.pid))
        except NurseryDied:
            return None

    def _told(self, said: Iterator[Hello | Reply | SheetFrame]) -> list[Event]:
        """What was said, as events."""
        events: list[Event] = []
        ends: list[tuple[Ticket, Reply]] = []
        self.heard = time.monotonic()
        sent = self.sent
        try:
            for message in said:
                if type(message) is Reply:
                    if (ticket := sent.pop(message[0], None)) is not None:
                        ends.append((ticket, message))
                elif type(message) is SheetFrame:
                    if message.number != self._sheets:
                        raise ValueError("a sheet is missing")
                    self._sheets += 1
                    if ends:
                        events += self._ended(ends)
                        ends = []
                    events += self._done(message)
                elif isinstance(message, Hello):
                    self.ready = message.error is None
                    self.loaded_in = max(self.loaded_in, self.heard - self.started)
                    self.is_async = message.is_async
                    events.append(Ready(self.index, message))
        except ValueError:
            # The row has written to the pipe: nothing that the worker says can be trusted any more.
            self.garbled = True
            kill_group(self.pid)
        return [*events, *self._ended(ends)] if ends else events

    def _done(self, sheet: SheetFrame) -> list[Event]:
        """Rows of a sheet are done. Some may have been pulled from the slate before."""
        numbers = sheet.numbers()
        tickets = [ticket for number in numbers if (ticket := self.sent.pop(number, None)) is not None]
        if len(tickets) == len(numbers) and not self.doubts and not self.lost:
            micros = loads(sheet.micros)
            self._saw(len(tickets), sum(micros) / 1e6)
            return [Gathered(self.index, tickets, sheet)]
        known = {ticket.position: ticket for ticket in tickets}
        ends = [(known[reply.position], reply) for reply in sheet.replies() if reply.position in known]
        return list(self._ended(ends)) if ends else []

    def _saw(self, rows: int, seconds: float) -> None:
        """So many attempts have ended, which took so long together."""
        self.pace.saw(rows, seconds)
        self.finished += rows
        self.stuck = False

    def _ended(self, ends: list[tuple[Ticket, Reply]]) -> Iterator[Event]:
        self._saw(len(ends), sum(reply[2] for _, reply in ends))
        if self.doubts:  # a row that is sent again must not pass for one that was being taken back
            self.doubts -= {ticket.position for ticket, _ in ends}
        if self.asked or self.lost:
            for ticket, reply in ends:
                self.asked.pop(ticket.position, None)
                self.lost.pop(ticket.position, None)
                if reply.outcome == "cancelled":
                    yield TimedOut(self.index, ticket, reply.seconds, reply.tokens)
            ends = [end for end in ends if end[1].outcome != "cancelled"]
        yield Finished(self.index, ends)


def kill_all(lanes: Collection[Lane]) -> None:
    """Kill the workers of lanes, and all that they started, with one look at the system's processes."""
    for lane in lanes:
        lane.killed = True
    kill_trees([lane.pid for lane in lanes])


def wait_gone(lanes: Iterable[Lane], seconds: float) -> None:
    """Wait until the workers have ended by themselves, at most `seconds`; then kill them."""
    until = time.monotonic() + seconds
    for lane in lanes:
        # Not select: it knows no descriptor above 1023.
        watch = select.poll()
        watch.register(lane.death, select.POLLIN)
        watch.poll(max(0.0, until - time.monotonic()) * 1000)
        kill_group(lane.pid)
