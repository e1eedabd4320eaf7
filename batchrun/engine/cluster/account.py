"""The account of all rows that are on the cluster: which host has which, what it says of them, what is lost with it."""

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from batchrun.checkpoint.inflight import Running
from batchrun.checkpoint.suspects import after_death, is_guilty, must_be_alone
from batchrun.core.text import numbers
from batchrun.engine.deal import Deal, parts
from batchrun.engine.events import Crashed, Event, Finished, OfLane, Ready, Returned, TimedOut

from .handed_out import HandedOut
from .host import Opening
from .host_account import HostAccount
from .link import Link
from .messages import HostBroken, HostMessage, HostStatus, PrintedNotice
from .shares import quotas

ALONE = 2
"""Machines that a row may take with it while it has them to itself. Losing one in company charges nobody."""


class Account:
    """`jobs`: calls of the task at once, 0 = as many as there are threads; each has up to `a_call` rows. `fail_lost`:
    rows of a lost host count as crashed.

    `inflight`: where rows that are on the cluster are marked. `say`: tells the user a line.
    """

    def __init__(
        self,
        link: Link,
        jobs: int,
        inflight: Path,
        say: Callable[[str], None],
        *,
        fail_lost: bool,
        a_call: int = 1,
    ) -> None:
        self.hosts: dict[str, HostAccount] = {}
        self._deaths: dict[int, tuple[int, int]] = {}  # of machines, by row: see `suspects`
        self.handed_out = HandedOut(inflight)
        self.restarts = 0
        self._link = link
        self._jobs = jobs
        self._a_call = a_call
        self._say = say
        self._fail_lost = fail_lost
        self._lanes: dict[tuple[str, int], int] = {}
        self._told: list[tuple[Any, ...]] = []
        self._noticed: set[str] = set()

    def welcome(self, hosts: Iterable[HostAccount], opening: Opening) -> None:
        """New hosts get their shares, and are told everything."""
        new = {host.key: host for host in hosts}
        self.hosts.update(new)
        self._share_out(new)
        for key, host in new.items():
            for message in (replace(opening, jobs=max(self._a_call, host.quota), cpus=host.threads), *self._told):
                self._link.say(key, message)

    def tell_all(self, message: tuple[Any, ...]) -> None:
        """Say it to every host, and to those to come: the last message of each kind."""
        self._told = [*(said for said in self._told if said[0] != message[0]), message]
        for key in self.hosts:
            self._link.say(key, message)

    def grow(self, jobs: int) -> None:
        """Have so many rows at once from now on."""
        self._jobs = jobs // self._a_call
        self._share_out()

    def give(self, host: HostAccount, deals: list[Deal]) -> None:
        """Hand rows to a host."""
        size = self._link.say(host.key, ("rows", [deal.for_worker() for deal in deals]))
        host.give(deals, size)
        self.handed_out.add(deals)

    def running(self) -> list[tuple[int, Running]]:
        """Lane and row of everything that executes, as the hosts last said."""
        return [
            (self._lane(host, lane), row)
            for host in self.hosts.values()
            for lane, row in host.running
            if row.position in host.sent
        ]

    def hear(self, key: str, data: bytes) -> Iterator[Event]:
        """What these bytes of a host mean to the run. A host that is gone is not heard."""
        if host := self.hosts.get(key):
            try:
                for message in host.hear(data):
                    yield from self._take(host, message)
            except ValueError as error:
                self._link.release(host.key, str(error), again=True)

    def lose(self, key: str, why: str) -> Iterator[Event]:
        """A host is gone. Its rows may have run, or not."""
        host = self.hosts.pop(key, None)
        if host is None:
            return
        self.restarts += 1 + host.restarts
        self._share_out()
        # Nobody knows how far they had come. They run again uncharged, and are said to (docs/decisions/0011); only a
        # row that has lost machines which it had to itself is charged, or with --on-lost fail all of them.
        if host.sent:
            for position in host.sent:
                self.handed_out.remove(position)
            self._deaths = after_death(self._deaths, host.sent.keys())
            yield from self._sentence(host, host.last_words or why)

    def is_suspect(self, row: int) -> bool:
        """Whether a row has lost so many machines that it gets one to itself."""
        return must_be_alone(self._deaths, row)

    def _share_out(self, new: Container[str] = ()) -> None:
        """Share out the rows at once. `new`: hosts that have still to be told anything."""
        threads = {host.key: host.threads for host in self.hosts.values()}
        for key, calls in quotas(self._jobs, threads).items():
            quota = calls * self._a_call
            if self.hosts[key].quota != quota:
                self.hosts[key].quota = quota
                if key not in new:
                    self._link.say(key, ("quota", quota))

    def _take(self, host: HostAccount, message: HostMessage) -> Iterator[Event]:
        match message:
            case HostStatus():
                host.tells(message)
            case HostBroken(why, hint):
                host.last_words = f"{why}; {hint}"
            case PrintedNotice(text):
                if text not in self._noticed:
                    self._noticed.add(text)
                    self._say(text)
            case _:
                event = self._enter(host, message)
                yield event._replace(lane=self._lane(host, event.lane))

    def _enter(self, host: HostAccount, event: OfLane) -> OfLane:
        """An event's effect on the account."""
        match event:
            case Ready(_, hello):
                host.ready = hello.error is None
                if hello.error is not None:
                    message = f"on the cluster's worker {host.name}: {hello.error}"
                    return event._replace(hello=hello._replace(error=message))
            case Finished(_, ends):
                host.saw(len(ends), sum(reply.seconds for _, reply in ends))
                for ticket, reply in ends:
                    host.failures += reply.outcome == "failed"
                    self._ended(host, ticket.position)
            case TimedOut(_, ticket) | Crashed(_, ticket):
                host.failures += 1
                self._ended(host, ticket.position)
            case Returned(_, deals):
                host.stalled()
                for deal in deals:
                    for position in deal.positions:
                        self._strike(host, position)
        return event

    def _ended(self, host: HostAccount, position: int) -> None:
        """An attempt at the row has ended, and its machine is still there."""
        self._deaths.pop(position, None)
        self._strike(host, position)

    def _strike(self, host: HostAccount, position: int) -> None:
        """The host does not have the row any more."""
        del host.sent[position]
        self.handed_out.remove(position)

    def _lane(self, host: HostAccount, lane: int) -> int:
        """A number for a lane, among those of the whole cluster."""
        return self._lanes.setdefault((host.key, lane), len(self._lanes))

    def _sentence(self, host: HostAccount, why: str) -> Iterator[Event]:
        """What becomes of rows that were on a lost host, said and done."""
        lane, cause = self._lane(host, 0), f"was lost with its machine: {host.name}, {why}"
        guilty = [row for row in host.sent if self._fail_lost or is_guilty(self._deaths, row, ALONE)]
        victims = [row for row in host.sent if row not in guilty]
        rows = f"row{'s' * (len(host.sent) > 1)} {numbers(host.sent)}"
        end = (
            "count as crashed (--on-lost fail)" if self._fail_lost else "run again, which does not count as an attempt"
        )
        self._say(f"the cluster's worker {host.name} was lost ({why}): {rows} may have run; they {end}")
        for ticket in (host.sent[row].of(row) for row in guilty):
            # With --on-lost fail, whatever retries are left: it may have run, and is not to run twice.
            yield Crashed(lane, ticket._replace(last=ticket.attempt) if self._fail_lost else ticket, 0.0, cause, "")
        if victims:
            yield Returned(lane, tuple(parts(host.sent, victims)))
