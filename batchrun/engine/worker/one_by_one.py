"""The way of plain functions: the rows of a deal, one after the other, in one loop.

A row that simply returns a dict, as nearly all do, costs two microseconds here; an object for each row, or a few calls
more, would be seen in every table of quick rows. So what such a row needs is written out, and whatever else it may come
to (text, an exception, tokens, a result that is too large) is handed to the functions that all ways of running rows
share: `failed`, `finish`, `Service.end`. They promise the same, in the same order:

1. A row is in its cell before anybody is asked whether it may start (`Cell.begin`).
2. Only its own process speaks for it (`Service.before_reply`): a child that it has forked, and that comes back from the
   task, ends there.
3. Its result is on the slate, which outlives this process, before the cell is free (docs/decisions/0005).
"""

import time
from typing import Any

from batchrun.checkpoint.cell import Cell
from batchrun.engine.wire import Reply
from batchrun.task.api import set_current
from batchrun.task.encode import MAX_RESULT_BYTES, encode

from .attempt import failed
from .desk import TypedDeal
from .service import Service
from .slate_writer import SlateWriter


def one_by_one(service: Service, slate: SlateWriter, cell: Cell, deal: TypedDeal) -> None:
    """Run the rows of a deal in this cell, until there are none or the worker has had enough."""
    batch, attempt, _, positions, names, rows = deal
    function, finish, enough = service.function, service.finish, service.enough
    ours, unfinished = service.ours, service.output.unfinished
    begin, clear, keep, monotonic = cell.begin, cell.clear, slate.keep, time.monotonic
    for position, name, row in zip(positions, names, rows, strict=True):
        started = monotonic()
        if not begin(batch, position, started, attempt, name):
            continue
        tokens = set_current(position, name, attempt)
        try:
            if isinstance(row, Exception):
                raise row
            value = function(row)
            ended = monotonic()
            body = None if tokens else _simply(value)
        except BaseException as error:  # noqa: BLE001 - sys.exit and MemoryError fail the row, not the worker
            service.end(cell, failed(position, monotonic() - started, error))
        else:
            if not ours[0] or any(unfinished):
                service.before_reply(position)
            if body is None:
                service.end(cell, finish(position, ended - started, value))
            elif keep(position, started, ended, body):
                clear()
            else:
                service.end(cell, Reply(position, "done", ended - started, body, how="value"))
        if enough.limited and enough.after_row():
            return


def _simply(value: Any) -> bytes | None:
    """The JSON of a value, if there is nothing more to say of it."""
    if type(value) is not dict:
        return None
    body, lost = encode(value)
    return None if lost or len(body) > MAX_RESULT_BYTES else body
