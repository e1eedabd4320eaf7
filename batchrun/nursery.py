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
import os
import pickle
import signal
import socket
import sys
import traceback
from multiprocessing.connection import Connection
from typing import Any

from loky.backend import get_context

from .lifeline import die_with, kill_group
from .worker import Orders, main

_SIZE = 1 << 20
_loky = get_context("loky")


class NurseryDied(Exception):
    """The nursery was killed, and all workers with it."""


class Nursery:
    """The coordinator's side."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket = ours
        end = Connection(theirs.detach())
        # A queue.py in the working directory must not shadow Python's own while the nursery starts.
        self._process = _loky.Process(
            target=_tend, args=(end, os.getpid()), name="nursery", env={"PYTHONSAFEPATH": "1"}
        )
        self._process.start()
        end.close()
        self.died = False

    def start(self, orders: Orders, pipes: tuple[int, int, int]) -> int:
        """Start a worker with its ends of inbox, outbox and output; returns its process number."""
        return int(self._ask(("start", orders), pipes))

    def reap(self, pid: int) -> int:
        """The exit code of a worker that has died (negative: the signal that killed it)."""
        return int(self._ask(("reap", pid)))

    def close(self) -> None:
        """End the nursery. Workers that still live die with it."""
        self._socket.close()
        kill_group(self._process.pid)
        self._process.join()

    def _ask(self, question: Any, descriptors: tuple[int, ...] = ()) -> Any:
        try:
            socket.send_fds(self._socket, [pickle.dumps(question)], descriptors)
            answer = self._socket.recv(_SIZE)
        except OSError:
            answer = b""
        if not answer:
            self.died = True
            raise NurseryDied
        return pickle.loads(answer)


def _tend(control: Connection, coordinator: int) -> None:
    """The nursery's life: answer until the coordinator closes the socket."""
    os.setpgid(0, 0)
    die_with(coordinator)
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _stay)
    os.environ.pop("PYTHONSAFEPATH", None)
    gc.freeze()
    channel = socket.socket(fileno=control.fileno())
    own = os.getpid()
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, _SIZE, 3)
        if not message:
            os._exit(0)
        verb, subject = pickle.loads(message)
        if verb == "reap":
            _, status = os.waitpid(subject, 0)
            answer = os.waitstatus_to_exitcode(status)
        else:
            answer = os.fork()
            if answer == 0:
                channel.close()
                _live(subject, own, descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
        channel.send(pickle.dumps(answer))


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


def _stay(_signum: int, _frame: object) -> None:
    """Signals are the coordinator's business."""
