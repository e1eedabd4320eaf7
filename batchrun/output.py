"""Where a worker's stdout and stderr go: into a pipe to the coordinator, each line tagged with its row."""

import io
import os
import sys
from collections.abc import Callable

_LONGEST_LINE = 1 << 16


class _Tagged(io.TextIOBase):
    """A text stream that writes whole lines to `fd`, each prefixed with the row that is running."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, fd: int, spare: int) -> None:
        self._fd = fd
        self._spare = spare
        self._rest: list[str] = []
        self._length = 0
        self.row = 0

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
        self._rest.append(text)
        self._length += len(text)
        if "\n" in text or self._length > _LONGEST_LINE:
            *lines, rest = "".join(self._rest).split("\n")
            if len(rest) > _LONGEST_LINE:
                lines.append(rest)
                rest = ""
            self._rest, self._length = [rest] if rest else [], len(rest)
            tag = f"[row {self.row}] " if self.row else ""
            self._send("".join(f"{tag}{line}\n" for line in lines))
        return len(text)

    def flush(self) -> None:
        return

    def end(self) -> None:
        """Write out a last line that has no end."""
        if self._length:
            self.write("\n")

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


def capture(pipe: int) -> Callable[[int], None]:
    """Send file descriptors 1 and 2, `sys.stdout` and `sys.stderr` into `pipe`, stdin to nothing.

    Returns `tag(row)`, to be called with a row's number before it runs and with 0 after it.
    """
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(pipe, 1)
    os.dup2(pipe, 2)
    out, err = _Tagged(1, pipe), _Tagged(2, pipe)
    sys.stdout = sys.__stdout__ = out  # type: ignore[assignment, misc]
    sys.stderr = sys.__stderr__ = err  # type: ignore[assignment, misc]

    def tag(row: int) -> None:
        out.end()
        err.end()
        out.row = err.row = row

    return tag


def untagged(line: str) -> str:
    """The line as the task printed it."""
    return line.partition("] ")[2] if line.startswith("[row ") else line
