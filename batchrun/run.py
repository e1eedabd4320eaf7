"""The run: one loop, a list of verbs, until nothing is left.

The run owns no rows itself: waiting ones belong to the backlog, rows in flight to the engine, settled ones to
the ledger. It decides what becomes of an attempt (with the pure rules of `retry` and `stopping`).
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from .allowance import Allowance
from .backlog import Backlog
from .checkpoint import CRASHED, DONE, FAILED, SKIPPED, TIMED_OUT, Failure, Settled
from .display.words import counted
from .errors import BatchrunError, InputError, Interrupted, StoppedError, TaskError
from .events import Crashed, Event, Finished, Ready, Returned, Stillborn, TimedOut
from .helm import Helm, unsteered
from .inflight import Running
from .ledger import Ledger
from .redaction import Redactor
from .retry import Again, after_failure, after_refusal
from .signals import Signals
from .stopping import MaxFailures, Timeout, too_many
from .tally import Tally
from .wire import Reply, Ticket

GATHER_SECONDS = 0.005
TICK_SECONDS = 0.1
STILLBORN_LIMIT = 3


class Engine(Protocol):
    """Where rows run, as far as the run knows."""

    def room(self) -> int:
        """Rows that could be sent now."""

    def send(self, tickets: list[Ticket]) -> None:
        """Hand out at most `room()` rows."""

    def busy(self) -> int:
        """Rows handed out whose end has not been told."""

    def running(self) -> list[tuple[int, Running]]:
        """Lane and row of everything that is executing now."""

    def collect(self, wait: float) -> list[Event]:
        """What has happened, after at most `wait` seconds."""

    def expire(self, now: float, limit: float | None) -> list[Event]:
        """End attempts older than `limit` seconds."""

    def drain(self) -> list[Event]:
        """Start nothing more."""

    def take_back(self) -> list[Event]:
        """Take back every row that has not started."""

    def kill(self) -> None:
        """End everything in flight."""


class Onlooker(Protocol):
    """Who is shown how the run goes."""

    def tick(self, run: "Run", now: float) -> None:
        """On every turn of the loop."""

    def running(self, rows: Sequence[tuple[int, Running]], now: float) -> None:
        """The user has asked what is executing."""

    def say(self, text: str) -> None:
        """Something that the user should know."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What is asked of this run. `task`: number of its version.

    `alone`, `guilty`: fingerprints of rows that run by themselves, or not at all (see `suspects`).
    """

    timeout: Timeout | None
    max_failures: MaxFailures | None
    to_run: int
    task: int
    alone: frozenset[bytes] = frozenset()
    guilty: frozenset[bytes] = frozenset()


class Run:
    """One invocation, from the plan to the last commit."""

    def __init__(
        self,
        engine: Engine,
        backlog: Backlog,
        ledger: Ledger,
        rules: Rules,
        tally: Tally,
        signals: Signals,
        onlooker: Onlooker,
        redactor: Redactor | None = None,
        allowance: Allowance | None = None,
        helm: Helm | None = None,
    ) -> None:
        self.engine = engine
        self.backlog = backlog
        self.ledger = ledger
        self.rules = rules
        self.tally = tally
        self.signals = signals
        self.stopped: BatchrunError | None = None
        self._onlooker = onlooker
        self._redactor = redactor or Redactor({})
        self.allowance = allowance or Allowance()
        self.helm = helm or unsteered()
        self._refused: dict[int, tuple[float, int]] = {}
        self._stillborn = 0
        self._killed = False

    def go(self) -> BatchrunError | None:
        """Run until nothing is left; returns why it ended early, or None. What is settled is committed."""
        try:
            while not self._over():
                self._heed()
                self._feed()
                happened = self._collect()
                self._expire()
                self.tally.committed(self.ledger.commit_if_due(idle=not happened))
                self._onlooker.tick(self, time.monotonic())
        finally:
            self.tally.committed(self.ledger.commit())
        return self.stopped

    def _over(self) -> bool:
        return not self.engine.busy() and (self.stopped is not None or not len(self.backlog))

    def _heed(self) -> None:
        """Do what the user asks for by `ctl` and by signals: drain at the first, kill at the second."""
        self.helm.look(self)
        if self.signals.asked:
            self.signals.asked = False
            self._onlooker.running(self.engine.running(), time.monotonic())
        if self.signals.count and not isinstance(self.stopped, Interrupted):
            self.stop(Interrupted(self.signals.first, "interrupted"))
        if self.signals.count > 1 and not self._killed:
            self._killed = True
            self.engine.kill()

    def _feed(self) -> None:
        if self.stopped is None and (room := self._room()):
            try:
                tickets = self.backlog.take(room, time.monotonic())
            except BatchrunError as error:  # the table cannot be read on
                self.stop(error)
                return
            if self.rules.alone:
                tickets = self._innocent(tickets)
            if tickets:
                self.engine.send(tickets)
                self.allowance.handed_out(len(tickets), time.monotonic())
            elif self.backlog.missing:
                self.stop(
                    InputError(
                        f"the table was changed while the run went on: {counted(self.backlog.missing, 'row')} gone",
                        "run again to take the change in",
                    )
                )

    def _room(self) -> int:
        """Rows that the engine could take, as far as they may be handed out."""
        room = self.helm.room(self.engine.room(), self.engine.busy())
        if not room or self.allowance.boundless:
            return room
        in_flight = self.engine.busy()
        if self.allowance.exhausted(in_flight):
            self.stop(StoppedError(self.allowance.exhaustion(), "raise --max-cost to go on"))
            return 0
        return min(room, self.allowance.rows(in_flight, time.monotonic()))

    def _innocent(self, tickets: list[Ticket]) -> list[Ticket]:
        """Set aside rows that must run alone; the next of them if nothing else is left or in flight."""
        shared = [ticket for ticket in tickets if ticket.fingerprint not in self.rules.alone]
        for ticket in tickets:
            if ticket.fingerprint in self.rules.guilty:
                told = ("crash", "the run died each time that this row ran, at last alone", None, None, None)
                self._failed(0, ticket, 0.0, told, CRASHED, final=True)
            elif ticket.fingerprint in self.rules.alone:
                self.backlog.set_aside(ticket)
        return shared if shared or self.engine.busy() else self.backlog.take_alone()

    def _collect(self) -> bool:
        wait = GATHER_SECONDS if self.ledger.gathered else TICK_SECONDS
        if not self.stopped:
            now = time.monotonic()
            wait = min(wait, self.backlog.next_due(now, wait), self.allowance.due(now, wait))
        try:
            events = self.engine.collect(wait)
        except StoppedError as error:  # the engine cannot go on; what has come is kept
            self.stop(error)
            return False
        for event in events:
            if type(event) is Finished:  # nearly always
                self._finished(*event)
            else:
                self._take(event)
        return bool(events)

    def _expire(self) -> None:
        now = time.monotonic()
        limit = self.rules.timeout.limit(self.tally.median(now)) if self.rules.timeout else None
        for event in self.engine.expire(now, limit):
            self._take(event)

    def _take(self, event: Event) -> None:
        match event:
            case Finished():
                self._finished(*event)
            case Returned(_, tickets):
                self.backlog.give_back(tickets)
                self.allowance.came_back(len(tickets), time.monotonic())
            case TimedOut(lane, ticket, seconds):
                message = f"ended after {seconds:.3g} s (--timeout {self.rules.timeout})"
                self._failed(lane, ticket, seconds, ("timeout", message, None, None, None), TIMED_OUT)
            case Crashed(lane, ticket, seconds, cause, tail):
                last = self._redactor.text(tail) or None
                self._failed(lane, ticket, seconds, ("crash", f"worker {cause}", None, None, last), CRASHED)
            case Ready(_, hello):
                self._stillborn = 0
                if hello.error is not None:
                    self.stop(TaskError(hello.error, hello.hint))
            case Stillborn(_, cause, tail):
                self._stillborn += 1
                if self._stillborn >= STILLBORN_LIMIT:
                    self.stop(stillborn(cause, tail))

    def _finished(self, lane: int, ends: list[tuple[Ticket, Reply]]) -> None:
        """Attempts have ended. Nearly always they are done, and many: those are settled together."""
        if self._redactor.active:
            ends = [(ticket, self._redactor.reply(reply)) for ticket, reply in ends]
        at, task = time.time(), self.rules.task
        done: list[Settled] = []
        firsts = 0
        for ticket, reply in ends:
            if reply[-1] or not self.allowance.boundless:
                self._account(reply)
            if reply[1] != "done":
                self._ended(lane, ticket, reply)
                continue
            position, attempt, fingerprint, _, _, was, key = ticket
            _, _, seconds, body, raw, how, note, *_ = reply
            done.append(
                Settled(position, fingerprint, key, DONE, attempt, task, seconds, body, raw, how, note, None, at, lane)
            )
            if was:
                self.ledger.unsettle(was)
            else:
                firsts += 1
        self.ledger.settle(done)
        self.tally.succeeded([row[6] for row in done], firsts)

    def _ended(self, lane: int, ticket: Ticket, reply: Reply) -> None:
        """An attempt has ended otherwise than with a result."""
        if reply.outcome == "skipped":
            self._settle(lane, ticket, SKIPPED, reply.seconds, reply)
        elif reply.outcome == "refused":
            self._refusal(lane, ticket, reply)
        elif reply.outcome == "aborted":
            self.tally.attempted(reply.seconds)
            self.backlog.give_back((ticket,))
            message = reply.error[1] if reply.error else ""
            self.stop(StoppedError(f"the task aborted the run at row {ticket.position}: {message}"))
        elif reply.error:
            status = TIMED_OUT if reply.error[0] == "timeout" else FAILED  # a deadline that the task keeps by itself
            self._failed(lane, ticket, reply.seconds, reply.error, status, reply)

    def _account(self, reply: Reply) -> None:
        """What the attempt used, whether it came to something or not."""
        self.allowance.ended(reply, time.monotonic())
        if reply.tokens:
            total = self.tally.used(reply.tokens)
            self.ledger.spent(total, self.allowance.cost(total))

    def _refusal(self, lane: int, ticket: Ticket, reply: Reply) -> None:
        """The server is busy: no attempt. All rows wait as long as it asked for."""
        if self.allowance.boundless:  # otherwise it has been told
            self.allowance.ended(reply, time.monotonic())
        now = time.monotonic()
        since, refusals = self._refused.get(ticket.position, (now, 0))
        again = after_refusal(now - since, refusals + 1, reply.wait, random.random())
        if again is None and reply.error:
            self._failed(lane, ticket, reply.seconds, reply.error, FAILED, reply, final=True)
            return
        self._refused[ticket.position] = (since, refusals + 1)
        self.tally.refused(reply.error[1] if reply.error else "busy")
        if again:
            self.backlog.rest(ticket, now + again.seconds)
            if reply.wait:
                self._pause(now, now + again.seconds)

    def _pause(self, now: float, until: float) -> None:
        """The server has said when to come back: nobody asks it before. Once for a burst of refusals."""
        running = now < self.backlog.paused_until
        self.backlog.pause(until)
        if not running:
            self.take_back()

    def take_back(self) -> None:
        """Rows that have not started return to the backlog."""
        for event in self.engine.take_back():
            self._take(event)

    def say(self, text: str) -> None:
        """Tell whoever looks on."""
        self._onlooker.say(text)

    def _failed(
        self,
        lane: int,
        ticket: Ticket,
        seconds: float,
        error: tuple[str, str, str | None, int | None, str | None],
        status: int,
        reply: Reply | None = None,
        *,
        final: bool = False,
    ) -> None:
        raw = reply.raw if reply else None
        failure = Failure(ticket.position, ticket.attempt, time.time(), seconds, lane, *error, raw)
        wait = reply.wait if reply else None
        again = None if final else after_failure(error, ticket.attempt, ticket.last, wait, random.random())
        self.tally.failed(error[0], error[1])
        if again is None:
            self._settle(lane, ticket, status, seconds, reply, failure)
        else:
            self._rest(ticket, again, failure, seconds)

    def _rest(self, ticket: Ticket, again: Again, failure: Failure, seconds: float) -> None:
        self.tally.attempted(seconds, retried=True)
        self.ledger.note_failure(failure)
        self.backlog.rest(ticket._replace(attempt=ticket.attempt + 1), time.monotonic() + again.seconds)

    def _settle(
        self,
        lane: int,
        ticket: Ticket,
        status: int,
        seconds: float,
        reply: Reply | None,
        failure: Failure | None = None,
    ) -> None:
        position, attempt, fingerprint, _, _, was, key = ticket
        body = raw = how = note = None
        if reply is not None:
            _, _, _, body, raw, how, note, *_ = reply
        kept = None if failure else raw  # a failed reply is kept with its failure
        task, at = self.rules.task, failure.at if failure else time.time()
        row = Settled(
            position, fingerprint, key, status, attempt, task, seconds, body, kept, how, note, failure, at, lane
        )
        self.ledger.settle([row])
        if was:
            self.ledger.unsettle(was)
        self.tally.attempted(seconds)
        failed = failure is not None
        self.tally.settled(failed=failed, first=not was)
        if failed and self.stopped is None:
            self._count_failures()

    def _count_failures(self) -> None:
        if why := too_many(self.rules.max_failures, self.tally, self.rules.to_run):
            shared = f"; most often: {self.tally.last_error}" if self.tally.last_error else ""
            self.stop(StoppedError(f"stopped early: {why}{shared}"))

    def stop(self, why: BatchrunError) -> None:
        """Drain: hand out nothing more, let rows in flight finish. The first reason counts, but a signal wins."""
        if self.stopped is None or isinstance(why, Interrupted):
            self.stopped = why
            for event in self.engine.drain():
                self._take(event)


def stillborn(cause: str, tail: str) -> TaskError:
    """Workers die before they have loaded the task."""
    said = f"\nIts last lines:\n{tail}" if tail else ""
    return TaskError(
        f"a worker died {STILLBORN_LIMIT} times in a row while it loaded the task: {cause}{said}",
        "import the task's module by hand to see why",
    )
