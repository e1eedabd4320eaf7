"""A way to a terminal or a pipe on which nobody has to wait.

A terminal that is held (Ctrl-S, a selection, a connection that has stalled) makes whoever writes to it wait. For a
run that would mean that no row is handed out and no timeout fires until somebody comes back.
"""

import io
import os
import select
import stat
import time
from typing import TextIO

_PATIENCE_MS = 100
_PAUSE_SECONDS = 0.01


class Outlet:
    """Takes bytes at once, and passes them on when they are taken from it. Raises `OSError` when nobody ever will."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._unsent = bytearray()

    def put(self, data: bytes) -> None:
        """Pass this on now, or later."""
        self._unsent += data
        self._push()

    def is_held(self) -> bool:
        """Whether something still waits to be taken."""
        self._push()
        return bool(self._unsent)

    def finish(self) -> None:
        """Wait until everything has been taken, and close it."""
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        try:
            while self.is_held():
                poll.poll(_PATIENCE_MS)
                time.sleep(_PAUSE_SECONDS)
        finally:
            os.close(self._fd)

    def _push(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: os.write(self._fd, self._unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self._unsent.clear()
            raise


def outlet_of(stream: TextIO) -> Outlet | None:
    """An outlet to where a stream leads; None where writing never waits, or nothing can be done about it.

    The descriptor is a new one, because what does not wait is a property that all who share one would get.
    """
    if not isinstance(stream, io.TextIOWrapper):  # a notebook's: its descriptor leads elsewhere, if it has one
        return None
    try:
        stream.flush()
        fd = stream.fileno()
        mode = os.fstat(fd).st_mode
        if not (stat.S_ISFIFO(mode) or os.isatty(fd)):
            return None
        return Outlet(os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC))
    except (OSError, ValueError):
        return None
