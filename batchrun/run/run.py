"""The run: one loop, a list of verbs, until nothing is left.

The run owns no rows itself: waiting ones belong to the backlog, rows in flight to the engine, settled ones to
the ledger. What becomes of an attempt is decided in `settling`.
"""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from batchrun.checkpoint.inflight import Running
from batchrun.checkpoint.ledger import Ledger
from batchrun.core.redact import Redactor
from batchrun.core.signals import Signals
from batchrun.core.text import counted, whole_seconds
from batchrun.engine.deal import Deal, rows_of
from batchrun.engine.events import (
    Crashed,
    Event,
    Finished,
    Gathered,
    Loading,
    Ready,
    Returned,
    Stillborn,
    StoodStill,
    TimedOut,
)
from batchrun.engine.seam import Engine
from batchrun.errors import BatchrunError, ChangedError, InputError, Interrupted, StoppedError, TaskError

from .allowance import Allowance
from .backlog import Backlog
from .control import Helm, unsteered
from .rules import Rules
from .settling import Settling
from .stopping import STILLBORN_LIMIT, has_been_edited, stillborn
from .tally import Tally

# How long the loop waits if nothing happens. Rows that wait for their commit should not wait long; otherwise timeouts,
# signals, ctl and the display want to be looked at ten times a second.
GATHER_SECONDS = 0.005
TICK_SECONDS = 0.1

# Other programs give memory back, too, but nobody should wait for that all night.
SCARCE_SECONDS = 30.0


class Observer(Protocol):
    """Who is shown how the run goes."""

    def tick(self, run: "Run", now: float) -> None:
        """On every turn of the loop."""

    def running(self, rows: Sequence[tuple[int, Running]], now: float, loading: Loading | None = None) -> None:
        """The user has asked what is executing. `loading`: why it is nothing."""

    def loading(self, loading: Loading | None) -> None:
        """On every turn while the first worker loads the task and there is no run yet; None: that is over."""

    def say(self, text: str) -> None:
        """Something that the user should know."""


class Run:
    """One invocation, from the plan to the last commit. `lost`: tells, on every turn, why nothing can be kept now."""

    def __init__(
        self,
        engine: Engine,
        backlog: Backlog,
        ledger: Ledger,
        rules: Rules,
        tally: Tally,
        signals: Signals,
        observer: Observer,
        redactor: Redactor | None = None,
        allowance: Allowance | None = None,
        helm: Helm | None = None,
        lost: Callable[[float], BatchrunError | None] = lambda _: None,
    ) -> None:
        self.engine = engine
        self.backlog = backlog
        self.ledger = ledger
        self.rules = rules
        self.tally = tally
        self.signals = signals
        self.stopped: BatchrunError | None = None
        self.allowance = allowance or Allowance()
        self.helm = helm or unsteered()
        self._observer = observer
        self._lost = lost
        self._settling = Settling(rules, backlog, ledger, tally, redactor or Redactor({}), self.allowance)
        self._stillborn = 0
        self.patient_until: float | None = None
        self._killed = False
        self._scarce_since: float | None = None

    def go(self) -> BatchrunError | None:
        """Run until nothing is left; returns why it ended early, or None. What is settled is committed."""
        try:
            while not self._over():
                self._heed()
                self._feed()
                if self.stopped is not None or not len(self.backlog):
                    self.engine.dismiss()
                happened = self._collect()
                self.ledger.commit_if_due(idle=not happened)
                if self.rules.spares_memory and not happened:
                    self._mind_memory(time.monotonic())
                now = time.monotonic()
                if now >= self.tally.restraint.due:
                    self._see_restraint(now)
                self._observer.tick(self, now)
        finally:  # whatever it is that ends the loop: these rows have been paid for
            self.ledger.commit()
        self.engine.dismiss()
        return self.stopped

    def _see_restraint(self, now: float) -> None:
        throttle = self.allowance.throttle
        allowed = None if self.allowance.boundless else throttle.allowed(now)
        self.tally.restraint.look(
            now,
            refusals=self.tally.refusals,
            limit=allowed if allowed is not None and allowed < throttle.ceiling else None,
            paused=self.helm.paused or now < self.backlog.paused_until,
        )

    def _over(self) -> bool:
        return not self.engine.busy() and (self.stopped is not None or not len(self.backlog))

    def _heed(self) -> None:
        """Do what the user asks for by `ctl` and by signals: drain at the first, kill at the second."""
        self.helm.look(self)
        if self.signals.asked:
            self.signals.asked = False
            now = time.monotonic()
            state = self.engine.state(ask=True)
            self._observer.running(state.running, now, state.loading)
        if self.stopped is None and (lost := self._lost(time.monotonic())):
            self.stop(lost)
        if self.signals.count and not isinstance(self.stopped, Interrupted):
            self.stop(Interrupted(self.signals.first, "interrupted"))
        impatient = self.patient_until is not None and time.monotonic() > self.patient_until
        if (self.signals.count > 1 or impatient) and not self._killed:
            self._killed = True
            self.engine.withdraw("kill")

    def _mind_memory(self, now: float) -> None:
        """Want of memory lets no row start, and nothing runs that could give some back: say so, and end in time."""
        state = self.engine.state()
        if not state.scarce or state.running or self.helm.paused or self.stopped:
            self._scarce_since = None
        elif self._scarce_since is None:
            self._scarce_since = now
            self.say(f"waiting, at most {whole_seconds(SCARCE_SECONDS)}: no row can start: {state.scarce}")
        elif now - self._scarce_since > SCARCE_SECONDS:
            self.stop(
                StoppedError(
                    f"stopped early: for {whole_seconds(SCARCE_SECONDS)} no row could start: {state.scarce}",
                    "end what else takes memory, or lower --min-free-memory; the same command resumes",
                )
            )

    def _feed(self) -> None:
        if self.stopped is None and (room := self._room()):
            try:
                deals = self.backlog.take(room, time.monotonic())
            except BatchrunError as error:  # the table cannot be read on
                self.stop(error)
                return
            if self.rules.alone:
                deals = self._innocent(deals)
            if deals:
                self.engine.send(deals)
                self.allowance.handed_out(rows_of(deals), time.monotonic())
            elif self.backlog.missing:
                self.stop(
                    InputError(
                        f"the table was changed during the run: {counted(self.backlog.missing, 'row')} gone",
                        "run again to pick up the change",
                    )
                )

    def _room(self) -> int:
        """Rows that the engine could take, as far as they may be handed out."""
        room = self.helm.room(self.engine.room(), self.engine.busy())
        if self._settling.on_trial:  # a lane that holds rows in store would start them before the run can stop
            room = max(0, min(room, self.helm.jobs - self.engine.busy()))
        if not room or self.allowance.boundless:
            return room
        in_flight = self.engine.busy()
        if self.allowance.exhausted(in_flight):
            self.stop(StoppedError(*self.allowance.exhaustion()))
            return 0
        return min(room, self.allowance.rows(in_flight, time.monotonic()))

    def _innocent(self, deals: list[Deal]) -> list[Deal]:
        """Set aside rows that must run alone; the next of them if nothing else is left or in flight."""
        # Last of all: if one of them ends the run again, everything else is done. And one by one, with nothing else in
        # flight, so that the death is its own (see `suspects`).
        shared = []
        for ticket in (ticket for deal in deals for ticket in deal.tickets()):
            if ticket.fingerprint in self.rules.guilty:
                self._settling.condemned(ticket)
            elif ticket.fingerprint in self.rules.alone:
                self.backlog.set_aside(ticket.alone())
            else:
                shared.append(ticket.alone())
        return shared if shared or self.engine.busy() else self.backlog.take_alone(time.monotonic())

    def _collect(self) -> bool:
        # Any event of the engine ends the wait. What makes no event must shorten it: a backoff or a pause that ends, a
        # minute's share of calls or tokens that fills up again.
        now = time.monotonic()
        wait = GATHER_SECONDS if self.ledger.gathered else TICK_SECONDS
        if not self.stopped:
            wait = min(wait, self.backlog.next_due(now, wait), self.allowance.due(now, wait))
        limit = self.rules.limit(self.tally.median(now))
        try:
            events = self.engine.events(wait, limit)
        except StoppedError as error:  # the engine cannot go on; what has come is kept
            self.stop(error)
            return False
        for event in events:
            self._take(event)
        return bool(events)

    def _take(self, event: Event) -> None:
        match event:
            case Finished() | Gathered() | TimedOut() | Crashed():
                self._settling.ended(event)
                self._act()
            case Returned(_, deals):
                self.backlog.give_back(deals)
                self.allowance.came_back(rows_of(deals), time.monotonic())
            case Ready(_, hello):
                self._stillborn = 0
                if hello.error is not None:
                    self.stop(TaskError(hello.error, hello.hint))
                elif edited := self.rules.edited(hello.sources):
                    self.stop(ChangedError(*has_been_edited(edited)))
            case StoodStill(since, until):
                self._stood_still(since, until)
            case Stillborn():
                self._not_born(event)

    def _not_born(self, event: Stillborn) -> None:
        self._stillborn += 1
        if event.hung or self._stillborn >= STILLBORN_LIMIT:
            self.stop(stillborn(event))

    def _stood_still(self, since: float, until: float) -> None:
        """No clock of the run goes on while all of it stands still."""
        self.tally.stood_still(since, until)
        self._settling.stood_still(since, until)
        if self.patient_until is not None:
            self.patient_until += until - since

    def _act(self) -> None:
        """What the end of an attempt means for the whole run."""
        settling = self._settling
        if settling.verdict and self.stopped is None:
            if settling.aborted and self.rules.patience is not None:
                self.patient_until = time.monotonic() + self.rules.patience
            self.stop(settling.verdict)
        if settling.pause_begun:  # rows that lanes hold would go and be refused, too
            settling.pause_begun = False
            self.take_back()

    def take_back(self) -> None:
        """Rows that have not started return to the backlog."""
        for event in self.engine.withdraw("recall"):
            self._take(event)

    def say(self, text: str) -> None:
        """Tell whoever looks on."""
        self._observer.say(text)

    def stop(self, why: BatchrunError) -> None:
        """Drain: hand out nothing more, let rows in flight finish. The first reason counts, but a signal wins."""
        if self.stopped is None or isinstance(why, Interrupted):
            self.stopped = why
            for event in self.engine.withdraw("drain"):
                self._take(event)
