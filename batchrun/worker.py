"""What runs in a lane's process: take rows from the pipe, run the task on each, write each reply at once.

A reply is in the pipe before the next row starts. The kernel keeps what is in the pipe when this process
dies, so a row that has finished is never run again because of its neighbour.

Imports nothing heavy: fifty of these must fit beside the user's own modules.
"""

import faulthandler
import fcntl
import gc
import os
import resource
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .attempt import Finish, attempt, finisher, safe_text, to_its_end
from .errors import TaskError
from .inflight import InFlight, full_barrier
from .lifeline import die_with, in_own_group
from .loading import Function, load, users_trace
from .output import capture
from .table.convert import converter
from .wire import Hello, Ticket, pack_plain, read_frames, write_all

_ASIDE = 1000


@dataclass(frozen=True)
class Orders:
    """All that a worker is told at its start (travels pickled; plain data only).

    `spec`: see `loading.load`. `cell`: its place in the in-flight file.
    """

    spec: str | bytes
    cell: int
    inflight: str
    strict: bool
    accept_truncated: bool


def main(orders: Orders, parent: int, inbox: int, outbox: int, output: int) -> None:
    """A worker's life. Returns when the coordinator closes the inbox. `parent`: whom to die with."""
    in_own_group()
    die_with(parent)
    inbox, outbox, output = (_aside(fd) for fd in (inbox, outbox, output))
    tag = capture(output)
    faulthandler.enable(file=2)
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        # Not SIG_IGN: programs that a row starts would inherit that.
        signal.signal(signum, _stay)
    function = _introduce(orders, outbox)
    if function is None:
        return
    gc.freeze()
    finish = finisher(strict=orders.strict, accept_truncated=orders.accept_truncated)
    with InFlight(Path(orders.inflight), orders.cell + 1, create=False) as cells:
        _serve(function, finish, cells, orders.cell, inbox, outbox, tag)


def _stay(_signum: int, _frame: object) -> None:
    """A signal meant for the coordinator (Ctrl-C reaches everyone) must not hurt the row in flight."""


def _aside(fd: int) -> int:
    """Move a descriptor out of the way of rows that close or write to all low ones, and of what they start."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    lowest = _ASIDE if soft == resource.RLIM_INFINITY else min(_ASIDE, soft - 16)
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, max(lowest, 3))
    os.close(fd)
    return moved


def _introduce(orders: Orders, outbox: int) -> Function | None:
    """Load the task and say how that went; None when it cannot be loaded."""
    try:
        function, hello = load(orders.spec)
    except TaskError as error:
        trace = users_trace(error.__cause__) if error.__cause__ else ""
        function, hello = None, Hello(False, "", (), str(error), error.hint, trace)
    except BaseException as error:  # noqa: BLE001 - a function by value may fail in any way when it is rebuilt
        message = f"the task cannot be loaded: {type(error).__name__}: {safe_text(error)}"
        function, hello = None, Hello(False, "", (), message, "", users_trace(error))
    write_all(outbox, pack_plain("hello", hello))
    return to_its_end(function) if function and hello.is_async else function


def _serve(function: Function, finish: Finish, cells: InFlight, cell: int, inbox: int, outbox: int, tag: Any) -> None:
    own = os.getpid()
    for ticket, row, batch in _rows(inbox):
        started = time.monotonic()
        cells.start(cell, ticket.position, started, ticket.attempt, ticket.fingerprint)
        # The start must be seen before the recall is read, or the coordinator could take back a row that is
        # starting (Dekker's pattern).
        full_barrier()
        if batch <= cells.recalled(cell):
            cells.clear(cell)
            continue
        tag(ticket.position)
        reply = attempt(function, ticket, row, finish, started)
        tag(0)
        if os.getpid() != own:
            # The row forked, and this is the child coming back: only the parent speaks for the row.
            os._exit(0)
        write_all(outbox, pack_plain("reply", reply))
        cells.clear(cell)


def _rows(inbox: int) -> Iterator[tuple[Ticket, dict[str, Any], int]]:
    """Each row with its typed cells, and the number of the batch that it came in."""
    convert = None
    for message in read_frames(inbox):
        if message[0] == "table":
            convert = converter(message[1], message[2])
            continue
        _, batch, tickets = message
        assert convert is not None
        for ticket, row in zip(tickets, _typed(convert, tickets), strict=True):
            yield Ticket(*ticket), row, batch


def _typed(convert: Any, tickets: list[tuple[Any, ...]]) -> list[Any]:
    """The rows of a batch. Where a cell does not fit its column any more, that row is the exception it raises."""
    try:
        return list(convert([ticket[3] for ticket in tickets]))
    except (ValueError, TypeError, KeyError) as error:
        if len(tickets) == 1:
            return [ValueError(f"a cell no longer fits its column's type, the input was changed: {error}")]
        return [row for ticket in tickets for row in _typed(convert, [ticket])]
