"""Where workers are born: one clean process that has the worker's code loaded and forks itself for each lane.

Starting fifty interpreters costs seconds; fifty forks of one that is ready cost a tenth of one. The nursery is
itself started by fork + exec (loky's process context), has one thread, and never loads the user's code, so its
children inherit no lock, thread or runtime of the coordinator's: what makes forking the coordinator unsafe is
not there. See docs/decisions/0003-nursery.md.

Coordinator and nursery talk over a socket pair, one question at a time: start a worker (its pipes travel with
the message), or reap one that has died. A dead worker stays a zombie until it is reaped, so that its number
cannot be given to another process while the coordinator still means to kill what it had started.
"""

import atexit
import gc
import multiprocessing
import os
import pickle
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import resource_tracker as tracker_of_python
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from loky.backend import get_context
from loky.backend import resource_tracker as loky_tracker

from .lifeline import die_with, kill_group, kill_trees
from .orders import Orders
from .worker import main

_SIZE = 1 << 20
_ANSWER_SECONDS = 30.0
_loky = get_context("loky")


class NurseryDied(Exception):
    """The nursery was killed, and all workers with it."""


class Nursery:
    """The coordinator's side."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(_ANSWER_SECONDS)  # a row may have stopped its parent
        self._socket = ours
        end = Connection(theirs.detach())
        # A queue.py in the working directory must not shadow Python's own while the nursery starts.
        self._process = _loky.Process(
            target=_tend, args=(end, os.getpid()), name="nursery", env={"PYTHONSAFEPATH": "1"}
        )
        self._process.start()
        end.close()
        self.died = False

    def start(self, orders: Orders, pipes: Sequence[int]) -> int:
        """Start a worker with its ends of inbox, outbox and output; returns its process number.

        Raises `OSError` if the machine lets no further process start.
        """
        return int(self._ask(("start", orders), pipes))

    def reap(self, pid: int) -> int:
        """The exit code of a worker that has died (negative: the signal that killed it)."""
        return int(self._ask(("reap", pid)))

    def close(self) -> None:
        """End the nursery. Workers that still live die with it."""
        self._socket.close()
        kill_group(self._process.pid)
        self._process.join()

    def _ask(self, question: Any, descriptors: Sequence[int] = ()) -> Any:
        try:
            socket.send_fds(self._socket, [pickle.dumps(question)], descriptors)
            answer = self._socket.recv(_SIZE)
        except OSError:
            answer = b""
        if not answer:
            self.died = True
            raise NurseryDied
        told = pickle.loads(answer)
        if isinstance(told, OSError):
            raise told
        return told


def _tend(control: Connection, coordinator: int) -> None:
    """The nursery's life: answer until the coordinator closes the socket."""
    os.setpgid(0, 0)
    workers: set[int] = set()
    own = os.getpid()

    def heed(_signum: int, _frame: object) -> None:
        """Signals are the coordinator's business, but for the one that tells of its death."""
        if os.getpid() == own and os.getppid() != coordinator:
            _end(workers)

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(signum, heed)
    die_with(coordinator, signal.SIGTERM)
    os.environ.pop("PYTHONSAFEPATH", None)
    gc.freeze()
    _leave_loky(control.fileno())
    # The error: the coordinator died before it had heard an answer.
    with socket.socket(fileno=control.fileno()) as channel, suppress(ConnectionError):
        _answer(channel, workers)
    _end(workers)


def _answer(channel: socket.socket, workers: set[int]) -> None:
    """Answer the coordinator's questions until it closes its end; `workers`: those that live, kept up to date."""
    own = os.getpid()
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, _SIZE, 3)
        if not message:
            return
        verb, subject = pickle.loads(message)
        answer: int | OSError
        if verb == "reap":
            _, status = os.waitpid(subject, 0)
            workers.discard(subject)
            answer = os.waitstatus_to_exitcode(status)
        else:
            answer = _fork()
            if answer == 0:
                channel.close()
                _live(subject, own, descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            if isinstance(answer, int):
                workers.add(answer)
        channel.send(pickle.dumps(answer))


def _leave_loky(keep: int) -> None:
    """Undo what loky handed down: rows, and programs that they start, must not write to its tracker."""
    trackers: tuple[Any, ...] = (loky_tracker._resource_tracker, tracker_of_python._resource_tracker)
    for tracker in trackers:
        tracker._fd = tracker._pid = None
    multiprocessing.set_start_method(None, force=True)  # loky's is unknown to processes that rows start
    os.set_inheritable(keep, False)
    for fd in range(3, 256):
        with suppress(OSError):
            if os.get_inheritable(fd):
                os.close(fd)


def _fork() -> int | OSError:
    try:
        return os.fork()
    except OSError as error:
        return error


def _end(workers: set[int]) -> NoReturn:
    """The coordinator is gone: so is everything that was started for it."""
    kill_trees(workers)
    os._exit(0)


def _live(orders: Orders, nursery: int, pipes: list[int]) -> None:
    """A worker's life, from fork to exit; never returns into the nursery's code."""
    code = 1
    try:
        main(orders, nursery, *pipes)
        atexit._run_exitfuncs()  # a client that the user's module made may want to say goodbye
        code = 0
    except BaseException:  # noqa: BLE001 - whatever it is, it must not unwind into the nursery
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)
