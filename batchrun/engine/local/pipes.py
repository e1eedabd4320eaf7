"""The coordinator's ends of a worker's private pipes: rows go in, replies and printed lines come out. And its slate."""

import fcntl
import os
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, suppress

from batchrun.engine.slate import Slate, new_slate
from batchrun.engine.wire import READ_SIZE, Frames, Hello, Reply, SheetFrame, unpack_plain

_PIPE_SIZE = 1 << 20


class Pipes:
    """Three pipes and a slate. The worker's ends, in this order, are in `theirs` until they are `given_away`."""

    def __init__(self) -> None:
        self._ends: list[int] = []
        self.theirs: list[int] = []
        self._frames = Frames(unpack_plain)
        self._outgoing: deque[memoryview] = deque()
        self._half_line = b""
        with ExitStack() as undo:
            undo.callback(self.close)
            self.inbox = self._pipe(ours=1)
            self.outbox = self._pipe(ours=0)
            self.output = self._pipe(ours=0)
            self.theirs.append(new_slate())
            self.slate = Slate(self.theirs[-1])
            undo.pop_all()
        _widen(self.outbox)
        _widen(self.inbox)

    @property
    def full(self) -> bool:
        """Whether something waits until the worker reads on."""
        return bool(self._outgoing)

    def put(self, frame: bytes) -> None:
        """Queue a frame for the worker."""
        # Never waits: a worker reads nothing while it runs a row, and the coordinator has the others to look after.
        self._outgoing.append(memoryview(frame))
        self.push()

    def push(self) -> bool:
        """Write what the pipe takes. True when nothing is left to write."""
        try:
            while self._outgoing:
                view = self._outgoing[0]
                written = os.write(self.inbox, view)
                if written < len(view):
                    self._outgoing[0] = view[written:]
                else:
                    self._outgoing.popleft()
        except BlockingIOError:
            return False
        except BrokenPipeError:
            # The worker has died; its death is an event of its own.
            self._outgoing.clear()
        return True

    def hear(self) -> Iterator[Hello | Reply | SheetFrame]:
        """What the worker has said since the last call.

        Raises `ValueError` for bytes that it never wrote, `EOFError` when it has closed the pipe.
        """
        data = _read(self.outbox)
        if data == b"":
            raise EOFError
        yield from self._frames.feed(data or b"")

    def hear_out(self) -> Iterator[Hello | Reply | SheetFrame]:
        """All that is in the pipe now. Raises `ValueError` as `hear` does."""
        while data := _read(self.outbox):
            yield from self._frames.feed(data)

    def printed(self, *, at_end: bool = False) -> list[str]:
        """Whole lines that the worker printed since the last call.

        Raises `EOFError` when the worker has closed the pipe (not `at_end`, which takes all that is there).
        """
        came = b"".join(iter(lambda: _read(self.output) or b"", b"")) if at_end else _read(self.output)
        if came == b"" and not at_end:
            raise EOFError
        *lines, rest = (self._half_line + (came or b"")).split(b"\n")
        if rest and (at_end or len(rest) > READ_SIZE):
            lines.append(rest)
            rest = b""
        self._half_line = rest
        return [line.decode("utf-8", "replace") for line in lines]

    def given_away(self) -> None:
        """The worker has its ends."""
        while self.theirs:
            os.close(self.theirs.pop())

    def close_inbox(self) -> None:
        """Let the worker end by itself: it reads end-of-file."""
        if self.inbox in self._ends:
            self._ends.remove(self.inbox)
            os.close(self.inbox)

    def close(self) -> None:
        """Free every descriptor."""
        self.given_away()
        while self._ends:
            os.close(self._ends.pop())

    def _pipe(self, *, ours: int) -> int:
        ends = os.pipe()
        self._ends.append(ends[ours])
        self.theirs.append(ends[1 - ours])
        os.set_blocking(ends[ours], False)
        return ends[ours]


def _widen(fd: int) -> None:
    with suppress(OSError):  # over the user's limit: the default size works too
        fcntl.fcntl(fd, getattr(fcntl, "F_SETPIPE_SZ", 1031), _PIPE_SIZE)


def _read(fd: int) -> bytes | None:
    """What is there: None for nothing yet, empty at the end."""
    try:
        return os.read(fd, READ_SIZE)
    except BlockingIOError:
        return None
