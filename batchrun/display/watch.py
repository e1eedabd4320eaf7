"""When to look at a run, and what is seen then; shared by the displays that follow it."""

from collections.abc import Callable

from batchrun.errors import BatchrunError
from batchrun.run.run import Run

from .snapshot import Snapshot, snapshot_of


class Watch:
    """Looks at a run every so many `seconds`, and at once when it begins to stop.

    `look` is called on every turn of the run's loop: until it is time it costs two comparisons.
    """

    def __init__(self, seconds: float, show: Callable[[Snapshot], None], *, at_once: bool) -> None:
        self._seconds = seconds
        self._show = show
        self._at_once = at_once
        self._next = float("-inf")
        self._stopped: BatchrunError | None = None
        self._stopped_at: float | None = None
        self._task = self._input = ""

    def named(self, task: str, input_name: str) -> None:
        """What the run is about."""
        self._task, self._input = task, input_name

    def look(self, run: Run, now: float) -> None:
        """Show the run, if it is time."""
        if now >= self._next or run.stopped is not self._stopped:
            self._look(run, now)

    def _look(self, run: Run, now: float) -> None:
        stops = run.stopped is not self._stopped
        if stops:
            self._stopped = run.stopped
            self._stopped_at = now if self._stopped_at is None else self._stopped_at
        first = self._next == float("-inf")
        self._next = now + self._seconds
        if stops or self._at_once or not first:
            self._show(self.snapshot(run, now))

    def snapshot(self, run: Run, now: float) -> Snapshot:
        """The run as it is now."""
        return snapshot_of(run, now, task=self._task, input_name=self._input, draining_since=self._stopped_at)
