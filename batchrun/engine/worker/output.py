"""Where a worker's stdout and stderr go: into a pipe to the coordinator, each line tagged with its row."""

import io
import os
import sys

from batchrun.core.text import numbers
from batchrun.task.api import current_row, current_rows

_LONGEST_LINE = 1 << 16


class _Tagged(io.TextIOBase):
    """A text stream that writes whole lines to `fd`, each prefixed with the row that prints it."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, fd: int, spare: int) -> None:
        self._fd = fd
        self._spare = spare
        self.unfinished: dict[int, io.StringIO] = {}

    def into(self, spare: int) -> None:
        """Begin anew, in a process that was forked from the one in which this was made."""
        self._spare = spare
        self.unfinished.clear()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    @property
    def buffer(self) -> io.FileIO:
        """For tasks that write bytes: untagged."""
        return io.FileIO(self._fd, "wb", closefd=False)

    def reconfigure(self, **_: object) -> None:
        """As of a stream to a terminal, which programs may mean to set to UTF-8."""

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if not text:
            return 0
        row = current_row()
        line = self.unfinished.setdefault(row, io.StringIO())
        line.write(text)
        if "\n" in text or line.tell() > _LONGEST_LINE:
            self.unfinished.pop(row, None)  # threads of no row share one line: another may have been quicker
            *lines, rest = line.getvalue().split("\n")
            if len(rest) > _LONGEST_LINE:
                lines.append(rest)
            elif rest:
                self.unfinished[row] = io.StringIO()
                self.unfinished[row].write(rest)
            tag = _tag(row)
            self._send("".join(f"{tag}{line}\n" for line in lines))
        return len(text)

    def flush(self) -> None:
        return

    def end(self, row: int) -> None:
        """Write out a last line of the row that has no end."""
        if line := self.unfinished.pop(row, None):
            self._send(f"{_tag(row)}{line.getvalue()}\n")

    def _send(self, text: str) -> None:
        data = memoryview(text.encode("utf-8", "backslashreplace"))
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except OSError:
                if self._fd == self._spare:
                    return
                # A row has closed the descriptor; the rows after it must not fail at their first print.
                self._fd = self._spare


def _tag(row: int) -> str:
    """What goes before a line of the row, or of the call whose first row it is; nothing outside of rows."""
    together = current_rows()
    if row and len(together) > 1:
        return f"[rows {numbers(together)}] "
    return f"[row {row}] " if row else ""


_streams: list[_Tagged] = []
"""Both streams of this process. Workers that are forked from a template have its own: libraries may hold them."""


class Output:
    """What a worker prints, on both streams. `unfinished`: by row, the lines without an end on each of them."""

    def __init__(self, pipe: int) -> None:
        """Send file descriptors 1 and 2, `sys.stdout` and `sys.stderr` into `pipe`, stdin to nothing."""
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(pipe, 1)
        os.dup2(pipe, 2)
        if not _streams:
            _streams.extend((_Tagged(1, pipe), _Tagged(2, pipe)))
            sys.stdout = sys.__stdout__ = _streams[0]  # type: ignore[assignment, misc]
            sys.stderr = sys.__stderr__ = _streams[1]  # type: ignore[assignment, misc]
        for stream in _streams:
            stream.into(pipe)
        self.unfinished = tuple(stream.unfinished for stream in _streams)

    def end(self, row: int) -> None:
        """The row has ended: write out its last line."""
        for stream in _streams:
            if stream.unfinished:
                stream.end(row)
