"""A stream that never hurts the run: what cannot be shown is lost, the rows are not."""

from contextlib import suppress
from typing import TextIO


class Stream:
    """Writes to a text stream for as long as it takes it.

    A terminal that has been closed, a full disk behind a redirection or a character that the encoding lacks
    must not end a run that is paid for.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._open = True
        self.encoding = getattr(stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Write, as far as possible."""
        if self._open:
            try:
                self._stream.write(text.encode(self.encoding, "backslashreplace").decode(self.encoding))
            except (OSError, ValueError):
                self._open = False
        return len(text)

    def flush(self) -> None:
        """Flush, as far as possible."""
        if self._open:
            try:
                self._stream.flush()
            except (OSError, ValueError):
                self._open = False

    def line(self, text: str) -> None:
        """Write a line and flush it."""
        self.write(f"{text}\n")
        self.flush()

    def isatty(self) -> bool:
        """Whether someone may be looking."""
        with suppress(OSError, ValueError):
            return self._stream.isatty()
        return False

    def fileno(self) -> int:
        """The descriptor behind it; raises `OSError` if there is none."""
        return self._stream.fileno()
