"""What runs in a lane's process: load the task, say how that went, serve rows until the coordinator is done.

Imports nothing heavy: fifty of these must fit beside the user's own modules.
"""

import faulthandler
import fcntl
import gc
import os
import resource
import signal
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

from batchrun.checkpoint.inflight import InFlight
from batchrun.engine.slate import Slate
from batchrun.engine.wire import Hello, pack_plain, write_all
from batchrun.engine.worker_setup import WorkerSetup
from batchrun.errors import TaskError
from batchrun.task.kept_code import load_as_begun
from batchrun.task.load import Function, load, users_trace
from batchrun.task.shadowing import shadowed

from .attempt import finisher, safe_text
from .batches import Batching, on_one_loop
from .enough import TOO_LARGE_HINT, Enough
from .lifeline import die_with, in_own_group, mark_of_this_process, watch_for_hang_up
from .output import Output
from .serve import serve
from .service import Service
from .slate_writer import SlateWriter
from .templating import Answer, Born, LoadedTask, become_template

_ASIDE = 1000
_NOT_FOR_US = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(
    setup: WorkerSetup,
    parent: int,
    inbox: int,
    outbox: int,
    output: int,
    slate: int,
    channel: int | None = None,
    *,
    answer: Answer,
    born: Born | None = None,
) -> None:
    """A worker's life. Returns when the coordinator closes the inbox.

    `parent`: whom to die with. `channel`: through which further workers are asked for, and `answer` answers, if this
    one can be their template. `born`: what to do first in a child of a template; returns the task if it is loaded.
    """
    in_own_group()
    die_with(parent)
    inbox, outbox, output, slate = (_aside(fd) for fd in (inbox, outbox, output, slate))
    printed = Output(output)
    faulthandler.enable(file=2)
    for signum in _NOT_FOR_US:
        # Not SIG_IGN: programs that a row starts would inherit that.
        signal.signal(signum, _stay)
    # Where it is, said by a handler in C: also in a module whose import does not come back to Python.
    faulthandler.register(signal.SIGUSR1, file=output, all_threads=False)
    if channel is None:
        task = born() if born else None
    else:
        task = become_template(setup, _aside(channel), (inbox, outbox, output, slate), partial(_load, setup), answer)
    _heed_in_children()  # not in a template, whose children are workers
    # Before the coordinator hears of this worker: rows that had to wait for its imports would start in a burst.
    finish = finisher(setup.reply, strict=setup.strict, accept_truncated=setup.accept_truncated, schema=setup.schema)
    function, hello = task or _load(setup)
    enough = Enough(setup.limits)
    if function is not None and (too_large := enough.from_the_start()):
        function, hello = None, hello._replace(error=too_large, hint=TOO_LARGE_HINT)
    write_all(outbox, pack_plain(hello))
    if function is None:
        return
    gc.freeze()
    with InFlight(Path(setup.inflight)) as cells:
        ours, gone = mark_of_this_process(), watch_for_hang_up(inbox)
        service = Service(function, finish, cells, gone, outbox, printed, ours, enough)
        if hello.is_async:
            from .looped import serve_async  # asyncio only where it is used

            serve_async(service, inbox)
        else:
            batch = Batching(setup.batch, setup.frame) if setup.batch else None
            serve(replace(service, slate=SlateWriter(Slate(slate), inbox, outbox)), inbox, batch)


def _heed_in_children() -> None:
    """What a row forks heeds signals: `Process.terminate` and `Pool` end their children so, and wait for them."""
    held = threading.local()

    def hold() -> None:  # one that came before the child could be killed by it would be lost
        held.before = signal.pthread_sigmask(signal.SIG_BLOCK, _NOT_FOR_US)

    def release() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, held.before)

    def heed() -> None:
        for signum in _NOT_FOR_US:
            if signal.getsignal(signum) is _stay:
                signal.signal(signum, signal.default_int_handler if signum == signal.SIGINT else signal.SIG_DFL)
        release()

    os.register_at_fork(before=hold, after_in_parent=release, after_in_child=heed)


def _stay(_signum: int, _frame: object) -> None:
    """A signal meant for the coordinator (Ctrl-C reaches everyone) must not hurt the row in flight."""


def _aside(fd: int) -> int:
    """Move a descriptor out of the way of rows that close or write to all low ones, and of what they start."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    lowest = _ASIDE if soft == resource.RLIM_INFINITY else min(_ASIDE, soft - 16)
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, max(lowest, 3))
    os.close(fd)
    return moved


def _load(setup: WorkerSetup) -> LoadedTask:
    """Load the task, and what to say of that."""
    worker = os.getpid()
    function: Function | None = None
    try:
        load_as_begun(setup.sources)
        function, loaded = load(setup.spec, setup.args, strict=setup.strict, accept_truncated=setup.accept_truncated)
        hello = Hello(*loaded, error=None, hint="", trace="")
        if hello.is_async and setup.batch:
            function, hello = on_one_loop(function), hello._replace(is_async=False)
        if hello.is_async:
            from . import looped  # noqa: F401 - asyncio only where it is used, and before anybody waits for rows
    except TaskError as error:
        trace = users_trace(error.__cause__) if error.__cause__ else ""
        function, hello = None, Hello(False, "", (), str(error), error.hint, trace)
    except BaseException as error:  # noqa: BLE001 - a function by value may fail in any way when it is rebuilt
        message = f"the task cannot be loaded: {type(error).__name__}: {safe_text(error)}"
        function, hello = None, Hello(False, "", (), message, shadowed(error) or "", users_trace(error))
    if os.getpid() != worker:
        # The module forked, and this is the child coming back: it would share the worker's pipes.
        os._exit(0)
    return LoadedTask(function, hello)
