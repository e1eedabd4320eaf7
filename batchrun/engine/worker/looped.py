"""Many rows of an `async def` at once, on one event loop: a slot each.

The row whose coroutine has the interpreter is marked in the in-flight file, so that the one which blocks the
loop, or kills the process, is known among hundreds that only wait.
"""

import asyncio
import os
import time
from collections import deque
from collections.abc import Coroutine, Generator
from contextvars import copy_context
from functools import partial
from threading import active_count
from typing import Any

from batchrun.checkpoint.cell import Cell
from batchrun.checkpoint.inflight import InFlight
from batchrun.engine.wire import READ_SIZE, Frames, Reply, unpack
from batchrun.task.api import current_row

from .attempt import Row, attempt_async, failed
from .desk import Desk
from .serve import die
from .service import Service


def serve_async(service: Service, inbox: int) -> None:
    """Run an `async def` on what comes, until the coordinator closes the inbox."""
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        slots = _Slots(service, loop)
        os.set_blocking(inbox, False)
        loop.add_reader(inbox, slots.hear, inbox)
        while not slots.closed:
            try:
                loop.run_forever()
            except (SystemExit, KeyboardInterrupt):
                # Raised in a task that a row has started: asyncio lets these two out. The row has failed by it.
                continue


class _Slots:
    """The rows that run here and those that wait for a slot."""

    def __init__(self, service: Service, loop: asyncio.AbstractEventLoop) -> None:
        self.closed = False
        self._service = service
        self._loop = loop
        self._desk = Desk()
        self._frames = Frames(unpack)
        self._waiting: deque[Row] = deque()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._cancelled: set[int] = set()
        self._free: list[Cell] = []
        self._opened = 0
        self._context = copy_context()
        loop.set_task_factory(self._task)

    def hear(self, inbox: int) -> None:
        """Take what has come through the inbox."""
        try:
            self._take_in(inbox)
        except BaseException:  # noqa: BLE001 - the event loop would go on without these rows
            die()

    def _take_in(self, inbox: int) -> None:
        try:
            data = os.read(inbox, READ_SIZE)
        except BlockingIOError:
            return  # a row that ended the loop in the middle of a turn has us called twice for one message
        if not data:
            self.closed = True
            self._loop.stop()
        for message in self._frames.feed(data):
            if message[0] == "cancel":
                self._cancel(message[1])
            else:
                self._waiting.extend(self._desk.rows(message))
        self._fill()

    def _cancel(self, position: int) -> None:
        if task := self._tasks.get(position):
            self._cancelled.add(position)
            task.cancel()

    def _fill(self) -> None:
        """Start waiting rows as long as there is a slot."""
        enough = self._service.enough
        while self._waiting and len(self._tasks) < self._desk.slots and not enough.why:
            row = self._waiting.popleft()
            cell = self._cell()
            started = self._service.begin(cell, row)
            if started is None:
                self._free.append(cell)
                continue
            living = self._watched(self._live(row, cell, started), row.position)
            # A context of its own: what one row sets is none of another's, though its end may start the other.
            task = asyncio.Task(living, loop=self._loop, context=self._context.copy())
            task.add_done_callback(partial(self._over, row, cell))
            self._tasks[row.position] = task

    def _cell(self) -> Cell:
        if self._free:
            return self._free.pop()
        self._opened += 1
        return self._service.cells.cell(self._desk.first + self._opened - 1, self._desk.first, self._service.gone)

    async def _live(self, row: Row, cell: Cell, started: float) -> None:
        reply = await attempt_async(self._service.function, row, self._service.finish, started)
        self._end(row, cell, reply)

    def _over(self, row: Row, cell: Cell, task: "asyncio.Task[None]") -> None:
        """The row's task has ended: see that the coordinator knows."""
        if task.cancelled():  # before it began, by another row that cancels all tasks
            self._end(row, cell, failed(row.position, 0.0, asyncio.CancelledError()))
        elif task.exception() is not None:
            die(task.exception())

    def _end(self, row: Row, cell: Cell, reply: Reply) -> None:
        position = row.position
        del self._tasks[position]
        if position in self._cancelled:
            self._cancelled.discard(position)
            if reply.outcome not in ("done", "skipped"):
                reply = reply._replace(outcome="cancelled")
        self._service.end(cell, reply)
        self._free.append(cell)
        if self._service.enough.after_row() and not self._tasks:
            self._service.enough.say()
            self.closed = True
            self._loop.stop()
        self._fill()

    def _task(self, loop: asyncio.AbstractEventLoop, living: Any, **options: Any) -> asyncio.Task[Any]:
        """A task that a row starts counts as the row."""
        row = current_row()
        return asyncio.Task(self._watched(living, row) if row else living, loop=loop, **options)

    def _watched(self, living: Coroutine[Any, Any, Any], row: int) -> "_Watched":
        return _Watched(living, row, self._service.cells, self._desk.first)


class _Watched(Coroutine[Any, Any, Any]):
    """A coroutine that is marked in the in-flight file whenever it has the interpreter."""

    def __init__(self, living: Coroutine[Any, Any, Any], row: int, cells: InFlight, cell: int) -> None:
        self._living = living
        self._row = row
        self._cells = cells
        self._cell = cell

    def send(self, value: Any) -> Any:
        # At every resumption, since hundreds of rows take turns: whoever stands here at a death, or for too long, is
        # the one that had the interpreter. 0.4 microseconds (docs/decisions/0016).
        self._cells.hold(self._cell, self._row, time.monotonic(), threads=active_count() > 1)
        try:
            return self._living.send(value)
        finally:
            self._cells.let_go(self._cell)

    def throw(self, *error: Any) -> Any:
        self._cells.hold(self._cell, self._row, time.monotonic(), threads=active_count() > 1)
        try:
            return self._living.throw(*error)
        finally:
            self._cells.let_go(self._cell)

    def close(self) -> None:
        self._living.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._living.__await__()

    def __getattr__(self, name: str) -> Any:
        # Libraries look into the coroutine of a task (anyio asks for its state): they see the real one.
        return getattr(self._living, name)
