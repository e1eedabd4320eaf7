"""What the user has asked of a running job: how many rows at once, to pause, to end. See `remote` for how."""

import os
import signal
from typing import Protocol

from batchrun.core.signals import Signals
from batchrun.core.text import counted
from batchrun.engine.seam import Engine
from batchrun.errors import BatchrunError

from .allowance import Allowance
from .backlog import Backlog
from .remote import Answer, Remote, Request


class Steered(Protocol):
    """A run, as far as it can be steered."""

    engine: Engine
    backlog: Backlog
    signals: Signals
    allowance: Allowance
    stopped: BatchrunError | None

    def take_back(self) -> None:
        """Rows that have not started return to the backlog."""

    def say(self, text: str) -> None:
        """Tell whoever looks on."""


class Helm:
    """Steers one run. `jobs`: rows at once, `asked` for by ctl or not; `task`: its name, for the answers; `a_call`: how
    many rows each call is given at most, for ctl counts calls.

    `lowered`: there are more places than may be used. `paused`: nothing is handed out.
    """

    def __init__(self, remote: Remote, *, jobs: int, task: str, a_call: int = 1) -> None:
        self.jobs = jobs
        self.asked: int | None = None
        self.paused = False
        self.lowered = False
        self._task = task
        self._remote = remote
        self._places = jobs
        self.a_call = a_call

    def look(self, run: Steered) -> None:
        """Do what has been asked since the last turn of the run's loop."""
        self._remote.heed(lambda request: self._obey(run, request))

    def room(self, room: int, in_flight: int) -> int:
        """Of `room` places, those that may be used."""
        if self.paused:
            return 0
        return max(0, min(room, self.jobs - in_flight)) if self.lowered else room

    def _obey(self, run: Steered, request: Request) -> Answer:
        if run.stopped is not None:
            return self._state(run, draining=True)
        trouble = "" if request.jobs is None else self._set_jobs(run, request.jobs * self.a_call)
        if request.paused is not None:
            self.paused = request.paused
        if request.drain:
            run.signals.stop(signal.SIGTERM, None)
        elif self.paused or self.lowered:
            run.take_back()
        if request != Request():
            run.say(f"ctl: {trouble or self._in_words(request)}")
        return self._state(run, trouble, draining=request.drain)

    def _set_jobs(self, run: Steered, jobs: int) -> str:
        """Use so many places, and make them if need be; returns why not, if it cannot be done."""
        rows = run.engine.busy() + len(run.backlog)
        wanted = min(jobs, -(-rows // self.a_call) * self.a_call)
        if wanted > self._places:
            try:
                run.engine.grow(wanted)
            except BatchrunError as error:
                return f"not {jobs // self.a_call:,} jobs: {error}"
            self._places = wanted
        self.jobs, self.asked = jobs, jobs // self.a_call
        self.lowered = jobs < self._places
        run.allowance.throttle.ceiling = jobs // self.a_call
        return ""

    def _in_words(self, request: Request) -> str:
        parts = [f"limited to {counted(self.jobs, 'row')} at once"] if request.jobs else []
        parts += ["ending after the rows in flight"] if request.drain else []
        if request.paused is not None:
            parts.append("paused; rows in flight finish" if request.paused else "resumed")
        return ", ".join(parts)

    def _state(self, run: Steered, trouble: str = "", *, draining: bool) -> Answer:
        return {
            "task": self._task,
            "pid": os.getpid(),
            "jobs": self.jobs // self.a_call,
            "paused": self.paused,
            "draining": draining,
            "in_flight": run.engine.busy(),
            "trouble": trouble,
        }


def unsteered() -> Helm:
    """For a run that nobody speaks to."""
    return Helm(Remote(None), jobs=1, task="")
