"""A lane host: the process beside a cluster's worker in which our own lanes run, for a coordinator far away.

Messages come in on stdin and messages go out on stdout, frame by frame; that worker only passes them on. At
the end of stdin, or when that worker dies, the host ends and its lanes with it. What tasks print goes to
stderr, which is that worker's.
"""

import os
import select
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from batchrun.core.redact import Redactor
from batchrun.engine.deal import Deal, take, whole_calls
from batchrun.engine.events import Event, Gathered, Ready, Returned, Stillborn, StoodStill
from batchrun.engine.lane_slots import slots_of_lanes
from batchrun.engine.local.lanes import Lanes
from batchrun.engine.seam import Rows
from batchrun.engine.wire import READ_SIZE, Frames, unpack, write_all
from batchrun.engine.worker.lifeline import die_with
from batchrun.engine.worker_setup import WorkerSetup
from batchrun.errors import BatchrunError
from batchrun.task.notice import hear_notices

from .messages import HostBroken, HostMessage, HostStatus, PrintedNotice, packed_messages
from .own_pipes import pipes_aside
from .task_bundle import TaskBundle

TICK_SECONDS = 0.1
STATUS_SECONDS = 0.5
STALE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Opening:
    """The first message to a host.

    `jobs`: rows at once, at first. `threads`: `--threads`. `cpus`: its worker's threads.
    """

    setup: WorkerSetup
    bundle: TaskBundle
    environment: dict[str, str]
    jobs: int
    threads: int
    cpus: int


class LaneHost:
    """Feeds the lanes from the rows that came, and tells what happens to them."""

    def __init__(self, lanes: Lanes, opening: Opening, folder: Path, notices: list[HostMessage]) -> None:
        self._lanes = lanes
        self._notices = notices
        self._opening = opening
        self._folder = folder
        self._table: tuple[Any, ...] | None = None
        self._is_async: bool | None = None
        self._a_call = opening.setup.batch or 1
        self._capacity = 0  # rows at once for which there are slots
        self._waiting: deque[Deal] = deque()
        self._quota = opening.jobs
        self._limit: float | None = None
        self._fed = time.monotonic()
        self._draining = False

    def heed(self, message: tuple[Any, ...]) -> list[HostMessage]:
        """Do what the coordinator says."""
        match message:
            case ("rows", deals):
                self._fed = time.monotonic() if not self._waiting else self._fed
                self._waiting.extend(map(Deal.received, deals))
            case ("quota", quota):
                self._quota = quota
                self._grow()
            case ("table", *table):
                self._table = tuple(table)
                self._lay_out()
            case ("limit", limit):
                self._limit = limit
            case ("drain",):
                self._draining = True
                return [*self._told(self._lanes.withdraw("drain")), *self._give_back()]
            case ("recall",):
                return [*self._told(self._lanes.withdraw("recall")), *self._give_back()]
        return []

    def turn(self) -> list[HostMessage]:
        """Hand out what there is room for; returns what has happened."""
        self._feed()
        answers = [*self._told(self._lanes.events(0, self._limit)), *self._notices]
        self._notices.clear()
        if self._waiting and time.monotonic() - self._fed > STALE_SECONDS:
            answers += self._give_back()  # they could start elsewhere
        return answers

    def status(self) -> HostStatus:
        """How it goes."""
        now = time.monotonic()
        state = self._lanes.state()
        running = tuple((lane, now - row.started, row.position) for lane, row in state.running)
        return HostStatus(state.lanes, state.restarts, running, state.largest, state.scarce)

    def _feed(self) -> None:
        room = self._lanes.room()
        if self._quota < self._capacity:  # slots cannot be taken away: some get nothing
            room = min(room, whole_calls(self._quota - self._lanes.busy(), self._a_call))
        if deals := take(self._waiting, room):
            self._lanes.send(deals)
            self._fed = time.monotonic()

    def _lay_out(self) -> None:
        """Once the columns are known, and what kind of function it is: the lanes' slots."""
        if self._table is None or self._is_async is None or self._capacity:
            return
        names, types, missing = self._table
        jobs, threads, cpus = self._opening.jobs, self._opening.threads * self._a_call, self._opening.cpus
        slots = slots_of_lanes(jobs, is_async=self._is_async, threads=threads, cpus=cpus)
        self._lanes.prepare(Rows(names, types, missing, (), slots))
        self._capacity = jobs
        self._grow()

    def _grow(self) -> None:
        """Further slots, if the quota is larger than it was. Where the machine has no room, those there are stay."""
        if 0 < self._capacity < self._quota:
            with suppress(BatchrunError):
                self._lanes.grow(self._quota)
                self._capacity = self._quota

    def _told(self, events: list[Event]) -> Iterator[HostMessage]:
        for event in events:
            if isinstance(event, StoodStill):
                continue  # this machine, not the run
            if isinstance(event, Returned) and not self._draining:
                self._waiting.extendleft(reversed(event.deals))
            elif isinstance(event, Ready):
                if event.hello.error is None:
                    self._is_async = event.hello.is_async
                    self._lay_out()
                at_home = self._opening.bundle.at_home
                sources = tuple((at_home(path, self._folder), digest) for path, digest in event.hello.sources)
                yield event._replace(hello=event.hello._replace(sources=sources))
            elif isinstance(event, Gathered):
                yield event.singly()
            elif isinstance(event, Stillborn):
                yield event._replace(hung=False)  # other hosts may have loaded the task
            else:
                yield event

    def _give_back(self) -> list[HostMessage]:
        waiting = tuple(self._waiting)
        self._waiting.clear()
        return [Returned(0, waiting)] if waiting else []


def main(worker: int) -> None:
    """The host's life. `worker`: the process to die with."""
    die_with(worker)
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, lambda *_: None)  # who means the host closes its stdin
    inbox, outbox = pipes_aside()
    frames, folder = Frames(unpack), Path.cwd()
    opening, *messages = _first(inbox, frames)
    for name, value in opening.environment.items():
        os.environ.setdefault(name, value)
    spec = opening.bundle.unpack(folder)
    inflight = folder / "inflight"
    setup = replace(opening.setup, spec=spec, inflight=str(inflight))
    notices: list[HostMessage] = []
    printed = hear_notices(_printer(), lambda text: notices.append(PrintedNotice(text)))
    try:
        with Lanes(opening.jobs, setup, inflight, printed) as lanes:
            lanes.start(1)
            _serve(LaneHost(lanes, opening, folder, notices), lanes, frames, messages, (inbox, outbox))
    except BatchrunError as error:
        write_all(outbox, packed_messages([HostBroken(str(error), error.hint)]))


def _first(inbox: int, frames: Frames) -> list[Any]:
    """Wait for the first messages."""
    while data := os.read(inbox, READ_SIZE):
        if messages := list(frames.feed(data)):
            return messages
    sys.exit(0)


def _printer() -> Callable[[int, list[str]], None]:
    """What tasks print goes to the stderr of the cluster's worker."""
    redactor = Redactor(os.environ)

    def printed(lane: int, lines: list[str]) -> None:
        for line in lines:
            print(f"batchrun lane {lane + 1} {redactor.text(line)}", file=sys.stderr, flush=True)

    return printed


def _serve(host: LaneHost, lanes: Lanes, frames: Frames, messages: list[Any], pipes: tuple[int, int]) -> None:
    """Until the inbox ends: heed, turn, tell."""
    inbox, outbox = pipes
    watch = select.poll()
    watch.register(inbox, select.POLLIN)
    watch.register(lanes.fileno(), select.POLLIN)
    told = 0.0
    while True:
        answers = [answer for message in messages for answer in host.heed(message)]
        answers += host.turn()
        if time.monotonic() - told > STATUS_SECONDS:
            told = time.monotonic()
            answers.append(host.status())
        if answers:
            write_all(outbox, packed_messages(answers))
        messages = []
        if any(fd == inbox for fd, _ in watch.poll(TICK_SECONDS * 1000)):
            data = os.read(inbox, READ_SIZE)
            if not data:
                return
            messages = list(frames.feed(data))


if __name__ == "__main__":
    main(int(sys.argv[1]))
