"""One lane: a place in the pool. It stays while its worker is replaced.

`worker_process` is one life of its worker, `held_rows` the account of what that was given. What is to be done about
rows that run too long is decided in `overdue`, who killed a worker in `blame`.
"""

import select
import time
from collections.abc import Collection, Iterable, Iterator

from batchrun.checkpoint.cell import full_barrier
from batchrun.checkpoint.inflight import Holder, InFlight, Running
from batchrun.core.processes import kill_group, kill_trees
from batchrun.engine.deal import Deal, Ticket, rows_of, whole_calls
from batchrun.engine.events import Event, Ready
from batchrun.engine.seam import Rows
from batchrun.engine.wire import Hello, Reply, SheetFrame, pack
from batchrun.engine.worker_setup import WorkerSetup

from .held_rows import HeldRows
from .nursery import Nursery
from .pace import MAX_HELD, Absence, Pace
from .worker_process import Ending, Garbled, Killed, WorkerProcess

_HELD_BYTES = 4 << 20


class Lane:
    """A place for a worker. `index` is its number from 0.

    `first`, `slots`: its cells in the in-flight file, and how many rows it runs at once. `setup`: those of its next
    worker. `loaded_in`: the most seconds in which one of its workers loaded the task. `absence`: the coordinator's,
    from all lanes. `dismissed`: no further row is to come. `worker`, `rows`: the one that there is, and what it holds;
    both begin anew with each `start`.
    """

    worker: WorkerProcess
    rows: HeldRows

    def __init__(self, index: int, setup: WorkerSetup, cells: InFlight, absence: Absence) -> None:
        self.index = index
        self.first = index
        self.slots = 1
        self.setup = setup
        self.absence = absence
        self.loaded_in = 0.0
        self.dismissed = False
        self._pace = Pace()
        self._cells = cells
        self._batch = 0
        self._row_bytes = 0.0

    def start(self, nursery: Nursery) -> None:
        """Start a worker, at first and in place of one that died."""
        self.take(WorkerProcess(self.setup, nursery))

    def take(self, worker: WorkerProcess) -> None:
        """Have a worker that has been asked for. Raises `NurseryDied`, `OSError`, as it does."""
        self._batch = 0
        self._clear_cells()
        self._cells.recall(self.first, 0)
        self._cells.let_go(self.first)
        self.rows = HeldRows(self.index, self._pace)
        worker.arrive()
        self.worker = worker

    @property
    def ready(self) -> bool:
        """Whether its worker has loaded the task."""
        return self.worker.hello is not None

    @property
    def batch(self) -> int:
        """Up to so many rows are called together; 0: each by itself."""
        return self.setup.batch or 0

    @property
    def calls(self) -> int:
        """How many calls of the task run here at once."""
        return -(-self.slots // (self.batch or 1))

    @property
    def is_async(self) -> bool:
        """Whether its worker has said that the task is an `async def`."""
        return self.worker.hello is not None and self.worker.hello.is_async

    def running(self) -> list[Running]:
        """What runs in this lane now."""
        return [running for cell in self._own_cells() if (running := self._cells.running(cell))]

    def halting(self) -> bool:
        """Whether a row that has let no other start has still to say why."""
        return any(self._cells.halting(cell) for cell in self._own_cells())

    def holder(self) -> Holder | None:
        """The row that has the interpreter, in a lane with an event loop."""
        return self._cells.holder(self.first)

    def held_at(self) -> float:
        """When a row last got the interpreter, in a lane with an event loop (monotonic seconds)."""
        return self._cells.held_at(self.first)

    def describe(self, rows: Rows) -> None:
        """Tell the worker the columns of the rows to come, and how many to run at once."""
        self.worker.pipes.put(pack(("table", rows.names, rows.types, rows.missing, self.first, self.slots)))

    def give(self, deals: list[Deal]) -> None:
        """Hand rows to the worker."""
        self._batch += 1
        self.rows.give(deals)
        frame = pack(("rows", self._batch, [deal.for_worker() for deal in deals]))
        # The longest of late, slowly forgotten: one long row among short ones must not fill the memory a second time.
        self._row_bytes = max(len(frame) / rows_of(deals), 0.8 * self._row_bytes)
        self.worker.pipes.put(frame)

    def room(self, *, alone: bool = False) -> int:
        """Rows that could be sent now without one of them waiting for long, or taking much memory.

        `alone`: a row must have the worker for itself.
        """
        rows = self.rows
        if not self.ready or self.dismissed or rows.retiring or self.worker.pipes.full:
            return 0
        if alone:
            return 0 if rows.sent else 1
        most = self.slots
        if not rows.stuck:
            by_bytes = int(_HELD_BYTES / (self._row_bytes + 1))
            most = max(most, min(self._pace.hold(self.absence.seconds) * self.calls, by_bytes, MAX_HELD))
        return whole_calls(max(0, most - len(rows.sent)), self.batch or 1)

    def hear(self) -> list[Event]:
        """What the worker has said since the last call. Raises `EOFError` when it has closed the pipe."""
        return self._told(self.worker.pipes.hear())

    def pull(self) -> list[Event]:
        """All that the worker has said, and the rows that are done on its slate, of which it has still to speak."""
        events: list[Event] = []
        pipes, rows = self.worker.pipes, self.rows
        while self.calls == 1:
            sent = pipes.slate.sheets
            events += self._told(pipes.hear_out())
            if rows.sheets < sent:  # what it wrote was lost among what a row has written
                return events
            sheet = pipes.slate.sheet()
            if sheet is not None and sheet.number == rows.sheets:
                return [*events, *rows.done(sheet)]
            # Empty, or heard and about to be wiped. Unless the worker has sent it since the pipe was heard out: then
            # its rows are in the pipe, and would be given back though they are done.
            if pipes.slate.sheets == sent:
                return events
        return self._told(pipes.hear_out())

    def take_back(self) -> list[Event]:
        """Take back every row that has not started: it must not start any more (see `Cell.begin`)."""
        # First the recall, then the look at the cells; a worker does the two the other way round. So a row is seen
        # here, or it sees the recall: it cannot both start and be given back (docs/decisions/0006).
        self._cells.recall(self.first, self._batch)
        full_barrier()
        running = self.running()
        # Whatever had finished before those rows started is in the pipe by now, or on the slate.
        return [*self.pull(), *self.rows.taken_back(running)]

    def resolve(self, running: Iterable[Running]) -> list[Event]:
        """A row that was starting when the others were taken back has by now replied, or seen the recall."""
        rows = self.rows
        ended = rows.doubts - {row.position for row in running}
        if not ended:
            return []
        rows.doubts -= ended
        rows.stuck = False
        return [*self.pull(), *rows.resolved(ended)]

    def cancel(self, row: Running, now: float) -> None:
        """Ask the worker's event loop to cancel a row."""
        self.rows.asked[row.position] = now
        self.worker.pipes.put(pack(("cancel", row.position)))

    def stood_still(self, since: float, until: float) -> None:
        """Between these times (monotonic seconds) nothing is counted against a row, nor against the worker."""
        self.rows.stood_still(self.running(), since, until)
        self.worker.started = min(until, self.worker.started + until - since)

    def kill(self, why: Ending) -> None:
        """Kill the worker and all that it started."""
        kill_all([self], why)

    def dismiss(self) -> None:
        """Let the worker, which has no row, end by itself."""
        self.dismissed = True
        self.worker.pipes.close_inbox()

    def leave(self) -> None:
        """The worker, which has had no row, has become the template of others: the lane is to get a new one."""
        self.loaded_in = time.monotonic() - self.worker.started
        self.worker.leave()

    def bury(self) -> str | None:
        """After the worker's death: end what it started; returns its exit in words. See `WorkerProcess.bury`."""
        try:
            return self.worker.bury()
        finally:
            self._clear_cells()

    def _own_cells(self) -> range:
        return range(self.first, self.first + self.slots)

    def _clear_cells(self) -> None:
        for cell in self._own_cells():
            self._cells.clear(cell)

    def _told(self, said: Iterator[Hello | Reply | SheetFrame]) -> list[Event]:
        """What was said, as events."""
        rows, worker = self.rows, self.worker
        events: list[Event] = []
        ends: list[tuple[Ticket, Reply]] = []
        rows.heard = time.monotonic()
        try:
            for message in said:
                if type(message) is Reply:
                    if (deal := rows.sent.pop(message[0], None)) is not None:
                        ends.append((deal.of(message[0]), message))
                elif type(message) is SheetFrame:
                    if message.number != rows.sheets:
                        raise ValueError("a sheet is missing")
                    rows.sheets += 1
                    if ends:
                        events += rows.ended(ends)
                        ends = []
                    events += rows.done(message)
                elif isinstance(message, Hello):
                    worker.hello = message if message.error is None else None
                    self.loaded_in = max(self.loaded_in, rows.heard - worker.started)
                    events.append(Ready(self.index, message))
        except ValueError:
            # The row has written to the pipe: nothing that the worker says can be trusted any more.
            worker.end_for(Garbled())
            kill_group(worker.pid)
        return [*events, *rows.ended(ends)] if ends else events


def kill_all(lanes: Collection[Lane], why: Ending | None = None) -> None:
    """Kill the workers of lanes, and all that they started, with one look at the system's processes."""
    for lane in lanes:
        lane.worker.end_for(why or Killed())
    kill_trees([lane.worker.pid for lane in lanes])


def wait_gone(lanes: Iterable[Lane], seconds: float) -> None:
    """Wait until the workers have ended by themselves, at most `seconds`; then kill them."""
    until = time.monotonic() + seconds
    for lane in lanes:
        # Not select: it knows no descriptor above 1023.
        watch = select.poll()
        watch.register(lane.worker.death, select.POLLIN)
        watch.poll(max(0.0, until - time.monotonic()) * 1000)
        kill_group(lane.worker.pid)
