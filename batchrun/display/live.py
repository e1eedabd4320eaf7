"""The live view of a terminal. The only door to rich."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, cast

from rich.console import Console, Group
from rich.live import Live as RichLive
from rich.text import Text

from batchrun.checkpoint.inflight import Running
from batchrun.core.grid import Record, grid
from batchrun.core.text import printable
from batchrun.engine.events import Loading
from batchrun.run.run import Run
from batchrun.run.summary import Summary

from . import phrases
from .closing import closing
from .first_lines import Announcement, first_lines
from .layout import Line, glyphs_for, last_frame, layout
from .protocol import Reporter
from .snapshot import Snapshot
from .stream import Stream
from .watch import Watch

EVERY_SECONDS = 0.25
_STYLES = {
    "": "",
    "good": "green",
    "bad": "red",
    "warn": "yellow",
    "bar": "green",
    "rest": "dim",
    "label": "dim",
    "strong": "bold",
}


class Live(Reporter):
    """The reporter for people who look on. Redrawn at most four times a second, and only from `tick`."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._console = Console(
            file=cast(IO[str], stream), force_terminal=True, highlight=False, markup=False, emoji=False
        )
        self._glyphs = glyphs_for(stream.encoding, os.environ)
        self._view: RichLive | None = None
        self._run: Run | None = None
        self._shown = ""
        self._watch = Watch(EVERY_SECONDS, self._show, at_once=True)

    def planned(self, told: Announcement) -> None:
        """Print the plan."""
        self._watch.named(told.task, told.table.name)
        self._lines(first_lines(told))

    def tick(self, run: Run, now: float) -> None:
        """Redraw, if it is time."""
        self._run = run
        self._watch.look(run, now)

    def _show(self, snap: Snapshot) -> None:
        if self._stream.is_held():
            return
        self._draw(layout(snap, self._console.width, self._glyphs))

    def _draw(self, lines: Sequence[Line]) -> None:
        # The empty line at the end is for the cursor: an echoed ^C must not break the view.
        frame = Group("", *(self._text(line) for line in lines), "")
        if self._view is None:
            self._view = RichLive(
                frame,
                console=self._console,
                auto_refresh=False,
                redirect_stdout=False,
                redirect_stderr=False,
                vertical_overflow="crop",
            )
            self._view.start()
            # After a kill -9 nobody would bring the cursor back.
            self._console.show_cursor(True)
        self._view.update(frame, refresh=True)

    def _text(self, line: Line) -> Text:
        """The line, cut to the terminal's width: task and error texts may be of any."""
        text = Text.assemble(*((part, _STYLES[style]) for part, style in line), no_wrap=True)
        if text.cell_len > self._console.width:
            text.truncate(max(0, self._console.width - len(self._glyphs.cut)), overflow="crop")
            text.append(self._glyphs.cut)
        return text

    def say(self, text: str) -> None:
        """Print above the view."""
        self._lines(text.splitlines())

    def running(self, rows: Sequence[tuple[int, Running]], now: float, loading: Loading | None = None) -> None:
        """Print what is executing, above the view."""
        self._lines(phrases.running(rows, now, loading))

    def loading(self, loading: Loading | None) -> None:
        """Show what is waited for before there is a run; nothing of it stays."""
        text = phrases.still_loading(loading)
        if text and text != self._shown and not self._stream.is_held():
            self._draw([[(text, "warn")]])
            self._shown = text
        elif loading is None and self._view is not None:
            self._view.transient = True
            self._stop()

    def _lines(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._console.print(Text(printable(line)))

    def ended(self, summary: Summary, advice: Sequence[str] = (), rows: Sequence[Record] = ()) -> None:
        """Reduce the view to its bar, and print how it went below."""
        if self._run is not None and self._view is not None:
            snap = self._watch.snapshot(self._run, time.monotonic())
            self._draw(last_frame(snap, self._console.width, self._glyphs))
        self._stop()
        self._lines(grid(rows, self._console.width))
        (verdict, headline), *rest = closing(summary, advice, Path.cwd())
        lines = [Text.assemble((verdict, _verdict_style(summary.exit_code)), f" {headline}")]
        lines += [Text.assemble((f"  {label:<8} ", "dim"), printable(text)) for label, text in rest]
        for line in lines:
            # Not wrapped by us: a command that the terminal wraps can still be copied as one line.
            self._console.print(line, soft_wrap=True)

    def close(self) -> None:
        """Stop drawing, and wait until everything has been shown."""
        self._stop()
        self._stream.finish()

    def _stop(self) -> None:
        """Stop drawing; the last frame stays."""
        if self._view is not None:
            self._view.stop()
            self._view = None


def _verdict_style(exit_code: int) -> str:
    if exit_code == 0:
        return "bold green"
    return "bold yellow" if exit_code == 1 or exit_code >= 128 else "bold red"
