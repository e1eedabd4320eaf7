"""Where workers are born: one clean process that has the worker's code loaded and forks itself for each lane.

Starting fifty interpreters costs seconds; fifty forks of one that is ready cost a tenth of one. The nursery is
itself started by loky's fork + exec, has one thread, and never loads the user's code, so its children inherit no
lock, thread or runtime of the coordinator's: what makes forking the coordinator unsafe is not there. See
docs/decisions/0003-nursery.md.

Coordinator and nursery talk over a socket pair, one question at a time: start a worker (its pipes travel with
the message), or reap one that has died. A dead worker stays a zombie until it is reaped, so that its number
cannot be given to another process while the coordinator still means to kill what it had started.
"""

import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from batchrun.core.importing import own_first
from batchrun.core.processes import kill_group
from batchrun.engine.worker_setup import WorkerSetup

MESSAGE_SIZE = 1 << 20
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
ANSWER_SECONDS = 30.0
_BOOT = """import pickle, socket, sys
channel = socket.socket(fileno=int(sys.argv[1]))
_, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
with open(descriptors[0] if descriptors else sys.exit(), "rb") as message:
    coordinator, sys.path[:], sys.argv[:] = pickle.load(message)
from batchrun.engine.worker.tending import tend
tend(channel, coordinator)"""


class NurseryDied(Exception):
    """The nursery was killed, and all workers with it."""


class Nursery:
    """The coordinator's side."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(ANSWER_SECONDS)  # a row may have stopped its parent
        self._socket = ours
        with theirs:
            self._pid: int | None = _boot(theirs.fileno())
        with suppress(ConnectionError):  # it has died already: the first question will tell
            say(ours, (os.getpid(), own_first(sys.path), sys.argv))
        self.died = False

    def start(self, setup: WorkerSetup, pipes: Sequence[int]) -> int:
        """Start a worker with its ends of inbox, outbox and output, and its slate; returns its process number.

        Raises `OSError` if the machine lets no further process start.
        """
        self.ask_for(setup, pipes)
        return self.started()

    def ask_for(self, setup: WorkerSetup, pipes: Sequence[int]) -> None:
        """The first half of `start`, which waits for nothing. No other question may come before the second half."""
        self._say(("start", setup), pipes)

    def started(self) -> int:
        """The second half of `start`."""
        return int(self._answer())

    def reap(self, pid: int) -> int:
        """The exit code of a worker that has died (negative: the signal that killed it)."""
        self._say(("reap", pid))
        return int(self._answer())

    def close(self) -> None:
        """End the nursery. Workers that still live die with it. Closing it again does nothing."""
        self._socket.close()
        self.died = True
        if self._pid is not None:
            kill_group(self._pid)
            with suppress(ChildProcessError):  # somebody else in this process reaps its children, or ignores them
                os.waitpid(self._pid, 0)
            self._pid = None

    def _say(self, question: Any, descriptors: Sequence[int] = ()) -> None:
        if self.died:
            raise NurseryDied
        try:
            say(self._socket, question, descriptors)
        except (ConnectionError, TimeoutError):
            self.died = True
            raise NurseryDied from None

    def _answer(self) -> Any:
        try:
            answer = self._socket.recv(MESSAGE_SIZE)
        except (ConnectionError, TimeoutError):
            answer = b""
        # No answer in half a minute is as good as none: whoever stopped it has stopped all that it could start.
        if not answer:
            self.died = True
            raise NurseryDied
        told = pickle.loads(answer)
        if isinstance(told, OSError):
            raise told
        return told


def say(channel: socket.socket, what: Any, descriptors: Sequence[int] = ()) -> None:
    """Send something of any size, which a socket's message would not take: in a file that is nowhere but in memory."""
    with open(os.memfd_create("batchrun"), "wb+") as message:
        pickle.dump(what, message)
        message.seek(0)
        socket.send_fds(channel, [b"?"], [message.fileno(), *descriptors])


def _boot(channel: int) -> int:
    """Start the nursery's process, which hears of everything through `channel`; returns its number."""
    from loky.backend.fork_exec import fork_exec  # the nursery itself needs none of loky

    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    # Ctrl-C reaches everyone: blocked until it can be heeded, for Python would end in a traceback.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        # -P: a queue.py in the working directory must not shadow Python's own.
        return int(fork_exec([sys.executable, *flags, "-P", "-c", _BOOT, str(channel)], [channel]))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
