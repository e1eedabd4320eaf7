"""How a worker goes through its rows: one by one, or several at once in threads. For `async def`: see `looped`.

A reply is in the pipe, or on the slate, before its slot's next row starts. Both are still there when this process has
died, so a row that has finished is never run again because of its neighbour.
"""

import os
import queue
import sys
import threading
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, NoReturn

from batchrun.checkpoint.cell import Cell
from batchrun.engine.deal import halves
from batchrun.engine.wire import read_frames
from batchrun.task.api import forget_current

from .attempt import Row, attempt
from .batches import BatchCall, Batching, in_batches
from .desk import Desk
from .lifeline import watch_for_hang_up
from .one_by_one import one_by_one
from .service import Service
from .slate_writer import SlateWriter


def serve(service: Service, inbox: int, batch: Batching | None = None) -> None:
    """Run a plain function on what comes, until the coordinator closes the inbox. `batch`: many rows a call."""
    desk = Desk()
    messages = read_frames(inbox)
    call = BatchCall(service.function, service.finish, frame=batch.frame) if batch else None
    cells: list[Cell] = []
    for message in messages:
        deals = desk.deals(message)
        if not deals:  # it was the columns, and what the lane is to be
            most = batch.most if batch else 1
            if desk.slots > most:
                _in_threads(replace(service, slate=None), desk, messages, inbox, batch)
                return
            cells = _cells(service, desk, 0, most)
        elif batch and call:
            for together in in_batches((row for deal in deals for row in deal.rows()), batch.most):
                _together(service, call, cells, together, nullcontext())
        elif service.slate is not None:
            for deal in deals:
                if not service.enough.why:
                    one_by_one(service, service.slate, cells[0], deal)
        forget_current()
        if service.slate is not None and not _goes_on(service, service.slate):
            return  # the coordinator sees it end, and has what it still held run elsewhere


def _goes_on(service: Service, slate: SlateWriter) -> bool:
    """Whether further rows are to come, when those of a message have run."""
    if service.enough.why:
        slate.send()
        service.enough.say()
        return False
    slate.send_if_idle()
    return True


def _cells(service: Service, desk: Desk, slot: int, most: int) -> list[Cell]:
    """Those of a call for so many rows."""
    return [service.cells.cell(desk.first + own, desk.first, service.gone) for own in range(slot, slot + most)]


def _together(
    service: Service,
    call: BatchCall,
    cells: Sequence[Cell],
    together: Sequence[Row],
    pipe: AbstractContextManager[object],
) -> None:
    """Several rows a call. Of a call that goes wrong, its halves are called, and so on until the rows are alone.

    `cells`: at least as many; `pipe`: held while there are replies.
    """
    calls = deque([together])
    while calls and not service.enough.why:
        some = calls.popleft()
        if (started := service.begin_together(cells[: len(some)], some)) is None:
            continue
        if (replies := call(some, started)) is None:
            for cell in cells[: len(some)]:
                cell.clear()
            # Of a task that always fails, enough rows have soon failed alone. But a row alone says nothing of a task
            # that returns the wrong number of results: while that is in doubt, the larger come first.
            calls = deque([*calls, *halves(some)] if call.in_doubt else [*halves(some), *calls])
            continue
        with pipe:
            for cell, reply in zip(cells, replies, strict=False):
                service.end(cell, reply)
            service.enough.after_row(len(some))


def _alone(service: Service, cell: Cell, row: Row, pipe: threading.Lock) -> None:
    """One row, beside others."""
    if (started := service.begin(cell, row)) is not None:
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

    def live(slot: int) -> None:
        cells = _cells(replace(service, gone=watch_for_hang_up(inbox)), desk, slot, most)
        call = BatchCall(service.function, service.finish, frame=batch.frame) if batch else None
        while True:
            rows = waiting.get()
            with pipe:
                if service.enough.why:
                    return
                at_work.add(slot)
            try:
                if call:
                    _together(service, call, cells, rows, pipe)
                else:
                    _alone(service, cells[0], rows[0], pipe)
            except BaseException:  # noqa: BLE001 - the others would go on, and the row never end
                die()
            forget_current()
            with pipe:
                at_work.discard(slot)
                if service.enough.why and not at_work:
                    service.enough.say()
                    os._exit(0)  # the main thread waits in a read, which nothing ends

    for slot in range(0, desk.slots, most):
        threading.Thread(target=live, args=(slot,), name=f"slot {slot}", daemon=True).start()
    for message in messages:
        for rows in in_batches(desk.rows(message), most):
            waiting.put(rows)


def die(error: BaseException | None = None) -> NoReturn:
    """End the worker over an error (if none is given, the one that is being handled), as its main thread would."""
    traceback.print_exception(error or sys.exc_info()[1])
    os._exit(1)
