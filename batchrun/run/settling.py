"""What becomes of an attempt that has ended: its row is settled, tried again, or given back.

Decides with the pure rules of `retry` and `stopping`; the ledger, the backlog and the tally are told. What the
whole run should do about it (stop, pause) is left in `verdict` and `pause_begun` for the run to act upon.
"""

import random
import time
from operator import attrgetter

from orjson import loads

from batchrun.checkpoint.ledger import Ledger
from batchrun.checkpoint.records import Failure, Settled
from batchrun.checkpoint.sheets import BETWEEN, last_of
from batchrun.core import kinds
from batchrun.core.redact import Redactor
from batchrun.core.states import CRASHED, DONE, FAILED, SKIPPED, TIMED_OUT
from batchrun.core.stillness import moved
from batchrun.engine.deal import Ticket, rows_of
from batchrun.engine.events import Crashed, Finished, Gathered, TimedOut
from batchrun.engine.wire import Error, Reply
from batchrun.errors import BatchrunError, StoppedError

from .allowance import Allowance
from .backlog import Backlog
from .block import block_of
from .first_errors import ENOUGH, FirstErrors, all_alike
from .retry import after_failure, after_refusal, pause_for_all, together_at
from .rules import Rules
from .stopping import too_many
from .tally import Tally

_HOW = attrgetter("how")


class Settling:
    """Takes the ends of attempts.

    `verdict`: why the run should stop, if it should; `aborted`: because the task said so. `pause_begun`: a
    server has said when to come back, and rows that have not started should be taken back.
    """

    def __init__(
        self, rules: Rules, backlog: Backlog, ledger: Ledger, tally: Tally, redactor: Redactor, allowance: Allowance
    ) -> None:
        self.verdict: BatchrunError | None = None
        self.aborted = False
        self.pause_begun = False
        self._rules = rules
        self._backlog = backlog
        self._ledger = ledger
        self._tally = tally
        self._redactor = redactor
        self._allowance = allowance
        self._refused: dict[int, tuple[float, int]] = {}
        self._unavailable = 0
        self._first = FirstErrors()
        self._first.open = rules.max_failures is None  # who says how many may fail wants them to run

    @property
    def on_trial(self) -> bool:
        """Whether these are the first attempts, and may all end in one error of the program's own."""
        return self._first.open and self._tally.ran < ENOUGH

    def ended(self, event: Finished | Gathered | TimedOut | Crashed) -> None:
        """Attempts have ended."""
        match event:
            case Finished():
                self.finished(*event)
            case Gathered():
                self.gathered(event)
            case TimedOut():
                self.timed_out(*event)
            case Crashed():
                self.crashed(*event)

    def finished(self, lane: int, ends: list[tuple[Ticket, Reply]]) -> None:
        """Attempts have ended by themselves. Nearly always they are done, and many: those are settled together."""
        if self._redactor.active:
            ends = [(ticket, reply.redacted(self._redactor)) for ticket, reply in ends]
        alike = self._first.saw(ends) if self._first.open else None
        at, task = time.time(), self._rules.task
        done: list[Settled] = []
        firsts = 0
        # The one hot place of the coordinator: fields by number, a record by position, and no call for each row.
        # Whatever is not "done" is rarer, and leaves for a method that is written to be read.
        for ticket, reply in ends:
            if reply[-1] or reply[1] == "refused" or not self._allowance.boundless:
                self._account(reply)
            if reply[1] != "done":
                self._otherwise(lane, ticket, reply)
                continue
            position, attempt, fingerprint, _, _, _, was, key = ticket
            _, _, seconds, body, raw, how, note, *_ = reply
            done.append(
                Settled(position, fingerprint, key, DONE, attempt, task, seconds, body, raw, how, note, None, at, lane)
            )
            if was:
                self._ledger.unsettle(was)
            else:
                firsts += 1
        if done and self._unavailable:  # somebody is served again: the next pause begins small
            self._unavailable = 0
        self._keep(done)
        if done and (body := done[-1].body) is not None:
            self._tally.last_done = done[-1].position, body
        self._tally.found(map(_HOW, done))
        # Where NaN became null, a note says so.
        self._tally.returned(None if row.note else row.body for row in done)
        self._tally.succeeded([row[6] or 0.0 for row in done], firsts)
        if alike and self._tally.rows < self._rules.to_run:
            self.verdict = self.verdict or all_alike(alike, self._rules.columns, dict(self._rules.sources))

    def gathered(self, event: Gathered) -> None:
        """Attempts have ended, and are done: those of a sheet go into the ledger as they stand, if they are alike."""
        lane, deals, sheet = event
        block = None if self._looked_at else block_of(deals, sheet, task=self._rules.task, lane=lane, at=time.time())
        if block is None or self._redactor.finds(sheet.bodies, sheet.raws):
            self.finished(*event.singly())
            return
        again = [deal for deal in deals if deal.was]
        for deal in again:
            self._ledger.unsettle(deal.was, deal.rows)
        self._unavailable = 0
        self._ledger.settle_block(block)
        self._tally.saw(block.positions)
        self._tally.last_done = block.positions[-1], last_of(sheet.bodies)
        for position in self._refused.keys() & set(block.positions):
            del self._refused[position]
        micros = loads(sheet.micros)
        self._tally.found(loads(sheet.hows) if sheet.hows else ["value"] * len(micros))
        if self._tally.only_nulls:  # until the first that is not: no sheet is cut for it after that
            self._tally.returned(sheet.bodies[1:-1].split(BETWEEN))
        self._tally.succeeded([time / 1e6 for time in micros], len(micros) - rows_of(again))

    @property
    def _looked_at(self) -> bool:
        """Whether something is to be learnt from each attempt."""
        return self._first.open or not self._allowance.boundless

    def timed_out(
        self, lane: int, ticket: Ticket, seconds: float, tokens: tuple[int, int, int, int] | None = None
    ) -> None:
        """An attempt was ended by the clock."""
        if tokens:
            self._account(Reply(ticket.position, "cancelled", seconds, tokens=tokens))
        self._first.open = False
        message = f"ended after {seconds:.3g} s (--timeout {self._rules.timeout})"
        self._failed(lane, ticket, seconds, (kinds.TIMEOUT, message, None, None, None), TIMED_OUT)

    def crashed(self, lane: int, ticket: Ticket, seconds: float, cause: str, tail: str) -> None:
        """An attempt killed its worker."""
        self._first.open = False
        last = self._redactor.text(tail) or None
        self._failed(lane, ticket, seconds, (kinds.CRASH, f"worker {cause}", None, None, last), CRASHED)

    def stood_still(self, since: float, until: float) -> None:
        """Between these times no server could have been asked again."""
        self._refused = {row: (moved(first, since, until), count) for row, (first, count) in self._refused.items()}

    def condemned(self, ticket: Ticket) -> None:
        """The row is not to run any more: it has taken whole runs with it."""
        told = (kinds.CRASH, "the run died every time this row ran, finally when it ran alone", None, None, None)
        self._failed(0, ticket, 0.0, told, CRASHED, final=True)

    def _otherwise(self, lane: int, ticket: Ticket, reply: Reply) -> None:
        """An attempt has ended by itself, without a result."""
        if reply.outcome == "skipped":
            self._settle(lane, ticket, SKIPPED, reply.seconds, reply)
        elif reply.outcome == "refused":
            self._refusal(lane, ticket, reply)
        elif reply.outcome == "aborted":
            self._tally.attempted(reply.seconds)
            self._backlog.give_back((ticket.alone(),))
            self.aborted = True
            message = reply.error[1] if reply.error else ""
            self.verdict = StoppedError(f"the task aborted the run at row {ticket.position}: {message}")
        elif reply.error:
            # A deadline that the task keeps by itself is one, too.
            status = TIMED_OUT if reply.error[0] == kinds.TIMEOUT else FAILED
            self._failed(lane, ticket, reply.seconds, reply.error, status, reply)

    def _account(self, reply: Reply) -> None:
        """What the attempt used, whether it came to something or not."""
        self._allowance.ended(reply, time.monotonic())
        if reply.tokens:
            total = self._tally.used(reply.tokens)
            self._ledger.spent(total, self._allowance.cost(total))

    def _refusal(self, lane: int, ticket: Ticket, reply: Reply) -> None:
        """The server is busy: no attempt. All rows wait as long as it asked for."""
        now = time.monotonic()
        since, refusals = self._refused.get(ticket.position, (now, 0))
        wait = reply.wait or self._pause(reply, now)
        # The rows of one call come back together, for another one.
        dice = 1.0 if self._rules.a_call > 1 else random.random()
        again = after_refusal(now - since, refusals + 1, wait, dice)
        if again is None and reply.error:
            told = (kinds.RATE_LIMITED, *reply.error[1:])
            self._failed(lane, ticket, reply.seconds, told, FAILED, reply, final=True)
            return
        self._refused[ticket.position] = (since, refusals + 1)
        self._tally.refused(reply.error[1] if reply.error else "busy")
        if again is not None:
            until = together_at(now + again) if self._rules.a_call > 1 else now + again
            self._backlog.rest(ticket, until)
            if wait:  # nobody asks before; the first of a burst of refusals says so for all
                self.pause_begun |= now >= self._backlog.paused_until
                self._backlog.pause(until)

    def _pause(self, reply: Reply, now: float) -> float | None:
        """Seconds for all rows, if the service serves nobody and does not say until when; the same for one burst."""
        if reply.error is None or reply.error[3] not in kinds.UNAVAILABLE:
            return None
        if now < self._backlog.paused_until:
            return self._backlog.paused_until - now
        self._unavailable += 1
        return pause_for_all(self._unavailable, random.random())

    def _failed(
        self,
        lane: int,
        ticket: Ticket,
        seconds: float,
        error: Error,
        status: int,
        reply: Reply | None = None,
        *,
        final: bool = False,
    ) -> None:
        raw = reply.raw if reply else None
        failure = Failure(ticket.position, ticket.attempt, time.time(), seconds, lane, *error, raw)
        wait = reply.wait if reply else None
        # Attempts of earlier runs are over and paid for: what this run may still do is counted from them on.
        attempt, allowed = ticket.attempt - ticket.before, ticket.last - ticket.before
        again = None if final else after_failure(error, attempt, allowed, wait, random.random())
        self._tally.failed(error[0], kinds.with_type(*error[:3]), final=again is None)
        if again is None:
            self._settle(lane, ticket, status, seconds, reply, failure)
        else:
            self._rest(ticket, again, failure, seconds)

    def _rest(self, ticket: Ticket, again: float, failure: Failure, seconds: float) -> None:
        self._tally.attempted(seconds, retried=True)
        self._ledger.note_failure(failure)
        self._backlog.rest(ticket._replace(attempt=ticket.attempt + 1), time.monotonic() + again)

    def _keep(self, rows: list[Settled]) -> None:
        """Rows have their final state. How often they were refused on the way there matters no more."""
        self._ledger.settle(rows)
        self._tally.saw(row[0] for row in rows)
        if self._refused:
            for row in rows:
                self._refused.pop(row[0], None)

    def _settle(
        self,
        lane: int,
        ticket: Ticket,
        status: int,
        seconds: float,
        reply: Reply | None,
        failure: Failure | None = None,
    ) -> None:
        """Any end but `done`: there is no result to keep."""
        position, attempt, fingerprint, _, _, _, was, key = ticket
        how, note = (reply.how, reply.note) if reply else (None, None)
        at = failure.at if failure else time.time()
        task = self._rules.task
        row = Settled(
            position, fingerprint, key, status, attempt, task, seconds, None, None, how, note, failure, at, lane
        )
        self._keep([row])
        if was:
            self._ledger.unsettle(was)
        self._tally.attempted(seconds)
        self._tally.settled(failed=failure is not None, first=not was)
        if failure and (why := too_many(self._rules.max_failures, self._tally, self._rules.to_run)):
            shared = f"; most often: {self._tally.last_error}" if self._tally.last_error else ""
            self.verdict = StoppedError(f"stopped early: {why}{shared}")
