"""What a cell of Jupyter's shows: its own output, in which how far the run is stays one line. The only door to IPython.

Not stderr, which is on red there, as if something were wrong; and a saved notebook would have a line for each look.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TextIO

from batchrun.core.grid import Record
from batchrun.core.text import printable
from batchrun.run.run import Run
from batchrun.run.summary import Summary

from . import phrases
from .plain import Plain
from .snapshot import Snapshot
from .stream import Stream
from .watch import Watch

_EVERY_SECONDS = 0.5


def is_notebook(stream: TextIO) -> bool:
    """Whether what is written here is shown in a cell of Jupyter's."""
    return type(stream).__module__.startswith("ipykernel.")


class Notebook(Plain):
    """As `Plain`, but for how far the run is: one line that is written anew."""

    def __init__(self, stream: Stream, *, ticks: bool = True) -> None:
        super().__init__(stream, ticks=ticks)
        if ticks:
            self._watch = Watch(_EVERY_SECONDS, self._show, at_once=True)
        self._run: Run | None = None
        self._line: Any = None

    def tick(self, run: Run, now: float) -> None:
        """Write the line anew, if it is time."""
        self._run = run
        super().tick(run, now)

    def _show(self, snap: Snapshot) -> None:
        self._write(phrases.drain(snap.drain, snap.in_flight, snap.slowest) if snap.drain else phrases.line(snap))

    def _write(self, text: str) -> None:
        shown = {"text/plain": printable(text)}
        with suppress(Exception):  # a frontend that has gone must not end a run
            if self._line:
                self._line.update(shown, raw=True)
            else:
                self._line = _display(shown, display_id=True)

    def ended(self, summary: Summary, advice: Sequence[str] = (), rows: Sequence[Record] = ()) -> None:
        """Let the line tell the end, and say how it went."""
        if self._run is not None and self._line:
            self._write(phrases.line(self._watch.snapshot(self._run, time.monotonic())))
        super().ended(summary, advice, rows)

    def _lines(self, lines: Sequence[str]) -> None:
        if lines:
            with suppress(Exception):
                _display({"text/plain": "\n".join(map(printable, lines))})


def _display(shown: dict[str, str], **how: Any) -> Any:
    from IPython.display import display

    return display(shown, raw=True, **how)  # type: ignore[no-untyped-call, unused-ignore]
