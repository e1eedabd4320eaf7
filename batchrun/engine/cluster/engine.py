"""The engine of a cluster. To the run it is what `lanes` is, with the lanes on other machines.

Read `link` for how bytes reach a host, `host` for what it does with them, `account` for who has which rows.
"""

import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from batchrun.engine.deal import Deal, parts, rows_of, take
from batchrun.engine.events import Event, Returned
from batchrun.engine.seam import EngineState, MachineState, Rows, Withdrawal
from batchrun.engine.worker_setup import WorkerSetup
from batchrun.errors import StoppedError
from batchrun.options.settings import Settings

from .account import Account
from .environment import worth_sending
from .host import Opening
from .host_account import HostAccount
from .link import HostLeft, HostSaid, Link, LinkEvent, SchedulerLost, WorkersLeased, WorkerUnfit
from .task_bundle import bundle_of

WORKERLESS_SECONDS = 5.0
_GO_ON = "the same command resumes where this run ended; --engine local does so on this machine"


class Cluster:
    """Hosts on the workers of a cluster. `say` tells the user a line. Use as a context manager: on leaving, nothing
    runs any more.
    """

    def __init__(self, settings: Settings, link: Link, setup: WorkerSetup, say: Callable[[str], None]) -> None:
        self._threads = settings.threads
        self._a_call = settings.rows_a_call
        self._link = link
        self._setup = setup
        self._say = say
        fail_lost = settings.on_lost == "fail"
        inflight = Path(setup.inflight)
        self._account = Account(link, settings.jobs, inflight, say, fail_lost=fail_lost, a_call=self._a_call)
        self._opening: Opening | None = None
        self._workerless = math.inf
        self._limit: float | None = None
        self._pending: list[Event] = []
        self._alone: deque[Deal] = deque()
        self._broken: StoppedError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._opening:
            self._link.close()
        self._account.handed_out.close()

    def start(self, _lanes: int = 0) -> None:
        """Connect, at the first call. How many lanes there are is up to the cluster.

        Raises `UsageError` if there is no scheduler that we can work with, or the task's folder is too big.
        """
        if self._opening is None:
            bundle = bundle_of(self._setup.spec, Path.cwd())
            self._link.open()
            self._opening = Opening(
                self._setup, bundle, worth_sending(os.environ), jobs=1, threads=self._threads, cpus=1
            )
            self._workerless = time.monotonic()

    def prepare(self, rows: Rows) -> None:
        """Tell every host, now and later, the columns of the rows to come. Slots are each host's own affair, and all
        have the same bundle: the task's files as they were when the run began.
        """
        self.start()
        self._account.tell_all(("table", rows.names, rows.types, rows.missing))

    def grow(self, jobs: int) -> None:
        """Have places for so many rows at once, shared out among the machines."""
        self._account.grow(jobs)

    def room(self) -> int:
        """Rows that could be sent now without one of them waiting for long."""
        return sum(host.room() for host in self._hosts)

    def send(self, deals: list[Deal]) -> None:
        """Hand out at most `room()` rows, shared out by the room of each host."""
        shared = self._without_suspects(deals)
        left, rows = self.room(), rows_of(shared)
        for host in self._hosts:
            if room := host.room():
                fair = -(-rows * room // left)
                share = take(shared, min(room, -(-fair // self._a_call) * self._a_call))
                left -= room
                if share:
                    self._account.give(host, share)
                    rows -= rows_of(share)
        self._place_alone()

    def _without_suspects(self, deals: list[Deal]) -> deque[Deal]:
        """Rows that are to be alone on a machine are set aside."""
        suspected = self._account.is_suspect
        if not any(suspected(position) for deal in deals for position in deal.positions):
            return deque(deals)
        single = [ticket.alone() for deal in deals for ticket in deal.tickets()]
        self._alone.extend(row for row in single if suspected(row.positions[0]))
        return deque(row for row in single if not suspected(row.positions[0]))

    def busy(self) -> int:
        """Rows handed out whose end has not been told."""
        pending = sum(rows_of(event.deals) for event in self._pending if isinstance(event, Returned))
        return sum(len(host.sent) for host in self._hosts) + len(self._alone) + pending

    def events(self, wait: float, limit: float | None) -> list[Event]:
        """What has happened, after at most `wait` seconds. The hosts end attempts older than `limit` seconds, by their
        own clocks.

        Raises `StoppedError` when the scheduler stays lost, or no worker of the cluster can be used.
        """
        if self._broken:  # since the last call, which has handed on everything that came before
            error, self._broken = self._broken, None
            raise error
        if _differ(limit, self._limit):
            self._limit = limit
            self._account.tell_all(("limit", limit))
        events, self._pending = self._pending, []
        for event in self._link.events(0 if events else wait):
            events.extend(self._heed(event))
        self._place_alone()
        self._mention_waiting()
        return events

    def withdraw(self, how: Withdrawal) -> list[Event]:
        """Rows that have not started come back in time. `drain`: nothing starts any more. `kill`: all is ended."""
        match how:
            case "recall":
                for host in self._hosts:
                    if host.sent:
                        self._link.say(host.key, ("recall",))
            case "drain":
                self._account.tell_all(("drain",))
                self._workerless = math.inf
            case "kill":
                for host in self._hosts:
                    self._link.release(host.key, "it was ended", again=False)
                    self._pending.append(Returned(0, tuple(parts(host.sent, list(host.sent)))))
                self._account.hosts.clear()
        alone = tuple(self._alone)
        self._alone.clear()
        return [Returned(0, alone)] if alone else []

    def dismiss(self) -> None:
        """Hosts see to their lanes until the run ends."""

    def state(self, *, ask: bool = False) -> EngineState:
        """How it goes, as the hosts last said."""
        hosts = self._hosts
        return EngineState(
            self._account.running(),
            lanes=sum(host.lanes for host in hosts),
            restarts=self._account.restarts + sum(host.restarts for host in hosts),
            machines=[MachineState(host.name, len(host.sent), host.failures) for host in hosts],
            largest=max((host.largest for host in hosts), default=0),
            scarce=next((f"on {host.name}, {host.scarce}" for host in hosts if host.scarce), ""),
        )

    @property
    def _hosts(self) -> list[HostAccount]:
        return list(self._account.hosts.values())

    def _place_alone(self) -> None:
        """A row that has cost several machines gets one for itself."""
        # One host at a time is emptied for them: on a small cluster the others must go on with everything else.
        ready = [host for host in self._hosts if host.ready and host.quota]
        for host in ready:
            host.reserved = host.reserved and bool(host.sent)
        if self._alone and ready and not any(host.reserved for host in ready):
            min(ready, key=lambda host: len(host.sent)).reserved = True
        for host in ready:
            if host.reserved and not host.sent:
                self._account.give(host, [self._alone.popleft()])

    def _heed(self, event: LinkEvent) -> Iterator[Event]:
        match event:
            case WorkersLeased(workers) if self._opening:
                self._account.welcome((HostAccount(*worker, self._a_call) for worker in workers), self._opening)
            case HostSaid(key, data):
                yield from self._account.hear(key, data)
            case HostLeft(key, why):
                yield from self._account.lose(key, why)
            case WorkerUnfit(name, why, hint, alone):
                self._say(f"the cluster's worker {name} {why}: it gets no rows")
                if alone:
                    self._stop(f"no worker of the cluster can be used: {name} {why}", hint)
            case SchedulerLost(False, what):
                self._workerless = math.inf
                self._say(f"the {what} was lost; waiting for it to come back")
            case SchedulerLost(True, what):
                self._stop(f"the {what} of the cluster was lost and did not come back", _GO_ON)

    def _stop(self, message: str, hint: str) -> None:
        self._broken = self._broken or StoppedError(message, hint)

    def _mention_waiting(self) -> None:
        """Nobody should look at a run that stands still and not know why."""
        if self._account.hosts:
            self._workerless = time.monotonic()
        elif time.monotonic() - self._workerless > WORKERLESS_SECONDS:
            self._workerless = math.inf
            self._say("the cluster has no worker that can be used; waiting for one")


def _differ(limit: float | None, told: float | None) -> bool:
    """Whether a new limit is worth telling. One that follows the median changes all the time, by a little."""
    if limit is None or told is None:
        return limit is not told
    return abs(limit - told) > 0.05 * told
