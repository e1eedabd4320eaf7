"""One lane: a place in the pool. It stays while its worker process is replaced.

The lane owns the process, its pipes, and the account of what was handed to it. It decides nothing about rows.
"""

import fcntl
import os
import select
import signal
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace

from .inflight import InFlight, Running, full_barrier
from .lifeline import kill_group, kill_trees
from .nursery import Nursery, NurseryDied
from .pace import Pace
from .wire import READ_SIZE, Frames, Hello, Reply, Ticket, pack, unpack_plain
from .worker import Orders

_PIPE_SIZE = 1 << 20
_HELD_BYTES = 4 << 20
_TAIL_LINE = 2000
TAIL_LINES = 40


class Lane:
    """A worker process and the private pipes to it; `index` is its number from 0 and its cell."""

    def __init__(self, index: int, orders: Orders, cells: InFlight) -> None:
        self.index = index
        self.orders = replace(orders, cell=index)
        self.pace = Pace()
        self._cells = cells
        self._row_bytes = 0.0

    def start(self, nursery: Nursery) -> None:
        """Start a worker (at first, and in place of one that died). Raises `NurseryDied`, `OSError`."""
        self._nursery = nursery
        self.ready = False
        self.stuck = False
        self.garbled = False
        self.doubt = 0
        self.finished = 0
        self.heard = time.monotonic()
        self.batch = 0
        self.sent: dict[int, Ticket] = {}
        self.condemned: Running | None = None
        self.killed = False
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._frames = Frames()
        self._outgoing: deque[memoryview] = deque()
        self._half_line = b""
        self._cells.clear(self.index)
        self._cells.recall(self.index, 0)
        self._ends: list[int] = []
        with ExitStack() as undo, ExitStack() as theirs:
            undo.callback(self._close)
            reads_rows, self.inbox = self._pipe(theirs, ours=1)
            self.outbox, writes_replies = self._pipe(theirs, ours=0)
            self.output, prints = self._pipe(theirs, ours=0)
            _widen(self.outbox)
            _widen(self.inbox)
            self.pid = nursery.start(self.orders, (reads_rows, writes_replies, prints))
            # A pidfd, not a pipe's end of file: a child that the worker forked would keep a pipe open.
            try:
                self.death = os.pidfd_open(self.pid)
            except ProcessLookupError:
                raise NurseryDied from None
            self._ends.append(self.death)
            undo.pop_all()

    def running(self) -> Running | None:
        """What runs in this lane now."""
        return self._cells.running(self.index)

    def tell(self, message: object) -> None:
        """Queue a message that is no batch of rows."""
        self._outgoing.append(memoryview(pack(message)))
        self.push()

    def give(self, tickets: list[Ticket]) -> None:
        """Hand rows to the worker."""
        self.batch += 1
        self.sent.update((ticket[0], ticket) for ticket in tickets)
        self.heard = time.monotonic()
        frame = pack(("rows", self.batch, [ticket.for_worker() for ticket in tickets]))
        self._row_bytes = max(len(frame) / len(tickets), 0.8 * self._row_bytes)
        self._outgoing.append(memoryview(frame))
        self.push()

    def room(self) -> int:
        """Rows that could be sent now without one of them waiting for long, or taking much memory."""
        if not self.ready or self.stuck or self._outgoing:
            return 0
        by_bytes = int(_HELD_BYTES / (self._row_bytes + 1))
        return max(0, min(self.pace.hold(), max(1, by_bytes)) - len(self.sent))

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

    def hear(self) -> Iterator[Hello | Reply]:
        """What the worker has said since the last call.

        Raises `ValueError` for bytes that it never wrote, `EOFError` when it has closed the pipe.
        """
        data = _read(self.outbox)
        if data == b"":
            raise EOFError
        for payload in self._frames.feed(data or b""):
            yield unpack_plain(payload)

    def hear_out(self) -> Iterator[Hello | Reply]:
        """All that is in the pipe now. Raises `ValueError` as `hear` does."""
        while data := _read(self.outbox):
            for payload in self._frames.feed(data):
                yield unpack_plain(payload)

    def printed(self, *, at_end: bool = False) -> list[str]:
        """Whole lines that the worker printed since the last call; also kept as the lane's tail.

        Raises `EOFError` when the worker has closed the pipe (not `at_end`, which takes all that is there).
        """
        came = _read_all(self.output) if at_end else _read(self.output)
        if came == b"" and not at_end:
            raise EOFError
        data = self._half_line + (came or b"")
        *lines, rest = data.split(b"\n")
        if at_end and rest:
            lines.append(rest)
            rest = b""
        if len(rest) > READ_SIZE:
            lines.append(rest)
            rest = b""
        self._half_line = rest
        texts = [line.decode("utf-8", "replace") for line in lines]
        self.tail.extend(text[:_TAIL_LINE] for text in texts)
        return texts

    def take_back(self) -> None:
        """Forbid every row handed out so far that has not started yet to start (see `worker._serve`)."""
        self._cells.recall(self.index, self.batch)
        full_barrier()

    def kill(self, condemned: Running | None = None) -> None:
        """Kill the worker and all that it started, for the sake of the row `condemned`, or of the run's end."""
        self.condemned = condemned
        self.killed = True
        kill_trees((self.pid,))

    def close_inbox(self) -> None:
        """Let the worker end by itself: it reads end-of-file."""
        if self.inbox in self._ends:
            self._ends.remove(self.inbox)
            os.close(self.inbox)

    def bury(self) -> str | None:
        """After the worker's death: end what it started, free its descriptors; returns its exit in words.

        None if the nursery has died, and the worker for no fault of its own with it.
        """
        kill_group(self.pid)
        self._close()
        self._cells.clear(self.index)
        try:
            return exit_in_words(self._nursery.reap(self.pid))
        except NurseryDied:
            return None

    def _pipe(self, theirs: ExitStack, *, ours: int) -> tuple[int, int]:
        ends = os.pipe()
        self._ends.append(ends[ours])
        theirs.callback(os.close, ends[1 - ours])
        os.set_blocking(ends[ours], False)
        return ends

    def _close(self) -> None:
        while self._ends:
            os.close(self._ends.pop())


def exit_in_words(code: int) -> str:
    """How a process ended, for people."""
    if code >= 0:
        return f"exited with code {code}"
    name = signal.strsignal(-code) or "unknown"
    hint = {9: "probably out of memory", 11: "segmentation fault"}.get(-code, name.lower())
    return f"killed by signal {-code}: {hint}"


def wait_gone(lanes: Iterable[Lane], seconds: float) -> None:
    """Wait until the workers have ended by themselves, at most `seconds`; then kill them."""
    until = time.monotonic() + seconds
    for lane in lanes:
        # Not select: it knows no descriptor above 1023.
        watch = select.poll()
        watch.register(lane.death, select.POLLIN)
        watch.poll(max(0.0, until - time.monotonic()) * 1000)
        kill_group(lane.pid)


def _widen(fd: int) -> None:
    with suppress(OSError):  # over the user's limit: the default size works too
        fcntl.fcntl(fd, getattr(fcntl, "F_SETPIPE_SZ", 1031), _PIPE_SIZE)


def _read(fd: int) -> bytes | None:
    """What is there: None for nothing yet, empty at the end."""
    try:
        return os.read(fd, READ_SIZE)
    except BlockingIOError:
        return None


def _read_all(fd: int) -> bytes:
    return b"".join(iter(lambda: _read(fd) or b"", b""))
