"""The local engine: all lanes, watched by one thread through one selector.

To the run it is what `engine.seam` says. How many lanes there are is `crew`'s affair, what one holds its own; here is
what happens to them: what they say, and that they die. What a lane lost is told as events.
"""

import selectors
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

from batchrun.checkpoint.inflight import InFlight, forget
from batchrun.core.descriptors import raise_descriptors
from batchrun.core.processes import memory_of
from batchrun.core.stillness import Stillness
from batchrun.engine.deal import Deal, rows_of, take
from batchrun.engine.events import Crashed, Event, Finished, Gathered, Stillborn, StoodStill, TimedOut
from batchrun.engine.seam import EngineState, Rows, Withdrawal
from batchrun.engine.worker_setup import WorkerSetup
from batchrun.errors import StoppedError
from batchrun.task.notice import untagged

from .births import Births
from .blame import Death, blame
from .crew import Crew
from .halves import Halves, by_call
from .lane import Lane, kill_all, wait_gone
from .overdue import end_overgrown, look_after
from .still_loading import end_loading, loading
from .suspicion import Suspicion
from .worker_process import Garbled, Overdue, Unaffordable

# For workers to end by themselves: the user's module may have something to close.
END_SECONDS = 1.0
NAP_SECONDS = 0.001
# Where fifty lanes end a row at any moment, a look at all of them on each turn would cost more than the rows.
LOOK_SECONDS = 0.005
Printed = Callable[[int, list[str]], None]


class Lanes:
    """Lanes on this machine, for up to `jobs` rows at once. Use as a context manager: on leaving, every worker
    is gone.
    """

    def __init__(
        self, jobs: int, setup: WorkerSetup, inflight: Path, printed: Printed, births: Births | None = None
    ) -> None:
        self._printed = printed
        self._selector = selectors.DefaultSelector()
        self._cells = InFlight(inflight, jobs)
        self._births = births or Births()
        if setup.preload != "no" and jobs > 1:
            self._births.preload()
        self._crew = Crew(jobs, setup, self._cells, self._births, self._welcome)
        self.lanes = self._crew.lanes
        self._suspicion = Suspicion()
        self._halves = Halves()
        self._clock = Stillness(time.monotonic())
        self._looked = 0.0
        self._gone: list[Lane] = []
        raise_descriptors(jobs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._crew.replacing = False
        kill_all([lane for lane in self.lanes if lane.rows.sent or not lane.ready])
        for lane in self.lanes:
            lane.worker.pipes.close_inbox()
        wait_gone(self.lanes, END_SECONDS)
        for lane in self.lanes:
            self._log(lane, at_end=True)
        for lane in (*self.lanes, *self._gone):
            lane.bury()
        self.lanes.clear()
        self._births.close()
        self._selector.close()
        self._cells.__exit__()
        if kind is None:
            forget(self._cells.path)

    def start(self, lanes: int) -> None:
        """Have so many lanes, as `Crew.start` says."""
        self._crew.start(lanes)

    def prepare(self, rows: Rows) -> None:
        """Make every lane, now and later, ready for the rows to come, as `Crew.prepare` says."""
        self._crew.prepare(rows)

    def grow(self, jobs: int) -> None:
        """Have places for so many rows at once, as `Crew.grow` says."""
        self._crew.grow(jobs)

    def room(self) -> int:
        """Rows that could be sent now without one of them waiting for long."""
        if self._cells.halted or self._halves.rows:
            return 0
        # Rows that ran when the nursery was killed run alone, so that the one that does it is found.
        if self._suspicion.of_nursery:
            return 0 if self.busy() else min(1, sum(lane.room() for lane in self._affordable()))
        alone = bool(self._suspicion.of_lanes)
        return sum(lane.room(alone=alone) for lane in self._affordable())

    def _affordable(self) -> list[Lane]:
        """Lanes that may be handed rows: those that hold some come first."""
        most = self._crew.scarcity.most
        return self.lanes if most >= len(self.lanes) else sorted(self.lanes, key=_has_no_row)[: int(most)]

    def send(self, deals: list[Deal]) -> None:
        """Hand out at most `room()` rows: first one to each idle lane, then shares of what the lanes hold."""
        # The emptiest first, and to none more than its share of what is left: a lane that has room for thousands must
        # not get the rows that would keep its neighbours busy.
        alone = bool(self._suspicion.of_lanes)
        lanes = [(lane, room) for lane in self._affordable() if (room := lane.room(alone=alone))]
        lanes.sort(key=lambda found: len(found[0].rows.sent))
        left, rows, batch = deque(deals), rows_of(deals), lanes[0][0].batch or 1
        for nth, (lane, room) in enumerate(lanes):
            fair = -(-rows // (len(lanes) - nth))
            fair = -(-fair // batch) * batch
            if share := take(left, min(fair, room)):
                self._give(lane, share)
                rows -= rows_of(share)
        # Room was asked for a moment ago and may have shrunk. One lane holds too much then; no row is lost.
        if left:
            self._give(lanes[0][0], list(left))

    def _send_halves(self) -> None:
        """Suspects go first, to lanes that have nothing else."""
        for lane in self._affordable() if self._halves.rows and not self._cells.halted else ():
            if lane.room(alone=True) and (deals := self._halves.next()):
                self._give(lane, deals)

    def _give(self, lane: Lane, deals: list[Deal]) -> None:
        lane.give(deals)
        self._watch_inbox(lane)

    def busy(self) -> int:
        """Rows handed out and not settled."""
        return sum(len(lane.rows.sent) for lane in self.lanes) + self._halves.rows

    def events(self, wait: float, limit: float | None) -> list[Event]:
        """What has happened, after at most `wait` seconds; attempts older than `limit` seconds are ended.

        Raises `StoppedError` when no further worker can be had, or makes sense.
        """
        self._crew.absence.ends(time.monotonic())
        events = self.collect(wait)
        now = time.monotonic()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            events += self.expire(now, limit)
        self._crew.absence.begins(time.monotonic())
        return events

    def collect(self, wait: float) -> list[Event]:
        """What has happened, after at most `wait` seconds. Empty if nothing did."""
        self._crew.raise_if_broken()
        if not self._crew.complete:
            try:
                self._crew.put_up_more(called=lambda: self._selector.select(0))
            except StoppedError as error:
                self._crew.broken = error  # told at the next call
        # The clock is looked at before the wait and after it: what took longer than it can have taken is time in which
        # the machine slept, and no row is ended for that.
        events: list[Event] = self._after_stillness(self._clock.worked(time.monotonic()))
        ready = [key.data for key, _ in self._selector.select(wait)]
        events += self._after_stillness(self._clock.waited(time.monotonic(), wait))
        # Deaths last: what a worker said before it died comes first. Behind them, who gets another worker without one.
        for lane, handle in sorted(ready, key=lambda data: (data[1] == self._on_trial, data[1] == self._on_death)):
            events.extend(handle(lane))
        if self._cells.halted:
            events.extend(self._stand_by())
        self._send_halves()
        if sum(_rows(event) for event in events) > len(self.lanes):
            # At full speed a wake-up per row would cost more than the rows: let some gather.
            time.sleep(NAP_SECONDS)
        return events

    def fileno(self) -> int:
        """For those who wait for other things too: readable when `collect` has something to tell."""
        return self._selector.fileno()

    def expire(self, now: float, limit: float | None) -> list[Event]:
        """End what has run longer than `limit` seconds, or loads the task for much longer than that; free rows that
        wait behind a slow one.
        """
        events: list[Event] = self._after_stillness(self._clock.worked(now))
        if limit is not None:
            end_loading(self.lanes, self._crew.setup.spec, now, limit, self._heard)
        memory = self._crew.setup.limits.memory
        for lane in self.lanes:
            events.extend(self._suspicion.heard(look_after(lane, now, limit)))
            if memory:
                end_overgrown(lane, memory)
            if lane.worker.pipes.full:
                self._watch_inbox(lane)
        return [*events, *self._spare_memory(now)]

    def _spare_memory(self, now: float) -> list[Event]:
        """Where too little is free, nothing starts any more, and workers end."""
        scarcity = self._crew.scarcity
        if going := scarcity.look(self.lanes, now):
            for lane in going:
                self._heard(lane.index, [f"this worker is ended: {scarcity.why}"])
            kill_all(going, Unaffordable())
        waiting = [lane for lane in self.lanes if len(lane.rows.sent) > lane.slots] if scarcity.why else []
        return [event for lane in waiting for event in self._suspicion.heard(lane.take_back())]

    def _after_stillness(self, seconds: float) -> list[Event]:
        """Time in which this process stood still is charged to no row. Its workers may have stood still with it."""
        if not seconds:
            return []
        until = time.monotonic()
        for lane in self.lanes:
            lane.stood_still(until - seconds, until)
        return [StoodStill(until - seconds, until)]

    def state(self, *, ask: bool = False) -> EngineState:
        """How it goes. `ask`: a worker that loads the task is asked where it is, which can take two seconds."""
        loads = loading(self.lanes, self._crew.setup.spec, time.monotonic(), self._heard if ask else None)
        running = [(lane.index, row) for lane in self.lanes for row in lane.running()]
        limits = self._crew.setup.limits
        largest = max((memory_of(lane.worker.pid) for lane in self.lanes), default=0) if any(limits[1:]) else 0
        return EngineState(
            running,
            len(self.lanes),
            self._crew.replaced,
            loading=loads,
            refusal=self._births.refusal,
            largest=largest,
            scarce=self._crew.scarcity.why,
        )

    def withdraw(self, how: Withdrawal) -> list[Event]:
        """Take back every row that has not started; what runs goes on. `drain`: a lane that dies stays dead, too.
        `kill`: end everything in flight, which comes back in time.
        """
        self._crew.replacing = self._crew.replacing and how == "recall"
        if how == "kill":
            kill_all(self.lanes)
            return self._halves.give_back()
        full = [lane for lane in self.lanes if lane.rows.sent]
        back = [event for lane in full for event in self._suspicion.heard(lane.take_back())]
        return [*back, *self._halves.give_back()]

    def dismiss(self) -> None:
        """Workers that have no row end by themselves. Fifty that left when all is done would take 0.1 s."""
        if self._halves.rows or any(len(lane.rows.sent) > lane.slots for lane in self.lanes):
            return  # a row that waits behind another may have to go elsewhere
        self._crew.finishing = True
        for lane in self.lanes:
            if lane.ready and not lane.rows.sent and not lane.dismissed:
                self._unwatch(lane.worker.pipes.inbox)
                lane.dismiss()

    def _stand_by(self) -> list[Event]:
        """A row has let no other start (see `Service.end`): take back what has not, and let go on.

        Between the two nothing is sent, so that whatever a worker left out in the meantime has come back. While
        the reply that says why is not in the pipe, all stay halted: it may be that nothing should be sent.
        """
        events = self.withdraw("recall")
        self._cells.resume()
        if any(lane.halting() for lane in self.lanes):
            self._cells.halt()
        return [*events, *(event for lane in self.lanes for event in self._suspicion.heard(lane.pull()))]

    def _welcome(self, lane: Lane) -> None:
        register, pipes = self._selector.register, lane.worker.pipes
        register(pipes.outbox, selectors.EVENT_READ, (lane, self._on_replies))
        register(pipes.output, selectors.EVENT_READ, (lane, self._on_output))
        register(lane.worker.death, selectors.EVENT_READ, (lane, self._on_death))
        if (trial := self._births.trial) and trial.lane is lane:
            register(trial.template.fileno(), selectors.EVENT_READ, (lane, self._on_trial))

    def _unwatch(self, *descriptors: int) -> None:
        for fd in descriptors:
            with suppress(KeyError, ValueError):  # not watched, or closed
                self._selector.unregister(fd)

    def _watch_inbox(self, lane: Lane) -> None:
        if not lane.worker.pipes.push():
            with suppress(KeyError):  # watched already
                self._selector.register(lane.worker.pipes.inbox, selectors.EVENT_WRITE, (lane, self._on_inbox))

    def _on_inbox(self, lane: Lane) -> list[Event]:
        if lane.worker.pipes.push():
            self._unwatch(lane.worker.pipes.inbox)
        return []

    def _on_replies(self, lane: Lane) -> list[Event]:
        try:
            events = self._suspicion.heard(lane.hear())
        except EOFError:
            # The row has closed a descriptor that is not its own. Its worker will fail to reply.
            events = []
            self._unwatch(lane.worker.pipes.outbox)
        if isinstance(lane.worker.ending, Garbled):
            self._unwatch(lane.worker.pipes.outbox)
        return events

    def _on_trial(self, lane: Lane) -> list[Event]:
        """The lane's worker has become the template of all further ones, or has not."""
        if self._end_trial(lane):
            self._log(lane, at_end=True)
            self._unwatch(
                lane.worker.pipes.outbox, lane.worker.pipes.output, lane.worker.pipes.inbox, lane.worker.death
            )
            lane.leave()
            self._crew.put_up_again(lane)
        return []

    def _end_trial(self, lane: Lane, *, died: bool = False) -> bool:
        """Whether the worker of this lane, if it is tried, is the template now."""
        if (trial := self._births.trial) is None or trial.lane is not lane:
            return False
        self._unwatch(trial.template.fileno())
        return self._births.end_trial(died=died)

    def _on_output(self, lane: Lane) -> list[Event]:
        try:
            self._log(lane)
        except EOFError:
            self._unwatch(lane.worker.pipes.output)
        return []

    def _log(self, lane: Lane, *, at_end: bool = False) -> None:
        self._heard(lane.index, lane.worker.printed(at_end=at_end))

    def _heard(self, lane: int, lines: list[str]) -> None:
        if lines:
            self._printed(lane, lines)

    def _on_death(self, lane: Lane) -> list[Event]:
        # Who ran is read before `bury` clears the cells, but judged only when the pipe is empty: rows that have replied
        # are out of it (docs/decisions/0005). What is left then is blamed on somebody, or given back.
        now, running, holder = time.monotonic(), lane.running(), lane.holder()
        self._end_trial(lane, died=True)
        if lane.dismissed:
            self._let_go(lane)
            return []
        self._unwatch(*lane.worker.descriptors())
        events = lane.pull()
        self._log(lane, at_end=True)
        was_ready = lane.ready
        cause = lane.bury()
        tail = "\n".join(untagged(line) for line in lane.worker.tail)
        ending = lane.worker.ending
        if not was_ready and not events and cause and not isinstance(ending, Unaffordable):
            events.append(ending.told if isinstance(ending, Overdue) else Stillborn(lane.index, cause, tail))
            self._births.stillborn(lane)
        running = [row for row in running if row.position in lane.rows.sent]
        if cause is None and self._suspicion.nursery_died([row.position for row in running]):
            self._births.nursery_excused()
            cause = "died with the process that starts workers, which this row kills"
        blamed, suspects = blame(lane, Death(now, running, holder, cause, tail), misled=self._suspicion.misled)
        if lane.batch and len(suspects) > 1 and self._crew.replacing:
            blamed = self._halves.keep(blamed, by_call(running, suspects))
        else:
            self._suspicion.of_lanes |= suspects
        charged = any(isinstance(event, (Crashed, TimedOut)) for event in blamed)
        self._crew.replace(lane, cause, charged=charged or bool(suspects))
        return self._suspicion.heard([*events, *blamed])

    def _let_go(self, lane: Lane) -> None:
        """A worker that was dismissed has ended. It is buried with the others: rows may be waiting to be heard."""
        pipes = lane.worker.pipes  # its inbox is closed: another pipe may have that number now
        self._unwatch(pipes.outbox, pipes.output, lane.worker.death)
        self._log(lane, at_end=True)
        self.lanes.remove(lane)
        self._gone.append(lane)


def _has_no_row(lane: Lane) -> bool:
    return not lane.rows.sent


def _rows(event: Event) -> int:
    """Attempts that have ended by themselves."""
    match event:
        case Finished(_, ends):
            return len(ends)
        case Gathered(_, deals):
            return rows_of(deals)
    return 0
