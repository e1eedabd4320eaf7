"""One life of a lane's worker: the process, its pipes, and why it was ended, if we have ended it."""

import os
import time
from collections import deque
from collections.abc import Collection
from typing import NamedTuple

from batchrun.checkpoint.inflight import Running
from batchrun.core.processes import exit_in_words, kill_group
from batchrun.engine.events import Stillborn
from batchrun.engine.wire import Hello
from batchrun.engine.worker_setup import WorkerSetup

from .nursery import Nursery, NurseryDied
from .pipes import Pipes

_TAIL_LINE = 2000
TAIL_LINES = 40


class Condemned(NamedTuple):
    """It was ended because of this row, which is out of time."""

    row: Running


class Hung(NamedTuple):
    """It was ended because one of its rows kept all others from going on, and it is not known which.

    `suspects`: it is one of these, if that is known.
    """

    suspects: Collection[int] | None = None


class Overgrown(NamedTuple):
    """It was ended because it had grown far beyond its limit while this row ran. `why`: in words."""

    row: Running
    why: str


class Unaffordable:
    """It was ended because the machine has too little memory for it."""


class Overdue(NamedTuple):
    """It was ended because it was loading the task for too long. `told`: what is to be told when it has died."""

    told: Stillborn


class Garbled:
    """It was ended because nothing that it says can be trusted: a row has written to its pipe."""


class Killed:
    """It was ended for no fault of a row's."""


Ending = Condemned | Overgrown | Unaffordable | Hung | Overdue | Garbled | Killed


class WorkerProcess:
    """A worker that has been asked for, and is there from `arrive` on. `death`: a descriptor that is readable once it
    has died.

    `born_of`: the nursery or template that it was forked from; `started`: when (monotonic seconds). `hello`: what it
    has said of the task, once it has loaded it. `ending`: why we have ended it. `tail`: what it printed last.
    """

    def __init__(self, setup: WorkerSetup, nursery: Nursery, channel: int | None = None) -> None:
        """Ask for it. Raises `NurseryDied`, `OSError`.

        `channel`: through which it is asked for further workers, if it can be their template.
        """
        self.born_of = nursery
        self.hello: Hello | None = None
        self.ending: Ending | None = None
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.pipes = Pipes()
        try:
            offered = () if channel is None else (channel,)
            nursery.ask_for(setup, (*self.pipes.theirs, *offered))
        except BaseException:
            self.pipes.close()
            raise
        self.pipes.given_away()

    def arrive(self) -> None:
        """Wait until it has been started. Raises `NurseryDied`, `OSError`."""
        try:
            self.pid = self.born_of.started()
            # A pidfd, not a pipe's end of file: a child that the worker forked would keep a pipe open.
            self.death = os.pidfd_open(self.pid)
        except ProcessLookupError:
            self.pipes.close()
            raise NurseryDied from None
        except BaseException:
            self.pipes.close()
            raise
        self.started = time.monotonic()

    @property
    def killed(self) -> bool:
        """Whether we have ended it, for any reason but what it said."""
        return self.ending is not None and not isinstance(self.ending, Garbled)

    def descriptors(self) -> tuple[int, ...]:
        """All that may be watched."""
        return self.pipes.outbox, self.pipes.output, self.pipes.inbox, self.death

    def end_for(self, why: Ending) -> None:
        """Note why it is being ended. The first reason stays; being garbled is none any more once there is another."""
        if not self.killed:
            self.ending = why

    def printed(self, *, at_end: bool = False) -> list[str]:
        """Whole lines that it printed since the last call; also kept as its tail.

        Raises `EOFError` when it has closed the pipe.
        """
        lines = self.pipes.printed(at_end=at_end)
        self.tail.extend(line[:_TAIL_LINE] for line in lines)
        return lines

    def leave(self) -> None:
        """It has had no row, and has become the template of others: it is no lane's business any more."""
        self.pipes.close()
        os.close(self.death)

    def bury(self) -> str | None:
        """After its death: end what it started, free its descriptors; returns its exit in words.

        None if the nursery has died, and the worker for no fault of its own with it.
        """
        kill_group(self.pid)
        self.leave()
        try:
            return exit_in_words(self.born_of.reap(self.pid))
        except NurseryDied:
            return None
