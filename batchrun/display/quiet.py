"""No display: whoever runs the command prints errors, and what was asked for is still answered."""

from collections.abc import Sequence
from pathlib import Path

from batchrun.checkpoint.inflight import Running
from batchrun.engine.events import Loading
from batchrun.run.plan import Plan
from batchrun.run.run import Run
from batchrun.run.summary import Summary

from . import phrases
from .stream import Stream


class Quiet:
    """The reporter of `--quiet`."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def planned(self, plan: Plan, *, task: str, input: Path, jobs: int, notes: Sequence[str]) -> None:  # noqa: A002
        """Nothing."""

    def tick(self, run: Run, now: float) -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """Nothing."""

    def running(self, rows: Sequence[tuple[int, Running]], now: float, loading: Loading | None = None) -> None:
        """The user has just asked for it."""
        for line in phrases.running(rows, now, loading):
            self._stream.line(line)

    def loading(self, loading: Loading | None) -> None:
        """Nothing."""

    def ended(self, summary: Summary, advice: Sequence[str] = ()) -> None:
        """Nothing."""

    def close(self) -> None:
        """Wait until everything has been read."""
        self._stream.finish()
