"""One line that is written anew, for notebooks: they are no terminals, but know the carriage return."""

from collections.abc import Sequence
from typing import TextIO

from batchrun.core.text import printable

from . import phrases
from .plain import Plain
from .snapshot import Snapshot
from .stream import Stream
from .watch import Watch

_EVERY_SECONDS = 0.5
_WIDTH = 110


def is_notebook(stream: TextIO) -> bool:
    """Whether what is written here is shown in a cell of Jupyter's."""
    return type(stream).__module__.startswith("ipykernel.")


class OneLine(Plain):
    """As `Plain`, but for how far the run is: that stays on one line."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self._watch = Watch(_EVERY_SECONDS, self._show, at_once=True)
        self._shown = 0

    def _show(self, snap: Snapshot) -> None:
        text = phrases.drain(snap.drain, snap.in_flight, snap.slowest) if snap.drain else phrases.line(snap)
        text = printable(text)[:_WIDTH]
        self._stream.write(f"\r{text:<{self._shown}}")
        self._stream.flush()
        self._shown = len(text)

    def _lines(self, lines: Sequence[str]) -> None:
        if self._shown and lines:
            self._stream.write("\n")
            self._shown = 0
        super()._lines(lines)
