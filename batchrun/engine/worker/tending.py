"""The nursery's own side: it forks itself for each worker, and reaps the dead. See `nursery` for why.

Has one thread, and never loads the user's code. A template does the same with what it has loaded: see `templating`.
"""

import atexit
import gc
import os
import pickle
import signal
import socket
import sys
import traceback
import warnings
from contextlib import suppress
from typing import NoReturn

from batchrun.core.processes import kill_trees
from batchrun.engine.local.nursery import SIGNALS
from batchrun.engine.worker_setup import WorkerSetup

from .lifeline import die_with
from .templating import Born
from .worker import main


def tend(channel: socket.socket, coordinator: int) -> None:
    """The nursery's life: answer until the coordinator closes the socket."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, as some services start their programs, it loses exit codes
    workers: set[int] = set()
    own = os.getpid()

    def heed(_signum: int, _frame: object) -> None:
        """Signals are the coordinator's business, but for the one that tells of its death."""
        if os.getpid() == own and os.getppid() != coordinator:
            _end(workers)

    for signum in SIGNALS:
        signal.signal(signum, heed)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    die_with(coordinator, signal.SIGTERM)
    gc.freeze()
    try:
        # The error: the coordinator died before it had heard an answer.
        with channel, suppress(ConnectionError):
            answer_questions(channel, workers)
    finally:
        _end(workers)


def answer_questions(channel: socket.socket, workers: set[int], born: Born | None = None) -> None:
    """Answer the coordinator's questions until it closes its end; `workers`: those that live, kept up to date.

    `born`: see `worker.main`.
    """
    own = os.getpid()
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, 1, 6)
        if not message:
            return
        if not descriptors:
            continue  # a template was told to go on, and has
        with open(descriptors.pop(0), "rb") as question:
            verb, subject = pickle.load(question)
        answer: int | OSError
        if verb == "reap":
            _, status = os.waitpid(subject, 0)
            workers.discard(subject)
            answer = os.waitstatus_to_exitcode(status)
        else:
            answer = _fork()
            if answer == 0:
                channel.close()
                _live(subject, own, descriptors, born)
            for descriptor in descriptors:
                os.close(descriptor)
            if isinstance(answer, int):
                workers.add(answer)
        channel.send(pickle.dumps(answer))


def _fork() -> int | OSError:
    try:
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of threads that survive it
            return os.fork()
    except OSError as error:
        return error


def _end(workers: set[int]) -> NoReturn:
    """The coordinator is gone: so is everything that was started for it."""
    # Its death is told twice, here and by a signal. To begin anew in the middle would find no children of dead workers.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    kill_trees(workers)
    os._exit(0)


def _live(setup: WorkerSetup, parent: int, descriptors: list[int], born: Born | None) -> None:
    """A worker's life, from fork to exit; never returns into the nursery's code."""
    code = 1
    try:
        main(setup, parent, *descriptors, answer=answer_questions, born=born)
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
