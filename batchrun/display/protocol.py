"""What a run tells to whoever shows it."""

from collections.abc import Sequence

from batchrun.checkpoint.inflight import Running
from batchrun.core.grid import Record
from batchrun.engine.events import Loading
from batchrun.run.run import Run
from batchrun.run.summary import Summary

from .first_lines import Announcement


class Reporter:
    """What a run tells. Times are monotonic seconds. No call raises because something cannot be shown.

    This one shows nothing; each other defines what it shows.
    """

    def planned(self, told: Announcement) -> None:
        """Before any row runs."""

    def tick(self, run: Run, now: float) -> None:
        """On every turn of the run's loop."""

    def say(self, text: str) -> None:
        """A line of information or warning."""

    def running(self, rows: Sequence[tuple[int, Running]], now: float, loading: Loading | None = None) -> None:
        """The user asked what is executing: lane and row of each. `loading`: why it is nothing."""

    def loading(self, loading: Loading | None) -> None:
        """On every turn while the first worker loads the task and there is no run yet; None: that is over."""

    def ended(self, summary: Summary, advice: Sequence[str] = (), rows: Sequence[Record] = ()) -> None:
        """After the last row, when the results are written. `rows`: those that have run, if they are few."""

    def close(self) -> None:
        """Leave the terminal as it was; may be called at any time, and twice."""
