"""A stream that never hurts the run: what cannot be shown is lost, the rows are not."""

from contextlib import suppress
from typing import TextIO

from .outlet import outlet_of


class Stream:
    """Writes to a text stream for as long as it takes it.

    A terminal that has been closed, a full disk behind a redirection or a character that the encoding lacks
    must not end a run that is paid for. Nor must one that is held stop it: where `waits` is false, what nobody takes
    yet is sent later, at the latest by `finish`. `error`: what kept text from being written, if that is not only that
    nobody reads it any more.
    """

    def __init__(self, stream: TextIO, *, waits: bool = True) -> None:
        self._stream = stream
        self._outlet = None if waits else outlet_of(stream)
        self._open = True
        self.error: OSError | None = None
        self.encoding = getattr(stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Write, as far as possible."""
        if self._open:
            data = text.encode(self.encoding, "backslashreplace")
            try:
                if self._outlet:
                    self._outlet.put(data)
                else:
                    self._stream.write(data.decode(self.encoding))
            except (OSError, ValueError) as error:
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """Flush, as far as possible."""
        if self._open:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._give_up(error)

    def is_held(self) -> bool:
        """Whether what was written before has not been taken yet: no moment to show what will soon be out of date."""
        if self._open and self._outlet:
            try:
                return self._outlet.is_held()
            except OSError as error:
                self._give_up(error)
        return False

    def finish(self) -> None:
        """Wait until everything has been taken; what is written from now on waits by itself."""
        outlet, self._outlet = self._outlet, None
        if outlet:
            try:
                outlet.finish()
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._open = False
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            self.error = error

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
