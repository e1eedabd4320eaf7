"""Plain lines for logs: one at the start, one every half minute, a few at the end. No control characters."""

from collections.abc import Sequence
from pathlib import Path
from shutil import get_terminal_size

from batchrun.checkpoint.inflight import Running
from batchrun.core.grid import Record, grid
from batchrun.core.text import printable
from batchrun.engine.events import Loading
from batchrun.run.run import Run
from batchrun.run.summary import Summary

from . import phrases
from .closing import as_text, closing
from .first_lines import Announcement, first_lines
from .protocol import Reporter
from .snapshot import Snapshot
from .stream import Stream
from .watch import Watch

EVERY_SECONDS = 30.0
FIRST_SECONDS = 5.0
WIDTH = (100, 24)
"""Columns and lines where there is no terminal."""


class Plain(Reporter):
    """The reporter where nobody may be looking. `ticks`: also say how far the run is."""

    def __init__(self, stream: Stream, *, ticks: bool = True) -> None:
        self._stream = stream
        self._ticks = ticks
        self._loading_due = FIRST_SECONDS
        self._watch = Watch(EVERY_SECONDS if ticks else float("inf"), self._show, at_once=False)

    def planned(self, told: Announcement) -> None:
        """Say the plan."""
        self._watch.named(told.task, told.table.name)
        self._lines(first_lines(told))

    def tick(self, run: Run, now: float) -> None:
        """Say how far the run is, every half minute, and when it begins to stop."""
        self._watch.look(run, now)

    def _show(self, snap: Snapshot) -> None:
        if self._stream.is_held():
            return
        if snap.drain:
            self.say(phrases.drain(snap.drain, snap.in_flight, snap.slowest))
        else:
            self.say(phrases.line(snap))

    def say(self, text: str) -> None:
        """Say it, on lines of their own."""
        self._lines(text.splitlines())

    def running(self, rows: Sequence[tuple[int, Running]], now: float, loading: Loading | None = None) -> None:
        """Say what is executing."""
        self._lines(phrases.running(rows, now, loading))

    def loading(self, loading: Loading | None) -> None:
        """Say that the task is still being loaded: soon, for nothing else has been said yet, then every half minute."""
        if loading is None:
            self._loading_due = FIRST_SECONDS
        elif self._ticks and loading.seconds >= self._loading_due:
            self._loading_due = loading.seconds + EVERY_SECONDS
            self.say(phrases.still_loading(loading))

    def ended(self, summary: Summary, advice: Sequence[str] = (), rows: Sequence[Record] = ()) -> None:
        """Say how it went."""
        self._lines(grid(rows, get_terminal_size(WIDTH).columns))
        self._lines(as_text(closing(summary, advice, Path.cwd())))

    def close(self) -> None:
        """Wait until everything has been read."""
        self._stream.finish()

    def _lines(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._stream.line(printable(line))
