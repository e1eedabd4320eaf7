"""How a worker goes through its rows: one by one, or several at once in threads. For `async def`: see `looped`.

A reply is in the pipe, or on the slate, before its slot's next row starts. Both are still there when this process has
died, so a row that has finished is never run again because of its neighbour.
"""

import os
import queue
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any, NoReturn

from batchrun.checkpoint.inflight import InFlight, full_barrier
from batchrun.checkpoint.sheets import NAME_BYTES
from batchrun.engine.deal import halves
from batchrun.engine.wire import Reply, pack_plain, read_frames, write_all
from batchrun.table.convert import converter
from batchrun.task.api import forget_current
from batchrun.task.load import Function

from .attempt import Finish, Row, attempt
from .batches import BatchCall, Batching, in_batches
from .enough import Enough
from .lifeline import watch_for_hang_up
from .output import Output
from .slate_writer import SlateWriter

_NO_ATTEMPT = frozenset({"refused", "aborted"})

Convert = Callable[[Sequence[tuple[Any, ...]]], list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Service:
    """What serving rows takes: the task, what becomes of its values, the in-flight file, the ways in and out.

    `enough`: counts the worker's rows. `gone`: whether the coordinator is (see `watch_for_hang_up`). `slate`: where
    results wait for each other; None where rows run beside each other.
    """

    function: Function
    finish: Finish
    cells: InFlight
    gone: Callable[[], object]
    outbox: int
    output: Output
    pid: int
    enough: Enough
    slate: SlateWriter | None = None

    def begin_together(self, cell: int, lane: int, rows: Sequence[Row]) -> float | None:
        """The same as `begin` for the rows of one call, in cells that follow each other: all of them, or none."""
        started = time.monotonic()
        for own, row in enumerate(rows, cell):
            self.cells.start(own, row.position, started, row.attempt, row.fingerprint)
        full_barrier()
        if not self.cells.may_start(lane, rows[0].batch) or self.gone():
            self.clear(cell, len(rows))
            return None
        for own, row in enumerate(rows, cell):
            self.cells.started(own, row.position, row.attempt)
        return started

    def clear(self, cell: int, rows: int) -> None:
        """Rows that are called together do not run any more, from `cell` on."""
        for own in range(cell, cell + rows):
            self.cells.clear(own)

    def begin(self, cell: int, lane: int, row: Row) -> float | None:
        """Mark the row as started in `cell`; None if it must not start. `lane`: the lane's first cell.

        Returns the monotonic time of the start. A row that must not start was taken back by the coordinator, or
        will be (see `Lanes.collect`), or the coordinator is dead: it is none of this worker's any more.
        """
        position, attempt, fingerprint, _, batch, _ = row
        started = time.monotonic()
        self.cells.start(cell, position, started, attempt, fingerprint)
        # The start must be seen before the recall is read, or the coordinator could take back a row that is
        # starting (Dekker's pattern, docs/decisions/0006).
        full_barrier()
        # The nursery ends the lanes of a coordinator that has died; on a busy machine it may not get to it at once.
        if not self.cells.may_start(lane, batch) or self.gone():
            self.cells.clear(cell)
            return None
        self.cells.started(cell, position, attempt)
        return started

    def end(self, cell: int, reply: Reply) -> None:
        """Put the reply into the pipe, or onto the slate, then free the cell."""
        if os.getpid() != self.pid:
            # The row forked, and this is the child coming back: only the parent speaks for the row.
            os._exit(0)
        # What must be true when the coordinator reads the reply is done before it: the printed text is out, and no
        # other row starts if none may. The cell is freed after it: until then a death is this row's
        # (docs/decisions/0005).
        self.output.end(reply.position)
        if self.slate is not None:
            if self.slate.take(reply):
                # Who sees the cell empty, or with the next row, must find this one on the slate.
                full_barrier()
                self.cells.clear(cell)
                return
            self.slate.send()
        if reply.outcome in _NO_ATTEMPT:
            self.cells.no_attempt(cell)
            if reply.wait or reply.outcome == "aborted":
                # At once: until the coordinator has heard of it, other lanes would start what they hold.
                self.cells.halt(cell)
        write_all(self.outbox, pack_plain(reply))
        self.cells.clear(cell)


class Desk:
    """Understands the coordinator's messages. `first`: the lane's first cell; `slots`: rows at once."""

    def __init__(self) -> None:
        self.first = 0
        self.slots = 1
        self._convert: Convert | None = None

    def rows(self, message: tuple[Any, ...]) -> list[Row]:
        """The rows that a message brings."""
        if message[0] == "table":
            _, names, types, missing, self.first, self.slots = message
            self._convert = converter(names, types, missing)
            return []
        _, batch, deals = message
        assert self._convert is not None
        rows: list[Row] = []
        for positions, number, names, cells, before in deals:
            fingerprints = [names[at : at + NAME_BYTES] for at in range(0, len(names), NAME_BYTES)]
            alike = repeat(batch), repeat(number > before + 1)
            rows += map(Row, positions, repeat(number), fingerprints, _typed(self._convert, cells), *alike)
        return rows


def serve(service: Service, inbox: int, batch: Batching | None = None) -> None:
    """Run a plain function on what comes, until the coordinator closes the inbox. `batch`: many rows a call."""
    desk = Desk()
    messages = read_frames(inbox)
    call = BatchCall(service.function, service.finish, frame=batch.frame) if batch else None
    for message in messages:
        rows = desk.rows(message)
        if desk.slots > (batch.most if batch else 1):
            _in_threads(replace(service, slate=None), desk, messages, inbox, batch)
            return
        if batch and call:
            for together in in_batches(rows, batch.most):
                _together(service, call, desk.first, desk.first, together, nullcontext())
            forget_current()
        else:
            _one_by_one(service, desk.first, rows)
        if service.slate is not None:
            if service.enough.why:
                service.slate.send()
                service.enough.say()
                return  # the coordinator sees it end, and has what it still held run elsewhere
            service.slate.send_if_idle()


def _one_by_one(service: Service, cell: int, rows: list[Row]) -> None:
    for row in rows:
        if (started := service.begin(cell, cell, row)) is None:
            continue
        reply = attempt(service.function, row, service.finish, started)
        service.end(cell, reply)
        if service.enough.after_row():
            break
    forget_current()


def _together(
    service: Service,
    call: BatchCall,
    cell: int,
    lane: int,
    together: Sequence[Row],
    pipe: AbstractContextManager[object],
) -> None:
    """Several rows a call. Of a call that goes wrong, its halves are called, and so on until the rows are alone.

    `cell`: the first of as many; `pipe`: held while there are replies.
    """
    calls = deque([together])
    while calls and not service.enough.why:
        some = calls.popleft()
        if (started := service.begin_together(cell, lane, some)) is None:
            continue
        if (replies := call(some, started)) is None:
            service.clear(cell, len(some))
            # Of a task that always fails, enough rows have soon failed alone. But a row alone says nothing of a task
            # that returns the wrong number of results: while that is in doubt, the larger come first.
            calls = deque([*calls, *halves(some)] if call.in_doubt else [*halves(some), *calls])
            continue
        with pipe:
            for own, reply in enumerate(replies, cell):
                service.end(own, reply)
            service.enough.after_row(len(some))


def _alone(service: Service, cell: int, lane: int, row: Row, pipe: threading.Lock) -> None:
    """One row, beside others."""
    if (started := service.begin(cell, lane, row)) is not None:
        reply = attempt(service.function, row, service.finish, started)
        with pipe:
            service.end(cell, reply)
            service.enough.after_row()


def _in_threads(
    service: Service, desk: Desk, messages: Iterator[Any], inbox: int, batch: Batching | None = None
) -> None:
    """One thread for each call at a time, with cells of its own. Ends with the inbox; rows under way end with the
    process.
    """
    waiting: queue.SimpleQueue[list[Row]] = queue.SimpleQueue()
    pipe = threading.Lock()  # a frame must not be cut in two by another
    at_work: set[int] = set()
    most = batch.most if batch else 1

    def live(cell: int) -> None:
        own = replace(service, gone=watch_for_hang_up(inbox))
        call = BatchCall(own.function, own.finish, frame=batch.frame) if batch else None
        while True:
            rows = waiting.get()
            with pipe:
                if own.enough.why:
                    return
                at_work.add(cell)
            try:
                if call:
                    _together(own, call, cell, desk.first, rows, pipe)
                else:
                    _alone(own, cell, desk.first, rows[0], pipe)
            except BaseException:  # noqa: BLE001 - the others would go on, and the row never end
                die()
            forget_current()
            with pipe:
                at_work.discard(cell)
                if own.enough.why and not at_work:
                    own.enough.say()
                    os._exit(0)  # the main thread waits in a read, which nothing ends

    for slot in range(0, desk.slots, most):
        threading.Thread(target=live, args=(desk.first + slot,), name=f"slot {slot}", daemon=True).start()
    for message in messages:
        for rows in in_batches(desk.rows(message), most):
            waiting.put(rows)


def die(error: BaseException | None = None) -> NoReturn:
    """End the worker over an error (if none is given, the one that is being handled), as its main thread would."""
    traceback.print_exception(error or sys.exc_info()[1])
    os._exit(1)


def _typed(convert: Convert, cells: Sequence[tuple[Any, ...]]) -> list[Any]:
    """The rows of a deal. Where a cell does not fit its column any more, that row is the exception it raises."""
    try:
        return list(convert(cells))
    except (ValueError, TypeError, KeyError) as error:
        if len(cells) == 1:
            return [ValueError(f"a cell no longer fits its column's type, the input was changed: {error}")]
        return [row for one in cells for row in _typed(convert, [one])]
