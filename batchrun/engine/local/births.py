"""Where workers come from, and when it makes no sense to start another one."""

import sys
from contextlib import suppress
from typing import NamedTuple

from batchrun.core.processes import kill_trees
from batchrun.engine.worker_setup import WorkerSetup
from batchrun.errors import StoppedError

from .lane import Lane
from .nursery import Nursery, NurseryDied
from .worker_process import WorkerProcess
from .worker_template import WorkerTemplate

NURSERY_LIMIT = 3
BARREN_LIMIT = 10


class Trial(NamedTuple):
    """A lane whose worker may become the template of the others."""

    lane: Lane
    template: WorkerTemplate


class FirstWorker:
    """The worker that may become the template of the others: it has been asked for, and imports libraries."""

    def __init__(self, nursery: Nursery, setup: WorkerSetup) -> None:
        """Ask for it. Raises `NurseryDied`, `OSError`."""
        self.setup = setup
        self.template = WorkerTemplate(nursery)
        with self.template.offered as theirs:
            self.worker = WorkerProcess(setup, nursery, theirs.fileno())

    def end(self) -> None:
        """No lane takes it: end it."""
        self.template.abandon()
        with suppress(NurseryDied, OSError):
            self.worker.arrive()
            kill_trees([self.worker.pid])
            self.worker.bury()


class Births:
    """Starts workers from a nursery, and from a new one where that was killed; or from a template, if there is one.

    `nursery`: one that is up already. `trial`: what is tried, while it is not known whether the first worker is to be
    the template of the others. `refusal`: why it cannot be.
    """

    def __init__(self, nursery: Nursery | None = None) -> None:
        self._preload = False
        self._first: FirstWorker | None = None
        self._template: WorkerTemplate | None = None
        self.trial: Trial | None = None
        self.refusal = ""
        self._retired: list[WorkerTemplate] = []
        self._nursery = nursery
        self._nurseries = 0
        self._barren = 0

    def begin(self, setup: WorkerSetup) -> None:
        """Ask for the first worker before there is a lane: it imports libraries, and runs no code of the user's."""
        with suppress(NurseryDied, OSError):  # said when it is needed
            self._first = FirstWorker(self._up(), setup)

    def preload(self) -> None:
        """The first worker is to be the template of the others, if it can be."""
        self._preload = True

    def start(self, lane: Lane) -> None:
        """Start a lane's worker. Raises `StoppedError` if that cannot be done."""
        while True:
            try:
                self._start(lane)
            except NurseryDied:
                continue
            except OSError as error:
                raise StoppedError(
                    f"a worker cannot be started: {error}", "lower --jobs, or raise the limits (see ulimit -a)"
                ) from error
            return

    def _start(self, lane: Lane) -> None:
        if self._template and self._template.died:
            self._template.close()
            self._template = None
        if self._template:
            lane.start(self._template)
            return
        first, self._first = self._first, None
        if first and not (self._preload and first.setup == lane.setup):
            first.end()
            first = None
        nursery = self._up()
        if not self._preload:
            lane.start(nursery)
            return
        self._preload = False
        first = first or FirstWorker(nursery, lane.setup)
        lane.take(first.worker)
        first.template.go_on()
        self.trial = Trial(lane, first.template)

    def end_trial(self, *, died: bool = False) -> bool:
        """Whether the worker that is tried is the template of all further ones now. To be asked once, when it has said
        so, or has `died`.
        """
        assert self.trial
        (lane, template), self.trial = self.trial, None
        if not died and not lane.worker.killed and template.is_up(lane.worker.pid):
            self._template = template
            return True
        self.refusal = template.refusal
        template.abandon()
        return False

    def stillborn(self, lane: Lane) -> None:
        """A worker has died before it had loaded the task: it may have been the fork. Further ones come from the
        nursery; those that live are not touched.
        """
        if self._template and lane.worker.born_of is self._template:
            self._retired.append(self._template)
            self._template = None

    def _up(self) -> Nursery:
        if self._nursery is None or self._nursery.died:
            self._nurseries += 1
            if self._nurseries > NURSERY_LIMIT:
                raise StoppedError(
                    f"the process that starts workers was killed {NURSERY_LIMIT} times",
                    "check whether a row kills its parent, the machine runs out of memory, "
                    f"or {sys.executable} does not start",
                )
            if self._nursery:
                self._nursery.close()
            self._nursery = Nursery()
        return self._nursery

    def nursery_excused(self) -> None:
        """It is known which row killed the nursery: that time does not count."""
        self._nurseries -= 1

    def in_vain(self, lane: Lane, cause: str | None, *, charged: bool) -> StoppedError | None:
        """Count a death. Workers that load the task and die before a row has started could be replaced for ever:
        what to say when that has gone on for long enough. `charged`: a row is blamed for the death.
        """
        # A worker that has finished a row, or a row that is blamed, is progress: retries end by themselves.
        if lane.rows.finished or lane.worker.killed or charged:
            self._barren = 0
        elif lane.ready and cause:
            self._barren += 1
            if self._barren >= BARREN_LIMIT:
                return StoppedError(
                    f"{BARREN_LIMIT} workers in a row died before they had started a row: {cause}",
                    "check whether the task's module starts threads that end the process",
                )
        return None

    def close(self) -> None:
        """End template and nursery."""
        if self._first:
            self._first.end()
            self._first = None
        if self.trial:
            self.trial.template.abandon()
        for template in (*self._retired, *([self._template] if self._template else [])):
            template.close()
        if self._nursery:
            self._nursery.close()
