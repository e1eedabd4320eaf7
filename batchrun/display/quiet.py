"""No display: whoever runs the command prints errors, and what was asked for is still answered."""

from collections.abc import Sequence

from batchrun.checkpoint.inflight import Running
from batchrun.engine.events import Loading

from . import phrases
from .protocol import Reporter
from .stream import Stream


class Quiet(Reporter):
    """The reporter of `--quiet`."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def running(self, rows: Sequence[tuple[int, Running]], now: float, loading: Loading | None = None) -> None:
        """The user has just asked for it."""
        for line in phrases.running(rows, now, loading):
            self._stream.line(line)

    def close(self) -> None:
        """Wait until everything has been read."""
        self._stream.finish()
